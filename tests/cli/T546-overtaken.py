#!/usr/bin/env python3
"""A message whose scanner is slow is overtaken by others. mmd is killed while it waits: of those that were done and checkpointed nothing is asked
again, decided again or told again, though the scanner would say otherwise now; the slow one is judged by what is said at last. What is to be
erased is, while one waits; and however many wait, as long as it goes forward."""
import http.server, json, os, re, sys, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

class Scanner(http.server.ThreadingHTTPServer):
    """FAIL for what it is asked about once more, else PASS; mail whose subject has "slow" waits until `go` is set; "paced" takes a second."""
    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.asked, self.lock, self.go = [], threading.Lock(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        data = self.rfile.read(int(self.headers['Content-Length']))
        slow = b'slow' in data
        with self.server.lock:
            again = self.headers['MM-Message-Id'] in self.server.asked
            self.server.asked.append(self.headers['MM-Message-Id'])
        if slow:
            self.server.go.wait()
        if b'paced' in data:
            time.sleep(1)
        text = json.dumps({'verdict': 'FAIL' if again and not slow else 'PASS'}).encode()
        try:
            self.send_response(200)
            self.send_header('Content-Length', str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except OSError:
            pass

RULES = [{'Name': 'infected', 'Actions': [{'Drop': {}}], 'Conditions': [
             {'VerdictExpression': {'Evaluate': {'Analysis': {'Analyzer': 'OURS', 'ResultField': 'verdict'}}, 'Operator': 'EQUALS', 'Values': ['FAIL']}}]},
         {'Name': 'clean', 'Conditions': [], 'Actions': [{'Archive': {'TargetArchive': 'corp'}}]}]
QUICK = 20

def records(site):
    path = os.path.join(site.root, 'logs', 'app.log')
    return [json.loads(l) for l in open(path) if l.endswith('}\n')] if os.path.exists(path) else []

def told(site):
    return sorted(r['message_id'] for r in records(site) if 'message_size_bytes' in r)

def scanned(scanner, deadline, **more):
    return Site(resources=dict(DEFAULT, RuleSets=[{'RuleSetName': 'all', 'Rules': RULES}], AddonSubscriptions=[{'AddonName': 'OURS'}],
                               AddonInstances=[{'AddonName': 'OURS'}]),
                config={'addons': {'OURS': {'http': 'http://127.0.0.1:%d/scan' % scanner.server_port, 'deadline': deadline, **more}}})

@test
def what_overtook_is_not_judged_again():
    scanner = Scanner()
    site = scanned(scanner, 600)
    os.mkdir(os.path.join(site.root, 'logs'))
    settings = json.load(open(site.config))
    settings['logs'] = {'application': os.path.join(site.root, 'logs', 'app.log')}
    site.write(site.config, json.dumps(settings))
    site.start()
    slow = site.send(mail('slow'))
    quick = [site.send(mail('quick %d' % i)) for i in range(QUICK)]
    while len(told(site)) < QUICK:  # written behind their checkpoint
        time.sleep(0.1)
    equal(told(site), sorted(quick))
    for life in range(2):  # the second finds what the first left
        site.kill()
        site.start()
        late = site.send(mail('quick and late'))
        quick.append(late)
        while late not in told(site):
            time.sleep(0.1)
    check(site.count('subject:slow') == 0, 'it waits')
    scanner.go.set()
    site.wait()
    equal(site.count('subject:quick'), QUICK + 2)
    equal(site.count('subject:slow'), 1)
    equal(site.run('mmctl', 'list', '--json'), '', 'dispositions')
    equal([scanner.asked.count(i) for i in quick], [1] * len(quick), 'how often it was asked about each')
    equal(site.verify()['problems'], 0)
    late = site.send(mail('last quick'))
    site.wait()
    site.stop()
    equal(told(site), sorted(quick + [slow, late]), 'records')
    site.close()

@test
def erasing_waits_for_it():
    """The spool still has a key for all of its mail: a slow scanner keeps nothing from being erased, however long it may take."""
    site = scanned(Scanner(), 10)
    site.env['MM_TEST_SPOOL_MS'] = '8000'
    site.start()
    quick = site.send(mail('quick'))
    site.wait()
    site.send(mail('slow'))
    site.run('mm-retention', 'erase', '--archive', 'corp', '--reason', 'it must go', '--yes', quick)
    equal((site.count('subject:quick'), site.count('subject:slow')), (0, 1))
    site.close()

@test
def a_run_waits_as_long_as_it_goes_forward():
    """For twice as long as it would wait for a spool that stands still."""
    site = scanned(Scanner(), 60, at_once=1)
    site.env['MM_TEST_SPOOL_MS'] = '-57000'  # beside the deadline: 3 s
    site.start()
    with Sender(site.port) as s:
        for i in range(6):
            s.send(mail('paced %d' % i))
    site.run('mm-retention', 'run')
    equal(site.count('subject:paced'), 6)
    site.close()

@test
def a_run_gives_up_when_nothing_does():
    scanner = Scanner()
    site = scanned(scanner, 60)
    site.env['MM_TEST_SPOOL_MS'] = '-59000'
    site.start()
    site.send(mail('slow'))
    site.run('mm-retention', 'run', code=1)
    check('none of it has gone forward for' in site.stderr, site.stderr)
    scanner.go.set()
    site.wait()
    site.run('mm-retention', 'run')
    site.close()

def spool_files(site):
    """Once they have been the same for a while: new ones are made ahead of need."""
    last = None
    while last != (last := sorted(f for f in site.files() if '/spool/' in f)):
        time.sleep(0.2)
    return last

@test
def a_stop_while_a_sweep_waits_is_no_error():
    scanner = Scanner()
    at = time.gmtime(time.time() + 120)
    site = scanned(scanner, 600)
    settings = json.load(open(site.config))
    settings['retention'] = {'schedule': '%02d:%02d' % (at.tm_hour, at.tm_min)}
    site.write(site.config, json.dumps(settings))
    site.start()
    site.send(mail('slow'))
    before = spool_files(site)
    site.advance(seconds=240)
    while spool_files(site) == before:  # the sweep has ended the file that has it
        pass
    threading.Timer(0.3, scanner.go.set).start()  # else the stop waits for it, too
    site.stop()
    equal([l for l in site.tail(1 << 20).splitlines() if ' error: ' in l], [])
    site.close()

done()
