#!/usr/bin/env python3
"""Words sent in body, subject, address, attachment and query lie in no file of the data directory in the clear: while running,
after a kill, after a clean stop. The control, a build with encryption off, must be caught by the same search."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

WORDS = ['canarybody%d', 'canarysubject%d', 'canaryfrom%d', 'canaryto%d', 'canaryfile%d', 'canaryattached%d', 'canaryhelo%d']
needles = []

def canary(n):
    w = [x % n for x in WORDS]
    needles.extend(x.encode() for x in w)
    return mail(w[1], '--p\r\nContent-Type: text/plain\r\n\r\n%s\r\n--p\r\nContent-Type: text/csv\r\n'
                'Content-Disposition: attachment; filename="%s.csv"\r\n\r\n%s\r\n--p--' % (w[0], w[4], w[5]),
                sender='%s@shop.example' % w[2], to='%s@corp.example' % w[3],
                extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=p\r\n'), w

def send(site, numbers):
    for n in numbers:
        data, w = canary(n)
        s = Sender(site.port)
        s.smtp.docmd('EHLO', w[6] + '.example')
        s.send(data, ('%s@corp.example' % w[3],), '%s@shop.example' % w[2])
        s.__exit__()

def life(build_name):
    """Every place in the clear, over the phases of a life."""
    hits = []
    site = Site(build_name, config={'index': {'shard_messages': 100}})
    site.start()
    send(site, range(1000, 1130))
    site.wait()
    for n, word in ((1001, 'canarybody%d'), (1002, 'canaryfrom%d')):
        equal(site.count(word % n), 1, word % n)
    site.run('mm-search', '--archive', 'corp', 'canaryquery7')
    needles.append(b'canaryquery7')
    big, w = canary(2000)
    needles.append(b'canarybig')
    site.send(big[:-10] + b'\r\n' + b'canarybig line\r\n' * 40000)
    site.sealed(1)
    hits += [('running',) + h for h in site.grep(needles)]
    send(site, range(3000, 3020))
    site.kill()
    hits += [('killed',) + h for h in site.grep(needles)]
    site.start()
    site.wait()
    equal(site.count('canarybody3019'), 1, 'after the kill')
    site.stop()
    hits += [('stopped',) + h for h in site.grep(needles)]
    equal(site.count('canarybody1005'), 1, 'by a tool alone')
    hits += [('tool',) + h for h in site.grep(needles)]
    site.close()
    return hits

@test
def nothing_lies_in_the_clear():
    hits = life('asan')
    equal(hits[:5], [], 'in the clear')

@test
def the_control_without_encryption_is_caught():
    hits = life('plain')
    check({h[0] for h in hits} >= {'running', 'killed', 'stopped'}, 'a build without encryption passed: %r' % (hits[:3],))
    print('   control: %d finds in the clear' % len(hits))

done()
