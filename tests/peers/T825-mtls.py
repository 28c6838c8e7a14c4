#!/usr/bin/env python3
"""Ingress points that ask for client certificates, with CAs, certificates and revocation lists made by openssl and Python's TLS client: who
is let in and who isn't, a trust store that is replaced, what is kept of a certificate and rules about it, and what the API shows."""
import datetime, os, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from signed import Line

NOW = datetime.datetime.now(datetime.timezone.utc)
CA_USE = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n'
CLIENT = 'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n'
CONFIG = """[ca]
default_ca = it
[it]
dir = {dir}
database = {dir}/index
serial = {dir}/serial
crlnumber = {dir}/crlnumber
new_certs_dir = {dir}
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = optional
organizationName = optional
"""

api, pool = free_port(), free_port()
site = Site(apply=False, config={'api': {'listen': '127.0.0.1:%d' % api, 'ingress_pool': '127.0.0.1:%d-%d' % (pool, pool)}})
site.tls()
PORTS = {name: free_port() for name in ('inbound', 'mtls', 'wrapped')}
STORE_MEMBER = 'IngressPointConfiguration.TlsAuthConfiguration.TrustStore'

def openssl(*args):
    p = subprocess.run(['openssl'] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(p.returncode == 0, 'openssl %s: %s' % (args, p.stderr.decode()[-2000:]))
    return p.stdout.decode()

def day(days):
    return (NOW + datetime.timedelta(days=days)).strftime('%Y%m%d%H%M%SZ')

class Cert:
    """A certificate with its key; `by` None: its own. `days` is when it begins and ends, from now."""
    count = 0

    def __init__(self, cn, by=None, use=CLIENT, days=(-1, 30), subject=None, chain=()):
        Cert.count += 1
        self.dir = os.path.join(site.root, 'pki', str(Cert.count))
        os.makedirs(self.dir)
        for name, text in (('index', ''), ('serial', '%04x' % (4096 + Cert.count)), ('crlnumber', '01'), ('ext', use),
                           ('conf', CONFIG.format(dir=self.dir))):
            site.write(self.path(name), text)
        openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-utf8', '-subj', subject or '/O=Test/CN=' + cn,
                '-keyout', self.path('key'), '-out', self.path('csr'))
        signer = by or self
        who = ['-cert', by.path('crt'), '-keyfile', by.path('key')] if by else ['-selfsign', '-keyfile', self.path('key')]
        openssl('ca', '-batch', '-config', signer.path('conf'), '-in', self.path('csr'), '-out', self.path('crt'), '-extfile', self.path('ext'),
                '-startdate', day(days[0]), '-enddate', day(days[1]), '-notext', '-preserveDN', '-utf8', *who)
        self.by = by
        self.pem = open(self.path('crt')).read()
        site.write(self.path('chain'), self.pem + ''.join(c.pem for c in chain))
        self.serial = openssl('x509', '-in', self.path('crt'), '-noout', '-serial').strip().split('=')[1]

    def path(self, name):
        return os.path.join(self.dir, name)

    def revoke(self, *certs):
        for cert in certs:
            openssl('ca', '-config', self.path('conf'), '-cert', self.path('crt'), '-keyfile', self.path('key'), '-revoke', cert.path('crt'))

    def crl(self, first=-1, last=30):
        return openssl('ca', '-config', self.path('conf'), '-cert', self.path('crt'), '-keyfile', self.path('key'), '-gencrl',
                       '-crl_lastupdate', day(first), '-crl_nextupdate', day(last))

def store(cas, crls=()):
    s = {'CAContent': ''.join(c.pem for c in cas)}
    return dict(s, CrlContent=''.join(crls)) if crls else s

def use(trust, rules=None, **more):
    """All points anew; `trust` is of both that ask for a certificate."""
    def point(name, **members):
        return dict({'IngressPointName': name, 'Type': 'MTLS', 'Listen': '127.0.0.1:%d' % PORTS[name], 'TrafficPolicyName': 'open',
                     'RuleSetName': 'all', 'IngressPointConfiguration': {'TlsAuthConfiguration': {'TrustStore': trust}}}, **members)
    open_point = point('inbound', Type='OPEN', TlsPolicy='OPTIONAL')
    del open_point['IngressPointConfiguration']
    file = dict(DEFAULT, IngressPoints=[open_point, point('mtls', **more), point('wrapped', TlsWrapped=True)])
    if rules:
        file['RuleSets'] = [{'RuleSetName': 'all', 'Rules': rules}]
    return site.apply(file)

def refused(trust, text, **more):
    try:
        use(trust, **more)
    except AssertionError as e:
        check(text in str(e), '%s is not in: %s' % (text, e))
        return
    raise AssertionError('taken, and not "%s"' % text)

def context(cert, version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if version:
        c.minimum_version = c.maximum_version = version
    if cert:
        c.load_cert_chain(cert.path('chain'), cert.path('key'))
    return c

class Client:
    def __init__(self, name, cert, version=None, session=None, tls=None):
        self.s = socket.create_connection(('127.0.0.1', PORTS[name]), timeout=60)
        self.tls = tls or context(cert, version)
        if name != 'wrapped':
            self.reply()
            self.say('EHLO c.test')
            check(self.say('STARTTLS').startswith('220'), 'STARTTLS')
        self.s = self.tls.wrap_socket(self.s, server_hostname='localhost', session=session)
        if name == 'wrapped':
            self.reply()
        self.greeted = self.say('EHLO c.test')

    def reply(self):
        text = b''
        while True:
            data = self.s.recv(65536)
            if not data:
                raise ConnectionResetError('closed')
            text += data
            lines = text.split(b'\r\n')
            if text.endswith(b'\r\n') and lines[-2][3:4] == b' ':
                return text.decode()

    def say(self, text):
        self.s.sendall(text.encode() + b'\r\n')
        return self.reply()

    def send(self, subject):
        for command, code in (('MAIL FROM:<ann@shop.example>', '250'), ('RCPT TO:<sales@corp.example>', '250'), ('DATA', '354')):
            reply = self.say(command)
            check(reply.startswith(code), '%s: %s' % (command, reply))
        reply = self.say('Subject: %s\r\n\r\nx\r\n.' % subject)
        check(reply.startswith('250'), reply)
        return message_id(reply.encode())

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

def judged(cert, name='mtls', version=None):
    """'in', or the alert that the handshake ended with."""
    try:
        c = Client(name, cert, version)
        check(c.greeted.startswith('250'), c.greeted)
        check(c.say('MAIL FROM:<ann@shop.example>').startswith('250'), 'MAIL')
        c.s.close()
        return 'in'
    except ssl.SSLError as e:
        check('ALERT' in (e.reason or ''), 'no alert: %r' % e)
        return e.reason.split('ALERT_')[-1]

def expect(want, *certs):
    for cert in certs:
        for name in ('mtls', 'wrapped'):
            for version in VERSIONS:
                got = judged(cert, name, version)
                check((got == 'in') == (want == 'in') and (want in got or want == 'out'), '%s %s: %s, want %s' % (name, version, got, want))

root, other, old = Cert('root', use=CA_USE), Cert('other', use=CA_USE), Cert('old', use=CA_USE, days=(-30, -1))
middle, late = Cert('middle', root, CA_USE), Cert('late', root, CA_USE, days=(-30, -1))
ann = Cert('ann', root)
bob = Cert('bob', middle, chain=[middle])
alone = Cert('alone', middle) # without the intermediate one
stranger, server = Cert('stranger', other), Cert('server', root, CLIENT.replace('clientAuth', 'serverAuth'))
gone, early = Cert('gone', root, days=(-3, -1)), Cert('early', root, days=(1, 3))
free = Cert('free', root, 'basicConstraints=CA:FALSE\n') # no extended key usage
of_old, of_late, of_leaf = Cert('of-old', old), Cert('of-late', late, chain=[late]), Cert('of-ann', ann, chain=[ann])
use(store([root]))
site.start()

@test
def who_is_let_in():
    expect('in', ann, bob, free)
    expect('out', alone, stranger, server, early, of_late, of_leaf, root)
    expect('EXPIRED', gone)
    for version, alert in zip(VERSIONS, ('HANDSHAKE_FAILURE', 'CERTIFICATE_REQUIRED')):
        for name in ('mtls', 'wrapped'):
            equal(judged(None, name, version), alert, name)
    for cert in (None, stranger, gone): # the control: a point that asks for none
        equal(judged(cert, 'inbound'), 'in', 'inbound')

@test
def nothing_goes_in_the_clear():
    s = smtplib.SMTP('127.0.0.1', PORTS['mtls'], timeout=60)
    s.ehlo('c.test')
    equal(s.docmd('MAIL FROM:<ann@shop.example>')[0], 530, 'MAIL')
    check(not s.has_extn('auth'), 'AUTH is offered')
    s.close()

@test
def a_root_of_the_store_is_no_client():
    both = Cert('both', use=CA_USE.replace('keyCertSign', 'digitalSignature,keyCertSign')) # its key may do both
    below = Cert('below', root, CA_USE.replace('keyCertSign', 'digitalSignature,keyCertSign'))
    use(store([both, root]))
    expect('out', both)
    expect('in', Cert('of-both', both), below) # the control: those that one of the store signed

@test
def expired_cas_are_ignored():
    use(store([old, root]))
    expect('in', ann)
    expect('out', of_old)
    use(store([middle])) # an intermediate CA is trusted by itself
    expect('in', alone, bob)
    expect('out', ann)
    use(store([old])) # then there is no CA left
    expect('out', of_old, ann)

@test
def revoked_ones_stay_out():
    root.revoke(free)
    middle.revoke(bob)
    use(store([root]))
    expect('in', ann, bob, free) # the control: without the lists
    use(store([root], [root.crl()]))
    expect('in', ann, bob)
    expect('REVOKED', free)
    use(store([root], [root.crl(), middle.crl()]))
    expect('in', ann)
    expect('REVOKED', bob, free)
    use(store([root, other], [other.crl()])) # a list says nothing about another CA's
    expect('in', ann, bob, free, stranger)
    root.revoke(middle)
    for cas in ([root], [root, middle]):
        use(store(cas, [root.crl()]))
        expect('in', ann)
        expect('out', bob)

@test
def a_list_that_expired_takes_its_ca_along():
    use(store([root, other], [root.crl(-10, -1)]))
    expect('out', ann, free)
    expect('in', stranger) # the control
    use(store([root, other], [root.crl(1, 10)])) # not yet valid
    expect('out', ann)
    use(store([root], [root.crl(-10, -1), root.crl()])) # an older and a newer one
    expect('in', ann)
    expect('REVOKED', free)
    use(store([root], [middle.crl(-10, -1)]))
    expect('out', bob)
    expect('in', ann)
    use(store([root], [root.crl(-1, 5)]))
    expect('in', ann)
    site.advance(days=6) # it expires while the listener runs
    expect('out', ann)
    site.advance(days=-6)
    expect('in', ann)

@test
def a_new_trust_store_is_for_new_connections():
    for version in VERSIONS:
        use(store([root]))
        c, tls = Client('mtls', ann, version), context(ann, version)
        before = Client('mtls', ann, tls=tls)
        before.say('NOOP')
        check(not before.s.session or not before.s.session.has_ticket, 'a ticket was given')
        use(store([other]))
        c.send('over a change') # goes on as it was
        check(c.say('MAIL FROM:<ann@shop.example>').startswith('250'), 'MAIL')
        expect('out', ann)
        expect('in', stranger)
        try:
            Client('mtls', ann, tls=tls, session=before.s.session)
        except ssl.SSLError as e:
            check('ALERT' in e.reason, e)
        else:
            raise AssertionError('a session of before was resumed')
    use(store([root]))
    first = Client('mtls', ann, tls=tls)
    first.say('NOOP')
    again = Client('mtls', ann, tls=tls, session=first.s.session)
    equal(again.s.session_reused, False, 'resumed')
    tls = context(None, ssl.TLSVersion.TLSv1_3) # the control: elsewhere sessions are resumed
    first = Client('inbound', None, tls=tls)
    equal(Client('inbound', None, tls=tls, session=first.s.session).s.session_reused, True, 'resumed')

def receipt_of(id):
    site.wait()
    return json.loads(site.run('mmctl', 'why', id, '--json'))['receipt'].get('client_cert')

NAMES = CLIENT + 'subjectAltName=DNS:a.example,DNS:b.example,email:ann@a.example,URI:urn:x:1,IP:192.0.2.1,IP:2001:db8::1,RID:1.2.3.4,dirName:dir\n' \
    '[dir]\nO=Shop\nCN=Ann in dir\n'

@test
def what_is_kept_of_a_certificate():
    use(store([root]))
    full = Cert('full', root, NAMES, subject='/O=Test/CN=Ann Ä./CN=second')
    for name in ('mtls', 'wrapped'):
        got = receipt_of(Client(name, full).send('kept ' + name))
        times = [got.pop('not_before'), got.pop('not_after')]
        equal(got, {'cn': ['Ann Ä.', 'second'], 'rfc822': ['ann@a.example'], 'dns': ['a.example', 'b.example'], 'directory': ['CN=Ann in dir,O=Shop'],
                    'uri': ['urn:x:1'], 'ip': ['192.0.2.1', '2001:db8::1'], 'registered_id': ['1.2.3.4'], 'serial': full.serial,
                    'issuer': 'CN=root,O=Test'}, name)
        equal(times, [int((NOW + datetime.timedelta(days=d)).timestamp()) * 1000 for d in (-1, 30)], 'times')
    equal(receipt_of(Client('inbound', full).send('not asked')), None, 'inbound')
    huge = Cert('huge', root, CLIENT + 'subjectAltName=' + ','.join('DNS:n%d.example' % n for n in range(200)) + '\n')
    expect('out', huge)

def string(attribute, operator, *values):
    return {'StringExpression': {'Evaluate': {'ClientCertificateAttribute': attribute}, 'Operator': operator, 'Values': list(values)}}

@test
def rules_ask_for_it():
    full = Cert('asked', root, NAMES)
    holds = [string('CN', 'EQUALS', 'nobody', 'ASKED'), string('SAN_DNS_NAME', 'EQUALS', 'b.example'), string('SAN_DNS_NAME', 'STARTS_WITH', 'a.'),
             string('SAN_RFC822_NAME', 'ENDS_WITH', '@a.example'), string('SAN_DIRECTORY_NAME', 'CONTAINS', 'O=Shop'),
             string('SAN_UNIFORM_RESOURCE_IDENTIFIER', 'EQUALS', 'urn:x:1'), string('SAN_IP_ADDRESS', 'EQUALS', '2001:db8::1'),
             string('SAN_REGISTERED_ID', 'EQUALS', '1.2.3.4'), string('SERIAL_NUMBER', 'EQUALS', full.serial.lower()),
             string('CN', 'NOT_EQUALS', 'nobody')]
    fails = [string('CN', 'EQUALS', 'aske'), string('SAN_DNS_NAME', 'NOT_EQUALS', 'b.example'), string('SAN_RFC822_NAME', 'EQUALS', 'a.example'),
             string('SAN_IP_ADDRESS', 'EQUALS', '192.0.2.2'), string('SERIAL_NUMBER', 'EQUALS', '0' + full.serial)]
    keep = {'Archive': {'TargetArchive': 'corp'}}
    # Each rule puts an address into the envelope by which it is seen to have applied.
    rules = [{'Name': 'r%d' % n, 'Conditions': [c], 'Actions': [{'Archive': {'TargetArchive': 'short'}}, {'ReplaceRecipient': {
        'ReplaceWith': ['sales@corp.example', 'r%d@corp.example' % n]}}]} for n, c in enumerate(holds + fails)]
    use(store([root]), rules=rules + [{'Name': 'keep', 'Actions': [keep]}])
    ids = [Client('mtls', full).send('asked'), Client('inbound', None).send('asked without')]
    site.wait()
    def applied(id):
        row = [r for r in site.rows('subject:asked') if r['id'] == id][0]
        return {n for n in range(len(rules)) if 'r%d@corp.example' % n in json.dumps(row)}
    equal(applied(ids[0]), set(range(len(holds))), 'with a certificate')
    equal(applied(ids[1]), {holds.index(string('CN', 'NOT_EQUALS', 'nobody')), len(holds) + 1}, 'without one')

@test
def bad_trust_stores_are_refused():
    crl = root.crl()
    good = store([root], [crl])
    use(good)
    for bad, text in ((dict(good, CAContent='nothing'), STORE_MEMBER + '.CAContent: it has no PEM block'),
                      (dict(good, CAContent=ann.pem), STORE_MEMBER + ".CAContent: certificate 1: it is not a CA's"),
                      (dict(good, CAContent=root.pem + ann.pem), STORE_MEMBER + '.CAContent: certificate 2'),
                      (dict(good, CAContent=root.pem.replace('MII', 'MMM', 1)), STORE_MEMBER + '.CAContent: certificate 1'),
                      (dict(good, CAContent=root.pem[:-60]), STORE_MEMBER + '.CAContent: certificate 1'),
                      (dict(good, CAContent=open(root.path('key')).read()), STORE_MEMBER + '.CAContent: certificate 1: it has a PEM block that is no'),
                      (dict(good, CrlContent=root.pem), STORE_MEMBER + '.CrlContent: list 1'),
                      (dict(good, CrlContent=crl[:-60]), STORE_MEMBER + '.CrlContent: list 1'),
                      (dict(good, KmsKeyArn='arn:aws:kms:us-east-1:123456789012:key/x'), '"KmsKeyArn" is not built yet'),
                      ({'CrlContent': crl}, STORE_MEMBER + '.CAContent: Member must not be null')):
        refused(bad, text)
    refused(good, 'TlsPolicy: must be REQUIRED', TlsPolicy='OPTIONAL')
    refused(good, STORE_MEMBER + ': Member must not be null', IngressPointConfiguration=None)
    expect('in', ann) # as before
    before = site.run('mmctl', 'show', 'IngressPoints')
    use(good)
    equal(site.run('mmctl', 'show', 'IngressPoints'), before, 'applied again')
    point = {'IngressPointName': 'third', 'Type': 'OPEN', 'Listen': '127.0.0.1:%d' % free_port(), 'TrafficPolicyName': 'open', 'RuleSetName': 'all',
             'IngressPointConfiguration': {'TlsAuthConfiguration': {'TrustStore': good}}}
    for kind in ('OPEN', 'AUTH'):
        path = os.path.join(site.root, 'third.json')
        site.write(path, json.dumps({'IngressPoints': [dict(point, Type=kind)]}))
        site.run('mmctl', 'apply', path, code=2)
        check('only an ingress point of type MTLS has one' in site.stderr, site.stderr)

@test
def the_api_keeps_and_shows_it():
    key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
    def call(operation, want=200, **input):
        line = Line(api, timeout=120)
        status, answer = line.call(key, '127.0.0.1:%d' % api, operation, json.dumps(input).encode())
        line.close()
        equal(status, want, answer)
        return answer
    def tls(trust):
        return {'TlsAuthConfiguration': {'TrustStore': trust}}
    sets, policies = call('ListRuleSets')['RuleSets'], call('ListTrafficPolicies')['TrafficPolicies']
    point = {'IngressPointName': 'by-api', 'Type': 'MTLS', 'RuleSetId': sets[0]['RuleSetId'], 'TrafficPolicyId': policies[0]['TrafficPolicyId'],
             'IngressPointConfiguration': tls(store([root]))}
    for bad, text in ((tls(store([ann])), 'CAContent'), (tls({'CAContent': root.pem, 'CrlContent': 'x'}), 'CrlContent'),
                      (tls(dict(store([root]), KmsKeyArn='arn:aws:kms:us-east-1:123456789012:key/x')), 'KmsKeyArn'),
                      (tls({}), 'CAContent'), ({'SmtpPassword': 'longenough'}, 'IngressPointConfiguration'), (None, 'TrustStore')):
        answer = call('CreateIngressPoint', 400, **dict(point, IngressPointConfiguration=bad))
        check(answer['__type'].endswith('ValidationException') and text in answer['message'], answer)
    id = call('CreateIngressPoint', **point)['IngressPointId']
    plain = call('GetIngressPoint', IngressPointId=id)
    equal((plain['Type'], plain['TlsPolicy'], plain['IngressPointAuthConfiguration']), ('MTLS', 'REQUIRED', {'TlsAuthConfiguration': {}}), 'shown')
    def shown():
        return call('GetIngressPoint', IngressPointId=id, IncludeTrustStoreContents='INCLUDE')['IngressPointAuthConfiguration']
    equal(shown(), tls(store([root])), 'contents')
    check(root.pem not in json.dumps(call('ListIngressPoints')), 'a list shows contents')
    PORTS['by-api'] = int(plain['ARecord'].rsplit(':', 1)[1])
    equal([judged(c, 'by-api') == 'in' for c in (ann, free, stranger)], [True, True, False], 'made')
    call('UpdateIngressPoint', IngressPointId=id, IngressPointConfiguration=tls(store([root], [root.crl()])))
    equal([judged(c, 'by-api') == 'in' for c in (ann, free, stranger)], [True, False, False], 'with a list')
    call('UpdateIngressPoint', IngressPointId=id, IngressPointConfiguration=tls(store([other])))
    equal(shown(), tls(store([other])), 'replaced whole')
    equal([judged(c, 'by-api') == 'in' for c in (ann, free, stranger)], [False, False, True], 'replaced')
    call('UpdateIngressPoint', 400, IngressPointId=id, IngressPointConfiguration=tls(store([ann])))
    call('UpdateIngressPoint', 400, IngressPointId=id, IngressPointConfiguration={'SmtpPassword': 'longenough'})
    call('UpdateIngressPoint', 400, IngressPointId=id, TlsPolicy='OPTIONAL')
    call('UpdateIngressPoint', IngressPointId=id, IngressPointName='renamed')
    equal(shown(), tls(store([other])), 'kept by another change')
    long = store([root])
    long['CAContent'] += 'x' * 70 + '\n' # text beside the blocks is none of ours
    long['CAContent'] += ('y' * 70 + '\n') * ((500000 - len(long['CAContent'])) // 71)
    call('UpdateIngressPoint', IngressPointId=id, IngressPointConfiguration=tls(long))
    equal([judged(c, 'by-api') == 'in' for c in (ann, stranger)], [True, False], 'the longest')
    call('UpdateIngressPoint', 400, IngressPointId=id, IngressPointConfiguration=tls({'CAContent': long['CAContent'] + 'z' * 100}))
    call('DeleteIngressPoint', IngressPointId=id)

@test
def it_survives_a_restart():
    use(store([root], [root.crl()]))
    site.stop()
    site.start()
    expect('in', ann)
    expect('REVOKED', free)
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()
    check('ERROR: ' not in site.tail(10**7), site.tail())

done()
