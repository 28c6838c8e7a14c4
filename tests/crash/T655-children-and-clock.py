#!/usr/bin/env python3
"""A child that hangs or eats memory; and a clock that is set back by years while mail comes: also between two mm-smtpd, and between a
kill and the next start. Mail is neither lost nor stuck, and no receipt time is before the one of a message that came earlier. And a
clock that is set between plan and run: what was not planned is not destroyed."""
import os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import *
import invariants
from forget import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
words = Words(seed)
print('seed %d' % seed)
YEARS = [-5, 3, -1, 10, -12]

def in_order(site, sent):
    """The ids in order of their 250s: each sorts behind the one before (an id begins with its receipt time), and rows say the same."""
    site.wait()
    rows = {r['id']: r for r in site.rows()}
    equal([i for i in sent if i not in rows], [], 'lost')
    equal(sent, sorted(sent), 'ids')
    times = [rows[i]['received'] for i in sent]
    equal(times, sorted(times), 'receipt times')
    equal(len(rows), len(sent), 'messages')

@test
def receipt_times_never_go_back():
    site = Site(config={'parse': {'workers': 2}}).start()
    sent = [site.send(mail('first'))]
    for years in YEARS if LONG else YEARS[:3]:
        site.advance(days=365 * years)
        sent += [site.send(mail('clock %d' % i)) for i in range(3)] # the same mm-smtpd
        os.kill(child_of(site.process.pid, 'mm-smtpd'), signal.SIGKILL)
        site.advance(days=-400)
        sent += [site.send(mail('another mm-smtpd %d' % i)) for i in range(3)]
        in_order(site, sent)
        # Nothing of what comes now reaches the archive before the kill: the spool alone knows its time.
        workers = children_of(site.process.pid, 'mm-parse')
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        site.advance(days=2)
        sent += [site.send(mail('in the spool %d' % i)) for i in range(3)]
        site.kill()
        site.advance(days=-800)
        site.start()
        sent += [site.send(mail('after a kill %d' % i)) for i in range(2)]
        site.stop()
        site.advance(days=-800)
        site.start()
        sent += [site.send(mail('after a stop %d' % i)) for i in range(2)]
    in_order(site, sent)
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()
    site.close()

@test
def a_clock_set_between_plan_and_run():
    """What fell due by the clock alone is not what was planned: the run refuses. The control: the plan of that moment is carried out."""
    site = Calendar().start()
    site.post([Letter(words, a) for a in ('short', 'corp', 'legal')])
    site.wait()
    site.next_day(days=2)
    plan = site.plan()
    equal([l['archive'] for l in plan['due']], ['short'], 'due')
    for years in (5, -5, 12, -12):
        site.advance(days=365 * years)
        site.purge('--plan', plan['plan'], code=2)
        site.purge('--unattended', code=1 if years > 0 else 0) # with a clock that is behind nothing is due
        site.advance(days=-365 * years)
    equal([site.count('', a) for a in ('short', 'corp', 'legal')], [1, 1, 1], 'destroyed by a clock')
    report = site.purge('--plan', plan['plan'])
    equal((report['lots_destroyed'], report['plan']), (1, plan['plan']), 'the plan itself')
    equal([site.count('', a) for a in ('short', 'corp', 'legal')], [0, 1, 1], 'counts')
    site.close()

def hog(pid, limit):
    """The child has so little address space from now on that its next large piece of work fails."""
    subprocess.run(['prlimit', '--pid', str(pid), '--as=%d' % limit], check=True)

@test
def a_worker_that_hangs_or_has_no_memory():
    """One mm-parse is stopped for good, then both have no memory left: mmd ends them, marks what they had, and goes on."""
    site, acked = Site('clang').start(), {}
    send = lambda n, size: [acked.update({site.send(d): sha256(d)}) for d in [message('hang %d' % i, size, rng) for i in range(n)]]
    send(5, 2000)
    site.wait()
    os.kill(children_of(site.process.pid, 'mm-parse')[0], signal.SIGSTOP)
    send(20, 2000)
    site.wait()
    invariants.whole(site, acked)
    for pid in children_of(site.process.pid, 'mm-parse'):
        hog(pid, 40 << 20)
    send(3, 8 << 20)
    send(20, 2000)
    site.wait()
    invariants.whole(site, acked)
    marked = [r for r in site.rows() if r['parse_problem']]
    print('   %d messages, %d marked' % (len(acked), len(marked)))
    check(marked, 'no worker failed')
    site.stop()
    site.close()

@test
def an_smtpd_that_hangs():
    """mm-smtpd is stopped, and goes on later: what it had accepted is archived meanwhile, its clients are served when it goes on."""
    site, acked = Site().start(), {}
    with Sender(site.port) as s:
        for i in range(5):
            equal(acknowledged(s, acked, message('before %d' % i, 1000, rng)), 250, 'reply')
        pid = child_of(site.process.pid, 'mm-smtpd')
        os.kill(pid, signal.SIGSTOP)
        try:
            site.wait()
            equal(site.count(''), 5, 'archived while mm-smtpd hangs')
        finally:
            os.kill(pid, signal.SIGCONT)
        equal(acknowledged(s, acked, message('after', 1000, rng)), 250, 'reply')
    site.wait()
    invariants.whole(site, acked)
    site.stop()
    site.close()

done()
