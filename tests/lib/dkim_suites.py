"""tests/lib/dkim_suites.py - the DKIM and ARC suites of others as cases, and tests/helpers/dkim_check, which judges them.

A Case is a message, the time, what is expected, and the zone that its keys are in. Suites are read as they lie in the corpora: mails
beside a file of DNS records, C programs that feed a library field by field, Go sources with mails in them, YAML."""
import ast, base64, collections, glob, re
from mm import *
from nsd import Nsd, text

sys.path.append('/usr/lib/python3/dist-packages') # Debian's modules, where python3 isn't Debian's

Case = collections.namedtuple('Case', 'suite name message now want zone')
NOW = 1700000000

class Checker:
    """tests/helpers/dkim_check, whose lookups go to `forward`."""
    def __init__(self, forward):
        self.process = subprocess.Popen([os.path.join(build('asan'), 'dkim_check'), forward], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def ask(self, op, message, now=NOW, **more):
        question = dict(more, op=op, raw=base64.b64encode(message).decode(), now=now)
        self.process.stdin.write(json.dumps(question).encode() + b'\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        check(line, 'dkim_check ended at %.200r' % message)
        answer = json.loads(line)
        check(answer, 'dkim_check knows no %r' % op)
        return answer

    def check(self, message, now=NOW):
        return self.ask('check', message, now)

    def end(self):
        self.process.stdin.close()
        equal(self.process.wait(60), 0, 'how dkim_check ended')
        self.process.stdout.close()

def folder():
    where = tempfile.mkdtemp(prefix='mm-dkim-')
    atexit.register(shutil.rmtree, where, True)
    return os.path.join(corpus(where), 'auth')

def read(*path):
    with open(os.path.join(*path), 'rb') as f:
        return f.read()

def records(texts):
    """{name: TXT bytes} as Nsd takes it."""
    return {name: [('TXT', text(value))] for name, value in texts.items()}

# ---- perl-mail-dkim: t/verifier.t, t/corpus, t/FAKE_DNS.dat ----

def perl(auth):
    """'pass', 'fail' or 'invalid'."""
    root = os.path.join(auth, 'perl-mail-dkim', 't')
    texts, failing = {}, []
    for line in read(root, 'FAKE_DNS.dat').decode('latin-1').splitlines():
        name, _, value = line.partition(' ')
        value = value.strip()
        if not name or name[0] in '#;' or value == 'NXDOMAIN':
            continue
        if value.startswith('~~'):
            failing.append(name)
        else:
            texts[name] = value.encode('latin-1')
    zone = (records(texts), tuple(failing))
    script = re.sub(r'(?m)^\s*SKIP:\s*\{\s*skip "older.*?^\}', '', read(root, 'verifier.t').decode(), flags=re.S)
    for name, want in re.findall(r'(?m)^\s*test_email\( "([^"]+)",\s*"(\w+)"', script):
        yield Case('perl-mail-dkim', name, read(root, 'corpus', name), NOW, want, zone)

# ---- opendkim: libopendkim/tests/t-test*.c ----

def c_string(value, defined):
    """Literals and names of macros, one behind the other; None: something else is in it."""
    out = ''
    for literal, name in re.findall(r'"((?:\\.|[^"\\])*)"|(\w+)', value):
        if name and name not in defined:
            return None
        out += c_string(defined[name], defined) if name else literal.encode().decode('unicode_escape')
    return out

def c_macros(source):
    joined = source.replace('\\\n', ' ')
    return {m[0]: m[1] for m in re.findall(r'(?m)^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(.*)$', joined)}

CALL = re.compile(r'"%s: %s",\s*DKIM_SIGNHEADER,\s*(?P<sig>\w+)\)|dkim_header\(\w+, (?P<header>\w+),|dkim_body\(\w+, (?P<body>\w+),|'
                  r'dkim_(?P<end>eo[hm])\([^;]*;\s*assert\(status == DKIM_STAT_(?P<status>\w+)\)|'
                  r'(?P<odd>\bfor \(|\bwhile \(|dkim_chunk|dkim_sign\(|dkim_resign|memset\(hdr|dkim_setpart)')

def c_message(main, defined):
    """(message, status), or why there is none."""
    header, body, status, sig = [], '', None, None
    for m in CALL.finditer(main):
        if m.group('odd'):
            return 'it uses ' + m.group('odd').rstrip('( ')
        if m.group('sig'):
            sig = m.group('sig')
        elif m.group('header'):
            value = c_string(sig if m.group('header') == 'hdr' and sig else m.group('header'), defined)
            if value is None:
                return 'a header that is made by code'
            header.append(('DKIM-Signature: ' if m.group('header') == 'hdr' else '') + value)
        elif m.group('body'):
            value = c_string(m.group('body'), defined)
            if value is None:
                return 'a body that is made by code'
            body += value
        else:
            status = m.group('status')
            if m.group('end') == 'eom' or status != 'OK':
                break
    if not header or status is None:
        return 'no message with an expectation'
    return ('\r\n'.join(header) + '\r\n\r\n' + body).encode('latin-1'), status

def opendkim(auth, left):
    """'OK' (pass), 'BADSIG' (fail) or another status of libopendkim; `left` gets the tests that aren't a message."""
    root = os.path.join(auth, 'opendkim', 'libopendkim', 'tests')
    shared = c_macros(read(root, 't-testdata.h').decode('latin-1'))
    setup = read(root, 't-setup.c').decode('latin-1')
    texts = {}
    for selector, domain, key in re.findall(r'"%s\.%s\.%s ", (\w+),\s*DKIM_DNSKEYNAME,\s*(\w+)\);.*?p = (\w+);', setup, re.S):
        texts['%s._domainkey.%s' % (c_string(selector, shared), c_string(domain, shared))] = c_string(key, shared).encode()
    zone = (records(texts), ())
    for path in sorted(glob.glob(os.path.join(root, 't-test*.c'))):
        source = re.sub(r'(?s)/\*.*?\*/', '', read(path).decode('latin-1'))
        name = os.path.basename(path)[:-2]
        if 'dkim_verify(' not in source:
            continue
        found = c_message(source[source.index('\nmain('):], dict(shared, **c_macros(source)))
        if isinstance(found, str):
            left[name] = found
        else:
            yield Case('opendkim', name, found[0], NOW, found[1], zone)

# ---- go-msgauth: dkim/verify_test.go ----

def go_strings(source):
    out = {n: v for n, v in re.findall(r'(?m)^const (\w+) = `(.*?)`', source, re.S)}
    for name, value in re.findall(r'(?m)^const (\w+) = ((?:"[^"]*"[ +\n\t]*)+)', source):
        out[name] = ''.join(re.findall(r'"([^"]*)"', value))
    return out

def go(auth):
    """What the first signature is ('none' without one)."""
    root = os.path.join(auth, 'go-msgauth', 'dkim')
    keys = go_strings(read(root, 'query_test.go').decode())
    texts = {'%s._domainkey.%s' % name: keys[key].encode() for name, key in [
        (('brisbane', 'example.com'), 'dnsPublicKey'), (('brisbane', 'example.org'), 'dnsPublicKey'),
        (('test', 'football.example.com'), 'dnsPublicKey'), (('newengland', 'example.com'), 'dnsRawRSAPublicKey'),
        (('brisbane', 'football.example.com'), 'dnsEd25519PublicKey')]}
    mails = go_strings(read(root, 'verify_test.go').decode())
    for name, want in [('unsignedMailString', 'none'), ('verifiedMailString', 'pass'), ('verifiedRawRSAMailString', 'pass'),
                       ('verifiedEd25519MailString', 'pass')]:
        yield Case('go-msgauth', name, crlf(mails[name].encode()), NOW, want, (records(texts), ()))

# ---- mailauth: test/dkim/ec/fixtures ----

def mailauth(auth):
    """Both signatures are to pass."""
    root = os.path.join(auth, 'mailauth', 'test', 'dkim', 'ec', 'fixtures')
    dns = json.loads(read(root, 'dns.json'))
    zone = ({name: [('TXT', text([s.encode() for s in row])) for row in rows['TXT']] for name, rows in dns.items()}, ())
    yield Case('mailauth', 'signed.eml', crlf(read(root, 'signed.eml')), 1528637909, 'pass pass', zone)

# ---- arc_test_suite: tests/arc-draft-validation-tests.yml ----

def arc(auth):
    """'none', 'pass', 'fail', or '' where the draft said nothing."""
    try:
        import yaml
    except ImportError:
        raise Skip('needs python3-yaml, which is absent')
    class Loader(yaml.SafeLoader):
        """Names that are there twice (the suite has four) are two cases."""
    def pairs(loader, node):
        out = {}
        for key, value in node.value:
            name = loader.construct_object(key)
            while name in out:
                name += ' again'
            out[name] = loader.construct_object(value, deep=True)
        return out
    Loader.add_constructor('tag:yaml.org,2002:map', pairs)
    source = read(auth, 'arc_test_suite', 'tests', 'arc-draft-validation-tests.yml')
    for scenario in yaml.load_all(source, Loader):
        texts = {n: v.encode() for n, v in scenario.get('txt-records', {}).items() if v}
        for name, test in scenario['tests'].items():
            message = crlf(test['message'].encode())
            yield Case('arc_test_suite', name, message, NOW, (test['cv'] or '').strip().lower(), (records(texts), ()))

# ---- running them ----

def judge(cases):
    """[(case, answer)], each case's keys being served by a real server."""
    out = []
    zones = []
    for case in cases:
        if case.zone not in zones:
            zones.append(case.zone)
    for zone in zones:
        server = Nsd(*zone)
        checker = Checker(server.forward)
        for case in cases:
            if case.zone == zone:
                out.append((case, checker.check(case.message, case.now)))
        checker.end()
        server.close()
    return out

def flipped(message):
    """With one bit of the body changed, or of the last field where there is no body."""
    end = message.find(b'\r\n\r\n') + 4
    letters = [i for i in range(end if end > 3 else 0, len(message)) if chr(message[i]).isalnum()]
    if not letters:
        return None
    return message[:letters[0]] + bytes([message[letters[0]] ^ 1]) + message[letters[0] + 1:]

def table(suite, rows, more=()):
    """Rows are (name, agrees, reason); prints the count and each that didn't pass; a difference without a reason fails."""
    passed = sum(1 for _, agrees, _ in rows if agrees)
    print('%s: %d cases, %d passed' % (suite, len(rows), passed))
    for name, agrees, reason in rows:
        if not agrees:
            print('   %-28s %s' % (name, reason or 'NOT EXPLAINED'))
    for line in more:
        print('   ' + line)
    bad = [name for name, agrees, reason in rows if not agrees and not reason]
    equal(bad, [], 'differences that nothing explains in ' + suite)
    check(rows, 'no cases in ' + suite)
