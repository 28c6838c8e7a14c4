#!/usr/bin/env python3
"""tests/mutants/run.py [WORD...] - puts each bug of tests/mutants/list into a copy of the tree and runs the tests that must notice it.

A mutant is killed when one of its tests fails, by a program that ran and said so or died. At least nine of ten must be killed; which
survive is printed. WORDs choose the mutants whose file or tests contain one; a test must pass on the tree as it is first."""
import glob, os, re, shutil, subprocess, sys, time
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.chdir(ROOT)
TREE, BUILD = 'build-mutants/tree', os.path.abspath('build-mutants/build')
SHARE = 0.9
words = sys.argv[1:]

def read_list():
    mutants = []
    for line in open('tests/mutants/list', encoding='utf-8').read().split('\n'):
        if line[:1] in ('-', '+', '@'):
            mutants[-1][line[0]] = line[1:].strip() if line[0] == '@' else line[1:]
        elif line and line[0] != '#':
            path, *tests = line.split()
            mutants.append({'path': path, 'tests': tests, '@': '', 'number': len(mutants) + 1})
    return mutants

def mutated(m):
    """The file with the bug; an AssertionError where the list is out of date."""
    text = open(os.path.join(TREE, m['path']), encoding='utf-8').read()
    begin, end = 0, len(text)
    if m['@']:
        head = re.search(r'^[a-z][^\n;]*\b%s\((?:[^;{]*)\n\{' % m['@'], text, re.M)
        assert head, '%s: there is no %s()' % (m['path'], m['@'])
        begin, end = head.start(), text.index('\n}\n', head.start())
    inside = text[begin:end]
    assert (inside + '\n').count('\n' + m['-'] + '\n') == 1, '%s: %r is there %d times' % (
        m['path'], m['-'], (inside + '\n').count('\n' + m['-'] + '\n'))
    return text[:begin] + (inside + '\n').replace('\n' + m['-'] + '\n', '\n' + m['+'] + '\n')[:-1] + text[end:]

def copy_tree():
    """What git has and what is new, without the builds; files that are as they were keep their times."""
    names = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], check=True, stdout=subprocess.PIPE).stdout.decode().split('\n')
    for name in names:
        target = os.path.join(TREE, name)
        if name and os.path.isfile(name) and not (os.path.exists(target) and open(target, 'rb').read() == open(name, 'rb').read()):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(name, target)
    for path in glob.glob(TREE + '/**/*.[ch]', recursive=True):
        if not os.path.exists(os.path.relpath(path, TREE)):
            os.remove(path)

def is_unit(test):
    return not test.startswith(('cli/', 'crash/', 'peers/'))

def build(tests):
    targets = ['unit_%s_test_%s' % tuple(t.split('/')) for t in tests if is_unit(t)]
    if len(targets) < len(tests):
        targets += [os.path.basename(p)[:-2] for p in glob.glob('tools/mm*.c') if '_' not in os.path.basename(p)] + ['mm-search-alone'] + [
            os.path.basename(p)[:-2] for p in glob.glob('tests/helpers/*.c')]
    return subprocess.run(['ninja', '-C', BUILD] + targets, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

def passes(test):
    """A test that hangs has noticed too."""
    env = dict(os.environ, MM_BIN=os.path.join(BUILD, 'bin'), MM_LONG='')
    command = [os.path.join(BUILD, 'unit', 'unit_%s_test_%s' % tuple(test.split('/')))] if is_unit(test) else [
        'python3', 'tests/%s.py' % test]
    p = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         start_new_session=True)
    try:
        return p.wait(600) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        try:
            os.killpg(p.pid, 9)  # what a test that died has left
        except ProcessLookupError:
            pass
        p.wait()

def try_one(m):
    """'killed by TEST', 'survived', or why the mutant is none."""
    path = os.path.join(TREE, m['path'])
    before = open(path, encoding='utf-8').read()
    after = mutated(m)
    open(path, 'w', encoding='utf-8').write(after)
    try:
        made = build(m['tests'])
        if made.returncode:
            return 'does not compile: ' + made.stdout.decode()[-600:]
        for test in m['tests']:
            if not passes(test):
                return 'killed by ' + test
        return 'survived'
    finally:
        open(path, 'w', encoding='utf-8').write(before)

def main():
    mutants = [m for m in read_list() if not words or any(w in ' '.join([m['path']] + m['tests']) or w == str(m['number']) for w in words)]
    copy_tree()
    subprocess.run(['cmake', '-G', 'Ninja', '-S', TREE, '-B', BUILD, '-DMM_TEST=ON', '-DCMAKE_BUILD_TYPE=Debug', '-DCMAKE_C_FLAGS=-O1 -w'],
                   check=True, stdout=subprocess.DEVNULL)
    wrong = []
    for m in mutants:
        try:
            mutated(m)
        except AssertionError as e:
            wrong.append(str(e))
    tests = sorted({t for m in mutants for t in m['tests']})
    made = build(tests)
    if made.returncode:
        wrong.append('the tree does not build: ' + made.stdout.decode()[-600:])
    if not wrong:
        wrong = ['%s fails without any mutant' % t for t in tests if not passes(t)]
    if wrong:
        print('FAIL mutants: ' + '; '.join(wrong))
        sys.exit(1)
    killed = 0
    for m in mutants:
        began = time.monotonic()
        how = try_one(m)
        killed += how.startswith('killed')
        print('%d %s %s: %s (%.0f s)' % (m['number'], m['path'], m['@'] or m['-'].strip()[:60], how, time.monotonic() - began), flush=True)
    text = '%d of %d mutants killed' % (killed, len(mutants))
    good = killed >= SHARE * len(mutants)
    print(('ok mutants' if good else 'FAIL mutants: ' + text) + ('' if not good else '\n' + text))
    sys.exit(0 if good else 1)

main()
