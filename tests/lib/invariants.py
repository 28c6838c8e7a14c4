"""tests/lib/invariants.py - what must hold after every recovery, whatever was killed, failed or lost its power before it

One checker for all crash, power and fault tests. `acked` is {id: sha256} of what was answered with 250, or told as stored; `unanswered`
are the sha256 of what was under way without an answer: each may be there besides, once (None: nobody kept count). Of the ids in `maybe`
nobody knows whether they were destroyed; those in `gone` were. Nonces are random or come from a key that is used once (docs/formats.md):
there is no counter that could go back."""
import collections, re

from mm import *

# What a data directory holds at rest; a name that is none of these is an orphan.
NAMES = re.compile(r'''lock|mmd\.sock|keys\.[ab]|control\.db(-wal|-shm)?|audit/\d{8}\.log|seg/\d+/[0-9a-f]+\.seg
                       |index/\d+/\d{8}\.(shard|db(-wal|-shm)?)|spool/\d{8}\.(spool|big|spare)
                       |queue/\d{8}\.db(-wal|-shm)?''', re.X)

def rows_of(site, archives):
    """All rows, once a rebuild of the index that a killed process left is done; a running mmd does it by itself."""
    rows = []
    for archive in archives:
        for left in range(600, -1, -1):
            try:
                rows += site.rows(archive=archive)
                break
            except AssertionError as e:
                if 'is being rebuilt' not in str(e) or not left or not site.process:
                    raise
                time.sleep(0.02)
    return rows

def exported(site, archive):
    """{id: sha256 of the bytes that the archive gives back}"""
    # Its syncs cost nothing in memory.
    with tempfile.TemporaryDirectory(prefix='mm-test-', dir='/dev/shm' if os.path.isdir('/dev/shm') else site.root) as to:
        site.run('mm-export', '--archive', archive, '--to', to)
        sums = {}
        with open(os.path.join(to, 'manifest.jsonl')) as f:
            for m in map(json.loads, f):
                with open(os.path.join(to, m['path']), 'rb') as message:
                    sums[m['id']] = sha256(message.read())
    return sums

def audited(site):
    """The log verifies, and goes on from where it ended at the last call."""
    head = getattr(site, 'head', None)
    site.head = site.run('mm-audit', 'verify', *(['--anchor', head] if head else [])).strip().split('\n')[-1]

def whole(site, acked, unanswered=None, archives=('corp',), maybe=(), gone=(), word=None, deep=True):
    """Nothing acknowledged is missing, changed or there twice; nothing is there that nobody sent; and, if it goes `deep`, each message
    is given back byte by byte and found by `word`, which all have; store, index and audit log agree. Returns the rows. Raises
    AssertionError."""
    rows = rows_of(site, archives)
    sums = {r['id']: r['sha256'] for r in rows}
    equal([i for i, digest in acked.items() if i not in gone and sums.get(i, digest if i in maybe else None) != digest][:5], [], 'lost')
    equal(len(rows), len(sums), 'twice')
    equal([i for i in gone if i in sums][:5], [], 'not gone')
    if unanswered is not None:
        more = collections.Counter(d for i, d in sums.items() if i not in acked) - collections.Counter(unanswered)
        equal(list(more)[:5], [], 'nobody sent')
    for archive in archives if deep else ():
        mine = {r['id']: r['sha256'] for r in rows if r['archive'] == archive}
        equal(exported(site, archive) if mine else {}, mine, 'lost or changed in the store')
        if word:
            equal(site.count(word, archive), len(mine), 'found in ' + archive)
    status = site.status()
    equal((status['spooled'], status['failed']), (0, 0), 'spooled, failed')
    if deep:
        equal(site.verify()['problems'], 0, 'verify: ' + site.stderr)
        audited(site)
    # LSan can't work under strace, and says so where an injected fault kept it from reading that it is switched off.
    log = re.sub(r'==\d+==(LeakSanitizer has encountered a fatal error|HINT: LeakSanitizer does not work under ptrace)', '', site.tail(1 << 22))
    check('Sanitizer' not in log and 'runtime error' not in log, log[-3000:])
    return rows

def at_rest(site, status):
    """Every file of a directory that nobody has open belongs to something: {path: sha256} of those that never change."""
    files = {os.path.relpath(p, site.data): p for p in site.files()}
    equal([f for f in files if not NAMES.fullmatch(f)], [], 'orphans')
    equal([f for f, p in files.items() if f.endswith('.big') and os.path.getsize(p)], [], 'large messages that are archived')
    count = lambda *ends: sum(f.endswith(ends) and not f.startswith('queue/') for f in files)
    equal((count('.shard', '.db') - 1, count('.seg')), (status['shards'], status['segments']), 'files of shards, segments')
    return {f: sha256(open(p, 'rb').read()) for f, p in files.items() if f.endswith(('.seg', '.shard'))}

def recovered(site, acked, unanswered=None, again=False, **more):
    """mmd starts on what was left, and all of it is whole(); stopped, no file is left over. `again`: a second recovery changes
    nothing. Returns the rows; mmd doesn't run."""
    site.start()
    site.wait()
    rows = whole(site, acked, unanswered, **more)
    status = site.status()
    site.stop()
    files = at_rest(site, status)
    if again:
        site.start()
        site.wait()
        key = lambda r: r['id']
        equal(sorted(rows_of(site, more.get('archives', ('corp',))), key=key), sorted(rows, key=key), 'after a second recovery')
        site.stop()
        equal(at_rest(site, status), files, 'files after a second recovery')
    return rows

def must_lose(run, also=()):
    """The control: `run` with a guard taken out must find something lost, or one of the texts in `also` (it can't even start)."""
    try:
        run()
    except AssertionError as e:
        check(re.search('|'.join((r'(^|: )lost',) + also), str(e)), 'it failed otherwise: %s' % e)
        print('   control: ' + str(e)[:100].replace('\n', ' '))
        return
    raise AssertionError('the control lost nothing: the test sees nothing')
