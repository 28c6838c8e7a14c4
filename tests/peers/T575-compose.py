#!/usr/bin/env python3
"""What is sent, judged by others: python3-dkim verifies each signature (RSA, Ed25519) and each seal, mm's own verifier does too, and Python's
email package finds in front of the message exactly the fields that are ours, and in a notification the parts of a report. Real mail (a
sample; all of it in ./check long) and hostile mail by chance; what is changed on the way passes nowhere."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from dkim_judge import *
import email, email.policy, email.utils

SEED = int(os.environ.get('MM_SEED') or random.randrange(1 << 32))
COUNT, TRIES, REPORTS = (None, 3000, 3000) if LONG else (30, 100, 150)
rng = random.Random(SEED)
print('seed %d' % SEED)
DOMAIN = 'judge.example'
RECEIPT = {'mail_from': 'ann@shop.example', 'rcpt': [{'to': 'sales@corp.example'}], 'helo': 'mx.shop.example', 'esmtp': True, 'ip': '192.0.2.7',
           'tls': {'version': 'TLSv1.3'}, 'auth': 'i-1'}
OURS = ['DKIM-Signature', 'ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results', 'X-Rule', 'Authentication-Results', 'Received']

class Composer:
    """tests/helpers/compose_run"""
    def __init__(self, *args):
        self.process = subprocess.Popen([os.path.join(build('asan'), 'compose_run')] + list(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, question):
        self.process.stdin.write(json.dumps(question).encode() + b'\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        check(line, 'compose_run ended at %.300r' % question)
        answer = json.loads(line)
        return base64.b64decode(answer['out']) if 'out' in answer else answer

    def send(self, raw, **more):
        question = {'raw': base64.b64encode(raw).decode(), 'receipt': RECEIPT, 'recipient': 'sales@corp.example', 'now_ms': int(time.time() * 1000)}
        return self.ask(dict(question, **more))

    def report(self, raw, **more):
        question = {'raw': base64.b64encode(raw).decode(), 'sender': 'ann@shop.example', 'now_ms': int(time.time() * 1000)}
        return self.ask({'dsn': dict(question, **more)})

    def end(self):
        self.process.stdin.close()
        equal(self.process.wait(60), 0, 'how compose_run ended')
        self.process.stdout.close()

def key_of(keys, letter):
    pem = {'r': keys.rsa, 'e': keys.ed, 's': keys.second}[letter]
    return {'domain': DOMAIN, 'selector': letter, 'key': pem.decode()}

def front_of(sent, raw):
    """The fields in front, if `raw` follows them whole."""
    check(sent.endswith(raw), 'what was received has changed: %r' % sent[:300])
    return sent[:len(sent) - len(raw)]

def names_of(front):
    return [name for name, _ in email.message_from_bytes(front, policy=email.policy.compat32).items()]

def both_say(keys, ours, message):
    """('pass' or what else, here and there) of the first signature."""
    answer = ours.check(message, int(time.time()))
    mine = (answer.get('signatures') or [{'result': 'none'}])[0]['result']
    other = theirs(dkim.verify, message, dnsfunc=keys.dns)
    return mine, 'pass' if other is True else 'fail' if other is False else other

def chain_of(keys, message):
    said = theirs(dkim.arc_verify, message, dnsfunc=keys.dns)
    return said if isinstance(said, str) else (said[0] or b'fail').decode()

@test
def real_mail_signed_and_sealed():
    keys = ready()
    server = Nsd(records(keys.texts))
    ours, compose = Checker(server.forward), Composer()
    counts, plain = {}, {}
    for n, (name, data) in enumerate(mails(rng, COUNT)):
        data = data.replace(b'\0', b'')
        arc = ours.check(data, int(time.time())).get('arc', 'temperror')
        sent = compose.send(data, verdicts={'arc': {'result': arc}, 'spf': {'result': 'pass', 'domain': 'shop.example'}},
                            dkim=key_of(keys, 'er'[n % 2]), arc=key_of(keys, 'rs'[n // 2 % 2]))
        check(isinstance(sent, bytes), '%s: %s' % (name, sent))
        names = names_of(front_of(sent, data))
        if 'DKIM-Signature' not in names:
            plain.setdefault(str(theirs(dkim.sign, data, b'r', DOMAIN.encode(), keys.rsa))[:30], []).append(name)
            continue
        here, there = both_say(keys, ours, sent)
        check(here == there == 'pass', '%s: here %s, there %s' % (name, here, there))
        counts['signed'] = counts.get('signed', 0) + 1
        wrong = flipped(sent)
        if wrong:
            check('pass' not in both_say(keys, ours, wrong), name + ' changed passes')
            counts['changed'] = counts.get('changed', 0) + 1
        if 'ARC-Seal' in names and arc in ('none', 'pass'):
            equal(ours.check(sent, int(time.time()))['arc'], 'pass', name + ' sealed, here')
            equal(chain_of(keys, sent), 'pass', name + ' sealed, there')
            again = compose.send(sent, verdicts={'arc': {'result': 'pass'}}, arc=key_of(keys, 'sr'[n % 2]))
            equal(chain_of(keys, again), 'pass', name + ' sealed again')
            counts['sealed twice'] = counts.get('sealed twice', 0) + 1
    ours.end(); compose.end()
    print('%r; not signed: %r' % (counts, {why: len(names) for why, names in plain.items()}))
    check(counts['signed'] > (COUNT or 8000) * 0.7 and counts['sealed twice'] > (COUNT or 8000) * 0.6, 'too few were signed')

# ---- by chance ----

PIECES = ['From: a@judge.example', '\r\n', '\r\n', '\r\n\r\n', ':', ' ', '\t', '\r', '\n', ';', '"', '(', ')', '\\', '<', '>', 'Subject: ', 'x', '@', '=',
          'Authentication-Results: mm.test; spf=pass', '\u00f6', '\u6771', '=?utf-8?q?=0d=0a?=', 'DKIM-Signature: v=1; b=x', 'ARC-Seal: i=1; cv=none', 'b=',
          'mm.test', 'X-Evil: 1', '0123456789', 'Content-Type: text/plain', 'Received: ', '--', '\u0085', '\u2028', '\x0b', '\x7f']

def words(most):
    return ''.join(rng.choice(PIECES) for _ in range(rng.randrange(most + 1)))

def verdict():
    return {'result': rng.choice(['pass', 'fail', 'none', words(3)]), 'domain': words(4), 'why': words(4)}

@test
def nothing_gets_in():
    keys = ready()
    server = Nsd(records(keys.texts))
    ours, compose = Checker(server.forward), Composer()
    signed = 0
    for _ in range(TRIES):
        header = 'From: a@judge.example\r\nSubject: %s\r\n' % words(5).replace('\r', '').replace('\n', '')
        raw = (words(20) if rng.random() < 0.5 else header + '\r\n' + words(10).replace('\r', '').replace('\n', '\r\n')).encode()
        receipt = {'helo': words(5), 'mail_from': words(4), 'ip': '192.0.2.7', 'esmtp': rng.random() < 0.5, 'auth': rng.choice(['', 'x', 'x', 'x', 'x'])}
        verdicts = {'spf': verdict(), 'dmarc': verdict(), 'arc': {'result': 'none', 'why': words(3)},
                    'dkim': {'signatures': [dict(verdict(), identity=words(4), b=words(2), algorithm=words(2))]}}
        value = words(6)
        sent = compose.send(raw, receipt=receipt, verdicts=verdicts, recipient=words(4), headers=[{'name': 'X-Rule', 'value': value}],
                            dkim=key_of(keys, rng.choice('er')))
        check(isinstance(sent, bytes), sent)
        front = sent[:sent.index(b'\r\nReceived: from') + 2]
        got = email.message_from_bytes(front + b'Received: x\r\n', policy=email.policy.compat32)
        names = [n for n in got.keys() if n not in OURS]
        check(not names and got.get_payload() == '' and not got.defects, 'a field more: %r in %r' % (names, front))
        equal(len(set(got.keys())), len(got.keys()), 'a field twice in %r' % front)
        check(all(32 <= c < 127 or c in b'\r\n\t' for c in front), front)
        shown = str(email.header.make_header(email.header.decode_header(got['X-Rule'])))
        if '=?' not in value:
            want = ''.join('?' if ord(c) < 32 or ord(c) == 127 else c for c in value.strip(' \t\r\n'))
            equal(re.sub('\r\n', '', shown), want, 'the value of X-Rule')
        if sent.startswith(b'DKIM-Signature'):
            here, there = both_say(keys, ours, sent if sent.endswith(b'\r\n') else sent + b'\r\n') # as SMTP ends it
            check(here == there == 'pass', 'here %s, there %s: %r' % (here, there, sent))
            signed += 1
    ours.end(); compose.end()
    print('%d messages, %d of them signed, all pass here and there' % (TRIES, signed))
    check(TRIES / 4 < signed < TRIES, 'signed and not signed')

# ---- notifications ----

def parsed(report, policy=email.policy.strict):
    """(text, report's blocks, what is returned) of a notification, whose lines are of 7 bits."""
    for line in report.split(b'\r\n'):
        check(len(line) <= 998 and all(0 < c < 128 and c not in b'\r\n' for c in line), 'a line of %d bytes: %r' % (len(line), line[:200]))
    m = email.message_from_bytes(report, policy=policy)
    equal((m.get_content_type(), m['Content-Type'].params['report-type']), ('multipart/report', 'delivery-status'))
    check(m['Auto-Submitted'] == 'auto-replied' and m['From'].addresses[0].domain and m['Message-ID'] and m['Date'].datetime, 'its header')
    parts = m.get_payload()
    equal(len(parts), 3, 'parts')
    equal([p.get_content_type() for p in parts[:2]], ['text/plain', 'message/delivery-status'])
    check(parts[2].get_content_type() in ('message/rfc822', 'text/rfc822-headers'), parts[2].get_content_type())
    return m, parts[0].get_content().replace('\r\n', '\n'), parts[1].get_payload(), parts[2]

@test
def reports_of_real_mail():
    compose = Composer()
    whole = 0
    for n, (name, data) in enumerate(mails(rng, COUNT)):
        told = [{'address': 'b%d@corp.example' % i, 'orcpt': 'rfc822;B+%d@corp.example' % i, 'kind': 0, 'status': '5.1.1', 'remote': 'mx.corp.example',
                 'diagnostic': '550 5.1.1 <b%d@corp.example>: Recipient address rejected: User unknown in local recipient table, sorry for that' % i}
                for i in range(1 + n % 5)]
        report = compose.report(data, recipients=told, full=n % 2 == 0, envid='id %d' % n)
        m, text, blocks, back = parsed(report, email.policy.default if n % 2 == 0 else email.policy.strict) # real mail has its defects
        equal(len(blocks), 1 + len(told), 'blocks')
        equal((blocks[0]['Reporting-MTA'], blocks[0]['Original-Envelope-Id']), ('dns; mm.test', 'id+20%d' % n))
        for block, r in zip(blocks[1:], told):
            equal({k: v for k, v in block.items() if k != 'Last-Attempt-Date'},
                  {'Original-Recipient': r['orcpt'].replace('+', '+2B'), 'Final-Recipient': 'rfc822; ' + r['address'], 'Action': 'failed', 'Status': '5.1.1',
                   'Remote-MTA': 'dns; mx.corp.example', 'Diagnostic-Code': 'smtp; ' + r['diagnostic']})
            check(r['address'] in text and email.utils.parsedate_to_datetime(block['Last-Attempt-Date']), 'the text')
        if back.get_content_type() == 'message/rfc822':
            whole += 1
            at = report.index(b'\r\n\r\n', report.index(b'Content-Type: message/rfc822')) + 4
            check(report[at:].startswith(data + b'\r\n--=_mm_'), 'what comes back is what was sent')
        else:
            head = data.partition(b'\r\n\r\n')[0]
            got = back.get_payload(decode=True)
            check(got.rstrip(b'\r\n') == head or (len(head) > 49000 and head.startswith(got.rstrip(b'\r\n'))), '%s: its header comes back' % name)
    compose.end()
    print('%d came back whole' % whole)
    check(whole > 3, 'some come back whole')

@test
def reports_of_anything():
    compose = Composer()
    for _ in range(REPORTS):
        kind = rng.randrange(3)
        told = [{'address': words(4), 'orcpt': words(4), 'kind': kind, 'status': rng.choice(['5.7.1', words(2)]), 'remote': words(4), 'diagnostic': words(12)}
                for _ in range(rng.randrange(1, 4))]
        raw = words(20).encode()
        report = compose.report(raw, recipients=told, sender='ann@shop.example', envid=words(3))
        m, text, blocks, back = parsed(report)
        equal(len(m.keys()), 8 + 2 * ('In-Reply-To' in m), m.keys())
        equal(len(blocks), 1 + len(told), 'blocks of %r' % report)
        for block in blocks[1:]:
            equal(block['Action'], ('failed', 'delayed', 'relayed')[kind])
            equal(len(set(block.keys())), len(block.keys()), 'a field twice')
            check(set(block.keys()) <= {'Original-Recipient', 'Final-Recipient', 'Action', 'Status', 'Remote-MTA', 'Diagnostic-Code', 'Last-Attempt-Date',
                                        'Will-Retry-Until'}, block.keys())
    compose.end()

@test
def a_bounce_in_two_alphabets():
    compose = Composer()
    report = compose.report(b'From: ann@shop.example\r\n\r\nhello\r\n', sender='\u6771@shop.example', full=True,
                            recipients=[{'address': 'j\u00f6rg@corp.example', 'kind': 0, 'status': '', 'diagnostic': '', 'remote': ''}],
                            bounce={'Sender': 'postmaster@corp.example', 'StatusCode': '5.7.1', 'SmtpReplyCode': '554', 'DiagnosticMessage': 'not here',
                                    'Message': 'Sorry.\r\nAsk us.'})
    m, text, blocks, back = parsed(report)
    equal(m['From'].addresses[0].addr_spec, 'postmaster@corp.example')
    check(text.startswith('Sorry.\nAsk us.\n') and 'j\u00f6rg@corp.example' in text, text)
    equal((blocks[1]['Final-Recipient'], blocks[1]['Diagnostic-Code'], blocks[1]['Status']),
          ('utf-8; j\\x{F6}rg@corp.example', 'smtp; 554 5.7.1 not here', '5.7.1'))
    equal(back.get_content_type(), 'message/rfc822')
    compose.end()

done()
