#!/usr/bin/env python3
"""Coverage of everything: the unit tests and the end-to-end scripts against build-cover (gcc --coverage, without optimisation). Prints the
shares of lines and branches, and each branch in commit, framing, crypto and purge code that no test takes.

The sandbox is off for the scripts: a confined process can't write its counts. mm-parse is killed before it could: what only it runs is
covered by the unit tests of ingest/mime. A branch of MUST() that ends the process counts as unreachable."""
import glob, os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

CRITICAL = {
    'commit': r'ingest/spool/(writer|writer_thread|draft)|ingest/checkpoint',
    'framing': r'ingest/spool/(record|reader)|smtp/(data|body|command_bdat)|store/segment',
    'crypto': r'store/(crypt|vfs_page|keyring|keyring_file)',
    'purge': r'retention/(sweep|clockguard)|index/remove',
}
LINES, BRANCHES = 90.0, 80.0

def run(command, env):
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=3600)

def measure():
    """gcovr's rows: {file: (lines, lines taken, branches, branches taken, [line of a branch not taken])}."""
    for path in glob.glob(os.path.join(ROOT, 'build-cover', '**', '*.gcda'), recursive=True):
        os.remove(path)
    os.chdir(ROOT)
    env = dict(os.environ, MM_LONG='')
    words = sys.argv[1:]
    for path in sorted(glob.glob('build-cover/unit/unit_*')):
        run([path], env)
    env.update(MM_BIN=os.path.join(ROOT, 'build-cover', 'bin'), MM_SANDBOX='off')
    for path in sorted(glob.glob('tests/c*/T*.py') + glob.glob('tests/peers/T*.py')):
        if not words or any(w in path for w in words):
            run(['python3', path], env)
    out = subprocess.run(['gcovr', '-r', '.', 'build-cover', '-e', 'tests/', '-e', 'build', '-j2', '--json', '--exclude-unreachable-branches',
                          '--exclude-branches-by-pattern', r'.*\bMUST\('], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found = {}
    for f in json.loads(out.stdout)['files']:
        lines = [l for l in f['lines'] if not l.get('gcovr/noncode')]
        branches = [b['count'] > 0 for l in lines for b in l['branches']]
        found[f['file']] = (len(lines), sum(l['count'] > 0 for l in lines), len(branches), sum(branches),
                            [l['line_number'] for l in lines if any(not b['count'] for b in l['branches'])])
    return found

def share(rows, total, taken):
    return 100.0 * sum(r[taken] for r in rows) / max(1, sum(r[total] for r in rows))

found = measure()
for name in sorted(found):
    print('%-34s lines %5.1f %% branches %5.1f %%' % (name, share([found[name]], 0, 1), share([found[name]], 2, 3)))
for kind, pattern in CRITICAL.items():
    rows = {name: row for name, row in found.items() if re.match(r'(%s)\.c$' % pattern, name)}
    print('%s: lines %.1f %%, branches %.1f %%' % (kind, share(rows.values(), 0, 1), share(rows.values(), 2, 3)))
    for name, row in sorted(rows.items()):
        source = open(name, encoding='utf-8').read().split('\n')
        for number in row[4]:
            print('  %s:%d: %s' % (name, number, source[number - 1].strip()))
print('all: lines %.1f %%, branches %.1f %%' % (share(found.values(), 0, 1), share(found.values(), 2, 3)))

@test
def lines_at_least_90():
    check(share(found.values(), 0, 1) >= LINES, '%.1f %%' % share(found.values(), 0, 1))

@test
def branches_at_least_80():
    check(share(found.values(), 2, 3) >= BRANCHES, '%.1f %%' % share(found.values(), 2, 3))

@test
def every_branch_of_commit_framing_crypto_and_purge():
    left = sum(len(row[4]) for name, row in found.items() if re.match(r'(%s)\.c$' % '|'.join(CRITICAL.values()), name))
    equal(left, 0, 'lines with a branch that no test takes')

done()
