"""tests/lib/invariants.py - what must hold after every recovery, whatever was killed or lost its power before it

One checker for all crash and power tests. `acked` is {id: sha256} of what was answered with 250; `unanswered` is how many messages
were under way without an answer: so many may be there besides."""
import re

from mm import *

# What a data directory holds at rest; a name that is none of these is an orphan.
NAMES = re.compile(r'''lock|mmd\.sock|keys\.[ab]|(control\.db|index/\d+/\d{8}\.db)(-wal|-shm|-journal)?|audit/\d{8}\.log
                       |seg/\d+/[0-9a-f]+\.seg|index/\d+/\d{8}\.shard|spool/\d{8}\.(spool|big|spare)''', re.X)

def whole(site, acked, unanswered=0, verify=True):
    """Nothing acknowledged is missing, changed or there twice; not more is there than was sent; store, index and audit log agree. Returns the rows. Raises AssertionError."""
    rows = site.rows()
    sums = {r['id']: r['sha256'] for r in rows}
    equal([i for i in acked if sums.get(i) != acked[i]], [], 'lost')
    equal(len(rows), len(sums), 'twice')
    check(len(rows) <= len(acked) + unanswered, '%d rows for %d acknowledged and %d without an answer' %
          (len(rows), len(acked), unanswered))
    status = site.status()
    equal((status['spooled'], status['failed']), (0, 0), 'spooled, failed')
    if verify:
        equal(site.verify()['problems'], 0, 'verify: ' + site.stderr)
        site.run('mm-audit', 'verify')
    log = site.tail(1 << 22)
    check('AddressSanitizer' not in log and 'runtime error' not in log, log[-3000:])
    return rows

def same_again(site, rows):
    """A second recovery changes nothing. mmd must run, and runs afterwards."""
    site.stop()
    orphans = [os.path.relpath(p, site.data) for p in site.files()]
    equal([o for o in orphans if not NAMES.fullmatch(o)], [], 'orphans')
    site.start()
    site.wait()
    key = lambda r: r['id']
    equal(sorted(site.rows(), key=key), sorted(rows, key=key), 'after a second recovery')
