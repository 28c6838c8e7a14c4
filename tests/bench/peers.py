"""tests/bench/peers.py - the programs that mm is measured beside: Postfix, smtp-sink, notmuch, mu; and the load generators"""
import json, os, re, shutil, socket, subprocess, time
import mm

PACKAGES = {'smtp-source': 'postfix', 'smtp-sink': 'postfix', 'postfix': 'postfix', 'notmuch': 'notmuch', 'mu': 'maildir-utils'}
QUIET = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}

def which(program):
    return shutil.which(program) or shutil.which(program, path='/usr/sbin:/sbin')

def missing():
    return sorted({package for program, package in PACKAGES.items() if not which(program)})

def versions():
    def first(command, pattern=r'\d+(\.\d+)+'):
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).stdout.decode()
        m = re.search(pattern, out)
        return m.group(0) if m else '?'
    return ', '.join(['Postfix ' + first([which('postconf') or 'postconf', '-d', 'mail_version']), 'notmuch ' + first(['notmuch', '--version']),
                      'mu ' + first(['mu', '--version'])])

def wait_port(port):
    for _ in range(400):
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError('nothing listens on port %d' % port)

def source(port, count, sessions=50, size=4096, each=False):
    """smtp-source; messages a second."""
    began = time.monotonic()
    subprocess.run([which('smtp-source')] + ([] if each else ['-d']) +
                   ['-s', str(sessions), '-m', str(count), '-l', str(size), '-f', 's@out.example', '-t', 'a@corp.example',
                    '127.0.0.1:%d' % port], check=True, **QUIET)
    return count / (time.monotonic() - began)

def load(port, **options):
    """smtp_load of the test build; its report."""
    command = [os.path.join(mm.build('bench'), 'smtp_load')]
    for name, value in options.items():
        command += ['--' + name] if value is True else ['--' + name, str(value)]
    p = subprocess.run(command + [str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if not p.stdout:
        raise AssertionError('smtp_load: ' + p.stderr.decode('utf-8', 'replace'))
    return json.loads(p.stdout)

MAIN_CF = '''compatibility_level = 3.6
queue_directory = {0}/spool
data_directory = {0}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:ok
virtual_transport = discard:
maillog_file = {0}/maillog
maillog_file_prefixes = /var, /tmp, /dev/shm
disable_dns_lookups = yes
alias_maps =
smtpd_peername_lookup = no
default_process_limit = 100
'''
# What comes in goes on to a port of this machine, over so many connections (20 is Postfix's default, too).
RELAY_CF = '''virtual_mailbox_domains =
virtual_mailbox_maps =
relayhost = [127.0.0.1]:%d
default_destination_concurrency_limit = %d
'''
MASTER_CF = '''127.0.0.1:%d inet n - n - 100 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
flush unix n - n 1000? 0 flush
verify unix - - n - 1 verify
scache unix - - n - 1 scache
'''

class Postfix:
    """A private instance that queues on the same disk and discards; a file and its fsync for each message, as it comes."""
    def __init__(self, root, settings=''):
        self.dir = os.path.join(root, 'postfix')
        self.port = mm.free_port()
        for d in ('etc', 'spool', 'data'):
            os.makedirs(os.path.join(self.dir, d))
        for f in ('postfix-files', 'dynamicmaps.cf'):
            if os.path.exists('/etc/postfix/' + f):
                shutil.copy('/etc/postfix/' + f, self.dir + '/etc/')
        shutil.chown(self.dir + '/data', 'postfix')
        with open(self.dir + '/etc/main.cf', 'w') as f:
            f.write(MAIN_CF.format(self.dir) + settings)
        with open(self.dir + '/etc/master.cf', 'w') as f:
            f.write(MASTER_CF % self.port)
        self.run('start')
        wait_port(self.port)

    def run(self, what):
        subprocess.run([which('postfix'), '-c', self.dir + '/etc', what], check=False, **QUIET)

    def backlog(self):
        return sum(len(n) for d in ('incoming', 'active', 'deferred') for _, _, n in os.walk(os.path.join(self.dir, 'spool', d)))

    def drain(self):
        """Waits until the queue is empty; (messages that were in it, seconds)."""
        left, began = self.backlog(), time.monotonic()
        while self.backlog() and time.monotonic() - began < 900:
            time.sleep(0.1)
        return left, time.monotonic() - began

    def close(self):
        self.run('stop')
        shutil.rmtree(self.dir, ignore_errors=True)

class Sink:
    """Takes mail and stores nothing; so many messages, where that is said."""
    def __init__(self, count=None):
        self.port = mm.free_port()
        self.process = subprocess.Popen([which('smtp-sink'), '-u', 'nobody'] + (['-M', str(count)] if count else []) +
                                        ['127.0.0.1:%d' % self.port, '1000'], **QUIET)
        wait_port(self.port)

    def wait(self, limit=900):
        """Until it has them all; when that was."""
        self.process.wait(limit)
        return time.monotonic()

    def close(self):
        self.process.kill()
        self.process.wait()

class Notmuch:
    def __init__(self, root, mail):
        self.mail = mail
        config = os.path.join(root, 'notmuch-config')
        with open(config, 'w') as f:
            f.write('[database]\npath=%s\n[user]\nname=b\nprimary_email=b@bench.example\n[new]\ntags=inbox\n[search]\n' % mail)
        self.env = dict(os.environ, NOTMUCH_CONFIG=config)
        self.index = os.path.join(mail, '.notmuch')

    def new(self):
        """A new index of all mail; seconds."""
        shutil.rmtree(self.index, ignore_errors=True)
        began = time.monotonic()
        subprocess.run([which('notmuch'), 'new', '--quiet'], env=self.env, check=True, **QUIET)
        return time.monotonic() - began

class Mu:
    def __init__(self, root, mail):
        self.index = os.path.join(root, 'mu')
        self.mail = mail

    def new(self):
        shutil.rmtree(self.index, ignore_errors=True)
        mu = [which('mu')]
        began = time.monotonic()
        subprocess.run(mu + ['init', '--muhome=' + self.index, '--maildir=' + self.mail], check=True, **QUIET)
        subprocess.run(mu + ['index', '--muhome=' + self.index, '--quiet'], check=True, **QUIET)
        return time.monotonic() - began
