#!/usr/bin/env python3
"""A configuration that changes under a running mmd, and the limits of SMTP end to end: connections, recipients, errors, sizes, DATA
and BDAT up to 40 MB, SMTPUTF8, DSN."""
import json, os, random, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

SEED = random.randrange(1 << 32)
print('   seed %d' % SEED)
rng = random.Random(SEED)
BIG = 41943040
site = Site(apply=False, config={"smtp": {"max_per_address": 20, "max_connections": 30}, "spool": {"file_bytes": 1 << 20}})
PORT, SECOND, THIRD = (free_port() for _ in range(3))

def point(name, port, **more):
    return dict({"IngressPointName": name, "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": "127.0.0.1:%d" % port,
                 "TrafficPolicyName": "open", "RuleSetName": "all"}, **more)

def policy(default):
    return {"TrafficPolicies": [{"TrafficPolicyName": "changing", "DefaultAction": default, "PolicyStatements": []}], "IngressPoints": []}

def put(resources):
    site.apply(dict({"IngressPoints": []}, **resources))

def connect(port=None, source='127.0.0.1'):
    s = smtplib.SMTP(local_hostname='client.example', timeout=60, source_address=(source, 0))
    code, reply = s.connect('127.0.0.1', port or PORT)
    s.greeting = code, reply
    if code == 220:
        s.ehlo()
    return s

def refuses(port):
    try:
        socket.create_connection(('127.0.0.1', port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False

def rcpt(s, address='a@corp.example'):
    s.docmd('RSET')
    s.docmd('MAIL FROM:<ann@shop.example>')
    return s.docmd('RCPT TO:<%s>' % address)[0]

def into_data(s):
    equal(rcpt(s), 250, 'RCPT')
    equal(s.docmd('DATA')[0], 354, 'DATA')
    s.sock.sendall(b'Subject: in mid transaction\r\n\r\n')

def finish(s):
    s.sock.sendall(b'x\r\n.\r\n')
    code, reply = s.getreply()
    equal(code, 250, reply)
    return message_id(reply)

site.apply(dict(DEFAULT, IngressPoints=[point('inbound', PORT)]))
site.start()

@test
def a_change_takes_effect_when_apply_returns():
    put(dict(policy('DENY'), IngressPoints=[point('inbound', PORT, TrafficPolicyName='changing')]))
    old, middle = connect(), connect()
    for i in range(8):
        for default, code in (('ALLOW', 250), ('DENY', 550)):
            put(policy(default))
            s = connect()
            equal(rcpt(s), code, 'round %d, %s' % (i, default))
            s.close()
    equal(rcpt(old), 550, 'a connection keeps what it began with')
    old.close()
    middle.close()
    put({"IngressPoints": [point('inbound', PORT)]})

@test
def open_connections_live_through_changes():
    s = connect()
    into_data(s)
    put({"IngressPoints": [point('inbound', SECOND), point('other', THIRD)]})
    check(refuses(PORT), 'the old address still answers')
    equal(rcpt(connect(SECOND)), 250, 'the new address')
    t = connect(THIRD)
    into_data(t)
    put({"IngressPoints": [point('other', THIRD, Status='CLOSED')]})
    check(refuses(THIRD), 'a closed one still answers')
    put({"IngressPoints": [point('inbound', PORT), point('other', SECOND)]})  # it changes hands
    ids = [finish(s), finish(t)]
    u = connect(SECOND)
    into_data(u)
    ids.append(finish(u))
    site.wait()
    equal([json.loads(site.run('mmctl', 'why', i, '--json'))['receipt']['ingress'] for i in ids], ['inbound', 'other', 'other'], 'ingress')
    put({"IngressPoints": [point('other', THIRD, Status='CLOSED')]})
    check(refuses(SECOND) and not refuses(PORT), 'listeners')

@test
def a_bad_apply_changes_nothing():
    taken = socket.socket()
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    s = connect()
    into_data(s)
    before = site.run('mmctl', 'show', '--json')
    path = os.path.join(site.root, 'bad.json')
    for bad in (point('fresh', taken.getsockname()[1]), point('fresh', PORT), point('inbound', PORT, TrafficPolicyName='nowhere'),
                point('fresh', THIRD, TlsPolicy='REQUIRED'), point('fresh', THIRD, TlsWrapped=True), point('fresh', THIRD, Type='MTLS'),
                dict(point('fresh', THIRD), Listen='192.0.2.1:25')):
        site.write(path, json.dumps({"Archives": [{"ArchiveName": "half-done"}], "IngressPoints": [point('good', SECOND), bad]}))
        p = subprocess.run([os.path.join(site.bin, 'mmctl'), 'apply', path], env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(p.returncode in (1, 2) and (b'fresh' in p.stderr or b'IngressPoints[1]' in p.stderr), '%s: exit %d %s' % (bad, p.returncode, p.stderr))
        equal(site.run('mmctl', 'show', '--json'), before, 'resources after %s' % bad)
        check(refuses(SECOND), 'the good listener of a bad file was opened')
    finish(s)
    equal(rcpt(connect()), 250, 'service goes on')
    put({"IngressPoints": [point('good', SECOND)]})  # the control: alone it is fine
    check(not refuses(SECOND), 'the good one alone')
    put({"IngressPoints": [point('good', SECOND, Status='CLOSED')]})
    site.stop()
    site.start()
    taken.close()

@test
def connections_are_limited():
    many = [connect() for _ in range(20)]
    equal([s.greeting[0] for s in many], [220] * 20, 'as many as may be')
    more = connect()
    equal((more.greeting[0], more.greeting[1][:5]), (421, b'4.7.0'), 'one more from there')
    many += [connect(source='127.0.0.2') for _ in range(10)]
    equal([s.greeting[0] for s in many], [220] * 30, 'from elsewhere')
    more = connect(source='127.0.0.3')
    equal((more.greeting[0], more.greeting[1][:5]), (421, b'4.3.2'), 'one more in all')
    for s in many:
        s.close()
    for _ in range(100):
        s = connect()
        if s.greeting[0] == 220:
            break
        time.sleep(0.05)
    equal(s.greeting[0], 220, 'when they have gone')

@test
def recipients_are_limited():
    s = connect()
    s.docmd('MAIL FROM:<ann@shop.example>')
    codes = [s.docmd('RCPT TO:<r%d@corp.example>' % i) for i in range(105)]
    equal([c for c, _ in codes], [250] * 100 + [452] * 5, 'RCPT')
    check(codes[100][1].startswith(b'4.5.3'), codes[100])
    equal(s.docmd('DATA')[0], 354, 'DATA')
    s.sock.sendall(b'Subject: to a hundred\r\n\r\n')
    id = finish(s)
    site.wait()
    row, = site.rows('id:' + id)
    equal(sorted(row['envelope_to']), sorted('r%d@corp.example' % i for i in range(100)), 'archived')
    equal((site.count('rcpt:r99@corp.example'), site.count('rcpt:r100@corp.example')), (1, 0), 'found')

@test
def errors_are_limited():
    s = connect()
    codes = []
    try:
        for i in range(40):
            codes.append(s.docmd('NONSENSE %d' % i)[0])
    except smtplib.SMTPServerDisconnected:
        pass
    check(codes[0] == 500 and codes[-1] == 421 and 10 <= len(codes) <= 25, codes)
    s = connect()
    codes = [s.docmd('NOOP')[0] for _ in range(30)]
    equal(set(codes), {250}, 'the control: 30 commands that are no errors')

def content(n, subject):
    """n bytes of lines that no compression makes small, some of which begin with dots."""
    head = b'Subject: %s\r\n\r\n' % subject.encode()
    raw = bytearray(rng.randbytes(n - len(head)).translate(bytes(b if b not in (0, 10, 13) else 46 for b in range(256))))
    for at in range(0, len(raw) - 2, 997):
        raw[at:at + 2] = b'\r\n'
        if at + 2 < len(raw) - 2:
            raw[at + 2] = 46
    raw[-2:] = b'\r\n'
    data = head + bytes(raw)
    assert len(data) == n
    return data

def by_data(data):
    s = connect()
    equal(s.docmd('MAIL FROM:<ann@shop.example> BODY=8BITMIME SIZE=%d' % min(len(data), BIG))[0], 250, 'MAIL')
    equal(s.docmd('RCPT TO:<big@corp.example>')[0], 250, 'RCPT')
    equal(s.docmd('DATA')[0], 354, 'DATA')
    stuffed = data.replace(b'\r\n.', b'\r\n..')
    s.sock.sendall(stuffed + b'.\r\n')
    return s.getreply()

def by_bdat(data, chunk):
    s = connect()
    equal(s.docmd('MAIL FROM:<ann@shop.example> BODY=8BITMIME')[0], 250, 'MAIL')
    equal(s.docmd('RCPT TO:<big@corp.example>')[0], 250, 'RCPT')
    for at in range(0, len(data), chunk):
        part = data[at:at + chunk]
        s.sock.sendall(b'BDAT %d%s\r\n' % (len(part), b' LAST' if at + chunk >= len(data) else b''))
        s.sock.sendall(part)
        code, reply = s.getreply()
        if code != 250:
            return code, reply
    return code, reply

@test
def sizes_are_announced_and_kept():
    s = connect()
    equal(s.esmtp_features['size'], str(BIG), 'SIZE')
    equal((s.docmd('MAIL FROM:<a@b.example> SIZE=%d' % (BIG + 1))[0], s.docmd('MAIL FROM:<a@b.example> SIZE=%d' % BIG)[0]), (552, 250), 'SIZE=')
    sent = {}
    for how, n in (('data', 262144), ('data', 262145), ('data', BIG), ('bdat', 30 << 20), ('bdat', BIG)):
        data = content(n, '%s of %d' % (how, n))
        code, reply = by_data(data) if how == 'data' else by_bdat(data, n if n < BIG else 7777777)
        equal(code, 250, '%s of %d: %s' % (how, n, reply))
        sent[message_id(reply)] = sha256(data), n
    for how in ('data', 'bdat'):
        data = content(BIG + 1, 'too big')
        code, reply = by_data(data) if how == 'data' else by_bdat(data, 7777777)
        equal((code, reply[:5]), (552, b'5.3.4'), how + ' of one byte more')
    site.wait()
    for id, (digest, n) in sent.items():
        raw = site.run('mm-search', '--raw', id, binary=True)
        equal((len(raw), sha256(raw)), (n, digest), 'bytes')
        row, = site.rows('id:' + id)
        equal((row['bytes'], row['sha256']), (n, digest), 'row')
    equal((site.count('subject:"too big"'), site.count('larger:29M')), (0, 3), 'archived')

@test
def utf8_addresses_are_archived_and_found():
    s = connect()
    def say(text):
        s.sock.sendall(text.encode() + b'\r\n')
        return s.getreply()[0]
    equal(say('MAIL FROM:<jörg@müller.example>'), 553, 'without SMTPUTF8')
    equal(say('MAIL FROM:<jörg@müller.example> SMTPUTF8 BODY=8BITMIME'), 250, 'MAIL')
    equal((say('RCPT TO:<用户@例え.example>'), say('RCPT TO:<plain@corp.example>')), (250, 250), 'RCPT')
    equal(say('DATA'), 354, 'DATA')
    data = 'From: jörg@müller.example\r\nTo: 用户@例え.example\r\nSubject: Grüße\r\n\r\nschön\r\n'.encode()
    s.sock.sendall(data + b'.\r\n')
    code, reply = s.getreply()
    equal(code, 250, reply)
    id = message_id(reply)
    site.wait()
    for query in ('rcpt:用户@例え.example', 'envelope-from:jörg@müller.example', 'from:jörg', 'subject:Grüße', 'to:用户'):
        equal(site.ids(query), [id], query)
    equal(site.run('mm-search', '--raw', id, binary=True), data, 'bytes')
    receipt = json.loads(site.run('mmctl', 'why', id, '--json'))['receipt']
    equal((receipt['smtputf8'], receipt['body'], receipt['mail_from']), (True, '8BITMIME', 'jörg@müller.example'), 'receipt')
    s = connect()
    code, reply = by_data(b'Subject: eight\r\n\r\n\xe4\xf6\xfc\r\n')
    equal(code, 250, reply)
    site.wait()
    equal(site.run('mm-search', '--raw', message_id(reply), binary=True), b'Subject: eight\r\n\r\n\xe4\xf6\xfc\r\n', '8 bits of no charset')

@test
def dsn_parameters_are_kept():
    s = connect()
    equal(s.docmd('MAIL FROM:<ann@shop.example> RET=HDRS ENVID=QQ+2B314')[0], 250, 'MAIL')
    equal(s.docmd('RCPT TO:<a@corp.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Old+2BName@corp.example')[0], 250, 'RCPT')
    equal(s.docmd('RCPT TO:<b@corp.example> NOTIFY=NEVER')[0], 250, 'RCPT')
    equal(s.docmd('RCPT TO:<c@corp.example>')[0], 250, 'RCPT')
    equal([s.docmd('RCPT TO:<d@corp.example> ' + p)[0] for p in ('NOTIFY=NEVER,DELAY', 'NOTIFY=SOON', 'ORCPT=rfc822;a+zz', 'NOSUCH=1')],
          [501, 501, 501, 555], 'what is wrong')
    equal(s.docmd('DATA')[0], 354, 'DATA')
    s.sock.sendall(b'Subject: dsn\r\n\r\n')
    id = finish(s)
    site.wait()
    r = json.loads(site.run('mmctl', 'why', id, '--json'))['receipt']
    equal((r['ret'], r['envid']), ('HDRS', 'QQ+314'), 'MAIL')
    equal([{k: v for k, v in x.items()} for x in r['rcpt']], [
        {'to': 'a@corp.example', 'notify': 'SUCCESS,DELAY', 'orcpt': 'rfc822;Old+Name@corp.example'},
        {'to': 'b@corp.example', 'notify': 'NEVER'}, {'to': 'c@corp.example'}], 'RCPT')

@test
def it_stops_clean():
    equal(site.verify()['problems'], 0, 'verify')
    s = connect()
    site.stop()
    try:
        code, reply = s.getreply()
    except smtplib.SMTPServerDisconnected:
        code = 421
    equal(code, 421, 'who is connected hears')

done()
