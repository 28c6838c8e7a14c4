"""tests/lib/sdk.py - the control API of a site as scripts use it: through the AWS SDK, in JSON or CBOR"""
import json
from mm import *
import node

class Refused(Exception):
    """What the SDK threw."""
    def __init__(self, error):
        Exception.__init__(self, '%(name)s: %(message)s' % error)
        self.name, self.message, self.status = error['name'], error['message'], error.get('status')
        self.modelled = error['modelled']

class Api:
    """The API of a site with a principal of its own, or under the key of another."""
    def __init__(self, site, port, role='admin', protocol='json', name=None, archives=(), key=None, lines=None):
        self.site, self.protocol, self.attempts = site, protocol, None
        self.endpoint = 'http://127.0.0.1:%d' % port
        self.lines = lines or node.Lines(*node.command('sdk.js'))
        if not key:
            more = [a for archive in archives for a in ('--archive', archive)]
            key = json.loads(site.run('mmctl', 'principal', 'create', name or 'test-' + role, '--role', role, *more, '--json'))
        self.key = key

    def call(self, command, **input):
        """Once; signed again in the second of a start, where it would be put off (`attempts`: that is left to the SDK)."""
        question = {'endpoint': self.endpoint, 'id': self.key['AccessKeyId'], 'secret': self.key['SecretAccessKey'], 'protocol': self.protocol,
                    'command': command, 'input': input, 'offset': int(open(self.site.clock).read()), 'attempts': self.attempts or 1}
        answer = self.lines.ask(question)
        while not self.attempts and 'mm was started' in answer.get('error', {}).get('message', ''):
            time.sleep(0.1)
            answer = self.lines.ask(question)
        if 'error' in answer:
            raise Refused(answer['error'])
        return answer['output']

    def other(self, protocol=None, key=None, attempts=None):
        """The same process of the SDK, otherwise."""
        api = Api.__new__(Api)
        api.__dict__.update(self.__dict__)
        api.protocol, api.key, api.attempts = protocol or self.protocol, key or self.key, attempts
        return api

    def refuses(self, name, command, _has='', **input):
        """The call fails with this exception; its message."""
        try:
            answer = self.call(command, **input)
        except Refused as e:
            if e.name != name or _has not in e.message:
                raise AssertionError('%s(%r): %s, want %s %r' % (command, input, e, name, _has))
            return e.message
        raise AssertionError('%s(%r) was answered: %r' % (command, input, answer))

def time_of(value):
    """Milliseconds of a time in an answer."""
    return value['$time']

def at(ms):
    return {'$time': ms}

def site_with_api(build_name='asan', profile=None, **more):
    """(site, port of the API); mmd runs. Ingress points of the API get ports of a pool."""
    port = free_port()
    pool = free_port()
    api = {'listen': '127.0.0.1:%d' % port, 'ingress_pool': '127.0.0.1:%d-%d' % (pool, pool + 20)}
    if profile:
        api['profile'] = profile
    config = more.pop('config', {})
    config['api'] = dict(api, **config.get('api', {}))
    return Site(build_name, config=config, **more).start(), port
