"""tests/lib/reasons.py - why a judge has a word other than mm's for a message: what it does otherwise than the RFCs, or leaves out.

Each reason names what mm must have said, and of what, and what the judge may: a difference of another kind has no reason, at the same message
neither."""
import itertools, re
from judges import dkim_word
from bulk import FOLDED, halves

# ---- SPF: by the way of the sender's record (tests/lib/bulk.py, SPF) ----

# (judge, ways, mm's word, the judge's words, why)
SPF = [
    ('mailauth', 'include-temp', 'temperror', 'pass fail', 'passes over an include whose lookup failed (RFC 7208 5.2: temperror)'),
    ('mailauth', 'tab', 'none', 'permerror', 'takes a tab for the end of the version (RFC 7208 4.5: a blank)'),
    ('rspamd', 'include-temp', 'temperror', 'pass', 'passes over an include whose lookup failed (RFC 7208 5.2: temperror)'),
    ('rspamd', 'include-none include-macro', 'permerror', 'fail', 'passes over an include without a record (RFC 7208 5.2: permerror)'),
    ('rspamd', 'bogus bogus-behind bad-ip bad-cidr bad-macro utf8', 'permerror', 'pass fail',
     'passes over what it can\'t read (RFC 7208 4.6: permerror)'),
    ('rspamd', 'loop too-deep', 'permerror', 'pass fail', 'has no limit of 10 terms that ask DNS (RFC 7208 4.6.4)'),
    ('rspamd', 'voids', 'permerror', 'pass fail', 'has no limit of 2 lookups that find nothing (RFC 7208 4.6.4)'),
    ('rspamd', 'two', 'permerror', 'pass fail', 'takes the first of several records (RFC 7208 4.5: permerror)'),
    ('rspamd', 'nothing', 'neutral', 'permerror', 'takes an empty record for an error (RFC 7208 4.7: neutral)'),
    ('rspamd', 'version tab', 'none', 'pass fail neutral', 'looks at the beginning of the version alone (RFC 7208 4.5)'),
    ('rspamd', 'none-but', 'pass', 'neutral', 'makes ?all of +all, by its own policy'),
    ('rspamd', 'exists-local', 'pass', 'fail', 'doesn\'t cut macros to so many parts (RFC 7208 7.3)'),
    ('rspamd', 'a24 mx-other', 'fail softfail', 'pass', 'takes the length of IPv4 networks for IPv6 (RFC 7208 5.3, 5.4)'),
]

def spf(judge, made, mine, other):
    return next((why for who, ways, word, theirs, why in SPF if who == judge and made.spf in ways.split() and
                 mine.spf in word.split() and other.spf in theirs.split()), '')

# ---- DKIM: signature by signature ----

# What mm says of a signature that it doesn't verify, by its tags.
UNREAD = r"^(a|b|bh|c|d|h|i|q|s|t|v|x)= (?!is rsa-sha1)|^a tag |^From isn't signed"
# (a pattern of what mm says of it, the judge's words for it, why); what mm doesn't verify may be anything else than it is here.
DKIM = {
    'mailauth': [
        ('is rsa-sha1', 'pass none', 'verifies rsa-sha1 (RFC 8301: must not)'),
        ('lies in the future', 'pass', 'doesn\'t look at t= (RFC 6376 3.5: may)'),
        ("From isn't signed", 'pass', 'doesn\'t ask for From in h= (RFC 6376 5.4)'),
        ("doesn't have dns/txt", 'pass', 'doesn\'t look at q= (RFC 6376 3.5)'),
        ('below d=, which the key forbids', 'pass', 'doesn\'t look at t=s of keys (RFC 6376 3.6.1)'),
        ('the key forbids sha256', 'pass', 'doesn\'t look at h= of keys (RFC 6376 3.6.1)'),
        ("the key isn't for mail", 'pass', 'doesn\'t look at s= of keys (RFC 6376 3.6.1)'),
        ('a key record of another version', 'pass', 'takes v= anywhere in a key (RFC 6376 3.6.1: first)'),
        ('leaves a part of the body unsigned', 'pass', 'passes what l= leaves a part out of (RFC 6376 8.2)'),
        (UNREAD, 'none', 'leaves out signatures that it can\'t read'),
    ],
    'rspamd': [
        ('is rsa-sha1', 'pass nothing temperror', 'verifies rsa-sha1 (RFC 8301: must not)'),
        (UNREAD, 'nothing', 'says nothing of signatures that it can\'t read or that aren\'t for now'),
        ('below d=, which the key forbids', 'pass', 'doesn\'t look at t=s of keys (RFC 6376 3.6.1)'),
        ('the key forbids sha256', 'pass', 'doesn\'t look at h= of keys (RFC 6376 3.6.1)'),
        ("the key isn't for mail", 'pass', 'doesn\'t look at s= of keys (RFC 6376 3.6.1)'),
        ('a key record of another version', 'pass', 'doesn\'t look at v= of keys (RFC 6376 3.6.1)'),
        ('leaves a part of the body unsigned', 'pass', 'passes what l= leaves a part out of (RFC 6376 8.2)'),
        ('a key of another algorithm', 'pass', 'takes an unknown k= for rsa (RFC 6376 3.6.1)'),
        ('RFC 8301 asks for', 'pass', 'takes keys under 1,024 bits (RFC 8301)'),
        ("p= isn't base64", 'pass', 'passes over what isn\'t base64 in p='),
    ],
}

def repeats(made):
    """A field that is signed is in the header more than once."""
    names = [n.lower() for n in re.findall(rb'(?im)^(From|To|Cc|Subject|Date|Sender|Reply-To)[ \t]*:', halves(made.raw)[0])]
    return len(names) > len(set(names))

def has_a0(made):
    """A byte of UTF-8 that JavaScript takes for a blank where it reads bytes as Latin-1."""
    return b'\xa0' in halves(made.raw)[0]

def signed(made, signature, extra=None, body='', header=''):
    """It is one that we made, with this extra, and in these forms."""
    return any((kind, domain) == (signature.get('selector'), signature.get('domain')) and extra in (None, had) and
               form.startswith(header) and form.endswith(body) for kind, domain, form, had, _ in made.signed)

UPPER = 'hashes fields that are there twice in another order (RFC 6376 5.4.2: from the bottom)'
A0 = 'takes the byte A0 of a header for a blank in the relaxed form (RFC 6376 2.8)'
FORM_FEED = 'takes form feeds for blanks in the relaxed form (RFC 6376 2.8)'

def passes_here(judge, made, signature):
    """What the judge may say of a signature that passes here."""
    if judge == 'mailauth' and signature.get('selector') == 'behind-others':
        yield 'bad', 'reads the first of several records alone (RFC 6376 3.6.2.2 leaves it open)'
    if signature.get('selector') == 'newengland':
        yield 'bad', 'takes no RSA key without its SubjectPublicKeyInfo (RFC 6376 3.6.1 names RSAPublicKey)'
    if judge == 'mailauth' and has_a0(made) and signed(made, signature, header='relaxed'):
        yield 'bad', A0
    if judge == 'rspamd' and repeats(made):
        yield 'bad', UPPER
    if judge == 'rspamd' and signed(made, signature, 'length', body='relaxed'):
        yield 'bad', 'counts l= before blanks are taken out (RFC 6376 3.4.5)'
    if judge == 'rspamd' and signed(made, signature, body='relaxed') and re.search(rb'[\v\f]', halves(made.raw)[1]):
        yield 'bad', FORM_FEED

def as_seen(judge, made, signature):
    """(word, why) for each way in which the judge may see it; mm's own is first, without a why."""
    ways = [(dkim_word(signature['result']), '')]
    if signature['result'] == 'pass':
        ways += passes_here(judge, made, signature)
    for pattern, words, why in DKIM[judge]:
        if re.search(pattern, signature.get('why', '')):
            ways += [(word, why) for word in words.split()]
    if judge == 'mailauth' and has_a0(made) and 'fit the header' in signature.get('why', '') and signed(made, signature, header='relaxed'):
        ways.append(('pass', A0))  # who signed takes it so, too
    if judge == 'mailauth' and b'\r\n\r\n' not in made.raw:
        ways.append(('none', 'doesn\'t look at a message without a body'))
    return ways

def best(words):
    return next((word for word in ('pass', 'temperror', 'bad', 'nothing') if word in words), 'none')

def dkim_of_each(made, mine, other):
    """Signature by signature, told by the beginning of b=; 'none' for one that they leave out."""
    theirs, whys = {}, set()
    for s in other.whole['dkim']:
        theirs.setdefault(s['b'], set()).add(dkim_word(s['result']))
    for signature in mine.whole['dkim'].get('signatures', []):
        words = theirs.get(signature.get('b', ''), {'none'})
        why = next((why for seen, why in as_seen('mailauth', made, signature) if seen in words), None)
        if why is None:
            return ''
        whys.add(why)
    return '; '.join(sorted(whys - {''}))

def dkim(judge, made, mine, other):
    if judge == 'mailauth':
        return dkim_of_each(made, mine, other)
    ways = [as_seen(judge, made, s) for s in mine.whole['dkim'].get('signatures', [])[:10]]
    for pick in sorted(itertools.islice(itertools.product(*ways), 4096), key=lambda p: sum(bool(why) for _, why in p)):
        if best([word for word, _ in pick]) == other.dkim:
            return '; '.join(sorted({why for _, why in pick if why}))
    return ''

# ---- ARC: by what mm says, or where it passes here by the message ----

# (judge, a pattern, mm's word, the judge's, why)
ARC = [
    ('mailauth', r'without a proper instance|isn\'t there', 'fail', 'pass', 'reads lists of tags less strictly (RFC 6376 3.2)'),
    ('rspamd', r'isn\'t whole|there twice', 'fail', 'none', 'counts no chain where seals or signatures are gone (RFC 8617 5.2)'),
    ('rspamd', r'rsa-sha1', 'fail', 'pass', 'verifies rsa-sha1 (RFC 8301: must not)'),
    ('rspamd', r'h= has ARC-Seal', 'fail', 'pass', 'takes ARC-Seal in h= (RFC 8617 4.1.2: must not)'),
    ('rspamd', r'RFC 8301 asks for', 'fail', 'pass', 'takes keys under 1,024 bits (RFC 8301)'),
    ('rspamd', r'there twice', 'fail', 'pass', 'doesn\'t look at results that are there twice (RFC 8617 5.2)'),
    ('rspamd', r'without a proper instance', 'fail', 'pass', 'reads lists of tags less strictly (RFC 6376 3.2)'),
    ('rspamd', r'without a proper instance|is(n\'t| no) ', 'fail', 'nothing', 'says nothing of chains that it can\'t read'),
]
MESSAGE_FIELD = rb'(?im)^ARC-Message-Signature:' + FOLDED

def arc(judge, made, mine, other):
    why = next((why for who, pattern, a, b, why in ARC if who == judge and (a, b) == (mine.arc, other.arc) and
                re.search(pattern, mine.whole['arc'].get('why', ''))), '')
    if judge == 'mailauth' and has_a0(made) and made.did and {mine.arc, other.arc} == {'pass', 'fail'}:
        return A0
    if why or judge != 'rspamd' or (mine.arc, other.arc) != ('pass', 'fail'):
        return why
    field = re.search(MESSAGE_FIELD, made.raw).group(0)
    if repeats(made):
        return UPPER
    if not re.search(rb'[;:\s]c=', field):
        return 'takes no c= for simple in ARC (the suite of ARC: relaxed)'
    if re.search(rb'h=\s*;|::', field):
        return 'wants names in h= of ARC (the suite of ARC: may be empty)'
    return FORM_FEED if re.search(rb'[\v\f]', halves(made.raw)[1]) else ''

# ---- DMARC: by the record that is at the domain, by From, or by what SPF and DKIM said ----

ASKS = 'NONE QUARANTINE REJECT'
# (judge, a pattern of the record, mm's words, the judge's, why)
DMARC = [
    ('mailauth', r'adkim=s', ASKS, 'pass', 'aligns relaxed whatever adkim= and aspf= say (RFC 7489 6.3)'),
    ('mailauth', r'pct=0', 'QUARANTINE', 'REJECT', 'has no pct= (RFC 7489 6.6.4)'),
    ('mailauth', r'^v = DMARC1', 'pass ' + ASKS, 'none', 'takes no blanks around = of v= (RFC 7489 6.4)'),
    ('mailauth', r'^v=dmarc1', 'none', 'pass REJECT', 'takes v= in any case (RFC 7489 6.3: as it is)'),
    ('mailauth', r'p=bogus$|; sp=reject$', 'none', 'pass BOGUS UNDEFINED REJECT', 'judges by a record without a good p= (RFC 7489 6.6.3: none)'),
    ('mailauth', r'p=bogus; rua', 'NONE', 'BOGUS', 'asks for what p= says, whatever it is (RFC 7489 6.6.3: with rua= as p=none)'),
    ('rspamd', r'p=bogus', 'none pass ' + ASKS, 'permerror', 'calls a bad p= an error, above a good record too (RFC 7489 6.6.3: none, or as p=none)'),
    ('rspamd', r'; sp=reject$', 'none', 'pass NONE REJECT', 'judges by a record without p= (RFC 7489 6.6.3: none)'),
    ('rspamd', r'^v = DMARC1', 'QUARANTINE REJECT', 'NONE', 'doesn\'t read P (RFC 7489 6.4: names in any case)'),
    ('rspamd', r'fo=1$', 'none pass ' + ASKS, 'permerror', 'calls several records an error, above a good one too (RFC 7489 6.6.3: none)'),
]

def of_from(judge, made, mine, other):
    why = mine.whole['dmarc'].get('why', '')
    if other.dmarc == 'none' and mine.dmarc in ASKS.split() and re.search("From isn't one address|From has no domain", why):
        return 'says none where From isn\'t one address (RFC 7489 6.6.1 leaves it open)'
    several = len(other.whole['from']) != 1 if judge == 'mailauth' else other.whole.get('DMARC_NA') == ['Duplicate From header']
    if other.dmarc == 'none' and several:
        return 'says none where From has several addresses, of one domain too (RFC 7489 6.6.1)'
    if not re.fullmatch(rb'(?i)From[ \t]*:\s*(("([^"\\]|\\.)*"|[^<>@,;:()"]*)\s*<[\w.+=-]+@[\w.-]+>|[\w.+=-]+@[\w.-]+)\s*', from_fields(made)):
        return 'reads a From that isn\'t just one address otherwise (RFC 7489 6.6.1 leaves it open)'
    return ''

def from_fields(made):
    return b''.join(m.group(0) for m in re.finditer(rb'(?im)^From[ \t]*:' + FOLDED, halves(made.raw)[0]))

def of_one_more(made, mine, other):
    """A signature passes at rspamd alone, or here alone, for a reason that we know, beside others that pass at both."""
    signatures = mine.whole['dkim'].get('signatures', [])
    here = {s['domain'] for s in signatures if s['result'] == 'pass'}
    there = {d[:-2] for d in other.whole.get('DKIM_TRACE', []) if d.endswith(':+')}
    return any(s.get('domain') in here ^ there and any(why and (word == 'pass') == (s['domain'] in there)
                                                       for word, why in as_seen('rspamd', made, s)) for s in signatures)

def of_suffix(judge, mine, other):
    """Their organisational domain is above the one here, or below it; of rspamd, which says it only where it has a record, below what looks like
    a suffix of a registry."""
    here = mine.whole['dmarc'].get('domain', '')
    there = other.whole['organisation'] if judge == 'mailauth' else next(
        (o[0].split(' ')[0] for n, o in other.whole.items() if n.startswith('DMARC_') and o), '')
    if mine.dmarc == 'none':
        return there and here.endswith('.' + there)
    below = other.dmarc == 'none' and there.endswith('.' + here)
    return below and (judge == 'mailauth' or re.match(r'(ac|co|com|edu|gov|net|org)\.[^.]+$', here))

def dmarc(judge, made, mine, other):
    for who, pattern, a, b, why in DMARC:
        there = who == judge and any(re.search(pattern, record) for record in made.policies)
        if there and mine.dmarc in a.split() and (other.dmarc or 'UNDEFINED') in b.split():
            return why
    why = of_from(judge, made, mine, other)
    if not why and of_suffix(judge, mine, other):
        why = 'knows other public suffixes (RFC 7489 3.2)'
    if not why and 'pass' in (other.dmarc, mine.dmarc) and {other.dmarc, mine.dmarc} <= set(ASKS.split()) | {'pass', 'BOGUS'}:
        if judge == 'rspamd' and of_one_more(made, mine, other):
            return 'follows from its DKIM'
        why = next(('follows from its %s' % name for name, of in (('SPF', spf), ('DKIM', dkim)) if of(judge, made, mine, other)), '')
    return why

def reason(judge, family, made, mine, other):
    """'' where there is none."""
    if family != 'spf' and not made.raw:
        return 'looks at no empty message'
    return {'spf': spf, 'dkim': dkim, 'dmarc': dmarc, 'arc': arc}[family](judge, made, mine, other)
