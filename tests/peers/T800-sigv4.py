#!/usr/bin/env python3
"""Signature Version 4 beside foreign signers: what the AWS SDK, its signer, aws4 and Python's hmac sign is accepted, each change alone is
refused, and what we sign for S3 they sign the same way."""
import base64, datetime, hmac, os, re, sys
from urllib.parse import quote
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
import node

SEED = int(os.environ.get('MM_SEED') or random.randrange(1 << 32))
COUNT = 3000 if LONG else 300
NOW = 1440938160000
TIME = '20150830T123600Z'
ID, SECRET = 'AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
EMPTY = hashlib.sha256(b'').hexdigest()
rng = random.Random(SEED)
print('seed %d' % SEED)

ours = node.Lines([os.path.join(build('asan'), 'sigv4_check')])
theirs = node.Lines(*node.command('sign.js'))
sdk = node.Lines(*node.command('record.js'))

# ---- requests ----

LETTERS = 'abcXYZ019-._~'
ODD = ' +%/?&=#:@!$\'()*,;<>[]{}|^"`é東\u0430'

def word(letters, low, high):
    return ''.join(rng.choice(letters) for _ in range(rng.randint(low, high)))

def escape(text, safe=''):
    return quote(text, safe='-._~' + safe)

def path():
    """As on the wire; no part that the head's parser refuses."""
    parts = []
    while rng.random() < 0.6:
        part = word(LETTERS + ODD.replace('/', ''), 1, 8)
        if part not in ('.', '..'):
            parts.append(escape(part, rng.choice(['', "!$&'()*+,;=:@"])))
    return '/' + '/'.join(parts) + ('/' if parts and rng.random() < 0.2 else '')

def pairs(twice=True):
    out = []
    while rng.random() < 0.6:
        out.append([word(LETTERS + ODD, 1, 6), word(LETTERS + ODD, 0, 8)])
        if twice and rng.random() < 0.2:
            out.append([out[-1][0], word(LETTERS + ODD, 0, 8)])
    return out

def headers(fixed):
    out = dict(fixed)
    while rng.random() < 0.5:
        name = rng.choice(['x-amz-meta-', 'X-Amz-', 'X-', 'amz-sdk-', 'Accept-']) + word('abcxyz019', 1, 6)
        out[name] = word(LETTERS + '  \t' + ODD.strip() + ' ', 0, 12).strip()
    if rng.random() < 0.3:
        out['User-Agent'] = 'aws-sdk-js/3  md/x'
    return out

def call(signer, form):
    method = rng.choice(['POST', 'POST', 'PUT', 'GET', 'HEAD'])
    fixed = {'Host': 'mm.test:%d' % rng.randint(1, 65535)}
    body = b''
    if method in ('POST', 'PUT'):
        body = bytes(rng.randrange(256) for _ in range(rng.randint(0, 60)))
        fixed['Content-Type'] = rng.choice(['application/x-amz-json-1.0', 'application/cbor'])
    if rng.random() < 0.7:
        fixed['X-Amz-Target'] = 'MailManagerSvc.' + rng.choice(['CreateArchive', 'GetRuleSet'])
    r = {'signer': signer, 'form': form, 'service': 'ses', 'region': rng.choice(['us-east-1', 'eu-central-1', 'local']), 'id': ID,
         'secret': SECRET, 'at': NOW, 'seconds': rng.randint(1, 604800), 'method': method, 'path': path(), 'query': pairs(),
         'headers': headers(fixed), 'body': base64.b64encode(body).decode()}
    if form == 'query' and signer == 'smithy':
        r['keep'] = [n.lower() for n in r['headers'] if rng.random() < 0.5]
    return r

class Request:
    """A signed request, of which parts can be changed before it is written down."""
    def __init__(self, method, target, fields, body=b''):
        self.method, self.target, self.fields, self.body = method, target, [list(f) for f in fields], body

    def copy(self):
        return Request(self.method, self.target, self.fields, self.body)

    def get(self, name):
        return next(v for n, v in self.fields if n.lower() == name)

    def has(self, name):
        return any(n.lower() == name for n, _ in self.fields)

    def set(self, name, value):
        for f in self.fields:
            if f[0].lower() == name:
                f[1] = value
                return self
        return self.add(name, value)

    def add(self, name, value):
        self.fields.append([name, value])
        return self

    def drop(self, name):
        self.fields = [f for f in self.fields if f[0].lower() != name]
        return self

    def auth(self, what, by):
        text = self.get('authorization')
        check(what in text, 'no %r in %r' % (what, text))
        return self.set('authorization', text.replace(what, by, 1))

    def raw(self):
        fields = self.fields
        if self.method in ('POST', 'PUT') and not self.has('content-length'):
            fields = fields + [['Content-Length', str(len(self.body))]]
        head = '%s %s HTTP/1.1\r\n' % (self.method, self.target) + ''.join('%s: %s\r\n' % (n, v) for n, v in fields) + '\r\n'
        return head.encode() + self.body

def verdict(request, use='call', now=NOW, keys={ID: SECRET}, once=False):
    a = ours.ask({'op': 'check', 'raw': base64.b64encode(request.raw()).decode(), 'use': use, 'now': now, 'keys': keys,
                  'once': once})
    return (a.get('verdict') or str(a.get('status'))), a['text']

def foreign(r):
    a = theirs.ask(r)
    return Request(r['method'], a['target'], [[n, str(v)] for n, v in a['headers'].items()], base64.b64decode(r['body']))

# ---- Python's signer: also what is wrong can be signed rightly ----

def chain(secret, day, region, service, end='aws4_request'):
    key = ('AWS4' + secret).encode()
    for text in (day, region, service, end):
        key = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return key

def canonical_query(query):
    rows = [p.partition('=')[::2] for p in query.split('&') if p and not p.startswith('X-Amz-Signature=')]
    return '&'.join('%s=%s' % row for row in sorted(rows))

def signature(q, names, payload, scope, time, secret=SECRET):
    where, _, query = q.target.partition('?')
    values = [','.join(' '.join(v.split()) for n, v in q.fields if n.lower() == name.lower()) for name in names]
    text = '\n'.join([q.method, escape(where, '/'), canonical_query(query)] +
                     ['%s:%s' % (n, v) for n, v in zip(names, values)] + ['', ';'.join(names), payload])
    text = '\n'.join(['AWS4-HMAC-SHA256', time, '/'.join(scope), hashlib.sha256(text.encode()).hexdigest()])
    return hmac.new(chain(secret, *scope), text.encode(), hashlib.sha256).hexdigest()

def sign(q, names=None, payload=None, scope=('20150830', 'us-east-1', 'ses', 'aws4_request'), time=TIME):
    """In header form, by the book, of whatever it is told."""
    q.drop('authorization')
    names = names or sorted(n.lower() for n, _ in q.fields)
    made = signature(q, names, payload or hashlib.sha256(q.body).hexdigest(), scope, time)
    return q.add('Authorization', 'AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s' %
                 (ID, '/'.join(scope), ';'.join(names), made))

def good():
    body = b'{"ArchiveName":"%d"}' % rng.randrange(1 << 60)
    return Request('POST', '/', [['Host', 'mm.test:8025'], ['Content-Type', 'application/x-amz-json-1.0'], ['X-Amz-Date', TIME],
                                 ['X-Amz-Target', 'MailManagerSvc.CreateArchive'],
                                 ['X-Amz-Content-Sha256', hashlib.sha256(body).hexdigest()]], body)

def link(seconds='3600', names='host', fields=()):
    """A presigned URL by the book."""
    query = 'archive=a-1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s%%2F20150830%%2Flocal%%2Fses%%2Faws4_request' % ID
    query += '&X-Amz-Date=%s%s&X-Amz-SignedHeaders=%s' % (TIME, '' if seconds is None else '&X-Amz-Expires=' + seconds, escape(names))
    q = Request('GET', '/content/0e5k1m2?' + query, [['Host', 'mm.test:8025']] + list(fields))
    q.target += '&X-Amz-Signature=' + signature(q, names.split(';'), 'UNSIGNED-PAYLOAD',
                                                ('20150830', 'local', 'ses', 'aws4_request'), TIME)
    return q

# ---- changes, each alone ----

def flip(text):
    return text[:-1] + ('0' if text[-1] != '0' else '1')

def names_of(q):
    return q.get('authorization').split('SignedHeaders=')[1].split(',')[0]

def swapped(q):
    names = names_of(q).split(';')
    return ';'.join(names[1:2] + names[:1] + names[2:])

def signed_streaming(kind):
    q = good().set('x-amz-content-sha256', kind)
    return sign(q, payload=kind)

def upper_hex(text):
    front, hexes = text.split('Signature=')
    return front + 'Signature=' + (hexes.upper() if hexes.upper() != hexes else 'A' + hexes[1:])

def at(q, target):
    q.target = target
    return q

CHANGES = {
    'one hex digit of the signature': lambda q: q.set('authorization', flip(q.get('authorization'))),
    'upper case hex': lambda q: q.set('authorization', upper_hex(q.get('authorization'))),
    'host not signed': lambda q: q.auth('host;', ''),
    'a signed header that is absent': lambda q: q.auth('SignedHeaders=', 'SignedHeaders=0absent;'),
    'signed headers not sorted': lambda q: q.auth('SignedHeaders=' + names_of(q), 'SignedHeaders=' + swapped(q)),
    'signed headers not in lower case': lambda q: q.auth('host', 'Host'),
    'a signed header twice': lambda q: q.auth('host', 'host;host'),
    'no date at all': lambda q: q.auth(';x-amz-date', '').drop('x-amz-date').drop('date'),
    'the date taken out': lambda q: q.drop('x-amz-date'),
    'the scope of another day': lambda q: q.auth('/20150830/', '/20150829/'),
    'no aws4_request': lambda q: q.auth('/aws4_request', ''),
    'another service': lambda q: q.auth('/ses/', '/mailmanager/'),
    'another region': lambda q: q.auth('/ses/', 'x/ses/'),
    'another body': lambda q: Request(q.method, q.target, q.fields, q.body + b'x').set('content-length', str(len(q.body) + 1)),
    'STREAMING-UNSIGNED-PAYLOAD-TRAILER': lambda q: q.set('x-amz-content-sha256', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'),
    'STREAMING-... and no signature': lambda q: q.set('x-amz-content-sha256', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER')
                                                 .drop('authorization'),
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD': lambda q: q.set('x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'),
    'path with ..': lambda q: at(q, '/x/..' + q.target),
    'path with //': lambda q: at(q, '/' + q.target),
    'path with %2e': lambda q: at(q, '/%2e' + q.target),
    'path with a part more': lambda q: at(q, '/x' + q.target),
    'NUL in a value': lambda q: q.set('x-amz-date', q.get('x-amz-date') + '\0'),
    'a folded value': lambda q: q.set('x-amz-date', q.get('x-amz-date') + '\r\n '),
    'inner blanks': lambda q: q.set('host', q.get('host').replace('.', '  .', 1)),
    'an x-amz- header more': lambda q: q.add('x-amz-copy-source', '/a/b'),
    'a session token': lambda q: q.add('x-amz-security-token', 'FwoGZXIvYXdzE'),
    'another method': lambda q: Request({'POST': 'PUT', 'PUT': 'POST', 'GET': 'HEAD', 'HEAD': 'GET'}[q.method], q.target, q.fields,
                                        q.body),
    'a parameter more': lambda q: at(q, q.target + ('&' if '?' in q.target else '?') + 'zz=1'),
    'signed twice': lambda q: at(q, q.target + ('&' if '?' in q.target else '?') + 'X-Amz-Signature=' + EMPTY),
    'not signed': lambda q: q.drop('authorization'),
}

# ---- the tests ----

GENERATED = []

@test
def what_the_others_sign_is_accepted():
    for i in range(COUNT):
        r = call(('smithy', 'aws4')[i % 2], ('header', 'query')[i // 2 % 2])
        q = foreign(r)
        got = verdict(q)
        check(got[0] == 'good', '%r: %r' % (got, q.raw()))
        GENERATED.append((r, q))

@test
def another_secret_refuses_all():
    other = SECRET[:-1] + 'Z'
    for _, q in GENERATED:
        equal(verdict(q, keys={ID: other})[0], 'InvalidSignatureException', q.raw())

@test
def each_change_alone_is_refused():
    tried = dict.fromkeys(CHANGES, 0)
    for r, q in GENERATED:
        if r['form'] != 'header':
            continue
        for name, change in CHANGES.items():
            if name == 'another body' and q.method not in ('POST', 'PUT'):
                continue
            got = verdict(change(q.copy()))
            check(got[0] != 'good' and got[0] != '200', '%s: %r: %r' % (name, got, q.raw()))
            tried[name] += 1
        equal(verdict(q)[0], 'good', 'the request as it was')
    check(min(tried.values()) >= COUNT // 8, 'tried too seldom: %r' % tried)

def verdict_of_bytes(raw, now, keys={ID: SECRET}):
    a = ours.ask({'op': 'check', 'raw': base64.b64encode(raw).decode(), 'use': 'call', 'now': now, 'keys': keys})
    return a.get('verdict') or str(a.get('status'))

def signed_at(raw):
    t = re.search(rb'\r\nx-amz-date: (\d{8}T\d{6})Z', raw).group(1).decode()
    return int(datetime.datetime.strptime(t + '+0000', '%Y%m%dT%H%M%S%z').timestamp()) * 1000

@test
def requests_of_the_sdk():
    """JSON and CBOR; then with each byte changed that is signed, or says what is."""
    for protocol in ('json', 'cbor'):
        for name, more in [('ListArchives', {}), ('GetRuleSet', {'RuleSetId': 'rs-1'}),
                           ('CreateArchive', {'ArchiveName': 'x1', 'Retention': {'RetentionPeriod': 'ONE_YEAR'}})]:
            answer = sdk.ask({'id': ID, 'secret': SECRET, 'region': 'eu-west-1', 'protocol': protocol, 'command': name, 'input': more})
            raw = base64.b64decode(answer['raw'])
            equal(verdict_of_bytes(raw, signed_at(raw)), 'good', raw)
            equal(verdict_of_bytes(raw, signed_at(raw), {ID: SECRET[::-1]}), 'InvalidSignatureException', raw)
        free = [m.span(1) for m in re.finditer(rb'\r\n((?:user-agent|connection): ?[^\r]*)', raw, re.I)]
        equal(len(free), 2, raw)
        for i in range(len(raw)):
            changed = raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1:]
            if not any(a <= i < b for a, b in free):
                check(verdict_of_bytes(changed, signed_at(raw)) != 'good', 'accepted with byte %d changed: %r' % (i, changed))

@test
def what_is_wrong_is_refused_though_signed_rightly():
    for wrong, q in [
            ('host not signed', sign(good(), names=['content-type', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-target'])),
            ('the target not signed', sign(good(), names=['content-type', 'host', 'x-amz-content-sha256', 'x-amz-date'])),
            ('the type not signed', sign(good(), names=['host', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-target'])),
            ('not sorted', sign(good(), names=['host', 'content-type', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-target'])),
            ('upper case', sign(good(), names=['Host', 'content-type', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-target'])),
            ('twice', sign(good(), names=['content-type', 'host', 'host', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-target'])),
            ('no date', sign(good().drop('x-amz-date'))),
            ('scope of another day', sign(good(), scope=('20150829', 'us-east-1', 'ses', 'aws4_request'))),
            ('another service', sign(good(), scope=('20150830', 'us-east-1', 's3', 'aws4_request'))),
            ('another end', sign(good(), scope=('20150830', 'us-east-1', 'ses', 'aws5_request'))),
            ('unsigned body', sign(good().set('x-amz-content-sha256', 'UNSIGNED-PAYLOAD'), payload='UNSIGNED-PAYLOAD')),
            ('streaming', signed_streaming('STREAMING-AWS4-HMAC-SHA256-PAYLOAD')),
            ('streaming, unsigned', signed_streaming('STREAMING-UNSIGNED-PAYLOAD-TRAILER')),
            ('blanks in the target', sign(good().set('x-amz-target', 'MailManagerSvc.  CreateArchive'))),
            ('a token', sign(good().add('x-amz-security-token', 'x'))),
            ('path with ..', sign(at(good(), '/a/../'))),
            ('path with //', sign(at(good(), '//'))),
            ('path with %2e', sign(at(good(), '/%2e'))),
            ('date of another form', sign(good().set('x-amz-date', 'Sun, 30 Aug 2015 12:36:00 GMT')))]:
        check(verdict(q)[0] != 'good', '%s was accepted' % wrong)
    equal(verdict(sign(good()))[0], 'good', 'the control: nothing is wrong')
    equal(verdict(sign(good()), now=NOW + 299999)[0], 'good', 'nearly five minutes')
    equal(verdict(sign(good()), now=NOW + 300000)[0], 'InvalidSignatureException', 'five minutes')
    equal(verdict(sign(good()), now=NOW - 300001)[0], 'InvalidSignatureException', 'from the future')

@test
def links():
    equal(verdict(link(), 'link'), ('good', ''), 'the control')
    equal(verdict(link('1'), 'link', now=NOW + 999)[0], 'good', 'in its last second')
    for wrong, q, now in [('no life', link(None), NOW), ('0 s', link('0'), NOW), ('-1 s', link('-1'), NOW),
                          ('more than a week', link('604801'), NOW), ('expired by 1 s', link('3600'), NOW + 3601000),
                          ('copy-source', link(fields=[['x-amz-copy-source', '/a']]), NOW),
                          ('token', link(fields=[['x-amz-security-token', 'x']]), NOW),
                          ('signed token', link(names='host;x-amz-security-token', fields=[['x-amz-security-token', 'x']]), NOW),
                          ('host not signed', link(names='accept', fields=[['accept', '*/*']]), NOW),
                          ('another object', at(link(), link().target.replace('0e5k1m2', '0e5k1m3')), NOW),
                          ('in upper case', at(link(), link().target.replace('X-Amz-Signature', 'x-amz-signature')), NOW)]:
        check(verdict(q, 'link', now=now)[0] not in ('good', '200'), '%s was accepted' % wrong)
    equal(verdict(sign(good()), 'link')[0], 'MissingAuthenticationTokenException', 'a call is no link')
    check(verdict(link(), 'call')[0] != 'good', 'a link is no call')

@test
def an_unknown_key_answers_as_a_wrong_signature():
    wrong = sign(good())
    wrong.set('authorization', flip(wrong.get('authorization')))
    answers = {verdict(wrong), verdict(sign(good()), keys={}), verdict(sign(good()), keys={ID: 'short'}),
               verdict(sign(good()).auth(ID, 'AKIDOTHER'))}
    equal(len(answers), 1, answers)
    equal(answers.pop()[0], 'InvalidSignatureException')

@test
def a_key_that_is_gone_is_refused_at_once():
    q = sign(good())
    equal(verdict(q)[0], 'good')
    equal(verdict(q, keys={})[0], 'InvalidSignatureException', 'after its key was deleted')
    equal(verdict(q, keys={ID: SECRET[::-1]})[0], 'InvalidSignatureException', 'after its secret was changed')
    equal(verdict(q)[0], 'good')

@test
def the_same_again():
    q = sign(good())
    for want in ('good', 'good'):
        equal(verdict(q)[0], want, 'what may be repeated')
    for want in ('good', 'seen', 'seen'):
        equal(verdict(q, once=True)[0], want, 'what may not')
    equal(verdict(q, once=True, now=NOW + 299999)[0], 'seen', 'at the end of its life')
    equal(verdict(sign(good()), once=True)[0], 'good', 'another one')

def s3(signer, form):
    """aws4 takes only the first parameter of a name."""
    r = call(signer, form)
    query = pairs()
    if signer == 'aws4':
        query = [list(row) for row in dict(query).items()]
    key = '/'.join(p + ('x' if p in ('.', '..') else '') for p in word(LETTERS + ODD, 1, 12).split('/'))
    r.update(service='s3', method=rng.choice(['GET', 'PUT', 'POST', 'HEAD', 'DELETE']), body='', query=query,
             path='/bucket/' + escape(key, '/'))
    r['headers'] = {n: v for n, v in r['headers'].items() if n.lower() not in ('user-agent', 'content-type')}
    r['headers']['x-amz-content-sha256'] = EMPTY if form == 'header' else 'UNSIGNED-PAYLOAD'
    r['keep'] = [n.lower() for n in r['headers']]
    return r

def our_query(r):
    """As we write it: names without a value have no "=", in the order as they come."""
    return '&'.join(escape(n) + ('=' + escape(v) if v else '') for n, v in r['query'])

@test
def we_sign_for_s3_as_the_others_do():
    for i in range(COUNT // 2):
        r = s3(('smithy', 'aws4')[i % 2], ('header', 'query')[i // 2 % 2])
        q = foreign(r)
        fields = [[n, v] for n, v in r['headers'].items()]
        question = {'op': 'sign', 'method': r['method'], 'path': r['path'], 'query': our_query(r), 's3': True, 'id': ID,
                    'secret': SECRET, 'region': r['region'], 'service': 's3', 'payload': r['headers']['x-amz-content-sha256']}
        rng.shuffle(fields)
        if r['form'] == 'header':
            got = ours.ask(dict(question, fields=fields + [['x-amz-date', TIME]]))
            equal(got.get('authorization'), q.get('authorization'), '%r: %r' % (r, got))
        else:
            got = ours.ask(dict(question, fields=fields, at=NOW, seconds=r['seconds']))
            theirs_sorted = sorted(p[:-1] if p.endswith('=') else p for p in q.target.split('?')[1].split('&'))
            equal(sorted(got.get('query', '').split('&')), theirs_sorted, '%r: %r' % (r, got))

@test
def all_programs_end_well():
    for program in (ours, theirs, sdk):
        program.end()

done()
