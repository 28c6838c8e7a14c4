"""tests/lib/judges.py - python3-dkim as the judge of what is signed and sealed here: keys of both kinds, and real mail."""
from dkim_suites import *

try:
    import dkim, nacl.signing
except ImportError:
    dkim = None

class Keys:
    """Of both kinds, and the names that their records have."""
    def __init__(self):
        self.rsa, self.second = [self.pem('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:%d' % n) for n in (2048, 1024)]
        self.ed = self.pem('-algorithm', 'ED25519')
        seed = self.out('pkey', '-outform', 'DER', input=self.ed)[-32:]
        self.seed = base64.b64encode(seed)
        public = base64.b64encode(bytes(nacl.signing.SigningKey(seed).verify_key))
        self.texts = {'r._domainkey.judge.example': b'v=DKIM1; k=rsa; p=' + self.spki(self.rsa),
                      's._domainkey.judge.example': b'p=' + self.spki(self.second),
                      'e._domainkey.judge.example': b'v=DKIM1; k=ed25519; p=' + public}

    def spki(self, pem):
        return base64.b64encode(self.out('pkey', '-pubout', '-outform', 'DER', input=pem))

    def out(self, *args, input=None):
        return subprocess.run(('openssl',) + args, check=True, input=input, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def pem(self, *args):
        return self.out('genpkey', *args)

    def dns(self, name, timeout=5):
        return self.texts.get(name.decode().rstrip('.'))

def mails(rng, count):
    """`count` of dev/bulk, or all (None); sorted, so that a seed means the same everywhere. Line ends become CRLF, the mbox line goes."""
    where = os.path.join(os.path.dirname(folder()), 'bulk')
    paths = sorted(os.path.join(at, name) for at, _, names in os.walk(where) for name in names)
    for path in paths if count is None else rng.sample(paths, count):
        data = crlf(read(path))
        if data.startswith(b'From '):
            data = data[data.index(b'\n') + 1:]
        yield os.path.relpath(path, where), data

def theirs(call, *args, **more):
    """What python3-dkim says, or the name of what it raises."""
    try:
        return call(*args, **more)
    except Exception as e:  # whatever its parsers raise at odd mail
        return type(e).__name__

def ready():
    if not dkim:
        raise Skip('needs python3-dkim and python3-nacl, which are absent')
    return Keys()
