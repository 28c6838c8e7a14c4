#!/usr/bin/env python3
"""SIGKILL at the n-th call that writes (before it, after it, in the middle of the bytes), of mmd, mm-smtpd, mm-parse and each tool, alone
and of the whole tree: while mail comes and is filed, shards are sealed, files imported, days of mail destroyed, messages erased, blocks
merged, the index is rebuilt; and often once more while that is recovered. Each time the next start makes everything whole
(tests/lib/invariants.py), and also ends the rebuild. The control: a build that answers 250 before the record is written must lose."""
import collections, functools, os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import Faulty, message
from forget import RESOURCES
from stops import *
import invariants

KILLS = int(os.environ.get('MM_COUNT', 10000 if LONG else 200))
RENEW = 25   # kills in one data directory
UNDER_ASAN = 8 # one of so many directories
ARCHIVES = ('legal', 'short')
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

# What a program does is killed in each of these; those of mm-import and others when they work without mmd.
CELLS = [(p, k) for p, kinds in {
    'mmd': KINDS, 'mm-smtpd': ('pwritev', 'write', 'send', 'fdatasync'), 'mm-parse': ('write',),
    'mmctl': ('pwritev', 'send', 'fsync', 'fdatasync', 'open', 'rename', 'unlink'),
    'mm-import': ('pwritev', 'write', 'send', 'fsync', 'fdatasync', 'open'),
    'mm-retention': ('pwritev', 'send', 'fsync', 'fdatasync', 'open', 'rename', 'unlink')}.items() for k in kinds]

class Victim:
    """A data directory that is killed again and again, and what is known to be in it."""
    def __init__(self, build_name):
        self.site = Site(build_name, resources=RESOURCES,
                         config={'index': {'shard_messages': 30}, 'spool': {'file_bytes': 1 << 20}, 'store': {'block_bytes': 16384}})
        self.plan = Plan(os.path.join(self.site.root, 'plan'))
        self.env = dict(self.site.env, **self.plan.env)
        self.acked, self.unanswered, self.rows = {}, [], []
        self.maybe, self.gone, self.folders = set(), set(), []

    # ---- what is done ----

    def post(self, most=6):
        """Two connections with some messages each; who is not answered goes away."""
        for _ in range(2):
            try:
                with Sender(self.site.port, timeout=20) as s:
                    for _ in range(rng.randrange(1, most)):
                        data = message('kill', rng.choice([300, 300, 300, 4000, 4000, 4000, 50000, 300000]), rng)
                        self.unanswered.append(sha256(data))
                        code, text = s.try_send(data, to=('a@%s.example' % rng.choice(['legal', 'legal', 'short']),))
                        if code == 250:
                            self.acked.update({message_id(text): sha256(data)}) # unless the reply was cut
                            self.unanswered.pop()
            except (OSError, smtplib.SMTPException, IndexError):
                pass

    def tool(self, *args):
        """(exit status, what it printed); it takes part in the plan."""
        p = subprocess.run([os.path.join(self.site.bin, args[0])] + list(args[1:]), env=self.env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        check(p.returncode in (0, -9) or self.plan.hit(), '%r: exit %d\n%s' % (args, p.returncode, (p.stderr + p.stdout[-1000:]).decode()))
        return p.returncode, p.stdout.decode('utf-8', 'replace')

    def load(self, folder):
        sums = [sha256(open(os.path.join(folder, n), 'rb').read()) for n in sorted(os.listdir(folder))]
        there = list(self.acked.values()) + self.unanswered
        self.unanswered += [d for d in sums if d not in there]
        for line in self.tool('mm-import', '--json', '--archive', 'legal', folder)[1].splitlines():
            row = json.loads(line) if line.endswith('}') else {}
            if row.get('outcome') == 'stored':
                digest = sums[int(os.path.basename(row['source']).split('.')[0])]
                self.acked[row['id']] = digest
                self.unanswered.remove(digest)

    def imports(self):
        folder = tempfile.mkdtemp(prefix='eml-', dir=self.site.root)
        for i in range(rng.randrange(1, 25)):
            with open(os.path.join(folder, '%02d.eml' % i), 'wb') as f:
                f.write(message('kill import', rng.choice([300, 3000]), rng))
        self.folders.append(folder)
        self.load(folder)

    def days_pass(self):
        self.site.advance(days=2)
        self.due = {r['id'] for r in self.rows if r['archive'] == 'short'}

    def purge(self):
        self.maybe |= self.due
        if self.tool('mm-retention', 'run')[0] == 0:
            self.gone |= self.due

    def erase(self):
        ids = {r['id'] for r in rng.sample(self.rows, min(2, len(self.rows))) if r['archive'] == 'legal'}
        self.maybe |= ids
        if ids and self.tool('mm-retention', 'erase', '--archive', 'legal', '--reason', 'test', '--yes', *ids)[0] == 0:
            self.gone |= ids

    def wait(self):
        self.tool('mmctl', 'wait', '--timeout', '20')

    def seal(self):
        self.tool('mmctl', 'seal')

    def repack(self):
        self.tool('mmctl', 'repack')

    def reindex(self):
        self.tool('mmctl', 'reindex')

    def apply(self):
        self.tool('mmctl', 'apply', os.path.join(self.site.root, 'resources.json'))

    # ---- how it is killed ----

    def prepare(self, scene):
        if scene.work in (Victim.purge, Victim.repack):
            self.days_pass()
        if scene.alone: # with something to do in the spool
            self.site.start()
            self.post(4)
            self.site.kill()

    def play(self, scene):
        """Until the kill, and whatever goes on behind it."""
        if scene.alone:
            scene.work(self)
            return
        t = Faulty(self.site, [], self.plan.env)
        dead = lambda: t.process.poll() is not None or self.plan.plan.over
        ready = t.ready()
        check(ready or self.plan.hit(), 'mmd is not ready\n' + t.said()[-3000:])
        for step in (self.post, lambda: scene.work(self), self.post):
            if ready and not dead():
                step()
        self.end(t, dead)

    def end(self, t, dead):
        if dead() or rng.random() < 0.3:
            self.site.close_process()
            self.site.process = None
            return
        status = t.stop(60)
        check(status == 0 or self.plan.hit(), 'mmd ended with %r\n%s' % (status, t.said()[-3000:]))
        self.site.close_process()

    def kill(self, scene, cell, calls, tree):
        """Whether the signal came."""
        self.prepare(scene)
        self.plan.set(*cell, at=rng.randrange(1, calls * 3 // 4 + 2), moment=rng.choice(MOMENTS), tree=tree)
        self.play(scene)
        return self.plan.hit()

    # ---- what must hold then ----

    def recover(self, again):
        rows = invariants.recovered(self.site, self.acked, self.unanswered, again, archives=ARCHIVES, maybe=self.maybe, gone=self.gone,
                                    word='kill')
        # What is there now was sent; what isn't never comes.
        self.rows, self.unanswered = rows, []
        there = {r['id'] for r in rows}
        self.acked.update((r['id'], r['sha256']) for r in rows)
        left = self.maybe & there
        check(not left or left == self.maybe - self.gone, 'half of a purge or an erasure: %d of %d are there' % (len(left), len(self.maybe)))
        self.gone |= self.maybe - there
        self.maybe = set()

    def close(self):
        """What was begun comes to its end: each import once more, and the mail that was due goes."""
        self.plan.set()
        self.days_pass()
        self.site.start()
        for folder in self.folders:
            self.load(folder)
        self.purge()
        self.site.stop()
        self.recover(True)
        self.site.close()
        return len(self.acked)

Scene = collections.namedtuple('Scene', 'name work alone')
SCENES = [Scene(name + (' alone' if alone else ''), work, alone) for alone in (False, True) for name, work in (
    ('mail', Victim.wait), ('seal', Victim.seal), ('import', Victim.imports), ('purge', Victim.purge), ('erase', Victim.erase),
    ('repack', Victim.repack), ('reindex', Victim.reindex), ('apply', Victim.apply))]
RECOVERY = Scene('recovery', Victim.wait, False)

@functools.cache
def calibrate():
    """{scene: {(program, kind): calls}} of runs that nobody kills."""
    v, calls = Victim('clang'), {}
    for scene in SCENES + [RECOVERY]:
        v.site.start()
        v.post()
        v.site.wait()
        v.rows = invariants.rows_of(v.site, ARCHIVES)
        v.site.kill()
        v.prepare(scene)
        v.plan.set()
        v.play(scene)
        v.site.close_process()
        calls[scene] = v.plan.seen()
    v.site.close()
    return calls

class Tally:
    """What was hit how often; the next is one of those that were hit least."""
    def __init__(self, calls, cells):
        self.calls, self.cells = calls, [(c, tree) for c in cells for tree in (False, True)]
        self.hits, self.tried = collections.Counter(), collections.Counter()

    def next(self, scenes):
        """(scene, cell, about how many calls, tree)"""
        some = [(scene, cell, tree) for scene in scenes for cell, tree in self.cells if cell in self.calls[scene]]
        least = min(self.tried[cell, tree] for _, cell, tree in some)
        scene, cell, tree = rng.choice([s for s in some if self.tried[s[1:]] == least])
        self.tried[cell, tree] += 1
        return scene, cell, self.calls[scene][cell], tree

    def show(self):
        for program in PROGRAMS:
            print('   %-13s' % program + ', '.join('%s %d+%d' % (k, self.hits[(program, k), False], self.hits[(program, k), True])
                                                   for p, k in dict.fromkeys(c for c, _ in self.cells) if p == program))

def kills(build_name, count, tally):
    """(kills, of them while recovering, acknowledged)"""
    hit = twice = acked = tries = directories = 0
    victim = None
    def strike(scenes):
        scene, cell, calls, tree = tally.next(scenes)
        began = time.monotonic()
        got = victim.kill(scene, cell, calls, tree)
        tally.hits[cell, tree] += got
        if os.environ.get('MM_VERBOSE'):
            p = victim.plan.plan
            print('%4d %-16s %s %s at %d of %d, %s%s%s, %.2f s' % (hit, scene.name, *cell, p.at, calls, MOMENTS[p.moment], ', tree' * tree,
                  '' if got else ' - not met', time.monotonic() - began), flush=True)
        return got
    while hit < count:
        tries += 1
        check(tries < 3 * count + 20, 'hardly a call was hit')
        if victim is None:
            directories += 1
            victim, begun = Victim('asan' if build_name == 'clang' and directories % UNDER_ASAN == 0 else build_name), hit
        hit += strike(SCENES)
        while rng.random() < 0.5:
            got = strike([RECOVERY])
            hit += got
            twice += got
        began = time.monotonic()
        victim.recover(rng.random() < 0.25)
        if os.environ.get('MM_VERBOSE'):
            print('     recovered, %.2f s' % (time.monotonic() - began))
        if hit - begun >= RENEW or hit >= count:
            acked += victim.close()
            victim = None
    return hit, twice, acked

@test
def killed_at_each_call():
    if not os.path.exists(LIBRARY):
        raise Skip('needs ' + LIBRARY)
    calls = calibrate()
    missing = [c for c in CELLS if not any(c in seen for seen in calls.values())]
    equal(missing, [], 'calls that no program makes')
    tally = Tally(calls, CELLS)
    hit, twice, acked = kills('clang', KILLS, tally)
    print('   %d kills, %d of them while recovering; %d messages acknowledged. Of one process + of the whole tree:' % (hit, twice, acked))
    tally.show()
    equal([c for c in CELLS if not tally.hits[c, False] + tally.hits[c, True]], [], 'never hit')

@test
def a_rebuild_that_was_killed_ends_by_itself():
    v = Victim('clang')
    v.site.start()
    for _ in range(5):
        v.post()
    v.site.wait()
    v.site.stop()
    t = Faulty(v.site, [], v.plan.env)
    check(t.ready(), 'mmd is not ready')
    v.plan.set('mmd', 'unlink') # the old shards' keys are destroyed, the first of their files goes
    v.reindex()
    check(v.plan.hit(), 'it was not killed')
    v.site.close_process()
    v.site.process = None
    v.site.run('mm-search', '--archive', 'legal', '', code=1)
    check('is being rebuilt' in v.site.stderr, v.site.stderr)
    v.site.start().stop() # one that is stopped in the middle of it leaves it to the next
    v.recover(True)
    ends = [json.loads(l) for l in v.site.run('mm-audit', 'list', '--json').splitlines() if '"reindex"' in l]
    equal([e['who'] for e in ends], ['mmd'], 'who rebuilt it')
    v.site.close()

@test
def the_control_that_answers_early_loses():
    cells = [c for c in CELLS if c[0] == 'mm-smtpd']
    invariants.must_lose(lambda: kills('early', KILLS, Tally(calibrate(), cells)))

done()
