#!/usr/bin/env python3
"""Real mail beside python3-dkim: what it signs (RSA and Ed25519, all canonical forms) passes here, what is sealed here passes there; each
with one bit changed passes in neither. A sample of dev/bulk; all of it in ./check long."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bulk import *

try:
    import dkim, nacl
except ImportError:
    dkim = None
SEED = int(os.environ.get('MM_SEED') or random.randrange(1 << 32))
COUNT = None if LONG else 150
FORMS = [(a, b) for a in (b'simple', b'relaxed') for b in (b'simple', b'relaxed')]
rng = random.Random(SEED)
print('seed %d' % SEED)

class Signers:
    """Keys of both kinds, and the names that their records have."""
    def __init__(self):
        self.rsa, self.second, self.ed = rsa_key(2048), rsa_key(1024), Ed25519()
        self.texts = {'r._domainkey.judge.example': b'v=DKIM1; k=rsa; p=' + spki(self.rsa),
                      's._domainkey.judge.example': b'p=' + spki(self.second),
                      'e._domainkey.judge.example': b'v=DKIM1; k=ed25519; p=' + self.ed.public}

    def dns(self, name, timeout=5):
        return self.texts.get(name.decode().rstrip('.'))

def theirs(call, *args, **more):
    """What python3-dkim says, or the name of what it raises."""
    try:
        return call(*args, **more)
    except Exception as e:  # whatever its parsers raise at odd mail
        return type(e).__name__

def explain(mine, other, explained, name):
    """A difference that has a reason: there, something was raised at odd mail. What passes here passes there, but for unreadable headers."""
    if other in ('pass', 'fail', 'none') or (mine['arc'] == 'pass' and other != 'MessageFormatError'):
        return False
    explained.setdefault('python3-dkim raises %s where it is %s here' % (other, mine['arc']), []).append(name)
    return True

def ready():
    if not dkim:
        raise Skip('needs python3-dkim and python3-nacl, which are absent')
    return Signers()

@test
def signed_there_and_verified_here():
    keys = ready()
    server = Nsd(records(keys.texts))
    ours = Checker(server.forward)
    signed, odd, both = 0, {}, 0
    for n, (name, data) in enumerate(mails(folder(), rng, COUNT)):
        rsa = n % 2 == 0
        forms = FORMS[n // 2 % 4]
        field = theirs(dkim.sign, data, b'r' if rsa else b'e', b'judge.example', keys.rsa if rsa else keys.ed.seed, canonicalize=forms,
                       signature_algorithm=b'rsa-sha256' if rsa else b'ed25519-sha256', length=False, linesep=b'\r\n')
        if not isinstance(field, bytes):
            odd.setdefault(field, []).append(name)
            continue
        message = field + data
        answer = ours.check(message, int(time.time()))
        mine = answer.get('signatures', [{'result': answer.get('error'), 'why': ''}])[0]
        other = theirs(dkim.verify, message, dnsfunc=keys.dns)
        check(mine['result'] == 'pass' and other is True, '%s %s: here %s (%s), there %s' % (name, forms, mine['result'], mine['why'], other))
        signed += 1
        wrong = flipped(message)
        if wrong:
            check(ours.check(wrong, int(time.time()))['signatures'][0]['result'] == 'fail', name + ' changed passes here')
            check(theirs(dkim.verify, wrong, dnsfunc=keys.dns) is not True, name + ' changed passes there')
            both += 1
    ours.end()
    print('signed by python3-dkim: %d, all pass here and there; changed: %d, none passes' % (signed, both))
    for why, names in sorted(odd.items()):
        print('   %d that python3-dkim doesn\'t sign: %s (%s)' % (len(names), why, names[0]))
    check(signed > (COUNT or 8000) * 0.9, 'too few were signed')

@test
def sealed_here_and_verified_there():
    keys = ready()
    server = Nsd(records(keys.texts))
    ours = Checker(server.forward)
    counts, explained, both = {}, {}, 0
    for n, (name, data) in enumerate(mails(folder(), rng, COUNT)):
        message = data
        for hop in range(1 + n % 3):
            first = (n + hop) % 2 == 0  # with RSA: there, ARC knows no Ed25519
            answer = ours.ask('seal', message, int(time.time()), domain='judge.example', selector='r' if first else 's',
                              authserv='mx.judge.example', key=(keys.rsa if first else keys.second).decode(), results='spf=none; dkim=none')
            if 'set' not in answer:
                explained.setdefault(answer['error'], []).append(name)
                break
            message = base64.b64decode(answer['set']) + message
        mine = ours.check(message, int(time.time()))
        other = theirs(dkim.arc_verify, message, dnsfunc=keys.dns)
        other = other if isinstance(other, str) else (other[0] or b'fail').decode()  # None: the last sealer said so
        if 'arc' not in mine:
            continue
        check(mine['arc'] == other or explain(mine, other, explained, name),
              '%s: here %s (%s), there %s' % (name, mine['arc'], mine['arc_why'], other))
        counts[mine['arc']] = counts.get(mine['arc'], 0) + 1
        wrong = flipped(message)
        if mine['arc'] == 'pass' and wrong:
            equal(ours.check(wrong, int(time.time()))['arc'], 'fail', name + ' changed, here')
            again = theirs(dkim.arc_verify, wrong, dnsfunc=keys.dns)
            check(isinstance(again, str) or again[0] != b'pass', name + ' changed passes there')
            both += 1
    ours.end()
    print('sealed here: %r, the same there; changed: %d, none passes' % (counts, both))
    for why, names in sorted(explained.items()):
        print('   %d: %s (%s)' % (len(names), why, names[0]))
    check(counts.get('pass', 0) > (COUNT or 8000) * 0.7, 'too few pass')

done()
