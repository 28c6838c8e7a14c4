#!/usr/bin/env python3
"""The control API by npm's @aws-sdk/client-mailmanager, in JSON and in CBOR: every kind of resource is made, shown, changed, listed in pages
and deleted, and comes back whole; tokens, names that are taken, what is in use, what is missing, quotas."""
import os, sys, threading, uuid
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sdk import *
from signed import Line

site, port = site_with_api(profile='open')
api = Api(site, port)
both = [api, api.other('cbor')]
REGION_ACCOUNT = 'arn:aws:ses:us-east-1:000000000000:'
TIMES = {'CreatedTimestamp', 'LastUpdatedTimestamp', 'LastModifiedTimestamp', 'CreatedDate', 'LastModificationDate'}

def without_times(answer):
    """The answer, with each of its times checked and named."""
    for name in TIMES & set(answer):
        check(time_of(answer[name]) > 1500000000000, '%s: %r' % (name, answer))
    return {k: v for k, v in answer.items() if k not in TIMES}, sorted(TIMES & set(answer))

def shows(got, times, **want):
    """The whole answer is this, and has these times."""
    got, have = without_times(got)
    equal((got, have), (want, sorted(times)))

def make(a, command, id_member, **input):
    answer = a.call(command, **input)
    equal(list(answer), [id_member], command)
    return answer[id_member]

def fresh(prefix='x'):
    return '%s-%s' % (prefix, uuid.uuid4().hex[:12])

def pages(a, command, member, size, **more):
    """What all pages have; each but the last is full."""
    out, token = [], None
    while True:
        answer = a.call(command, PageSize=size, **dict(more, **({'NextToken': token} if token else {})))
        out += answer[member]
        token = answer.get('NextToken')
        check(len(answer[member]) == size if token else len(answer[member]) <= size, '%d on a page of %d' % (len(answer[member]), size))
        if not token:
            return out

def delete(a, create, id_member, id):
    """Whether it is gone: an archive only goes later, and some are in use."""
    try:
        a.call(create.replace('Create', 'Delete'), **{id_member: id})
    except Refused as e:
        equal(e.name, 'ConflictException')
        return False
    return create != 'CreateArchive'

# Every kind of condition and action that is built.
def rules(archive, list_id):
    return [
        {'Name': 'all.of_it-1', 'Conditions': [
            {'BooleanExpression': {'Evaluate': {'Attribute': 'TLS'}, 'Operator': 'IS_TRUE'}},
            {'BooleanExpression': {'Evaluate': {'IsInAddressList': {'Attribute': 'MAIL_FROM', 'AddressLists': [list_id]}}, 'Operator': 'IS_FALSE'}},
            {'StringExpression': {'Evaluate': {'Attribute': 'SUBJECT'}, 'Operator': 'CONTAINS', 'Values': ['a', 'gr\u00fc\u00df \U0001f600']}},
            {'StringExpression': {'Evaluate': {'MimeHeaderAttribute': 'X-Thing'}, 'Operator': 'STARTS_WITH', 'Values': ['\t "q" \\ ']}},
            {'NumberExpression': {'Evaluate': {'Attribute': 'MESSAGE_SIZE'}, 'Operator': 'LESS_THAN', 'Value': 1024.5}},
            {'NumberExpression': {'Evaluate': {'Attribute': 'MESSAGE_SIZE'}, 'Operator': 'GREATER_THAN', 'Value': 3}},
            {'IpExpression': {'Evaluate': {'Attribute': 'SOURCE_IP'}, 'Operator': 'CIDR_MATCHES', 'Values': ['192.0.2.0/24', '2001:db8::/32']}}],
         'Unless': [{'StringExpression': {'Evaluate': {'Attribute': 'HELO'}, 'Operator': 'EQUALS', 'Values': ['x']}}],
         'Actions': [{'AddHeader': {'HeaderName': 'X-Kept', 'HeaderValue': 'yes, kept'}},
                     {'ReplaceRecipient': {'ReplaceWith': ['a@b.example', 'c+d@b.example']}},
                     {'Archive': {'ActionFailurePolicy': 'DROP', 'TargetArchive': archive}}]},
        {'Conditions': [], 'Actions': [{'Drop': {}}]}]

def statements(list_id):
    return [
        {'Action': 'DENY', 'Conditions': [
            {'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': 'ENDS_WITH', 'Values': ['@x.example', '@y.example']}},
            {'IpExpression': {'Evaluate': {'Attribute': 'SENDER_IP'}, 'Operator': 'NOT_CIDR_MATCHES', 'Values': ['198.51.100.0/24']}},
            {'Ipv6Expression': {'Evaluate': {'Attribute': 'SENDER_IPV6'}, 'Operator': 'CIDR_MATCHES', 'Values': ['2001:db8::/32']}}]},
        {'Action': 'ALLOW', 'Conditions': [
            {'TlsExpression': {'Evaluate': {'Attribute': 'TLS_PROTOCOL'}, 'Operator': 'IS', 'Value': 'TLS1_3'}},
            {'BooleanExpression': {'Evaluate': {'IsInAddressList': {'Attribute': 'RECIPIENT', 'AddressLists': [list_id]}}, 'Operator': 'IS_TRUE'}}]}]

TAGS = [{'Key': 'a', 'Value': ''}, {'Key': 'b:c/d', 'Value': 'v=1'}]

def tags_of(a, arn):
    return a.call('ListTagsForResource', ResourceArn=arn)['Tags']

@test
def archives():
    for a in both:
        name = fresh('archive')
        id = make(a, 'CreateArchive', 'ArchiveId', ArchiveName=name, Retention={'RetentionPeriod': 'THREE_MONTHS'}, Tags=TAGS)
        arn = REGION_ACCOUNT + 'mailmanager-archive/' + id
        whole = dict(ArchiveId=id, ArchiveName=name, ArchiveArn=arn, ArchiveState='ACTIVE', Retention={'RetentionPeriod': 'THREE_MONTHS'})
        times = ['CreatedTimestamp', 'LastUpdatedTimestamp']
        shows(a.call('GetArchive', ArchiveId=id), times, **whole)
        equal(tags_of(a, arn), TAGS)
        equal(a.call('UpdateArchive', ArchiveId=id, ArchiveName=name + '2', Retention={'RetentionPeriod': 'PERMANENT'}), {})
        whole.update(ArchiveName=name + '2', Retention={'RetentionPeriod': 'PERMANENT'})
        shows(a.call('GetArchive', ArchiveId=id), times, **whole)
        a.refuses('ConflictException', 'CreateArchive', 'taken', ArchiveName=name + '2')
        other = make(a, 'CreateArchive', 'ArchiveId', ArchiveName=name)
        equal(a.call('GetArchive', ArchiveId=other)['Retention'], {'RetentionPeriod': 'SIX_MONTHS'}, 'as the service does it')
        a.refuses('ConflictException', 'UpdateArchive', 'taken', ArchiveId=other, ArchiveName=name + '2')
        equal(a.call('DeleteArchive', ArchiveId=id), {})
        shows(a.call('GetArchive', ArchiveId=id), times, **dict(whole, ArchiveState='PENDING_DELETION'))
        equal(a.call('DeleteArchive', ArchiveId=id), {}, 'again')
        a.refuses('ConflictException', 'UpdateArchive', 'being deleted', ArchiveId=id, ArchiveName=name + '3')
        a.refuses('ConflictException', 'CreateArchive', 'taken', ArchiveName=name + '2')
        listed = {x['ArchiveId']: without_times(x) for x in a.call('ListArchives')['Archives']}
        equal(listed[id], (dict(ArchiveId=id, ArchiveName=name + '2', ArchiveState='PENDING_DELETION'), ['LastUpdatedTimestamp']))

@test
def rule_sets():
    archive = make(api, 'CreateArchive', 'ArchiveId', ArchiveName=fresh('rules'))
    members = make(api, 'CreateAddressList', 'AddressListId', AddressListName=fresh())
    for a in both:
        name, times = fresh('rules'), ['CreatedDate', 'LastModificationDate']
        given = rules(archive, members)
        id = make(a, 'CreateRuleSet', 'RuleSetId', RuleSetName=name, Rules=given, Tags=TAGS)
        arn = REGION_ACCOUNT + 'mailmanager-rule-set/' + id
        for b in both:
            shows(b.call('GetRuleSet', RuleSetId=id), times, RuleSetId=id, RuleSetArn=arn, RuleSetName=name, Rules=given)
        equal(tags_of(a, arn), TAGS)
        a.refuses('ConflictException', 'DeleteAddressList', 'in use', AddressListId=members)
        equal(a.call('UpdateRuleSet', RuleSetId=id, Rules=[]), {})
        shows(a.call('GetRuleSet', RuleSetId=id), times, RuleSetId=id, RuleSetArn=arn, RuleSetName=name, Rules=[])
        equal(a.call('UpdateRuleSet', RuleSetId=id, RuleSetName=name + '.2'), {})
        a.refuses('ConflictException', 'CreateRuleSet', 'taken', RuleSetName=name + '.2', Rules=[])
        listed = {x['RuleSetId']: without_times(x) for x in a.call('ListRuleSets')['RuleSets']}
        equal(listed[id], (dict(RuleSetId=id, RuleSetName=name + '.2'), ['LastModificationDate']))
        a.refuses('ValidationException', 'UpdateRuleSet', 'Rules[0].Actions[0].Archive.TargetArchive: ', RuleSetId=id, Rules=[
            {'Actions': [{'Archive': {'TargetArchive': 'a-nosuch'}}]}])
        equal(a.call('DeleteRuleSet', RuleSetId=id), {})
        a.refuses('ResourceNotFoundException', 'GetRuleSet', id, RuleSetId=id)
        a.refuses('ResourceNotFoundException', 'UpdateRuleSet', id, RuleSetId=id, Rules=[])
        equal(a.call('DeleteRuleSet', RuleSetId=id), {}, 'again')

@test
def traffic_policies():
    members = make(api, 'CreateAddressList', 'AddressListId', AddressListName=fresh())
    for a in both:
        name, times = fresh('policy'), ['CreatedTimestamp', 'LastUpdatedTimestamp']
        given = dict(TrafficPolicyName=name, DefaultAction='DENY', PolicyStatements=statements(members), MaxMessageSizeBytes=10485760)
        id = make(a, 'CreateTrafficPolicy', 'TrafficPolicyId', Tags=TAGS, **given)
        whole = dict(given, TrafficPolicyId=id, TrafficPolicyArn=REGION_ACCOUNT + 'mailmanager-traffic-policy/' + id)
        for b in both:
            shows(b.call('GetTrafficPolicy', TrafficPolicyId=id), times, **whole)
        equal(tags_of(a, whole['TrafficPolicyArn']), TAGS)
        change = dict(TrafficPolicyName=name + '_2', DefaultAction='ALLOW', PolicyStatements=[], MaxMessageSizeBytes=1)
        for member, value in change.items():
            equal(a.call('UpdateTrafficPolicy', TrafficPolicyId=id, **{member: value}), {})
            whole[member] = value
            shows(a.call('GetTrafficPolicy', TrafficPolicyId=id), times, **whole)
        a.refuses('ConflictException', 'CreateTrafficPolicy', 'taken', **dict(given, TrafficPolicyName=name + '_2'))
        listed = {x['TrafficPolicyId']: x for x in a.call('ListTrafficPolicies')['TrafficPolicies']}
        equal(listed[id], dict(TrafficPolicyId=id, TrafficPolicyName=name + '_2', DefaultAction='ALLOW'))
        equal(a.call('DeleteTrafficPolicy', TrafficPolicyId=id), {})
        a.refuses('ResourceNotFoundException', 'GetTrafficPolicy', id, TrafficPolicyId=id)
        a.refuses('ResourceNotFoundException', 'UpdateTrafficPolicy', id, TrafficPolicyId=id, DefaultAction='DENY')
        equal(a.call('DeleteTrafficPolicy', TrafficPolicyId=id), {}, 'again')

@test
def relays():
    for a in both:
        name, times = fresh('relay'), ['CreatedTimestamp', 'LastModifiedTimestamp']
        given = dict(RelayName=name, ServerName='mail.example.com', ServerPort=25, Authentication={'NoAuthentication': {}})
        id = make(a, 'CreateRelay', 'RelayId', Tags=TAGS, **given)
        whole = dict(given, RelayId=id, RelayArn=REGION_ACCOUNT + 'mailmanager-smtp-relay/' + id)
        shows(a.call('GetRelay', RelayId=id), times, **whole)
        equal(tags_of(a, whole['RelayArn']), TAGS)
        secret = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:relay-1'
        change = dict(RelayName=name + '-2', ServerName='other.example', ServerPort=65535, Authentication={'SecretArn': secret})
        for member, value in change.items():
            equal(a.call('UpdateRelay', RelayId=id, **{member: value}), {})
            whole[member] = value
            shows(a.call('GetRelay', RelayId=id), times, **whole)
        a.refuses('ConflictException', 'CreateRelay', 'taken', **dict(given, RelayName=name + '-2'))
        listed = {x['RelayId']: without_times(x) for x in a.call('ListRelays')['Relays']}
        equal(listed[id], (dict(RelayId=id, RelayName=name + '-2'), ['LastModifiedTimestamp']))
        for size in (0, -1, 1000000): # the model has no bounds here
            check(a.call('ListRelays', PageSize=size)['Relays'], size)
        equal(a.call('DeleteRelay', RelayId=id), {})
        a.refuses('ResourceNotFoundException', 'GetRelay', id, RelayId=id)
        a.refuses('ResourceNotFoundException', 'UpdateRelay', id, RelayId=id, ServerPort=26)
        equal(a.call('DeleteRelay', RelayId=id), {}, 'again')

@test
def address_lists():
    for a in both:
        name, times = fresh('list'), ['CreatedTimestamp', 'LastUpdatedTimestamp']
        id = make(a, 'CreateAddressList', 'AddressListId', AddressListName=name, Tags=TAGS)
        whole = dict(AddressListId=id, AddressListName=name, AddressListArn=REGION_ACCOUNT + 'mailmanager-address-list/' + id)
        shows(a.call('GetAddressList', AddressListId=id), times, **whole)
        equal(tags_of(a, whole['AddressListArn']), TAGS)
        a.refuses('ConflictException', 'CreateAddressList', 'taken', AddressListName=name)
        listed = {x['AddressListId']: without_times(x) for x in a.call('ListAddressLists')['AddressLists']}
        equal(listed[id], (whole, times))
        members = ['*.c.example', '*@c.example', '123*@c.example', 'Ann@C.example', 'joe@*.c.example', 'z@c.example']
        for m in members:
            equal(a.call('RegisterMemberToAddressList', AddressListId=id, Address=m), {})
        equal(a.call('RegisterMemberToAddressList', AddressListId=id, Address='Ann@C.example'), {}, 'again')
        shows(a.call('GetMemberOfAddressList', AddressListId=id, Address='Ann@C.example'), ['CreatedTimestamp'], Address='Ann@C.example')
        for wrong in ('a*b*@c.example', 'a' * 20 + '*@c.example', 'no blank@c.example'):
            a.refuses('ValidationException', 'RegisterMemberToAddressList', 'Address: ', AddressListId=id, Address=wrong)
        for size in range(1, len(members) + 2):
            equal(sorted(m['Address'] for m in pages(a, 'ListMembersOfAddressList', 'Addresses', size, AddressListId=id)), sorted(members))
        equal([m['Address'] for m in pages(a, 'ListMembersOfAddressList', 'Addresses', 1, AddressListId=id, Filter={'AddressPrefix': '*'})],
              ['*.c.example', '*@c.example'])
        equal(a.call('ListMembersOfAddressList', AddressListId=id, Filter={'AddressPrefix': 'nobody'}), {'Addresses': []})
        equal(a.call('DeregisterMemberFromAddressList', AddressListId=id, Address='z@c.example'), {})
        for command in ('GetMemberOfAddressList', 'DeregisterMemberFromAddressList'):
            a.refuses('ResourceNotFoundException', command, AddressListId=id, Address='z@c.example')
        equal(a.call('DeleteAddressList', AddressListId=id), {})
        for command, more in (('GetAddressList', {}), ('ListMembersOfAddressList', {}), ('RegisterMemberToAddressList', {'Address': 'a@b.example'}),
                              ('DeregisterMemberFromAddressList', {'Address': 'a@b.example'}), ('GetMemberOfAddressList', {'Address': 'a@b.example'})):
            a.refuses('ResourceNotFoundException', command, id, AddressListId=id, **more)
        equal(a.call('DeleteAddressList', AddressListId=id), {}, 'again')

@test
def add_ons():
    for a in both:
        name, times = fresh('SOME ADD-ON'), ['CreatedTimestamp']
        id = make(a, 'CreateAddonSubscription', 'AddonSubscriptionId', AddonName=name, Tags=TAGS)
        arn = REGION_ACCOUNT + 'addon-subscription/' + id
        shows(a.call('GetAddonSubscription', AddonSubscriptionId=id), times, AddonName=name, AddonSubscriptionArn=arn)
        equal(tags_of(a, arn), TAGS)
        a.refuses('ConflictException', 'CreateAddonSubscription', 'taken', AddonName=name)
        one = make(a, 'CreateAddonInstance', 'AddonInstanceId', AddonSubscriptionId=id, Tags=TAGS)
        whole = dict(AddonSubscriptionId=id, AddonName=name, AddonInstanceArn=REGION_ACCOUNT + 'addon-instance/' + one)
        shows(a.call('GetAddonInstance', AddonInstanceId=one), times, **whole)
        equal(tags_of(a, whole['AddonInstanceArn']), TAGS)
        a.refuses('ConflictException', 'CreateAddonInstance', 'has an instance', AddonSubscriptionId=id)
        a.refuses('ResourceNotFoundException', 'CreateAddonInstance', AddonSubscriptionId='as-nosuch')
        listed = {x['AddonInstanceId']: without_times(x) for x in a.call('ListAddonInstances')['AddonInstances']}
        equal(listed[one], (dict(whole, AddonInstanceId=one), times))
        listed = {x['AddonSubscriptionId']: without_times(x) for x in a.call('ListAddonSubscriptions')['AddonSubscriptions']}
        equal(listed[id], (dict(AddonSubscriptionId=id, AddonName=name, AddonSubscriptionArn=arn), times))
        a.refuses('ConflictException', 'DeleteAddonSubscription', 'in use', AddonSubscriptionId=id)
        for command, member in (('AddonInstance', one), ('AddonSubscription', id)):
            for _ in range(2):
                equal(a.call('Delete' + command, **{command + 'Id': member}), {})
            a.refuses('ResourceNotFoundException', 'Get' + command, member, **{command + 'Id': member})

@test
def tags():
    for a in both:
        id = make(a, 'CreateRelay', 'RelayId', RelayName=fresh(), ServerName='a.example', ServerPort=1, Authentication={'NoAuthentication': {}})
        arn = a.call('GetRelay', RelayId=id)['RelayArn']
        equal(tags_of(a, arn), [])
        equal(a.call('TagResource', ResourceArn=arn, Tags=TAGS), {})
        equal(a.call('TagResource', ResourceArn=arn, Tags=[{'Key': 'a', 'Value': 'new'}]), {})
        equal(tags_of(a, arn), [{'Key': 'a', 'Value': 'new'}, TAGS[1]])
        equal(a.call('UntagResource', ResourceArn=arn, TagKeys=['a', 'nosuch']), {})
        equal(tags_of(a, arn), TAGS[1:])
        many = [{'Key': 'k%d' % i, 'Value': 'v'} for i in range(200)]
        a.refuses('ServiceQuotaExceededException', 'TagResource', '200', ResourceArn=arn, Tags=many)
        equal(tags_of(a, arn), TAGS[1:], 'nothing of what is refused')
        for wrong in (arn[:-3] + 'xyz', arn.replace('us-east-1', 'eu-west-1'), arn.replace('000000000000', '000000000001'),
                      arn.replace('smtp-relay', 'rule-set'), arn.replace(id, 'nosuch')):
            for command, more in (('ListTagsForResource', {}), ('TagResource', {'Tags': TAGS}), ('UntagResource', {'TagKeys': ['a']})):
                a.refuses('ResourceNotFoundException', command, ResourceArn=wrong, **more)
        a.call('DeleteRelay', RelayId=id)
        a.refuses('ResourceNotFoundException', 'ListTagsForResource', ResourceArn=arn)

LISTS = {'ListRuleSets': ('RuleSets', 'RuleSetId', 'CreateRuleSet', 'RuleSetName', {'Rules': []}),
         'ListTrafficPolicies': ('TrafficPolicies', 'TrafficPolicyId', 'CreateTrafficPolicy', 'TrafficPolicyName',
                                 {'PolicyStatements': [], 'DefaultAction': 'DENY'}),
         'ListRelays': ('Relays', 'RelayId', 'CreateRelay', 'RelayName', {'ServerName': 'a', 'ServerPort': 1, 'Authentication': {'NoAuthentication': {}}}),
         'ListAddressLists': ('AddressLists', 'AddressListId', 'CreateAddressList', 'AddressListName', {}),
         'ListArchives': ('Archives', 'ArchiveId', 'CreateArchive', 'ArchiveName', {}),
         'ListAddonSubscriptions': ('AddonSubscriptions', 'AddonSubscriptionId', 'CreateAddonSubscription', 'AddonName', {})}

@test
def pages_of_every_list():
    """What is there all the while is on exactly one page, in the order of making, whatever comes and goes."""
    for a in both:
        for command, (member, id_member, create, name, more) in LISTS.items():
            for _ in range(5):
                a.call(create, **dict(more, **{name: fresh('p')}))
            there = [x[id_member] for x in pages(a, command, member, 50)]
            for size in range(1, len(there) + 2):
                equal([x[id_member] for x in pages(a, command, member, size)], there, '%s by %d' % (command, size))
            got, gone, new, token = [], [], [], None
            while True:
                answer = a.call(command, PageSize=2, **({'NextToken': token} if token else {}))
                got += [x[id_member] for x in answer[member]]
                token = answer.get('NextToken')
                if not token:
                    break
                if len(new) < 4:
                    new.append(a.call(create, **dict(more, **{name: fresh('n')}))[id_member])
                    # The cursor's own, and one to come.
                    gone += [id for id in [got[-1]] + there[len(got) + 1:][:1] if delete(a, create, id_member, id)]
            equal(len(set(got)), len(got), command + ': none twice')
            stay = [x for x in there if x not in gone]
            equal([x for x in got if x in stay], stay, command)
            equal([x for x in got if x in new], new, command + ': those made meanwhile come last')

@test
def cursors_that_are_none():
    archive = api.call('ListArchives')['Archives'][0]['ArchiveId']
    members = make(api, 'CreateAddressList', 'AddressListId', AddressListName=fresh())
    for a in both:
        for command, more in [(c, {}) for c in list(LISTS) + ['ListIngressPoints', 'ListAddonInstances']] + [('ListMembersOfAddressList', {'AddressListId': members})]:
            for token in ('x', '-1', '1 ', '\u00e9', 'x' * 2048):
                a.refuses('ValidationException', command, 'NextToken', NextToken=token, **more)
        # What comes before may not be the asker's: the place in a list is no number that he could read, nor one of another list.
        tokens = [a.call(command, PageSize=1)['NextToken'] for command in ('ListArchives', 'ListArchives', 'ListRelays')]
        check(tokens[0] != tokens[1] and not any(t.isdigit() for t in tokens) and len(set(map(len, tokens))) == 1, tokens)
        a.refuses('ValidationException', 'ListArchives', 'NextToken', NextToken=tokens[2])

@test
def tokens():
    other = Api(site, port, 'operator', lines=api.lines)
    for a in both:
        for command, (member, id_member, create, name, more) in LISTS.items():
            token, first = uuid.uuid4().hex, dict(more, **{name: fresh('t')})
            id = make(a, create, id_member, ClientToken=token, **first)
            for b in both:
                equal(b.call(create, ClientToken=token, **first), {id_member: id}, 'the same again')
            a.refuses('ConflictException', create, 'ClientToken', ClientToken=token, **dict(first, **{name: fresh('t')}))
            a.refuses('ConflictException', create, 'ClientToken', ClientToken=token, **dict(first, Tags=TAGS))
            a.refuses('ConflictException', create, 'taken', ClientToken=uuid.uuid4().hex, **first)
            if create != 'CreateArchive':
                theirs = other.call(create, ClientToken=token, **dict(first, **{name: fresh('t')}))[id_member]
                check(theirs != id, 'tokens of two principals meet')
        # A token is of one operation.
        token = uuid.uuid4().hex
        one = a.call('CreateRuleSet', ClientToken=token, RuleSetName=fresh(), Rules=[])
        two = a.call('CreateAddressList', ClientToken=token, AddressListName=fresh())
        check(list(one) != list(two), 'one answer for two operations')

@test
def what_is_missing_and_what_is_no_id():
    """A name or an ARN of a resource isn't its id."""
    name = fresh('named')
    id = make(api, 'CreateRuleSet', 'RuleSetId', RuleSetName=name, Rules=[])
    for a in both:
        for reference in (name, REGION_ACCOUNT + 'mailmanager-rule-set/' + id, 'rs-' + 'a' * 24, '/' + id, ' '):
            if len(reference) <= 100:
                a.refuses('ResourceNotFoundException', 'GetRuleSet', RuleSetId=reference)
                a.refuses('ResourceNotFoundException', 'UpdateRuleSet', RuleSetId=reference, Rules=[])
                equal(a.call('DeleteRuleSet', RuleSetId=reference), {})
        a.refuses('ResourceNotFoundException', 'GetArchive', ArchiveId='a-' + 'x' * 24)
        a.refuses('ResourceNotFoundException', 'UpdateArchive', ArchiveId='a-' + 'x' * 24, ArchiveName='nosuch')
        equal(a.call('DeleteArchive', ArchiveId='a-' + 'x' * 24), {})
        for command in ('GetIngressPoint', 'UpdateIngressPoint', 'DeleteIngressPoint'):
            a.refuses('ResourceNotFoundException', command, IngressPointId='inp-nosuch')
    equal(api.call('GetRuleSet', RuleSetId=id)['RuleSetName'], name)

@test
def deleted_by_two_at_once():
    """For each of them it is deleted."""
    ids = [make(api, 'CreateRuleSet', 'RuleSetId', RuleSetName=fresh(), Rules=[]) for _ in range(30)]
    answers = []
    def delete_all():
        line = Line(port)
        for id in ids:
            answers.append(line.call(api.key, '127.0.0.1:%d' % port, 'DeleteRuleSet', json.dumps({'RuleSetId': id}).encode()))
        line.close()
    threads = [threading.Thread(target=delete_all) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(answers, [(200, {})] * 180)

@test
def keys_that_are_not_configured_are_refused():
    for a in both:
        a.refuses('ValidationException', 'CreateArchive', 'KmsKeyArn', ArchiveName=fresh(), KmsKeyArn='arn:aws:kms:us-east-1:000000000000:key/x')

def fill(a, create, name, most, **more):
    """Makes them until the quota says no; one too many isn't made."""
    made = 0
    try:
        while made <= most:
            a.call(create, **dict(more, **{name: fresh('q')}))
            made += 1
    except Refused as e:
        equal((e.name, e.status), ('ServiceQuotaExceededException', 402), create)
    return made

@test
def quotas_of_the_service():
    """The profile aws has them; the one above has none."""
    aws, aws_port = site_with_api()
    limited = Api(aws, aws_port, lines=api.lines)
    for command, most in (('ListArchives', 10), ('ListRelays', 40), ('ListTrafficPolicies', 100), ('ListRuleSets', 40), ('ListAddressLists', 100)):
        member, id_member, create, name, more = LISTS[command]
        before = len(pages(limited, command, member, 50))
        equal(before + fill(limited, create, name, most, **more), most, create)
        equal(len(pages(limited, command, member, 50)), most, command)
    deny = {'Action': 'DENY', 'Conditions': [{'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': 'EQUALS', 'Values': ['a']}}]}
    policy = dict(LISTS['ListTrafficPolicies'][4], TrafficPolicyName=fresh())
    id = limited.call('ListTrafficPolicies')['TrafficPolicies'][0]['TrafficPolicyId']
    limited.call('UpdateTrafficPolicy', TrafficPolicyId=id, PolicyStatements=[dict(deny, Conditions=deny['Conditions'] * 10)] * 20)
    for statements in ([deny] * 21, [dict(deny, Conditions=deny['Conditions'] * 11)]):
        limited.refuses('ServiceQuotaExceededException', 'CreateTrafficPolicy', 'PolicyStatements', **dict(policy, PolicyStatements=statements))
        limited.refuses('ValidationException', 'UpdateTrafficPolicy', 'PolicyStatements', TrafficPolicyId=id, PolicyStatements=statements) # it lists no other
        id_open = api.call('CreateTrafficPolicy', **dict(policy, TrafficPolicyName=fresh(), PolicyStatements=statements))['TrafficPolicyId']
        equal(api.call('GetTrafficPolicy', TrafficPolicyId=id_open)['PolicyStatements'], statements)
        for s in (site, aws): # by a file as well
            path = os.path.join(s.root, 'more.json')
            s.write(path, json.dumps({'TrafficPolicies': [dict(policy, TrafficPolicyName='by-a-file', PolicyStatements=statements)]}))
            s.run('mmctl', 'apply', path, code=0 if s is site else None)
            check(s is site or 'PolicyStatements' in s.stderr and 'length less than or equal to' in s.stderr, s.stderr)
    ask = dict(FromTimestamp=at(1000), ToTimestamp=at(2000))
    def ids(a):
        return [x['ArchiveId'] for x in a.call('ListArchives')['Archives'] if x['ArchiveState'] == 'ACTIVE']
    for n, bound in ((1001, None), (10000, None), (10001, 'api.search_results'), (2147483647, 'api.search_results')):
        if bound:
            api.refuses('ValidationException', 'StartArchiveSearch', bound, ArchiveId=ids(api)[0], MaxResults=n, **ask)
        else:
            id = api.call('StartArchiveSearch', ArchiveId=ids(api)[0], MaxResults=n, **ask)['SearchId']
            equal(api.call('GetArchiveSearch', SearchId=id)['MaxResults'], n)
        limited.refuses('ValidationException', 'StartArchiveSearch', 'less than or equal to 1000', ArchiveId=ids(limited)[0], MaxResults=n, **ask)
    archive = limited.call('ListArchives')['Archives'][-1]['ArchiveId']
    limited.call('UpdateArchive', ArchiveId=archive, Retention={'RetentionPeriod': 'ONE_YEAR'})
    limited.refuses('ServiceQuotaExceededException', 'UpdateArchive', 'Retention', ArchiveId=archive, Retention={'RetentionPeriod': 'TWO_YEARS'})
    limited.call('UpdateArchive', ArchiveId=archive, Retention={'RetentionPeriod': 'ONE_YEAR'}) # no change
    aws.advance(days=8)
    aws.close()
    for command, most in (('ListArchives', 10), ('ListRelays', 40)):
        member, id_member, create, name, more = LISTS[command]
        equal(fill(api, create, name, most, **more), most + 1, create)
    archive = make(api, 'CreateArchive', 'ArchiveId', ArchiveName=fresh())
    for period in ('ONE_YEAR', 'TWO_YEARS'):
        api.call('UpdateArchive', ArchiveId=archive, Retention={'RetentionPeriod': period})

@test
def what_stays_after_a_start():
    """Everything, as it was."""
    def everything():
        return [pages(api, c, m, 50) for c, (m, *_) in LISTS.items()]
    before = everything()
    site.stop()
    site.start()
    equal(everything(), before)

@test
def a_call_that_counts_once_right_behind_a_start():
    """The SDK signs it again by itself, whatever part of the second it is."""
    span = dict(ArchiveId=make(api, 'CreateArchive', 'ArchiveId', ArchiveName=fresh()), FromTimestamp=at(1000), ToTimestamp=at(2000), MaxResults=1)
    site.stop()
    site.start()
    for a in both:
        try:
            a.other(attempts=1).call('StartArchiveSearch', **span)
        except Refused as e: # while it is the second of the start
            equal((e.name, e.status), ('ThrottlingException', 429))
            print('put off: ' + e.message)
        make(a.other(attempts=3), 'StartArchiveSearch', 'SearchId', **span) # the SDK's own number

site.stop()
done()
