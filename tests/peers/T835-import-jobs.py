#!/usr/bin/env python3
"""Import jobs of address lists by the AWS SDK: the file is put to the link that the API gives, in CSV and JSON, 100,000 addresses and
more, put again, stopped, gone on with after a kill; and who may not is refused."""
import http.client, os, sys, urllib.parse
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from sdk import *

site, port = site_with_api(profile='open')
api = Api(site, port)
LIST = api.call('CreateAddressList', AddressListName='vip')['AddressListId']

def put(url, data, method='PUT'):
    u = urllib.parse.urlsplit(url)
    c = http.client.HTTPConnection(u.netloc, timeout=120)
    c.request(method, u.path + '?' + u.query, data)
    return c.getresponse().status

def create(name, kind, list_id=LIST, **more):
    return api.call('CreateAddressListImportJob', AddressListId=list_id, Name=name, ImportDataFormat={'ImportDataType': kind}, **more)

def get(job):
    return api.call('GetAddressListImportJob', JobId=job)

def ended(job):
    for _ in range(1200):
        got = get(job)
        if got['Status'] not in ('CREATED', 'PROCESSING'):
            return got
        time.sleep(0.05)
    raise AssertionError('it does not end: %r' % got)

def members(list_id=LIST):
    out, token = [], {}
    while True:
        page = api.call('ListMembersOfAddressList', AddressListId=list_id, PageSize=1000, **token)
        out += [a['Address'] for a in page['Addresses']]
        if 'NextToken' not in page:
            return out
        token = {'NextToken': page['NextToken']}

@test
def csv_and_json():
    for kind, data in (('CSV', b'address\r\nann@corp.example\r\nnot an address\r\n*@b.example\r\n'),
                       ('JSON', b'{"items":[{"address":"kim@corp.example"},{"address":"x"},{"address":"*.c.example"}]}')):
        job = create('first-' + kind, kind)
        got = get(job['JobId'])
        equal((got['Status'], got['Name'], got['AddressListId'], got['ImportDataFormat'], got['PreSignedUrl']),
              ('CREATED', 'first-' + kind, LIST, {'ImportDataType': kind}, job['PreSignedUrl']))
        api.refuses('ConflictException', 'StartAddressListImportJob', JobId=job['JobId']) # there is no file
        equal(put(job['PreSignedUrl'], b'what is put first'), 200)
        equal(put(job['PreSignedUrl'], data), 200, 'put again')
        api.call('StartAddressListImportJob', JobId=job['JobId'])
        got = ended(job['JobId'])
        equal((got['Status'], got['ImportedItemsCount'], got['FailedItemsCount']), ('COMPLETED', 2, 1), got)
        check(time_of(got['CompletedTimestamp']) >= time_of(got['StartTimestamp']) >= time_of(got['CreatedTimestamp']), got)
        api.refuses('ConflictException', 'StartAddressListImportJob', JobId=job['JobId'])
        check(put(job['PreSignedUrl'], data) != 200, 'a file for a job that has ended')
    equal(sorted(members()), ['*.c.example', '*@b.example', 'ann@corp.example', 'kim@corp.example'])
    jobs = api.call('ListAddressListImportJobs', AddressListId=LIST, PageSize=1)
    equal((len(jobs['ImportJobs']), jobs['ImportJobs'][0]['Name'], 'NextToken' in jobs), (1, 'first-CSV', True))

@test
def a_file_of_another_form_fails():
    job = create('odd', 'JSON')
    equal(put(job['PreSignedUrl'], b'address\nann@corp.example\n'), 200)
    api.call('StartAddressListImportJob', JobId=job['JobId'])
    got = ended(job['JobId'])
    equal((got['Status'], bool(got['Error'])), ('FAILED', True), got)

@test
def many_and_a_kill_in_the_middle():
    big = api.call('CreateAddressList', AddressListName='big')['AddressListId']
    job = create('big', 'CSV', big)
    data = b'address\n' + b''.join(b'user%d@corp.example\n' % i for i in range(100000))
    equal(put(job['PreSignedUrl'], data), 200)
    api.call('StartAddressListImportJob', JobId=job['JobId'])
    while get(job['JobId']).get('ImportedItemsCount', 0) < 20000:
        time.sleep(0.02)
    site.kill()
    site.start()
    got = ended(job['JobId'])
    equal((got['Status'], got['ImportedItemsCount'], got['FailedItemsCount']), ('COMPLETED', 100000, 0), got)
    equal(api.call('ListMembersOfAddressList', AddressListId=big, PageSize=10, Filter={'AddressPrefix': 'USER99999@'})['Addresses'][0]['Address'],
          'user99999@corp.example')
    equal(len(members(big)), 100000)

@test
def stopped_and_refused():
    job = create('stopped', 'CSV')
    api.call('StopAddressListImportJob', JobId=job['JobId'])
    equal(get(job['JobId'])['Status'], 'STOPPED')
    api.refuses('ConflictException', 'StartAddressListImportJob', JobId=job['JobId'])
    api.refuses('ResourceNotFoundException', 'GetAddressListImportJob', JobId='job-missing')
    api.refuses('ResourceNotFoundException', 'CreateAddressListImportJob', AddressListId='al-missing', Name='x', ImportDataFormat={'ImportDataType': 'CSV'})
    fresh = create('fresh', 'CSV')
    for url in (fresh['PreSignedUrl'].replace(fresh['JobId'], job['JobId']), fresh['PreSignedUrl'][:-1] + ('1' if fresh['PreSignedUrl'].endswith('0') else '0'), fresh['PreSignedUrl'].split('?')[0]):
        equal(put(url, b'address\nx@y.example\n'), 403, url)
    equal(put(fresh['PreSignedUrl'], None, 'GET'), 404, 'another method')
    auditor = Api(site, port, role='auditor', archives=['corp'], lines=api.lines)
    auditor.refuses('AccessDeniedException', 'CreateAddressListImportJob', AddressListId=LIST, Name='x', ImportDataFormat={'ImportDataType': 'CSV'})
    equal(put(fresh['PreSignedUrl'], b'address\nx@y.example\n'), 200, 'the control')
    same = create('token', 'CSV', ClientToken='t')
    equal(create('token', 'CSV', ClientToken='t')['JobId'], same['JobId'])
    api.refuses('ValidationException', 'CreateAddressListImportJob', AddressListId=LIST, Name='other', ImportDataFormat={'ImportDataType': 'CSV'},
                ClientToken='t')

done()
