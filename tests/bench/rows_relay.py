"""tests/bench/rows_relay.py - mail that comes in by SMTP and goes out by SMTP, beside Postfix that does the same"""
import os, time
import mm, peers, rows_smtp
from archive import Archive

AT_ONCE = 20 # connections to the next server, of both: Postfix's default_destination_concurrency_limit
RELAY = {
    'TrafficPolicies': [{'TrafficPolicyName': 'open', 'DefaultAction': 'DENY', 'PolicyStatements': [{'Action': 'ALLOW', 'Conditions': [
        {'StringExpression': {'Evaluate': {'Attribute': 'RECIPIENT'}, 'Operator': 'ENDS_WITH', 'Values': ['@corp.example']}}]}]}],
    'RuleSets': [{'RuleSetName': 'all', 'Rules': [{'Name': 'on', 'Conditions': [], 'Actions': [{'Relay': {'Relay': 'next'}}]}]}]}
SHAPE = {'sessions': 50, 'size': 4096}
WARM = 2000

class Ours:
    def __init__(self, b, sink):
        relay = {'RelayName': 'next', 'ServerName': '127.0.0.1', 'ServerPort': sink.port, 'Authentication': {'NoAuthentication': {}}}
        self.site = Archive(b.root, send={'per_destination': AT_ONCE})
        self.site.apply(dict(RELAY, Relays=[relay]))
        self.site.start()
        self.port = self.site.port

    def left(self):
        """What neither the spool nor the queue is through with."""
        return self.site.backlog() + len(self.site.run('mmctl', 'queue', '--json').splitlines())

    def close(self):
        rows_smtp.closed(self.site)

class Theirs:
    def __init__(self, b, sink):
        self.postfix = peers.Postfix(b.root, peers.RELAY_CF % (sink.port, AT_ONCE))
        self.port = self.postfix.port

    def left(self):
        return self.postfix.backlog()

    def close(self):
        self.postfix.close()
        os.sync()
        time.sleep(1)

def one_run(b, kind, count):
    """A new one, `count` messages through it; (messages a second from the first byte to the last taken by the sink, seconds until all were accepted).
    The sink goes when it has them all, and with it the replies to the last ones: those alone may be left."""
    sink = peers.Sink(WARM + count)
    relay = None
    try:
        relay = kind(b, sink)
        peers.source(relay.port, WARM, **SHAPE)
        while relay.left():
            time.sleep(0.2)
        began = time.monotonic()
        peers.source(relay.port, count, **SHAPE)
        accepted = time.monotonic() - began
        seconds = sink.wait() - began
        time.sleep(1)
        mm.check(relay.left() <= AT_ONCE, '%d messages are left' % relay.left())
        return count / seconds, accepted
    finally:
        if relay:
            relay.close()
        sink.close()

def relay(b):
    b.report.row('relay', 'Durable relay, 4 KiB, 50 sessions in, at most %d connections out to smtp-sink' % AT_ONCE)
    kinds = {'mm': Ours, 'Postfix': Theirs}
    rates, accepted = {k: [] for k in kinds}, {}
    for run in range(-1, b.runs): # run -1 finds how many messages fill --seconds
        for name, kind in kinds.items():
            rate = rates[name][-1] if rates[name] else 500
            rate, accepted[name] = one_run(b, kind, max(1000, int(rate * (b.seconds if run >= 0 else 5))))
            rates[name] = ([] if run <= 0 else rates[name]) + [rate]
    for name, what in (('mm', 'mm, rule Relay, accepted to delivered'), ('Postfix', 'Postfix with relayhost, the same')):
        b.report.figure(what, rates[name], 'msg/s', 'the last run accepted all in %.1f s' % accepted[name])
    b.report.ratio('Postfix', b.median(rates['mm']), b.median(rates['Postfix']), least=2)
