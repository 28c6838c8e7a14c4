"""tests/lib/called.py - requests of actions through tests/helpers/call_run.c, and the endpoints that they come to."""
import base64, collections, re, threading
from urllib.parse import unquote
from mm import *

KEY, SECRET = 'AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
MESSAGE = '0' * 24 + '10'

def started_by(pid):
    return [int(p) for p in open('/proc/%d/task/%d/children' % (pid, pid)).read().split()]

class Caller:
    """The caller of mm-deliver with a configuration's section "endpoints", and no mmd. `trusted` is a file of CAs that stands for the
    system's, and `hosts` for its names, in a mount namespace."""
    def __init__(self, endpoints, build_name='asan', env=None, trusted=None, hosts=None, program=None):
        self.root = tempfile.mkdtemp(prefix='mm-call-')
        atexit.register(self.close)
        self.log = os.path.join(self.root, 'log')
        self.last = 0
        self.answers = {}
        argv = [os.path.join(build(build_name), 'call_run'), json.dumps(endpoints)] + ([program] if program else [])
        binds = [(trusted, '/etc/ssl/certs/ca-certificates.crt'), (hosts, '/etc/hosts')]
        script = ' && '.join(['mount --bind %s %s' % b for b in binds if b[0]] + ['exec "$@"'])
        if trusted or hosts:
            argv = ['unshare', '-m', 'sh', '-c', script, 'sh'] + argv
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.log, 'ab'),
                                        env=dict(os.environ, **(env or {})))
        self.condition = threading.Condition()
        equal(self.process.stdout.readline(), b'ready\n', self.tail())
        self.reader = threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True)
        self.reader.start()

    def read(self, stream):
        for line in stream:
            got = json.loads(line)
            with self.condition:
                self.answers[got['id']] = got
                self.condition.notify_all()
        with self.condition:
            self.answers[None] = 'ended'
            self.condition.notify_all()

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait(30)
        self.process = None
        shutil.rmtree(self.root, ignore_errors=True)

    def end(self):
        """What is under way is waited for."""
        p, self.process = self.process, None
        p.stdin.close()
        equal(p.wait(120), 0, 'call_run: ' + self.tail())

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.end()
        self.close()

    def tail(self):
        return open(self.log, errors='replace').read()[-3000:]

    def write(self, o):
        self.last += 1
        self.process.stdin.write(json.dumps(dict(o, id=self.last)).encode() + b'\n')
        self.process.stdin.flush()
        return self.last

    def begin(self, endpoint, ms=60000, body=b'', **call):
        return self.write({'call': dict(call, endpoint=endpoint, ms=ms, body=base64.b64encode(body).decode())})

    def begin_action(self, action, spec, raw, receipt=None, text=b'', **more):
        receipt = receipt or {'mail_from': 'ann@shop.example', 'rcpt': [{'to': 'a@corp.example'}, {'to': 'b@corp.example'}]}
        more.setdefault('message', MESSAGE)
        more.setdefault('received', int(time.time() * 1000))
        return self.write(dict(more, action=action, spec=spec, raw=base64.b64encode(raw).decode(), receipt={'receipt': receipt},
                               text=base64.b64encode(text).decode()))

    def wait(self, id):
        with self.condition:
            while id not in self.answers:
                check(None not in self.answers, 'call_run ended: ' + self.tail())
                self.condition.wait(120) or check(False, 'no answer: ' + self.tail())
            got = self.answers.pop(id)
        if 'answer' in got:
            got['answer'] = base64.b64decode(got['answer'])
        return got

    def ended(self, id):
        with self.condition:
            return id in self.answers

    def ask(self, endpoint, **call):
        return self.wait(self.begin(endpoint, **call))

    def act(self, action, spec, raw, **more):
        return self.wait(self.begin_action(action, spec, raw, **more))

    def homes(self):
        """Who makes the home again, the only child of call_run, and who hears tasks, his only one."""
        keeper, = started_by(self.process.pid)
        return [keeper] + started_by(keeper)

    def children(self):
        """The callers."""
        return [c for home in self.homes()[1:] for c in started_by(home)]

    def caller(self, but=()):
        """The one that works, when there is one."""
        for _ in range(1200):
            found = [c for c in self.children() if c not in but]
            if found:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError('no caller: ' + self.tail())

Request = collections.namedtuple('Request', 'method target fields body line number')

class Server:
    """An endpoint. `rule(request)` says what is answered: a status, or (status, body), or (status, body, {field: value}); bytes that are
    sent as they are; or a function of the connection, which is closed behind it."""
    def __init__(self, rule=lambda r: 200, context=None):
        self.rule, self.context = rule, context
        self.seen, self.connections, self.open, self.most = [], 0, 0, 0
        self.lock = threading.Lock()
        self.socket = socket.create_server(('127.0.0.1', 0), backlog=100)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, host='127.0.0.1', path=''):
        return '%s://%s:%d%s' % ('https' if self.context else 'http', host, self.port, path)

    def accept(self):
        while True:
            c, _ = self.socket.accept()
            with self.lock:
                self.connections += 1
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def read(self, f):
        line = f.readline()
        if not line:
            return None
        fields = []
        while True:
            field = f.readline()
            if field in (b'\r\n', b''):
                break
            name, _, value = field.decode('latin-1').rstrip('\r\n').partition(': ')
            fields.append((name.lower(), value))
        body = f.read(int(dict(fields).get('content-length', '0')))
        method, target, _ = line.decode().split()
        with self.lock:
            r = Request(method, target, fields, body, line, len(self.seen))
            self.seen.append(r)
        return r

    def serve(self, c):
        try:
            if self.context:
                c = self.context.wrap_socket(c, server_side=True)
            f = c.makefile('rb')
            while True:
                r = self.read(f)
                if not r:
                    return
                with self.lock:
                    self.open += 1
                    self.most = max(self.most, self.open)
                try:
                    if not self.answer(c, self.rule(r)):
                        return
                finally:
                    with self.lock:
                        self.open -= 1
        except OSError:
            pass
        finally:
            c.close()

    def answer(self, c, said):
        if callable(said):
            said(c)
            return False
        if isinstance(said, bytes):
            c.sendall(said)
            return False
        said = said if isinstance(said, tuple) else (said,)
        status, body, fields = said + (b'', {})[len(said) - 1:]
        head = ''.join('%s: %s\r\n' % f for f in fields.items())
        c.sendall(('HTTP/1.1 %d Status\r\nContent-Length: %d\r\n%s\r\n' % (status, len(body), head)).encode() + body)
        return True

    def close(self):
        self.socket.close()

def service(server, **more):
    return dict({'url': server.url(), 'region': 'eu-central-1', 'access_key': KEY, 'secret_key': SECRET}, **more)

def foreign_signature(theirs, r, name, region='eu-central-1'):
    """What the AWS SDK's signer would have put into Authorization for this request, whose signed fields are as they came."""
    fields = dict(r.fields)
    signed = re.search('SignedHeaders=([^,]*)', fields['authorization'])[1].split(';')
    when = fields['x-amz-date']
    at = int(time.mktime(time.strptime(when, '%Y%m%dT%H%M%SZ')) - time.timezone) * 1000
    path, _, query = r.target.partition('?')
    answer = theirs.ask({'signer': 'smithy', 'form': 'header', 'service': name, 'region': region, 'id': KEY, 'secret': SECRET, 'at': at,
                         'seconds': 60, 'method': r.method, 'path': path, 'query': [[unquote(s) for s in p.split('=')] for p in query.split('&') if p],
                         'headers': {n: fields[n] for n in signed}, 'body': base64.b64encode(r.body).decode()})
    return answer['headers'].get('authorization') or answer['headers'].get('Authorization')

def authority(folder, *names):
    """(file of a new CA, ssl.SSLContext of a server whose certificate it has given for these names)"""
    import ssl
    def openssl(*args):
        subprocess.run(['openssl'] + list(args), check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    def key(name):
        return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', name]
    openssl('req', '-x509', *key('ca-key'), '-days', '30', '-subj', '/CN=Test CA', '-out', 'ca')
    openssl('req', *key('key'), '-subj', '/CN=' + names[0], '-out', 'request')
    with open(os.path.join(folder, 'names'), 'w') as f:
        f.write('subjectAltName=%s\n' % ','.join(('IP:' if n[0].isdigit() else 'DNS:') + n for n in names))
    openssl('x509', '-req', '-in', 'request', '-CA', 'ca', '-CAkey', 'ca-key', '-CAcreateserial', '-days', '30', '-extfile', 'names', '-out', 'crt')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, 'crt'), os.path.join(folder, 'key'))
    return os.path.join(folder, 'ca'), context
