#!/usr/bin/env python3
"""mm-httpd in front of mmd, by raw HTTP: requests one after the other and ahead of each other, what is refused and that the connection
ends there, each wrong signature that we know of, clients that are slow, many or gone, TLS, and that it comes back when it is killed."""
import email.utils, itertools, os, re, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from signed import *
from calls import archive_ids
from faults import child_of

api = free_port()
site = Site(config={'api': {'listen': '127.0.0.1:%d' % api, 'max_connections': 40, 'max_per_address': 40}})
site.start()
HOST = '127.0.0.1:%d' % api
key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
SPEC = os.path.join(ROOT, '..', 'shared', 'spec', 'smtp-cases.json')

def cases(section):
    if not os.path.exists(SPEC):
        raise Skip('needs ../shared/spec/smtp-cases.json, which is absent')
    return json.load(open(SPEC))[section]['cases']

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

def link():
    """A request for a message's text."""
    message = '%s.%s' % (archive_ids(site)['corp'], LINKED)
    url = Line(api).call(key, HOST, 'GetArchiveMessage', json.dumps({'ArchivedMessageId': message}).encode())[1]['MessageDownloadLink']
    return ('GET %s HTTP/1.1\r\nHost: %s\r\n\r\n' % (url.split(HOST)[1], HOST)).encode()

LINKED = site.send(mail('linked'))
site.wait()

@test
def what_is_sent_ahead_behind_a_link():
    """The second is refused at its head. A call waits while there is something wrong with the third."""
    old, get, missing = httpd(), link(), ('GET /x HTTP/1.1\r\nHost: %s\r\n\r\n' % HOST).encode()
    call = request(key, HOST, 'ListArchives', b'{ }  ')
    line = Line(api)
    line.send(get + missing + call[:-5])
    equal([line.answer()[0] for _ in range(2)], [200, 404])
    line.send(call[-5:])
    equal(line.answer()[0], 200, 'its body came later')
    for last in (get, get * 2, missing + get):
        line.send(get + missing + last)
        equal([line.answer()[0] for _ in range(2)], [200, 404])
        for _ in range(last.count(b'GET')):
            line.answer()
    for _ in range(20):
        line = Line(api)
        line.send(get + missing + get)
        line.answer()
        line.close() # while the third is under way
    equal(Line(api).call(key, HOST, 'ListArchives')[0], 200)
    equal(httpd(), old, 'it ended')

@test
def what_is_refused():
    for case in cases('http_control_plane'):
        (status, fields, body), rest = raw(case['raw'].encode('latin1'))
        check(str(status) in case['expect'].split('|'), '%s: %d %r' % (case['id'], status, body))
        equal((fields.get('connection'), rest), ('close', b''), case['id'])

# ---- signatures: a call that would change something, with one thing wrong ----

names = iter(range(1 << 30))

def create(signed=(), payload=None, when=None):
    """A good one."""
    body = b'{"AddressListName":"wrong-%d"}' % next(names)
    return request(key, HOST, 'CreateAddressList', body, when=when, signed=signed, payload=payload)

def changed(what, by):
    def make():
        good = create()
        check(good.count(what) == 1, '%r in %r' % (what, good))
        return good.replace(what, by)
    return make

def with_digits(change):
    def make():
        front, digits = create().split(b'Signature=')
        return front + b'Signature=' + change(digits[:64]) + digits[64:]
    return make

def other_body():
    good = create(signed={'x-amz-content-sha256': hashlib.sha256(b'{"AddressListName":"wrong-%d"}' % next(names)).hexdigest()})
    return good.replace(b'"wrong-', b'"wrons-')

def chunked(kind, chunks):
    """The head is signed by the book; the chunks would be wrong."""
    good = create(signed={'x-amz-content-sha256': kind}, payload=kind)
    head = good[:good.index(b'\r\n\r\n')]
    head = head[:head.index(b'Content-Length')] + b'Content-Length: %d\r\n\r\n' % len(chunks)
    return head + chunks

def chunk(text, signature):
    return b'%x;chunk-signature=%s\r\n%s\r\n' % (len(text), signature * 64, text)

UNSIGNED, STREAM = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
BODY = b'{"AddressListName":"chunk"}'
YESTERDAY = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)).strftime('/%Y%m%d/').encode()
TODAY = datetime.datetime.now(datetime.timezone.utc).strftime('/%Y%m%d/').encode()
SIGNED = b'SignedHeaders=content-type;host;x-amz-date;x-amz-target'
# What the specification lists: what is sent, or the test that has it.
WRONG = {
    'one hex digit of Signature changed': [with_digits(lambda d: d[:63] + (b'0' if d[63:] != b'0' else b'1'))],
    'Signature in upper case hex': [with_digits(lambda d: d.upper() if d.upper() != d else b'A' + d[1:])],
    'unknown access key (same error text and time as a bad signature)': [changed(key['AccessKeyId'].encode(), b'MM' + b'A' * 18)],
    'host not in SignedHeaders': [changed(b';host;', b';')],
    'a header in SignedHeaders that is absent': [changed(b'SignedHeaders=', b'SignedHeaders=absent;')],
    'SignedHeaders not sorted / not lower case / with a duplicate': [
        changed(SIGNED, b'SignedHeaders=host;content-type;x-amz-date;x-amz-target'), changed(SIGNED, SIGNED.replace(b'host', b'Host')),
        changed(SIGNED, SIGNED.replace(b'host', b'host;host'))],
    'x-amz-date absent and Date absent': [lambda: re.sub(rb'x-amz-date: \w+\r\n', b'', create())],
    'date in credential scope differs from x-amz-date': [changed(TODAY, YESTERDAY)],
    'aws4_request missing from the scope': [changed(b'/aws4_request', b'')],
    'body changed under a signed x-amz-content-sha256 (hash the bytes that were really read)': [other_body],
    'STREAMING-UNSIGNED-PAYLOAD-TRAILER with a bogus or no signature (MinIO CVE-2025-31489 class)': [
        lambda: create(signed={'x-amz-content-sha256': UNSIGNED}), lambda: create(signed={'x-amz-content-sha256': UNSIGNED}, payload=UNSIGNED),
        lambda: re.sub(rb'Authorization: [^\r]*\r\n', b'', create(signed={'x-amz-content-sha256': UNSIGNED}))],
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD with one chunk signature wrong / chunk order swapped / last 0-chunk missing': [
        lambda: chunked(STREAM, chunk(BODY, b'a') + chunk(b'', b'b')), lambda: chunked(STREAM, chunk(b'', b'b') + chunk(BODY, b'a')),
        lambda: chunked(STREAM, chunk(BODY, b'a'))],
    'path with .. or // or %2e (compare with the path the router uses)': [
        changed(b'POST / ', b'POST %s ' % path) for path in (b'/x/..', b'//', b'/%2e', b'/.')],
    'header value with extra inner spaces / NUL / obs-fold': [
        changed(b'MailManagerSvc.', b'MailManagerSvc.  '), changed(b'application/x-amz-json-1.0', b'application/x-amz-json-1.0\0'),
        changed(b'application/x-amz-json-1.0', b'application/x-amz-json-1.0\r\n x')],
    'presigned: X-Amz-Expires absent, 0, negative, > 604800, expired by 1 s': 'peers/T800-sigv4',
    'presigned URL with an unsigned header that changes meaning (x-amz-copy-source, x-amz-security-token)': 'peers/T800-sigv4',
    'the very same request again within the window (replay): idempotent reads pass, writes are refused by signature cache or need a client token':
        'the_same_request_again', # what is idempotent may come again: a list is made once
    'key disabled or deleted between two requests (cache <= 5 s)': 'who_is_refused',
}

def lists():
    return [a['AddressListName'] for a in Line(api).call(key, HOST, 'ListAddressLists')[1]['AddressLists']]

@test
def each_wrong_signature():
    before, answers = lists(), {}
    for case, ways in WRONG.items():
        for make in ways if isinstance(ways, list) else []:
            line = Line(api)
            line.send(make())
            status, _, body = line.answer()
            line.close()
            # What no request may have is refused before anybody looks at who signed it.
            at_once = case.startswith(('path with', 'header value')) and status == 400
            check(status == 403 or at_once, '%s: %d %r' % (case, status, body))
            answers[case] = body
    equal(answers['unknown access key (same error text and time as a bad signature)'], answers['one hex digit of Signature changed'], 'told apart')
    equal(lists(), before, 'something was made')
    line = Line(api)
    line.send(create())
    equal(line.answer()[0], 200, 'the control')
    line.close()
    equal(len(lists()), len(before) + 1, 'the control: nothing is wrong')

def unused(line, operation, body):
    """A request that isn't put off for being signed in the second of the start, and its status."""
    for _ in range(30):
        same = request(key, HOST, operation, body)
        line.send(same)
        status = line.answer()[0]
        if status != 429:
            break
        time.sleep(0.1)
    return same, status

@test
def an_answer_is_dated():
    line = Line(api)
    for what in (request(key, HOST, 'ListArchives'), b'GET /x HTTP/1.1\r\nHost: %s\r\n\r\n' % HOST.encode()):
        line.send(what)
        dated = line.answer()[1]['date']
        at = email.utils.parsedate_to_datetime(dated)
        equal(email.utils.format_datetime(at, usegmt=True), dated, 'its form, and its day of the week')
        check(abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()) < 3600, dated)
    line.close()

@test
def the_same_request_again():
    archive = Line(api).call(key, HOST, 'ListArchives')[1]['Archives'][0]['ArchiveId']
    for operation, body, second in (
            ('ListArchives', b'{}', 200),
            ('StartArchiveSearch', json.dumps({'ArchiveId': archive, 'FromTimestamp': 1, 'ToTimestamp': 2, 'MaxResults': 1}).encode(), 403)):
        line = Line(api)
        same, first = unused(line, operation, body)
        equal(first, 200, operation)
        line.send(same)
        equal(line.answer()[0], second, operation)
        line.close()

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
    equal(sum(1 for d in told if d['outcome'] == 'MissingAuthenticationTokenException'), 1, told)
    check(all(d['address'] == '127.0.0.1' for d in told), told)

@test
def the_list_of_wrong_signatures_is_whole():
    equal(set(cases('sigv4_negative')), set(WRONG), 'cases')
    for case, where in WRONG.items():
        if isinstance(where, str) and '/' in where:
            check(os.path.exists(os.path.join(ROOT, 'tests', where + '.py')), case)
        else:
            check(callable(globals().get(where)) if isinstance(where, str) else where, case)

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
        line.send(request(key, HOST, 'ListArchives')) # while the answer is under way
        time.sleep(0.1)
        status, _, body = line.answer()
        equal((status, [s['AddonName'] == n for s, n in zip(json.loads(body)['AddonSubscriptions'], names)]), (200, [True] * len(names)))
        equal(line.answer()[0], 200, 'the one that came meanwhile')
    half = request(key, HOST, 'ListArchives')
    line.send(request(key, HOST, 'ListAddonSubscriptions') + half[:-1])
    time.sleep(0.5)
    line.send(half[-1:]) # while the answer before it is under way
    time.sleep(0.1)
    equal([line.answer()[0] for _ in range(2)], [200] * 2, 'whose body came meanwhile')
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

def shown(tls):
    """The certificate that a new connection is shown."""
    line = Line(api, tls)
    der = line.sock.getpeercert(True)
    line.close()
    return ssl.DER_cert_to_PEM_cert(der)

def renewed_by_sighup(other, k, tls, path):
    first, opened = open(path).read(), Line(api, tls)
    other.tls() # another one in its place
    second = open(path).read()
    check(first != second, 'the same certificate again')
    equal(shown(tls), first, 'before SIGHUP')
    other.process.send_signal(signal.SIGHUP)
    tls.load_verify_locations(path)
    until(lambda: shown(tls) == second, 'the old certificate is shown')
    equal(Line(api, tls).call(k, HOST, 'ListArchives')[0], 200)
    equal(opened.call(k, HOST, 'ListArchives')[0], 200, 'on a connection that was open')
    other.write(path, first) # it doesn't fit the key
    other.process.send_signal(signal.SIGHUP)
    until(lambda: other.tail(1 << 20).count('reload: ') == 2, 'a bad one is not complained of, by SMTP and API')
    equal(shown(tls), second, 'after a bad one')

def until(true, text):
    for _ in range(200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(text)

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
    renewed_by_sighup(other, k, tls, settings['smtp']['tls_cert'])
    other.stop()

done()
