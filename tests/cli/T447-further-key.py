#!/usr/bin/env python3
"""Archives under a further key (KmsKeyArn): made through the API and by apply, refused without a command for the key, opened with it alone:
a key that is missing or another one stops the start, says why, and loses nothing."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

ARN = 'arn:aws:kms:eu-west-1:000000000000:key/%s'
site = Site()
key_file = site.data + '.key'
master = open(key_file).read()
given = os.path.join(site.root, 'kms-key')
site.write(given, 'ab' * 32)
ran = os.path.join(site.root, 'ran')
LINE = 'kms %s echo x >>%s; cat %s\n' % (ARN % 'good', ran, given)

def keys(*lines):
    site.write(key_file, master + ''.join(lines))

def call(operation, code=0, **input):
    out = site.run('mmctl', 'call', operation, json.dumps(input), code=code)
    return json.loads(out) if code == 0 else site.stderr

def apply(code=0, **archive):
    path = os.path.join(site.root, 'kms.json')
    site.write(path, json.dumps({'Archives': [archive]}))
    return site.run('mmctl', 'apply', path, code=code)

def refused_to_start(*has):
    """mmd and a tool alone."""
    site.run('mmd', '--config', site.config, code=3)
    for word in has:
        check(word in site.stderr, '%r is not in: %s' % (word, site.stderr))
    site.run('mm-search', '--archive', 'corp', 'x', code=3)
    check(has[0] in site.stderr, site.stderr)

@test
def made_with_a_key_that_there_is():
    keys(LINE, 'kms %s exit 1\n' % (ARN % 'failing'))
    site.start()
    for name in ('other', 'failing'):
        said = call('CreateArchive', ArchiveName='no-' + name, KmsKeyArn=ARN % name, code=1)
        check('ValidationException' in said and 'KmsKeyArn: no key command is configured for ' + ARN % name in said, said)
        apply(ArchiveName='no-' + name, KmsKeyArn=ARN % name, code=2)
        check('no key command is configured' in site.stderr, site.stderr)
    check('no-' not in site.run('mmctl', 'show', 'Archives'), 'it was made')
    check(ARN % 'failing' in site.tail() and 'failed' in site.tail(), 'the command that failed is not told')
    id = call('CreateArchive', ArchiveName='sealed', KmsKeyArn=ARN % 'good')['ArchiveId']
    equal(call('GetArchive', ArchiveId=id)['KmsKeyArn'], ARN % 'good')
    corp = [a['ArchiveId'] for a in call('ListArchives')['Archives'] if a['ArchiveName'] == 'corp'][0]
    check('KmsKeyArn' not in call('GetArchive', ArchiveId=corp), 'an archive that is under none')
    apply(ArchiveName='applied', KmsKeyArn=ARN % 'good')
    equal(apply(ArchiveName='applied').strip(), 'nothing changed', 'left out')
    for archive in ({'ArchiveName': 'applied', 'KmsKeyArn': ARN % 'failing'}, {'ArchiveName': 'corp', 'KmsKeyArn': ARN % 'good'}):
        apply(code=2, **archive)
        check('KmsKeyArn: is fixed when an archive is made' in site.stderr, site.stderr)
    dumped = {a['ArchiveName']: a.get('KmsKeyArn') for a in json.loads(site.run('mmctl', 'dump'))['Archives']}
    equal((dumped['sealed'], dumped['applied'], dumped['corp']), (ARN % 'good', ARN % 'good', None))

ids = {}

@test
def mail_goes_in_and_is_found():
    rules = {'RuleSets': [{'RuleSetName': 'all', 'Rules': [{'Name': 'keep', 'Conditions': [], 'Actions': [
        {'Archive': {'TargetArchive': 'sealed'}}, {'Archive': {'TargetArchive': 'corp'}}]}]}]}
    path = os.path.join(site.root, 'rules.json')
    site.write(path, json.dumps(rules))
    site.run('mmctl', 'apply', path)
    ids['first'] = site.send(mail('first', 'lantern'))
    site.wait()
    ids['spooled'] = site.send(mail('second', 'lantern'))
    site.kill()
    for archive in ('sealed', 'corp'): # a tool alone takes the key as mmd does
        equal(sorted(site.ids('lantern', archive)), sorted(ids.values()), archive)
    equal(site.verify()['problems'], 0)

@test
def without_its_key_nothing_starts_and_nothing_is_lost():
    site.start()
    ids['third'] = site.send(mail('third', 'lantern'))
    site.kill() # it may be in the spool still
    keys()
    refused_to_start('archive sealed is under the key ' + ARN % 'good', 'no kms line')
    keys('kms %s exit 3\n' % (ARN % 'good'))
    refused_to_start('archive sealed is under the key', "its command in the key file doesn't give")
    site.write(given, 'ac' * 32)
    keys(LINE)
    refused_to_start('archive sealed is under the key', 'gives another one')
    site.write(given, 'ab' * 32)
    before = os.path.getsize(ran)
    site.start()
    equal(os.path.getsize(ran), before + 2, 'the command ran once')
    site.wait()
    for archive in ('sealed', 'corp'):
        equal(sorted(site.ids('lantern', archive)), sorted(ids.values()), archive)
    equal(site.verify()['problems'], 0)

@test
def its_bytes_are_nowhere():
    site.stop()
    equal(site.grep([b'ab' * 32, bytes.fromhex('ab' * 32)]), [], 'the key lies in the directory')

@test
def an_archive_that_is_gone_takes_no_key():
    for name in ('sealed', 'applied'):
        id = [a['ArchiveId'] for a in call('ListArchives')['Archives'] if a['ArchiveName'] == name][0]
        path = os.path.join(site.root, 'rules.json')
        site.write(path, json.dumps(DEFAULT | {'Archives': []}))
        site.run('mmctl', 'apply', path)
        call('DeleteArchive', ArchiveId=id)
    keys()
    refused_to_start('is under the key')
    keys(LINE)
    site.advance(days=31)
    site.run('mm-retention', 'run')
    equal([a['ArchiveName'] for a in call('ListArchives')['Archives']], ['corp', 'short', 'legal'])
    keys()
    equal(site.count('lantern'), 3)

done()
