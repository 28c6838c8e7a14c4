#!/usr/bin/env python3
"""Real mail, whole: every message of the corpora by SMTP over 20 connections, exported and compared byte for byte; bare CR, LF
and NUL refused by default and kept under KEEP; mbox files by mm-import. Needs ../shared/corpora."""
import collections, concurrent.futures, glob, json, os, re, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

CONNECTIONS = 20
LIMIT = 41943040
bare = re.compile(rb'\r(?!\n)|(?<!\r)\n|\0')

def corpus_files():
    folder = corpus(site.root)
    for at, _, names in os.walk(folder):
        if '/expected' in at + '/':
            continue
        for name in sorted(names):
            path = os.path.join(at, name)
            if name.endswith('.eml') or '/bulk/' in path:
                yield path
    mboxes.extend(sorted(glob.glob(folder + '/**/*.mbox', recursive=True)))

def send_all(messages, port):
    """Sends over 20 connections; {index: id} of the accepted ones and [(index, code, text)] of the others."""
    accepted, refused, lock = {}, [], threading.Lock()
    def worker(part):
        sender = Sender(port)
        for i in range(part, len(messages), CONNECTIONS):
            try:
                code, text = sender.try_send(messages[i], ('a@corp.example',), 's@out.example')
            except (OSError, smtplib.SMTPException) as e:
                with lock:
                    refused.append((i, 0, repr(e)))
                sender = Sender(port)
                continue
            with lock:
                if code == 250:
                    accepted[i] = message_id(text)
                else:
                    refused.append((i, code, text))
        sender.__exit__()
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(worker, range(CONNECTIONS)))
    return accepted, refused

def received(data):
    """What arrives: SMTP ends the last line."""
    return data if data.endswith(b'\r\n') else data + b'\r\n'

def compare(archive, messages, accepted):
    """Exports everything: exactly the accepted bytes, each as often as it was sent."""
    out = os.path.join(site.root, 'out-' + archive)
    site.run('mm-export', '--archive', archive, '--to', out, '--as', 'eml', '')
    lines = [json.loads(l) for l in open(os.path.join(out, 'manifest.jsonl'))]
    by_id = {}
    for line in lines:
        content = open(os.path.join(out, line['path']), 'rb').read()
        equal(sha256(content), line['sha256'], line['path'])
        by_id[line['id']] = line['sha256']
    equal(len(lines), len(accepted), 'exported')
    for i, id in accepted.items():
        equal(by_id.get(id), sha256(received(messages[i])), 'message %d' % i)
    equal(site.count('', archive), len(accepted), 'count')
    shutil.rmtree(out)

site = Site(resources=dict(DEFAULT, RuleSets=DEFAULT['RuleSets'] + [{"RuleSetName": "exact", "Rules": [
    {"Name": "keep", "Conditions": [], "Actions": [{"Archive": {"TargetArchive": "legal"}}]}]}]), ingress=None)
keep_port = free_port()
site.apply({"IngressPoints": [
    {"IngressPointName": "inbound", "Type": "OPEN", "TlsPolicy": "OPTIONAL", "TlsWrapped": False, "Listen": "127.0.0.1:%d" % site.port,
     "TrafficPolicyName": "open", "RuleSetName": "all"},
    {"IngressPointName": "exact", "Type": "OPEN", "TlsPolicy": "OPTIONAL", "TlsWrapped": False, "Listen": "127.0.0.1:%d" % keep_port,
     "TrafficPolicyName": "open", "RuleSetName": "exact", "BareNewlines": "KEEP"}]})
messages, mboxes, names = [], [], []

@test
def corpus_is_there():
    for path in corpus_files():
        data = open(path, 'rb').read()
        # Files with LF line ends only are text as Unix keeps it: SMTP carries them with CRLF. Others go as they are.
        messages.append(crlf(data) if b'\r\n' not in data and b'\r' not in data and b'\0' not in data else data)
        names.append(path)
    check(len(messages) > 9000, '%d messages' % len(messages))

if messages:
    site.start()

    @test
    def default_refuses_bare_bytes_only():
        accepted, refused = send_all(messages, site.port)
        dirty = {i for i, m in enumerate(messages) if bare.search(received(m))}
        large = {i for i, m in enumerate(messages) if len(m) > LIMIT}
        for i, code, text in refused:
            check(code == 550 and i in dirty or code == 552 and i in large, '%s: %s %s' % (names[i], code, text))
        equal(len(accepted) + len(refused), len(messages), 'answers')
        equal(set(accepted) & dirty, set(), 'accepted although dirty')
        print('   %d accepted, %d refused for bare CR, LF or NUL' % (len(accepted), len(refused)))
        site.wait(600)
        compare('corp', messages, accepted)

    @test
    def keep_takes_every_byte():
        accepted, refused = send_all(messages, keep_port)
        for i, code, text in refused:
            check(len(messages[i]) > LIMIT, '%s: %s %s' % (names[i], code, text))
        site.wait(600)
        compare('legal', messages, accepted)

    @test
    def parse_problems_are_marked_and_found():
        rows = site.rows('has:problem', 'legal')
        check(rows and all(r['parse_problem'] for r in rows), 'no problems found')
        equal(site.status()['failed'], 0, 'failed')
        print('   %d messages with a parse problem, all findable' % len(rows))

    @test
    def mbox_files_are_imported_once():
        check(mboxes, 'no .mbox files')
        out = [json.loads(l) for l in site.run('mm-import', '--archive', 'short', '--json', *mboxes).splitlines()]
        stored = [o for o in out if o['outcome'] == 'stored']
        equal([o for o in out if o['outcome'] == 'failed'], [], 'failed')
        again = [json.loads(l) for l in site.run('mm-import', '--archive', 'short', '--json', *mboxes).splitlines()]
        equal(collections.Counter(o['outcome'] for o in again), collections.Counter(already=len(stored)), 'second run')
        site.wait(600)
        equal(site.count('', 'short'), len(stored), 'count')
        print('   %d messages of %d mbox files' % (len(stored), len(mboxes)))

    @test
    def several_archives_shards_and_spool_files_were_used():
        s = site.sealed(2)
        check(s['segments'] >= 2, '%d segments' % s['segments'])

    @test
    def verify_is_clean():
        equal(site.verify()['problems'], 0, 'problems')

    @test
    def a_clean_stop_and_start_change_nothing():
        before = site.count('', 'legal')
        site.stop()
        site.start()
        equal(site.count('', 'legal'), before, 'count')

done()
