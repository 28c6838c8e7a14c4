#!/usr/bin/env python3
"""SIGKILL at the n-th write-like call of mmd, mm-smtpd or a worker, and of the whole tree with it: while mail comes, shards are sealed,
resources change, the index is rebuilt, mmd stops; and often once more while that is recovered. Each time the next
start makes everything whole (tests/lib/invariants.py). The control: a build that answers 250 before the record is written must lose."""
import os, random, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import Faulty, message
import invariants

KILLS = int(os.environ.get('MM_COUNT', 10000 if LONG else 50))
RENEW = 12 # kills in one data directory
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

# Each with about how often a thread makes it in a run.
CALLS = {'pwrite64': 5, 'pwritev': 25, 'fsync': 2, 'fdatasync': 8, 'ftruncate': 1, 'openat': 70, 'rename': 1, 'unlink': 2, 'mkdir': 1}

def died_in_call(trace, call):
    """Whether the signal came in such a call, which then has no result: mmd itself ends its workers by SIGKILL when it stops, and they
    are in none."""
    return re.search(r'\b%s\b.*= \?$' % call, open(trace, errors='replace').read(), re.M) is not None

class Victim:
    """A data directory that is killed again and again, and what was acknowledged into it."""
    def __init__(self, build_name):
        self.site = Site(build_name, config={'index': {'shard_messages': 20}, 'spool': {'file_bytes': 1 << 20}})
        self.acked, self.unanswered, self.mailed = {}, 0, 0

    def send(self):
        """Four connections with some messages each; the loss of one is no matter."""
        for _ in range(rng.randrange(1, 4)):
            try:
                with Sender(self.site.port, timeout=10) as s:
                    for _ in range(rng.randrange(1, 12)):
                        data = message('kill', rng.choice([300, 300, 4000, 300000]), rng)
                        self.unanswered += 1
                        code, text = s.try_send(data)
                        self.unanswered -= 1
                        if code == 250:
                            self.acked[message_id(text)] = sha256(data)
            except (OSError, smtplib.SMTPException, IndexError):
                pass

    def command(self, *args):
        try:
            subprocess.run([os.path.join(self.site.bin, args[0])] + list(args[1:]), env=self.site.env, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=20)
        except subprocess.TimeoutExpired:
            pass

    def work(self):
        self.send()
        for what in rng.sample([['mmctl', 'wait', '--timeout', '5'], ['mmctl', 'seal'], ['mmctl', 'reindex'], ['mmctl', 'repack'],
                                ['mmctl', 'apply', os.path.join(self.site.root, 'resources.json')],
                                ['mm-retention', 'run'], ['mm-search', '--archive', 'corp', '--count', 'kill']], 2):
            self.command(*what)
        self.send()

    def kill_once(self, recovering=False):
        """Whether the signal came."""
        call = rng.choice(list(CALLS))
        when = rng.randrange(1, CALLS[call] + 1)
        trace, self.last = os.path.join(self.site.root, 'trace'), (call, when)
        t = Faulty(self.site, ['strace', '-f', '-qq', '--seccomp-bpf', '-o', trace, '-e', 'trace=' + call, '-e',
                               'inject=%s:signal=SIGKILL:when=%d' % (call, when)], {'ASAN_OPTIONS': 'detect_leaks=0:exitcode=99'})
        if t.ready() and not recovering:
            self.work()
        t.stop(20)
        if self.site.process:
            self.site.kill()
        return died_in_call(trace, call)

    def recover(self, whole):
        self.site.start()
        self.site.wait()
        self.site.run('mm-search', '--archive', 'corp', '--count', '', code=None)
        if 'a rebuild was broken off' in self.site.stderr: # it says what to do
            self.site.run('mmctl', 'reindex')
        rows = invariants.whole(self.site, self.acked, self.unanswered, verify=whole)
        if whole:
            invariants.same_again(self.site, rows)
        self.site.stop()

def kills(build_name, count):
    """(kills, of them while recovering, acknowledged)"""
    hit = twice = acked = tries = 0
    victim = None
    while hit < count:
        tries += 1
        check(tries < 6 * count + 20, 'hardly a call was hit')
        if victim is None:
            victim, begun = Victim(build_name), hit
        began = time.monotonic()
        got = victim.kill_once()
        if os.environ.get('MM_VERBOSE'):
            print('%.1f s, %s%s' % (time.monotonic() - began, victim.last, ' hit' * got), flush=True)
        hit += got
        if got and rng.random() < 0.5 and victim.kill_once(recovering=True):
            hit += 1
            twice += 1
        end = hit - begun >= RENEW or hit >= count
        victim.recover(end or rng.random() < 0.15)
        if end:
            acked += len(victim.acked)
            victim.site.close()
            victim = None
    return hit, twice, acked

@test
def killed_at_each_call():
    hit, twice, acked = kills('clang', KILLS)
    print('   %d kills, %d of them while recovering; %d messages acknowledged' % (hit, twice, acked))

@test
def the_control_that_answers_early_loses():
    try:
        hit, _, acked = kills('early', KILLS)
    except AssertionError as e:
        check(str(e).startswith('lost'), 'it failed otherwise: %s' % e)
        print('   control: ' + str(e)[:80])
        return
    raise AssertionError('a build that answers before the record is written passed: the test sees nothing')

done()
