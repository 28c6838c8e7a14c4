#!/usr/bin/env python3
"""mmctl call and mmctl dump: the operations of the control API from a shell, with a running mmd and without, and all resources as a file
that apply takes, here and in another directory."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site()

def call(*args, code=0, **more):
    out = site.run('mmctl', 'call', *args, code=code, **more)
    return json.loads(out) if code == 0 else site.stderr

@test
def operations_with_and_without_mmd():
    for running in (False, True):
        if running:
            site.start()
        name = 'list%d' % running
        made = call('CreateAddressList', json.dumps({'AddressListName': name, 'Tags': [{'Key': 'k', 'Value': 'v'}]}))
        path = os.path.join(site.root, 'input')
        site.write(path, json.dumps({'AddressListId': made['AddressListId'], 'Address': '*@c.example'}))
        equal(call('RegisterMemberToAddressList', '@' + path), {})
        equal([a['Address'] for a in call('ListMembersOfAddressList', '-', input=json.dumps(made).encode())['Addresses']], ['*@c.example'])
        got = call('GetAddressList', json.dumps(made))
        equal((got['AddressListName'], got['AddressListArn'].rsplit('/', 1)[1]), (name, made['AddressListId']))
        check(abs(got['CreatedTimestamp'] - time.time()) < 86400, got)
        check('ConflictException' in call('CreateAddressList', json.dumps({'AddressListName': name}), code=1), site.stderr)
        check('ValidationException' in call('ListRuleSets', '{"PageSize":51}', code=1) and 'PageSize' in site.stderr, site.stderr)
        check('SerializationException' in call('ListRuleSets', '{"PageSize":"x"}', code=1), site.stderr)
        check('UnknownOperationException' in call('Nothing', code=1), site.stderr)
        call('ListRuleSets', '@' + path + '.absent', code=2)
        call(code=2)
    said = [json.loads(l) for l in site.run('mm-audit', 'list', '--json').splitlines()]
    check(any(e['event'] == 'apply' and e['detail'].get('operation') == 'CreateAddressList' for e in said), 'no entry of the change')

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
    dumped = site.run('mmctl', 'dump')
    check('new' in dumped and archive not in dumped and lists[0]['AddressListId'] not in dumped, 'an id where a name belongs')
    path = os.path.join(site.root, 'dumped.json')
    site.write(path, dumped)
    equal(site.run('mmctl', 'apply', path).strip(), 'nothing changed')
    site.stop()
    other = Site(apply=False)
    other.run('mmctl', 'apply', path)
    equal(bare(other.run('mmctl', 'dump')), bare(dumped), 'the copy')
    changed = bare(dumped)
    changed['Relays'][0]['ServerPort'] = 26
    site.write(path, json.dumps(changed))
    check('nothing' not in site.run('mmctl', 'apply', path), 'the control: a change is one')

done()
