"""tests/bench/rows_rules.py - what it costs to judge a message by rules"""
import json, os, subprocess
import mm

MESSAGES = 10000

def judge(b):
    b.report.row('rules', 'A message judged by 40 rules of 10 conditions, one recipient')
    count = 500 if b.quick else MESSAGES
    paths = [line for maildir in b.exactly(count) for line in open(b.mails.list_file(maildir)).read().splitlines()]
    names = os.path.join(b.root, 'rules.list')
    with open(names, 'w') as f:
        f.write('\n'.join(paths))
    out = subprocess.run([os.path.join(mm.build('bench'), 'rule_cost'), names, str(b.runs)], stdout=subprocess.PIPE, check=True).stdout
    got = json.loads(out)
    mm.equal(got['messages'], count, 'messages')
    b.report.figure('a condition', got['ns'], 'ns', '%d messages, %d conditions judged' % (got['messages'], got['conditions']))
    b.report.figure('a message, facts included', got['us'], 'us')
    b.report.figure('CONTAINS at its worst, a byte of a text of 64 KiB', got['worst'][0], 'ns')
    b.report.figure('of 256 KiB', got['worst'][2], 'ns', 'the same: matching is linear')
    b.report.goal('four times the text costs', got['worst'][2] / got['worst'][0], 'x a byte', most=1.5)
