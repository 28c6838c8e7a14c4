#!/usr/bin/env python3
"""The order of system calls behind a 250: the record is written, an fdatasync that began after it returns, mmd is told, and only then
the reply goes out. The control, a build that answers early, must be flagged. And what mmd does at a checkpoint: segments, audit log,
index and control database are synced in this order."""
import os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

CALLS = 'pwrite64,pwritev,pwritev2,fdatasync,fsync,sendto,sendmsg,write,writev'

def child(site, name):
    for pid in os.listdir('/proc'):
        try:
            if pid.isdigit() and os.path.basename(os.readlink('/proc/%s/exe' % pid)) == name and \
               open('/proc/%s/stat' % pid).read().rsplit(')', 1)[1].split()[1] == str(site.process.pid):
                return int(pid)
        except OSError:
            pass
    raise AssertionError('no ' + name)

def trace(site, pid, work):
    """[(begin, end, call, fd, text)] of the process while work() runs; begin and end count lines of the trace."""
    path = os.path.join(site.root, 'trace')
    tracer = subprocess.Popen(['strace', '-f', '-y', '-s', '64', '-xx', '-e', 'trace=' + CALLS, '-o', path, '-p', str(pid)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    line = tracer.stderr.readline()
    if b'attached' not in line:
        tracer.wait(10)
        raise Skip('strace can\'t attach here: %s' % line.decode('utf-8', 'replace').strip())
    try:
        work()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
    calls, open_calls = [], {}
    for n, text in enumerate(open(path, errors='replace')):
        thread, rest = text.split(None, 1)
        m = re.match(r'<\.\.\. (\w+) resumed>', rest)
        if m and thread in open_calls:
            begin, head = open_calls.pop(thread)
            rest = head + rest
        else:
            begin = n
        if '<unfinished ...>' in rest:
            open_calls[thread] = (n, rest.replace('<unfinished ...>', ''))
            continue
        m = re.match(r'(\w+)\((\d+)<([^>]*)>', rest)
        if m:
            calls.append((begin, n, m.group(1), m.group(3).replace('\\x', ''), rest))
    return calls

def unhex(calls):
    """-xx shows names of files in hex too, where strace is old enough not to; both are taken."""
    def name(text):
        try:
            return bytes.fromhex(text).decode('utf-8', 'replace')
        except ValueError:
            return text
    return [(b, e, c, name(f), t) for b, e, c, f, t in calls]

def payload(text):
    return b''.join(bytes.fromhex(x.replace('\\x', '')) for x in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', text))

def answers(calls):
    """Where each "250 2.6.0"-like reply to a message begins."""
    return [c for c in calls if c[2] in ('sendto', 'sendmsg', 'write', 'writev') and
            re.match(rb'250 2\.[0-9]\.[0-9] .*[0-9a-v]{26}', payload(c[4]))]

def trace_one(build_name):
    site = Site(build_name).start()
    site.send(mail('warm'))
    site.wait()
    time.sleep(0.3) # the control writes what it has answered a moment later; so below
    with Sender(site.port) as s:
        calls = unhex(trace(site, child(site, 'mm-smtpd'), lambda: (s.send(mail('traced', 'body ' * 50)), time.sleep(0.3))))
    site.stop()
    site.close()
    replies = answers(calls)
    equal(len(replies), 1, 'replies with an id in the trace')
    reply = replies[0][0]
    writes = [c for c in calls if c[2].startswith('pwrite') and c[3].endswith('.spool')]
    check(writes, 'no write of a spool file in the trace')
    syncs = [c for c in calls if c[2] in ('fdatasync', 'fsync') and c[0] > writes[0][1] and c[1] < reply]
    told = [c for c in calls if c[2] == 'sendmsg' and c[1] < reply and syncs and c[0] > syncs[0][1]]
    return writes[0][1] < reply, bool(syncs), bool(told)

@test
def synced_before_the_reply():
    written, synced, told = trace_one('asan')
    check(written, 'the reply goes out before the record is written')
    check(synced, 'no fdatasync between the record and the reply')
    check(told, 'mmd is not told before the reply')

@test
def the_early_reply_is_flagged():
    written, synced, told = trace_one('early')
    check(not (written and synced), 'the build that answers early looks right: this test sees nothing')

@test
def order_of_a_checkpoint():
    """store synced, then the audit log, then the index, then the control database; then the spool file may go."""
    site = Site().start()
    site.send(mail('warm'))
    site.wait()

    def work():
        site.send(mail('traced', 'body ' * 50))
        site.wait()
    calls = unhex(trace(site, site.process.pid, work))
    site.stop()
    site.close()
    folders = {'seg': '/seg/', 'audit': '/audit/', 'index': '/index/', 'control': 'control.db'}
    last_write = {k: max([c[1] for c in calls if c[2].startswith('pwrite') and v in c[3]], default=None)
                  for k, v in folders.items()}
    first_sync = {k: min([c[1] for c in calls if c[2] in ('fdatasync', 'fsync') and v in c[3]], default=None)
                  for k, v in folders.items()}
    check(all(v is not None for v in first_sync.values()), 'not synced: %s' % first_sync)
    order = sorted(folders, key=lambda k: first_sync[k])
    equal(order, ['seg', 'audit', 'index', 'control'], 'order of the first syncs %s' % first_sync)
    check(first_sync['seg'] > min(c[1] for c in calls if c[2].startswith('pwrite') and '/seg/' in c[3]), 'seg')

done()
