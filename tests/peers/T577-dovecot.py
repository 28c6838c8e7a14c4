#!/usr/bin/env python3
"""The sender of mm-deliver hands mail to Dovecot by LMTP, which answers for each recipient: one that is there, one that isn't, one whose mailbox is
full. What lies in the mailbox is what was sent. Controls: an address that Dovecot doesn't know; the same server asked for SMTP."""
import glob, os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib')]
from sender import *

CONF = '''base_dir = {0}/run
state_dir = {0}/state
log_path = {0}/log
protocols = lmtp
ssl = no
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
mail_location = maildir:{0}/mail/%u
mail_uid = {2}
mail_gid = {2}
first_valid_uid = 1
mail_plugins = quota
plugin {{
  quota = maildir:User quota
}}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = passwd-file
  args = {0}/users
}}
protocol lmtp {{
  mail_plugins = quota
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {1}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
'''
NOBODY = 65534
USERS = 'ann@corp.example:::::\nbob@corp.example:::::\nfull@corp.example:::::::userdb_quota_rule=*:bytes=1k\n'

class Dovecot:
    def __init__(self):
        program = shutil.which('dovecot', path=os.environ['PATH'] + ':/usr/sbin')
        if not program or not os.path.exists('/usr/lib/dovecot/lmtp') or os.getuid() != 0:
            raise Skip('needs Dovecot with LMTP, and root')
        self.root, self.port = tempfile.mkdtemp(prefix='mm-dovecot-'), free_port()
        atexit.register(self.close)
        os.chmod(self.root, 0o755)
        os.mkdir(self.root + '/mail')
        os.chown(self.root + '/mail', NOBODY, NOBODY)
        open(self.root + '/users', 'w').write(USERS)
        open(self.root + '/conf', 'w').write(CONF.format(self.root, self.port, NOBODY))
        self.process = subprocess.Popen([program, '-F', '-c', self.root + '/conf'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        for _ in range(200):
            check(self.process.poll() is None, self.log())
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError('Dovecot doesn\'t listen: ' + self.log())

    def log(self):
        return open(self.root + '/log', errors='replace').read()[-2000:] if os.path.exists(self.root + '/log') else ''

    def mails(self, user):
        """What was delivered, with CRLF, without what Dovecot put in front."""
        out = []
        for path in glob.glob('%s/mail/%s@corp.example/new/*' % (self.root, user)):
            text = open(path, 'rb').read().replace(b'\r\n', b'\n').replace(b'\n', b'\r\n')
            out.append(text[text.index(b'From: '):])
        return out

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.process = None
        shutil.rmtree(self.root, ignore_errors=True)

state = {}
TEXT = mail(body='.\r\n..a dot\r\nand a line\r\n' * 60)

def target():
    return {'host': '127.0.0.1', 'port': state['dovecot'].port, 'tls': 0, 'lmtp': True}

@test
def each_recipient_has_his_own_answer():
    dovecot = state['dovecot'] = Dovecot()
    run = state['run'] = Run()
    said = run.send(target(), 'ann@corp.example', 'nobody@corp.example', 'full@corp.example', 'bob@corp.example', data=TEXT.decode())
    equal([(r['end'], r['code']) for r in said['results']][:2], [('done', 250), ('never', 550)], said)
    check(said['results'][2]['end'] in ('later', 'never') and said['results'][2]['enhanced'].endswith('.2.2'), said)
    equal(said['results'][3]['end'], 'done', said)
    check(said['results'][0]['text'] != said['results'][3]['text'], 'one answer for two: %r' % said)
    equal([dovecot.mails(u) for u in ('ann', 'bob', 'full')], [[TEXT], [TEXT], []], dovecot.log())

@test
def one_after_the_other_over_few_connections():
    numbers = state['run'].give(target(), 'bob@corp.example', data=TEXT.decode(), times=100)
    equal({e['results'][0]['end'] for e in state['run'].wait(numbers)}, {'done'})
    equal(len(state['dovecot'].mails('bob')), 101)
    connects = open(state['dovecot'].root + '/log').read().count('Connect from')
    check(connects <= 20, '%d connections' % connects)

@test
def eight_bits():
    """Dovecot 2.3 knows no SMTPUTF8: a UTF-8 header must reach a mailbox all the same."""
    text = 'From: ann@shop.example\r\nSubject: gr\u00fc\u00dfe\r\n\r\n\u00fc\r\n'
    equal(state['run'].result(target(), 'ann@corp.example', data=text, utf8=True)[0], 'done')
    check(text.encode() in state['dovecot'].mails('ann'), state['dovecot'].log())

@test
def it_speaks_no_smtp():
    equal(state['run'].result(dict(target(), lmtp=False), 'ann@corp.example')[0], 'later', 'the control')
    equal(len(state['dovecot'].mails('ann')), 2)

@test
def a_server_of_smtp_is_no_mailbox():
    port = free_port()
    peer = Peer('127.0.0.1', port, say=lambda session, verb, rest: '500 what' if verb == 'LHLO' else None)
    equal(state['run'].result({'host': '127.0.0.1', 'port': port, 'tls': 0, 'lmtp': True}, 'ann@corp.example')[0], 'set-up', 'the control')
    equal(len(peer.mails), 0)

@test
def nothing_is_left():
    state['run'].end()
    state['dovecot'].close()

done()
