#!/usr/bin/env python3
"""Imports: while mail comes in by SMTP, into a spool that is too small for them, two at once, killed and repeated. Every message
is there exactly once, and the ledger says so."""
import collections, os, random, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
import invariants

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

def mbox(site, name, count, size):
    """A file of `count` messages with about `size` bytes each; some of them have the same bytes."""
    path = os.path.join(site.root, name)
    with open(path, 'w') as f:
        for i in range(count):
            f.write('From ann@shop.example Mon Mar  2 09:15:00 2026\nFrom: ann@shop.example\nTo: bob@corp.example\n'
                    'Subject: %s %d\nDate: Mon, 02 Mar 2026 09:15:00 +0100\n\n' % (name, i - i % 50 // 49))
            f.write(''.join(rng.choice('abcdefgh ijklm\n') for _ in range(100)) * (size // 100 + 1) + '\n\n')
    return path

def load(site, archive, path, code=0):
    """(stored, already, failed) as the tool says it."""
    rows = [json.loads(l) for l in site.run('mm-import', '--json', '--archive', archive, path, code=code).splitlines()]
    count = collections.Counter(r['outcome'] for r in rows)
    return count['stored'], count['already'], count['failed']

def sums(path):
    """Of the messages in such a file."""
    with open(path, 'rb') as f:
        return [sha256(m[:-1]) for m in f.read().split(b'From ann@shop.example Mon Mar  2 09:15:00 2026\n')[1:]]

def exactly(site, archive, want):
    site.wait()
    ids = site.ids('', archive)
    equal((len(ids), len(set(ids))), (want, want), 'messages in ' + archive)

@test
def the_same_file_twice():
    """In one command, so that the second comes before the first is in the ledger."""
    site = Site().start()
    path = mbox(site, 'twice.mbox', 150, 300)
    out = site.run('mm-import', '--json', '--archive', 'corp', path, path)
    count = collections.Counter(json.loads(l)['outcome'] for l in out.splitlines())
    equal((count['stored'], count['already']), (150, 150), 'outcomes')
    exactly(site, 'corp', 150)
    equal(load(site, 'corp', path), (0, 150, 0), 'again')
    equal(load(site, 'legal', path), (150, 0, 0), 'into another archive')
    site.stop()
    equal(load(site, 'corp', path), (0, 150, 0), 'again, without mmd')
    site.close()

@test
def two_at_once():
    site = Site().start()
    path = mbox(site, 'race.mbox', 1200, 300)
    results = []
    threads = [threading.Thread(target=lambda: results.append(load(site, 'corp', path))) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal([sum(r[i] for r in results) for i in range(3)], [1200, 2400, 0], 'outcomes')
    exactly(site, 'corp', 1200)
    site.stop()
    site.close()

@test
def a_spool_that_is_too_small():
    """The import is five times as large as the spool: it goes at the pace of the pipeline."""
    site = Site(config={'spool': {'max_bytes': 6 << 20}}).start()
    path = mbox(site, 'large.mbox', 1500, 20000)
    equal(load(site, 'corp', path), (1500, 0, 0), 'outcomes')
    exactly(site, 'corp', 1500)
    invariants.whole(site, {}, sums(path))
    site.stop()
    site.close()

@test
def a_spool_without_room():
    """There is no file left for imports, and none will come: they fail, and mmd goes on and stops."""
    site = Site(config={'spool': {'max_bytes': 2 << 20}}).start()
    path = mbox(site, 'none.mbox', 20, 300)
    site.send(mail('before'))
    site.run('mm-import', '--json', '--archive', 'corp', path, code=1)
    check('spool is full' in site.stderr, site.stderr)
    site.send(mail('after'))
    exactly(site, 'corp', 2)
    site.stop()
    site.close()

BACKLOG = 3000

@test
def while_mail_comes_in():
    """A stream of new messages doesn't keep an import, or whatever waits for the pipeline, waiting. There are always some in the spool,
    but never more than a slow machine comes up with."""
    site = Site().start()
    path = mbox(site, 'busy.mbox', 300, 300)
    stop, go, sent = threading.Event(), threading.Event(), []

    def stream():
        with Sender(site.port) as s:
            while not stop.is_set():
                if go.wait(0.1):
                    sent.append(s.send(mail('stream %d' % len(sent), 'x' * 3000)))

    def pace():
        while not stop.is_set():
            (go.set if site.request('status')[0]['spooled'] < BACKLOG else go.clear)()
            time.sleep(0.05)
    threads = [threading.Thread(target=stream) for _ in range(4)] + [threading.Thread(target=pace)]
    for t in threads:
        t.start()
    try:
        equal(load(site, 'corp', path), (300, 0, 0), 'outcomes')
        equal(load(site, 'corp', path), (0, 300, 0), 'again')
        site.run('mm-retention', 'run')
        site.apply(DEFAULT)
    finally:
        stop.set()
        for t in threads:
            t.join()
    exactly(site, 'corp', 300 + len(sent))
    site.stop()
    site.close()

@test
def killed_and_repeated():
    """The tool, mmd, or both are killed in the middle; what is repeated until it succeeds is there once."""
    site = Site().start()
    path = mbox(site, 'killed.mbox', 3000, 1500)
    kills, lines = 0, 0
    for n in range(6):
        if not site.process:
            site.start()
        p = subprocess.Popen([os.path.join(site.bin, 'mm-import'), '--json', '--archive', 'corp', path], env=site.env,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(rng.randrange(max(1, lines - 200), lines + 600)):
            if not p.stdout.readline():
                break
        lines = min(lines + 300, 2000)
        kills += p.poll() is None
        if n % 3 != 1:
            p.kill()
        if n % 3 != 0:
            site.kill()
        p.stdout.close()
        p.wait(60)
    check(kills >= 3, 'only %d imports were killed at work' % kills)
    site.start()
    stored, already, failed = load(site, 'corp', path)
    equal((stored + already, failed), (3000, 0), 'outcomes')
    check(already > 0, 'the killed imports left nothing')
    exactly(site, 'corp', 3000)
    equal(load(site, 'corp', path), (0, 3000, 0), 'again')
    site.stop()
    invariants.recovered(site, {}, sums(path), again=True)
    site.close()

done()
