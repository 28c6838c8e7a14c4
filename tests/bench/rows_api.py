"""tests/bench/rows_api.py - rows of the control API: what a signed call costs, how many one client makes, accepting mail beside it"""
import json, os, subprocess, time
import mm, peers, signed
from archive import Archive

CALLS = 5000
BESIDE = 100 # calls a second while mail is accepted

class Caller:
    """A client with one connection, of a site with an API."""
    def __init__(self, site, port):
        self.host, self.line = '127.0.0.1:%d' % port, signed.Line(port)
        self.key = json.loads(site.run('mmctl', 'principal', 'create', 'bench%d' % time.monotonic_ns(), '--role', 'admin', '--json'))
        rule_set = self.call('ListRuleSets', {})['RuleSets'][0]['RuleSetId']
        self.input = {'RuleSetId': rule_set}

    def call(self, operation, input):
        status, answer = self.line.call(self.key, self.host, operation, json.dumps(input).encode())
        if status != 200:
            raise AssertionError('%s: %d %r' % (operation, status, answer))
        return answer

    def get(self):
        self.call('GetRuleSet', self.input)

def site_with_api(b):
    port = mm.free_port()
    return Archive(b.root, api={'listen': '127.0.0.1:%d' % port}).start(), port

def cpu(site):
    """{program: seconds} of mm-httpd and mmd."""
    spent = {}
    for pid, name in site.processes().items():
        if name in ('mmd', 'mm-httpd'):
            threads = '/proc/%d/task' % pid # to the nanosecond: a clock tick is 20 us of each of 500 calls
            spent[name] = sum(int(open('%s/%s/schedstat' % (threads, t)).read().split()[0]) for t in os.listdir(threads)) / 1e9
    return spent

def calls(b):
    b.report.row('api', 'A signed GetRuleSet over one connection')
    site, port = site_with_api(b)
    try:
        caller, rates, costs = Caller(site, port), [], {'mm-httpd': [], 'mmd': []}
        for _ in range(b.runs):
            n = 500 if b.quick else CALLS
            before, began = cpu(site), time.monotonic()
            for _ in range(n):
                caller.get()
            took, after = time.monotonic() - began, cpu(site)
            rates.append(n / took)
            [costs[p].append(1e6 * (after[p] - before[p]) / n) for p in costs]
        for program, values in costs.items():
            b.report.figure('CPU of %s a call' % program, values, 'us')
        b.report.figure('calls of one client, one after the other', rates, 'call/s', 'its own signing included')
        b.report.goal('CPU of both a call', sum(b.median(v) for v in costs.values()), 'us', most=300)
    finally:
        site.close()

class Busy:
    """call_load at work: a client in C, since what one in Python costs is not mm's. It signs once, as a read may be sent again."""
    def __init__(self, site, port):
        caller = Caller(site, port)
        self.process = subprocess.Popen([os.path.join(mm.build('bench'), 'call_load'), str(port), str(BESIDE)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.process.stdin.write(signed.request(caller.key, caller.host, 'GetRuleSet', json.dumps(caller.input).encode()))
        self.process.stdin.close()
        self.began = time.monotonic()

    def end(self):
        """It made the calls that it was to make."""
        took = time.monotonic() - self.began
        self.process.terminate()
        made = int(self.process.stdout.read() or 0)
        mm.equal(self.process.wait(), 0, 'exit status of call_load')
        mm.check(made >= 0.9 * BESIDE * took, '%d calls in %.1f s' % (made, took))

def beside(b):
    b.report.row('api-accept', 'Durable accept (4 KiB, 50 sessions) with %d calls a second beside it' % BESIDE)
    rates = {False: [], True: []}
    for run in range(b.runs):
        for busy in (run % 2 == 1, run % 2 == 0): # the disk isn't the same from minute to minute
            site, port = site_with_api(b)
            try:
                peers.load(site.port, messages=2000)
                site.drain()
                rate = peers.source(site.port, 5000)
                site.drain()
                caller = Busy(site, port) if busy else None
                rates[busy].append(peers.source(site.port, max(5000, int(rate * b.seconds))))
                if caller:
                    caller.end()
            finally:
                site.close()
    b.report.figure('without calls', rates[False], 'msg/s')
    b.report.figure('with them', rates[True], 'msg/s')
    b.report.ratio('without', b.median(rates[True]), b.median(rates[False]), least=0.95)
