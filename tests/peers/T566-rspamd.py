#!/usr/bin/env python3
"""The real rspamd as an add-on: GTUBE is refused, plain mail passes, what it is told of the envelope it uses, its own bounds; away and back."""
import email.utils, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from rspamd import *

GTUBE = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X'
# A rule for each thing that it is told.
TOLD = '''
local function told(name, get, want)
  rspamd_config:register_symbol{ name = name, score = 0.0, callback = function(task) return get(task) == want end }
end
told('MM_IP', function(t) return t:get_from_ip():to_string() end, '192.0.2.9')
told('MM_HELO', function(t) return t:get_helo() end, 'mx.shop.example')
told('MM_FROM', function(t) return t:get_from('smtp')[1].addr end, 'a@shop.example')
told('MM_RCPT', function(t) return t:get_recipients('smtp')[1].addr end, 'b@corp.example')
told('MM_QUEUE', function(t) return t:get_queue_id() end, '01ABC')
'''

begun = time.time()
rspamd = Rspamd(OFF + ['spf'], 'regexp', free_port(), 0.2, TOLD)
print('rspamd answers after %.0f s' % (time.time() - begun))

def config(deadline=120, **more):
    return {'VADE_ADVANCED_EMAIL_SECURITY': dict({'rspamd': 'http://127.0.0.1:%d' % rspamd.port, 'deadline': deadline}, **more)}

NAME = 'VADE_ADVANCED_EMAIL_SECURITY'

def plain_mail(body):
    """Nothing about it is odd."""
    return ('From: Ann <a@shop.example>\r\nTo: Bob <b@corp.example>\r\nSubject: Minutes\r\nDate: %s\r\nMessage-ID: <1@shop.example>\r\n'
            'MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n%s\r\n' % (email.utils.formatdate(), body)).encode()

@test
def plain_mail_and_gtube():
    scans = Scans(config())
    plain, spam = scans.ask(NAME, plain_mail('Dear Bob, here are the minutes.'), plain_mail(GTUBE))
    equal((plain['verdict'], plain['fields']['isPassed'], plain['fields']['category'], plain['fields']['action']),
          ('PASS', True, 'LEGIT', 'no action'), str(plain))
    equal((spam['verdict'], spam['fields']['isPassed'], spam['fields']['category'], spam['fields']['action']),
          ('FAIL', False, 'SPAM', 'reject'), str(spam))
    check(' GTUBE ' in spam['fields']['symbols'], str(spam))
    float(plain['fields']['score'])
    scans.end()

@test
def it_is_told_of_the_envelope():
    scans = Scans(config())
    said = scans.ask(NAME, mail())[0]
    for name in ('MM_IP', 'MM_HELO', 'MM_FROM', 'MM_RCPT', 'MM_QUEUE'):
        check(' %s ' % name in said['fields']['symbols'], '%s: %s' % (name, said))
    scans.end()

@test
def odd_mail_is_judged():
    """Bytes that its answer could bring back to us."""
    scans = Scans(config())
    odd = [b'', b'\r\n', b'Subject: \xff\xfe\r\nFrom: \x80\x81 <a@b>\r\n\r\n\xff\xfehttp://ex\xff.example/\xc3\x28 \0\0\r\n',
           mail(body=' '.join('http://h%d.example/p?%s' % (i, 'q' * 20) for i in range(3000))), mail(subject='"\\\u2028', body='\x01\x02')]
    for message, said in zip(odd, scans.ask(NAME, *odd)):
        check(said['verdict'] != 'PROCESSING_FAILED' or not message.strip(), '%r: %s' % (message[:100], said))
    scans.end()

@test
def many_at_once():
    scans = Scans(config(at_once=4))
    bodies = [GTUBE if i % 5 == 0 else 'number %d' % i for i in range(60)]
    equal([s['verdict'] == 'FAIL' for s in scans.ask(NAME, *[mail(body=b) for b in bodies])], [b == GTUBE for b in bodies])
    scans.end()

@test
def away_and_back():
    """Stopped; and killed and started again, which takes it long."""
    scans = Scans(config(deadline=1))
    os.killpg(rspamd.process.pid, signal.SIGSTOP)
    said = scans.ask(NAME, mail())[0]
    os.killpg(rspamd.process.pid, signal.SIGCONT)
    equal(said, {'verdict': 'PROCESSING_FAILED', 'why': 'no answer within 1 s'})
    check('down' in scans.status[NAME], str(scans.status))
    while scans.ask(NAME, mail(body=GTUBE))[0]['verdict'] != 'FAIL':
        time.sleep(0.2)
    if LONG:
        rspamd.stop()
        said = scans.ask(NAME, mail())[0]
        equal(said['verdict'], 'PROCESSING_FAILED', str(said))
        rspamd.start()
    while scans.ask(NAME, mail(body=GTUBE))[0]['verdict'] != 'FAIL':
        time.sleep(0.2)
    check('down' not in scans.status[NAME], str(scans.status))
    scans.end()

done()
