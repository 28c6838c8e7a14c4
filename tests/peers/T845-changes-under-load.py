#!/usr/bin/env python3
"""Traffic policy and rule set change by the control API (npm's AWS SDK, JSON and CBOR) while 20 senders run: each message that was answered
with 250 says which version of both judged it, all that became of it is of that version and of no other, and none is lost. It is never
an older version than the one whose update had been answered, nor one that nobody had asked for yet."""
import os, random, sys, threading, uuid
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sdk import *

UPDATES = 5000 if LONG else 120  # of each of the two
SENDERS = 20
SEED = random.randrange(1 << 32)
print('   seed %d, %d updates, %d senders' % (SEED, 2 * UPDATES, SENDERS))
WORD = 'w' + uuid.uuid4().hex
ARCHIVES = ('corp', 'legal')

# ---- what a version asks for: no two in a row agree on anything ----

ALL = ['%s%d@corp.example' % (side, bit) for side in 'yn' for bit in range(4)]

def let_in(version):
    """The recipients that the policy allows: each bit of its number is said twice, the other way round the second time."""
    return ['%s%d@corp.example' % ('yn'[side], bit) for side in (0, 1) for bit in range(4) if (version >> bit & 1) != side]

def policy(version):
    def allow(side):
        return {'Action': 'ALLOW', 'Conditions': [{'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': 'EQUALS', 'Values': [
            a for a in let_in(version) if a[0] == side]}}]}
    return {'DefaultAction': 'DENY', 'PolicyStatements': [allow(side) for side in 'yn' if any(a[0] == side for a in let_in(version))]}

def header(name, version):
    return {'HeaderName': name, 'HeaderValue': 'of %d' % version}

def rules(version):
    final = {'Drop': {}} if version % 3 == 2 else {'Archive': {'TargetArchive': ARCHIVES[version % 3]}}
    return {'Rules': [{'Name': 'first-%d' % version, 'Conditions': [], 'Actions': [{'AddHeader': header('X-First', version)}]},
                      {'Name': 'last-%d' % version, 'Conditions': [], 'Actions': [{'AddHeader': header('X-Last', version)}, final]}]}

def judged(sent, said):
    """What the rows of "why" say of a message, against what its sender saw; (policy's version, rule set's version)."""
    row, = said
    about = row['receipt'] if 'receipt' in row else row
    p, r = about['policy_version'], about['rule_set_version']
    equal((about['policy'], about['rule_set']), (POLICY, RULES), 'judged by')
    equal(sent['accepted'], let_in(p), 'recipients by policy %d' % p)
    check(sent['policy'][0] <= p <= sent['policy'][1], 'policy %d, not of %s' % (p, sent['policy']))
    check(sent['rules'][0] <= r <= sent['rules'][1], 'rule set %d, not of %s' % (r, sent['rules']))
    if r % 3 == 2:
        equal((row['disposition'], row['rule'], row['rule_name']), ('dropped', 1, 'last-%d' % r))
        return p, r
    decided = row['decided']
    equal((row['disposition'], row['archive'], decided['rule_set_version'], decided['rule_name']), ('archived', ARCHIVES[r % 3], r, 'last-%d' % r))
    equal(decided['headers'], [{'name': n, 'value': 'of %d' % r} for n in ('X-First', 'X-Last')])
    equal([x['to'] for x in about['rcpt']], sent['accepted'], 'recipients')
    equal(sorted(decided['recipients']), sorted(sent['accepted']), 'recipients')
    return p, r

# ---- who changes, who sends ----

asked, answered = {'policy': 1, 'rules': 1}, {'policy': 1, 'rules': 1}
over, wrong, messages = threading.Event(), [], []

def change(what, api, command, make, **which):
    for version in range(2, UPDATES + 2):
        asked[what] = version
        api.call(command, **dict(make(version), **which))
        answered[what] = version

def sender(n):
    rng, connection = random.Random(SEED + n), 0
    while not over.is_set():
        connection += 1
        since = answered['policy']
        with Sender(site.port) as s:
            bounds = since, asked['policy']
            for _ in range(rng.randrange(1, 4)):
                messages.append(dict(send(s.smtp, ahead=n % 2), policy=bounds, connection=(n, connection)))
                time.sleep(rng.random() / 5)

def send(smtp, ahead):
    """One message; half of the senders ask one thing after the other, and give a new version time to come in between."""
    lines = ['MAIL FROM:<ann@shop.example>'] + ['RCPT TO:<%s>' % a for a in ALL] + ['DATA']
    codes = []
    if ahead:
        smtp.sock.sendall(''.join(l + '\r\n' for l in lines).encode())
    for l in lines:
        codes.append(smtp.getreply()[0] if ahead else smtp.docmd(l)[0])
    check(codes[0] == 250 and codes[-1] == 354 and set(codes[1:-1]) <= {250, 550}, codes)
    since = answered['rules']
    smtp.sock.sendall(mail('changing', WORD) + b'.\r\n')
    code, text = smtp.getreply()
    equal(code, 250, text)
    return {'id': message_id(text), 'accepted': [a for a, c in zip(ALL, codes[1:]) if c == 250], 'rules': (since, asked['rules'])}

def thread(function, *args, **more):
    def run():
        try:
            function(*args, **more)
        except BaseException as e:
            wrong.append(e)
            over.set()
            raise
    t = threading.Thread(target=run)
    t.start()
    return t

site, PORT = site_with_api(resources=dict(DEFAULT, TrafficPolicies=[dict(policy(1), TrafficPolicyName='changing')],
                                          RuleSets=[dict(rules(1), RuleSetName='changing')]),
                           ingress={'TrafficPolicyName': 'changing', 'RuleSetName': 'changing'})
api = Api(site, PORT)
other = Api(site, PORT, protocol='cbor', name='second')  # a process of its own
POLICY = api.call('ListTrafficPolicies')['TrafficPolicies'][0]['TrafficPolicyId']
RULES = api.call('ListRuleSets')['RuleSets'][0]['RuleSetId']
said = {}

@test
def each_message_is_judged_by_one_version():
    senders = [thread(sender, n) for n in range(SENDERS)]
    for t in (thread(change, 'policy', api, 'UpdateTrafficPolicy', policy, TrafficPolicyId=POLICY),
              thread(change, 'rules', other, 'UpdateRuleSet', rules, RuleSetId=RULES)):
        t.join()
    over.set()
    for t in senders:
        t.join()
    equal(wrong, [], 'what went wrong')
    site.wait()
    shown = json.loads(site.run('mmctl', 'show', '--json'))
    equal([r['Version'] for kind in ('TrafficPolicies', 'RuleSets') for r in shown[kind]], [UPDATES + 1] * 2, 'versions')
    versions, connections = set(), {}
    for m in messages:
        said[m['id']] = site.request('why', id=m['id'])[1]
        p, r = judged(m, said[m['id']])
        versions.add((p, r))
        equal(connections.setdefault(m['connection'], p), p, 'a connection keeps its policy')
    print('   %d messages, judged by %d policies and %d rule sets' % tuple(map(len, (messages, {p for p, _ in versions}, {r for _, r in versions}))))
    check(len(messages) > 3 * SENDERS and len(versions) > min(UPDATES, len(messages)) / 10, 'there was no load')

@test
def none_is_lost():
    equal(len({m['id'] for m in messages}), len(messages), 'an id is there twice')
    there = {a: {i for i, rows in said.items() if rows[0].get('archive') == a} for a in ARCHIVES}
    for archive, ids in there.items():
        equal(set(site.ids(WORD, archive)), ids, 'found in ' + archive)
    dropped = [json.loads(l)['id'] for l in site.run('mmctl', 'list', '--disposition', 'dropped', '--limit', '0', '--json').splitlines()]
    equal(sorted(dropped), sorted(i for i in said if not any(i in ids for ids in there.values())), 'dropped')
    status = site.status()
    equal((status['spooled'], status['failed']), (0, 0), 'spooled, failed')
    equal(site.verify()['problems'], 0, 'verify')

def tampered(m, rows, kept):
    """(what, sent, said): records that would be wrong."""
    where = 'receipt' if kept else None
    def changed(**more):
        row = json.loads(json.dumps(rows[0]))
        (row[where] if where else row).update(more)
        return [row]
    about = rows[0][where] if where else rows[0]
    yield 'nothing', m, []
    yield 'twice', m, rows * 2
    for d in (-1, 1):
        yield 'policy', dict(m, policy=(0, 1 << 30)), changed(policy_version=about['policy_version'] + d)
        yield 'rule set', dict(m, rules=(0, 1 << 30)), changed(rule_set_version=about['rule_set_version'] + d)
    yield 'another policy', m, changed(policy='tp-other')
    yield 'mixed', dict(m, accepted=[a for side, p in zip('yn', (0, 1)) for a in let_in(about['policy_version'] + p) if a[0] == side]), rows
    yield 'older', dict(m, policy=(about['policy_version'] + 1, 1 << 30)), rows
    yield 'of the future', dict(m, rules=(0, about['rule_set_version'] - 1)), rows
    if kept:
        yield 'headers', m, [dict(rows[0], decided=dict(rows[0]['decided'], headers=[dict(h, value='of 0') for h in rows[0]['decided']['headers']]))]
        yield 'elsewhere', m, [dict(rows[0], archive=next(a for a in ARCHIVES if a != rows[0]['archive']))]

@test
def a_wrong_record_is_seen():
    """The control: of a message that is kept, and of one that was dropped."""
    for kept in (True, False):
        m = next(m for m in messages if ('receipt' in said[m['id']][0]) == kept)
        judged(m, said[m['id']])
        for what, sent, rows in tampered(m, said[m['id']], kept):
            try:
                judged(sent, rows)
            except (AssertionError, ValueError, KeyError):
                continue
            raise AssertionError('%s: %r passes with %r' % (what, rows, sent))

site.stop()
done()
