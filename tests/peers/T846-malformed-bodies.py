#!/usr/bin/env python3
"""Bodies of all 60 operations that were valid until a few random bytes of them changed, in JSON and in CBOR, to a running mm-httpd and mmd:
each is answered, by what is right or by a 4xx, never by a 5xx; the answer is of its protocol; no process ends, and the next one is served."""
import collections, os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from signed import *
from shapes import *
from faults import children_of

SEED = int(os.environ.get('MM_SEED') or random.randrange(1 << 32))
ROUNDS = 1000 if LONG else 40  # of each operation and protocol
AHEAD = 15
print('   seed %d, %d bodies' % (SEED, ROUNDS * 120))
rng = random.Random(SEED)
PORT, POOL = free_port(), free_port()
HOST = '127.0.0.1:%d' % PORT
site = Site(config={'api': {'listen': HOST, 'ingress_pool': '127.0.0.1:%d-%d' % (POOL, POOL + 20), 'profile': 'open'}}).start()
key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
MODEL = load(site.bin)
PROTOCOLS = ('json', 'cbor')

# ---- what is valid ----

def made(line, operation, **input):
    status, answer = line.call(key, HOST, operation, encoded(input, 'json'))
    equal(status, 200, answer)
    return answer

def real_ids():
    """{member: an id that is there}"""
    line, ids = Line(PORT), {}
    ids['ArchiveId'] = made(line, 'CreateArchive', ArchiveName='own')['ArchiveId']
    for operation, input in (('CreateRuleSet', {'RuleSetName': 'r', 'Rules': []}), ('CreateAddressList', {'AddressListName': 'l'}),
                             ('CreateTrafficPolicy', {'TrafficPolicyName': 'ppp', 'DefaultAction': 'DENY', 'PolicyStatements': []}),
                             ('CreateRelay', {'RelayName': 'r', 'ServerName': 'a', 'ServerPort': 1, 'Authentication': {'NoAuthentication': {}}}),
                             ('CreateAddonSubscription', {'AddonName': 'x'})):
        ids.update(made(line, operation, **input))
    ids.update(made(line, 'CreateAddonInstance', AddonSubscriptionId=ids['AddonSubscriptionId']))
    ids.update(made(line, 'CreateIngressPoint', IngressPointName='iii', Type='OPEN', TlsPolicy='OPTIONAL', RuleSetId=ids['RuleSetId'],
                    TrafficPolicyId=ids['TrafficPolicyId']))
    ids.update(made(line, 'StartArchiveSearch', ArchiveId=ids['ArchiveId'], FromTimestamp=1, ToTimestamp=2, MaxResults=1))
    ids['JobId'] = made(line, 'CreateAddressListImportJob', AddressListId=ids['AddressListId'], Name='x', ImportDataFormat={'ImportDataType': 'CSV'})['JobId']
    ids['ResourceArn'] = 'arn:aws:ses:us-east-1:000000000000:mailmanager-archive/' + ids['ArchiveId']
    line.close()
    return ids

IDS = real_ids()

def valid(operation):
    """An input with one of its places filled, wherever it is, and of ids that are there."""
    top = operation['Input']
    some = [p for p in places(top) if not p[2] or 'Later' not in p[2]]
    path, shape, _ = rng.choice(some) if some else ((), top, None)
    body = built(top, path, sample(shape))
    return dict(body, **{m: id for m, id in IDS.items() if m in body and rng.random() < 0.9})

# ---- what is not ----

NUMBERS = [b'0', b'-1', b'1e400', b'-0', b'18446744073709551616', b'1.5', b'9223372036854775807', b'null', b'true', b'""', b'[]', b'{}', b'"\\ud800"', b'"\\u0000"']

def flip(b, at):
    return b[:at] + bytes([b[at] ^ 1 << rng.randrange(8)]) + b[at + 1:]

def spliced(b, at):
    """A piece of its own again, or of another."""
    other = rng.choice([b, rng.choice(SEEN)])
    begin = rng.randrange(len(other))
    return b[:at] + other[begin:begin + rng.randrange(1, 40)] + b[at + rng.randrange(0, 20):]

MUTATIONS = [flip, spliced, lambda b, at: b[:at], lambda b, at: b[:at] + b[at + rng.randrange(1, 9):],
             lambda b, at: b[:at] + rng.randbytes(rng.randrange(1, 9)) + b[at:],
             lambda b, at: b[:at] + bytes([rng.choice([0, 0x7f, 0x80, 0xff, 0x9f, 0xbf, 0x5f, 0x1b, 0x3b, 0xfb, 0xc1, 0xdb])]) + b[at + 1:],
             lambda b, at: b[:at] + rng.choice(NUMBERS) + b[at + 1:],
             lambda b, at: b[:at] + b[at:at + 1] * rng.choice([2, 70, 5000]) + b[at + 1:]]
SEEN = [b'{}']

def mutated(body):
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        body = rng.choice(MUTATIONS)(body, rng.randrange(len(body))) or b'\0'
    return body

# ---- the answers ----

def fault(protocol, status, fields, body):
    """What is wrong with an answer, or None."""
    if not 200 <= status < 500:
        return 'status %d' % status
    if fields.get('content-type') != {'json': 'application/x-amz-json-1.0', 'cbor': 'application/cbor'}[protocol]:
        return 'type %s' % fields.get('content-type')
    try:
        answer = decoded(fields, body)
    except (ValueError, IndexError, KeyError) as e:
        return 'it cannot be read: %r' % e
    if not isinstance(answer, dict) or (status != 200) != ('__type' in answer):
        return 'it is neither an output nor an error'
    return None

seen = collections.Counter()

def ask_all(bodies, protocol):
    """[(operation, body)]: they are sent ahead of each other on one connection."""
    line, wrong = Line(PORT), []
    line.send(b''.join(request(key, HOST, operation, body, protocol=protocol) for operation, body in bodies))
    for operation, body in bodies:
        status, fields, answer = line.answer()
        why = fault(protocol, status, fields, answer)
        if why:
            wrong.append('%s in %s: %s: %.500r -> %d %.300r' % (operation, protocol, why, body, status, answer))
            break
        seen[protocol, decoded(fields, answer).get('__type', 'OK')] += 1
    line.close()
    return wrong

@test
def none_gets_a_5xx():
    processes = {name: children_of(site.process.pid, name) for name in ('mm-httpd', 'mm-smtpd')}
    wrong, batch = [], {p: [] for p in PROTOCOLS}
    for _ in range(ROUNDS):
        for operation in MODEL['Operations']:
            for protocol in PROTOCOLS:
                whole = encoded(valid(operation), protocol)
                batch[protocol].append((operation['Name'], mutated(whole) if rng.random() < 0.95 else whole))
                SEEN.append(whole)
                del SEEN[:-50]
                if len(batch[protocol]) == AHEAD:
                    wrong += ask_all(batch[protocol], protocol)
                    batch[protocol] = []
    for w in wrong[:20]:
        print(w)
    check(not wrong, '%d are wrong: %s' % (len(wrong), wrong[:1]))
    equal({name: children_of(site.process.pid, name) for name in processes}, processes, 'processes')

@test
def they_went_all_ways():
    """Or the bodies were too wrong, or not wrong enough."""
    for protocol in PROTOCOLS:
        of = {name: n for (p, name), n in seen.items() if p == protocol}
        print('   %s: %s' % (protocol, ', '.join('%d %s' % (n, name) for name, n in sorted(of.items(), key=lambda x: -x[1]))))
        for name in ('SerializationException', 'ValidationException', 'OK'):
            check(of.get(name, 0) > ROUNDS, '%s: %s %d' % (protocol, name, of.get(name, 0)))

@test
def a_wrong_answer_is_seen():
    """The control, on a true answer."""
    for protocol in PROTOCOLS:
        line = Line(PORT)
        line.send(request(key, HOST, 'ListArchives', encoded({'PageSize': 0}, protocol), protocol=protocol))
        status, fields, body = line.answer()
        line.close()
        equal((status, fault(protocol, status, fields, body)), (400, None), body)
        other = PROTOCOLS[protocol == 'json']
        for wrong in ((other, status, fields, body), (protocol, 500, fields, body), (protocol, 0, {}, b''), (protocol, status, fields, body[:-1]),
                      (protocol, 200, fields, body), (protocol, 400, fields, encoded({}, protocol)), (protocol, 400, fields, encoded([], protocol))):
            check(fault(*wrong), wrong)

site.stop()
done()
