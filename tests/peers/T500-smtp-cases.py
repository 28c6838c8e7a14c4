#!/usr/bin/env python3
"""The SMTP case file against a policy that denies by default and allows ENDS_WITH "@local.test", STARTTLS on: every must-case
passes, and what differs in a policy case has its reason in docs/smtp.md. Needs ../shared/spec. And foreign clients: swaks (Perl), curl, openssl."""
import os, re, shutil, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

RUNNER = os.path.join(ROOT, '..', 'shared', 'spec', 'smtp-cases-run.py')
POLICY = {"TrafficPolicyName": "local-only", "DefaultAction": "DENY", "PolicyStatements": [{"Action": "ALLOW", "Conditions": [
    {"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH", "Values": ["@local.test"]}}]}]}

site = Site(apply=False)
site.tls()
site.apply(dict(DEFAULT, TrafficPolicies=[POLICY]), {"TrafficPolicyName": "local-only"})
site.start()

def cases(group):
    if not os.path.exists(RUNNER):
        raise Skip('needs ../shared/spec, which is absent')
    p = subprocess.run([sys.executable, RUNNER, '--port', str(site.port), '--group', group], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=900)
    out = p.stdout.decode('utf-8', 'replace')
    print('   ' + out.strip().replace('\n', '\n   '))
    check(' 0 failed; policy' in out, out[-2000:])
    reasons = open(os.path.join(ROOT, 'docs', 'smtp.md')).read()
    for id in re.findall(r'^\S+ +policy (\S+).* FAIL ', out, re.M):
        check('`%s`' % id in reasons, id + ' differs, without a reason in docs/smtp.md')

@test
def eod_cases():
    cases('eod')

@test
def split_cases():
    cases('splits')

@test
def session_cases():
    cases('sessions')

@test
def relay_cases():
    cases('relay')

@test
def syntax_cases():
    cases('syntax')

@test
def the_server_lives_and_what_it_took_is_archived():
    id = site.send(mail('after all cases'), ('a@local.test',))
    site.wait()
    equal(site.ids('subject:"after all cases"'), [id], 'ids')
    equal(site.verify()['problems'], 0, 'verify')

@test
def swaks_over_starttls():
    p = subprocess.run(['swaks', '--server', '127.0.0.1', '--port', str(site.port), '--to', 'a@local.test', '--from', 'p@perl.example',
                        '--tls', '--header', 'Subject: from swaks', '--silent', '2'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    equal(p.returncode, 0, p.stdout.decode()[-500:])
    site.wait()
    row = site.rows('subject:"from swaks"')[0]
    receipt = json.loads(site.run('mmctl', 'why', row['id'], '--json'))['receipt']
    check(receipt['tls']['version'] in ('TLSv1.3', 'TLSv1.2'), receipt)

@test
def curl_sends_a_file():
    path = os.path.join(site.root, 'mail.eml')
    open(path, 'wb').write(mail('from curl'))
    subprocess.run(['curl', '-sS', '--url', 'smtp://127.0.0.1:%d/c.example' % site.port, '--mail-from', 'c@curl.example',
                    '--mail-rcpt', 'a@local.test', '--upload-file', path], check=True)
    site.wait()
    equal(site.count('subject:"from curl"'), 1, 'count')

@test
def old_tls_is_refused():
    for version, good in (('-tls1_1', False), ('-tls1_2', True), ('-tls1_3', True)):
        p = subprocess.run(['openssl', 's_client', '-starttls', 'smtp', '-connect', '127.0.0.1:%d' % site.port, version, '-brief',
                            '-cipher', 'ALL:@SECLEVEL=0'], input=b'QUIT\r\n', stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        equal(p.returncode == 0, good, version + p.stdout.decode('utf-8', 'replace')[-300:])

@test
def nmap_finds_no_open_relay():
    if not LONG or not shutil.which('nmap'):
        raise Skip('runs with --long, and needs nmap')
    p = subprocess.run(['nmap', '-Pn', '-p', str(site.port), '--script', '+smtp-open-relay', '127.0.0.1'], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=600)
    out = p.stdout.decode('utf-8', 'replace')
    print('   ' + out.strip().replace('\n', '\n   '))
    check('smtp-open-relay' in out and "doesn't seem to be an open relay" in out, 'nmap says otherwise')

@test
def testssl_finds_nothing_grave():
    if not LONG or not shutil.which('testssl'):
        raise Skip('runs with --long, and needs testssl.sh')
    report = os.path.join(site.root, 'testssl.json')
    subprocess.run(['testssl', '--starttls', 'smtp', '--ip', 'one', '--warnings', 'off', '--color', '0', '--quiet', '-p', '-U', '-S',
                    '--jsonfile', report, '127.0.0.1:%d' % site.port], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=1800)
    rows = json.load(open(report))
    # The certificate is ours and signed by itself; its chain is not what is looked at.
    grave = [r for r in rows if r['severity'] in ('HIGH', 'CRITICAL', 'FATAL') and not r['id'].startswith('cert')]
    print('   %d findings looked at' % len(rows))
    equal([(r['id'], r['finding']) for r in grave], [], 'grave')
    check(any(r['id'] == 'TLS1_3' for r in rows), 'it has seen nothing')

done()
