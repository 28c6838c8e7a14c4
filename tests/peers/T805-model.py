#!/usr/bin/env python3
"""The table of operations and shapes, against the schemas and types of npm's @aws-sdk/client-mailmanager (every operation, member, type
and enumeration, none missing, none more), against the listings of ../shared/spec (required members, lengths, patterns, errors, traits), and
its patterns against Python's regular expressions. What mm adds is marked in the table and left out here."""
import json, os, random, re, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
import node
try:
    from re import _parser as regex_parser
except ImportError:
    import sre_parse as regex_parser

PACKAGE = '@aws-sdk/client-mailmanager'
SPEC = os.path.join(ROOT, '..', 'shared', 'spec', 'mailmanager-api.md')
PROGRAM = os.path.join(build('asan'), 'api_model')
MODEL = json.loads(subprocess.run([PROGRAM], stdout=subprocess.PIPE, check=True).stdout)
SHAPES, OPERATIONS = MODEL['Shapes'], {op['Name']: op for op in MODEL['Operations']}
EXCEPTIONS = ['AccessDenied', 'Conflict', 'ResourceNotFound', 'ServiceQuotaExceeded', 'Throttling', 'Validation']

def members(shape):
    return [m for m in SHAPES[shape]['Members'] if not m['Ours']]

def structures():
    return {name: s for name, s in SHAPES.items() if s['Kind'] in ('structure', 'union')}

def differences(ours, theirs):
    """Lines for what only one side has, or both have differently."""
    lines = []
    for key in sorted(set(ours) | set(theirs)):
        if ours.get(key) != theirs.get(key):
            lines.append('%s: ours %s, theirs %s' % (key, ours.get(key), theirs.get(key)))
    return lines

def same(ours, theirs, least):
    """Equal, and at least so many, or a comparison of nothing would pass."""
    check(len(theirs) >= least, 'only %d found' % len(theirs))
    lines = differences(ours, theirs)
    check(not lines, '%d differ: %s' % (len(lines), '; '.join(lines[:20])))

# ---- the SDK ----

def sdk_text(path):
    node.install()
    return open(os.path.join(node.MODULES, PACKAGE, path), encoding='utf-8').read()

def sdk_schemas():
    """{variable: what it is assigned}, functions and variables of others as their names."""
    text = sdk_text('dist-es/schemas/schemas_0.js')
    words = dict(re.findall(r'^const (_\w+) = "([^"]*)";$', text, re.M))
    out = {}
    for name, value in re.findall(r'^(?:export )?(?:var|const) (\w+\$?) = (\[.*?\]|\d+ \| \d+);$', text, re.M | re.S):
        value = re.sub(r'\[(_\w+)\]:', r'\1:', value)
        value = re.sub(r'\(\) => ([\w$]+)', r'"\1"', value)
        value = re.sub(r'"[^"]*"|(?<!\w)[A-Za-z_]\w*\$?', lambda m: m.group(0) if m.group(0)[0] == '"' else '"%s"' % words.get(m.group(0), m.group(0)), value)
        out[name] = eval(value)
    return out

def sdk_types():
    """{structure: {member: type as TypeScript writes it}}"""
    text = re.sub(r'/\*\*.*?\*/\s*', '', sdk_text('dist-types/models/models_0.d.ts'), flags=re.S)
    out = {}
    for name, body in re.findall(r'^export interface (\w+) \{\n(.*?)^\}', text, re.M | re.S):
        out[name] = dict(re.findall(r'^    (\w+)\??: (.*?)(?: \| undefined)?;$', body, re.M))
    for name, body in re.findall(r'^export declare namespace (\w+) \{\n.*?interface Visitor<T> \{\n(.*?)^    \}', text, re.M | re.S):
        out[name] = dict((m, t) for m, t in re.findall(r'^        (\w+): \(value: (.*?)\) => T;$', body, re.M) if m != '_')
    return out

def typescript(shape):
    """Our shape as TypeScript names it."""
    s = SHAPES[shape]
    if s['Kind'] == 'list':
        return typescript(s['Item']) + '[]'
    return {'string': 'string', 'integer': 'number', 'double': 'number', 'boolean': 'boolean', 'timestamp': 'Date'}.get(s['Kind'], shape)

@test
def operations_of_the_sdk():
    schemas = sdk_schemas()
    theirs = {s[2]: (s[4].rstrip('$'), s[5].rstrip('$'), bool(s[3] & 2)) for s in schemas.values() if isinstance(s, list) and s[0] == 9}
    ours = {name: (op['Input'], op['Output'], op['Trait'] == 'idempotent') for name, op in OPERATIONS.items()}
    same(ours, theirs, 60)

@test
def structures_of_the_sdk():
    """Kind, members and which are required; and which texts are sensitive."""
    schemas = sdk_schemas()
    sensitive = {name for name, s in schemas.items() if isinstance(s, list) and s[0] == 0 and s[3] & 8}
    theirs = {}
    for s in schemas.values():
        if isinstance(s, list) and s[0] in (3, 4):
            required = s[4][:s[6]] if len(s) > 6 else []
            theirs[s[2]] = ('union' if s[0] == 4 else 'structure', sorted(s[4]), sorted(required))
    ours = {name: (s['Kind'], sorted(m['Name'] for m in members(name)), sorted(m['Name'] for m in members(name) if m['Required']))
            for name, s in structures().items()}
    same(ours, theirs, 202)
    equal({name for name, s in SHAPES.items() if s['Sensitive']}, sensitive, 'sensitive')

@test
def types_of_the_sdk():
    theirs = {k: v for k, v in sdk_types().items() if v}
    ours = {name: {m['Name']: typescript(m['Shape']) for m in members(name)} for name in structures() if members(name)}
    same(ours, theirs, 170)

@test
def enumerations_of_the_sdk():
    text = sdk_text('dist-es/models/enums.js')
    theirs = {name: sorted(re.findall(r': "([^"]*)"', body)) for name, body in re.findall(r'export const (\w+) = \{(.*?)\};', text, re.S)}
    ours = {name: sorted(s['Values'].split()) for name, s in SHAPES.items() if s['Kind'] == 'enum'}
    same(ours, theirs, 47)

@test
def exceptions_of_the_sdk():
    theirs = {s[2]: s[3]['httpError'] for s in sdk_schemas().values() if isinstance(s, list) and s[0] == -3 and s[3]}
    same({name: MODEL['Errors'].get(name) for name in theirs}, theirs, 6)

@test
def a_difference_is_seen():
    """The control: each of these changes makes a comparison fail."""
    theirs = {k: v for k, v in sdk_types().items() if v}
    for change in (lambda t: t['Rule'].pop('Unless'), lambda t: t['Rule'].update(New='string'), lambda t: t.pop('Tag'),
                   lambda t: t['Tag'].update(Key='number')):
        other = json.loads(json.dumps(theirs))
        change(other)
        equal(len(differences(other, theirs)), 1, 'differences')

# ---- the specification ----

def spec(begin, end=None):
    if not os.path.exists(SPEC):
        raise Skip('needs ../shared/spec, which is absent')
    text = open(SPEC, encoding='utf-8').read()
    begin = text.index(begin)
    return text[begin:text.index(end, begin) if end else len(text)]

def bounds(s):
    return '%s..%s' % (s.get('Min', ''), s.get('Max', ''))

def notation(shape, inner=False):
    """Our shape as the specification's listings write it."""
    s = SHAPES[shape]
    kind = s['Kind']
    if kind in ('structure', 'union'):
        return '%s %s' % ('union' if kind == 'union' else 'struct', shape)
    if kind == 'enum':
        return 'enum ' + shape
    if kind == 'list':
        items = ' (items %s)' % bounds(s) if bounds(s) != '..' else ''
        return 'list%s of <%s>' % (items, notation(s['Item'], True))
    if kind not in ('string', 'integer'):
        return kind
    out = {'string': 'string', 'integer': 'int'}[kind]
    if bounds(s) != '..':
        out += ' ' + bounds(s)
    if s.get('Pattern'):
        out += ' pattern: App. C' if shape == 'Ipv6Cidr' else ' ' + s['Pattern']
    return out + (' [sensitive]' if s['Sensitive'] else '')

def plain(text):
    """A type of the listings, blanks and values of enumerations left out."""
    text = re.sub(r'\s*\(SDK fills in a UUID\)|(?<=\w) (\{[A-Z][^{}]*\}|\(\d+ values, App. B\))', '', text)
    return re.sub(r'\s+', ' ', text).strip()

def with_zero(shape):
    """The listings write the lower bound where it is 0 and there is an upper one."""
    s = SHAPES[shape]
    if 'Max' in s:
        s.setdefault('Min', 0)

for name in SHAPES:
    with_zero(name)

def listing(shape):
    return [('*' if m['Required'] else ' ') + m['Name'] + ' ' + notation(m['Shape']) for m in members(shape)]

@test
def operations_of_the_specification():
    theirs, op = {}, None
    for line in spec('## 2. All 60', '## 3. Rule').split('\n'):
        m = re.match(r'([A-Z]\w+)   \[(.*)\]$', line)
        if m:
            flags = m.group(2)
            result = re.search(r'result key (\w+)', flags)
            op = theirs[m.group(1)] = {'trait': flags.split(';')[0] if flags[0] != 'n' else '', 'result': result and result.group(1), 'in': [], 'out': []}
        m = re.match(r'  errors: (.*)', line)
        if m:
            op['errors'] = sorted(m.group(1).split())
        m = re.match(r'  (in |out) ([ *])(\w+)\s+(.*)$', line)
        if m:
            op[m.group(1).strip()].append(m.group(2) + m.group(3) + ' ' + plain(m.group(4)))
    ours = {name: {'trait': op['Trait'], 'result': op.get('Result'), 'in': listing(op['Input']), 'out': listing(op['Output']),
                   'errors': sorted(e[:-9] for e in op['Errors'])} for name, op in OPERATIONS.items()}
    same(ours, theirs, 60)

@test
def structures_of_the_specification():
    theirs, current = {}, None
    for line in spec('## Appendix A', '## Appendix B').split('\n'):
        m = re.match(r'([A-Z]\w+)(   \(UNION.*\))?$', line)
        if m:
            current = theirs[m.group(1)] = ['union' if m.group(2) else 'structure']
        m = re.match(r'      ([ *])(\w+)\s+(.*)$', line)
        if m and current:
            current.append(m.group(1) + m.group(2) + ' ' + plain(m.group(3)))
    ours = {name: [s['Kind']] + listing(name) for name, s in structures().items() if not re.search('(Request|Response)$', name)}
    same(ours, theirs, 82)

@test
def enumerations_of_the_specification():
    theirs = {m[0]: m[2] for m in re.findall(r'^(\w+) +(\d+)  (.*)$', spec('## Appendix B', '## Appendix C'), re.M)}
    same({name: s['Values'] for name, s in SHAPES.items() if s['Kind'] == 'enum'}, theirs, 47)

@test
def constraints_of_the_specification():
    text, theirs = spec('## Appendix C'), {}
    for m in re.finditer(r'^(\w+) +(string|integer|boolean|double|timestamp) +len/range (\S+)(  SENSITIVE)?(?:\n      (\^.*\$))?$', text, re.M):
        theirs[m.group(1)] = (m.group(2), m.group(3), bool(m.group(4)), m.group(5))
    for m in re.finditer(r'^(\w+) +list of (\w+) +items (\S+)$', text, re.M):
        theirs[m.group(1)] = ('list', m.group(3), m.group(2), None)
    ours = {}
    for name, s in SHAPES.items():
        if s['Kind'] == 'list':
            ours[name] = ('list', bounds(s), s['Item'], None)
        elif s['Kind'] in ('string', 'integer', 'boolean', 'double', 'timestamp') and name != 'RetentionDays':
            ours[name] = (s['Kind'], bounds(s), s['Sensitive'], s.get('Pattern'))
    same(ours, theirs, 121)

# ---- patterns ----

def python_pattern(pattern):
    return pattern.replace(r'[\P{C}\s]', '[^\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f]')

def some_match(tree, dice):
    """A text that a parsed regular expression matches, more or less."""
    out = ''
    for op, arg in tree:
        op = str(op)
        if op == 'LITERAL':
            out += chr(arg)
        elif op == 'ANY':
            out += dice.choice('ab:/.\u00e9')
        elif op == 'IN':
            kind, value = dice.choice(arg)
            out += {'LITERAL': lambda: chr(value), 'RANGE': lambda: chr(dice.randint(*value)), 'NEGATE': lambda: 'x',
                    'CATEGORY': lambda: dice.choice('a1_ ')}[str(kind)]()
        elif op == 'BRANCH':
            out += some_match(dice.choice(arg[1]), dice)
        elif op == 'SUBPATTERN':
            out += some_match(arg[3], dice)
        elif op == 'MAX_REPEAT':
            least, most, inner = arg
            for _ in range(dice.randint(least, min(int(most), least + dice.choice((1, 3, 20))))):
                out += some_match(inner, dice)
    return out

def changed(text, dice):
    for _ in range(dice.choice((0, 0, 1, 2))):
        at = dice.randint(0, len(text))
        text = text[:at] + dice.choice(['', 'a', 'Z', '0', '-', '.', ':', '/', ' ', '\u00e9', '_']) + text[at + dice.randint(0, 1):]
    return text

@test
def patterns_match_what_python_matches():
    seed = int(os.environ.get('MM_SEED') or random.randrange(1 << 31))
    print('   seed %d' % seed)
    dice, seen, hits = random.Random(seed), 0, 0
    for name, s in SHAPES.items():
        if not s.get('Pattern') or s['CheckedMore']:
            continue
        pattern = re.compile(python_pattern(s['Pattern']), re.ASCII)
        tree = regex_parser.parse(python_pattern(s['Pattern']), re.ASCII)
        texts = [changed(some_match(tree, dice), dice) for _ in range(3000 if LONG else 100)]
        texts = [t for t in texts if '\0' not in t]
        p = subprocess.run([PROGRAM, 'matches', name], input=''.join(json.dumps(t) + '\n' for t in texts).encode(), stdout=subprocess.PIPE,
                           check=True)
        for text, got in zip(texts, p.stdout.decode().split()):
            want = bool(pattern.fullmatch(text)) and s.get('Min', 0) <= len(text) <= s.get('Max', len(text))
            equal(got == '1', want, '%s on %r' % (name, text))
            seen, hits = seen + 1, hits + want
    print('   %d texts, %d match' % (seen, hits))
    check(hits > seen / 5 and seen - hits > seen / 5, 'too much of one kind')

done()
