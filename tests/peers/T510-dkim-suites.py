#!/usr/bin/env python3
"""The DKIM suites of Mail::DKIM, OpenDKIM, go-msgauth and mailauth: their mails, and their keys by a real server through the resolver.

Printed is a table for each suite: cases, passed, and each that isn't as expected there with its reason: what a later RFC forbids
(rsa-sha1 and keys under 1024 bits: RFC 8301; DomainKeys: RFC 4871 took its place; g= of keys: RFC 6376 section C.2), or where the suite
is more lenient than mm. Every mail that passes is judged again with one bit changed, and must not pass."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from dkim_suites import *

try:
    AUTH = folder()
except Skip:
    AUTH = None
RFC8301 = 'RFC 8301'

def auth():
    if not AUTH:
        raise Skip('needs ../shared/corpora, which is absent')
    return AUTH

def whys(answer):
    return '; '.join('%s: %s' % (s['result'], s['why']) for s in answer['signatures']) or 'no DKIM-Signature'

def forbidden(case, answer):
    """Why a later RFC has it otherwise; '' if none does."""
    text = whys(answer)
    if RFC8301 in text:
        return text
    if b'\nDomainKey-Signature:' in b'\n' + case.message and not answer['signatures']:
        return 'DomainKeys (RFC 4870), which DKIM has replaced (RFC 4871)'
    return ''

def control(results):
    """Nothing that passes does so with a bit changed."""
    changed = [case._replace(message=flipped(case.message)) for case, answer in results
               if answer['dkim'] == 'pass' and flipped(case.message)]
    for case, answer in judge(changed):
        check(answer['dkim'] != 'pass', '%s passes with a bit changed' % case.name)
    return 'control: %d of those that pass with one bit changed: none passes' % len(changed)

def suite(name, cases, agree, known, more=()):
    results = judge(cases)
    rows = [(case.name, agree(case.want, answer),
             known.get(case.name) or forbidden(case, answer) or '') for case, answer in results]
    rows = [(n, a, r and '%s' % r) for n, a, r in rows]
    for (case, answer), row in zip(results, rows):
        if not row[1] and not row[2]:
            print('   %s: want %s, got %s' % (case.name, case.want, whys(answer)))
    table(name, rows, list(more) + [control(results)])

@test
def perl_mail_dkim():
    def agree(want, answer):
        got = answer['dkim']
        if want == 'invalid':
            return got in ('permerror', 'neutral', 'temperror') or (got == 'fail' and 'expired' in whys(answer))
        return got == want
    suite('perl-mail-dkim', list(perl(auth())), agree, {})

@test
def libopendkim():
    def agree(want, answer):
        got = answer['dkim']
        if want == 'OK':
            return got == 'pass'
        if want == 'BADSIG':
            return got == 'fail'
        if want == 'NOSIG':
            return got == 'none'
        return got not in ('pass', 'none')
    left = {}
    cases = list(opendkim(auth(), left))
    suite('opendkim', cases, agree, {}, ['not a message with a result: %s (%s)' % item for item in left.items()])

@test
def go_msgauth():
    suite('go-msgauth', list(go(auth())), lambda want, answer: (answer['signatures'] or [{'result': 'none'}])[0]['result'] == want, {})

@test
def mailauth_fixtures():
    suite('mailauth', list(mailauth(auth())), lambda want, answer: ' '.join(s['result'] for s in answer['signatures']) == want, {})

done()
