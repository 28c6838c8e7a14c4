#!/usr/bin/env python3
"""kill -9 in the middle of a purge, of mmd and of the tool alone, at random moments: the restart goes on from the intent. Then
nothing that was due is anywhere, nothing that is kept is lost. Most kills wait until the intent is in the audit log: how long a purge takes
differs too much on a machine that does other things."""
import glob, os, random, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from forget import *

ROUNDS = 40 if LONG else 2
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
words = Words(seed)
print('seed %d' % seed)

class Round:
    def __init__(self):
        self.site, self.gone, self.span, self.resumed, self.before_intent = Calendar(), [], None, 0, 0

    def kept(self):
        return [l for l in self.site.known if l not in self.gone]

    def prepare(self):
        """Mail of today, in shards with mail that stays (some of tomorrow) and in the spool; then two days pass."""
        site = self.site
        if not site.process:
            site.start()
        for day in range(2):
            site.post([Letter(words, a, big=i % 15 == 0) for a, n in (('short', 40), ('corp', 8), ('legal', 4)) for i in range(n)])
            site.wait()
            site.next_day()
        site.due = [l for l in self.kept() if l.archive == 'short' and l.day < site.day(-1) or l.archive == 'corp' and l.day < site.day(-2)]
        equal(site.plan()['lots'], len({(l.archive, l.day) for l in site.due}), 'lots due')

    def log_bytes(self):
        return sum(os.path.getsize(path) for path in glob.glob(self.site.data + '/audit/*.log'))

    def start_purge(self):
        self.bytes = self.log_bytes()
        return subprocess.Popen([os.path.join(self.site.bin, 'mm-retention'), 'run'], env=self.site.env, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True)

    def wait_for_intent(self, p):
        while self.log_bytes() == self.bytes and p.poll() is None:
            time.sleep(0.001)

    def measure(self):
        """How long the intent and the rest of a purge take when nobody kills it."""
        began = time.monotonic()
        p = self.start_purge()
        self.wait_for_intent(p)
        intent = time.monotonic()
        equal(p.wait(600), 0, 'exit status of a purge')
        self.begin, self.span = intent - began, time.monotonic() - intent

    def purge_and_kill(self, alone):
        site = self.site
        if alone:
            site.stop()
        p = self.start_purge()
        if rng.random() < 0.2:
            time.sleep(rng.uniform(0, self.begin))
        else:
            self.wait_for_intent(p)
            time.sleep(rng.uniform(0, self.span))
        ended = p.poll() is not None
        if ended:
            self.span *= 0.7
        if not alone:
            site.kill()
        elif not ended:
            os.killpg(p.pid, signal.SIGKILL)
        p.wait(60)

    def check(self, gone):
        site = self.site
        output, _ = site.opened()
        equal(found(output, gone)[0][:3], [], 'still there')
        equal(found(output, [l for l in site.known if l not in gone])[1][:3], [], 'lost')

    def after(self, alone):
        """What the restart has done by itself; then another run."""
        site = self.site
        if not alone:
            site.start()
        # Without mmd the tool that lists the events goes on with the purge, as any other would.
        events = [e for e in site.events() if e['event'].startswith('purge_')]
        if alone:
            site.start()
        began = events and events[-1]['number'] > self.last
        if began:
            equal(events[-1]['event'], 'purge_done', 'the last entry about purges')
            self.resumed += bool(events[-1]['detail']['resumed'])
            self.gone += site.due
            self.check(self.gone)
        else:
            self.before_intent += 1
            self.check(self.gone)
            site.purge()
            self.gone += site.due
        equal(site.plan()['due'], [], 'due after it')
        self.check(self.gone)
        site.whole(self.gone)
        searchable(site, self.kept())

    def run(self, alone):
        self.prepare()
        self.last = max([e['number'] for e in self.site.events()])
        if self.span is None:
            if alone:
                self.site.stop()
            self.measure()
            self.gone += self.site.due
            self.check(self.gone)
            return
        self.purge_and_kill(alone)
        self.after(alone)

def rounds(alone):
    """In directories of their own, ten at most in each: what is looked for grows with each purge."""
    tries = resumed = before_intent = 0
    while resumed < ROUNDS:
        r = Round()
        while r.resumed < min(10, ROUNDS - resumed):
            tries += 1
            check(tries <= 8 * ROUNDS, 'hardly a kill hit a purge')
            r.run(alone)
        resumed, before_intent = resumed + r.resumed, before_intent + r.before_intent
        r.site.close()
    print('   %d rounds: %d kills between intent and record, %d before the intent' % (tries, resumed, before_intent))

@test
def a_killed_mmd_goes_on_at_its_start():
    rounds(False)

@test
def a_killed_tool_goes_on_at_the_next_start():
    rounds(True)

done()
