#!/usr/bin/env python3
"""tests/run.py - runs the tests that ./check has built, and counts them.

A test program is one of: tests/tidy/tidy.py; a cmocka program in build-asan/unit, and where there are threads in build-tsan/unit; a fuzz
target in build-asan/fuzz, which replays its corpus; the same in build-fuzz, which looks for more by itself for a while
(tests/fuzz/run.py); a script tests/{cli,crash,peers}/T*.py, which prints a line "ok NAME", "FAIL NAME: why" or "skip NAME: why" for each
test in it. --long adds all of build-tsan/unit, the same programs under valgrind (build-valgrind), the scripts tests/long/T*.py (coverage;
valgrind and ThreadSanitizer end to end) and tests/mutants/run.py. Three programs run at a time. The last line is "N passed, N failed, N
skipped"."""
import argparse, collections, glob, os, re, subprocess, sys, threading, time

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(root)
args = argparse.ArgumentParser()
args.add_argument('--long', action='store_true')
args.add_argument('--jobs', type=int, default=3)
args.add_argument('words', nargs='*')
args = args.parse_args()

env = dict(os.environ, ASAN_OPTIONS='abort_on_error=0:detect_leaks=1:exitcode=99', UBSAN_OPTIONS='print_stacktrace=1',
           TSAN_OPTIONS='exitcode=66', MM_LONG='1' if args.long else '')
def in_memory():
    """The environment of tests whose temporary folders lie in memory, where that has room: a kill takes nothing from a disk's cache, and a
    file system that is shut down loses no more of its image there."""
    try:
        space = os.statvfs('/dev/shm')
    except OSError:
        return env
    fits = space.f_bavail * space.f_frsize >= 3 << 30 and not space.f_flag & os.ST_NOEXEC
    return dict(env, TMPDIR='/dev/shm') if fits else env

lock = threading.Lock()
passed, failed, skipped = [], [], []

# Unit tests whose code runs in threads; --long runs all.
THREADS = open('tests/unit/threads').read().split()
# A seccomp filter of the test's own stops valgrind's calls too.
NOT_UNDER_VALGRIND = ['base_test_sandbox']
VALGRIND = ['valgrind', '-q', '--error-exitcode=98', '--leak-check=full', '--errors-for-leak-kinds=definite',
            '--suppressions=tests/valgrind.supp']

def units(build):
    """(the name without "unit_", path) of its unit tests."""
    return [(os.path.basename(path)[5:], path) for path in sorted(glob.glob(build + '/unit/unit_*'))]

def label(name):
    return name.replace('_test_', '/')

def programs():
    """What waits a lot, the longest first; then what computes."""
    if args.long:
        yield 'mutants', ['python3', 'tests/mutants/run.py'], 'one'
        for path in sorted(glob.glob('tests/long/T*.py')):
            yield 'long/' + os.path.basename(path)[:-3], ['python3', path], 'lines'
    for folder in ('crash', 'cli', 'peers'):
        for path in sorted(glob.glob('tests/%s/T*.py' % folder)):
            yield folder + '/' + os.path.basename(path)[:-3], ['python3', path], 'lines'
    yield 'tidy', ['python3', 'tests/tidy/tidy.py'], 'one'
    for name, path in units('build-asan'):
        yield 'unit/' + label(name), [path], 'cmocka'
    for name, path in units('build-tsan'):
        if args.long or name in THREADS:
            yield 'threads/' + label(name), [path], 'cmocka'
    for name, path in units('build-valgrind') if args.long else []:
        if name not in NOT_UNDER_VALGRIND:
            yield 'valgrind/' + label(name), VALGRIND + [path], 'cmocka'
    for path in sorted(glob.glob('build-asan/fuzz/fuzz_*')):
        name = os.path.basename(path)
        yield 'fuzz/' + name[5:], [path, 'tests/fuzz/corpus/' + name], 'one'
    for path in sorted(glob.glob('build-fuzz/fuzz/fuzz_*')):
        name = os.path.basename(path)
        yield 'fuzz-run/' + name[5:], ['python3', 'tests/fuzz/run.py', name], 'one'

def results(name, kind, code, out):
    """(verdict, test, text) for each test of a program; a program that died counts as one more failure."""
    rows = []
    if kind == 'cmocka':
        for m in re.finditer(r'^\[ +(OK|FAILED|SKIPPED) +\] (\S+)$', out, re.M):
            row = ({'OK': 'ok', 'FAILED': 'FAIL', 'SKIPPED': 'skip'}[m.group(1)], name + '/' + m.group(2), '')
            if row not in rows:
                rows.append(row)
    elif kind == 'lines':
        for m in re.finditer(r'^(ok|FAIL|skip) ([^:\n]+)(?:: (.*))?$', out, re.M):
            rows.append((m.group(1), name + '/' + m.group(2).strip(), m.group(3) or ''))
    else:
        rows.append(('ok' if code == 0 else 'FAIL', name, ''))
    if kind != 'one' and (not rows or (code != 0 and not any(r[0] == 'FAIL' for r in rows))):
        rows.append(('FAIL', name, 'exit status %d' % code))
    return rows

def run(program):
    name, command, kind = program
    began = time.monotonic()
    try:
        p = subprocess.run(command, env=env if kind == 'one' else in_memory(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=14400 if args.long else 1500)
        code, out = p.returncode, p.stdout.decode('utf-8', 'replace')
    except subprocess.TimeoutExpired as e:
        code, out = 124, (e.stdout or b'').decode('utf-8', 'replace') + '\nthe program did not end\n'
    rows = results(name, kind, code, out)
    bad = any(r[0] == 'FAIL' for r in rows)
    with lock:
        for verdict, test, text in rows:
            {'ok': passed, 'FAIL': failed, 'skip': skipped}[verdict].append(test)
            if verdict == 'skip':
                print('  skipped: %s: %s' % (test, text))
        print('%-4s %s (%d, %.0f s)' % ('FAIL' if bad else 'ok', name, len(rows), time.monotonic() - began))
        if bad:
            print('\n'.join('     ' + line for line in out.split('\n')[-120:]))
        sys.stdout.flush()

todo = collections.deque(p for p in programs() if not args.words or any(w in p[0] for w in args.words))

def work(take):
    while True:
        try:
            program = take()
        except IndexError:
            return
        run(program)

# One takes what computes, from the end, so that the processors are busy while the others wait.
workers = [threading.Thread(target=work, args=(todo.pop if i == 2 else todo.popleft,)) for i in range(args.jobs)]
for call in (threading.Thread.start, threading.Thread.join):
    for worker in workers:
        call(worker)
for test in failed:
    print('failed: ' + test)
print('%d passed, %d failed, %d skipped' % (len(passed), len(failed), len(skipped)))
sys.exit(1 if failed or not passed else 0)
