#!/usr/bin/env python3
"""The outbound queue when things go wrong, by mmd whole: a disk that fills up while mail is handed to a relay, kills between each two commits
(a write is held up by strace until the kill) and at random moments under load, a receiver that defers the first of many recipients or doesn't answer,
calls that finish out of turn. What is looked at is what came to the receivers, counted by Message-ID and recipient, and what the archive has. Needs to
mount a tmpfs, and strace."""
import collections, http.server, os, random, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sender import *
from faults import Disk

KILLS, COUNT = (80, 20000) if LONG else (3, 150)
SINK_KILLS, SINK_COUNT = (40, 20000) if LONG else (2, 300)
FILLINGS = 12 if LONG else 1
DAY = 86400
FUNCTION, TOPIC = "arn:aws:lambda:us-east-1:123456789012:function:judge", "arn:aws:sns:us-east-1:123456789012:mail"
ROLE = "arn:aws:iam::123456789012:role/mm"
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

# ---- who is there to receive ----

class Names(threading.Thread):
    """A server of names that are not there; about those with a word of `slow` in them it says nothing."""
    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.forward = '127.0.0.1@%d' % self.socket.getsockname()[1]
        self.slow = lambda name: False
        self.start()

    def run(self):
        while True:
            query, who = self.socket.recvfrom(4096)
            name, at = b'', 12
            while query[at]:
                name += query[at + 1:at + 1 + query[at]].lower() + b'.'
                at += 1 + query[at]
            if not self.slow(name.decode('latin-1')):
                self.socket.sendto(query[:2] + b'\x81\x83' + query[4:6] + bytes(6) + query[12:at + 5], who)

class Endpoints(http.server.BaseHTTPRequestHandler):
    """Every endpoint of HTTP: `begun` and `ended` are (method, path) in their order; what `hold` holds isn't answered."""
    begun, ended, hold = [], [], lambda method, path: None

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        what = (self.command, self.path)
        self.begun.append(what)
        Endpoints.hold(*what)
        self.ended.append(what)
        text = b'{}' if '/functions/' in self.path else b'<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>'
        try:
            self.send_response(200)
            self.send_header('Content-Length', str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except OSError:
            pass # it was killed

    do_PUT = do_POST

    def log_message(self, *args):
        pass

class Hub(Peer):
    """A relay's server. While `closed`, a message waits at its end for the reply."""
    def __init__(self, port=None, deferred=()):
        self.port, self.deferred, self.open_gate = port or free_port(), deferred, threading.Event()
        self.waiting, self.pause = 0, 0
        self.open_gate.set()
        super().__init__('127.0.0.1', self.port, say=self.answer)

    def answer(self, session, verb, rest):
        if verb == 'RCPT' and any(d in rest for d in self.deferred):
            return '450 4.2.1 come again'
        if verb == '.':
            self.waiting += 1
            time.sleep(self.pause)
            self.open_gate.wait(120)
            self.waiting -= 1

    def counts(self):
        """{(Message-ID, recipient): how often it came}"""
        found = collections.Counter()
        for m in list(self.mails):
            found.update((name_of(m['data']), r) for r in m['rcpt'])
        return found

def name_of(data):
    return data.split(b'Message-ID: <', 1)[1].split(b'@', 1)[0].decode()

class Sink:
    """Postfix's smtp-sink as a relay's server. Ahead of it one command goes on at a time, but a twentieth of the RCPTs, who get a 450. What it took
    is counted in `came`: {(run of mmd in which the connection came, Message-ID, recipient): how often}."""
    def __init__(self):
        program = shutil.which('smtp-sink', path=os.environ['PATH'] + ':/usr/sbin')
        if not program:
            raise Skip('needs smtp-sink, which is absent')
        self.behind, self.came, self.run, self.deferred, self.lock = free_port(), collections.Counter(), 0, 0, threading.Lock()
        self.rng, self.accepted, self.messages = random.Random(rng.randrange(1 << 32)), None, 0
        self.process = subprocess.Popen([program, '-u', 'nobody', '127.0.0.1:%d' % self.behind, '100'], stdin=subprocess.DEVNULL)
        atexit.register(self.process.kill)
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, who = self.listener.accept()
            threading.Thread(target=self.serve, args=(c, self.run), daemon=True).start()
            self.accepted = who

    def next_run(self):
        """mmd is dead; what it connected before is accepted before this."""
        with socket.create_connection(('127.0.0.1', self.port)) as c:
            until(lambda: self.accepted == c.getsockname(), 'it does not accept')
        self.run += 1

    def serve(self, c, run):
        try:
            with c, socket.create_connection(('127.0.0.1', self.behind)) as s:
                self.pass_on(c, c.makefile('rb'), s, s.makefile('rb'), run)
        except OSError:
            pass # it was killed

    def pass_on(self, c, lines, s, replies, run):
        rcpts = []
        c.sendall(whole_reply(replies))
        for line in lines:
            verb = line[:4].upper()
            if verb == b'RCPT' and self.rng.random() < 0.05:
                self.deferred += 1
                c.sendall(b'450 4.2.1 come again\r\n')
                continue
            s.sendall(line)
            said = whole_reply(replies)
            if verb == b'MAIL':
                rcpts = []
            elif verb == b'RCPT' and said.startswith(b'250'):
                rcpts.append(line.split(b'<')[1].split(b'>')[0].decode())
            elif said.startswith(b'354'):
                c.sendall(said)
                data = b''.join(iter(lambda: whole_line(lines), b'.\r\n'))
                s.sendall(data + b'.\r\n')
                said = whole_reply(replies)
                self.count(said, run, name_of(data), rcpts)
            c.sendall(said)

    def count(self, said, run, name, rcpts):
        with self.lock:
            if said.startswith(b'250'):
                self.messages += 1
                self.came.update((run, name, r) for r in rcpts)

def whole_line(stream):
    line = stream.readline()
    if not line.endswith(b'\n'):
        raise OSError('it broke off')
    return line

def whole_reply(stream):
    text = whole_line(stream)
    while text.split(b'\r\n')[-2][3:4] == b'-':
        text += whole_line(stream)
    return text

def until(what, text, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError(text() if callable(text) else text)

# ---- what sends ----

def to(*ends):
    return [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH", "Values": list(ends)}}]

def relay(name, **more):
    return {"Relay": dict({"Relay": name}, **more)}

ARCHIVE = {"Archive": {"TargetArchive": "corp"}}
ASK = {"InvokeLambda": {"FunctionArn": FUNCTION, "RoleArn": ROLE, "InvocationType": "REQUEST_RESPONSE"}}
STORE, TELL = {"WriteToS3": {"RoleArn": ROLE, "S3Bucket": "inbox"}}, {"PublishToSns": {"TopicArn": TOPIC, "RoleArn": ROLE}}
FIRST, SECOND = ['u%d@first.example' % i for i in range(100)], ['u%d@second.example' % i for i in range(50)]
RULES = [
    {"Name": "relayed", "Conditions": to("@relay.example"), "Actions": [relay("hub")]},
    {"Name": "away", "Conditions": to("@away.example"), "Actions": [relay("away")]},
    {"Name": "one", "Conditions": to("one@list.example"), "Actions": [{"ReplaceRecipient": {"ReplaceWith": FIRST}}]},
    {"Name": "two", "Conditions": to("two@list.example"), "Actions": [{"ReplaceRecipient": {"ReplaceWith": SECOND}}]},
    {"Name": "list", "Conditions": to("@first.example", "@second.example"), "Actions": [relay("picky")]},
    {"Name": "asked", "Conditions": to("@ask.example"), "Actions": [ASK, ARCHIVE]},
    {"Name": "sure", "Conditions": to("@sure.example"), "Actions": [relay("hub", ActionFailurePolicy="DROP"), ARCHIVE]},
    {"Name": "stored", "Conditions": to("@s3.example"), "Actions": [STORE, TELL, relay("hub")]},
    {"Name": "kept", "Conditions": to("@kept.example"), "Actions": [ARCHIVE]},
]
DOMAINS = ["@%s.example" % d for d in ("relay", "away", "list", "ask", "sure", "s3", "kept")]
LIMITED = {"TrafficPolicyName": "open", "DefaultAction": "DENY", "PolicyStatements": [{"Action": "ALLOW", "Conditions": to(*DOMAINS)}]}
http_server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Endpoints)
threading.Thread(target=http_server.serve_forever, daemon=True).start()
KEYS = {"url": 'http://127.0.0.1:%d' % http_server.server_address[1], "access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI"}

def resources(**ports):
    return {"Archives": [{"ArchiveName": "corp"}], "TrafficPolicies": [LIMITED], "RuleSets": [{"RuleSetName": "all", "Rules": RULES}],
            "Relays": [{"RelayName": name, "ServerName": "localhost", "ServerPort": port, "Authentication": {"NoAuthentication": {}}}
                       for name, port in ports.items()]}

def config(retry, **send):
    return {"send": dict({"port": free_port(), "retry": retry, "sts": False}, **send),
            "endpoints": {"lambda": KEYS, "sns": KEYS, "s3": dict(KEYS, path_style=True)}}

numbers = iter(range(1, 1 << 30))

class Client(Sender):
    def give(self, *rcpt, size=0, sender='ann@shop.example', name=None):
        """(Message-ID, id) of a message that was accepted."""
        name = name or 'm%d' % next(numbers)
        body = '\r\n'.join(rng.randbytes(30).hex() for _ in range(size // 62)) or 'text'
        return name, self.send(mail(subject='word' + name, body=body, extra='Message-ID: <%s@test>\r\n' % name), to=rcpt, sender=sender)

def give(site, *rcpt, **more):
    with Client(site.port) as s:
        return s.give(*rcpt, **more)

def queued(site):
    return [json.loads(l) for l in site.run('mmctl', 'queue', '--json').splitlines()]

def dispositions(site, id):
    return [json.loads(l)['disposition'] for l in site.run('mmctl', 'why', id, '--json', code=None).splitlines()]

def ends(site, id, word):
    """It becomes that, at the next checkpoint; what is archived may be delivered too."""
    until(lambda: dispositions(site, id)[:1] == [word], lambda: '%s is %r, not %s' % (id, dispositions(site, id), word))

def empty(site, seconds=60):
    """All that was parked is through."""
    site.wait()
    until(lambda: not site.status()['queued'], lambda: 'the queue does not empty: %r\n%s' % (queued(site)[:3], site.tail()), seconds)
    equal(site.status()['dead_letters'], 0, 'dead letters')

def each_came(counts, wanted, most):
    """Everything came, and nothing more often than that."""
    missing = [w for w in wanted if not counts[w]]
    equal(missing[:5], [], '%d of %d are lost' % (len(missing), len(wanted)))
    often = {w: n for w, n in counts.items() if n > most}
    equal(dict(list(often.items())[:5]), {}, '%d came more than %d times' % (len(often), most))

class Stuck:
    """mmd's writes to the files whose path ends so don't come to their end until it is killed."""
    def __init__(self, site, *ends):
        if not shutil.which('strace'):
            raise Skip('needs strace')
        self.site, self.trace = site, os.path.join(site.root, 'trace')
        calls = 'pwritev,pwrite64'
        paths = [p for p in site.files() if p.endswith(ends)]
        check(paths, 'no file %r' % (ends,))
        self.strace = subprocess.Popen(['strace', '-f', '-qq', '-o', self.trace, '-e', 'trace=' + calls, '-e',
                                        'inject=%s:delay_enter=600000000' % calls, '-p', str(site.process.pid)] +
                                       [a for p in paths for a in ('-P', p)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        atexit.register(self.strace.kill)
        self.said = os.path.join('/proc', str(site.process.pid), 'status')
        until(lambda: 'TracerPid:\t0' not in open(self.said).read(), 'strace can\'t attach')

    def wait(self):
        """Until one of them is stuck."""
        until(lambda: 'pwrite' in open(self.trace).read(), 'nothing was written there')

    def kill(self):
        os.killpg(self.site.process.pid, signal.SIGKILL)
        self.strace.kill() # it would keep them until its time is over
        self.strace.wait()
        self.site.kill()

def at_rest(path, quiet=1.0):
    """The file was written to, and then for a while wasn't."""
    last, since = os.stat(path).st_mtime_ns, time.monotonic()
    while time.monotonic() - since < quiet:
        time.sleep(0.05)
        now = os.stat(path).st_mtime_ns
        if now != last:
            last, since = now, time.monotonic()

names = Names()

def begin(config, **ports):
    """mmd, with relays at these ports."""
    Endpoints.begun, Endpoints.ended, Endpoints.hold = [], [], lambda method, path: None
    ports = dict(dict.fromkeys(('hub', 'picky', 'away'), 1), **ports)
    return Site(config=config, resources=resources(**ports)).start()

def end(site):
    site.stop()
    site.close()

def queue_wal(site):
    return [f for f in site.files() if '/queue/' in f and f.endswith('-wal')][0]

# ---- damage ----

def damage(path):
    """A byte in the middle of a page in the middle of what large messages fill."""
    at = os.path.getsize(path) // 8192 // 2 * 8192 + 4096
    with open(path, 'r+b') as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))

@test
def a_damaged_message_is_held_and_nothing_else():
    port = free_port()
    site = begin(config([DAY]), hub=port)
    sent = [give(site, 'a@relay.example', size=60000) for _ in range(5)]
    until(lambda: sum(t['tries'] for t in queued(site)) == 5, 'none was tried')
    site.stop()
    damage([f for f in site.files() if '/queue/' in f and f.endswith('.db')][0])
    hub = Hub(port)
    site.start()
    pid = site.process.pid
    site.run('mmctl', 'queue', 'retry', 'all')
    until(lambda: [t['state'] for t in queued(site)] == ['held'], lambda: 'in the queue: %r' % queued(site))
    task = queued(site)[0]
    equal(task['reason'], 'its bytes are damaged')
    lost = [name for name, id in sent if id == task['message']]
    equal((len(lost), hub.counts()), (1, {(name, 'a@relay.example'): 1 for name, _ in sent if name not in lost}), 'the others')
    check('mmctl queue drop %d gives it up' % task['task'] in site.tail(), 'the log says what to do\n' + site.tail())
    site.run('mmctl', 'queue', 'retry', 'all') # it is no better now
    until(lambda: [t['state'] for t in queued(site)] == ['held'] and site.tail().count('gives it up') == 2, 'held again')
    site.run('mmctl', 'queue', 'drop', str(task['task']))
    ends(site, task['message'], 'dropped')
    name, id = give(site, 'b@relay.example', size=60000)
    empty(site)
    ends(site, id, 'delivered')
    equal((site.process.poll(), site.process.pid), (None, pid), 'mmd never ended')
    site.stop()
    site.start()
    empty(site)
    equal(hub.counts()[name, 'b@relay.example'], 1)
    end(site)

# ---- receivers ----

@test
def who_is_deferred_holds_up_nobody_else():
    picky = Hub(deferred=['@first.example'])
    site = begin(config([1, DAY]), picky=picky.port)
    name, id = give(site, 'one@list.example', 'two@list.example')
    until(lambda: picky.mails, lambda: 'the others wait: %r\n%s' % (queued(site), site.tail()), 20)
    equal(picky.counts(), {(name, r): 1 for r in SECOND})
    until(lambda: [t for t in queued(site) if t['tries']], 'the first try has not ended')
    ends(site, id, 'queued')
    picky.deferred = ()
    site.run('mmctl', 'queue', 'retry', 'all')
    empty(site)
    equal(picky.counts(), {(name, r): 1 for r in FIRST + SECOND})
    ends(site, id, 'delivered')
    end(site)

@test
def an_old_message_gives_its_destination_no_long_rest():
    """Its second failure puts that message off for a day, not those that were tried less, or never."""
    port = free_port()
    site = begin(config([1, DAY], per_destination=1), away=port)
    sent = [(give(site, 'a@away.example')[0], 'a@away.example') for _ in range(4)]
    until(lambda: [t for t in queued(site) if t['tries'] >= 2], 'none was tried twice')
    away = Hub(port)
    sent.append((give(site, 'b@away.example')[0], 'b@away.example'))
    until(lambda: away.counts()[sent[-1]], lambda: 'the new one waits: %r' % queued(site), 30)
    check([t for t in queued(site) if t['tries'] >= 2], 'the control: an old one waits for its day')
    site.run('mmctl', 'queue', 'retry', 'all')
    empty(site)
    each_came(away.counts(), sent, 1)
    end(site)

@test
def no_notification_before_its_object():
    """The mail task of the same message ends while the object is under way."""
    hub, release = Hub(), threading.Event()
    site = begin(config([1]), hub=hub.port)
    Endpoints.hold = lambda method, path: method == 'PUT' and release.wait(60)
    name, id = give(site, 'a@s3.example')
    until(lambda: hub.counts()[name, 'a@s3.example'], 'the mail task waits for the object')
    until(lambda: not [t for t in queued(site) if t['action'] == 'Relay'], 'the mail task does not end')
    at_rest(queue_wal(site))
    begun = [method for method, _ in Endpoints.begun]
    release.set()
    equal(begun, ['PUT'], 'begun while the object is under way')
    empty(site)
    equal([method for method, _ in Endpoints.ended], ['PUT', 'POST'])
    ends(site, id, 'delivered')
    end(site)

# ---- kills where it hurts ----

@test
def delivered_and_killed_before_the_spool_moves_on():
    """Its result is committed, the spool's position isn't; by the next start its place comes again, late."""
    hub = Hub()
    site = begin(dict(config([1]), dns={"forward": names.forward, "deadline": 2}), hub=hub.port)
    names.slow = lambda name: False
    ends(site, give(site, 'a@relay.example')[1], 'delivered') # no checkpoint is due
    stuck = Stuck(site, 'control.db-wal')
    with Client(site.port) as s:
        sent = [(s.give('a@relay.example', sender='ann@late.example')[0], 'a@relay.example') for _ in range(20)]
    stuck.wait()
    until(lambda: any(hub.counts()[w] for w in sent), 'none is delivered') # those that the checkpoint is about
    at_rest(queue_wal(site)) # results are committed at once
    stuck.kill()
    names.slow = lambda name: 'late' in name
    site.start()
    other = give(site, 'a@kept.example')[0]
    until(lambda: site.count('subject:word' + other) == 1, 'it waits behind the slow ones')
    empty(site)
    each_came(hub.counts(), sent, 1)
    end(site)

@test
def judged_on_and_killed_before_the_archive_has_it():
    """The queue's end of a message is committed with other results, the index isn't."""
    hub, release = Hub(), threading.Event()
    site = begin(config([1]), hub=hub.port)
    give(site, 'a@kept.example')
    site.wait()
    Endpoints.hold = lambda method, path: '/functions/' in path and release.wait(60)
    hub.open_gate.clear()
    with Client(site.port) as s:
        asked = [s.give('a@ask.example')[0] for _ in range(5)]
        others = [(s.give('a@relay.example')[0], 'a@relay.example') for _ in range(5)]
    until(lambda: len(Endpoints.begun) == 5 and hub.waiting == 5, 'they are not under way')
    site.wait()
    stuck = Stuck(site, '/index/1/00000001.db-wal')
    release.set()
    stuck.wait()
    hub.open_gate.set()
    until(lambda: all(hub.counts()[w] for w in others), 'they are not delivered')
    at_rest(queue_wal(site))
    stuck.kill()
    site.start()
    empty(site)
    equal({n: site.count('subject:word' + n) for n in asked}, {n: 1 for n in asked})
    end(site)

# ---- a full disk ----

def takes_mail(site):
    """mmd looks for room once a second."""
    with Client(site.port) as s:
        return s.smtp.docmd('MAIL FROM:<ann@shop.example>')[0] == 250

@test
def on_a_full_disk_nothing_is_repeated():
    relay_at = Hub()
    disk = Disk('tmpfs', 64, config([1], per_destination=40), resources=resources(hub=relay_at.port, picky=1, away=1))
    site = disk.site.start()
    pid, sent = site.process.pid, []
    for n in range(FILLINGS):
        relay_at.open_gate.clear()
        until(lambda: takes_mail(site), 'no mail is taken again')
        with Client(site.port) as s:
            sent += [s.give('a@relay.example', size=20000) for _ in range(80)]
        site.wait()
        until(lambda: relay_at.waiting == 40, 'they are not under way')
        before, said = relay_at.counts(), site.tail(1 << 22).count('the outbound queue: ')
        disk.fill(0)
        relay_at.open_gate.set()
        until(lambda: site.tail(1 << 22).count('the outbound queue: ') > said, 'the queue does not meet the full disk')
        for _ in range(100): # each second of them would repeat what the last one couldn't write
            disk.fill(0)
            time.sleep(0.05)
        came = sum(relay_at.counts().values()) - sum(before.values())
        disk.free()
        empty(site)
        counts = relay_at.counts()
        print('   %d messages came %d times; %d on the full disk' % (len(sent), sum(counts.values()), came))
        each_came(counts, [(name, 'a@relay.example') for name, _ in sent], n + 2)
    equal(site.process.pid, pid, 'the same mmd')
    check(site.process.poll() is None, 'mmd has ended')
    for _, id in sent[::20]:
        ends(site, id, 'delivered')
    site.stop()
    disk.unmount()
    site.close()

# ---- kills at random ----

class Load(threading.Thread):
    """Sends until it is told to end, or there are `count`; what was accepted is in `sent`."""
    def __init__(self, site, sent, count):
        super().__init__(daemon=True)
        self.count, self.site, self.sent, self.rng, self.over = count, site, sent, random.Random(rng.randrange(1 << 32)), False
        self.start()

    def run(self):
        while not self.over:
            try:
                with Client(self.site.port, timeout=20) as s:
                    while not self.over and len(self.sent) < self.count:
                        self.one(s)
                return
            except (OSError, smtplib.SMTPException, AssertionError, IndexError):
                time.sleep(0.02)

    def one(self, s):
        domain = self.rng.choice(['relay', 'relay', 'ask', 'sure'])
        sender = 'ann@%s.example' % self.rng.choice(['shop', 'shop', 'moody%d' % self.rng.randrange(9)])
        name, id = s.give('a@%s.example' % domain, sender=sender)
        self.sent.append((name, domain, id))

class Spread(Load):
    """To one recipient or several, by the relay."""
    def one(self, s):
        rcpt = ['%s@relay.example' % who for who in 'abcde'[:self.rng.choice((1, 1, 1, 2, 5))]]
        name, id = s.give(*rcpt)
        self.sent.append((name, rcpt, id))

def kills_under(load, site, sent, kills, count, killed=lambda: None):
    """So many kills while two of these send so many messages."""
    for k in range(kills):
        loads = [load(site, sent, count) for _ in range(2)]
        want = count * (k + 1) // kills
        until(lambda: len(sent) >= want, lambda: 'no mail is taken: %s' % site.tail(), 300)
        time.sleep(rng.uniform(0, 1))
        site.kill()
        killed()
        for l in loads:
            l.over = True
        for l in loads:
            l.join()
        site.start()

@test
def kills_at_random_lose_nothing_and_repeat_what_was_under_way():
    relay_at, moods = Hub(), random.Random(seed)
    names.slow = lambda name: 'moody' in name and moods.random() < 0.5
    site = begin(dict(config([1]), dns={"forward": names.forward, "deadline": 1}), hub=relay_at.port)
    sent = []
    kills_under(Load, site, sent, KILLS, COUNT)
    empty(site, 600)
    counts = relay_at.counts()
    wanted = [(name, 'a@%s.example' % domain) for name, domain, _ in sent if domain != 'ask']
    each_came(counts, wanted, KILLS + 1)
    known = {w[0] for w in wanted}
    repeated = sum(n - 1 for w, n in counts.items() if w[0] in known)
    print('   %d accepted, %d kills, %d repeated' % (len(sent), KILLS, repeated))
    rows = collections.Counter(r['id'] for r in site.rows())
    archived = [id for _, domain, id in sent if domain != 'relay']
    equal([i for i in archived if rows[i] != 1][:5], [], 'not once in the archive')
    for name, domain, id in rng.sample(sent, min(40, len(sent))):
        ends(site, id, 'delivered' if domain == 'relay' else 'archived')
    check(repeated <= KILLS * 60, '%d repeated by %d kills' % (repeated, KILLS))
    equal(site.verify()['problems'], 0, 'verify')
    end(site)

@test
def all_arrive_at_smtp_sink_once_for_each_run_of_mmd():
    sink = Sink()
    site = begin(config([1]), hub=sink.port)
    sent = []
    kills_under(Spread, site, sent, SINK_KILLS, SINK_COUNT, sink.next_run)
    empty(site, 600)
    wanted = {(name, r) for name, rcpt, _ in sent for r in rcpt}
    each_came(sink.came, sink.came, 1)
    came = collections.Counter(w[1:] for w in sink.came)
    each_came(came, wanted, SINK_KILLS + 1)
    twice = sum(came[w] - 1 for w in wanted)
    print('   %d messages to %d recipients, %d deferred, %d kills, %d recipients got one again, %d transactions' % (
        len(sent), len(wanted), sink.deferred, SINK_KILLS, twice, sink.messages))
    check(sink.deferred, 'none was deferred')
    check(twice <= SINK_KILLS * 200, '%d repeated by %d kills' % (twice, SINK_KILLS))
    for _, _, id in rng.sample(sent, 20):
        ends(site, id, 'delivered')
    end(site)

done()
