#!/usr/bin/env python3
"""Every bomb of ../shared/spec/smtp-cases.json ("mime_bombs") and some of reliability.md 3.1, made here, at a worker without
sanitizers: what it may spend on each is 2 s of processor time and 96 MiB of memory, the bytes come back, and what couldn't be read is
marked. Controls: a message that makes the worker spin, and one that makes it eat memory, must reach those limits and be marked."""
import glob, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

CPU_S, MEMORY = 2.0, 96 << 20
TICK = os.sysconf('SC_CLK_TCK')

def nest(n):
    return b''.join(b'Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n' % (i, i) for i in range(n))

H = b'From: bomb@b.example\r\nMIME-Version: 1.0\r\n'
END = b'\r\n\r\nbombword\r\n'
MIXED = b'Content-Type: multipart/mixed; boundary=b\r\n\r\n'
MUST_MARK, EITHER = True, None
# id, n -> the message; whether the mark must be there. The ids are those of the case file where it has one.
BOMBS = {
    'group-nest 2500': (lambda: H + b'To: ' + b'g:' * 2500 + END, MUST_MARK),
    'group-nest 41000': (lambda: H + b'To: ' + b'g:' * 41000 + END, MUST_MARK),
    'group-nest 200000': (lambda: H + b'To: ' + b'g:' * 200000 + END, MUST_MARK),
    'multipart-nest 100': (lambda: H + nest(100) + END, EITHER),
    'multipart-nest 1000': (lambda: H + nest(1000) + END, MUST_MARK),
    'multipart-nest 10000': (lambda: H + nest(10000) + END, MUST_MARK),
    'multipart-nest 100000': (lambda: H + nest(100000) + END, MUST_MARK),
    'rfc822-nest 1000': (lambda: H + b'Content-Type: message/rfc822\r\n\r\n' * 1000 + b'Subject: x' + END, MUST_MARK),
    'rfc822-nest 100000': (lambda: H + b'Content-Type: message/rfc822\r\n\r\n' * 100000 + b'Subject: x' + END, MUST_MARK),
    'many-parts 100000': (lambda: H + MIXED + b'--b\r\n\r\nx\r\n' * 100000 + b'--b' + END + b'--b--\r\n', MUST_MARK),
    'many-parts 1000000': (lambda: H + MIXED + b'--b\r\n\r\nx\r\n' * 1000000 + b'--b' + END + b'--b--\r\n', MUST_MARK),
    'long-header 10000000': (lambda: H + b'Subject: ' + b'a' * 10000000 + END, MUST_MARK),
    'encoded-words 1000000': (lambda: H + b'Subject: ' + b'=?utf-8?q?a?= ' * 1000000 + END, MUST_MARK),
    'folding 1000000': (lambda: H + b'Subject: a' + b'\r\n b' * 1000000 + END, MUST_MARK),
    'addresses 10240': (lambda: H + b'To: ' + b'a@b.c,' * 10240 + END, EITHER),
    'addresses 500000': (lambda: H + b'To: ' + b'a@b.c,' * 500000 + END, MUST_MARK),
    'param-name-72': (lambda: H + b'Content-Type: text/plain; ' + b'K' * 72 + b'="\xd1\x9c"' + END, EITHER),
    'charset utf-7': (lambda: H + b'Content-Type: text/plain; charset=utf-7' + END + b'+AAAA' * 200000, EITHER),
    'charset hz': (lambda: H + b'Content-Type: text/plain; charset=hz-gb-2312' + END + b'~{' * 500000, EITHER),
    'charset iso-2022-jp': (lambda: H + b'Content-Type: text/plain; charset=iso-2022-jp' + END + b'\x1b$B' * 300000, EITHER),
    'charset name': (lambda: H + b'Content-Type: text/plain; charset=' + b'x' * 1000000 + END, MUST_MARK),
    'headers 1000000': (lambda: H + b'X: y\r\n' * 1000000 + b'Z: z' + END, MUST_MARK),
    'parameters 100000': (lambda: H + b'Content-Type: text/plain' + b''.join(b'; a*%d=x' % i for i in range(100000)) + END, MUST_MARK),
    'comments 1000000': (lambda: H + b'To: ' + b'(' * 1000000 + END, MUST_MARK),
    'content-ids 9000': (lambda: H + MIXED + b''.join(b'--b\r\nContent-ID: <%d@c>\r\n\r\ncid:%d@c\r\n' % (i, i + 1) for i in range(9000)) + b'--b' + END + b'--b--\r\n', EITHER),
    'cut UTF-8': (lambda: H + b'Subject: ' + b'\xf0\x9f' * 50000 + END + b'\xf0\x9f\x92' * 500000, EITHER),
    'tags 2000000': (lambda: H + b'Content-Type: text/html' + END + b'<a x="' * 2000000, EITHER),
    'entities 2000000': (lambda: H + b'Content-Type: text/html' + END + b'&amp' * 2000000, EITHER),
    'base64 padding 3000000': (lambda: H + b'Subject: bombword\r\nContent-Transfer-Encoding: base64\r\n\r\n' + b'YQ==\r\n' * 3000000, EITHER),
    'text 39 MiB': (lambda: H + b'Subject: t' + END + b'words of a long text that is all the same in every line of it\r\n' * 640000, MUST_MARK),
}
# Longer than a message may be: refused with 552 before anything reads it.
TOO_LONG = {'long-header 50000000': 50000000, 'big-header 100 MB': 100000000}
NOT_BUILT = {
    'flat-zip': 'attachments are not unpacked (the name and the mark "not indexed": T450)',
    'zstd-bomb': 'attachments are not unpacked',
    'xlsx-shared-strings': 'office documents are not read',
    'ooxml-symlink': 'office documents are not unpacked (that none is written: T450)',
    'regex': 'rules have no regular expressions',
}

site = Site('clang', config={"parse": {"workers": 1}, "index": {"shard_messages": 1000}}, ingress={"BareNewlines": "KEEP"}).start()

class Worker:
    """The one mm-parse, and the processor time of those that died before."""
    def __init__(self):
        self.pid = None
        lists = glob.glob('/proc/%d/task/*/children' % site.process.pid)  # of each thread its own
        for child in ' '.join(open(path).read() for path in lists).split():
            if open('/proc/%s/comm' % child).read().strip() == 'mm-parse':
                self.pid = int(child)

    def cpu(self):
        """Seconds of this worker, and of all children of mmd that were reaped."""
        own = open('/proc/%d/stat' % self.pid).read().rsplit(')', 1)[1].split()
        mmd = open('/proc/%d/stat' % site.process.pid).read().rsplit(')', 1)[1].split()
        return (int(own[11]) + int(own[12])) / TICK, (int(mmd[13]) + int(mmd[14])) / TICK

    def memory(self):
        """(most, now) of what isn't shared memory, in bytes: the shared memory is there for every worker."""
        rows = dict(l.split(':', 1) for l in open('/proc/%d/status' % self.pid))
        kib = lambda name: int(rows[name].split()[0]) * 1024
        return kib('VmHWM') - kib('RssShmem'), kib('RssAnon') + kib('RssFile')

    def forget_peak(self):
        with open('/proc/%d/clear_refs' % self.pid, 'w') as f:
            f.write('5')

def alone():
    """The one worker. One that died is replaced when there is a message to read."""
    w = Worker()
    if not w.pid:
        site.send(mail('wake', 'wake'))
        site.wait()
        w = Worker()
    check(w.pid, 'no worker')
    return w

def one(data):
    """Sends a message and waits for it: (id, died, seconds, peak bytes over the idle worker)."""
    before = alone()
    before.forget_peak()
    own, reaped = before.cpu()
    idle = before.memory()[1]
    id = site.send(data)
    site.wait()
    if Worker().pid == before.pid:
        return id, False, before.cpu()[0] - own, max(before.memory()[0] - idle, 0)
    after = alone().cpu()
    return id, True, sum(after) - own - reaped, None

def row(id):
    return site.rows('id:' + id)[0]

def is_marked(id):
    r = row(id)
    return r['parse_problem'] or r['not_indexed']

sent = {}

@test
def each_bomb_within_its_means():
    wrong, most = [], (0, 0)
    one(mail('warm', 'warm'))
    for name, (make, mark) in BOMBS.items():
        data = make()
        id, died, seconds, peak = one(data)
        sent[name] = id, sha256(data if data.endswith(b'\r\n') else data + b'\r\n')
        marked = is_marked(id)
        print('   %-24s %5.2f s %s %s' % (name, seconds, 'worker died' if died else '%6.1f MiB' % (peak / (1 << 20)),
                                         'marked' if marked else ''), flush=True)
        if died:
            wrong.append((name, 'no bomb that is known may cost a worker'))
        elif seconds > CPU_S or peak > MEMORY:
            wrong.append((name, seconds, peak))
        if mark and not marked:
            wrong.append((name, 'not marked'))
        if not marked and id not in site.ids('bombword'):
            wrong.append((name, 'neither found nor marked'))
        most = max(most[0], seconds), max(most[1], peak or 0)
    print('   most: %.2f s, %.1f MiB' % (most[0], most[1] / (1 << 20)))
    equal(wrong, [], 'wrong')

@test
def too_long_ones_are_refused():
    for name, n in TOO_LONG.items():
        with Sender(site.port) as s:
            code, text = s.try_send(H + b'Subject: ' + b'a' * n + END)
            equal(code, 552, name)

@test
def the_limits_are_limits():
    """The control: a worker that spins or eats is stopped by them, and this script sees it."""
    for what, least in (('spin', CPU_S), ('eat', 0)):
        id, died, seconds, _ = one(('X-MM-Test: %s\r\n' % what).encode() + H + b'Subject: control' + END)
        print('   %s: %.2f s' % (what, seconds))
        check(died and seconds >= least, '%s: died %s, %.2f s' % (what, died, seconds))
        check(is_marked(id), what + ' is not marked')
        check(id in site.ids('bombword'), what + ' is not found: the plain reader had it')
    limits = open('/proc/%d/limits' % alone().pid).read()
    space = [l for l in limits.splitlines() if l.startswith('Max address space')][0].split()
    check(space[3] != 'unlimited', limits)

@test
def exact_and_clean():
    for name, (id, digest) in sent.items():
        equal(sha256(site.run('mm-search', '--raw', id, binary=True)), digest, name)
    site.send(mail('calm', 'calm after all'))
    site.wait()
    equal(site.count('"calm after all"'), 1, 'other mail')
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()

for name, why in NOT_BUILT.items():
    print('skip bomb-%s: %s' % (name, why))

done()
