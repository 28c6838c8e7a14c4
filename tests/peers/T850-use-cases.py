#!/usr/bin/env python3
"""The two use cases that users of Amazon SES Mail Manager read about first, set up through the real AWS SDK and run whole, with real SMTP clients, a
real DNS server and a real scanner. Inbound: TLS 1.3 or refused, archived when SPF and DKIM pass, and partners' mail by their networks.
Outbound: three departments with a login each; marketing's is archived when SPF and DKIM pass, technology's is refused above 1 MB and gets
other recipients, sales' is scanned. What is in the archives is asked of mm-search, of the API and of export packages.

The control: forged mail, changed mail and mail from elsewhere are in no archive; and the same mails are as soon as the rule asks for nothing."""
import os, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sdk import *
from nsd import Nsd, text
from scan import Clamd
from verdicts import Signer

MB = 1000000
MARK = 'mm-hand-made-signature-%08x' % random.randrange(1 << 32)
# Who connects from where: loopback addresses, each standing for somebody's network.
SHOP, PARTNER, STRANGER, OFFICE, HOME = '127.0.1.25', '127.0.2.77', '127.0.9.9', '127.0.3.10', '127.0.8.8'
sign = Signer()
clamd = Clamd(MARK)
nsd = Nsd({'shop.example': [('TXT', text(b'v=spf1 ip4:127.0.1.0/24 -all'))],
           's._domainkey.shop.example': [('TXT', text(sign.record))],
           '_dmarc.shop.example': [('TXT', text(b'v=DMARC1; p=reject'))],
           'marketing.corp.example': [('TXT', text(b'v=spf1 ip4:127.0.3.0/24 -all'))],
           's._domainkey.marketing.corp.example': [('TXT', text(sign.record))]})

api_port, pool = free_port(), free_port()
site = Site(config={'api': {'listen': '127.0.0.1:%d' % api_port, 'ingress_pool': '127.0.0.1:%d-%d' % (pool, pool + 9)},
                    'dns': {'forward': nsd.forward}, 'addons': {'TRENDMICRO_VSAPI': {'clamd': clamd.socket, 'deadline': 60}}},
            resources={'IngressPoints': []})
site.tls()
site.start()
aws = Api(site, api_port, name='postmaster')
made = {}

# ---- what is said to the API ----

def archive(name, period='THREE_MONTHS'):
    made[name] = aws.call('CreateArchive', ArchiveName=name, Retention={'RetentionPeriod': period})['ArchiveId']

def policy(name, *statements, **more):
    return aws.call('CreateTrafficPolicy', TrafficPolicyName=name, DefaultAction='DENY',
                    PolicyStatements=[{'Action': 'ALLOW', 'Conditions': list(s)} for s in statements], **more)['TrafficPolicyId']

def point(name, policy, rules, **more):
    """Its rule set, and the point: {IngressPointId, port, rules}."""
    rules = aws.call('CreateRuleSet', RuleSetName=name, Rules=rules)['RuleSetId']
    id = aws.call('CreateIngressPoint', IngressPointName=name, RuleSetId=rules, TrafficPolicyId=policy, **more)['IngressPointId']
    got = aws.call('GetIngressPoint', IngressPointId=id)
    equal(got['Status'], 'ACTIVE')
    made[name + '-point'] = {'id': id, 'port': int(got['ARecord'].rsplit(':', 1)[1]), 'rules': rules}

def tls(operator, version):
    return {'TlsExpression': {'Evaluate': {'Attribute': 'TLS_PROTOCOL'}, 'Operator': operator, 'Value': version}}

def sender_ip(*networks):
    return {'IpExpression': {'Evaluate': {'Attribute': 'SENDER_IP'}, 'Operator': 'CIDR_MATCHES', 'Values': list(networks)}}

def source_ip(*networks):
    return {'IpExpression': {'Evaluate': {'Attribute': 'SOURCE_IP'}, 'Operator': 'CIDR_MATCHES', 'Values': list(networks)}}

def passes(attribute):
    return {'VerdictExpression': {'Evaluate': {'Attribute': attribute}, 'Operator': 'EQUALS', 'Values': ['PASS']}}

def archived(name):
    return {'Archive': {'TargetArchive': made[name]}}

# ---- clients, and what is asked afterwards ----

def send(name, message, source, sender, version=ssl.TLSVersion.TLSv1_3, password=None, to='intake@corp.example'):
    """(code, text) of the reply to the last command: MAIL, the only RCPT, or the message. `version` None: in the clear."""
    at = made[name + '-point']
    with smtplib.SMTP('127.0.0.1', at['port'], local_hostname='mx.shop.example', timeout=60, source_address=(source, 0)) as smtp:
        if version:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = context.maximum_version = version
            smtp.starttls(context=context)
            equal(smtp.sock.version(), version.name.replace('_', '.'), 'the version of TLS')
        smtp.ehlo()
        if password:
            smtp.login(at['id'], password)
        code, reply = smtp.mail(sender)
        if code == 250:
            code, reply = smtp.rcpt(to)
        if code == 250:
            code, reply = smtp.data(message)
        return code, reply

def accepted(*args, **more):
    """The id of a message that is accepted."""
    code, reply = send(*args, **more)
    equal(code, 250, reply)
    return message_id(reply)

def subjects(name, query=''):
    site.wait()
    return sorted(row['subject'] for row in site.rows(query, name))

def package(name, query=''):
    """The bytes of all messages that an export package of these has; it is checked by itself."""
    folder = os.path.join(site.root, 'package-' + name)
    site.run('mm-export', '--archive', name, '--to', folder, '--case', 'use case', query)
    site.run('mm-export', 'verify', folder)
    shutil.rmtree(folder + '-kept', True)
    os.rename(folder, folder + '-kept')
    native = os.path.join(folder + '-kept', 'native')
    return sorted(open(os.path.join(at, n), 'rb').read() for at, _, names in os.walk(native) for n in names)

def search(name, subject):
    """The rows that the API finds by subject."""
    now = int(time.time() * 1000)
    id = aws.call('StartArchiveSearch', ArchiveId=made[name], FromTimestamp=at(now - 3600000), ToTimestamp=at(now + 3600000), MaxResults=10,
                  Filters={'Include': [{'StringExpression': {'Evaluate': {'Attribute': 'SUBJECT'}, 'Operator': 'CONTAINS', 'Values': [subject]}}]}
                  )['SearchId']
    for _ in range(1200):
        got = aws.call('GetArchiveSearch', SearchId=id)
        if 'CompletionTimestamp' in got['Status']:
            equal(got['Status']['State'], 'COMPLETED', str(got))
            return aws.call('GetArchiveSearchResults', SearchId=id)['Rows']
        time.sleep(0.05)
    raise AssertionError('the search does not end')

def why(id):
    return [json.loads(line) for line in site.run('mmctl', 'why', id, '--json').splitlines()]

# ---- inbound ----

ORDER = sign(mail('Order 4711', 'Please send 12 lanterns.', sender='orders@shop.example'), 'shop.example')
CHANGED = sign(mail('Order 4713 changed', 'Please send 12 lanterns.', sender='orders@shop.example'), 'shop.example')
CHANGED = CHANGED.replace(b'12 lanterns', b'99 lanterns')
# What a search finds it by, where it is archived: (the message, who sends it)
KEPT_OUT = {
    'spf:fail dkim:none dmarc:reject': (mail('Order 4712 forged', 'Please send 500 lanterns elsewhere.', sender='orders@shop.example'), STRANGER),
    'spf:pass dkim:fail': (CHANGED, SHOP),
    'spf:fail dkim:pass': (sign(mail('Order 4714 sent on', sender='orders@shop.example'), 'shop.example'), STRANGER),
    'spf:pass dkim:none': (mail('Order 4715 unsigned', sender='orders@shop.example'), SHOP),
}

@test
def inbound_is_set_up():
    archive('inbound', 'ONE_YEAR')
    archive('partners', 'TEN_YEARS')
    point('inbound', policy('tls13', [tls('IS', 'TLS1_3')]), [
        {'Name': 'sure', 'Conditions': [passes('SPF'), passes('DKIM')], 'Actions': [archived('inbound')]}], Type='OPEN')
    point('partners', policy('partners', [tls('MINIMUM_TLS_VERSION', 'TLS1_2'), sender_ip('127.0.2.0/24', '203.0.113.0/24')]), [
        {'Name': 'by-network', 'Conditions': [source_ip('127.0.2.64/26')], 'Actions': [archived('partners')]}], Type='OPEN')

@test
def inbound_wants_tls_1_3():
    made['order'] = accepted('inbound', ORDER, SHOP, 'orders@shop.example')
    equal(send('inbound', ORDER, SHOP, 'orders@shop.example', ssl.TLSVersion.TLSv1_2)[0], 550, 'over TLS 1.2')
    equal(send('inbound', ORDER, SHOP, 'orders@shop.example', None)[0], 530, 'in the clear')
    equal(subjects('inbound'), ['Order 4711'])

@test
def inbound_is_archived_when_spf_and_dkim_pass():
    for message, source in KEPT_OUT.values():
        id = accepted('inbound', message, source, 'orders@shop.example')
        site.wait()
        equal([row['disposition'] for row in why(id)], ['unmatched'])
    equal(subjects('inbound'), ['Order 4711'])
    equal([row['disposition'] for row in why(made['order'])], ['archived'])

@test
def inbound_is_found_and_exported():
    equal(subjects('inbound', 'spf:pass dkim:pass'), ['Order 4711'])
    equal(subjects('inbound', 'spf:pass dkim:pass dmarc:pass from:orders subject:4711'), ['Order 4711'])
    equal(subjects('inbound', 'spf:fail OR dkim:fail OR dkim:none'), [])
    equal(package('inbound', 'spf:pass dkim:pass'), [ORDER])
    equal([(r['Subject'], r['Envelope']['From']) for r in search('inbound', 'order 47')], [('Order 4711', 'orders@shop.example')])

@test
def partners_come_from_their_networks():
    letter = mail('Contract 12', sender='legal@partner.example')
    accepted('partners', letter, PARTNER, 'legal@partner.example')
    accepted('partners', mail('Contract 13 elsewhere in their network', sender='legal@partner.example'), '127.0.2.1', 'legal@partner.example')
    equal(send('partners', letter, STRANGER, 'legal@partner.example')[0], 550, 'from elsewhere')
    equal(send('partners', letter, SHOP, 'legal@partner.example', ssl.TLSVersion.TLSv1_2)[0], 550, 'from elsewhere')
    accepted('partners', mail('Contract 14', sender='legal@partner.example'), PARTNER, 'legal@partner.example', ssl.TLSVersion.TLSv1_2)
    equal(subjects('partners'), ['Contract 12', 'Contract 14'])
    equal(subjects('inbound'), ['Order 4711'], 'one has nothing of the other')
    equal(package('partners', 'subject:12'), [letter])

@test
def the_control_a_rule_that_asks_for_nothing_archives_them():
    aws.call('UpdateRuleSet', RuleSetId=made['inbound-point']['rules'], Rules=[{'Name': 'all', 'Conditions': [], 'Actions': [archived('inbound')]}])
    for message, source in KEPT_OUT.values():
        accepted('inbound', message, source, 'orders@shop.example')
    site.wait()
    for query, (message, _) in KEPT_OUT.items():
        equal(package('inbound', query), [message], query)
    equal(subjects('inbound', 'spf:pass dkim:pass'), ['Order 4711'])

# ---- outbound ----

PASSWORDS = {name: 'password-of-' + name for name in ('marketing', 'technology', 'sales')}

def department(name, policy, rules):
    point(name, policy, rules, Type='AUTH', IngressPointConfiguration={'SmtpPassword': PASSWORDS[name]})

def analysis(field, kind, operator, **more):
    return {kind: dict({'Evaluate': {'Analysis': {'Analyzer': made['scanner'], 'ResultField': field}}, 'Operator': operator}, **more)}

@test
def outbound_is_set_up():
    for name in ('marketing', 'technology', 'sales', 'malware'):
        archive(name)
    subscription = aws.call('CreateAddonSubscription', AddonName='TRENDMICRO_VSAPI')['AddonSubscriptionId']
    instance = aws.call('CreateAddonInstance', AddonSubscriptionId=subscription)['AddonInstanceId']
    made['scanner'] = aws.call('GetAddonInstance', AddonInstanceId=instance)['AddonInstanceArn']
    everybody = policy('outbound', [tls('MINIMUM_TLS_VERSION', 'TLS1_2')])
    department('marketing', everybody, [
        {'Name': 'sure', 'Conditions': [passes('SPF'), passes('DKIM')], 'Actions': [archived('marketing')]}])
    department('technology', policy('up-to-1-mb', [tls('MINIMUM_TLS_VERSION', 'TLS1_2')], MaxMessageSizeBytes=MB), [
        {'Name': 'to-the-list', 'Conditions': [], 'Actions': [
            {'ReplaceRecipient': {'ReplaceWith': ['all@tech.corp.example']}}, archived('technology')]}])
    department('sales', everybody, [
        {'Name': 'malware', 'Conditions': [analysis('isPassed', 'BooleanExpression', 'IS_FALSE')], 'Actions': [archived('malware'), {'Drop': {}}]},
        {'Name': 'clean', 'Conditions': [analysis('addon.verdict', 'VerdictExpression', 'EQUALS', Values=['PASS'])], 'Actions': [archived('sales')]}])

def from_department(name, message, source=OFFICE, sender=None, **more):
    return send(name, message, source, sender or 'ann@%s.corp.example' % name, password=PASSWORDS[name], **more)

@test
def outbound_wants_the_departments_login():
    for name in PASSWORDS:
        code, reply = send(name, mail(), OFFICE, 'ann@corp.example')
        equal(code, 530, reply)
        other = 'sales' if name == 'marketing' else 'marketing'
        try:
            send(name, mail(), OFFICE, 'ann@corp.example', password=PASSWORDS[other])
            raise AssertionError('%s is let in with the password of %s' % (name, other))
        except smtplib.SMTPAuthenticationError as e:
            equal(e.smtp_code, 535)

@test
def marketing_is_archived_when_spf_and_dkim_pass():
    def letter(subject):
        return mail(subject, sender='news@marketing.corp.example')
    news = sign(letter('Spring news'), 'marketing.corp.example')
    for message, source in ((news, OFFICE), (letter('Spring news unsigned'), OFFICE),
                            (sign(letter('Spring news from home'), 'marketing.corp.example'), HOME)):
        equal(from_department('marketing', message, source)[0], 250)
    equal(subjects('marketing'), ['Spring news'])
    equal(subjects('marketing', 'spf:pass dkim:pass'), ['Spring news'])
    equal(package('marketing'), [news])

@test
def technology_is_refused_above_1_mb_and_gets_other_recipients():
    large = mail('Report large', body='\r\n'.join(['x' * 70] * (MB // 72 + 10)))
    check(len(large) > MB, 'it is small')
    code, reply = from_department('technology', large)
    equal(code, 552, reply)
    code, reply = from_department('technology', mail('Report small', body='\r\n'.join(['x' * 70] * (MB // 72 - 10))), to='bob@corp.example')
    equal(code, 250, reply)
    equal(subjects('technology'), ['Report small'])
    rows = why(message_id(reply))
    equal([([to['to'] for to in r['receipt']['rcpt']], r['decided']['replaced']) for r in rows], [(['bob@corp.example'], ['all@tech.corp.example'])])

@test
def sales_is_scanned():
    for message in (mail('Offer 1'), mail('Offer 2 infected', MARK)):
        equal(from_department('sales', message)[0], 250)
    equal(subjects('sales'), ['Offer 1'])
    equal(subjects('malware'), ['Offer 2 infected'])
    equal([r['Subject'] for r in search('sales', 'offer')], ['Offer 1'])

@test
def nothing_is_damaged():
    equal(site.verify()['problems'], 0)
    site.stop()

done()
