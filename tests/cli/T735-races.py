#!/usr/bin/env python3
"""ThreadSanitizer over all that goes on at once: two senders, searches, an import, a new configuration, repacking and a purge, in one mmd
(build-tsan); and the control API: clients that call in JSON and CBOR, jobs of all kinds, links, changes of all it has, keys that come and
go, calls that are abandoned. Nothing is lost, and no process reports a race. The control is a program with a race, built the same way."""
import http.client, os, random, sys, threading, urllib.parse
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cbor import Time
from mm import *
from signed import *
from s3 import Store

ROUNDS = 40 if LONG else 6
REPORT = 'WARNING: ThreadSanitizer'

def ends_without_a_report(site):
    site.stop()
    log = site.tail(1 << 22)
    check(REPORT not in log, log[log.find(REPORT):][:3000])

def run_all(jobs):
    """Every job in a thread of its own; the first exception of one is raised when all have ended."""
    wrong = []
    def one(job):
        try:
            job()
        except BaseException as e:
            wrong.append(e)
    threads = [threading.Thread(target=one, args=(job,)) for job in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        raise wrong[0]

os.environ['TSAN_OPTIONS'] = 'exitcode=66 second_deadlock_stack=1'

@test
def everything_at_once():
    site = Site('tsan')
    short = dict(DEFAULT, RuleSets=[{"RuleSetName": "all", "Rules": [{"Name": "keep", "Conditions": [], "Actions": [
        {"Archive": {"TargetArchive": "corp"}}, {"Archive": {"TargetArchive": "short"}}]}]}])
    site.apply(short)
    site.start()
    for n in range(20):
        site.send(mail('old %d' % n, 'lantern'))
    site.wait()
    site.advance(days=40)  # past the retention of "short"
    box = os.path.join(site.root, 'box')
    with open(box, 'wb') as f:
        for n in range(10 * ROUNDS):
            f.write(b'From ann@shop.example Mon Mar  2 09:15:00 2026\n' +
                    mail('old mail %d' % n, 'harbour %d' % n).replace(b'\r\n', b'\n') + b'\n')
    sent = []
    def send():
        for n in range(ROUNDS):
            with Sender(site.port) as s:
                for i in range(10):
                    sent.append(s.send(mail('new %d %d' % (n, i), 'meadow %d' % i)))
    def search():
        for n in range(ROUNDS):
            site.count('lantern OR harbour OR meadow')
            site.ids('meadow')
            site.status()
    def forget():
        site.run('mm-retention', 'plan')
        site.run('mm-retention', 'run', code=None)
        for n in range(ROUNDS // 3):
            site.run('mmctl', 'verify', '--json', code=None)
    def change():
        for n in range(ROUNDS // 3):
            site.apply(short)
            site.process.send_signal(signal.SIGHUP)
    run_all([send, send, search, search, forget, change,
             lambda: site.run('mm-import', '--archive', 'legal', '--received', 'header', box)])
    site.wait()
    equal(site.count('meadow'), len(sent), 'messages sent and found')
    equal(site.count('harbour', 'legal'), 10 * ROUNDS, 'messages imported and found')
    equal(site.count('lantern', 'short'), 0, 'messages past their retention')
    ends_without_a_report(site)

class Client:
    """A connection of the API, closed at its end."""
    def __init__(self, port, key, protocol):
        self.line, self.key, self.host, self.protocol = Line(port, timeout=300), key, '127.0.0.1:%d' % port, protocol

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.line.close()

    def any(self, operation, **input):
        """(status, answer)"""
        return self.line.call(self.key, self.host, operation, encoded(input, self.protocol), protocol=self.protocol)

    def __call__(self, operation, **input):
        status, answer = self.any(operation, **input)
        equal(status, 200, '%s: %r' % (operation, answer))
        return answer

    def ended(self, operation, busy, **which):
        while True:
            answer = self(operation, **which)
            status = answer['Status'] if isinstance(answer['Status'], str) else answer['Status']['State']
            if status not in busy:
                return status

def by_http(url, method='GET', body=None):
    """Over a link."""
    url = urllib.parse.urlsplit(url)
    c = http.client.HTTPConnection(url.netloc, timeout=300)
    try:
        c.request(method, url.path + '?' + url.query, body)
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()

@test
def the_api_at_once():
    port, pool, store = free_port(), free_port(), Store()
    site = Site('tsan', config={'api': {'listen': '127.0.0.1:%d' % port, 'ingress_pool': '127.0.0.1:%d-%d' % (pool, pool + 20), 'profile': 'open'},
                                'endpoints': {'s3': store.settings}}).start()
    def principal(name, *more):
        return json.loads(site.run('mmctl', 'principal', 'create', name, *more, '--json'))
    boss, ann = principal('boss', '--role', 'admin'), principal('ann', '--role', 'auditor', '--archive', 'corp')
    for n in range(20):
        site.send(mail('lantern %d' % n))
    site.wait()
    span = {'FromTimestamp': Time(time.time() - 86400), 'ToTimestamp': Time(time.time() + 86400)}
    with Client(port, boss, 'json') as c:
        corp = next(a['ArchiveId'] for a in c('ListArchives')['Archives'] if a['ArchiveName'] == 'corp')
        rules = c('CreateRuleSet', RuleSetName='r', Rules=[])['RuleSetId']
        policy = c('CreateTrafficPolicy', TrafficPolicyName='ppp', DefaultAction='ALLOW', PolicyStatements=[])['TrafficPolicyId']
        lists = {p: c('CreateAddressList', AddressListName=p)['AddressListId'] for p in ('json', 'cbor')}
    waiting = ('QUEUED', 'RUNNING', 'PREPROCESSING', 'PROCESSING')
    def search(protocol):
        with Client(port, ann, protocol) as c:
            for n in range(ROUNDS):
                # Each call otherwise: a signature counts once.
                id = c('StartArchiveSearch', ArchiveId=corp, MaxResults=100 + n, **span)['SearchId']
                if n % 3 == 2:
                    c('StopArchiveSearch', SearchId=id)
                if c.ended('GetArchiveSearch', waiting, SearchId=id) == 'COMPLETED':
                    rows = c('GetArchiveSearchResults', SearchId=id)['Rows']
                    check(len(rows) >= 20, '%d rows' % len(rows))
                    for row in rows[:3]:
                        link = c('GetArchiveMessage', ArchivedMessageId=row['ArchivedMessageId'])['MessageDownloadLink']
                        check(row['Subject'].encode() in by_http(link)[1], row)
                        c('GetArchiveMessageContent', ArchivedMessageId=row['ArchivedMessageId'])
                c('ListArchiveSearches', ArchiveId=corp)
    def export():
        with Client(port, boss, 'json') as c:
            for n in range(ROUNDS // 2):
                to = {'S3': {'S3Location': 's3://bucket/%d' % n}}
                id = c('StartArchiveExport', ArchiveId=corp, MaxResults=20, ExportDestinationConfiguration=to, **span)['ExportId']
                if n % 2:
                    c('StopArchiveExport', ExportId=id)
                equal(c.ended('GetArchiveExport', waiting, ExportId=id) in ('COMPLETED', 'CANCELLED'), True)
    def take_in(protocol):
        members = lists[protocol] # one job at a time
        with Client(port, boss, protocol) as c:
            for n in range(ROUNDS):
                job = c('CreateAddressListImportJob', AddressListId=members, Name='n', ImportDataFormat={'ImportDataType': 'CSV'})
                rows = b''.join(b'%s%d@d%d.example\n' % (protocol.encode(), i, n) for i in range(300))
                equal(by_http(job['PreSignedUrl'], 'PUT', b'address\n' + rows)[0], 200)
                c('StartAddressListImportJob', JobId=job['JobId'])
                if n % 3 == 2:
                    c.any('StopAddressListImportJob', JobId=job['JobId'])
                c.ended('GetAddressListImportJob', ('CREATED', 'PROCESSING'), JobId=job['JobId'])
                c('RegisterMemberToAddressList', AddressListId=members, Address='m%d@%s.example' % (n, protocol))
                c('ListMembersOfAddressList', AddressListId=members, PageSize=1000)
    def change(protocol):
        with Client(port, boss, protocol) as c:
            for n in range(ROUNDS):
                id = c('CreateIngressPoint', IngressPointName='%s-%d' % (protocol, n), Type='OPEN', TlsPolicy='OPTIONAL', RuleSetId=rules,
                       TrafficPolicyId=policy)['IngressPointId']
                c('UpdateRuleSet', RuleSetId=rules, Rules=[{'Name': '%s-%d' % (protocol, n), 'Conditions': [], 'Actions': [{'Archive': {'TargetArchive': corp}}]}])
                c('UpdateTrafficPolicy', TrafficPolicyId=policy, MaxMessageSizeBytes=100000 + n)
                with Sender(int(c('GetIngressPoint', IngressPointId=id)['ARecord'].split(':')[1])) as s:
                    s.send(mail('meadow'))
                c('DeleteIngressPoint', IngressPointId=id)
                for operation in ('ListIngressPoints', 'ListRuleSets', 'ListTrafficPolicies', 'ListArchives'):
                    c(operation)
    def keys():
        for n in range(ROUNDS // 2):
            k = principal('p%d' % n, '--role', 'admin')
            with Client(port, k, 'cbor') as c:
                c('ListArchives')
                site.run('mmctl', 'principal', 'disable', 'p%d' % n)
                equal(c.any('ListArchives')[0], 403, 'disabled')
    def abandon():
        for n in range(5 * ROUNDS):
            line = Line(port)
            whole = request(boss, '127.0.0.1:%d' % port, 'ListMembersOfAddressList', encoded({'AddressListId': lists['json'], 'PageSize': 1000}, 'json'))
            line.send(whole * 3 if n % 2 else whole[:-5])
            line.close()
    def by_tools():
        for n in range(ROUNDS):
            site.run('mmctl', 'call', 'ListArchives')
            site.count('lantern')
            site.send(mail('meadow'))
        site.run('mmctl', 'verify', '--json', code=None)
    run_all([lambda: search('json'), lambda: search('cbor'), export, lambda: take_in('json'), lambda: take_in('cbor'), lambda: change('json'),
             lambda: change('cbor'), keys, abandon, by_tools])
    site.wait()
    equal(site.count('meadow'), 3 * ROUNDS, 'messages sent and found')
    check(any(name.endswith('manifest.jsonl') for name in store.objects), 'nothing was exported')
    with Client(port, boss, 'json') as c:
        page = c('ListMembersOfAddressList', AddressListId=lists['json'], PageSize=1000)
        check(len(page['Addresses']) > 300, len(page['Addresses']))
    ends_without_a_report(site)

@test
def a_race_is_reported():
    with tempfile.TemporaryDirectory(prefix='mm-test-') as folder:
        path = os.path.join(folder, 'race')
        subprocess.run(['gcc', '-x', 'c', '-O1', '-fsanitize=thread', '-o', path, '-'], check=True, input=b'''
            #include <pthread.h>
            static int n;
            static void *add(void *arg) { for (int i = 0; i < 10000; i++) n++; return arg; }
            int main(void) { pthread_t t; pthread_create(&t, 0, add, 0); add(0); pthread_join(t, 0); return 0; }''')
        p = subprocess.run([path], env=dict(os.environ, TSAN_OPTIONS='exitcode=66'), stderr=subprocess.PIPE)
        equal(p.returncode, 66, 'exit status of the control')
        check(REPORT.encode() in p.stderr, p.stderr[:500])

done()
