#!/usr/bin/env python3
"""What was found out about who sent a message: rules ask for it by the API's words, searches by RFC 8601's, in open shards, sealed ones and
after a reindex. No text of a message can be found by such a word, nor be mistaken for one in what is shown."""
import json, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from given import API, KINDS, give

SENDERS = {'%s.%s@v.example' % (kind, word): {kind: word} for kind, words in KINDS.items() for word in words}
SENDERS['mixed@v.example'] = {'spf': 'softfail', 'dkim': 'policy', 'arc': 'pass', 'dmarc': 'fail', 'dmarc_asks': 'reject'}
DEFAULTS = {'spf': 'pass', 'dkim': 'pass', 'arc': 'none', 'dmarc': 'pass', 'dmarc_asks': 'none'}
ADDONS = {"AddonSubscriptions": [{"AddonName": "SPAMHAUS_DBL"}], "AddonInstances": [{"AddonName": "SPAMHAUS_DBL"}]}

def verdict(attribute, operator, *values):
    return {"VerdictExpression": {"Evaluate": {"Attribute": attribute}, "Operator": operator, "Values": list(values)}}

def dmarc(operator, *values):
    return {"DmarcExpression": {"Operator": operator, "Values": list(values)}}

def asked(kind, operator, *values):
    x = {"Evaluate": {"Analysis": {"Analyzer": "SPAMHAUS_DBL", "ResultField": "addon.listed"}}, "Operator": operator}
    return {kind + 'Expression': dict(x, Values=list(values)) if values else x}

def words_of(sender):
    return dict(DEFAULTS, **SENDERS[sender]) if sender in SENDERS else None

def is_one(sender, kind, values):
    """Of what a rule sees."""
    words = words_of(sender)
    if kind == 'dmarc':
        return bool(words) and words['dmarc'] != 'temperror' and words['dmarc_asks'].upper() in values
    return (API[kind][words[kind]] if words else 'PROCESSING_FAILED') in values

def every_condition():
    """(condition, function of a sender)"""
    four, three = ('PASS', 'FAIL', 'GRAY', 'PROCESSING_FAILED'), ('NONE', 'QUARANTINE', 'REJECT')
    for kind, values, make in (('spf', four, lambda *a: verdict('SPF', *a)), ('dkim', four, lambda *a: verdict('DKIM', *a)), ('dmarc', three, dmarc)):
        for some in [(v,) for v in values] + [values[1:]]:
            yield make('EQUALS', *some), lambda s, k=kind, v=some: is_one(s, k, v)
            yield make('NOT_EQUALS', *some), lambda s, k=kind, v=some: not is_one(s, k, v)
    # No scanner says anything.
    yield asked('Verdict', 'EQUALS', 'PROCESSING_FAILED'), lambda s: True
    yield asked('Verdict', 'EQUALS', 'PASS', 'FAIL', 'GRAY'), lambda s: False
    yield asked('Boolean', 'IS_FALSE'), lambda s: False
    yield asked('String', 'NOT_EQUALS', 'x'), lambda s: False

CONDITIONS = list(every_condition())
RULES = [{"Name": "r%d" % i, "Conditions": [c], "Actions": [{"AddHeader": {"HeaderName": "X-R", "HeaderValue": str(i)}}]}
         for i, (c, _) in enumerate(CONDITIONS)] + [{"Name": "keep", "Actions": [{"Archive": {"TargetArchive": "corp"}}]}]

site = Site(apply=False)
give(site, SENDERS)
site.apply(dict(DEFAULT, RuleSets=[{"RuleSetName": "all", "Rules": RULES}], **ADDONS))
site.start()
BY = {sender: site.send(mail('from ' + sender, 'words', sender=sender), sender=sender) for sender in SENDERS}
FORGED = ('Authentication-Results: mm.test; spf=pass smtp.mailfrom=shop.example; dkim=pass; dmarc=pass\r\nX-Verdicts: spf:pass dkim:pass\r\n'
          'Message-ID: <spf:pass@dkim.pass>\r\nList-Id: spf:pass <dmarc:reject>\r\n')
BY['forger@f.example'] = site.send(mail('= spf:pass dkim:pass arc:pass dmarc:pass dmarc:reject', 'spf:pass dkim:pass arc:pass dmarc:reject\r\n    spf:pass dkim:pass',
                                        sender='"spf:pass dkim:pass" <forger@f.example>', extra=FORGED), sender='forger@f.example',
                                   to=['spf.pass@corp.example'])
site.wait()

def expected(kind, word):
    return sorted(BY[s] for s in BY if (words_of(s) or {}).get(kind, 'unchecked') == word)

def field(kind):
    return kind.replace('_asks', '')

@test
def rules_see_the_words_of_the_api():
    check(len(RULES) <= 40, len(RULES))
    seen = {True: set(), False: set()}
    for sender, id in BY.items():
        row = json.loads(site.run('mmctl', 'why', id, '--json'))
        got = {int(h['value']) for h in row['decided'].get('headers', [])}
        want = {i for i, (_, holds) in enumerate(CONDITIONS) if holds(sender)}
        equal(got, want, '%s: %s' % (sender, [CONDITIONS[i][0] for i in got ^ want]))
        seen[True] |= want
        seen[False] |= set(range(len(CONDITIONS))) - want
    silent = set(range(len(CONDITIONS) - 4, len(CONDITIONS)))  # no scanner: the same for all
    equal(seen[True] & seen[False], set(range(len(CONDITIONS))) - silent, 'the control: conditions that hold for some and not for others')

def words_find_what_they_say():
    for kind, words in KINDS.items():
        for word in words + ['unchecked']:
            if kind == 'dmarc_asks' and word in ('none', 'unchecked'):
                continue
            equal(sorted(site.ids('%s:%s' % (field(kind), word))), expected(kind, word), '%s:%s' % (kind, word))
    equal(sorted(site.ids('-spf:pass')), sorted(i for i in BY.values() if i not in expected('spf', 'pass')), '-spf:pass')
    equal(sorted(site.ids('SPF:Pass dkim:(pass OR fail) -arc:pass')),
          sorted(set(expected('spf', 'pass')) & set(expected('dkim', 'pass') + expected('dkim', 'fail')) - set(expected('arc', 'pass'))), 'joined')
    equal(site.ids('dmarc:reject spf:softfail dkim:policy from:mixed'), [BY['mixed@v.example']], 'with words')
    equal(site.count('dmarc:reject'), len(expected('dmarc_asks', 'reject')), 'count')

@test
def in_the_open_shard():
    words_find_what_they_say()

@test
def no_text_forges_them():
    forged = BY['forger@f.example']
    for query in ('spf:pass', 'dkim:pass', 'arc:pass', 'dmarc:pass', 'dmarc:reject', 'spf:(pass OR fail OR none OR neutral OR softfail)'):
        check(forged not in site.ids(query), query)
    equal(site.ids('from:forger spf:unchecked dkim:unchecked dmarc:unchecked'), [forged], 'unchecked')
    for query in ('"spf:pass"', 'subject:"spf:pass"', 'body:"dkim:pass"', 'headers:"dkim.pass"'):
        check(forged in site.ids(query), 'the control: %s finds no text' % query)
    shown = site.run('mm-search', '--archive', 'corp', 'from:forger')
    equal(shown.splitlines()[1:], ['    = spf:pass dkim:pass arc:pass dmarc:pass dmarc:reject'], 'its subject, and nothing else')

@test
def rows_and_why_show_them():
    rows = {r['id']: r for r in site.rows()}
    for sender, id in BY.items():
        for kind in KINDS:
            equal(rows[id][kind], (words_of(sender) or {}).get(kind), '%s %s' % (sender, kind))
    out = site.run('mm-search', '--archive', 'corp', 'from:mixed')
    equal(out.splitlines()[2:], ['  = spf:softfail dkim:policy arc:pass dmarc:fail dmarc:reject'], out)
    row = json.loads(site.run('mmctl', 'why', BY['mixed@v.example'], '--json'))
    equal(row['verdicts'], SENDERS['mixed@v.example'] | {'dmarc_asks': 'REJECT'}, 'why')
    equal(row['receipt']['verdicts']['dkim'], {'verdict': 'FAIL', 'result': 'policy'}, 'the receipt')
    check('verdicts' not in json.loads(site.run('mmctl', 'why', BY['forger@f.example'], '--json')), 'the control: who has none')

@test
def a_word_that_is_none_is_told():
    for query, want in (('spf:passed', 'column 5, spf: none, neutral, pass, fail, softfail'), ('dkim:reject', 'column 6'), ('dmarc:gray', 'quarantine, reject')):
        site.run('mm-search', '--archive', 'corp', query, code=2)
        check(want in site.stderr, site.stderr)

@test
def in_sealed_shards_and_after_a_reindex():
    before = site.rows()
    site.run('mmctl', 'seal')
    words_find_what_they_say()
    site.run('mmctl', 'reindex')
    words_find_what_they_say()
    equal(site.rows(), before, 'rows')
    check(site.verify()['problems'] == 0, 'verify')

@test
def an_instance_that_rules_ask_stays():
    shown = json.loads(site.run('mmctl', 'show', '--json'))
    instance = shown['AddonInstances'][0]['AddonInstanceId']
    equal(json.dumps(shown['RuleSets']).count(instance), 4, 'references as ids')
    equal(json.loads(site.run('mmctl', 'dump', '--json'))['RuleSets'][0]['Rules'], RULES, 'a dump names the add-on')
    site.run('mmctl', 'call', 'DeleteAddonInstance', json.dumps({'AddonInstanceId': instance}), code=1)
    check('ConflictException' in site.stderr and 'in use by "all" of the RuleSets' in site.stderr, site.stderr)
    site.apply({"RuleSets": [{"RuleSetName": "all", "Rules": RULES[-1:]}], "IngressPoints": []})
    site.run('mmctl', 'call', 'DeleteAddonInstance', json.dumps({'AddonInstanceId': instance}))

site.stop()
done()
