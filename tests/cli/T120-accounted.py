#!/usr/bin/env python3
"""Whatever a tool reads or changes is in the audit log, by its event, with who asked; what only asks how things are is a `request`, the
first of its kind in a while with its entry, the others counted."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site(apply=False)
site.apply(DEFAULT, {"Type": "AUTH", "TlsPolicy": "OPTIONAL"})
mbox = os.path.join(site.root, 'old.mbox')
site.write(mbox, ''.join('From a@b.example Thu Jan  1 00:00:00 2026\nSubject: message %d\n\nsome words\n\n' % n for n in range(5)))
password = os.path.join(site.root, 'password')
site.write(password, 'correct.horse.battery')
resources = os.path.join(site.root, 'more.json')
site.write(resources, '{"Archives":[{"ArchiveName":"more"}]}')

def entries():
    return [json.loads(line) for line in site.run('mm-audit', 'list', '--json').splitlines()]

def events_of(*command):
    """The entries that a command adds, but for those of the process that answers it (start, stop) and of what is archived."""
    before = len(entries())
    site.run(*command)
    site.run('mmctl', 'wait')
    return [e for e in entries()[before:] if e['event'] not in ('start', 'stop', 'block', 'tick', 'request')]

def first_id():
    return site.run('mm-search', '--archive', 'corp', '--ids', '').split()[0]

def commands():
    yield ['import', 'import'], ['mm-import', '--archive', 'corp', mbox]
    yield ['import', 'import'], ['mm-import', '--archive', 'corp', mbox]
    yield ['search'], ['mm-search', '--archive', 'corp', 'words']
    yield ['search'], ['mm-search', '--archive', 'corp', '--count', 'nowhere']
    yield ['read'], ['mm-search', '--show', first_id()]
    yield ['read'], ['mm-search', '--raw', first_id()]
    yield ['read'], ['mmctl', 'why', first_id()]
    yield ['read'], ['mmctl', 'explain', '--message', first_id(), '--rule-set', 'all']
    yield ['replay'], ['mmctl', 'replay', '--archive', 'corp', '--rule-set', 'all', 'words']
    yield ['export', 'exported'], ['mm-export', '--archive', 'corp', '--to', os.path.join(site.root, 'out'), 'words']
    yield ['apply'], ['mmctl', 'apply', resources]
    yield ['passwd'], ['mmctl', 'passwd', 'inbound', '--password-file', password]
    yield ['plan'], ['mm-retention', 'plan']
    yield ['verify'], ['mmctl', 'verify']
    yield ['seal'], ['mmctl', 'seal']
    yield ['reindex'], ['mmctl', 'reindex']
    for quiet in (['mmctl', 'status'], ['mmctl', 'show'], ['mmctl', 'apply', resources], ['mm-audit', 'verify'],
                  ['mm-search', '--archive', 'corp', '--explain', 'words']):
        yield [], quiet

def run_all():
    for want, command in commands():
        got = events_of(*command)
        equal([e['event'] for e in got], want, ' '.join(command))
        equal({e['who'] for e in got} - {'uid %d' % os.getuid()}, set(), ' '.join(command))

@test
def everything_is_accounted_without_mmd():
    run_all()
    brought = [e['detail'] for e in entries() if e['event'] == 'import' and 'stored' in e['detail']]
    equal([(d['archive'], d['stored'], d['already'], d['failed']) for d in brought], [('corp', 5, 0, 0), ('corp', 0, 5, 0)])

@test
def and_by_a_running_mmd():
    site.write(mbox, open(mbox).read().replace('some words', 'other words'))
    site.write(resources, '{"Archives":[{"ArchiveName":"yet-more"}]}')
    shutil.rmtree(os.path.join(site.root, 'out'))
    site.start()
    run_all()

@test
def what_was_refused_is_no_change():
    site.write(password, 'short')
    for command in (['passwd', 'inbound'], ['passwd', 'nowhere']):
        before = len(entries())
        site.run('mmctl', *command, '--password-file', password, code=2)
        equal({e['event'] for e in entries()[before:]} - {'request'}, set(), ' '.join(command))

@test
def the_log_is_unbroken():
    site.run('mm-audit', 'verify')
    site.stop()

done()
