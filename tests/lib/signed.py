"""tests/lib/signed.py - calls to the control API by hand: a signature by Python's hmac, and raw HTTP, in AWS JSON or CBOR"""
import datetime, hashlib, hmac, json, socket, ssl, time
import cbor

def signature(secret, day, region, text):
    key = ('AWS4' + secret).encode()
    for part in (day, region, 'ses', 'aws4_request'):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

def request(key, host, operation, body=b'{}', when=None, region='us-east-1', more='', protocol='json', signed=(), payload=None):
    """The bytes of a signed call; `more` are further header lines, `signed` further fields that are signed, `payload` is said instead of
    the body's hash."""
    when = when or datetime.datetime.now(datetime.timezone.utc)
    stamp = when.strftime('%Y%m%dT%H%M%SZ')
    fields = {'host': host, 'x-amz-date': stamp}
    if protocol == 'json':
        path = '/'
        fields.update({'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'MailManagerSvc.' + operation})
    else:
        path = '/service/MailManagerSvc/operation/' + operation
        fields.update({'content-type': 'application/cbor', 'smithy-protocol': 'rpc-v2-cbor'})
    fields = dict(sorted(dict(fields, **dict(signed)).items()))
    names = ';'.join(fields)
    canonical = 'POST\n%s\n\n' % path + ''.join('%s:%s\n' % f for f in fields.items()) + '\n' + names + '\n' + (
        payload or hashlib.sha256(body).hexdigest())
    scope = '%s/%s/ses/aws4_request' % (stamp[:8], region)
    text = 'AWS4-HMAC-SHA256\n%s\n%s\n%s' % (stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
    lines = ['%s: %s\r\n' % f for f in fields.items()]
    lines.append('Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s\r\n' % (
        key['AccessKeyId'], scope, names, signature(key['SecretAccessKey'], stamp[:8], region, text)))
    return ('POST %s HTTP/1.1\r\n' % path + ''.join(lines) + more + 'Content-Length: %d\r\n\r\n' % len(body)).encode() + body

def encoded(value, protocol):
    return json.dumps(value).encode() if protocol == 'json' else cbor.encode(value)

def decoded(fields, body):
    return cbor.decode(body) if fields.get('content-type') == 'application/cbor' else json.loads(body or b'{}')

class Line:
    """One connection."""
    def __init__(self, port, tls=None, timeout=60):
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=timeout)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname='localhost')
        self.file = self.sock.makefile('rb')

    def send(self, data):
        self.sock.sendall(data)

    def answer(self):
        """(status, {field: value}, body); status 0: the server has closed."""
        line = self.file.readline()
        if not line:
            return 0, {}, b''
        status, fields = int(line.split()[1]), {}
        while True:
            line = self.file.readline().strip().decode()
            if not line:
                break
            name, value = line.split(':', 1)
            fields[name.lower()] = value.strip()
        return status, fields, self.file.read(int(fields.get('content-length', 0)))

    def call(self, *args, **more):
        """Signed again for a while where it is put off, as right behind a start."""
        for _ in range(20):
            self.send(request(*args, **more))
            status, fields, body = self.answer()
            if status != 429:
                break
            time.sleep(0.1)
        return status, decoded(fields, body)

    def close(self):
        self.file.close()
        self.sock.close()
