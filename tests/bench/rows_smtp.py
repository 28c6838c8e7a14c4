"""tests/bench/rows_smtp.py - rows whose mail comes by SMTP: accept rates, TLS, until findable, memory, soak"""
import os, random, threading, time
import mm, peers
from archive import Archive
from report import percentile

def fresh(b, **more):
    """A new archive that has received and indexed some mail: its first spool files are there, its processes are warm."""
    site = Archive(b.root, **more).start()
    peers.load(site.port, messages=2000)
    site.drain()
    return site

def closed(site):
    site.close()
    os.sync() # its files' blocks are given back now, not during the next measurement
    time.sleep(1)

def most(b, size):
    """As many messages of this size as the disk has room for: spooled mail, zeros written ahead of it, the store."""
    disk = os.statvfs(b.root)
    return int(min(32e9, disk.f_bavail * disk.f_frsize * 0.4) / size)

def calibrated(b, port, rate, shape):
    """Messages for a run of --seconds at about this rate."""
    return max(500, min(int(rate * b.seconds), most(b, shape['size'])))

def accept_peer(b, peer, rate, shape):
    rate = rate or peers.source(peer.port, 1000, **shape)
    if hasattr(peer, 'drain'):
        peer.drain()
    rate = peers.source(peer.port, calibrated(b, peer.port, rate, shape), **shape)
    return rate, peer.drain() if hasattr(peer, 'drain') else (0, 0)

def accept_mm(b, shape, rate, drain):
    site = fresh(b)
    try:
        if not rate:
            rate = peers.source(site.port, 5000, **shape)
            site.drain()
        rate = peers.source(site.port, calibrated(b, site.port, rate, shape), **shape)
        left = site.backlog()
        return rate, (left, site.drain()[1] if drain else None)
    finally:
        closed(site)

def accept_row(b, row, title, least, sink=None, **shape):
    b.report.row(row, 'Durable accept, ' + title)
    programs = {'mm': None, 'Postfix': peers.Postfix(b.root)}
    if sink:
        programs['smtp-sink'] = peers.Sink()
    rates, behind = {p: [] for p in programs}, {p: [] for p in programs}
    try:
        for run in range(b.runs):
            for name, peer in programs.items():
                known = rates[name][-1] if rates[name] else None
                rate, left = accept_peer(b, peer, known, shape) if peer else accept_mm(b, shape, known, run == 0)
                rates[name].append(rate)
                behind[name].append(left)
    finally:
        for peer in filter(None, programs.values()):
            peer.close()
    left, took = behind['mm'][0]
    b.report.figure('mm, every 250 synced, policy and indexing on', rates['mm'], 'msg/s',
                    'backlog %d, drained in %.1f s (%.0f/s)' % (left, took, left / max(took, 0.001)))
    left, took = behind['Postfix'][-1]
    b.report.figure('Postfix to its queue', rates['Postfix'], 'msg/s', 'backlog %d, drained in %.1f s' % (left, took))
    if sink:
        b.report.figure('smtp-sink, which stores nothing', rates['smtp-sink'], 'msg/s')
    b.report.ratio('Postfix', b.median(rates['mm']), b.median(rates['Postfix']), least=least)
    if sink:
        b.report.ratio('smtp-sink', b.median(rates['mm']), b.median(rates['smtp-sink']), least=sink)

def accept(b):
    accept_row(b, 'accept', '4 KiB, 50 sessions, connections reused', 15, sink=0.8, sessions=50, size=4096)

def accept10(b):
    accept_row(b, 'accept10', '4 KiB, 10 sessions, connections reused', 9, sessions=10, size=4096)

def accept_each(b):
    accept_row(b, 'accept-each', '4 KiB, 50 sessions, a connection each message', 7, sessions=50, size=4096, each=True)

def accept64(b):
    accept_row(b, 'accept64k', '64 KiB, 50 sessions, connections reused', 7, sessions=50, size=65536)

def tls(b):
    b.report.row('tls', 'Durable accept over TLS 1.3 beside the same in the clear (smtp_load, 4 KiB, 50 sessions, connections reused)')
    rates = {False: [], True: []}
    for _ in range(b.runs):
        for secure in (False, True):
            site = fresh(b, tls=True)
            try:
                answer = peers.load(site.port, sessions=50, size=4096, seconds=b.seconds, **({'tls': True} if secure else {}))
                mm.equal((answer['tls'], answer['refused']), ('TLSv1.3' if secure else 'none', 0), 'tls')
                rates[secure].append(answer['rate'])
            finally:
                closed(site)
    b.report.figure('mm in the clear', rates[False], 'msg/s')
    b.report.figure('mm over TLS 1.3', rates[True], 'msg/s')
    b.report.ratio('the clear', b.median(rates[True]), b.median(rates[False]), least=0.5)

def by_smtp(b):
    b.report.row('smtp', 'Real mail by SMTP, first byte sent to last message findable (smtp_load, 10 sessions)')
    notmuch = b.notmuch_rates()
    files, rates, notes, count = b.mails.list_file(b.mails.copy('one', 0)), [], '', b.mails.count
    for run in range(-1, b.runs): # run -1 finds how many messages fill --seconds
        site = Archive(b.root).start()
        try:
            answer = peers.load(site.port, sessions=10, files=files, messages=count)
            sent = time.monotonic()
            left, took = site.drain()
            seconds = time.monotonic() - answer['began'] / 1e9
            mm.equal(site.count(''), answer['accepted'], 'findable')
            if run < 0:
                count = max(count, int(answer['accepted'] / seconds * b.seconds))
                continue
            rates.append(answer['accepted'] / seconds)
            notes = '%d messages, %d refused; accepted in %.1f s, then backlog %d, drained in %.1f s' % (
                answer['accepted'], answer['refused'], sent - answer['began'] / 1e9, left, took)
        finally:
            closed(site)
    b.report.figure('mm, first byte to last findable', rates, 'msg/s', notes)
    b.report.figure('notmuch new', notmuch, 'msg/s')
    b.report.ratio('notmuch new', b.median(rates), b.median(notmuch), least=6)

class Watcher(threading.Thread):
    """Asks for the newest ids again and again over the socket; remembers when it first saw each."""
    def __init__(self, site):
        super().__init__()
        self.site, self.seen, self.gaps, self.stop, self.failure = site, {}, [], False, None

    def run(self):
        last = time.monotonic()
        try:
            while not self.stop:
                self.look(400)
                now = time.monotonic()
                self.gaps.append(now - last)
                last = now
                time.sleep(0.01)
        except BaseException as e:
            self.failure = e

    def look(self, limit):
        _, rows = self.site.request('search', archive='corp', query='', mode='ids', limit=limit, sort='newest')
        at = time.monotonic()
        fresh = [r['id'] for r in rows if r['id'] not in self.seen]
        for i in fresh:
            self.seen[i] = at
        if fresh and len(fresh) == len(rows) == limit:
            self.look(limit * 20) # more came than one look takes

def findable(b):
    seconds = max(b.seconds, 10)
    b.report.row('findable', '250 to findable, real mail at 100 messages/s for %d s' % seconds)
    shard = 50000 if not b.quick else 3000
    for title, before in (('into a new archive', 0), ('a shard of %d is sealed half way' % shard, shard - seconds * 50)):
        late, gaps = [], []
        for _ in range(b.runs):
            site = Archive(b.root, index={'shard_messages': shard}).start()
            try:
                if before:
                    site.take(*b.some(before))
                times, watcher = watch(b, site, seconds)
                late.append([(watcher.seen[i] - at) * 1000 for i, at in times.items()])
                gaps += watcher.gaps
            finally:
                closed(site)
        b.report.figure('mm, median, ' + title, [percentile(l, 50) for l in late], 'ms',
                        'resolution %.0f ms (a look at the newest ids; p99 %.0f)' % (b.median(gaps) * 1000, percentile(gaps, 99) * 1000))
        worst = b.report.figure('mm, p99, ' + title, [percentile(l, 99) for l in late], 'ms', 'most %.0f' % max(map(max, late)))
        b.report.goal('p99, ' + title, worst / 1000, 's', most=1)

def watch(b, site, seconds):
    log = os.path.join(site.root, 'accepted')
    watcher = Watcher(site)
    watcher.start()
    try:
        files = b.mails.list_file(b.mails.copy('one', 0))
        answer = peers.load(site.port, sessions=10, files=files, rate=100, messages=seconds * 100, log=log)
        site.drain(60)
        time.sleep(0.5)
    finally:
        watcher.stop = True
        watcher.join()
    if watcher.failure:
        raise watcher.failure
    times = {i: int(at) / 1e9 for at, i in (l.split() for l in open(log))}
    mm.equal(len(times), answer['accepted'], 'ids in the log')
    mm.equal([i for i in times if i not in watcher.seen], [], 'never seen')
    return times, watcher

def large(b, size):
    """Two messages of nearly 40 MiB: words alone, and a small text with one attachment."""
    rng, words = random.Random(1), b.words()
    size = int(size * 0.97) # line ends become CRLF
    head = b'From: <s@out.example>\nTo: <a@corp.example>\nSubject: large\nMIME-Version: 1.0\n'
    line = lambda: b' '.join(rng.choice(words) for _ in range(9))[:900]
    text = b'\n'.join(line() for _ in range(20000))
    paths = [os.path.join(b.root, n) for n in ('large-text', 'large-file')]
    with open(paths[0], 'wb') as f:
        f.write(head + b'Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n')
        while f.tell() < size - len(text) * 1.1:
            f.write(text + b'\n')
    import base64
    with open(paths[1], 'wb') as f:
        f.write(head + b'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n' + text[:100000])
        f.write(b'\n--b\nContent-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n\n')
        while f.tell() < size - 1500000:
            f.write(base64.encodebytes(rng.randbytes(750000)))
        f.write(b'--b--\n')
    with open(paths[0] + '.list', 'w') as f:
        f.write('\n'.join(paths) + '\n')
    return paths[0] + '.list'

class Weigher(threading.Thread):
    """Samples the memory of all processes: the largest sum, and each program's share of it."""
    def __init__(self, site, pause, backlog=False):
        super().__init__()
        self.site, self.pause, self.stop, self.samples, self.behind = site, pause, False, [], [] if backlog else None

    def run(self):
        while not self.stop:
            self.samples.append((time.monotonic(), self.site.memory()))
            if self.behind is not None:
                self.behind.append(self.site.backlog())
            time.sleep(self.pause)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.join()

    def most(self):
        return max((m for _, m in self.samples), key=lambda m: sum(m.values()))

def shares(memory):
    return ', '.join('%s %.0f' % (n, v / 2**20) for n, v in sorted(memory.items()))

def memory(b):
    sessions, size = 50, (40 << 20) if not b.quick else (8 << 20)
    b.report.row('memory', 'Memory of all mm processes (sum of PSS), %d sessions that send messages of %d MiB' % (sessions, size >> 20))
    files, peaks = large(b, size), []
    for _ in range(b.runs):
        site = Archive(b.root).start()
        try:
            peers.load(site.port, sessions=10, files=b.mails.list_file(b.mails.copy('one', 0)), messages=min(2000, b.mails.count))
            site.drain()
            idle = site.memory()
            with Weigher(site, 0.05) as w:
                answer = peers.load(site.port, sessions=sessions, files=files, messages=4 * sessions)
                site.drain()
            mm.check(answer['accepted'] > 0, 'accepted %r' % answer)
            mm.equal(site.count('from:s@out.example'), answer['accepted'], 'archived')
            peaks.append(sum(w.most().values()) / 2**20)
        finally:
            closed(site)
    top = b.report.figure('mm, largest sum', peaks, 'MiB', 'at that moment: %s; before: %s' % (shares(w.most()), shares(idle)))
    b.report.note('accepted %d of %d in %.1f s, refused by code %s' % (answer['accepted'], 4 * sessions, answer['seconds'], answer['refusals']))
    b.report.goal('largest sum', top, 'MiB', most=400)

def keeps_up(b, site, files, rate):
    """A run at this rate; true when at most two seconds' mail waits at its end."""
    seconds = max(10, b.seconds // 2)
    answer = peers.load(site.port, sessions=20, files=files, rate=rate, seconds=seconds)
    left = site.backlog()
    site.drain()
    return left <= rate * 2 and answer['accepted'] >= rate * seconds * 0.97

def soak(b):
    minutes = b.soak
    b.report.row('soak', 'Soak: real mail by SMTP for %g minutes at the highest rate that keeps up' % minutes)
    files = b.mails.list_file(b.mails.copy('one', 0))
    site = Archive(b.root).start()
    try:
        answer = peers.load(site.port, sessions=20, files=files, seconds=max(5, b.seconds // 6))
        site.drain()
        rate = 0.95 * answer['accepted'] / (time.monotonic() - answer['began'] / 1e9)
        while rate > 10 and not keeps_up(b, site, files, rate):
            rate *= 0.92
        needed = rate * minutes * 60 * b.mails.bytes / b.mails.count * 0.6
        if needed > most(b, 1) / 0.4 * 0.8:
            raise AssertionError('needs %.0f GB of disk' % (needed / 1e9))
        before, log = set(site.ids('')), os.path.join(site.root, 'accepted')
        with Weigher(site, 1, backlog=True) as w:
            answer = peers.load(site.port, sessions=20, files=files, rate=rate, seconds=int(minutes * 60), log=log)
        left, took = site.drain()
        sent = {l.split()[1] for l in open(log)}
        lost = len(sent - (set(site.ids('')) - before))
    finally:
        closed(site)
    b.report.figure('mm, accepted and indexed', answer['rate'], 'msg/s', '%d messages, %d refused; backlog %d at most, %d at the end, '
                    'drained in %.1f s' % (answer['accepted'], answer['refused'], max(w.behind), left, took))
    b.report.goal('lost', lost, 'msgs', most=0)
    drift(b, w.samples)

def drift(b, samples):
    """The first sixth is warming up. Of the rest: the median of the last quarter against that of the first."""
    sums = [sum(m.values()) / 2**20 for _, m in samples][len(samples) // 6:]
    quarter = max(1, len(sums) // 4)
    first, last = b.median(sums[:quarter]), b.median(sums[-quarter:])
    b.report.figure('mm, memory, first and last quarter (sum of PSS)', [first, last], 'MiB', 'at the end: ' + shares(samples[-1][1]))
    b.report.goal('memory drift', 100 * abs(last - first) / first, '%', most=1)
