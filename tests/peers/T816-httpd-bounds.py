#!/usr/bin/env python3
"""What clients of mm-httpd may take of it and of mmd, and what an mm-httpd that was broken into may: calls that were given up, slow readers,
long answers, refusals by the thousand."""
import base64, os, select, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from signed import *
from calls import archive_ids
from faults import child_of, children_of

api = free_port()
HOST = '127.0.0.1:%d' % api
site = Site(config={'api': {'listen': HOST, 'profile': 'open'}})
site.start()
key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))

def call(operation, **given):
    line = Line(api)
    status, answer = line.call(key, HOST, operation, json.dumps(given).encode())
    line.close()
    return status, answer

def good(operation, **given):
    status, answer = call(operation, **given)
    equal(status, 200, answer)
    return answer

def descriptors(pid):
    return len(os.listdir('/proc/%d/fd' % pid))

def subscriptions(prefix):
    names, token = [], {}
    while True:
        page = good('ListAddonSubscriptions', PageSize=50, **token)
        names += [s['AddonName'] for s in page['AddonSubscriptions'] if s['AddonName'].startswith(prefix)]
        if 'NextToken' not in page:
            return names
        token = {'NextToken': page['NextToken']}

@test
def calls_that_were_given_up_are_dropped():
    """Changes wait for the pipeline, which waits for its workers; who hangs up meanwhile has no place in mmd for long."""
    workers, before = children_of(site.process.pid, 'mm-parse'), descriptors(site.process.pid)
    most = 0
    [os.kill(w, signal.SIGSTOP) for w in workers]
    try:
        site.send(mail('it holds the pipeline'))
        time.sleep(0.5)
        for i in range(5):
            lines = [Line(api) for _ in range(50)]
            for n, line in enumerate(lines):
                line.send(request(key, HOST, 'CreateAddonSubscription', b'{"AddonName":"gone %d-%d"}' % (i, n)))
            time.sleep(0.3)
            most = max(most, descriptors(site.process.pid))
            [line.close() for line in lines]
    finally:
        [os.kill(w, signal.SIGCONT) for w in workers]
    equal(call('ListArchives')[0], 200, 'afterwards')
    site.wait()
    made = subscriptions('gone')
    print('   %d of 250 were under way, mmd held up to %d descriptors more' % (len(made), most - before))
    check(len(made) <= 12, 'they were carried out: %d' % len(made))
    check(40 <= most - before < 80, 'mmd held %d descriptors more' % (most - before))

site.stop()
done()
