#!/usr/bin/env python3
"""Bytes that are right in another place or were right before: blocks, pages, frames, chunks, entries, records, slots and whole files
change places, are cut, or give way to older copies of themselves. `verify` finds it, or docs/threat-model.md has the limit. A key ring
with one good copy of each slot is whole again; what is lost with both copies is named, and all else still opens."""
import fnmatch, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from rot import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)
ROUNDS = 40 if LONG else 2 # of each kind of harm

directory = Directory(rng)
whole = Reader(directory.site, directory.whole, 'reader')
answer = whole.command({'places': True})
places, anchor = answer['places'], answer['anchor']
whole.restore()
right = Verdict(whole.command({'ask': ASK}), whole.log, whole.entries())
whole.restore()
older = {os.path.relpath(p, directory.backlog): open(p, 'rb').read()
         for p in glob.glob(directory.backlog + '/**', recursive=True) if os.path.isfile(p)}

def verdict(ask=ASK):
    return Verdict(whole.command({'ask': ask}), whole.log, whole.entries(), right)

def files(pattern):
    """An open shard whose sealed form is there, too, is left over from a kill: either will do."""
    twice = {n[:-3] for n in whole.before if n.endswith('.db') and n[:-3] + '.shard' in whole.before}
    return sorted(n for n in whole.before if fnmatch.fnmatch(n, pattern) and whole.before[n] and n.split('.')[0] not in twice)

# ---- the key ring ----

SLOT = 512

def slots():
    content = whole.before['keys.a']
    return [i for i in range(1, len(content) // SLOT) if any(content[i * SLOT:(i + 1) * SLOT])]

def spoil(name, slot):
    whole.patch(name, slot * SLOT + rng.randrange(SLOT - 8), rng.randbytes(8))

def repaired(says):
    v = verdict(ASK[:1])
    equal(v.found, [], 'found')
    check(any(re.search(says, l) for l in v.repaired), '"%s" is not said: %s' % (says, v.log[-500:]))
    a, b = (open(os.path.join(whole.data, n), 'rb').read() for n in ('keys.a', 'keys.b'))
    check(a == b, 'the replicas')
    whole.restore()

@test
def every_slot_of_a_replica():
    for slot in [0] + slots():
        for name in ('keys.a', 'keys.b'):
            spoil(name, slot)
            repaired('%s: (the header|slot %d) was damaged' % (name, slot) if slot else name + ': the header was damaged')

@test
def a_replica_that_is_gone_empty_or_cut():
    for name in ('keys.a', 'keys.b'):
        os.remove(os.path.join(whole.data, name))
        repaired('damaged slots of the key ring were repaired')
        for size in (0, 100, SLOT, 40 * SLOT + 9):
            os.truncate(os.path.join(whole.data, name), size)
            repaired('damaged slots of the key ring were repaired')

@test
def both_replicas_in_different_slots():
    for _ in range(3):
        mine = rng.sample([0] + slots(), 6)
        for i, slot in enumerate(mine):
            spoil('keys.' + 'ab'[i % 2], slot)
        repaired('6 damaged slots')

@test
def both_replicas_in_the_same_slot():
    """That key is lost and named; all else opens, and nothing is removed: with the slot put back all is there again. Without the
    keys of control.db, of the audit log or of an archive nothing starts, and nothing is made in their place."""
    refused = 0
    for slot in slots():
        for name in ('keys.a', 'keys.b'):
            spoil(name, slot)
        v = verdict()
        check('slot %d of the key ring is damaged in both replicas' % slot in v.log, 'slot %d: %s' % (slot, v.log[-500:]))
        if not [k for k in v.facts if k[0] == 'bytes']:
            check(len(v.found) == 1 and v.found == v.told, 'slot %d: %r' % (slot, v.found))
            refused += 1
        else:
            check(any('slot %d ' % slot in f for f in v.found), 'slot %d: verify: %r' % (slot, v.found))
        equal([w for w in v.wrong if w[0][0] != 'hits'], [], 'slot %d: wrong' % slot)
        lost = len([k for k in v.missing if k[0] == 'bytes'])
        check(not lost or len(v.found) > 1 or v.told, 'slot %d: %d messages are missing: %r' % (slot, lost, v.found))
        whole.write('keys.a', whole.before['keys.a'])
        os.remove(os.path.join(whole.data, 'keys.b'))
        v = verdict()
        equal((v.found, v.missing, v.wrong), ([], [], []), 'slot %d put back' % slot)
        whole.restore()
    equal(refused, 2 + len(ARCHIVES), 'slots without which nothing starts')

# ---- what moves ----

def swap(x, y):
    """x and y: (file, offset, bytes)."""
    n = min(x[2], y[2])
    a, b = (whole.before[f][at:at + n] for f, at, _ in (x, y))
    whole.patch(x[0], x[1], b)
    whole.patch(y[0], y[1], a)

def synced_frame(name):
    ends = [p['frame'] for p in places if p['file'] == name and p['commit']]
    return ends[-2] if len(ends) > 1 else -1

def newer_pages(wal):
    frames = [p for p in places if p['file'] == wal]
    last = max([p['frame'] for p in frames if p['commit']], default=-1)
    return {p['page'] for p in frames if p['frame'] <= last}

def units(kind):
    """All parts of a kind that may change places: (file, offset, bytes)."""
    if kind == 'block':
        return [(p['file'], p['at'], p['bytes']) for p in places if 'block' in p and p['live']]
    if kind == 'frame':
        # The last transaction may be torn, and without the frame that ends the one before nothing proves that it was synced (T660).
        return [(p['file'], p['at'], p['bytes']) for p in places if 'frame' in p and p['frame'] < synced_frame(p['file'])]
    if kind == 'page':
        # Those that a WAL has anew are written again from there.
        return [(f, at, 8192) for f in files('index/*/*.db') + files('control.db') for at in range(0, len(whole.before[f]), 8192)
                if not (f + '-wal' in whole.before and f != 'control.db') and at // 8192 + 1 not in newer_pages(f + '-wal')]
    if kind == 'chunk':
        return [(f, at, 700) for f in files('index/*/*.shard') for at in range(64, len(whole.before[f]) - 700, 700)]
    if kind == 'entry':
        return [(f, e.at, e.bytes) for f in files('audit/*') for e in audit_entries(whole.before[f]) if e.number <= anchor]
    return [(n, s * SLOT, SLOT) for n in ('keys.a', 'keys.b') for s in slots()]

def moved(kind, same_file):
    all_units = units(kind)
    for _ in range(1000):
        x, y = rng.sample(all_units, 2)
        if (x[0] == y[0]) == same_file and whole.before[x[0]][x[1]:x[1] + x[2]] != whole.before[y[0]][y[1]:y[1] + y[2]]:
            swap(x, y)
            return '%s %s+%d and %s+%d' % (kind, x[0], x[1], y[0], y[1])
    raise Skip('no two of kind ' + kind)

def copied(kind):
    """One over another, which is not the same: a slot is so in both replicas."""
    while True:
        x, y = rng.sample(units(kind), 2)
        n = min(x[2], y[2])
        over = whole.before[y[0]][y[1]:y[1] + n]
        if over != whole.before[x[0]][x[1]:x[1] + n]:
            break
    whole.patch(x[0], x[1], over)
    return '%s %s+%d over %s+%d' % (kind, y[0], y[1], x[0], x[1])

def judge(what, ring=False):
    v = verdict()
    # A log that was cut goes on with other entries under the same numbers.
    cut = any('audit' in f for f in v.found)
    wrong = [w for w in v.wrong if w[0][0] != 'hits' and not (cut and w[0][0] == 'entry')]
    whole.restore()
    if wrong:
        return '%s: wrong: %r' % (what, wrong[:2])
    if not v.found and not (ring and v.repaired):
        return '%s: nothing is said, missing %r: %s' % (what, v.missing[:3], v.log[-300:])
    return None

def all_of(problems):
    problems = [p for p in problems if p]
    [print('   ' + p[:1000]) for p in problems if os.environ.get('MM_SHOW')]
    equal(problems[:3], [], '%d not as promised' % len(problems))

KINDS = ('block', 'frame', 'page', 'chunk', 'entry', 'slot')

@test
def parts_that_change_places():
    all_of(judge(moved(kind, same), kind == 'slot') for kind in KINDS for same in (True, False) for _ in range(ROUNDS))

@test
def parts_that_are_copied_over_others():
    all_of(judge(copied(kind), kind == 'slot') for kind in KINDS for _ in range(ROUNDS))

WHOLE_FILES = ('seg/*/*', 'index/*/*.shard', 'index/*/*.db', 'audit/*', 'index/*/*.db-wal')

def exchange(a, b):
    whole.write(a, whole.before[b])
    whole.write(b, whole.before[a])
    return 'files %s and %s' % (a, b)

def pairs(pattern):
    # Pages that a WAL has anew are read from there.
    names = [n for n in files(pattern) if n + '-wal' not in whole.before]
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1:]]

@test
def files_that_change_places():
    all_of(judge(exchange(*rng.choice(pairs(p)))) for p in WHOLE_FILES for _ in range(ROUNDS) if pairs(p))

@test
def files_under_other_names():
    """A copy beside the original."""
    def copy(name):
        other = re.sub(r'(\d|[a-f])\.', lambda m: '%x.' % ((int(m.group(1), 16) + 1) % 10), name)
        whole.write(other, whole.before[name])
        return 'copy %s as %s' % (name, other)
    all_of(judge(copy(rng.choice(files('seg/*/*')))) for _ in range(ROUNDS))

def cut(name):
    size = len(whole.before[name])
    if name.endswith('.seg'): # directory and footer are made anew from the blocks
        size = max(p['at'] + p['bytes'] for p in places if p['file'] == name)
    if name.startswith('audit/'): # what is behind the last checkpoint, or torn already, may go
        size = max([e.at + e.bytes for e in audit_entries(whole.before[name]) if e.number <= anchor], default=128)
    # A few bytes too: a box, not a whole part.
    to = rng.choice([rng.randrange(size), max(0, size - rng.randrange(1, 40))])
    os.truncate(os.path.join(whole.data, name), to)
    return 'cut %s to %d of %d' % (name, to, size)

@test
def files_that_are_cut():
    # A WAL may have the end of an open shard anew.
    all_of(judge(cut(rng.choice([n for n in files(p) if n == 'control.db' or n + '-wal' not in whole.before])))
           for p in ('seg/*/*', 'index/*/*.shard', 'index/*/*.db', 'audit/*', 'control.db') for _ in range(ROUNDS * 3))

@test
def files_that_are_gone():
    def gone(name):
        os.remove(os.path.join(whole.data, name))
        return 'removed ' + name
    all_of(judge(gone(rng.choice(files(p)))) for p in ('seg/*/*', 'index/*/*.shard', 'index/*/*.db', 'audit/*', 'control.db')
           for _ in range(ROUNDS))

# ---- the spool ----

spool = Reader(directory.site, directory.backlog, 'spool')
accepted = spool.command({'spool': True})['records']
records = [p for p in spool.command({'places': True})['places'] if 'record' in p]
spool.restore()

def judge_spool(what):
    """All accepted mail is read as it was, or that some is not is told."""
    a = spool.command({'spool': True})
    spool.restore()
    wrong = [i for i, sha in a['records'].items() if accepted.get(i) != sha]
    lost = [i for i in accepted if i not in a['records']]
    if wrong or (lost and not a['damage'] and 'open' not in a):
        return '%s: wrong %r, %d lost: %s' % (what, wrong, len(lost), spool.log[-500:])
    return None

def attested():
    """Records that a later one proves to have been synced."""
    return [p for p in records if any(r['file'] == p['file'] and r['synced'] > p['at'] for r in records)]

@test
def records_of_the_spool_that_move():
    def over(x, y):
        spool.patch(x['file'], x['at'], spool.before[y['file']][y['at']:y['at'] + min(x['bytes'], y['bytes'])])
        return 'record %d over %d' % (y['record'], x['record'])
    def both(x, y):
        return over(x, y) + ', ' + over(y, x)
    all_of(judge_spool(how(*rng.sample(attested(), 2))) for how in (over, both) for _ in range(5 * ROUNDS))

@test
def files_of_the_spool_that_move_or_are_cut():
    live = sorted({p['file'] for p in records})
    big = ['spool/%08d.big' % p['big'] for p in records if 'big' in p]
    check(len(live) > 1 and big, 'the spool has only %r, %r' % (live, big))
    def exchange(a, b):
        spool.write(a, spool.before[b])
        spool.write(b, spool.before[a])
        return 'files %s and %s' % (a, b)
    def instead(a, b):
        spool.write(a, spool.before[b])
        return '%s in place of %s' % (b, a)
    def cut(name):
        size = max([p['at'] + p['bytes'] for p in attested() if p['file'] == name], default=len(spool.before[name]))
        to = rng.randrange(4096, size)
        os.truncate(os.path.join(spool.data, name), to)
        return 'cut %s to %d' % (name, to)
    def gone(name):
        os.remove(os.path.join(spool.data, name))
        return 'removed ' + name
    problems = [judge_spool(exchange(*live[:2])), judge_spool(instead(*live[:2])), judge_spool(instead(*live[:2][::-1])),
                judge_spool(instead(big[0], live[0])), judge_spool(gone(big[0]))]
    all_of(problems + [judge_spool(cut(n)) for n in [live[0], big[0]] for _ in range(3 * ROUNDS)])

# ---- older copies ----

def put_back(*names):
    """Copies of before the last mail was archived."""
    for n in names:
        if n in older:
            whole.write(n, older[n])
        elif n in whole.before:
            os.remove(os.path.join(whole.data, n))
    return 'older ' + ', '.join(names)

def changed(pattern):
    return [n for n in files(pattern) if older.get(n) not in (None, whole.before[n])]

@test
def older_copies_of_files():
    print('   changed since: %s' % changed('*'))
    all_of([judge(put_back(n)) for n in changed('seg/*/*') + changed('audit/*')])
    all_of([judge(put_back(n, n + '-wal')) for n in changed('index/*/*.db')])
    all_of([judge(put_back('keys.a', 'keys.b'))])
    all_of([judge(put_back(*(n for n in files('*') if n.startswith('index/')), *(n for n in older if n.startswith('index/'))))])

@test
def an_older_copy_of_the_control_database():
    """Found, said at the start, and for ever in the audit log; mail is taken and found as before. Whatever changed in it since an
    entry of the log: here no more than a checkpoint's positions."""
    what = put_back('control.db', 'control.db-wal')
    v = verdict()
    check('control.db is an older copy' in v.log, '%s: at the start: %s' % (what, v.log[-500:]))
    check(any(f.startswith('control.db: an older copy') for f in v.found), '%s: verify: %r' % (what, v.found))
    equal([w for w in v.wrong], [], what)
    equal([k for k in v.missing if k[0] in ('row', 'bytes', 'entry')], [], what)
    again = verdict()
    check('control.db is an older copy' not in again.log and any('control.db' in f for f in again.found),
          'it is said once, and verify goes on saying it: %r: %s' % (again.found, again.log[-500:]))
    whole.restore()
    equal([f for f in verdict().found if 'control.db' in f], [], 'the newer one')
    whole.restore()

# ---- the audit log, entry by entry ----

ENTRIES = 1000
audit = None

@test
def a_log_of_a_thousand_entries():
    global audit
    missing = ENTRIES - whole.entries()
    answer = whole.command({'ask': [{'op': 'search', 'archive': 'corp', 'mode': 'count', 'query': 'meaning'}] * missing})
    check('open' not in answer, answer)
    audit = Reader(directory.site, whole.data, 'audit')
    check(audit.entries() >= ENTRIES, audit.entries())
    equal(audit.command({'audit': True})['entries'], audit.entries(), 'entries')
    audit.restore()
    whole.restore()

def edits(c, es, i):
    """The file with entry i changed in each way: (how, its bytes)."""
    e, end = es[i], es[i].at + es[i].bytes
    bit = e.at + rng.randrange(e.bytes)
    yield 'edited', c[:bit] + bytes([c[bit] ^ 1 << rng.randrange(8)]) + c[bit + 1:]
    yield 'deleted', c[:e.at] + c[end:]
    yield 'inserted', c[:e.at] + c[es[rng.randrange(len(es))].at:][:e.bytes] + c[e.at:]
    yield 'cut before', c[:e.at]
    yield 'cut inside', c[:e.at + rng.randrange(1, e.bytes)]
    if i + 1 < len(es):
        after = es[i + 1]
        yield 'doubled', c[:end] + c[e.at:]
        yield 'reordered', c[:e.at] + c[after.at:after.at + after.bytes] + c[e.at:end] + c[after.at + after.bytes:]

@test
def every_change_of_the_log_is_found():
    """Also its last entries: the log was closed, so the control database knows its head."""
    check(audit, 'there is no log')
    name = max(n for n in audit.before if n.startswith('audit/'))
    content, bad, changes = audit.before[name], [], 0
    entries = audit_entries(content)
    for i in range(len(entries)) if LONG else sorted(rng.sample(range(len(entries)), 120) + [0, len(entries) - 1]):
        for how, changed in edits(content, entries, i):
            if changed == content:
                continue
            audit.write(name, changed)
            said = audit.command({'audit': True}).get('open', '')
            changes += 1
            if not re.search('audit (file|log)', said):
                bad.append('entry %d %s: %r' % (entries[i].number, how, said))
            audit.restore()
    print('   %d changes' % changes)
    equal(bad[:3], [], '%d of %d not found' % (len(bad), changes))
    audit.close()

@test
def the_reader_has_nothing_to_complain_of():
    whole.close()
    spool.close()

done()
