"""tests/lib/faults.py - a disk that can be filled, mmd under fault injection, and what must hold afterwards."""
import re, select
from mm import *

def acknowledged(s, acked, data, to=('sales@corp.example',)):
    """Sends one message; the reply's code. Only a 250 makes it `acked`: {id: sha256}."""
    code, text = s.try_send(data, to=to)
    if code == 250:
        acked[message_id(text)] = sha256(data)
    return code

def message(subject, size, rng):
    """Of few different words: what it takes in store and index is small."""
    words = ['w%d' % rng.randrange(200) for _ in range(16)]
    data = mail(subject, '\r\n'.join(' '.join(rng.choices(words, k=16)) for _ in range(max(1, size // 70))))
    return data if data.endswith(b'\r\n') else data + b'\r\n'

MKFS = {'ext4': ['mkfs.ext4', '-q', '-F', '-m', '0', '-I', '256'], 'xfs': ['mkfs.xfs', '-q', '-f']}

def unmounted(path):
    """Killed children may still be ending, and hold it a moment longer."""
    for _ in range(200):
        if subprocess.run(['umount', path], stderr=subprocess.DEVNULL).returncode == 0:
            return True
        time.sleep(0.1)
    return False

class Disk:
    """A small file system under the data directory of a Site (`make` says which): a tmpfs, or ext4 or xfs in a file. It is gone when
    the test ends."""
    def __init__(self, kind, mib, config, build_name='asan', make=Site, resources=DEFAULT, mkfs=(), options='loop'):
        self.kind, self.image = kind, None
        self.site = make(build_name=build_name, apply=False, config=config)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)) # so that atexit runs
        shutil.rmtree(self.site.data)
        os.remove(self.site.data + '.key')
        os.mkdir(self.site.data)
        if kind == 'tmpfs':
            self.command = ['mount', '-t', 'tmpfs', '-o', 'size=%dm' % mib, 'mm-test', self.site.data]
        else:
            self.image = os.path.join(self.site.root, 'image')
            with open(self.image, 'wb') as f:
                f.truncate(mib << 20)
            subprocess.run(MKFS[kind] + list(mkfs) + [self.image], check=True)
            self.command = ['mount', '-o', options, self.image, self.site.data]
        atexit.register(self.unmount)
        why = self.mount()
        if why:
            raise Skip('mount: ' + why)
        self.site.run('mmctl', 'init')
        self.site.apply(resources)

    def mount(self):
        """Why it can't be mounted, or ''."""
        return subprocess.run(self.command, stderr=subprocess.PIPE).stderr.decode('utf-8', 'replace').strip()

    def unmount(self):
        if os.path.ismount(self.site.data):
            self.site.close_process()
            if not unmounted(self.site.data):
                subprocess.run(['umount', '-l', self.site.data], check=True)

    def unused(self):
        s = os.statvfs(self.site.data)
        return s.f_bavail * s.f_frsize

    def fill(self, leave=0):
        """Leaves about so many bytes; again and again it takes what was given back."""
        f = os.open(os.path.join(self.site.data, 'ballast'), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while self.unused() > leave:
                os.write(f, bytes(min(1 << 20, self.unused() - leave)))
                os.fsync(f)
        except OSError:
            pass # mmd was quicker
        finally:
            os.close(f)

    def free(self):
        os.remove(os.path.join(self.site.data, 'ballast'))

def children_of(pid, name):
    """The processes of that name that `pid` started, once there is one."""
    for _ in range(500):
        found = []
        for p in os.listdir('/proc'):
            try:
                if p.isdigit() and os.path.basename(os.readlink('/proc/%s/exe' % p)) == name and \
                   int(open('/proc/%s/stat' % p).read().rsplit(')', 1)[1].split()[1]) == pid:
                    found.append(int(p))
            except (OSError, IndexError):
                pass
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError('no ' + name)

def child_of(pid, name):
    return children_of(pid, name)[0]

class Faulty:
    """mmd with a fault in it: started by a program (`before`, strace) or with more in its environment."""
    def __init__(self, site, before, env=None):
        self.site, self.under = site, bool(before)
        self.before = os.path.getsize(site.log) if os.path.exists(site.log) else 0
        log = open(site.log, 'ab')
        site.process = self.process = subprocess.Popen(before + [os.path.join(site.bin, 'mmd'), '--config', site.config],
                                                       env=dict(site.env, **(env or {})), stdin=subprocess.DEVNULL,
                                                       stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        log.close()

    def ready(self, seconds=20):
        """Whether it came up. One that did not must have ended, or still be trying."""
        got, _, _ = select.select([self.process.stdout], [], [], seconds)
        return bool(got) and self.process.stdout.readline() == b'ready\n'

    def mmd(self):
        if not self.under:
            return self.process.pid
        try:
            return int(open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)).read().split()[0])
        except (OSError, IndexError):
            return None

    def stop(self, seconds=60):
        """A clean stop; its exit status. None: it did not end."""
        pid, p = self.mmd(), self.process
        try:
            if pid and p.poll() is None:
                os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass # it was just killed
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            self.site.kill()
            return None
        p.stdout.close()
        self.site.process = None
        return p.returncode

    def said(self):
        with open(self.site.log, errors='replace') as f:
            f.seek(self.before)
            return f.read()

def use(site, acked, rng):
    """Some mail, a search, a checkpoint: as far as it goes. Who is not answered goes away."""
    codes = []
    for size in (500, 3000, 300000, 500):
        try:
            with Sender(site.port, timeout=5) as s:
                codes.append(acknowledged(s, acked, message('injected', size, rng)))
        except (OSError, smtplib.SMTPException) as e:
            codes.append(0)
            if isinstance(e, TimeoutError):
                break
    for command in (['mmctl', 'wait', '--timeout', '2'], ['mm-search', '--archive', 'corp', '--count', 'injected']):
        try:
            subprocess.run([os.path.join(site.bin, command[0])] + command[1:], env=site.env, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=10)
        except subprocess.TimeoutExpired:
            break
    return codes
