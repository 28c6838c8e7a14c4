#!/usr/bin/env python3
"""Many large messages at once: together they are more than the memory for messages under way (256 MiB), and each is accepted, since
a sender waits while its message waits for a file. The control: one over the limit of size is refused, and nothing of it is kept."""
import os, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

SENDERS, BYTES = 40, 8 << 20

def letter(n, size):
    line = b'line of letter %03d, which is one of many that come at the same time\r\n' % n
    return b'Subject: large %03d\r\n\r\n' % n + line * (size // len(line))

@test
def all_of_many_large_messages_are_accepted():
    site = Site(config={'smtp': {'max_message': 16 << 20}})
    site.start()
    answers, lock = [], threading.Lock()
    def send(n):
        with Sender(site.port) as s:
            data = letter(n, BYTES)
            answer = s.try_send(data)
            with lock:
                answers.append((answer, sha256(data)))
    threads = [threading.Thread(target=send, args=(n,)) for n in range(SENDERS)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal([a for a, _ in answers if a[0] != 250], [], 'refused')
    with Sender(site.port) as s:
        equal(s.try_send(letter(999, 17 << 20))[0], 552, 'the control')
    site.wait()
    sums = {r['id']: r['sha256'] for r in site.rows()}
    equal(sums, {message_id(text): digest for (_, text), digest in answers}, 'archived')
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()
    site.close()

done()
