#!/usr/bin/env python3
"""A full disk: what was acknowledged is kept, further mail is told to come again (4xx), mmd goes on, and with
space everything is archived and mail is taken again. And a spool that is full while the pipeline stands: 452, then on without a
restart. Needs to mount a tmpfs."""
import ctypes, os, random, struct, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

class Full:
    """A Site on a small file system."""
    def __init__(self, mib, **config):
        self.site = Site(apply=False, config=dict({'spool': {'max_bytes': 8 << 20}}, **config))
        shutil.rmtree(self.site.data)
        os.remove(self.site.data + '.key')
        os.mkdir(self.site.data)
        p = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%dm' % mib, 'mm-test', self.site.data], stderr=subprocess.PIPE)
        if p.returncode:
            raise Skip('mount: ' + p.stderr.decode('utf-8', 'replace').strip())
        atexit.register(self.unmount)
        self.site.run('mmctl', 'init')
        self.site.apply(DEFAULT)

    def unmount(self):
        if os.path.ismount(self.site.data):
            subprocess.run(['umount', '-l', self.site.data], check=True)

    def fill(self, leave):
        """Leaves so many bytes; free() gives the rest back."""
        f = os.open(os.path.join(self.site.data, 'ballast'), os.O_WRONLY | os.O_CREAT)
        s = os.statvfs(self.site.data)
        try:
            os.write(f, bytes(max(0, s.f_bavail * s.f_frsize - leave)))
        except OSError:
            pass # mmd was quicker
        os.close(f)

    def free(self):
        os.remove(os.path.join(self.site.data, 'ballast'))

def message(n, size):
    data = mail('full %d' % n, rng.randbytes(size // 2).hex())
    return data if data.endswith(b'\r\n') else data + b'\r\n'

def send_until_refused(site, acked, size, most):
    """Sends until a reply isn't 250 or the server is gone; that reply."""
    try:
        with Sender(site.port) as s:
            for n in range(most):
                data = message(n, size)
                code, text = s.try_send(data)
                if code != 250:
                    return code
                acked[message_id(text)] = sha256(data)
    except (OSError, smtplib.SMTPException):
        return 0
    return 250

def taken_again(site, acked):
    """mmd looks for room once a second."""
    for _ in range(150):
        if send_until_refused(site, acked, 2000, 5) == 250:
            return
        time.sleep(0.2)
    raise AssertionError('refused with space')

def settle(site):
    """mmd as it is after its disk has room: running, started again where it gave up."""
    if site.process.poll() is not None:
        print('   mmd had stopped: exit %d' % site.process.returncode)
        equal(site.process.returncode, 1, 'exit of mmd\n' + site.tail())
        site.process.stdout.close()
        site.process = None
        site.start()

def compare(site, acked):
    site.wait()
    sums = {r['id']: r['sha256'] for r in site.rows()}
    equal([i for i in acked if sums.get(i) != acked[i]], [], 'lost')
    equal(len(site.ids('')), len(sums), 'twice')
    equal(site.verify()['problems'], 0, 'verify')
    site.run('mm-audit', 'verify')
    check('AddressSanitizer' not in site.tail(1 << 20) and 'runtime error' not in site.tail(1 << 20), site.tail())

def parent(pid):
    try:
        return int(open('/proc/%s/stat' % pid).read().rsplit(')', 1)[1].split()[1])
    except OSError:
        return 0

def program(pid):
    try:
        return os.path.basename(os.readlink('/proc/%s/exe' % pid))
    except OSError:
        return ''

@test
def disk_full():
    """The archives' disk fills up at different places: in the spool, the store, the index, the audit log."""
    full = Full(40)
    site, acked, stopped = full.site, {}, 0
    for leave in [0, 4096, 40960, 200000, 1 << 20, 3 << 20][::1 if LONG else 3]:
        for size in (2000, 600000) if LONG or leave else (2000,):
            site.start() if not site.process else None
            taken_again(site, acked)
            full.fill(leave)
            code = send_until_refused(site, acked, size, 400)
            print('   %d bytes left, messages of %d: ended by %d' % (leave, size, code))
            check(code in (0, 250, 421, 451, 452), 'reply %d' % code)
            time.sleep(1.5) # a checkpoint meets the full disk
            stopped += site.process.poll() is not None
            if site.process.poll() is None and rng.random() < 0.3:
                site.kill()
                site.process = None
            full.free()
            if site.process:
                settle(site)
            else:
                site.start()
            compare(site, acked)
    equal(stopped, 0, 'mmd stopped instead of waiting for room')
    check('new mail is refused' in site.tail(1 << 20), 'the disk was never full for mmd')
    site.stop()
    full.unmount()
    site.close()

@test
def spool_full():
    """The pipeline stands (its workers are stopped), and more comes than the spool takes: senders wait or get 4xx. Then it goes on by
    itself, without a restart."""
    site = Site(config={'spool': {'max_bytes': 4 << 20}}).start()
    workers = [int(p) for p in os.listdir('/proc') if p.isdigit() and parent(p) == site.process.pid and program(p) == 'mm-parse']
    equal(len(workers), 2, 'workers')
    acked, codes = {}, []
    threads = [threading.Thread(target=lambda: codes.append(send_until_refused(site, acked, 150000, 1))) for _ in range(60)]
    for p in workers:
        os.kill(p, signal.SIGSTOP)
    try:
        for t in threads:
            t.start()
        before = 0
        while not before or len(acked) != before:
            before = len(acked)
            time.sleep(1)
    finally:
        for p in workers:
            os.kill(p, signal.SIGCONT)
    for t in threads:
        t.join()
    print('   %d acknowledged while the pipeline stood, %d in all; %d refused' % (before, len(acked), len(codes) - len(acked)))
    check(before < 40, 'the spool never was full')
    check(all(c in (250, 452) for c in codes), 'replies %s' % codes)
    compare(site, acked)
    equal(send_until_refused(site, acked, 2000, 5), 250, 'afterwards')
    compare(site, acked)
    site.stop()
    site.close()

class Tries:
    """Counts how often the full shard was opened to be sealed (by inotify, so that none is missed)."""
    def __init__(self, folder):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        check(self.libc.inotify_add_watch(self.fd, folder.encode(), 0x38) > 0, 'inotify') # IN_OPEN; IN_CLOSE between two of them

    def count(self):
        n, events = 0, os.read(self.fd, 1 << 20)
        while events:
            _, mask, _, length = struct.unpack_from('iIII', events)
            size = 16 + length
            n += bool(mask & 0x20) and events[16:size].rstrip(b'\0').endswith(b'00000001.db')
            events = events[size:]
        return n

@test
def no_room_to_seal():
    """All mail is archived, but there is no room to seal the full shard: the disk is full from then until there is, not now and then."""
    full = Full(120, spool={'max_bytes': 24 << 20, 'file_bytes': 1 << 20, 'min_free': 1}, index={'shard_messages': 200})
    site, acked = full.site.start(), {}
    with Sender(site.port) as s:
        for n in range(199):
            data = mail('words %d' % n, ''.join(rng.randbytes(5).hex() + '\r\n' for _ in range(1500)))
            acked[s.send(data)] = sha256(data)
    site.wait()
    equal(site.status()['sealed_shards'], 0, 'sealed')
    full.fill(6 << 20) # it takes half of that to close the open shard, and more to seal it
    tries, began = Tries(os.path.join(site.data, 'index', '1')), time.monotonic()
    send_until_refused(site, acked, 2000, 3)
    for _ in range(100):
        if 'the disk is full' in site.tail(1 << 20):
            break
        time.sleep(0.1)
    for _ in range(40):
        check(send_until_refused(site, acked, 2000, 1) in (250, 452), 'reply')
        time.sleep(0.2)
    n, seconds = tries.count(), time.monotonic() - began
    print('   %d tries to seal in %.1f s' % (n, seconds))
    check(n > 0 and 2 ** (n - 2) <= seconds, 'it is tried again and again: %d tries in %.1f s' % (n, seconds))
    log = site.tail(1 << 20)
    equal((log.count('the disk is full'), log.count('has room again')), (1, 0), 'said that the disk is full, and has room\n' + log[-2000:])
    check('seal' in log, log)
    full.free()
    for _ in range(100):
        if 'has room again' in site.tail(1 << 20):
            break
        time.sleep(0.1)
    equal(site.status()['sealed_shards'], 1, 'sealed')
    equal(send_until_refused(site, acked, 2000, 5), 250, 'afterwards')
    compare(site, acked)
    site.stop()
    full.unmount()
    site.close()

done()
