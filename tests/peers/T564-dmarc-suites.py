#!/usr/bin/env python3
"""DMARC by mm-verdict itself: the cases of mailauth's tests, and the messages of rspamd's. Each case is a message that is signed by python3-dkim
and sent from where its SPF record says, so that the identities which pass are those that the case names; the zones are served by nsd.

Cases are read out of mailauth's JavaScript: records, From, the domains that passed, and what is expected. What they ask of its own interfaces (texts of
records, comments) isn't; a case that asks nothing else is left out, and so are those that mailauth skips itself (RFC 9989)."""
import ast, os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from nsd import *
from verdicts import *

IP = '192.0.2.1'
MAILAUTH = ('dmarc-verify-test.js', 'get-dmarc-record-test.js', 'rfc9989-compliance-test.js')
# What RFC 7489 says otherwise than mailauth, each with its section.
OTHER = {
    'Should handle headerFrom without @ symbol': ('fail', '6.6.1: a From without an address has no domain'),
    'Should return false for headerFrom array with multiple elements': (
        'pass', '6.6.1: several addresses of one domain have one domain, and it is checked'),
    'Should handle invalid pct value as 0': ('fail', '6.3: a tag that is wrong has its default, here 100'),
}

folder = tempfile.mkdtemp(prefix='mm-dmarc-')
atexit.register(shutil.rmtree, folder, True)

# ---- mailauth ----

def texts(js):
    return [''.join(strings) for strings in ast.literal_eval(js)]

def domains(js):
    return re.findall(r"domain: '([^']+)'", js) or re.findall(r"'([^']+)'", js)

def blocks(text):
    """(title, its code), those of skipped suites left out."""
    skipped = False
    for piece in re.split(r"\n(?=    describe|        it\()", text):
        if piece.startswith('    describe'):
            skipped = piece.startswith('    describe.skip')
        title = re.match(r"        it\('(.*?)', async", piece)
        if title and not skipped:
            yield title.group(1), piece

def records_of(code):
    found = {name: texts(js) for name, js in re.findall(r"'(_dmarc\.[^']+)': \{ TXT: (\[\['.*?\]\]) \}", code, re.S)}
    for name, js in re.findall(r"domain === '([^']+)'\) \{\s*return (\[\s*\[.*?\]\s*\]);", code, re.S):
        found[name] = texts(js)
    if re.search(r"stubResolver = \(\) => \{\s*return \[\['v=", code):
        found['_dmarc.example.com'] = texts(re.search(r"return (\[\[.*?\]\]);", code, re.S).group(1))
    return found

def cases_of(title, code):
    """Each question of the block: {title, records, failing, from, dkim, spf, result, policy}."""
    records = records_of(code)
    failing = 'ETIMEOUT' in code
    for n, call in enumerate(re.split(r'await (?=verifyDmarc|getDmarcRecord)', code)[1:]):
        case = {'title': title + (' (%d)' % (n + 1) if n else ''), 'records': records, 'failing': failing, 'dkim': [], 'spf': []}
        if call.startswith('verifyDmarc'):
            asked = re.search(r"headerFrom: (\[.*?\]|'[^']*')", call)
            case['from'] = re.findall(r"'([^']*)'", asked.group(1))
            for kind in ('dkim', 'spf'):
                case[kind] = domains(re.search(kind + r'Domains: \[(.*?)\]', call, re.S).group(1))
        else:
            asked = re.match(r"getDmarcRecord\('([^']+)'", call)
            if not asked:
                return
            case['from'] = ['user@' + asked.group(1)]
        told = re.search(r"\.status\.result\)\.to\.equal\('(\w+)'\)", call)
        policy = re.search(r"expect\(\w+\.(?:policy|p)\)\.to\.equal\('(\w+)'\)", call)
        info = re.search(r"'dmarc=(\w+)'", call)
        case['result'] = told.group(1) if told else info.group(1) if info else None
        if re.search(r'expect\(result\)\.to\.be\.false', call):
            case['result'] = 'none'
        if failing:
            case['result'] = 'temperror'
        case['policy'] = policy.group(1).upper() if policy and not told else None
        if policy and call.startswith('verify'):
            case['policy'] = policy.group(1).upper()
        if case['result'] or case['policy']:
            yield case

def own_names(case, n):
    """All cases are in one zone, so each has a domain of its own in place of example.com."""
    def own(text):
        return text.replace('example.com', 'c%d-example.com' % n)
    case['records'] = {own(name): rows for name, rows in case['records'].items()}
    for key in ('from', 'dkim', 'spf'):
        case[key] = [own(x) for x in case[key]]
    return case

def mailauth_cases(dev):
    found = []
    for name in MAILAUTH:
        for title, code in blocks(open(os.path.join(dev, 'auth/mailauth/test/dmarc', name), encoding='utf-8').read()):
            found += [(name, c) for c in cases_of(title, code)]
    return [(name, own_names(c, n)) for n, (name, c) in enumerate(found)]

def question(case, sign):
    raw = b'From: %s\r\nSubject: a case\r\n\r\nbody\r\n' % ', '.join(case['from']).encode()
    for domain in case['dkim']:
        raw = sign(raw, domain)
    sender = 'x@' + case['spf'][0] if case['spf'] else ''
    return {'raw': raw, 'ip': IP, 'helo': 'unknown.invalid', 'from': sender}

def zone_for(cases, sign):
    zone, failing = {}, []
    for case in cases:
        for name, rows in case['records'].items():
            zone.setdefault(name, []).extend(('TXT', text(row.encode())) for row in rows)
        for domain in case['dkim']:
            zone['s._domainkey.' + domain] = [('TXT', text(sign.record))]
        for domain in case['spf']:
            zone[domain] = [('TXT', text(b'v=spf1 ip4:%s -all' % IP.encode()))]
        if case['failing']:
            failing.append(case['from'][0].split('@')[1])
    return zone, failing

def wrong_with(case, said):
    want = OTHER.get(case['title'], (case['result'],))[0]
    got = said['dmarc']
    if want and got['result'] != want:
        return 'got %s (%s), want %s' % (got['result'], got.get('why'), want)
    if case['policy'] and got.get('policy', 'NONE') != case['policy']:
        return 'policy %s, want %s' % (got.get('policy'), case['policy'])
    return None

def table(rows):
    """rows: [(suite, title, what is wrong or None)]"""
    print('%-45s %5s %6s' % ('suite', 'cases', 'passed'))
    for suite in dict.fromkeys(s for s, _, _ in rows):
        of = [wrong for s, _, wrong in rows if s == suite]
        print('%-45s %5d %6d' % (suite, len(of), of.count(None)))
        for s, title, wrong in rows:
            if s == suite and wrong:
                print('    %s: %s' % (title, wrong))
    return [title for _, title, wrong in rows if wrong]

@test
def mailauth():
    dev, sign = corpus(folder), Signer()
    cases = mailauth_cases(dev)
    server = Nsd(*zone_for([c for _, c in cases], sign))
    judge = Judge(server.forward)
    said = judge.all([question(c, sign) for _, c in cases])
    judge.end()
    server.close()
    failed = table([(suite, c['title'], wrong_with(c, s)) for (suite, c), s in zip(cases, said)])
    for title, (want, why) in OTHER.items():
        print('    otherwise than mailauth: %s: %s (RFC 7489 section %s)' % (title, want, why))
    check(len(cases) >= 55, 'only %d cases were found' % len(cases))
    check(not failed, '%d cases not passed: %s' % (len(failed), ', '.join(failed)))

# ---- rspamd ----

# As its tests have them, by the names of its messages.
ZONE = {
    '_dmarc.cacophony.za.org': 'v=DMARC1; p=none; sp=reject',
    '_dmarc.quarantine.cacophony.za.org': 'v=DMARC1; p=quarantine',
    '_dmarc.reject.cacophony.za.org': 'v=DMARC1; p=reject',
    '_dmarc.yoni.za.org': 'v=DMARC1; p=reject; sp=none',
    '_dmarc.yoni.za.net': 'v=DMARC1; p=none; sp=quarantine',
    '_dmarc.my.mom.za.org': 'v=DMARC1; p=reject',
    '_dmarc.yo.mom.za.org': 'v=DMARC1; p=reject; aspf=s; adkim=s',
    '_dmarc.zero_pct.com': 'v=DMARC1; p=reject; sp=quarantine; pct=0',
    '_dmarc.rspamd.tk': 'v=DMARC1; p=reject',
    '_dmarc.rspamd.com': 'v=DMARC1; p=reject',
    '_dmarc.highsecure.ru': 'v=DMARC1; p=quarantine',
}
SPF = ('rspamd.com',)
# name: (who signs it anew, None: as it is; who sends it; result; policy; what is asked for)
MESSAGES = {
    'pass_none': ('cacophony.za.org', '', 'pass', 'NONE', 'NONE'),
    'fail_none': (None, '', 'fail', 'NONE', 'NONE'),
    'fail_none1': (None, '', 'none', None, 'NONE'),
    'fail_quarantine': (None, '', 'fail', 'QUARANTINE', 'QUARANTINE'),
    'fail_reject': (None, '', 'fail', 'REJECT', 'REJECT'),
    'subdomain_fail_none': (None, '', 'fail', 'NONE', 'NONE'),
    'subdomain_fail_quarantine': (None, '', 'fail', 'QUARANTINE', 'QUARANTINE'),
    'subdomain_fail_reject': (None, '', 'fail', 'REJECT', 'REJECT'),
    'onsubdomain_fail': (None, '', 'fail', 'REJECT', 'REJECT'),
    'onsubdomain_fail_alignment': ('mom.za.org', '', 'fail', 'REJECT', 'REJECT'),
    'onsubdomain_pass_relaxed': ('mom.za.org', '', 'pass', 'REJECT', 'NONE'),
    'pct_none': (None, '', 'fail', 'REJECT', 'QUARANTINE'),
    'pct_none1': (None, '', 'fail', 'QUARANTINE', 'NONE'),
    'dmarc_tmpfail': (None, '', 'temperror', None, None),
    'good_dkim_rspamd': ('rspamd.com', '', 'pass', 'REJECT', 'NONE'),
    'bad_dkim_rspamd': (None, '', 'fail', 'REJECT', 'REJECT'),
    'no_dkim_valid_spf': (None, 'foo@rspamd.com', 'pass', 'REJECT', 'NONE'),
    'good_dkim_highsecure': ('highsecure.ru', '', 'pass', 'QUARANTINE', 'NONE'),
    'bad_dkim_highsecure': (None, '', 'fail', 'QUARANTINE', 'QUARANTINE'),
    'bad_dkim2': ('asdf.rspamd.tk', '', 'pass', 'REJECT', 'NONE'),
}

@test
def rspamd():
    dev, sign = corpus(folder), Signer()
    zone = {name: [('TXT', text(row.encode()))] for name, row in ZONE.items()}
    for signer, _, _, _, _ in MESSAGES.values():
        if signer:
            zone['s._domainkey.' + signer] = [('TXT', text(sign.record))]
    for name in SPF:
        zone[name] = [('TXT', text(b'v=spf1 ip4:%s -all' % IP.encode()))]
    server = Nsd(zone, ['dnssec-failed.org'])
    questions = []
    for name, (signer, sender, _, _, _) in MESSAGES.items():
        raw = crlf(open(os.path.join(dev, 'auth/rspamd-dmarc/test/functional/messages/dmarc', name + '.eml'), 'rb').read())
        questions.append({'raw': sign(raw, signer) if signer else raw, 'ip': IP, 'helo': 'unknown.invalid', 'from': sender})
    judge = Judge(server.forward)
    said = judge.all(questions)
    judge.end()
    server.close()
    rows = []
    for (name, (_, _, result, policy, asks)), s in zip(MESSAGES.items(), said):
        got = (s['dmarc']['result'], s['dmarc'].get('policy'), s['dmarc'].get('asks'))
        rows.append(('rspamd', name, None if got == (result, policy, asks) else 'got %s, want %s' % (got, (result, policy, asks))))
    check(not table(rows), 'cases not passed')

@test
def long_answers_come_by_tcp():
    """From the confined child, too: more than a datagram takes."""
    long = ' '.join(['v=spf1'] + ['ip6:2001:db8:%x::/48' % i for i in range(100)] + ['ip4:%s' % IP, '-all']).encode()
    check(len(long) > 1500, 'a short record')
    server = Nsd({'long.example': [('TXT', text(long))]})
    judge = Judge(server.forward)
    equal(judge(b'From: a@long.example\r\n\r\n', ip=IP, helo='x.example', **{'from': 'a@long.example'})['spf']['verdict'], 'PASS')
    judge.end()
    server.close()

@test
def the_server_is_asked():
    """The control: where nobody answers, nothing is known."""
    judge = Judge('127.0.0.1@%d' % free_port())
    equal(judge(b'From: a@shop.example\r\n\r\n', ip=IP, helo='x.example')['dmarc']['result'], 'temperror')
    judge.end()

done()
