#!/usr/bin/env python3
"""mmctl --endpoint: whose key it takes and from where, what its secret can be seen in, TLS, commands that need the socket, and servers
that aren't mm, answer junk, answer too much, or never."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
import threading

port = free_port()
site = Site(config={'api': {'listen': '127.0.0.1:%d' % port}}).start()
URL = 'http://127.0.0.1:%d' % port
plain = {k: v for k, v in site.env.items() if not k.startswith('AWS_')}
mine = lambda name: os.path.join(site.root, name)

def principal(name, role):
    text = site.run('mmctl', 'principal', 'create', name, '--role', role, '--json')
    site.write(mine(name), text)
    os.chmod(mine(name), 0o600)
    return json.loads(text)

KEY = principal('boss', 'admin')

def keyed(id=None, secret=None, **more):
    return dict(plain, AWS_ACCESS_KEY_ID=id or KEY['AccessKeyId'], AWS_SECRET_ACCESS_KEY=secret or KEY['SecretAccessKey'], **more)

def mmctl(*args, code=0, env=plain, url=URL, key='boss', **more):
    """What it says: stdout when it does it, else stderr."""
    options = ['--endpoint', url] + (['--credentials', mine(key)] if key else [])
    out = site.run('mmctl', *args, *options, code=code, env=env, **more)
    return site.stderr if code else out

def says(text, *has):
    for word in has:
        check(word in text, '%r is not in: %s' % (word, text))

@test
def whose_key():
    equal(json.loads(mmctl('call', 'ListRelays', key=None, env=keyed())), {'Relays': []})
    equal(json.loads(mmctl('call', 'ListRelays', env=keyed(id='AKIAX', secret='x'))), {'Relays': []}, 'the file comes first')
    wrong = mmctl('call', 'ListRelays', key=None, env=keyed(secret=KEY['SecretAccessKey'][::-1]), code=1)
    unknown = mmctl('call', 'ListRelays', key=None, env=keyed(id=KEY['AccessKeyId'][::-1]), code=1)
    says(wrong, 'mmctl: InvalidSignatureException: ')
    equal(unknown, wrong, 'an unknown key looks like a wrong secret')
    mmctl('dump', key=None, env=keyed(secret='x'), code=1)
    says(site.stderr, 'InvalidSignatureException')
    site.run('mmctl', 'principal', 'disable', 'boss')
    says(mmctl('call', 'ListRelays', code=1), 'Exception: ')
    site.run('mmctl', 'principal', 'enable', 'boss')
    for bad in (dict(plain), {k: v for k, v in keyed().items() if k != 'AWS_SECRET_ACCESS_KEY'}, keyed(AWS_SESSION_TOKEN='t'),
                keyed(id='a b'), keyed(id='a/b'), keyed(id='a\r\nX-Y: z'), keyed(secret='x' * 200)):
        mmctl('dump', key=None, env=bad, code=2)

@test
def which_file():
    for name, text, mode, code, why in (('open', json.dumps(KEY), 0o640, 3, 'is open to others (mode 640'), ('junk', '{', 0o600, 2, 'junk'),
                                        ('other', '{"AccessKeyId":"a"}', 0o600, 2, 'SecretAccessKey'), ('long', '{' + ' ' * 9000, 0o600, 2, 'long')):
        site.write(mine(name), text)
        os.chmod(mine(name), mode)
        says(mmctl('dump', key=name, code=code), why)
    mmctl('dump', key='absent', code=3)

@test
def roles_hold():
    principal('flow', 'operator')
    principal('eyes', 'auditor')
    equal(mmctl('dump', key='flow'), mmctl('dump'))
    site.write(mine('in.json'), json.dumps({'Archives': [{'ArchiveName': 'mine'}]}))
    for key, command in (('flow', 'apply'), ('eyes', 'apply'), ('eyes', 'dump')):
        says(mmctl(command, *[mine('in.json')][:command == 'apply'], key=key, code=1), 'mmctl: AccessDeniedException: ')
    equal(json.loads(mmctl('show', 'Archives', key='eyes'))['Archives'], [])
    says(mmctl('show', 'Archives', 'corp', key='eyes', code=1), 'ResourceNotFoundException')

@test
def the_same_as_over_the_socket():
    site.apply(DEFAULT, {'IngressPointName': 'secret', 'Type': 'AUTH', 'Listen': '127.0.0.1:%d' % free_port()})
    for args in (('dump',), ('show',), ('show', 'Archives', 'corp'), ('show', '--json')):
        equal(mmctl(*args), site.run('mmctl', *args), str(args))
    equal(set(json.loads(mmctl('status', '--json'))), set(site.status()))
    mmctl('wait')
    site.write(mine('password'), 'correct-horse-battery')
    mmctl('passwd', 'secret', '--password-file', mine('password'))
    site.write(mine('password'), 'x')
    mmctl('passwd', 'secret', '--password-file', mine('password'), code=2)
    said = [json.loads(l) for l in site.run('mm-audit', 'list', '--json').splitlines()]
    check([e for e in said if e['event'] == 'passwd' and e['who'].startswith('principal boss (key ')], 'no entry of the password')
    site.write(mine('in.json'), mmctl('dump'))
    for _ in range(3): # within a second, and a signature counts once
        equal(mmctl('apply', mine('in.json')), 'nothing changed\n')

@test
def what_needs_the_socket():
    for args in (('init',), ('list',), ('why', '0' * 26), ('verify',), ('reindex',), ('seal',), ('repack',), ('principal', 'list')):
        says(mmctl(*args, code=2), 'mmctl: %s needs the socket of mmd' % args[0])
    for args in (('dump', '--credentials', mine('boss')), ('dump', '--ca-file', mine('boss')), ('dump', '--timeout', '1')):
        site.run('mmctl', *args, code=2)
    for url in ('127.0.0.1:1', 'ftp://127.0.0.1', URL + '/path', 'http://u:p@127.0.0.1'):
        mmctl('dump', url=url, code=2)
    site.write(mine('large'), '{"Archives":[%s]}' % (' ' * (2 << 20)))
    says(mmctl('apply', mine('large'), code=1), 'over the socket')

@test
def nothing_secret_in_clear():
    free = free_port()
    secret = (('apply', mine('boss')), ('call', 'ListRelays'), ('dump',), ('passwd', 'x', '--password-file', mine('boss')), ('show',), ('status',))
    for host in ('mm.invalid', '192.0.2.1', '[::2]', '[::ffff:192.0.2.1]', '127.0.0.1.mm.invalid', '127.1', 'localhost.mm.invalid', '0.0.0.0', '[::]'):
        for args in secret:
            says(mmctl(*args, url='http://%s:%d' % (host, free), code=2), args[0] + ' by http', 'use https://' + host + ' ')
    for host in ('127.0.0.1', '127.9.9.9', '[::1]', '[0:0::1]', 'localhost', 'LOCALHOST'):
        for args in secret[1:3]: # asked, and nobody is there
            says(mmctl(*args, url='http://%s:%d' % (host, free), code=3), 'http://' + host)

@test
def clocks_that_differ():
    site.write(mine('later'), '600000')
    early = keyed(MM_TEST_CLOCK=mine('later'))
    says(mmctl('dump', key=None, env=early, code=1), 'InvalidSignatureException', 'not yet current', 'set both right')
    site.write(mine('later'), '-600000')
    says(mmctl('call', 'ListRelays', key=None, env=early, code=1), 'InvalidSignatureException', 'expired', 'set both right')

# ---- TLS ----

def certificate(name, signer=None, host='DNS:localhost'):
    """NAME.crt and NAME.key: signed by signer's, or a CA."""
    ca = 'basicConstraints=critical,CA:%s' % ('FALSE' if signer else 'TRUE')
    more = ['-CA', mine(signer + '.crt'), '-CAkey', mine(signer + '.key'), '-addext', 'subjectAltName=' + host] if signer else []
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30', '-subj',
                    '/CN=' + name, '-keyout', mine(name + '.key'), '-out', mine(name + '.crt'), '-addext', ca] + more,
                   check=True, stderr=subprocess.DEVNULL)

@test
def by_tls():
    certificate('ca')
    certificate('foreign')
    certificate('server', 'ca')
    site.stop()
    settings = json.load(open(site.config))
    settings['api'].update(tls_cert=mine('server.crt'), tls_key=mine('server.key'))
    site.write(site.config, json.dumps(settings))
    site.start()
    https = 'https://localhost:%d' % port
    equal(json.loads(mmctl('call', 'ListRelays', '--ca-file', mine('ca.crt'), url=https)), {'Relays': []})
    says(mmctl('dump', url=https, code=3), 'certificate')
    says(mmctl('dump', '--ca-file', mine('foreign.crt'), url=https, code=3), 'certificate')
    says(mmctl('dump', '--ca-file', mine('ca.crt'), url='https://127.0.0.1:%d' % port, code=3), '127.0.0.1')
    site.write(mine('ca.empty'), '')
    for name in ('ca.empty', 'ca.key'):
        says(mmctl('dump', '--ca-file', mine(name), url=https, code=2), name + ': no certificate')
    mmctl('dump', '--ca-file', mine('ca.absent'), url=https, code=1)
    mmctl('dump', url='http://localhost:%d' % port, code=1)
    site.stop()
    says(mmctl('dump', '--ca-file', mine('ca.crt'), url=https, code=3), 'mmctl: https://localhost:')

# ---- servers that aren't mm ----

class Server:
    """Answers each connection by play(connection); counts what the other side took."""
    def __init__(self, play, greet=False):
        self.play, self.greet, self.taken, self.asked = play, greet, 0, 0
        self.sock = socket.create_server(('127.0.0.1', 0))
        self.url = 'http://127.0.0.1:%d' % self.sock.getsockname()[1]
        self.held = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            line = self.sock.accept()[0]
            self.asked += 1
            try:
                if not self.greet:
                    line.recv(65536)
                self.play(self, line)
            except OSError:
                pass
            line.close()

    def give(self, line, data):
        line.sendall(data)
        self.taken += len(data)

def answers(head, body=b'', status='200 OK'):
    return lambda s, line: s.give(line, b'HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n' % (status.encode(), head, len(body)) + body)

OURS = b'Content-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: 1\r\n'

def forever(first, more, wait=0):
    def play(s, line):
        s.give(line, first)
        while True:
            s.give(line, more)
            time.sleep(wait)
    return play

def silent(s, line):
    s.held.append(line)
    time.sleep(600)

@test
def a_server_that_is_not_mm():
    # The control: what mm's answer looks like is taken.
    equal(mmctl('call', 'ListRelays', url=Server(answers(OURS, b'{"Relays":[]}')).url, env=keyed()), '{\n  "Relays": []\n}\n')
    for play, why in ((answers(b'Content-Type: text/html\r\n', b'<html>'), 'HTTP 200, text/html'),
                      (answers(b'Content-Type: text/html\r\n', b'', '404 Not Found'), 'HTTP 404, text/html'),
                      (answers(b'', b'{}'), 'HTTP 200, of no type'),
                      (answers(OURS[:42], b'{}'), 'no control API of mm'),
                      (answers(b'Location: %s/\r\n' % URL.encode(), b'', '307 Temporary Redirect'), 'HTTP 307'),
                      (answers(b'Content-Type: \x1b[2Jx\r\n', b'x'), '?[2Jx')):
        s = Server(play)
        says(mmctl('dump', url=s.url, code=1), why)
        equal(s.asked, 1, 'it is asked once')
    says(mmctl('dump', url=Server(lambda s, line: s.give(line, b'220 smtp.example ESMTP\r\n'), greet=True).url, code=1), 'HTTP/0.9')
    says(mmctl('dump', url=Server(lambda s, line: None).url, code=1), 'may be done, or not')
    says(mmctl('dump', url='http://127.0.0.1:%d' % free_port(), code=3), 'mmctl: http://127.0.0.1:')
    says(mmctl('dump', url='https://no-such-host.invalid', code=3), 'no-such-host')

@test
def one_that_answers_junk():
    for body in (b'', b'{', b'[]', b'7', b'{"Text":', b'[' * 5000, b'{"Text":"{"}', b'{"Text":7}', b'{}', bytes(range(256))):
        mmctl('dump', url=Server(answers(OURS, body)).url, code=None)
        check(site.stderr.startswith('mmctl: ') and 'ERROR' not in site.stderr, '%r: %s' % (body[:20], site.stderr[:2000]))
    for body in (b'{}', b'{"message":"x"}', b'{"__type":7}', b'{"__type":""}'):
        says(mmctl('call', 'ListRelays', url=Server(answers(OURS, body, '400 Bad Request')).url, code=1), "can't be read (HTTP 400)")
    strange = answers(OURS, json.dumps({'__type': 'a.b#Strange\x1b', 'message': 'x\x1b[2J\n' + 'y' * 9000}).encode(), '500 No')
    says(mmctl('call', 'ListRelays', url=Server(strange).url, code=1), 'mmctl: Strange?: x?[2J?yyy')
    says(mmctl('dump', url=Server(strange).url, code=1), 'mmctl: Strange?: x?[2J?yyy')

@test
def one_that_answers_too_much():
    head = b'HTTP/1.1 200 OK\r\n' + OURS
    block = b'10000\r\n' + b'x' * 65536 + b'\r\n'
    for play, most in ((forever(head + b'Transfer-Encoding: chunked\r\n\r\n', block * 16), 96 << 20),
                       (forever(head, b'X: %s\r\n' % (b'y' * 1000)), 8 << 20),
                       (forever(b'', b'HTTP/1.1 100 Continue\r\n\r\n' * 100), 8 << 20)):
        s = Server(play)
        says(mmctl('dump', url=s.url, code=1), 'the answer is too long')
        check(s.taken < most, '%d bytes were taken' % s.taken)

@test
def one_that_never_answers():
    for play in (silent, forever(b'HTTP/1.1 200 OK\r\n' + OURS + b'Content-Length: 99999\r\n\r\n', b'{', 0.05)):
        says(mmctl('dump', '--timeout', '1', url=Server(play).url, code=1), 'may be done, or not')

# ---- the secret ----

def look(pid, what):
    with open('/proc/%d/%s' % (pid, what), 'rb') as f:
        return f.read()

def in_memory(pid, needle):
    """How often it is in the memory that the process can write."""
    count = 0
    with open('/proc/%d/mem' % pid, 'rb') as memory:
        for line in look(pid, 'maps').decode().splitlines():
            place, rights = line.split()[:2]
            first, last = (int(x, 16) for x in place.split('-'))
            if not rights.startswith('rw') or last - first > 1 << 30:
                continue
            try:
                memory.seek(first)
                count += memory.read(last - first).count(needle)
            except OSError:
                pass
    return count

@test
def its_secret_is_not_to_be_seen():
    if os.getuid() != 0:
        raise Skip('needs root: mmctl is not to be traced')
    secret = KEY['SecretAccessKey'].encode()
    for key in (None, 'boss'):
        s = Server(silent)
        env = keyed() if key is None else dict(plain)
        args = ['call', 'ListRelays', '--endpoint', s.url] + (['--credentials', mine(key)] if key else [])
        # A sanitizer keeps a copy of the environment; it also keeps what is freed, as it was then.
        p = subprocess.Popen([os.path.join(site.bin if key else build(''), 'mmctl')] + args, env=env, stderr=subprocess.DEVNULL)
        while not s.held:
            time.sleep(0.01)
        check(b'MM_TEST_CLOCK' in look(p.pid, 'environ') and b'ListRelays' in look(p.pid, 'cmdline'), 'the control: there is something to see')
        check(secret not in look(p.pid, 'environ') + look(p.pid, 'cmdline'), 'the secret is in /proc')
        equal(in_memory(p.pid, secret[16:]), 1, 'it keeps the secret once')
        p.kill()
        p.wait()

done()
