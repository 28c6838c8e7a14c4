#!/usr/bin/env python3
"""The n-th allocation fails, once or for good, in mmd, in mm-smtpd, in mm-parse and in each tool; and the n-th write or read is short.
A program may end for want of memory (base/err.h: it says so and aborts), but never by a wild pointer; mmd starts its children again;
and after a start nothing acknowledged is missing. Uses the test build without a sanitizer, whose allocator is its own."""
import os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import *
import invariants

POINTS = int(os.environ.get('MM_COUNT', 5000 if LONG else 120)) # half a second each
RENEW = 200
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

BUILD = os.path.dirname(build('clang'))
SHIM = os.path.join(BUILD, 'lib', 'libfault.so')
# How many allocations a run of the program makes, about; small numbers are met more often than large ones.
DAEMONS = {'mmd': 60000, 'mm-smtpd': 4000, 'mm-parse': 4000}
TOOLS = [['mm-search', '--archive', 'corp', '--json', 'word'], ['mm-search', '--archive', 'corp', '--count', ''],
         ['mmctl', 'status', '--json'], ['mmctl', 'verify'], ['mmctl', 'list'], ['mm-audit', 'verify'], ['mm-audit', 'list'],
         ['mm-retention', 'plan'], ['mm-import', '--archive', 'short', 'MBOX'], ['mm-export', '--archive', 'corp', '--to', 'OUT', '']]

# Before a program has opened anything, libcrypto and others start, and do not look at what malloc gave them (OpenSSL 3.0: a NULL lock).
LIBRARIES = 120

def may_segv(env):
    return int(env.get('MM_FAULT_ALLOC', '100000').rstrip('+')) <= LIBRARIES

def point(most):
    return int(most ** rng.random()) if rng.random() < 0.7 else rng.randrange(1, most + 1)

def fault(program, most):
    n = '%d%s' % (point(most), '+' if rng.random() < 0.3 else '')
    short = rng.random() < 0.15
    return {'LD_PRELOAD': SHIM, 'MM_FAULT_PROGRAM': program, 'MM_FAULT_SHORT' if short else 'MM_FAULT_ALLOC': n}

def daemon(site, acked):
    """A run of mmd with a fault in it or in a child; a text about what was done."""
    program = rng.choice(list(DAEMONS))
    env = fault(program, DAEMONS[program])
    t = Faulty(site, [], env)
    codes = use(site, acked, rng) if t.ready(5) else []
    status = t.stop()
    said = t.said()
    what = '%s %r: mmd ended with %r, replies %r' % (program, {k: v for k, v in env.items() if k != 'LD_PRELOAD'}, status, codes)
    # libseccomp 2.5 goes round for ever when it gets no memory for a filter; mmd has opened nothing by then, and said nothing.
    if status is None and not codes and not said:
        return True
    check(status is not None, what + ': it did not end\n' + said[-2000:])
    check(status in (0, 1, 2, 3, -6) or (status == -11 and not codes), what + '\n' + said[-3000:])
    check(may_segv(env) or not codes or not re.search(r'ended: signal (?!6 |9 |15 |25 )\d+', said), what + '\n' + said[-3000:])
    check(program == 'mmd' or status == 0 or not codes or env.get('MM_FAULT_ALLOC', '').endswith('+'), what + '\n' + said[-3000:])
    return status != 0 or 'ended: ' in said

def tool(site):
    command = [w.replace('MBOX', os.path.join(site.root, 'mbox')).replace('OUT', os.path.join(site.root, 'out')) for w in rng.choice(TOOLS)]
    env = dict(site.env, **fault(command[0], 20000))
    shutil.rmtree(os.path.join(site.root, 'out'), ignore_errors=True)
    p = subprocess.run([os.path.join(site.bin, command[0])] + command[1:], env=env, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    check(p.returncode in (0, 1, 2, 3, -6) or (p.returncode == -11 and may_segv(env)), '%r %r ended with %d: %s' % (command, {k: v for k, v in env.items() if 'MM_FAULT' in k}, p.returncode, p.stderr[-2000:]))
    return p.returncode != 0

@test
def every_allocation_fails():
    if not os.path.exists(SHIM):
        raise Skip('needs ' + SHIM)
    site, met, n = None, 0, 0
    while n < POINTS:
        if site is None:
            site, acked = Site('clang'), {}
            with open(os.path.join(site.root, 'mbox'), 'w') as f:
                for i in range(3):
                    f.write('From a@b.example Mon Mar  2 09:15:00 2026\nSubject: imported %d\n\nwords\n\n' % i)
        met += tool(site) if n % 3 else daemon(site, acked)
        n += 1
        if n % 3 == 1:
            invariants.recovered(site, acked)
        if n % RENEW == 0 or n == POINTS:
            invariants.recovered(site, acked, again=True)
            site.close()
            site = None
    print('   %d points, %d of them ended a program' % (n, met))
    check(met > POINTS // 5, 'hardly a fault was met')

done()
