#!/usr/bin/env python3
"""Bytes of the spool change on the disk while mmd is dead: what is lost is told, counted and listed, also after further restarts; all
else is archived."""
import os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import children_of

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

def lost(site):
    return [json.loads(l) for l in site.run('mmctl', 'list', '--json', '--disposition', 'lost').splitlines()]

@test
def damage_is_listed():
    site = Site(config={'parse': {'workers': 1}}).start()
    parser = children_of(site.process.pid, 'mm-parse')
    equal(len(parser), 1, 'workers')
    os.kill(parser[0], signal.SIGSTOP) # nothing is archived before the kill
    acked = {}
    with Sender(site.port) as s:
        for n in range(40):
            data = mail('message %d' % n, rng.randbytes(1500).hex())
            acked[s.send(data)] = sha256(data if data.endswith(b'\r\n') else data + b'\r\n')
    site.kill()
    files = sorted((p for p in site.files() if p.endswith('.spool')), key=os.path.getmtime)
    content = bytearray(open(files[-1], 'rb').read())
    used = len(bytes(content[:-4096]).rstrip(b'\0')) # the second header lies at the end
    check(used > 40 * 1500, 'the spool file holds %d bytes' % used)
    at = used // 2
    content[at:at + 64] = rng.randbytes(64)
    with open(files[-1], 'r+b') as f:
        f.seek(at)
        f.write(content[at:at + 64])
    site.start()
    site.wait()
    found = {r['id']: r['sha256'] for r in site.rows()}
    gone = [i for i in acked if i not in found]
    check(1 <= len(gone) <= 2, '%d messages are gone' % len(gone))
    check(all(found[i] == acked[i] for i in found), 'a message has other bytes')
    check(site.status()['spool_damaged'] >= 1 and site.status()['failed'] >= 1, 'status %s' % site.status())
    for _ in range(2):
        check(len(lost(site)) >= 1, 'no loss is listed')
        site.stop()
        site.start()
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()
    site.close()

@test
def losses_are_told_while_messages_are_filed():
    """Two threads write to control.db then: the pipeline the losses, the index its new shards. Many of both."""
    site = Site(config={'index': {'shard_messages': 2}, 'parse': {'workers': 1}, 'spool': {'file_bytes': 4 << 20}}).start()
    os.kill(children_of(site.process.pid, 'mm-parse')[0], signal.SIGSTOP)
    with Sender(site.port) as s:
        for n in range(300):
            s.send(mail('message %d' % n, 'meadow'))
    site.kill()
    path = max((p for p in site.files() if p.endswith('.spool')), key=os.path.getmtime)
    with open(path, 'r+b') as f:
        for n in range(70, 300, 2): # one message a group of 4096 bytes
            f.seek(4096 * (n + 1))
            f.write(rng.randbytes(64))
    site.start()
    site.wait()
    equal(site.count('meadow'), 185, 'messages left')
    equal(len(lost(site)), 115, 'losses')
    site.stop()

done()
