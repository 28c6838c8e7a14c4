#!/usr/bin/env python3
"""mm-smtpd was broken into: mmd survives what it writes into the spool and says on the channel, lets nothing past the rules, and goes on
with the next one. Good messages between the lies are archived."""
import hashlib, json, os, shutil, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

KEEP = [{"Name": "lies", "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "SUBJECT"}, "Operator": "CONTAINS", "Values": ["lie meta"]}}],
         "Actions": [{"Archive": {"TargetArchive": "legal"}}]}, {"Name": "keep", "Actions": [{"Archive": {"TargetArchive": "short"}}]}]
site = Site(config={"spool": {"file_bytes": 4 << 20}}, resources=dict(DEFAULT, RuleSets=[{"RuleSetName": "all", "Rules": KEEP}]))
LIAR = os.path.join(site.bin, 'lying_smtpd')
good = []

def failed():
    return [json.loads(l) for l in site.run('mmctl', 'list', '--disposition', 'failed', '--json').splitlines()]

@test
def mmd_outlives_a_lying_mm_smtpd():
    if not os.path.exists(LIAR):
        raise Skip('needs lying_smtpd, of test builds')
    folder = os.path.join(site.root, 'bin')
    os.mkdir(folder)
    for name in ('mmd', 'mm-parse', 'mm-deliver', 'mmctl', 'mm-search', 'mm-audit', 'mm-retention'):
        shutil.copy(os.path.join(site.bin, name), folder)
    shutil.copy(os.path.join(site.bin, 'mm-smtpd'), os.path.join(folder, 'mm-smtpd.real'))
    shutil.copy(LIAR, os.path.join(folder, 'mm-smtpd'))
    site.bin = folder
    site.env['MM_SANDBOX'] = 'off' # the liar keeps its place in a file beside it, and becomes the honest one at the end
    site.start()
    for _ in range(600):
        if len(open(os.path.join(folder, 'lies')).read()) > 4 and not site.process.poll():
            break
        check(site.process.poll() is None, 'mmd ended: ' + site.tail())
        time.sleep(0.1)
    for _ in range(100):
        try:
            good.append(site.send(mail('honest again')))
            break
        except (OSError, smtplib.SMTPException):
            time.sleep(0.1)
    check(good, 'no honest mm-smtpd came after the lying one: ' + site.tail())
    site.wait(120)

@test
def what_was_good_is_archived():
    equal(site.count('subject:good', 'short'), 5, 'between the lies: four, and one large')
    equal(site.ids('subject:"honest again"', 'short'), good, 'afterwards')
    equal(site.count('subject:big', 'short'), 1, 'its file lives until the right key comes')

@test
def nothing_gets_past_the_rules():
    equal((site.count('', 'corp'), site.count('subject:"lie meta"', 'legal')), (0, 0), 'archived')
    equal(len(failed()), 13, 'failed: eleven metas without a rule set, too many recipients, and another hash')
    texts = [f['text'] for f in failed()]
    equal(len([t for t in texts if 'rs-none' in t]), 2, 'what became of a message was said anew under its id: %r' % texts)

@test
def times_and_ids_do_no_harm():
    equal(site.count('subject:"lie time"', 'short'), 6, 'times that are not in the id')
    equal((site.count('subject:first', 'short'), site.count('subject:second', 'short')), (1, 0), 'the same id twice')
    for row in site.rows('subject:time', 'short'):
        o = json.loads(site.run('mmctl', 'why', row['id'], '--json'))
        check(o['received'].startswith('20') and o['kept_until'].startswith('20'), o)

@test
def ids_that_agree_are_all_found():
    equal((site.count('subject:order', 'short'), site.count('subject:day', 'short')), (300, 200), 'archived')
    rows = site.rows('subject:order', 'short')
    equal(sum(site.count('id:' + r['id'], 'short') for r in rows[::10]), 30, 'by their ids')

@test
def a_wrong_hash_is_told_and_mended():
    row = site.rows('subject:hash', 'short')[0]
    equal(row['sha256'], hashlib.sha256(b'Subject: lie hash\r\n\r\nx\r\n').hexdigest(), 'sha256')
    check([f for f in failed() if f['id'] == row['id'] and 'hash' in json.dumps(f)], failed())
    equal(site.count('size<1', 'short'), 1, 'without a byte')

@test
def it_stops_and_starts():
    status = site.status()
    print('   %s' % {k: status[k] for k in ('spooled', 'archived', 'failed', 'spool_damaged')})
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()
    site.start()
    site.send(mail('after a restart'))
    site.wait()
    equal(site.status()['failed'], status['failed'], 'failed')
    log = site.tail(10**7)
    check('says nonsense' in log and 'ERROR: AddressSanitizer' not in log and 'runtime error' not in log, log[-3000:])

@test
def what_was_erased_does_not_come_back():
    site.run('mm-retention', 'erase', '--archive', 'short', '--reason', 'a test', '--yes', good[0])
    site.stop()
    with open(os.path.join(site.bin, 'again'), 'w') as f:
        f.write(good[0])
    site.start()
    for _ in range(200):
        if any(f['id'] == good[0] for f in failed()):
            break
        time.sleep(0.1)
    check(any(f['id'] == good[0] and 'erased' in json.dumps(f) for f in failed()), failed())
    equal((site.count('subject:again', 'short'), site.verify()['problems']), (0, 0), 'it is not back; verify')
    site.send(mail('at the end'))
    site.wait()

done()
