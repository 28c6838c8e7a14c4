#!/usr/bin/env python3
"""mmctl call and mmctl dump: the operations of the control API from a shell, without a running mmd, over its socket and over its endpoint,
and all resources as a file that apply takes, here and in another directory."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

port = free_port()
site = Site(config={'api': {'listen': '127.0.0.1:%d' % port}})
key = os.path.join(site.root, 'key')
site.write(key, site.run('mmctl', 'principal', 'create', 'ci', '--role', 'admin', '--json'))
os.chmod(key, 0o600)
WAYS = {'alone': [], 'socket': [], 'endpoint': ['--endpoint', 'http://127.0.0.1:%d' % port, '--credentials', key]}
over = []

def mmctl(*args, **more):
    return site.run('mmctl', *args, *over, **more)

def call(*args, code=0, **more):
    out = mmctl('call', *args, code=code, **more)
    return json.loads(out) if code == 0 else site.stderr

@test
def operations_alone_and_over_socket_and_endpoint():
    for way in WAYS:
        if way == 'socket':
            site.start()
        over[:] = WAYS[way]
        made = call('CreateAddressList', json.dumps({'AddressListName': way, 'Tags': [{'Key': 'k', 'Value': 'v'}]}))
        path = os.path.join(site.root, 'input')
        site.write(path, json.dumps({'AddressListId': made['AddressListId'], 'Address': '*@c.example'}))
        equal(call('RegisterMemberToAddressList', '@' + path), {})
        equal([a['Address'] for a in call('ListMembersOfAddressList', '-', input=json.dumps(made).encode())['Addresses']], ['*@c.example'])
        got = call('GetAddressList', json.dumps(made))
        equal((got['AddressListName'], got['AddressListArn'].rsplit('/', 1)[1]), (way, made['AddressListId']))
        check(abs(got['CreatedTimestamp'] - time.time()) < 86400, got)
        check('ConflictException' in call('CreateAddressList', json.dumps({'AddressListName': way}), code=1), site.stderr)
        check('ValidationException' in call('ListRuleSets', '{"PageSize":51}', code=1) and 'PageSize' in site.stderr, site.stderr)
        check('SerializationException' in call('ListRuleSets', '{"PageSize":"x"}', code=1), site.stderr)
        check('UnknownOperationException' in call('Nothing', code=1), site.stderr)
        call('ListRuleSets', '@' + path + '.absent', code=2)
        call(code=2)
    said = [json.loads(l) for l in site.run('mm-audit', 'list', '--json').splitlines()]
    who = [e['who'] for e in said if e['event'] == 'apply' and e['detail'].get('operation') == 'CreateAddressList']
    equal([w.split(' (')[0] for w in who], ['uid %d' % os.getuid()] * 2 + ['principal ci'], 'the entries of the changes')

def bare(text):
    return json.loads(text)

@test
def what_is_dumped_can_be_applied():
    archive = call('CreateArchive', '{"ArchiveName":"new"}')['ArchiveId']
    lists = call('ListAddressLists')['AddressLists']
    call('CreateRuleSet', json.dumps({'RuleSetName': 'second', 'Rules': [{
        'Conditions': [{'BooleanExpression': {'Evaluate': {'IsInAddressList': {'Attribute': 'RECIPIENT', 'AddressLists': [lists[0]['AddressListArn']]}},
                                              'Operator': 'IS_TRUE'}}],
        'Actions': [{'Archive': {'TargetArchive': archive}}]}]}))
    call('CreateRelay', '{"RelayName":"r","ServerName":"mail.example.com","ServerPort":25,"Authentication":{"NoAuthentication":{}}}')
    sub = call('CreateAddonSubscription', '{"AddonName":"SPAMHAUS_DBL"}')['AddonSubscriptionId']
    call('CreateAddonInstance', json.dumps({'AddonSubscriptionId': sub}))
    path = os.path.join(site.root, 'dumped.json')
    texts = []
    for way in ('endpoint', 'socket'):
        over[:] = WAYS[way]
        texts.append(mmctl('dump'))
        check('new' in texts[-1] and archive not in texts[-1] and lists[0]['AddressListId'] not in texts[-1], 'an id where a name belongs')
        site.write(path, texts[-1])
        equal(mmctl('apply', path).strip(), 'nothing changed')
    equal(texts[0], texts[1], 'over the endpoint')
    dumped = texts[0]
    over[:] = WAYS['endpoint']
    changed = bare(dumped)
    changed['Relays'][0]['ServerPort'] = 26
    changed['Archives'][0]['Retention'] = {'RetentionDays': 17}
    site.write(path, json.dumps(changed))
    equal(sorted(line.split()[1] for line in mmctl('apply', path).splitlines()), ['Archives', 'Relays'], 'what changed')
    changed['Relays'][0]['ServerPort'] = 0
    changed['Archives'][0]['Retention'] = {'RetentionDays': 18}
    site.write(path, json.dumps(changed))
    mmctl('apply', path, code=2)
    check('ValidationException: ' in site.stderr and 'ServerPort' in site.stderr, site.stderr)
    over[:] = []
    check('"RetentionDays": 17' in mmctl('dump'), 'all or nothing')
    site.stop()
    other = Site(apply=False)
    site.write(path, dumped)
    other.run('mmctl', 'apply', path)
    equal(bare(other.run('mmctl', 'dump')), bare(dumped), 'the copy')
    changed = bare(dumped)
    changed['Relays'][0]['ServerPort'] = 26
    site.write(path, json.dumps(changed))
    check('nothing' not in site.run('mmctl', 'apply', path), 'the control: a change is one')

done()
