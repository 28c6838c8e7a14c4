#!/usr/bin/env python3
"""Power lost at any write: every block that mm's file system writes is logged by a storage daemon, with a mark for each 250 among them.
Then prefixes of that log are replayed, and torn states (of the writes since the last flush some are missing): what was acknowledged by
then is there, once, and everything verifies. The control: with syncs that do nothing (libeatmydata) states lose."""
import os, random, struct, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import Faulty, message
import invariants

STATES = int(os.environ.get('MM_COUNT', 2000 if LONG else 100)) # half of them torn
RUNS = 4 if LONG else 1                                         # of the load
FS = 96 << 20                                                   # bytes; what is behind them are marks
MARKS = 4096
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
        self.ids, self.sums, self.lock = [], {}, threading.Lock()
        self.recorder = Recorder(self.site.root)
        self.mount(self.recorder.loop)
        self.site.run('mmctl', 'init')
        self.site.apply(DEFAULT)
        self.record(preload)
        self.log = Log(self.recorder.log)
        first = [i for i, e in enumerate(self.log.entries) if e[0] >= FS]
        self.first = first[0]

    def mount(self, what, *options):
        p = subprocess.run(['mount'] + list(options) + [what, self.site.data], stderr=subprocess.PIPE)
        if p.returncode:
            raise Skip('mount: ' + p.stderr.decode('utf-8', 'replace').strip())

    def unmount(self):
        if os.path.ismount(self.site.data):
            self.site.close_process()
            subprocess.run(['umount', self.site.data], check=True)

    def acknowledged(self, id, digest):
        with self.lock:
            self.ids.append(id)
            self.sums[id] = digest
            self.recorder.mark(len(self.ids))

    def record(self, preload):
        t = Faulty(self.site, [], {'LD_PRELOAD': preload} if preload else {})
        check(t.ready(60), 'mmd is not ready')
        self.recorder.mark(0)
        loads = [Load(self.site.port, self.acknowledged, rng.randrange(1 << 32)) for _ in range(4)]
        time.sleep(0.3)
        self.site.run('mmctl', 'seal')
        for l in loads:
            l.join()
        self.site.run('mmctl', 'wait')
        t.stop()
        self.unmount()
        self.recorder.close()

    def acked_by(self, k):
        marks = sum(1 for e in self.log.entries[self.first + 1:k + 1] if e[0] >= FS)
        return {i: self.sums[i] for i in self.ids[:marks]}

    def image(self, k, torn):
        """The disk when the power went after entry k."""
        path = os.path.join(self.site.root, 'state.img')
        shutil.copyfile(self.recorder.orig, path)
        flushed = max([i for i in range(k + 1) if self.log.entries[i][2] & FLUSH], default=0) if torn else k
        with open(path, 'r+b') as f:
            for i in range(k + 1):
                if i <= flushed or self.log.entries[i][2] & FUA or rng.random() < 0.5:
                    self.log.apply(f, i)
        return path

    def check_state(self, k, torn, whole):
        path = self.image(k, torn)
        subprocess.run(['mount', '-o', 'loop', path, self.site.data], check=True) # one that can't be mounted is a failure
        try:
            self.site.run('mmctl', 'wait')
            acked = self.acked_by(k)
            invariants.whole(self.site, acked, 4 + len(self.ids) - len(acked), verify=whole)
        except AssertionError as e:
            raise AssertionError('entry %d%s: %s' % (k, ', torn' if torn else '', e))
        finally:
            self.unmount()
        return len(acked)

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
    states = entries = messages = 0
    for _ in range(RUNS):
        m = Machine()
        entries += len(m.log.entries) - m.first
        for i in range(STATES // RUNS):
            messages += m.check_state(rng.randrange(m.first, len(m.log.entries)), i % 2 == 1, i % 10 == 9)
            states += 1
        m.close()
    print('   %d states of %d writes, half of them torn; %d messages looked for' % (states, entries, messages))

@test
def the_control_without_syncs_loses():
    need()
    if not os.path.exists(EAT):
        raise Skip('needs libeatmydata1')
    m = Machine(EAT)
    try:
        for i in range(20):
            m.check_state(rng.randrange(m.first, len(m.log.entries)), i % 2 == 1, False)
    except AssertionError as e:
        check(': lost' in str(e) or 'mmctl wait' in str(e), 'it failed otherwise: %s' % e)
        print('   control: ' + str(e)[:100].replace('\n', ' '))
        return
    finally:
        m.close()
    raise AssertionError('without a sync nothing was lost: the test sees nothing')

done()
