"""tests/lib/opensmtpd.py - a private OpenSMTPD. Its package can't be installed beside Postfix's, and it wants users of its own: so it lies
unpacked in build-peers (tools/packages.sh), and runs in a mount namespace where /etc/passwd knows them and where its folders are."""
from mm import *

PLACE = os.path.join(ROOT, 'build-peers', 'opensmtpd')

SCRIPT = '''set -e
cd "$1"
mount --make-rprivate /
for name in passwd group; do mount --bind $name /etc/$name; done
for place in /usr/libexec /var/lib /var/spool /run; do mount -t tmpfs none $place; done
mkdir -p /usr/libexec/opensmtpd /var/lib/opensmtpd/empty /var/spool/smtpd
cp "$2"/usr/libexec/opensmtpd/* /usr/libexec/opensmtpd/
chmod 711 /var/spool/smtpd
exec "$2"/usr/sbin/smtpd -d -f "$1"/conf
'''

class OpenSmtpd:
    """Takes mail for `domain` at ip:port, with STARTTLS, into Maildirs."""
    def __init__(self, ip, port, domain, users, certificate):
        if not os.path.exists(PLACE + '/usr/sbin/smtpd') or os.getuid() != 0:
            raise Skip('needs OpenSMTPD in build-peers, and root')
        self.root = tempfile.mkdtemp(prefix='mm-opensmtpd-')
        atexit.register(self.close)
        os.chmod(self.root, 0o755)
        os.mkdir(self.path('box'))
        os.chmod(self.path('box'), 0o777)
        lines = 'opensmtpd:x:64990:64990::/var/lib/opensmtpd/empty:/bin/false\nopensmtpq:x:64991:64991::/var/lib/opensmtpd/empty:/bin/false\n'
        self.write('passwd', open('/etc/passwd').read() + lines)
        self.write('group', open('/etc/group').read() + 'opensmtpd:x:64990:\nopensmtpq:x:64991:\n')
        self.write('conf', '''pki mx.opensmtpd.example cert "%s.crt"
pki mx.opensmtpd.example key "%s.key"
table users { %s }
listen on %s port %d tls pki mx.opensmtpd.example hostname mx.opensmtpd.example
action "in" maildir "%s" virtual <users>
match from any for domain "%s" action "in"
''' % (certificate, certificate, ', '.join('"%s" = "nobody"' % u for u in users), ip, port, self.path('box'), domain))
        self.process = subprocess.Popen(['unshare', '-m', 'sh', '-c', SCRIPT, 'sh', self.root, PLACE], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(self.path('log'), 'w'), start_new_session=True)
        for _ in range(200):
            check(self.process.poll() is None, self.log())
            try:
                socket.create_connection((ip, port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError('OpenSMTPD doesn\'t listen: ' + self.log())

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)

    def log(self):
        return open(self.path('log'), errors='replace').read()[-2000:]

    def mails(self):
        """How many were delivered; it takes its time behind its reply."""
        return len(os.listdir(self.path('box/new'))) if os.path.exists(self.path('box/new')) else 0

    def close(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(30)
        self.process = None
        shutil.rmtree(self.root, ignore_errors=True)
