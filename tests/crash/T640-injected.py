#!/usr/bin/env python3
"""One system call fails, once or for good, in mmd and all its children: from the start, through mail, a search and a stop. Whatever
fails, nothing acknowledged is lost, no process crashes, mmd ends by itself, and the next start makes everything whole. And a failed
sync is final: no 250 comes after it."""
import os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import *
import invariants

COUNT = int(os.environ.get('MM_COUNT', 1500 if LONG else 50)) # two seconds each
RENEW = 100 # injections in one data directory
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

CALLS = ['write', 'pwrite64', 'pwritev', 'fsync', 'fdatasync', 'ftruncate', 'openat', 'rename', 'unlink', 'mkdir', 'accept4', 'read', 'pread64']
ERRORS = ['EIO', 'ENOSPC', 'EDQUOT', 'EMFILE', 'ENOMEM', 'EINTR']

def matrix():
    """(call, error, when) at random: mostly early ones, where most of a run's calls are."""
    call, error = rng.choice(CALLS), rng.choice(ERRORS)
    most = {'openat': 120, 'read': 150, 'pread64': 200, 'pwritev': 60, 'write': 30, 'mkdir': 6, 'ftruncate': 4}.get(call, 12)
    n = rng.randrange(1, most + 1)
    # The kernel doesn't answer EINTR for ever.
    return call, error, '%d%s' % (n, '+' if error != 'EINTR' and rng.random() < 0.4 else '')

def crash_of(said):
    m = re.search(r'ended: signal (?!9 |15 )(\d+).*|ERROR: AddressSanitizer.*|runtime error:.*|[^\n]*MUST[^\n]*', said)
    return m and m.group(0)

def one(site, acked, what):
    call, error, when = what
    t = Faulty(site, ['strace', '-f', '-qq', '--seccomp-bpf', '-o', os.path.join(site.root, 'trace'), '-e', 'trace=' + call,
                      '-e', 'inject=%s:error=%s:when=%s' % what], {'ASAN_OPTIONS': 'detect_leaks=0:exitcode=99'})
    codes = use(site, acked, rng) if t.ready() else []
    status = t.stop()
    said = t.said()
    check(status is not None, 'mmd did not end\n' + said[-2000:])
    # Files are never touched by these two, but a thread wakes another by them: one that can't is given up (MUST), as a whole.
    abort = call in ('write', 'read')
    check(status in (0, 1, 2, 3, 127) or (abort and status == -6), 'mmd ended with %d\n%s' % (status, said[-3000:]))
    check(abort or not crash_of(said), 'a crash: %s\n%s' % (crash_of(said), said[-3000:]))
    check(set(codes) <= {0, 250, 421, 451, 452, 454}, 'replies %r' % codes)
    return 'INJECTED' in open(os.path.join(site.root, 'trace'), errors='replace').read()

@test
def every_call_fails():
    hits = done_ = 0
    site = None
    while done_ < COUNT:
        if site is None:
            site, acked = Site(), {}
        what = matrix()
        if os.environ.get('MM_VERBOSE'):
            print(time.strftime('%H:%M:%S'), *what, flush=True)
        try:
            hits += one(site, acked, what)
            invariants.recovered(site, acked, again=done_ % 10 == 9, deep=done_ % 3 == 0)
        except AssertionError as e:
            raise AssertionError('%s:%s:%s: %s' % (what + (e,)))
        done_ += 1
        if done_ % RENEW == 0 or done_ == COUNT:
            site.close()
            site = None
    print('   %d runs, the fault was met in %d' % (done_, hits))
    check(hits > COUNT // 3, 'hardly a fault was met')

def unproved(trace):
    """Replies of mm-smtpd that confirm a message without a sync since the one before, or after a sync that failed: messages came one
    at a time. And how many syncs failed."""
    proofs, failures, bad = 0, 0, []
    for line in open(trace, errors='replace'):
        if 'fdatasync' in line:
            failures += 'INJECTED' in line
            proofs += line.rstrip().endswith('= 0')
        elif re.search(r'250 2\.[0-9]\.[0-9] .*[0-9a-v]{26}', line):
            if failures or not proofs:
                bad.append(line)
            proofs = 0
    return bad, failures

def attach(pid, trace, *options):
    tracer = subprocess.Popen(['strace', '-f', '-s', '200', '-o', trace, '-p', str(pid)] + list(options),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    check(b'attached' in tracer.stderr.readline(), 'strace can\'t attach')
    return tracer

def detach(tracer):
    if tracer.poll() is None:
        tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=30)

def syncs_fail(build_name, when):
    """The syncs of a running mm-smtpd fail from one on; mmd starts another."""
    site, acked = Site(build_name).start(), {}
    trace = os.path.join(site.root, 'trace')
    tracer = attach(child_of(site.process.pid, 'mm-smtpd'), trace, '-e', 'trace=fdatasync,sendto,sendmsg,write,writev', '-e',
                    'inject=fdatasync:error=EIO:when=' + when)
    codes = use(site, acked, rng) + use(site, acked, rng)
    detach(tracer)
    return (site, acked, codes) + unproved(trace)

@test
def a_failed_sync_is_final():
    met = 0
    for n in range(1, 8 if LONG else 4):
        site, acked, codes, bad, failures = syncs_fail('asan', '%d+' % n)
        met += failures
        print('   the syncs of mm-smtpd fail from the %d-th: %d failed, replies %r' % (n, failures, codes))
        equal(bad, [], 'confirmed without a sync')
        equal(failures, 1, 'syncs tried after one that failed')
        site.send(mail('afterwards')) # by the next mm-smtpd, into a file of its own
        site.wait()
        site.stop()
        invariants.recovered(site, acked)
        site.close()

@test
def a_shard_that_can_not_be_sealed_yet_stays_open():
    """Its copy is locked whenever it is made: mmd goes on with it as it is, and seals it when that has passed."""
    site, acked = Site(config={'index': {'shard_messages': 5}}).start(), {}
    trace, shard = os.path.join(site.root, 'trace'), os.path.join(site.data, 'index/1/00000001.shard')
    tracer = attach(site.process.pid, trace, '-e', 'trace=flock', '-e', 'inject=flock:error=EAGAIN:when=1+', '-P', shard + '.tmp')
    with Sender(site.port) as s:
        for n in range(20):
            acknowledged(s, acked, message('sealed later', 500, rng))
    site.wait()
    for _ in range(200):
        if 'it is tried again' in site.tail():
            break
        time.sleep(0.1)
    check('INJECTED' in open(trace).read() and 'it is tried again' in site.tail(), site.tail())
    time.sleep(0.5) # the pipeline looks five times a second
    check('is full' not in site.tail(), site.tail())
    equal((os.path.exists(shard), site.count('sealed later')), (False, 20), 'sealed, found')
    detach(tracer)
    for _ in range(600):
        if 'sealed again' in site.tail():
            break
        time.sleep(0.1)
    equal((os.path.exists(shard), os.path.exists(shard + '.tmp')), (True, False), 'sealed, copy')
    equal(site.count('sealed later'), 20, 'found')
    site.stop()
    invariants.recovered(site, acked)
    site.close()

@test
def the_control_that_answers_early_is_seen():
    site, acked, codes, bad, failures = syncs_fail('early', '2+')
    check(bad, 'a build that answers before the sync passed: replies %r, %d syncs failed' % (codes, failures))
    site.close()

done()
