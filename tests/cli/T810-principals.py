#!/usr/bin/env python3
"""Roles of principals on the request socket: every role, every request, an archive of its own, a foreign one and a missing one. Foreign and
missing are answered in the same bytes, and nothing else tells of what is foreign. The control: to an auditor of all archives the two
are different. Disabling and narrowing hold at once; secrets are nowhere but in the answer to who made them."""
import re, shutil, socket, stat, struct, sys, threading, os
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

if os.getuid() != 0:
    print('skip principals: needs root, to be other users')
    sys.exit(0)

UIDS = {'admin': 4001, 'operator': 4002, 'auditor': 4003, 'nothing': 4004, 'all': 4005, 'off': 4006, 'stranger': 4999}
OPEN = tempfile.mkdtemp(prefix='mm-test-open-')
atexit.register(shutil.rmtree, OPEN, True)
os.chmod(OPEN, 0o755)
SOCKET = os.path.join(OPEN, 'mmd.sock')
RESOURCES = json.loads(json.dumps(DEFAULT))
def to(word, action):
    return {"Name": word, "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "STARTS_WITH",
                                                               "Values": [word]}}], "Actions": [action]}
RESOURCES['RuleSets'][0]['Rules'] = [to('sales', {"Archive": {"TargetArchive": "corp"}}), to('boss', {"Archive": {"TargetArchive": "legal"}}),
                                     to('spam', {"Drop": {}})]
site = Site(config={'socket': {'path': SOCKET, 'mode': '0666'}}, apply=False)
POINT = {"Type": "OPEN", "TlsPolicy": "OPTIONAL", "TlsWrapped": False, "TrafficPolicyName": "open", "RuleSetName": "all"}
RESOURCES['IngressPoints'] = [dict(POINT, IngressPointName='inbound', Listen='127.0.0.1:%d' % site.port),
                              dict(POINT, IngressPointName='users', Type='AUTH', Listen='127.0.0.1:%d' % free_port())]
site.apply(RESOURCES)

# ---- asking as another user ----

def receive(s, n):
    got = b''
    while len(got) < n:
        more = s.recv(n - len(got))
        if not more:
            raise EOFError('an answer that ends early')
        got += more
    return got

def frames(s):
    """(kind, payload) of each frame, the last one included."""
    while True:
        body = receive(s, struct.unpack('<I', receive(s, 4))[0])
        yield body[:1], body[1:]
        if body[:1] in (b'D', b'E'):
            return

def as_user(uid, function):
    """What `function` returns (bytes) in a child that is this user."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(r)
            os.setgroups([]); os.setgid(uid); os.setuid(uid)
            out = function()
            with os.fdopen(w, 'wb') as f:
                f.write(out)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(w)
    with os.fdopen(r, 'rb') as f:
        out = f.read()
    equal(os.waitpid(pid, 0)[1], 0, 'the child of uid %d' % uid)
    return out

def connect(path=SOCKET):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    return s

def put(s, request):
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    s.sendall(struct.pack('<I', len(text)) + text)

def raw(who, request, path=SOCKET):
    """The answer in its frames, as bytes: "J{...}\\nE{...}\\n"."""
    def ask():
        with connect(path) as s:
            put(s, request)
            return b''.join(kind + payload + b'\n' for kind, payload in frames(s))
    return as_user(UIDS[who], ask)

def outcome(answer):
    """'done', or the code of the error."""
    last = answer.rstrip(b'\n').split(b'\n')[-1]
    return 'done' if last[:1] == b'D' else json.loads(last[1:])['code']

def tool(who, name, *args, code=0, env=None):
    p = subprocess.run(['setpriv', '--reuid', str(UIDS[who]), '--regid', str(UIDS[who]), '--clear-groups', os.path.join(site.bin, name),
                        *args], env=env or {'PATH': os.environ['PATH'], 'MM_TEST_CLOCK': site.clock, 'MM_SOCKET': SOCKET},
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, cwd='/')
    equal(p.returncode, code, '%s %s: %s%s' % (name, ' '.join(args), p.stdout, p.stderr))
    return p.stdout + p.stderr

def audit(*args):
    return [json.loads(l) for l in site.run('mm-audit', 'list', '--json', *args).splitlines()]

# ---- what there is ----

def post(to, subject):
    return site.send(mail(subject, 'words of ' + subject, to=to + '@corp.example'), to=[to + '@corp.example'])

secrets = []
def create(name, *args):
    made = json.loads(site.run('mmctl', 'principal', 'create', name, '--json', *args))
    if 'SecretAccessKey' in made:
        secrets.append(made['SecretAccessKey'])
        equal(set(made), {'AccessKeyId', 'SecretAccessKey'})
        check(re.fullmatch('MM[A-Z0-9]{18}', made['AccessKeyId']) and re.fullmatch('[A-Za-z0-9+/]{40}', made['SecretAccessKey']), made)
    return made

site.start()
own = [post('sales', 'lantern%d' % i) for i in range(3)]
foreign = [post('boss', 'harpoon%d' % i) for i in range(4)]
dropped = post('spam', 'pelican')
site.wait()
erased_own, erased_foreign = own.pop(), foreign.pop()
for archive, id in (('corp', erased_own), ('legal', erased_foreign)):
    site.run('mm-retention', 'erase', '--archive', archive, '--reason', 'because of ' + archive, '--yes', id)
for role in ('admin', 'operator'):
    create(role, '--role', role, '--uid', str(UIDS[role]))
create('auditor', '--role', 'auditor', '--archive', 'corp', '--uid', str(UIDS['auditor']))
check('sees nothing' not in site.stderr, site.stderr)
create('nothing', '--role', 'auditor', '--uid', str(UIDS['nothing']))
check('nothing sees nothing yet' in site.stderr, site.stderr)
create('spare', '--role', 'auditor', '--archive', 'corp')
create('all', '--role', 'auditor', '--all-archives', '--uid', str(UIDS['all']))
create('off', '--role', 'auditor', '--archive', 'corp', '--uid', str(UIDS['off']))
site.run('mmctl', 'principal', 'disable', 'off')
shown = {a['ArchiveName']: a['ArchiveId'] for a in json.loads(site.run('mmctl', 'show', 'Archives', '--json'))['Archives']}

def never(id):
    """An id of the same length and time of receipt that nobody has."""
    return id[:-7] + ''.join(random.choice('0123456789abcdefghijklmnopqrstuv') for _ in range(6)) + id[-1]

NAMES = {'own': 'corp', 'foreign': 'legal', 'missing': 'lagel'}
IDS = {'own': shown['corp'], 'foreign': shown['legal'], 'missing': 'a-' + ''.join(random.choice('abcdefghij') for _ in range(24))}
MAILS = {'own': own[0], 'foreign': foreign[0], 'missing': never(foreign[0])}
GONE = {'own': erased_own, 'foreign': erased_foreign, 'missing': never(erased_foreign)}
NONE = {'none': ''}

# ---- the matrix ----

# op: a letter each for admin, operator, auditor, and its requests. A letter is y: may, an auditor with its archives; n: denied. A request is
# its arguments with REF in them, what REF is by kind, and the outcomes by kind for who may all.
REF = 'REF-REF'
DONE = {'own': 'done', 'foreign': 'done', 'none': 'done'}
INVALID, NOTFOUND = dict(DONE, missing='invalid'), dict(DONE, missing='not found')
def only(refs, *kinds):
    return {k: refs[k] for k in kinds}
MATRIX = {
    'status': ('yyy', [({}, NONE, DONE)]),
    'apply': ('yyn', [({'text': '{}'}, NONE, DONE)]),
    'show': ('yyy', [({}, NONE, DONE), ({'kind': 'Archives', 'name': REF}, NAMES, NOTFOUND), ({'kind': 'archive', 'name': REF}, IDS, NOTFOUND),
                     ({'name': REF}, NAMES, NOTFOUND)]),
    'dump': ('yyn', [({}, NONE, DONE)]),
    'api': ('yyy', [({'operation': 'ListArchives', 'text': '{}'}, NONE, DONE)]), # who may what in it: tests/peers/T822-roles.py
    'passwd': ('yyn', [({'name': REF, 'password': 'correct.horse.battery'}, {'own': 'users', 'missing': 'losers'}, NOTFOUND)]),
    'list': ('yyy', [({}, NONE, DONE), ({'disposition': 'erased'}, NONE, DONE)]),
    'why': ('yyy', [({'id': REF}, MAILS, NOTFOUND), ({'id': REF}, GONE, NOTFOUND)]),
    'search': ('yny', [({'archive': REF, 'query': 'words', 'mode': m}, refs, INVALID)
                       for refs in (NAMES, IDS) for m in ('rows', 'ids', 'count', 'explain')] +
                      [({'archive': REF, 'query': 'after:frob', 'mode': 'rows'}, only(NAMES, 'foreign', 'missing'), {'foreign': 'invalid', 'missing': 'invalid'})]),
    'message': ('yny', [({'id': REF, 'form': f}, MAILS, NOTFOUND) for f in ('raw', 'json', 'text')] +
                       [({'id': REF, 'form': 'raw'}, only(GONE, 'foreign', 'missing'), {'foreign': 'not found', 'missing': 'not found'}),
                        ({'id': foreign[0], 'archive': REF}, only(NAMES, 'foreign', 'missing'), INVALID)]),
    'explain': ('yyn', [({'rule_set': REF, 'receipt': {'rcpt': [{'to': 'a@b.example'}]}}, {'own': 'all', 'missing': 'none'}, INVALID)]),
    'explain-message': ('ynn', [({'id': REF}, MAILS, NOTFOUND), ({'id': REF, 'rule_set': 'all'}, MAILS, NOTFOUND)]),
    'replay': ('ynn', [({'archive': REF, 'query': 'words', 'rule_set': 'all'}, refs, INVALID) for refs in (NAMES, IDS)]),
    'export': ('yny', [({'archive': REF, 'query': 'words', 'case': 'x'}, refs, INVALID) for refs in (NAMES, IDS)]),
    'exported': ('yny', [({'archive': REF, 'sums_sha256': 'ab' * 32, 'messages': 1, 'failed': 0}, refs, INVALID) for refs in (NAMES, IDS)]),
    'import': ('ynn', [({'archive': REF, 'messages': [], 'received': 'now'}, refs, INVALID) for refs in (NAMES, IDS)]),
    'verify': ('yny', [({}, NONE, DONE)]),
    'reindex': ('ynn', [({'archive': REF}, NAMES, INVALID)]),
    'seal': ('ynn', [({}, NONE, DONE)]),
    'repack': ('ynn', [({}, NONE, DONE)]),
    'retention-plan': ('ynn', [({}, NONE, DONE)]),
    'retention-run': ('ynn', [({}, NONE, DONE)]),
    'erase': ('ynn', [({'archive': 'corp', 'ids': [REF], 'reason': 'x'}, only(MAILS, 'own', 'missing'), NOTFOUND),
                      ({'archive': REF, 'ids': [foreign[0]], 'reason': 'x'}, only(NAMES, 'foreign', 'missing'), INVALID)]),
    'audit-list': ('yyy', [({'limit': 3}, NONE, DONE)]),
    'audit-verify': ('yyy', [({}, NONE, DONE)]),
    'log': ('yyn', [({}, NONE, DONE), ({'id': own[0], 'kind': 'rule'}, NONE, DONE)]), # what is in it for whom: tests/cli/T555-logs.py
    'queue-list': ('yyn', [({}, NONE, DONE), ({'dead': True}, NONE, DONE)]), # no address in it for an operator: docs/man/mmctl.1.md
    'queue-show': ('yyn', [({'task': 999}, NONE, {'none': 'not found'})]),
    'queue-change': ('yyn', [({'task': 999, 'do': 'drop'}, NONE, {'none': 'not found'})]),
    'principals': ('ynn', [({}, NONE, DONE), ({'name': REF}, {'own': 'spare', 'missing': 'spade'}, NOTFOUND)]),
    'principal-create': ('ynn', [({'name': 'x', 'role': 'auditor', 'archives': [REF]}, only(NAMES, 'missing'), INVALID)]),
    'principal-archives': ('ynn', [({'name': REF, 'archives': ['corp']}, {'own': 'spare', 'missing': 'spade'}, NOTFOUND)]),
    'principal-enable': ('ynn', [({'name': REF, 'enabled': True}, {'own': 'spare', 'missing': 'spade'}, NOTFOUND)]),
    'principal-delete': ('ynn', [({'name': REF}, {'missing': 'spade'}, NOTFOUND)]),
    'principal-key-add': ('ynn', [({'name': REF}, {'missing': 'spade'}, NOTFOUND)]),
    'principal-key-remove': ('ynn', [({'name': REF, 'key': 'MMX'}, {'missing': 'spade'}, NOTFOUND)]),
    'dkim-keys': ('ynn', [({}, NONE, DONE)]),
    'dkim-create': ('ynn', [({'domain': 'shop.example', 'algorithm': 'none'}, NONE, {'none': 'invalid'})]),
    'dkim-use': ('ynn', [({'domain': 'shop.example', 'selector': REF}, {'missing': 'spade'}, NOTFOUND)]),
    'dkim-delete': ('ynn', [({'domain': 'shop.example', 'selector': REF}, {'missing': 'spade'}, NOTFOUND)]),
    'secrets': ('ynn', [({}, NONE, DONE)]),
    'secret-set': ('ynn', [({'name': 'x'}, NONE, {'none': 'invalid'})]),
    'secret-delete': ('ynn', [({'name': REF}, {'missing': 'spade'}, NOTFOUND)]),
}

def fill(value, ref):
    if isinstance(value, dict):
        return {k: fill(v, ref) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, ref) for v in value]
    return ref if value == REF else value

def answers(who, op, arguments, refs):
    """{kind: the answer, with what was asked for taken out}"""
    return {kind: raw(who, dict(fill(arguments, ref), op=op)).replace(ref.encode() or b'\0', b'<ref>') for kind, ref in refs.items()}

def each_case():
    for op, (letters, requests) in MATRIX.items():
        for arguments, refs, outcomes in requests:
            yield op, letters, arguments, refs, outcomes

@test
def every_request_is_in_the_matrix():
    equal(set(re.findall(r'^OPERATION\("([a-z-]+)"', open(os.path.join(ROOT, 'api', 'operations.h')).read(), re.M)), set(MATRIX))

ROLES = {'admin': 0, 'operator': 1, 'auditor': 2, 'nothing': 2, 'all': 2, 'off': None, 'stranger': None}
HAS = {'admin': ('own', 'foreign'), 'operator': ('own', 'foreign'), 'all': ('own', 'foreign'), 'auditor': ('own',), 'nothing': ()}

def judge(role, letters, refs, outcomes, got):
    """What is wrong with the answers, or None."""
    codes = {kind: outcome(answer) for kind, answer in got.items()}
    if ROLES[role] is None or letters[ROLES[role]] == 'n':
        if set(codes.values()) != {'denied'} or len(set(got.values())) != 1:
            return 'not denied in the same words: %r' % got
        return None
    want = {kind: outcomes[kind if kind == 'none' or kind in HAS[role] else 'missing'] for kind in refs}
    if codes != want:
        return '%r, want %r' % (codes, want)
    without = [answer for kind, answer in got.items() if kind != 'none' and kind not in HAS[role]]
    if len(set(without)) > 1:
        return 'what it does not have is told from what there is not: %r' % without
    return None

@test
def roles_by_requests_by_archives():
    cases, wrong = 0, []
    for role in ROLES:
        for op, letters, arguments, refs, outcomes in each_case():
            cases += len(refs)
            bad = judge(role, letters, refs, outcomes, answers(role, op, arguments, refs))
            if bad:
                wrong.append((role, op, arguments, bad))
    for w in wrong[:8]:
        print('  ', w)
    equal(len(wrong), 0, 'wrong of %d cases' % cases)
    print('   %d cases' % cases)

@test
def the_control_tells_foreign_from_missing():
    """Judged as if it had one archive, who has all is caught, in each request that an auditor may make of an archive."""
    told = set()
    for op, letters, arguments, refs, outcomes in each_case():
        if 'foreign' in refs and letters[2] == 'y' and judge('auditor', letters, refs, outcomes, answers('all', op, arguments, refs)):
            told.add(op)
    equal(told, {'show', 'why', 'search', 'message', 'export', 'exported'})

# ---- what is asked without a name ----

PLAIN = [{'op': 'status'}, {'op': 'show'}, {'op': 'show', 'kind': 'Archives'}, {'op': 'list'}, {'op': 'list', 'disposition': 'erased'},
         {'op': 'verify'}, {'op': 'search', 'archive': 'corp', 'query': 'words', 'mode': 'rows'},
         {'op': 'search', 'archive': 'nowhere', 'query': 'x'}, {'op': 'export', 'archive': 'corp', 'query': 'words'},
         {'op': 'why', 'id': own[0]}, {'op': 'message', 'id': own[0], 'form': 'json'}]

def plain_answers(who):
    out = []
    for request in PLAIN:
        answer = raw(who, request)
        # The audit log goes on with each request, and a search takes its time.
        out.append(re.sub(rb'"(audit_entries|audit_head|audit_time)":("[^"]*"|[0-9]+)', rb'"\1":0', answer))
    return out

def traces(text):
    canaries = ['legal', 'harpoon', shown['legal'], erased_foreign, dropped, 'boss@'] + foreign
    return [c for c in canaries if c.encode() in text]

@test
def nothing_tells_of_what_is_foreign():
    before = plain_answers('auditor')
    for request, answer in zip(PLAIN, before):
        equal(traces(answer), [], 'the answer to %s' % request)
    status = json.loads(before[0][1:])
    equal((status['archived'], status['erased'], 'spooled' in status), (2, 1, False), 'status')
    equal(json.loads(raw('all', {'op': 'status'})[1:])['archived'], 5, 'the control: of all archives')
    check(traces(b''.join(plain_answers('all'))), 'the control: no trace to be found')
    # Whatever happens in other archives, and that there are more of them, changes no byte.
    more = json.loads(json.dumps(RESOURCES))
    more['Archives'].append({"ArchiveName": "aardvark"})
    site.apply(more)
    gone = post('boss', 'harpoon later')
    post('spam', 'pelican later')
    site.wait()
    site.run('mm-retention', 'erase', '--archive', 'legal', '--reason', 'legal again', '--yes', gone)
    for request, was, now in zip(PLAIN, before, plain_answers('auditor')):
        equal(now, was, 'the answer to %s' % request)

@test
def the_audit_log_by_role():
    lists = {who: [json.loads(l[1:]) for l in raw(who, {'op': 'audit-list'}).splitlines() if l[:1] == b'J'] for who in UIDS if who not in ('off', 'stranger')}
    whole = {e['number']: e for e in audit()}
    for who, entries in lists.items():
        for e in entries:
            equal((e['hash'], e['event'], e['who']), tuple(whole[e['number']][k] for k in ('hash', 'event', 'who')), who)
    mine = 'principal auditor (uid %d)' % UIDS['auditor']
    check([e for e in lists['auditor'] if e['event'] == 'search' and e['who'] == mine], 'its own searches')
    check([e for e in lists['auditor'] if e['event'] == 'search' and e['who'].startswith('principal all')], 'searches of others in its archive')
    check([e for e in lists['auditor'] if e['event'] == 'erase_done'], 'erasures from its archive')
    equal([(e['event'], t) for e in lists['auditor'] for t in traces(json.dumps(e).encode())
           if e['who'] != mine], [], 'traces of what is foreign')
    check([t for e in lists['all'] for t in traces(json.dumps(e).encode())], 'the control: none to be found')
    # An operator sees that there was something, and no word of it.
    for e in lists['operator']:
        if e['event'] in ('search', 'results', 'replay', 'export', 'read', 'erase_intent', 'erase_done', 'erase_plan', 'purge_intent', 'purge_done', 'block', 'import'):
            check('detail' not in e, e)
    equal(len(lists['operator']) >= len(lists['admin']) - 10, True, 'the operator sees that they are there')
    check(b'words' not in raw('operator', {'op': 'audit-list'}), 'words of queries')
    check(b'words' in raw('admin', {'op': 'audit-list'}), 'the control: none for the administrator')

# ---- every request is an entry ----

@test
def every_request_is_entered():
    entries = audit()
    for who in ('admin', 'operator', 'auditor', 'nothing', 'all', 'off'):
        name = 'principal %s (uid %d)' % (who, UIDS[who])
        events = [e for e in entries if e['who'] == name]
        ops = {e['detail'].get('op') for e in events if e['event'] in ('request', 'denied')}
        own_entry = {'search': 'search', 'export': 'export', 'message': 'read', 'why': 'read', 'explain-message': 'read', 'log': 'log', 'replay': 'replay', 'verify': 'verify', 'seal': 'seal',
                     'reindex': 'reindex', 'queue-change': 'queue', 'retention-plan': 'plan', 'erase': 'erase_plan', 'passwd': 'passwd'}
        done = {e['event'] for e in events}
        missing = {op for op in MATRIX if op not in ops and own_entry.get(op) not in done}
        equal({op for op in missing if not op.startswith('principal-') or who != 'admin'} if who != 'off' else {'denied'} - done, set(), name)
    strangers = [e for e in entries if e['event'] == 'denied' and e['who'] == 'uid %d' % UIDS['stranger']]
    check(strangers, 'who is no principal')

@test
def repetition_is_counted():
    who = 'principal operator (uid %d)' % UIDS['operator']
    site.advance(seconds=1000)
    raw('operator', {'op': 'status'}), raw('operator', {'op': 'search', 'archive': 'legal', 'query': 'x'})
    before = audit()[-1]['number']
    for _ in range(30):
        raw('operator', {'op': 'status'})
        raw('operator', {'op': 'search', 'archive': 'legal', 'query': 'x'})
    mine = [e for e in audit('--from', str(before + 1)) if e['who'] == who and 'again' not in e['detail']]
    equal(mine, [], 'entries of 60 requests')
    site.advance(seconds=1000)
    raw('operator', {'op': 'status'}), raw('operator', {'op': 'search', 'archive': 'legal', 'query': 'x'})
    again = {(e['event'], e['detail']['op']): e['detail']['again'] for e in audit('--from', str(before)) if e['who'] == who and 'again' in e['detail']}
    equal((again.get(('request', 'status')), again.get(('denied', 'search'))), (30, 30))

# ---- changes hold at once ----

@test
def disabled_at_once_also_under_way():
    mbox = os.path.join(site.root, 'big.mbox')
    site.write(mbox, ''.join('From a@b.example Thu Jan  1 00:00:00 2026\nSubject: big %d\n\nbulky\n%s\n\n' % (n, ('x' * 70 + '\n') * 3000) for n in range(60)))
    site.run('mm-import', '--archive', 'corp', mbox)
    site.wait()
    ready, go = os.pipe(), os.pipe()
    def slowly():
        with connect() as s:
            put(s, {'op': 'export', 'archive': 'corp', 'query': 'bulky'})
            answer = frames(s)
            first = next(answer)
            os.write(ready[1], b'r')
            os.read(go[0], 1)
            rest = list(answer)
            return json.dumps([first[0].decode(), sum(k == b'B' for k, _ in rest), rest[-1][0].decode() + rest[-1][1].decode()]).encode()
    result = []
    t = threading.Thread(target=lambda: result.append(as_user(UIDS['auditor'], slowly)))
    t.start()
    os.read(ready[0], 1)
    site.run('mmctl', 'principal', 'disable', 'auditor')
    afterwards = outcome(raw('auditor', {'op': 'search', 'archive': 'corp', 'query': 'words'}))
    os.write(go[1], b'g')
    t.join()
    equal(afterwards, 'denied')
    kind, sent, last = json.loads(result[0])
    check(last.startswith('E') and json.loads(last[1:])['code'] == 'denied' and sent < 60, 'under way: %d messages, %s' % (sent, last))
    equal(raw('auditor', {'op': 'status'}), raw('stranger', {'op': 'status'}), 'who is disabled and who is nobody')
    site.run('mmctl', 'principal', 'enable', 'auditor')
    equal(outcome(raw('auditor', {'op': 'search', 'archive': 'corp', 'query': 'words'})), 'done')

@test
def archives_given_and_taken():
    search = {'op': 'search', 'archive': 'legal', 'query': 'words', 'mode': 'count'}
    equal(outcome(raw('auditor', search)), 'invalid')
    site.run('mmctl', 'principal', 'archives', 'auditor', '--archive', 'legal', '--archive', 'corp')
    equal(outcome(raw('auditor', search)), 'done')
    site.run('mmctl', 'principal', 'archives', 'auditor', '--archive', 'corp')
    equal(outcome(raw('auditor', search)), 'invalid')

@test
def keys_rotate():
    first = create('robot', '--role', 'auditor', '--archive', 'corp')
    def keys():
        return [k['AccessKeyId'] for k in json.loads(site.run('mmctl', 'principal', 'show', 'robot', '--json'))['Keys']]
    second = json.loads(site.run('mmctl', 'principal', 'key', 'add', 'robot', '--json'))
    secrets.append(second['SecretAccessKey'])
    equal(keys(), [first['AccessKeyId'], second['AccessKeyId']])
    site.run('mmctl', 'principal', 'key', 'add', 'robot', code=1)
    site.run('mmctl', 'principal', 'key', 'remove', 'robot', first['AccessKeyId'])
    equal(keys(), [second['AccessKeyId']])
    text = site.run('mmctl', 'principal', 'key', 'add', 'robot')
    secrets.append(re.search(r'SecretAccessKey +(\S{40})', text).group(1))
    check('this once' in site.stderr, site.stderr)
    site.run('mmctl', 'principal', 'delete', 'robot')
    site.run('mmctl', 'principal', 'show', 'robot', code=1)
    site.run('mmctl', 'principal', 'create', 'robot', '--role', 'admin', code=1)
    check('not given again' in site.stderr, site.stderr)

@test
def wrong_principals_are_refused():
    for args in (['a b', '--role', 'admin'], ['x', '--role', 'king'], ['x'], ['x', '--role', 'auditor', '--archive', 'nowhere'],
                 ['x', '--role', 'operator', '--archive', 'corp'], ['x', '--role', 'admin', '--uid', '0'], ['x', '--role', 'admin', '--uid', 'no-such-user']):
        site.run('mmctl', 'principal', 'create', *args, code=2)
    site.run('mmctl', 'principal', 'create', 'x', '--role', 'admin', '--uid', str(UIDS['all']), code=1)
    site.run('mmctl', 'principal', 'create', 'all', '--role', 'admin', code=1)
    for args in ([], ['create'], ['key'], ['key', 'add'], ['key', 'remove', 'x'], ['frob', 'x'], ['list', 'x']):
        site.run('mmctl', 'principal', *args, code=2)

@test
def an_operator_changes_the_flow_and_no_archive():
    def apply(resources):
        return outcome(raw('operator', {'op': 'apply', 'text': json.dumps(resources)}))
    flow = json.loads(json.dumps(RESOURCES))
    flow['RuleSets'][0]['Rules'][2]['Name'] = 'unwanted'
    equal(apply(flow), 'done')
    before = site.run('mmctl', 'show', '--json')
    shorter = json.loads(json.dumps(RESOURCES))
    shorter['RuleSets'][0]['Rules'][2]['Name'] = 'never'
    shorter['Archives'][0]['Retention'] = {"RetentionDays": 1}
    equal(apply(shorter), 'denied')
    equal(apply({"Archives": [{"ArchiveName": "mine"}]}), 'denied')
    equal(site.run('mmctl', 'show', '--json'), before, 'what was refused')
    for request in {'op': 'list'}, {'op': 'why', 'id': erased_own}:
        equal([b'because of' in raw(who, request) for who in ('operator', 'admin')], [False, True], 'why it was erased')
    row = json.loads(raw('operator', {'op': 'why', 'id': foreign[0]}).splitlines()[0][1:])
    equal((row['archive'], row['decided']['rule_name'], 'receipt' in row, '@' in json.dumps(row)), ('legal', 'boss', False, False))

# ---- the socket for others ----

def reaches(path):
    try:
        connect(path).close()
        return b'yes'
    except PermissionError:
        return b'no'

@test
def tools_ask_there():
    out = os.path.join(OPEN, 'out')
    os.mkdir(out)
    os.chown(out, UIDS['auditor'], UIDS['auditor'])
    check('lantern0' in tool('auditor', 'mm-search', '--archive', 'corp', 'lantern0'), 'mm-search')
    tool('auditor', 'mm-export', '--archive', 'corp', '--to', os.path.join(out, 'case'), 'lantern*')
    tool('auditor', 'mm-export', 'verify', os.path.join(out, 'case'), env={'PATH': os.environ['PATH'], 'MM_TEST_CLOCK': site.clock})
    check('unbroken' in tool('auditor', 'mm-audit', 'verify'), 'mm-audit')
    tool('auditor', 'mmctl', 'status', '--socket', SOCKET, env={'PATH': os.environ['PATH'], 'MM_TEST_CLOCK': site.clock})
    check('role' in tool('auditor', 'mmctl', 'wait', code=1), 'wait')
    check('may not' in tool('auditor', 'mm-retention', 'plan', code=1), 'mm-retention')
    check('may not ask' in tool('stranger', 'mmctl', 'status', code=1), 'a stranger')
    equal(outcome(raw('stranger', json.dumps({'op': 'status', 'x': 'y' * 5000}).encode())), 'limit', 'a long request of a stranger')
    equal(as_user(UIDS['auditor'], lambda: reaches(os.path.join(site.data, 'mmd.sock'))), b'no', 'the directory is 0700')

@test
def the_place_of_the_socket():
    equal(stat.S_IMODE(os.stat(SOCKET).st_mode), 0o666)
    other = Site(config={'socket': {'path': SOCKET}})
    def refused(settings, text):
        c = json.load(open(other.config))
        c['socket'] = settings
        other.write(other.config, json.dumps(c))
        other.run('mmd', '--config', other.config, code=2)
        check(text in other.stderr, other.stderr)
    refused({'path': SOCKET}, 'another mmd listens')
    refused({'path': 'here'}, 'absolute')
    refused({'path': SOCKET, 'mode': '666'}, 'octal')
    refused({'path': SOCKET, 'mode': '0777'}, 'octal')
    refused({'path': SOCKET, 'group': 'x'}, 'not known')
    refused({'path': other.config}, 'no socket')
    refused({'path': '/' + 'x' * 200}, 'at most')
    equal(outcome(raw('auditor', {'op': 'status'})), 'done', 'the first is still there')
    site.kill()  # leaves it behind
    site.start()
    equal(outcome(raw('auditor', {'op': 'status'})), 'done')
    site.stop()
    check('no mmd is running' in tool('auditor', 'mmctl', 'status', code=3), 'nobody listens')
    c = json.load(open(site.config))
    c['socket']['mode'] = '0600'
    site.write(site.config, json.dumps(c))
    site.start()
    equal(as_user(UIDS['auditor'], lambda: reaches(SOCKET)), b'no', 'the mode decides who reaches it')

# ---- secrets ----

@test
def secrets_are_nowhere():
    check(len(secrets) >= 3, 'secrets')
    text = ''.join(json.dumps(e) for e in audit()) + open(site.log).read() + site.run('mmctl', 'principal', 'list', '--json') + site.run('mmctl', 'principal', 'list')
    equal([s for s in secrets if s in text], [], 'in the audit log, the log, the list')
    check('MM' in text and '"principal"' in text, 'the control: no entry of a principal')
    site.stop()
    equal(site.grep([s.encode() for s in secrets]), [], 'in the data directory')
    bare = Site('plain')
    made = json.loads(bare.run('mmctl', 'principal', 'create', 'robot', '--role', 'admin', '--json'))
    check(bare.grep([made['SecretAccessKey'].encode()]), 'the control: not to be found without encryption')

done()
