#!/usr/bin/env python3
"""WriteToS3 against a real S3 server (radosgw), which checks signatures: bytes and names, in the path and in front of the host, over TLS,
under a key of its KMS; what it refuses."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from called import *
import s3
from s3 import Ceph, Proxy

KMS = """
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = our-own-mail-key-number-one=%s
rgw crypt require ssl = false
""" % base64.b64encode(bytes(range(32))).decode()

try:
    s3.CONF += KMS
    ceph = Ceph()
except Skip as e:
    print('skip s3: %s' % e)
    done()
ceph.make('mail')

def at(url, **more):
    return {'s3': dict({'url': url, 'access_key': s3.ACCESS, 'secret_key': s3.SECRET, 'path_style': True}, **more)}

def id_of(number):
    return '%025d0' % number

@test
def objects_are_what_was_received():
    rng = random.Random(int(os.environ.get('MM_SEED') or random.randrange(1 << 32)))
    sizes = [0, 1, 100, 65536, 1 << 20, 20 << 20] + [rng.randrange(1 << 16) for _ in range(200 if LONG else 20)]
    prefixes = ['', 'in/', 'in', '/x//y/', "a!_.*'()-/", 'z' * 60 + '/']
    with Caller(at('http://127.0.0.1:%d' % ceph.port)) as caller:
        asked = []
        for n, size in enumerate(sizes):
            raw, prefix = mail('n %d' % n) + rng.randbytes(size), prefixes[n % len(prefixes)]
            asked.append((caller.begin_action('WriteToS3', dict({'S3Bucket': 'mail'}, **({'S3Prefix': prefix} if prefix else {})), raw,
                                              message=id_of(n)), prefix + id_of(n), raw))
        for id, key, raw in asked:
            equal(caller.wait(id)['result'], {'end': 'done', 'disposition': 'CONTINUE', 'text': ''}, key)
            check(ceph.get('mail', key) == raw, 'bytes of ' + key)

@test
def twice_is_one_object():
    with Caller(at('http://127.0.0.1:%d' % ceph.port)) as caller:
        for _ in range(2):
            equal(caller.act('WriteToS3', {'S3Bucket': 'mail', 'S3Prefix': 'twice/'}, mail())['result']['end'], 'done')
    equal(ceph.names('mail', 'list-type=2&prefix=twice%2F'), ['twice/' + MESSAGE])

@test
def objects_under_a_key():
    with Caller(at('http://127.0.0.1:%d' % ceph.port)) as caller:
        got = caller.act('WriteToS3', {'S3Bucket': 'mail', 'S3Prefix': 'kms/', 'S3SseKmsKeyId': 'our-own-mail-key-number-one'}, mail())
        equal(got['result']['end'], 'done', str(got))
        equal(ceph.get('mail', 'kms/' + MESSAGE), mail())
        got = caller.act('WriteToS3', {'S3Bucket': 'mail', 'S3Prefix': 'kms2/', 'S3SseKmsKeyId': 'no-such-key-is-there-at-all'}, mail())
        equal(got['result']['end'] in ('set-up', 'never'), True, str(got))
    equal(ceph.names('mail', 'list-type=2&prefix=kms2'), [], 'nothing in the clear instead')

@test
def what_it_refuses():
    url = 'http://127.0.0.1:%d' % ceph.port
    for endpoints, bucket, code in ((at(url), 'nowhere', '404 NoSuchBucket'), (at(url, secret_key='wrong'), 'mail', '403 SignatureDoesNotMatch'),
                                    (at(url, access_key='AKIANOBODY'), 'mail', '403 InvalidAccessKeyId')):
        with Caller(endpoints) as caller:
            got = caller.act('WriteToS3', {'S3Bucket': bucket}, mail())
            equal(got['result'], {'end': 'set-up', 'disposition': 'CONTINUE', 'text': 'S3 answers ' + code}, str(got))
            check(s3.SECRET not in caller.tail(), 'the secret')

@test
def what_fails_for_a_while_passes():
    proxy = Proxy(ceph.port, lambda n, l: ('cut', 503, 429, 500, None)[n])
    with Caller(at('http://127.0.0.1:%d' % proxy.port)) as caller:
        ends = [caller.act('WriteToS3', {'S3Bucket': 'mail', 'S3Prefix': 'while/'}, mail())['result']['end'] for _ in range(5)]
    equal(ends, ['later'] * 4 + ['done'])
    equal(ceph.names('mail', 'list-type=2&prefix=while%2F'), ['while/' + MESSAGE])

@test
def over_tls_in_the_path_and_in_front():
    hosts = os.path.join(ceph.d, 'hosts-of-calls')
    with open(hosts, 'w') as f:
        f.write('127.0.0.1 s3.test\n')  # not mail.s3.test: a bucket is looked for at the endpoint's address
    for path_style in (True, False):
        for scheme, port in (('https', ceph.tls), ('http', ceph.port)):
            with Caller(at('%s://s3.test:%d' % (scheme, port), path_style=path_style), trusted=ceph.d + '/ca', hosts=hosts) as caller:
                prefix = '%s-%s/' % (scheme, path_style)
                got = caller.act('WriteToS3', {'S3Bucket': 'mail', 'S3Prefix': prefix}, mail())
                equal(got['result']['end'], 'done', str(got))
                equal(ceph.get('mail', prefix + MESSAGE), mail())
    with Caller(at('https://s3.test:%d' % ceph.tls), hosts=hosts) as caller:
        got = caller.act('WriteToS3', {'S3Bucket': 'mail', 'S3Prefix': 'untrusted/'}, mail())
        equal(got['result']['end'], 'later', str(got))

done()
