#!/usr/bin/env python3
"""mm-httpd in front of mmd, by raw HTTP: requests one after the other and ahead of each other, what is refused and that the connection
ends there, clients that are slow, many or gone, TLS, and that it comes back when it is killed."""
import itertools, os, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from signed import *
from faults import child_of

api = free_port()
site = Site(config={'api': {'listen': '127.0.0.1:%d' % api, 'max_connections': 40, 'max_per_address': 40}})
site.start()
HOST = '127.0.0.1:%d' % api
key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
CASES = json.load(open(os.path.join(ROOT, '..', 'shared', 'spec', 'smtp-cases.json')))['http_control_plane']['cases'] if os.path.exists(
    os.path.join(ROOT, '..', 'shared', 'spec', 'smtp-cases.json')) else []

def raw(data):
    line = Line(api)
    line.send(data)
    got = line.answer()
    rest = line.file.read() if got[0] else b''
    line.close()
    return got, rest

def httpd():
    return child_of(site.process.pid, 'mm-httpd')

@test
def calls_one_after_the_other():
    line = Line(api)
    for _ in range(20):
        status, answer = line.call(key, HOST, 'ListArchives')
        equal((status, answer['Archives'][0]['ArchiveName']), (200, 'corp'), answer)
    line.send(request(key, HOST, 'ListArchives') * 5) # ahead of each other
    for _ in range(5):
        equal(line.answer()[0], 200)
    line.send(request(key, HOST, 'ListArchives', more='Connection: close\r\n'))
    status, fields, _ = line.answer()
    equal((status, fields['connection'], line.file.read()), (200, 'close', b''))
    for whole in (request(key, HOST, 'ListArchives'), request(key, HOST, 'ListArchives', more='Expect: 100-continue\r\n')):
        line = Line(api)
        for i in range(len(whole)): # a byte at a time
            line.send(whole[i:i + 1])
        status = line.answer()[0]
        equal(line.answer()[0] if status == 100 else status, 200)
        line.close()

@test
def what_is_refused():
    if not CASES:
        raise Skip('needs ../shared/spec/smtp-cases.json, which is absent')
    for case in CASES:
        (status, fields, body), rest = raw(case['raw'].encode('latin1'))
        check(str(status) in case['expect'].split('|'), '%s: %d %r' % (case['id'], status, body))
        equal((fields.get('connection'), rest), ('close', b''), case['id'])

@test
def who_is_refused():
    good = request(key, HOST, 'ListArchives')
    for data, name in ((good.replace(b'Signature=', b'Signature=0'), 'IncompleteSignatureException'),
                       (good.replace(b'ListArchives', b'ListRelays'), 'InvalidSignatureException'),
                       (request(dict(key, SecretAccessKey='x' * 40), HOST, 'ListArchives'), 'InvalidSignatureException'),
                       (request(dict(key, AccessKeyId='MM' + 'A' * 18), HOST, 'ListArchives'), 'InvalidSignatureException'),
                       (request(key, HOST, 'ListArchives', when=datetime.datetime.now(datetime.timezone.utc) -
                                datetime.timedelta(minutes=6)), 'InvalidSignatureException'),
                       (good.replace(b'Authorization', b'X-Nothing'), 'MissingAuthenticationTokenException')):
        line = Line(api)
        line.send(data)
        status, fields, body = line.answer()
        equal((status, fields['x-amzn-errortype'], json.loads(body)['__type']), (403, name, name), data)
        line.close()
    site.run('mmctl', 'principal', 'disable', 'boss')
    equal(Line(api).call(key, HOST, 'ListArchives')[0], 403, 'a disabled principal')
    site.run('mmctl', 'principal', 'enable', 'boss')
    equal(Line(api).call(key, HOST, 'ListArchives')[0], 200)
    time.sleep(5.5) # who was refused is told every few seconds
    told = [json.loads(l)['detail'] for l in site.run('mm-audit', 'list', '--json').splitlines() if '"api_refused"' in l]
    equal(sum(d['count'] for d in told if d['why'] == 'MissingAuthenticationTokenException') > 0, True, told)
    check(all(d['address'] == '127.0.0.1' for d in told), told)

@test
def bodies():
    for body, name in ((b'', None), (b'{', 'SerializationException'), (b'[]', 'SerializationException'), (b'{"PageSize":"x"}', 'SerializationException'),
                       (b'{"PageSize":0}', 'ValidationException'), (b'{"Unknown":[1,2]}', None), (b'\xff', 'SerializationException')):
        status, answer = Line(api).call(key, HOST, 'ListArchives', body)
        equal((status, answer.get('__type')), (400 if name else 200, name), '%r: %r' % (body, answer))
    status, answer = Line(api).call(key, HOST, 'CreateRuleSet', b'{"RuleSetName":"x","Rules":[' + b'1,' * 1100000 + b'1]}')
    equal(status, 413, answer)
    equal(Line(api).call(key, HOST, 'NoSuchThing')[1]['__type'], 'UnknownOperationException')

@test
def a_link_is_judged_before_its_body():
    """Whoever has no good link can't make it hold 39 MB."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')
    query = ('X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=mm-link%%2F%s%%2Fus-east-1%%2Fses%%2Faws4_request&X-Amz-Date=%s&X-Amz-Expires=600'
             '&X-Amz-SignedHeaders=host&X-Amz-Signature=%s' % (now[:8], now, 'a' * 64))
    (status, fields, _), _ = raw(('PUT /import/job-x?%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 39000000\r\n\r\n' % (query, HOST)).encode())
    equal((status, fields['x-amzn-errortype'], fields['connection']), (403, 'InvalidSignatureException', 'close'))

@test
def slow_and_many_clients_are_bounded():
    slow = [Line(api) for _ in range(38)]
    for line in slow[:20]:
        line.send(b'POST / HTTP/1.1\r\nHost: a\r\n')
    equal(Line(api).call(key, HOST, 'ListArchives')[0], 200, 'beside slow ones')
    more = [Line(api) for _ in range(10)] # above the limit: they wait, or are closed
    for line in slow[:20]:
        equal(line.answer()[0], 408, 'a head that never ends')
    [line.close() for line in slow + more]
    equal(Line(api).call(key, HOST, 'ListArchives')[0], 200, 'afterwards')

@test
def a_long_answer_to_a_client_that_waits():
    """It is longer than what the kernel takes at once; mmd has long closed its end when the rest is sent."""
    old, names = httpd(), ['%d' % i + 'y' * 900000 for i in range(10)]
    line = Line(api)
    for name in names:
        equal(line.call(key, HOST, 'CreateAddonSubscription', json.dumps({'AddonName': name}).encode())[0], 200)
    for _ in range(2):
        line.send(request(key, HOST, 'ListAddonSubscriptions'))
        time.sleep(0.5)
        status, _, body = line.answer()
        equal((status, [s['AddonName'] == n for s, n in zip(json.loads(body)['AddonSubscriptions'], names)]), (200, [True] * len(names)))
    equal(httpd(), old, 'it ended')

@test
def one_that_is_killed_comes_back():
    old = httpd()
    os.kill(old, signal.SIGKILL)
    for _ in range(200):
        try:
            if Line(api).call(key, HOST, 'ListArchives')[0] == 200:
                break
        except (OSError, IndexError):
            pass
        time.sleep(0.05)
    check(httpd() != old, 'it is the old one')
    equal(Line(api).call(key, HOST, 'ListArchives')[0], 200)

calls_made = itertools.count(2)

def started(at=None):
    """Of a search's start that was signed then: status, Retry-After, exception."""
    ask = json.dumps({'ArchiveId': 'a-' + '0' * 24, 'FromTimestamp': 1, 'ToTimestamp': 2 if at else next(calls_made), 'MaxResults': 1}).encode()
    line = Line(api)
    line.send(request(key, HOST, 'StartArchiveSearch', ask, when=at))
    status, fields, body = line.answer()
    line.close()
    return status, fields.get('retry-after'), json.loads(body)['__type']

@test
def what_counts_once_and_was_signed_before_the_start():
    """Whoever kept a call that was answered can't make it again behind a new start: of mm-httpd, or of mmd."""
    now = lambda: datetime.datetime.now(datetime.timezone.utc)
    def end_httpd():
        old = httpd()
        os.kill(old, signal.SIGKILL)
        while httpd() in (None, old):
            time.sleep(0.02)
    def end_mmd():
        site.stop()
        site.start()
    def answered(at=None):
        while True: # while mm-httpd starts, its listener is there
            try:
                return started(at)
            except (OSError, IndexError, ValueError):
                time.sleep(0.02)
    def signed_anew():
        """When its second is over, a new signature is none of those."""
        got = answered()
        while got[0] == 429:
            time.sleep(0.1)
            got = answered()
        equal(got, (404, None, 'ResourceNotFoundException'), 'signed anew')
    for restart in (end_httpd, end_mmd):
        signed_anew()
        at = now() + datetime.timedelta(seconds=1) # none of those above
        equal(started(at), (404, None, 'ResourceNotFoundException'))
        equal(started(at), (403, None, 'InvalidSignatureException'), 'again')
        time.sleep(1)
        restart()
        equal(answered(at), (429, '1', 'ThrottlingException'), restart.__name__)
        signed_anew()
        equal(answered(at), (429, '1', 'ThrottlingException'), 'the old one still')
        equal(Line(api).call(key, HOST, 'ListArchives', when=at)[0], 200, 'what may be made again')

@test
def by_tls_when_there_is_a_certificate():
    other = Site(config={'api': {'listen': '127.0.0.1:%d' % api}})
    site.stop()
    other.tls()
    settings = json.load(open(other.config))
    settings['api'].update(tls_cert=settings['smtp']['tls_cert'], tls_key=settings['smtp']['tls_key'])
    other.write(other.config, json.dumps(settings))
    other.start()
    k = json.loads(other.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
    tls = ssl.create_default_context(cafile=settings['smtp']['tls_cert'])
    equal(Line(api, tls).call(k, HOST, 'ListArchives')[0], 200)
    clear = Line(api)
    clear.send(request(k, HOST, 'ListArchives'))
    check(clear.file.read(12) != b'HTTP/1.1 200', 'answered in the clear')
    other.stop()

done()
