#!/usr/bin/env python3
"""Who may do what by the control API, over HTTP: role x operation x own, foreign and missing archive (or a resource that is there, and one
that isn't). A foreign archive and a missing one are answered by the same bytes, but for the request's id. Every call is in the audit log
with its principal."""
import http.client, itertools, os, re, sys, urllib.parse, uuid
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from signed import *
from s3 import Store

PORT, POOL = free_port(), free_port()
HOST = '127.0.0.1:%d' % PORT
store = Store()
site = Site(config={'api': {'listen': HOST, 'ingress_pool': '127.0.0.1:%d-%d' % (POOL, POOL + 20), 'profile': 'open'},
                    'endpoints': {'s3': store.settings}}).start()
OPERATIONS = json.loads(subprocess.run([os.path.join(site.bin, 'api_model')], stdout=subprocess.PIPE, check=True).stdout)['Operations']

def principal(name, role, *more):
    return json.loads(site.run('mmctl', 'principal', 'create', name, '--role', role, *more, '--json'))

KEYS = {'boss': principal('boss', 'admin'), 'flow': principal('flow', 'operator'), 'reader': principal('reader', 'auditor', '--archive', 'corp'),
        'all': principal('all', 'auditor', '--all-archives')}
MAKER = principal('maker', 'admin')
ROLES = {'boss': 'admin', 'flow': 'operator', 'reader': 'auditor', 'all': 'auditor'}
line = Line(PORT)

def ask(key, operation, input):
    while True:
        line.send(request(key, HOST, operation, json.dumps(input).encode()))
        answer = line.answer()
        if answer[0] != 429: # in the second of the start
            return answer
        time.sleep(0.1)

def make(operation, **input):
    status, _, body = ask(MAKER, operation, input)
    equal(status, 200, body)
    return next(iter(json.loads(body).values()))

def fresh():
    return 'n-' + uuid.uuid4().hex[:12]

ARN = 'arn:aws:ses:us-east-1:000000000000:'
ARCHIVES = {a['ArchiveName']: a['ArchiveId'] for a in json.loads(ask(MAKER, 'ListArchives', {})[2])['Archives']}
MISSING = 'a-' + '0' * 24
RULES, POLICY, LIST, MEMBER = make('CreateRuleSet', RuleSetName='r', Rules=[]), make(
    'CreateTrafficPolicy', TrafficPolicyName='ttt', DefaultAction='DENY', PolicyStatements=[]), make('CreateAddressList', AddressListName='l'), 'a@b.example'
make_relay = lambda: make('CreateRelay', RelayName=fresh(), ServerName='a', ServerPort=1, Authentication={'NoAuthentication': {}})
RELAY = make_relay()
POINT_INPUT = dict(Type='OPEN', TlsPolicy='OPTIONAL', RuleSetId=RULES, TrafficPolicyId=POLICY)
POINT = make('CreateIngressPoint', IngressPointName=fresh(), **POINT_INPUT)
SUBSCRIPTION = make('CreateAddonSubscription', AddonName='x')
INSTANCE = make('CreateAddonInstance', AddonSubscriptionId=SUBSCRIPTION)
SPAN = {'FromTimestamp': int(time.time()) - 3600, 'ToTimestamp': int(time.time()) + 3600}
TO_S3 = {'ExportDestinationConfiguration': {'S3': {'S3Location': 's3://bucket/x'}}}

def message_in(archive):
    """Its id in the API's words."""
    path = os.path.join(site.root, 'one.eml')
    with open(path, 'wb') as f:
        f.write(mail('in ' + archive))
    site.run('mm-import', '--archive', archive, path)
    site.wait()
    id, = site.ids('', archive)
    return ARCHIVES[archive] + '.' + id

MESSAGES = {name: message_in(name) for name in ('corp', 'legal')}

def job_in(archive, kind, again=False):
    """A search or export of the archive; one that has ended, or any."""
    id = make('StartArchive' + kind, ArchiveId=ARCHIVES[archive], **dict(SPAN, **(TO_S3 if kind == 'Export' else {'MaxResults': 10})))
    while True:
        state = json.loads(ask(MAKER, 'GetArchive' + kind, {kind + 'Id': id})[2])['Status']['State']
        if state not in ('QUEUED', 'RUNNING', 'PREPROCESSING', 'PROCESSING'):
            equal(state, 'COMPLETED', kind)
            return id
        time.sleep(0.02)

JOBS = {kind: {name: job_in(name, kind) for name in ('corp', 'legal')} for kind in ('Search', 'Export')}

def import_job(with_file=True):
    # A list of its own: one takes ten that have not ended.
    list_id = make('CreateAddressList', AddressListName=fresh())
    status, _, body = ask(MAKER, 'CreateAddressListImportJob', {'AddressListId': list_id, 'Name': fresh(), 'ImportDataFormat': {'ImportDataType': 'CSV'}})
    equal(status, 200, body)
    job = json.loads(body)
    if with_file:
        url = urllib.parse.urlsplit(job['PreSignedUrl'])
        c = http.client.HTTPConnection(url.netloc, timeout=60)
        c.request('PUT', url.path + '?' + url.query, b'address\n%s@c.example\n' % fresh().encode())
        equal(c.getresponse().status, 200, 'the file of a job')
        c.close()
    return job['JobId']

def list_with_member():
    equal(ask(MAKER, 'RegisterMemberToAddressList', {'AddressListId': LIST, 'Address': MEMBER})[0], 200)
    return LIST

# Of one archive: what more its input has.
OF_ARCHIVE = {'GetArchive': {}, 'UpdateArchive': {'Retention': {'RetentionPeriod': 'FOUR_YEARS'}}, 'DeleteArchive': {},
              'StartArchiveSearch': dict(SPAN, MaxResults=10), 'ListArchiveSearches': {}, 'ListArchiveExports': {},
              'StartArchiveExport': dict(SPAN, **TO_S3)}
# Of something in one archive: which member names it, and what is in the own archive, in the foreign one, in none.
IN_ARCHIVE = {operation: (member, ids) for operations, member, ids in (
    ('GetArchiveSearch GetArchiveSearchResults StopArchiveSearch', 'SearchId', dict(JOBS['Search'], missing='s-' + '0' * 24)),
    ('GetArchiveExport StopArchiveExport', 'ExportId', dict(JOBS['Export'], missing='e-' + '0' * 24)),
    ('GetArchiveMessage GetArchiveMessageContent', 'ArchivedMessageId', dict(MESSAGES, missing=MESSAGES['legal'].replace(ARCHIVES['legal'], MISSING))))
    for operation in operations.split()}

def tagged(arn):
    key = fresh()
    ask(MAKER, 'TagResource', {'ResourceArn': arn, 'Tags': [{'Key': key, 'Value': ''}]}) # a missing one isn't there
    return {'TagKeys': [key]}

OF_TAGS = {'ListTagsForResource': lambda arn: {}, 'TagResource': lambda arn: {'Tags': [{'Key': fresh(), 'Value': 'b'}]}, 'UntagResource': tagged}
# Without anything that could be missing.
PLAIN = {'CreateArchive': lambda: {'ArchiveName': fresh()}, 'CreateRuleSet': lambda: {'RuleSetName': fresh(), 'Rules': []},
         'CreateTrafficPolicy': lambda: {'TrafficPolicyName': fresh(), 'DefaultAction': 'DENY', 'PolicyStatements': []},
         'CreateIngressPoint': lambda: dict(POINT_INPUT, IngressPointName=fresh()),
         'CreateRelay': lambda: {'RelayName': fresh(), 'ServerName': 'a', 'ServerPort': 1, 'Authentication': {'NoAuthentication': {}}},
         'CreateAddressList': lambda: {'AddressListName': fresh()}, 'CreateAddonSubscription': lambda: {'AddonName': fresh()}}
PLAIN.update({o['Name']: dict for o in OPERATIONS if o['Name'] in (
    'ListArchives', 'ListRuleSets', 'ListTrafficPolicies', 'ListIngressPoints', 'ListRelays', 'ListAddressLists', 'ListAddonSubscriptions',
    'ListAddonInstances')})
# Of one resource: which member names it, one that is there, what more.
NEW = itertools.count(100)
SUB = lambda: make('CreateAddonSubscription', AddonName=fresh())
OF_ONE = {'GetRuleSet': ('RuleSetId', lambda: RULES, {}), 'UpdateRuleSet': ('RuleSetId', lambda: RULES, lambda: {'RuleSetName': fresh()}),
          'DeleteRuleSet': ('RuleSetId', lambda: make('CreateRuleSet', RuleSetName=fresh(), Rules=[]), {}),
          'GetTrafficPolicy': ('TrafficPolicyId', lambda: POLICY, {}), 'UpdateTrafficPolicy': ('TrafficPolicyId', lambda: POLICY, lambda: {'MaxMessageSizeBytes': next(NEW)}),
          'DeleteTrafficPolicy': ('TrafficPolicyId', lambda: make('CreateTrafficPolicy', TrafficPolicyName=fresh(), DefaultAction='DENY', PolicyStatements=[]), {}),
          'GetIngressPoint': ('IngressPointId', lambda: POINT, {}), 'UpdateIngressPoint': ('IngressPointId', lambda: POINT, lambda: {'IngressPointName': fresh()}),
          'DeleteIngressPoint': ('IngressPointId', lambda: make('CreateIngressPoint', IngressPointName=fresh(), **POINT_INPUT), {}),
          'GetRelay': ('RelayId', lambda: RELAY, {}), 'UpdateRelay': ('RelayId', lambda: RELAY, lambda: {'ServerPort': next(NEW)}), 'DeleteRelay': ('RelayId', make_relay, {}),
          'GetAddressList': ('AddressListId', lambda: LIST, {}), 'DeleteAddressList': ('AddressListId', lambda: make('CreateAddressList', AddressListName=fresh()), {}),
          'RegisterMemberToAddressList': ('AddressListId', lambda: LIST, lambda: {'Address': fresh() + '@d.example'}),
          'DeregisterMemberFromAddressList': ('AddressListId', list_with_member, {'Address': MEMBER}),
          'GetMemberOfAddressList': ('AddressListId', list_with_member, {'Address': MEMBER}), 'ListMembersOfAddressList': ('AddressListId', lambda: LIST, {}),
          'GetAddonSubscription': ('AddonSubscriptionId', lambda: SUBSCRIPTION, {}), 'DeleteAddonSubscription': ('AddonSubscriptionId', SUB, {}),
          'GetAddonInstance': ('AddonInstanceId', lambda: INSTANCE, {}),
          'DeleteAddonInstance': ('AddonInstanceId', lambda: make('CreateAddonInstance', AddonSubscriptionId=SUB()), {}),
          'CreateAddonInstance': ('AddonSubscriptionId', SUB, {}),
          'CreateAddressListImportJob': ('AddressListId', lambda: LIST, lambda: {'Name': fresh(), 'ImportDataFormat': {'ImportDataType': 'CSV'}}),
          'ListAddressListImportJobs': ('AddressListId', lambda: LIST, {}), 'GetAddressListImportJob': ('JobId', import_job, {}),
          'StartAddressListImportJob': ('JobId', import_job, {}), 'StopAddressListImportJob': ('JobId', import_job, {})}

def named(operation):
    """{what is asked for: the id that says so}, where that may be foreign"""
    if operation in IN_ARCHIVE:
        ids = IN_ARCHIVE[operation][1]
        return {'own': ids['corp'], 'foreign': ids['legal'], 'missing': ids['missing']}
    return {'own': ARCHIVES['corp'], 'foreign': ARCHIVES['legal'], 'missing': MISSING}

def inputs(operation):
    """{what is asked for: its input}"""
    if operation in IN_ARCHIVE:
        return {target: {IN_ARCHIVE[operation][0]: id} for target, id in named(operation).items()}
    if operation in OF_ARCHIVE or operation in OF_TAGS:
        out = {}
        for target, id in named(operation).items():
            arn = ARN + 'mailmanager-archive/' + id
            out[target] = dict(OF_ARCHIVE[operation], ArchiveId=id) if operation in OF_ARCHIVE else dict(OF_TAGS[operation](arn), ResourceArn=arn)
        return out
    if operation in PLAIN:
        return {'own': PLAIN[operation]()}
    if operation in OF_ONE:
        member, there, more = OF_ONE[operation]
        id, more = there(), more() if callable(more) else more
        return {'own': dict(more, **{member: id}), 'missing': dict(more, **{member: id[:-8] + '0' * 8})}
    return {}

def allowed(role, operation):
    """By the issue: an operator manages the flow and can't read mail; an auditor searches and exports and changes nothing."""
    mail = any(w in operation for w in ('ArchiveSearch', 'ArchiveExport', 'ArchiveMessage'))
    reading = mail or operation in ('GetArchive', 'ListArchives')
    return {'admin': True, 'operator': not mail and operation not in ('CreateArchive', 'UpdateArchive', 'DeleteArchive'), 'auditor': reading}[role]

def is_change(operation):
    """Jobs have entries of their own: when they run, and when they are stopped before their end (which they are not, here)."""
    return not operation.startswith(('Get', 'List')) and not operation.endswith(('ArchiveSearch', 'ArchiveExport'))

SHOWS = {'results': 'GetArchiveSearchResults'}
READS = {'envelope': 'GetArchiveMessage', 'content': 'GetArchiveMessageContent'}

not_built, matrix, asked = [], {}, set()

def cell(name, operation, target, input):
    status, fields, body = ask(KEYS[name], operation, input)
    error = json.loads(body).get('__type')
    if 'not built yet' in json.loads(body).get('message', ''):
        return False
    matrix[name, operation, target] = (error or 'OK', status, {k: v for k, v in fields.items() if k not in ('date', 'x-amzn-requestid')}, body)
    event = 'denied' if error == 'AccessDeniedException' else 'apply' if is_change(operation) and not error and target != 'missing' else 'request'
    asked.add((name, operation, event, None if event == 'denied' else error))
    if operation == 'GetArchiveSearchResults' and not error:
        asked.add((name, operation, 'results', None))
    if operation in READS.values() and not error:
        asked.add((name, operation, 'read', None))
        if operation == 'GetArchiveMessageContent': # not marked as readonly, so it isn't counted besides
            asked.remove((name, operation, event, error))
    return True

@test
def each_role_and_operation():
    for operation in sorted((o['Name'] for o in OPERATIONS), key=lambda name: name == 'DeleteArchive'): # which others need
        for name in ('all', 'reader', 'flow', 'boss'): # who may change things comes last
            for target, input in inputs(operation).items() or [('none', None)]:
                if input is None or (not cell(name, operation, target, input) and allowed(ROLES[name], operation)):
                    not_built.append(operation)
    for operation in set(not_built):
        for key in [k for k in matrix if k[1] == operation]:
            del matrix[key]
    asked.difference_update([a for a in asked if a[1] in not_built])
    handlers = open(os.path.join(ROOT, 'api', 'control_handlers.h')).read()
    equal([o['Name'] for o in OPERATIONS if '(' + o['Name'] + ',' not in handlers], [], 'not built')
    equal(not_built, [], 'what has no input here')
    check(len(matrix) > 350, '%d cells' % len(matrix))
    for (name, operation, target), (error, *_) in matrix.items():
        role, where = ROLES[name], (name, operation, target)
        equal(error == 'AccessDeniedException', not allowed(role, operation), '%s: %s' % (where, error))
        if allowed(role, operation) and (target == 'own' or target == 'foreign' and name != 'reader'):
            equal(error, 'OK', where)

@test
def foreign_and_missing_look_alike():
    compared = set()
    for (name, operation, target), answer in matrix.items():
        if target == 'foreign' and (name == 'reader' or not allowed(ROLES[name], operation)):
            error, status, fields, body = matrix[name, operation, 'missing']
            ids = named(operation)
            equal(answer, (error, status, fields, body.replace(ids['missing'].encode(), ids['foreign'].encode())), (name, operation))
            compared.add((name, operation))
    equal({o for name, o in compared if name == 'reader'}, set(OF_ARCHIVE) | set(OF_TAGS) | set(IN_ARCHIVE), 'compared')

@test
def a_list_has_nothing_of_what_is_foreign():
    """Not even by how its pages are cut."""
    for size in (1, 2, 50):
        _, _, body = ask(KEYS['reader'], 'ListArchives', {'PageSize': size})
        answer = json.loads(body)
        equal(([a['ArchiveId'] for a in answer['Archives']], answer.get('NextToken')), ([ARCHIVES['corp']], None), 'PageSize %d' % size)

@test
def one_without_the_restriction_differs():
    """The control: the same comparison finds an auditor of all archives."""
    differ = {k[1:] for k in matrix if k[0] == 'all' and matrix[k][0] != matrix[('reader',) + k[1:]][0]}
    check(differ and all(target == 'foreign' for _, target in differ), differ)

def entered_calls():
    entered = set()
    for entry in map(json.loads, site.run('mm-audit', 'list', '--json').splitlines()):
        name = re.match(r'principal (\w+) \(key (MM\w+)\)$', entry['who'])
        if name and name.group(1) in KEYS and entry['event'] not in ('search', 'export', 'exported'): # of the job that a call has started
            equal(name.group(2), KEYS[name.group(1)]['AccessKeyId'], entry)
            detail = entry['detail']
            operation = detail.get('op') or detail.get('operation') or READS.get(detail.get('form')) or SHOWS.get(entry['event'])
            entered.add((name.group(1), operation, entry['event'], detail.get('outcome')))
    return entered

@test
def every_call_is_in_the_audit_log():
    entered = entered_calls()
    missing = sorted(map(str, asked - entered))
    check(not missing, '%d: %s' % (len(missing), missing[:20]))
    more = sorted(str(e) for e in entered - asked if e[1] not in not_built)
    check(not more, '%d more: %s' % (len(more), more[:20]))

line.close()
site.stop()
done()
