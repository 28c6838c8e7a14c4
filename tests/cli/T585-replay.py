#!/usr/bin/env python3
"""mmctl replay: which archived messages another rule set would treat otherwise than is recorded for them. What it foretells is what
happens to the same mail under that rule set; it does nothing, and it reads no more than it must hold."""
import json, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from given import give

def text(attribute, operator, *values):
    return {"StringExpression": {"Evaluate": {"Attribute": attribute}, "Operator": operator, "Values": list(values)}}

def rule(name, actions, conditions=(), unless=()):
    return {"Name": name, "Conditions": list(conditions), "Unless": list(unless), "Actions": actions}

def archive(name):
    return {"Archive": {"TargetArchive": name}}

def add(value):
    return {"AddHeader": {"HeaderName": "X-Mark", "HeaderValue": value}}

DROP = {"Drop": {}}
BOSS, SALES = 'boss@corp.example', 'sales@corp.example'
RULES = [rule('spam', [DROP], [text('SUBJECT', 'CONTAINS', 'lottery'), text('RECIPIENT', 'EQUALS', SALES)]),
         rule('mark', [add('red')], [text('SUBJECT', 'CONTAINS', 'order')]),
         rule('keep', [archive('corp')]),
         rule('legal', [archive('legal')], [text('RECIPIENT', 'EQUALS', BOSS)])]
# name: (subject, recipients, sender)
MAILS = {'plain': ('a letter', [SALES], 'good@shop.example'), 'order': ('an order', [SALES], 'good@shop.example'),
         'boss': ('a letter', [BOSS], 'bad@shop.example'), 'both': ('an order', [BOSS, SALES], 'good@shop.example'),
         'won': ('the lottery', [BOSS, SALES], 'bad@shop.example'), 'unknown': ('a letter', [SALES], 'x@shop.example')}

site = Site(apply=False)
give(site, {'bad@shop.example': {'spf': 'fail'}, 'good@shop.example': {}})
site.apply(dict(DEFAULT, RuleSets=[{"RuleSetName": "all", "Rules": RULES}]))
site.start()

def post(name):
    subject, to, sender = MAILS[name]
    return site.send(mail(subject, 'words of ' + name, sender=sender, to=', '.join(to)), to, sender)

IDS = {name: post(name) for name in MAILS}
site.wait()
NAMES = {id: name for name, id in IDS.items()}
PATH = os.path.join(site.root, 'new.json')

def replay(rules, *query, archive_name='corp', code=0):
    """({name of a message: row}, result); `rules`: a rule set's name, or rules for a file"""
    if not isinstance(rules, str):
        site.write(PATH, json.dumps({"RuleSetName": "new", "Rules": rules}))
    out = site.run('mmctl', 'replay', '--json', '--rule-set', rules if isinstance(rules, str) else PATH, '--archive', archive_name, *query, code=code)
    lines = [json.loads(l) for l in out.splitlines()]
    return {NAMES.get(r['id'], r['id']): r for r in lines[:-1]}, lines[-1]

def parts(rows):
    return {name: set(r['differs']) for name, r in rows.items()}

def without(*names):
    return [r for r in RULES if r['Name'] not in names]

@test
def the_same_rules_differ_in_nothing():
    for rules in 'all', RULES, [dict(r, Name='other-%d' % i) for i, r in enumerate(RULES)]:
        rows, result = replay(rules)
        equal((rows, result['messages'], result['same'], result['differ'], result['failed']), ({}, 6, 6, 0, 0))
    equal(result['without_verdicts'], 1, 'whose verdicts nobody found out')

# (rules, {message: members that differ})
CASES = {
    'dropped by subject': ([rule('no', [DROP], [text('SUBJECT', 'CONTAINS', 'letter')])] + RULES,
                           {'plain': {'not_archived'}, 'boss': {'not_archived', 'archives'}, 'unknown': {'not_archived'}}),
    'no rule is left': ([], {n: {'not_archived'} | ({'archives'} if BOSS in MAILS[n][1] else set()) for n in MAILS}),
    'another header': ([dict(r, Actions=[add('blue')]) if r['Name'] == 'mark' else r for r in RULES], {'order': {'headers'}, 'both': {'headers'}}),
    'one header more': ([rule('more', [add('blue')], [text('SUBJECT', 'CONTAINS', 'letter')])] + RULES,
                        {n: {'headers'} for n in ('plain', 'boss', 'unknown')}),
    'no longer dropped for one': (without('spam'), {'won': {'recipients', 'dropped'}}),
    'kept for one alone': ([dict(r, Conditions=[text('RECIPIENT', 'EQUALS', SALES)]) if r['Name'] == 'keep' else r for r in RULES],
                           {'boss': {'not_archived'}, 'won': {'not_archived'}, 'both': {'recipients'}}),
    'another recipient': ([rule('desk', [{"ReplaceRecipient": {"ReplaceWith": ["desk@corp.example"]}}], [text('SUBJECT', 'CONTAINS', 'order')])] + RULES,
                          {'order': {'recipients', 'replaced'}, 'both': {'recipients', 'replaced', 'archives'}}),
    'not in the other archive': (without('legal'), {n: {'archives'} for n in ('boss', 'both', 'won')}),
    'in one archive more': (RULES + [rule('short', [archive('short')], [text('SUBJECT', 'CONTAINS', 'order')])], {'order': {'archives'}, 'both': {'archives'}}),
    'by SPF': ([rule('spf', [DROP], [{"VerdictExpression": {"Evaluate": {"Attribute": "SPF"}, "Operator": "EQUALS", "Values": ["FAIL"]}}])] + RULES,
               {'boss': {'not_archived', 'archives'}, 'won': {'not_archived', 'archives'}}),
    'by unknown SPF': ([rule('spf', [DROP], [{"VerdictExpression": {"Evaluate": {"Attribute": "SPF"}, "Operator": "EQUALS", "Values": ["PROCESSING_FAILED"]}}])] + RULES,
                       {'unknown': {'not_archived'}}),
}

@test
def what_differs_is_told():
    for name, (rules, want) in CASES.items():
        rows, result = replay(rules)
        equal(parts(rows), want, name)
        equal((result['messages'], result['differ'], result['same']), (6, len(want), 6 - len(want)), name)

@test
def how_it_differs():
    rows, result = replay(CASES['no longer dropped for one'][0])
    row = rows['won']
    equal(row['differs'], {'recipients': {'then': [BOSS], 'now': [BOSS, SALES]}, 'dropped': {'then': [SALES], 'now': []}})
    equal((row['then']['rule_name'], row['then']['rule_set_name'], row['then']['rule_set_version']), ('keep', 'all', 1))
    equal((row['now']['disposition'], [r['rule_name'] for r in row['now']['rules']]), ('archived', ['keep', 'legal']))
    rows, result = replay(CASES['dropped by subject'][0])
    equal((rows['boss']['now']['disposition'], rows['boss']['differs']['archives']), ('dropped', {'then': ['legal'], 'now': []}))
    equal(result['now'], {'dropped': 3})
    equal(replay([])[1]['now'], {'unmatched': 6})
    rows, _ = replay(CASES['in one archive more'][0])
    equal(rows['order']['differs'], {'archives': {'then': [], 'now': ['short']}})
    out = site.run('mmctl', 'replay', '--rule-set', PATH, '--archive', 'corp', 'subject:order')
    check('%s  ' % IDS['order'] in out and '  keep -> archived by rule 1 mark, rule 2 keep, rule 4 short  (archives)\n' in out, out)
    check('2 messages: 0 as it is recorded, 2 otherwise, archived 2\n' in out, out)

@test
def a_query_says_of_which():
    equal(set(replay([], 'subject:letter')[0]), {'plain', 'boss', 'unknown'})
    equal(set(replay([], 'spf:fail')[0]), {'boss', 'won'})
    equal(set(replay([], archive_name='legal')[0]), {'boss', 'both', 'won'})
    rows, result = replay([], '--limit', '2')
    equal((len(rows), result['messages']), (2, 2))
    equal(replay([], 'nowhere')[1]['messages'], 0)

def state():
    return [site.run('mmctl', 'show', '--json'), site.run('mmctl', 'list', '--json'), [sorted(site.ids('', a)) for a in ('corp', 'legal', 'short')],
            [site.run('mmctl', 'why', id) for id in IDS.values()]]

@test
def nothing_is_done_and_it_is_accounted():
    before = state()
    for rules, _ in CASES.values():
        replay(rules)
    equal(state(), before)
    entry = json.loads(site.run('mm-audit', 'list', '--json', '--event', 'replay').splitlines()[-1])['detail']
    equal({k: entry[k] for k in ('archive', 'query', 'hits', 'rule_set', 'rule_set_version')},
          {'archive': 'corp', 'query': '', 'hits': 6, 'rule_set': 'new', 'rule_set_version': 0})

@test
def what_it_foretells_happens():
    """The same mail again under the changed rules: then these differ in nothing from the record, and the old ones as the new did before."""
    for name in 'dropped by subject', 'another recipient', 'kept for one alone', 'in one archive more':
        rules, want = CASES[name]
        rows, _ = replay(rules)
        site.apply({"RuleSets": [{"RuleSetName": "all", "Rules": rules}], "IngressPoints": []})
        again = {n: post(n) for n in MAILS}
        site.wait()
        for n, id in again.items():
            kept = [json.loads(l) for l in site.run('mmctl', 'why', id, '--json').splitlines()]
            here = [k for k in kept if k.get('archive') == 'corp']
            equal(bool(here), 'not_archived' not in want.get(n, ()), '%s: %s in corp' % (name, n))
            if n in rows and here:
                for part in set(rows[n]['differs']) & {'recipients', 'replaced'}:
                    equal(sorted(here[0]['decided'][part]), rows[n]['differs'][part]['now'], '%s: %s: %s' % (name, n, part))
            if n in rows and not here and not kept[0].get('archive'):
                equal(kept[0]['disposition'], rows[n]['now']['disposition'], name)
        newer = 'received>=2000 (%s)' % ' OR '.join('id:' + i for i in again.values())
        equal(replay('all', newer)[0], {}, name + ': judged anew by what judged it')
        for a in 'corp', 'legal', 'short':
            there = sorted(set(site.ids('', a)) & set(again.values()))
            if there:
                site.run('mm-retention', 'erase', '--archive', a, '--reason', 'again', '--yes', *there)
        site.apply({"RuleSets": [{"RuleSetName": "all", "Rules": RULES}], "IngressPoints": []})

@test
def what_was_erased_is_no_difference():
    site.run('mm-retention', 'erase', '--archive', 'legal', '--reason', 'x', '--yes', IDS['boss'])
    equal(replay('all')[0], {}, 'it was in legal, and was erased there')
    equal(parts(replay(without('legal'))[0]), {n: {'archives'} for n in ('both', 'won')})

@test
def more_than_a_batch_and_imports():
    with Sender(site.port) as s:
        for i in range(150):
            s.send(mail('bulk %d' % i, 'n %d' % i), [SALES], 'good@shop.example')
    site.wait()
    path = os.path.join(site.root, 'old.eml')
    with open(path, 'wb') as f:
        f.write(mail('an old letter'))
    site.run('mm-import', '--archive', 'corp', path)
    site.wait()
    rows, result = replay([rule('odd', [DROP], [text('SUBJECT', 'ENDS_WITH', *'13579')])] + RULES)
    equal((len(rows), result['messages'], result['imported'], result['differ']), (75, 157, 1, 75))
    equal(result['same'], 157 - 75 - 1)

@test
def what_is_wrong_is_told():
    for want, args in (('which rule set?', ['--archive', 'corp']), ('which archive?', ['--rule-set', 'all']),
                       ('there is no rule set "none"', ['--archive', 'corp', '--rule-set', 'none']), ('there is no archive "x"', ['--archive', 'x', '--rule-set', 'all']),
                       ('column 7, after', ['--archive', 'corp', '--rule-set', 'all', 'after:x'])):
        site.run('mmctl', 'replay', *args, code=2)
        check(want in site.stderr, site.stderr)

@test
def without_mmd_it_says_the_same():
    rules = CASES['dropped by subject'][0]
    running = replay(rules)
    site.stop()
    equal(replay(rules), running)

site.close_process()
done()
