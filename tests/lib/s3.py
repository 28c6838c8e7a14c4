"""tests/lib/s3.py - a real S3 server on loopback: radosgw over one OSD in memory, as root; a client and a cruel proxy for tests; and a
store that is none."""
import hashlib, hmac, http.client, http.server, re, threading, urllib.parse
from mm import *

ACCESS, SECRET = 'AKIATESTTESTTESTTEST', 'sEcReTsEcReTsEcReTsEcReTsEcReTsEcReTsEcRe'
PROGRAMS = ('ceph-mon', 'ceph-mgr', 'ceph-osd', 'radosgw', 'ceph-authtool', 'monmaptool', 'radosgw-admin', 'ceph')

CONF = """
[global]
fsid = {fsid}
mon initial members = a
mon host = v1:127.0.0.1:{mon}
public addr = 127.0.0.1
public network = 127.0.0.0/8
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon data avail warn = 1
mon data avail crit = 1
mon max pg per osd = 1000
osd objectstore = memstore
memstore device bytes = 2147483648
osd max object name len = 256
osd max object namespace len = 64
log file = {d}/log/$name.log
run dir = {d}/run
admin socket = {d}/run/$name.asok
pid file = {d}/run/$name.pid
keyring = {d}/keyring
ms bind ipv6 = false
osd memory target = 939524096
mgr initial modules =
[mon.a]
mon data = {d}/mon/a
[mgr.x]
mgr data = {d}/mgr/x
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls} ssl_certificate={d}/pem
rgw thread pool size = 16
rgw dns name = s3.test
rgw enable usage log = false
rgw enable gc threads = false
"""

class Ceph:
    def __init__(self):
        if os.getuid() != 0:
            raise Skip('needs root: radosgw')
        missing = [p for p in PROGRAMS if not shutil.which(p)]
        if missing:
            raise Skip('needs radosgw and Ceph (installed by ./check long): ' + ' '.join(missing))
        self.d = tempfile.mkdtemp(prefix='mm-ceph-')
        os.chmod(self.d, 0o755)
        atexit.register(self.close)
        self.port, self.tls = free_port(), free_port()
        for name in ('mon', 'log', 'run', 'mgr/x', 'osd0'):
            os.makedirs(os.path.join(self.d, name))
        self.certificate()
        fsid = open('/proc/sys/kernel/random/uuid').read().strip()
        mon = free_port()
        with open(self.d + '/ceph.conf', 'w') as f:
            f.write(CONF.format(fsid=fsid, mon=mon, d=self.d, port=self.port, tls=self.tls))
        self.env = dict(os.environ, CEPH_CONF=self.d + '/ceph.conf')
        self.start(fsid, mon)

    def certificate(self):
        """Of a CA of its own, for s3.test and all buckets under it."""
        def openssl(*args):
            subprocess.run(['openssl'] + list(args), check=True, cwd=self.d, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=Test CA', '-keyout', 'ca-key', '-out', 'ca')
        openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=s3.test', '-keyout', 'key', '-out', 'request')
        with open(self.d + '/names', 'w') as f:
            f.write('subjectAltName=DNS:s3.test,DNS:*.s3.test\n')
        openssl('x509', '-req', '-in', 'request', '-CA', 'ca', '-CAkey', 'ca-key', '-CAcreateserial', '-days', '30', '-extfile', 'names', '-out', 'crt')
        with open(self.d + '/pem', 'w') as f:
            f.write(open(self.d + '/crt').read() + open(self.d + '/key').read())

    def run(self, *args, input=None):
        p = subprocess.run(list(args), env=self.env, cwd=self.d, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        check(p.returncode == 0, '%s: %s' % (' '.join(args), p.stderr[-1000:].decode('utf-8', 'replace')))
        return p.stdout.decode()

    def start(self, fsid, mon):
        d = self.d
        self.run('ceph-authtool', '--create-keyring', 'keyring', '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *')
        self.run('ceph-authtool', 'keyring', '--gen-key', '-n', 'client.admin', '--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *',
                 '--cap', 'mgr', 'allow *')
        self.run('monmaptool', '--create', '--clobber', '--fsid', fsid, '--addv', 'a', '[v1:127.0.0.1:%d]' % mon, 'monmap')
        self.run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', d + '/monmap', '--keyring', d + '/keyring')
        self.run('ceph-mon', '-i', 'a')
        with open(d + '/keyring', 'a') as f:
            f.write(self.run('ceph', 'auth', 'get-or-create', 'mgr.x', 'mon', 'allow profile mgr', 'osd', 'allow *', 'mds', 'allow *'))
            f.write(self.run('ceph', 'auth', 'get-or-create', 'client.rgw.a', 'mon', 'allow rw', 'osd', 'allow rwx'))
        self.run('ceph-mgr', '-i', 'x')
        uuid = open('/proc/sys/kernel/random/uuid').read().strip()
        key = self.run('ceph-authtool', '--gen-print-key').strip()
        self.run('ceph', 'osd', 'new', uuid, '-i', '-', '0', input=json.dumps({'cephx_secret': key}).encode())
        with open(d + '/keyring', 'a') as f:
            f.write('[osd.0]\n key = %s\n' % key)
        self.run('ceph-osd', '-i', '0', '--mkfs', '--key', key, '--osd-uuid', uuid, '--osd-data', d + '/osd0')
        self.run('ceph-osd', '-i', '0', '--osd-data', d + '/osd0')
        self.run('radosgw', '-n', 'client.rgw.a')
        for _ in range(600):
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                break
            except OSError:
                time.sleep(0.2)
        self.run('radosgw-admin', 'user', 'create', '--uid=test', '--display-name=test', '--access-key=' + ACCESS, '--secret=' + SECRET)

    def close(self):
        run = os.path.join(self.d, 'run')
        for name in os.listdir(run) if os.path.isdir(run) else []:
            if name.endswith('.pid'):
                try:
                    os.kill(int(open(os.path.join(run, name)).read()), signal.SIGKILL)
                except (OSError, ValueError):
                    pass
        shutil.rmtree(self.d, ignore_errors=True)

    def ask(self, method, path, query='', body=b''):
        """One signed request, by a signer that is not ours; (status, body)."""
        def mac(key, text):
            return hmac.new(key, text.encode(), hashlib.sha256).digest()
        host = '127.0.0.1:%d' % self.port
        when = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
        hashed = hashlib.sha256(body).hexdigest()
        fields = 'host:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n' % (host, hashed, when)
        names = 'host;x-amz-content-sha256;x-amz-date'
        canonical = '\n'.join([method, path, query, fields, names, hashed])
        scope = when[:8] + '/us-east-1/s3/aws4_request'
        text = '\n'.join(['AWS4-HMAC-SHA256', when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ('AWS4' + SECRET).encode()
        for part in scope.split('/'):
            key = mac(key, part)
        c = http.client.HTTPConnection(host, timeout=60)
        c.request(method, path + ('?' + query if query else ''), body, {
            'x-amz-date': when, 'x-amz-content-sha256': hashed,
            'Authorization': 'AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s'
            % (ACCESS, scope, names, mac(key, text).hex())})
        r = c.getresponse()
        got = r.read()
        c.close()
        return r.status, got

    def make(self, bucket):
        equal(self.ask('PUT', '/' + bucket)[0], 200, 'bucket')

    def get(self, bucket, key):
        status, body = self.ask('GET', '/%s/%s' % (bucket, urllib.parse.quote(key)))
        equal(status, 200, key)
        return body

    def names(self, bucket, query='list-type=2'):
        status, body = self.ask('GET', '/' + bucket, query)
        equal(status, 200, bucket)
        return re.findall(r'<Key>(.*?)</Key>', body.decode())

    def uploads(self, bucket):
        """Multipart uploads that were begun and neither ended nor taken back."""
        return self.names(bucket, 'uploads=')

class Proxy:
    """In front of a server: `rule(n, request line)` says what becomes of the n-th request: None passes it on, a number answers that
    status, 'cut' closes the connection, 'hold' keeps it until the proxy is opened."""
    def __init__(self, port, rule):
        self.to, self.rule, self.seen = port, rule, []
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            f = c.makefile('rb')
            while True:
                head = b''
                while not head.endswith(b'\r\n\r\n'):
                    line = f.readline()
                    if not line:
                        return
                    head += line
                length = int((re.search(rb'(?i)content-length: (\d+)', head) or [b'', b'0'])[1])
                body = f.read(length)
                with self.lock:
                    n = len(self.seen)
                    self.seen.append(head.split(b'\r\n')[0].decode())
                what = self.rule(n, self.seen[n])
                if what == 'hold':
                    self.open.wait(300)
                elif what == 'cut':
                    return
                elif what:
                    c.sendall(b'HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n' % what)
                    continue
                self.forward(c, head, body)
        except OSError:
            pass
        finally:
            c.close()

    def forward(self, c, head, body):
        head = head[:-2] + b'Connection: close\r\n\r\n'
        with socket.create_connection(('127.0.0.1', self.to)) as s:
            s.sendall(head + body)
            got = b''
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
        c.sendall(got)
        raise OSError('done')  # radosgw has closed its side

class Store:
    """Takes whatever is put, and asks nobody who he is: an endpoint where it matters only that there is one."""
    def __init__(self):
        self.objects = objects = {}
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            def do_PUT(self):
                objects[self.path] = self.rfile.read(int(self.headers['content-length']))
                self.send_response(200)
                self.send_header('ETag', '"x"')
                self.send_header('Content-Length', '0')
                self.end_headers()
            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.settings = {'url': 'http://127.0.0.1:%d' % self.server.server_port, 'path_style': True, 'access_key': ACCESS, 'secret_key': SECRET}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
