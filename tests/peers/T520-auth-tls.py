#!/usr/bin/env python3
"""Several ingress points at once, and what foreign TLS clients get of them: AUTH only under TLS, versions and ciphers, SNI, a
certificate that is renewed, bytes sent before the handshake."""
import base64, os, re, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

POINTS = {'inbound': {}, 'required': {"TlsPolicy": "REQUIRED"}, 'auth': {"Type": "AUTH", "TlsPolicy": "REQUIRED"},
          'auth2': {"Type": "AUTH"}, 'wrapped': {"TlsWrapped": True}, 'keep': {"BareNewlines": "KEEP"}}
PORTS = {name: free_port() for name in POINTS}
IDS = {}

def points():
    return [dict({"IngressPointName": name, "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": "127.0.0.1:%d" % PORTS[name],
                  "TrafficPolicyName": "open", "RuleSetName": "all"}, **more) for name, more in POINTS.items()]

def make_cert(name, *new_key):
    cert, key = os.path.join(site.root, name + '.crt'), os.path.join(site.root, name + '.key')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', *new_key, '-nodes', '-days', '30', '-subj', '/CN=' + name, '-addext',
                    'subjectAltName=DNS:' + name, '-keyout', key, '-out', cert], check=True, stderr=subprocess.DEVNULL)
    return cert, key

EC = ('ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1')
site = Site(apply=False)
pairs = [make_cert('a.test', *EC), make_cert('b.test', 'rsa:2048')]
settings = json.load(open(site.config))
settings['smtp'].update(tls_cert=[c for c, _ in pairs], tls_key=[k for _, k in pairs])
site.write(site.config, json.dumps(settings))
site.apply(dict(DEFAULT, IngressPoints=points()))

def password(name, text):
    return site.run('mmctl', 'passwd', name, '--password-file', '-', input=text.encode())

def context(low=None, high=None, ciphers=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if low:
        c.minimum_version = low
    if high:
        c.maximum_version = high
    if ciphers:
        c.set_ciphers(ciphers)
    return c

class Client:
    """A raw connection to an ingress point, from any address of the loopback network."""
    def __init__(self, name, source='127.0.0.1', tls=None, wrapped=False):
        self.s = socket.create_connection(('127.0.0.1', PORTS[name]), timeout=30, source_address=(source, 0))
        self.b = b''
        if wrapped:
            self.s = (tls or context()).wrap_socket(self.s, server_hostname='a.test')
        self.first = self.reply()
        if tls and not wrapped:
            self.start_tls(tls)
        else:
            self.features = self.say('EHLO c.test')

    def start_tls(self, tls=None, sni='a.test'):
        self.say('EHLO c.test')
        self.wants('STARTTLS', '220')
        self.s = (tls or context()).wrap_socket(self.s, server_hostname=sni)
        self.features = self.say('EHLO c.test')

    def reply(self):
        """A whole reply; what was read so far when the connection ends."""
        text = ''
        while True:
            while b'\n' not in self.b:
                try:
                    data = self.s.recv(65536)
                except OSError:
                    data = b''
                if not data:
                    return text
                self.b += data
            line, self.b = self.b.split(b'\n', 1)
            text += line.decode('latin-1') + '\n'
            if line[3:4] != b'-':
                return text

    def say(self, text):
        self.s.sendall(text.encode() + b'\r\n')
        return self.reply()

    def wants(self, text, code):
        reply = self.say(text)
        check(reply.startswith(code), '%s: got %r, want %s' % (text[:60], reply, code))
        return reply

    def close(self):
        self.s.close()

def b64(text):
    return base64.b64encode(text.encode()).decode()

def plain(user, password, authzid=''):
    return 'AUTH PLAIN ' + b64('%s\0%s\0%s' % (authzid, user, password))

def login(client, user, password):
    client.wants('AUTH LOGIN', '334 VXNlcm5hbWU6')
    client.wants(b64(user), '334 UGFzc3dvcmQ6')
    return client.say(b64(password))[:3]

def tries(name, source, *pairs):
    """The codes of AUTH PLAIN with each (user, password), each on its own connection."""
    codes = []
    for user, word in pairs:
        c = Client(name, source, context())
        codes.append(c.say(plain(user, word))[:3])
        c.close()
    return codes

def peer_cert(name, sni, tls=None, starttls=False):
    s = socket.create_connection(('127.0.0.1', PORTS[name]), timeout=30)
    s = (tls or context()).wrap_socket(s, server_hostname=sni)
    der = s.getpeercert(True)
    s.close()
    p = subprocess.run(['openssl', 'x509', '-inform', 'DER', '-noout', '-subject', '-serial'], input=der, stdout=subprocess.PIPE,
                       check=True)
    subject, serial = p.stdout.decode().splitlines()
    return subject.split('=')[-1].strip(), serial.split('=')[1]

site.start()
for row in json.loads(site.run('mmctl', 'show', 'IngressPoints', '--json'))['IngressPoints']:
    IDS[row['IngressPointName']] = row['IngressPointId']
password('auth', 'first-password')
password('auth2', 'other-password')

@test
def all_points_serve_at_once():
    clients = {'inbound': Client('inbound'), 'required': Client('required', tls=context()), 'keep': Client('keep'),
               'wrapped': Client('wrapped', wrapped=True), 'auth': Client('auth', tls=context())}
    clients['auth'].wants(plain('auth', 'first-password'), '235')
    for name, c in clients.items():
        c.wants('MAIL FROM:<ann@shop.example>', '250')
        c.wants('RCPT TO:<sales@corp.example>', '250')
        c.wants('DATA', '354')
    for name, c in clients.items():
        c.wants('Subject: through %s\r\n\r\n%s\r\n.' % (name, 'bare\nline' if name == 'keep' else 'line'), '250')
    site.wait()
    for name in clients:
        equal(site.count('ingress:%s subject:%s' % (name, name)), 1, name)
    odd = Client('inbound')
    for command in ('MAIL FROM:<ann@shop.example>', 'RCPT TO:<sales@corp.example>'):
        odd.wants(command, '250')
    odd.wants('DATA', '354')
    odd.wants('Subject: odd\r\n\r\nbare\nline\r\n.', '550 5.6.0')

@test
def receipts_say_how_it_came():
    for name, tls, wrapped, user in (('inbound', None, False, None), ('required', 'TLSv1.3', False, None), ('wrapped', 'TLSv1.3', True, None),
                                     ('auth', 'TLSv1.3', False, IDS['auth'])):
        row = site.rows('ingress:' + name)[0]
        r = json.loads(site.run('mmctl', 'why', row['id'], '--json'))['receipt']
        equal(((r.get('tls') or {}).get('version'), r['tls_wrapped'], r.get('auth')), (tls, wrapped, user), name)

@test
def tls_is_required_where_it_is_required():
    c = Client('required')
    c.wants('MAIL FROM:<ann@shop.example>', '530 5.7.0')
    c.wants('RSET', '530')
    c.wants('NOOP', '250')
    c.start_tls()
    check('STARTTLS' not in c.features, 'STARTTLS is offered twice')
    c.wants('MAIL FROM:<ann@shop.example>', '250')
    c.wants('STARTTLS', '503')
    Client('inbound').wants('MAIL FROM:<ann@shop.example>', '250')  # the control

@test
def auth_is_under_tls_only():
    for name, code in (('auth', '530'), ('auth2', '538')):
        c = Client(name)
        check('AUTH' not in c.features, name + ' offers AUTH in the clear')
        c.wants(plain(name, 'first-password'), code)
        c.wants('AUTH LOGIN', code)
        c.wants('MAIL FROM:<ann@shop.example>', '530')
        c.start_tls()
        check('AUTH PLAIN LOGIN' in c.features, c.features)
        c.wants('MAIL FROM:<ann@shop.example>', '530 5.7.0')
    c = Client('inbound', tls=context())
    check('AUTH' not in c.features, 'an open point offers AUTH')
    c.wants(plain('inbound', 'first-password'), '502')
    c.wants('MAIL FROM:<ann@shop.example>', '250')

@test
def plain_and_login_by_name_and_by_id():
    for user in ('auth', IDS['auth']):
        for authzid in ('', user):
            c = Client('auth', '127.0.0.2', context())
            c.wants(plain(user, 'first-password', authzid), '235')
            c.wants(plain(user, 'first-password'), '503')
            c.wants('MAIL FROM:<ann@shop.example>', '250')
        equal(login(Client('auth', '127.0.0.2', context()), user, 'first-password'), '235', 'LOGIN ' + user)
    c = Client('auth', '127.0.0.2', context())
    c.wants('AUTH PLAIN', '334')
    c.wants(b64('\0auth\0first-password'), '235')

@test
def wrong_credentials_are_refused():
    equal(tries('auth', '127.0.0.3', ('auth', 'First-password'), ('auth', 'first-password '), ('auth', 'other-password'),
                ('auth2', 'other-password'), ('auth2', 'first-password'), ('nobody', 'first-password'), ('AUTH', 'first-password')),
          ['535'] * 7, 'wrong ones')
    c = Client('auth', '127.0.0.3', context())
    c.wants(plain('auth', 'first-password', 'someone-else'), '535')
    equal(login(c, 'auth', 'wrong'), '535', 'LOGIN')
    c.wants('MAIL FROM:<ann@shop.example>', '530')
    for odd in ('AUTH PLAIN %%%', 'AUTH PLAIN ' + b64('auth'), 'AUTH PLAIN ='):
        c.wants(odd, '501')
    c.wants('AUTH CRAM-MD5', '504')
    c.wants('AUTH LOGIN', '334')
    c.wants('*', '501')
    c.wants(plain('auth', 'first-password'), '235')  # the control: this connection can, with the right one

@test
def a_password_is_changed_in_two_steps():
    old, new, newest = ('auth', 'first-password'), ('auth', 'second-password'), ('auth', 'third-password')
    equal(tries('auth', '127.0.0.4', old, new), ['235', '535'], 'before')
    site.run('mmctl', 'passwd', 'inbound', '--password-file', '-', input=b'some-password', code=2)
    site.run('mmctl', 'passwd', 'auth', '--password-file', '-', input=b'short', code=2)
    password('auth', 'second-password')
    equal(tries('auth', '127.0.0.4', old, new), ['235', '235'], 'the old one works on')
    password('auth', 'third-password')
    equal(tries('auth', '127.0.0.4', old, new, newest), ['535', '235', '235'], 'two work at most')
    site.stop()
    site.start()
    equal(tries('auth', '127.0.0.4', old, new, newest), ['535', '235', '235'], 'after a restart')
    site.advance(days=15)
    equal(tries('auth', '127.0.0.5', new, newest), ['535', '235'], 'after 15 days')
    equal(site.grep([b'first-password', b'second-password', b'third-password']), [], 'in the clear')

@test
def guessing_is_limited():
    wrong = [('auth' if n % 2 else 'nobody', 'guess-%d' % n) for n in range(24)]
    codes = tries('auth', '127.0.0.6', *wrong)
    equal((codes[:20], set(codes[20:])), (['535'] * 20, {'454'}), 'guesses')
    equal(tries('auth', '127.0.0.6', ('auth', 'third-password')), ['454'], 'the right one from there')
    equal(tries('auth', '127.0.0.7', ('auth', 'third-password')), ['235'], 'from elsewhere')
    c = Client('auth', '127.0.0.8', context())
    codes = [c.say(plain('auth', 'wrong'))[:3] for _ in range(30)]
    check(codes[0] == '535' and '421' in codes and '' in codes[codes.index('421') + 1:] + [''], codes)
    equal(set(codes[codes.index('421') + 1:]), {''}, 'after 421')

@test
def both_versions_of_tls():
    for version, name in ((ssl.TLSVersion.TLSv1_2, 'TLSv1.2'), (ssl.TLSVersion.TLSv1_3, 'TLSv1.3')):
        for point in ('inbound', 'wrapped'):
            c = Client(point, tls=context(version, version), wrapped=point == 'wrapped')
            equal(c.s.version(), name, point)
            c.wants('MAIL FROM:<ann@shop.example>', '250')
            c.wants('RCPT TO:<sales@corp.example>', '250')
            c.wants('DATA', '354')
            id = message_id(c.wants('Subject: %s %s\r\n\r\nx\r\n.' % (name, point), '250').encode())
            site.wait()
            receipt = json.loads(site.run('mmctl', 'why', id, '--json'))['receipt']
            equal(receipt['tls']['version'], name, 'receipt')
            check('GCM' in receipt['tls']['cipher'] or 'CHACHA' in receipt['tls']['cipher'], receipt)

def s_client(*args):
    return subprocess.run(['openssl', 's_client', '-starttls', 'smtp', '-connect', '127.0.0.1:%d' % PORTS['inbound'], '-brief', *args],
                          input=b'QUIT\r\n', stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

@test
def old_versions_are_refused():
    for version, good in (('-tls1', False), ('-tls1_1', False), ('-tls1_2', True), ('-tls1_3', True)):
        p = s_client(version, '-cipher', 'ALL:@SECLEVEL=0')
        equal(p.returncode == 0, good, version + p.stdout.decode('utf-8', 'replace')[-300:])
        if not good:  # it was the server that refused, not this client
            check(b'alert protocol version' in p.stdout, p.stdout[-500:])

@test
def weak_ciphers_are_refused():
    p = subprocess.run(['openssl', 'ciphers', '-s', '-tls1_2', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'], stdout=subprocess.PIPE, check=True)
    names = p.stdout.decode().strip().split(':')
    accepted = {}
    for sni in ('a.test', 'b.test'):  # an ECDSA key and an RSA key
        for name in names:
            s = socket.create_connection(('127.0.0.1', PORTS['wrapped']), timeout=30)
            try:
                tls = context(high=ssl.TLSVersion.TLSv1_2, ciphers=name + ':@SECLEVEL=0')
                s = tls.wrap_socket(s, server_hostname=sni)
                accepted.setdefault(sni, []).append(s.cipher()[0])
            except (ssl.SSLError, OSError):
                pass
            s.close()
    check(len(names) > 40, 'this client knows %d ciphers only' % len(names))
    for sni, key in (('a.test', 'ECDSA'), ('b.test', 'RSA')):
        bad = [c for c in accepted[sni] if not re.match('ECDHE-%s-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)$' % key, c)]
        equal(bad, [], sni)
        check(len(accepted[sni]) >= 2, '%s: %s' % (sni, accepted[sni]))
    p = s_client('-tls1_2')
    check(b'Server Temp Key: X25519' in p.stdout or b'Server Temp Key: ECDH' in p.stdout, p.stdout[-400:])
    p = subprocess.run(['openssl', 's_client', '-connect', '127.0.0.1:%d' % PORTS['wrapped'], '-tls1_2'], input=b'QUIT\r\n',
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    check(b'Compression: NONE' in p.stdout and b'Secure Renegotiation IS supported' in p.stdout, p.stdout[-1500:])

@test
def a_client_cannot_renegotiate():
    p = subprocess.Popen(['openssl', 's_client', '-starttls', 'smtp', '-connect', '127.0.0.1:%d' % PORTS['inbound'], '-tls1_2'],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in p.stdout:
        if b'Verify return code' in line:
            break
    p.stdin.write(b'R\n')
    p.stdin.flush()
    out = p.communicate(timeout=60)[0]
    check(b'RENEGOTIATING' in out and b'no renegotiation' in out, out[-500:])

@test
def the_name_decides_the_certificate():
    got = [peer_cert('wrapped', sni)[0] for sni in ('a.test', 'b.test', 'B.TEST', 'unknown.test', None)]
    equal(got, ['a.test', 'b.test', 'b.test', 'a.test', 'a.test'], 'by name')
    c = Client('inbound')
    c.start_tls(sni='b.test')
    check(b'b.test' in c.s.getpeercert(True), 'STARTTLS')

def hang_up():
    """SIGHUP, and the line of the log about it."""
    before = len(open(site.log).read())
    site.process.send_signal(signal.SIGHUP)
    for _ in range(200):
        for line in open(site.log).read()[before:].splitlines():
            if 'reload' in line:
                return line
        time.sleep(0.05)
    raise AssertionError('nothing about a reload in the log')

def open_transaction():
    c = Client('inbound', tls=context())
    c.wants('MAIL FROM:<ann@shop.example>', '250')
    c.wants('RCPT TO:<sales@corp.example>', '250')
    c.wants('DATA', '354')
    c.s.sendall(b'Subject: over a reload\r\n\r\n')
    return c

def new_serial(name, serial):
    for _ in range(200):
        got = peer_cert('wrapped', name)[1]
        if got != serial:
            return got
        time.sleep(0.05)
    raise AssertionError('the certificate of %s stays as it was' % name)

@test
def a_new_certificate_is_served_after_sighup():
    a, b = peer_cert('wrapped', 'a.test')[1], peer_cert('wrapped', 'b.test')[1]
    c = open_transaction()
    old = c.s.getpeercert(True)
    make_cert('a.test', *EC)
    equal(peer_cert('wrapped', 'a.test')[1], a, 'before SIGHUP')
    check('ERROR' not in hang_up(), 'the reload')
    new_serial('a.test', a)
    equal(peer_cert('wrapped', 'b.test')[1], b, 'the other one')
    check(Client('inbound', tls=context()).s.getpeercert(True) != old, 'STARTTLS has the old one')
    c.wants('.', '250')  # the connection of before lives on

@test
def a_bad_certificate_changes_nothing():
    cert, key = pairs[0]
    _, serial = peer_cert('wrapped', 'a.test')
    good = open(cert, 'rb').read(), open(key, 'rb').read()
    c = open_transaction()
    for spoil in (lambda: site.write(cert, 'nonsense'), lambda: os.remove(key), lambda: make_cert('a.test', *EC) and site.write(key, open(pairs[1][1]).read())):
        spoil()
        line = hang_up()
        check(cert in line or key in line or 'tls' in line.lower() or 'certificate' in line, line)
        check('reloaded' not in line, line)
        equal(peer_cert('wrapped', 'a.test')[1], serial, 'served')
        password('auth2', 'another-password')  # a change of anything else still takes effect
        equal(peer_cert('wrapped', 'a.test')[1], serial, 'served after a change')
        open(cert, 'wb').write(good[0])
        open(key, 'wb').write(good[1])
    c.wants('.', '250')
    make_cert('a.test', *EC)
    check('reloaded' in hang_up(), 'a good one again')
    new_serial('a.test', serial)

@test
def what_is_sent_before_the_handshake_is_discarded():
    for late in (False, True):
        c = Client('inbound')
        evil = b'EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<sales@corp.example>\r\n'
        c.s.sendall(b'STARTTLS\r\n' + (b'' if late else evil))
        check(c.reply().startswith('220'), 'STARTTLS')
        if late:  # behind the 220, and the handshake in the same piece
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context().wrap_bio(incoming, outgoing, server_hostname='a.test')
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            c.s.sendall(evil + outgoing.read())
            c.s.settimeout(10)
            try:
                answer = c.s.recv(65536)
            except ConnectionResetError:
                answer = b''
            # A server that takes it for TLS answers with an alert; nothing of it may be run.
            check(b'250' not in answer and b'evil' not in answer, answer)
            continue
        c.s = context().wrap_socket(c.s, server_hostname='a.test')
        equal(c.b, b'', 'replies in the clear behind 220')
        reply = c.say('MAIL FROM:<ann@shop.example>')
        check(reply.startswith('503 5.5.1 Send EHLO first'), reply)
        check('evil' not in c.say('EHLO c.test'), 'EHLO')
        c.wants('RCPT TO:<sales@corp.example>', '503')
        c.wants('MAIL FROM:<ann@shop.example>', '250')
    equal(site.count('envelope-from:evil@evil.test'), 0, 'archived')

@test
def what_came_in_the_clear_is_forgotten():
    c = Client('inbound')
    c.wants('MAIL FROM:<clear@shop.example>', '250')
    c.wants('RCPT TO:<sales@corp.example>', '250')
    c.wants('STARTTLS', '220')
    c.s = context().wrap_socket(c.s, server_hostname='a.test')
    c.wants('DATA', '503')
    c.wants('RCPT TO:<sales@corp.example>', '503')

@test
def swaks_authenticates():
    for mechanism in ('PLAIN', 'LOGIN'):
        p = subprocess.run(['swaks', '--server', '127.0.0.1', '--port', str(PORTS['auth']), '--to', 'a@corp.example', '--from', 'p@perl.example',
                            '--tls', '--auth', mechanism, '--auth-user', 'auth', '--auth-password', 'third-password', '--header',
                            'Subject: swaks ' + mechanism, '--silent', '2'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        equal(p.returncode, 0, p.stdout.decode()[-500:])
    site.wait()
    equal((site.count('subject:"swaks plain"'), site.count('subject:"swaks login"')), (1, 1), 'archived')

@test
def it_stops_clean():
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()
    check('ERROR: ' not in site.tail(10**7).replace('ERROR: reload', ''), site.tail())

done()
