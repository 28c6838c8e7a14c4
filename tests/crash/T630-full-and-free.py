#!/usr/bin/env python3
"""The disk under everything fills up and is freed, again and again, while mail comes: new mail gets 452, nothing acknowledged is lost,
and the same mmd takes mail again by itself when there is room. Index and store hold the same afterwards."""
import os, random, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import *
import invariants

CYCLES = 25 if LONG else 3 # of each kind of file system, with a reserve and without
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

class Load:
    """Senders that note every reply."""
    def __init__(self, port, acked, senders=4):
        self.port, self.acked, self.codes, self.stop, self.broken = port, acked, [], False, 0
        self.threads = [threading.Thread(target=self.run, args=(random.Random(rng.randrange(1 << 32)),)) for _ in range(senders)]
        for t in self.threads:
            t.start()

    def run(self, r):
        while not self.stop:
            try:
                with Sender(self.port) as s:
                    code = 250
                    while not self.stop and code == 250: # refused: another connection, later
                        size = r.choice([300, 2000, 20000, 400000 if r.random() < 0.2 else 1000])
                        code = acknowledged(s, self.acked, message('full %d' % r.randrange(1 << 30), size, r))
                        self.codes.append(code)
                        time.sleep(0.01)
                time.sleep(0.05)
            except (OSError, smtplib.SMTPException):
                self.broken += 1
                time.sleep(0.1)

    def until(self, code, what):
        """Waits for a reply from now on."""
        n = len(self.codes)
        for _ in range(6000):
            if code in self.codes[n:]:
                return
            time.sleep(0.01)
        raise AssertionError('no %d %s: last replies %r' % (code, what, self.codes[-5:]))

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()

def cycles(kind, config, most):
    """One mmd through so many cycles, or until its mail leaves little room; how often its pipeline met the full disk."""
    disk = Disk(kind, 96, config)
    site, acked, refused = disk.site, {}, 0
    site.start()
    pid = site.process.pid
    for n in range(most):
        load = Load(site.port, acked)
        try:
            load.until(250, 'with room')
            time.sleep(rng.uniform(0, 0.5))
            for _ in range(rng.choice([1, 2, 5])):
                disk.fill(rng.choice([0, 0, 0, 8192, 100000, 1 << 20]))
                time.sleep(0.1)
            load.until(452, 'on a full disk')
            time.sleep(rng.uniform(0.2, 1.5))
            equal(site.process.poll(), None, 'mmd on a full disk\n' + site.tail())
            disk.free()
            try:
                load.until(250, 'with room again')
            except AssertionError as e:
                raise AssertionError('%s: %d bytes unused, %r\n%s' % (e, disk.unused(), site.status(), site.tail(1500)))
        finally:
            load.end()
        refused += load.codes.count(452)
        check(set(load.codes) <= {250, 452}, 'replies %r' % set(load.codes))
        equal(load.broken, 0, 'connections that broke\n' + site.tail())
        site.wait()
        invariants.whole(site, acked, deep=n % 5 == 4)
        if disk.unused() < 32 << 20:
            break
    equal(site.process.pid, pid, 'the same mmd')
    met = site.tail(1 << 22).count('the disk is full: ')
    print('   %s: %d cycles, %d acknowledged, %d times 452, the pipeline met the full disk %d times' % (kind, n + 1, len(acked), refused, met))
    site.stop()
    invariants.whole(site, acked)
    return disk, acked, met, n + 1

def control(disk, acked):
    """The same check must see a result that is damaged on purpose: one segment of the store is gone."""
    site = disk.site
    folder = os.path.join(site.data, 'seg', '1')
    os.remove(os.path.join(folder, sorted(os.listdir(folder))[0]))
    try:
        invariants.whole(site, acked)
    except AssertionError:
        return
    raise AssertionError('a removed segment is not seen')

def both(config):
    met = 0
    for kind in ('ext4', 'tmpfs'):
        left = CYCLES
        while left:
            disk, acked, n, ran = cycles(kind, config, left)
            left -= ran
            met += n
            control(disk, acked)
            disk.unmount()
            disk.site.close()
    return met

@test
def with_the_reserve():
    both({})

@test
def without_the_reserve():
    """Accepting goes on until the pipeline itself finds no room."""
    check(both({'spool': {'min_free': 1, 'max_bytes': 12 << 20}}) > 0, 'the pipeline never met a full disk')

done()
