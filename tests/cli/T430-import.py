#!/usr/bin/env python3
"""mm-import: mbox, Maildir, EML files and folders to the same bytes; an outcome for each message; an import that is killed is
finished by the next one, each message exactly once; the day of receipt from the headers."""
import collections, json, mailbox, os, random, signal, subprocess, sys
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)
site = Site().start()

def folder(name):
    path = os.path.join(site.root, name)
    os.makedirs(path, exist_ok=True)
    return path

def put(path, data):
    with open(path, 'wb') as f:
        f.write(data)
    return path

def imported(*paths, archive='corp', code=0, extra=()):
    """The outcomes: [(outcome, source, id or None)]."""
    out = site.run('mm-import', '--archive', archive, '--json', *extra, *paths, code=code)
    rows = [json.loads(l) for l in out.splitlines()]
    return [(r['outcome'], r['source'], r.get('id')) for r in rows]

def outcomes(rows):
    return dict(collections.Counter(r[0] for r in rows))

def archived(archive='corp'):
    site.wait()
    return collections.Counter(r['sha256'] for r in site.rows('', archive))

def sums(messages):
    return collections.Counter(sha256(m) for m in messages)

def mbox(messages, eol=b'\n', quote=True, last=True):
    """An mboxrd file as a foreign program writes it."""
    parts = []
    for m in messages:
        lines = m.split(b'\n')
        if quote:
            lines = [b'>' + l if l.lstrip(b'>').startswith(b'From ') else l for l in lines]
        parts.append(b'From ann@shop.example Thu Jan  1 00:00:00 2026' + eol + b'\n'.join(lines) + eol)
    data = b''.join(parts)
    return data if last else data[:-len(eol)]

def text(n, body=b'text\n'):
    return b'From: a%d@old.example\nTo: b@old.example\nSubject: import %d\n\n' % (n, n) + body

BODIES = [b'plain\n', b'From here on\n', b'\nFrom behind an empty line\n', b'>From quoted\n', b'>>From twice\n>>>From thrice\n', b'\n\n\n',
          b'From\tno blank\n From a blank\nFrom: header\n', b'a\n\nFrom x@y Thu Jan  1 00:00:00 2026\nSubject: not a message\n\nb\n', b'']

@test
def mbox_with_lf_and_crlf():
    for eol, name in ((b'\n', 'lf.mbox'), (b'\r\n', 'crlf.mbox')):
        messages = [text(i, b).replace(b'\n', eol) for i, b in enumerate(BODIES)]
        path = put(os.path.join(folder('a'), name), mbox(messages, eol))
        before = archived()
        rows = imported(path)
        equal(outcomes(rows), {'stored': len(messages)}, name)
        equal(archived() - before, sums(messages), name)
        equal(outcomes(imported(path)), {'already': len(messages)}, name + ' again')
        check(all(r[1].startswith(path + '#') for r in rows), rows[0])
    equal(site.count('"not a message"'), 2, 'a quoted From line begins no message')

@test
def mbox_without_a_newline_at_the_end():
    messages = [text(100), text(101, b'the end has none')]
    path = put(os.path.join(folder('a'), 'cut.mbox'), mbox(messages, last=False))
    before = archived()
    imported(path)
    equal(archived() - before, sums(messages), 'bytes')

@test
def mbox_of_a_program_that_does_not_quote():
    """A separator has two of: an empty line in front, a date, a header behind it."""
    messages = [text(200, b'a\n\nFrom here on we sell lanterns\nand soup\n'), text(201, b'\nFrom 9:30 to 10:00: tea\n\nb\n'), text(202)]
    messages += [text(203, b'a\nFrom: b\nFrom nine\nTo: five\n'), text(204)]
    # The last one has no empty line in front.
    data = mbox(messages[:2], quote=False) + b'From -\n' + messages[2] + b'\n' + mbox(messages[3:4], quote=False)[:-1] + mbox(messages[4:])
    path = put(os.path.join(folder('a'), 'unquoted.mbox'), data)
    before = archived()
    equal(outcomes(imported(path)), {'stored': 5}, 'outcomes')
    equal(archived() - before, sums(messages), 'bytes')

@test
def mbox_of_python():
    path = os.path.join(folder('a'), 'python.mbox')
    box = mailbox.mbox(path)
    for i in range(20):
        box.add(mailbox.mboxMessage(text(300 + i, b'From the top\n' * (i % 3) + b'body\n')))
    box.close()
    before = archived()
    equal(outcomes(imported(path)), {'stored': 20}, 'outcomes')
    equal(sum((archived() - before).values()), 20, 'archived')

@test
def maildir_and_flags():
    path = os.path.join(site.root, 'maildir')
    box = mailbox.Maildir(path)
    messages = [text(400 + i) for i in range(10)]
    for m in messages:
        put(os.path.join(path, 'new', '17000000%s.M1P1.host' % sha256(m)[:6]), m)
    before = archived()
    equal(outcomes(imported(path)), {'stored': 10}, 'first')
    equal(archived() - before, sums(messages), 'bytes')
    for i, name in enumerate(sorted(os.listdir(os.path.join(path, 'new')))):
        os.rename(os.path.join(path, 'new', name), os.path.join(path, 'cur', name + (':2,S', ':2,FRS', ':2,')[i % 3]))
    put(os.path.join(path, 'new', 'fresh'), text(450))
    put(os.path.join(path, 'tmp', 'half'), b'not delivered yet')
    equal(outcomes(imported(path)), {'already': 10, 'stored': 1}, 'with other flags')
    equal(site.count('delivered'), 0, 'tmp is left out')
    box.close()

@test
def eml_files_and_folders():
    path = folder('eml')
    names = ['1.eml', 'ümlaut.eml', 'with blank.eml', 'sub/deep/2.eml', 'sub/3', '-rf', 'line\nbreak.eml']
    messages = [text(500 + i, bytes([i]) * i + b'\xff\x00\r \n') for i in range(len(names))]
    for n, m in zip(names, messages):
        folder(os.path.join('eml', os.path.dirname(n)))
        put(os.path.join(path, n), m)
    put(os.path.join(path, 'sub', 'inside.mbox'), mbox([text(550), text(551)]))
    before = archived()
    equal(outcomes(imported(path)), {'stored': len(names) + 2}, 'outcomes')
    equal(archived() - before, sums(messages + [text(550), text(551)]), 'bytes')
    one = put(os.path.join(site.root, 'no-end.eml'), b'Subject: no end\n\nno line end at the end')
    equal(outcomes(imported(one)), {'stored': 1}, 'one file')
    site.wait()
    id = site.ids('"no end"')[0]
    equal(site.run('mm-search', '--raw', id, binary=True), open(one, 'rb').read(), 'raw')
    row = site.rows('subject:"import 500"')[0]
    equal(row['ingress'], 'import', 'ingress')

@test
def what_cannot_be_read_fails_and_the_rest_is_stored():
    path = folder('mixed')
    put(os.path.join(path, 'good.eml'), text(600))
    os.symlink('/nonexistent', os.path.join(path, 'dangling.eml'))
    os.mkfifo(os.path.join(path, 'pipe.eml'))
    put(os.path.join(path, 'empty.eml'), b'')
    rows = imported(path, code=1)
    equal(outcomes(rows), {'stored': 2, 'failed': 2}, 'outcomes')
    equal(outcomes(imported(os.path.join(site.root, 'absent'), code=1)), {'failed': 1}, 'a path that is not there')
    site.run('mm-import', '--archive', 'corp', 'absent', code=1)
    equal(site.stderr, 'absent: No such file or directory\n', 'said once')
    site.run('mm-import', '--archive', 'nowhere', path, code=2)
    site.run('mm-import', '--archive', 'corp', code=2)
    site.run('mm-import', path, code=2)
    site.run('mm-import', '--archive', 'corp', '--received', 'sometime', path, code=2)

@test
def the_same_bytes_in_two_places_are_two_messages_and_in_two_archives():
    m = text(700)
    a, b = put(os.path.join(folder('two'), 'a.eml'), m), put(os.path.join(folder('two'), 'b.eml'), m)
    equal(outcomes(imported(a, b, a)), {'stored': 2, 'already': 1}, 'corp')
    equal(outcomes(imported(a, archive='legal')), {'stored': 1}, 'legal')
    equal((archived()[sha256(m)], archived('legal')[sha256(m)]), (2, 1), 'copies')
    id = site.ids('subject:"import 600"')[0]
    site.run('mm-search', '--archive', 'legal', '--show', id, code=1)
    check("archive legal doesn't have" in site.stderr, site.stderr)

# ---- the day of receipt ----

@test
def received_by_header():
    now = datetime.now(timezone.utc)
    day = lambda d: now - timedelta(days=d)
    stamp = lambda d: format_datetime(d).encode()
    received = lambda *dates: b''.join(b'Received: from a by b\n\twith SMTP id x%d;\n\t%s\n' % (i, d) for i, d in enumerate(dates))
    path = folder('dated')
    cases = {'two': (received(stamp(day(40)), stamp(day(50))), day(40)), 'broken': (received(b'yesterday', stamp(day(60))), day(60)),
             'future': (received(stamp(day(-30))), now), 'none': (b'', now), 'comment': (received(b'Fri, 13 Feb 2009 23:31:30 +0100 (CET)'), datetime(2009, 2, 13, 22, 31, 30, tzinfo=timezone.utc)),
             'zone': (received(b'13 Feb 2009 23:31:30 EST'), datetime(2009, 2, 14, 4, 31, 30, tzinfo=timezone.utc)), 'impossible': (received(b'Fri, 31 Feb 2009 23:31:30 +0000'), now)}
    for name, (header, _) in cases.items():
        put(os.path.join(path, name), header + b'Subject: dated %s\n\nx\n' % name.encode())
    rows = imported(path, archive='legal', extra=['--received', 'header'])
    equal(outcomes(rows), {'stored': len(cases)}, 'outcomes')
    site.wait()
    for outcome, source, id in rows:
        want = cases[os.path.basename(source)][1]
        why = json.loads(site.run('mmctl', 'why', id, '--json'))
        got = datetime.strptime(why['received'], '%Y-%m-%dT%H:%M:%S.%fZ').replace(tzinfo=timezone.utc)
        check(abs((got - want).total_seconds()) < (3600 if want == now else 1), '%s: %s, want %s' % (source, got, want))
        equal(why['kept_until'][:10], str((datetime(got.year + 10, got.month, 28 if (got.month, got.day) == (2, 29) else got.day) + timedelta(days=1)).date()), 'kept until')
        check('import' in json.dumps(why['receipt']) and os.path.basename(source) in json.dumps(why), why)
        row = site.rows('id:' + id, 'legal')[0]
        equal(row['received'][:19], got.strftime('%Y-%m-%dT%H:%M:%S'), 'row')
    equal(site.count('received:2009-02-13', 'legal'), 1, 'received:')
    equal(site.count('received:2009-02-14', 'legal'), 1, 'received:')
    equal(outcomes(imported(path, archive='legal', extra=['--received', 'header'])), {'already': len(cases)}, 'again')
    equal(site.verify()['problems'], 0, 'verify')

@test
def old_mail_lies_in_the_lot_of_its_day():
    """In an archive of 30 days what is 40 days old falls due, what is 20 days old doesn't."""
    now = datetime.now(timezone.utc)
    for days in (20, 40):
        date = format_datetime(now - timedelta(days=days)).encode()
        put(os.path.join(folder('lots'), '%d.eml' % days), b'Received: by b; ' + date + b'\nSubject: old%d\n\nx\n' % days)
    imported(folder('lots'), archive='short', extra=['--received', 'header'])
    site.wait()
    equal((site.count('old20', 'short'), site.count('old40', 'short')), (1, 1), 'before the sweep')
    site.run('mm-retention', 'run')
    equal((site.count('old20', 'short'), site.count('old40', 'short')), (1, 0), 'after the sweep')

# ---- killed in the middle ----

MANY = 2500

def many(name, first):
    messages = [text(first + i, b'word%d ' % i * rng.randrange(1, 200) + b'\n') for i in range(MANY)]
    return messages, put(os.path.join(folder('many'), name), mbox(messages))

def begin(path, archive, lines):
    """An import that is under way: returns after some outcomes and a while, with the ids that it said are stored."""
    p = subprocess.Popen([os.path.join(site.bin, 'mm-import'), '--archive', archive, '--json', path], env=site.env, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    said = [json.loads(p.stdout.readline()) for _ in range(lines)]
    time.sleep(rng.uniform(0, 0.2))
    return p, [o['id'] for o in said if o['outcome'] == 'stored']

def end(p):
    out = p.stdout.read()
    err = p.stderr.read().decode('utf-8', 'replace')
    p.stdout.close()
    p.stderr.close()
    return p.wait(120), out, err

def once(archive, messages, said):
    site.wait()
    rows = site.rows('', archive)
    have = collections.Counter(r['sha256'] for r in rows)
    wanted = sums(messages)
    equal({h: n for h, n in wanted.items() if have[h] != n}, {}, 'not exactly once')
    equal(set(said) - {r['id'] for r in rows}, set(), 'said to be stored and not there')

KILLED = dict(DEFAULT, Archives=DEFAULT['Archives'] + [{"ArchiveName": "k%d" % i, "Retention": {"RetentionPeriod": "PERMANENT"}} for i in range(3)])

@test
def mm_import_is_killed():
    site.apply(KILLED)
    messages, path = many('tool.mbox', 10000)
    said = []
    for lines in (40, 900):
        p, ids = begin(path, 'k0', lines)
        p.kill()
        end(p)
        said += ids
    rows = imported(path, archive='k0')
    check(outcomes(rows).get('already', 0) >= len(said) - 40, outcomes(rows))
    equal(sum(outcomes(rows).values()), MANY, 'outcomes')
    once('k0', messages, said)

@test
def mmd_is_killed():
    messages, path = many('mmd.mbox', 20000)
    said = []
    for lines in (1, 30, 700, 1400):
        p, ids = begin(path, 'k1', lines)
        site.kill()
        # It ends by itself: with what is left failed (1, 3), or, when mmd died between two batches, by its own hand.
        code, _, err = end(p)
        check(code in (0, 1, 3), 'mm-import ended with %d: %s' % (code, err[-500:]))
        said += ids
        site.start()
    rows = imported(path, archive='k1')
    equal(sum(outcomes(rows).values()), MANY, 'outcomes')
    once('k1', messages, said)
    equal(outcomes(imported(path, archive='k1')), {'already': MANY}, 'again')

@test
def without_mmd_and_killed():
    site.stop()
    messages, path = many('alone.mbox', 30000)
    p, said = begin(path, 'k2', 600)
    p.kill()
    end(p)
    rows = imported(path, archive='k2')
    equal(sum(outcomes(rows).values()), MANY, 'outcomes')
    check(outcomes(rows).get('already', 0) >= 500, outcomes(rows))
    once('k2', messages, said)
    equal(site.verify()['problems'], 0, 'verify')
    site.run('mm-audit', 'verify')

@test
def export_and_import_give_the_same_bytes():
    site.start()
    site.sealed(2)
    out = os.path.join(site.root, 'out')
    site.run('mm-export', '--archive', 'corp', '--to', out, '--as', 'mbox', '-"no end" -"the end has none"')
    want = [json.loads(l) for l in open(os.path.join(out, 'manifest.jsonl'))]
    want = collections.Counter(l['sha256'] for l in want if l['bytes'])
    extra = dict(KILLED, Archives=KILLED['Archives'] + [{"ArchiveName": "back", "Retention": {"RetentionPeriod": "PERMANENT"}}])
    site.apply(extra)
    rows = imported(os.path.join(out, 'native', 'mail.mbox'), archive='back')
    back = archived('back')
    # mbox has no way to say that a message doesn't end in a line end; only such a one may differ.
    equal(sum(back.values()), sum(want.values()) + 1, 'messages')
    equal(want - back, collections.Counter(), 'missing bytes')

@test
def many_messages_may_have_the_same_time_of_receipt():
    # More than the index has places for a number: as when a bulk load stamped all of them alike.
    same = b'Received: from a.example by b.example; Tue, 03 Feb 2026 10:00:00 +0000\n'
    messages = [same + text(9000 + i) for i in range(400)]
    before = sum(archived().values())
    rows = imported(put(os.path.join(site.root, 'same.mbox'), mbox(messages)), extra=('--received', 'header'))
    equal(outcomes(rows), {'stored': 400}, 'outcomes')
    equal(sum(archived().values()) - before, 400, 'findable')

done()
