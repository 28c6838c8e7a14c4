#!/usr/bin/env python3
"""Whatever is archived is found: words of every script, charset and encoding, in the open shard and in sealed ones; operators,
orders and limits over several shards; and no input is ever an engine's error."""
import base64, json, os, quopri, subprocess, sys
from email.utils import format_datetime
from datetime import datetime, timedelta, timezone
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site().start()
ids = {}

CJK = {
    'chinese': ('北京大学图书馆开放时间通知', '中华人民共和国宪法规定公民权利'),
    'japanese': ('東京都庁でカタカナ検索とひらがな', '大阪府の天気は晴れのち曇りでしょう'),
    'korean': ('서울특별시청회의록검토요청', '대한민국헌법제일조주권'),
    'thai': ('กรุงเทพมหานครประกาศวันหยุด', 'ภาษาไทยไม่มีช่องว่างระหว่างคำ'),
}

def raw(subject, body, type='text/plain; charset=utf-8', encoding='8bit', extra=b''):
    """A message of exact bytes: subject and body as they are given."""
    return (b'From: Words <words@shop.example>\r\nTo: sales@corp.example\r\nSubject: ' + subject + b'\r\nMIME-Version: 1.0\r\n'
            b'Content-Type: ' + type.encode() + b'\r\nContent-Transfer-Encoding: ' + encoding.encode() + b'\r\n' + extra + b'\r\n' +
            body + b'\r\n')

def b64(text, charset):
    return base64.encodebytes(text.encode(charset)).replace(b'\n', b'\r\n')

def qp(text, charset):
    return quopri.encodestring(text.encode(charset)).replace(b'\n', b'\r\n')

def word_b(text, charset):
    return b'=?%s?B?%s?=' % (charset.encode(), base64.b64encode(text.encode(charset)))

def word_q(text, charset):
    return b'=?%s?Q?%s?=' % (charset.encode(), b''.join(b'=%02X' % c for c in text.encode(charset)))

def attached(disposition, body=b'x', type='application/octet-stream'):
    return (b'--w\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n--w\r\nContent-Type: ' + type.encode() +
            b'\r\nContent-Disposition: ' + disposition + b'\r\n\r\n' + body + b'\r\n--w--')

MIXED = 'multipart/mixed; boundary=w'

def split_character():
    """An encoded word that ends in the middle of a character, which is forbidden and common."""
    b = '横浜市'.encode('utf-8')
    return b'=?utf-8?B?%s?= =?utf-8?B?%s?=' % (base64.b64encode(b[:4]), base64.b64encode(b[4:]))

# name: (message, queries that find it and only it, queries that don't find it)
WORDS = {
    'address': (raw(b'address', b'please write to foo@bar.example today'),
                ['foo@bar.example', 'foo', 'bar.example', 'FOO@BAR.EXAMPLE', '"foo@bar.example"', 'foo@*', 'body:foo'],
                ['fo', 'oo@bar', 'subject:foo', 'foo@baz.example']),
    'street': (raw('Straße 7'.encode(), b'a'), ['strasse', 'Straße', 'STRASSE', 'straß*', 'subject:strasse'], ['strase', 'body:strasse']),
    'invoice': (raw(b'number', b'the sum of INV-2024/0815 is due'), ['INV-2024/0815', 'inv-2024', '2024/0815', '0815', '"inv-2024/0815 is"'],
                ['INV-2024/0816', '0815/2024']),
    'mail': (raw(b'spelling', b'your e-mail arrived'), ['e-mail arrived', '"e-mail"'], ['"mail-e"']),
    'plusplus': (raw(b'language', b'written in C++ and C# by hand'), ['C++ hand', '"C++ and C#"', 'C++ by'], ['"c and d"']),
    'accent': (raw('Café Noëmi'.encode(), 'señor Åström, naïvité'.encode()),
               ['cafe', 'Café', 'CAFÉ', 'noemi', 'senor', 'astrom', 'naivite', 'cafe\u0301', 'A\u030astro\u0308m'], ['caf', 'noe']),
    'decomposed': (raw(b'x', 're\u0301sume\u0301 of Dvor\u030cák'.encode()), ['résumé', 'resume', 'dvorak', 'Dvořák'], ['resum']),
    'ligature': (raw(b'x', 'the of\ufb01ce of \ufb02uid \u0133sland Ǆ'.encode()), ['office', 'fluid', 'ijsland', 'of\ufb01ce'], ['ofce']),
    'wide': (raw('ＩＮＶＯＩＣＥ'.encode(), 'ｶﾀﾛｸﾞ ＡＢＣ１２３'.encode()), ['invoice', 'abc123', 'カタログ', 'ＡＢＣ１２３', 'ｶﾀﾛｸﾞ'], ['abc12']),
    'greek': (raw(b'x', 'ΟΔΥΣΣΕΥΣ και Ἰθάκη'.encode()), ['οδυσσευς', 'ΟΔΥΣΣΕΥΣ', 'οδυσσευσ', 'ιθακη'], ['οδυσσε']),
    'turkish': (raw(b'x', 'İSTANBUL ve Diyarbakır'.encode()), ['istanbul', 'İstanbul', 'diyarbakır'], []),
    'arabic': (raw(b'x', 'مرحبا بالعالم'.encode()), ['مرحبا', 'بالعالم'], ['مرحب']),
    'emoji': (raw(b'x', 'party \U0001f389 tonight zebrafish'.encode()), ['zebrafish', '"tonight zebrafish"'], []),
    'qp': (raw(b'x', qp('Grüße aus Mönchengladbach, eine sehr lange Zeile die der Encoder umbrechen muss: Donaudampfschifffahrt', 'utf-8'),
               encoding='quoted-printable'), ['monchengladbach', 'Donaudampfschifffahrt'], ['nchengladbach']),
    'base64': (raw(b'x', b64('Übergrößenträger ' * 9, 'utf-8'), encoding='base64'), ['übergrößenträger', 'ubergrossentrager'], []),
    'iso2022jp': (raw(word_b('名古屋城', 'iso-2022-jp'), '札幌雪祭'.encode('iso-2022-jp'), 'text/plain; charset=ISO-2022-JP', '7bit'),
                  ['名古屋', 'subject:屋城', '札幌雪祭', '雪祭'], ['城屋']),
    'sjis': (raw(word_b('鹿児島', 'shift_jis'), '沖縄料理'.encode('shift_jis'), 'text/plain; charset=Shift_JIS'), ['鹿児島', '沖縄', '縄料'], []),
    'eucjp': (raw(b'x', '熊本城跡'.encode('euc-jp'), 'text/plain; charset=EUC-JP'), ['熊本', '城跡'], []),
    'gb18030': (raw(word_b('深圳市', 'gb18030'), '上海𠀀浦东'.encode('gb18030'), 'text/plain; charset=GB18030'), ['深圳', '上海', '浦东', '𠀀'], []),
    'gb2312': (raw(b'x', qp('广州塔', 'gb2312'), 'text/plain; charset="gb2312"', 'quoted-printable'), ['广州', '州塔'], []),
    'big5': (raw(b'x', '臺灣高雄'.encode('big5'), 'text/plain; charset=Big5'), ['臺灣', '高雄', '灣高'], []),
    'euckr': (raw(word_q('부산광역시', 'euc-kr'), b64('제주도여행', 'euc-kr'), 'text/plain; charset=EUC-KR', 'base64'), ['부산', '역시', '제주도', '여행'], []),
    'tis620': (raw(b'x', 'เชียงใหม่'.encode('tis-620'), 'text/plain; charset=TIS-620'), ['เชียงใหม่', 'เชี'], []),
    'koi8r': (raw(word_q('Новосибирск', 'koi8-r'), 'Владивосток порт'.encode('koi8-r'), 'text/plain; charset=koi8-r'),
              ['новосибирск', 'ВЛАДИВОСТОК', 'владивост*'], ['владивост']),
    'cp1251': (raw(b'x', 'Екатеринбург'.encode('cp1251'), 'text/plain; charset=windows-1251'), ['екатеринбург'], []),
    'cp1252': (raw(b'x', '“Œuvre” Žižkov €99'.encode('cp1252'), 'text/plain; charset=windows-1252'), ['œuvre', 'zizkov'], []),
    'latin1lie': (raw(b'x', 'Gänsefüßchen – so'.encode('cp1252'), 'text/plain; charset=iso-8859-1'), ['gänsefüßchen', 'gansefusschen'], []),
    'utf16': (raw(b'x', b64('Reykjavík', 'utf-16'), 'text/plain; charset=utf-16', 'base64'), ['reykjavik'], []),
    'nocharset': (raw('Zürichsee'.encode('cp1252'), 'Bodenseeüberquerung'.encode('cp1252'), 'text/plain'), ['zürichsee', 'bodenseeüberquerung'], []),
    'html': (raw(b'x', '<p>K&ouml;nig&shy;in</p><td>links</td><td>rechts</td><b>fe</b>tt <script>hidden()</script>'.encode(),
                 'text/html; charset=utf-8'), ['königin', '"links rechts"', 'fett'], ['hidden', 'linksrechts']),
    'fold': (raw(b'=?utf-8?Q?Schl=C3=BC?=\r\n =?utf-8?Q?sselbund?= and\r\n\tmore', b'a'), ['schlüsselbund', '"schlusselbund and more"'], ['sselbund']),
    'split': (raw(split_character(), b'a'), ['横浜', '浜市', '横浜市'], []),
    'rfc2231': (raw(b'x', attached(b"attachment; filename*0*=UTF-8''b%C3%BCcher; filename*1*=regal%20liste; filename*2=.csv"), MIXED),
                ['bücherregal', 'filename:bucherregal', 'filename:csv filename:liste'], ['body:bücherregal']),
    'rfc2231jp': (raw(b'x', attached(b"attachment; filename*=iso-2022-jp''" + b''.join(b'%%%02X' % c for c in '請求書'.encode('iso-2022-jp')) + b'.txt'), MIXED),
                  ['filename:請求', '求書'], []),
    'rfc2047name': (raw(b'x', attached(b'attachment; filename="' + word_b('Lagerübersicht.txt', 'utf-8') + b'"'), MIXED),
                    ['lagerübersicht', 'filename:lagerubersicht'], []),
    'attachedtext': (raw(b'x', attached(b'attachment; filename=t.txt', 'Gefrierschrank'.encode(), 'text/plain'), MIXED),
                     ['gefrierschrank', 'attached-text:gefrierschrank', 'has:attachment gefrierschrank'], ['body:gefrierschrank']),
    'patch': (raw(b'x', attached(b'attachment; filename=fix.patch', b'--- a/quux.c\r\n+++ b/quux.c\r\n+frobnicator'), MIXED),
              ['frobnicator', 'quux.c'], ['is:unindexed frobnicator']),
    'pdf': (raw(b'pdfcase', attached(b'attachment; filename=report.pdf', b'%PDF-1.7 \x80\x81', 'application/pdf'), MIXED),
            ['is:unindexed', 'filename:report.pdf', 'pdfcase'], ['has:problem pdfcase']),
    'names': (mail('names', 'a', sender='"Dr. Zoé O\'Brien-Müller" <zoe.obrien+tag@sub.Example.org>'),
              ["o'brien", 'muller', 'from:zoe.obrien+tag@sub.example.org', 'from:sub.example.org', 'zoe.obrien+tag', 'from:müller'],
              ['to:muller', 'cc:zoe']),
    'longword': (raw(b'x', b'a ' + b'loooong' * 60 + b' b'), ['loooong' * 60], ['looo']),
    'url': (raw(b'x', b'see https://www.shop.example/path/File_Name.html?id=4711&x=y now'),
            ['www.shop.example', '4711', 'https://www.shop.example/path/File_Name.html?id=4711&x=y', '"path/file_name.html"'], []),
    'numbers': (raw(b'x', b'IBAN DE89 3704 0044 0532 0130 00 and +49 (30) 901820, 3.14159, 192.0.2.77'),
                ['"DE89 3704 0044"', '901820', '3.14159', '192.0.2.77', '"+49 (30) 901820"'], ['"3704 DE89"']),
}

def pairs(text):
    return [text[i:i + 2] for i in range(len(text) - 1)]

def send_all():
    with Sender(site.port) as s:
        for name, (data, _, _) in WORDS.items():
            ids[name] = s.send(data)
        for name, (subject, body) in CJK.items():
            ids[name + ' subject'] = s.send(raw(word_b(subject, 'utf-8'), b'a'))
            ids[name + ' body'] = s.send(raw(b'x', body.encode()))
    site.wait()

def words_are_found(where):
    wrong = []
    for name, (_, found, not_found) in WORDS.items():
        for q in found:
            got = site.ids(q)
            if got != [ids[name]]:
                wrong.append((where, name, q, 'found %d, %s' % (len(got), ids[name] in got)))
        for q in not_found:
            if ids[name] in site.ids(q):
                wrong.append((where, name, q, 'found, should not be'))
    equal(wrong, [], 'wrong answers')

def pairs_are_found(where):
    wrong, asked = [], 0
    for name, (subject, body) in CJK.items():
        for field, text in (('subject', subject), ('body', body)):
            id = ids['%s %s' % (name, field)]
            for pair in pairs(text):
                asked += 1
                if id not in site.ids('%s:%s' % (field, pair)):
                    wrong.append((where, name, field, pair))
            if id not in site.ids(text):
                wrong.append((where, name, field, 'all of it'))
            if id in site.ids(text[0] + text[-1]):
                wrong.append((where, name, field, 'characters that do not stand side by side'))
    equal(wrong, [], 'not found')
    check(asked > 90, 'only %d pairs were asked' % asked)

@test
def words_in_the_open_shard():
    send_all()
    equal(site.status()['sealed_shards'], 0, 'sealed shards')
    words_are_found('open')

@test
def pairs_in_the_open_shard():
    pairs_are_found('open')

@test
def what_is_not_indexed_is_counted_and_no_problem():
    row = site.rows('pdfcase')[0]
    equal((row['not_indexed'], row['parse_problem'], row['problem']), (True, False, 'not indexed: text of report.pdf (application/pdf)'), 'row')
    row = site.rows('frobnicator')[0]
    equal((row['not_indexed'], row['parse_problem'], row['problem']), (False, False, ''), 'row of text')
    site.count('x')
    check('1 of them not in full' in site.stderr and 'zone UTC' in site.stderr, site.stderr)

@test
def words_in_a_sealed_shard():
    site.run('mmctl', 'seal')
    equal(site.status()['sealed_shards'], 1, 'sealed shards')
    words_are_found('sealed')

@test
def pairs_in_a_sealed_shard():
    pairs_are_found('sealed')

# ---- several shards, several days ----

many = []

@test
def messages_on_four_days_in_five_shards():
    """Three sealed shards and an open one more, one a day; sent dates run against the dates of receipt."""
    n = 0
    for day in range(4):
        site.advance(days=1)
        with Sender(site.port) as s:
            for i in range(12):
                sent = datetime(2025, 6, 1, tzinfo=timezone.utc) - timedelta(hours=n * 7 % 50)
                date = 'Date: %s\r\n' % format_datetime(sent)
                data = ('From: m%d@many.example\r\nTo: sales@corp.example\r\nSubject: manyshards number%d\r\n%s\r\nalpha %sbeta gamma day%d '
                        '%s\r\n%s\r\n' % (n, n, date, 'one two ' if n % 2 else '', day, 'odd' if n % 2 else 'even', 'y' * (n * 37 % 500))).encode()
                many.append({'id': s.send(data), 'n': n, 'day': day, 'sent': sent, 'bytes': len(data)})
                n += 1
        site.wait()
        if day < 3:
            site.run('mmctl', 'seal')
    equal(site.status()['sealed_shards'], 4, 'sealed shards')
    equal(site.count('manyshards'), 48, 'in all shards')

@test
def operators_over_shards():
    wrong = []
    for q, want in [('number3 OR number15 OR number40', {3, 15, 40}), ('manyshards NOT even', {m['n'] for m in many if m['n'] % 2}),
                    ('manyshards -odd -day0', {m['n'] for m in many if m['n'] % 2 == 0 and m['day']}), ('"alpha beta"', {m['n'] for m in many if m['n'] % 2 == 0}),
                    ('alpha NEAR/1 beta', {m['n'] for m in many if m['n'] % 2 == 0}), ('alpha NEAR/2 beta', set(range(48))),
                    ('beta AROUND 2 alpha', set(range(48))), ('beta AROUND(1) alpha manyshards', {m['n'] for m in many if m['n'] % 2 == 0}),
                    ('alpha NEAR/0 beta', {m['n'] for m in many if m['n'] % 2 == 0}), ('number1*', {1} | set(range(10, 20))), ('subject:number1*', {1} | set(range(10, 20))),
                    ('(day1 OR day2) odd', {m['n'] for m in many if m['day'] in (1, 2) and m['n'] % 2}), ('from:many.example day3', {m['n'] for m in many if m['day'] == 3}),
                    ('{number7 number8}', {7, 8}), ('"manyshards number4"*', {4} | set(range(40, 48))), ('NOT alpha manyshards', set()),
                    ('subject:(number5 OR number6)', {5, 6}), ('body:number5', set())]:
        got = site.ids(q)
        by_id = {m['id']: m['n'] for m in many}
        if sorted(by_id.get(i, -1) for i in got) != sorted(want):
            wrong.append((q, sorted(by_id.get(i, -1) for i in got), sorted(want)))
    equal(wrong, [], 'query, got, want')

@test
def orders_over_shards():
    received = [m['id'] for m in many]
    orders = {'oldest': received, 'newest': received[::-1], 'received': received, '-received': received[::-1],
              'largest': lambda r: [-x['bytes'] for x in r], 'smallest': lambda r: [x['bytes'] for x in r],
              'sent': lambda r: [x['sent'] for x in r], '-sent': lambda r: [x['sent'] for x in r][::-1]}
    for name, want in orders.items():
        rows = [json.loads(l) for l in site.run('mm-search', '--archive', 'corp', '--json', '--sort', name, 'manyshards').splitlines()]
        equal(len(rows), 48, name)
        if callable(want):
            keys = want(rows)
            equal(keys, sorted(keys), name)
        else:
            equal([r['id'] for r in rows], want, name)
    # A limit takes the first of all shards, not of the first shard.
    by_size = sorted((m['bytes'] for m in many), reverse=True)
    rows = [json.loads(l) for l in site.run('mm-search', '--archive', 'corp', '--json', '--sort', 'largest', '--limit', '5', 'manyshards').splitlines()]
    equal([r['bytes'] for r in rows], by_size[:5], 'the five largest')
    rows = [json.loads(l) for l in site.run('mm-search', '--archive', 'corp', '--json', '--sort', 'sent', '--limit', '3', 'manyshards').splitlines()]
    equal([r['sent'][:19] for r in rows], [m['sent'].strftime('%Y-%m-%dT%H:%M:%S') for m in sorted(many, key=lambda m: m['sent'])[:3]], 'the three sent first')
    equal(len(site.run('mm-search', '--archive', 'corp', '--ids', '--sort', 'rank', 'manyshards').split()), 48, 'rank')
    equal(site.run('mm-search', '--archive', 'corp', '--ids', '--limit', '7', 'manyshards').split(), received[::-1][:7], 'the seven newest')
    equal(site.run('mm-search', '--archive', 'corp', '--count', '--limit', '7', 'manyshards').strip(), '48', 'a count has no limit')
    site.run('mm-search', '--archive', 'corp', '--sort', 'sideways', 'x', code=2)
    site.run('mm-search', '--archive', 'corp', '--limit', '-1', 'x', code=2)

def head(query):
    site.run('mm-search', '--archive', 'corp', '--ids', '--json', query)
    return json.loads(site.stderr.splitlines()[-1])

@test
def a_range_leaves_shards_out():
    every = head('manyshards')
    equal((every['hits'], every['shards'], every['zone'], every['archives']), (48, 5, 'UTC', ['corp']), 'head')
    day2 = [r['received'][:10] for r in site.rows('manyshards day2')][0]
    one = head('manyshards received:' + day2)
    equal(one['hits'], 12, 'hits')
    check(one['shards'] < every['shards'], 'all shards were searched: %r' % one)
    check(one['received']['from'].startswith(day2 + 'T00:00:00'), one)
    equal(head('manyshards after:' + day2)['hits'], 24, 'after')
    equal(head('manyshards before:' + day2)['hits'], 24, 'before')
    equal(head('manyshards before:1999')['hits'], 0, 'before all')
    equal((every['not_indexed'], every['problems']), (1, 0), 'not indexed, problems')

@test
def explain_shows_and_searches_nothing():
    before = len(site.run('mm-audit', 'list', '--json', '--event', 'search').splitlines())
    text = site.run('mm-search', '--archive', 'corp', '--explain', 'from:ann subject:"order 7" OR Straße -draft')
    for part in ('query', 'tree', 'engine', 'strasse'):
        check(part in text, text)
    o = json.loads(site.run('mm-search', '--archive', 'corp', '--explain', '--json', 'manyshards OR 東京'))
    check('tree' in o and 'engine' in o, o)
    check('hits' not in o, o)
    equal(len(site.run('mm-audit', 'list', '--json', '--event', 'search').splitlines()), before, 'searches')

# ---- odd input ----

ODD = ['"', '""', '"""', '"unbalanced', 'a "b', "'", '(', ')', '((', '))', ')(', '(()', '()', '{', '}', '{}', '[', ']', 'OR', 'AND', 'NOT', 'NEAR', 'AROUND', 'OR OR',
       'AND OR NOT', 'NOT NOT', '-', '--', '- a', '-a', '-"', '-(', '*', '**', '***', 'a**', '*a', 'a*b', '"a"*', '"*"', '+', '+a', '^', '^a', ':', '::', ':a', 'a:', 'a::b',
       'a:b:c', 'from:', 'from: ', 'from:"', 'from:(', 'subject:()', 'subject:*', 'after:', 'larger:', 'id:', 'msgid:', 'ip:', 'has:', 'NEAR/', 'NEAR/5', 'a NEAR',
       'a NEAR/', 'a NEAR/5', 'NEAR/5 b', 'a NEAR/99999999999999999999 b', 'a NEAR/-1 b', 'a NEAR b NEAR c', '(a b) NEAR/3 c', 'a NEAR (b', 'NEAR(a b, 5)', 'a OR', 'OR a',
       'a AND', 'a NOT', 'a | b', '|', '||', '&', '&&', '!', '!a', '~', '~a', '\\', '\\"', 'a\\', '%', '%s%n', '_', '`', '$', '#', '@', '@a', 'a@', '.', '..', ',', ';', '/', '?', '=',
       '<', '>', '<a>', 'size>', 'size>=', "'; DROP TABLE message; --", 'x" OR "1"="1', 'rowid:1', 'message_fts:a', '{subject body}: a', 'subject body : a', 'a\tb\nc', 'a\x01b',
       '\x7f', '\x1b[31m', '\u202e', '\ufeff', '\u200b', 'a\u0300\u0301', '\u0300', '😀', '\ud55c', 'ﷺ', 'e-mail', 'C++', 'AT&T', '.NET', 'rock\'n\'roll', 'a-b-c', '-a-b', '--a',
       'http://x.example/?a=b&c=d#e', 'Re: Fwd: x', '1/2', '100%', '50€', 'a,b;c', 'NEAR/3', 'near', 'or', 'and', 'not', 'from:a:b', 'from:-a', '-from:a', 'from:NOT a', 'from:OR',
       'subject:"a" NEAR b', 'a NEAR -b', 'a NEAR after:2024', 'sent:2024..', 'sent:..2024', 'TRUE', 'NULL']
REFUSED = {'after:yesterdayish', 'larger:abc', 'ip:nonsense', 'sent:2024-13', 'has:wings', 'sha256:12', 'sent:..', 'size:..'}
LONG_ODD = {'60 KB word': 'a' * 60000, '60 KB of ORs': ' OR '.join(['word%d' % i for i in range(5500)]), '60 KB of words': 'a ' * 30000, '60 KB of quotes': '" ' * 30000,
            '60 KB of (': '(' * 60000, '60 KB of -': '-' * 60000, '60 KB of NOT': 'NOT ' * 15000, '60 KB of NEAR': 'a NEAR ' * 8500, '60 KB of prefixes': 'a* ' * 20000,
            '60 KB of phrases': '"a b" ' * 10000, '60 KB of 漢字': '漢字' * 10000, '60 KB phrase': '"' + 'a b ' * 15000 + '"', '60 KB of fields': 'from:a ' * 8500,
            '60 KB of ands': '(a OR b) ' * 6600, '60 KB of accents': 'a' + '\u0301' * 29000, '80 KB': 'a ' * 40000}
ENGINE = ('fts5', 'sqlite', 'sql ', 'syntax error', 'malformed', 'no such column', 'unterminated', 'expression tree', 'AddressSanitizer', 'runtime error')

def ask(query):
    if isinstance(query, str):
        query = query.encode('utf-8', 'surrogateescape')
    p = subprocess.run([os.path.join(site.bin, 'mm-search'), '--archive', 'corp', '--count', '--', query], env=site.env, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=300)
    return p.returncode, p.stdout.decode(), p.stderr.decode('utf-8', 'replace')

def wrong_answer(query, may_refuse):
    code, out, err = ask(query)
    if any(word.lower() in err.lower() for word in ENGINE if isinstance(query, bytes) or word.lower() not in query.lower()):
        return (query[:60], code, err[:300])
    if code == 0 and out.strip().isdigit():
        return None
    return None if may_refuse and code == 2 else (query[:60], code, out[:50], err[:300])

@test
def odd_input_is_never_an_engine_error():
    wrong = [wrong_answer(q, False) for q in ODD] + [wrong_answer(q, True) for q in REFUSED]
    wrong += [wrong_answer(b, False) for b in (b'\xff', b'\xc3', b'a\xffb', b'"\xed\xa0\x80', b'\xf0\x9f', bytes(range(1, 256)))]
    equal([w for w in wrong if w], [], 'query, exit, what was said')
    for q in REFUSED:
        code, _, err = ask(q)
        check(code == 2 and 'column' in err, (q, code, err))

@test
def long_input_is_answered_or_refused_by_name():
    wrong = [wrong_answer(q, True) for q in LONG_ODD.values()]
    equal([w for w in wrong if w], [], 'query, exit, what was said')
    equal(ask(LONG_ODD['80 KB'])[0], 2, 'beyond the limit')
    equal(ask(LONG_ODD['60 KB word'])[0], 0, 'below the limit')
    equal(site.count('manyshards'), 48, 'mmd lives')

@test
def a_text_without_a_letter_finds_nothing_and_says_so():
    equal(site.count('...'), 0, 'dots')
    check('note' in site.stderr, site.stderr)
    check(site.count('*') == site.count('') > 90, 'everything')

@test
def the_same_without_mmd():
    site.stop()
    equal(site.ids('manyshards number7'), [many[7]['id']], 'open shard')
    equal(site.ids('strasse'), [ids['street']], 'sealed shard')
    equal(site.verify()['problems'], 0, 'verify')

done()
