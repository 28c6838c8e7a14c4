"""tests/lib/node.py - the foreign implementations of tests/peers/npm: the AWS SDK, other signers, and the Node they want.

They are installed by npm into build-npm, at the versions of package-lock.json, once for each of its contents; no script of theirs runs.
Debian's Node is only there to start npm: programs run on the one that the lock file pins (`node-linux-*`, which is the bare program)."""
import fcntl, hashlib, json, os, platform, shutil, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LISTS = os.path.join(ROOT, 'tests', 'peers', 'npm')
BUILD = os.path.join(ROOT, 'build-npm')
MODULES = os.path.join(BUILD, 'node_modules')

def install():
    """Tests run beside each other: the first one installs, the others wait."""
    os.makedirs(BUILD, exist_ok=True)
    stamp = os.path.join(BUILD, 'installed')
    with open(os.path.join(LISTS, 'package-lock.json'), 'rb') as f:
        want = hashlib.sha256(f.read()).hexdigest()
    with open(os.path.join(BUILD, 'lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(stamp) and open(stamp).read() == want:
            return
        for name in ('package.json', 'package-lock.json'):
            shutil.copy(os.path.join(LISTS, name), BUILD)
        p = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier'], cwd=BUILD,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        if p.returncode:
            raise AssertionError('npm ci: exit %d: %s' % (p.returncode, p.stdout.decode('utf-8', 'replace')[-2000:]))
        with open(stamp, 'w') as f:
            f.write(want)

def command(script):
    """What starts a script of tests/peers/npm, and its environment: `require` finds the installed packages."""
    install()
    machine = {'x86_64': 'x64', 'aarch64': 'arm64'}[platform.machine()]
    program = os.path.join(MODULES, 'node-linux-' + machine, 'bin', 'node')
    return [program, os.path.join(LISTS, script)], dict(os.environ, NODE_PATH=MODULES)

class Lines:
    """A program that answers each line of JSON with one."""
    def __init__(self, argv, env=None):
        self.p = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, question):
        self.p.stdin.write(json.dumps(question).encode() + b'\n')
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            raise AssertionError('the program ended (%s) at %.300r' % (self.p.wait(), question))
        return json.loads(line)

    def end(self):
        self.p.stdin.close()
        if self.p.wait(60):
            raise AssertionError('exit status %d' % self.p.returncode)
