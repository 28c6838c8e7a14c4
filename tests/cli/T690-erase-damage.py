#!/usr/bin/env python3
"""A block goes bad while an erasure that a kill interrupted waits to go on: it is named, the message stays hidden, other erasures and
purges are done all the same, with exit status 1; when the block is back the erasure ends. So does a purge of other archives when a
shard of one is damaged. The controls: before the damage nothing is unfinished, and the message is there until its end."""
import glob, os, random, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from forget import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
print('seed %d' % seed)
words = Words(seed)
state = {}

def arguments(archive, *some):
    return ['erase', '--archive', archive, '--reason', 'asked for', '--json', '--yes'] + [l.id for l in some]

def of(archive):
    return [l for l in site.known if l.archive == archive]

def flip(path, at):
    with open(path, 'r+b') as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x40]))

def spoil(path):
    """A sealed shard, in each of its chunks: which of them a purge reads is not said."""
    with open(path, 'rb') as f:
        content = bytearray(f.read())
    for at in range(64 + 40 + 12 * int.from_bytes(content[40:44], 'little'), len(content), 32):
        content[at] ^= 0x40
    with open(path, 'r+b') as f:
        f.write(content)

def open_words(letters):
    return found(site.opened()[0], letters)[0]

def why(letter):
    return [json.loads(x) for x in site.run('mmctl', 'why', '--json', letter.id).splitlines()]

def forget_if_erased(letter):
    """An erasure that the kill came too late for: the message is gone, as it should be."""
    if why(letter)[0]['disposition'] == 'erased':
        site.known.remove(letter)

def interrupted(some):
    """mmd is killed between the intent and the record of an erasure of `some`."""
    last = site.events()[-1]['number']
    p = subprocess.Popen([os.path.join(site.bin, 'mm-retention')] + arguments('legal', *some), env=site.env,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    audit = max(glob.glob(site.data + '/audit/*.log'))
    size = os.path.getsize(audit)
    while p.poll() is None and os.path.getsize(audit) == size:
        time.sleep(0.0005)
    site.kill()
    p.wait(60)
    # The log as it is, without the recovery of a start.
    return p.returncode != 0, last

def last_block_goes_bad(harm):
    """The last block of an open segment looks like one that a crash tore when it goes bad: the store doesn't show it. Its key must not go
    with an erasure of the same day. `harm` is told whose erasure, while the block is bad."""
    few = site.post([Letter(words, 'legal') for _ in range(10)])
    site.wait()
    more = site.post([Letter(words, 'legal') for _ in range(10)])
    site.wait()
    site.next_day(run=False)
    path = max(glob.glob(site.data + '/seg/3/*.seg'), key=os.path.getmtime)
    at = os.path.getsize(path) - 100
    flip(path, at)
    harm(few[0])
    site.stop()
    flip(path, at)
    site.start()
    return few, more

site = Calendar().start()

@test
def what_the_store_does_not_show_keeps_its_key():
    def harm(letter):
        site.start()
        before = len(site.events())
        site.run('mm-retention', *arguments('legal', letter), code=1)
        check('can be read' in site.stderr, site.stderr)
        equal([e['event'] for e in site.events()[before:] if e['event'].startswith('erase')], [], 'events')
    few, more = last_block_goes_bad(harm)
    searchable(site, few + more)
    equal(site.verify()['problems'], 0, 'verify')
    site.run('mm-retention', *arguments('legal', few[0]))
    site.known.remove(few[0])
    equal(open_words(few[:1]), [], 'still there')
    output, _ = site.opened()
    equal(found(output, few[1:] + more)[1], [], 'lost')
    equal(site.verify()['problems'], 0, 'verify')

@test
def a_block_goes_bad_between_the_intent_and_the_record():
    for attempt in range(20):
        for _ in range(2): # a block each at least
            site.post([Letter(words, 'legal') for _ in range(30)] + [Letter(words, 'corp') for _ in range(3)] +
                      [Letter(words, 'short') for _ in range(3)])
            site.wait()
        site.next_day()
        state['gone'] = of('legal')[-1]
        before = set(glob.glob(site.data + '/seg/3/*.seg'))
        if not interrupted([state['gone']])[0]:
            site.start()
            forget_if_erased(state['gone'])
            continue
        # The first block of the day's segment.
        state['where'] = [(p, 300) for p in sorted(before & set(glob.glob(site.data + '/seg/3/*.seg')))[-1:]]
        for path, at in state['where']:
            flip(path, at)
        site.start()
        rows = why(state['gone'])
        if rows[0]['disposition'] == 'erased' and rows[0].get('unfinished'):
            break
        for path, at in state['where']:
            if os.path.exists(path):
                flip(path, at)
        forget_if_erased(state['gone'])
    else:
        raise AssertionError('no kill hit an erasure')
    equal(len(rows), 1, 'it is still shown as archived')
    name = os.path.basename(state['where'][0][0])
    check(name in site.tail(1 << 20) and 'is damaged' in site.tail(1 << 20), site.tail())
    check(open_words([state['gone']]) != [], 'the control: nothing of it is left')

@test
def the_message_stays_hidden():
    equal(site.count(state['gone'].words['body'], 'legal'), 0, 'found')
    site.run('mm-search', '--raw', state['gone'].id, code=1)
    site.run('mmctl', 'reindex', code=1)
    equal(site.count(state['gone'].words['body'], 'legal'), 0, 'found after a reindex')

@test
def others_are_erased_and_purged():
    other = of('corp')[-1]
    out = json.loads(site.run('mm-retention', *arguments('corp', other), code=1))
    check(out['erased'] and 'damaged' in out['unfinished'] and 'damaged' in site.stderr, '%r %s' % (out, site.stderr))
    equal(open_words([other]), [], 'still there')
    site.next_day(1)
    due = of('short')
    check(site.count('', 'short') > 0, 'the control: nothing is due')
    report = json.loads(site.run('mm-retention', 'run', '--json', code=1))
    check(report['lots_destroyed'] > 0 and 'damaged' in report['unfinished'], report)
    equal(site.count('', 'short'), 0, 'due and there')
    equal(open_words(due), [], 'still there')
    site.known = [l for l in site.known if l not in due and l is not other]

@test
def when_the_block_is_back_it_ends():
    site.stop()
    for path, at in state['where']:
        flip(path, at)
    site.start()
    check('unfinished' not in json.loads(site.run('mm-retention', 'run', '--json')), 'unfinished')
    rows = why(state['gone'])
    equal([(r['disposition'], r.get('unfinished')) for r in rows], [('erased', None)], 'why')
    equal(open_words([state['gone']]), [], 'still there')
    site.known.remove(state['gone'])
    site.run('mmctl', 'reindex') # what else was in the block
    equal(site.verify()['problems'], 0, 'verify')
    searchable(site, of('legal'))
    events = [e for e in site.events() if e['event'].startswith('erase_')]
    equal(sum(state['gone'].id in json.dumps(e['detail']) for e in events if e['event'] == 'erase_done'), 1, 'records')

@test
def a_damaged_shard_of_one_archive_stops_no_other():
    site.post([Letter(words, 'corp') for _ in range(5)] + [Letter(words, 'short') for _ in range(5)])
    site.wait()
    site.run('mmctl', 'seal')
    due = of('short')
    site.stop()
    for path in glob.glob(site.data + '/index/2/*.shard'):
        spoil(path)
    site.next_day(3)
    site.start()
    site.run('mm-retention', 'run', '--json', code=1)
    check('index/2' in site.stderr, site.stderr)
    equal(site.count('', 'short'), 0, 'due and there')
    equal([e['detail']['lots'] for e in site.events() if e['event'] == 'purge_done'][-1], 1, 'lots')
    site.run('mmctl', 'reindex')
    site.purge()
    equal(open_words(due + of('corp')), [], 'still there')
    site.known = of('legal')
    equal((site.verify()['problems'], site.count('', 'corp')), (0, 0), 'verify')
    searchable(site, of('legal'))

done()
