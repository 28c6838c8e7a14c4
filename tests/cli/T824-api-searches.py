#!/usr/bin/env python3
"""Searches and single messages of the control API: what a filter finds, what a row says, states, quotas, rights, restarts, and that a
destroyed message is gone from results."""
import base64, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from calls import *

PDF = ('MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n', '--b\r\nContent-Type: text/plain\r\n\r\nsee the plan\r\n'
       '--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="plan-b.txt"\r\n\r\nsecret lantern\r\n--b--')
ALTERNATIVE = ('MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n',
               '--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n'
               '--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Gr\u00fc\u00dfe <b>ann</b></p>\r\n--b--')
HEAD = ('Message-ID: <m1@shop.example>\r\nIn-Reply-To: <m0@shop.example>\r\nX-Mailer: Pigeon 3\r\nX-Original-Mailer: Dove\r\nX-Priority: 1\r\n'
        'Cc: Bob <bob@shop.example>\r\nReceived: from a by b;\r\n\tMon, 2 Mar 2026\r\nReceived: from c\r\n by d\r\n')

site = Site().start()
sent = [mail('Order 7 for \u00c4nne', 'first body', extra=HEAD), mail('Invoice', PDF[1], extra=PDF[0]),
        mail('Greetings', ALTERNATIVE[1], extra=ALTERNATIVE[0], sender='Carl <carl@other.example>'), mail('order 8', 'last words')]
ids = [site.send(sent[0], to=('sales@corp.example', 'info@corp.example'))] + [site.send(m, sender='carl@other.example') for m in sent[1:]]
site.wait()
corp = archive_ids(site)['corp']
legal = archive_ids(site)['legal']
for name, archive in (('ann', 'corp'), ('bob', 'legal')):
    site.run('mmctl', 'principal', 'create', name, '--role', 'auditor', '--archive', archive)
received = {r['id']: r for r in site.rows()}
site.stop()
now = int(time.time() * 1000)
RANGE = (now - DAY, now + DAY)

def entries_of(event):
    return [e for e in map(json.loads, site.run('mm-audit', 'list', '--json').splitlines()) if e['event'] == event]

def entries(event):
    return [e['detail'] for e in entries_of(event)]

def found(calls, **filters):
    return [r['ArchivedMessageId'].split('.')[1] for r in calls.search(corp, *RANGE, **filters)]

def received_rows():
    with Calls(site) as calls:
        return calls.search(corp, *RANGE)[::-1]

@test
def filters_find_what_they_say():
    with Calls(site, open=True) as calls:
        for want, filters in (
            ([3, 2, 1, 0], {}),
            ([3, 0], {'Include': [contains('SUBJECT', 'ORDER')]}),
            ([0], {'Include': [contains('SUBJECT', '\u00e4NN')]}),
            ([3, 1, 0], {'Include': [contains('SUBJECT', 'voice', 'rder')]}),
            ([3], {'Include': [contains('SUBJECT', 'order')], 'Unless': [contains('CC', 'bob')]}),
            ([2], {'Include': [contains('FROM', 'other.example')]}),
            ([3, 2, 1], {'Include': [contains('ENVELOPE_FROM', 'carl@')]}),
            ([0], {'Include': [contains('ENVELOPE_TO', 'info@')]}),
            ([3, 2, 1, 0], {'Include': [contains('TO', 'sales')]}),
            ([1], {'Include': [attachments(True)]}),
            ([3, 2, 0], {'Include': [attachments(False)]}),
            ([3], {'Include': [attachments(False), contains('SUBJECT', 'o')], 'Unless': [contains('SUBJECT', '7', 'green', 'inv')]}),
            ([], {'Include': [contains('SUBJECT', 'order'), contains('SUBJECT', 'invoice')]}),
            ([], {'Include': [contains('SUBJECT', '%', '_', '*')]}),
            ([0], {'Include': [contains('BODY', 'first body')]}),
            ([], {'Include': [contains('BODY', 'body first', 'irst')]}),
            ([0], {'Include': [contains('BODY', 'fir*')]}),
            ([1], {'Include': [contains('ATTACHMENT', 'lantern')]}),
            ([1], {'Include': [contains('FILENAME', 'plan-b.txt')]}),
            ([0], {'Include': [contains('MESSAGE_ID', '<m1@shop.example>')]}),
            ([2], {'Include': [contains('ALL', 'gr\u00fc\u00dfe')]}),
        ):
            equal(found(calls, **filters), [ids[i] for i in want], str(filters))
        calls.refused('StartArchiveSearch', 'ValidationException', 'Filters.Unless[0]', ArchiveId=corp, FromTimestamp=1, ToTimestamp=2,
                      MaxResults=1, Filters={'Unless': [contains('SHOE_SIZE', 'x')]})

@test
def ranges_are_half_open_and_results_bounded():
    at = [row['ReceivedTimestamp'] for row in received_rows()]
    with Calls(site, open=True) as calls:
        equal([r['ReceivedTimestamp'] for r in calls.search(corp, at[0], at[0] + 1)], [t for t in at if t == at[0]], 'its own moment')
        equal([r['ReceivedTimestamp'] for r in calls.search(corp, at[0], at[3])], [t for t in reversed(at) if t < at[3]], 'To is exclusive')
        equal([r['ArchivedMessageId'][-26:] for r in calls.search(corp, *RANGE, most=2)], [ids[3], ids[2]], 'the newest two')
        equal(calls.search(corp, *RANGE, most=0), [], 'none was asked for')

@test
def rows_say_all_that_is_known():
    row = received_rows()[0]
    point = json.loads(site.run('mmctl', 'show', 'ingress-points', '--json'))['IngressPoints'][0]
    rules = point['RuleSetId']
    equal(row, {
        'ArchivedMessageId': corp + '.' + ids[0], 'ReceivedTimestamp': row['ReceivedTimestamp'], 'Date': 'Mon, 02 Mar 2026 09:15:00 +0100',
        'To': 'sales@corp.example', 'From': 'ann@shop.example', 'Cc': 'Bob <bob@shop.example>', 'Subject': 'Order 7 for \u00c4nne',
        'MessageId': '<m1@shop.example>', 'HasAttachments': False, 'InReplyTo': '<m0@shop.example>', 'XMailer': 'Pigeon 3',
        'XOriginalMailer': 'Dove', 'XPriority': '1', 'ReceivedHeaders': ['from a by b; Mon, 2 Mar 2026', 'from c by d'],
        'IngressPointId': point['IngressPointId'], 'SenderHostname': 'client.example', 'SenderIpAddress': '127.0.0.1',
        'SourceArn': 'arn:aws:ses:us-east-1:000000000000:mailmanager-rule-set/' + rules,
        'Envelope': {'Helo': 'client.example', 'From': 'ann@shop.example', 'To': ['sales@corp.example', 'info@corp.example']}}, 'row')
    check(abs(row['ReceivedTimestamp'] - now) < DAY, 'received')

@test
def states_and_quotas_of_the_service():
    ask = {'ArchiveId': corp, 'FromTimestamp': RANGE[0], 'ToTimestamp': RANGE[1], 'MaxResults': 10, 'Filters': {'Include': [contains('TO', 'sales')]}}
    with Calls(site, wait=True) as calls:
        id = calls('StartArchiveSearch', **ask)['SearchId']
        got = calls('GetArchiveSearch', SearchId=id)
        status = got.pop('Status')
        equal(got, ask, 'what was asked')
        equal(list(status), ['State', 'SubmissionTimestamp'], 'queued')
        equal(status['State'], 'QUEUED')
        calls.refused('GetArchiveSearchResults', 'ConflictException', 'still in progress', SearchId=id)
        calls.refused('StartArchiveSearch', 'ServiceQuotaExceededException', 'another search', **ask)
        calls.refused('StartArchiveSearch', 'ValidationException', '30 days', **dict(ask, FromTimestamp=RANGE[1] - 30 * DAY - 1))
        calls.refused('StartArchiveSearch', 'ValidationException', 'before', **dict(ask, FromTimestamp=RANGE[1]))
        calls('StopArchiveSearch', SearchId=id)
        equal(calls('GetArchiveSearch', SearchId=id)['Status']['State'], 'CANCELLED')
        calls.refused('GetArchiveSearchResults', 'ConflictException', 'stopped', SearchId=id)
        stopped = calls('GetArchiveSearch', SearchId=id)
        calls('StopArchiveSearch', SearchId=id)  # the same twice
        equal(calls('GetArchiveSearch', SearchId=id), stopped, 'stopped twice')
        second = calls('StartArchiveSearch', **ask)['SearchId']
        calls.say('run')
        equal(calls.until_ended('GetArchiveSearch', SearchId=second)['Status']['State'], 'COMPLETED')
        equal(calls('GetArchiveSearch', SearchId=id), stopped, 'what was stopped stays so')
        equal(len(calls('GetArchiveSearchResults', SearchId=second)['Rows']), 4)

@test
def lists_are_pages_newest_first():
    with Calls(site, open=True) as calls:
        made = [calls('StartArchiveSearch', ArchiveId=legal, FromTimestamp=1, ToTimestamp=2, MaxResults=1)['SearchId'] for _ in range(7)]
        got, token, pages, tokens = [], {}, 0, []
        while True:
            page = calls('ListArchiveSearches', ArchiveId=legal, PageSize=3, **token)
            got += [s['SearchId'] for s in page['Searches']]
            pages += 1
            if 'NextToken' not in page:
                break
            token = {'NextToken': page['NextToken']}
            tokens.append(page['NextToken'])
        equal((got, pages), (made[::-1], 3), 'pages')
        # A token tells no number, not by its length either, and is one of its list alone.
        equal([(len(t), t.isdigit()) for t in tokens], [(96, False)] * 2)
        check(tokens[0] != calls('ListArchiveSearches', ArchiveId=legal, PageSize=3)['NextToken'], 'the same place twice can be told')
        for operation, archive in (('ListArchiveSearches', corp), ('ListArchiveExports', legal)):
            calls.refused(operation, 'ValidationException', 'NextToken', ArchiveId=archive, NextToken=tokens[0])
        calls.refused('ListArchiveSearches', 'ValidationException', 'NextToken', ArchiveId=legal, NextToken=tokens[0][:-1] + ('0' if tokens[0][-1] != '0' else '1'))
        equal(calls('ListArchiveSearches', ArchiveId=legal, PageSize=7).get('NextToken'), None, 'a whole page is the last')
        calls.refused('ListArchiveSearches', 'ValidationException', 'NextToken', ArchiveId=legal, NextToken='x')
        equal(len(calls('ListArchiveSearches', ArchiveId=legal)['Searches']), 7)
        equal(calls('ListArchiveExports', ArchiveId=legal), {'Exports': []}, 'exports')
        for id in made:
            calls.until_ended('GetArchiveSearch', SearchId=id)

@test
def what_others_search_is_not_told():
    """The quota of one at a time is each principal's."""
    ask = {'FromTimestamp': 1, 'ToTimestamp': 2, 'MaxResults': 1}
    with Calls(site, wait=True) as calls:
        made = [calls('StartArchiveSearch', who, ArchiveId=archive, **ask)['SearchId'] for who, archive in (('ann', corp), ('bob', legal), (None, corp))]
        for who, archive in (('ann', corp), ('bob', legal), (None, legal)):
            calls.refused('StartArchiveSearch', 'ServiceQuotaExceededException', 'another search', who, ArchiveId=archive, **ask)
        calls('StopArchiveSearch', 'bob', SearchId=made[1])
        calls('StartArchiveSearch', 'bob', ArchiveId=legal, **ask)

@test
def jobs_of_a_principal_are_bounded():
    """His oldest that ended are forgotten, nobody else's; and as many may wait."""
    ask = {'ArchiveId': legal, 'FromTimestamp': 1, 'ToTimestamp': 2, 'MaxResults': 1}
    there = lambda calls, id, who=None: 'error' not in json.loads(calls.answer('GetArchiveSearch', who, SearchId=id))
    def one(calls, who=None):
        id = calls('StartArchiveSearch', who, **ask)['SearchId']
        calls.until_ended('GetArchiveSearch', SearchId=id)
        return id
    with Calls(site, open=True, jobs_kept=3) as calls:
        theirs = one(calls, 'bob')
        made = [one(calls) for _ in range(6)]
        equal([there(calls, id) for id in made], [False] * 3 + [True] * 3)
        check(there(calls, theirs, 'bob'), 'of another principal')
    with Calls(site, wait=True, open=True, jobs_kept=3) as calls:
        for _ in range(3):
            calls('StartArchiveSearch', **ask)
        calls.refused('StartArchiveSearch', 'ServiceQuotaExceededException', '3 of your searches', **ask)
        calls('StartArchiveSearch', 'bob', **ask)
        check(not any(there(calls, id) for id in made), 'those that wait count')

@test
def foreign_and_missing_answers_are_equal():
    with Calls(site, open=True, url='http://127.0.0.1:8025') as calls:
        mine = calls('StartArchiveSearch', ArchiveId=corp, FromTimestamp=1, ToTimestamp=2, MaxResults=1)['SearchId']
        calls.until_ended('GetArchiveSearch', SearchId=mine)
        def both(operation, member, foreign, missing, **more):
            a = calls.answer(operation, 'bob', **{member: foreign}, **more)
            b = calls.answer(operation, 'bob', **{member: missing}, **more)
            check('error' in json.loads(a), a)
            equal(a.replace(foreign, '*'), b.replace(missing, '*'), operation)
        gone = 'a-' + 'x' * (len(corp) - 2)
        window = {'FromTimestamp': RANGE[0], 'ToTimestamp': RANGE[1], 'MaxResults': 1}
        both('StartArchiveSearch', 'ArchiveId', corp, gone, **window)
        both('StartArchiveExport', 'ArchiveId', corp, gone, **window)
        both('ListArchiveSearches', 'ArchiveId', corp, gone)
        both('ListArchiveExports', 'ArchiveId', corp, gone)
        for operation in ('GetArchiveSearch', 'GetArchiveSearchResults', 'StopArchiveSearch'):
            both(operation, 'SearchId', mine, 's-' + '0' * 24)
        for operation in ('GetArchiveMessage', 'GetArchiveMessageContent'):
            both(operation, 'ArchivedMessageId', corp + '.' + ids[0], corp + '.' + ids[0][:-1] + ('0' if ids[0][-1] != '0' else '1'))
            both(operation, 'ArchivedMessageId', corp + '.' + ids[0], gone + '.' + ids[0])
            both(operation, 'ArchivedMessageId', corp + '.' + ids[0], 'nonsense')
        # The control: who has the archive is answered.
        equal(calls('GetArchiveSearch', 'ann', SearchId=mine)['ArchiveId'], corp)
        check('Metadata' in calls('GetArchiveMessage', 'ann', ArchivedMessageId=corp + '.' + ids[0]), 'ann reads')

@test
def a_search_survives_a_restart_and_needs_its_right():
    ask = {'ArchiveId': corp, 'FromTimestamp': RANGE[0], 'ToTimestamp': RANGE[1], 'MaxResults': 10}
    calls = Calls(site, wait=True, open=True)
    id = calls('StartArchiveSearch', 'ann', **ask)['SearchId']
    calls.kill()
    with Calls(site) as calls:
        equal(calls.until_ended('GetArchiveSearch', SearchId=id)['Status']['State'], 'COMPLETED')
        equal(len(calls('GetArchiveSearchResults', SearchId=id)['Rows']), 4)
    last = entries('search')[-1]
    equal((last['archive'], last['job'], last['hits'], last['limit']), ('corp', id, 4, 10), 'accounted')
    calls = Calls(site, wait=True, open=True)
    id = calls('StartArchiveSearch', 'ann', **ask)['SearchId']
    calls.close()
    site.run('mmctl', 'principal', 'disable', 'ann')
    with Calls(site) as calls:
        status = calls.until_ended('GetArchiveSearch', SearchId=id)['Status']
        equal(status['State'], 'FAILED')
        check('rights' in status['ErrorMessage'], str(status))
    site.run('mmctl', 'principal', 'enable', 'ann')

@test
def a_message_is_described_linked_and_read():
    with Calls(site, url='http://127.0.0.1:8025', link_seconds=60) as calls:
        got = calls('GetArchiveMessage', 'ann', ArchivedMessageId=corp + '.' + ids[2])
        meta = got['Metadata']
        equal(got['Envelope'], {'Helo': 'client.example', 'From': 'carl@other.example', 'To': ['sales@corp.example']}, 'envelope')
        equal((meta['SenderHostname'], meta['SenderIpAddress']), ('client.example', '127.0.0.1'), 'peer')
        check({'Timestamp', 'IngressPointId', 'TrafficPolicyId', 'RuleSetId', 'SourceArn'} <= set(meta), str(meta))
        link = got['MessageDownloadLink']
        check(link.startswith('http://127.0.0.1:8025/message/%s/%s?principal=ann&' % (corp, ids[2])), link)
        check('X-Amz-Expires=60' in link and 'X-Amz-Signature=' in link, link)
        body = calls('GetArchiveMessageContent', 'ann', ArchivedMessageId=corp + '.' + ids[2])['Body']
        equal({k: v.strip() if k != 'MessageMalformed' else v for k, v in body.items()},
              {'Text': 'Gr\u00fc\u00dfe', 'Html': '<p>Gr\u00fc\u00dfe <b>ann</b></p>', 'MessageMalformed': False}, 'content')
        equal(calls('GetArchiveMessageContent', ArchivedMessageId=corp + '.' + ids[1])['Body']['Text'].strip(), 'see the plan', 'no attachment')
        got = calls('api-message', 'ann', archive=corp, id=ids[2])
        equal(got['rows'], [{'bytes': len(sent[2]), 'name': ids[2]}], 'head')
        equal(base64.b64decode(got['bytes']), sent[2], 'bytes')
        a = calls.answer('api-message', 'bob', archive=corp, id=ids[2])
        b = calls.answer('api-message', 'bob', archive='a-nowhere', id=ids[2])
        check('error' in json.loads(a) and a == b, a + b)
    equal([d['form'] for d in entries('read')[-4:]], ['envelope', 'content', 'content', 'raw'], 'accounted')

@test
def rows_that_are_shown_are_accounted():
    """Each time, with who, which search, and how many; also none. What isn't shown isn't said to be."""
    before, made = len(entries_of('results')), []
    with Calls(site, open=True) as calls:
        for who, filters in (('ann', {'Include': [contains('SUBJECT', 'order')]}), (None, {'Include': [contains('SUBJECT', 'nothing')]})):
            id = calls('StartArchiveSearch', 'ann', ArchiveId=corp, FromTimestamp=RANGE[0], ToTimestamp=RANGE[1], MaxResults=10, Filters=filters)['SearchId']
            calls.until_ended('GetArchiveSearch', SearchId=id)
            rows = calls('GetArchiveSearchResults', who, SearchId=id)['Rows']
            made.append(('principal ann' if who else 'uid 0', 'corp', id, len(rows)))
            calls.answer('GetArchiveSearchResults', 'bob', SearchId=id)
    equal([m[3] for m in made], [2, 0])
    equal([(e['who'],) + tuple(e['detail'][k] for k in ('archive', 'job', 'rows')) for e in entries_of('results')[before:]], made)

@test
def what_is_destroyed_is_gone_from_results():
    with Calls(site) as calls:
        id = calls('StartArchiveSearch', ArchiveId=corp, FromTimestamp=RANGE[0], ToTimestamp=RANGE[1], MaxResults=10)['SearchId']
        calls.until_ended('GetArchiveSearch', SearchId=id)
        equal(len(calls('GetArchiveSearchResults', SearchId=id)['Rows']), 4, 'before')
    site.run('mm-retention', 'erase', '--archive', 'corp', '--reason', 'test', '--yes', ids[1])
    with Calls(site) as calls:
        equal([r['ArchivedMessageId'][-26:] for r in calls('GetArchiveSearchResults', SearchId=id)['Rows']], [ids[3], ids[2], ids[0]], 'after')
        calls.refused('GetArchiveMessage', 'ValidationException', 'there is no message', ArchivedMessageId=corp + '.' + ids[1])
    site.advance(days=31)
    with Calls(site) as calls:
        for _ in range(200):
            if 'error' in json.loads(calls.answer('GetArchiveSearch', SearchId=id)):
                break
            time.sleep(0.05)
        calls.refused('GetArchiveSearch', 'ValidationException', 'there is no search', SearchId=id)
        equal(calls('ListArchiveSearches', ArchiveId=corp), {'Searches': []}, 'history')

@test
def a_deleted_archive_is_closed_to_all_of_it():
    ask = {'ArchiveId': corp, 'FromTimestamp': RANGE[0], 'ToTimestamp': RANGE[1], 'MaxResults': 10}
    calls = Calls(site, open=True)
    ended = calls('StartArchiveSearch', **ask)['SearchId']
    calls.until_ended('GetArchiveSearch', SearchId=ended)
    calls.close()
    calls = Calls(site, wait=True, open=True)
    queued = calls('StartArchiveSearch', **ask)['SearchId']
    check('Metadata' in calls('GetArchiveMessage', ArchivedMessageId=corp + '.' + ids[0]), 'before')
    calls.close()
    site.run('change', '--data', site.data, '--key-file', site.data + '.key', 'delete', 'archive', 'corp')
    with Calls(site, open=True) as calls:
        status = calls.until_ended('GetArchiveSearch', SearchId=queued)['Status']
        equal((status['State'], status['ErrorMessage']), ('FAILED', 'the archive is being deleted'))
        calls.refused('GetArchiveSearchResults', 'ConflictException', 'being deleted', SearchId=ended)
        calls.refused('StartArchiveSearch', 'ConflictException', 'being deleted', **ask)
        for operation in ('GetArchiveMessage', 'GetArchiveMessageContent'):
            calls.refused(operation, 'ValidationException', 'there is no message', ArchivedMessageId=corp + '.' + ids[0])
        check('error' in json.loads(calls.answer('api-message', archive=corp, id=ids[0])), 'a link')

done()
