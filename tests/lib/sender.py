"""tests/lib/sender.py - the sender of mm-deliver without mmd, and mail servers for it that do what a test says."""
import queue, ssl, threading
from mm import *

class Run:
    """outbound_run: gives messages, waits for their ends."""
    def __init__(self, send=None, dns=None, hostname='out.mm.test'):
        self.bin = build('asan')
        self.log = tempfile.NamedTemporaryFile(prefix='mm-sender-', suffix='.log')
        atexit.register(self.log.close) # before done() ends a process that has threads
        config = {'send': send or {}, 'dns': dns or {}, 'hostname': hostname}
        self.process = subprocess.Popen([os.path.join(self.bin, 'outbound_run'), json.dumps(config), os.path.join(self.bin, 'mm-deliver')],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        atexit.register(self.kill)
        self.numbers, self.got, self.more = queue.Queue(), {}, threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            with self.more:
                if 'results' in said:
                    self.got[said['n']] = said
                else:
                    self.numbers.put(said['n'])
                self.more.notify_all()

    def write(self, **what):
        self.process.stdin.write(json.dumps(what).encode() + b'\n')
        self.process.stdin.flush()

    def give(self, target, *rcpt, data=None, sender='ann@shop.example', times=1, utf8=False):
        """Numbers of attempts that are under way."""
        if isinstance(target, str):
            target = {'domain': target}
        rcpt = rcpt or ('bob@' + target.get('domain', 'corp.example'),)
        self.write(target=target, rcpt=list(rcpt), data=data or mail().decode(), times=times, utf8=utf8, **{'from': sender})
        return [self.numbers.get(timeout=60) for _ in range(times)]

    def wait(self, numbers, seconds=120):
        with self.more:
            check(self.more.wait_for(lambda: all(n in self.got for n in numbers), seconds), 'no end of %r: %s' % (
                [n for n in numbers if n not in self.got][:5], self.tail()))
        return [self.got[n] for n in numbers]

    def send(self, target, *rcpt, **options):
        """One message's end: {"host", "tls", "results"}."""
        return self.wait(self.give(target, *rcpt, **options))[0]

    def result(self, target, *rcpt, **options):
        """(end, code, enhanced) of its only recipient."""
        r = self.send(target, *rcpt, **options)['results'][0]
        return r['end'], r['code'], r['enhanced']

    def children(self):
        """The senders: children of the home; who makes that again is a child of outbound_run."""
        parents = {}
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                stat = open('/proc/%s/stat' % pid).read()
            except OSError:
                continue
            if stat.rsplit(')', 1)[1].split()[0] != 'Z':
                parents.setdefault(int(stat.rsplit(')', 1)[1].split()[1]), []).append(int(pid))
        return [c for keeper in parents.get(self.process.pid, []) for home in parents.get(keeper, []) for c in parents.get(home, [])]

    def tail(self):
        return open(self.log.name, errors='replace').read()[-3000:]

    def end(self):
        """A clean end; nothing may be left."""
        self.process.stdin.close()
        equal(self.process.wait(60), 0, self.tail())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

class Gone(Exception):
    pass

class Session:
    """A connection at a peer."""
    def __init__(self, peer, sock):
        self.peer, self.sock, self.tls, self.left, self.count = peer, sock, '', b'', 0
        self.sender, self.rcpts = None, []

    def put(self, text):
        self.sock.sendall(text if isinstance(text, bytes) else (text + '\r\n').encode())

    def line(self, end=b'\r\n'):
        while end not in self.left:
            more = self.sock.recv(65536)
            if not more:
                raise Gone()
            self.left += more
        line, self.left = self.left.split(end, 1)
        return line

    def secure(self):
        check(not self.left, 'bytes behind STARTTLS')
        self.sock = self.peer.context.wrap_socket(self.sock, server_side=True)
        self.tls = self.sock.version()

    def ehlo(self):
        words = ['peer.example', 'PIPELINING', '8BITMIME', 'SIZE 100000000', 'ENHANCEDSTATUSCODES']
        if self.peer.context and not self.tls:
            words.append('STARTTLS')
        if self.peer.users:
            words.append('AUTH PLAIN LOGIN')
        return ''.join('250%s%s\r\n' % (' ' if w == words[-1] else '-', w) for w in words).encode()

    def auth(self, words):
        import base64
        given = base64.b64decode(words.split()[1] if ' ' in words else self.ask('334 '))
        name, password = given.split(b'\0')[1:]
        good = self.peer.users.get(name.decode()) == password.decode()
        self.peer.auths.append((name.decode(), bool(self.tls)))
        return '235 2.7.0 welcome' if good else '535 5.7.8 no'

    def ask(self, text):
        self.put(text)
        return self.line()

    def take(self):
        """The message, and a reply to it, or one for each recipient."""
        self.put('354 go on')
        data = self.line(b'\r\n.\r\n') + b'\r\n'
        data = data.replace(b'\r\n..', b'\r\n.')
        data = data[1:] if data.startswith(b'..') else data
        self.count += 1
        said = [self.peer.say(self, '.', r) or '250 2.0.0 taken' for r in (self.rcpts if self.peer.lmtp else [''])]
        if any(s.startswith('2') for s in said):
            self.peer.mails.append({'from': self.sender, 'rcpt': self.rcpts, 'data': data, 'tls': self.tls})
        self.rcpts = []
        for s in said:
            self.put(s)

    def obey(self, line):
        verb, _, rest = line.decode('latin-1').partition(' ')
        verb = verb.upper()
        said = self.peer.say(self, verb, rest)
        if said is not None:
            self.put(said)
        elif verb in ('EHLO', 'LHLO'):
            self.put(self.ehlo())
        elif verb == 'STARTTLS':
            self.put('220 ready')
            self.secure()
        elif verb == 'AUTH':
            self.put(self.auth(rest))
        elif verb == 'DATA' and not self.rcpts:
            self.put('554 5.5.1 no valid recipients')
        elif verb == 'DATA':
            self.take()
        elif verb == 'QUIT':
            self.put('221 bye')
            raise Gone()
        else:
            if verb == 'MAIL':
                self.sender, self.rcpts = rest[5:].split('>')[0].strip('<'), []
            self.put('250 2.1.0 ok')
        if verb == 'RCPT' and (said or '2').startswith('2'):
            self.rcpts.append(rest[3:].split('>')[0].strip('<'))

    def run(self):
        try:
            if self.peer.wrapped:
                self.secure()
            self.put(self.peer.say(self, 'GREETING', '') or '220 peer.example ESMTP')
            while True:
                self.obey(self.line())
                self.peer.after(self)
        except (Gone, OSError, ssl.SSLError):
            pass
        self.sock.close()

class Peer:
    """A mail server at an address of loopback. `say(session, verb, rest)` gives a reply where the usual one isn't wanted ("." is the end
    of a message), or raises Gone; `after(session)` comes behind each command. `most` is how many connections were open at once."""
    def __init__(self, ip, port, context=None, say=None, after=None, users=None, wrapped=False, lmtp=False):
        self.context, self.users, self.wrapped, self.lmtp = context, users or {}, wrapped, lmtp
        self.say = say or (lambda session, verb, rest: None)
        self.after = after or (lambda session: None)
        self.mails, self.auths, self.connections, self.open, self.most = [], [], 0, 0, 0
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_INET6 if ':' in ip else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((ip, port))
        self.listener.listen(100)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with self.lock:
            self.connections += 1
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            Session(self, sock).run()
        finally:
            with self.lock:
                self.open -= 1

class Authority:
    """A CA, and certificates of it for names; self-signed ones without it."""
    def __init__(self):
        self.root = tempfile.mkdtemp(prefix='mm-ca-')
        atexit.register(shutil.rmtree, self.root, True)
        self.file = self.path('ca.crt')
        self.openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30', '-subj', '/CN=Test CA',
                     '-keyout', self.path('ca.key'), '-out', self.file)

    def path(self, name):
        return os.path.join(self.root, name)

    def openssl(self, *args, **options):
        return subprocess.run(['openssl'] + list(args), check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options).stdout

    def certificate(self, *names, signed=True, rsa=False):
        """A file of certificate and key."""
        kind = ['rsa:2048'] if rsa else ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
        at = self.path(names[0].replace('*', '_') + ('' if signed else '.self'))
        new = ['req', '-newkey'] + kind + ['-nodes', '-subj', '/CN=' + names[0],
               '-addext', 'subjectAltName=' + ','.join('DNS:' + n for n in names), '-keyout', at + '.key']
        if not signed:
            self.openssl(*(new + ['-x509', '-days', '30', '-out', at + '.crt']))
        else:
            self.openssl(*(new + ['-out', at + '.csr']))
            self.openssl('x509', '-req', '-in', at + '.csr', '-CA', self.file, '-CAkey', self.path('ca.key'), '-CAcreateserial', '-days', '30',
                         '-copy_extensions', 'copy', '-out', at + '.crt')
        with open(at, 'w') as f:
            f.write(open(at + '.crt').read() + (open(self.file).read() if signed else '') + open(at + '.key').read())
        return at

    def context(self, *names, signed=True):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(self.certificate(*names, signed=signed))
        return c

    def tlsa(self, usage, name, selector=1):
        """The data of a TLSA record by SHA-256: "3 1 1 ..." of a certificate that was made."""
        file = self.file if usage == 2 else self.path(name) + '.crt'
        der = self.openssl('x509', '-in', file, '-outform', 'DER')
        if selector == 1:
            public = self.openssl('x509', '-in', file, '-noout', '-pubkey')
            der = self.openssl('pkey', '-pubin', '-outform', 'DER', input=public)
        return '%d %d 1 %s' % (usage, selector, hashlib.sha256(der).hexdigest())
