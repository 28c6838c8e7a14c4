#!/usr/bin/env python3
"""Coverage of everything: the unit tests and the end-to-end scripts against build-cover (gcc --coverage, without optimisation). Prints the
shares of lines and branches, and each branch in commit, framing, crypto and purge code that no test takes.

The sandbox is off for the scripts: a confined process can't write its counts. mm-parse is killed before it could: what only it runs is
covered by the unit tests of ingest/mime.

Not counted are branches that are no decision of ours: the one of MUST() that ends the process, and the byte loops that uthash's
macros unfold at each place of use. A branch of the critical files that no test can take is in ALLOWED with its reason; an entry
whose line is gone, or taken both ways, fails. Words choose scripts ("none": the unit tests alone)."""
import atexit, glob, os, re, shutil, struct, sys, tempfile
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

CRITICAL = {
    'commit': r'ingest/spool/(writer|writer_thread|draft)|ingest/checkpoint',
    'framing': r'ingest/spool/(record|reader)|smtp/(data|body|command_bdat)|store/segment',
    'crypto': r'store/(crypt|vfs_page|keyring|keyring_file)',
    'purge': r'retention/(sweep|clockguard|erase)|index/remove',
}
LINES, BRANCHES = 90.0, 80.0
KEPT = tempfile.mkdtemp(prefix='mm-cover-')
ALL = os.path.join(KEPT, 'all')
os.mkdir(ALL)
atexit.register(shutil.rmtree, KEPT, True)
NOT_OURS = r'.*\b(MUST|HASH_(FIND|ADD|DEL|COUNT))\('
ALLOWED = { # (file, line): why
    ('ingest/spool/writer.c', 'if (!d->mute) {'): 'a draft is mute in the control build that answers too early, and in no other',
    ('index/remove.c', 'if (rc == RC_OK && fresh->stats.messages != sel->rows - sel->count)'):
        'a check of what shard_rewrite has just written and closed without an error',
    ('retention/sweep.c', 'else if (!is_forbidden(rc))'): 'what may_destroy asks is in memory: it forbids, and has nothing that can fail',
    ('retention/sweep.c', 'if (rc == RC_OK && may.count)'): 'likewise',
}

def run(command, env):
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=3600)

def is_whole(path):
    """Whether a file of counts has its records to the end: a process that is killed while it writes leaves a part."""
    data = open(path, 'rb').read()
    at = 16 # magic, version, stamp, checksum
    while len(data) - at >= 8:
        at += 8 + max(struct.unpack_from('<i', data, at + 4)[0], 0) # less than nothing: zeros, which aren't there
    return data[at:] == bytes(4)

def add_counts(fresh):
    """Adds what one program and its children counted to what all before it did."""
    paths = glob.glob(os.path.join(fresh, '**', '*.gcda'), recursive=True)
    parts = [p for p in paths if not is_whole(p)]
    for path in parts:
        os.remove(path)
    if len(parts) < len(paths) and not os.listdir(ALL):
        shutil.copytree(fresh, ALL, dirs_exist_ok=True)
    elif len(parts) < len(paths):
        subprocess.run(['gcov-tool', 'merge', ALL, fresh, '-o', ALL + '.new'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(ALL)
        os.rename(ALL + '.new', ALL)
    return len(parts)

def measure():
    """gcovr's rows: {file: (lines, lines taken, branches, branches taken, [line of a branch not taken])}."""
    for path in glob.glob(os.path.join(ROOT, 'build-cover', '**', '*.gcda'), recursive=True):
        os.remove(path)
    os.chdir(ROOT)
    env = dict(os.environ, MM_LONG='')
    words = sys.argv[1:]
    commands = [([path], dict(env, MM_LONG='1')) for path in sorted(glob.glob('build-cover/unit/unit_*'))]
    env.update(MM_BIN=os.path.join(ROOT, 'build-cover', 'bin'), MM_SANDBOX='off')
    commands += [(['python3', path], env) for path in sorted(glob.glob('tests/c*/T*.py') + glob.glob('tests/peers/T*.py'))
                 if not words or any(w in path for w in words)]
    lost = 0
    for command, its_env in commands:
        fresh = tempfile.mkdtemp(dir=KEPT)
        run(command, dict(its_env, GCOV_PREFIX=fresh))
        lost += add_counts(fresh)
        shutil.rmtree(fresh)
    print('%d files of counts were not whole' % lost)
    shutil.copytree(os.path.join(ALL, ROOT.lstrip('/'), 'build-cover'), 'build-cover', dirs_exist_ok=True)
    out = subprocess.run(['gcovr', '-r', '.', 'build-cover', '-e', 'tests/', '-e', 'build', '-j2', '--json', '--exclude-unreachable-branches',
                          '--exclude-branches-by-pattern', NOT_OURS], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found = {}
    for f in json.loads(out.stdout)['files']:
        lines = [l for l in f['lines'] if not l.get('gcovr/noncode')]
        branches = [b['count'] > 0 for l in lines for b in l['branches']]
        found[f['file']] = (len(lines), sum(l['count'] > 0 for l in lines), len(branches), sum(branches),
                            [l['line_number'] for l in lines if any(not b['count'] for b in l['branches'])])
    return found

def share(rows, total, taken):
    return 100.0 * sum(r[taken] for r in rows) / max(1, sum(r[total] for r in rows))

def critical(pattern):
    """{file: row} of the files, each with its open branches as (number, line) and those that are allowed."""
    rows = {}
    for name, row in sorted(found.items()):
        if re.match(r'(%s)\.c$' % pattern, name):
            source = open(name, encoding='utf-8').read().split('\n')
            rows[name] = row[:4] + ([(n, source[n - 1].strip()) for n in row[4]],)
    return rows

found = measure()
used = set()
left = []
for name in sorted(found):
    print('%-34s lines %5.1f %% branches %5.1f %%' % (name, share([found[name]], 0, 1), share([found[name]], 2, 3)))
for kind, pattern in CRITICAL.items():
    rows = critical(pattern)
    print('%s: lines %.1f %%, branches %.1f %%' % (kind, share(rows.values(), 0, 1), share(rows.values(), 2, 3)))
    for name, row in rows.items():
        print('  %-32s lines %5.1f %% branches %5.1f %%' % (name, share([row], 0, 1), share([row], 2, 3)))
        for number, line in row[4]:
            why = ALLOWED.get((name, line))
            print('    %s:%d: %s%s' % (name, number, line, '  -- ' + why if why else ''))
            if why:
                used.add((name, line))
            else:
                left.append('%s:%d' % (name, number))
print('all: lines %.1f %%, branches %.1f %%' % (share(found.values(), 0, 1), share(found.values(), 2, 3)))

@test
def lines_at_least_90():
    check(share(found.values(), 0, 1) >= LINES, '%.1f %%' % share(found.values(), 0, 1))

@test
def branches_at_least_80():
    check(share(found.values(), 2, 3) >= BRANCHES, '%.1f %%' % share(found.values(), 2, 3))

@test
def every_branch_of_commit_framing_crypto_and_purge():
    check(not left, 'no test takes both ways: ' + ' '.join(left))

@test
def the_allowed_branches_are_still_there():
    equal(sorted(set(ALLOWED) - used), [], 'entries of ALLOWED that are out of date')

done()
