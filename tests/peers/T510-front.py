#!/usr/bin/env python3
"""mm-smtpd with mmd's front and a spool behind it, nothing else (front_run): limits, passwords, deadlines, a configuration that
changes, a process that dies, and what the confined process holds."""
import base64, os, re, ssl, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

BIN = os.environ.get('MM_BIN') or build('asan')
PLAIN, WRAPPED, AUTH, OTHER = (free_port() for _ in range(4))
SNAPSHOT = json.load(open(os.path.join(ROOT, 'tests', 'data', 'front.json')))

class Front:
    def __init__(self, **options):
        self.dir = tempfile.mkdtemp(prefix='mm-T510.')
        self.file = os.path.join(self.dir, 'snapshot.json')
        self.listen(PLAIN, WRAPPED, AUTH)
        self.err = open(os.path.join(self.dir, 'err'), 'w+')
        self.p = subprocess.Popen([os.path.join(BIN, 'front_run'), os.path.join(BIN, 'mm-smtpd'), self.file,
                                   *('%s=%d' % o for o in options.items())], stdout=subprocess.PIPE, stderr=self.err, text=True)
        self.lines = []
        equal(self.p.stdout.readline(), 'ready\n', 'front_run says')
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.p.stdout))
        self.reader.start()

    def listen(self, *ports):
        snapshot = json.loads(json.dumps(SNAPSHOT))
        for point, port in zip(snapshot['IngressPoints'], ports):
            point['Listen'] = '127.0.0.1:%d' % port
        with open(self.file, 'w') as f:
            json.dump(snapshot, f)

    def child(self):
        return int(open('/proc/%d/task/%d/children' % (self.p.pid, self.p.pid)).read().split()[0])

    def end(self):
        """Stops it; returns the meta of each message that was in the spool."""
        self.p.send_signal(signal.SIGTERM)
        code = self.p.wait(30)
        self.reader.join()
        self.err.seek(0)
        text = self.err.read()
        shutil.rmtree(self.dir)
        check(code == 0 and 'ERROR: ' not in text and 'runtime error' not in text, 'exit %d: %s' % (code, text))
        metas = [json.loads(line.split(' ', 1)[1]) for line in self.lines if ' {' in line]
        equal(self.lines[-1], '%d messages\n' % len(metas), 'the last line')
        return metas

class Client:
    """A raw connection; reply() gives the last line of a reply, or '' at the end."""
    def __init__(self, port=None):
        self.s = socket.create_connection(('127.0.0.1', port or PLAIN), timeout=10)
        self.b = b''
        self.first = self.reply()

    def line(self):
        while b'\n' not in self.b:
            try:
                data = self.s.recv(65536)
            except ConnectionResetError:
                data = b''
            if not data:
                return ''
            self.b += data
        line, self.b = self.b.split(b'\n', 1)
        return line.decode().strip()

    def reply(self):
        while True:
            line = self.line()
            if line[3:4] != '-':
                return line

    def say(self, text):
        self.s.sendall(text.encode() + b'\r\n')
        return self.reply()

    def tls(self):
        self.say('EHLO a.test')
        self.say('STARTTLS')
        c = ssl._create_unverified_context()
        self.s = c.wrap_socket(self.s)
        return self.say('EHLO a.test')

def send(port=None, size=100, rcpt='a@local.test'):
    with smtplib.SMTP('127.0.0.1', port or PLAIN, timeout=30) as s:
        return s.sendmail('s@a.test', [rcpt], b'Subject: x\r\n\r\n' + (b'y' * 70 + b'\r\n') * (size // 72))

@test
def connections_are_limited():
    f = Front(max_connections=6, max_per_address=4)
    try:
        four = [Client() for _ in range(4)]
        check(all(c.first.startswith('220') for c in four), 'four are welcome')
        check(Client().first.startswith('421 4.7.0'), 'a fifth from this address is not')
        check(four[0].say('QUIT').startswith('221'), 'QUIT')
        equal(four[0].reply(), '', 'after QUIT')
        for _ in range(50):
            c = Client()
            if c.first.startswith('220'):
                break
            time.sleep(0.02)
        check(c.first.startswith('220'), 'one has left: welcome again')
    finally:
        f.end()
    f = Front(max_connections=2)
    try:
        two = [Client(), Client()]
        check(Client().first.startswith('421 4.3.2'), 'a third in all is not welcome')
        two[0].s.close()
    finally:
        f.end()

@test
def passwords():
    f = Front()
    try:
        plain = lambda user, password: 'AUTH PLAIN ' + base64.b64encode(('\0%s\0%s' % (user, password)).encode()).decode()
        c = Client(AUTH)
        c.tls()
        check(c.say('MAIL FROM:<s@a.test>').startswith('530'), 'MAIL before AUTH')
        check(c.say(plain('auth', 'correct horse')).startswith('235'), 'by name')
        check(c.say('MAIL FROM:<s@a.test>').startswith('250'), 'MAIL after AUTH')
        c = Client(AUTH)
        c.tls()
        check(c.say(plain('inp-cccccccccccccccccccccccc', 'correct horse')).startswith('235'), 'by id')
        codes = []
        while len(codes) < 30:
            c = Client(AUTH)
            c.tls()
            for i in range(3):
                codes.append(c.say(plain('auth' if len(codes) % 2 else 'nobody', 'wrong %d' % len(codes)))[:3])
        equal(codes[:20], ['535'] * 20, 'twenty guesses')
        check(all(code in ('454', '421') for code in codes[20:]), 'no more: %s' % codes[20:])
        c = Client(AUTH)
        c.tls()
        equal(c.say(plain('auth', 'correct horse'))[:3], '454', 'nor the right one, for a minute')
    finally:
        f.end()

@test
def deadlines():
    f = Front(command_timeout_s=1)
    try:
        c = Client()
        began = time.monotonic()
        c.say('EHLO a.test')
        while time.monotonic() - began < 8:  # bytes of a command that never ends are no progress
            try:
                c.s.sendall(b'N')
            except OSError:
                break
            c.s.settimeout(0.3)
            try:
                if c.s.recv(1, socket.MSG_PEEK):
                    break
            except socket.timeout:
                pass
        c.s.settimeout(5)
        check(c.reply().startswith('421 4.4.2'), 'the deadline of a command')
    finally:
        f.end()

def trickle(client, seconds):
    """Sends 1000 bytes three times a second; what the server says meanwhile, or ''."""
    began = time.monotonic()
    client.s.settimeout(0.3)
    while time.monotonic() - began < seconds:
        try:
            client.s.sendall(b'x' * 998 + b'\r\n')
            if client.s.recv(1, socket.MSG_PEEK):
                client.s.settimeout(10)
                return client.reply()
        except socket.timeout:
            pass
        except OSError as e:
            return str(e)
    client.s.settimeout(10)
    return ''

@test
def bytes_that_are_only_swallowed_are_progress():
    f = Front(command_timeout_s=1)
    try:
        c = Client()
        c.say('EHLO a.test')
        c.s.sendall(b'BDAT 50000\r\n')  # no transaction: refused, and read to its end
        equal(trickle(c, 2.9), '', 'while the octets come')
        c.s.sendall(b'x' * 50000)
        check(c.reply().startswith('503'), 'the end of the chunk')
        d = Client()
        d.say('EHLO a.test')
        d.s.sendall(b'BDAT 10000\r\n' + b'N' * 10000)
        check(d.reply().startswith('503'), 'a chunk at once')
        check(d.reply().startswith('421 4.4.2'), 'then the deadline of a command')
    finally:
        f.end()

@test
def the_least_rate_counts_what_is_swallowed():
    if not LONG:
        raise Skip('takes more than a minute; runs with --long')
    f = Front()
    try:
        slow, odd = Client(), Client()
        for c in (slow, odd):
            c.say('EHLO a.test')
            c.say('MAIL FROM:<s@a.test>')
            c.say('RCPT TO:<a@local.test>')
            check(c.say('DATA').startswith('354'), 'DATA')
        slow.s.sendall(b'x')
        odd.s.sendall(b'\n')  # refused from here on, and still read
        equal(trickle(odd, 70), '', 'a message that is refused in the end')
        odd.s.sendall(b'\r\n.\r\n')
        check(odd.reply().startswith('550 5.6.0'), 'its end')
        check(slow.reply().startswith('421 4.4.2'), 'the slow one')
    finally:
        f.end()

@test
def sizes():
    f = Front()
    try:
        context = ssl._create_unverified_context()
        with smtplib.SMTP_SSL('127.0.0.1', WRAPPED, context=context, timeout=30) as s:
            s.ehlo()
            equal(s.esmtp_features['size'], '1000', 'the policy lowers SIZE')
            equal(s.docmd('MAIL FROM:<s@a.test> SIZE=1001')[0], 552, 'SIZE')
            try:
                s.sendmail('s@a.test', ['a@any.test'], b'x\r\n' * 400)
                raise AssertionError('too long, and accepted')
            except smtplib.SMTPResponseException as e:
                equal(e.smtp_code, 552, 'the body')
            s.sendmail('s@a.test', ['a@any.test'], b'x\r\n' * 100)
        for size in (100, 300000, 5000000):
            send(size=size)
    finally:
        metas = f.end()
    equal([m['ingress'] for m in metas], ['wrapped', 'inbound', 'inbound', 'inbound'], 'ingress points')
    equal(metas[0]['tls']['version'], 'TLSv1.3', 'TLS')

@test
def a_changed_configuration_drops_no_connection():
    f = Front()
    try:
        old = Client()
        f.listen(PLAIN, WRAPPED, OTHER)
        f.p.send_signal(signal.SIGHUP)
        for _ in range(100):
            try:
                new = Client(OTHER)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        check(new.first.startswith('220'), 'the new address')
        for _ in range(100):
            try:
                socket.create_connection(('127.0.0.1', AUTH)).close()
                time.sleep(0.05)
            except ConnectionRefusedError:
                break
        else:
            raise AssertionError('the old address still answers')
        check(old.say('EHLO a.test').startswith('250'), 'the old connection')
        send()
    finally:
        f.end()

@test
def a_killed_process_loses_nothing_acknowledged():
    f = Front(file_bytes=1048576)
    acknowledged, refused, stop = [], [], threading.Event()
    def load(n):
        i = 0
        while not stop.is_set():
            rcpt = 'r%d.%d@local.test' % (n, i)
            i += 1
            try:
                send(rcpt=rcpt, size=2000)
                acknowledged.append(rcpt)
            except ConnectionRefusedError:
                refused.append(rcpt)
            except (smtplib.SMTPException, OSError):
                pass
    threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
    try:
        for t in threads:
            t.start()
        for _ in range(3):
            time.sleep(1.5)
            os.kill(f.child(), signal.SIGKILL)
        time.sleep(1.5)
    finally:
        stop.set()
        for t in threads:
            t.join()
        metas = f.end()
    stored = [m['rcpt'][0]['to'] for m in metas]
    print('   %d acknowledged, %d stored, %d refused' % (len(acknowledged), len(stored), len(refused)))
    check(len(acknowledged) > 20, 'too few messages to tell')
    equal(sorted(set(acknowledged) - set(stored)), [], 'lost')
    equal(len(stored), len(set(stored)), 'stored twice')
    equal(refused, [], 'connections refused')

@test
def a_stop_says_goodbye():
    f = Front()
    c = Client()
    c.say('EHLO a.test')
    send()
    metas = f.end()
    check(c.reply().startswith('421 4.3.2'), '421 to who waits')
    equal(len(metas), 1, 'messages')

@test
def the_process_is_confined():
    f = Front()
    try:
        send()
        status = open('/proc/%d/status' % f.child()).read()
        for line in ('Seccomp:\t2', 'NoNewPrivs:\t1', 'SigBlk:\t0000000000000000'):
            check(line in status, 'status has no ' + line)
        folder = '/proc/%d/fd/' % f.child()
        fds = []
        for n in os.listdir(folder):
            try:
                fds.append(os.readlink(folder + n))
            except FileNotFoundError:
                pass  # of a connection that has just ended
        for fd in fds:
            check(re.match(r'socket:|pipe:|anon_inode:\[event|/dev/null|.*/spool/[0-9]+\.(spool|big)$|.*/err$', fd), 'it has ' + fd)
        check(not os.path.exists('/proc/%d/task/%d/children' % (f.child(), f.child())) or
              open('/proc/%d/task/%d/children' % (f.child(), f.child())).read() == '', 'it has children')
    finally:
        f.end()

done()
