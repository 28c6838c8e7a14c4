#!/usr/bin/env python3
"""What is lost, half done or put back keeps mm from starting no longer than it must: a lost slot of the key ring, the key of an archive
that is no more, damage in the audit log, an older control database. The control of each is what is refused, and what is still told."""
import glob, os, re, shutil, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

SLOT, LIVE, ARCHIVE, LOT = 512, 1, 1, 2 # docs/formats.md, "Key ring"
PAGE = 8192                              # of databases
RINGS = ('keys.a', 'keys.b')

def path_of(site, name):
    return os.path.join(site.data, name)

def slots(site, kind, archive):
    """Live keys of the archive."""
    ring = open(path_of(site, 'keys.a'), 'rb').read()
    return [at for at in range(SLOT, len(ring), SLOT)
            if (ring[at + 24], ring[at + 25], int.from_bytes(ring[at + 28:at + 32], 'little')) == (LIVE, kind, archive)]

def patch(path, at, new):
    """Returns what was there."""
    with open(path, 'r+b') as f:
        f.seek(at)
        old = f.read(len(new))
        f.seek(at)
        f.write(new)
    return old

def lose(site, at):
    """The slot goes in both replicas; returns what it was."""
    return [patch(path_of(site, name), at, bytes(SLOT - 1) + b'x') for name in RINGS][0]

def change(site, *args):
    p = subprocess.run([os.path.join(site.bin, 'change'), '--data', site.data, '--key-file', site.data + '.key'] + list(args),
                       env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(p.returncode == 0, p.stderr.decode())

def apply(site, code=0, **what):
    path = os.path.join(site.root, 'change.json')
    site.write(path, json.dumps(what))
    return site.run('mmctl', 'apply', path, code=code)

def archives(site):
    return {a['ArchiveName']: a['ArchiveNumber'] for a in json.loads(site.run('mmctl', 'show', 'archives', '--json'))['Archives']}

def with_mail():
    site = Site().start()
    site.send(mail('first', 'lantern'))
    site.wait()
    return site

@test
def an_archive_while_a_slot_of_the_key_ring_is_lost():
    site = with_mail()
    site.stop()
    lose(site, slots(site, LOT, 1)[0])
    site.start()
    before = archives(site)
    apply(site, code=1, Archives=[{'ArchiveName': 'new'}])
    check('damaged in both replicas' in site.stderr, site.stderr)
    equal(archives(site), before, 'it was made')
    site.stop()
    change(site, 'create', 'archive', json.dumps({'ArchiveName': 'half'})) # the row, without a key
    equal(slots(site, ARCHIVE, 4), [], 'its key')
    site.start()
    equal((len(slots(site, ARCHIVE, 4)), site.count('', 'half')), (1, 0), 'it has one')
    site.stop()
    lose(site, slots(site, ARCHIVE, 1)[0])
    site.run('mmd', '--config', site.config, code=3)
    check('damaged in both replicas' in site.stderr, 'the control: one that has lots: ' + site.stderr)
    site.close()

@test
def the_key_of_an_archive_that_is_no_more():
    """An archive that ends while a slot is lost leaves its key in the ring, as a kill just before it is destroyed does."""
    arn = 'arn:aws:kms:eu-west-1:000000000000:key/one'
    site = Site()
    key_file = site.data + '.key'
    master = open(key_file).read()
    given = os.path.join(site.root, 'kms-key')
    site.write(given, 'ab' * 32)
    site.write(key_file, master + 'kms %s cat %s\n' % (arn, given))
    site.start()
    apply(site, Archives=[{'ArchiveName': 'sealed', 'KmsKeyArn': arn}], RuleSets=[{'RuleSetName': 'all', 'Rules': [
        {'Name': 'keep', 'Conditions': [], 'Actions': [{'Archive': {'TargetArchive': a}} for a in ('sealed', 'legal')]}]}])
    site.send(mail('first', 'lantern'))
    site.wait()
    apply(site, RuleSets=DEFAULT['RuleSets'])
    site.stop()
    at = slots(site, LOT, 3)[0]
    change(site, 'delete', 'archive', 'sealed')
    was = lose(site, at)
    site.write(key_file, master)
    site.run('mmd', '--config', site.config, code=3)
    check('archive sealed is under the key' in site.stderr, 'the control: it is there still: ' + site.stderr)
    site.write(key_file, master + 'kms %s cat %s\n' % (arn, given))
    site.advance(days=31)
    site.run('mm-retention', 'run')
    check('sealed' not in archives(site), 'it is there')
    equal((len(slots(site, ARCHIVE, 4)), slots(site, LOT, 4)), (1, []), 'its keys')
    site.write(key_file, master)
    site.start()
    site.stop()
    for name in RINGS:
        patch(path_of(site, name), at, was)
    site.run('mm-retention', 'run')
    equal(slots(site, ARCHIVE, 4), [], 'its key goes with the next sweep')
    equal(site.count('lantern', 'legal'), 1, 'the lot that was put back')
    site.close()

@test
def damage_in_an_older_file_of_the_audit_log():
    site = with_mail()
    site.stop()
    first, second = (path_of(site, 'audit/0000000%d.log' % n) for n in (1, 2))
    half = os.path.getsize(first) // 2
    with open(first, 'ab') as f:
        f.write(b'torn')
    equal(site.verify()['problems'], 0, 'the control')
    was = patch(first, half, b'damage')
    for cut in (False, True):
        if cut:
            os.truncate(second, 128) # its header: the log's end is in the damaged file
        site.start()
        check('audit file 00000001: the chain breaks' in site.tail(), site.tail())
        site.send(mail('second', 'lantern'))
        site.wait()
        equal(site.count('lantern'), 3 if cut else 2, 'found')
        site.run('mmctl', 'verify', code=1)
        site.stop()
    patch(first, half, was)
    said = site.run('mmctl', 'verify', code=1)
    check('was cut or replaced' in said and 'not what the audit log recorded' not in said, 'its entry comes with a whole log: ' + said)
    site.close()

@test
def damage_in_the_newest_file_of_the_audit_log():
    """One entry is lost; all others are read, and the log goes on in the same file, in which the entry can be put back."""
    site = with_mail()
    site.stop()
    entries = [json.loads(l) for l in site.run('mm-audit', 'list', '--json').splitlines()]
    first = path_of(site, 'audit/00000001.log')
    spot = os.path.getsize(first) // 3
    was = patch(first, spot, b'damage')
    site.start()
    said = re.search(r'audit file 00000001: the chain breaks at byte \d+, entry (\d+); the log goes on', site.tail())
    check(said, site.tail())
    lost = int(said.group(1))
    site.send(mail('second', 'lantern'))
    site.wait()
    equal(site.count('lantern'), 2, 'found')
    lines = [json.loads(l) for l in site.run('mm-audit', 'list', '--json', code=1).splitlines()]
    check('the chain breaks' in site.stderr, site.stderr)
    equal([e for e in lines if 'event' in e][:len(entries) - 1], [e for e in entries if e['number'] != lost], 'all other entries')
    site.run('mm-audit', 'list', '--from', str(lost + 1)) # of which none is missing
    for command in (('mm-audit', 'verify'), ('mmctl', 'verify')):
        check('entry %d' % lost in site.run(*command, code=1) + site.stderr, site.stderr)
    check('2 messages' in site.run('mmctl', 'verify', code=1), 'the mail is verified all the same')
    site.run('mmctl', 'reindex', code=1)
    equal(site.count('lantern'), 2, 'found by the new index')
    site.stop()
    equal(len(glob.glob(path_of(site, 'audit/*'))), 1, 'files')
    patch(first, spot, was)
    site.start()
    equal(site.verify()['problems'], 0, 'with the entry as it was')
    check('the chain breaks' not in site.tail().rsplit('stopping', 1)[-1], site.tail())
    site.close()

@test
def damage_in_the_shard_that_is_written():
    """The mail goes into another one, at each start; searches say what is wrong until a reindex."""
    site = Site().start()
    for i in range(30):
        site.send(mail('first %d' % i, 'lantern ' + ' '.join('word%d' % (i * 50 + j) for j in range(50))))
    site.wait()
    site.stop()
    shard, = [p for p in glob.glob(path_of(site, 'index/*/*.db')) if os.path.getsize(p) > 100000] or glob.glob(path_of(site, 'index/*/*.db'))[:1]
    for at in range(3 * PAGE, os.path.getsize(shard), PAGE):
        patch(shard, at + 1000, b'damage')
    for n in range(2):
        site.start()
        site.send(mail('second', 'lantern'))
        site.wait()
        check('nothing is added to that shard any more' in site.tail(), site.tail())
        check(site.process.poll() is None, 'mmd ended: ' + site.tail())
        site.run('mm-search', '--archive', 'corp', 'lantern', code=1)
        check('reindex' in site.stderr, site.stderr)
        if n == 0:
            site.stop()
    site.run('mmctl', 'reindex')
    equal(site.count('lantern'), 32, 'found')
    equal(site.verify()['problems'], 0, 'verify')
    site.close()

def copy_of(site):
    return {n: open(path_of(site, n), 'rb').read() for n in ('control.db', 'control.db-wal') if os.path.exists(path_of(site, n))}

def put_back(site, copy):
    for name in ('control.db', 'control.db-wal', 'control.db-shm'):
        if os.path.exists(path_of(site, name)):
            os.remove(path_of(site, name))
    for name, content in copy.items():
        with open(path_of(site, name), 'wb') as f:
            f.write(content)

@test
def an_older_control_database_gives_no_number_twice():
    site = with_mail()
    site.stop()
    older = copy_of(site)
    site.start()
    apply(site, Archives=[{'ArchiveName': 'later'}], RuleSets=[{'RuleSetName': 'all', 'Rules': [
        {'Name': 'keep', 'Conditions': [], 'Actions': [{'Archive': {'TargetArchive': 'later'}}]}]}])
    site.send(mail('second', 'lantern'))
    site.wait()
    equal((archives(site)['later'], site.count('lantern', 'later')), (4, 1), 'the archive that will be forgotten')
    site.stop()
    newer = copy_of(site)
    put_back(site, older)
    site.start()
    check('control.db is an older copy' in site.tail() and 'nothing is swept unattended' in site.tail(), site.tail())
    check('later' not in archives(site), archives(site))
    apply(site, Archives=[{'ArchiveName': 'new'}])
    equal((archives(site)['new'], site.count('', 'new'), site.count('lantern')), (5, 0, 1), 'the new one, and what was there before')
    site.stop()
    put_back(site, newer)
    site.start()
    equal(site.count('lantern', 'later'), 1, 'its mail with the database that knows it')
    apply(site, Archives=[{'ArchiveName': 'newer'}])
    equal(archives(site)['newer'], 6, 'number')
    site.close()

@test
def verify_tells_an_older_database_until_a_person_has_looked():
    site = with_mail()
    told = lambda: [o['problem'] for o in map(json.loads, site.run('mmctl', 'verify', '--json', code=None).splitlines())
                    if o.get('where') == 'control.db']
    for n in (1, 2):
        site.stop()
        older = copy_of(site)
        site.start()
        apply(site, Archives=[{'ArchiveName': 'later%d' % n}])
        site.stop()
        put_back(site, older)
        equal(len(told()), 1, 'an older copy')
        site.run('mm-retention', 'run', '--unattended')
        site.run('mm-retention', 'plan')
        check('an older copy was put back' in told()[0], 'told still')
        site.run('mm-retention', 'run')
        equal(told(), [], 'a person has run a sweep')
        equal(len(site.run('mm-audit', 'list', '--event', 'attended', '--json').splitlines()), n, 'entries')
        site.start()
    site.verify()
    site.close()

done()
