#!/usr/bin/env python3
"""The spool alone, writer and reader in one process that is killed in the middle: tests/crash/spool_kill, for the build and for the
control that answers early, which must lose."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

def spool_kill(*args):
    p = subprocess.run([os.path.join(ROOT, 'tests', 'crash', 'spool_kill')] + list(args), stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=1200)
    out = p.stdout.decode('utf-8', 'replace')
    print('   ' + '\n   '.join(out.strip().split('\n')[-3:]))
    equal(p.returncode, 0, out[-1000:])

@test
def nothing_acknowledged_is_lost():
    spool_kill(build('asan'), '400' if LONG else '30')

@test
def the_control_loses():
    spool_kill('--control', build('early'), '10')

done()
