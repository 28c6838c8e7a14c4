#!/usr/bin/env python3
"""mmctl explain: rule by rule and condition by condition what a rule set does with a message, archived or in a file, by whoever may know
both; what it says is what happens, and it does nothing."""
import json, os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from given import give

seed = int(os.environ.get('MM_SEED') or random.randrange(1 << 32))
print('   MM_SEED=%d' % seed)
dice = random.Random(seed)

def text(attribute, operator, *values):
    return {"StringExpression": {"Evaluate": {"Attribute": attribute}, "Operator": operator, "Values": list(values)}}

def header(name, operator, *values):
    return {"StringExpression": {"Evaluate": {"MimeHeaderAttribute": name}, "Operator": operator, "Values": list(values)}}

def spf(operator, *values):
    return {"VerdictExpression": {"Evaluate": {"Attribute": "SPF"}, "Operator": operator, "Values": list(values)}}

def rule(name, actions, conditions=(), unless=()):
    return {"Name": name, "Conditions": list(conditions), "Unless": list(unless), "Actions": actions}

def archive(name):
    return {"Archive": {"TargetArchive": name}}

DROP = {"Drop": {}}
RULES = [rule('mark', [{"AddHeader": {"HeaderName": "X-Mark", "HeaderValue": "red"}}], [text('RECIPIENT', 'STARTS_WITH', 'boss')]),
         rule('reject', [DROP], [spf('EQUALS', 'FAIL')], [text('FROM', 'ENDS_WITH', '@partner.example')]),
         rule('legal', [archive('legal')], [header('X-Mark', 'EQUALS', 'red')]),
         rule('other', [{"ReplaceRecipient": {"ReplaceWith": ["desk@corp.example"]}}], [text('SUBJECT', 'CONTAINS', 'order')], [text('RECIPIENT', 'STARTS_WITH', 'boss')]),
         rule('keep', [archive('corp')])]

site = Site(apply=False)
give(site, {'bad@shop.example': {'spf': 'fail'}, 'good@shop.example': {}})
site.apply(dict(DEFAULT, RuleSets=[{"RuleSetName": "all", "Rules": RULES}]))
site.start()

def explain(*args, code=0, tool=None):
    """(rules, actions, outcome)"""
    lines = [json.loads(l) for l in (tool or site.run)('mmctl', 'explain', '--json', *args, code=code).splitlines()]
    return [l for l in lines if 'rule' in l], [l for l in lines if 'done_by' in l], lines[-1]

def write(name, data):
    path = os.path.join(site.root, name)
    with open(path, 'wb') as f:
        f.write(data)
    return path

def words(judged):
    """{(rule, recipient): {(list, index): (held, [(what, value, hit)])}} with None: whether it applies"""
    out = {}
    for row in judged:
        for r in row['recipients']:
            one = {(c['in'], c['index']): (c['held'], [(x['what'], x['value'], x['hit']) for x in c['compared']]) for c in row['conditions']}
            one[None] = row['applies']
            out[row['rule_name'], r] = one
    return out

A = site.send(mail('Order 7', 'words', sender='"Good One" <good@shop.example>', extra='X-Mark: blue\r\n'), ['boss@corp.example', 'sales@corp.example'], 'good@shop.example')
site.wait()

@test
def every_condition_and_what_it_compared():
    judged, actions, outcome = explain('--message', A, '--archive', 'corp')
    got = words(judged)
    both = ['boss@corp.example', 'sales@corp.example']
    equal(got['mark', both[0]], {('Conditions', 0): (True, [('recipient', both[0], True)]), None: True})
    equal(got['mark', both[1]], {('Conditions', 0): (False, [('recipient', both[1], False)]), None: False})
    for r in both:
        equal(got['reject', r], {('Conditions', 0): (False, [('SPF', 'PASS', False)]), None: False}, 'SPF for ' + r)
    equal(got['legal', both[0]], {('Conditions', 0): (True, [('header', 'blue', False), ('header that a rule added', 'red', True)]), None: True})
    equal(got['legal', both[1]], {('Conditions', 0): (False, [('header', 'blue', False)]), None: False})
    equal(got['other', both[0]], {('Conditions', 0): (True, [('header', 'Order 7', True)]), ('Unless', 0): (True, [('recipient', both[0], True)]), None: False})
    equal(got['other', both[1]][None], True)
    equal(got['keep', 'desk@corp.example'], {None: True}, 'who took the place')
    equal(len([r for r in judged if r['rule_name'] == 'reject']), 1, 'who is judged alike is in one row')
    for row in judged:
        for c in row['conditions']:
            equal(c['condition'], RULES[row['rule']][c['in']][c['index']], 'the condition itself')
    equal([(a['rule_name'], a['failed'], a['recipients']) for a in actions],
          [('mark', False, both[:1]), ('legal', False, both[:1]), ('other', False, both[1:]), ('keep', False, [both[0], 'desk@corp.example'])])
    equal((outcome['disposition'], outcome['rule_set_name'], outcome['rule_set_version'], outcome['archive']), ('archived', 'all', 1, 'corp'))
    equal([(r['address'], r['state'], r['archived']) for r in outcome['recipients']],
          [(both[0], 'left', True), (both[1], 'replaced', False), ('desk@corp.example', 'left', True)])
    equal(outcome['verdicts']['spf'], {'verdict': 'PASS', 'result': 'pass'})

@test
def for_people():
    out = site.run('mmctl', 'explain', '--message', A)
    for want in ('rule 0 mark applies to boss@corp.example\n', "rule 1 reject doesn't apply to boss@corp.example, sales@corp.example\n",
                 '    holds     Unless[0] {"StringExpression":', '        = header that a rule added: red\n', '        - SPF: PASS\n',
                 'rule 4 keep does {"Archive":{"TargetArchive":"a-', 'sales@corp.example: replaced\n', 'by rule set all version 1: archived\n'):
        check(want in out, 'no %r in\n%s' % (want, out))

@test
def the_version_that_judged_and_another():
    changed = [rule('drop', [DROP], [text('SUBJECT', 'CONTAINS', 'order')])]
    site.apply({"RuleSets": [{"RuleSetName": "all", "Rules": changed}], "IngressPoints": []})
    equal(explain('--message', A)[2]['rule_set_version'], 1, 'that of then')
    equal(explain('--message', A)[2]['disposition'], 'archived')
    now = explain('--message', A, '--rule-set', 'all')[2]
    equal((now['rule_set_version'], now['disposition']), (2, 'dropped'), 'that of now')
    path = os.path.join(site.root, 'new.json')
    for file in ({"RuleSetName": "new", "Rules": RULES[4:]}, {"RuleSets": [{"RuleSetName": "new", "Rules": RULES[4:]}]}):
        site.write(path, json.dumps(file))
        outcome = explain('--message', A, '--rule-set', path)[2]
        equal((outcome['rule_set_name'], outcome['rule_set_version'], outcome['disposition']), ('new', 0, 'archived'), 'of a file')
    check('"new"' not in site.run('mmctl', 'show', 'RuleSets'), 'it is stored')
    site.apply({"RuleSets": [{"RuleSetName": "all", "Rules": RULES}], "IngressPoints": []})

@test
def a_message_in_a_file():
    path = write('mail.eml', mail('an order', sender='x@partner.example'))
    to = ['--to', 'sales@corp.example', '--rule-set', 'all', '--message', path]
    got = words(explain(*to, '--from', 'x@partner.example', '--spf', 'fail')[0])
    one = got['reject', 'sales@corp.example']
    equal((one['Conditions', 0], one['Unless', 0][0], one[None]), ((True, [('SPF', 'FAIL', True)]), True, False), 'SPF FAIL of a partner')
    check(('address', 'x@partner.example', True) in one['Unless', 0][1] and ('header', 'x@partner.example', True) in one['Unless', 0][1], one)
    equal(words(explain(*to)[0])['reject', 'sales@corp.example'][None], False, 'nothing is known of it')
    other = write('other.eml', mail('an order', sender='x@other.example'))
    equal(explain('--to', 'a@corp.example', '--rule-set', 'all', '--message', other, '--spf', 'FAIL')[2]['disposition'], 'dropped')
    rules = os.path.join(site.root, 'facts.json')
    site.write(rules, json.dumps({"RuleSetName": "facts", "Rules": [rule('r%d' % i, [archive('corp')], [c]) for i, c in enumerate((
        text('MAIL_FROM', 'EQUALS', 'a@b.example'), text('HELO', 'EQUALS', 'mx.b.example'),
        {"IpExpression": {"Evaluate": {"Attribute": "SOURCE_IP"}, "Operator": "CIDR_MATCHES", "Values": ["2001:db8::/32"]}},
        {"BooleanExpression": {"Evaluate": {"Attribute": "TLS"}, "Operator": "IS_TRUE"}},
        {"VerdictExpression": {"Evaluate": {"Attribute": "DKIM"}, "Operator": "EQUALS", "Values": ["GRAY"]}},
        {"DmarcExpression": {"Operator": "EQUALS", "Values": ["QUARANTINE"]}},
        {"NumberExpression": {"Evaluate": {"Attribute": "MESSAGE_SIZE"}, "Operator": "EQUALS", "Value": os.path.getsize(path)}}))]}))
    facts = ['--from', 'a@b.example', '--helo', 'mx.b.example', '--ip', '2001:db8::7', '--tls', '1.3', '--dkim', 'GRAY', '--dmarc', 'quarantine']
    to[3] = rules
    equal([r['applies'] for r in explain(*to, *facts)[0]], [True] * 7, 'all facts')
    equal([r['applies'] for r in explain(*to)[0]], [False] * 6 + [True], 'the control: none of them')
    equal(explain(*to, '--to', 'two@corp.example')[2]['recipients'][1]['address'], 'two@corp.example')

@test
def what_it_says_is_what_happens():
    """Messages of every kind: explained from a file first, then sent, then explained as archived; and the record beside each."""
    senders = {'bad@shop.example': 'FAIL', 'good@shop.example': 'PASS', 'x@partner.example': 'PROCESSING_FAILED'}
    fates = set()
    for i in range(40 if LONG else 16):
        sender = dice.choice(list(senders)) if i else 'bad@shop.example'
        to = dice.sample(['boss@corp.example', 'sales@corp.example', 'bossy@corp.example', 'it@corp.example'], dice.randrange(1, 4))
        data = mail(dice.choice(['an order', 'a letter', 'Order']), 'n %d' % i, sender=dice.choice([sender, 'y@partner.example']) if i else sender,
                    extra=dice.choice(['', 'X-Mark: red\r\n', 'X-Mark: Red\r\nX-Mark: blue\r\n']))
        path = write('one.eml', data)
        args = ['--rule-set', 'all', '--message', path, '--from', sender, '--spf', senders[sender], '--ip', '127.0.0.1', '--helo', 'client.example']
        judged, actions, outcome = explain(*args, *(w for r in to for w in ('--to', r)))
        id = site.send(data, to, sender)
        site.wait()
        rows = [json.loads(l) for l in site.run('mmctl', 'why', id, '--json').splitlines()]
        into = {a['action']['Archive']['TargetArchive']: a for a in actions if 'Archive' in a['action']}
        equal(len(into), len([r for r in rows if r['disposition'] == 'archived']), 'archives of %r' % rows)
        for row in rows:
            fates.add(row['disposition'])
            if row['disposition'] != 'archived':
                equal(row['disposition'], outcome['disposition'], 'disposition')
                continue
            shown = json.loads(site.run('mmctl', 'show', 'Archives', row['archive'], '--json'))['Archives'][0]['ArchiveId']
            equal((into[shown]['rule_name'], into[shown]['recipients']), (row['decided']['rule_name'], row['decided']['recipients']), 'the record')
            again = explain('--message', id, '--archive', row['archive'])
            equal(words(again[0]), words(judged), 'the same of the archived one')
            equal(again[1], actions, 'actions')
    equal(fates, {'archived', 'dropped'}, 'the control: some of each')

def count_state():
    return [site.run('mmctl', 'show', '--json'), site.run('mmctl', 'list', '--json'), site.count(''), site.count('', 'legal'),
            {k: v for k, v in site.status().items() if k in ('archived', 'spooled', 'failed')}]

@test
def nothing_is_done():
    before = count_state()
    path = write('drop.eml', mail('x'))
    explain('--message', A, '--rule-set', 'all')
    equal(explain('--message', path, '--to', 'a@corp.example', '--rule-set', 'all', '--spf', 'FAIL')[2]['disposition'], 'dropped')
    equal(count_state(), before)

@test
def it_is_accounted():
    explain('--message', A, '--archive', 'legal')
    entry = json.loads(site.run('mm-audit', 'list', '--json', '--event', 'read').splitlines()[-1])
    equal({k: entry['detail'].get(k) for k in ('archive', 'id', 'form')}, {'archive': 'legal', 'id': A, 'form': 'explain'})
    before = len(site.run('mm-audit', 'list', '--json').splitlines())
    explain('--message', write('x.eml', mail('x')), '--to', 'a@b.example', '--rule-set', 'all')
    entries = [json.loads(l) for l in site.run('mm-audit', 'list', '--json').splitlines()[before:]]
    check([e for e in entries if (e.get('detail') or {}).get('op') == 'explain'], entries)

@test
def a_hostile_message_is_shown_in_bounds():
    flags = ''.join('X-Flag: %d\r\n' % i for i in range(3000)) + 'X-Flag: last\r\nX-Long: ' + 'y' * 900 + '\r\n'
    path = write('hostile.eml', mail('a\x1b]0;title\x07 \u202eorder', extra=flags, sender='"\x1b[2J" <e@evil.example>'))
    rules = os.path.join(site.root, 'hostile.json')
    site.write(rules, json.dumps({"RuleSetName": "h", "Rules": [
        rule('flag', [archive('corp')], [header('X-Flag', 'EQUALS', 'last'), header('X-Long', 'NOT_EQUALS', 'x'), text('SUBJECT', 'CONTAINS', 'order'),
                                         text('FROM', 'CONTAINS', 'evil')])]}))
    args = ['--message', path, '--rule-set', rules, *(w for i in range(100) for w in ('--to', 'r%d@corp.example' % i))]
    judged = explain(*args)[0]
    equal((len(judged), len(judged[0]['recipients']), judged[0]['applies']), (1, 100, True), 'one row for all')
    first = judged[0]['conditions'][0]['compared']
    check(len(first) <= 52 and first[-1] == {'more': 2950}, first[-1])
    check({'what': 'header', 'value': 'last', 'hit': True} in first, 'what hit is shown')
    long = judged[0]['conditions'][1]['compared'][0]
    equal((len(long['value']), long['bytes']), (500, 900))
    args[5] = 'r\x1b[2J\u202e@corp.example'
    out = site.run('mmctl', 'explain', *args, binary=True)
    check(b'\x1b' not in out and '\u202e'.encode() not in out and b'\\x1b' in out, 'control characters reach the terminal')

@test
def what_is_wrong_is_told():
    path = write('y.eml', mail('x'))
    for code, want, args in ((2, 'there is no rule set "none"', ['--message', A, '--rule-set', 'none']), (1, 'no archive has this message', ['--message', A[:-2] + ('00' if A[-2:] != '00' else '10')]),
                             (2, 'to whom?', ['--message', path, '--rule-set', 'all']), (2, 'which message?', ['--rule-set', 'all']),
                             (2, 'which rule set?', ['--message', path, '--to', 'a@b.example']), (2, '--spf is one of: PASS FAIL', ['--message', path, '--to', 'a@b', '--rule-set', 'all', '--spf', 'softfail']),
                             (2, '--tls is', ['--message', path, '--to', 'a@b', '--rule-set', 'all', '--tls', '1.1']), (2, '--ip is', ['--message', path, '--to', 'a@b', '--rule-set', 'all', '--ip', 'x']),
                             (2, '--from is for a message in a file', ['--message', A, '--from', 'x@y']), (2, 'there is no archive', ['--message', A, '--archive', 'nowhere'])):
        site.run('mmctl', 'explain', *args, code=code)
        check(want in site.stderr, '%s: %s' % (args, site.stderr))
    bad = os.path.join(site.root, 'bad.json')
    for file, want in (({"RuleSetName": "b", "Rules": [rule('x', [archive('nowhere')])]}, 'Rules[0].Actions[0].Archive.TargetArchive: none of the Archives'),
                       ({"RuleSets": []}, 'has 0 rule sets; one is wanted'), ({"Rules": []}, 'RuleSetName: Member must not be null')):
        site.write(bad, json.dumps(file))
        site.run('mmctl', 'explain', '--message', A, '--rule-set', bad, code=2)
        check(want in site.stderr, site.stderr)
    site.run('mm-import', '--archive', 'corp', path)
    site.wait()
    imported = site.ids('ingress:import')[0]
    site.run('mmctl', 'explain', '--message', imported, code=2)
    check('it was imported' in site.stderr, site.stderr)
    explain('--message', imported, '--rule-set', 'all')

@test
def without_mmd_it_says_the_same():
    path = write('z.eml', mail('an order'))
    asked = (['--message', A, '--archive', 'corp'], ['--message', path, '--to', 'sales@corp.example', '--rule-set', 'all', '--spf', 'PASS'])
    running = [explain(*a) for a in asked]
    site.stop()
    equal([explain(*a) for a in asked], running)

site.close_process()
done()
