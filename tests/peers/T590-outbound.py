#!/usr/bin/env python3
"""Mail that rules send on, through the whole of mmd: Send to the MX of each domain, Relay with a login, LMTP, Bounce; 4xx that is tried again, notices to
senders, dead letters by hand; rules whose actions wait for an answer; kills of mmd that lose nothing. Names are served by nsd, next hops are servers of
the test's. Controls: the same without what is looked at (no key of the directory opens it; an open policy is refused, a limited one taken)."""
import email, email.policy, http.server, os, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sender import *
from nsd import Nsd, text

PORT = free_port()
zone, made = {}, {}
addresses = ('127.0.0.%d' % n for n in range(2, 250))

def at(name, **options):
    """A domain with one server."""
    ip = next(addresses)
    zone[name] = [('MX', '10 mx.%s.' % name), ('TXT', text(b'v=spf1 ip4:127.0.0.0/8 -all'))]
    zone['mx.' + name] = [('A', ip)]
    made[name] = Peer(ip, PORT, **options)
    return made[name]

def say(verb, reply, times=10 ** 6):
    """That reply to the verb, so many times."""
    left = [times]
    def answer(session, v, rest):
        if v == verb and left[0] > 0:
            left[0] -= 1
            return reply
    return answer

one, two = at('one.example'), at('two.example')
grey = at('grey.example', say=say('RCPT', '450 4.7.1 come again', 2))
refuses = at('refuses.example', say=say('RCPT', '550 5.1.1 <nobody> is not here'))
shop = at('shop.example')
commands = []
def tell(session, verb, rest):
    """A server with DSN; what it is told."""
    commands.append('%s %s' % (verb, rest))
    return '250-mx\r\n250-PIPELINING\r\n250 DSN' if verb == 'EHLO' else None
at('tells.example', say=tell)
def behind(session, verb, rest):
    """The same behind a relay that replaces the sender; it doesn't take all."""
    said = tell(session, verb, rest)
    return '550 5.1.1 not here' if 'refused@' in rest else '450 4.7.1 come again' if 'late@' in rest else said
stands_in = at('mm.test')
zone['forged.example'] = [('TXT', text(b'v=spf1 -all'))]
zone['away.example'] = [('MX', '10 mx.away.example.')]
zone['mx.away.example'] = [('A', next(addresses))]
relay_port, lmtp_port, behind_port = free_port(), free_port(), free_port()
ca = Authority()
relay = Peer('127.0.0.1', relay_port, context=ca.context('localhost'), users={'mm': 'secret word'})
lmtp = Peer('127.0.0.1', lmtp_port, lmtp=True)
Peer('127.0.0.1', behind_port, say=behind)

class Functions(http.server.BaseHTTPRequestHandler):
    """A function that answers as the subject of the message says, and every other endpoint of HTTP."""
    seen, away = [], threading.Event()

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        if self.away.is_set():
            self.send_response(503)
            self.end_headers()
            return
        self.seen.append((self.path, body))
        answer = {}
        if '/functions/' in self.path:
            subject = json.loads(body)['Records'][0]['ses']['mail']['commonHeaders'].get('subject', '')
            answer = {'disposition': subject} if subject.startswith('STOP') else {}
        text = json.dumps(answer).encode() if '/functions/' in self.path else b'<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>'
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_PUT = do_POST

    def log_message(self, *args):
        pass

http_server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Functions)
threading.Thread(target=http_server.serve_forever, daemon=True).start()
URL = 'http://127.0.0.1:%d' % http_server.server_address[1]
nsd = Nsd(zone)

def to(*ends):
    return [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH", "Values": list(ends)}}]

ROLE = "arn:aws:iam::123456789012:role/mm"
SEND, ARCHIVE = {"Send": {"RoleArn": ROLE}}, {"Archive": {"TargetArchive": "corp"}}
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:judge"
TOPIC = "arn:aws:sns:us-east-1:123456789012:mail"
LIMITED = {"TrafficPolicyName": "open", "DefaultAction": "DENY",
           "PolicyStatements": [{"Action": "ALLOW", "Conditions": to("@one.example", "@two.example", "@grey.example", "@refuses.example", "@away.example",
                                                                    "@relay.example", "@box.example", "@bounce.example", "@ask.example", "@kept.example",
                                                                    "@drop.example", "@s3.example", "@tells.example", "@many.example", "@behind.example")}]}
MANY = ['x%d@refuses.example' % i for i in range(150)]
RULES = [
    {"Name": "many", "Conditions": to("a@many.example"), "Actions": [{"ReplaceRecipient": {"ReplaceWith": MANY[:100]}}]},
    {"Name": "more", "Conditions": to("b@many.example"), "Actions": [{"ReplaceRecipient": {"ReplaceWith": MANY[100:]}}]},
    {"Name": "sent", "Conditions": to("@one.example", "@two.example", "@grey.example", "@refuses.example", "@away.example", "@tells.example"),
     "Actions": [{"AddHeader": {"HeaderName": "X-Checked", "HeaderValue": "by mm"}}, SEND]},
    {"Name": "relayed", "Conditions": to("@relay.example"), "Actions": [{"Relay": {"Relay": "hub", "MailFrom": "REPLACE"}}]},
    {"Name": "behind", "Conditions": to("@behind.example"), "Actions": [{"Relay": {"Relay": "behind", "MailFrom": "REPLACE"}}]},
    {"Name": "boxed", "Conditions": to("@box.example"), "Actions": [{"DeliverToMailbox": {"MailboxArn": "arn:aws:workmail:us-east-1:123456789012:organization/m-1", "RoleArn": ROLE}}]},
    {"Name": "bounced", "Conditions": to("@bounce.example"),
     "Actions": [{"Bounce": {"RoleArn": ROLE, "Sender": "postmaster@mm.test", "StatusCode": "5.1.6", "SmtpReplyCode": "550", "DiagnosticMessage": "moved away",
                             "Message": "We have moved."}}]},
    {"Name": "asked", "Conditions": to("@ask.example"),
     "Actions": [{"InvokeLambda": {"FunctionArn": FUNCTION, "RoleArn": ROLE, "InvocationType": "REQUEST_RESPONSE"}}, {"AddHeader": {"HeaderName": "X-Asked", "HeaderValue": "yes"}}]},
    {"Name": "kept", "Conditions": to("@ask.example", "@kept.example"), "Actions": [ARCHIVE]},
    {"Name": "stored", "Conditions": to("@s3.example"),
     "Actions": [{"WriteToS3": {"RoleArn": ROLE, "S3Bucket": "inbox", "S3Prefix": "in/"}}, {"PublishToSns": {"TopicArn": TOPIC, "RoleArn": ROLE}}]},
    {"Name": "sure", "Conditions": to("@drop.example"),
     "Actions": [{"ReplaceRecipient": {"ReplaceWith": ["x@refuses.example", "y@one.example"]}}, {"Send": {"RoleArn": ROLE, "ActionFailurePolicy": "DROP"}}, ARCHIVE]},
]
RESOURCES = {"Archives": [{"ArchiveName": "corp"}], "TrafficPolicies": [LIMITED],
             "Relays": [{"RelayName": "hub", "ServerName": "localhost", "ServerPort": relay_port, "Authentication": {"SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub"}},
                        {"RelayName": "behind", "ServerName": "127.0.0.1", "ServerPort": behind_port, "Authentication": {"NoAuthentication": {}}}],
             "RuleSets": [{"RuleSetName": "all", "Rules": RULES}]}
KEYS = {"url": URL, "access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI"}
CONFIG = {"dns": {"forward": nsd.forward}, "send": {"port": PORT, "retry": [1], "ca": ca.file, "sender": "bounces@mm.test", "sts": False},
          "endpoints": {"lambda": KEYS, "sns": KEYS, "s3": dict(KEYS, path_style=True), "mailbox": {"host": "127.0.0.1", "port": lmtp_port}}}
site = Site(config=CONFIG, resources=RESOURCES)
site.run('mmctl', 'secret', 'set', 'arn:aws:secretsmanager:us-east-1:123456789012:secret:hub', input=b'{"username":"mm","password":"secret word"}')
site.start()

def until(what, text, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError('%s: %s\n%s\n%s' % (text, site.run('mmctl', 'queue', '--json'), site.run('mmctl', 'dead-letter', '--json'), site.tail()))

def got(peer, subject):
    """The mails with this subject that the server has taken."""
    return [m for m in list(peer.mails) if ('Subject: %s\r\n' % subject).encode() in m['data']]

def arrived(peer, subject, n=1):
    return until(lambda: len(got(peer, subject)) >= n and got(peer, subject), '%s has not arrived' % subject)

def why(id):
    return [json.loads(l) for l in site.run('mmctl', 'why', id, '--json', code=None).splitlines()]

def ends(id, word):
    """The message's disposition becomes that."""
    return until(lambda: any(r.get('disposition') == word for r in why(id)), '%s does not end as %s but %r' % (id, word, why(id)))

def dead():
    return [json.loads(l) for l in site.run('mmctl', 'dead-letter', '--json').splitlines()]

def queued():
    return [json.loads(l) for l in site.run('mmctl', 'queue', '--json').splitlines()]

@test
def send_goes_to_the_mx_of_each_domain_with_our_headers_in_front():
    data = mail(subject='first', extra='X-Own: yes\r\nAuthentication-Results: mm.test; spf=pass\r\n')
    id = site.send(data, to=('a@one.example', 'b@one.example', 'c@two.example'))
    for peer, who in ((one, ['a@one.example', 'b@one.example']), (two, ['c@two.example'])):
        m = arrived(peer, 'first')[0]
        equal(sorted(m['rcpt']), who)
        equal(m['from'], 'ann@shop.example')
        head = m['data'].split(b'\r\n\r\n')[0].decode()
        parsed = email.message_from_bytes(m['data'], policy=email.policy.default)
        equal(parsed['X-Checked'], 'by mm')
        check(id in parsed['Received'] and 'mm.test' in parsed['Received'], head)
        equal(len(parsed.get_all('Authentication-Results')), 1, head)
        check('spf=pass' in parsed['Authentication-Results'], head)
        check(m['data'].endswith(data.replace(b'Authentication-Results: mm.test; spf=pass\r\n', b'')), m['data'].decode())
    ends(id, 'delivered')
    equal(queued(), [])

@test
def what_is_refused_for_now_is_tried_again():
    id = site.send(mail(subject='grey'), to=('a@grey.example',))
    arrived(grey, 'grey')
    ends(id, 'delivered')
    equal(len(got(grey, 'grey')), 1)

@test
def a_sender_is_told_of_what_failed():
    id = site.send(mail(subject='not there'), to=('x@refuses.example', 'a@one.example'))
    m = until(lambda: [m for m in shop.mails if id.encode() in m['data'] or b'not there' in m['data']], 'no notice')[0]
    equal(m['from'], '')
    equal(m['rcpt'], ['ann@shop.example'])
    parsed = email.message_from_bytes(m['data'], policy=email.policy.default)
    equal(parsed.get_content_type(), 'multipart/report')
    status = [p for p in parsed.walk() if p.get_content_type() == 'message/delivery-status'][0]
    fields = status.get_payload()
    equal(fields[1]['Final-Recipient'], 'rfc822; x@refuses.example')
    equal((fields[1]['Action'], fields[1]['Status']), ('failed', '5.1.1'))
    arrived(one, 'not there')
    ends(id, 'bounced')
    equal(dead(), [])

@test
def many_failures_are_told_in_several_notices():
    """A notice about all of a long list would have no bound."""
    site.send(mail(subject='to many'), to=('a@many.example', 'b@many.example'))
    notices = until(lambda: len(found := [m for m in list(shop.mails) if b'to many' in m['data']]) > 1 and found, 'no notices')
    told = [[f['Final-Recipient'].split()[1] for p in email.message_from_bytes(m['data'], policy=email.policy.default).walk()
             if p.get_content_type() == 'message/delivery-status' for f in p.get_payload()[1:]] for m in notices]
    equal(sorted(len(t) for t in told), [50, 100])
    equal(sorted(sum(told, [])), sorted(MANY))
    equal(dead(), [])

@test
def who_may_not_have_written_is_not_told():
    before = len(shop.mails)
    site.run('mmctl', 'dead-letter', 'drop', 'all')
    refuses.say = say('RCPT', '550 5.1.1 \x1b[2Jnobody is not here')
    for sender in ('', 'ann@forged.example'):
        id = site.send(mail(subject='forged'), to=('x@refuses.example',), sender=sender)
        ends(id, 'dead-letter')
    rows = dead()
    equal(len(rows), 2)
    check(all('not here' in r['reason'] for r in rows), rows)
    shown = [site.run('mmctl', 'dead-letter'), site.run('mmctl', 'dead-letter', 'show', str(rows[0]['task'])),
             site.run('mmctl', 'why', rows[0]['message'])]
    check(all('not here' in text and '\x1b' not in text for text in shown), 'a terminal is steered: %r' % shown)
    equal(len(shop.mails), before)
    refuses.say = lambda session, verb, rest: None
    equal(site.run('mmctl', 'dead-letter', 'retry', str(rows[0]['task'])), '1 changed\n')
    ends(rows[0]['message'], 'delivered')
    equal(site.run('mmctl', 'dead-letter', 'drop', 'all'), '1 changed\n')
    ends(rows[1]['message'], 'dropped')
    equal(dead(), [])
    refuses.say = say('RCPT', '550 5.1.1 <nobody> is not here')

@test
def a_relay_has_its_login_inside_tls_alone():
    id = site.send(mail(subject='by the hub'), to=('a@relay.example', 'b@relay.example'))
    m = arrived(relay, 'by the hub')[0]
    equal((sorted(m['rcpt']), m['from']), (['a@relay.example', 'b@relay.example'], 'bounces@mm.test'))
    equal(relay.auths, [('mm', True)])
    ends(id, 'delivered')

@test
def a_mailbox_is_delivered_to_by_lmtp():
    id = site.send(mail(subject='boxed'), to=('a@box.example', 'b@box.example'))
    equal(sorted(arrived(lmtp, 'boxed')[0]['rcpt']), ['a@box.example', 'b@box.example'])
    ends(id, 'delivered')

def with_notify(subject, sender, *recipients):
    """A message whose recipients are given with their NOTIFY; its id."""
    with Sender(site.port) as s:
        for line in ['MAIL FROM:<%s> RET=FULL ENVID=e1' % sender] + ['RCPT TO:<%s> NOTIFY=%s' % r for r in recipients]:
            equal(s.smtp.docmd(line)[0], 250, line)
        equal(s.smtp.docmd('DATA')[0], 354)
        s.smtp.sock.sendall(mail(subject=subject) + b'.\r\n')
        return message_id(s.smtp.getreply()[1])

def notices(subject):
    """(recipient, Action, Status, Reporting's ENVID, type of what is returned) of each notice that came about it."""
    found = []
    for m in got(shop, subject):
        parsed = email.message_from_bytes(m['data'], policy=email.policy.default)
        equal((m['from'], m['rcpt'], parsed['Auto-Submitted']), ('', ['ann@shop.example'], 'auto-replied'))
        parts = list(parsed.iter_parts())
        head, *fields = parts[1].get_payload()
        found += [(f['Final-Recipient'], f['Action'], f['Status'], head['Original-Envelope-Id'], parts[2].get_content_type()) for f in fields]
    return sorted(found)

@test
def success_is_told_where_no_other_server_will():
    with_notify('reached', 'ann@shop.example', ('a@one.example', 'SUCCESS'), ('b@one.example', 'FAILURE'), ('c@two.example', 'DELAY,FAILURE'),
                ('d@tells.example', 'SUCCESS,FAILURE'), ('e@box.example', 'success'), ('f@relay.example', 'FAILURE,SUCCESS'))
    forged = with_notify('pretended', 'ann@forged.example', ('a@one.example', 'SUCCESS'))
    ends(forged, 'delivered')
    until(lambda: queued() == [] and len(got(shop, 'reached')) >= 3, 'not all is told')
    how = ('e1', 'text/rfc822-headers')
    equal(notices('reached'), [('rfc822; a@one.example', 'relayed', '2.0.0') + how, ('rfc822; e@box.example', 'delivered', '2.0.0') + how,
                               ('rfc822; f@relay.example', 'relayed', '2.0.0') + how])
    check('RCPT TO:<d@tells.example> NOTIFY=SUCCESS,FAILURE' in commands, commands)
    equal((len(got(one, 'pretended')), got(shop, 'pretended'), dead()), (1, [], []))

@test
def who_wrote_is_told_though_the_relay_sends_as_another():
    """The next server would tell the other one: of success it isn't asked to."""
    id = with_notify('in his stead', 'ann@shop.example', ('a@behind.example', 'SUCCESS,FAILURE'), ('b@behind.example', 'SUCCESS,DELAY'),
                     ('c@behind.example', 'NEVER'), ('refused@behind.example', 'FAILURE'))
    ends(id, 'bounced')
    null = with_notify('of nobody', '', ('a@behind.example', 'SUCCESS'))
    ends(null, 'delivered')
    until(lambda: queued() == [], 'not all is told')
    how = ('e1', 'text/rfc822-headers')
    equal(notices('in his stead'), [('rfc822; a@behind.example', 'relayed', '2.0.0') + how, ('rfc822; b@behind.example', 'relayed', '2.0.0') + how,
                                    ('rfc822; refused@behind.example', 'failed', '5.1.1', 'e1', 'message/rfc822')])
    check(any(c.startswith('MAIL FROM:<bounces@mm.test>') for c in commands), commands)
    equal([c.split(' ORCPT')[0] for c in commands if '@behind.example' in c][:4],
          ['RCPT TO:<%s@behind.example> NOTIFY=%s' % r for r in (('a', 'FAILURE'), ('b', 'NEVER'), ('c', 'NEVER'), ('refused', 'FAILURE'))])
    equal((stands_in.mails, got(shop, 'of nobody')), ([], []))

@test
def a_bounce_says_what_the_rule_says():
    id = site.send(mail(subject='go away'), to=('a@bounce.example',))
    m = until(lambda: [m for m in shop.mails if b'moved away' in m['data']], 'no bounce')[0]
    check(b'We have moved.' in m['data'] and b'5.1.6' in m['data'], m['data'])
    ends(id, 'bounced')

@test
def rules_go_on_when_a_function_has_answered():
    Functions.away.set()
    id = site.send(mail(subject='asked'), to=('a@ask.example',))
    until(lambda: [t for t in queued() if t['message'] == id and t['tries']], 'it was not tried')
    equal(site.count('subject:asked'), 0)
    Functions.away.clear()
    ends(id, 'archived')
    until(lambda: site.count('subject:asked') == 1, 'it is not found')
    site.send(mail(subject='STOP_RULE'), to=('a@ask.example',))
    until(lambda: site.count('subject:STOP_RULE') == 1, 'it is not found')
    stopped = site.send(mail(subject='STOP_RULE_SET'), to=('a@ask.example',))
    ends(stopped, 'delivered')
    site.wait()
    equal(site.count('subject:STOP_RULE_SET'), 0)

@test
def an_object_is_there_before_its_notification():
    Functions.away.set()
    id = site.send(mail(subject='stored'), to=('a@s3.example',))
    until(lambda: [t for t in queued() if t['message'] == id and t['tries']], 'it was not tried')
    Functions.away.clear()
    ends(id, 'delivered')
    order = [p for p, body in Functions.seen if p == '/inbox/in/' + id or b'TopicArn' in body]
    equal(order, ['/inbox/in/' + id, '/'])

@test
def with_drop_only_those_whom_it_reached_go_on():
    id = site.send(mail(subject='sure'), to=('a@drop.example',))
    until(lambda: site.count('subject:sure') == 1, 'it is not archived')
    rows = [r for r in why(id) if r['disposition'] == 'archived']
    check(rows, why(id))
    arrived(one, 'sure')

@test
def an_open_relay_by_accident_is_refused_every_way():
    open_policy = {"TrafficPolicyName": "open", "DefaultAction": "ALLOW", "PolicyStatements": []}
    wide = [dict(LIMITED, PolicyStatements=[{"Action": "ALLOW", "Conditions": c}]) for c in (
        [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH", "Values": [".example"]}}],
        [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "NOT_EQUALS", "Values": ["a@b.example"]}}],
        [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "CONTAINS", "Values": ["@one.example"]}}],
        [{"IpExpression": {"Evaluate": {"Attribute": "SENDER_IP"}, "Operator": "CIDR_MATCHES", "Values": ["127.0.0.0/8"]}}])]
    def refused(resources):
        path = os.path.join(site.root, 'refused.json')
        site.write(path, json.dumps(resources))
        site.run('mmctl', 'apply', path, code=2)
        check('must limit the recipients' in site.stderr, site.stderr)
    for policy in [open_policy] + wide:
        refused({"TrafficPolicies": [policy]})
    refused({"TrafficPolicies": [dict(open_policy, TrafficPolicyName="wide")],
             "IngressPoints": [{"IngressPointName": "second", "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": "127.0.0.1:%d" % free_port(),
                                "TrafficPolicyName": "wide", "RuleSetName": "all"}]})
    harmless = {"TrafficPolicies": [dict(open_policy, TrafficPolicyName="wide")], "RuleSets": [{"RuleSetName": "harmless", "Rules": [{"Name": "k", "Actions": [ARCHIVE]}]}],
                "IngressPoints": [{"IngressPointName": "second", "Type": "OPEN", "TlsPolicy": "OPTIONAL", "Listen": "127.0.0.1:%d" % free_port(),
                                   "TrafficPolicyName": "wide", "RuleSetName": "harmless"}]}
    site.apply(harmless)
    refused({"RuleSets": [{"RuleSetName": "harmless", "Rules": [{"Name": "k", "Actions": [SEND]}]}]})
    with Sender(site.port) as s:
        equal(s.try_send(mail(), to=('someone@elsewhere.example',))[0], 550)

@test
def nothing_of_it_lies_in_the_clear():
    site.send(mail(subject='canary subject', body='canary body', sender='canary@shop.example'), to=('canary@away.example',))
    until(lambda: [t for t in queued() if t['destination'] == 'away.example' and t['tries']], 'it was not tried')
    equal(site.grep([b'canary', b'away.example']), [])
    site.run('mmctl', 'queue', 'hold', 'all')
    equal([t['state'] for t in queued()], ['held'])

@test
def kills_lose_nothing_and_repeat_little():
    kills, count = 6, 300
    ids = []
    for k in range(kills):
        with Sender(site.port) as s:
            ids += [s.send(mail(subject='kill %d.%d' % (k, n)), to=('a@one.example', 'b@two.example')) for n in range(count // kills)]
        time.sleep(0.05 * k)
        site.kill()
        site.start()
    site.wait()
    until(lambda: not [t for t in queued() if t['state'] != 'held'], 'the queue does not empty', 120)
    seed = [(peer, 'kill %d.%d' % (k, n)) for peer in (one, two) for k in range(kills) for n in range(count // kills)]
    numbers = [len(got(peer, subject)) for peer, subject in seed]
    check(min(numbers) >= 1, 'lost: %r' % [s for s, n in zip(seed, numbers) if n == 0][:3])
    check(max(numbers) <= kills + 1, 'repeated %d times' % max(numbers))
    print('# %d mails, %d repeated by %d kills' % (len(seed), sum(numbers) - len(seed), kills))
    for id in ids[::50]:
        ends(id, 'delivered')

@test
def who_wrote_is_told_of_a_delay_though_the_relay_sends_as_another():
    id = with_notify('delayed', 'ann@shop.example', ('late@behind.example', 'DELAY'))
    until(lambda: [t for t in queued() if t['message'] == id and t['tries']], 'it was not tried')
    site.advance(seconds=5 * 3600)
    until(lambda: got(shop, 'delayed'), 'he was not told')
    equal(notices('delayed'), [('rfc822; late@behind.example', 'delayed', '4.7.1', 'e1', 'text/rfc822-headers')])
    equal(stands_in.mails, [])
    site.run('mmctl', 'queue', 'drop', *[str(t['task']) for t in queued() if t['message'] == id])

@test
def what_the_archive_destroys_leaves_the_queue():
    rules = [{"Name": "both", "Conditions": to("@kept.example"), "Actions": [ARCHIVE, {"ReplaceRecipient": {"ReplaceWith": ["gone@away.example"]}}, SEND]}]
    site.apply(dict(RESOURCES, Archives=[{"ArchiveName": "corp", "Retention": {"RetentionDays": 5}}], RuleSets=[{"RuleSetName": "all", "Rules": rules}]))
    id = site.send(mail(subject='forgotten'), to=('a@kept.example',))
    until(lambda: [t for t in queued() if t['message'] == id and t['tries']], 'it was not tried')
    site.run('mmctl', 'queue', 'hold', 'all')
    old = [f for f in site.files() if '/queue/' in f and f.endswith('.db')]
    site.advance(days=8)
    site.run('mm-retention', 'run')
    equal([t for t in queued() if t['message'] == id], [])
    check(old != [f for f in site.files() if '/queue/' in f and f.endswith('.db')], 'the same file')
    check([t for t in queued()], 'what is in no archive stays')
    site.stop()

done()
