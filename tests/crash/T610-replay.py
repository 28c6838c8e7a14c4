#!/usr/bin/env python3
"""Power lost at any write: every block that mm's file system writes is logged by a storage daemon, with a mark for each 250 among them.
Then prefixes of that log are replayed, and torn states (of the writes since the last flush some are missing): mmd starts on each, and
everything that was acknowledged by then is whole (tests/lib/invariants.py). The control: with syncs that do nothing (libeatmydata) states lose."""
import os, random, struct, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import Faulty, message, unmounted
import invariants

STATES = int(os.environ.get('MM_COUNT', 2000 if LONG else 100)) # half of them torn
RUNS = 4 if LONG else 1                                         # of the load
FS = 96 << 20                                                   # bytes; what is behind them are marks
MARKS = 4096
LOADS = 4                                                       # connections
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8                          # the log's flags
EAT = '/usr/lib/x86_64-linux-gnu/libeatmydata.so'
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

class Log:
    """The block log: sector 0 {magic, version, entries, sector size}, then entries {sector, sectors, flags, length}, each with its data."""
    def __init__(self, path):
        self.file = open(path, 'rb')
        magic, _, count, size = struct.unpack('<QQQI', self.file.read(28))
        check(magic == 0x6a736677736872 and size == 512, 'not a block log')
        self.entries, at = [], size
        for _ in range(count):
            self.file.seek(at)
            sector, sectors, flags, _ = struct.unpack('<QQQQ', self.file.read(32))
            data = 0 if flags & (DISCARD | MARK) else sectors * 512
            self.entries.append((sector * 512, data, flags, at + size))
            at += size + data

    def apply(self, image, i):
        to, n, _, at = self.entries[i]
        if n and to < FS:
            self.file.seek(at)
            image.seek(to)
            image.write(self.file.read(n))

class Recorder:
    """A file system whose writes go to a log; `mark(n)` puts a mark among them."""
    def __init__(self, folder):
        self.dir, self.daemon, self.loop = folder, None, None
        path = lambda name: os.path.join(folder, name)
        self.base, self.log, self.export, self.orig = map(path, ('base.img', 'log.raw', 'export', 'orig.img'))
        for name, size in ((self.base, FS + MARKS * 512), (self.log, 4 << 30), (self.export, 0)):
            with open(name, 'wb') as f:
                f.truncate(size)
        subprocess.run(['mkfs.ext4', '-q', '-F', self.base, '%dk' % (FS >> 10)], check=True)
        shutil.copyfile(self.base, self.orig)
        self.daemon = subprocess.Popen(['qemu-storage-daemon', '--blockdev', 'driver=file,node-name=f0,filename=' + self.base,
                                        '--blockdev', 'driver=file,node-name=l0,filename=' + self.log, '--blockdev',
                                        'driver=blklogwrites,node-name=lw,file=f0,log=l0,log-sector-size=512', '--export',
                                        'type=fuse,id=e0,node-name=lw,mountpoint=%s,writable=on' % self.export])
        atexit.register(self.close)
        for _ in range(200):
            if os.path.getsize(self.export):
                break
            if self.daemon.poll() is not None:
                raise Skip('qemu-storage-daemon can make no FUSE export here')
            time.sleep(0.05)
        self.marks = os.open(self.export, os.O_WRONLY)
        self.loop = subprocess.run(['losetup', '-f', '--show', '--sizelimit', str(FS), self.export],
                                   stdout=subprocess.PIPE).stdout.decode().strip()
        if not self.loop:
            raise Skip('there is no loop device')

    def mark(self, n):
        os.pwrite(self.marks, struct.pack('<I', n).ljust(512, b'\0'), FS + n * 512)

    def close(self):
        if self.loop:
            os.close(self.marks)
            subprocess.run(['losetup', '-d', self.loop])
            self.loop = None
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(60)
            self.daemon = None

class Load(threading.Thread):
    def __init__(self, port, acknowledged, number):
        super().__init__()
        self.port, self.acknowledged, self.rng, self.left = port, acknowledged, random.Random(number), 40
        self.start()

    def run(self):
        with Sender(self.port) as s:
            while self.left:
                data = message('power', self.rng.choice([300, 300, 3000, 300000 if self.left % 10 == 0 else 300]), self.rng)
                code, text = s.try_send(data)
                if code == 250:
                    self.acknowledged(message_id(text), sha256(data))
                self.left -= 1

class Machine:
    """mm on such a file system, under load for a while; then any state of its disk."""
    def __init__(self, preload=''):
        self.site = Site('clang', apply=False, config={'index': {'shard_messages': 30}, 'spool': {'file_bytes': 1 << 20, 'min_free': 1 << 20}})
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        atexit.register(self.unmount)
        shutil.rmtree(self.site.data)
        os.remove(self.site.data + '.key')
        os.mkdir(self.site.data)
        self.told, self.sums, self.lock = [], {}, threading.Lock() # told: ("acked" or "erased", id), one a mark
        self.recorder = Recorder(self.site.root)
        self.mount(self.recorder.loop)
        self.site.run('mmctl', 'init')
        self.site.apply(DEFAULT)
        self.record(preload)
        self.log = Log(self.recorder.log)
        self.first = [i for i, e in enumerate(self.log.entries) if e[0] >= FS][0]
        self.rolling, self.applied = self.recorder.orig, 0
        if os.path.isdir('/dev/shm'): # where no disk is waited for
            self.memory = tempfile.TemporaryDirectory(prefix='mm-test-', dir='/dev/shm')
            self.rolling = os.path.join(self.memory.name, 'image')
            subprocess.run(['cp', '--sparse=always', self.recorder.orig, self.rolling], check=True)

    def mount(self, what, *options):
        p = subprocess.run(['mount'] + list(options) + [what, self.site.data], stderr=subprocess.PIPE)
        if p.returncode:
            raise Skip('mount: ' + p.stderr.decode('utf-8', 'replace').strip())

    def unmount(self):
        if os.path.ismount(self.site.data):
            self.site.close_process()
            check(unmounted(self.site.data), 'the file system is busy')

    def acknowledged(self, id, digest):
        with self.lock:
            self.sums[id] = digest
            self.tell('acked', id)

    def tell(self, what, id):
        self.told.append((what, id))
        self.recorder.mark(len(self.told))

    def record(self, preload):
        t = Faulty(self.site, [], {'LD_PRELOAD': preload} if preload else {})
        check(t.ready(60), 'mmd is not ready')
        self.recorder.mark(0)
        loads = [Load(self.site.port, self.acknowledged, rng.randrange(1 << 32)) for _ in range(LOADS)]
        time.sleep(0.3)
        self.site.run('mmctl', 'seal')
        self.site.run('mmctl', 'reindex')
        for l in loads:
            l.join()
        self.site.run('mmctl', 'wait')
        self.erased = self.told[0][1]
        self.site.run('mm-retention', 'erase', '--archive', 'corp', '--reason', 'test', '--yes', self.erased)
        self.tell('erased', self.erased)
        self.site.run('mmctl', 'reindex')
        t.stop()
        self.unmount()
        self.recorder.close()

    def known_by(self, k):
        """({id: sha256} of what was acknowledged, the ids that were erased)"""
        told = self.told[:sum(1 for e in self.log.entries[self.first + 1:k + 1] if e[0] >= FS)]
        return {i: self.sums[i] for what, i in told if what == 'acked'}, {i for what, i in told if what == 'erased'}

    def image(self, k, torn):
        """The disk when the power went after entry k; k grows from call to call."""
        path = self.rolling + '.state'
        flushed = max([i for i in range(k + 1) if self.log.entries[i][2] & FLUSH], default=0) if torn else k
        with open(self.rolling, 'r+b') as f:
            while self.applied <= flushed:
                self.log.apply(f, self.applied)
                self.applied += 1
        subprocess.run(['cp', '--sparse=always', self.rolling, path], check=True)
        with open(path, 'r+b') as f:
            for i in range(self.applied, k + 1):
                if self.log.entries[i][2] & FUA or rng.random() < 0.5:
                    self.log.apply(f, i)
        return path

    def check_state(self, k, torn, again):
        path = self.image(k, torn)
        subprocess.run(['mount', '-o', 'loop', path, self.site.data], check=True) # one that can't be mounted is a failure
        try:
            acked, gone = self.known_by(k)
            self.site.head = None # each state has a history of its own
            rows = invariants.recovered(self.site, acked, [d for i, d in self.sums.items() if i not in acked], again, word='power',
                                        maybe=(self.erased,), gone=gone)
            check(len(rows) <= len(acked) + LOADS, '%d rows, %d acknowledged' % (len(rows), len(acked)))
        except AssertionError as e:
            raise AssertionError('entry %d%s: %s' % (k, ', torn' if torn else '', e))
        finally:
            self.unmount()
        return len(acked)

    def check_states(self, count):
        """Half of them torn; how many messages were looked for."""
        some = sorted(rng.choices(range(self.first, len(self.log.entries)), k=count))
        return sum(self.check_state(k, i % 2 == 1, i % 10 == 9) for i, k in enumerate(some))

    def close(self):
        self.recorder.close()
        self.site.close()

def need():
    for program in ('qemu-storage-daemon', 'losetup', 'mkfs.ext4'):
        if not shutil.which(program):
            raise Skip('needs ' + program)
    if not os.path.exists('/dev/fuse') or os.geteuid():
        raise Skip('needs root and /dev/fuse')

@test
def every_state_of_the_disk_has_what_was_acknowledged():
    need()
    entries = messages = 0
    for _ in range(RUNS):
        m = Machine()
        entries += len(m.log.entries) - m.first
        messages += m.check_states(STATES // RUNS)
        m.close()
    print('   %d states of %d writes, half of them torn; %d messages looked for' % (STATES // RUNS * RUNS, entries, messages))

@test
def the_control_without_syncs_loses():
    need()
    if not os.path.exists(EAT):
        raise Skip('needs libeatmydata1')
    m = Machine(EAT)
    invariants.must_lose(lambda: m.check_states(20), ('mmctl wait', 'not ready'))
    m.close()

done()
