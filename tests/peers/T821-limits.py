#!/usr/bin/env python3
"""Every rule that the model has for the inputs of the 60 operations (lengths, ranges, patterns, enumerations, unions, required members, at
any depth), over HTTP in JSON and in CBOR: a value just outside is a ValidationException that names the member by its path, one just inside is not; a value of
another type is a SerializationException; unknown members and null are nothing. Generated from the table, with Python's own regular
expressions."""
import os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from signed import *
from shapes import *

PORT = free_port()
HOST = '127.0.0.1:%d' % PORT
site = Site(config={'api': {'listen': HOST, 'profile': 'open'}}).start()
key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
MODEL = load(site.bin)
PROTOCOLS = ('json', 'cbor')
line = Line(PORT)

def ask(operation, body, protocol):
    return line.call(key, HOST, operation, encoded(body, protocol), protocol=protocol)

def cases(operation):
    """(what, path, body)"""
    top = operation['Input']
    for path, shape, member in places(top):
        if member and 'Later' in member:
            yield 'later', path, built(top, path, sample(shape))
            continue
        inside, outside = inside_and_outside(shape)
        for what, some in (('inside', inside), ('outside', outside)):
            for value in some:
                yield what, path, built(top, path, value)
        yield 'type', path, built(top, path, WRONG[SHAPES[shape]['Kind']])
        if member and (member['Required'] or member['RequiredHere']):
            yield 'outside', path, without(top, path)
            yield 'outside', path, built(top, path, None)
        elif member and SHAPES[owner(top, path)]['Kind'] == 'structure':
            yield 'inside', path, built(top, path, None)
        if SHAPES[shape]['Kind'] == 'structure':
            yield 'inside', path, built(top, path, dict(sample(shape), Unknown={'a': [1, None]}))
    yield 'inside', (), dict(sample(top), Unknown=[{}], _more=1)

def owner(shape, path):
    for p in path[:-1]:
        shape = SHAPES[shape]['Item'] if p == 0 else next(m['Shape'] for m in SHAPES[shape]['Members'] if m['Name'] == p)
    return shape

def fault(what, path, status, answer):
    """What is wrong with the answer, or None."""
    error, message, name = answer.get('__type'), answer.get('message', ''), name_of(path)
    if status >= 500:
        return 'a %d' % status
    if what == 'type':
        return None if error == 'SerializationException' else 'no SerializationException'
    rule = re.match(r'([\w.\[\]]*): ((Member )?must |is there twice)', message) if error == 'ValidationException' else None
    if what == 'later':
        return None if '"%s" is not built yet' % path[-1] in message else 'not refused by name'
    if what == 'outside':
        named = rule and rule.group(1) == name or message.startswith(name + ': ') and 'not built yet' in message
        return None if named else 'not refused by its path'
    if rule or error == 'SerializationException':
        return 'refused'
    return None

counts = {}

def run(operation, protocol):
    """Lines for what is wrong."""
    lines = []
    for what, path, body in cases(operation):
        status, answer = ask(operation['Name'], body, protocol)
        counts[protocol, what] = counts.get((protocol, what), 0) + 1
        why = fault(what, path, status, answer)
        if why:
            lines.append('%s %s, %s in %s: %s: %.300s -> %d %.300s' % (operation['Name'], name_of(path), what, protocol, why, json.dumps(body), status,
                                                                       json.dumps(answer)))
    return lines

def group(name):
    def each():
        wrong = [l for op in MODEL['Operations'] if op['Group'] == name for protocol in PROTOCOLS for l in run(op, protocol)]
        for l in wrong[:40]:
            print(l)
        check(not wrong, '%d are wrong: %s' % (len(wrong), wrong[:1]))
    each.__name__ = name.lower().replace(' ', '_')
    test(each)

for name in dict.fromkeys(op['Group'] for op in MODEL['Operations']):
    group(name)

@test
def there_were_many():
    for protocol in PROTOCOLS:
        few = {what: n for (p, what), n in counts.items() if p == protocol}
        print(protocol + ': ' + ', '.join('%d %s' % (n, what) for what, n in sorted(few.items())))
        check(few['outside'] > 800 and few['inside'] > 800 and few['type'] > 400, few)

@test
def a_wrong_answer_is_seen():
    """The control: what is outside doesn't pass for inside, nor the other way round, nor does another member's name."""
    operation = next(op for op in MODEL['Operations'] if op['Name'] == 'CreateRuleSet')
    for what, path, body in cases(operation):
        if what in ('inside', 'outside') and path and SHAPES[owner(operation['Input'], path)]['Kind'] == 'structure':
            for protocol in PROTOCOLS:
                status, answer = ask('CreateRuleSet', body, protocol)
                if 'not built yet' not in answer.get('message', ''):
                    check(fault('outside' if what == 'inside' else 'inside', path, status, answer), '%s: %r' % (name_of(path), answer))
                    check(what == 'inside' or fault('outside', path[:-1] + ('Other',), status, answer), answer)

line.close()
site.stop()
done()
