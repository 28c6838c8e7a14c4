#!/usr/bin/env python3
"""Bit rot: one bit flips somewhere in a data directory, thousands of times, every kind of file as often as every other. `verify` finds
it and names file and place, or the key ring repairs it, or it can do no harm for one of the REASONS, which docs/formats.md has too. It
is never a crash, and no reader says what is not so. The control: the same in a build that doesn't encrypt goes unseen."""
import collections, fnmatch, os, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from rot import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)
FLIPS = int(os.environ.get('MM_FLIPS', 100000 if LONG else 1100))
# Each pass has a directory of its own; the readers of the first are under ASan.
PASSES = [('asan', FLIPS // 10)] + [('clang', FLIPS * 3 // 10)] * 3 if LONG else [('asan', FLIPS)]

# Why a flip may be seen by nobody: docs/formats.md, "Bits that nobody misses".
REASONS = ('no key', 'padding', 'other header', 'last group', 'last transaction', 'older log', 'newer page', 'sealed since', 'torn entry',
           'not anchored', 'same digit')
KINDS = [ # name, of which directory, files
    ('segment', 'whole', 'seg/*/*'), ('sealed shard', 'whole', 'index/*/*.shard'), ('open shard', 'whole', 'index/*/*.db'),
    ('WAL of a shard', 'whole', 'index/*/*.db-wal'), ('control.db', 'whole', 'control.db'), ('its WAL', 'whole', 'control.db-wal'),
    ('audit log', 'whole', 'audit/*'), ('keys.a', 'whole', 'keys.a'), ('keys.b', 'whole', 'keys.b'),
    ('master key', 'whole', '../data.key'), ('archived spool', 'whole', 'spool/*'), ('spool', 'backlog', 'spool/*.spool'),
    ('large message', 'backlog', 'spool/*.big')]

class Map:
    """Of one directory: what lies where, and where a flip is harmless."""
    def __init__(self, reader):
        self.files = reader.before
        answer = reader.command({'places': True})
        check('open' not in answer, answer)
        self.places = collections.defaultdict(list)
        for p in answer['places']:
            self.places[p['file']].append(p)
        self.anchor = answer['anchor']
        reader.restore()

    def at(self, name, at):
        return next((p for p in self.places[name] if p['at'] <= at < p['at'] + p['bytes']), None)

    def parts(self, name):
        """(from, to) of its parts, however small: headers, boxes, tables, padding, footers."""
        size, cuts = len(self.files[name]), {0, 64, 128, 512, 4096}
        cuts |= {size, size - 384, size - 128, size - 4096, size - 3584}
        for p in self.places[name]:
            cuts |= {p['at'], p['at'] + 64, p['at'] + 72, p['at'] + p['bytes'] - 16, p['at'] + p['bytes']}
        cuts = sorted(c for c in cuts if 0 <= c <= size)
        return list(zip(cuts, cuts[1:]))

    def in_wal(self, name):
        """Pages that a committed frame has."""
        frames = self.places[name + '-wal']
        last = max([i for i, f in enumerate(frames) if f['commit']], default=-1)
        return {f['page'] for f in frames[:last + 1]}

    def reason(self, name, at):
        if name.endswith('.seg'):
            p = self.at(name, at)
            return 'no key' if p and not p['live'] else None
        if name.endswith(('.db', '.db-wal')):
            if name.rsplit('.', 1)[0] + '.shard' in self.files:
                return 'sealed since'
            return self.wal_reason(name, at) if name.endswith('-wal') else 'newer page' if at // 8192 + 1 in self.in_wal(name) else None
        if name.startswith('spool/'):
            return self.spool_reason(name, at)
        if name.startswith('audit/'):
            return self.audit_reason(name, at)
        return None

    def wal_reason(self, name, at):
        frames, p = self.places[name], self.at(name, at)
        if at < 72:
            return None
        if not p:
            return 'older log'
        ends = [f['frame'] for f in frames if f['commit']]
        synced = ends[-2] if len(ends) > 1 else -1
        # Of the frame that ends the one before it the header has to be there.
        return 'last transaction' if p['frame'] > synced or (p['frame'] == synced and at < p['at'] + 64) else None

    def spool_reason(self, name, at):
        places = self.places[name]
        if name.endswith('.big'):
            used = {'spool/%08d.big' % p['big'] for f in self.places for p in self.places[f] if 'big' in p}
            return None if name in used else 'no key'
        if not places:
            return 'no key'
        size, records = len(self.files[name]), [p for p in places if 'record' in p]
        if at < 512 or size - 4096 <= at < size - 4096 + 512:
            return 'other header'
        p = self.at(name, at)
        if not p or at < 4096:
            return 'padding'
        return None if any(r['synced'] > p['at'] for r in records) else 'last group'

    def audit_reason(self, name, at):
        later = [f for f in sorted(self.files) if f.startswith('audit/') and f > name]
        entries = audit_entries(self.files[name])
        if later: # its header says where the chain ended here
            return 'torn entry' if at >= int.from_bytes(self.files[later[0]][32:40], 'little') else None
        e = next((e for e in entries if e.at <= at < e.at + e.bytes), None)
        known = max([self.anchor] + [e.synced for e in entries])
        return 'not anchored' if e and e.number > known else None

MAPS, RIGHT = {}, {}
PASSED = set() # files of the backlog that mmd was killed with before it removed them: all in them is archived, nobody reads them

def place(name, at, p):
    """What has to be named: file and place."""
    base = os.path.basename(name)
    if name.endswith('.seg'):
        serial = '%x' % int(base[:16], 16)
        size = len(MAPS['whole'].files[name])
        return serial, 'block %d' % p['block'] if p else 'header' if at < 128 else 'directory|footer'
    if name.endswith('.shard'):
        return base, 'chunk|table|header|format|no sealed database'
    if name.endswith('-wal'):
        return base, 'frame %d ' % p['frame'] if p else 'header'
    if name.endswith('.db'):
        return base, 'page %d is|%s' % (at // 8192 + 1, 'first page' if at < 8192 else '-')
    if name.startswith('audit/'):
        return 'audit (file %s|log)' % base[:8], r'byte \d+|header|cut'
    if name.startswith('keys'):
        return name, 'slot %d |%s' % (at // 512, 'header' if at < 512 else '-')
    if name.endswith('.key'):
        return 'master key|data.key', ''
    return base.split('.')[0], 'at %d|header|%s' % (at, r'at \d+')

def judge(kind, which, name, at, reader):
    """(what became of the flip, None or what is wrong with that)"""
    m = MAPS[which]
    reason = m.reason(name, at)
    if which == 'backlog':
        return judge_spool(m, reason, name, at, reader)
    v = Verdict(reader.command({'ask': ASK}), reader.log, reader.entries(), RIGHT[which])
    hits = [w for w in v.wrong if w[0][0] == 'hits']
    # An entry behind the last checkpoint that is torn gives its number to the next.
    wrong = [w for w in v.wrong if w not in hits and not (reason == 'not anchored' and w[0][0] == 'entry' and w[0][1] > m.anchor)]
    if wrong:
        return 'wrong', 'wrong: %r' % (wrong[:2],)
    said = v.found + v.repaired
    if said:
        file, where = place(name, at, m.at(name, at))
        if not reason and not any(re.search(file, s) and re.search(where, s) for s in said):
            return 'unnamed', '%s, %s not named: %r' % (file, where, said[:4])
        return 'found' if v.found else 'repaired', None
    if name.endswith('.key') and reader.before[name][at] ^ 0x20 == open(os.path.join(reader.data, name), 'rb').read()[at]:
        reason = 'same digit'
    if not reason:
        return 'unseen', 'nothing is said: %s' % v.log[-300:]
    if v.missing or hits:
        return 'lost', '%s, but missing: %r' % (reason, v.missing[:3] + hits)
    return reason, None

def judge_spool(m, reason, name, at, reader):
    a = reader.command({'spool': True})
    right = RIGHT['backlog']
    wrong = [i for i, sha in a['records'].items() if right.get(i) != sha]
    if wrong:
        return 'wrong', 'wrong: %r' % wrong
    said = a['damage'] + ([a['open']] if 'open' in a else [])
    if said:
        file, where = place(name, at, m.at(name, at))
        named = any(re.search(file, s) and re.search(where, s) for s in said)
        return ('found', None) if named or reason else ('unnamed', '%s, %s not named: %r' % (file, where, said[:4]))
    lost = [i for i in right if i not in a['records']]
    if not reason or (lost and reason != 'last group'):
        return 'unseen', '%s: nothing is said, %d records are lost: %s' % (reason, len(lost), reader.log[-300:])
    return reason, None

def files_of(which, pattern):
    """What matches and isn't empty; of the spool's backlog only what holds mail: spares are among the archived ones."""
    m = MAPS[which]
    return sorted(f for f in m.files if fnmatch.fnmatch(f, pattern) and m.files[f] and (
        which == 'whole' or (f not in PASSED and m.reason(f, 4096) != 'no key')))

def draw(n, kinds):
    for _ in range(n):
        kind, which, pattern = rng.choice(kinds)
        name = rng.choice(files_of(which, pattern))
        # Anywhere; and as often somewhere in a part of it.
        part = rng.choice([(0, len(MAPS[which].files[name])), rng.choice(MAPS[which].parts(name))])
        yield kind, which, name, rng.randrange(*part), 1 << rng.randrange(8)

def flip_all(flips, readers, tally, bad):
    for kind, which, name, at, bit in flips:
        r = readers[which]
        r.patch(name, at, bytes([r.before[name][at] ^ bit]))
        what = '%s: %s+%d of %d ^%02x' % (kind, name, at, len(r.before[name]), bit)
        try:
            verdict, problem = judge(kind, which, name, at, r)
        except (AssertionError, OSError, ValueError) as e: # the reader has ended
            bad.append('%s: %s' % (what, e))
            tally[kind, 'died'] += 1
            return
        tally[kind, verdict] += 1
        if problem:
            bad.append('%s: %s' % (what, problem))
        r.restore()

def run_flips(site, dirs, n, kinds=KINDS, workers=2):
    """Flips `n` bits; (how often what became of which kind, what is wrong)."""
    tally, bad = collections.Counter(), []
    flips = list(draw(n, kinds))
    all_readers = [{k: Reader(site, d, '%s-%d' % (k, w)) for k, d in dirs.items()} for w in range(workers)]
    threads = [threading.Thread(target=flip_all, args=(flips[w::workers], all_readers[w], tally, bad)) for w in range(workers)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return tally, bad, all_readers

def not_missed(r, name):
    """Whether nothing is lost or said when all records of a spool file are gone."""
    if len(r.before[name]) <= 8192:
        return False
    r.patch(name, 4096, bytes(len(r.before[name]) - 8192))
    a = r.command({'spool': True})
    r.restore()
    return a['records'] == RIGHT['backlog'] and not a['damage'] and 'open' not in a

def learn(site, dirs):
    """What is right, and where what lies."""
    for which, data in dirs.items():
        r = Reader(site, data, 'learn-' + which)
        MAPS[which] = Map(r)
        if which == 'backlog':
            RIGHT[which] = r.command({'spool': True})['records']
            equal([l.id for l in site.known[-29:] if l.id not in RIGHT[which]], [], 'posted, and not in the spool')
            r.restore()
            PASSED.clear()
            PASSED.update(f for f in r.before if f.endswith('.spool') and not_missed(r, f))
        else:
            RIGHT[which] = v = Verdict(r.command({'ask': ASK}), r.log, r.entries())
            equal((v.found, v.told, v.repaired), ([], [], []), 'the whole directory')
        r.restore()
        r.close()

def tell(tally):
    for kind in dict.fromkeys(k for k, _ in sorted(tally)):
        print('   %-15s %s' % (kind, ', '.join('%d %s' % (n, v) for (k, v), n in sorted(tally.items()) if k == kind)))

def all_kinds(build_name):
    """A directory with files of every kind: {which: path}, and its site."""
    d = Directory(rng, build_name)
    dirs = {'whole': d.whole, 'backlog': d.backlog}
    learn(d.site, dirs)
    for kind, which, pattern in KINDS:
        check(files_of(which, pattern), 'no file of kind ' + kind)
    check(any(p.get('live') is False for places in MAPS['whole'].places.values() for p in places), 'no block without a key')
    return d.site, dirs

@test
def the_reasons_are_in_the_manual():
    formats = open(os.path.join(ROOT, 'docs', 'formats.md')).read()
    equal([r for r in REASONS if '| %s |' % r not in formats], [], 'reasons that docs/formats.md has not')

@test
def a_flipped_bit_is_found_repaired_or_harmless():
    total = collections.Counter()
    for build_name, flips in PASSES:
        site, dirs = all_kinds(build_name)
        tally, bad, readers = run_flips(site, dirs, flips)
        total += tally
        [print('BAD', b[:700]) for b in bad if os.environ.get('MM_SHOW')]
        equal(bad[:5], [], '%d of %d not as promised' % (len(bad), flips))
        for r in readers:
            [x.close() for x in r.values()]
        shutil.rmtree(site.root)
    tell(total)
    equal(total.total(), sum(n for _, n in PASSES), 'flips')

@test
def the_control_without_encryption_does_not_see_them():
    control = Directory(rng, 'plain')
    learn(control.site, {'whole': control.whole})
    kinds = [k for k in KINDS if k[0] in ('segment', 'sealed shard', 'open shard', 'WAL of a shard', 'control.db', 'its WAL')]
    tally, bad, _ = run_flips(control.site, {'whole': control.whole}, 150, kinds)
    tell(tally)
    unseen = sum(n for (_, what), n in tally.items() if what in ('unseen', 'wrong'))
    check(unseen > 20, 'the control saw nearly all: %r' % tally)
    print('   control: %d of 150 flips went unseen' % unseen)

done()
