#!/usr/bin/env python3
"""Searches, messages and links over HTTP, with mmd and mm-httpd: times as the wire has them, a link is good for its message, its life and
the rights of who got it, and nothing else."""
import os, sys, urllib.parse
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from calls import contains, archive_ids
from mm import *
from signed import *

api = free_port()
site = Site(config={'api': {'listen': '127.0.0.1:%d' % api, 'link_seconds': 600}}).start()
HOST = '127.0.0.1:%d' % api
boss = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
ann = json.loads(site.run('mmctl', 'principal', 'create', 'ann.b', '--role', 'auditor', '--archive', 'corp', '--json'))
large = mail('large', '\r\n'.join('%032x' % random.getrandbits(128) for _ in range(60000)))
sent = [mail('one'), large]
ids = [site.send(m) for m in sent]
site.wait()
corp = archive_ids(site)['corp']

def call(operation, key=boss, **given):
    line = Line(api)
    status, answer = line.call(key, HOST, operation, json.dumps(given).encode())
    line.close()
    return status, answer

def good(operation, key=boss, **given):
    status, answer = call(operation, key, **given)
    equal(status, 200, '%s %r' % (operation, answer))
    return answer

def fetch(link, method='GET'):
    part = urllib.parse.urlsplit(link)
    line = Line(part.port)
    line.send(('%s %s?%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' % (method, part.path, part.query, part.netloc)).encode())
    got = line.answer()
    line.close()
    return got

def link_of(id, key=ann):
    return good('GetArchiveMessage', key, ArchivedMessageId=corp + '.' + id)['MessageDownloadLink']

@test
def a_search_from_start_to_rows():
    now = time.time()
    ask = {'ArchiveId': corp, 'FromTimestamp': now - 86400, 'ToTimestamp': now + 86400.5, 'MaxResults': 5,
           'Filters': {'Include': [contains('SUBJECT', 'ONE')]}}
    id = good('StartArchiveSearch', **ask)['SearchId']
    while True:
        got = good('GetArchiveSearch', SearchId=id)
        if 'CompletionTimestamp' in got['Status']:
            break
        status, answer = call('GetArchiveSearchResults', SearchId=id)
        check(status == 200 or (status == 409 and 'still in progress' in answer['message']), answer)
        time.sleep(0.05)
    equal(got['Status']['State'], 'COMPLETED', got)
    check(abs(got['FromTimestamp'] - ask['FromTimestamp']) < 0.002 and abs(got['Status']['CompletionTimestamp'] - now) < 600, got)
    rows = good('GetArchiveSearchResults', ann, SearchId=id)['Rows']
    equal([(r['Subject'], r['ArchivedMessageId']) for r in rows], [('one', corp + '.' + ids[0])])
    check(abs(rows[0]['ReceivedTimestamp'] - now) < 600, rows)
    equal(good('ListArchiveSearches', ArchiveId=corp)['Searches'][0], {'SearchId': id, 'Status': got['Status']})
    status, answer = call('StartArchiveExport', **dict(ask, ExportDestinationConfiguration={'S3': {'S3Location': 's3://mail/x'}}))
    check(status == 400 and 'no S3 endpoint' in answer['message'], answer)
    equal(good('GetArchiveMessageContent', ann, ArchivedMessageId=corp + '.' + ids[0])['Body']['Text'].strip(), 'text')

@test
def a_link_gives_the_bytes():
    for id, data in zip(ids, sent):
        status, fields, body = fetch(link_of(id))
        equal(status, 200, body[:200])
        check(body == data, 'bytes of a link')
        check('%s.eml' % id in fields['content-disposition'], fields)

@test
def a_connection_goes_on_behind_a_link():
    """Also where the last bytes had gone when the end was known."""
    for id, data in zip(ids, sent):
        part = urllib.parse.urlsplit(link_of(id))
        line = Line(part.port)
        for _ in range(4):
            line.send(('GET %s?%s HTTP/1.1\r\nHost: %s\r\n\r\n' % (part.path, part.query, part.netloc)).encode())
            status, _, body = line.answer()
            equal((status, body == data), (200, True))
        line.close()

@test
def a_link_that_was_changed_gives_nothing():
    link = link_of(ids[0])
    last = '0' if link[-1] != '0' else '1'
    for changed in (link[:-1] + last, link.replace(ids[0], ids[1]), link.replace('principal=ann.b', 'principal=boss'),
                    link.replace('X-Amz-Expires=600', 'X-Amz-Expires=601'), link.replace('principal=ann.b&', ''), link + '&principal=boss',
                    link + '&query=x', link.split('?')[0], link.replace(corp, 'a-nowhere')):
        check(changed != link, changed)
        status, _, body = fetch(changed)
        check(status == 403 and sent[0] not in body, '%d %s' % (status, changed))
    equal(fetch(link)[0], 200, 'the link itself')

@test
def a_link_breaks_off_when_the_right_goes():
    huge = mail('huge', '\r\n'.join(['x' * 900] * 9000), extra='MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n') # more than the kernel keeps
    id = site.send(huge)
    site.wait()
    for right in ('corp', 'legal'): # it stays: the control
        part = urllib.parse.urlsplit(link_of(id))
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(60)
        s.connect(('127.0.0.1', part.port))
        s.sendall(('GET %s?%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' % (part.path, part.query, part.netloc)).encode())
        got = [s.recv(65536)]
        site.run('mmctl', 'principal', 'archives', 'ann.b', '--archive', right)
        try:
            while got[-1]:
                got.append(s.recv(1 << 20))
        except ConnectionResetError:
            pass
        s.close()
        whole = b''.join(got).split(b'\r\n\r\n', 1)[1] == huge
        equal(whole, right == 'corp', '%d bytes' % sum(map(len, got)))
    site.run('mmctl', 'principal', 'archives', 'ann.b', '--archive', 'corp')

@test
def a_link_has_the_rights_of_who_got_it_and_its_life():
    link = link_of(ids[0])
    site.run('mmctl', 'principal', 'disable', 'ann.b')
    check(fetch(link)[0] != 200, 'a link of who may no longer')
    site.run('mmctl', 'principal', 'enable', 'ann.b')
    equal(fetch(link)[0], 200, 'enabled again')
    site.run('mmctl', 'principal', 'archives', 'ann.b', '--archive', 'legal')
    check(fetch(link)[0] in (400, 404), 'a link of who lost the archive')
    site.run('mmctl', 'principal', 'archives', 'ann.b', '--archive', 'corp')
    equal(fetch(link)[0], 200, 'given back')
    gone = json.loads(site.run('mmctl', 'principal', 'create', 'gone', '--role', 'admin', '--json'))
    theirs = link_of(ids[0], gone)
    equal(fetch(theirs)[0], 200, 'the control')
    site.run('mmctl', 'principal', 'delete', 'gone')
    equal(fetch(theirs)[0], 403, 'a link of who was removed')
    site.stop()
    site.start()
    equal(fetch(link)[0], 403, 'a link from before a start')
    link = link_of(ids[0])
    equal(fetch(link)[0], 200, 'a new one')
    other = link_of(ids[1])
    site.run('mm-retention', 'erase', '--archive', 'corp', '--reason', 'test', '--yes', ids[1])
    status, _, body = fetch(other)
    check(status in (400, 404) and large[1000:1100] not in body, status)
    site.advance(seconds=601)
    equal(fetch(link)[0], 403, 'too late')

@test
def what_was_read_is_accounted():
    reads = [e for e in map(json.loads, site.run('mm-audit', 'list', '--json').splitlines()) if e['event'] == 'read' and e['detail'].get('form') == 'raw']
    check(len(reads) >= 5, len(reads))
    equal({(e['who'], e['detail']['archive']) for e in reads}, {('principal %s (link)' % name, 'corp') for name in ('ann.b', 'gone')})

site.stop()
done()
