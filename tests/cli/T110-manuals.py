#!/usr/bin/env python3
"""Each tool's --help and its man page tell of the same options and commands, with the same arguments; what a tool refuses is in neither."""
import os, re, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

TOOLS = {'mmd': 8, 'mmctl': 1, 'mm-search': 1, 'mm-export': 1, 'mm-retention': 1, 'mm-import': 1, 'mm-audit': 1}
SWITCHES = {'help', 'version'}

def run(tool, *args):
    return subprocess.run([os.path.join(build('asan'), tool), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, env={'PATH': os.environ['PATH']})

def page_of(tool):
    return open(os.path.join(ROOT, 'docs', 'man', '%s.%d.md' % (tool, TOOLS[tool])), encoding='utf-8').read()

def help_of(tool):
    """(options, commands) with their arguments, as --help lists them: {'limit': 'N'}, {'apply': 'FILE'}."""
    p = run(tool, '--help')
    equal(p.returncode, 0, tool + ' --help')
    options = {m.group(1): m.group(2) or '' for m in re.finditer(r'^  --([a-z-]+)(?: (\S+))?  +\S', p.stdout, re.M)}
    part = re.search(r'^commands:\n((?:  .*\n)+)', p.stdout, re.M)
    commands = dict(re.match(r'  ([a-z-]+) ?(.*?)  +\S', line).groups() for line in part.group(1).splitlines()) if part else {}
    return options, commands

def differences(tool, page, options, commands):
    found = []
    page = re.sub(r'^    (?!%s )[a-z].*\n' % tool, '', page, flags=re.M)  # commands of other programs
    named = set(re.findall(r'(?<![\w-])--([a-z][a-z-]*)', page))
    found += ['--%s is not in the page' % o for o in sorted(set(options) - named)]
    found += ['--%s is in the page, not in --help' % o for o in sorted(named - set(options) - {'name'})]
    for option, value in options.items():
        if option in named and value and not re.search(r'--%s %s(?![\w])' % (option, re.escape(value)), page):
            found.append('--%s %s: the page names another value' % (option, value))
    for command, arguments in commands.items():
        if not re.search(r'^(- .*`|    %s )%s( |`|$)' % (tool, command), page, re.M) or (arguments and arguments not in page):
            found.append('command %s %s is not in the page' % (command, arguments))
    words = set(re.findall(r'^    %s ([a-z][a-z-]*)' % tool, page, re.M)) | set(re.findall(r'^- `([a-z][a-z-]*)[ `]', page, re.M))
    if commands:
        found += ['command %s is in the page, not in --help' % w for w in sorted(words - set(commands))]
    return found

@test
def help_and_page_agree():
    found = []
    for tool in TOOLS:
        options, commands = help_of(tool)
        check(len(options) >= 5, tool + ': --help lists no options')
        found += ['%s: %s' % (tool, d) for d in differences(tool, page_of(tool), options, commands)]
    equal(found, [], '%d differences' % len(found))

@test
def a_difference_is_seen():
    options, commands = help_of('mmctl')
    page = page_of('mmctl')
    for changed in (page.replace('--timeout S', ''), page.replace('--timeout S', '--timeout MS'), page + '\n- `--fast`: faster\n',
                    page.replace('- `apply FILE`', '- `put FILE`'), page + '\n- `destroy`: everything\n'):
        check(changed != page and differences('mmctl', changed, options, commands), 'not seen')

@test
def what_is_unknown_is_refused():
    for tool in TOOLS:
        for args in (['--no-such-option'], ['--data'], ['--json=yes']):
            p = run(tool, *args)
            equal((p.returncode, '--help' in p.stdout), (2, True), '%s %s: %s' % (tool, args, p.stdout))
    equal(run('mmctl', 'frobnicate', '--data', '/nowhere').returncode, 2)
    equal(run('mmctl', 'status', '--data', '/nowhere').returncode, 3)
    equal(run('mm-search', '--version').returncode, 0)

@test
def what_would_have_no_effect_is_refused():
    """An option of another command and an argument that nothing takes: "run --archive corp" must not destroy mail of all archives."""
    for tool, *args in (('mm-retention', 'run', '--archive', 'corp'), ('mm-retention', 'plan', '--yes'), ('mm-retention', 'run', 'corp'),
                        ('mm-audit', 'verify', '--limit', '3'), ('mm-audit', 'list', 'corp'), ('mmctl', 'verify', '--archive', 'corp'),
                        ('mmctl', 'reindex', 'corp'), ('mmctl', 'init', '/nowhere/else'), ('mmctl', 'show', 'Archives', 'a', 'b'),
                        ('mm-search', '--show', 'x' * 26, 'word'), ('mmd', 'start')):
        p = run(tool, *args, '--data', '/nowhere/data')
        equal((p.returncode, '--help' in p.stdout), (2, True), '%s %s: %s' % (tool, args, p.stdout))
    for tool, *args in (('mm-retention', 'run', '--unattended'), ('mm-audit', 'list', '--limit', '3'), ('mmctl', 'reindex', '--archive', 'corp')):
        equal(run(tool, *args, '--data', '/nowhere/data').returncode, 3, '%s %s' % (tool, args))

@test
def lost_output_is_no_success():
    site = Site()
    for tool, *args in (('mmctl', 'status'), ('mmctl', 'show'), ('mm-audit', 'list'), ('mm-retention', 'plan'), ('mm-search', '--help')):
        with open('/dev/full', 'w') as full:
            p = subprocess.run([os.path.join(build('asan'), tool), *args], stdout=full, stderr=subprocess.PIPE, env=site.env)
        equal((p.returncode, b"can't be written" in p.stderr), (1, True), '%s %s: %s' % (tool, args, p.stderr))
        equal(site.run(tool, *args) != '', True, '%s %s' % (tool, args))

@test
def ids_of_examples_are_ids():
    """Their 26 characters have two bits to spare, which are 0."""
    for name in sorted(os.listdir(os.path.join(ROOT, 'docs', 'man'))):
        with open(os.path.join(ROOT, 'docs', 'man', name), encoding='utf-8') as f:
            for id in re.findall(r'\b(?=[a-v]*[0-9])[0-9a-v]{26}\b', f.read()):
                check(id[-1] in '048cgkos', '%s: %s' % (name, id))
    site = Site()
    for command in (['mmctl', 'why'], ['mm-retention', 'erase', '--archive', 'corp', '--reason', 'x']):
        site.run(*command, '0e5k1m2n3p4q5r6s7t8u9v0a1b', code=2)
        check('048cgkos' in site.stderr, site.stderr)
        site.run(*command, '0e5k1m2n3p4q5r6s7t8u9v0a1c', code=1)

@test
def every_program_has_a_page():
    for program in {p.replace('mm-search-alone', 'mm-search') for p in os.listdir(build('asan'))}: # the same program
        pages = [s for s in (1, 8) if os.path.exists(os.path.join(ROOT, 'docs', 'man', '%s.%d.md' % (program, s)))]
        check(pages or not program.startswith('mm'), program + ' has no man page')

done()
