#!/usr/bin/env python3
"""tests/lib/api_page.py - prints the part of docs/api.md that comes from the table of operations and shapes (api/model.c)

    python3 tests/lib/api_page.py --write      puts it into docs/api.md, below the line that says so

The program build-asan/bin/api_model (MM_BIN: another folder) prints the table."""
import json, os, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, 'docs', 'api.md')
MARK = '<!-- Below: printed by tests/lib/api_page.py from api/model.c -->\n'
KINDS = {'string': 'text', 'integer': 'int', 'structure': 'struct'}

def load(program):
    return json.loads(subprocess.run([program], stdout=subprocess.PIPE, check=True).stdout)

def bounds(s):
    return '%s..%s' % (s.get('Min', '0' if 'Max' in s else ''), s.get('Max', '')) if 'Min' in s or 'Max' in s else ''

def kind(shapes, name):
    """A member's type, in one line."""
    s = shapes[name]
    out = [KINDS.get(s['Kind'], s['Kind'])]
    if s['Kind'] in ('structure', 'union', 'enum'):
        out.append(name)
    if s['Kind'] == 'list':
        if bounds(s):
            out.append(bounds(s))
        if 'Quota' in s:
            out.append('(quota %d)' % s['Quota'])
        out.append('of ' + kind(shapes, s['Item']))
        return ' '.join(out) + (', all different' if s['Unique'] else '')
    if bounds(s):
        out.append(bounds(s) + (' (profile open: more)' if 'MaxMore' in s else ''))
    if s.get('Pattern'):
        out.append(s['Pattern'] if len(s['Pattern']) < 120 else 'of a pattern')
    if s['CheckedMore']:
        out.append('(checked further)')
    return ' '.join(out) + (', sensitive' if s['Sensitive'] else '')

def note(member):
    if 'Later' in member:
        return '   -- not built yet; ' + member['Later']
    if member['Ours']:
        return '   -- ours'
    return '   -- required by mm' if member['RequiredHere'] else ''

def members(shapes, name, indent):
    rows = []
    for m in shapes[name]['Members']:
        star = '*' if m['Required'] or m['RequiredHere'] else ' '
        rows.append(('%s%s%-30s %s' % (indent, star, m['Name'], kind(shapes, m['Shape']) + note(m))).rstrip())
    return rows

def operation(shapes, op):
    words = [op['Class'] + ' (%s)' % ', '.join(op['Roles'])]
    words += [op['Trait']] if op['Trait'] else []
    words += ['a signature counts once'] if op['Once'] else []
    words += ['pages ' + op['Result']] if 'Result' in op else []
    lines = ['', '### ' + op['Name'], '', ' · '.join(words) + ' · errors: ' + ' '.join(e[:-len('Exception')] for e in op['Errors']), '']
    rows = members(shapes, op['Input'], 'in  ') + members(shapes, op['Output'], 'out ')
    return lines + ['```text'] + rows + ['```']

def structure(shapes, name):
    s = shapes[name]
    rows = members(shapes, name, '    ') or ['    (no members)']
    return [name + (' (exactly one of)' if s['Kind'] == 'union' else '')] + rows

def enumeration(name, s):
    line = '%-33s %s' % (name, s['Values'])
    if 'More' in s:
        line += '   -- ours: ' + s['More']
    if 'NotYet' in s:
        line += '   -- %s is not built yet; %s' % (s['NotYet'], s['Later'])
    return line

def page(model):
    shapes, out = model['Shapes'], []
    out += ['', '## Exceptions', '', '| name | status |', '| --- | --- |']
    out += ['| %s | %d |' % pair for pair in model['Errors'].items()]
    out += ['', '## Classes and roles', '', '| class | operations | roles |', '| --- | --- | --- |']
    classes = {}
    for op in model['Operations']:
        classes.setdefault(op['Class'], []).append(op)
    out += ['| %s | %d | %s |' % (name, len(ops), ', '.join(ops[0]['Roles'])) for name, ops in classes.items()]
    group = None
    for op in model['Operations']:
        if op['Group'] != group:
            group = op['Group']
            out += ['', '## ' + group]
        out += operation(shapes, op)
    tops = {op[side] for op in model['Operations'] for side in ('Input', 'Output')}
    out += ['', '## Structures and unions', '', '```text']
    for name in sorted(n for n, s in shapes.items() if s['Kind'] in ('structure', 'union') and n not in tops):
        out += structure(shapes, name)
    out += ['```', '', '## Enumerations', '', '```text']
    out += [enumeration(n, s) for n, s in sorted(shapes.items()) if s['Kind'] == 'enum']
    out += ['```']
    return '\n'.join(out) + '\n'

def main():
    text = page(load(os.path.join(os.environ.get('MM_BIN') or os.path.join(ROOT, 'build-asan', 'bin'), 'api_model')))
    if sys.argv[1:] != ['--write']:
        sys.stdout.write(text)
        return
    head = open(PAGE, encoding='utf-8').read().split(MARK)[0]
    with open(PAGE, 'w', encoding='utf-8') as f:
        f.write(head + MARK + text)

if __name__ == '__main__':
    main()
