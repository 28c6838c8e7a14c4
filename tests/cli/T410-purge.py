#!/usr/bin/env python3
"""What is past its retention is gone, from every place it was in, for one who has the master key; what is not stays and is found.
open_all opens every key slot, block, page, WAL frame, chunk, audit entry and spool record. Before each sweep it finds the words,
and on a copy made before it finds them afterwards: that is the control."""
import os, random, shutil, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from forget import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
print('seed %d' % seed)
words = Words(seed)
site = Calendar().start()
gone = []

def letters(n, archive, big=1):
    return [Letter(words, archive, big=i < big) for i in range(n)]

def kept():
    return [l for l in site.known if l not in gone]

def due(archive, day):
    return [l for l in site.known if l not in gone and (l.archive, l.day) == (archive, day)]

def sweep(what, destroyed):
    """Runs a sweep; `what` is what goes. Words of it are nowhere afterwards, all others are where they were."""
    output, counts = site.opened()
    have, lack = found(output, what)
    equal(lack[:3], [], 'not to be found before the sweep')
    before = os.path.join(site.root, 'before')
    copy_of(site.data, before)
    report = site.purge()
    equal((report['messages_destroyed'], report['lots_destroyed']), destroyed, 'messages, lots')
    gone.extend(what)
    check_gone()
    have, lack = found(opened(site, before)[0], what)
    equal(lack[:3], [], 'the control: not to be found in the copy')
    shutil.rmtree(before)
    return counts

def check_gone():
    output, _ = site.opened()
    have, lack = found(output, gone)
    equal(have[:3], [], 'still there after the sweep')
    have, lack = found(output, kept())
    equal(lack[:3], [], 'lost by the sweep')
    equal(site.verify()['problems'], 0, 'verify')

@test
def three_days_in_three_archives():
    site.today = site.day()
    for day in range(3):
        site.post(letters(24, 'short') + letters(9, 'corp') + letters(7, 'legal'))
        site.wait()
        if day < 2:
            site.next_day()
    searchable(site, site.known)
    site.sealed(2)
    equal([site.count('', a) for a in ('short', 'corp', 'legal')], [72, 27, 21], 'counts')

@test
def the_plan_shows_the_days_that_are_due():
    plan = site.plan()
    equal([(l['archive'], l['received_on'], l['generation']) for l in plan['due']], [('short', site.today, 1)], 'due')
    equal(plan['due'][0]['due'][:10], site.day(), 'due on')
    equal(site.plan()['plan'], plan['plan'], 'the same plan')
    site.purge('--plan', '0' * 32, code=2)
    equal(site.count('', 'short'), 72, 'nothing happened')

@test
def a_sweep_destroys_it_everywhere():
    counts = sweep(due('short', site.today), (24, 1))
    for place in ('slots', 'blocks', 'pages', 'frames', 'chunks', 'terms', 'entries', 'records'):
        if place != 'records':
            check(counts[place] > 0, 'open_all opened no %s: %r' % (place, counts))
    print('   open_all before the sweep: %r' % counts)

@test
def what_is_kept_is_found_counted_and_exported():
    searchable(site, kept())
    equal([site.count('', a) for a in ('short', 'corp', 'legal')], [48, 27, 21], 'counts')
    for l in gone[:3]:
        for kind in KINDS:
            equal(site.count(l.words[kind], 'short'), 0, kind)
        site.run('mm-search', '--raw', l.id, code=1)
    out = os.path.join(site.root, 'out')
    site.run('mm-export', '--archive', 'short', '--to', out, '--as', 'eml', '')
    lines = [json.loads(x) for x in open(os.path.join(out, 'manifest.jsonl'))]
    equal(sorted(x['id'] for x in lines), sorted(l.id for l in kept() if l.archive == 'short'), 'exported')
    by_id = {x['id']: x for x in lines}
    for l in kept():
        if l.archive == 'short':
            equal(by_id[l.id]['sha256'], sha256(l.data), 'sha256')
    site.run('mm-export', 'verify', out)

@test
def the_record_tells_what_was_destroyed_and_nothing_of_it():
    events = site.events()
    intent = [e for e in events if e['event'] == 'purge_intent']
    done_ = [e for e in events if e['event'] == 'purge_done']
    equal((len(intent), len(done_)), (1, 1), 'entries')
    equal((done_[0]['detail']['messages'], done_[0]['detail']['lots']), (24, 1), 'purge_done')
    check(intent[0]['number'] < done_[0]['number'], 'the intent comes first')
    equal(done_[0]['detail']['what'][0]['day'], site.today, 'the day')
    check(len(done_[0]['detail']['ids_sha256']) == 64, 'ids_sha256')
    site.run('mm-audit', 'verify')

@test
def why_says_that_it_was_destroyed():
    site.run('mmctl', 'why', gone[0].id, code=1)
    check('destroyed' in site.stderr, site.stderr)
    check('short' in site.stderr and site.today in site.stderr, site.stderr)
    site.run('mmctl', 'why', kept()[0].id)

@test
def another_sweep_has_nothing_to_do():
    equal(site.plan()['due'], [], 'due')
    equal(site.purge()['messages_destroyed'], 0, 'destroyed')

@test
def nothing_is_left_in_the_spool_when_the_clock_passes_two_midnights():
    # The file of the spool that holds this mail is still written to: a run ends it and waits for its key to go.
    big = site.post(letters(3, 'short', big=3))
    site.wait()
    output, counts = site.opened()
    equal(found(output, big)[1], [], 'the control: not found before')
    check(counts['records'] > 0, 'the control: no record in the spool')
    site.advance(days=3)
    what = [l for l in kept() if l.archive in ('short', 'corp')]
    equal(site.purge()['messages_destroyed'], len(what), 'destroyed')
    gone.extend(what)
    check_gone()
    searchable(site, kept())
    equal([site.count('', a) for a in ('short', 'corp', 'legal')], [0, 0, 21], 'counts')

@test
def mail_that_a_kill_left_in_the_spool_is_destroyed_too():
    some = site.post(letters(30, 'short', big=3))
    site.kill()
    left = site.opened()[1]['records']
    print('   %d records in the spool at the kill' % left)
    site.advance(days=2)
    sweep(some, (30, 1))
    equal(site.count('', 'short'), 0, 'count')

@test
def late_mail_of_a_destroyed_day_is_a_new_generation():
    if not site.process:
        site.start()
    folder = os.path.join(site.root, 'old')
    os.mkdir(folder)
    mixed = [(-400, 'short'), (-100, 'short'), (-40, 'short'), (0, 'short')]
    late = []
    for i, (days, archive) in enumerate(mixed * 5):
        l = Letter(words, archive, big=i < 4, received=site.rfc_date(days))
        l.day = site.day(days)
        open(os.path.join(folder, '%02d.eml' % i), 'wb').write(l.data)
        late.append(l)
    # And a day that was destroyed already.
    again = Letter(words, 'short', received=site.rfc_date((datetime.date.fromisoformat(site.today) -
                                                           datetime.date.fromisoformat(site.day())).days))
    again.day = site.today
    open(os.path.join(folder, 'again.eml'), 'wb').write(again.data)
    rows = [json.loads(x) for x in site.run('mm-import', '--archive', 'short', '--received', 'header', '--json', folder).splitlines()]
    ids = {os.path.basename(r['source']): r['id'] for r in rows if r.get('outcome') == 'stored'}
    equal(len(ids), 21, 'stored')
    site.wait()
    for i, l in enumerate(late):
        l.id = ids['%02d.eml' % i]
    again.id = ids['again.eml']
    site.known += late + [again]
    searchable(site, late + [again])
    due_lots = [(l['received_on'], l['generation']) for l in site.plan()['due']]
    equal(sorted(due_lots), sorted([(site.day(-400), 1), (site.day(-100), 1), (site.day(-40), 1), (site.today, 2)]), 'due')
    what = [l for l in late + [again] if l.day != site.day()]
    sweep(what, (16, 4))
    searchable(site, [l for l in late if l not in gone])
    equal(site.count('', 'short'), 5, 'kept of the import')

@test
def the_names_of_files_that_were_imported_die_with_the_mail():
    output, _ = site.opened()
    check(b'/old/03.eml' in output, 'the control: the name of a file whose message is kept is found')
    check(b'/old/00.eml' not in output, 'the name of a file whose message is destroyed is still there')

@test
def the_last_message_of_an_archive():
    site.next_day(days=2)
    what = [l for l in kept() if l.archive == 'short']
    sweep(what, (5, 1))
    equal(site.count('', 'short'), 0, 'count')
    more = site.post(letters(2, 'short', big=0))
    site.wait()
    searchable(site, more)

@test
def an_import_that_was_killed_leaves_nothing_in_the_spool():
    # Its writer still has the file of the spool: nobody said that the import is over.
    folder = os.path.join(site.root, 'killed')
    os.mkdir(folder)
    some = [Letter(words, 'short') for i in range(1500)]
    for i, l in enumerate(some):
        l.day = site.day()
        open(os.path.join(folder, '%04d.eml' % i), 'wb').write(l.data)
    before = site.count('', 'short')
    p = subprocess.Popen([os.path.join(site.bin, 'mm-import'), '--json', '--archive', 'short', folder], env=site.env,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    p.stdout.readline() # the first of several batches is in the spool
    p.kill()
    p.stdout.close()
    check(p.wait() != 0, 'the import was over before it was killed')
    site.wait()
    n = site.count('', 'short') - before
    counts = site.opened()[1]
    print('   %d of 1500 were imported; %d records in the spool' % (n, counts['records']))
    check(counts['records'] > 0, 'the control: no record in the spool')
    site.next_day_while_running(days=2)
    check(site.purge()['messages_destroyed'] >= n, 'destroyed')
    gone.extend(some + [l for l in kept() if l.archive in ('short', 'corp')])
    check_gone()

@test
def a_rebuilt_index_brings_nothing_back():
    site.run('mmctl', 'reindex')
    check_gone()
    searchable(site, kept())
    site.stop()
    check_gone()

done()
