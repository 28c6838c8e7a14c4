#!/usr/bin/env python3
"""The main job: receive by SMTP, find, show, export, say why, verify; with mmd running and without."""
import json, os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site().start()
sent = {}

@test
def messages_are_accepted_and_archived():
    for name in sorted(os.listdir(os.path.join(ROOT, 'tests/data/samples'))):
        data = crlf(open(os.path.join(ROOT, 'tests/data/samples', name), 'rb').read())
        sent[name] = (site.send(data), data)
    site.wait()
    s = site.status()
    equal((s['spooled'], s['archived'], s['failed']), (0, 5, 0), 'status')

@test
def queries_find_them():
    wrong = []
    for query, want in [('', 5), ('lantern', 1), ('lantern*', 3), ('from:ann', 1), ('to:sales', 5), ('subject:order', 2), ('INV-2024/0815', 2),
                        ('"spring fair"', 2), ('東京', 1), ('検索', 1), ('strasse', 1), ('Strasse OR Straße', 1), ('filename:csv', 1), ('has:attachment', 1),
                        ('marquee', 1), ('cc:ann@shop.example', 1), ('e-mail C++', 1), ('-newsletter', 4), ('(lantern OR soup)', 2),
                        ('msgid:order-0815@shop.example', 1), ('larger:1M', 0), ('smaller:1M', 5), ('ingress:inbound', 5),
                        ('ip:127.0.0.1', 5), ('ip:10.0.0.0/8', 0), ('envelope-from:ann@shop.example', 5), ('rcpt:sales@corp.example', 5),
                        ('blue NEAR/2 lanterns', 1), ('blue AROUND 1 fair', 0), ('blue AROUND 3 fair', 1), ('sent:2026-03-02', 2), ('sent:2026-03-03..2026-03-05', 3)]:
        got = site.count(query)
        if got != want:
            wrong.append((query, got, want))
    equal(wrong, [], 'query, got, want')

@test
def rows_have_their_fields():
    rows = site.rows('subject:contract OR subject:Vertrag')
    equal(len(rows), 1, 'rows')
    for field in ('id archive received from to cc subject message_id bytes sha256 envelope_from envelope_to has_attachment '
                  'parse_problem').split():
        check(field in rows[0], 'no field ' + field)
    data = sent['2-contract.eml'][1]
    equal(rows[0]['sha256'], sha256(data), 'sha256')
    equal(rows[0]['bytes'], len(data), 'bytes')
    equal(rows[0]['has_attachment'], True, 'has_attachment')
    equal(rows[0]['envelope_to'], ['sales@corp.example'], 'envelope_to')

@test
def raw_is_exact_and_show_is_readable():
    for name, (id, data) in sent.items():
        equal(site.run('mm-search', '--raw', id, binary=True), data, name)
    text = site.run('mm-search', '--show', sent['3-tokyo.eml'][0])
    check('東京都の見積もり' in text and '検索' in text, text)

@test
def export_is_exact_in_both_forms():
    for form in ('eml', 'mbox'):
        out = os.path.join(site.root, 'out-' + form)
        site.run('mm-export', '--archive', 'corp', '--to', out, '--as', form, '')
        lines = [json.loads(l) for l in open(os.path.join(out, 'manifest.jsonl'))]
        equal(len(lines), 5, form)
        by_id = {l['id']: l for l in lines}
        for name, (id, data) in sent.items():
            equal(by_id[id]['sha256'], sha256(data), name)
            if form == 'eml':
                equal(open(os.path.join(out, by_id[id]['path']), 'rb').read(), data, name)
        equal(open(os.path.join(out, 'failures.csv')).read().strip(), 'id,stage,reason', 'failures.csv')
        site.run('mm-export', 'verify', out)
        subprocess.run(['sha256sum', '--quiet', '-c', 'SHA256SUMS'], cwd=out, check=True)
    path = os.path.join(out, 'native', 'mail.mbox')
    content = bytearray(open(path, 'rb').read())
    content[len(content) // 2] ^= 1
    open(path, 'wb').write(content)
    site.run('mm-export', 'verify', out, code=1)

@test
def why_says_rule_and_retention():
    o = json.loads(site.run('mmctl', 'why', sent['1-order.eml'][0], '--json'))
    equal((o['disposition'], o['archive'], o['decided']['rule_name'], o['retention']), ('archived', 'corp', 'keep', 'ONE_YEAR'), 'why')
    check(o['kept_until'] > o['received'], 'kept_until')
    said = site.run('mmctl', 'why', sent['1-order.eml'][0])
    for text in ('archived in corp\n', 'until ' + o['kept_until'] + ' (ONE_YEAR', 'envelope    ', 'by way of   ingress point inbound, traffic policy ',
                 'decided by  rule 0 keep of rule set '):
        check(text in said, 'no %r in %s' % (text, said))
    site.run('mmctl', 'why', '0' * 26, code=1)

@test
def verify_is_clean():
    v = site.verify()
    equal((v['messages'], v['rows'], v['problems']), (5, 5, 0), 'verify')

@test
def every_read_is_in_the_audit_log():
    entries = [json.loads(l) for l in site.run('mm-audit', 'list', '--json').splitlines()]
    events = [e['event'] for e in entries]
    for event in ('start', 'apply', 'block', 'search', 'read', 'export', 'verify'):
        check(event in events, 'no %s in %s' % (event, sorted(set(events))))
    equal([e['number'] for e in entries], list(range(1, len(entries) + 1)), 'numbers')
    site.run('mm-audit', 'verify')

@test
def everything_works_without_mmd_too():
    site.stop()
    equal(site.count('lantern*'), 3, 'count')
    equal(site.run('mm-search', '--raw', sent['1-order.eml'][0], binary=True), sent['1-order.eml'][1], 'raw')
    equal(site.status()['archived'], 5, 'archived')
    site.run('mmctl', 'status', '--running', code=3)

@test
def exit_codes_mean_something():
    site.run('mm-search', code=2)
    site.run('mm-search', '--nonsense', code=2)
    site.run('mm-search', '--archive', 'nowhere', 'x', code=2)
    site.run('mm-search', '--archive', 'corp', 'after:yesterdayish', code=2)
    site.run('mm-search', '--archive', 'nowhere', '--show', sent['1-order.eml'][0], code=2)
    check('there are: corp' in site.stderr, site.stderr)
    equal(site.count('nosuchword'), 0, 'no hit')
    site.run('mm-search', '--data', site.root + '/nothing', '--archive', 'corp', 'x', code=3)
    other = os.path.join(site.root, 'other.key')
    subprocess.run([os.path.join(site.bin, 'mmctl'), 'init', '--data', site.root + '/data2', '--key-file', other], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    site.run('mm-search', '--key-file', other, '--archive', 'corp', 'x', code=3)
    site.run('mmctl', 'status', '--data', site.data, '--json')

done()
