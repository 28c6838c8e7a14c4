#!/usr/bin/env python3
"""Mail made to break parsers, by SMTP: exact bytes back, every word found or its message marked, nothing killed but workers, and
other mail unharmed. The hostile corpus is skipped where ../shared/corpora is absent; the bombs are made here."""
import base64, io, json, os, quopri, re, sys, zipfile
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site(ingress={"BareNewlines": "KEEP"}).start()
pid = site.process.pid

def received(data):
    """What arrives: SMTP ends the last line."""
    return data if data.endswith(b'\r\n') else data + b'\r\n'

def exact(id, data):
    equal(sha256(site.run('mm-search', '--raw', id, binary=True)), sha256(received(data)), 'bytes of ' + id)

def marked():
    return set(site.ids('has:problem OR is:unindexed'))

NEEDLE = re.compile(rb'needle[a-z0-9]+', re.I)
# No reader of the message sees these, and no search finds them.
UNSEEN = {'needlecomment', 'needlescript', 'needlestyle'}

def needles(data):
    """The needle words of a message, whatever they are wrapped in (read as a person would, not as mm does)."""
    texts = [data, data.replace(b'\0', b''), quopri.decodestring(data)]
    for block in re.findall(rb'(?:[A-Za-z0-9+/]{16,}={0,2}\r?\n?)+', data) + re.findall(rb'\?[bB]\?([^?]*)\?=', data):
        try:
            texts.append(base64.b64decode(re.sub(rb'\s', b'', block) + b'=='))
        except ValueError:
            pass
    for text in list(texts):
        texts.append(re.sub(rb'%([0-9A-Fa-f]{2})', lambda m: bytes([int(m.group(1), 16)]), text))
    return {w.decode().lower() for text in texts for w in NEEDLE.findall(text)}

@test
def hostile_corpus():
    folder = os.path.join(corpus(site.root), 'hard', 'synthetic-hostile')
    sent, missing, by_mark, words = {}, [], [], 0
    for name in sorted(n for n in os.listdir(folder) if n.endswith('.eml')):
        data = open(os.path.join(folder, name), 'rb').read()
        if b'\r' not in data and b'\0' not in data and data.count(b'\n') > 1:
            data = crlf(data)
        sent[name] = (site.send(data), data)
    shutil.rmtree(os.path.join(site.root, 'dev'))
    site.wait()
    marks = marked()
    for name, (id, data) in sent.items():
        exact(id, data)
        for needle in sorted(needles(data)):
            words += 1
            if id in site.ids(needle) or (name == 'html-only.eml' and needle in UNSEEN):
                continue
            (by_mark if id in marks else missing).append((name, needle))
    print('   %d messages, %d needle words; found by their mark alone: %s' % (len(sent), words, by_mark))
    equal(missing, [], 'neither found nor marked')
    check(words >= 75 and len(by_mark) <= words // 20, 'words %d, by mark %d' % (words, len(by_mark)))
    equal(site.count(''), len(sent), 'archived')

@test
def hostile_corpus_in_sealed_shards():
    if not site.count(''):
        raise Skip('needs ../shared/corpora, which is absent')
    before = {q: sorted(site.ids(q)) for q in ('needle*', 'has:problem', 'is:unindexed', 'has:attachment', '')}
    site.run('mmctl', 'seal')
    equal({q: sorted(site.ids(q)) for q in before}, before, 'hits')

# ---- the bombs of the design: small enough for every run, large enough to hit each limit ----

H = b'From: bomb@b.example\r\nMIME-Version: 1.0\r\n'
END = b'\r\n\r\nbomb%s\r\n'

def zip_of(name, content, compress=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', compress) as z:
        z.writestr(name, content)
    return base64.encodebytes(out.getvalue()).replace(b'\n', b'\r\n')

def attachment(type, name, body):
    return (H + b'Subject: zip\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nbomb%s\r\n--b\r\nContent-Type: ' + type +
            b'\r\nContent-Disposition: attachment; filename=' + name + b'\r\nContent-Transfer-Encoding: base64\r\n\r\n' + body + b'--b--\r\n')

MARKED, PLAIN = True, False
BOMBS = {
    'groups2500': (H + b'To: ' + b'g:' * 2500 + END, MARKED),
    'groups41000': (H + b'To: ' + b'g:' * 41000 + END, MARKED),
    'innergroups': (H + b'Content-Type: message/rfc822\r\n\r\nTo: ' + b'g:' * 41000 + END, None),
    'multipart100': (H + b''.join(b'Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n' % (i, i) for i in range(100)) + END, None),
    'multipart1000': (H + b''.join(b'Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n' % (i, i) for i in range(1000)) + END, MARKED),
    'multipart10000': (H + b''.join(b'Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n' % (i, i) for i in range(10000)) + END, MARKED),
    'rfc822nest': (H + b'Content-Type: message/rfc822\r\n\r\n' * 1000 + b'Subject: x' + END, MARKED),
    'parts': (H + b'Content-Type: multipart/mixed; boundary=b\r\n\r\n' + b'--b\r\n\r\nx\r\n' * 100000 + b'--b' + END + b'--b--\r\n', MARKED),
    'longheader': (H + b'Subject: ' + b'a' * 10000000 + END, MARKED),
    'words': (H + b'Subject: ' + b'=?utf-8?q?a?= ' * 200000 + END, MARKED),
    'folds': (H + b'Subject: a' + b'\r\n b' * 200000 + END, MARKED),
    'addresses10240': (H + b'To: ' + b','.join(b'a%d@b.c' % i for i in range(10240)) + END, None),
    'addresses50000': (H + b'To: ' + b'a@b.c,' * 50000 + END, MARKED),
    'param72': (H + b'Content-Type: text/plain; ' + b'K' * 72 + b'="\xd1\x9c"' + END, None),
    'charsetname': (H + b'Content-Type: text/plain; charset=' + b'x' * 1000000 + END, MARKED),
    'utf7': (H + b'Content-Type: text/plain; charset=utf-7' + END + b'+AAAA' * 20000, None),
    'hz': (H + b'Content-Type: text/plain; charset=hz-gb-2312' + END + b'~{' * 50000, None),
    'iso2022': (H + b'Content-Type: text/plain; charset=iso-2022-jp' + END + b'\x1b$B' * 50000, None),
    'html': (H + b'Content-Type: text/html' + END + b'<a x="' * 200000, None),
    'headers': (H + b'X: y\r\n' * 20000 + b'Z: z' + END, MARKED),
    'text18mib': (H + b'Subject: t' + END + b'word ' * 14 * 260000, MARKED),
    'zip': (attachment(b'application/zip', b'zeros.zip', zip_of('a.txt', b'\0' * 5000000)), MARKED),
    'ooxmlup': (attachment(b'application/vnd.openxmlformats-officedocument.wordprocessingml.document', b'up.docx', zip_of('../../../../tmp/mm-bomb', b'x')), MARKED),
    'regex': (H + b'Subject: ' + b'a' * 100000 + b'!' + END, None),
}

@test
def bombs_are_archived_and_found():
    sent, wrong = {}, []
    for name, (data, _) in BOMBS.items():
        data = data.replace(b'bomb%s', b'bomb' + name.encode())
        sent[name] = (site.send(data), data)
        sent['after ' + name] = (site.send(mail('after a bomb', 'calm%s' % name)), mail('after a bomb', 'calm%s' % name))
    site.wait()
    marks = marked()
    for name, (id, data) in sent.items():
        exact(id, data)
        if name.startswith('after '):
            if site.ids('calm' + name[6:]) != [id] or id in marks:
                wrong.append((name, 'other mail is not found, or marked'))
            continue
        if id not in site.ids('bomb' + name) and id not in marks:
            wrong.append((name, 'neither found nor marked'))
        if BOMBS[name][1] is not None and (id in marks) != BOMBS[name][1]:
            wrong.append((name, 'marked %s' % (id in marks), site.rows('id:' + id)[0]['problem']))
    print('   found by their mark alone: %s' % [n for n, (i, _) in sent.items() if not n.startswith('after ') and i not in site.ids('bomb' + n)])
    equal(wrong, [], 'wrong')
    check(not os.path.exists('/tmp/mm-bomb'), 'a member of an archive was written')

@test
def everything_still_runs():
    equal(site.process.pid, pid, 'mmd')
    check(site.process.poll() is None, 'mmd has ended')
    log = site.tail(1 << 20)
    for word in ('AddressSanitizer', 'runtime error', 'LeakSanitizer', 'panic', 'mm-smtpd died', 'killed by'):
        check(word not in log, 'the log has %r: %s' % (word, log[max(log.find(word) - 500, 0):][:2000]))
    equal(site.count('plain'), 0, 'before')
    site.send(mail('plain', 'plain mail after all'))
    site.wait()
    equal(site.count('"plain mail after all"'), 1, 'after')
    s = site.status()
    equal((s['spooled'], s['failed']), (0, 0), 'status')
    v = site.verify()
    equal(v['problems'], 0, 'verify')
    site.stop()

@test
def marks_survive_a_reindex():
    """The mark comes from the message, so the index that is made anew has the same."""
    before = {q: sorted(site.ids(q)) for q in ('has:problem', 'is:unindexed', 'bomb*', 'calm*', '')}
    site.run('mmctl', 'reindex')
    equal({q: sorted(site.ids(q)) for q in before}, before, 'hits')

done()
