"""tests/lib/mm.py - what the end-to-end tests share: a data directory of its own, a running mmd, foreign senders.

Every test prints "ok NAME", "FAIL NAME: why" or "skip NAME: why" (see tests/run.py). A Site lives in a temporary
directory and takes its processes and files with it, pass or fail."""
import atexit, hashlib, json, os, random, shutil, signal, smtplib, socket, struct, subprocess, sys, tempfile, threading, time, traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPORA = os.path.join(ROOT, '..', 'shared', 'corpora', 'dev.tar.zst')
LONG = bool(os.environ.get('MM_LONG'))
failures = 0

class Skip(Exception):
    pass

def build(name=''):
    """build-asan by default; '' is the release, 'tsan' and 'clang' what they say, 'early' and 'plain' are the controls (build-clang with
    a guard taken out). MM_BIN replaces build-asan."""
    if name == 'asan' and os.environ.get('MM_BIN'):
        return os.environ['MM_BIN']
    if name in ('early', 'plain'):
        return os.path.join(ROOT, 'build-clang', name, 'bin')
    return os.path.join(ROOT, 'build' + ('-' + name if name else ''), 'bin')

def test(function):
    """Runs a test now and prints its verdict."""
    global failures
    name = function.__name__.replace('_', '-')
    try:
        function()
        print('ok ' + name, flush=True)
    except Skip as e:
        print('skip %s: %s' % (name, e), flush=True)
    except BaseException as e:
        failures += 1
        print(traceback.format_exc()[-3000:])
        for site in sites[-2:]:
            print(''.join('mmd%s: %s\n' % ('' if site.alive() else ' (ended)', l) for l in site.tail(2000).splitlines()), end='')
        print('FAIL %s: %s' % (name, str(e).split('\n')[0][:300]), flush=True)
        if isinstance(e, KeyboardInterrupt):
            raise
    return function

def done():
    """Also where a test that failed has left threads at work: they would be waited for before what they work on is ended."""
    if threading.active_count() == 1:
        sys.exit(1 if failures else 0)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(1 if failures else 0)

def check(condition, text):
    if not condition:
        raise AssertionError(text)

def equal(got, want, text=''):
    if got != want:
        raise AssertionError('%s: got %r, want %r' % (text, got, want))

taken = [] # a name for each port that this process was given

def free_port():
    """Below those that the system gives to clients: one of theirs could be taken again before it is listened on. No other test is
    given it while this process lives: mmd may start on it again and again."""
    while True:
        port = random.randrange(10240, 32000)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind('\0mm-test-port-%d' % port)
            with socket.socket() as s:
                s.bind(('127.0.0.1', port))
            taken.append(name)
            return port
        except OSError:
            name.close()

def corpus(folder, *files):
    """Unpacks the corpora, or those files of them, into `folder`, or skips the test with a line that says so."""
    if not os.path.exists(CORPORA):
        raise Skip('needs ../shared/corpora, which is absent')
    some = ['--occurrence=1'] + ['dev/' + name for name in files] if files else []
    subprocess.run(['tar', '--zstd', '-xf', CORPORA, '-C', folder] + some, check=True)
    return os.path.join(folder, 'dev')

def crlf(data):
    """Line ends as SMTP carries them: bare LF and bare CR become CRLF."""
    return data.replace(b'\r\n', b'\n').replace(b'\r', b'\n').replace(b'\n', b'\r\n')

DEFAULT = {
    "Archives": [{"ArchiveName": "corp", "Retention": {"RetentionPeriod": "ONE_YEAR"}},
                 {"ArchiveName": "short", "Retention": {"RetentionDays": 30}},
                 {"ArchiveName": "legal", "Retention": {"RetentionPeriod": "TEN_YEARS"}}],
    "TrafficPolicies": [{"TrafficPolicyName": "open", "DefaultAction": "ALLOW", "PolicyStatements": []}],
    "RuleSets": [{"RuleSetName": "all", "Rules": [
        {"Name": "keep", "Conditions": [], "Actions": [{"Archive": {"TargetArchive": "corp"}}]}]}],
}

sites = [] # those that are not closed: what their mmd says last is printed with a test that fails

class Site:
    def __init__(self, build_name='asan', config=None, resources=None, apply=True, ingress=None):
        self.bin = build(build_name)
        self.root = tempfile.mkdtemp(prefix='mm-test-')
        atexit.register(self.close)
        sites.append(self)
        self.data = os.path.join(self.root, 'data')
        self.clock = os.path.join(self.root, 'clock')
        self.write(self.clock, '0')
        self.port = free_port()
        self.log = os.path.join(self.root, 'mmd.log')
        self.config = os.path.join(self.root, 'config.json')
        self.process = None
        self.env = dict(os.environ, MM_DATA=self.data, MM_TEST_CLOCK=self.clock)
        self.env.pop('MM_KEY_FILE', None)
        # Small limits, so that files roll and shards are sealed in every end-to-end test.
        settings = {"smtp": {"hostname": "mm.test", "max_per_address": 1000}, "index": {"shard_messages": 100},
                    "spool": {"file_bytes": 1 << 20}, "parse": {"workers": 2}, "retention": {"schedule": "off"}}
        for section, values in (config or {}).items():
            settings.setdefault(section, {}).update(values)
        self.write(self.config, json.dumps(settings))
        self.run('mmctl', 'init')
        if apply:
            self.apply(resources or DEFAULT, ingress)

    def write(self, path, text):
        with open(path, 'w') as f:
            f.write(text)

    def tls(self):
        """A self-signed certificate, named in the configuration."""
        cert, key = os.path.join(self.root, 'crt'), os.path.join(self.root, 'tls-key')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                        '-days', '30', '-subj', '/CN=localhost', '-keyout', key, '-out', cert], check=True,
                       stderr=subprocess.DEVNULL)
        settings = json.load(open(self.config))
        settings['smtp'].update(tls_cert=cert, tls_key=key)
        self.write(self.config, json.dumps(settings))

    def apply(self, resources, ingress=None):
        """Applies resources; an ingress point "inbound" on a free port is added where there is none."""
        resources = dict(resources)
        if 'IngressPoints' not in resources:
            point = {"IngressPointName": "inbound", "Type": "OPEN", "TlsPolicy": "OPTIONAL", "TlsWrapped": False,
                     "Listen": "127.0.0.1:%d" % self.port, "TrafficPolicyName": "open", "RuleSetName": "all"}
            point.update(ingress or {})
            resources['IngressPoints'] = [point]
        path = os.path.join(self.root, 'resources.json')
        self.write(path, json.dumps(resources))
        return self.run('mmctl', 'apply', path)

    def run(self, tool, *args, code=0, env=None, input=None, binary=False):
        p = subprocess.run([os.path.join(self.bin, tool)] + list(args), env=env or self.env, input=input,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=900)
        if code is not None and p.returncode != code:
            raise AssertionError('%s %s: exit %d, want %d\n%s\n%s' % (tool, ' '.join(args)[:500], p.returncode, code,
                                 p.stdout[-2000:].decode('utf-8', 'replace'), p.stderr[-4000:].decode('utf-8', 'replace')))
        self.stderr = p.stderr.decode('utf-8', 'replace')
        return p.stdout if binary else p.stdout.decode('utf-8', 'replace')

    def start(self, wait=60):
        check(self.process is None, 'mmd runs already')
        log = open(self.log, 'ab')
        self.process = subprocess.Popen([os.path.join(self.bin, 'mmd'), '--config', self.config], env=self.env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                        start_new_session=True)
        log.close()
        line = self.process.stdout.readline()
        if line != b'ready\n':
            self.process.wait(10)
            raise AssertionError('mmd is not ready: %r\n%s' % (line, self.tail()))
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def tail(self, n=3000):
        return open(self.log, errors='replace').read()[-n:] if os.path.exists(self.log) else ''

    def stop(self):
        """A clean stop; anything but exit 0 is a failure."""
        if not self.process:
            return
        p, self.process = self.process, None
        p.send_signal(signal.SIGTERM)
        code = p.wait(120)
        p.stdout.close()
        if code != 0:
            raise AssertionError('mmd ended with %d\n%s' % (code, self.tail()))
        report = self.tail(1 << 22).find('WARNING: ThreadSanitizer')  # of a child, whose status mmd doesn't pass on
        check(report < 0, self.tail(1 << 22)[report:report + 3000])

    def kill(self):
        """kill -9 of the whole tree at once: mmd is the leader of its process group."""
        p, self.process = self.process, None
        os.killpg(p.pid, signal.SIGKILL)
        p.wait(30)
        p.stdout.close()

    def close_process(self):
        if self.process:
            try:
                self.kill()
            except OSError:
                pass

    def close(self):
        self.close_process()
        if self in sites:
            sites.remove(self)
        shutil.rmtree(self.root, ignore_errors=True)

    def wait(self, timeout=300):
        try:
            self.run('mmctl', 'wait', '--timeout', str(timeout))
        except AssertionError as e:
            raise AssertionError('%s\n%s\n%s' % (e, self.tail(), self.run('mmctl', 'status')))

    def status(self):
        return json.loads(self.run('mmctl', 'status', '--json'))

    def sealed(self, least=1):
        """Status, when so many shards are sealed, which takes a moment after `wait`."""
        for _ in range(600):
            s = self.status()
            if s['sealed_shards'] >= least:
                return s
            time.sleep(0.1)
        raise AssertionError('%d sealed shards, not %d' % (s['sealed_shards'], least))

    def request(self, op, **arguments):
        """(result, rows) over the socket: what a tool does, without the tool's start."""
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(self.data, 'mmd.sock'))
        stream = s.makefile('rwb')
        text = json.dumps(dict(arguments, op=op)).encode()
        stream.write(struct.pack('<I', len(text)) + text)
        stream.flush()
        rows = []
        try:
            while True:
                size = struct.unpack('<I', stream.read(4))[0]
                frame = stream.read(size)
                if frame[:1] == b'J':
                    rows.append(json.loads(frame[1:]))
                elif frame[:1] == b'D':
                    return json.loads(frame[1:]), rows
                elif frame[:1] == b'E':
                    raise AssertionError('%s: %s' % (op, frame[1:].decode()))
        finally:
            stream.close()
            s.close()

    def send(self, data, to=('sales@corp.example',), sender='ann@shop.example', port=None):
        """One message by Python's smtplib; the id from the 250."""
        with Sender(port or self.port) as s:
            return s.send(data, to, sender)

    def count(self, query, archive='corp'):
        return int(self.run('mm-search', '--archive', archive, '--count', query))

    def ids(self, query, archive='corp'):
        return self.run('mm-search', '--archive', archive, '--ids', query).split()

    def rows(self, query='', archive='corp'):
        return [json.loads(l) for l in self.run('mm-search', '--archive', archive, '--json', query).splitlines()]

    def advance(self, days=0, seconds=0):
        """Sets the test clock forward (or back)."""
        now = int(open(self.clock).read())
        fresh = self.clock + '.new'
        self.write(self.clock, str(now + int((days * 86400 + seconds) * 1000)).ljust(20))

    def verify(self):
        return json.loads(self.run('mmctl', 'verify', '--json').splitlines()[-1])

    def files(self):
        """Every regular file of the data directory."""
        for at, _, names in os.walk(self.data):
            for name in names:
                path = os.path.join(at, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    yield path

    def grep(self, needles):
        """(needle, file) for every needle that lies in the clear in a file of the data directory."""
        hits = []
        for path in self.files():
            try:
                content = open(path, 'rb').read()
            except FileNotFoundError:
                continue
            hits += [(n, os.path.relpath(path, self.data)) for n in needles if n in content]
        return hits

class Sender:
    """A connection that sends exact bytes (smtplib stuffs dots; line ends must be CRLF already)."""
    def __init__(self, port, tls=False, timeout=120, host='127.0.0.1'):
        self.smtp = smtplib.SMTP(host, port, local_hostname='client.example', timeout=timeout)
        if tls:
            import ssl
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.smtp.starttls(context=context)
        self.smtp.ehlo()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.smtp.quit()
        except (smtplib.SMTPException, OSError):
            self.smtp.close()

    def try_send(self, data, to=('sales@corp.example',), sender='ann@shop.example'):
        """(code, text) of the last reply; the bytes arrive as they are."""
        code, text = self.smtp.docmd('MAIL FROM:<%s>' % sender)
        for r in to:
            if code // 100 == 2:
                code, text = self.smtp.docmd('RCPT TO:<%s>' % r)
        if code // 100 != 2:
            self.smtp.docmd('RSET')
            return code, text
        code, text = self.smtp.docmd('DATA')
        if code != 354:
            return code, text
        body = data.replace(b'\r\n.', b'\r\n..')
        if body.startswith(b'.'):
            body = b'.' + body
        if not body.endswith(b'\r\n'):
            body += b'\r\n'
        self.smtp.sock.sendall(body + b'.\r\n')
        return self.smtp.getreply()

    def send(self, data, to=('sales@corp.example',), sender='ann@shop.example'):
        code, text = self.try_send(data, to, sender)
        if code != 250:
            raise AssertionError('refused: %d %s' % (code, text))
        return message_id(text)

def message_id(text):
    """The id in the reply to the end of data: its last word of 26 characters."""
    words = [w.strip('.') for w in text.decode('latin-1').split()]
    return [w for w in words if len(w) == 26][-1]

def sha256(data):
    return hashlib.sha256(data).hexdigest()

def mail(subject='hello', body='text', sender='ann@shop.example', to='sales@corp.example', extra=''):
    """A small message with CRLF line ends."""
    text = ('From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: Mon, 02 Mar 2026 09:15:00 +0100\r\n%s\r\n%s\r\n'
            % (sender, to, subject, extra, body))
    return text.encode('utf-8')
