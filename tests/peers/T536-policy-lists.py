#!/usr/bin/env python3
"""Traffic policies that ask DNS block lists before DATA, with a real name server behind them: the client's address of both families and the domains of
MAIL FROM and HELO, refused at RCPT; pipelined commands stay behind a reply that waits; a server that hangs costs the deadline, nobody else's
time, and the outcome that the documents say. A policy that asks nothing is the control: the same client is let in by it."""
import os, select, signal, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from nsd import *

KEY = 'k%08x' % random.randrange(1 << 32)
SIX = '1' + '.0' * 31
nsd = Nsd({
    '2.0.0.127.ip.test': [('A', '127.0.0.2'), ('A', '127.0.0.4')],
    SIX + '.ip.test': [('A', '127.0.0.3')],
    'bad.example.%s.dbl.test' % KEY: [('A', '127.0.1.2')],
    'helo.example.%s.dbl.test' % KEY: [('A', '127.0.1.3')],
    'down.test': [('A', '192.0.2.1')],
}, failing=['down.test'])
LISTS = {'IP': {'dnsbl': 'ip.test', 'lists': 'ip'}, 'NOT_SIX': {'dnsbl': 'other.test', 'lists': 'ip'}, 'DOWN': {'dnsbl': 'down.test', 'lists': 'ip'},
         'SPAMHAUS_DBL': {'dnsbl': 'dbl.test', 'lists': 'domain', 'key': KEY}}
SCANNERS = {'TRENDMICRO_VSAPI': {'clamd': '/run/none'}, 'VADE_ADVANCED_EMAIL_SECURITY': {'rspamd': 'http://127.0.0.1:1'}, 'OURS': {'http': 'http://127.0.0.1:1/x'}}
NAMES = list(LISTS) + list(SCANNERS) + ['NOBODYS']
FROM_LISTED, FROM_CLEAR = '127.0.0.2', '127.0.0.3'
OK, REFUSED, LATER = (250, b'2.1.5'), (550, b'5.7.1'), (451, b'4.7.1')

def asked(addon, field):
    return {'Analysis': {'Analyzer': addon, 'ResultField': field}}

def is_listed(addon, operator='IS_TRUE'):
    return {'BooleanExpression': {'Evaluate': asked(addon, 'addon.is listed'), 'Operator': operator}}

def says(addon, field, operator, *values):
    return {'StringExpression': {'Evaluate': asked(addon, field), 'Operator': operator, 'Values': list(values)}}

def recipient(operator, *values):
    return {'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': operator, 'Values': list(values)}}

def deny(*conditions):
    return {'Action': 'DENY', 'Conditions': list(conditions)}

def allow(*conditions):
    return {'Action': 'ALLOW', 'Conditions': list(conditions)}

GUARDED = recipient('STARTS_WITH', 'guarded')
POLICIES = {
    'control': ('ALLOW',),
    'address': ('ALLOW', deny(is_listed('IP'))),
    'clean': ('DENY', allow(is_listed('IP', 'IS_FALSE'))),
    'domain': ('ALLOW', deny(says('SPAMHAUS_DBL', 'listed on', 'EQUALS', 'dbl.test'))),
    'guarded': ('ALLOW', deny(GUARDED, is_listed('IP'))),
    'several': ('ALLOW', deny(is_listed('NOT_SIX')), deny(says('IP', 'codes', 'CONTAINS', '127.0.0.4')), deny(is_listed('SPAMHAUS_DBL'))),
    'down': ('ALLOW', deny(is_listed('DOWN')), deny(is_listed('DOWN', 'IS_FALSE'))),
    'down-clean': ('DENY', allow(is_listed('DOWN', 'IS_FALSE'))),
    'down-word': ('ALLOW', deny(says('DOWN', 'addon.verdict', 'EQUALS', 'PROCESSING_FAILED'))),
    'nobodys': ('DENY', allow(is_listed('NOBODYS', 'IS_FALSE'))),
}
HAVE_SIX = os.path.exists('/proc/net/if_inet6')
PORTS = {name + six: free_port() for name in POLICIES for six in ('', '-6')}

def policy(name, default, *statements):
    return {'TrafficPolicyName': name, 'DefaultAction': default, 'PolicyStatements': list(statements)}

def point(name, suffix=''):
    return {'IngressPointName': name + suffix, 'Type': 'OPEN', 'TlsPolicy': 'OPTIONAL', 'RuleSetName': 'all', 'TrafficPolicyName': name,
            'Listen': '%s:%d' % ('[::1]' if suffix else '127.0.0.1', PORTS[name + suffix])}

SUFFIXES = ('', '-6') if HAVE_SIX else ('',)
RESOURCES = dict(DEFAULT, AddonSubscriptions=[{'AddonName': a} for a in NAMES], AddonInstances=[{'AddonName': a} for a in NAMES],
                 RuleSets=[{'RuleSetName': 'all', 'Rules': [
                     {'Name': 'listed', 'Conditions': [is_listed('IP')], 'Actions': [{'Archive': {'TargetArchive': 'legal'}}]},
                     {'Name': 'keep', 'Conditions': [], 'Actions': [{'Archive': {'TargetArchive': 'corp'}}]}]}],
                 TrafficPolicies=[policy(name, *p) for name, p in POLICIES.items()], IngressPoints=[point(n, s) for n in POLICIES for s in SUFFIXES])
site = Site(config={'addons': dict(LISTS, **SCANNERS), 'dns': {'forward': nsd.forward, 'deadline': 3}, 'logs': {'policy_debug': 'sealed', 'addresses': True}},
            resources=RESOURCES).start()

class Client:
    """A raw connection: commands in one write or several, replies as they come."""
    def __init__(self, name, source=FROM_CLEAR, helo='client.example'):
        six = name.endswith('-6')
        self.s = socket.create_connection(('::1' if six else '127.0.0.1', PORTS[name]), 60, ('::1' if six else source, 0))
        self.f = self.s.makefile('rb')
        self.reply()
        self.say('EHLO ' + helo)

    def write(self, *lines):
        self.s.sendall(''.join(l + '\r\n' for l in lines).encode())

    def reply(self):
        while True:
            line = self.f.readline()
            check(line, 'the connection ended')
            if line[3:4] != b'-':
                return int(line[:3]), line[4:].split(b' ')[0].strip()

    def say(self, line):
        self.write(line)
        return self.reply()

    def rcpt(self, address='bob@corp.example', sender='ann@shop.example'):
        equal(self.say('MAIL FROM:<%s>' % sender)[0], 250, 'MAIL')
        return self.say('RCPT TO:<%s>' % address)

    def silent(self):
        return not select.select([self.s], [], [], 0)[0]

    def send(self, subject):
        equal(self.say('DATA')[0], 354, 'DATA')
        self.s.sendall(mail(subject) + b'.\r\n')
        return self.reply()[0]

    def close(self):
        self.f.close()
        self.s.close()

def rcpt(name, *args, source=FROM_CLEAR, helo='client.example'):
    c = Client(name, source, helo)
    got = c.rcpt(*args)
    c.close()
    return got

class Hanging:
    """The name server hears nothing meanwhile. The addresses of each are new to the cache of mm-verdict."""
    last = 9

    def __enter__(self):
        os.killpg(nsd.process.pid, signal.SIGSTOP)
        Hanging.last += 10
        return '127.0.1.%d' % Hanging.last

    def __exit__(self, *_):
        os.killpg(nsd.process.pid, signal.SIGCONT)

@test
def listed_clients_are_refused_at_rcpt():
    equal([rcpt(n, source=FROM_LISTED) for n in ('address', 'clean', 'several')], [REFUSED] * 3, 'listed')
    equal([rcpt(n) for n in ('address', 'clean', 'several')], [OK] * 3, 'not listed')
    equal(rcpt('control', source=FROM_LISTED), OK, 'the control: nobody asks')
    equal([rcpt('guarded', a, source=FROM_LISTED) for a in ('guarded@corp.example', 'bob@corp.example')], [REFUSED, OK], 'one of two recipients')
    c = Client('address')
    equal((c.rcpt(), c.send('from a clear address')), (OK, 250))
    site.wait()
    equal(site.count('subject:"from a clear address"'), 1, 'archived')

@test
def of_both_families():
    if not HAVE_SIX:
        raise Skip('no IPv6 here')
    equal([rcpt(n + '-6') for n in ('address', 'clean', 'several')], [REFUSED, REFUSED, OK], 'by the nibbles of ::1')
    for name in ('control', 'control-6'):  # rules ask the same, once the message is there
        c = Client(name)
        equal((c.rcpt(), c.send('of the family of ' + name)), (OK, 250))
    site.wait()
    equal([r['ip'] for r in site.rows('subject:family', 'legal')], ['::1'], 'by rules')

@test
def domains_are_those_of_each_transaction():
    c = Client('domain', helo='host.example')
    equal(c.rcpt('bob@corp.example', 'x@bad.example'), REFUSED, 'MAIL FROM')
    equal(c.say('RCPT TO:<eve@corp.example>'), REFUSED, 'the next recipient')
    c.say('RSET')
    equal((c.rcpt('bob@corp.example', 'x@good.example'), c.send('of a good domain')), (OK, 250))
    equal(c.rcpt('bob@corp.example', 'x@BAD.example'), REFUSED, 'on the same connection')
    equal(rcpt('domain', 'bob@corp.example', '', helo='helo.example'), REFUSED, 'HELO')
    equal(rcpt('domain', 'bob@corp.example', ''), OK, 'neither')

@test
def pipelined_commands_wait():
    c = Client('guarded', FROM_LISTED)
    c.write('MAIL FROM:<ann@shop.example>', 'RCPT TO:<guarded@corp.example>', 'RCPT TO:<bob@corp.example>', 'RSET', 'MAIL FROM:<ann@shop.example>',
            'RCPT TO:<bob@corp.example>', 'RCPT TO:<guarded2@corp.example>', 'DATA')
    equal([c.reply()[0] for _ in range(8)], [250, 550, 250, 250, 250, 250, 550, 354])
    c.s.sendall(mail('pipelined') + b'.\r\n')
    equal(c.reply()[0], 250)
    site.wait()
    row, = site.rows('subject:pipelined')
    equal(row['envelope_to'], ['bob@corp.example'], 'envelope')

@test
def a_lookup_that_fails_decides_nothing():
    equal([rcpt(n) for n in ('down', 'down-clean', 'down-word', 'nobodys')], [OK, LATER, LATER, LATER])
    check('the add-on DOWN, which a traffic policy asks' in site.tail(10**6), 'no warning')

def held(name, want):
    """While a reply of `name` waits others have theirs. False: this machine was too slow to see it."""
    with Hanging() as source:
        c = Client(name, source)
        c.write('MAIL FROM:<ann@shop.example>', 'RCPT TO:<bob@corp.example>', 'RCPT TO:<eve@corp.example>', 'NOOP')
        equal(c.reply()[0], 250, 'MAIL')
        others = Client('guarded', source)
        equal((others.rcpt(), others.send('others go on')), (OK, 250), 'another session')
        equal(rcpt('control', source=source), OK, 'another ingress point')
        seen = c.silent()
        equal([c.reply() for _ in range(3)], [want, want, (250, b'2.0.0')], name)
    # What failed is asked again by the next transaction.
    equal((c.say('RSET')[0], c.rcpt()), (250, OK), 'it is back')
    return seen

@test
def a_server_that_hangs():
    for name, want in (('address', OK), ('clean', LATER)):
        check(any(held(name, want) for _ in range(5)), name + ': others never had their replies before the deadline of one')

@test
def who_leaves_while_he_waits():
    with Hanging() as source:
        many = [Client('address', source) for _ in range(20)]
        for c in many:
            c.write('MAIL FROM:<ann@shop.example>', 'RCPT TO:<bob@corp.example>', 'DATA', 'QUIT')
            equal(c.reply()[0], 250, 'MAIL')
        for c in many:
            c.close()
        equal(rcpt('control'), OK)
    equal((rcpt('address', source=FROM_LISTED), rcpt('address')), (REFUSED, OK), 'afterwards')

def child(name):
    pid, = subprocess.check_output(['pgrep', '-P', str(site.process.pid), '-x', name]).split()
    return int(pid)

@test
def a_killed_mm_smtpd_leaves_no_answer_to_its_heir():
    with Hanging() as source:
        c = Client('address', source)
        c.write('MAIL FROM:<ann@shop.example>', 'RCPT TO:<bob@corp.example>')
        equal(c.reply()[0], 250, 'MAIL')
        os.kill(child('mm-smtpd'), signal.SIGKILL)
        equal(c.f.read(), b'', 'no reply')
    equal((rcpt('address', source=FROM_LISTED), rcpt('address')), (REFUSED, OK), 'the next one')

def children_of_home():
    """Those of mm-verdict's home: of messages, and of policies."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            stat = open('/proc/%s/stat' % pid).read()
        except OSError:
            continue
        if '(mm-verdict)' in stat:
            found[int(pid)] = int(stat.rsplit(')', 1)[1].split()[1])
    homes = [pid for pid, parent in found.items() if found.get(parent) == site.process.pid] # mmd started who makes it again
    return [pid for pid, parent in found.items() if parent in homes]

@test
def a_killed_mm_verdict_is_asked_again():
    equal(len(children_of_home()), 2, 'children of mm-verdict')
    with Hanging() as source:
        c = Client('clean', source)
        c.write('MAIL FROM:<ann@shop.example>', 'RCPT TO:<bob@corp.example>')
        equal(c.reply()[0], 250, 'MAIL')
        for pid in children_of_home():
            os.kill(pid, signal.SIGKILL)
    check(c.reply() in (OK, LATER), 'by the next one, if it comes in time')
    equal((rcpt('address', source=FROM_LISTED), rcpt('address')), (REFUSED, OK), 'afterwards')

def log_of(name, address):
    said = [json.loads(l) for l in site.run('mmctl', 'log', '--json').splitlines()]
    return [e for e in said if e.get('recipient') == address]

@test
def the_log_has_what_they_said():
    for name, source, address in (('several', FROM_LISTED, 'l1@corp.example'), ('down', FROM_CLEAR, 'l2@corp.example')):
        rcpt(name, address, source=source)
    for _ in range(100):
        found = log_of('several', 'l1@corp.example') + log_of('down', 'l2@corp.example')
        if len(found) == 2:
            break
        time.sleep(0.1)
    results = [[dict(c['analysis'], result=' '.join(sorted(c['analysis']['result'].split()))) for s in e['traffic_policy_evaluation'] for c in s.get('conditions', [])] for e in found]
    equal(results[0], [{'resultField': 'is listed', 'result': 'false'}, {'resultField': 'codes', 'result': '127.0.0.2 127.0.0.4'}])
    equal(results[1], [{'resultField': 'is listed', 'result': 'PROCESSING_FAILED'}] * 2)
    equal([e['traffic_policy_verdict'] for e in found], ['REJECT', 'ACCEPT'])

@test
def scanners_need_the_message():
    before = site.run('mmctl', 'show', '--json')
    path = os.path.join(site.root, 'bad.json')
    for name in SCANNERS:
        for condition in (is_listed(name), says(name, 'category', 'EQUALS', 'x')):
            site.write(path, json.dumps({'TrafficPolicies': [policy('new', 'ALLOW', deny(condition))]}))
            site.run('mmctl', 'apply', path, code=2)
            check('the add-on %s can\'t be asked before DATA' % name in site.stderr and 'needs the message' in site.stderr, site.stderr)
    site.run('mmctl', 'call', 'CreateTrafficPolicy', json.dumps(policy('new', 'ALLOW', deny(is_listed('OURS')))), code=1)
    check('ValidationException' in site.stderr and 'needs the message' in site.stderr, site.stderr)
    site.write(path, json.dumps({'TrafficPolicies': [policy('new', 'ALLOW', deny(is_listed('no-such')))]}))
    site.run('mmctl', 'apply', path, code=2)
    check('none of the AddonInstances' in site.stderr, site.stderr)
    equal(site.run('mmctl', 'show', '--json'), before, 'resources')
    instance = [i for i in json.loads(before)['AddonInstances'] if i['AddonName'] == 'IP'][0]['AddonInstanceId']
    site.run('mmctl', 'call', 'DeleteAddonInstance', json.dumps({'AddonInstanceId': instance}), code=1)
    check('ConflictException' in site.stderr, site.stderr)

@test
def a_stop_while_a_client_waits():
    with Hanging() as source:
        c = Client('address', source)
        c.write('MAIL FROM:<ann@shop.example>', 'RCPT TO:<bob@corp.example>', 'RCPT TO:<eve@corp.example>')
        equal(c.reply()[0], 250, 'MAIL')
        site.stop()
        codes = [l[:3] for l in c.f.read().split(b'\r\n') if l]
    check(codes and codes[0] == b'451' and codes[-1] == b'421' and b'250' not in codes, codes)
    equal(site.verify()['problems'], 0, 'verify')
    check(not [l for l in open(site.log, errors='replace') if KEY in l], 'the key is in the log')

done()
