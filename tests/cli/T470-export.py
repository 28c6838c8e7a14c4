#!/usr/bin/env python3
"""mm-export: packages in both forms over several shards, exact and checkable with and without mm; what is damaged is a row in
failures.csv and exit 1; what is in cells, names and paths can't do harm."""
import base64, csv, glob, json, mailbox, os, re, shutil, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site().start()
sent = {} # id: bytes
COUNT = 1500
CELLS = ['=1+1', '+1', '@SUM(1)', '-2+3', '=HYPERLINK("http://x.invalid","a")', '"=1"', ',=1', '\uff1d1', 'a,"b"', "'=1", ' =1', 'a\u202eb', 'x\x1b[31mred', '\x07bell', '\t=1']
NAMES = ['../../etc/passwd', 'C:\\x', 'con', '-rf', 'a/b', '$(id)', '.htaccess', '`id`']

def out(name):
    return os.path.join(site.root, name)

def manifest(folder):
    return [json.loads(l) for l in open(os.path.join(folder, 'manifest.jsonl'), encoding='utf-8')]

def rows_of(folder, name):
    return list(csv.reader(open(os.path.join(folder, name), encoding='utf-8', newline='')))

def export(name, *query, form='eml', code=0, extra=()):
    folder = out(name)
    site.run('mm-export', '--archive', 'corp', '--to', folder, '--as', form, *extra, *query, code=code)
    return folder

def messages_of(folder):
    """{id: bytes} by the manifest, whatever the form, as the package's README says."""
    found = {}
    for m in manifest(folder):
        path = os.path.join(folder, m['path'])
        check(os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep), m['path'])
        if 'offset' in m:
            box = open(path, 'rb')
            box.seek(m['offset'])
            raw = re.sub(rb'(^|\n)>(>*From )', rb'\1\2', box.read(m['stored_bytes']))
            box.close()
        else:
            raw = open(path, 'rb').read()
        equal((sha256(raw), len(raw)), (m['sha256'], m['bytes']), m['id'])
        found[m['id']] = raw
    return found

def sums_are_right(folder):
    """By the commands that the package's README gives: no file was changed or lost, none was added."""
    readme = open(os.path.join(folder, 'README.txt')).read()
    commands = re.findall(r'^    ((?:sha256sum|find|wc) .*)$', readme, re.M)
    equal(len(commands), 3, readme)
    said = [subprocess.run(c, shell=True, cwd=folder, check=True, stdout=subprocess.PIPE).stdout.decode() for c in commands]
    equal([l for l in said[0].splitlines() if not l.endswith(': OK')], [], 'sha256sum')
    equal(said[1], said[2], 'files')
    added = os.path.join(folder, 'native', 'added.eml')
    open(added, 'w').close()
    more = subprocess.run(commands[1], shell=True, cwd=folder, check=True, stdout=subprocess.PIPE).stdout.decode()
    check(more != said[2], 'an added file is not counted')
    problems = [json.loads(l) for l in site.run('mm-export', 'verify', '--json', folder, code=1).splitlines()]
    equal(problems[0], {'path': 'native/added.eml', 'problem': 'does not belong to the package'})
    equal(problems[-1]['problems'], 1, problems)
    os.unlink(added)
    site.run('mm-export', 'verify', folder)

@test
def messages_go_in():
    with Sender(site.port) as s:
        for i in range(COUNT):
            data = mail('export %d' % i, 'body %d%s\r\nFrom a line\r\n>From another\r\n.dot\r\n' % (i, ' even' if i % 2 == 0 else ''))
            sent[s.send(data)] = data
            if i in (COUNT // 3, 2 * COUNT // 3):
                site.advance(days=1)
        for i, cell in enumerate(CELLS):
            # Raw bytes in the header where they may stand, encoded words where not.
            word = '=?utf-8?B?%s?=' % base64.b64encode(cell.encode()).decode()
            data = mail('%s' % word, 'cell%d' % i, sender='"%s" <c@x.example>' % word)
            sent[s.send(data)] = data
        for i, name in enumerate(NAMES):
            data = mail('name', '--p\r\nContent-Type: text/plain; name="%s"\r\n\r\nx\r\n--p--' % name.replace('\\', '\\\\'),
                        extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=p\r\n')
            sent[s.send(data)] = data
    site.wait()
    equal(site.count(''), len(sent), 'archived')
    site.sealed(10)

@test
def all_as_eml():
    folder = export('eml', '')
    equal(messages_of(folder), sent, 'messages')
    sums_are_right(folder)
    files = glob.glob(folder + '/native/**/*', recursive=True)
    equal(sum(os.path.isfile(f) for f in files), len(sent), 'files')
    check(all(re.fullmatch(r'[0-9a-z]{26}\.eml|\d{4}', os.path.basename(f)) for f in files), 'names')
    check(max(len(os.listdir(f)) for f in files if os.path.isdir(f)) <= 1000, 'a folder of more than 1000 files')
    equal(rows_of(folder, 'failures.csv'), [['id', 'stage', 'reason']], 'failures.csv')
    equal(sorted(os.listdir(folder)), ['README.txt', 'SHA256SUMS', 'custody.json', 'failures.csv', 'index.csv', 'manifest.jsonl', 'native', 'summary.csv'], 'files')

@test
def who_makes_all_checksums_anew_is_found():
    folder = export('sums', 'subject:"export 7"', extra=('--case', 'sums'))
    def sums():
        return sha256(open(os.path.join(folder, 'SHA256SUMS'), 'rb').read())
    def entry():
        return [x['detail'] for x in map(json.loads, site.run('mm-audit', 'list', '--event', 'exported', '--json').splitlines())][-1]
    told = entry()
    site.run('mm-export', '--archive', 'corp', '--to', out('long'), '--case', 'x' * 1025, 'words', code=2)
    check('case: at most 1024 bytes' in site.stderr, site.stderr)
    equal((told['sums_sha256'], told['archive'], told['messages'], told['failed'], told['case']), (sums(), 'corp', 1, 0, 'sums'))
    check(sums() in site.run('mm-export', 'verify', folder), 'verify does not print it')
    equal(json.loads(site.run('mm-export', 'verify', '--json', folder).splitlines()[-1])['sums_sha256'], sums())
    def content(name, new=None):
        with open(os.path.join(folder, name), 'rb' if new is None else 'wb') as f:
            return f.read() if new is None else f.write(new)
    [m] = manifest(folder)
    content(m['path'], content(m['path']).replace(b'body 7', b'body 8'))
    anew = {m['sha256']: sha256(content(m['path']))}
    for name in ('manifest.jsonl', 'index.csv', 'SHA256SUMS'):
        before = content(name)
        after = before
        for old, new in anew.items():
            after = after.replace(old.encode(), new.encode())
        content(name, after)
        anew[sha256(before)] = sha256(after)
    equal(json.loads(site.run('mm-export', 'verify', '--json', folder).splitlines()[-1])['problems'], 0, 'the forgery is not good enough')
    check(sums() != told['sums_sha256'], 'and is not seen')
    site.stop()
    again = out('sums-alone')
    printed = json.loads(site.run('mm-export', '--archive', 'corp', '--to', again, '--json', 'subject:"export 7"'))
    equal((entry()['sums_sha256'], printed['sums_sha256']), (sha256(open(os.path.join(again, 'SHA256SUMS'), 'rb').read()),) * 2, 'without mmd')
    site.start()

@test
def all_as_mbox():
    folder = export('mbox', '', form='mbox')
    equal(messages_of(folder), sent, 'messages')
    sums_are_right(folder)
    equal(len(mailbox.mbox(os.path.join(folder, 'native', 'mail.mbox'))), len(sent), 'messages that Python sees')

@test
def a_query_and_a_limit():
    folder = export('even', 'even')
    equal(set(messages_of(folder)), {i for i, d in sent.items() if b' even' in d}, 'even ones')
    folder = export('few', 'even', extra=['--limit', '7'])
    equal([m['id'] for m in manifest(folder)], [i for i in reversed(list(sent)) if b' even' in sent[i]][:7], 'the newest seven')
    folder = export('none', 'nosuchword')
    equal((manifest(folder), rows_of(folder, 'summary.csv')[1]), ([], ['corp', '0', '0', '0', '0']), 'none')
    sums_are_right(folder)
    site.run('mm-export', '--archive', 'corp', '--to', out('bad'), 'after:yesterdayish', code=2)
    site.run('mm-export', '--archive', 'nowhere', '--to', out('bad'), 'x', code=2)
    site.run('mm-export', '--archive', 'corp', 'x', code=2)
    site.run('mm-export', '--archive', 'corp', '--to', out('bad'), '--as', 'pst', 'x', code=2)
    check(not os.path.exists(out('bad')), 'a refused export left a folder')

@test
def a_folder_that_is_not_empty_is_refused():
    os.mkdir(out('full'))
    with open(os.path.join(out('full'), 'mine'), 'w') as f:
        f.write('precious')
    site.run('mm-export', '--archive', 'corp', '--to', out('full'), 'even', code=None)
    check('not empty' in site.stderr, site.stderr)
    equal(os.listdir(out('full')), ['mine'], 'what is in it')
    p = subprocess.run([os.path.join(site.bin, 'mm-export'), '--archive', 'corp', '--to', out('full'), 'even'], env=site.env, stderr=subprocess.DEVNULL)
    check(p.returncode in (1, 2), p.returncode)
    os.mkdir(out('empty'))
    export('empty', 'subject:"export 7"')

@test
def custody_says_who_what_when():
    folder = export('case', 'even', 'received:2000..', extra=['--case', 'Müller ./. Meier "7"'])
    o = json.load(open(os.path.join(folder, 'custody.json'), encoding='utf-8'))
    equal((o['case'], o['archive'], o['query'], o['zone'], o['who']), ('Müller ./. Meier "7"', 'corp', 'even received:2000..', 'UTC', 'uid %d' % os.getuid()), 'custody')
    equal((o['counts']['found'], o['counts']['exported'], o['counts']['failed']), (COUNT // 2,) * 2 + (0,), 'counts')
    check(o['received_from'].startswith('2000-01-01T00:00:00') and 'even' in o['canonical'] and o['when'] <= o['finished'], o)
    # The audit head in it is one that the log confirms, and the log has the export.
    head = o['audit_head']
    entries = [json.loads(l) for l in site.run('mm-audit', 'list', '--json').splitlines()]
    check(entries[head['entries'] - 1]['event'] == 'export' and 'Müller' in json.dumps(entries[head['entries'] - 1], ensure_ascii=False), entries[head['entries'] - 1])

@test
def cells_can_do_no_harm():
    folder = export('cells', 'from:c@x.example')
    rows = rows_of(folder, 'index.csv')
    head = rows[0]
    equal(len(rows), len(CELLS) + 1, 'rows')
    check(all(len(r) == len(head) for r in rows), 'columns')
    subjects = {r[head.index('id')]: r[head.index('subject')] for r in rows[1:]}
    for id, subject in subjects.items():
        row = site.rows('id:' + id)[0]
        check(subject in (row['subject'], "'" + row['subject']), (subject, row['subject']))
        for r in rows[1:]:
            check(not any(c[:1] in ('=', '+', '@', '\t', '\r', '\uff1d', '\uff0b', '\uff20') or re.match(r'-\D', c) or c.startswith('-2+') for c in r), r)
    text = open(os.path.join(folder, 'index.csv'), 'rb').read()
    check(b'\r\n' in text and b'\0' not in text, 'line ends')
    # On a terminal no control character gets through.
    shown = site.run('mm-search', '--archive', 'corp', 'from:c@x.example')
    check('\x1b' not in shown and '\x07' not in shown and '\u202e' not in shown, shown)
    check('a\\u{202e}b' in shown, shown[:2000])

@test
def verify_finds_every_change():
    wrong = []
    for form in ('eml', 'mbox'):
        good = export('good-' + form, 'even', form=form, extra=['--limit', '20'])
        native = sorted(os.path.relpath(p, good) for p in glob.glob(good + '/native/**/*', recursive=True) if os.path.isfile(p))
        files = ['manifest.jsonl', 'failures.csv', 'index.csv', 'summary.csv', 'custody.json', 'README.txt', 'SHA256SUMS', native[0]]
        def flip(p):
            content = bytearray(open(p, 'rb').read())
            content[len(content) // 3] ^= 1
            open(p, 'wb').write(content)
        def cut(p):
            os.truncate(p, os.path.getsize(p) - 2)
        changes = [(f.__name__, name, f) for name in files for f in (flip, cut, os.remove)]
        changes += [('add', 'native/extra.eml', lambda p: open(p, 'w').write('x')), ('swap', native[0], lambda p: os.replace(os.path.join(bad, native[-1]), p) if len(native) > 1 else flip(p))]
        for what, name, change in changes:
            bad = out('bad-' + form)
            shutil.copytree(good, bad)
            change(os.path.join(bad, name))
            p = subprocess.run([os.path.join(site.bin, 'mm-export'), 'verify', bad], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if p.returncode != 1:
                wrong.append((form, what, name, p.returncode, p.stderr[-200:]))
            shutil.rmtree(bad)
        site.run('mm-export', 'verify', good)
    equal(wrong, [], 'not found')

@test
def a_damaged_message_is_a_row_and_exit_1():
    """A block of a segment is broken: its messages fail, all others are exported."""
    site.stop()
    segments = sorted(glob.glob(site.data + '/seg/*/*'), key=os.path.getsize)
    with open(segments[-1], 'r+b') as f:
        f.seek(os.path.getsize(segments[-1]) // 2)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))
    folder = export('damaged', '', code=1)
    failures = rows_of(folder, 'failures.csv')[1:]
    good = messages_of(folder)
    check(0 < len(failures) < len(sent), '%d failures' % len(failures))
    equal(sorted(list(good) + [f[0] for f in failures]), sorted(sent), 'exported and failed')
    check(all(good[i] == sent[i] for i in good), 'bytes')
    check(all(f[1] == 'read' and f[2] for f in failures), failures[0])
    o = json.load(open(os.path.join(folder, 'custody.json')))
    equal((o['counts']['found'], o['counts']['exported'], o['counts']['failed']), (len(sent), len(good), len(failures)), 'counts')
    # The package itself is whole: it says what is missing.
    subprocess.run(['sha256sum', '--quiet', '-c', 'SHA256SUMS'], cwd=folder, check=True)
    site.run('mm-export', 'verify', folder, code=None)
    folder = export('damaged-mbox', '', form='mbox', code=1)
    equal(messages_of(folder), good, 'mbox')
    site.run('mm-search', '--raw', failures[0][0], code=1)
    site.run('mmctl', 'verify', code=1)

done()
