#!/usr/bin/env python3
"""Exports to a real S3 server (radosgw): bytes, metadata, manifest; parts; TLS and virtual hosts; retries; stops and kills in the middle."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from calls import *
from s3 import *
from signed import Line

try:
    begun = time.time()
    ceph = Ceph()
    print('radosgw answers after %.0f s' % (time.time() - begun))
except Skip as e:
    print('skip s3: %s' % e)
    done()

site = Site().start()
big = mail('big', '\r\n'.join('line %d of many' % i for i in range(600000)))  # 12 MiB: three parts of 5 MiB
sent = [mail('number %d' % i, 'body %d' % i) for i in range(40)] + [big]
ids = [site.send(m) for m in sent]
site.wait()
corp = archive_ids(site)['corp']
site.stop()
now = int(time.time() * 1000)
original = dict(zip(ids, sent))
ceph.make('mail')

def calls_to(port, **more):
    s3 = {'url': 'http://127.0.0.1:%d' % port, 'region': 'us-east-1', 'access_key': ACCESS, 'secret_key': SECRET, 'part_bytes': 5 << 20,
          'wait_ms': 20}
    s3.update(more)
    return Calls(site, s3=s3)

def start(calls, prefix, **more):
    return calls('StartArchiveExport', ArchiveId=corp, FromTimestamp=now - DAY, ToTimestamp=now + DAY,
                 ExportDestinationConfiguration={'S3': {'S3Location': 's3://mail/' + prefix}}, **more)['ExportId']

def entries(event):
    return [e['detail'] for e in map(json.loads, site.run('mm-audit', 'list', '--json').splitlines()) if e['event'] == event]

def check_export(prefix, id, want, metadata=False):
    """Every message byte for byte, the manifest, and nothing else."""
    base = '%s/%s/' % (prefix, id) if prefix else id + '/'
    manifest = ceph.get('mail', base + 'manifest.jsonl')
    lines = [json.loads(l) for l in manifest.decode().splitlines()]
    equal([l['id'] for l in lines], want[::-1], 'newest first')
    for l in lines:
        body = ceph.get('mail', base + l['path'])
        check(body == original[l['id']], 'bytes of ' + l['id'])
        equal((l['sha256'], l['bytes']), (sha256(body), len(body)), 'manifest of ' + l['id'])
        if metadata:
            j = json.loads(ceph.get('mail', base + l['id'] + '.json'))
            equal((j['ArchivedMessageId'], j['Sha256'], j['Envelope']['To']), (corp + '.' + l['id'], l['sha256'], ['sales@corp.example']))
    names = [n for n in ceph.names('mail', 'list-type=2&prefix=' + urllib.parse.quote(base, safe=''))]
    equal(len(names), len(want) * (2 if metadata else 1) + 1, 'objects')
    last = entries('exported')[-1]
    equal((last['job'], last['messages'], last['failed'], last['manifest_sha256']), (id, len(want), 0, sha256(manifest)), 'audit')
    equal(ceph.uploads('mail'), [], 'half-made uploads')

@test
def all_bytes_with_metadata_and_parts():
    with calls_to(ceph.port) as calls:
        id = start(calls, 'case-7/a+b', IncludeMetadata=True)
        got = calls.until_ended('GetArchiveExport', ExportId=id)
        equal(got['Status']['State'], 'COMPLETED', str(got))
        equal(got['ExportDestinationConfiguration'], {'S3': {'S3Location': 's3://mail/case-7/a+b'}})
        equal(calls('ListArchiveExports', ArchiveId=corp)['Exports'][0], {'ExportId': id, 'Status': got['Status']})
    check_export('case-7/a+b', id, ids, metadata=True)
    begun = entries('export')[-1]
    equal((begun['job'], begun['hits'], begun['messages'], begun['destination']), (id, len(ids), len(ids), 's3://mail/case-7/a+b'))

@test
def a_filter_and_a_limit():
    with calls_to(ceph.port) as calls:
        id = start(calls, '', Filters={'Include': [contains('SUBJECT', 'number 7', 'number 3')]}, MaxResults=5)
        equal(calls.until_ended('GetArchiveExport', ExportId=id)['Status']['State'], 'COMPLETED')
    check_export('', id, [i for n, i in enumerate(ids) if str(n)[0] in '73' and n < 40][-5:])
    begun = entries('export')[-1]
    equal((begun['job'], begun['messages'], begun['hits'] > 5), (id, 5, True), 'what is to leave, of what was found')

@test
def what_fails_for_a_while_is_tried_again():
    second = []
    def rule(n, line):
        if 'partNumber=2' in line and len(second) < 3:
            second.append(n)
            return (503, 'cut', 429)[len(second) - 1]
        return {0: 503, 2: 'cut', 12: 500, 13: 'cut', 20: 408}.get(n)
    proxy = Proxy(ceph.port, rule)
    with calls_to(proxy.port) as calls:
        id = start(calls, 'retry')
        equal(calls.until_ended('GetArchiveExport', ExportId=id)['Status']['State'], 'COMPLETED')
    check_export('retry', id, ids)
    check(len(proxy.seen) > 20 and len(second) == 3, str(len(proxy.seen)))

@test
def what_fails_for_ever_ends_the_export_and_leaves_no_parts():
    for rule, text in ((lambda n, l: 503 if 'partNumber=2' in l else None, '503'),
                       (lambda n, l: 503 if 'uploadId' in l and 'POST' in l else None, '503'),
                       (lambda n, l: 'cut' if n > 5 else None, 'endpoint')):
        proxy = Proxy(ceph.port, rule)
        with calls_to(proxy.port) as calls:
            id = start(calls, 'never')
            status = calls.until_ended('GetArchiveExport', ExportId=id)['Status']
            equal(status['State'], 'FAILED', str(status))
            check(text in status['ErrorMessage'], str(status))
        check('never/%s/manifest.jsonl' % id not in ceph.names('mail', 'list-type=2&prefix=never%2F'), 'a manifest of a failure')
        for _ in range(100):
            if not ceph.uploads('mail'):
                break
            time.sleep(0.1)
        equal(ceph.uploads('mail'), [], 'half-made uploads')

@test
def who_may_not_is_told():
    for more, text in (({'secret_key': 'wrong'}, '403'), ({'access_key': 'AKIANOBODY'}, '403'), ({'url': 'http://127.0.0.1:%d' % free_port()}, 'connect')):
        with calls_to(ceph.port, **dict({'tries': 2}, **more)) as calls:
            status = calls.until_ended('GetArchiveExport', ExportId=start(calls, 'x'))['Status']
            equal(status['State'], 'FAILED', str(status))
            check(text in status['ErrorMessage'], str(status))
            check(SECRET not in str(status) and 'wrong' not in str(status), str(status))
    with calls_to(ceph.port) as calls:
        for bad in ('s3://ma', 's3://mail/../x', 's3://mail/a//b', 'http://mail/x', 's3://mail/./x'):
            calls.refused('StartArchiveExport', 'ValidationException', 'S3Location', ArchiveId=corp, FromTimestamp=1, ToTimestamp=2,
                          ExportDestinationConfiguration={'S3': {'S3Location': bad}})
        id = calls('StartArchiveExport', ArchiveId=corp, FromTimestamp=now - DAY, ToTimestamp=now + DAY,
                   ExportDestinationConfiguration={'S3': {'S3Location': 's3://nowhere/x'}})['ExportId']
        status = calls.until_ended('GetArchiveExport', ExportId=id)['Status']
        check(status['State'] == 'FAILED' and '404 NoSuchBucket' in status['ErrorMessage'], str(status))
        calls.refused('StartArchiveExport', 'ServiceQuotaExceededException', '250,000', ArchiveId=corp, FromTimestamp=1, ToTimestamp=2,
                      MaxResults=250001, ExportDestinationConfiguration={'S3': {'S3Location': 's3://mail/x'}})

def held():
    """A proxy that keeps the second part of the large message, and the export that waits for it."""
    proxy = Proxy(ceph.port, lambda n, l: 'hold' if 'partNumber=2' in l else None)
    calls = calls_to(proxy.port)
    id = start(calls, 'held')
    while not any('partNumber=2' in l for l in proxy.seen):
        time.sleep(0.05)
    return proxy, calls, id

def no_uploads(proxy):
    proxy.open.set()
    for _ in range(200):
        if not ceph.uploads('mail'):
            return
        time.sleep(0.1)
    equal(ceph.uploads('mail'), [], 'half-made uploads')

@test
def stopped_in_the_middle():
    proxy, calls, id = held()
    equal(calls('GetArchiveExport', ExportId=id)['Status']['State'], 'PROCESSING')
    calls.refused('StartArchiveExport', 'ServiceQuotaExceededException', 'another export', ArchiveId=corp, FromTimestamp=1, ToTimestamp=2,
                  ExportDestinationConfiguration={'S3': {'S3Location': 's3://mail/x'}})
    calls('StopArchiveExport', ExportId=id)
    status = calls('GetArchiveExport', ExportId=id)['Status']
    equal(status['State'], 'CANCELLED')
    calls.close()
    no_uploads(proxy)
    check('held/%s/manifest.jsonl' % id not in ceph.names('mail', 'list-type=2&prefix=held%2F'), 'no manifest')

@test
def killed_in_the_middle_it_goes_on():
    for how in ('kill', 'close'):
        proxy, calls, id = held()
        getattr(calls, how)()
        no_uploads(proxy)
        with calls_to(ceph.port) as calls:
            equal(calls.until_ended('GetArchiveExport', ExportId=id)['Status']['State'], 'COMPLETED', how)
        check_export('held', id, ids)

class Namespace(Calls):
    """With the test's own /etc/hosts and CA file, in a mount namespace."""
    def __init__(self, site, trusted, **options):
        hosts = os.path.join(site.root, 'hosts')
        site.write(hosts, '127.0.0.1 s3.test mail.s3.test\n')
        ca = ceph.d + '/ca' if trusted else '/etc/ssl/certs/ca-certificates.crt'
        self.site = site
        script = 'mount --bind %s /etc/hosts && mount --bind %s /etc/ssl/certs/ca-certificates.crt && exec "$@"' % (hosts, ca)
        self.process = subprocess.Popen(['unshare', '-m', 'sh', '-c', script, 'sh', os.path.join(site.bin, 'control_calls'), site.data,
                                         json.dumps(options)], env=site.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(site.log, 'ab'))

@test
def tls_is_checked_and_both_styles_work():
    for scheme, port, path_style, trusted, want in (('http', ceph.port, False, False, 'COMPLETED'), ('https', ceph.tls, True, True, 'COMPLETED'),
                                                    ('https', ceph.tls, False, True, 'COMPLETED'), ('https', ceph.tls, True, False, 'FAILED')):
        s3 = {'url': '%s://s3.test:%d' % (scheme, port), 'path_style': path_style, 'access_key': ACCESS, 'secret_key': SECRET, 'tries': 2,
              'wait_ms': 20, 'part_bytes': 5 << 20}
        with Namespace(site, trusted, s3=s3) as calls:
            id = start(calls, 'tls')
            status = calls.until_ended('GetArchiveExport', ExportId=id)['Status']
            equal(status['State'], want, '%s %s %s' % (scheme, path_style, status))
        if want == 'COMPLETED':
            check_export('tls', id, ids)
        else:
            check('certificate' in status['ErrorMessage'].lower() or 'SSL' in status['ErrorMessage'], str(status))

@test
def mmd_exports_from_its_sandbox():
    secret = os.path.join(site.root, 's3-secret')
    site.write(secret, SECRET + '\n')
    port = free_port()
    settings = json.load(open(site.config))
    settings.update(api={'listen': '127.0.0.1:%d' % port},
                    endpoints={'s3': {'url': 'http://127.0.0.1:%d' % ceph.port, 'path_style': True, 'access_key': ACCESS,
                                      'secret_key_file': secret, 'part_bytes': 5 << 20}})
    site.write(site.config, json.dumps(settings))
    site.start()
    key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
    line = Line(port)
    def call(operation, **given):
        status, answer = line.call(key, '127.0.0.1:%d' % port, operation, json.dumps(given).encode())
        equal(status, 200, answer)
        return answer
    id = call('StartArchiveExport', ArchiveId=corp, FromTimestamp=now / 1000 - 86400, ToTimestamp=now / 1000 + 86400, IncludeMetadata=True,
              ExportDestinationConfiguration={'S3': {'S3Location': 's3://mail/by-mmd'}})['ExportId']
    while 'CompletionTimestamp' not in call('GetArchiveExport', ExportId=id)['Status']:
        time.sleep(0.1)
    equal(call('GetArchiveExport', ExportId=id)['Status']['State'], 'COMPLETED', site.tail())
    line.close()
    site.stop()
    check_export('by-mmd', id, ids, metadata=True)

@test
def what_is_destroyed_meanwhile_is_told():
    proxy, calls, id = held()
    calls.kill()
    no_uploads(proxy)
    site.run('mm-retention', 'erase', '--archive', 'corp', '--reason', 'test', '--yes', ids[0])
    with calls_to(ceph.port) as calls:
        status = calls.until_ended('GetArchiveExport', ExportId=id)['Status']
        equal((status['State'], status['ErrorMessage']), ('COMPLETED', '1 of 41 messages could not be read'))
    lines = [json.loads(l) for l in ceph.get('mail', 'held/%s/manifest.jsonl' % id).decode().splitlines()]
    equal(lines[-1], {'id': ids[0], 'problem': 'it was destroyed'}, 'manifest')

done()
