"""tests/bench/rows_logs.py - what the logs cost: accepting and archiving without them, and with both, sealed, everything told"""
import time
import peers, rows_smtp
from archive import Archive

ALL = {'application': 'sealed', 'policy_debug': 'sealed', 'addresses': True, 'rate': 100000}

def program(site, name):
    """Seconds of processor time that a program's processes have taken, their ended threads included."""
    spent = 0
    for pid, found in site.processes().items():
        if found == name:
            fields = open('/proc/%d/stat' % pid).read().rpartition(')')[2].split()
            spent += (int(fields[11]) + int(fields[12])) / 100
    return spent

def run(b, logs, rate):
    """(messages a second accepted, us of mmd a message until all are archived, records written)."""
    site = rows_smtp.fresh(b, **({'logs': ALL} if logs else {}))
    try:
        if not rate:
            rate = peers.source(site.port, 5000)
            site.drain()
        count = rows_smtp.calibrated(b, site.port, rate, {'size': 4096})
        before = program(site, 'mmd')
        rate = peers.source(site.port, count)
        site.drain()
        spent = program(site, 'mmd') - before
        if logs:
            time.sleep(1) # the writer's turn
        told = site.run('mmctl', 'log').count('\n') if logs else 0
        return rate, 1e6 * spent / count, told / count
    finally:
        rows_smtp.closed(site)

def logs(b):
    b.report.row('logs', 'Durable accept (4 KiB, 50 sessions) with both logs, sealed, addresses told')
    rates, costs, told = {False: [], True: []}, {False: [], True: []}, []
    for _ in range(b.runs):
        for on in rates:
            rate, cost, records = run(b, on, rates[on][-1] if rates[on] else None)
            rates[on].append(rate)
            costs[on].append(cost)
            told += [records] if on else []
    for on, name in ((False, 'without logs'), (True, 'with them')):
        b.report.figure('accepted ' + name, rates[on], 'msg/s', '%.2f records a message' % b.median(told) if on else '')
        b.report.figure('CPU of mmd a message until archived, ' + name, costs[on], 'us')
    b.report.figure('accepted with, of without', b.median(rates[True]) / b.median(rates[False]), 'x')
    b.report.figure('CPU that the logs cost', b.median(costs[True]) - b.median(costs[False]), 'us')
