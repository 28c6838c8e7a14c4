#!/usr/bin/env python3
"""kill -9 of the whole tree at random moments under load, and at its next start everything is whole (tests/lib/invariants.py). The
control, a build that answers 250 before the commit record is written, must fail the same check."""
import os, random, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
import invariants

ROUNDS = 200 if LONG else 9
SENDERS = 8
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

class Load:
    """Senders that keep what was acknowledged (id -> sha256) and what was under way when the server died."""
    def __init__(self, port):
        self.port, self.acked, self.unanswered, self.lock, self.stop = port, {}, [], threading.Lock(), False
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
        try:
            with Sender(self.port) as s:
                while not self.stop:
                    data = crlf(self.message(r))
                    data = data if data.endswith(b'\r\n') else data + b'\r\n'
                    with self.lock:
                        self.unanswered.append(sha256(data))
                    code, text = s.try_send(data)
                    with self.lock:
                        if code == 250:
                            self.acked.update({message_id(text): sha256(data)}) # unless the reply was cut
                        self.unanswered.remove(sha256(data))
        except (OSError, smtplib.SMTPException, IndexError):
            pass

    def join(self):
        self.stop = True
        for t in self.threads:
            t.join()

def rounds(build_name, count, pause):
    """(acknowledged, under way when killed) over `count` rounds that count."""
    site = Site(build_name)
    acked, under_way, n, tries = {}, 0, 0, 0
    while n < count:
        tries += 1
        check(tries < count * 4, 'too many rounds without load')
        site.start()
        load = Load(site.port)
        time.sleep(rng.uniform(*pause))
        site.kill()
        load.join()
        n += bool(load.acked and load.unanswered)
        under_way += len(load.unanswered)
        acked.update(load.acked)
        rows = invariants.recovered(site, acked, load.unanswered, n % 4 == 0, word='load')
        acked.update((r['id'], r['sha256']) for r in rows)
        if len(acked) > 5000: # a new one, so that looking at everything stays quick
            site.close()
            site, acked = Site(build_name), {}
    site.close()
    return len(acked), under_way

@test
def nothing_acknowledged_is_lost():
    acked, under_way = rounds('asan', ROUNDS, (0.15, 1.2))
    print('   %d rounds: %d messages there at the end, %d under way when killed' % (ROUNDS, acked, under_way))

@test
def the_control_that_answers_early_loses():
    invariants.must_lose(lambda: rounds('early', 3, (0.3, 0.8)))

done()
