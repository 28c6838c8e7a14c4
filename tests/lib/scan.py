"""tests/lib/scan.py - messages judged by scanners through tests/helpers/scan_ask.c, and the scanners themselves."""
from mm import *

class Scans:
    """mm-scan with a configuration's section "addons", and no mmd."""
    def __init__(self, addons, build_name='asan'):
        self.root = tempfile.mkdtemp(prefix='mm-scan-')
        atexit.register(self.close)
        self.log = os.path.join(self.root, 'log')
        self.files = 0
        self.process = subprocess.Popen([os.path.join(build(build_name), 'scan_ask'), json.dumps(addons)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=open(self.log, 'ab'))

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait(30)
        self.process = None
        shutil.rmtree(self.root, ignore_errors=True)

    def end(self):
        p, self.process = self.process, None
        p.stdin.close()
        equal(p.wait(60), 0, 'scan_ask: ' + self.tail())

    def tail(self):
        return open(self.log, errors='replace').read()[-3000:]

    def file(self, data):
        self.files += 1
        path = os.path.join(self.root, 'm%d' % self.files)
        with open(path, 'wb') as f:
            f.write(data)
        return path

    def write(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def begin(self, addon, *messages):
        paths = [self.file(m) for m in messages]
        for path in paths:
            self.write('%s %s' % (addon, path))
        return paths

    def all(self):
        """({file: said} of all that was asked, status)"""
        self.write('')
        said = {}
        while True:
            line = self.process.stdout.readline()
            check(line, 'scan_ask ended: ' + self.tail())
            got = json.loads(line)
            if 'status' in got:
                return said, got['status']
            said[got['file']] = got['said']

    def ask(self, addon, *messages):
        """What is said of each."""
        paths = self.begin(addon, *messages)
        said, self.status = self.all()
        return [said[path] for path in paths]

def program(name):
    path = shutil.which(name, path=os.environ['PATH'] + ':/usr/sbin:/usr/local/sbin')
    if not path:
        raise AssertionError('%s is absent: tools/packages.sh has its package' % name)
    return path

class Daemon:
    """A program in the foreground with a folder of its own; `close` at the end of the test."""
    def __init__(self, name):
        self.root = tempfile.mkdtemp(prefix='mm-%s-' % name)
        os.chmod(self.root, 0o755)
        atexit.register(self.close)
        self.process = None
        self.log = os.path.join(self.root, 'log')

    def path(self, name, text=None):
        path = os.path.join(self.root, name)
        if text is not None:
            with open(path, 'w') as f:
                f.write(text)
        return path

    def run(self, argv, is_up):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root, start_new_session=True)
        while not is_up():
            check(self.process.poll() is None, '%s ended: %s' % (argv[0], open(self.log, errors='replace').read()[-2000:]))
            time.sleep(0.05)

    def stop(self):
        p, self.process = self.process, None
        if p:
            p.terminate()
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except OSError:
                pass
            p.wait(30)

    def close(self):
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

class Clamd(Daemon):
    """clamd, whose database has one signature: `mark`."""
    def __init__(self, mark):
        super().__init__('clamd')
        self.port = free_port()
        self.socket = self.path('clamd.sock')
        os.mkdir(self.path('db'))
        self.path('db/local.ndb', 'MM.Test.Signature:0:*:%s\n' % mark.encode().hex())
        user = 'User root\n' if os.getuid() == 0 else ''
        self.conf = self.path('clamd.conf', 'DatabaseDirectory %s\nLocalSocket %s\nTCPSocket %d\nTCPAddr 127.0.0.1\nForeground yes\n'
                              '%sStreamMaxLength 1M\nMaxThreads 4\nPidFile %s\nFixStaleSocket yes\n'
                              % (self.path('db'), self.socket, self.port, user, self.path('pid')))
        self.start()

    def is_up(self):
        try:
            for family, place in ((socket.AF_INET, ('127.0.0.1', self.port)), (socket.AF_UNIX, self.socket)):
                with socket.socket(family) as s:
                    s.connect(place)
                    s.sendall(b'zPING\0')
                    if s.recv(100) != b'PONG\0':
                        return False
            return True
        except OSError:
            return False

    def start(self):
        self.run([program('clamd'), '-c', self.conf], self.is_up)

def answers_at(port):
    with socket.socket() as s:
        return s.connect_ex(('127.0.0.1', port)) == 0
