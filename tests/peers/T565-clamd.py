#!/usr/bin/env python3
"""The real clamd as an add-on: by TCP and Unix socket, clean mail and what its (hand-made) database has a signature of, also inside an
attachment; restarted in between, in time and too late; a message that is too long for it; and mmd with it in its configuration."""
import base64, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from scan import *

MARK = 'mm-hand-made-signature-%08x' % random.randrange(1 << 32)

CLEAN = {'verdict': 'PASS', 'fields': {'category': 'CLEAN', 'isPassed': True}}
FOUND = {'verdict': 'FAIL', 'fields': {'category': 'MALWARE', 'signature': 'MM.Test.Signature.UNOFFICIAL', 'isPassed': False}}

def attached(data):
    body = base64.encodebytes(data).decode().replace('\n', '\r\n')
    return mail(extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n',
                body='--b\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n--b\r\nContent-Type: application/octet-stream; name=x.bin\r\n'
                     'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=x.bin\r\n\r\n%s\r\n--b--\r\n' % body)

clamd = Clamd(MARK)

def config(deadline):
    return {'TCP': {'clamd': '127.0.0.1:%d' % clamd.port, 'deadline': deadline}, 'UNIX': {'clamd': clamd.socket, 'deadline': deadline},
            'NAMED': {'clamd': 'localhost:%d' % clamd.port, 'deadline': deadline}}

@test
def clean_and_found():
    scans = Scans(config(60))
    for addon in ('TCP', 'UNIX', 'NAMED'):
        said = scans.ask(addon, mail(), mail(body=MARK), attached(b'x' * 100000 + MARK.encode()), attached(b'x' * 100000), b'')
        equal(said, [CLEAN, FOUND, FOUND, CLEAN, CLEAN], addon)
        equal(scans.status[addon], {'scanned': 5, 'failed': 0, 'waiting': 0}, addon)
    scans.end()

@test
def many_at_once():
    scans = Scans(config(300))
    paths = {}
    for i in range(200):
        paths[scans.begin(('TCP', 'UNIX')[i % 2], mail(body=MARK if i % 3 == 0 else 'nothing %d' % i))[0]] = FOUND if i % 3 == 0 else CLEAN
    said, status = scans.all()
    equal(said, paths)
    equal([status[a]['scanned'] for a in ('TCP', 'UNIX')], [100, 100])
    scans.end()

@test
def too_long_for_it():
    scans = Scans(config(60))
    for addon in ('TCP', 'UNIX'):
        big = scans.ask(addon, mail(body='0123456789abcde\r\n' * 200000))[0]
        equal(big['verdict'], 'PROCESSING_FAILED', str(big))
        check('fields' not in big, str(big))
        equal(scans.ask(addon, mail(body=MARK)), [FOUND])
        check('down' not in scans.status[addon], str(scans.status))
    scans.end()

@test
def restarted_in_time():
    """Mail waits for a scanner that comes back."""
    scans = Scans(config(600))
    equal(scans.ask('UNIX', mail()), [CLEAN])
    clamd.stop()
    paths = scans.begin('UNIX', mail(body=MARK), mail()) + scans.begin('TCP', mail(body=MARK))
    while scans.tail().count('PROCESSING_FAILED until it answers') < 2:
        time.sleep(0.05)
    clamd.start()
    said, status = scans.all()
    equal([said[p] for p in paths], [FOUND, CLEAN, FOUND])
    check('down' not in str(status), str(status))
    scans.end()

@test
def restarted_too_late():
    scans = Scans(config(1))
    equal(scans.ask('TCP', mail()), [CLEAN])
    clamd.stop()
    for _ in range(3):
        for said in scans.ask('TCP', mail(), mail(body=MARK)):
            equal(said['verdict'], 'PROCESSING_FAILED', str(said))
            check('fields' not in said and said['why'], str(said))
    check('down' in scans.status['TCP'], str(scans.status))
    equal(scans.tail().count('PROCESSING_FAILED until it answers'), 1, 'alarms')
    clamd.start()
    while scans.ask('TCP', mail(body=MARK)) != [FOUND]:
        time.sleep(0.1)
    equal(scans.ask('TCP', mail()), [CLEAN])
    check('down' not in scans.status['TCP'], str(scans.status))
    equal(scans.tail().count('answers again'), 1, 'ends of alarms')
    scans.end()

@test
def stopped_in_the_middle():
    """SIGSTOP: it takes connections and says nothing."""
    scans = Scans(config(1))
    equal(scans.ask('UNIX', mail()), [CLEAN])
    clamd.process.send_signal(signal.SIGSTOP)
    said = scans.ask('UNIX', mail())[0]
    clamd.process.send_signal(signal.SIGCONT)
    equal(said, {'verdict': 'PROCESSING_FAILED', 'why': 'no answer within 1 s'})
    while scans.ask('UNIX', mail(body=MARK)) != [FOUND]:
        time.sleep(0.1)
    scans.end()

def analysis(field):
    return {'Analysis': {'Analyzer': 'TRENDMICRO_VSAPI', 'ResultField': field}}

RULES = [
    {'Name': 'infected', 'Conditions': [
        {'VerdictExpression': {'Evaluate': analysis('addon.verdict'), 'Operator': 'EQUALS', 'Values': ['FAIL']}},
        {'StringExpression': {'Evaluate': analysis('addon.signature'), 'Operator': 'STARTS_WITH', 'Values': ['MM.Test']}}],
     'Actions': [{'Archive': {'TargetArchive': 'short'}}, {'Drop': {}}]},
    {'Name': 'unknown', 'Conditions': [
        {'VerdictExpression': {'Evaluate': analysis('verdict'), 'Operator': 'EQUALS', 'Values': ['PROCESSING_FAILED']}}],
     'Actions': [{'Archive': {'TargetArchive': 'legal'}}, {'Drop': {}}]},
    {'Name': 'clean', 'Conditions': [{'BooleanExpression': {'Evaluate': analysis('addon.is passed'), 'Operator': 'IS_TRUE'}}],
     'Actions': [{'Archive': {'TargetArchive': 'corp'}}]}]

def judged_site(deadline):
    resources = dict(DEFAULT, RuleSets=[{'RuleSetName': 'all', 'Rules': RULES}], AddonSubscriptions=[{'AddonName': 'TRENDMICRO_VSAPI'}],
                     AddonInstances=[{'AddonName': 'TRENDMICRO_VSAPI'}])
    return Site(config={'addons': {'TRENDMICRO_VSAPI': {'clamd': clamd.socket, 'deadline': deadline}}}, resources=resources)

def counts(site):
    return tuple(site.count('', archive) for archive in ('corp', 'short', 'legal'))

@test
def rules_ask_it():
    site = judged_site(60).start()
    for message in (mail('one'), mail('two', MARK), attached(MARK.encode() + b'x' * 5000), mail('three')):
        site.send(message)
    site.wait()
    equal(counts(site), (2, 2, 0))
    equal(site.status()['addons']['TRENDMICRO_VSAPI'], {'scanned': 4, 'failed': 0, 'waiting': 0})
    site.stop()
    equal(counts(site), (2, 2, 0))


@test
def no_mail_is_lost_while_it_is_down():
    site = judged_site(1).start()
    clamd.stop()
    ids = [site.send(mail('number %d' % i, MARK if i % 2 else 'x')) for i in range(10)]
    site.wait()
    equal(counts(site), (0, 0, 10))
    equal(set(site.ids('', 'legal')), set(ids))
    check('down' in site.status()['addons']['TRENDMICRO_VSAPI'], str(site.status()))
    clamd.start()
    while 'down' in site.status()['addons']['TRENDMICRO_VSAPI']:
        site.send(mail('is it back?'))
        site.wait()
    before = counts(site)
    site.send(mail('back', MARK))
    site.wait()
    equal(counts(site), (before[0], before[1] + 1, before[2]))
    site.stop()

@test
def killed_while_mail_waits_for_it():
    site = judged_site(600).start()
    clamd.stop()
    ids = [site.send(mail('number %d' % i, MARK if i % 2 else 'x')) for i in range(10)]
    while site.status()['addons']['TRENDMICRO_VSAPI']['waiting'] < 10:
        time.sleep(0.05)
    site.kill()
    clamd.start()
    site.start()
    site.wait()
    equal(counts(site), (5, 5, 0))
    equal(set(site.ids('', 'corp') + site.ids('', 'short')), set(ids))
    site.stop()

@test
def mmd_has_it_in_its_configuration():
    site = Site(config={'addons': {'TRENDMICRO_VSAPI': {'clamd': clamd.socket}}}).start()
    equal(site.status()['addons'], {'TRENDMICRO_VSAPI': {'scanned': 0, 'failed': 0, 'waiting': 0}})
    site.send(mail())
    site.wait()
    site.stop()
    for wrong, why in (({'clamd': 'x'}, 'clamd is HOST:PORT'), ({'clamd': '/x', 'more': 1}, 'addons.A.more is not known'), (7, 'must be an object')):
        settings = json.load(open(site.config))
        settings['addons'] = {'A': wrong}
        site.write(site.config, json.dumps(settings))
        site.run('mmd', '--config', site.config, code=2)
        check(why in site.stderr, site.stderr)

done()
