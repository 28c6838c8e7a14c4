#!/usr/bin/env python3
"""Slow, flooding and junk clients ("dos_profiles" of ../shared/spec/smtp-cases.json): while they are connected a well-behaved client
is served, each meets its limit, what was acknowledged is there once, and an idle connection costs mm-smtpd little. No assertion is
about real time. Long: 19,000 idle connections."""
import asyncio, base64, glob, os, re, resource, ssl, subprocess, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

IDLE = 19000 if LONG else 1500
PER_CONNECTION = 16 << 10
SMALL = max(IDLE // 10, 100)  # of each other kind

def point(name, port, **more):
    return dict({"IngressPointName": name, "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": "127.0.0.1:%d" % port,
                 "TrafficPolicyName": "open", "RuleSetName": "all"}, **more)

POLICY = {"TrafficPolicyName": "local-only", "DefaultAction": "DENY", "PolicyStatements": [{"Action": "ALLOW", "Conditions": [
    {"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH", "Values": ["@local.test"]}}]}]}

class Gateway(Site):
    """The build without sanitizers, whose memory says something; limits above what is tried here."""
    def __init__(self, **smtp):
        self.local, self.auth = free_port(), free_port()
        super().__init__('clang', apply=False, config={"smtp": dict({"hostname": "mm.test", "max_connections": 19900,
                                                                  "max_per_address": 19900}, **smtp)})
        self.tls()
        self.apply(dict(DEFAULT, TrafficPolicies=DEFAULT["TrafficPolicies"] + [POLICY], IngressPoints=[
            point('inbound', self.port), point('local', self.local, TrafficPolicyName='local-only'),
            point('auth', self.auth, Type='AUTH', TlsPolicy='REQUIRED')]))
        self.start()

    def smtpd(self):
        for path in glob.glob('/proc/%d/task/*/children' % self.process.pid):
            for child in open(path).read().split():
                if open('/proc/%s/comm' % child).read().strip() == 'mm-smtpd':
                    return int(child)
        raise AssertionError('no mm-smtpd')

    def memory(self):
        return int(re.search(r'VmRSS:\s+(\d+)', open('/proc/%d/status' % self.smtpd()).read()).group(1)) * 1024

# Holds N connections in a process of its own: descriptors are limited per process. Says "held" when all have come as far as asked
# ("greeting", "ehlo", "tls", or "line": half a line), then waits for the end of its input.
HOLDER = r'''
import socket, ssl, sys
how, n, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
def reply(s):
    data = b''
    while not data.endswith(b'\r\n') or data.splitlines()[-1][3:4] == b'-':
        got = s.recv(4096)
        if not got:
            sys.exit('connection %d ended: %r' % (len(held), data))
        data += got
    return data
held = []
for i in range(n):
    s = socket.create_connection(('127.0.0.1', port), source_address=('127.0.%d.%d' % (1 + i // 200, 1 + i % 200), 0))
    held.append(s)
    if not reply(s).startswith(b'220'):
        sys.exit('refused after %d' % i)
    if how == 'greeting':
        continue
    s.sendall(b'EHLO idle.test\r\n')
    reply(s)
    if how == 'line':
        s.sendall(b'AUTH PLAIN ' + b'x' * 12000)
    if how == 'tls':
        s.sendall(b'STARTTLS\r\n')
        reply(s)
        held[-1] = s = context.wrap_socket(s)
        s.sendall(b'EHLO idle.test\r\n')
        reply(s)
print('held', flush=True)
sys.stdin.read()
'''

class Holder:
    def __init__(self, how, n, port):
        self.p = subprocess.Popen([sys.executable, '-c', HOLDER, how, str(n), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (
                                      resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2))
        atexit.register(self.end)
        line = self.p.stdout.readline()
        check(line == b'held\n', '%s: %r %s' % (how, line, self.p.stderr.read()[-500:] if line != b'held\n' else ''))

    def end(self):
        if self.p.poll() is None:
            self.p.stdin.close()
            self.p.wait(60)

class Raw:
    """A connection whose bytes are ours; rest() reads until the end or for `wait` seconds of silence."""
    def __init__(self, port, source='127.0.0.1'):
        self.s = socket.create_connection(('127.0.0.1', port), timeout=60, source_address=(source, 0))

    def send(self, data):
        try:
            self.s.sendall(data)
            return True
        except OSError:
            return False

    def until_end(self):
        data = b''
        while True:
            try:
                got = self.s.recv(65536)
            except ConnectionResetError:
                return data
            if not got:
                return data
            data += got

served = 0

def serves(site, n=5):
    """A well-behaved client's messages, each acknowledged."""
    global served
    for _ in range(n):
        served += 1
        site.send(mail('honest %d' % served, 'honest work'))

def connections(site):
    return len(os.listdir('/proc/%d/fd' % site.smtpd()))

def quiet(site, least):
    """Until mm-smtpd has no more than `least` descriptors; it is given as long as it needs (the run has an end of its own)."""
    for _ in range(1200):
        if connections(site) <= least:
            return
        time.sleep(0.1)
    raise AssertionError('%d descriptors, %d expected' % (connections(site), least))

def settled(site):
    """Its descriptors, when there were as many for a while: behind a start mmd hands over some more."""
    n, same = connections(site), 0
    while same < 20:
        time.sleep(0.1)
        n, same = connections(site), same + 1 if connections(site) == n else 0
    return n

site = Gateway()
serves(site)
base_fds = settled(site)

def fresh():
    """mm-smtpd anew: memory that a crowd before has left would hide what the next one takes."""
    global base_fds
    site.stop()
    site.start()
    serves(site)
    base_fds = settled(site)

def cost(how, n):
    """Bytes of mm-smtpd for each of n connections, while an honest client is served."""
    fresh()
    before, fds = site.memory(), connections(site)
    holder = Holder(how, n, site.port)
    check(connections(site) >= fds + n - 5, 'they are not all open')
    each = (site.memory() - before) / n
    serves(site)
    check(connections(site) >= fds + n - 5, 'they are not open any more')
    print('   %d connections after %s: %.1f KiB each' % (n, how, each / 1024), flush=True)
    holder.end()
    quiet(site, base_fds)
    serves(site, 1)
    return each

@test
def idle_connections_cost_little():
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < IDLE + 200:
        raise Skip('the limit of descriptors is too low')
    for how in ('greeting', 'ehlo'):
        each = cost(how, IDLE)
        check(each <= PER_CONNECTION, '%s: %d bytes each' % (how, each))
    cost('tls', IDLE // 3)  # reported: a session of OpenSSL is what it is
    # The control: connections that hold most of a long line are seen to cost it.
    each = cost('line', 500)
    check(each > 10 << 10, 'half a line of 12,000 bytes costs %d bytes' % each)

@test
def slow_and_junk_clients_slow_nobody():
    """All of them at once, and an honest client among them."""
    crowd = []
    for i in range(SMALL):
        source = '127.1.%d.%d' % (i // 200, 1 + i % 200)
        slow, body, reader, junk = (Raw(site.port, source) for _ in range(4))
        slow.send(b'EH')                                   # a command that doesn't end
        body.send(b'EHLO a.test\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<sales@corp.example>\r\nDATA\r\n')
        crowd += [slow, body]
        reader.s.setblocking(False)                        # replies that nobody reads
        try:
            for _ in range(30):
                reader.s.send(b'NOOP\r\n' * 1000)
        except BlockingIOError:
            pass
        junk.send(os.urandom(512).replace(b'\n', b'') + b'\r\n')
        crowd += [reader, junk]
    memory = site.memory()
    for round in range(3):
        for i, c in enumerate(crowd):
            if i % 4 == 0:
                c.send(b'L')
            elif i % 4 == 1:
                c.send(b'x')
        serves(site)
    print('   %d hostile connections, mm-smtpd %.1f MiB' % (len(crowd), memory / (1 << 20)))
    # OUTPUT_LIMIT and one piece of input for each that doesn't read is the most they can cost.
    check(memory < (64 << 20) + len(crowd) * (128 << 10), 'memory %d' % memory)
    for c in crowd:
        c.s.close()
    quiet(site, base_fds)

@test
def junk_and_harvesting_have_an_end():
    c = Raw(site.local, '127.2.0.1')
    c.send(b'EHLO a.test\r\n' + b'MAIL FROM:<a@b.example>\r\n' + b''.join(b'RCPT TO:<u%d@elsewhere.example>\r\n' % i for i in range(1000)))
    text = c.until_end()
    codes = re.findall(rb'^(\d\d\d) ', text, re.M)
    check(codes[-1] == b'421', codes[-3:])
    check(codes.count(b'550') + codes.count(b'554') + codes.count(b'452') <= 100, 'answers: %d' % len(codes))
    c = Raw(site.local, '127.2.0.2')
    c.send(b'EHLO a.test\r\n' + b'NONSENSE\r\n' * 1000)
    codes = re.findall(rb'^(\d\d\d) ', c.until_end(), re.M)
    check(codes[-1] == b'421' and codes.count(b'500') <= 20, codes)
    c = Raw(site.local, '127.2.0.3')
    c.send(b'EHLO a.test\r\n' + b'NOOP\r\n' * 3000)
    codes = re.findall(rb'^(\d\d\d) ', c.until_end(), re.M)
    check(codes[-1] == b'421' and codes.count(b'250') <= 102, '%d answers, %s' % (len(codes), codes[-1]))
    serves(site)

@test
def a_flood_of_connections():
    """Many short connections from one address; nothing acknowledged is lost or there twice."""
    n, sent, refused = (20000 if LONG else 400), [], []
    def flood(k):
        for i in range(k, n, 16):
            word = 'flood%dx' % i
            try:
                site.send(mail(word, word))
                sent.append(word)
            except (OSError, smtplib.SMTPException, AssertionError) as e:
                refused.append((word, str(e)))
    threads = [threading.Thread(target=flood, args=(k,)) for k in range(16)]
    for t in threads:
        t.start()
    serves(site)
    for t in threads:
        t.join()
    site.wait()
    equal(refused, [], 'refused')
    equal(len(sent), n, 'sent')
    equal(site.count('flood*'), n, 'archived')
    check(all(site.count(w) == 1 for w in sent[:: max(n // 50, 1)]), 'not once')

@test
def a_flood_of_handshakes():
    held = []
    for i in range(SMALL):
        c = Raw(site.port, '127.3.0.%d' % (1 + i % 200))
        c.send(b'EHLO a.test\r\n')
        c.send(b'STARTTLS\r\n')
        held.append(c)
    for c in held[::2]:
        c.send(b'\x16\x03\x01\x02\x00')  # the beginning of one that doesn't come
    for c in held[1::4]:
        c.send(os.urandom(300))          # what is none
    serves(site)
    with Sender(site.port, tls=True) as s:
        s.send(mail('honest', 'under TLS'))
    for c in held:
        c.s.close()
    quiet(site, base_fds)

@test
def guesses_are_counted_before_they_are_checked():
    """Forty connections each ask at once; twenty are looked at, however parallel they are."""
    site.run('mmctl', 'passwd', 'auth', '--password-file', '-', input=b'the-right-one')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    def connect(source):
        s = smtplib.SMTP('127.0.0.1', site.auth, local_hostname='c.test', timeout=60, source_address=(source, 0))
        s.starttls(context=context)
        s.ehlo()
        return s
    line = lambda word: b'AUTH PLAIN ' + base64.b64encode(b'\0auth\0' + word) + b'\r\n'
    many = [connect('127.4.0.1') for _ in range(40)]
    for s in many:
        s.sock.sendall(line(b'wrong'))
    codes = [s.getreply()[0] for s in many]
    equal((codes.count(535), codes.count(454)), (20, 20), 'codes')
    elsewhere = connect('127.4.0.2')
    elsewhere.sock.sendall(line(b'the-right-one'))
    equal(elsewhere.getreply()[0], 235, 'from elsewhere')
    late = connect('127.4.0.1')
    late.sock.sendall(line(b'the-right-one'))
    equal(late.getreply()[0], 454, 'the right one too late')
    site.advance(seconds=61)  # of the clock of the time of day: a guesser who can set it gains nothing
    late.sock.sendall(line(b'the-right-one'))
    equal(late.getreply()[0], 454, 'with the clock a minute on')
    for s in many + [elsewhere, late]:
        s.close()
    quiet(site, base_fds)

@test
def big_and_many():
    n, size = (100, 25 << 20) if LONG else (20, 5 << 20)
    most, stop = [0], threading.Event()
    def watch():
        while not stop.wait(0.05):
            most[0] = max(most[0], site.memory())
    watcher = threading.Thread(target=watch)
    watcher.start()
    bad = []
    def big(i):
        try:
            site.send(mail('big', 'bigone\r\n' + 'x' * 70 + ('\r\n' + 'y' * 70) * (size // 72)))
        except Exception as e:
            bad.append(str(e))
    threads = [threading.Thread(target=big, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    watcher.join()
    serves(site)
    print('   %d messages of %d MiB at once: mm-smtpd at most %.1f MiB' % (n, size >> 20, most[0] / (1 << 20)))
    equal(bad, [], 'refused')
    check(most[0] < 256 << 20, 'memory')

@test
def all_that_was_acknowledged_is_there():
    site.wait(600)
    equal(site.count('subject:honest "honest work"'), served, 'honest messages')
    equal(site.count('bigone'), 100 if LONG else 20, 'big ones')
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()
    for word in ('panic', 'mm-smtpd ended', 'signal'):
        check(word not in site.tail(10**7), site.tail())

@test
def few_descriptors():
    """More connections than mm-smtpd has descriptors for get 421, and what it has still serves: it never has to end for want of one."""
    few = Gateway()
    resource.prlimit(few.process.pid, resource.RLIMIT_NOFILE, (700, 700))
    os.kill(few.smtpd(), signal.SIGKILL)
    for _ in range(600):
        try:
            few.send(mail('honest'))
            break
        except (OSError, smtplib.SMTPException):
            time.sleep(0.1)
    pid = few.smtpd()
    crowd, greeted = [Raw(few.port) for _ in range(600)], 0
    for one in crowd:
        greeted += one.s.recv(3) == b'220'
    print('   700 descriptors: %d connections of 600 are served' % greeted)
    check(300 < greeted < 500, greeted)
    for one in crowd[:20]:
        one.s.close()
    few.send(mail('large', 'x' * 70 + ('\r\n' + 'y' * 70) * 10000))
    for one in crowd[20:]:
        one.s.close()
    equal(few.smtpd(), pid, 'mm-smtpd is the same')
    check('descriptors allow' in few.tail(), few.tail())
    few.close()

done()
