#!/usr/bin/env python3
"""Logs in the service's shapes: what is accepted has one record, each rule and action its own, each recipient its evaluation, by real mail.
Sealed, no address of them is readable in the data directory (the control, a build without encryption, is caught); without "addresses"
no address is in a plain one; what messages say never. A kill leaves nothing told twice; old files can't be read any more; a
flood is summed up; a full disk under a log stops no mail; who may read what."""
import os, re, signal, struct, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

PORTS = {name: free_port() for name in ('users', 'strict', 'small')}
REGION, ACCOUNT = 'eu-central-1', '210987654321'

def text(attribute, operator, *values):
    return {"StringExpression": {"Evaluate": {"Attribute": attribute}, "Operator": operator, "Values": list(values)}}

def rule(name, actions, *conditions):
    return {"Name": name, "Conditions": list(conditions), "Actions": actions}

RULES = [rule('mark', [{"AddHeader": {"HeaderName": "X-Mark", "HeaderValue": "yes"}}], text('SUBJECT', 'CONTAINS', 'mark')),
         rule('legal', [{"Archive": {"TargetArchive": "legal"}}, {"ReplaceRecipient": {"ReplaceWith": ["case@corp.example"]}},
                        {"Archive": {"TargetArchive": "corp"}}], text('RECIPIENT', 'STARTS_WITH', 'legal')),
         rule('spam', [{"Drop": {}}], text('SUBJECT', 'CONTAINS', 'spam')),
         rule('gone', [{"Archive": {"TargetArchive": "leaving"}}], text('RECIPIENT', 'STARTS_WITH', 'gone')),
         rule('keep', [{"Archive": {"TargetArchive": "corp"}}])]

def deny(*conditions):
    return {"Action": "DENY", "Conditions": list(conditions)}

def allow(*conditions):
    return {"Action": "ALLOW", "Conditions": list(conditions)}

TLS13 = {"TlsExpression": {"Evaluate": {"Attribute": "TLS_PROTOCOL"}, "Operator": "IS", "Value": "TLS1_3"}}
LISTED = {"BooleanExpression": {"Evaluate": {"IsInAddressList": {"Attribute": "RECIPIENT", "AddressLists": ["staff"]}}, "Operator": "IS_TRUE"}}
POLICIES = [{"TrafficPolicyName": "open", "DefaultAction": "ALLOW", "PolicyStatements": []},
            {"TrafficPolicyName": "strict", "DefaultAction": "DENY", "PolicyStatements": [
                allow(LISTED, TLS13), deny(text('RECIPIENT', 'CONTAINS', 'spamtrap', 'nobody')),
                allow(text('RECIPIENT', 'ENDS_WITH', '@corp.example'))]},
            {"TrafficPolicyName": "small", "DefaultAction": "ALLOW", "PolicyStatements": [], "MaxMessageSizeBytes": 3000}]

def resources(site):
    def point(name, policy, port, **more):
        return dict({"IngressPointName": name, "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": "127.0.0.1:%d" % port,
                     "TrafficPolicyName": policy, "RuleSetName": "all"}, **more)
    return dict(DEFAULT, Archives=DEFAULT['Archives'] + [{"ArchiveName": "leaving"}], TrafficPolicies=POLICIES, RuleSets=[{"RuleSetName": "all", "Rules": RULES}],
                AddressLists=[{"AddressListName": "staff", "Addresses": ["ann@corp.example"]}],
                IngressPoints=[point('inbound', 'open', site.port), point('users', 'open', PORTS['users'], Type='AUTH', TlsPolicy='REQUIRED'),
                               point('strict', 'strict', PORTS['strict']), point('small', 'small', PORTS['small'])])

def make(build_name='asan', **logs):
    """A running site with these logs; "FOLDER" in a path is one outside of its data directory."""
    site = Site(build_name, apply=False, config={'api': {'region': REGION, 'account': ACCOUNT}})
    site.logs = os.path.join(site.root, 'logs')
    os.mkdir(site.logs)
    settings = json.load(open(site.config))
    settings['logs'] = {k: v.replace('FOLDER', site.logs) if isinstance(v, str) else v for k, v in logs.items()}
    site.write(site.config, json.dumps(settings))
    site.tls()
    site.apply(resources(site))
    site.run('mmctl', 'call', 'DeleteArchive', json.dumps({'ArchiveId': ids_of(site, 'Archives', 'leaving')['ArchiveId']}))
    return site.start()

def records(site, *args):
    return [json.loads(l) for l in site.run('mmctl', 'log', '--json', *args).splitlines()]

def ids_of(site, kind, name):
    return [r for r in json.loads(site.run('mmctl', 'show', kind, name, '--json'))[kind]][0]

def lines(path):
    """The records of a plain log, and its lines that are none."""
    good, broken = [], []
    for l in open(path, 'rb').read().split(b'\n')[:-1]:
        try:
            good.append(json.loads(l))
        except ValueError:
            broken.append(l)
    return good, broken

def settled(site, path, enough):
    """A plain log once it has so many records; it is written a few times a second."""
    for _ in range(300):
        if os.path.exists(path) and len(lines(path)[0]) >= enough:
            break
        time.sleep(0.1)
    return lines(path)[0]

class Client:
    """Goes on after refusals, as try_send does not."""
    def __init__(self, port, version=None, helo='client.example', login=None):
        self.s = smtplib.SMTP('127.0.0.1', port, local_hostname=helo, timeout=60)
        if version:
            import ssl
            context = ssl._create_unverified_context()
            context.minimum_version = context.maximum_version = version
            self.s.starttls(context=context)
        self.s.ehlo(helo)
        if login:
            self.s.login(*login)

    def send(self, data, to, sender='ann@shop.example'):
        """([code of each RCPT], code and text of the end of data or None)"""
        equal(self.s.docmd('MAIL FROM:<%s>' % sender)[0], 250, 'MAIL')
        codes = [self.s.docmd('RCPT TO:<%s>' % r)[0] for r in to]
        if 250 not in codes:
            self.s.docmd('RSET')
            return codes, None
        equal(self.s.docmd('DATA')[0], 354, 'DATA')
        self.s.sock.sendall(data + b'.\r\n')
        return codes, self.s.getreply()

# ---- what is in the records ----

INGRESS = {'resource_arn', 'event_timestamp', 'ingress_point_type', 'ingress_point_name', 'message_id', 'message_size_bytes', 'rule_set_id',
           'sender_ip_address', 'smtp_mail_from', 'smtp_helo', 'recipients'}
TLS = {'tls_protocol', 'tls_cipher_suite'}
RULE = {'resource_arn', 'event_timestamp', 'message_id', 'rule_set_name', 'rule_name', 'rule_index', 'recipients_matched'}
POLICY = {'resource_arn', 'event_timestamp', 'ingress_point_type', 'ingress_point_id', 'ingress_point_session_id', 'traffic_policy_id',
          'traffic_policy_evaluation', 'traffic_policy_verdict', 'sender_ip_address', 'smtp_mail_from', 'smtp_helo'}

def expected_deeds(subject, to):
    """(rule_index, action_name, action_index, status, recipients) of each record, by a model of RULES."""
    out, live = [], list(to)
    def tell(index, name=None, action=None, who=(), status='SUCCESS'):
        out.append((index, name, action, status if name else None, sorted(who)))
    tell(0, 'ADD_HEADER', 0, live) if 'mark' in subject else tell(0)
    legal = [r for r in live if r.startswith('legal')]
    if legal:
        tell(1, 'ARCHIVE', 0, legal)
        tell(1, 'REPLACE_RECIPIENT', 1, legal)
        live = [r for r in live if r not in legal] + ['case@corp.example']
        tell(1, 'ARCHIVE', 2, ['case@corp.example'])
    else:
        tell(1)
    if 'spam' in subject:
        tell(2, 'DROP', 0, live)
        return out
    tell(2)
    gone = [r for r in live if r.startswith('gone')]
    tell(3, 'ARCHIVE', 0, gone, 'FAILURE') if gone else tell(3)
    tell(4, 'ARCHIVE', 0, live)
    return out

def deed(r):
    a = r.get('action_metadata', {})
    return (r['rule_index'], a.get('action_name'), a.get('action_index'), a.get('action_status'), sorted(r['recipients_matched']))

sealed = make(application='sealed', policy_debug='sealed', addresses=True)
sealed.write(os.path.join(sealed.root, 'password'), 'correct.horse.battery')
sealed.run('mmctl', 'passwd', 'users', '--password-file', os.path.join(sealed.root, 'password'))
sent = []

@test
def each_message_has_its_records():
    import ssl
    before = int(time.time() * 1000)
    for subject, to in (('hello', ['sales@corp.example']), ('mark this', ['a@corp.example', 'b@corp.example']),
                        ('to legal', ['legal@corp.example', 'c@corp.example']), ('spam', ['d@corp.example']), ('spam mark', ['legal2@corp.example']),
                        ('two', ['gone@corp.example', 'e@corp.example'])):
        data = mail(subject)
        id = sealed.send(data, to=to)
        sent.append((id, subject, to, data, 'inbound', 'OPEN'))
    c = Client(PORTS['users'], ssl.TLSVersion.TLSv1_3, helo='laptop.example', login=('users', 'correct.horse.battery'))
    data = mail('by a user')
    codes, (code, text) = c.send(data, ['f@corp.example'])
    equal(code, 250, text)
    sent.append((message_id(text), 'by a user', ['f@corp.example'], data, 'users', 'AUTH'))
    sealed.wait()
    ingress, rules = records(sealed, '--kind', 'ingress'), records(sealed, '--kind', 'rule')
    equal([r['message_id'] for r in ingress], [s[0] for s in sent], 'ingress records, one a message')
    for r, (id, subject, to, data, point, type) in zip(ingress, sent):
        tls = point == 'users'
        equal(set(r), INGRESS | (TLS if tls else set()) | ({'ingress_point_metadata'} if tls else set()), subject)
        ip = ids_of(sealed, 'IngressPoints', point)
        equal(r['resource_arn'], 'arn:aws:ses:%s:%s:mailmanager-ingress-point/%s' % (REGION, ACCOUNT, ip['IngressPointId']))
        equal((r['ingress_point_type'], r['ingress_point_name'], r['rule_set_id']), (type, point, ip['RuleSetId']))
        equal((r['smtp_mail_from'], r['recipients'], r['message_size_bytes'], r['sender_ip_address'], r['smtp_helo']),
              ('ann@shop.example', to, len(data), '127.0.0.1', 'laptop.example' if tls else 'client.example'), subject)
        check(before <= r['event_timestamp'] <= int(time.time() * 1000), 'the time of receipt: %r' % r['event_timestamp'])
        if tls:
            equal((r['tls_protocol'], r['ingress_point_metadata']), ('TLSv1.3', {'password_version': 1}))
    rule_set = ids_of(sealed, 'RuleSets', 'all')['RuleSetId']
    for id, subject, to, *_ in sent:
        mine = [r for r in rules if r['message_id'] == id]
        equal([deed(r) for r in mine], expected_deeds(subject, to), subject)
        for r in mine:
            equal(set(r), RULE | ({'action_metadata'} if r['recipients_matched'] else set()), subject)
            equal((r['resource_arn'], r['rule_set_name'], r['rule_name']),
                  ('arn:aws:ses:%s:%s:mailmanager-rule-set/%s' % (REGION, ACCOUNT, rule_set), 'all', RULES[r['rule_index']]['Name']))
    equal({r['message_id'] for r in rules}, {s[0] for s in sent}, 'rule records of no other message')
    failed = [r['action_metadata'] for r in rules if r.get('action_metadata', {}).get('action_status') == 'FAILURE']
    equal([sorted(f) for f in failed], [['action_failure', 'action_index', 'action_name', 'action_status']])
    check('is being deleted' in failed[0]['action_failure'], failed)

@test
def each_recipient_has_its_evaluation():
    import ssl
    def expression(attribute, operator, *value):
        return {'attribute': attribute, 'operator': operator, 'value': list(value)}
    def statement(action, matched, *conditions):
        return {'action': action, 'conditions': [{'expression': e, 'expressionResult': r} for e, r in conditions], 'policyStatementMatched': matched}
    staff = ids_of(sealed, 'AddressLists', 'staff')['AddressListId']
    trap = expression('RECIPIENT', 'CONTAINS', 'spamtrap', 'nobody')
    listed, tls = expression('RECIPIENT', 'IS_TRUE', staff), expression('TLS_PROTOCOL', 'IS', 'TLS1_3')
    ours = expression('RECIPIENT', 'ENDS_WITH', '@corp.example')
    default = {'action': 'DENY', 'type': 'DefaultAction', 'scope': 'Recipient'}
    no_trap = statement('DENY', False, (trap, False))
    cases = [('spamtrap@corp.example', None, 'REJECT', [statement('DENY', True, (trap, True))]),
             ('bob@corp.example', None, 'ACCEPT', [no_trap, statement('ALLOW', False, (listed, False)), statement('ALLOW', True, (ours, True))]),
             ('ann@corp.example', None, 'ACCEPT', [no_trap, statement('ALLOW', False, (listed, True), (tls, False)), statement('ALLOW', True, (ours, True))]),
             ('ann@corp.example', ssl.TLSVersion.TLSv1_3, 'ACCEPT', [no_trap, statement('ALLOW', True, (listed, True), (tls, True))]),
             ('x@other.example', None, 'REJECT', [no_trap, statement('ALLOW', False, (listed, False)), statement('ALLOW', False, (ours, False)), default])]
    policy = ids_of(sealed, 'TrafficPolicies', 'strict')['TrafficPolicyId']
    point = ids_of(sealed, 'IngressPoints', 'strict')['IngressPointId']
    seen = len(records(sealed, '--kind', 'policy'))
    sessions = set()
    for to, version, verdict, evaluation in cases:
        codes, end = Client(PORTS['strict'], version).send(mail('policy'), [to])
        equal(codes[0] == 250, verdict == 'ACCEPT', to)
        for _ in range(100):
            news = records(sealed, '--kind', 'policy')[seen:]
            if len(news) >= (2 if end else 1):
                break
            time.sleep(0.1)
        seen += len(news)
        r = news[0]
        equal(r['traffic_policy_evaluation'], evaluation, to)
        equal(set(r), POLICY | {'recipient'} | (TLS if version else set()), to)
        equal((r['traffic_policy_verdict'], r['recipient'], r['traffic_policy_id'], r['ingress_point_id']), (verdict, to, policy, point))
        equal((r['smtp_mail_from'], r['smtp_helo'], r['sender_ip_address']), ('ann@shop.example', 'client.example', '127.0.0.1'))
        sessions.add(r['ingress_point_session_id'])
        equal([n['traffic_policy_evaluation'] for n in news[1:]],
              [[{'allowedMessageSize': 41943040, 'receivedMessageSize': len(mail('policy')), 'scope': 'Data'}]] if end else [], 'the size')
        equal({n['ingress_point_session_id'] for n in news}, {r['ingress_point_session_id']}, 'one session')
    equal(len(sessions), len(cases), 'a session of its own each')
    for size, code in ((1000, 250), (5000, 552)):
        data = mail('s', 'x' * 70 + '\r\n' * (size // 2))
        codes, end = Client(PORTS['small']).send(data, ['a@corp.example'])
        equal(end[0], code)
        for _ in range(100):
            news = records(sealed, '--kind', 'policy')[seen:]
            if len(news) == 2:
                break
            time.sleep(0.1)
        seen += len(news)
        equal((news[1]['traffic_policy_evaluation'], news[1]['traffic_policy_verdict'], 'recipient' in news[1]),
              ([{'allowedMessageSize': 3000, 'receivedMessageSize': len(data), 'scope': 'Data'}], 'ACCEPT' if code == 250 else 'REJECT', False))

@test
def what_is_asked_for_is_shown():
    sealed.wait()
    id = sent[2][0]
    mine = records(sealed, '--message', id)
    equal({r['message_id'] for r in mine}, {id})
    equal(len(mine), 1 + len(expected_deeds(*sent[2][1:3])))
    equal(len(records(sealed, '--limit', '3')), 3)
    everything = records(sealed)
    middle = sorted(r['event_timestamp'] for r in everything)[len(everything) // 2] // 1000
    old, new = records(sealed, '--to', str(middle)), records(sealed, '--from', str(middle))
    equal(len(old) + len(new), len(everything))
    check(all(r['event_timestamp'] < middle * 1000 for r in old) and all(r['event_timestamp'] >= middle * 1000 for r in new), 'times')
    equal(records(sealed, '--from', '2100-01-01'), [])
    for bad in (('--kind', 'frob'), ('--message', 'x'), ('--from', 'yesterday'), ('--limit', 'many')):
        sealed.run('mmctl', 'log', *bad, code=2)
    entries = [json.loads(l) for l in sealed.run('mm-audit', 'list', '--event', 'log', '--json').splitlines()]
    check(any(e['detail'].get('id') == id for e in entries), 'reading the log is in the audit log')
    line = sealed.run('mmctl', 'log', '--limit', '1').strip()
    check(re.match(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \{', line), line)

@test
def who_follows_gets_what_comes():
    p = subprocess.Popen([os.path.join(sealed.bin, 'mmctl'), 'log', '--follow', '--json', '--kind', 'ingress'], env=sealed.env, stdout=subprocess.PIPE)
    try:
        for _ in records(sealed, '--kind', 'ingress'):
            p.stdout.readline()
        id = sealed.send(mail('followed'))
        equal(json.loads(p.stdout.readline())['message_id'], id)
        sent.append((id, 'followed', ['sales@corp.example'], None, 'inbound', 'OPEN'))
    finally:
        p.kill()
        p.wait()

@test
def roles():
    if os.getuid() != 0:
        raise Skip('needs root, to be other users')
    folder = tempfile.mkdtemp(prefix='mm-test-open-')
    atexit.register(shutil.rmtree, folder, True)
    os.chmod(folder, 0o755)
    settings = json.load(open(sealed.config))
    settings['socket'] = {'path': os.path.join(folder, 'mmd.sock'), 'mode': '0666'}
    sealed.write(sealed.config, json.dumps(settings))
    sealed.stop()
    sealed.start()
    for name, role, uid, more in (('op', 'operator', 4301, ()), ('aud', 'auditor', 4302, ('--archive', 'corp')),
                                  ('all', 'auditor', 4303, ('--all-archives',)), ('adm', 'admin', 4304, ())):
        sealed.run('mmctl', 'principal', 'create', name, '--role', role, '--uid', str(uid), *more)
    def ask(uid):
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setgroups([]); os.setgid(uid); os.setuid(uid)
            s = socket.socket(socket.AF_UNIX)
            s.connect(settings['socket']['path'])
            q = json.dumps({'op': 'log'}).encode()
            s.sendall(struct.pack('<I', len(q)) + q)
            f = s.makefile('rb')
            while True:
                frame = f.read(struct.unpack('<I', f.read(4))[0])
                os.write(w, frame + b'\n')
                if frame[:1] in b'DE':
                    os._exit(0)
        os.close(w)
        with os.fdopen(r, 'rb') as f:
            rows = f.read().split(b'\n')[:-1]
        os.waitpid(pid, 0)
        return [json.loads(l[1:]) for l in rows if l[:1] == b'J'], rows[-1]
    rows, last = ask(4304)
    equal(last[:1], b'D')
    equal(len(rows), len(records(sealed)))
    check(any('recipients' in r for r in rows), 'an admin sees addresses')
    rows, last = ask(4301)
    equal((last[:1], len(rows)), (b'D', len(records(sealed))))
    whole = json.dumps([{k: v for k, v in r.items() if k != 'traffic_policy_evaluation'} for r in rows])
    check(not re.search(r'@|127\.0\.0\.1|client\.example|laptop', whole), 'an operator sees no address')
    check(any(r.get('recipients_matched') == [] for r in rows), 'but who matched nobody')
    for uid in (4302, 4303, 4399):
        rows, last = ask(uid)
        equal((rows, last[:1], json.loads(last[1:])['code']), ([], b'E', 'denied'), 'uid %d' % uid)

@test
def a_tool_alone_reads_it():
    sealed.stop()
    told = [r['message_id'] for r in records(sealed, '--kind', 'ingress')]
    equal([id for id in told if id in {s[0] for s in sent}], [s[0] for s in sent])
    sealed.run('mmctl', 'log', '--follow', code=3)
    equal((sealed.run('mmctl', 'log', '--from', '2999-01-01'), 'no records' in sealed.stderr), ('', True), sealed.stderr)

@test
def damage_is_told():
    folder = os.path.join(sealed.data, 'logs')
    path = os.path.join(folder, sorted(os.listdir(folder))[0])
    equal(sealed.verify()['problems'], 0)
    good = open(path, 'rb').read()
    bad = bytearray(good)
    bad[96 + 16 + 30] ^= 1
    with open(path, 'wb') as f:
        f.write(bad)
    sealed.run('mmctl', 'log', code=1)
    check('damaged' in sealed.stderr, sealed.stderr)
    check('log file 00000001' in sealed.run('mmctl', 'verify', code=1), 'verify tells it too')
    with open(path, 'wb') as f:
        f.write(good)
    sealed.run('mmctl', 'verify')

@test
def what_is_old_can_not_be_read():
    folder = os.path.join(sealed.data, 'logs')
    copy = {n: open(os.path.join(folder, n), 'rb').read() for n in os.listdir(folder)}
    check(len(copy) >= 1, 'files of the log')
    settings = json.load(open(sealed.config))
    settings['logs']['keep_days'] = 2
    sealed.write(sealed.config, json.dumps(settings))
    sealed.advance(days=2)
    sealed.start()
    equal(len(records(sealed, '--kind', 'ingress', '--message', sent[0][0])), 1, 'kept for its days')
    sealed.stop()
    sealed.advance(days=1)
    sealed.start()
    left = os.listdir(folder)
    check(not set(left) & set(copy), 'files that are old: %r' % left)
    equal(records(sealed, '--message', sent[0][0]), [])
    id = sealed.send(mail('new'))
    sealed.wait()
    equal(len(records(sealed, '--message', id, '--kind', 'ingress')), 1)
    for name, bytes_ in copy.items():
        with open(os.path.join(folder, name), 'wb') as f:
            f.write(bytes_)
    equal(records(sealed, '--message', sent[0][0]), [], 'from a copy of its files')
    sealed.stop()
    sealed.close()

# ---- what is not in them ----

CANARIES = ['canaryfrom%d', 'canaryto%d', 'canaryhelo%d', 'canarybody%d', 'canarysubject%d', 'canaryfile%d']

def send_canary(site, n):
    w = [x % n for x in CANARIES]
    data = mail(w[4], '--p\r\nContent-Type: text/plain\r\n\r\n%s\r\n--p\r\nContent-Type: text/csv\r\n'
                'Content-Disposition: attachment; filename="%s.csv"\r\n\r\n1\r\n--p--' % (w[3], w[5]), sender='%s@shop.example' % w[0],
                extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=p\r\n')
    for port in (site.port, PORTS['strict']):
        c = Client(port, helo=w[2] + '.example')
        c.send(data, ['%s@corp.example' % w[1], 'spamtrap-%s@corp.example' % w[1]], '%s@shop.example' % w[0])
    return [x.encode() for x in w]

def life_of_sealed(build_name):
    site = make(build_name, application='sealed', policy_debug='sealed', addresses=True)
    needles = sum((send_canary(site, n) for n in range(7000, 7020)), [])
    site.wait()
    for n in range(7000, 7020):  # else nothing was there to be found
        text = json.dumps(records(site))
    check('canaryfrom7000@shop.example' in text and 'canaryto7019@corp.example' in text and 'canaryhelo7001' in text, 'the log has them')
    check(not re.search('canary(body|subject|file)', text), 'nothing that a message says')
    hits = site.grep(needles)
    site.kill()
    hits += site.grep(needles)
    site.start()
    site.stop()
    hits += site.grep(needles)
    site.close()
    return [h for h in hits if h[1].startswith('logs/')], hits

@test
def sealed_lines_are_not_readable():
    equal(life_of_sealed('asan')[1][:5], [], 'in the clear')

@test
def the_control_without_encryption_is_caught():
    hits = life_of_sealed('plain')[0]
    check({b'canaryfrom7000', b'canaryto7000', b'canaryhelo7000'} <= {h[0] for h in hits}, 'a build without encryption passed: %r' % hits[:3])
    check(not any(re.match(b'canary(body|subject|file)', h[0]) for h in hits), 'what a message says is in the log')
    print('   control: %d finds in the clear' % len(hits))

@test
def plain_lines_have_addresses_only_where_asked_for():
    for addresses in (False, True):
        site = make(application='FOLDER/app.log', policy_debug='FOLDER/policy.log', addresses=addresses)
        needles = sum((send_canary(site, n) for n in range(8000, 8005)), [])
        site.wait()
        app = settled(site, site.logs + '/app.log', 5 * 2 * 6)
        policy = settled(site, site.logs + '/policy.log', 5 * 2 * 3)
        site.stop()
        text = open(site.logs + '/app.log', 'rb').read() + open(site.logs + '/policy.log', 'rb').read()
        found = {n for n in needles if n in text}
        check(not {n for n in found if re.match(b'canary(body|subject|file)', n)}, 'what messages say: %r' % found)
        if addresses:
            check({b'canaryfrom8000', b'canaryto8004', b'canaryhelo8002'} <= found, 'the control: with addresses they are there')
            check(b'127.0.0.1' in text and b'spamtrap' in text, 'and the IP, and what policies compare with')
        else:
            equal(found, set(), 'without')
            check(not re.search(rb'@|127\.0\.0\.1|spamtrap', text), 'no address at all')
            equal({k for r in app for k in r} & {'recipients', 'smtp_mail_from', 'smtp_helo', 'sender_ip_address'}, set())
            equal({json.dumps(r['recipients_matched']) for r in app if 'recipients_matched' in r}, {'[]'})
        equal(len([r for r in app if 'message_size_bytes' in r]), 10)
        equal(len([r for r in policy if 'recipient' in r]), 20 if addresses else 0)
        equal(len([r for r in policy if r['traffic_policy_verdict'] == 'REJECT']), 5)
        equal(oct(os.stat(site.logs + '/app.log').st_mode & 0o777), '0o600')
        check('logs' not in os.listdir(site.data), 'nothing in the data directory')
        site.close()

# ---- kills, floods, full disks ----

def flow(site, count, acked, stop=None):
    try:
        with Sender(site.port) as s:
            for n in range(count):
                if stop and stop.is_set():
                    return
                acked.append(s.send(mail('flow %d' % n)))
    except (OSError, smtplib.SMTPException, AssertionError):
        pass

@test
def a_kill_leaves_nothing_told_twice():
    for where in ('FOLDER/app.log', 'sealed'):
        site = make(application=where, addresses=True, rate=100000)
        acked, certain = [], []
        for life in range(3):
            mine = []
            t = threading.Thread(target=flow, args=(site, 100000, mine))
            t.start()
            time.sleep(0.7 + random.random())
            site.kill()
            t.join()
            acked += mine
            if where != 'sealed' and life == 0:  # as a kill in the middle of a write leaves it
                with open(site.logs + '/app.log', 'ab') as f:
                    f.write(b'{"resource_arn":"arn:aws:s')
            site.start()
            site.wait()
            id = site.send(mail('after %d' % life))
            site.wait()
            certain.append(id)
        site.stop()
        if where == 'sealed':
            rows, broken = records(site), []
        else:
            rows, broken = lines(site.logs + '/app.log')
        told = [r['message_id'] for r in rows if 'message_size_bytes' in r]
        equal(len(told), len(set(told)), 'records of one message')
        check(len(told) >= 0.3 * len(acked), '%d of %d messages are told' % (len(told), len(acked)))
        equal([told.count(i) for i in certain], [1] * 3, 'what came after a kill')
        for id in certain:
            equal([deed(r) for r in rows if r['message_id'] == id and 'rule_index' in r], expected_deeds('after', ['sales@corp.example']))
        check(len(broken) <= 3 and (where == 'sealed' or len(broken) >= 1), 'torn lines: %r' % broken)
        print('   %s: %d accepted, %d told, %d torn' % (where, len(acked), len(told), len(broken)))
        site.close()

@test
def a_flood_is_summed_up():
    site = make(application='FOLDER/app.log', policy_debug='sealed', addresses=False, rate=20)
    acked = []
    flow(site, 150, acked)
    equal(len(acked), 150)
    site.wait()
    site.stop()
    app = lines(site.logs + '/app.log')[0]
    gaps = [r for r in app if 'records_left_out' in r]
    check(gaps, 'a record of what was left out')
    equal({tuple(sorted(g)) for g in gaps}, {('event_timestamp', 'first_left_out', 'last_left_out', 'log_type', 'records_left_out')})
    equal({g['log_type'] for g in gaps}, {'APPLICATION_LOGS'})
    equal(len(app) - len(gaps) + sum(g['records_left_out'] for g in gaps), 150 * 6, 'written and left out')
    rows = records(site)
    gaps = [r for r in rows if 'records_left_out' in r]
    equal({g['log_type'] for g in gaps}, {'TRAFFIC_POLICY_DEBUG_LOGS'})
    equal(len(rows) - len(gaps) + sum(g['records_left_out'] for g in gaps), 150 * 2, 'the same of policies')
    site.close()

@test
def a_full_disk_under_a_log_stops_no_mail():
    site = make(application='FOLDER/app.log', policy_debug='FOLDER/policy.log', addresses=True)
    site.stop()
    p = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'mm-test', site.logs], stderr=subprocess.PIPE)
    if p.returncode:
        raise Skip('mount: ' + p.stderr.decode().strip())
    atexit.register(subprocess.run, ['umount', '-l', site.logs], stderr=subprocess.DEVNULL)
    with open(site.logs + '/ballast', 'wb') as f:
        f.write(bytes(60000))
    site.start()
    acked = []
    flow(site, 60, acked)
    equal(len(acked), 60, 'accepted')
    site.wait()
    status = site.status()
    equal((status['archived'], status['failed']), (60, 0))
    for _ in range(100):
        status = site.status()
        if status['log_lost'] + status['log_records'] == 60 * 8:
            break
        time.sleep(0.1)
    equal(status['log_lost'] + status['log_records'] + status['log_left_out'], 60 * 8, 'written and lost')
    check(status['log_lost'] > 100, status)
    os.remove(site.logs + '/ballast')
    os.truncate(site.logs + '/app.log', 0)
    id = site.send(mail('room again'))
    site.wait()
    rows = settled(site, site.logs + '/app.log', 6)
    equal([r['message_id'] for r in rows if 'message_size_bytes' in r][-1], id)
    equal(lines(site.logs + '/app.log')[1], [], 'torn lines')
    site.stop()
    subprocess.run(['umount', '-l', site.logs], check=True)
    site.close()

@test
def plain_files_are_rotated():
    site = make(application='FOLDER/app.log', addresses=False)
    first = site.send(mail('one'))
    site.wait()
    settled(site, site.logs + '/app.log', 6)
    os.rename(site.logs + '/app.log', site.logs + '/app.log.1')
    os.kill(site.process.pid, signal.SIGHUP)
    for _ in range(100):
        if os.path.exists(site.logs + '/app.log'):
            break
        time.sleep(0.1)
    second = site.send(mail('two'))
    site.wait()
    equal([{r['message_id'] for r in rows} for rows in (settled(site, site.logs + '/app.log.1', 6), settled(site, site.logs + '/app.log', 6))],
          [{first}, {second}])
    site.stop()
    site.close()

@test
def what_is_configured_wrong_is_told():
    site = Site(apply=False)
    settings = json.load(open(site.config))
    link = os.path.join(site.root, 'link')
    os.symlink(site.data, link)
    for logs, word in (({'application': site.data + '/x.log'}, 'sealed'), ({'policy_debug': link + '/x.log'}, 'sealed'),
                       ({'application': site.root + '/none/x.log'}, 'logs.application'), ({'application': '/dev/null'}, 'regular'),
                       ({'application': 7}, 'logs.application'), ({'addresses': 'yes'}, 'logs.addresses'), ({'rate': 0}, 'logs.rate'),
                       ({'keep_days': 0}, 'logs.keep_days'), ({'max_bytes': 5}, 'logs.max_bytes'), ({'frob': 1}, 'logs.frob')):
        site.write(site.config, json.dumps(dict(settings, logs=logs)))
        site.run('mmd', '--config', site.config, code=2)
        check(word in site.stderr, '%r: %s' % (logs, site.stderr))
    check(not os.path.exists(site.data + '/x.log'), 'nothing was made')
    site.close()

done()
