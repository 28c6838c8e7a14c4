#!/usr/bin/env python3
"""Partners' orders, whole, as a user sets it up: mail from a partner's network is written to S3, a topic is told, and it is archived. The consumer knows
what the notification says, and nothing else: it fetches the object and reads the order's number. S3 is radosgw, which checks signatures; the one of the
notification is what the AWS SDK makes of the same request. Control: what comes from elsewhere in a network that may send is in no bucket."""
import email, email.policy, os, queue, sys
from urllib.parse import parse_qs
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from called import *
import node, s3

try:
    ceph = s3.Ceph()
except Skip as e:
    print('skip partner: %s' % e)
    done()
ceph.make('partner-mail')
theirs = node.Lines(*node.command('sign.js'))
told = queue.Queue() # requests that came to the topic

def take(request):
    told.put(request)
    return 200, b'<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>'

topics = Server(take)

# ---- what the user writes ----

PARTNER, ELSEWHERE, STRANGER = '127.0.2.77', '127.0.2.9', '127.0.9.9'
BUCKET, PREFIX = 'partner-mail', 'orders/'
TOPIC, ROLE = 'arn:aws:sns:eu-central-1:123456789012:orders', 'arn:aws:iam::123456789012:role/mm'

def from_network(attribute, network):
    return [{"IpExpression": {"Evaluate": {"Attribute": attribute}, "Operator": "CIDR_MATCHES", "Values": [network]}}]

RESOURCES = {
    "Archives": [{"ArchiveName": "partners", "Retention": {"RetentionPeriod": "TEN_YEARS"}}],
    "TrafficPolicies": [{"TrafficPolicyName": "partners", "DefaultAction": "DENY", "PolicyStatements": [
        {"Action": "ALLOW", "Conditions": from_network("SENDER_IP", "127.0.2.0/24")}]}],
    "RuleSets": [{"RuleSetName": "partners", "Rules": [{
        "Name": "orders", "Conditions": from_network("SOURCE_IP", "127.0.2.64/26"), "Actions": [
            {"WriteToS3": {"RoleArn": ROLE, "S3Bucket": BUCKET, "S3Prefix": PREFIX}},
            {"PublishToSns": {"RoleArn": ROLE, "TopicArn": TOPIC, "PayloadType": "HEADERS"}},
            {"Archive": {"TargetArchive": "partners"}}]}]}],
}
CONFIG = {"endpoints": {"s3": {"url": "http://127.0.0.1:%d" % ceph.port, "access_key": s3.ACCESS, "secret_key": s3.SECRET, "path_style": True},
                        "sns": service(topics)}}
site = Site(config=CONFIG, apply=False)
site.apply(RESOURCES, {"TrafficPolicyName": "partners", "RuleSetName": "partners"})
site.start()

ORDER = mail('=?utf-8?q?Bestellung_f=C3=BCr_M=C3=A4rz?=', '--p\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
             'Gr=C3=BC=C3=9Fe\r\n--p\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename="order.csv"\r\n'
             'Content-Transfer-Encoding: base64\r\n\r\n%s\r\n--p--' % base64.b64encode(b'order;4711\r\nlanterns;12\r\n').decode(),
             sender='orders@partner.example', extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=p\r\n')

def send(source, data):
    with smtplib.SMTP('127.0.0.1', site.port, local_hostname='mx.partner.example', timeout=60, source_address=(source, 0)) as smtp:
        smtp.ehlo()
        smtp.mail('orders@partner.example')
        code, text = smtp.rcpt('intake@corp.example')
        return smtp.data(data) if code == 250 else (code, text)

def consume(request):
    """What the partner's program does with a notification: (id, bytes of the object, number of the order)."""
    form = {name: value for name, (value,) in parse_qs(request.body.decode(), strict_parsing=True).items()}
    equal((form['Action'], form['TopicArn']), ('Publish', TOPIC))
    notice = json.loads(form['Message'])
    id = notice['mail']['messageId']
    raw = ceph.get(BUCKET, PREFIX + id)
    sheet, = email.message_from_bytes(raw, policy=email.policy.default).iter_attachments()
    return id, raw, dict(row.split(';') for row in sheet.get_content().split())['order']

@test
def an_order_reaches_its_consumer():
    code, text = send(PARTNER, ORDER)
    equal(code, 250, text)
    request = told.get(timeout=60)
    equal(dict(request.fields)['authorization'], foreign_signature(theirs, request, 'sns'))
    equal(consume(request), (message_id(text), ORDER, '4711'))
    site.wait()
    equal(site.ids('from:orders@partner.example', 'partners'), [message_id(text)])
    equal(sha256(site.run('mm-search', '--raw', message_id(text), binary=True)), sha256(ORDER), 'what is archived')

@test
def who_is_no_partner_reaches_nobody():
    before = ceph.names(BUCKET)
    equal(len(before), 1)
    equal(send(STRANGER, ORDER)[0], 550)
    code, text = send(ELSEWHERE, ORDER)
    equal(code, 250, text)
    site.wait()
    equal(json.loads(site.run('mmctl', 'why', message_id(text), '--json'))['disposition'], 'unmatched')
    code, text = send(PARTNER, ORDER)
    equal(consume(told.get(timeout=60))[0], message_id(text))
    site.wait()
    equal(told.qsize(), 0, 'notifications')
    equal(ceph.names(BUCKET), sorted(before + [PREFIX + message_id(text)]))
    equal(site.count('', 'partners'), 2)
    site.stop()

done()
