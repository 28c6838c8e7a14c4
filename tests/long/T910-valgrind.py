#!/usr/bin/env python3
"""The main job under valgrind: import, archive, find, export, verify and forget, by the tools that open the directory themselves (the same
engine as mmd's), and mm-parse. Not mmd and mm-smtpd: valgrind 3.19 doesn't know pidfd_open, by which mmd watches its children; what is
theirs alone runs in the unit tests. The sandbox is off, since valgrind needs more than it allows."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

os.environ['MM_BIN'] = os.path.join(ROOT, 'build-valgrind', 'bin')
VALGRIND = ['valgrind', '--quiet', '--error-exitcode=98', '--leak-check=full', '--errors-for-leak-kinds=definite', '--trace-children=yes',
            '--trace-children-skip=/bin/*,/usr/bin/*',
            '--suppressions=' + os.path.join(ROOT, 'tests', 'valgrind.supp')]

@test
def the_main_job_is_clean():
    os.environ['MM_SANDBOX'] = 'off'
    site = Site()
    def run(tool, *args):
        command = VALGRIND + ['--log-file=%s/valgrind.%%p' % site.root, os.path.join(site.bin, tool)] + list(args)
        p = subprocess.run(command, env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(p.returncode == 0, '%s %s: exit %d\n%s' % (tool, args, p.returncode, p.stderr.decode()[-2000:]))
        return p.stdout.decode()
    box = os.path.join(site.root, 'box')
    with open(box, 'wb') as f:
        for n in range(130):  # over the shard's limit
            f.write(b'From ann@shop.example Mon Mar  2 09:15:00 2026\n' + mail('lantern %d' % n, 'harbour %d' % n).replace(b'\r\n', b'\n'))
    run('mm-import', '--archive', 'short', '--received', 'now', box)
    equal(int(run('mm-search', '--archive', 'short', '--count', 'harbour')), 130, 'messages found')
    run('mm-search', '--archive', 'short', 'subject:lantern OR "harbour 7"')
    run('mm-export', '--archive', 'short', '--to', os.path.join(site.root, 'out'), '--as', 'eml', 'lantern')
    run('mmctl', 'verify')
    site.advance(days=40)
    run('mm-retention', 'plan')
    run('mm-retention', 'run')
    equal(int(run('mm-search', '--archive', 'short', '--count', 'harbour')), 0, 'messages found after the sweep')
    run('mm-audit', 'verify')
    text = ''.join(open(os.path.join(site.root, n), errors='replace').read() for n in sorted(os.listdir(site.root))
                   if n.startswith('valgrind.'))
    check(not text, text[:4000])

done()
