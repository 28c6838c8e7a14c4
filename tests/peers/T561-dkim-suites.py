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

def auth():
    if not AUTH:
        raise Skip('needs ../shared/corpora, which is absent')
    return AUTH

def whys(answer):
    said = ['%s: %s' % (s['result'], s['why']) for s in answer['signatures']]
    return '; '.join(dict.fromkeys(said)) or 'no DKIM-Signature'

def forbidden(case, answer):
    """Why a later RFC, or mm, has it otherwise; '' if nothing explains it."""
    said = whys(answer)
    if 'RFC 8301' in said:
        return said
    if b'\nDomainKey-Signature:' in b'\n' + case.message and not answer['signatures']:
        return 'DomainKeys (RFC 4870), which DKIM has replaced (RFC 4871)'
    if "v= isn't 1" in said or 'q= doesn\'t have' in said and b'q=dns;' in case.message:
        return 'v= or q= as a draft before RFC 4871 had it: ' + said
    if case.want == 'OK' and answer['dkim'] == 'policy':
        return said + ': never a pass'
    if case.want == 'invalid' and answer['dkim'] == 'fail' and 'the body' in said:
        return 'the body was changed too, so the key isn\'t asked for'
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
    rows = [(case.name, agree(case.want, answer), known.get(case.name) or forbidden(case, answer)) for case, answer in results]
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
    known = {'t-test58': 'a message that libopendkim refuses whole; it isn\'t signed',
             't-test76': 'a field without b=, which libopendkim counts as none'}
    suite('opendkim', cases, agree, known, ['not a message with a result: %s (%s)' % item for item in left.items()])

@test
def go_msgauth():
    suite('go-msgauth', list(go(auth())), lambda want, answer: (answer['signatures'] or [{'result': 'none'}])[0]['result'] == want, {})

@test
def mailauth_fixtures():
    suite('mailauth', list(mailauth(auth())), lambda want, answer: ' '.join(s['result'] for s in answer['signatures']) == want, {})

done()
