#!/usr/bin/env python3
"""Every end-to-end script against build-tsan, with small counts: each passes, and no process reports a race. A script whose control or
time limit needs another build is left out, with its reason."""
import glob, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

LEFT_OUT = {'T730-break-in': 'the sandbox of a sanitizer build is wider', 'T731-sealed-memory': 'it locks no memory',
            'T732-release': 'it is about the release', 'T735-races': 'it is that build already',
            'T450-hostile': 'a worker ten times slower than its limit of time',
            'T816-httpd-bounds': 'answers of 150 MB together, and what waits for them, in a server ten times slower'}

def scripts():
    for path in sorted(glob.glob(os.path.join(ROOT, 'tests/c*/T*.py')) + glob.glob(os.path.join(ROOT, 'tests/peers/T*.py'))):
        name = os.path.basename(path)[:-3]
        if name in LEFT_OUT:
            print('left out: %s: %s' % (name, LEFT_OUT[name]))
        elif not sys.argv[1:] or any(w in name for w in sys.argv[1:]):
            yield name, path

for name, path in scripts():
    def passes():
        env = dict(os.environ, MM_BIN=os.path.join(ROOT, 'build-tsan', 'bin'), MM_LONG='', TSAN_OPTIONS='exitcode=66')
        p = subprocess.run(['python3', path], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3600)
        check(p.returncode == 0 and b'WARNING: ThreadSanitizer' not in p.stdout, p.stdout.decode('utf-8', 'replace')[-3000:])
    passes.__name__ = name
    test(passes)

done()
