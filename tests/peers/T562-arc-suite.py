#!/usr/bin/env python3
"""The ARC suite (arc_test_suite of ValiMail): all validation cases, their keys by a real server through the resolver.

Where the suite leaves the result open (a chain that its last sealer marked as failed: the draft said nothing) RFC 8617 section 5.2 step 2
says fail. Every chain that passes is judged again with one bit of the body changed, and must fail."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from dkim_suites import *

CASES = 175

@test
def validation():
    cases = list(arc(folder()))
    results = judge(cases)
    rows = []
    for case, answer in results:
        if case.want == '':
            rows.append((case.name, answer['arc'] == 'fail', ''))
        else:
            rows.append((case.name, answer['arc'] == case.want, ''))
        if not rows[-1][1]:
            print('   %s: want %s, got %s: %s' % (case.name, case.want, answer['arc'], answer['arc_why']))
    changed = [case._replace(message=flipped(case.message)) for case, answer in results if answer['arc'] == 'pass']
    for case, answer in judge(changed):
        equal(answer['arc'], 'fail', case.name + ' with a bit changed')
    table('arc_test_suite', rows, ['control: %d that pass with one bit changed: all fail' % len(changed)])
    equal(len(cases), CASES, 'cases')

done()
