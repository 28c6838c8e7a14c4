#!/usr/bin/env python3
"""What clients of mm-httpd may take of it and of mmd, and what an mm-httpd that was broken into may: calls that were given up, slow readers,
long answers, refusals by the thousand."""
import base64, os, select, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from signed import *
from calls import archive_ids
from faults import child_of, children_of

api = free_port()
HOST = '127.0.0.1:%d' % api
site = Site(config={'api': {'listen': HOST, 'profile': 'open'}})
site.start()
key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))

def call(operation, **given):
    line = Line(api)
    status, answer = line.call(key, HOST, operation, json.dumps(given).encode())
    line.close()
    return status, answer

def good(operation, **given):
    status, answer = call(operation, **given)
    equal(status, 200, answer)
    return answer

def descriptors(pid):
    return len(os.listdir('/proc/%d/fd' % pid))

def subscriptions(prefix):
    names, token = [], {}
    while True:
        page = good('ListAddonSubscriptions', PageSize=50, **token)
        names += [s['AddonName'] for s in page['AddonSubscriptions'] if s['AddonName'].startswith(prefix)]
        if 'NextToken' not in page:
            return names
        token = {'NextToken': page['NextToken']}

@test
def one_principal_leaves_threads_to_others():
    """Also with calls that he gave up: they wait for the pipeline, and so does mmd's thread of each."""
    other = json.loads(site.run('mmctl', 'principal', 'create', 'patient', '--role', 'admin', '--json'))
    workers, lines = children_of(site.process.pid, 'mm-parse'), [Line(api) for _ in range(24)]
    [os.kill(w, signal.SIGSTOP) for w in workers]
    try:
        site.send(mail('it holds the pipeline'))
        time.sleep(0.5)
        for i, line in enumerate(lines):
            line.send(request(key, HOST, 'CreateAddonSubscription', b'{"AddonName":"many %d"}' % i))
            time.sleep(0.05)
            if i % 4:
                line.close()
        equal(Line(api).call(other, HOST, 'ListArchives')[0], 200, 'beside them')
        check(not select.select([line.sock for line in lines[::4]], [], [], 0)[0], 'it came when they were through')
    finally:
        [os.kill(w, signal.SIGCONT) for w in workers]
    equal([line.answer()[0] for line in lines[::4]], [200] * 6)
    [line.close() for line in lines[::4]]
    site.wait()

# ---- readers of links ----

BIG = mail('big', '\r\n'.join(base64.b64encode(os.urandom(57)).decode() for _ in range(77000)))
BIG_ID = site.send(BIG)
site.wait()

class Reader:
    """Who follows a link and has read the head of the answer; little of the rest fits into his socket."""
    def __init__(self, wait=True):
        link = good('GetArchiveMessage', ArchivedMessageId='%s.%s' % (archive_ids(site)['corp'], BIG_ID))['MessageDownloadLink']
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(100)
        self.sock.connect(('127.0.0.1', api))
        self.sock.sendall(('GET %s HTTP/1.1\r\nHost: %s\r\n\r\n' % (link.split(HOST)[1], HOST)).encode())
        self.got = b''
        if wait:
            self.read(1)

    def read(self, most):
        """False at the end."""
        try:
            some = self.sock.recv(most)
        except ConnectionResetError:
            some = b''
        self.got += some
        return bool(some)

    def rest(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while len(self.got.partition(b'\r\n\r\n')[2]) < len(BIG) and self.read(1 << 20):
            pass
        return self.got.partition(b'\r\n\r\n')[2]

    def is_served(self):
        """Whether mm-httpd has its end yet: what lies in the kernel may still come afterwards."""
        ends = ['%04X' % port for port in (api, self.sock.getsockname()[1])]
        rows = [l.split() for l in open('/proc/net/tcp').readlines()[1:]]
        return any([r[1][-4:], r[2][-4:], r[3]] == ends + ['01'] for r in rows)

def trickle(reader):
    while reader.is_served():
        reader.read(1600) # often enough that mmd doesn't take mm-httpd for stuck
        time.sleep(0.1)

slowest = Reader()
slowest.thread = threading.Thread(target=trickle, args=(slowest,), daemon=True)
slowest.thread.start() # what becomes of it is seen at the end

@test
def calls_that_were_given_up_are_dropped():
    """Changes wait for the pipeline, which waits for its workers; who hangs up meanwhile has no place in mmd for long."""
    keys = [json.loads(site.run('mmctl', 'principal', 'create', 'of%d' % i, '--role', 'operator', '--json')) for i in range(16)]
    workers, before = children_of(site.process.pid, 'mm-parse'), descriptors(site.process.pid)
    most = 0
    [os.kill(w, signal.SIGSTOP) for w in workers]
    try:
        site.send(mail('it holds the pipeline'))
        time.sleep(0.5)
        for i in range(5):
            lines = [Line(api) for _ in range(50)]
            for n, line in enumerate(lines):
                line.send(request(keys[n % 16], HOST, 'CreateAddonSubscription', b'{"AddonName":"gone %d-%d"}' % (i, n)))
            time.sleep(0.3)
            most = max(most, descriptors(site.process.pid))
            [line.send(b'P') for line in lines[::2]] # a further request, which nobody reads yet
            time.sleep(0.1)
            [line.close() for line in lines]
    finally:
        [os.kill(w, signal.SIGCONT) for w in workers]
    equal(call('ListArchives')[0], 200, 'afterwards')
    site.wait()
    made = subscriptions('gone')
    print('   %d of 250 were under way, mmd held up to %d descriptors more' % (len(made), most - before))
    check(len(made) <= 12, 'they were carried out: %d' % len(made))
    check(40 <= most - before < 80, 'mmd held %d descriptors more' % (most - before))

@test
def who_may_no_more_gets_no_answer():
    """A change waits for the pipeline, what disables a principal for that change, and the principal's calls behind it."""
    other = json.loads(site.run('mmctl', 'principal', 'create', 'other', '--role', 'operator', '--json'))
    workers, first, lines = children_of(site.process.pid, 'mm-parse'), Line(api), [Line(api) for _ in range(4)]
    disable = threading.Thread(target=site.run, args=('mmctl', 'principal', 'disable', 'other'))
    [os.kill(w, signal.SIGSTOP) for w in workers]
    try:
        site.send(mail('it holds the pipeline'))
        time.sleep(0.5)
        first.send(request(key, HOST, 'CreateAddonSubscription', b'{"AddonName":"first"}'))
        time.sleep(0.5)
        disable.start()
        time.sleep(0.5)
        for i, line in enumerate(lines):
            line.send(request(other, HOST, 'CreateAddonSubscription', b'{"AddonName":"by other %d"}' % i))
        time.sleep(0.5)
    finally:
        [os.kill(w, signal.SIGCONT) for w in workers]
    disable.join()
    equal(first.answer()[0], 200)
    answers = [line.answer() for line in lines]
    check(any(b'AccessDeniedException' in body for _, _, body in answers), answers)
    [line.close() for line in lines + [first]]
    site.wait()

@test
def slow_readers_of_links_hold_up_nobody_else():
    """With all threads of mmd among them a call would be answered when they were cut off."""
    readers = [Reader(wait=False) for _ in range(6)]
    check(readers[0].read(1), 'nothing came')
    equal(call('ListArchives')[0], 200)
    for reader in readers: # those behind the first ones have their turn, too
        equal(sha256(reader.rest()), sha256(BIG))
        reader.sock.close()

def slowly(lines):
    """The answers on these connections, (status, JSON): all have begun before one of them is read to its end."""
    got = {line: b'' for line in lines}
    while not all(got.values()):
        for line in lines:
            if select.select([line.sock], [], [], 0)[0]:
                got[line] += line.sock.recv(65536)
        time.sleep(0.1)
    for line in lines:
        head, _, body = got[line].partition(b'\r\n\r\n')
        length = int([l for l in head.split(b'\r\n') if l.startswith(b'Content-Length')][0].split()[1])
        body += line.file.read(length - len(body))
        yield int(head.split()[1]), json.loads(body)

@test
def long_answers_have_a_bound_together():
    names = ['%d' % i + 'z' * 900000 for i in range(10)]
    [good('CreateAddonSubscription', AddonName=name) for name in names]
    lines = [Line(api) for _ in range(17)]
    for line in lines:
        line.send(request(key, HOST, 'ListAddonSubscriptions', b'{"PageSize":50}'))
    good('ListArchives') # a short one beside them
    answers = list(slowly(lines))
    for status, answer in answers:
        check(answer.get('__type') == 'ServiceUnavailable' if status == 503 else
              [s['AddonName'] for s in answer['AddonSubscriptions'] if s['AddonName'] in names] == names, 'an answer with %d' % status)
    statuses = [status for status, _ in answers]
    print('   %d of %d answers of 9 MB at once' % (statuses.count(200), len(lines)))
    check(statuses.count(200) == 14, statuses)
    [line.close() for line in lines]
    good('ListAddonSubscriptions', PageSize=50) # there is room again

@test
def bodies_that_nobody_signed_for_shut_out_nobody():
    """Heads only: each could have 2 MiB of body, and together all the room there is."""
    head = request(dict(key, SecretAccessKey='x' * 40), HOST, 'ListArchives', b'').replace(b'Content-Length: 0', b'Content-Length: %d' % (2 << 20))
    lines = []
    for _ in range(64):
        sock = socket.create_connection(('127.0.0.1', api), timeout=60, source_address=('127.0.0.2', 0))
        sock.sendall(head)
        lines.append(sock)
    long_one = b'{"Unknown":"' + b'x' * 1000000 + b'"}'
    line = Line(api)
    equal(line.call(key, HOST, 'ListArchives', long_one)[0], 200, 'from another address')
    refused = []
    while len(refused) < 48 and select.select([s for s in lines if s not in refused], [], [], 5)[0]:
        refused = [s for s in lines if select.select([s], [], [], 0)[0]]
    check(all(s.recv(12) == b'HTTP/1.1 503' for s in refused), 'something else')
    equal(len(refused), 48, 'a quarter of 128 MiB has room for 16')
    [s.close() for s in refused]
    sock = socket.create_connection(('127.0.0.1', api), timeout=60, source_address=('127.0.0.2', 0))
    sock.sendall(request(key, HOST, 'ListArchives', b'{"Unknown":"' + b'x' * 60000 + b'"}'))
    equal(sock.recv(12), b'HTTP/1.1 200', 'a short one from there')
    [s.close() for s in lines + [sock]]

@test
def who_reads_too_slowly_has_the_rest_no_more():
    slowest.thread.join(90)
    check(not slowest.thread.is_alive(), 'it is served on')
    check(len(slowest.rest()) < len(BIG) // 2, '%d bytes' % len(slowest.got))

# ---- the audit log ----

def entries(event):
    return [json.loads(l)['detail'] for l in site.run('mm-audit', 'list', '--json').splitlines() if '"%s"' % event in l]

@test
def refusals_are_summed_up():
    for i in range(60): # of who made up keys
        equal(Line(api).call(dict(key, AccessKeyId='MM%018d' % i), HOST, 'ListArchives')[0], 403)
    for _ in range(5): # of who knows one, but not its secret
        equal(Line(api).call(dict(key, SecretAccessKey='x' * 40), HOST, 'ListArchives')[0], 403)
    site.stop() # what was counted is told, and entered
    strangers, known = [], []
    for d in entries('api_refused'):
        equal((d['op'], d['outcome']), ('api', 'InvalidSignatureException'), d)
        (known if d.get('key') == key['AccessKeyId'] else strangers).append(d)
    for found, most, times in ((strangers, 2, 60), (known, 2, 5)):
        check(1 <= len(found) <= most, found)
        equal(sum(d.get('again', d.get('count', 1)) for d in found), times, found)
        equal(found[0]['address'], '127.0.0.1', found)

LIAR = '''#!/usr/bin/python3
import json, os, socket, struct
place = os.path.dirname(os.path.abspath(__file__))
if os.path.exists(place + '/lies'):
    os.execv(place + '/mm-httpd.real', ['mm-httpd'])
channel, lanes, got = socket.socket(fileno=3), [], {}
def need(n=1):
    channel.sendall(struct.pack('<IHH', 0, 64, 0) * n)
def lane():
    while not lanes:
        fds = socket.recv_fds(channel, 65536, 4)[1]
        lanes.extend(s for s in map(lambda fd: socket.socket(fileno=fd), fds) if s.family == socket.AF_UNIX) # not the listener
    lanes[0].setblocking(True)
    return lanes.pop(0)
def ask(request, length=None):
    text = json.dumps(request).encode()
    need()
    l = lane()
    l.sendall(struct.pack('<I', length or len(text)) + text)
    return l
def answer(l):
    head = l.recv(5, socket.MSG_WAITALL)
    rest = l.recv(struct.unpack('<I', head[:4])[0] - 1, socket.MSG_WAITALL)
    l.close()
    return head[4:].decode() + rest.decode()
got['too long'] = answer(ask({}, 45000000))
held = [ask({}, 40000000) for _ in range(3)]
got['together'] = answer(ask({}, 40000000))
[l.close() for l in held]
who = {'key': 'x', 'address': '192.0.2.1', 'why': 'InvalidSignatureException', 'count': 1}
got['why'] = answer(ask({'op': 'api-refused', 'refused': [dict(who, why='because')]}))
got['count'] = answer(ask({'op': 'api-refused', 'refused': [dict(who, count=-1)]}))
for i in range(300):
    got['refused'] = answer(ask({'op': 'api-refused', 'refused': [dict(who, key='k%d' % i, address='192.0.2.%d' % i, count=1 << 30)] * 9}))
    got['key'] = answer(ask({'op': 'api', 'principal': 'boss', 'key': 'k%d' % i, 'operation': 'o%d' % i, 'input': {}}))
json.dump(got, open(place + '/lies', 'w'))
need(129) # 64 that it is given, 64 that it may wait for
channel.recv(1 << 20)
while channel.recv(1 << 20):
    pass
'''

@test
def an_mm_httpd_that_was_broken_into():
    folder = os.path.join(site.root, 'bin')
    os.mkdir(folder)
    for name in ('mmd', 'mm-smtpd', 'mm-parse', 'mm-deliver', 'mmctl', 'mm-audit'):
        shutil.copy(os.path.join(site.bin, name), folder)
    shutil.copy(os.path.join(site.bin, 'mm-httpd'), os.path.join(folder, 'mm-httpd.real'))
    site.write(os.path.join(folder, 'mm-httpd'), LIAR)
    os.chmod(os.path.join(folder, 'mm-httpd'), 0o755)
    before = {event: len(entries(event)) for event in ('api_refused', 'denied')}
    site.bin, site.env['MM_SANDBOX'] = folder, 'off' # the liar is a script
    site.start()
    for _ in range(600):
        if 'mm-httpd says nonsense' in site.tail(1 << 20):
            break
        time.sleep(0.1)
    got = json.load(open(os.path.join(folder, 'lies')))
    check(got['too long'][0] == 'E' and 'the limit is' in got['too long'], got)
    check(got['together'][0] == 'E' and 'too many large requests' in got['together'], got)
    check(got['why'][0] == got['count'][0] == 'E', got)
    equal((got['refused'], 'UnrecognizedClientException' in got['key']), ('D{}', True), got)
    equal(call('ListArchives')[0], 200, 'by the one that came after it')
    site.stop()
    found = {event: len(entries(event)) - n for event, n in before.items()}
    check(all(1 <= n <= 2 for n in found.values()), 'entries: %r' % found)

done()
