#!/usr/bin/env python3
"""An archive that was deleted: unreachable at once, mail for it fails by its action's policy, and 30 days later the schedule destroys
it whole. The control is the archive beside it, which keeps everything, and the day before, on which nothing goes."""
import os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from forget import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
words = Words(seed)
print('seed %d' % seed)

def archive_of(site, name):
    return [a for a in json.loads(site.run('mmctl', 'show', 'archives', '--json'))['Archives'] if a['ArchiveName'] == name]

def change(site, *args):
    p = subprocess.run([os.path.join(site.bin, 'change'), '--data', site.data, '--key-file', site.data + '.key'] + list(args),
                       env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(p.returncode == 0, p.stderr.decode())
    return p.stdout.decode().strip()

def wait_for(site, event, seconds=60):
    for _ in range(seconds * 5):
        some = [e for e in site.events() if e['event'] == event]
        if some:
            return some[-1]
        time.sleep(0.2)
    raise AssertionError('no %s\n%s' % (event, site.tail()))

def days_later(site, days):
    """Day by day, as a machine lives: the guard asks for that."""
    for _ in range(days):
        site.advance(days=1)
        site.run('mmctl', 'status')

def key_of(site, archive):
    """Live keys of the archive itself, in both replicas: docs/formats.md, "Key ring"."""
    count = 0
    for name in 'keys.a', 'keys.b':
        ring = open(os.path.join(site.data, name), 'rb').read()
        for at in range(512, len(ring), 512):
            state, kind = ring[at + 24:at + 26]
            count += (state, kind, int.from_bytes(ring[at + 28:at + 32], 'little')) == (1, 1, archive)
    return count

@test
def it_is_unreachable_at_once_and_destroyed_after_thirty_days():
    resources = dict(RESOURCES, Archives=[{"ArchiveName": n, "Retention": {"RetentionPeriod": "PERMANENT"}}
                                          for n in ('short', 'corp', 'legal')])
    site = Calendar(resources=resources, config={'retention': {'schedule': '00:00'}}).start()
    gone = site.post([Letter(words, 'corp') for _ in range(5)])
    kept = site.post([Letter(words, 'legal') for _ in range(3)])
    site.wait()
    equal(site.count('', 'corp'), 5, 'before')
    site.stop()
    change(site, 'delete', 'archive', 'corp')
    equal(archive_of(site, 'corp')[0]['ArchiveState'], 'PENDING_DELETION', 'state')
    site.start()
    site.run('mm-search', '--archive', 'corp', '', code=1)
    check('being deleted' in site.stderr, site.stderr)
    site.run('mm-export', '--archive', 'corp', '--to', os.path.join(site.root, 'out'), '--as', 'eml', '', code=1)
    check('being deleted' in site.stderr, site.stderr)
    site.run('mm-search', '--raw', gone[0].id, code=1)
    # Mail for it: the action fails and says so; nothing is lost from sight.
    id = site.send(Letter(words, 'corp').data, to=('x@corp.example',))
    site.wait()
    why = json.loads(site.run('mmctl', 'why', id, '--json').splitlines()[0])
    equal(why['disposition'], 'failed', 'disposition')
    check('being deleted' in why['text'], why)
    equal(site.count('', 'legal'), 3, 'the other one')
    site.stop()
    days_later(site, 29)
    check(archive_of(site, 'corp'), 'a day too early')
    check(found(site.opened()[0], gone)[0], 'its mail is still there')
    days_later(site, 1)
    site.start()
    done = wait_for(site, 'archive_destroyed')
    equal(done['detail']['archive'], 'corp', 'which')
    equal(archive_of(site, 'corp'), [], 'it is no more')
    site.run('mm-search', '--archive', 'corp', '', code=2)
    equal(site.count('', 'legal'), 3, 'the other one stays')
    site.verify()
    site.stop()
    have, _ = found(site.opened()[0], gone)
    equal(have, [], 'of its mail')
    equal(len(found(site.opened()[0], kept)[1]), 0, 'missing of the other one')
    equal([f for f in site.files() if '/seg/2/' in f or '/index/2/' in f], [], 'files of it')
    equal([key_of(site, number) for number in (1, 2, 3)], [2, 0, 2], 'its key, and those of the others')
    site.close()

@test
def a_clock_that_jumped_ends_nothing_unattended():
    site = Calendar(resources=RESOURCES, config={'retention': {'schedule': '00:00'}})
    change(site, 'delete', 'archive', 'legal')
    site.advance(days=31)
    site.start()
    time.sleep(3)
    check(archive_of(site, 'legal'), 'it is still there')
    site.purge() # a person confirms it
    equal(archive_of(site, 'legal'), [], 'it is no more')
    site.stop()
    site.close()

done()
