#!/usr/bin/env python3
"""Power lost: the file system (an ext4 in a file) is shut down under mm while mail comes, again and again. What was not synced is gone;
what was answered with 250 is there, once, and everything verifies. The control: with syncs that do nothing (libeatmydata) it loses."""
import os, random, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import Disk, Faulty, message, unmounted
import invariants

CYCLES = int(os.environ.get('MM_COUNT', 400 if LONG else 40))
RENEW = 40 # on one disk; more would fill it
SENDERS = 4
EAT = '/usr/lib/x86_64-linux-gnu/libeatmydata.so'
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

class Load(threading.Thread):
    """One sender until its connection ends."""
    def __init__(self, port, number):
        super().__init__()
        self.port, self.rng, self.acked, self.unanswered = port, random.Random(number), {}, []
        self.start()

    def run(self):
        try:
            with Sender(self.port, timeout=20) as s:
                while True:
                    data = message('power', self.rng.choice([300, 3000, 3000, 300000]), self.rng)
                    self.unanswered = [sha256(data)]
                    code, text = s.try_send(data)
                    if code != 250:
                        return
                    self.acked[message_id(text)] = sha256(data)
                    self.unanswered = []
        except (OSError, smtplib.SMTPException, IndexError):
            pass

class Power:
    def __init__(self, preload):
        if not shutil.which('xfs_io'):
            raise Skip('needs xfs_io')
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        self.disk = Disk('ext4', 160, {'index': {'shard_messages': 50}, 'spool': {'file_bytes': 1 << 20, 'min_free': 1 << 20}},
                         'clang') # a sanitizer wants to be the first library
        self.site, self.preload, self.acked, self.unanswered = self.disk.site, preload, {}, []

    def cut(self):
        site = self.site
        t = Faulty(site, [], {'LD_PRELOAD': self.preload})
        check(t.ready(), 'mmd is not ready')
        loads = [Load(site.port, rng.randrange(1 << 32)) for _ in range(SENDERS)]
        time.sleep(rng.uniform(0.05, 0.6))
        subprocess.run(['xfs_io', '-x', '-c', 'shutdown', site.data], check=True)
        time.sleep(rng.uniform(0, 0.05))
        site.kill()
        for l in loads:
            l.join()
            self.acked.update(l.acked)
            self.unanswered += l.unanswered
        check(unmounted(site.data), 'the file system is busy')
        # Who started in a mount namespace of his own meanwhile may keep it for a while, shut down as it is.
        while subprocess.run(['losetup', '-j', self.disk.image], stdout=subprocess.PIPE).stdout:
            time.sleep(0.05)
        subprocess.run(['mount', '-o', 'loop', self.disk.image, site.data], check=True)
        return sum(len(l.acked) for l in loads)

    def recover(self, again):
        rows = invariants.recovered(self.site, self.acked, self.unanswered, again, word='power')
        self.acked.update((r['id'], r['sha256']) for r in rows)
        self.unanswered = []

def power(preload, cycles):
    counted = acked = 0
    for first in range(0, cycles, RENEW):
        p, last = Power(preload), min(first + RENEW, cycles)
        for i in range(first, last):
            counted += p.cut() > 0
            p.recover(i % 4 == 3 or i + 1 == last)
        acked += len(p.acked)
        p.disk.unmount()
        p.site.close()
    return counted, acked

@test
def nothing_acknowledged_is_lost_with_the_power():
    counted, acked = power(os.path.join(build('clang'), '..', 'lib', 'libfsync2.so'), CYCLES)
    print('   %d shutdowns, %d of them with mail acknowledged before: %d messages' % (CYCLES, counted, acked))
    check(counted > CYCLES // 2, 'hardly any mail was acknowledged')

@test
def the_control_without_syncs_loses():
    if not os.path.exists(EAT):
        raise Skip('needs libeatmydata1')
    invariants.must_lose(lambda: power(EAT, 3), ('mmctl wait', 'not ready'))

done()
