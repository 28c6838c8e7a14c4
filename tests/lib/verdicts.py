"""tests/lib/verdicts.py - messages judged by mm-verdict, as mmd has it judge them, with a DNS server of the test's making."""
from mm import *
import base64
sys.path.append('/usr/lib/python3/dist-packages') # Debian's modules, where python3 isn't Debian's

class Judge:
    """tests/helpers/verdict_run, which sends all lookups to `forward`."""
    def __init__(self, forward, seconds=10, build_name='asan'):
        self.process = subprocess.Popen([os.path.join(build(build_name), 'verdict_run'), forward, str(seconds)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def all(self, questions):
        """[{"raw": bytes, "ip", "helo", "from", ...}] to their verdicts, all asked for at once, 400 at a time."""
        said = []
        for at in range(0, len(questions), 400):
            some = questions[at:at + 400]
            for q in some:
                q = dict(q, raw=base64.b64encode(q['raw']).decode())
                self.process.stdin.write(json.dumps(q).encode() + b'\n')
            self.process.stdin.write(b'\n')
            self.process.stdin.flush()
            for q in some:
                line = self.process.stdout.readline()
                check(line, 'verdict_run ended')
                said.append(json.loads(line))
        return said

    def __call__(self, raw, **question):
        return self.all([dict(question, raw=raw)])[0]

    def end(self):
        self.process.stdin.close()
        equal(self.process.wait(60), 0, 'how verdict_run ended')
        self.process.stdout.close()

class Signer:
    """python3-dkim with one key, which every domain publishes under the selector "s"."""
    def __init__(self):
        try:
            import dkim
        except ImportError:
            raise Skip('needs python3-dkim, which is absent')
        self.dkim = dkim
        self.key = subprocess.run(['openssl', 'genrsa', '2048'], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        public = subprocess.run(['openssl', 'rsa', '-pubout', '-outform', 'DER'], input=self.key, check=True, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL).stdout
        self.record = b'v=DKIM1; k=rsa; p=' + base64.b64encode(public)

    def __call__(self, raw, domain):
        return self.dkim.sign(raw, b's', domain.encode(), self.key, include_headers=[b'From', b'Subject']) + raw
