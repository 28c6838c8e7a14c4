#!/usr/bin/env python3
"""Rule sets: every condition and operator that is built, Unless, evaluation by recipient, every action, what becomes of mail that no
rule keeps, and by which version of a rule set a message is judged. What isn't built is refused by name."""
import base64, json, os, signal, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site(apply=False)
site.tls()
PORTS = {}

def text(attribute, operator, *values):
    return {"StringExpression": {"Evaluate": {"Attribute": attribute}, "Operator": operator, "Values": list(values)}}

def header(name, operator, *values):
    return {"StringExpression": {"Evaluate": {"MimeHeaderAttribute": name}, "Operator": operator, "Values": list(values)}}

def boolean(attribute, operator):
    return {"BooleanExpression": {"Evaluate": {"Attribute": attribute}, "Operator": operator}}

def listed(attribute, operator, name):
    return {"BooleanExpression": {"Evaluate": {"IsInAddressList": {"Attribute": attribute, "AddressLists": [name]}}, "Operator": operator}}

def size(operator, value):
    return {"NumberExpression": {"Evaluate": {"Attribute": "MESSAGE_SIZE"}, "Operator": operator, "Value": value}}

def ip(operator, *values):
    return {"IpExpression": {"Evaluate": {"Attribute": "SOURCE_IP"}, "Operator": operator, "Values": list(values)}}

def rule(name, actions, conditions=(), unless=()):
    return {"Name": name, "Conditions": list(conditions), "Unless": list(unless), "Actions": actions}

def archive(name):
    return {"Archive": {"TargetArchive": name}}

def add(name, value):
    return {"AddHeader": {"HeaderName": name, "HeaderValue": value}}

def replace(*addresses):
    return {"ReplaceRecipient": {"ReplaceWith": list(addresses)}}

DROP = {"Drop": {}}

def use(name, *rules):
    """Applies a rule set with an ingress point of the same name; its port."""
    fresh = name not in PORTS
    PORTS.setdefault(name, free_port())
    point = {"IngressPointName": name, "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": "127.0.0.1:%d" % PORTS[name],
             "TrafficPolicyName": "open", "RuleSetName": name}
    site.apply({"RuleSets": [{"RuleSetName": name, "Rules": list(rules)}], "IngressPoints": [point] if fresh else []})
    return PORTS[name]

def send(port, data, to, sender='ann@shop.example', source='127.0.0.1', helo='client.example', tls=False):
    s = smtplib.SMTP('127.0.0.1', port, local_hostname=helo, timeout=60, source_address=(source, 0))
    if tls:
        import ssl
        s.starttls(context=ssl._create_unverified_context())
    s.ehlo(helo)
    for command in ['MAIL FROM:<%s>' % sender] + ['RCPT TO:<%s>' % r for r in to] + ['DATA']:
        code, reply = s.docmd(command)
        check(code in (250, 354), '%s: %d %s' % (command, code, reply))
    s.sock.sendall(data + b'.\r\n')
    code, reply = s.getreply()
    equal(code, 250, reply)
    s.quit()
    return message_id(reply)

def why(id):
    return [json.loads(l) for l in site.run('mmctl', 'why', id, '--json').splitlines()]

def kept(id):
    """{archive: (rule, recipients)} of one message."""
    return {o['archive']: (o['decided']['rule_name'], sorted(o['decided']['recipients'])) for o in why(id) if o['disposition'] == 'archived'}

def fate(id):
    rows = why(id)
    equal(len(rows), 1, 'rows of why: %s' % rows)
    return rows[0]['disposition'], rows[0].get('rule_name')

def listing(*args):
    return [json.loads(l) for l in site.run('mmctl', 'list', '--json', *args).splitlines()]

LISTS = {'people': ['ann@shop.example', 'bob@other.example', 'carl@c.example', 'sales@corp.example', 'secretary@shop.example'],
         'nobody': [],
         'wild': ['whole@a.example', 'b.example', '*@c.example', '123*@d.example', '*xyz@d.example', '*.below.example', 'local@*.deep.example']}
site.apply(dict(DEFAULT, AddressLists=[{"AddressListName": n, "Addresses": a} for n, a in LISTS.items()], RuleSets=[
    {"RuleSetName": "all", "Rules": [rule('keep', [archive('corp')])]}]))
site.start()

A = ('From: "Ann Lee" <ann@shop.example>\r\nSender: <secretary@shop.example>\r\nTo: sales@corp.example, "Bob Roe" <bob@other.example>\r\n'
     'Cc: Carl\r\n <carl@c.example>\r\nSubject: =?utf-8?B?%s?=\r\nX-Tag: red\r\nx-tag: Deep\r\n Blue\r\n'
     'Disposition-Notification-To: ann@shop.example\r\n\r\nA longer text, so that this is the larger one.\r\n'
     % base64.b64encode('Große Laternen'.encode()).decode()).encode()
B = b'From: eve@evil.example\r\nSubject: plain\r\n\r\nB\r\n'

def every_condition():
    """(what, condition, holds for A, holds for B)"""
    for attribute, value in (('MAIL_FROM', 'ann@shop.example'), ('HELO', 'client.example'), ('RECIPIENT', 'sales@corp.example'),
                             ('SENDER', 'secretary@shop.example'), ('FROM', 'ann@shop.example'), ('SUBJECT', 'Große Laternen'),
                             ('TO', 'bob@other.example'), ('CC', 'carl@c.example'), ('X-Tag', 'deep blue')):
        left = (lambda *a: header('X-Tag', *a)) if attribute == 'X-Tag' else (lambda *a, name=attribute: text(name, *a))
        upper = ''.join(c.upper() if c < '\x80' else c for c in value)
        yield attribute + ' EQUALS', left('EQUALS', 'none', upper), True, False
        yield attribute + ' EQUALS a part', left('EQUALS', value[:-1], value + 'x'), False, False
        yield attribute + ' NOT_EQUALS', left('NOT_EQUALS', 'none', value), False, True
        yield attribute + ' STARTS_WITH', left('STARTS_WITH', upper[:5]), True, False
        yield attribute + ' ENDS_WITH', left('ENDS_WITH', 'none', value[-9:]), True, False
        yield attribute + ' CONTAINS', left('CONTAINS', upper[2:9]), True, False
    yield 'FROM by display name', text('FROM', 'CONTAINS', 'ann lee'), True, False
    yield 'FROM whole', text('FROM', 'EQUALS', '"Ann Lee" <ann@shop.example>', 'Ann Lee <ann@shop.example>'), True, False
    yield 'another header', header('X-Tag', 'EQUALS', 'red'), True, False
    yield 'no such header', header('X-Other', 'CONTAINS', 'red'), False, False
    yield 'no such header NOT_EQUALS', header('X-Other', 'NOT_EQUALS', 'red'), True, True
    for attribute in ('READ_RECEIPT_REQUESTED', 'TLS'):
        yield attribute + ' IS_TRUE', boolean(attribute, 'IS_TRUE'), True, False
        yield attribute + ' IS_FALSE', boolean(attribute, 'IS_FALSE'), False, True
    yield 'TLS_WRAPPED IS_TRUE', boolean('TLS_WRAPPED', 'IS_TRUE'), False, False
    yield 'TLS_WRAPPED IS_FALSE', boolean('TLS_WRAPPED', 'IS_FALSE'), True, True
    for attribute in ('RECIPIENT', 'MAIL_FROM', 'SENDER', 'FROM', 'TO', 'CC'):
        yield attribute + ' in list', listed(attribute, 'IS_TRUE', 'people'), True, False
        yield attribute + ' not in list', listed(attribute, 'IS_FALSE', 'people'), False, True
        yield attribute + ' in an empty list', listed(attribute, 'IS_TRUE', 'nobody'), False, False
    a, b = len(A), len(B)
    yield 'SIZE EQUALS', size('EQUALS', a), True, False
    yield 'SIZE NOT_EQUALS', size('NOT_EQUALS', a), False, True
    yield 'SIZE LESS_THAN', size('LESS_THAN', a), False, True
    yield 'SIZE LESS_THAN half', size('LESS_THAN', a + 0.5), True, True
    yield 'SIZE GREATER_THAN', size('GREATER_THAN', b), True, False
    yield 'SIZE LESS_THAN_OR_EQUAL', size('LESS_THAN_OR_EQUAL', b), False, True
    yield 'SIZE GREATER_THAN_OR_EQUAL', size('GREATER_THAN_OR_EQUAL', a), True, False
    yield 'IP one', ip('CIDR_MATCHES', '10.0.0.0/8', '127.0.0.1'), True, False
    yield 'IP net', ip('CIDR_MATCHES', '127.0.0.0/8'), True, True
    yield 'IP not', ip('NOT_CIDR_MATCHES', '127.0.0.1/32', '10.0.0.0/8'), False, True
    yield 'IP of the other family', ip('CIDR_MATCHES', '::/0'), False, False
    yield 'IP not of the other family', ip('NOT_CIDR_MATCHES', '::/0'), True, True

@test
def every_condition_holds_where_it_should():
    cases = list(every_condition())
    sent = []
    for at in range(0, len(cases), 39):
        part = cases[at:at + 39]
        rules = [rule('r%d' % i, [add('X-Held', c[0])], [c[1]]) for i, c in enumerate(part)]
        port = use('conditions-%d' % (at // 39), *rules, rule('keep', [archive('corp')]))
        sent.append((part, send(port, A, ['sales@corp.example'], tls=True),
                     send(port, B, ['else@where.example'], sender='', source='127.0.0.2', helo='other.host')))
    site.wait()
    wrong = []
    for part, a, b in sent:
        for column, id in ((2, a), (3, b)):
            held = {h['value'] for h in why(id)[0]['decided'].get('headers', [])}
            wrong += [('AB'[column - 2], c[0], c[0] in held) for c in part if (c[0] in held) != c[column]]
    equal(wrong, [], 'message, condition, held')
    print('   %d conditions' % len(cases))
    for part, a, b in sent:
        equal((site.run('mm-search', '--raw', a, binary=True), site.run('mm-search', '--raw', b, binary=True)), (A, B), 'bytes')

@test
def conditions_are_anded_and_unless_takes_out():
    yes, no = text('SUBJECT', 'CONTAINS', 'a'), text('SUBJECT', 'CONTAINS', 'zzz')
    cases = [('none', [], [], True), ('yes', [yes], [], True), ('yes no', [yes, no], [], False), ('unless yes', [], [yes], False),
             ('unless no', [], [no], True), ('yes unless no', [yes], [no], True), ('yes unless no yes', [yes], [no, yes], False),
             ('no unless no', [no], [no], False)]
    port = use('logic', *[rule('r%d' % i, [add('X-Held', c[0])], c[1], c[2]) for i, c in enumerate(cases)], rule('keep', [archive('corp')]))
    id = send(port, mail('a'), ['sales@corp.example'])
    site.wait()
    held = {h['value'] for h in why(id)[0]['decided']['headers']}
    equal(held, {c[0] for c in cases if c[3]}, 'rules that applied')

@test
def rules_are_judged_for_each_recipient():
    port = use('each', rule('a', [archive('corp')], [text('RECIPIENT', 'ENDS_WITH', '@a.example')]),
               rule('b', [archive('legal')], [text('RECIPIENT', 'ENDS_WITH', '@b.example')]),
               rule('not-a', [archive('short')], [], [text('RECIPIENT', 'ENDS_WITH', '@a.example')]))
    id = send(port, mail('each'), ['one@a.example', 'Two@A.example', 'three@b.example', 'four@d.example'])
    only = send(port, mail('each'), ['one@a.example'])
    site.wait()
    equal(kept(id), {'corp': ('a', ['Two@A.example', 'one@a.example']), 'legal': ('b', ['three@b.example']),
                     'short': ('not-a', ['four@d.example', 'three@b.example'])}, 'three archives')
    equal(kept(only), {'corp': ('a', ['one@a.example'])}, 'one archive')

@test
def address_lists_know_wildcards():
    yes = ['whole@a.example', 'WHOLE@A.EXAMPLE', 'any@b.example', 'any@c.example', '123@d.example', '1234@d.example', 'axyz@d.example',
           'x@one.below.example', 'x@two.one.below.example', 'local@x.deep.example', 'local@y.x.deep.example']
    no = ['whole+tag@a.example', 'other@a.example', 'any@sub.b.example', 'any@xb.example', 'any@sub.c.example', '12@d.example',
          'axyzb@d.example', 'x@below.example', 'x@xbelow.example', 'other@x.deep.example', 'local@deep.example']
    port = use('wild', rule('in', [archive('corp')], [listed('RECIPIENT', 'IS_TRUE', 'wild')]),
               rule('out', [archive('legal')], [listed('RECIPIENT', 'IS_FALSE', 'wild')]))
    id = send(port, mail('wild'), yes + no)
    site.wait()
    equal(kept(id), {'corp': ('in', sorted(yes)), 'legal': ('out', sorted(no))}, 'who is in the list')
    for entry in ('*@*.example', 'a*@d.example', '*', 'x@', '*.example', 'local@a.*.example'):
        path = os.path.join(site.root, 'bad.json')
        site.write(path, json.dumps({"AddressLists": [{"AddressListName": "wild", "Addresses": [entry]}]}))
        site.run('mmctl', 'apply', path, code=2)
        check('Addresses[0]' in site.stderr, entry + ': ' + site.stderr)

@test
def drop_takes_recipients_out():
    port = use('drop', rule('no-spam', [DROP, archive('legal')], [text('RECIPIENT', 'STARTS_WITH', 'spam')]), rule('keep', [archive('corp')]))
    both = send(port, mail('half dropped'), ['spam@corp.example', 'sales@corp.example'])
    gone = send(port, mail('dropped'), ['spam@corp.example', 'spam2@corp.example'])
    site.wait()
    equal(kept(both), {'corp': ('keep', ['sales@corp.example'])}, 'one is left')
    dropped = why(both)[0]['decided'].get('dropped')
    equal([(d['rule_name'], d['recipients']) for d in dropped or []], [('no-spam', ['spam@corp.example'])], 'what was dropped of it')
    equal(fate(gone), ('dropped', 'no-spam'), 'none is left')
    rows = listing('--disposition', 'dropped')
    equal([(r['id'], r['rule_name'], r['rule']) for r in rows], [(gone, 'no-spam', 0)], 'list')
    equal(site.status()['dropped'], 1, 'status')

@test
def added_headers_are_seen_by_later_rules_only():
    port = use('headers', rule('early', [archive('legal')], [header('X-Mm', 'EQUALS', 'green')]),
               rule('add', [add('X-Mm', 'green'), add('X-Tag', 'added')], [text('RECIPIENT', 'STARTS_WITH', 'green')]),
               rule('late', [archive('corp')], [header('X-MM', 'STARTS_WITH', 'GRE')]),
               rule('both', [archive('short')], [header('X-Tag', 'EQUALS', 'red'), header('X-Tag', 'EQUALS', 'added')]))
    data = mail('headers', extra='X-Tag: red\r\n')
    id = send(port, data, ['green@corp.example', 'blue@corp.example'])
    none = send(port, data, ['blue@corp.example'])
    site.wait()
    equal(kept(id), {'corp': ('late', ['green@corp.example']), 'short': ('both', ['green@corp.example'])}, 'archives')
    for o in why(id):
        equal(o['decided']['headers'], [{'name': 'X-Mm', 'value': 'green'}, {'name': 'X-Tag', 'value': 'added'}], o['archive'])
    equal(site.run('mm-search', '--raw', id, binary=True), data, 'bytes')
    equal(fate(none), ('unmatched', None), 'without it')

@test
def replaced_recipients_are_found_by_both_names():
    port = use('replace', rule('move', [replace('new@corp.example', 'second@corp.example')], [text('RECIPIENT', 'EQUALS', 'old@corp.example')]),
               rule('new', [archive('corp')], [text('RECIPIENT', 'EQUALS', 'new@corp.example')]),
               rule('old', [archive('legal')], [text('RECIPIENT', 'EQUALS', 'old@corp.example')]))
    data = mail('moved', to='header@corp.example')
    id = send(port, data, ['old@corp.example'])
    site.wait()
    equal(kept(id), {'corp': ('new', ['new@corp.example'])}, 'archives')
    equal(sorted(why(id)[0]['decided']['replaced']), ['new@corp.example', 'second@corp.example'], 'replaced')
    for who in ('old', 'new', 'second', 'header'):
        equal(site.ids('to:%s@corp.example subject:moved' % who), [id], 'to: ' + who)
    for who in ('old', 'new', 'second'):
        equal(site.ids('rcpt:%s@corp.example subject:moved' % who), [id], 'rcpt: ' + who)
    equal(site.ids('rcpt:header@corp.example subject:moved'), [], 'rcpt: of the header')
    equal(site.ids('rcpt:other@corp.example subject:moved'), [], 'the control')
    equal(site.run('mm-search', '--raw', id, binary=True), data, 'bytes')
    site.run('mmctl', 'reindex')
    equal(site.ids('rcpt:second@corp.example subject:moved'), [id], 'after reindex')

@test
def two_rules_keep_it_in_two_archives_once_each():
    port = use('twice', rule('one', [archive('corp'), archive('legal')]), rule('two', [archive('corp'), archive('short')]))
    data = mail('twice')
    id = send(port, data, ['a@corp.example', 'b@corp.example'])
    site.wait()
    everyone = ['a@corp.example', 'b@corp.example']
    equal(kept(id), {'corp': ('one', everyone), 'legal': ('one', everyone), 'short': ('two', everyone)}, 'archives')
    for name in ('corp', 'legal', 'short'):
        equal(site.ids('subject:twice', name), [id], name)

@test
def what_no_rule_keeps_is_listed_and_counted():
    before = site.status()
    none = use('none')
    miss = use('miss', rule('miss', [archive('corp')], [text('SUBJECT', 'EQUALS', 'nothing like it')]))
    mark = use('mark', rule('mark', [add('X-Seen', 'yes')]))
    ids = [send(none, mail('a'), ['a@corp.example']), send(miss, mail('b'), ['a@corp.example'])]
    seen = send(mark, mail('c'), ['a@corp.example'])
    site.wait()
    after = site.status()
    equal((after['unmatched'] - before['unmatched'], after['no_action'] - before['no_action'], after['failed'], after['spooled']),
          (2, 1, 0, 0), 'status')
    equal([fate(i) for i in ids], [('unmatched', None)] * 2, 'why')
    equal(fate(seen)[0], 'no-action', 'why')
    rows = {r['id']: r for r in listing('--disposition', 'unmatched')}
    for i in ids:
        check(i in rows and rows[i]['received'].startswith('20') and rows[i]['rule_set_version'] == 1, rows.get(i))
    equal(set(ids + [seen]) - {r['id'] for r in listing()}, set(), 'list of all')
    equal([r['id'] for r in listing('--disposition', 'no-action')], [seen], 'list')
    site.run('mmctl', 'list', '--disposition', 'lsot', code=2)

# --- the version that counts ---

def children(name):
    """Process ids of mmd's children of that name."""
    out = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            stat = open('/proc/%s/stat' % pid).read()
        except OSError:
            continue
        comm, rest = stat[stat.index('(') + 1:stat.rindex(')')], stat[stat.rindex(')') + 2:].split()
        if comm == name and int(rest[1]) == site.process.pid:
            out.append(int(pid))
    check(out, 'no ' + name)
    return out

def begun(port, n, subject):
    """n connections inside DATA."""
    clients = []
    for i in range(n):
        s = smtplib.SMTP('127.0.0.1', port, local_hostname='client.example', timeout=60)
        s.ehlo()
        for command in ('MAIL FROM:<ann@shop.example>', 'RCPT TO:<v@corp.example>', 'DATA'):
            check(s.docmd(command)[0] in (250, 354), command)
        s.sock.sendall(mail('%s %d' % (subject, i)))
        clients.append(s)
    return clients

def version(name):
    sets = json.loads(site.run('mmctl', 'show', 'RuleSets', name, '--json'))
    return sets['RuleSets'][0]['Version'] if 'RuleSets' in sets else sets['Version']

def committed_while_it_changes(name, stop_workers):
    """Messages that mm-smtpd commits under version 1 of a rule set after mmd has stored version 2: mm-smtpd is stopped while the
    ends of their data and then the change are sent to it."""
    v1, v2 = rule('one', [archive('legal')]), rule('two', [archive('short')])
    port = use(name, v1)
    clients = begun(port, 5, name)
    smtpd = children('mm-smtpd')
    for pid in smtpd:
        os.kill(pid, signal.SIGSTOP)
    try:
        for s in clients:
            s.sock.sendall(b'.\r\n')
        time.sleep(0.2)
        path = os.path.join(site.root, 'second.json')
        site.write(path, json.dumps({"RuleSets": [{"RuleSetName": name, "Rules": [v2]}]}))
        p = subprocess.Popen([os.path.join(site.bin, 'mmctl'), 'apply', path], env=site.env, stdout=subprocess.DEVNULL)
        for _ in range(100):
            if version(name) == 2:
                break
            time.sleep(0.05)
        equal(version(name), 2, 'stored')
        for pid in children('mm-parse') if stop_workers else []:
            os.kill(pid, signal.SIGSTOP)
    finally:
        for pid in smtpd:
            os.kill(pid, signal.SIGCONT)
    ids = []
    for s in clients:
        code, reply = s.getreply()
        equal(code, 250, reply)
        ids.append(message_id(reply))
    equal(p.wait(60), 0, 'apply')
    return port, ids

def judged_by_one(ids):
    for id in ids:
        o = why(id)[0]
        equal((o['receipt']['rule_set_version'], o['decided']['rule_set_version'], o['archive']), (1, 1, 'legal'), id)

@test
def a_message_is_judged_by_the_version_at_its_commit():
    port, ids = committed_while_it_changes('at-commit', False)
    after = send(port, mail('after'), ['v@corp.example'])
    site.wait()
    judged_by_one(ids)
    equal(kept(after), {'short': ('two', ['v@corp.example'])}, 'the control: what comes later')

@test
def a_connection_of_before_commits_under_the_version_of_now():
    port = use('during', rule('one', [archive('legal')]))
    s, = begun(port, 1, 'during')
    use('during', rule('two', [archive('short')]))
    s.sock.sendall(b'.\r\n')
    code, reply = s.getreply()
    equal(code, 250, reply)
    site.wait()
    equal(kept(message_id(reply)), {'short': ('two', ['v@corp.example'])}, 'judged')

@test
def also_after_a_kill_and_a_restart():
    archived = site.status()['archived']
    port, ids = committed_while_it_changes('at-restart', True)
    equal((site.status()['spooled'], site.status()['archived']), (len(ids), archived), 'nothing of it is judged yet')
    site.kill()
    site.start()
    after = send(port, mail('after'), ['v@corp.example'])
    site.wait()
    judged_by_one(ids)
    equal(kept(after), {'short': ('two', ['v@corp.example'])}, 'the control: what comes later')
    use('at-restart', rule('three', [archive('corp')]))
    site.run('mmctl', 'reindex')
    judged_by_one(ids)

@test
def an_address_list_is_asked_as_it_is_now():
    site.apply({"AddressLists": [{"AddressListName": "moving", "Addresses": ["a@corp.example"]}], "IngressPoints": []})
    port = use('list-now', rule('in', [archive('corp')], [listed('RECIPIENT', 'IS_TRUE', 'moving')]))
    one = send(port, mail('x'), ['a@corp.example'])
    site.wait()
    site.apply({"AddressLists": [{"AddressListName": "moving", "Addresses": ["b@corp.example"]}], "IngressPoints": []})
    two = send(port, mail('x'), ['a@corp.example'])
    three = send(port, mail('x'), ['b@corp.example'])
    site.wait()
    equal((fate(one)[0], fate(two)[0], fate(three)[0]), ('archived', 'unmatched', 'archived'), 'fates')

# --- what isn't built ---

BAD = {'unknown member': {"Name": "x", "Action": [], "Actions": [DROP]}, 'no actions': {"Name": "x", "Actions": []},
       'two in one': {"Name": "x", "Actions": [{"Drop": {}, "Archive": {"TargetArchive": "corp"}}]},
       'no such archive': {"Name": "x", "Actions": [archive('nowhere')]},
       'no such list': {"Name": "x", "Conditions": [listed('TO', 'IS_TRUE', 'no-list')], "Actions": [DROP]},
       'no such add-on': {"Name": "x", "Unless": [{"VerdictExpression": {"Evaluate": {"Analysis": {
           "Analyzer": "arn:aws:ses:eu-west-1:123456789012:addon-instance/ai-0123456789", "ResultField": "x"}}, "Operator": "EQUALS",
           "Values": ["PASS"]}}], "Actions": [DROP]},
       'no such verdict': {"Name": "x", "Conditions": [{"VerdictExpression": {"Evaluate": {"Attribute": "SPF"}, "Operator": "EQUALS",
                                                                             "Values": ["SOFTFAIL"]}}], "Actions": [DROP]},
       'no such policy': {"Name": "x", "Conditions": [{"DmarcExpression": {"Operator": "EQUALS", "Values": ["PASS"]}}], "Actions": [DROP]},
       'unknown operator': {"Name": "x", "Conditions": [text('TO', 'MATCHES', 'x')], "Actions": [DROP]},
       'eleven values': {"Name": "x", "Conditions": [text('TO', 'EQUALS', *'abcdefghijk')], "Actions": [DROP]},
       'no network': {"Name": "x", "Conditions": [ip('CIDR_MATCHES', '10.0.0.0/33')], "Actions": [DROP]},
       'header of two lines': {"Name": "x", "Actions": [add('X-A', 'a\r\nBcc: b')]},
       'no X-header': {"Name": "x", "Actions": [add('Subject', 'a')]},
       'no address': {"Name": "x", "Actions": [replace('a b@c.example')]}}

def refused(file, *words):
    """The file also has what would be good: nothing of it may stay."""
    before = site.run('mmctl', 'show', '--json')
    file.setdefault('Archives', []).append({"ArchiveName": "half-done"})
    path = os.path.join(site.root, 'bad.json')
    site.write(path, json.dumps(file))
    site.run('mmctl', 'apply', path, code=2)
    for word in words:
        check(word in site.stderr, '%s: %s' % (word, site.stderr))
    equal(site.run('mmctl', 'show', '--json'), before, 'resources')

@test
def what_is_wrong_is_refused_whole():
    for running in (True, False):
        for action, words in (({"Relay": {"Relay": "nowhere"}}, ('Actions[1].Relay.Relay', 'nowhere')), ({"Send": {"RoleArn": "arn:aws:iam::123456789012:role/x"}}, ('must limit the recipients',))):
            refused({"RuleSets": [{"RuleSetName": "all", "Rules": [rule('x', [archive('half-done'), action])]}]}, *words)
        if running:
            site.stop()
    for bad in BAD.values():
        refused({"RuleSets": [{"RuleSetName": "fine", "Rules": []}, {"RuleSetName": "all", "Rules": [bad]}]}, 'Rules[0]')
    refused({"RuleSets": [{"RuleSetName": "all", "Rules": [rule('r%d' % i, [DROP]) for i in range(41)]}]}, 'Rules')
    path = os.path.join(site.root, 'good.json')
    site.write(path, json.dumps({"Archives": [{"ArchiveName": "half-done"}]}))
    check('half-done' in site.run('mmctl', 'apply', path), 'the control: alone it is created')

@test
def verify_is_clean():
    equal(site.verify()['problems'], 0, 'verify')
    check('ERROR: ' not in site.tail(10**7), site.tail())

done()
