#!/usr/bin/env python3
"""mmctl dkim and mmctl secret: the record that is printed, published by a real DNS server, verifies what the key signs; a further key signs when it
is put to use; no private key and no password is printed, logged or on disk in the clear; only an administrator may."""
import base64, os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from nsd import Nsd
from verdicts import Judge

site = Site()
site.start()
ARN = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:smarthost-AbCdEf'

def zone_row(text):
    """(name, rdata) of what mmctl prints for a zone file."""
    m = re.fullmatch(r'(\S+)\. IN TXT \((.*) \)\n', text, re.S)
    check(m, text)
    strings = re.findall(r'"([^"]*)"', m.group(2))
    check(all(len(s) <= 255 for s in strings) and len(strings) > (len(''.join(strings)) > 255), strings)
    return m.group(1), ' '.join('"%s"' % s for s in strings)

def audit(event):
    return [e['detail'] for e in map(json.loads, site.run('mm-audit', 'list', '--json').splitlines()) if e['event'] == event]

def composed(raw):
    """As Send would send it; mmd has the directory no longer."""
    question = {'raw': base64.b64encode(raw).decode(), 'receipt': {'helo': 'x', 'ip': '192.0.2.7', 'esmtp': True, 'auth': 'i-1'}, 'now_ms': int(time.time() * 1000),
                'dkim': True}
    out = site.run('compose_run', site.data, site.data + '.key', input=json.dumps(question).encode() + b'\n')
    return base64.b64decode(json.loads(out)['out'])

rows = {}

@test
def keys_and_their_records():
    for domain, args, size in (('shop.example', ['--selector', 's1'], 2), ('news.shop.example', ['--algorithm', 'ed25519', '--selector', 'e1'], 1)):
        name, rdata = zone_row(site.run('mmctl', 'dkim', 'create', domain, *args))
        equal((name, rdata.count('"')), ('%s._domainkey.%s' % (args[-1], domain), 2 * size))
        rows[name] = [('TXT', rdata)]
    made = json.loads(site.run('mmctl', 'dkim', 'create', 'shop.example', '--json'))
    check(re.fullmatch(r'mm20\d{6}\._domainkey\.shop\.example', made['Name']), made)
    equal((''.join(made['Strings']), [len(s) for s in made['Strings']][:-1]), (made['Record'], [255]))
    rows[made['Name']] = [('TXT', ' '.join('"%s"' % s for s in made['Strings']))]
    check('publish this record' in site.stderr, site.stderr)
    site.run('mmctl', 'dkim', 'create', 'Shop.Example', '--selector', 'S1', code=1)
    check('--selector' in site.stderr, site.stderr)
    for wrong in (['create', 'shop.example', '--algorithm', 'dsa'], ['create', 'shop'], ['create'], ['use', 'shop.example'], ['sign'], []):
        site.run('mmctl', 'dkim', *wrong, code=2)
    listed = [json.loads(l) for l in site.run('mmctl', 'dkim', 'list', '--json').splitlines()]
    equal([(k['Domain'], k['Selector'], k['Algorithm'], k['InUse']) for k in listed],
          [('news.shop.example', 'e1', 'ed25519', True), ('shop.example', 's1', 'rsa', True), ('shop.example', made['Name'].split('.')[0], 'rsa', False)])
    check(all('PRIVATE' not in json.dumps(k) for k in listed), 'a private key is shown')
    equal(site.run('mmctl', 'dkim', 'list').count(' IN TXT ('), 3)
    equal([(d['what'], d['domain']) for d in audit('dkim')],
          [('created', 'shop.example'), ('created', 'news.shop.example'), ('created', 'shop.example')])

@test
def what_they_sign_is_verified_by_what_is_published():
    """One key after the other: the first, another that is put to use, that of a domain below, and none."""
    server = Nsd(rows)
    judge = Judge(server.forward)
    second = [n.split('.')[0] for n in rows if n.startswith('mm20')][0]
    site.stop()
    for change, sender, want in ((None, 'shop.example', ('pass', 's1', 'shop.example')), (['use', 'shop.example', second], 'shop.example', ('pass', second, 'shop.example')),
                                 (None, 'news.shop.example', ('pass', 'e1', 'news.shop.example')),
                                 (['delete', 'news.shop.example', 'e1'], 'news.shop.example', ('pass', second, 'shop.example')),
                                 (['delete', 'shop.example', second], 'a.shop.example', ('pass', 's1', 'shop.example')),
                                 (['delete', 'shop.example', 's1'], 'shop.example', None)):
        if change:
            site.run('mmctl', 'dkim', *change)
        sent = composed(mail('signed', sender='ann@' + sender))
        found = [(s['result'], s['selector'], s['domain']) for s in judge(sent, ip='192.0.2.7')['dkim']['signatures']]
        equal(found, [want] if want else [], sender)
        if want:
            equal(judge(sent.replace(b'Subject: signed', b'Subject: forged'), ip='192.0.2.7')['dkim']['result'], 'fail', 'the control')
    judge.end()
    site.run('mmctl', 'dkim', 'delete', 'shop.example', 's1', code=1)
    site.run('mmctl', 'dkim', 'use', 'shop.example', 's1', code=1)
    equal(site.run('mmctl', 'dkim', 'list'), '')
    site.start()

@test
def secrets_are_set_and_never_shown():
    password = 'correct horse \u6771'
    def give(name, text, code=0):
        return site.run('mmctl', 'secret', 'set', name, input=text if isinstance(text, bytes) else json.dumps(text).encode(), code=code)
    give('smarthost', {'username': 'mm', 'password': password})
    give(ARN, {'username': 'mm2', 'password': password, 'host': 'ignored'})
    give('smarthost', {'username': 'mm3', 'password': password})
    for wrong in (b'', b'x', b'[]', {'username': 'mm'}, {'password': 'x'}, {'username': 1, 'password': 'x'}, {'username': 'a\r\nb', 'password': 'x'},
                  {'username': '', 'password': 'x'}, {'username': 'mm', 'password': 'x' * 600}):
        give('other', wrong, code=2)
    give('a b', {'username': 'mm', 'password': 'x'}, code=2)
    equal([json.loads(l)['Name'] for l in site.run('mmctl', 'secret', 'list', '--json').splitlines()], [ARN, 'smarthost'])
    check(password not in site.run('mmctl', 'secret', 'list') and 'mm3' not in site.run('mmctl', 'secret', 'list'), 'shown')
    site.run('mmctl', 'secret', 'delete', ARN)
    site.run('mmctl', 'secret', 'delete', ARN, code=1)
    equal(site.run('mmctl', 'secret', 'list', '--json').count('\n'), 1)
    equal(audit('secret'), [{'what': 'set', 'name': 'smarthost'}, {'what': 'set', 'name': ARN}, {'what': 'set', 'name': 'smarthost'}, {'what': 'deleted', 'name': ARN}])
    said = site.run('mm-audit', 'list', '--json') + site.tail(1 << 22)
    for word in (password, 'mm3', 'PRIVATE KEY'):
        check(word not in said, '%s is in the audit log or the log' % word)
    site.stop()
    equal(site.grep([password.encode(), b'PRIVATE KEY', b'BEGIN']), [], 'in the clear on disk')
    site.start()

@test
def a_terminal_is_asked():
    master, slave = os.openpty()
    p = subprocess.Popen([os.path.join(site.bin, 'mmctl'), 'secret', 'set', 'asked'], env=site.env, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         start_new_session=True)
    said = b''
    for prompt, answer in ((b'User name: ', b'mm5\n'), (b'Password: ', b'lantern-oil\n')):
        while not said.endswith(prompt):
            more = os.read(p.stderr.fileno(), 100)
            check(more, 'it ended: %r' % said)
            said += more
        os.write(master, answer)
    equal((p.communicate(timeout=60)[0], p.returncode), (b'set\n', 0), 'the answer')
    check('asked' in site.run('mmctl', 'secret', 'list'), 'it is kept')
    os.set_blocking(master, False)
    check(b'lantern-oil' not in os.read(master, 1000), 'the password is echoed')
    os.close(master); os.close(slave)

@test
def for_administrators_alone():
    """Over the API there is no such operation; other principals are refused (all of them: tests/cli/T810-principals.py)."""
    for command in (['dkim', 'list'], ['secret', 'list']):
        site.run('mmctl', *command, '--endpoint', 'http://127.0.0.1:1', code=2)

site.stop()
done()
