#!/usr/bin/env python3
"""Verdicts end to end: mail by SMTP, a zone at a real server (nsd), mm-verdict, rules, search. A lookup that nobody answers holds up its own
message alone; mm-verdict killed costs no message its verdict; a kill of mmd judges again what was waiting; a tool that has the
directory alone judges as mmd does. The control: the same mail without `dns` in the configuration has no verdict."""
import hashlib, json, os, signal, socket, subprocess, sys, tempfile, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from faults import children_of
from nsd import Nsd, text

KEYS = tempfile.mkdtemp(prefix='mm-keys-')
atexit.register(shutil.rmtree, KEYS, ignore_errors=True)

def key(name):
    """A new RSA key: (its file, the TXT record of its public half)."""
    path = os.path.join(KEYS, name)
    subprocess.run(['openssl', 'genrsa', '-traditional', '-out', path, '2048'], check=True, stderr=subprocess.DEVNULL)
    public = subprocess.run(['openssl', 'rsa', '-in', path, '-pubout', '-outform', 'DER'], check=True, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL).stdout
    return path, b'v=DKIM1; k=rsa; p=' + base64.b64encode(public)

import base64, shutil, atexit
PRIVATE, PUBLIC = key('s1')

nsd = Nsd({'good.example': [('TXT', text(b'v=spf1 ip4:127.0.0.0/8 -all')), ('MX', '10 mx.good.example.')],
           'mx.good.example': [('A', '127.0.0.1')],
           's1._domainkey.good.example': [('TXT', text(PUBLIC))],
           '_dmarc.good.example': [('TXT', text(b'v=DMARC1; p=reject'))],
           'bad.example': [('TXT', text(b'v=spf1 ip4:192.0.2.0/24 -all'))],
           '_dmarc.bad.example': [('TXT', text(b'v=DMARC1; p=quarantine'))],
           'soft.example': [('TXT', text(b'v=spf1 ~all'))],
           'none.example': [('A', '192.0.2.9')]}, failing=('broken.example',))
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(('127.0.0.1', 0))

def verdict(attribute, *values):
    return {"VerdictExpression": {"Evaluate": {"Attribute": attribute}, "Operator": "EQUALS", "Values": list(values)}}

RULES = [{"Name": "asked", "Conditions": [{"DmarcExpression": {"Operator": "EQUALS", "Values": ["REJECT", "QUARANTINE"]}}],
          "Actions": [{"Archive": {"TargetArchive": "suspect"}}, {"Drop": {}}]},
         {"Name": "sure", "Conditions": [verdict("SPF", "PASS"), verdict("DKIM", "PASS")], "Actions": [{"Archive": {"TargetArchive": "sure"}}]},
         {"Name": "all", "Conditions": [], "Actions": [{"Archive": {"TargetArchive": "corp"}}]}]

def resources():
    return {"Archives": [{"ArchiveName": n} for n in ("corp", "sure", "suspect")],
            "TrafficPolicies": [{"TrafficPolicyName": "open", "DefaultAction": "ALLOW", "PolicyStatements": []}],
            "RuleSets": [{"RuleSetName": "all", "Rules": RULES}]}

DNS = {"forward": nsd.forward, "stubs": {"slow.example": "127.0.0.1@%d" % silent.getsockname()[1]}, "deadline": 4}
site = Site(config={"dns": DNS}, resources=resources()).start()

def signed(data, domain='good.example'):
    program = ('import sys,dkim; m=sys.stdin.buffer.read(); '
               'sys.stdout.buffer.write(dkim.sign(m, b"s1", %r.encode(), open(%r,"rb").read()) + m)' % (domain, PRIVATE))
    p = subprocess.run(['/usr/bin/python3', '-c', program], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(p.returncode == 0, p.stderr.decode())
    return p.stdout

def letter(word, domain):
    return mail(subject=word, sender='ann@' + domain)

def send(data, domain, to=('sales@corp.example',)):
    with Sender(site.port) as s:
        return s.send(data, to=to, sender='ann@' + domain)

def why(id):
    return [json.loads(l) for l in site.run('mmctl', 'why', id, '--json').splitlines()]

def verdicts(id):
    rows = why(id)
    check(rows and 'verdicts' in rows[0], 'no verdicts: %r' % rows)
    return rows[0]['verdicts']

def words(id):
    v = verdicts(id)
    return v['spf'], v['dkim'], v['dmarc'], v.get('dmarc_asks')

def archives(id):
    return sorted(r['archive'] for r in why(id) if r['disposition'] == 'archived')

@test
def each_result_is_kept_and_judged_by():
    good = send(signed(letter('good', 'good.example')), 'good.example')
    forged = send(letter('forged', 'bad.example'), 'bad.example')
    changed = send(signed(letter('changed', 'good.example')).replace(b'\r\n\r\ntext', b'\r\n\r\nTEXT'), 'good.example')
    soft = send(letter('soft', 'soft.example'), 'soft.example')
    none = send(letter('none', 'none.example'), 'none.example')
    broken = send(letter('broken', 'broken.example'), 'broken.example')
    site.wait()
    equal(words(good), ('pass', 'pass', 'pass', 'NONE'))
    equal(words(forged), ('fail', 'none', 'fail', 'QUARANTINE'))
    equal(words(changed)[:2], ('pass', 'fail'))
    equal(words(soft)[0], 'softfail')
    equal(words(none)[:3], ('none', 'none', 'none'))
    equal(words(broken)[0], 'temperror')
    equal(archives(good), ['corp', 'sure'])
    equal(archives(forged), ['suspect'])
    equal(archives(changed), ['corp'], 'DMARC passes by SPF')

@test
def search_finds_them():
    equal(site.count('spf:pass dkim:pass', 'sure'), 1)
    equal(site.count('spf:fail', 'suspect'), 1)
    equal(site.count('spf:fail', 'corp'), 0)
    equal(site.count('spf:softfail', 'corp'), 1)
    send(mail(subject='words', sender='ann@none.example', body='spf:fail dkim:pass dmarc:reject'), 'none.example')
    site.wait()
    equal(site.count('spf:fail', 'corp'), 0, 'a body\'s words')

@test
def a_reindex_finds_the_same():
    before = {q: site.ids(q) for q in ('spf:pass', 'spf:none', 'dkim:fail', 'dmarc:pass')}
    site.run('mmctl', 'reindex')
    equal({q: site.ids(q) for q in before}, before)

def quick(word):
    """A message gets through while those before it wait."""
    send(letter(word, 'none.example'), 'none.example')
    for _ in range(300):
        if site.count('subject:' + word):
            return True
        time.sleep(0.01)
    return False

def chain(sets, domain):
    """A chain of ARC that is well formed; its keys, all of them others, are at `domain`."""
    lines = []
    for i in range(sets, 0, -1):
        lines += ['ARC-Seal: i=%d; a=rsa-sha256; d=%s; s=k%d; cv=%s; b=AAAA' % (i, domain, i, 'none' if i == 1 else 'pass'),
                  'ARC-Message-Signature: i=%d; a=rsa-sha256; d=%s; s=m%d; c=relaxed/relaxed; h=from; bh=%s; b=AAAA' %
                  (i, domain, i, base64.b64encode(hashlib.sha256(b'text\r\n').digest()).decode()),
                  'ARC-Authentication-Results: i=%d; x.example; none' % i]
    return '\r\n'.join(lines).encode() + b'\r\n'

@test
def who_has_slow_servers_forges_nothing_by_it():
    """However many names of his own stand before it, none is in the way of the policy that he would break."""
    forged = chain(40, 'f.slow.example') + b'From: ann@bad.example\r\nSubject: slowforged\r\n\r\ntext\r\n'
    with Sender(site.port) as s:
        id = s.send(forged, sender='x@sender.slow.example')
    site.wait()
    equal(words(id), ('temperror', 'none', 'fail', 'QUARANTINE'))
    equal(verdicts(id)['arc'], 'temperror', 'the control: its keys were looked up')
    equal(archives(id), ['suspect'])

@test
def a_slow_lookup_holds_up_its_own_message():
    slow = [send(letter('slow%d' % i, 'x%d.slow.example' % i), 'x%d.slow.example' % i) for i in range(5)]
    check(quick('quick'), 'it waits behind the slow ones')
    equal(site.count('subject:slow0'), 0, 'the control: the slow one is through already')
    site.wait()
    for id in slow:
        equal(why(id)[0]['receipt']['verdicts']['spf']['verdict'], 'PROCESSING_FAILED')
        equal(archives(id), ['corp'])

def workers():
    """The children of mm-verdict's home, which another process keeps."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            stat = open('/proc/%s/stat' % pid).read()
        except OSError:
            continue
        if '(mm-verdict)' in stat:
            found[int(pid)] = int(stat.rsplit(')', 1)[1].split()[1])
    return [p for p, parent in found.items() if found.get(found.get(parent)) == site.process.pid]

def home():
    return children_of(children_of(site.process.pid, 'mm-verdict')[0], 'mm-verdict')[0]

@test
def a_killed_mm_verdict_costs_nothing():
    ids = []
    for i in range(60):
        ids.append(send(letter('kill%d' % i, 'soft.example'), 'soft.example'))
        if i in (10, 30, 50):
            for pid in workers():
                os.kill(pid, signal.SIGKILL)
        if i == 40:
            os.kill(home(), signal.SIGKILL)
    site.wait()
    equal({words(i)[0] for i in ids}, {'softfail'})

@test
def a_hung_mm_verdict_is_ended():
    for pid in workers():
        os.kill(pid, signal.SIGSTOP)
    held = send(letter('hung', 'soft.example'), 'soft.example')
    site.wait()
    check(words(held)[0] in ('softfail', 'temperror'), words(held))
    after = send(letter('afterhung', 'soft.example'), 'soft.example')
    site.wait()
    equal(words(after)[0], 'softfail', 'the next one')

@test
def what_waits_is_judged_after_a_kill():
    slow = send(letter('slowkill', 'slow.example'), 'slow.example')
    check(quick('quickkill'), 'done beyond it')
    site.kill()
    site.start()
    site.wait()
    equal(archives(slow), ['corp'])
    equal(site.count('subject:quickkill'), 1, 'once')
    equal(site.verify()['problems'], 0)

@test
def a_tool_alone_judges_the_same():
    os.kill(site.process.pid, signal.SIGSTOP)
    smtp = Sender(site.port)
    id = smtp.send(signed(letter('alone', 'good.example')), sender='ann@good.example')
    site.kill()
    equal(site.count('subject:alone', 'sure'), 1)
    site.start()
    equal(words(id), ('pass', 'pass', 'pass', 'NONE'))

@test
def a_tool_alone_opens_without_the_trust_anchor():
    anchor = os.path.join(KEYS, 'anchor')
    site.write(anchor, '. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n')
    site.stop()
    settings = json.load(open(site.config))
    site.write(site.config, json.dumps(dict(settings, dns=dict(DNS, trust_anchor=anchor))))
    site.start()
    site.stop()
    os.remove(anchor)
    equal(site.count('subject:alone', 'sure'), 1)
    check('dns.trust_anchor' in site.stderr and "can't be found out" in site.stderr, site.stderr)
    site.write(site.config, json.dumps(settings))

@test
def without_dns_there_is_none():
    site.stop()
    settings = json.load(open(site.config))
    del settings['dns']
    site.write(site.config, json.dumps(settings))
    site.start()
    id = send(signed(letter('without', 'good.example')), 'good.example')
    site.wait()
    equal(archives(id), ['corp'])
    equal(site.count('spf:pass subject:without'), 0)

done()
