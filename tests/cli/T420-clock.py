#!/usr/bin/env python3
"""When a day falls due, and the guard: a clock that was set must not destroy an archive unattended. The control of each refusal is
the run that a person asks for, which destroys the same plan."""
import os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from forget import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
words = Words(seed)
print('seed %d' % seed)

def archives(periods):
    return [{"ArchiveName": name, "Retention": {"RetentionDays": p} if isinstance(p, int) else {"RetentionPeriod": p}}
            for name, p in periods.items()]

def wait_for(site, event, since=0, n=1, seconds=60):
    """The n-th entry of this event behind entry `since`: mmd looks twice a second in test builds."""
    for _ in range(seconds * 5):
        some = [e for e in site.events() if e['event'] == event and e['number'] > since]
        if len(some) >= n:
            return some[n - 1]
        time.sleep(0.2)
    raise AssertionError('no %s; %r\n%s' % (event, [e['event'] for e in site.events()], site.tail()))

def last(site):
    return max(e['number'] for e in site.events())

def at(site, iso):
    """Sets the clock to noon of a day, without an mmd."""
    want = datetime.datetime.fromisoformat(iso + 'T12:00:00+00:00').timestamp()
    site.advance(seconds=want - site.now())

@test
def months_are_clipped_and_days_are_counted_from_the_end_of_the_day():
    periods = {'m3': 'THREE_MONTHS', 'm6': 'SIX_MONTHS', 'y1': 'ONE_YEAR', 'd30': 30, 'd1': 1, 'ever': 'PERMANENT', 'plain': None}
    resources = dict(RESOURCES, Archives=archives({k: v for k, v in periods.items() if v}) + [{"ArchiveName": "plain"}], RuleSets=[
        {"RuleSetName": "all", "Rules": [{"Name": "keep", "Conditions": [],
                                          "Actions": [{"Archive": {"TargetArchive": k}} for k in periods]}]}])
    site = Calendar(resources=resources)
    # Received on the last day of November 2027; what is due is told by the calendar, not by mm.
    at(site, '2027-11-30')
    site.start()
    id = site.send(Letter(words, 'all').data)
    site.wait()
    rows = {o['archive']: o for o in map(json.loads, site.run('mmctl', 'why', id, '--json').splitlines())}
    kept = {name: o['kept_until'] for name, o in rows.items()}
    equal(kept, {'m3': '2028-03-01T00:00:00.000Z', 'm6': '2028-05-31T00:00:00.000Z', 'y1': '2028-12-01T00:00:00.000Z',
                 'd30': '2027-12-31T00:00:00.000Z', 'd1': '2027-12-02T00:00:00.000Z', 'ever': 'for ever',
                 'plain': '2028-05-31T00:00:00.000Z'}, 'kept until')
    site.stop()
    # 2028 is a leap year: three months after 30 November end with 29 February.
    due = lambda: {l['archive'] for l in site.plan()['due']}
    for day, want in (('2027-12-01', set()), ('2027-12-02', {'d1'}), ('2027-12-30', {'d1'}), ('2027-12-31', {'d1', 'd30'}),
                      ('2028-02-29', {'d1', 'd30'}), ('2028-03-01', {'d1', 'd30', 'm3'}), ('2028-05-30', {'d1', 'd30', 'm3'}),
                      ('2028-05-31', {'d1', 'd30', 'm3', 'm6', 'plain'}), ('2028-11-30', {'d1', 'd30', 'm3', 'm6', 'plain'}),
                      ('2028-12-01', {'d1', 'd30', 'm3', 'm6', 'plain', 'y1'}), ('2999-01-01', {'d1', 'd30', 'm3', 'm6', 'plain', 'y1'})):
        at(site, day)
        equal(due(), want, 'due at noon of ' + day)
    equal(site.purge()['lots_destroyed'], 6, 'destroyed')
    equal(site.count('', 'ever'), 1, 'permanent')
    site.close()

def scheduled(**config):
    return Calendar(config=dict({'retention': {'schedule': '00:00'}}, **config))

@test
def day_by_day_it_sweeps_unattended():
    site = scheduled().start()
    posted = {}
    for day in range(5):
        posted[day] = site.post([Letter(words, a) for a in ('short', 'short', 'corp', 'legal')])
        site.wait()
        number = last(site)
        site.stop()
        site.advance(days=1)
        site.start()
        if day >= 1: # what came the day before yesterday has fallen due at midnight
            wait_for(site, 'purge_done', number)
        want = {'short': 2, 'corp': min(day + 1, 2), 'legal': day + 1}
        equal({a: site.count('', a) for a in want}, want, 'after day %d' % day)
    equal([e['event'] for e in site.events() if e['event'] == 'purge_refused'], [], 'refused')
    due = [l for l in site.known if (l.archive, l.day) in {('short', site.day(-d)) for d in (2, 3, 4, 5)}]
    equal(len(due), 8, 'due')
    output, _ = site.opened()
    equal(found(output, due)[0][:3], [], 'still there')
    equal(site.verify()['problems'], 0, 'verify')
    site.close()

def refused_then_attended(site, lots):
    """A scheduled sweep has refused; then a person confirms the plan."""
    output, _ = site.opened()
    equal(found(output, site.known)[1][:3], [], 'destroyed although refused')
    check('purge_done' not in [e['event'] for e in site.events()], 'a purge')
    check(site.plan().get('guard'), 'the plan says that a scheduled sweep would refuse')
    site.purge('--unattended', code=1)
    equal(found(site.opened()[0], site.known)[1][:3], [], 'destroyed although refused')
    plan = site.plan()
    report = site.purge('--plan', plan['plan'])
    equal((report['lots_destroyed'], report['plan']), (lots, plan['plan']), 'destroyed by a person')

@test
def a_clock_set_forward_under_mmd_destroys_nothing_unattended():
    site = scheduled().start()
    site.post([Letter(words, a) for a in ('short', 'corp', 'legal')])
    site.wait()
    site.advance(days=5 * 365)
    e = wait_for(site, 'purge_refused')
    check('36 h' in e['detail']['reason'] and e['who'] == 'mmd', repr(e))
    refused_then_attended(site, 2)
    equal([site.count('', a) for a in ('short', 'corp', 'legal')], [0, 0, 1], 'counts')
    site.close()

@test
def a_clock_set_forward_while_nothing_ran_destroys_nothing_unattended():
    site = scheduled().start()
    site.post([Letter(words, a) for a in ('short', 'corp', 'legal')])
    site.wait()
    site.stop()
    site.advance(days=12 * 365)
    site.count('', 'short') # another program first: its entries must not make the clock look right
    site.start()
    wait_for(site, 'purge_refused')
    # Once more with a new process, whose newest audit entry is of the wrong time.
    number = last(site)
    site.stop()
    site.start()
    wait_for(site, 'purge_refused', number)
    refused_then_attended(site, 3)
    site.close()

@test
def a_clock_set_back_destroys_nothing_unattended():
    site = scheduled().start()
    site.post([Letter(words, a) for a in ('short', 'corp', 'legal')])
    site.wait()
    site.next_day(days=2)
    wait_for(site, 'purge_done')
    equal(site.count('', 'short'), 0, 'the control: a sweep ran')
    site.post([Letter(words, a) for a in ('short', 'corp')])
    site.wait()
    number = last(site)
    site.stop()
    site.advance(days=-10)
    site.start()
    check('guard' in site.plan(), 'the guard trusts a clock that was set back')
    site.advance(days=11) # and the right time again
    wait_for(site, 'purge_refused', number)
    equal(site.count('', 'corp'), 2, 'count')
    site.close()

@test
def more_days_than_have_passed_are_refused():
    site = scheduled().start()
    site.post([Letter(words, 'legal')])
    folder = os.path.join(site.root, 'old')
    os.mkdir(folder)
    old = [Letter(words, 'short', received=site.rfc_date(-100 - i)) for i in range(6)]
    for i, l in enumerate(old):
        open(os.path.join(folder, '%d.eml' % i), 'wb').write(l.data)
    site.run('mm-import', '--archive', 'short', '--received', 'header', folder)
    site.wait()
    site.next_day()
    e = wait_for(site, 'purge_refused')
    check('6 days' in e['detail']['reason'], repr(e))
    site.known = [l for l in site.known + old]
    refused_then_attended(site, 6)
    equal([site.count('', a) for a in ('short', 'legal')], [0, 1], 'counts')
    site.close()

@test
def an_unattended_run_by_hand_is_guarded_the_same():
    site = Calendar().start()
    site.post([Letter(words, 'short')])
    site.wait()
    site.next_day(days=2)
    equal(site.purge('--unattended')['messages_destroyed'], 1, 'the control: a clock that is right')
    site.post([Letter(words, 'short')])
    site.wait()
    site.advance(days=4)
    site.purge('--unattended', code=1)
    check('36 h' in site.stderr, site.stderr)
    equal(site.count('', 'short'), 1, 'count')
    site.close()

done()
