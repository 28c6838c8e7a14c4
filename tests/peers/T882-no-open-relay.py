#!/usr/bin/env python3
"""No open relay: every relaying form of ../shared/spec/smtp-cases.json, by strangers and by who may send, at ingress points of each type whose rules both
send and relay. Names are served by nsd; the domains' servers and the relay's are sinks. Nothing may come to a sink but for the domain that
the policy names. Control: where the policy names the foreign domain the same forms are delivered there. And the API refuses each change that would
make an open relay."""
import os, re, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sender import *
from sdk import Api
from nsd import Nsd, text

FILE = os.path.join(ROOT, '..', 'shared', 'spec', 'smtp-cases.json')
if not os.path.exists(FILE):
    print('skip no-open-relay: needs ../shared/spec, which is absent')
    done()
LOCAL, REMOTE, HOST = 'local.example', 'remote.example', 'mm.test'
WORDS = {'L': 'a@' + LOCAL, 'LD': LOCAL, 'R': 'b@' + REMOTE, 'RD': REMOTE, 'IP': '127.0.0.1', 'HOST': HOST, 'S': 'sender@shop.example'}
FORMS = [{k: re.sub(r'\$\{(\w+)\}', lambda m: WORDS[m[1]], c[k]) for k in ('id', 'mail', 'rcpt')} for c in json.load(open(FILE))['open_relay']['cases']]
PORT = free_port()
# Whoever a form could mean has a server: the foreign domain, what is below and above it, this host, the sender's domain.
zone, sinks = {}, {}
for n, name in enumerate((LOCAL, REMOTE, HOST, '%s.%s' % (REMOTE, LOCAL), 'shop.example', 'a.example', 'b.example', 'localhost')):
    ip = '127.0.4.%d' % (n + 1)
    sinks[name] = Peer(ip, PORT)
    zone[name], zone['mx%d.example' % n] = [('MX', '10 mx%d.example.' % n), ('TXT', text(b'v=spf1 ip4:127.0.0.0/8 -all'))], [('A', ip)]
relay_port = free_port()
sinks['the relay'] = Peer('127.0.0.1', relay_port)
nsd, ca = Nsd(zone), Authority()

def to(domain):
    return [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH", "Values": ["@" + domain]}}]

def policy(name, *domains, **more):
    return dict({"TrafficPolicyName": name, "DefaultAction": "DENY", "PolicyStatements": [{"Action": "ALLOW", "Conditions": to(d)} for d in domains]}, **more)

RULES = [{"Name": "out", "Actions": [{"Relay": {"Relay": "hub"}}, {"Send": {"RoleArn": "arn:aws:iam::123456789012:role/mm"}}]}]
TYPES = ('OPEN', 'AUTH', 'MTLS')
PORTS = {(kind, to): free_port() for kind in TYPES for to in ('local', 'both')}
api_port, pool = free_port(), free_port()
site = Site(apply=False, config={'dns': {'forward': nsd.forward}, 'send': {'port': PORT, 'retry': [1], 'allow': ['127.0.0.0/8'], 'sts': False},
                                 'api': {'listen': '127.0.0.1:%d' % api_port, 'ingress_pool': '127.0.0.1:%d-%d' % (pool, pool + 9)}})
site.tls()

def point(kind, to):
    more = {"IngressPointConfiguration": {"TlsAuthConfiguration": {"TrustStore": {"CAContent": open(ca.file).read()}}}} if kind == 'MTLS' else {"TlsPolicy": "OPTIONAL"}
    return dict(more, IngressPointName='%s-%s' % (kind.lower(), to), Type=kind, Listen='127.0.0.1:%d' % PORTS[kind, to], TrafficPolicyName=to, RuleSetName="all")

site.apply({"Archives": [{"ArchiveName": "corp"}], "TrafficPolicies": [policy('local', LOCAL), policy('both', LOCAL, REMOTE)],
            "Relays": [{"RelayName": "hub", "ServerName": "localhost", "ServerPort": relay_port, "Authentication": {"NoAuthentication": {}}}],
            "RuleSets": [{"RuleSetName": "all", "Rules": RULES}], "IngressPoints": [point(*p) for p in PORTS]})
for to_whom in ('local', 'both'):
    site.run('mmctl', 'passwd', 'auth-' + to_whom, '--password-file', '-', input=b'correct-horse-battery')
site.start()
IDS = {p['IngressPointName']: p['IngressPointId'] for p in json.loads(site.run('mmctl', 'show', 'ingress-points', '--json'))['IngressPoints']}

# ---- who comes, and what arrived ----

class Client(Sender):
    """`known`: with the password or the certificate that the point asks for."""
    def __init__(self, kind, to, known):
        Sender.__init__(self, PORTS[kind, to], timeout=60)
        self.smtp.docmd('HELO', 'client.example')
        if kind != 'OPEN':
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if known and kind == 'MTLS':
                context.load_cert_chain(ca.certificate('client.example'))
            self.smtp.starttls(context=context)
            self.smtp.ehlo()
            if known and kind == 'AUTH':
                self.smtp.login(IDS['auth-' + to], 'correct-horse-battery')

    def ask(self, verb, address):
        self.smtp.sock.sendall(('%s:<%s>\r\n' % (verb, address)).encode('latin-1'))
        return self.smtp.getreply()[0]

    def offer(self, form, beside):
        """Sends a message with this envelope, whose subject is the form's; whether the form's recipient was accepted. Others may be, beside it."""
        self.smtp.docmd('RSET')
        self.ask('MAIL FROM', form['mail'])
        for other in beside:
            self.ask('RCPT TO', other)
        accepted = self.ask('RCPT TO', form['rcpt']) == 250
        if self.smtp.docmd('DATA')[0] == 354:
            self.smtp.sock.sendall(mail(form['id']) + b'.\r\n')
            equal(self.smtp.getreply()[0], 250, str(form))
        return accepted

def offer_all(kind, to, known, *beside):
    """The forms that were accepted; a connection for each few, so that limits of errors hide none."""
    taken = set()
    for n in range(0, len(FORMS), 5):
        try:
            with Client(kind, to, known) as c:
                for form in FORMS[n:n + 5]:
                    if c.offer(form, beside):
                        taken.add(form['id'])
        except (OSError, smtplib.SMTPException) as e:
            check(not known, '%s %s: %r' % (kind, to, e)) # a stranger's may be closed
    return taken

def through():
    """All that was accepted is delivered or has failed; {name of the sink: [(form, recipient)]}, and the sinks are empty."""
    site.wait()
    end = time.monotonic() + 60
    while site.status()['queued']:
        check(time.monotonic() < end, site.run('mmctl', 'queue', '--json'))
        time.sleep(0.05)
    came = {}
    for name, sink in sinks.items():
        for m in sink.mails:
            came.setdefault(name, []).extend((email_subject(m['data']), r) for r in m['rcpt'])
        sink.mails = []
    return came

def email_subject(data):
    return re.search(rb'(?m)^Subject: (.*?)\r$', data)[1].decode()

def foreign(came):
    """What came for somebody who isn't at the local domain, as these servers read addresses who know of ! and % and routes."""
    return [(name, form, r) for name, rows in came.items() for form, r in rows
            if name not in (LOCAL, 'the relay') or not re.fullmatch(r'[^@!%:"\\]+@' + re.escape(LOCAL), r)]

@test
def none_of_the_forms_gets_out():
    for kind, known in [('OPEN', False)] + [(kind, known) for kind in TYPES[1:] for known in (False, True)]:
        for beside in ((), (WORDS['L'],)):
            taken = offer_all(kind, 'local', known, *beside)
            came = through()
            equal(foreign(came), [], '%s %s' % (kind, known))
            if kind != 'OPEN' and not known:
                equal((taken, came), (set(), {}), 'a stranger at ' + kind)
            elif beside:
                equal({name: len(rows) >= len(FORMS) - 5 for name, rows in came.items()}, {LOCAL: True, 'the relay': True}, 'who is beside gets them')
            print('   %s, %s: %d of %d forms accepted; %d deliveries to who may get them' % (
                kind, 'known' if known else 'a stranger', len(taken), len(FORMS), sum(map(len, came.values()))))

@test
def the_control_what_the_policy_lets_through_is_delivered():
    plain = {f['id'] for f in FORMS if f['rcpt'] == WORDS['R']}
    check(len(plain) >= 6, 'few plain forms')
    for kind in TYPES:
        taken = offer_all(kind, 'both', True)
        came = through()
        got = [{form for form, _ in came.get(name, [])} for name in (REMOTE, 'the relay')]
        print('   %s: %d accepted, %d came to the foreign domain, %d to the relay' % (kind, len(taken), len(got[0]), len(got[1])))
        check(len(plain & got[0]) >= 6, (kind, sorted(plain - got[0])))
        equal((got[0], got[1]), (taken, taken), kind)
        check(len(foreign(came)) >= 12, 'it would not have been seen')

@test
def the_api_makes_no_open_relay():
    aws = Api(site, api_port, name='postmaster')
    def make(operation, id, **given):
        return aws.call(operation, **given)[id]
    ids = {p['TrafficPolicyName']: p['TrafficPolicyId'] for p in aws.call('ListTrafficPolicies')['TrafficPolicies']}
    limited, wide = ids['local'], make('CreateTrafficPolicy', 'TrafficPolicyId', **policy('wide', DefaultAction='ALLOW'))
    relay, = [r['RelayId'] for r in aws.call('ListRelays')['Relays']]
    def rules(*actions):
        return [{'Name': 'r', 'Conditions': [], 'Actions': list(actions)}]
    OUT = [{'Relay': {'Relay': relay}}, {'Send': {'RoleArn': 'arn:aws:iam::123456789012:role/mm'}}]
    KEEP = {'Archive': {'TargetArchive': aws.call('ListArchives')['Archives'][0]['ArchiveId']}}
    harmless = make('CreateRuleSet', 'RuleSetId', RuleSetName='harmless', Rules=rules(KEEP))
    sending = [make('CreateRuleSet', 'RuleSetId', RuleSetName='out%d' % n, Rules=rules(KEEP, a)) for n, a in enumerate(OUT)]
    def refused(operation, **given):
        aws.refuses('ValidationException', operation, 'must limit the recipients', **given)
    def point(name, policy, rules):
        return dict(IngressPointName=name, Type='OPEN', TrafficPolicyId=policy, RuleSetId=rules)
    for rs in sending:
        refused('CreateIngressPoint', **point('open', wide, rs))
    keeps = make('CreateIngressPoint', 'IngressPointId', **point('keeps', wide, harmless))
    sends = make('CreateIngressPoint', 'IngressPointId', **point('sends', limited, sending[0]))
    for rs in sending:
        refused('UpdateIngressPoint', IngressPointId=keeps, RuleSetId=rs)
    for status in ('ACTIVE', 'CLOSED'):
        refused('UpdateIngressPoint', IngressPointId=sends, TrafficPolicyId=wide, StatusToUpdate=status)
    for action in OUT:
        refused('UpdateRuleSet', RuleSetId=harmless, Rules=rules(KEEP, action))
    refused('UpdateTrafficPolicy', TrafficPolicyId=limited, DefaultAction='ALLOW')
    for conditions in ([{'IpExpression': {'Evaluate': {'Attribute': 'SENDER_IP'}, 'Operator': 'CIDR_MATCHES', 'Values': ['127.0.0.0/8']}}],
                       [{'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': 'STARTS_WITH', 'Values': ['b@']}}],
                       [{'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': 'ENDS_WITH', 'Values': ['@' + LOCAL, 'example']}}]):
        refused('UpdateTrafficPolicy', TrafficPolicyId=limited, PolicyStatements=[{'Action': 'ALLOW', 'Conditions': to(LOCAL)}, {'Action': 'ALLOW', 'Conditions': conditions}])
    # As it was: each is taken where it makes none.
    got = aws.call('GetTrafficPolicy', TrafficPolicyId=limited)
    equal((got['DefaultAction'], len(got['PolicyStatements'])), ('DENY', 1))
    aws.call('UpdateIngressPoint', IngressPointId=keeps, TrafficPolicyId=limited)
    aws.call('UpdateIngressPoint', IngressPointId=keeps, RuleSetId=sending[1])
    site.stop()

done()
