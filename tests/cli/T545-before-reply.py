#!/usr/bin/env python3
"""An ingress point with "Judge":"BEFORE_REPLY": mail that rules drop whole is refused with 550 at the end of data, all other mail has its
250; past the deadline, with mmd hanging, and when mm-smtpd or mmd are killed the reply falls back to 250 or to none, and the mail is judged
all the same. The same mail at an ingress point that judges after the reply is the control."""
import json, os, signal, sys, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

FIRST, AFTER, SHORT = free_port(), free_port(), free_port()

def subject(word):
    return {"StringExpression": {"Evaluate": {"Attribute": "SUBJECT"}, "Operator": "CONTAINS", "Values": [word]}}

def to(address):
    return {"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "EQUALS", "Values": [address]}}

RULES = [{"Name": "copy", "Conditions": [subject("both")], "Actions": [{"Archive": {"TargetArchive": "corp"}}]},
         {"Name": "spam", "Conditions": [subject("casino")], "Actions": [{"Drop": {}}]},
         {"Name": "not-bob", "Conditions": [to("bob@corp.example")], "Actions": [{"Drop": {}}]},
         {"Name": "all", "Conditions": [], "Actions": [{"Archive": {"TargetArchive": "corp"}}]}]

def point(name, port, **more):
    return dict({"IngressPointName": name, "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": "127.0.0.1:%d" % port,
                 "TrafficPolicyName": "open", "RuleSetName": "judging"}, **more)

site = Site(resources={
    "Archives": [{"ArchiveName": "corp"}],
    "TrafficPolicies": [{"TrafficPolicyName": "open", "DefaultAction": "ALLOW", "PolicyStatements": []}],
    "RuleSets": [{"RuleSetName": "judging", "Rules": RULES}],
    "IngressPoints": [point("first", FIRST, Judge="BEFORE_REPLY"), point("after", AFTER),
                      point("short", SHORT, Judge="BEFORE_REPLY", JudgeSeconds=1)]}).start()

def try_send(port, data, to=('ann@corp.example',)):
    with Sender(port) as s:
        return s.try_send(data, to=to)

def listed(kind):
    return [json.loads(l) for l in site.run('mmctl', 'list', '--disposition', kind, '--json').splitlines()]

def children(name):
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            stat = open('/proc/%s/stat' % pid).read()
        except OSError:
            continue
        if '(%s)' % name in stat and int(stat.rsplit(')', 1)[1].split()[1]) == site.process.pid:
            found.append(int(pid))
    check(found, 'no ' + name)
    return found

def outcome(s):
    try:
        return s.try_send(mail(subject='casino killed'))
    except (OSError, smtplib.SMTPException):
        return 'no reply'

@test
def dropped_mail_is_refused():
    before = len(listed('refused'))
    code, reply = try_send(FIRST, mail(subject='casino'))
    equal((code, reply[:5]), (550, b'5.7.1'), reply)
    code, reply = try_send(FIRST, mail(subject='hello'), to=('bob@corp.example',))
    equal(code, 550, reply)
    site.wait()
    rows = listed('refused')
    equal(len(rows) - before, 2, 'listed as refused: %r' % rows)
    equal(sorted(r['rule_name'] for r in rows), ['not-bob', 'spam'], rows)
    equal(site.count('casino'), 0, 'archived')

@test
def other_mail_is_accepted():
    equal(try_send(FIRST, mail(subject='hello one'))[0], 250)
    equal(try_send(FIRST, mail(subject='hello two'), to=('ann@corp.example', 'bob@corp.example'))[0], 250, 'one of two is dropped')
    equal(try_send(FIRST, mail(subject='both casino'))[0], 250, 'archived, then dropped')
    site.wait()
    equal(site.count('subject:hello'), 2)
    equal(site.count('subject:both'), 1)

@test
def after_the_reply_is_the_control():
    before = len(listed('dropped'))
    equal(try_send(AFTER, mail(subject='casino'))[0], 250)
    site.wait()
    equal(len(listed('dropped')) - before, 1)

@test
def many_at_once():
    wrong, lock = [], threading.Lock()
    def some(n):
        with Sender(FIRST) as s:
            for i in range(20):
                bad = (i + n) % 3 == 0
                code, reply = s.try_send(mail(subject='%s flock%d-%d' % ('casino' if bad else 'fine', n, i)))
                if code != (550 if bad else 250):
                    with lock:
                        wrong.append((n, i, code, reply))
    threads = [threading.Thread(target=some, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(wrong[:3], [], 'replies')
    site.wait()
    equal(site.count('subject:fine'), sum((i + n) % 3 != 0 for n in range(8) for i in range(20)))

@test
def past_the_deadline_mail_is_accepted():
    before = len(listed('dropped'))
    os.kill(site.process.pid, signal.SIGSTOP)
    try:
        code, reply = try_send(SHORT, mail(subject='casino late'))
    finally:
        os.kill(site.process.pid, signal.SIGCONT)
    equal(code, 250, reply)
    site.wait()
    equal(len(listed('dropped')) - before, 1, 'judged all the same')

@test
def killed_while_a_sender_waits():
    before = len(listed('dropped')) + len(listed('refused'))
    smtpd, = children('mm-smtpd')
    os.kill(site.process.pid, signal.SIGSTOP)
    s = Sender(FIRST)
    said = []
    t = threading.Thread(target=lambda: said.append(outcome(s)))
    t.start()
    time.sleep(1)
    os.kill(smtpd, signal.SIGKILL)
    os.kill(site.process.pid, signal.SIGCONT)
    t.join()
    equal(said, ['no reply'])
    site.wait()
    equal(len(listed('dropped')) + len(listed('refused')) - before, 1, 'it was on disk, and is judged')

@test
def a_restart_judges_what_was_waited_for():
    before = len(listed('dropped')) + len(listed('refused'))
    for pid in children('mm-parse'):
        os.kill(pid, signal.SIGSTOP)
    s = Sender(FIRST)
    said = []
    t = threading.Thread(target=lambda: said.append(outcome(s)))
    t.start()
    time.sleep(1)
    site.kill()
    t.join()
    equal(said, ['no reply'])
    site.start()
    site.wait()
    equal(len(listed('dropped')) + len(listed('refused')) - before, 1)
    equal(site.verify()['problems'], 0)

done()
