#!/usr/bin/env python3
"""The rest of ../shared/spec/smtp-cases.json: headers that parsers read differently, names of attachments, cells of tables, "From "
lines. What is kept is exact, no reading of a header escapes a rule or the search, and what is exported breaks out of nothing.
Control: the rule doesn't take what has no such address."""
import base64, csv, os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

FILE = os.path.join(ROOT, '..', 'shared', 'spec', 'smtp-cases.json')
ADDRESS = re.compile(r'[a-z]+@(?:legit|attack)\.example')

def cases(name):
    if not os.path.exists(FILE):
        raise Skip('needs ../shared/spec, which is absent')
    return json.load(open(FILE))[name]

def from_legit():
    return {"StringExpression": {"Evaluate": {"Attribute": "FROM"}, "Operator": "CONTAINS", "Values": ["legit.example"]}}

RULES = {"RuleSets": [{"RuleSetName": "all", "Rules": [
    {"Name": "legit", "Conditions": [from_legit()], "Actions": [{"Archive": {"TargetArchive": "legal"}}]},
    {"Name": "rest", "Conditions": [], "Actions": [{"Archive": {"TargetArchive": "corp"}}]}]}]}

site = Site(resources=dict(DEFAULT, **RULES), ingress={"BareNewlines": "KEEP"}).start()
sent = []

def send(data, **more):
    id = site.send(data, **more)
    sent.append((id, data if data.endswith(b'\r\n') else data + b'\r\n'))
    return id

@test
def no_reading_escapes():
    wrong, tried = [], 0
    for case in cases('header_ambiguity')['cases']:
        head = case['raw'].encode('latin-1')
        word = 'ambiguous' + re.sub(r'[^a-z0-9]', '', case['id'])
        body = b'' if b'\r\n\r\n' in head else b'\r\n' + word.encode() + b'\r\n'
        id = send(head + (b'Subject: ' + word.encode() + b'\r\n' if body else b'') + body)
        site.wait()
        # As a person reads the lines but Sender's: everywhere, encoded words too.
        lines = re.sub(rb'(?m)^Sender:.*$', b'', head)
        text = (lines.replace(b'\0', b'') + b''.join(base64.b64decode(b) for b in re.findall(rb'\?B\?([^?]+)\?', lines))).decode('latin-1')
        archive = 'legal' if 'legit.example' in text and re.search(r'from', text, re.I) else 'corp'
        if id not in site.ids('id:' + id, archive):
            wrong.append((case['id'], 'not in ' + archive))
            continue
        if re.search(r'from', text, re.I):
            for address in set(ADDRESS.findall(text)):
                tried += 1
                if id not in site.ids('from:' + address, archive):
                    wrong.append((case['id'], 'from:' + address))
        marked = site.rows('id:' + id, archive)[0]
        if body and id not in site.ids(word, archive) and not (marked['parse_problem'] or marked['not_indexed']):
            wrong.append((case['id'], 'neither found nor marked'))
    print('   %d messages, %d addresses' % (len(sent), tried))
    equal(wrong, [], 'wrong')
    check(tried >= 15, 'too few addresses')

@test
def odd_envelopes_are_refused():
    for case in cases('header_ambiguity')['envelope_variants']:
        with Sender(site.port) as s:
            code, text = s.try_send(mail('variant', 'variant'), sender=case['mail'])
            equal(code // 100, 5, '%s: %s' % (case['id'], text))
    site.wait()
    equal(site.count('envelope-from:any@legit.example'), 0, 'an address that was cut out of another')

@test
def names_and_cells():
    names, cells = cases('export_names')['names'], cases('csv_cells')['cells']
    for i, text in enumerate(names):
        raw = text.encode('latin-1')
        word = '=?utf-8?B?%s?=' % base64.b64encode(raw).decode()
        send(mail('name%d' % i, '--p\r\nContent-Type: text/plain; name="%s"\r\nContent-Disposition: attachment; filename="%s"\r\n\r\nx\r\n--p--' % (
            word, word), extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=p\r\n'))
    for i, text in enumerate(cells):
        word = '=?utf-8?B?%s?=' % base64.b64encode(text.encode('latin-1')).decode()
        send(mail(word, 'cell%d' % i, sender='"%s" <c@x.example>' % word))
    lines = cases('mbox_from')['lines']
    send(mail('mbox', '\r\n'.join(lines + ['>' + l for l in lines] + lines)))
    site.wait()
    # What a terminal gets: no control character, whatever the name or subject.
    out = site.run('mm-search', '--archive', 'corp', '', binary=True)
    equal(re.findall(rb'[^\n]*[\x00-\x08\x0b-\x1f\x7f][^\n]*', out), [], 'control characters on a terminal')
    for form in ('eml', 'mbox'):
        folder = os.path.join(site.root, 'out-' + form)
        site.run('mm-export', '--archive', 'corp', '--to', folder, '--as', form, '')
        site.run('mm-export', 'verify', folder)
        found = [os.path.join(at, n) for at, _, files in os.walk(folder) for n in files]
        odd = [f for f in found if not re.fullmatch(r'[A-Za-z0-9_./-]+', f[len(folder):]) or os.path.islink(f)]
        equal(odd, [], 'files')
        for name in ('index.csv', 'summary.csv', 'failures.csv'):
            for row in csv.reader(open(os.path.join(folder, name), encoding='utf-8', newline='')):
                bad = [c for c in row if re.match('[=+\\-@\t\r\0\uff1d\uff0b\uff0d\uff20]', c) and not re.fullmatch(r'-?\d+', c)]
                equal(bad, [], name)
    files = sum(len(names) for _, _, names in os.walk(os.path.join(site.root, 'out-eml', 'native')))
    equal(files, site.count(''), 'a file each')
    import mailbox
    equal(len(mailbox.mbox(os.path.join(site.root, 'out-mbox', 'native', 'mail.mbox'))), site.count(''), 'messages that another reader counts')

@test
def exact_and_clean():
    for id, data in sent:
        equal(sha256(site.run('mm-search', '--raw', id, binary=True)), sha256(data), id)
    id = site.send(mail('plain', 'no such address'))
    site.wait()
    check(id in site.ids('id:' + id) and id not in site.ids('id:' + id, 'legal'), 'the control')
    equal(site.verify()['problems'], 0, 'verify')
    site.stop()

done()
