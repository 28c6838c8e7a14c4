#!/usr/bin/env python3
"""Requests of actions, made by the confined caller: signatures that the AWS SDK makes too, payloads, what answers mean; endpoints that break off,
hang, flood and redirect; TLS; a caller that is killed; one slow endpoint beside another."""
import hmac, os, sys
from urllib.parse import parse_qs
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from called import *
import node

ARN = 'arn:aws:lambda:us-east-1:123456789012:function:orders'
TOPIC = 'arn:aws:sns:us-east-1:123456789012:orders'
HOOK = 'a secret_of+webhooks=='.replace(' ', '')
ORDER = mail('order 4711', 'one \u00fc please', extra='X-Order: 4711\r\n')
theirs = node.Lines(*node.command('sign.js'))

def all_at(server, **more):
    return dict({'lambda': service(server, functions={ARN + '-hook': 'webhooks/orders'}), 'sns': service(server), 'qbusiness': service(server),
                 's3': service(server, path_style=True), 'webhooks': {'orders': {'url': server.url(path='/hook/a?b=c'), 'secret': HOOK}}}, **more)

def answers_of_services(r):
    if r.target == '/':
        return 200, b'<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>'
    if 'documents' in r.target:
        return 200, b'{"failedDocuments":[]}'
    return 200, b'{"disposition":"STOP_RULE"}'

def finished(got, disposition='CONTINUE'):
    equal(got.get('result'), {'end': 'done', 'disposition': disposition, 'text': ''}, str(got))

@test
def actions_are_signed_as_the_sdk_signs():
    server = Server(answers_of_services)
    with Caller(all_at(server)) as caller:
        for action, spec, name, target in (
                ('WriteToS3', {'S3Bucket': 'mail', 'S3Prefix': "in/a!_.*'()-/", 'S3SseKmsKeyId': 'arn:aws:kms:k/1'}, 's3',
                 '/mail/in/a%21_.%2A%27%28%29-/' + MESSAGE),
                ('PublishToSns', {'TopicArn': TOPIC}, 'sns', '/'),
                ('InvokeLambda', {'FunctionArn': ARN, 'InvocationType': 'EVENT'}, 'lambda',
                 '/2015-03-31/functions/%s/invocations' % ARN.replace(':', '%3A')),
                ('DeliverToQBusiness', {'ApplicationId': 'a-1', 'IndexId': 'i-2'}, 'qbusiness', '/applications/a-1/indices/i-2/documents')):
            finished(caller.act(action, spec, ORDER))
            r = server.seen[-1]
            equal(r.target, target, action)
            fields = dict(r.fields)
            equal(fields['authorization'], foreign_signature(theirs, r, name), action)
            signed = re.search('SignedHeaders=([^,]*)', fields['authorization'])[1].split(';')
            unsigned = set(fields) - set(signed) - {'authorization', 'accept', 'content-length'}
            equal(unsigned, set(), action)
            equal(len(r.fields), len(fields), 'no field twice')
        equal(len(server.seen), 4, 'each was asked once')

@test
def bare_requests_with_queries_are_signed_too():
    rng = random.Random(int(os.environ.get('MM_SEED') or random.randrange(1 << 32)))
    server = Server()
    count = 400 if LONG else 40
    with Caller(all_at(server)) as caller:
        for i in range(count):
            name = rng.choice(['s3', 'lambda', 'sns', 'qbusiness'])
            path = '/' + '/'.join(rng.choice(['a', 'b%20c', '%C3%BC', 'x~y', '%25', 'a%3Ab', "%27"]) for _ in range(rng.randint(1, 4)))
            query = '&'.join(sorted('%s=%s' % (rng.choice('abcd') + str(n), rng.choice(['', '1', '%2F', 'x-y'])) for n in range(rng.randint(0, 3))))
            body = bytes(rng.randrange(256) for _ in range(rng.randint(0, 40)))
            got = caller.ask(name, method=rng.choice(['POST', 'PUT']), path=path, query=query, body=body,
                             fields=[['content-type', 'text/x'], ['x-amz-meta-a', 'a  b']][:rng.randint(0, 2)])
            equal((got['end'], got['status']), ('answered', 200), str(got))
            r = server.seen[-1]
            equal(r.target, path + ('?' + query if query else ''), 'target')
            equal(r.body, body, 'body')
            equal(dict(r.fields)['authorization'], foreign_signature(theirs, r, name), '%s %s' % (name, r.target))
    check(server.connections <= 8, '%d connections for %d requests one after the other' % (server.connections, count))

@test
def webhooks_are_signed_by_hmac():
    server = Server(answers_of_services)
    with Caller(all_at(server)) as caller:
        finished(caller.act('InvokeLambda', {'FunctionArn': ARN + '-hook', 'InvocationType': 'REQUEST_RESPONSE'}, ORDER), 'STOP_RULE')
    r = server.seen[-1]
    fields = dict(r.fields)
    equal((r.method, r.target, fields['x-mm-invocation-type']), ('POST', '/hook/a?b=c', 'RequestResponse'))
    t, v = re.fullmatch(r't=(\d+),v1=([0-9a-f]{64})', fields['x-mm-signature']).groups()
    equal(v, hmac.new(HOOK.encode(), t.encode() + b'.' + r.body, hashlib.sha256).hexdigest(), 'signature')
    check(abs(int(t) - time.time()) < 300, t)
    check('authorization' not in fields, 'no key of another endpoint')
    equal(json.loads(r.body)['Records'][0]['eventSource'], 'aws:ses')

@test
def what_is_told_of_a_message():
    server = Server(answers_of_services)
    receipt = {'mail_from': 'ann@shop.example', 'rcpt': [{'to': 'a@corp.example'}, {'to': 'b@corp.example'}], 'verdicts': {
        'spf': {'verdict': 'PASS', 'result': 'pass'}, 'dkim': {'verdict': 'GRAY', 'result': 'none'}, 'dmarc': {'result': 'pass', 'policy': 'REJECT'}}}
    with Caller(all_at(server)) as caller:
        finished(caller.act('InvokeLambda', {'FunctionArn': ARN, 'InvocationType': 'EVENT'}, ORDER, receipt=receipt, recipients=['b@corp.example']))
        ses = json.loads(server.seen[-1].body)['Records'][0]['ses']
        equal(ses['mail']['commonHeaders'], {'returnPath': 'ann@shop.example', 'from': ['ann@shop.example'], 'to': ['sales@corp.example'],
                                             'subject': 'order 4711', 'date': 'Mon, 02 Mar 2026 09:15:00 +0100'})
        equal(ses['mail']['headers'][-1], {'name': 'X-Order', 'value': '4711'})
        equal((ses['mail']['destination'], ses['receipt']['recipients']), (['a@corp.example', 'b@corp.example'], ['b@corp.example']))
        equal([ses['receipt'][n + 'Verdict']['status'] for n in ('spf', 'dkim', 'dmarc')], ['PASS', 'GRAY', 'PASS'])
        check('dmarcPolicy' not in ses['receipt'], 'a policy of mail that passes')
        for encoding in ('UTF-8', 'BASE64'):
            finished(caller.act('PublishToSns', {'TopicArn': TOPIC, 'Encoding': encoding}, ORDER))
            form = parse_qs(server.seen[-1].body.decode(), strict_parsing=True)
            equal((form['Action'], form['TopicArn']), (['Publish'], [TOPIC]))
            content = json.loads(form['Message'][0])['content']
            equal(base64.b64decode(content) if encoding == 'BASE64' else content.encode(), ORDER, encoding)
        finished(caller.act('DeliverToQBusiness', {'ApplicationId': 'a', 'IndexId': 'i'}, ORDER, text=b'one, please'))
        d = json.loads(server.seen[-1].body)['documents'][0]
        equal((d['id'], d['title'], base64.b64decode(d['content']['blob'])), (MESSAGE, 'order 4711', b'one, please'))
        finished(caller.act('WriteToS3', {'S3Bucket': 'mail'}, ORDER))
        equal(server.seen[-1].body, ORDER)
        got = caller.act('PublishToSns', {'TopicArn': TOPIC}, ORDER + b'x' * 262144)
        check('refused' in got and '262144' in got['why'], str(got))

def fields_of(raw):
    """[(name, value on one line)] by another reader; None where a line is no field."""
    head = re.split(rb'\r?\n\r?\n', b'\n' + raw, maxsplit=1)[0][1:]
    if head[:1] in b' \t' or not all(re.match(rb'[ \t]|[!-9;-~]+[ \t]*:', line) for line in head.split(b'\n')):
        return None
    fields = re.sub(rb'\r?\n(?=[ \t])', b' ', head).split(b'\n')
    return [(f.split(b':', 1)[0].strip().decode(), one_line(f.split(b':', 1)[1].decode('utf-8', 'replace'))) for f in fields]

def one_line(text):
    text = re.sub('[\x00-\x20\x7f]+', ' ', text.replace('\r', '')).strip(' ')
    return re.sub('\ufffd+', '\ufffd', text)

@test
def real_and_odd_mail_is_told_as_it_stands():
    folder = tempfile.mkdtemp(prefix='mm-corpus-')
    atexit.register(shutil.rmtree, folder, True)
    seed = int(os.environ.get('MM_SEED') or random.randrange(1 << 32))
    dev = corpus(folder)
    paths = sorted(os.path.join(at, n) for at, _, names in os.walk(dev) for n in names if '/bulk/' in at or '/hard/' in at)
    if not LONG:
        paths = random.Random(seed).sample(paths, 100)
    server, compared = Server(answers_of_services), 0
    with Caller(all_at(server)) as caller:
        for path in paths:
            raw = open(path, 'rb').read()
            got = caller.act('InvokeLambda', {'FunctionArn': ARN, 'InvocationType': 'EVENT'}, raw)
            equal(got['result']['end'], 'done', path)
            check(len(server.seen[-1].body) <= 262144, path)
            told = json.loads(server.seen[-1].body)['Records'][0]['ses']['mail']
            want = fields_of(raw)
            if want is not None:
                have = [(h['name'], one_line(h['value'])) for h in told['headers']]
                equal(have, [(n[:256], v) for n, v in want[:len(have)]], '%s, seed %d' % (path, seed))
                equal(told['headersTruncated'], len(have) < len(want), path)
                subjects = [v for n, v in have if n.lower() == 'subject']
                equal(one_line(told['commonHeaders'].get('subject', '')), (subjects + [''])[0], path)
                sent = re.sub('[, ]', '', ''.join(v for n, v in have if n.lower() == 'from'))
                equal(re.sub('[, ]', '', one_line(''.join(told['commonHeaders'].get('from', [])))), sent, path)
                compared += 1
            if len(raw) < 100000:
                finished(caller.act('PublishToSns', {'TopicArn': TOPIC, 'Encoding': 'BASE64'}, raw))
                form = parse_qs(server.seen[-1].body.decode(), strict_parsing=True)
                check(base64.b64decode(json.loads(form['Message'][0])['content']) == raw, path)
    check(compared > len(paths) / 2, '%d of %d compared' % (compared, len(paths)))
    print('%d messages, %d of them read by both' % (len(paths), compared))

@test
def what_answers_mean():
    said = []
    server = Server(lambda r: said[-1])
    with Caller(all_at(server)) as caller:
        for status, end in ((200, 'done'), (202, 'done'), (301, 'set-up'), (302, 'set-up'), (400, 'never'), (401, 'set-up'), (403, 'set-up'),
                            (404, 'set-up'), (408, 'later'), (409, 'later'), (413, 'never'), (422, 'never'), (429, 'later'), (500, 'later'),
                            (502, 'later'), (503, 'later'), (504, 'later')):
            said.append((status, b'', {'Location': server.url(path='/elsewhere')}))
            got = caller.act('InvokeLambda', {'FunctionArn': ARN, 'InvocationType': 'EVENT'}, ORDER)
            equal((got['end'], got['status'], got['result']['end']), ('answered', status, end), str(got))
        equal(len(server.seen), 17, 'nothing is followed, nothing asked twice')
        said.append((200, b'{"errorMessage":"x"}', {'X-Amz-Function-Error': 'Unhandled'}))
        got = caller.act('InvokeLambda', {'FunctionArn': ARN, 'InvocationType': 'REQUEST_RESPONSE'}, ORDER)
        equal((got['result']['end'], got['function_error']), ('later', 'Unhandled'))
        said.append((200, b'{"disposition":"STOP_RULE_SET"}'))
        finished(caller.act('InvokeLambda', {'FunctionArn': ARN, 'InvocationType': 'REQUEST_RESPONSE'}, ORDER), 'STOP_RULE_SET')
        said.append((200, b'{"disposition":"NO"}\xff'))
        got = caller.act('InvokeLambda', {'FunctionArn': ARN, 'InvocationType': 'REQUEST_RESPONSE'}, ORDER)
        equal((got['result']['end'], got['result']['disposition']), ('done', 'CONTINUE'), str(got))

def flood(head, piece):
    def run(c):
        c.sendall(head)
        for _ in range(1 << 16):
            c.sendall(piece)
    return run

def drip(c):
    for byte in b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n' + b'x' * 1000:
        c.sendall(bytes([byte]))
        time.sleep(0.05)

@test
def endpoints_that_break():
    hold = threading.Event()
    ways = {
        'nothing': (b'', 'later'),
        'garbage': (b'\x00\xff\xfe' * 100 + b'\r\n\r\n', 'later'),
        'cut head': (b'HTTP/1.1 200 OK\r\nContent-Le', 'later'),
        'cut body': (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf', 'later'),
        'cut chunks': (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf', 'later'),
        'bad length': (b'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n', 'later'),
        'endless head': (flood(b'HTTP/1.1 200 OK\r\n', b'X-A: ' + b'y' * 1000 + b'\r\n'), 'later'),
        'one endless field': (flood(b'HTTP/1.1 200 OK\r\nX-A: ', b'y' * 1000), 'later'),
        'endless hints': (flood(b'', b'HTTP/1.1 100 Continue\r\n\r\n' * 50), 'later'),
        'endless body': (flood(b'HTTP/1.1 200 OK\r\n\r\n', b'z' * 1000), 'answered'),
        'endless chunks': (flood(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', b'3e8\r\n' + b'z' * 1000 + b'\r\n'), 'answered'),
        'a trailer': (b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n' + b'z' * 65536 +
                      b'\r\n0\r\nX-A: b\r\n\r\n', 'answered'),
        'a byte at a time': (drip, 'later'),
        'silence': (lambda c: hold.wait(60), 'later'),
        'another protocol': (b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n', 'later'),
        'HTTP/0.9': (b'<html>hello</html>', 'later'),
    }
    server = Server(lambda r: ways[unquote(r.target[1:])][0])
    with Caller(all_at(server)) as caller:
        asked = {name: caller.begin('sns', path='/' + name.replace(' ', '%20'), ms=5000) for name in ways}
        for name, id in asked.items():
            got = caller.wait(id)
            equal(got['end'], ways[name][1], '%s: %s' % (name, got))
            if got['end'] == 'answered':
                equal((got['status'], got['answer']), (200, b'z' * 65536), name)
            else:
                check(got['why'] and got['status'] == 0 and not got['answer'], '%s: %s' % (name, got))
        hold.set()
        equal(caller.ask('sns', path='/nothing')['end'], 'later', 'the caller goes on')
        check('ended' not in caller.tail(), caller.tail())

@test
def nobody_is_there():
    port = free_port()
    gone = {'url': 'http://127.0.0.1:%d' % port, 'access_key': 'a', 'secret_key': 'b'}
    with Caller({'sns': gone, 'lambda': dict(gone, url='https://no-such-name.invalid')}) as caller:
        got = caller.ask('sns')
        equal(got['end'], 'later', str(got))
        check('onnect' in got['why'], str(got))
        got = caller.ask('lambda')
        equal((got['end'], got['why']), ('later', "the endpoint's name has no address"))
        for endpoint in ('s3', 'qbusiness', 'webhooks/x', '', 'sns '):
            equal(caller.ask(endpoint)['end'], 'set-up', endpoint)

@test
def what_is_not_asked_for():
    server, proxy = Server(), Server()
    env = {name: proxy.url() for name in ('http_proxy', 'https_proxy', 'all_proxy', 'ALL_PROXY')}
    with Caller(all_at(server), env=env) as caller:
        equal(caller.ask('sns')['status'], 200)
        equal(len(proxy.seen), 0, 'no proxy')
        for call in ({'endpoint': 'sns', 'prefix': 'evil.'}, {'endpoint': 's3', 'prefix': 'evil.'}, {'endpoint': 'webhooks/orders', 'prefix': 'x.'},
                     {'endpoint': 'sns', 'path': 'nowhere'}, {'endpoint': 'sns', 'path': '/a b'}, {'endpoint': 'sns', 'path': '/a\r\nX: y'},
                     {'endpoint': 'sns', 'path': '/a#b'}, {'endpoint': 'sns', 'path': '/' + 'a' * 40000},
                     {'endpoint': 'sns', 'fields': [['x-a', 'b\r\nX-Evil: c']]}, {'endpoint': 'sns', 'fields': [['x-a\r\nX-Evil', 'c']]},
                     {'endpoint': 'sns', 'fields': [['', 'c']]}):
            got = caller.ask(**call)
            equal(got['end'], 'set-up', '%s: %s' % (call, got))
        equal(len(server.seen), 1, 'none of these was sent')
        equal(caller.ask('sns')['status'], 200, 'and it goes on')

@test
def one_slow_endpoint_holds_up_no_other():
    hold = threading.Event()
    slow, fast = Server(lambda r: (hold.wait(120), 200)[1]), Server()
    with Caller({'lambda': service(slow), 'sns': service(fast)}) as caller:
        held = [caller.begin('lambda') for _ in range(40)]
        quick = [caller.begin('sns') for _ in range(100)]
        for id in quick:
            equal(caller.wait(id)['status'], 200)
        check(not any(caller.ended(id) for id in held), 'the slow ones')
        check(slow.most <= 10 and fast.most <= 10, '%d, %d at once' % (slow.most, fast.most))
        late = caller.begin('lambda', ms=300)
        equal(caller.wait(late)['why'], 'others at this endpoint took all the time')
        hold.set()
        for id in held:
            equal(caller.wait(id)['status'], 200)
        check(slow.connections <= 10 and fast.connections <= 10, 'connections are used again')

@test
def a_caller_that_is_killed():
    hold = threading.Event()
    slow, fast = Server(lambda r: (hold.wait(120), 200)[1]), Server()
    with Caller({'lambda': service(slow), 'sns': service(fast)}) as caller:
        old = ()
        for _ in range(10 if LONG else 2):
            held = [caller.begin('lambda') for _ in range(10)]
            while slow.open < 10:
                time.sleep(0.02)
            victim = caller.caller(old)
            os.kill(victim, signal.SIGKILL)
            for id in held:
                got = caller.wait(id)
                equal(got['end'], 'later', str(got))
                check('ended while it had it' in got['why'], str(got))
            equal(caller.ask('sns')['status'], 200, 'a new one works')
            old = old + (victim,)
            while slow.open:
                hold.set()
                time.sleep(0.02)
            hold.clear()

@test
def a_caller_that_lies():
    endpoints = {'sns': {'url': 'http://127.0.0.1:1', 'access_key': 'a', 'secret_key': 'b'}}
    for path in ('/end', '/status', '/later', '/short', '/long', '/type', '/ready', '/big', '/die'):
        with Caller(endpoints, program='lying_caller') as caller:
            got = caller.ask('sns', path=path)
            equal((got['end'], got['status'], got['answer']), ('later', 0, b''), '%s: %s' % (path, got))
            check('ended while it had it' in got['why'], str(got))
            equal(caller.ask('sns', path='/well')['status'], 200, 'a new one works')
    with Caller(endpoints, program='lying_caller') as caller:
        for path in ('/number', '/twice', '/well'):
            got = caller.ask('sns', path=path)
            equal((got['end'], got['status'], got['answer']), ('answered', 200, b'zzz'), '%s: %s' % (path, got))
        got = caller.ask('sns', path='/text')
        equal((got['function_error'], got['why']), ('Un?handled', 'a?b?'))
        before = len(os.listdir('/proc/%d/fd' % caller.process.pid))
        for _ in range(100):
            equal(caller.ask('sns', path='/well', body=b'x')['status'], 200)
        check(len(os.listdir('/proc/%d/fd' % caller.process.pid)) <= before + 1, 'descriptors that came along are closed')

@test
def without_a_home_calls_end_by_their_deadline():
    server = Server()
    with Caller({'sns': service(server)}) as caller:
        equal(caller.ask('sns')['status'], 200)
        children = caller.children()
        for home in caller.homes():
            os.kill(home, signal.SIGKILL)
        while any(os.path.exists('/proc/%d/stat' % c) and open('/proc/%d/stat' % c).read().split()[2] != 'Z' for c in children):
            time.sleep(0.02)  # they go with it
        got = caller.ask('sns', ms=1500)
        equal((got['end'], got['why']), ('later', "mm-deliver doesn't run"))

@test
def a_caller_that_hangs():
    if not LONG:
        raise Skip('takes a quarter of a minute; ./check long')
    server = Server()
    with Caller({'sns': service(server)}) as caller:
        equal(caller.ask('sns')['status'], 200)
        victim = caller.caller()
        os.kill(victim, signal.SIGSTOP)
        got = caller.ask('sns', ms=1000)
        equal(got['end'], 'later')
        check("it doesn't answer" in got['why'], str(got))
        equal(caller.ask('sns')['status'], 200, 'a new one works')

@test
def names_are_looked_up_again():
    if os.getuid() != 0:
        raise Skip('needs root: its own /etc/hosts')
    if not LONG:
        raise Skip('takes some seconds; ./check long')
    first = Server(lambda r: 200)
    folder = tempfile.mkdtemp(prefix='mm-hosts-')
    atexit.register(shutil.rmtree, folder, True)
    hosts = os.path.join(folder, 'hosts')
    with open(hosts, 'w') as f:
        f.write('127.0.0.9 sns.test\n')
    with Caller({'sns': dict(service(first), url=first.url('sns.test'))}, hosts=hosts) as caller:
        equal(caller.ask('sns')['end'], 'later', 'nobody at that address')
        with open(hosts, 'w') as f:
            f.write('127.0.0.1 sns.test\n')
        for _ in range(40):
            time.sleep(0.5)
            if caller.ask('sns')['end'] == 'answered':
                break
        else:
            raise AssertionError('the new address is never asked')
        equal(dict(first.seen[-1].fields)['host'], 'sns.test:%d' % first.port)

@test
def certificates_are_checked():
    if os.getuid() != 0:
        raise Skip('needs root: its own /etc/hosts and CA file')
    folders = [tempfile.mkdtemp(prefix='mm-ca-') for _ in range(2)]
    for folder in folders:
        atexit.register(shutil.rmtree, folder, True)
    ca, context = authority(folders[0], 'good.test', '*.s3.test')
    _, foreign = authority(folders[1], 'good.test')
    good, bad = Server(context=context), Server(context=foreign)
    hosts = os.path.join(folders[0], 'hosts')
    with open(hosts, 'w') as f:
        f.write('127.0.0.1 good.test other.test s3.test\n')
    endpoints = {'sns': dict(service(good), url=good.url('good.test')), 'lambda': dict(service(bad), url=bad.url('good.test')),
                 'qbusiness': dict(service(good), url=good.url('other.test')), 's3': dict(service(good), url=good.url('s3.test')),
                 'webhooks': {'a': {'url': good.url('127.0.0.1', '/x'), 'secret': 's'}}}
    with Caller(endpoints, trusted=ca, hosts=hosts) as caller:
        equal(caller.ask('sns')['status'], 200)
        for name in ('lambda', 'qbusiness', 'webhooks/a', 's3'):
            got = caller.ask(name)
            equal(got['end'], 'later', name)
            check('certificate' in got['why'].lower() or 'SSL' in got['why'], str(got))
        equal(len(good.seen) + len(bad.seen), 1, 'who is not known is told nothing')
        equal(caller.ask('s3', prefix='bucket.')['status'], 200, 'of a bucket in front')
        equal(dict(good.seen[-1].fields)['host'], 'bucket.s3.test:%d' % good.port)
        for prefix in ('a.b.', 'a/', 'A.', '@evil.', 'x:1.', '.', 'evil'):
            check(caller.ask('s3', prefix=prefix)['end'] in ('set-up', 'later'), prefix)

@test
def large_bodies_and_many():
    size = [0]
    def rule(r):
        size[0] = max(size[0], len(r.body))
        return 200
    server = Server(rule)
    count = 4000 if LONG else 500
    begun = time.time()
    with Caller(all_at(server)) as caller:
        body = os.urandom(1 << 20) * (40 if LONG else 8)
        got = caller.ask('s3', method='PUT', path='/b/k', body=body, ms=120000)
        equal((got['status'], server.seen[-1].body == body), (200, True), str(got))
        asked = [caller.begin('lambda', body=b'%d' % i) for i in range(count)]
        for id in asked:
            equal(caller.wait(id)['status'], 200)
        equal(sorted(int(r.body) for r in server.seen[1:]), list(range(count)), 'each once')
        check(server.connections <= 12, '%d connections' % server.connections)
    print('%d requests in %.1f s' % (count, time.time() - begun))

done()
