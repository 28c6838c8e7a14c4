#!/usr/bin/env python3
"""kill -9 of the whole tree at random moments under load: nothing acknowledged is missing, nothing is there twice. The control, a
build that answers 250 before the commit record is written, must fail the same check."""
import collections, os, random, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

ROUNDS = 200 if LONG else 20
SENDERS = 8
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

class Load:
    """Senders that count what was acknowledged (id -> sha256) and what was under way when the server died."""
    def __init__(self, port):
        self.port, self.acked, self.in_flight, self.lock, self.stop = port, {}, 0, threading.Lock(), False
        self.number = 0
        self.threads = [threading.Thread(target=self.run, args=(random.Random(rng.randrange(1 << 32)),)) for _ in range(SENDERS)]
        for t in self.threads:
            t.start()

    def message(self, r):
        with self.lock:
            self.number += 1
            n = self.number
        size = r.choice([10, 500, 5000, 20000, 400000 if r.random() < 0.05 else 3000])
        return mail('load %d of seed %d' % (n, seed), ''.join(r.choice('abcdefghij klmno\r\n') for _ in range(200)) * (size // 200 + 1))

    def run(self, r):
        sending = False
        try:
            with Sender(self.port) as s:
                while not self.stop:
                    data = crlf(self.message(r))
                    data = data if data.endswith(b'\r\n') else data + b'\r\n'
                    sending = True
                    code, text = s.try_send(data)
                    sending = False
                    if code == 250:
                        with self.lock:
                            self.acked[message_id(text)] = sha256(data)
        except (OSError, smtplib.SMTPException, IndexError):
            with self.lock:
                self.in_flight += sending

    def join(self):
        self.stop = True
        for t in self.threads:
            t.join()

def rounds(build_name, count, pause):
    """Returns (lost, twice, acknowledged, in flight) over `count` rounds that count."""
    site = Site(build_name)
    acked, in_flight, n, tries = {}, 0, 0, 0
    while n < count:
        tries += 1
        check(tries < count * 4, 'too many rounds without load')
        site.start()
        load = Load(site.port)
        time.sleep(rng.uniform(*pause))
        site.kill()
        load.join()
        if load.acked and load.in_flight:
            n += 1
        acked.update(load.acked)
        in_flight += load.in_flight
    site.start()
    site.wait()
    found = collections.Counter()
    sums = {}
    for row in site.rows():
        found[row['id']] += 1
        sums[row['id']] = row['sha256']
    lost = [i for i in acked if sums.get(i) != acked[i]]
    twice = [i for i, k in found.items() if k > 1]
    if not lost:
        equal(site.verify()['problems'], 0, 'verify')
        site.run('mm-audit', 'verify')
        site.stop()
    site.close()
    return lost, twice, len(acked), in_flight

@test
def nothing_acknowledged_is_lost():
    lost, twice, acked, in_flight = rounds('asan', ROUNDS, (0.15, 1.2))
    print('   %d rounds: %d messages acknowledged, %d in flight when killed' % (ROUNDS, acked, in_flight))
    equal(lost, [], 'lost')
    equal(twice, [], 'twice')

@test
def the_control_that_answers_early_loses():
    lost, twice, acked, in_flight = rounds('early', 3, (0.3, 0.8))
    print('   control: %d of %d acknowledged messages lost' % (len(lost), acked))
    check(lost, 'a build that answers before the record is written passed: the test sees nothing')

done()
