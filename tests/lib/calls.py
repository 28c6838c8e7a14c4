"""tests/lib/calls.py - the operations on searches, exports and messages through tests/helpers/control_calls.c."""
import time
from mm import *

DAY = 86400000

class Calls:
    """control_calls on a site's directory, while no mmd runs."""
    def __init__(self, site, **options):
        self.site = site
        self.process = subprocess.Popen([os.path.join(site.bin, 'control_calls'), site.data, json.dumps(options)], env=site.env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(site.log, 'ab'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """A clean end; anything but exit 0 is a failure."""
        if self.process:
            p, self.process = self.process, None
            p.stdin.close()
            code = p.wait(120)
            p.stdout.close()
            equal(code, 0, 'control_calls: ' + self.site.tail())

    def kill(self):
        p, self.process = self.process, None
        p.kill()
        p.wait(30)
        p.stdin.close()
        p.stdout.close()

    def say(self, operation, principal=None, **given):
        line = {'operation': operation, 'input': given}
        if principal:
            line['principal'] = principal
        self.process.stdin.write(json.dumps(line).encode() + b'\n')
        self.process.stdin.flush()

    def answer(self, operation, principal=None, **given):
        """The line as it came."""
        self.say(operation, principal, **given)
        line = self.process.stdout.readline()
        check(line, 'control_calls ended: ' + self.site.tail())
        return line.decode()

    def __call__(self, operation, principal=None, **given):
        answer = json.loads(self.answer(operation, principal, **given))
        check('error' not in answer, '%s: %s' % (operation, answer))
        return answer.get('output', answer)

    def refused(self, operation, error, text, principal=None, **given):
        answer = json.loads(self.answer(operation, principal, **given))
        equal(answer.get('error'), error, '%s %s' % (operation, answer))
        check(text in answer['message'], answer['message'])

    def until_ended(self, operation, **given):
        """What a Get operation says at the end."""
        while True:
            got = self(operation, **given)
            if 'CompletionTimestamp' in got['Status']:
                return got
            check(got['Status']['State'] in ('QUEUED', 'RUNNING', 'PREPROCESSING', 'PROCESSING'), got)
            time.sleep(0.02)

    def search(self, archive, begin, end, most=1000, **filters):
        """The rows of a whole search."""
        id = self('StartArchiveSearch', ArchiveId=archive, FromTimestamp=begin, ToTimestamp=end, MaxResults=most, Filters=filters)['SearchId']
        status = self.until_ended('GetArchiveSearch', SearchId=id)['Status']
        equal(status['State'], 'COMPLETED', str(status))
        return self('GetArchiveSearchResults', SearchId=id)['Rows']

def contains(attribute, *values):
    return {'StringExpression': {'Evaluate': {'Attribute': attribute}, 'Operator': 'CONTAINS', 'Values': list(values)}}

def attachments(yes):
    return {'BooleanExpression': {'Evaluate': {'Attribute': 'HAS_ATTACHMENTS'}, 'Operator': 'IS_TRUE' if yes else 'IS_FALSE'}}

def archive_ids(site):
    return {a['ArchiveName']: a['ArchiveId'] for a in json.loads(site.run('mmctl', 'show', 'archives', '--json'))['Archives']}
