#!/usr/bin/env python3
"""The suite of RFC 7208 (203 cases, openspf.org): its zones by a real server, its questions by the resolver into spf_check().

A case that times out is one whose name the server answers with SERVFAIL. Where the suite allows several results, any of them is right."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from nsd import *

CASES = 203
SUITE = 'auth/pyspf/test/rfc7208-tests.yml'

class Checker:
    """tests/helpers/spf_check, which sends its lookups to `forward`."""
    def __init__(self, forward):
        self.process = subprocess.Popen([os.path.join(build('asan'), 'spf_check'), forward], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def __call__(self, **question):
        self.process.stdin.write(json.dumps(question).encode() + b'\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        check(line, 'spf_check ended at %r' % question)
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        equal(self.process.wait(60), 0, 'how spf_check ended')
        self.process.stdout.close()

def scenarios():
    try:
        import yaml
    except ImportError:
        raise Skip('needs python3-yaml, which is absent')
    folder = tempfile.mkdtemp(prefix='mm-spf-')
    atexit.register(shutil.rmtree, folder, True)
    with open(os.path.join(corpus(folder, SUITE), SUITE), 'rb') as f:
        return list(yaml.safe_load_all(f))

def raw(s):
    """The suite writes bytes as the code points of the same number."""
    return s.encode('latin-1')

def rdata(kind, value):
    if kind in ('TXT', 'SPF'):
        return text([raw(s) for s in value] if isinstance(value, list) else raw(value))
    if kind == 'MX':
        return '%d %s' % (value[0], escaped(value[1]))
    return escaped(value) if kind in ('PTR', 'CNAME') else value

def zone_of(data):
    """(records, failing names). A record of type SPF stands for a TXT one too where a name has none of its own; "TXT: NONE" keeps that
    away, and TIMEOUT is for what a name doesn't have."""
    records, failing = {}, []
    for name, rows in data.items():
        told = [list(row.items())[0] for row in rows if row != 'TIMEOUT']
        if not any(kind == 'TXT' for kind, _ in told):
            told += [('TXT', value) for kind, value in told if kind == 'SPF']
        told = [(kind, rdata(kind, value)) for kind, value in told if value != 'NONE']
        if 'TIMEOUT' in rows and not any(kind == 'TXT' for kind, _ in told):
            failing.append(name.lower())
        else:
            records.setdefault(name.lower(), []).extend(told)
    return records, failing

def wrong_with(case, got):
    allowed = case['result'] if isinstance(case['result'], list) else [case['result']]
    if got['result'] not in allowed:
        return 'got %s (%s), want %s' % (got['result'], got['why'], ' or '.join(allowed))
    told = case.get('explanation')
    if told is not None and got['explanation'] != told.replace('DEFAULT', ''):
        return 'explained as %r, want %r' % (got['explanation'], told)
    return None

def run(scenario):
    """[(case, what is wrong or None)]"""
    server = Nsd(*zone_of(scenario['zonedata']))
    checker = Checker(server.forward)
    rows = [(name, wrong_with(case, checker(client=case['host'], mail_from=case['mailfrom'], helo=case['helo'], receiver='mm.test')))
            for name, case in scenario['tests'].items()]
    checker.end()
    server.close()
    return rows

@test
def the_suite_of_rfc_7208():
    cases = passed = 0
    failed = []
    print('%-45s %5s %6s' % ('scenario', 'cases', 'passed'))
    for scenario in scenarios():
        rows = run(scenario)
        bad = [(name, why) for name, why in rows if why]
        print('%-45s %5d %6d' % (scenario['description'], len(rows), len(rows) - len(bad)), flush=True)
        for name, why in bad:
            print('    %s: %s' % (name, why))
        cases, passed, failed = cases + len(rows), passed + len(rows) - len(bad), failed + bad
    print('%-45s %5d %6d' % ('all', cases, passed))
    equal(cases, CASES, 'cases in the suite')
    check(not failed, '%d cases not passed: %s' % (len(failed), ', '.join(name for name, _ in failed)))

@test
def answers_come_from_the_server():
    """The control of the suite's path: where nobody answers, nothing is found."""
    checker = Checker('127.0.0.1@%d' % free_port())
    equal(checker(client='192.0.2.1', mail_from='a@b.example', helo='b.example')['result'], 'temperror')
    checker.end()

done()
