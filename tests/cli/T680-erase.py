#!/usr/bin/env python3
"""An erased message is gone from every place it was in, for one who has the master key; the others of its day, block and shard
stay, are found and verified, also after a reindex, and are still destroyed when their time comes. The control: before the
erasure open_all finds its words, and on a copy made before it finds them afterwards."""
import os, random, shutil, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from forget import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
print('seed %d' % seed)
words = Words(seed)
RULES = json.loads(json.dumps(RESOURCES))
# Mail to both@: in two archives.
RULES['RuleSets'][0]['Rules'].insert(0, {
    'Name': 'both', 'Conditions': [{'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': 'STARTS_WITH',
                                                         'Values': ['both']}}],
    'Actions': [{'Archive': {'TargetArchive': 'legal'}}, {'Archive': {'TargetArchive': 'corp'}}]})
site = Calendar(resources=RULES).start()
gone = []

def erase(archive, some, *more, code=0):
    out = site.run('mm-retention', 'erase', '--archive', archive, '--reason', 'Art. 17, request 4711', '--json', *more,
                   *[l.id for l in some], code=code)
    return json.loads(out) if code == 0 else None

def kept():
    return [l for l in site.known if l not in gone]

def check_all():
    output, _ = site.opened()
    equal(found(output, gone)[0][:3], [], 'still there')
    equal(found(output, kept())[1][:3], [], 'lost')
    searchable(site, kept())
    v = site.verify()
    equal((v['problems'], v['messages']), (0, v['rows']), 'verify: %r' % v)
    site.run('mm-audit', 'verify')

def erased(archive, some):
    output, _ = site.opened()
    equal(found(output, some)[1][:3], [], 'the control: not to be found before')
    before = os.path.join(site.root, 'before')
    copy_of(site.data, before)
    report = erase(archive, some, '--yes')
    equal((report['erased'], len(report['messages'])), (True, len(some)), 'the answer')
    equal(sorted((m['id'], m['sha256']) for m in report['messages']), sorted((l.id, sha256(l.data)) for l in some), 'hashes')
    gone.extend(some)
    check_all()
    equal(found(opened(site, before)[0], some)[1][:3], [], 'the control: not to be found in the copy')
    shutil.rmtree(before)
    for l in some:
        site.run('mm-search', '--raw', l.id, code=1)
    return report

@test
def mail_of_two_days():
    for _ in range(2):
        site.post([Letter(words, 'corp', big=i == 5) for i in range(40)] + [Letter(words, 'short') for _ in range(5)])
        site.wait()
        site.next_day()
    site.post([Letter(words, 'corp', big=i == 5) for i in range(8)]) # of today: still in the spool's file
    site.wait()

@test
def without_yes_nothing_goes():
    some = site.known[:2]
    report = erase('corp', some)
    equal((report['erased'], len(report['messages'])), (False, 2), 'shown')
    searchable(site, site.known)
    equal([e['event'] for e in site.events() if e['event'].startswith('erase')], ['erase_plan'], 'events')

@test
def what_is_wrong_changes_nothing():
    head = site.events()[-1]['number']
    erase('legal', site.known[:1], '--yes', code=1)
    check('has no message' in site.stderr, site.stderr)
    other = [Letter(words, 'corp')]
    other[0].id = site.known[0].id[:-1] + ('0' if site.known[0].id[-1] != '0' else '4')
    erase('corp', [site.known[0]] + other, '--yes', code=1)
    site.run('mm-retention', 'erase', '--archive', 'corp', '--yes', site.known[0].id, code=2)
    site.run('mm-retention', 'erase', '--archive', 'corp', '--reason', '', '--yes', site.known[0].id, code=2)
    site.run('mm-retention', 'erase', '--archive', 'corp', '--reason', 'x', '--yes', 'no-id', code=2)
    equal([e['event'] for e in site.events() if e['number'] > head and e['event'].startswith('erase')], [], 'events')
    check_all()

@test
def one_message_of_a_past_day():
    report = erased('corp', [l for l in site.known if l.archive == 'corp'][3:4])
    equal((report['copied'], report['shards_rewritten']), (39, 1), 'copied')

@test
def a_large_one_and_others_of_three_days():
    some = [l for l in kept() if l.archive == 'corp']
    erased('corp', [some[2], some[10], some[50], [l for l in some if len(l.data) > 100000][0]] + some[-8:-4])

@test
def why_tells_who_and_when_and_the_reason():
    rows = [json.loads(x) for x in site.run('mmctl', 'why', '--json', gone[0].id).splitlines()]
    equal([(r['disposition'], r['archive'], r['reason']) for r in rows], [('erased', 'corp', 'Art. 17, request 4711')], 'why')
    check(rows[0]['who'].startswith('uid '), rows[0]['who'])
    done_ = [e for e in site.events() if e['event'] == 'erase_done']
    equal(done_[0]['detail']['what'], [{'id': gone[0].id, 'sha256': sha256(gone[0].data)}], 'record')
    equal(done_[0]['detail']['reason'], 'Art. 17, request 4711', 'reason')

@test
def an_erased_message_is_not_there_to_be_erased_again():
    erase('corp', gone[:1], '--yes', code=1)

@test
def the_other_archive_keeps_its_copy():
    l = Letter(words, 'corp')
    l.to = 'both-%s@corp.example' % words.word()
    site.post([l])
    site.wait()
    equal([site.count(l.words['body'], a) for a in ('corp', 'legal')], [1, 1], 'in both')
    report = erase('corp', [l], '--yes')
    equal(report['messages'][0]['also_in'], ['legal'], 'also in')
    equal([site.count(l.words['body'], a) for a in ('corp', 'legal')], [0, 1], 'in one')
    rows = [json.loads(x) for x in site.run('mmctl', 'why', '--json', l.id).splitlines()]
    equal(sorted((r['disposition'], r['archive']) for r in rows), [('archived', 'legal'), ('erased', 'corp')], 'why')
    site.known.remove(l)
    erase('legal', [l], '--yes')
    gone.append(l)
    site.known.append(l)
    check_all()

@test
def the_list_has_what_was_erased_among_what_is_in_no_archive():
    lost = Letter(words, 'corp')
    lost.to = 'nobody@elsewhere.example'
    with Sender(site.port) as s:
        unmatched = s.send(lost.data, (lost.to,), lost.sender)
    site.wait()
    more = site.post([Letter(words, 'corp')])
    site.wait()
    erased('corp', more)
    listed = lambda *args: [json.loads(x) for x in site.run('mmctl', 'list', '--json', *args).splitlines()]
    rows = listed()
    equal([(r['id'], r['disposition']) for r in rows[:2]], [(more[0].id, 'erased'), (unmatched, 'unmatched')], 'the newest two')
    equal(sorted(rows, key=lambda r: r['id'], reverse=True), rows, 'the newest first')
    equal({r['id'] for r in rows}, {l.id for l in gone} | {unmatched}, 'all of them')
    both = [r['archive'] for r in rows if r['id'] == [l for l in gone if l.to.startswith('both')][0].id]
    equal(sorted(both), ['corp', 'legal'], 'archives')
    equal((rows[0]['archive'], rows[0]['reason'], 'unfinished' in rows[0]), ('corp', 'Art. 17, request 4711', False), 'a row')
    equal(listed('--disposition', 'erased'), [r for r in rows if r['disposition'] == 'erased'], 'erased only')
    equal([r['id'] for r in listed('--disposition', 'unmatched')], [unmatched], 'unmatched only')
    for n in (1, 2, 4):
        equal(listed('--limit', str(n)), rows[:n], 'at most %d' % n)
    equal(site.status()['erased'], len(rows) - 1, 'status')

@test
def neither_a_start_nor_a_reindex_brings_it_back():
    site.stop()
    site.start()
    check_all()
    site.run('mmctl', 'reindex')
    check_all()
    equal(site.count('', 'corp'), len([l for l in kept() if l.archive == 'corp']), 'count')

@test
def repacking_and_later_mail_of_the_day_do_no_harm():
    site.post([Letter(words, 'corp') for _ in range(10)])
    site.wait()
    site.run('mmctl', 'repack')
    check_all()

@test
def a_sweep_still_finds_the_rows_of_what_was_copied():
    for _ in range(5):
        due = [l for l in kept() if l.archive == 'corp']
        if not due:
            break
        site.next_day(1)
        # One of a day that is due next loses a message first, so that its rows name a lot that is gone.
        report = site.purge()
        gone.extend(l for l in kept() if l.archive in ('short', 'corp') and
                    (datetime.date.fromisoformat(site.day()) - datetime.date.fromisoformat(l.day)).days >
                    {'short': 1, 'corp': 2}[l.archive])
        check_all()
        left = [l for l in kept() if l.archive == 'corp']
        equal(site.count('', 'corp'), len(left), 'count')
        if left:
            erased('corp', left[:1])
    equal(site.count('', 'corp'), 0, 'all gone')

done()
