#!/usr/bin/env python3
"""The main job under valgrind: mmd, mm-smtpd and mm-parse receive, archive, find, export and forget without an error and without a leak.
The sandbox is off, since valgrind needs more than it allows."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

os.environ['MM_BIN'] = os.path.join(ROOT, 'build-valgrind', 'bin')
VALGRIND = ['valgrind', '--quiet', '--error-exitcode=98', '--leak-check=full', '--errors-for-leak-kinds=definite', '--trace-children=yes',
            '--trace-children-skip=/bin/*,/usr/bin/*']

class Watched(Site):
    """A site whose mmd and tools run under valgrind, with their reports in one file."""
    def valgrind(self, *command):
        return VALGRIND + ['--log-file=%s/valgrind.%%p' % self.root] + list(command)

    def start(self):
        self.process = subprocess.Popen(self.valgrind(os.path.join(self.bin, 'mmd'), '--config', self.config), env=self.env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(self.log, 'ab'), start_new_session=True)
        equal(self.process.stdout.readline(), b'ready\n', self.tail())

    def run_watched(self, tool, *args):
        p = subprocess.run(self.valgrind(os.path.join(self.bin, tool), *args), env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(p.returncode in (0, 1), '%s %s: exit %d\n%s' % (tool, args, p.returncode, p.stderr.decode()[-2000:]))

    def reports(self):
        return ''.join(open(os.path.join(self.root, n), errors='replace').read() for n in sorted(os.listdir(self.root))
                       if n.startswith('valgrind.'))

@test
def the_main_job_is_clean():
    os.environ['MM_SANDBOX'] = 'off'
    # Workers are killed at the end, and valgrind is slow: long times for a batch.
    site = Watched()
    site.tls()
    site.start()
    with Sender(site.port, tls=True) as s:
        for n in range(120):
            s.send(mail('lantern %d' % n, 'harbour %d\r\n' % n))
        s.send(mail('large', ('y' * 70 + '\r\n') * 6000))
    site.run('mmctl', 'wait', '--timeout', '600')
    equal(site.count('harbour'), 120, 'messages found')
    site.run_watched('mm-search', '--archive', 'corp', 'lantern')
    site.run_watched('mm-export', '--archive', 'corp', '--to', os.path.join(site.root, 'out'), '--as', 'eml', 'lantern')
    site.run_watched('mmctl', 'verify')
    site.advance(days=400)
    site.run_watched('mm-retention', 'plan')
    site.run_watched('mm-retention', 'run')
    site.stop()
    site.run_watched('mm-search', '--archive', 'corp', '--count', 'lantern')  # opens the directory itself
    text = site.reports()
    check(not text, text[:4000])

done()
