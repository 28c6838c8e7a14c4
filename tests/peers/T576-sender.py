#!/usr/bin/env python3
"""The sender of mm-deliver against mail servers on loopback: which of them it takes and in which order, what it makes of their replies, TLS that may
be and that must be, DANE from a signed zone, MTA-STS, connections that are used again, and servers that break off or are slow. Names are served by
nsd. Controls: each refusal has a case beside it that differs in the refused thing alone, and is delivered."""
import http.server, os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), os.path.join(HERE, '..', 'bench')]
from sender import *
from nsd import Nsd
from opensmtpd import OpenSmtpd
import peers

PORT, STS_PORT = free_port(), free_port()
LATER, NEVER, SET_UP = 'later', 'never', 'set-up'
addresses = ('127.0.0.%d' % n for n in range(2, 250))
zone, secure = {}, {}

def domain(name, *servers, records=None, into=zone):
    """A domain whose MX are at these addresses, in this order."""
    into[name] = [('MX', '%d mx%d.%s.' % (10 * (i + 1), i, name)) for i in range(len(servers))] + (records or [])
    for i, ip in enumerate(servers):
        into['mx%d.%s' % (i, name)] = [('AAAA' if ':' in ip else 'A', ip)]
    return name

def sts(name, ip='127.0.0.1'):
    zone['_mta-sts.' + name] = [('TXT', '"v=STSv1; id=1;"')]
    zone['mta-sts.' + name] = [('A', ip)]
    return name

ca = Authority()
made = {}

def at(name, **options):
    """A domain with one server."""
    ip = next(addresses)
    made[domain(name, ip)] = Peer(ip, PORT, **options)
    return name

# ---- the servers ----

def reply(verb, text, unless=None):
    return lambda session, v, rest: text if v == verb and not (unless and unless in rest) else None

def mixed(session, verb, rest):
    for word, text in (('no@', '550 5.1.1 no such user'), ('later@', '451 4.2.1 try again'), ('odd@', '550 <' + 'x' * 700 + '>')):
        if verb == 'RCPT' and word in rest:
            return text

def gone_in(verb):
    def say(session, v, rest):
        if v == verb and not session.peer.mails:
            session.peer.mails.append({'data': 'gone'})
            raise Gone()
    return say

def grey(session, verb, rest):
    if verb == 'RCPT' and rest not in seen:
        seen.add(rest)
        return '450 4.7.1 greylisted'

seen = set()

def drip(verb):
    def say(session, v, rest):
        while v == verb:
            session.put(b'2')
            time.sleep(0.5)
    return say

held = threading.Event()

def hold(session, verb, rest):
    if verb == 'DATA':
        held.wait(60)

def close_after_one(session):
    if session.count:
        time.sleep(0.2)
        raise Gone()

def no_tls(session, verb, rest):
    """Offers STARTTLS and can't do it."""
    if verb == 'STARTTLS':
        session.put('220 go ahead')
        session.sock.recv(1000)
        session.put(b'no TLS here\r\n')
        raise Gone()

SEED = int(os.environ.get('MM_SEED') or random.randrange(1 << 32))
chance = random.Random(SEED)

def wild(session, verb, rest):
    """Anything but what is asked for, now and then."""
    if chance.random() < 0.8:
        return None
    what = chance.randrange(9)
    if what == 0:
        raise Gone()
    if what == 1:
        return '%d %d.%d.%d %s' % (chance.randrange(200, 600), chance.randrange(2, 6), chance.randrange(9), chance.randrange(9), 'x' * chance.randrange(600))
    if what == 2:
        session.put(bytes(chance.randrange(256) for _ in range(chance.randrange(1, 400))))
    if what == 3:
        return '250-one\r\n251 two'
    if what == 4:
        return '250 2.0.0 one\r\n250 2.0.0 two'
    if what == 5:
        return ''.join('250-%d\r\n' % i for i in range(chance.randrange(300))) + '250 end'
    if what == 6:
        session.put('421 4.3.2 closing')
        raise Gone()
    if what == 7:
        return '354 go on'
    return None

at('plain.example')
at('mixed.example', say=mixed)
at('grey.example', say=grey)
at('gone-data.example', say=gone_in('DATA'))
at('gone-end.example', say=gone_in('.'))
at('gone-greeting.example', say=gone_in('GREETING'))
at('slow-greeting.example', say=drip('GREETING'))
at('slow-end.example', say=drip('.'))
at('slow-rcpt.example', say=drip('RCPT'))
at('busy.example', say=reply('GREETING', '421 4.3.2 busy'))
at('no.example', say=reply('GREETING', '554 5.7.1 go away'))
at('takes-none.example', say=reply('GREETING', '521 5.3.2 takes no mail'))
at('hold.example', say=hold)
at('bounded.example', say=lambda session, verb, rest: time.sleep(0.05) if verb == 'DATA' else None)
at('one-each.example', after=close_after_one)
at('tls.example', context=ca.context('tls.example', signed=False))
at('bad-tls.example', context=ca.context('bad-tls.example'), say=no_tls)
for i in range(4):
    at('wild%d.example' % i, say=wild, context=ca.context('wild.example', signed=False) if i % 2 else None)
domain('second.example', next(addresses), next(addresses))
made['second.example'] = Peer(zone['mx1.second.example'][0][1], PORT)
domain('backup.example', zone['mx0.busy.example'][0][1], zone['mx0.plain.example'][0][1])
domain('away.example', next(addresses))
ip = next(addresses)
zone['address.example'] = [('A', ip)]
made['address.example'] = Peer(ip, PORT)
made['six.example'] = Peer('::1', PORT)
domain('six.example', '::1')
domain('private.example', '10.255.255.1')
zone['null.example'] = [('MX', '0 .')]
zone['loop.example'] = [('MX', '10 out.mm.test.'), ('MX', '20 mx0.plain.example.')]
domain('broken.example')

def with_policy(name, context):
    at(name, context=context)
    return sts(name)

self_signed = dict(signed=False)
POLICIES = {
    'sts-good.example': 'mode: enforce\nmx: mx0.sts-good.example',
    'sts-wrong.example': 'mode: enforce\nmx: mx0.sts-wrong.example',
    'sts-other.example': 'mode: enforce\nmx: *.elsewhere.example',
    'sts-plain.example': 'mode: enforce\nmx: *.sts-plain.example',
    'sts-testing.example': 'mode: testing\nmx: mx.elsewhere.example',
    'sts-forged.example': 'mode: enforce\nmx: mx.elsewhere.example',
}
with_policy('sts-good.example', ca.context('mx0.sts-good.example'))
with_policy('sts-wrong.example', ca.context('mx0.sts-wrong.example', **self_signed))
with_policy('sts-other.example', ca.context('mx0.sts-other.example'))
with_policy('sts-plain.example', None)
with_policy('sts-testing.example', ca.context('mx0.sts-testing.example', **self_signed))
with_policy('sts-forged.example', ca.context('mx0.sts-forged.example', **self_signed))
zone['mta-sts.sts-forged.example'] = [('A', '127.0.0.250')]

class Policies(http.server.BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        name = self.headers['Host'].split(':')[0].replace('mta-sts.', '', 1)
        self.asked.append(name)
        body = ('version: STSv1\n%s\nmax_age: 3600\n' % POLICIES[name]).encode()
        self.send_response(200 if self.path == '/.well-known/mta-sts.txt' else 404)
        self.send_header('Content-Type', 'text/plain')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

def serve_policies(ip, context):
    server = http.server.ThreadingHTTPServer((ip, STS_PORT), Policies)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

serve_policies('127.0.0.1', ca.context(*['mta-sts.' + name for name in POLICIES]))
serve_policies('127.0.0.250', ca.context('mta-sts.sts-forged.example', **self_signed))

def dane(label, tlsa, context, into=secure):
    name = label + ('.secure.example' if into is secure else '.example')
    ip = next(addresses)
    made[domain(name, ip, into=into)] = Peer(ip, PORT, context=context)
    if tlsa:
        into['_%d._tcp.mx0.%s' % (PORT, name)] = [('TLSA', t) for t in tlsa]
    return name

WRONG = '3 1 1 ' + '00' * 32
secure['secure.example'] = [('A', '127.0.0.1')]
context = ca.context('whatever.example', **self_signed)
EE = ca.tlsa(3, 'whatever.example.self')
dane('ee', [EE], context)
dane('two', [WRONG, EE], context)
dane('wrong', [WRONG], context)
dane('plain', [EE], None)
dane('none', [], context)
dane('unusable', ['1 1 1 ' + '00' * 32], context)
dane('unusable-plain', ['1 1 1 ' + '00' * 32], None)
dane('ta', [ca.tlsa(2, '')], ca.context('mx0.ta.secure.example'))
dane('ta-name', [ca.tlsa(2, '')], ca.context('mx0.elsewhere.example'))
dane('insecure', [WRONG], context, into=zone)

nsd = Nsd(dict(zone, **secure), failing=('broken.example',), signed=('secure.example',))
DNS = {'forward': nsd.forward, 'trust_anchor': nsd.anchor}
SEND = {'port': PORT, 'sts_port': STS_PORT, 'ca': ca.file, 'deadline': 20, 'per_destination': 2}
run = Run(SEND, DNS)
counted = lambda name: len(made[name].mails)

# ---- delivery ----

@test
def bytes_arrive_as_they_are():
    data = mail(body='.one\r\n..two\r\n.\r\n' + 'long ' * 20000 + '\r\n.').decode()
    said = run.send('plain.example', 'bob@plain.example', 'eve@plain.example', data=data)
    equal([r['end'] for r in said['results']], ['done', 'done'], run.tail())
    equal((said['host'], said['tls']), ('mx0.plain.example', ''))
    got = made['plain.example'].mails[-1]
    equal(got['data'], data.encode())
    equal((got['from'], got['rcpt']), ('ann@shop.example', ['bob@plain.example', 'eve@plain.example']))

@test
def connections_are_used_again():
    made['plain.example'].connections = made['plain.example'].most = 0
    ends = run.wait(run.give('plain.example', times=60))
    equal({e['results'][0]['end'] for e in ends}, {'done'})
    check(made['plain.example'].connections <= 2, '%d connections for 60 messages' % made['plain.example'].connections)

@test
def no_more_at_once_than_said():
    ends = run.wait(run.give('bounded.example', times=20))
    equal({e['results'][0]['end'] for e in ends}, {'done'})
    equal(made['bounded.example'].most, 2)

@test
def a_connection_that_was_closed_meanwhile_costs_nothing():
    for _ in range(4):
        equal(run.result('one-each.example')[0], 'done')
    ends = run.wait(run.give('one-each.example', times=6))
    equal({e['results'][0]['end'] for e in ends}, {'done'})
    equal(counted('one-each.example'), 10)

@test
def the_next_server_where_the_first_is_away_or_busy():
    equal(run.result('second.example')[0], 'done', run.tail())
    equal(counted('second.example'), 1)
    equal(run.send('backup.example')['host'], 'mx1.backup.example')

@test
def the_address_where_there_is_no_mx():
    equal(run.result('address.example')[0], 'done')
    equal(counted('address.example'), 1)

@test
def by_ipv6():
    equal(run.result('six.example')[0], 'done')
    equal(counted('six.example'), 1)

@test
def what_dns_says_for_good_and_for_now():
    equal(run.result('null.example'), (NEVER, 0, '5.1.10'))
    equal(run.result('nowhere.example'), (NEVER, 0, '5.1.2'))
    equal(run.result('loop.example'), (NEVER, 0, '5.4.6'))
    equal(run.result('broken.example'), (LATER, 0, '4.4.3'))
    equal(run.result('away.example'), (LATER, 0, '4.4.1'))

@test
def no_private_address():
    said = run.send('private.example')['results'][0]
    equal((said['end'], said['enhanced']), (SET_UP, '5.7.1'))
    check('10.255.255.1' in said['text'], said['text'])
    usual = Run({'sts': False}, DNS)
    equal(usual.result('plain.example'), (SET_UP, 0, '5.7.1'), 'loopback at port 25')
    usual.end()

# ---- replies ----

@test
def each_recipient_has_his_own():
    said = run.send('mixed.example', 'yes@mixed.example', 'no@mixed.example', 'later@mixed.example', 'odd@mixed.example')['results']
    equal([(r['end'], r['code'], r['enhanced']) for r in said],
          [('done', 250, '2.0.0'), (NEVER, 550, '5.1.1'), (LATER, 451, '4.2.1'), (NEVER, 550, '5.0.0')])
    check(all(len(r['text']) < 400 for r in said), 'a text that is too long')
    equal(made['mixed.example'].mails[-1]['rcpt'], ['yes@mixed.example'])

@test
def greylisting():
    equal(run.result('grey.example'), (LATER, 450, '4.7.1'))
    equal(run.result('grey.example')[0], 'done')

@test
def servers_that_want_no_mail():
    equal(run.result('busy.example'), (LATER, 421, '4.3.2'))
    equal(run.result('no.example')[:2], (LATER, 554))
    equal(run.result('takes-none.example'), (NEVER, 521, '5.3.2'))

@test
def a_connection_that_breaks():
    for name in ('gone-greeting', 'gone-data', 'gone-end'):
        equal(run.result(name + '.example')[:2], (LATER, 0), name)
        equal(run.result(name + '.example')[0], 'done', name)

@test
def a_byte_now_and_then_holds_nobody_up():
    slow = Run(dict(SEND, deadline=3), DNS)
    waiting = [slow.give('slow-%s.example' % what)[0] for what in ('greeting', 'rcpt', 'end')]
    equal(slow.result('plain.example')[0], 'done')
    for said in slow.wait(waiting):
        equal((said['results'][0]['end'], said['results'][0]['enhanced']), (LATER, '4.4.2'), said)
        check('send.deadline' in said['results'][0]['text'], said)
    slow.end()

@test
def servers_that_say_anything():
    print('seed %d' % SEED)
    many = Run(dict(SEND, deadline=1, per_destination=10), DNS)
    equal(many.result('plain.example')[0], 'done')
    before, waiting = many.children(), []
    for i in range(3000 if LONG else 150):
        name = 'wild%d.example' % (i % 4)
        waiting += many.give(name, *['u%d@%s' % (k, name) for k in range(i % 3 + 1)])
        if len(waiting) >= 100:
            many.wait(waiting[:50])
            waiting = waiting[50:]
    many.wait(waiting)
    equal(many.result('plain.example')[0], 'done')
    equal(many.children(), before, 'the child is still the same: ' + many.tail())
    many.end()

# ---- TLS ----

@test
def tls_where_it_is_offered():
    said = run.send('tls.example')
    equal((said['results'][0]['end'], said['tls']), ('done', 'TLSv1.3'), run.tail())
    equal(made['tls.example'].mails[-1]['tls'], 'TLSv1.3')

@test
def in_the_clear_where_it_fails():
    said = run.send('bad-tls.example')
    equal((said['results'][0]['end'], said['tls']), ('done', ''), said)
    equal(made['bad-tls.example'].connections, 2)

def host(peer_at, name='relay.example', tls=1, **more):
    return dict({'host': peer_at, 'port': ports[peer_at], 'tls': tls}, **more)

ports = {}

def relay(**options):
    """A server at a port of its own, on localhost."""
    ports['localhost'] = free_port()
    return Peer('127.0.0.1', ports['localhost'], **options)

@test
def a_relay_by_verified_tls():
    for names, wrapped, want in ((['localhost'], False, 'done'), (['localhost'], True, 'done'), (['other.example'], False, LATER)):
        peer = relay(context=ca.context(*names), wrapped=wrapped)
        said = run.send(host('localhost', tls=2 if wrapped else 1))
        equal(said['results'][0]['end'], want, said)
        equal([m['tls'] for m in peer.mails], ['TLSv1.3'] if want == 'done' else [])
    peer = relay(context=ca.context('localhost', signed=False))
    equal(run.result(host('localhost')), (LATER, 0, '4.7.5'), 'of no CA')
    equal(run.result(host('localhost', tls=0))[0], 'done', 'the control: not checked')
    peer = relay()
    equal(run.result(host('localhost'))[0], SET_UP, 'no STARTTLS')
    equal(run.result(host('localhost', tls=0))[0], 'done', 'the control: in the clear')

@test
def a_relay_that_asks_for_a_password():
    peer = relay(context=ca.context('localhost'), users={'mm': 'secret'})
    equal(run.result(host('localhost', user='mm', password='secret'))[0], 'done', run.tail())
    equal(run.result(host('localhost', user='mm', password='wrong'))[:2], (SET_UP, 535))
    equal(peer.auths, [('mm', True), ('mm', True)])

@test
def lmtp():
    peer = relay(lmtp=True, say=lambda session, verb, rest: '452 4.2.2 full' if verb == '.' and rest.startswith('full') else None)
    said = run.send(host('localhost', tls=0, lmtp=True), 'a@corp.example', 'full@corp.example')['results']
    equal([(r['end'], r['code']) for r in said], [('done', 250), (LATER, 452)])
    equal(len(peer.mails), 1)

# ---- MTA-STS ----

@test
def a_policy_is_enforced():
    said = run.send('sts-good.example')
    equal((said['results'][0]['end'], said['tls']), ('done', 'TLSv1.3'), said)
    for name in ('wrong', 'other', 'plain'):
        said = run.send('sts-%s.example' % name)['results'][0]
        equal((said['end'], said['enhanced'][:4]), (LATER, '4.7.'), (name, said))
        equal(counted('sts-%s.example' % name), 0)

@test
def one_that_is_tested_or_comes_from_elsewhere_is_not():
    equal(run.result('sts-testing.example')[0], 'done')
    equal(run.result('sts-forged.example')[0], 'done')
    check('sts-forged.example' not in Policies.asked, 'a policy from a server that can\'t show its certificate')

@test
def a_policy_is_fetched_once():
    asked = Policies.asked.count('sts-good.example')
    equal(asked, 1)
    equal({e['results'][0]['end'] for e in run.wait(run.give('sts-good.example', times=5))}, {'done'})
    equal(Policies.asked.count('sts-good.example'), 1)

@test
def and_not_at_all_where_that_is_off():
    off = Run(dict(SEND, sts=False), DNS)
    equal(off.result('sts-wrong.example')[0], 'done')
    off.end()

# ---- DANE ----

@test
def tlsa_records_of_a_signed_zone():
    for name, want in (('ee', 'done'), ('two', 'done'), ('ta', 'done'), ('none', 'done'), ('unusable', 'done'), ('wrong', LATER), ('plain', LATER),
                       ('unusable-plain', LATER), ('ta-name', LATER)):
        said = run.send(name + '.secure.example')
        equal((said['results'][0]['end'], said['tls'] if want == 'done' else ''), (want, 'TLSv1.3' if want == 'done' else ''), (name, said))
        equal(counted(name + '.secure.example'), 1 if want == 'done' else 0, name)

@test
def those_of_another_zone_say_nothing():
    equal(run.result('insecure.example')[0], 'done')

@test
def and_none_does_where_dane_is_off():
    off = Run(dict(SEND, dane=False), DNS)
    equal(off.result('wrong.secure.example')[0], 'done')
    off.end()

# ---- the child ----

def give_held():
    """One that a server has, and doesn't answer."""
    held.clear()
    before = made['hold.example'].connections
    waiting = run.give('hold.example')
    while made['hold.example'].connections == before:
        time.sleep(0.02)
    return waiting

@test
def a_child_that_is_killed():
    waiting = give_held()
    for pid in run.children():
        os.kill(pid, signal.SIGKILL)
    said = run.wait(waiting)[0]['results'][0]
    equal((said['end'], said['code'], said['enhanced']), (LATER, 0, '4.3.0'))
    held.set()
    equal(run.result('plain.example')[0], 'done', 'a new one')

def a_child_that_hangs():
    waiting = give_held()
    for pid in run.children():
        os.kill(pid, signal.SIGSTOP)
    equal(run.wait(waiting)[0]['results'][0]['enhanced'], '4.3.0')
    held.set()
    equal(run.result('plain.example')[0], 'done', 'a new one')

if LONG: # it takes half a minute until it counts as one
    test(a_child_that_hangs)

@test
def a_new_port_lets_the_old_child_finish():
    waiting = give_held()
    relay()
    equal(run.result(host('localhost', tls=0))[0], 'done')
    equal(len(run.children()), 2, run.tail())
    held.set()
    equal(run.wait(waiting)[0]['results'][0]['end'], 'done')
    for _ in range(200):
        if len(run.children()) == 1:
            break
        time.sleep(0.05)
    equal(len(run.children()), 1)

@test
def nothing_is_left():
    run.end()

# ---- real servers ----

def tool(name):
    path = shutil.which(name, path=os.environ['PATH'] + ':/usr/sbin')
    if not path or os.getuid() != 0:
        raise Skip('needs %s, and root' % name)
    return path

def chain_of(name):
    """Its key, then its certificate, as Postfix has them."""
    at = ca.certificate(name)
    text = open(at + '.key').read() + open(at + '.crt').read() + open(ca.file).read()
    open(at + '.chain', 'w').write(text)
    return at + '.chain'

@test
def smtp_sink():
    count = 5000 if LONG else 300
    ip = next(addresses)
    counts = tempfile.TemporaryFile()
    sink = subprocess.Popen([tool('smtp-sink'), '-u', 'nobody', '-c', '%s:%d' % (ip, PORT), '100'], stdout=counts, stderr=subprocess.DEVNULL)
    atexit.register(sink.kill)
    try:
        sinks = Nsd({'sink.example': [('MX', '10 mx.sink.example.')], 'mx.sink.example': [('A', ip)]})
        many = Run({'port': PORT}, {'forward': sinks.forward})
        for _ in range(100):
            if many.result('sink.example')[0] == 'done':
                break
        for _ in range(0, count, 100):
            equal({e['results'][0]['end'] for e in many.wait(many.give('sink.example', times=100))}, {'done'})
        many.end()
    finally:
        sink.terminate()
        sink.wait()
        counts.seek(0)
        said = counts.read().decode().replace('\r', '\n').split('\n')
    last = dict(word.split('=') for word in [line for line in said if 'mesg=' in line][-1].split())
    check(int(last['mesg']) >= count, 'smtp-sink got %r' % last)
    check(int(last['sess']) <= 20 + count // 90, 'smtp-sink had %r' % last)

@test
def postfix():
    tool('postfix')
    root = tempfile.mkdtemp(prefix='mm-postfix-')
    os.chmod(root, 0o755)
    atexit.register(shutil.rmtree, root, True)
    server = peers.Postfix(root, 'virtual_mailbox_maps = inline:{ bob@corp.example=ok }\nsmtpd_tls_security_level = may\n'
                                 'smtpd_tls_chain_files = %s\nmessage_size_limit = 100000\n' % chain_of('localhost'))
    try:
        names = Nsd({'corp.example': [('MX', '10 localhost.')], 'localhost': [('A', '127.0.0.1')]})
        one = Run({'port': server.port, 'ca': ca.file}, {'forward': names.forward})
        said = one.send('corp.example', 'bob@corp.example', 'nobody@corp.example')
        equal([(r['end'], r['code']) for r in said['results']], [('done', 250), (NEVER, 550)], said)
        equal((said['host'], said['tls']), ('localhost', 'TLSv1.3'))
        equal({e['results'][0]['end'] for e in one.wait(one.give('corp.example', times=50))}, {'done'})
        equal(one.result({'host': 'localhost', 'port': server.port, 'tls': 1}, 'bob@corp.example')[0], 'done', 'verified')
        equal(one.result('corp.example', data=mail(body='x' * 200000).decode())[::2], (NEVER, '5.3.4'), 'too large')
        one.end()
        server.drain()
        equal(len([line for line in open(server.dir + '/maillog') if 'to=<bob@corp.example>' in line and 'status=sent' in line]), 52)
    finally:
        server.close()

@test
def opensmtpd():
    """Debian 12's offers STARTTLS and can't do it (its privilege separation and OpenSSL 3): mail goes there in the clear, where that may be."""
    ip = next(addresses)
    server = OpenSmtpd(ip, PORT, 'open.example', ['bob@open.example'], ca.certificate('mx.open.example', rsa=True))
    names = Nsd({'open.example': [('MX', '10 mx.open.example.')], 'mx.open.example': [('A', ip)]})
    one = Run({'port': PORT, 'ca': ca.file}, {'forward': names.forward})
    said = one.send('open.example', 'bob@open.example', 'nobody@open.example')
    equal([r['end'] for r in said['results']], ['done', NEVER], said)
    equal({e['results'][0]['end'] for e in one.wait(one.give('open.example', times=20))}, {'done'})
    must = one.result({'host': ip, 'port': PORT, 'tls': 1}, 'bob@open.example')
    check(must[0] == 'done' or must[::2] == (LATER, '4.7.5'), must)
    one.end()
    for _ in range(600):
        if server.mails() >= 21:
            break
        time.sleep(0.1)
    check(server.mails() >= 21, server.log())
    server.close()

done()
