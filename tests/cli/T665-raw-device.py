#!/usr/bin/env python3
"""What is past its retention, or erased, is gone from the device itself. mmd works on a file system of its own (ext4 in a file; in
./check long xfs too), and the key ring and the whole directory are copied again and again. After the sweep no copy opens anything of
what is gone with the key ring that is left; on the raw device lie neither the destroyed keys, wrapped or not, nor a word. Controls: the
same program opens the same copies with the key ring of then; the same search finds the slots of keys that live, all in a build without
encryption, and the destroyed slots in the journal of a file system that journals data too, which the threat model rules out."""
import mmap, os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import Disk, children_of
from forget import *

CONFIG = {'index': {'shard_messages': 16}, 'spool': {'file_bytes': 262144, 'min_free': 1 << 20}}
KEY_LOT, KEY_SHARD, KEY_SPOOL = 2, 3, 4
WINDOW, PIECE, ENOUGH = 4, 1 << 20, 8
EACH, FEW = 60 if LONG else 8, 4 # letters a day and archive
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
print('seed %d' % seed)
words = Words(seed)

def on_device(path, needles):
    """{needle: {offset}} of those that lie anywhere on a device, ENOUGH of each. Wherever a needle begins, one of its first four
    windows of four bytes lies at a multiple of four: only these are looked up."""
    windows = {}
    for n in needles:
        for i in range(WINDOW):
            windows.setdefault(int.from_bytes(n[i:i + WINDOW], sys.byteorder), []).append(n)
    wanted, hits = frozenset(windows), {}
    with open(path, 'rb') as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as device:
        for at in range(0, len(device), PIECE):
            piece = device[at:at + PIECE]
            if piece == bytes(len(piece)):
                continue
            for n in {n for w in wanted.intersection(memoryview(piece).cast('I')) for n in windows[w]}:
                low = max(0, at - len(n))
                found_at = device.find(n, low, at + PIECE + len(n))
                while found_at >= 0 and len(hits.setdefault(n, set())) < ENOUGH:
                    hits[n].add(found_at)
                    found_at = device.find(n, found_at + 1, at + PIECE + len(n))
    return hits

class Key:
    def __init__(self, kind, wrapped):
        self.kind, self.wrapped, self.plain = kind, wrapped, None

def ring(site, data):
    """The live keys of a directory: {id: Key}. docs/formats.md, "Key ring"."""
    raw, keys = open(os.path.join(data, 'keys.a'), 'rb').read(), {}
    for at in range(512, len(raw), 512):
        if raw[at:at + 4] == b'MMKS' and raw[at + 24] == 1:
            keys[int.from_bytes(raw[at + 16:at + 24], 'little')] = Key(raw[at + 25], raw[at + 72:at + 144])
    for line in open_all(site, data, '--only', 'keys')[0].split(b'\n')[:-1]:
        id, kind, plain = line.split()
        equal(keys[int(id)].kind, int(kind), 'kind of key %s' % id)
        keys[int(id)].plain = bytes.fromhex(plain.decode())
    return keys

class Copy:
    """The directory as it was, its keys, and which letters it had."""
    def __init__(self, life, name):
        self.path = os.path.join(life.site.root, 'copy-' + name)
        copy_of(life.site.data, self.path)
        self.name, self.keys, self.letters = name, ring(life.site, self.path), life.kept()

    def opened(self, site, keys_from=None):
        """What open_all prints of it: with its own key ring, or with that of another directory."""
        work = os.path.join(site.root, 'work')
        copy_of(self.path, work)
        for replica in ('keys.a', 'keys.b') if keys_from else ():
            shutil.copyfile(os.path.join(keys_from, replica), os.path.join(work, replica))
        return open_all(site, work)

class Life:
    def __init__(self, build_name='asan', kind='ext4', mib=96, **more):
        self.disk = Disk(kind, mib, CONFIG, build_name, make=Calendar, resources=RESOURCES, **more)
        self.site = self.disk.site.start()
        self.copies, self.keys, self.gone, self.clear = [], {}, [], []

    def kept(self):
        return [l for l in self.site.known if l not in self.gone]

    def look(self, some):
        if os.path.ismount(self.site.data):
            subprocess.run(['sync', '-f', self.site.data], check=True)
        return on_device(self.disk.image, some)

    def look_for_words(self, moment):
        hits = self.look([n for n, _, _ in needles(self.site.known)])
        self.clear += [(moment, kind, l.archive, sorted(hits[n])[0]) for n, l, kind in needles(self.site.known) if n in hits]

    def copy(self, name):
        self.copies.append(Copy(self, name))
        self.keys.update(self.copies[-1].keys)
        self.look_for_words(name)

    def day_of_mail(self, name, n):
        for archive in ('short', 'corp', 'legal'):
            self.site.post([Letter(words, archive, big=i == 0) for i in range(n)])
        self.site.wait()
        self.copy(name)

    def mail_that_waits(self, n):
        """Still in the spool when the copy is made: nobody parses it."""
        parsers = children_of(self.site.process.pid, 'mm-parse')
        for p in parsers:
            os.kill(p, signal.SIGSTOP)
        try:
            for archive in ('short', 'corp'):
                self.site.post([Letter(words, archive, big=i == 0) for i in range(n)])
            self.copy('waits')
        finally:
            for p in parsers:
                os.kill(p, signal.SIGCONT)
        self.site.wait()

    def days_of_mail(self, n):
        """Four days of it; a search; one message erased."""
        site = self.site
        self.mail_that_waits(n)
        for day in range(3):
            self.day_of_mail('day-%d' % day, n)
            site.next_day()
        self.day_of_mail('day-3', n)
        self.erased = [l for l in site.known if l.archive == 'corp'][2 * n + 1:2 * n + 2]
        searchable(site, self.erased)
        site.run('mm-retention', 'erase', '--archive', 'corp', '--reason', 'request 12', '--yes', self.erased[0].id)
        self.gone += self.erased
        self.copy('erased')

    def sweep(self, n):
        """What goes: two days of "short", one of "corp"."""
        first = self.site.known[0].day
        due = [l for l in self.kept() if l.archive == 'short' and l.day < self.site.day(-1) or l.archive == 'corp' and l.day == first]
        equal(len(due), 5 * n, 'due')
        searchable(self.site, due[:1])
        self.copy('before')
        report = self.site.purge()
        equal((report['messages_destroyed'], report['lots_destroyed']), (5 * n, 3), 'messages, lots')
        self.gone += due
        self.look_for_words('swept')
        self.copy('after')

    def dead(self):
        return {id: k for id, k in self.keys.items() if id not in self.copies[-1].keys}

    def keys_on_device(self, keys):
        """How often each wrapped key lies on the device, and which lie there unwrapped."""
        hits = self.look([k.wrapped for k in keys.values()] + [k.plain for k in keys.values()])
        return {id: len(hits.get(k.wrapped, ())) for id, k in keys.items()}, [id for id, k in keys.items() if k.plain in hits]

    def old_copies_stay_closed(self):
        """With the key ring of now: of no copy a word of what is gone, and of the last ones all that is kept."""
        closed = 0
        for c in self.copies:
            output, counts = c.opened(self.site, self.copies[-1].path)
            closed += counts['closed_blocks'] + counts['closed_pages']
            output = without_searches(output)
            equal(found(output, self.gone)[0][:3], [], 'with the new key ring the copy "%s" still shows' % c.name)
            if c.name in ('before', 'after'):
                equal(found(output, self.kept())[1][:3], [], 'with the new key ring the copy "%s" has lost' % c.name)
        return closed

    def device_is_clean(self, lots):
        """The file system is unmounted. Of the keys that are gone nothing lies there; each that lives lies there twice."""
        dead, live = self.dead(), self.copies[-1].keys
        kinds = [k.kind for k in dead.values()]
        equal(kinds.count(KEY_LOT), lots, 'lots destroyed')
        check(kinds.count(KEY_SHARD) > 2 and kinds.count(KEY_SPOOL) > 2, 'kinds of the destroyed keys: %r' % kinds)
        wrapped, plain = self.keys_on_device({**dead, **live})
        equal({id: dead[id].kind for id in dead if wrapped[id]}, {}, 'destroyed keys on the device')
        equal(plain, [], 'keys that are not wrapped')
        equal({id: wrapped[id] for id in live if wrapped[id] != 2}, {}, 'the control: keys that live')
        self.look_for_words('unmounted')
        equal(self.clear[:3], [], 'in the clear')
        print('   %d destroyed keys, %d live ones, %d words looked for' % (len(dead), len(live), len(needles(self.site.known))))

    def end(self):
        self.site.close_process()
        self.disk.unmount()
        self.site.close()

life = None

def main_life():
    if not life or not life.copies:
        raise Skip('there is no file system to look at')
    return life

@test
def days_of_mail_are_never_on_the_device_in_the_clear():
    global life
    life = Life()
    life.days_of_mail(EACH)
    equal(life.clear[:3], [], 'in the clear')
    life.site.sealed(2)

@test
def before_the_sweep_the_keys_are_on_the_device_and_open_everything():
    keys = main_life().copies[-1].keys
    wrapped, plain = life.keys_on_device(keys)
    equal({id: n for id, n in wrapped.items() if n != 2}, {}, 'a slot lies once in each replica, and nowhere else')
    equal(plain, [], 'keys that are not wrapped')
    totals = {}
    for c in life.copies:
        output, counts = c.opened(life.site)
        equal(found(without_searches(output), c.letters)[1][:3], [], 'the copy "%s" lacks' % c.name)
        totals = {k: totals.get(k, 0) + n for k, n in counts.items()}
    equal([k for k in ('blocks', 'pages', 'frames', 'chunks', 'terms', 'entries', 'records', 'bigs') if not totals[k]], [],
          'nothing opened of these')
    print('   %d copies: %r' % (len(life.copies), totals))

@test
def after_the_sweep_no_old_ciphertext_opens():
    main_life().sweep(EACH)
    check(life.old_copies_stay_closed() > 100, 'the copies had nothing that is closed now')

@test
def the_device_has_neither_the_destroyed_keys_nor_a_word():
    main_life().site.kill()
    life.disk.unmount()
    life.device_is_clean(4)

@test
def the_old_key_ring_with_the_old_copy_opens_all():
    for c in main_life().copies:
        output, _ = c.opened(life.site)
        equal(found(without_searches(output), c.letters)[1][:3], [], 'the copy "%s" lacks' % c.name)
        check(c.name == 'after' or set(c.letters) & set(life.gone), 'the copy "%s" has nothing that is gone' % c.name)

@test
def what_is_kept_is_there_and_only_searches_tell_of_the_rest():
    equal(main_life().disk.mount(), '', 'mount')
    life.site.start()
    searchable(life.site, life.kept()[::5])
    equal(life.site.verify()['problems'], 0, 'verify')
    life.site.stop()
    life.copy('stopped')
    output, _ = life.copies[-1].opened(life.site)
    equal(found(without_searches(output), life.gone)[0][:3], [], 'still there')
    equal(found(without_searches(output), life.kept())[1][:3], [], 'lost')
    kept_by_audit = {kind for _, _, kind, _, _ in found(output, life.gone)[0]}
    equal(kept_by_audit, set(KINDS), 'words of searches stay in the audit log')
    equal(life.clear[:3], [], 'in the clear')
    life.end()

def nor_has_it_under_xfs():
    xfs = Life(kind='xfs', mib=320)
    xfs.days_of_mail(EACH)
    xfs.sweep(EACH)
    xfs.old_copies_stay_closed()
    xfs.site.kill()
    xfs.disk.unmount()
    xfs.device_is_clean(4)
    xfs.end()

if LONG:
    test(nor_has_it_under_xfs)

@test
def the_control_without_encryption_is_caught():
    plain = Life('plain')
    plain.days_of_mail(FEW)
    moments = {c.name for c in plain.copies}
    equal({m for m, _, _, _ in plain.clear}, moments, 'moments at which words were found')
    equal({k for _, k, _, _ in plain.clear}, set(KINDS), 'kinds of words that were found')
    _, bare = plain.keys_on_device(plain.copies[-1].keys)
    equal(len(bare), len(plain.copies[-1].keys), 'keys found that are not wrapped')
    print('   control: %d finds in the clear' % len(plain.clear))
    plain.end()

@test
def a_journal_of_data_keeps_the_destroyed_keys():
    """What the threat model says of data=journal, and the control of the search: slots that were overwritten in place are found."""
    journal = Life('clang', mib=320, mkfs=['-J', 'size=128'], options='loop,data=journal')
    journal.days_of_mail(FEW)
    journal.sweep(FEW)
    dead = journal.dead()
    journal.site.stop()
    journal.disk.unmount()
    wrapped, plain = journal.keys_on_device(dead)
    print('   %d of %d destroyed keys are in the journal' % (sum(1 for id in dead if wrapped[id]), len(dead)))
    check(all(wrapped[id] for id in dead if dead[id].kind == KEY_LOT), 'the journal has no destroyed lot: %r' % wrapped)
    equal(plain, [], 'keys that are not wrapped')
    journal.look_for_words('unmounted')
    equal(journal.clear[:3], [], 'in the clear')
    journal.end()

done()
