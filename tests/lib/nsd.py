"""tests/lib/nsd.py - an authoritative DNS server (nsd) on a loopback port, with zones of a test's making.

A zone is told as {name: [(type, rdata), ...]}, all names absolute without the final dot, rdata as in a zone file. Every name
is in one root zone, so that what isn't there doesn't exist. `failing` names, and what is below them and not told, are answered
with SERVFAIL."""
from mm import *

def escaped(name):
    """A name, or "" for the root, as a zone file has it."""
    return ''.join(chr(c) if chr(c).isalnum() and c < 128 or chr(c) in '-_.' else '\\%03d' % c
                   for c in name.rstrip('.').encode('latin-1')) + '.'

def text(data):
    """TXT rdata of bytes, or of a list of them: the strings."""
    strings = data if isinstance(data, list) else [data]
    pieces = [s[i:i + 255] for s in strings for i in range(0, max(len(s), 1), 255)] or [b'']
    return ' '.join('"%s"' % ''.join(chr(c) if 32 <= c < 127 and chr(c) not in '"\\' else '\\%03d' % c for c in p) for p in pieces)

def is_below(name, zones):
    return [z for z in zones if name.endswith('.' + z)]

class Nsd:
    def __init__(self, records, failing=(), port=None):
        self.root = tempfile.mkdtemp(prefix='mm-nsd-')
        atexit.register(self.close)
        self.port = port or free_port()
        self.forward = '127.0.0.1@%d' % self.port
        self.process = None
        self.zones = []
        names = {name.lower(): rows for name, rows in records.items() if name.lower() not in failing}
        own = [name for name in names if is_below(name, failing)]
        self.zone('', {n: rows for n, rows in names.items() if n not in own})
        for name in own:
            self.zone(name, {name: names[name]})
        for name in failing:
            self.zones.append((name, 'absent'))
        self.start()

    def zone(self, origin, names):
        path = 'zone%d' % len(self.zones)
        lines = ['$TTL 60', '%s SOA ns.mm.test. mail.mm.test. 1 60 60 60 60' % escaped(origin), '%s NS ns.mm.test.' % escaped(origin)]
        for name, rows in names.items():
            lines += ['%s %s %s' % (escaped(name), kind, data) for kind, data in rows]
        with open(os.path.join(self.root, path), 'w') as f:
            f.write('\n'.join(lines) + '\n')
        self.zones.append((origin, path))

    def start(self):
        conf = os.path.join(self.root, 'nsd.conf')
        with open(conf, 'w') as f:
            f.write('server:\n  ip-address: %s\n  username: ""\n  chroot: ""\n  database: ""\n  server-count: 1\n  rrl-ratelimit: 0\n' % self.forward)
            f.write('  zonesdir: "%s"\n' % self.root)
            for name in ('pidfile', 'xfrdfile', 'zonelistfile', 'logfile'):
                f.write('  %s: "%s/%s"\n' % (name, self.root, name))
            f.write('remote-control:\n  control-enable: no\n')
            for name, path in self.zones:
                f.write('zone:\n  name: "%s"\n  zonefile: %s\n' % (name or '.', path))
        program = shutil.which('nsd') or '/usr/sbin/nsd'
        if not os.path.exists(program):
            raise Skip('needs nsd, which is absent')
        self.process = subprocess.Popen([program, '-d', '-c', conf], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(os.path.join(self.root, 'stderr'), 'wb'), start_new_session=True)
        for _ in range(200):
            if self.answers():
                return
            check(self.process.poll() is None, 'nsd ended: ' + self.log())
        raise AssertionError('nsd doesn\'t answer: ' + self.log())

    def answers(self):
        """Asks for the root's SOA."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            s.connect(('127.0.0.1', self.port))
            try:
                s.send(struct.pack('>6H', 7, 0, 1, 0, 0, 0) + b'\0' + struct.pack('>2H', 6, 1))
                return len(s.recv(4096)) > 12
            except OSError:
                time.sleep(0.05)
                return False

    def log(self):
        found = ''
        for name in ('stderr', 'logfile'):
            path = os.path.join(self.root, name)
            if os.path.exists(path):
                found += open(path, errors='replace').read()[-1500:]
        return found

    def close(self):
        p, self.process = self.process, None
        if p:
            p.terminate()
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(p.pid, signal.SIGKILL)  # its children; none is left after a clean end
            except ProcessLookupError:
                pass
            p.wait(10)
        shutil.rmtree(self.root, ignore_errors=True)
