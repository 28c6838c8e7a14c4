#!/usr/bin/env python3
"""Traffic policies at RCPT: every condition and operator that is built, the order deny, allow, default, sizes, TLS, both families of
addresses, address lists."""
import json, os, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site(apply=False)
site.tls()
PORTS = {}

def recipient(operator, *values):
    return {"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": operator, "Values": list(values)}}

def ip4(operator, *values):
    return {"IpExpression": {"Evaluate": {"Attribute": "SENDER_IP"}, "Operator": operator, "Values": list(values)}}

def ip6(operator, *values):
    return {"Ipv6Expression": {"Evaluate": {"Attribute": "SENDER_IPV6"}, "Operator": operator, "Values": list(values)}}

def tls(operator, value):
    return {"TlsExpression": {"Evaluate": {"Attribute": "TLS_PROTOCOL"}, "Operator": operator, "Value": value}}

def listed(operator, name):
    return {"BooleanExpression": {"Evaluate": {"IsInAddressList": {"Attribute": "RECIPIENT", "AddressLists": [name]}}, "Operator": operator}}

def allow(*conditions):
    return {"Action": "ALLOW", "Conditions": list(conditions)}

def deny(*conditions):
    return {"Action": "DENY", "Conditions": list(conditions)}

def policy(name, default, *statements, **more):
    return dict({"TrafficPolicyName": name, "DefaultAction": default, "PolicyStatements": list(statements)}, **more)

def use(*policies, six=False):
    """Applies policies, each with ingress points of its name: on 127.0.0.1, and on ::1."""
    points = []
    for p in policies:
        for host, suffix in (('127.0.0.1', ''), ('[::1]', '-6')) if six else (('127.0.0.1', ''),):
            name = p['TrafficPolicyName'] + suffix
            if name not in PORTS:
                PORTS[name] = free_port()
            points.append({"IngressPointName": name, "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": '%s:%d' % (host, PORTS[name]),
                           "TrafficPolicyName": p['TrafficPolicyName'], "RuleSetName": "all"})
    site.apply({"TrafficPolicies": list(policies), "IngressPoints": points})

class Connection:
    def __init__(self, name, source='127.0.0.1', version=None, wrapped=False):
        host = '::1' if name.endswith('-6') else '127.0.0.1'
        self.s = smtplib.SMTP(host, PORTS[name], local_hostname='client.example', timeout=60,
                              source_address=('::1' if host == '::1' else source, 0))
        if version:
            context = ssl._create_unverified_context()
            context.minimum_version = context.maximum_version = version
            self.s.starttls(context=context)
        self.s.ehlo()
        self.begin()

    def begin(self, more=''):
        self.s.docmd('RSET')
        code, reply = self.s.docmd('MAIL FROM:<ann@shop.example>' + more)
        return code

    def rcpt(self, address):
        code, reply = self.s.docmd('RCPT TO:<%s>' % address)
        check(code == 250 or reply.startswith(b'5.7.1'), '%s: %d %s' % (address, code, reply))
        return code == 250

    def close(self):
        self.s.close()

def verdicts(name, addresses, **options):
    c = Connection(name, **options)
    out = [c.rcpt(a) for a in addresses]
    c.close()
    return out

site.apply(dict(DEFAULT, AddressLists=[
    {"AddressListName": "staff", "Addresses": ["ann@corp.example", "*@sales.example", "*.branch.example", "hr@*.corp.example"]},
    {"AddressListName": "nobody", "Addresses": []}], IngressPoints=[]))
site.start()

@test
def recipients_by_every_operator():
    asked = ['Ann@Corp.example', 'ann+tag@corp.example', 'bob@corp.example', 'ann@other.example']
    cases = {'equals': (recipient('EQUALS', 'x', 'ann@CORP.example'), [1, 0, 0, 0]),
             'not-equals': (recipient('NOT_EQUALS', 'ann@corp.example', 'bob@corp.example'), [0, 1, 0, 1]),
             'starts': (recipient('STARTS_WITH', 'ANN'), [1, 1, 0, 1]), 'ends': (recipient('ENDS_WITH', '@corp.example', '@x'), [1, 1, 1, 0]),
             'contains': (recipient('CONTAINS', '+', 'B@C'), [0, 1, 1, 0]), 'no-values': (recipient('EQUALS'), [0, 0, 0, 0]),
             'list': (listed('IS_TRUE', 'staff'), [1, 0, 0, 0]), 'no-list': (listed('IS_FALSE', 'staff'), [0, 1, 1, 1]),
             'empty-list': (listed('IS_TRUE', 'nobody'), [0, 0, 0, 0])}
    use(*[policy('a-' + n, 'DENY', allow(c)) for n, (c, _) in cases.items()], *[policy('d-' + n, 'ALLOW', deny(c)) for n, (c, _) in cases.items()])
    wrong = []
    for name, (_, want) in cases.items():
        want = [bool(w) for w in want]
        for action, expected in (('a-', want), ('d-', [not w for w in want])):
            got = verdicts(action + name, asked)
            wrong += [(action + name, got, expected)] if got != expected else []
    equal(wrong, [], 'policy, got, want')

@test
def address_lists_have_wildcards():
    use(policy('wild', 'DENY', allow(listed('IS_TRUE', 'staff'))))
    asked = ['ann@corp.example', 'x@sales.example', 'x@a.branch.example', 'x@b.a.branch.example', 'hr@x.corp.example',
             'x@sub.sales.example', 'x@branch.example', 'hr@corp.example', 'it@x.corp.example', 'ann@corp.example.com']
    equal(verdicts('wild', asked), [True] * 5 + [False] * 5, 'in the list')
    site.apply({"AddressLists": [{"AddressListName": "staff", "Addresses": ["new@corp.example"]}], "IngressPoints": []})
    equal(verdicts('wild', ['ann@corp.example', 'new@corp.example']), [False, True], 'after a change of the list')

def kill_smtpd():
    """mmd starts another one; clients wait in the sockets meanwhile."""
    for pid in subprocess.check_output(['pgrep', '-P', str(site.process.pid), '-x', 'mm-smtpd']).split():
        os.kill(int(pid), 9)

@test
def a_list_that_takes_several_messages_reaches_each_mm_smtpd():
    many = ['a.person.with.a.name.%d@some.customer.example' % i for i in range(40000)]
    site.apply({"AddressLists": [{"AddressListName": "many", "Addresses": many}], "IngressPoints": []})
    use(policy('many', 'DENY', allow(listed('IS_TRUE', 'many'))))
    asked = [many[0], many[20000], many[-1], 'another@some.customer.example']
    equal(verdicts('many', asked), [True] * 3 + [False], 'in the list')
    site.apply({"AddressLists": [{"AddressListName": "many", "Addresses": many[1:] + [asked[-1]]}], "IngressPoints": []})
    equal(verdicts('many', asked), [False] + [True] * 3, 'after a change')
    kill_smtpd()
    equal(verdicts('many', asked), [False] + [True] * 3, 'from a new mm-smtpd')
    equal(verdicts('wild', ['ann@corp.example', 'new@corp.example']), [False, True], 'of the other list')

@test
def deny_comes_before_allow_before_the_default():
    a, b, both = recipient('STARTS_WITH', 'a'), recipient('ENDS_WITH', '@b.example'), ['a@b.example', 'a@c.example', 'x@b.example', 'x@c.example']
    cases = {'allow-first': (policy('allow-first', 'DENY', allow(a), deny(b)), [0, 1, 0, 0]),
             'deny-first': (policy('deny-first', 'DENY', deny(b), allow(a)), [0, 1, 0, 0]),
             'default-allow': (policy('default-allow', 'ALLOW', allow(a), deny(b)), [0, 1, 0, 1]),
             'and': (policy('and', 'DENY', allow(a, b)), [1, 0, 0, 0]), 'either': (policy('either', 'DENY', allow(a), allow(b)), [1, 1, 1, 0]),
             'deny-and': (policy('deny-and', 'ALLOW', deny(a, b)), [0, 1, 1, 1]),
             'nothing-allow': (policy('nothing-allow', 'ALLOW'), [1, 1, 1, 1]), 'nothing-deny': (policy('nothing-deny', 'DENY'), [0, 0, 0, 0])}
    use(*[p for p, _ in cases.values()])
    for name, (_, want) in cases.items():
        equal(verdicts(name, both), [bool(w) for w in want], name)

@test
def a_message_goes_to_those_who_are_allowed():
    c = Connection('either')
    equal([c.rcpt(r) for r in ('a@b.example', 'x@c.example', 'x@b.example')], [True, False, True], 'RCPT')
    code, reply = c.s.data(mail('for two'))
    equal(code, 250, reply)
    c.begin()
    equal(c.rcpt('x@c.example'), False, 'RCPT')
    equal(c.s.docmd('DATA')[0], 554, 'DATA without a valid recipient')
    site.wait()
    row, = site.rows('subject:"for two"')
    equal(sorted(row['envelope_to']), ['a@b.example', 'x@b.example'], 'envelope')
    receipt = json.loads(site.run('mmctl', 'why', row['id'], '--json'))['receipt']
    check(receipt['policy'].startswith('tp-'), receipt)

@test
def postmaster_without_a_domain_is_this_host():
    use(policy('host', 'DENY', allow(recipient('EQUALS', 'postmaster@mm.test'))))
    equal(verdicts('host', ['postmaster', 'Postmaster', 'postmaster@mm.test', 'postmaster@other.test']), [True, True, True, False], 'postmaster')

@test
def networks_of_both_families():
    cases = {'one4': (ip4('CIDR_MATCHES', '10.0.0.0/8', '127.0.0.1/32'), [1, 0, 0]), 'net4': (ip4('CIDR_MATCHES', '127.0.0.0/30'), [1, 1, 0]),
             'not4': (ip4('NOT_CIDR_MATCHES', '127.0.0.1/32', '10.0.0.0/8'), [0, 1, 1]), 'all4': (ip4('CIDR_MATCHES', '0.0.0.0/0'), [1, 1, 0]),
             'one6': (ip6('CIDR_MATCHES', '2001:db8::/32', '::1/128'), [0, 0, 1]), 'net6': (ip6('CIDR_MATCHES', '::/0'), [0, 0, 1]),
             'not6': (ip6('NOT_CIDR_MATCHES', '::/127'), [1, 1, 0]), 'other6': (ip6('NOT_CIDR_MATCHES', '2001:db8::/32'), [1, 1, 1])}
    have_six = os.path.exists('/proc/net/if_inet6')
    use(*[policy('ip-' + n, 'DENY', allow(c)) for n, (c, _) in cases.items()], six=have_six)
    for name, (_, want) in cases.items():
        got = [verdicts('ip-' + name, ['a@b.example'])[0], verdicts('ip-' + name, ['a@b.example'], source='127.0.0.2')[0]]
        equal(got, [bool(w) for w in want[:2]], name)
        if have_six:
            equal(verdicts('ip-%s-6' % name, ['a@b.example']), [bool(want[2])], name + ' from ::1')
    if not have_six:
        raise Skip('no IPv6 here: only IPv4 was tested')
    c = Connection('ip-one6-6')
    equal(c.rcpt('six@b.example'), True, 'RCPT')
    equal(c.s.data(mail('over six'))[0], 250, 'data')
    site.wait()
    equal((site.count('ip:::1 subject:"over six"'), site.count('ip:127.0.0.1 subject:"over six"')), (1, 0), 'found by its address')

@test
def tls_conditions():
    v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    cases = {'min12': (tls('MINIMUM_TLS_VERSION', 'TLS1_2'), [0, 1, 1]), 'min13': (tls('MINIMUM_TLS_VERSION', 'TLS1_3'), [0, 0, 1]),
             'is12': (tls('IS', 'TLS1_2'), [0, 1, 0]), 'is13': (tls('IS', 'TLS1_3'), [0, 0, 1])}
    use(*[policy('tls-' + n, 'DENY', allow(c)) for n, (c, _) in cases.items()])
    for name, (_, want) in cases.items():
        equal([verdicts('tls-' + name, ['a@b.example'], version=v)[0] for v in (None, v12, v13)], [bool(w) for w in want], name)

@test
def a_message_has_at_most_the_bytes_of_the_policy():
    use(policy('small', 'ALLOW', MaxMessageSizeBytes=1000), policy('huge', 'ALLOW', MaxMessageSizeBytes=10**12))
    c = Connection('small')
    equal((c.s.esmtp_features['size'], Connection('huge').s.esmtp_features['size'], Connection('either').s.esmtp_features['size']),
          ('1000', '41943040', '41943040'), 'SIZE')
    equal((c.begin(' SIZE=1001'), c.begin(' SIZE=1000'), c.begin(' SIZE=' + '9' * 20)), (552, 250, 552), 'MAIL SIZE=')
    for n, want in ((1000, 250), (1001, 552), (5000, 552)):
        data = mail('size %d' % n)
        data += b'z' * (n - len(data) - 2) + b'\r\n'
        equal(len(data), n, 'test')
        c.begin()
        c.rcpt('a@b.example')
        code, reply = c.s.data(data)
        equal((code, reply[:5] if code == 552 else b'5.3.4'), (want, b'5.3.4'), 'DATA of %d' % n)
        c.begin()
        c.rcpt('a@b.example')
        c.s.send(b'BDAT %d LAST\r\n' % n + data)
        code, reply = c.s.getreply()
        equal(code, want, 'BDAT of %d: %s' % (n, reply))
    site.wait()
    equal((site.count('subject:size subject:1000'), site.count('subject:size')), (2, 2), 'archived')

@test
def what_is_not_right_is_refused_whole():
    before = site.run('mmctl', 'show', '--json')
    path = os.path.join(site.root, 'bad.json')
    analysis = {"Analysis": {"Analyzer": "arn:aws:ses:eu-west-1:123456789012:addon-instance/ai-1", "ResultField": "x"}}
    for words, statement, more in (
            ('Analyzer none of the AddonInstances', allow({"StringExpression": {"Evaluate": analysis, "Operator": "EQUALS", "Values": ["x"]}}), {}),
            ('Analyzer none of the AddonInstances', deny({"BooleanExpression": {"Evaluate": analysis, "Operator": "IS_TRUE"}}), {}),
            ('Attribute', allow({"StringExpression": {"Evaluate": {"Attribute": "SENDER"}, "Operator": "EQUALS", "Values": ["x"]}}), {}),
            ('Conditions', allow(), {}), ('Values[0]', allow(ip4('CIDR_MATCHES', '10.0.0.1')), {}), ('Values[0]', allow(ip4('CIDR_MATCHES', '::/0')), {}),
            ('Values[0]', allow(ip6('CIDR_MATCHES', '10.0.0.0/8')), {}), ('Values[0]', allow(ip6('CIDR_MATCHES', '::ffff:0:0/96')), {}), ('Value', allow(tls('IS', 'TLS1_1')), {}),
            ('Operator', allow(recipient('MATCHES', 'x')), {}), ('AddressLists', allow(listed('IS_TRUE', 'no-such')), {}),
            ('MaxMessageSizeBytes', allow(recipient('EQUALS', 'x')), {"MaxMessageSizeBytes": 0})):
        site.write(path, json.dumps({"AddressLists": [{"AddressListName": "half-done", "Addresses": []}],
                                     "TrafficPolicies": [policy('either', 'DENY', statement, **more)]}))
        site.run('mmctl', 'apply', path, code=2)
        for word in words.split(' ', 1):
            check(word in site.stderr, '%s: %s' % (word, site.stderr))
        equal(site.run('mmctl', 'show', '--json'), before, 'resources')
    equal(verdicts('either', ['a@c.example', 'x@c.example']), [True, False], 'the policy of before')

@test
def verify_is_clean():
    equal(site.verify()['problems'], 0, 'verify')
    check('ERROR: ' not in site.tail(10**7), site.tail())

done()
