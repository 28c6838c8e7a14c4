"""tests/lib/shapes.py - values of the shapes that the control API's model has: such as fit, and such as break one of its rules"""
import json, os, re, subprocess
from cbor import Time

SHAPES = {}

def load(folder):
    """The model that the program api_model of a build prints."""
    model = json.loads(subprocess.run([os.path.join(folder, 'api_model')], stdout=subprocess.PIPE, check=True).stdout)
    SHAPES.update(model['Shapes'])
    return model

# ---- texts ----

# What mm checks further than the model: one that is right, one that isn't.
CHECKED = {'Address': ('a@b.example', 'a*b*@c.example'), 'HeaderValue': ('x', 'a\nb'), 'Ipv4Cidr': ('192.0.2.0/24', '192.0.2.0'),
           'Ipv6Cidr': ('2001:db8::/32', '2001:db8::'), 'RuleIpStringValue': ('192.0.2.0/24', 'x')}
SEEDS = ['a', 'aaa', 'abc-1', 'X-a', 'a@b.example', '550', '5.1.1', 'a' * 20, 'a' * 36, 'as-1', 'ai-1', 'a-1', 'password', 's3://bucket/x',
         'arn:aws:kms:us-east-1:000000000000:key/x', 'arn:aws:secretsmanager:us-east-1:000000000000:secret:x', 'vpce-' + 'a' * 17,
         'arn:aws:sns:us-east-1:000000000000:x', 'arn:aws:ses:us-east-1:000000000000:mailmanager-archive/a-1']

def matches(shape, text):
    pattern = SHAPES[shape].get('Pattern', '').replace('\\P{C}', '\\x20-\\x7e\\u00a1-\\uffff')
    return not pattern or re.fullmatch(pattern, text, re.ASCII) is not None

def fits(shape, text):
    s = SHAPES[shape]
    return s.get('Min', 0) <= len(text) <= s.get('Max', len(text)) and matches(shape, text)

def seed(shape):
    return CHECKED[shape][0] if shape in CHECKED else next(s for s in SEEDS if fits(shape, s))

def stretched(shape, n):
    """One of n characters that matches, or None."""
    for s in [seed(shape)] + SEEDS:
        if len(s) > n:
            s = s[:n]
        for i in range(len(s) + 1):
            for c in 'a1./':
                text = s[:i] + c * (n - len(s)) + s[i:]
                if matches(shape, text):
                    return text
    return None

def broken(shape):
    """One of a right length that doesn't match."""
    for s in [seed(shape)] + [x for x in (stretched(shape, len(seed(shape)) - 1),) if x]:
        for i in range(len(s) + 1):
            for c in ('\u00e9', '\n', '\x01', ' ', '!'):
                for text in (s[:i] + c + s[i:], s[:i] + c + s[i + 1:]):
                    if not matches(shape, text) and SHAPES[shape].get('Min', 0) <= len(text) <= SHAPES[shape].get('Max', len(text)):
                        return text
    raise AssertionError('no text breaks the pattern of ' + shape)

# ---- values ----

def usable(shape):
    """Members that are the model's and are built."""
    return [m for m in SHAPES[shape]['Members'] if not m['Ours'] and 'Later' not in m]

def values(shape):
    return [v for v in SHAPES[shape]['Values'].split() if v not in SHAPES[shape].get('NotYet', '').split()]

def sample(shape):
    s = SHAPES[shape]
    kind = s['Kind']
    if kind == 'structure':
        return {m['Name']: sample(m['Shape']) for m in usable(shape) if m['Required'] or m['RequiredHere']}
    if kind == 'union':
        return {usable(shape)[0]['Name']: sample(usable(shape)[0]['Shape'])}
    if kind == 'list':
        return items(shape, s.get('Min', 0))
    return {'string': lambda: seed(shape), 'enum': lambda: values(shape)[0], 'integer': lambda: max(s.get('Min', 1), 1), 'double': lambda: 1.5,
            'boolean': lambda: True, 'timestamp': lambda: Time(1700000000)}[kind]()

def items(shape, n):
    item = SHAPES[shape]['Item']
    if SHAPES[shape]['Unique']:
        return ['a%d@b.example' % i if item == 'EmailAddress' else '%s%d' % (sample(item), i) for i in range(n)]
    return [sample(item)] * n

def inside_and_outside(shape):
    """([values], [values])"""
    s = SHAPES[shape]
    kind, low, high = s['Kind'], s.get('Min'), s.get('Max')
    if kind == 'string' and shape in CHECKED:
        return [CHECKED[shape][0]], [CHECKED[shape][1]] + (['x' * (high + 1)] if high else []) + ([''] if low else [])
    if kind == 'string':
        inside = [seed(shape)] + [t for t in (stretched(shape, n) for n in (low, high) if n is not None) if t is not None]
        outside = [broken(shape)] if 'Pattern' in s else []
        if low:
            outside.append(stretched(shape, low - 1) or 'a' * (low - 1))
        if high:
            outside.append(stretched(shape, high + 1) or 'a' * (high + 1))
            inside.append(stretched(shape, high).replace('a', '\u00e9')) if 'Pattern' not in s else None # characters, not bytes
        return inside, outside
    if kind == 'enum':
        return values(shape), ['NO_SUCH', '', values(shape)[0].lower()] + s.get('NotYet', '').split()
    if kind == 'integer':
        return [n for n in (low, high) if n is not None] or [1], [n for n in (low is not None and low - 1, high is not None and 'MaxMore' not in s and high + 1) if n is not False]
    if kind == 'list':
        return [items(shape, n) for n in {low or 0, 1, high or 1}], [items(shape, n) for n in (low and low - 1, high and high + 1) if n is not None and n != low]
    if kind == 'union':
        two = {m['Name']: sample(m['Shape']) for m in usable(shape)[:2]}
        return [{m['Name']: sample(m['Shape'])} for m in usable(shape)], [{}, {'Unknown': 1}] + [two] * (len(two) > 1)
    return [sample(shape)], []

WRONG = {'string': 1, 'enum': 1, 'integer': 'x', 'double': 'x', 'timestamp': '2026-01-01', 'boolean': 'x', 'list': {}, 'structure': [], 'union': []}

# ---- places ----

def places(shape, path=()):
    """(path, shape, member or None) of everything in an input; a path is of names and zeros."""
    for m in SHAPES[shape]['Members']:
        if m['Ours']:
            continue
        here = path + (m['Name'],)
        yield here, m['Shape'], m
        if 'Later' in m:
            continue
        inner = m['Shape']
        while SHAPES[inner]['Kind'] == 'list':
            here, inner = here + (0,), SHAPES[inner]['Item']
            yield here, inner, None
        if 'Members' in SHAPES[inner]:
            yield from places(inner, here)

def built(shape, path, value):
    """A sample of the shape, with the value in its place."""
    if not path:
        return value
    if path[0] == 0:
        return [built(SHAPES[shape]['Item'], path[1:], value)]
    whole = sample(shape)
    if SHAPES[shape]['Kind'] == 'union':
        whole = {}
    member = next(m for m in SHAPES[shape]['Members'] if m['Name'] == path[0])
    whole[path[0]] = built(member['Shape'], path[1:], value)
    return whole

def name_of(path):
    return ''.join('[%d]' % p if p == 0 else '.' + p for p in path).lstrip('.')

def without(shape, path):
    body = built(shape, path, None)
    at = body
    for p in path[:-1]:
        at = at[p]
    del at[path[-1]]
    return body
