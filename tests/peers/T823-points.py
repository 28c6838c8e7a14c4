#!/usr/bin/env python3
"""Ingress points made by the control API (npm's AWS SDK) listen at once: mail by Python's smtplib arrives in the archive that the API made;
changes of policy, rule set and state while a client is connected; passwords; what is refused; deletion; a restart."""
import os, smtplib, ssl, sys, uuid
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sdk import *
import forget

PORT, POOL = free_port(), free_port()
site = Site(config={'api': {'listen': '127.0.0.1:%d' % PORT, 'ingress_pool': '127.0.0.1:%d-%d' % (POOL, POOL + 19)}})
site.tls()
site.start()
api = Api(site, PORT)
cbor = api.other('cbor')
unverified = ssl.create_default_context()
unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE

def archiving(archive):
    return [{'Conditions': [], 'Actions': [{'Archive': {'TargetArchive': archive}}]}]

def statement(action, recipient):
    return {'Action': action, 'Conditions': [{'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': 'EQUALS', 'Values': [recipient]}}]}

one, two = (api.call('CreateArchive', ArchiveName=n)['ArchiveId'] for n in ('one', 'two'))
policy = api.call('CreateTrafficPolicy', TrafficPolicyName='all', DefaultAction='ALLOW', PolicyStatements=[])['TrafficPolicyId']
rules = api.call('CreateRuleSet', RuleSetName='keep', Rules=archiving(one))['RuleSetId']
BASE = dict(RuleSetId=rules, TrafficPolicyId=policy)

def create(a, name, **more):
    return a.call('CreateIngressPoint', IngressPointName=name, **dict(BASE, **more))['IngressPointId']

def port_of(id):
    host, port = api.call('GetIngressPoint', IngressPointId=id)['ARecord'].split(':')
    equal(host, 'mm.test')
    return int(port)

def arrives(id, archive, subject=None, **more):
    """A message sent to the point lies in the archive."""
    subject = subject or uuid.uuid4().hex
    site.send(mail(subject), port=port_of(id), **more)
    in_archive(archive, subject)

def in_archive(archive, subject):
    site.wait()
    equal(site.count('subject:' + subject, archive), 1, archive)

def refused(port):
    try:
        socket.create_connection(('127.0.0.1', port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False

def login(id, password, port=None):
    """Logged in, or the code that refused."""
    smtp = smtplib.SMTP('127.0.0.1', port or port_of(id), local_hostname='client.example', timeout=60)
    try:
        smtp.starttls(context=unverified)
        smtp.login(id, password)
    except smtplib.SMTPAuthenticationError as e:
        return e.smtp_code
    finally:
        smtp.close()
    return True

@test
def mail_arrives_at_once():
    for a, name in ((api, 'json'), (cbor, 'cbor')):
        id = create(a, name, Type='OPEN', TlsPolicy='OPTIONAL', Tags=[{'Key': 'a', 'Value': 'b'}])
        got = a.call('GetIngressPoint', IngressPointId=id)
        arn = 'arn:aws:ses:us-east-1:000000000000:mailmanager-ingress-point/' + id
        for member in ('CreatedTimestamp', 'LastUpdatedTimestamp'):
            check(time_of(got.pop(member)) > 1500000000000, member)
        a_record = got['ARecord']
        equal(got, dict(BASE, IngressPointId=id, IngressPointName=name, IngressPointArn=arn, Status='ACTIVE', Type='OPEN', ARecord=a_record,
                        TlsPolicy='OPTIONAL', NetworkConfiguration={'PublicNetworkConfiguration': {'IpType': 'IPV4'}}))
        equal(a.call('ListTagsForResource', ResourceArn=arn)['Tags'], [{'Key': 'a', 'Value': 'b'}])
        listed = {p['IngressPointId']: p for p in a.call('ListIngressPoints')['IngressPoints']}
        equal(listed[id], dict(IngressPointId=id, IngressPointName=name, Status='ACTIVE', Type='OPEN', ARecord=a_record))
        arrives(id, 'one')
        a.call('UpdateIngressPoint', IngressPointId=id, IngressPointName=name + '-2')
        arrives(id, 'one')
        for command, member, other in (('DeleteRuleSet', 'RuleSetId', rules), ('DeleteTrafficPolicy', 'TrafficPolicyId', policy)):
            a.refuses('ConflictException', command, 'in use', **{member: other})
    a.call('DeleteIngressPoint', IngressPointId=id)

@test
def changes_while_a_client_is_connected():
    id = create(api, 'changing', Type='OPEN', TlsPolicy='OPTIONAL')
    strict = api.call('CreateTrafficPolicy', TrafficPolicyName='strict', DefaultAction='ALLOW',
                      PolicyStatements=[statement('DENY', 'no@corp.example')])['TrafficPolicyId']
    other = api.call('CreateRuleSet', RuleSetName='other', Rules=archiving(two))['RuleSetId']
    with Sender(port_of(id)) as s:
        def sent(archive):
            subject = uuid.uuid4().hex
            s.send(mail(subject), to=['no@corp.example'])
            in_archive(archive, subject)
        sent('one')
        api.call('UpdateRuleSet', RuleSetId=rules, Rules=archiving(two))
        sent('two')
        api.call('UpdateRuleSet', RuleSetId=rules, Rules=archiving(one))
        api.call('UpdateIngressPoint', IngressPointId=id, RuleSetId=other)
        sent('two')
        api.call('UpdateIngressPoint', IngressPointId=id, RuleSetId=rules)
        sent('one')
        # A session keeps the policy that it began with; the next one has the new one.
        def next_one():
            with Sender(port_of(id)) as other:
                return other.try_send(mail('x' * 200), to=['no@corp.example'])[0]
        equal(next_one(), 250)
        api.call('UpdateIngressPoint', IngressPointId=id, TrafficPolicyId=strict)
        equal(next_one(), 550)
        api.call('UpdateTrafficPolicy', TrafficPolicyId=strict, PolicyStatements=[])
        equal(next_one(), 250)
        api.call('UpdateTrafficPolicy', TrafficPolicyId=strict, MaxMessageSizeBytes=100)
        equal(next_one(), 552)
        api.call('UpdateIngressPoint', IngressPointId=id, TrafficPolicyId=policy)
        equal(next_one(), 250)
        sent('one')
    api.call('DeleteTrafficPolicy', TrafficPolicyId=strict)
    api.call('DeleteRuleSet', RuleSetId=other)
    api.call('DeleteIngressPoint', IngressPointId=id)

@test
def closed_and_open_again():
    for a in (api, cbor):
        id = create(a, 'closing', Type='OPEN', TlsPolicy='OPTIONAL')
        port = port_of(id)
        a.call('UpdateIngressPoint', IngressPointId=id, StatusToUpdate='CLOSED')
        equal(a.call('GetIngressPoint', IngressPointId=id)['Status'], 'CLOSED')
        check(refused(port), 'it listens though it is closed')
        a.call('UpdateIngressPoint', IngressPointId=id, StatusToUpdate='ACTIVE')
        equal(port_of(id), port)
        arrives(id, 'one')
        a.call('DeleteIngressPoint', IngressPointId=id)
        check(refused(port), 'it listens though it is deleted')
        for command in ('GetIngressPoint', 'UpdateIngressPoint', 'DeleteIngressPoint'):
            a.refuses('ResourceNotFoundException', command, id, IngressPointId=id)
        again = create(a, 'closing', Type='OPEN', TlsPolicy='OPTIONAL')
        check(again != id, 'an id is used again')
        equal(port_of(again), port, 'the first that is free')
        a.call('DeleteIngressPoint', IngressPointId=again)

@test
def tls_is_asked_for():
    id = create(api, 'with-tls', Type='OPEN')
    equal(api.call('GetIngressPoint', IngressPointId=id)['TlsPolicy'], 'REQUIRED')
    with Sender(port_of(id)) as s:
        equal(s.try_send(mail('in the clear'))[0], 530)
    with Sender(port_of(id), tls=True) as s:
        subject = uuid.uuid4().hex
        s.send(mail(subject))
        in_archive('one', subject)
        api.call('UpdateIngressPoint', IngressPointId=id, TlsPolicy='OPTIONAL')
    arrives(id, 'one')
    api.call('DeleteIngressPoint', IngressPointId=id)

@test
def passwords_rotate():
    for a in (api, cbor):
        id = create(a, 'login', Type='AUTH', IngressPointConfiguration={'SmtpPassword': 'first-one'})
        def versions():
            return a.call('GetIngressPoint', IngressPointId=id)['IngressPointAuthConfiguration']['IngressPointPasswordConfiguration']
        def rotate(password):
            a.call('UpdateIngressPoint', IngressPointId=id, IngressPointConfiguration={'SmtpPassword': password})
        equal(versions(), {'SmtpPasswordVersion': '1'})
        equal((login(id, 'first-one'), login(id, 'wrong-one'), login('closing', 'first-one', port_of(id))), (True, 535, 535))
        rotate('second-one')
        got = versions()
        days = (time_of(got.pop('PreviousSmtpPasswordExpiryTimestamp')) - time.time() * 1000) / 86400000
        check(13.9 < days < 14.1, '%f days' % days)
        equal(got, {'SmtpPasswordVersion': '2', 'PreviousSmtpPasswordVersion': '1'})
        equal((login(id, 'first-one'), login(id, 'second-one')), (True, True))
        rotate('third-one')
        equal((login(id, 'first-one'), login(id, 'second-one'), login(id, 'third-one')), (535, True, True))
        site.advance(days=15)
        equal((login(id, 'second-one'), login(id, 'third-one')), (535, True), 'after 15 days')
        equal(versions(), {'SmtpPasswordVersion': '3'})
        site.advance(days=-15)
        a.call('DeleteIngressPoint', IngressPointId=id)
    equal(site.grep([b'first-one', b'second-one', b'third-one']), [])

@test
def what_is_refused():
    login_id = create(api, 'an-auth', Type='AUTH', IngressPointConfiguration={'SmtpPassword': 'secret-123'})
    open_id = create(api, 'an-open', Type='OPEN')
    secret = {'SecretArn': 'arn:aws:secretsmanager:us-east-1:000000000000:secret:x'}
    for a in (api, cbor):
        for member, more in (
                ('RuleSetId', dict(Type='OPEN', RuleSetId='keep')), # a name is no id
                ('TrafficPolicyId', dict(Type='OPEN', TrafficPolicyId='all')),
                ('RuleSetId', dict(Type='OPEN', RuleSetId='rs-nosuch')),
                ('IngressPointConfiguration', dict(Type='AUTH')),
                ('IngressPointConfiguration', dict(Type='AUTH', IngressPointConfiguration=secret)),
                ('IngressPointConfiguration', dict(Type='OPEN', IngressPointConfiguration={'SmtpPassword': 'secret-123'})),
                ('TlsPolicy', dict(Type='AUTH', TlsPolicy='OPTIONAL', IngressPointConfiguration={'SmtpPassword': 'secret-123'})),
                ('TlsPolicy', dict(Type='OPEN', TlsPolicy='FIPS')),
                ('IngressPointConfiguration.TlsAuthConfiguration.TrustStore', dict(Type='MTLS')),
                ('NetworkConfiguration', dict(Type='OPEN', NetworkConfiguration={'PublicNetworkConfiguration': {'IpType': 'DUAL_STACK'}})),
                ('NetworkConfiguration', dict(Type='OPEN', NetworkConfiguration={'PrivateNetworkConfiguration': {'VpcEndpointId': 'vpce-' + 'a' * 17}}))):
            a.refuses('ValidationException', 'CreateIngressPoint', member + ': ', IngressPointName='refused', **dict(BASE, **more))
        a.refuses('ConflictException', 'CreateIngressPoint', 'taken', IngressPointName='an-open', Type='OPEN', **BASE)
        a.refuses('ConflictException', 'UpdateIngressPoint', 'taken', IngressPointId=login_id, IngressPointName='an-open')
        a.refuses('ValidationException', 'UpdateIngressPoint', 'TlsPolicy: ', IngressPointId=login_id, TlsPolicy='OPTIONAL')
        a.refuses('ValidationException', 'UpdateIngressPoint', 'IngressPointConfiguration: ', IngressPointId=open_id,
                  IngressPointConfiguration={'SmtpPassword': 'secret-123'})
        for member in ('RuleSetId', 'TrafficPolicyId'):
            for other in ('keep', 'all', 'nosuch'):
                a.refuses('ResourceNotFoundException', 'UpdateIngressPoint', member + ': ', IngressPointId=open_id, **{member: other})
    for id in (login_id, open_id):
        api.call('DeleteIngressPoint', IngressPointId=id)

@test
def tokens_and_the_end_of_the_pool():
    input = dict(BASE, IngressPointName='token', Type='AUTH', ClientToken='t', IngressPointConfiguration={'SmtpPassword': 'secret-123'})
    id = api.call('CreateIngressPoint', **input)['IngressPointId']
    made = [id]
    def again():
        for a in (api, cbor):
            equal(a.call('CreateIngressPoint', **input), {'IngressPointId': id})
            a.refuses('ConflictException', 'CreateIngressPoint', 'ClientToken',
                      **dict(input, IngressPointConfiguration={'SmtpPassword': 'secret-124'}))
    again()
    ports = {port_of(p['IngressPointId']) for p in api.call('ListIngressPoints')['IngressPoints']}
    busy = socket.create_server(('127.0.0.1', next(p for p in range(POOL, POOL + 20) if p not in ports))) # another program's
    try:
        while True:
            made.append(create(api, 'more-%d' % len(made), Type='OPEN'))
    except Refused as e:
        equal((e.name, 'at most 10' in e.message), ('ServiceQuotaExceededException', True), e.message)
    for a, size in ((api, 1), (cbor, 3)):
        got, token = [], None
        while token or not got:
            page = a.call('ListIngressPoints', PageSize=size, **({'NextToken': token} if token else {}))
            got += [p['IngressPointId'] for p in page['IngressPoints']]
            token = page.get('NextToken')
        equal(got[-len(made):], made)
    try:
        while True:
            made.append(create(api, 'auth-%d' % len(made), Type='AUTH', IngressPointConfiguration={'SmtpPassword': 'secret-123'}))
    except Refused as e:
        equal((e.name, 'ingress_pool' in e.message), ('ServiceQuotaExceededException', True), e.message)
    equal(len({port_of(i) for i in made} | {busy.getsockname()[1]}), len(made) + 1)
    again()
    busy.close()
    create(api, 'last', Type='AUTH', IngressPointConfiguration={'SmtpPassword': 'secret-123'})
    for i in made:
        api.call('DeleteIngressPoint', IngressPointId=i)

@test
def no_fast_hash_of_a_password_is_kept():
    """A token is compared by the hash of all parameters: that of a password would be guessed at."""
    def kept(command, **input):
        api.call(command, ClientToken=uuid.uuid4().hex, **input)
        text = json.dumps(input, sort_keys=True, separators=(',', ':')).encode()
        return hashlib.sha256(text).digest() in forget.opened(site, site.data)[0]
    check(kept('CreateRuleSet', RuleSetName='control', Rules=[]), 'the control: tokens are kept otherwise')
    check(not kept('CreateIngressPoint', IngressPointName='hashed', Type='AUTH', IngressPointConfiguration={'SmtpPassword': 'secret-123'}, **BASE), 'it is kept')

@test
def they_are_there_after_a_start():
    before = api.call('ListIngressPoints')
    id = next(p['IngressPointId'] for p in before['IngressPoints'] if p['IngressPointName'] == 'json-2')
    site.stop()
    site.start()
    equal(api.call('ListIngressPoints'), before)
    arrives(id, 'one')
    site.stop()

@test
def a_pool_of_an_ipv6_address():
    """Ports that are taken there are passed over, those of 127.0.0.1 are not asked for; the client's address is judged and recorded as it is."""
    try:
        busy = socket.create_server(('::1', 0), family=socket.AF_INET6)
    except OSError as e:
        raise Skip('no ::1 here: %s' % e)
    low = busy.getsockname()[1]
    other = Site(config={'api': {'listen': '127.0.0.1:%d' % PORT, 'ingress_pool': '[::1]:%d-%d' % (low, low + 20)}}).start()
    admin = Api(other, PORT, lines=api.lines)
    archive = next(a['ArchiveId'] for a in admin.call('ListArchives')['Archives'] if a['ArchiveName'] == 'corp')
    net = {'Action': 'DENY', 'Conditions': [
        {'Ipv6Expression': {'Evaluate': {'Attribute': 'SENDER_IPV6'}, 'Operator': 'CIDR_MATCHES', 'Values': ['::1/128']}}]}
    which = dict(TrafficPolicyId=admin.call('CreateTrafficPolicy', TrafficPolicyName='all', DefaultAction='ALLOW', PolicyStatements=[])['TrafficPolicyId'],
                 RuleSetId=admin.call('CreateRuleSet', RuleSetName='keep', Rules=archiving(archive))['RuleSetId'])
    ports = []
    for name in ('first', 'second'):
        id = admin.call('CreateIngressPoint', IngressPointName=name, Type='OPEN', TlsPolicy='OPTIONAL', **which)['IngressPointId']
        ports.append(int(admin.call('GetIngressPoint', IngressPointId=id)['ARecord'].split(':')[1]))
    check(low < ports[0] < ports[1] <= low + 20, '%r, %d is taken' % (ports, low))
    for port in ports:
        check(refused(port), 'it listens at 127.0.0.1')
        with Sender(port, host='::1') as s:
            message = s.send(mail('by six'))
        other.wait()
        receipt = other.request('why', id=message)[1][0]['receipt']
        equal((receipt['ip'], receipt['local']), ('::1', '[::1]:%d' % port))
    admin.call('UpdateTrafficPolicy', TrafficPolicyId=which['TrafficPolicyId'], PolicyStatements=[net])
    with Sender(ports[0], host='::1') as s:
        equal(s.try_send(mail('denied'))[0], 550, 'by its address')
    other.stop()
    other.start()
    admin.call('UpdateTrafficPolicy', TrafficPolicyId=which['TrafficPolicyId'], PolicyStatements=[])
    with Sender(ports[1], host='::1') as s:
        s.send(mail('after a start'))
    other.stop()
    busy.close()

done()
