#!/usr/bin/env python3
"""The walk-through that a user of Amazon SES Mail Manager knows, against mm, step by step and with the real SDK: an archive of three months, a
traffic policy that wants TLS 1.3, a rule set that archives, an open ingress point; mail by a real SMTP client over TLS 1.3, refused over
TLS 1.2; a search of the archive; an export to a real S3 server, compared byte for byte. Read from the top: each step is a call."""
import os, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sdk import *
from s3 import ACCESS, SECRET, Ceph

try:
    ceph = Ceph()
except Skip as e:
    ceph, why = None, str(e)

api_port, pool = free_port(), free_port()
config = {'api': {'listen': '127.0.0.1:%d' % api_port, 'ingress_pool': '127.0.0.1:%d-%d' % (pool, pool + 9)}}
if ceph:
    config['endpoints'] = {'s3': {'url': 'http://127.0.0.1:%d' % ceph.port, 'region': 'us-east-1', 'path_style': True, 'access_key': ACCESS,
                                  'secret_key': SECRET}}
site = Site(config=config, resources={'IngressPoints': []})
site.tls()
site.start()
aws = Api(site, api_port, name='walker')
made = {}

def send(version, message):
    """(code, text) of the reply to the only recipient, or to the message."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    host, port = made['point']['ARecord'].rsplit(':', 1)
    with smtplib.SMTP('127.0.0.1', int(port), timeout=60) as smtp:
        smtp.starttls(context=context)
        smtp.ehlo('partner.example')
        try:
            smtp.sendmail('orders@partner.example', ['intake@corp.example'], message)
            return 250, ''
        except smtplib.SMTPRecipientsRefused as e:
            return e.recipients['intake@corp.example']

ORDER = mail('Order 4711', 'Please send 12 lanterns.\r\nOrder number: 4711')

@test
def an_archive_for_three_months():
    made['archive'] = aws.call('CreateArchive', ArchiveName='intake', Retention={'RetentionPeriod': 'THREE_MONTHS'})['ArchiveId']
    equal(aws.call('GetArchive', ArchiveId=made['archive'])['Retention'], {'RetentionPeriod': 'THREE_MONTHS'})

@test
def a_traffic_policy_that_wants_tls_1_3():
    made['policy'] = aws.call('CreateTrafficPolicy', TrafficPolicyName='tls13', DefaultAction='DENY', PolicyStatements=[
        {'Action': 'ALLOW', 'Conditions': [{'TlsExpression': {'Evaluate': {'Attribute': 'TLS_PROTOCOL'}, 'Operator': 'IS', 'Value': 'TLS1_3'}}]}])[
            'TrafficPolicyId']

@test
def a_rule_set_that_archives():
    made['rules'] = aws.call('CreateRuleSet', RuleSetName='keep', Rules=[
        {'Name': 'archive-all', 'Conditions': [], 'Actions': [{'Archive': {'TargetArchive': made['archive']}}]}])['RuleSetId']

@test
def an_open_ingress_point():
    id = aws.call('CreateIngressPoint', IngressPointName='partners', Type='OPEN', RuleSetId=made['rules'], TrafficPolicyId=made['policy'])[
        'IngressPointId']
    made['point'] = aws.call('GetIngressPoint', IngressPointId=id)
    equal(made['point']['Status'], 'ACTIVE')

@test
def mail_comes_over_tls_1_3_and_not_over_1_2():
    equal(send(ssl.TLSVersion.TLSv1_3, ORDER)[0], 250)
    equal(send(ssl.TLSVersion.TLSv1_2, ORDER)[0], 550, 'over TLS 1.2')
    site.wait()

def finished(command, **id):
    for _ in range(1200):
        got = aws.call(command, **id)
        if 'CompletionTimestamp' in got['Status']:
            equal(got['Status']['State'], 'COMPLETED', str(got))
            return got
        time.sleep(0.05)
    raise AssertionError('%s: it does not end' % command)

@test
def a_search_finds_it():
    now = int(time.time() * 1000)
    made['search'] = aws.call('StartArchiveSearch', ArchiveId=made['archive'], FromTimestamp=at(now - 3600000), ToTimestamp=at(now + 3600000), MaxResults=10,
                              Filters={'Include': [{'StringExpression': {'Evaluate': {'Attribute': 'SUBJECT'}, 'Operator': 'CONTAINS',
                                                                         'Values': ['order 47']}}]})['SearchId']
    finished('GetArchiveSearch', SearchId=made['search'])
    rows = aws.call('GetArchiveSearchResults', SearchId=made['search'])['Rows']
    equal([(r['Subject'], r['Envelope']['From'], r['Envelope']['To']) for r in rows], [('Order 4711', 'orders@partner.example', ['intake@corp.example'])])
    made['message'] = rows[0]['ArchivedMessageId']
    shown = aws.call('GetArchiveMessageContent', ArchivedMessageId=made['message'])['Body']
    check('Order number: 4711' in shown['Text'], shown)
    import urllib.request
    link = aws.call('GetArchiveMessage', ArchivedMessageId=made['message'])
    equal((link['Metadata']['TlsProtocol'], link['Metadata']['IngressPointId']), ('TLSv1.3', made['point']['IngressPointId']), str(link))
    with urllib.request.urlopen(link['MessageDownloadLink']) as f:
        check(f.read() == ORDER, 'the bytes behind the link')

@test
def an_export_to_s3_is_the_same_bytes():
    if not ceph:
        raise Skip(why)
    ceph.make('bucket')
    now = int(time.time() * 1000)
    id = aws.call('StartArchiveExport', ArchiveId=made['archive'], FromTimestamp=at(now - 3600000), ToTimestamp=at(now + 3600000), IncludeMetadata=True,
                  ExportDestinationConfiguration={'S3': {'S3Location': 's3://bucket/case'}})['ExportId']
    finished('GetArchiveExport', ExportId=id)
    names = ceph.names('bucket', 'list-type=2')
    eml = [n for n in names if n.endswith('.eml')]
    equal((len(eml), sum(n.endswith('.json') for n in names)), (1, 1), str(names))
    check(ceph.get('bucket', eml[0]) == ORDER, 'the bytes in the bucket')

@test
def and_all_of_it_goes_again():
    aws.call('DeleteIngressPoint', IngressPointId=made['point']['IngressPointId'])
    aws.call('DeleteRuleSet', RuleSetId=made['rules'])
    aws.call('DeleteTrafficPolicy', TrafficPolicyId=made['policy'])
    aws.call('DeleteArchive', ArchiveId=made['archive'])
    equal(aws.call('GetArchive', ArchiveId=made['archive'])['ArchiveState'], 'PENDING_DELETION')
    aws.refuses('ConflictException', 'StartArchiveSearch', ArchiveId=made['archive'],
                FromTimestamp=at(0), ToTimestamp=at(1000), MaxResults=1)

done()
