"""tests/lib/bulk.py - real mail that was signed, sealed, damaged and sent from here and there in all the ways that senders have, and the zone
of it: what mm and its judges are asked about.

The mails' own keys have long gone, so each is signed anew, by python3-dkim or mailauth, with keys whose records are right or wrong in one
of the ways of KEYS; DMARC policies lie at the domains of their From; the envelope is of a domain for each way of SPF. All is
drawn by one random number generator: a seed makes the same set."""
from dkim_suites import *

NOW = int(time.time())

def mails(folder, rng, count=None):
    """(name, message) of so many; sorted, so that a seed means the same everywhere. Line ends become CRLF, the mbox line goes."""
    where = os.path.join(os.path.dirname(folder), 'bulk')
    paths = sorted(os.path.join(at, name) for at, _, names in os.walk(where) for name in names)
    for path in paths if count is None else rng.sample(paths, count):
        data = crlf(read(path))
        if data.startswith(b'From '):
            data = data[data.index(b'\n') + 1:]
        yield os.path.relpath(path, where), data

def openssl(*args, input=None):
    return subprocess.run(('openssl',) + args, check=True, input=input, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

def rsa_key(bits):
    return openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:%d' % bits)

def spki(pem):
    return base64.b64encode(openssl('pkey', '-pubout', '-outform', 'DER', input=pem))

class Ed25519:
    """A key as each of the signers wants it."""
    def __init__(self):
        self.pem = openssl('genpkey', '-algorithm', 'ED25519')
        self.seed = base64.b64encode(openssl('pkey', '-outform', 'DER', input=self.pem)[-32:])
        self.public = base64.b64encode(openssl('pkey', '-pubout', '-outform', 'DER', input=self.pem)[-32:])

# ---- the keys: what is right or wrong with each, and how often it is taken ----

class Keys:
    def __init__(self):
        self.rsa, self.second, self.wide, self.weak = [rsa_key(bits) for bits in (2048, 1024, 4096 if LONG else 3072, 768)]
        self.ed = Ed25519()
        rsa = b'v=DKIM1; k=rsa; p=' + spki(self.rsa)
        ed = b'v=DKIM1; k=ed25519; p=' + self.ed.public
        # selector: (private key, its records, its weight)
        self.kinds = {
            'rsa': (self.rsa, [rsa], 14), 'short': (self.second, [b'p=' + spki(self.second)], 5), 'ed': (self.ed, [ed], 8),
            'wide': (self.wide, [b'v=DKIM1; p=' + spki(self.wide)], 1),
            'spaces': (self.rsa, [b'v = DKIM1 ; k = rsa ;\t p = ' + spki(self.rsa) + b' ; '], 2),
            'noted': (self.rsa, [rsa + b'; n=a key; h=sha256; s=email; x_y=z'], 2),
            'testing': (self.rsa, [b'v=DKIM1; t=y; p=' + spki(self.rsa)], 1),
            'weak': (self.weak, [b'p=' + spki(self.weak)], 1),
            'absent': (self.rsa, [], 1),
            'revoked': (self.rsa, [b'v=DKIM1; p='], 1),
            'another': (self.rsa, [b'v=DKIM1; p=' + spki(self.second)], 1),
            'another-kind': (self.rsa, [ed], 1),
            'sha1-only': (self.rsa, [b'v=DKIM1; h=sha1; p=' + spki(self.rsa)], 1),
            'not-for-mail': (self.rsa, [b'v=DKIM1; s=tlsrpt; p=' + spki(self.rsa)], 1),
            'exact': (self.rsa, [b'v=DKIM1; t=s; p=' + spki(self.rsa)], 1),
            'version': (self.rsa, [b'v=DKIM2; p=' + spki(self.rsa)], 1),
            'late-version': (self.rsa, [b'k=rsa; v=DKIM1; p=' + spki(self.rsa)], 1),
            'no-base64': (self.rsa, [b'v=DKIM1; p=!' + spki(self.rsa)], 1),
            'cut': (self.rsa, [b'v=DKIM1; p=' + spki(self.rsa)[:-40]], 1),
            'kind': (self.rsa, [b'v=DKIM1; k=dsa; p=' + spki(self.rsa)], 1),
            'beside-others': (self.rsa, [rsa, b'v=spf1 -all'], 1),
            'behind-others': (self.rsa, [b'about this name: see ours', rsa], 1),
        }

def publish(keys, zone, kind, domain):
    """The selector's records at this domain, once."""
    name = '%s._domainkey.%s' % (kind, domain)
    if name not in zone and keys.kinds[kind][1]:
        zone[name] = [('TXT', text(record)) for record in keys.kinds[kind][1]]

# ---- SPF: a domain below spf.judge.example for each way; clients are of 192.0.2.0/24 or not ----

CLIENTS = ['192.0.2.25'] * 6 + ['198.51.100.7'] * 2 + ['2001:db8::25', '2001:db8:ffff::1']
NETWORKS = ' '.join('ip4:203.0.113.%d' % i for i in range(1, 120)).encode()
SPF = {
    'ip4': b'v=spf1 ip4:192.0.2.0/24 -all', 'ip6': b'v=spf1 ip6:2001:db8::/48 ~all', 'exact': b'v=spf1 ip4:192.0.2.25 ?all',
    'none-but': b'v=spf1 -ip4:192.0.2.0/24 +all', 'soft': b'v=spf1 ~all', 'neutral': b'v=spf1 ?all', 'nothing': b'v=spf1', 'fail': b'v=spf1 -all',
    'upper': b'V=SPF1 IP4:192.0.2.0/24 -ALL', 'long': b'v=spf1 ' + NETWORKS + b' ip4:192.0.2.25 -all', 'a': b'v=spf1 a -all',
    'a24': b'v=spf1 a/24 -all', 'a-other': b'v=spf1 a:a.spf.judge.example -all', 'a-both': b'v=spf1 a:a.spf.judge.example/24//48 -all',
    'mx': b'v=spf1 mx -all', 'mx-other': b'v=spf1 mx:mx.spf.judge.example/32 ~all', 'ptr': b'v=spf1 ptr:spf.judge.example -all',
    'exists': b'v=spf1 exists:%{ir}.ok.spf.judge.example -all', 'exists-local': b'v=spf1 exists:%{l1r-}.%{d3}.ok.spf.judge.example -all',
    'include': b'v=spf1 include:ip4.spf.judge.example ~all', 'include-fail': b'v=spf1 include:fail.spf.judge.example ?all',
    'include-macro': b'v=spf1 include:%{d2r}.none.example -all', 'include-none': b'v=spf1 include:a1.spf.judge.example -all',
    'include-temp': b'v=spf1 include:x.broken.example ip4:192.0.2.0/24 -all', 'redirect': b'v=spf1 redirect=ip4.spf.judge.example',
    'redirect-none': b'v=spf1 redirect=a1.spf.judge.example', 'redirect-all': b'v=spf1 ?all redirect=fail.spf.judge.example',
    'loop': b'v=spf1 include:loop.spf.judge.example -all', 'bogus': b'v=spf1 bogus:x -all', 'bogus-behind': b'v=spf1 ip4:192.0.2.0/24 bogus:x -all',
    'modifier': b'v=spf1 ip4:192.0.2.0/24 x-thing=y -all', 'bad-ip': b'v=spf1 ip4:192.0.2.300 -all', 'bad-cidr': b'v=spf1 ip4:192.0.2.0/33 -all',
    'bad-macro': b'v=spf1 exists:%{z}.example -all', 'deep': b'v=spf1 include:d1.spf.judge.example -all',
    'too-deep': b'v=spf1 include:w1.spf.judge.example -all', 'void': b'v=spf1 a:v1.none.example a:v2.none.example ip4:192.0.2.0/24 -all',
    'voids': b'v=spf1 a:v1.none.example a:v2.none.example a:v3.none.example ip4:192.0.2.0/24 -all',
    'exp': b'v=spf1 ip4:203.0.113.0/24 -all exp=why.spf.judge.example', 'version': b'v=spf10 -all', 'trailing': b'v=spf1 ip4:192.0.2.0/24 -all ',
    'tab': b'v=spf1\tip4:192.0.2.0/24\t-all', 'utf8': b'v=spf1 ip4:192.0.2.0/24 -all \xc3\xa9',
}

def spf_zone():
    zone = {kind + '.spf.judge.example': [('TXT', text(record))] for kind, record in SPF.items()}
    zone['two.spf.judge.example'] = [('TXT', text(b'v=spf1 ip4:192.0.2.0/24 -all')), ('TXT', text(b'v=spf1 -all'))]
    zone['beside.spf.judge.example'] = [('TXT', text(b'x-verification=17')), ('TXT', text(b'v=spf1 ip4:192.0.2.0/24 -all'))]
    zone['a1.spf.judge.example'] = [('A', '192.0.2.1')]
    for name in ('a', 'a24', 'mx1', 'host', 'both'):
        zone.setdefault(name + '.spf.judge.example', []).extend([('A', '192.0.2.25' if name != 'a24' else '192.0.2.200'), ('AAAA', '2001:db8::25')])
    for name in ('mx', 'mx-other'):
        zone.setdefault(name + '.spf.judge.example', []).extend([('MX', '10 mx1.spf.judge.example.'), ('MX', '20 a24.spf.judge.example.')])
    zone['25.2.0.192.in-addr.arpa'] = [('PTR', 'host.spf.judge.example.')]
    zone['25.2.0.192.ok.spf.judge.example'] = zone['someone.spf.judge.example.ok.spf.judge.example'] = [('A', '127.0.0.2')]
    zone['why.spf.judge.example'] = [('TXT', text(b'%{i} is not ours'))]
    for i in range(1, 12):
        for chain, last in ('d', 9), ('w', 11):
            record = 'v=spf1 include:%s%d.spf.judge.example -all' % (chain, i + 1) if i < last else 'v=spf1 ip4:192.0.2.0/24 -all'
            zone['%s%d.spf.judge.example' % (chain, i)] = [('TXT', text(record.encode()))]
    return zone

SPF_KINDS = sorted(SPF) + ['two', 'beside', 'a1', 'absent', 'broken']

# ---- DMARC: a policy by the domain's name ----

POLICIES = [None, b'v=DMARC1; p=none', b'v=DMARC1; p=quarantine', b'v=DMARC1; p=reject'] * 3 + [
            b'v=DMARC1; p=reject; sp=none', b'v=DMARC1;p=none;sp=reject;',
            b'v=DMARC1; p=reject; adkim=s; aspf=s', b'v=DMARC1; p=reject; pct=0; rua=mailto:a@b.example', b'v=DMARC1; p=bogus; rua=mailto:a@b.example',
            b'v=DMARC1; p=bogus', b'v = DMARC1 ; P = Reject ; fo = 1', b'v=DMARC1; rua=mailto:a@b.example; p=reject', b'v=dmarc1; p=reject',
            b'v=DMARC1; sp=reject']

FOLDED = rb'[^\r\n]*(?:\r\n[ \t][^\r\n]*)*'  # what is behind a field's name
NAME = re.compile(r'^(?=.{4,200}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]*[a-z0-9]$')

def from_domain(message):
    """The domain of From, as careless readers have it; None where it isn't a plain name."""
    head = message[:message.find(b'\r\n\r\n') + 2]
    field = re.search(rb'(?im)^From[ \t]*:(%s)' % FOLDED, head)
    found = re.findall(rb'@([A-Za-z0-9._-]+)', field.group(1)) if field else []
    name = found[-1].decode().lower().rstrip('.') if found else ''
    return name if NAME.match(name) else None

def parent(domain):
    return domain.split('.', 1)[1] if domain.count('.') > 1 else domain

def publish_policy(zone, domain, rng):
    """At the domain or above it, once for a domain of From."""
    name = '_dmarc.' + domain
    if name in zone or '_dmarc.' + parent(domain) in zone:
        return
    policy = rng.choice(POLICIES)
    if policy:
        zone[rng.choice((name, '_dmarc.' + parent(domain)))] = [('TXT', text(policy))] + [('TXT', text(policy + b'; fo=1'))] * (rng.random() < 0.04)

def policies_of(zone, message):
    """The records at the domain of From and above it."""
    labels = (from_domain(message) or '').split('.')
    return [row.strip('"') for i in range(len(labels)) for _, row in zone.get('_dmarc.' + '.'.join(labels[i:]), [])]

# ---- damage: each is (what it is called, its function from message to message) ----

def halves(message):
    at = message.find(b'\r\n\r\n') + 4
    return (message[:at], message[at:]) if at > 3 else (message, b'')

def in_header(pattern, replacement, count=1):
    """The first match of the header."""
    def change(message):
        head, body = halves(message)
        return re.sub(pattern, replacement, head, count=count) + body
    return change

def other_letter(m):
    at = m.end(1)
    return m.group(0)[:at - m.start()] + (b'B' if m.group(0)[at - m.start():][:1] == b'A' else b'A') + m.group(0)[at - m.start() + 1:]

def behind(text):
    return lambda message: message + text

def in_body(change):
    def whole(message):
        head, body = halves(message)
        return head + change(body)
    return whole

FIELD = rb'(?im)^(%s[ \t]*:(?:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*?)[;: \t]%s=)'
DAMAGE = {
    'body bit': lambda m: flipped(m) or m,
    'subject': in_header(rb'(?im)^(Subject:[ \t]*\w?)\w', rb'\1Q'),
    'second From': lambda m: b'From: x@evil.example\r\n' + m,
    'other From': in_header(rb'(?im)^From[ \t]*:%s' % FOLDED, b'From: x@evil.example'),
    'b=': in_header(FIELD % (b'DKIM-Signature', b'b') + rb'[ \t\r\n]*[\w+/]', other_letter),
    'bh=': in_header(FIELD % (b'DKIM-Signature', b'bh') + rb'[ \t\r\n]*[\w+/]', other_letter),
    'lines behind': behind(b'\r\n\r\n'),
    'text behind': behind(b'-- \r\nsent on by a list\r\n'),
    'blanks at an end': in_body(lambda b: b.replace(b'\r\n', b' \t\r\n', 1)),
    'blanks within': in_body(lambda b: re.sub(rb'(?<=\w) (?=\w)', b'  ', b, count=1)),
    'folded': in_header(rb'(?im)^(Subject:[^\r\n]*\w) (\w)', rb'\1\r\n  \2'),
    'names': in_header(rb'(?m)^(Subject|Date|To|From):', lambda m: m.group(0).upper(), 0),
    'no Date': in_header(rb'(?im)^Date:%s\r\n' % FOLDED, b''),
    'field between': lambda m: b'X-Passed-By: one\r\nReceived: from a by b; x\r\n' + m,
}
ARC_DAMAGE = {
    'its results': in_header(rb'(?im)^(ARC-Authentication-Results:[^=]*=\d;[ \t\r\n]*)\w', rb'\1Q'),
    'its seal': in_header(FIELD % (b'ARC-Seal', b'b') + rb'[ \t\r\n]*[\w+/]', other_letter),
    'its signature': in_header(FIELD % (b'ARC-Message-Signature', b'b') + rb'[ \t\r\n]*[\w+/]', other_letter),
    'a field gone': in_header(rb'(?im)^ARC-(Seal|Message-Signature|Authentication-Results):%s\r\n' % FOLDED, b''),
    'a field twice': in_header(rb'(?im)^(ARC-(Seal|Message-Signature|Authentication-Results):%s\r\n)' % FOLDED, rb'\1\1'),
    'cv': in_header(rb'(?im)^(ARC-Seal:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*?cv=)(none|pass)', rb'\1fail'),
}

# ---- a message of the set ----

FORMS = ['%s/%s' % (a, b) for a in ('simple', 'relaxed') for b in ('simple', 'relaxed')]
EXTRAS = ['', '', '', '', '', '', 'length', 'sub-identity', 'sha1', 'expired', 'expires', 'future', 'oversigned', 'no-from']

class Made:
    """A message, its envelope, and what was done to it: `did` is for people and for reasons."""
    def __init__(self, name, raw):
        self.name, self.raw, self.did, self.signed = name, raw, [], []
        self.ip, self.helo, self.sender, self.spf = '192.0.2.25', 'client.example', '', None

    def question(self):
        return {'raw': self.raw, 'ip': self.ip, 'helo': self.helo, 'from': self.sender}

class Maker:
    """`node` is tests/peers/npm/auth.js, `dkim` python3-dkim; seals are also mm's own (tests/helpers/dkim_check)."""
    def __init__(self, rng, node, dkim):
        self.rng, self.node, self.dkim = rng, node, dkim
        self.keys, self.zone = Keys(), spf_zone()
        self.odd = {}  # what couldn't be signed: {why: [names]}
        for kind in ('rsa', 'short'):
            publish(self.keys, self.zone, kind, 'sealer.example')
        self.server = Nsd(self.zone)  # who seals checks the chain before
        self.checker = Checker(self.server.forward)

    def end(self):
        self.checker.end()
        self.server.close()

    def javascript(self, op, raw, **options):
        answer = self.node.ask({'op': op, 'raw': base64.b64encode(raw).decode(), 'options': options})
        if 'error' in answer:
            raise ValueError('mailauth: ' + answer['error'])
        fields = base64.b64decode(answer['fields'])
        return fields + (b'' if fields.endswith(b'\r\n') else b'\r\n')

    def sign(self, made, domain):
        """One signature more; what can't be signed stays as it is."""
        rng = self.rng
        kind = rng.choices(list(self.keys.kinds), [k[2] for k in self.keys.kinds.values()])[0]
        private, extra, form = self.keys.kinds[kind][0], rng.choice(EXTRAS), rng.choice(FORMS)
        python = extra in ('sub-identity', 'sha1', 'oversigned') or (extra not in ('expired', 'expires', 'future', 'no-from')
                                                                                       and rng.random() < 0.5)
        if isinstance(private, Ed25519) and extra == 'sha1':
            extra = ''
        if kind == 'wide' and python:  # it takes python3-dkim too long
            extra, python = '', False
        publish(self.keys, self.zone, kind, domain)
        try:
            field = (self.python if python else self.mailauth)(made.raw, kind, private, domain, form, extra)
        except Exception as e:  # whatever their parsers raise at odd mail
            self.odd.setdefault('%s: %.60s' % (type(e).__name__, e), []).append(made.name)
            return
        made.raw = field + made.raw
        made.signed.append((kind, domain, form, extra, python))
        made.did.append('signed %s %s%s by %s' % (kind, form, ' ' + extra if extra else '', 'python3-dkim' if python else 'mailauth'))

    def python(self, raw, kind, private, domain, form, extra):
        ed = isinstance(private, Ed25519)
        more = {}
        if extra == 'sub-identity':
            more['identity'] = b'who@sub.' + domain.encode()
        if extra == 'oversigned':
            more['include_headers'] = [b'from', b'from', b'subject', b'subject', b'date', b'reply-to', b'to']
        forms = tuple(f.encode() for f in form.split('/'))
        return self.dkim.sign(raw, kind.encode(), domain.encode(), private.seed if ed else private, canonicalize=forms, linesep=b'\r\n',
                              signature_algorithm=b'ed25519-sha256' if ed else b'rsa-sha1' if extra == 'sha1' else b'rsa-sha256',
                              length=extra == 'length', **more)

    def mailauth(self, raw, kind, private, domain, form, extra):
        pem = (private.pem if isinstance(private, Ed25519) else private).decode()
        data = {'signingDomain': domain, 'selector': kind, 'privateKey': pem}
        if extra == 'length':
            data['maxBodyLength'] = len(halves(raw)[1])
        more = {'no-from': {'headerList': 'subject:date:to'}, 'expired': {'signTime': (NOW - 90000) * 1000, 'expires': (NOW - 3600) * 1000},
                'expires': {'expires': (NOW + 90000) * 1000}, 'future': {'signTime': (NOW + 90000) * 1000}}.get(extra, {})
        return self.javascript('sign', raw, canonicalization=form, signatureData=[data], **more)

    def seal(self, made, first):
        by = self.rng.choice(('mm', 'mailauth'))
        kind = self.rng.choice(('rsa', 'short'))
        pem = self.keys.kinds[kind][0].decode()
        try:
            if by == 'mm':
                answer = self.checker.ask('seal', made.raw, NOW, domain='sealer.example', selector=kind, authserv='mx.sealer.example', key=pem,
                                          results='spf=none; dkim=none')
                if 'set' not in answer:
                    raise ValueError('mm: ' + answer['error'])
                field = base64.b64decode(answer['set'])
            else:
                field = self.javascript('seal', made.raw, signingDomain='sealer.example', selector=kind, privateKey=pem, algorithm='rsa-sha256',
                                        authResults='mx.sealer.example; spf=none', cv='none' if first else 'pass')
        except ValueError as e:
            self.odd.setdefault('seal: %.60s' % e, []).append(made.name)
            return False
        made.raw = field + made.raw
        made.did.append('sealed by ' + by)
        return True

    def damage(self, made, ways):
        way = self.rng.choice(sorted(ways))
        raw = ways[way](made.raw)
        if raw != made.raw:
            made.raw = raw
            made.did.append('changed: ' + way)

    def envelope(self, made, domain):
        rng = self.rng
        made.ip = rng.choice(CLIENTS)
        if domain and rng.random() < 0.4:
            made.spf, made.sender = 'own', 'someone@' + domain
            self.zone.setdefault(domain, [('TXT', text(SPF['ip4']))])
            return
        made.spf = rng.choice(SPF_KINDS)
        name = {'broken': 'x.broken.example', 'absent': 'nobody.none.example'}.get(made.spf, made.spf + '.spf.judge.example')
        if rng.random() < 0.15:
            made.helo = name
        else:
            made.sender = 'someone@' + name
        made.did.append('SPF ' + made.spf)

    def make(self, name, data):
        rng, made = self.rng, Made(name, data)
        domain = from_domain(data)
        if domain:
            publish_policy(self.zone, domain, rng)
        signers = ['signer.example'] + ([domain, domain, domain, parent(domain), 'news.' + domain] if domain else [])
        for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
            self.sign(made, rng.choice(signers))
        if rng.random() < 0.3:
            self.damage(made, DAMAGE)
        for hop in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
            if not self.seal(made, hop == 0):
                break
            if rng.random() < 0.25:
                self.damage(made, {**DAMAGE, **ARC_DAMAGE})
        self.envelope(made, domain)
        return made
