"""tests/lib/rspamd.py - the real rspamd on loopback: without redis, without the Internet, all files in a folder of its own."""
import http.client
from scan import *

# What asks redis or the Internet.
OFF = ('asn bayes_expiry clickhouse dkim_signing elastic fuzzy_check greylist hfilter history_redis mx_check neural phishing ratelimit rbl replies '
       'reputation spamtrap surbl url_redirector').split()
# What judges content, where only senders are to be judged.
CONTENT = ('antivirus chartable emails external_services force_actions forged_recipients http_headers maillist metadata_exporter metric_exporter mid '
           'milter_headers mime_types multimap once_received p0f regexp settings spamassassin trie whitelist').split()

class Rspamd(Daemon):
    """One worker. `off`: modules that are switched off; `filters`: the C modules; `dns`: the port of its name server, which is asked alone;
    `lua`: rules of the test's own."""
    def __init__(self, off, filters, dns, timeout, lua=''):
        super().__init__('rspamd')
        self.port = free_port()
        for name in ('db', 'run', 'log.d', 'conf', 'conf/local.d', 'conf/override.d'):
            os.mkdir(self.path(name))
        for name in off:
            self.path('conf/override.d/%s.conf' % name, 'enabled = false;\n')
        self.path('conf/override.d/worker-normal.inc', 'bind_socket = "127.0.0.1:%d";\ncount = 1;\ntask_timeout = 60s;\n' % self.port)
        for name in ('controller', 'proxy', 'fuzzy'):
            self.path('conf/override.d/worker-%s.inc' % name, 'enabled = false;\ncount = 0;\n')
        self.path('conf/override.d/logging.inc', 'type = "console";\nlevel = "notice";\n')
        self.path('conf/override.d/options.inc', 'pidfile = "%s";\nfilters = "%s";\ndisable_hyperscan = true;\n'
                  'dns { nameserver = ["127.0.0.1:%d:1"]; timeout = %gs; retransmits = 1; }\n' % (self.path('run/pid'), filters, dns, timeout))
        self.path('conf/rspamd.local.lua', lua)
        self.start()

    def is_up(self):
        try:
            with socket.create_connection(('127.0.0.1', self.port), 5) as s:
                s.sendall(b'GET /ping HTTP/1.0\r\n\r\n')
                return b'pong' in s.recv(4096)
        except OSError:
            return False

    def start(self):
        vars = {'LOCAL_CONFDIR': self.path('conf'), 'DBDIR': self.path('db'), 'RUNDIR': self.path('run'), 'LOGDIR': self.path('log.d')}
        self.run([program('rspamd'), '-f', '-i', '-c', '/etc/rspamd/rspamd.conf'] + ['--var=%s=%s' % v for v in vars.items()], self.is_up)

    def check_mail(self, raw, ip, helo, sender):
        """{symbol: its options} for a message as it came."""
        line = http.client.HTTPConnection('127.0.0.1', self.port, timeout=90)
        line.request('POST', '/checkv2', raw, {'IP': ip, 'Helo': helo, 'From': sender, 'Rcpt': 'b@corp.example', 'Queue-Id': '01ABC'})
        answer = line.getresponse()
        said = json.loads(answer.read())
        line.close()
        check('symbols' in said, 'rspamd: %d %s' % (answer.status, said))
        return {name: symbol.get('options', []) for name, symbol in said['symbols'].items()}
