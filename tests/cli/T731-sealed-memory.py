#!/usr/bin/env python3
"""Keys and mail stay in memory: no process that holds them can leave a core file or be looked into by its user, and their memory is locked."""
import os, re, resource, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

NOBODY = 65534

def tree(pid):
    """{pid: program} of a process and its children."""
    found = {pid: 'mmd'}
    for task in os.listdir('/proc/%d/task' % pid):
        for child in open('/proc/%d/task/%s/children' % (pid, task)).read().split():
            found[int(child)] = open('/proc/%s/comm' % child).read().strip()
    return found

def status(pid, field):
    return int(re.search(r'^%s:\s+(\d+)' % field, open('/proc/%d/status' % pid).read(), re.M).group(1))

def start_as_nobody(site, memlock):
    """mmd and its children under a user that has no capability, with a limit for locked memory."""
    for at, dirs, names in os.walk(site.root):
        for name in ['.'] + names:
            os.chown(os.path.join(at, name), NOBODY, NOBODY)
    site.process = subprocess.Popen(
        [os.path.join(site.bin, 'mmd'), '--config', site.config], env=site.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=open(site.log, 'ab'), start_new_session=True, user=NOBODY, group=NOBODY, extra_groups=[],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock)))
    line = site.process.stdout.readline()
    equal(line, b'ready\n', site.tail())
    found = tree(site.process.pid)
    equal(sorted(set(found.values())), ['mm-deliver', 'mm-parse', 'mm-smtpd', 'mmd'], 'the processes')
    return found

def site_as_nobody(memlock):
    if os.getuid() != 0:
        raise Skip('needs root, to start mmd as another user')
    site = Site('clang')
    return site, start_as_nobody(site, memlock)

@test
def no_core_file_and_no_look_inside():
    site, found = site_as_nobody(8 << 20)
    other = subprocess.Popen(['sleep', '60'], user=NOBODY, group=NOBODY)
    try:
        # What can't be dumped belongs to root in /proc; the control is a process that can be.
        equal(os.stat('/proc/%d/environ' % other.pid).st_uid, NOBODY, 'the owner of sleep in /proc')
        for pid, program in found.items():
            limits = open('/proc/%d/limits' % pid).read()
            check(re.search(r'^Max core file size +0 +0 ', limits, re.M), '%s may leave a core file' % program)
            equal(os.stat('/proc/%d/environ' % pid).st_uid, 0, 'the owner of %s in /proc' % program)
            equal(status(pid, 'NoNewPrivs'), 1, '%s: no new privileges' % program)
    finally:
        other.kill()
        other.wait()
    site.send(mail('sealed', 'lantern'))
    site.wait()
    equal(site.count('lantern'), 1, 'messages found by the way')
    site.stop()

@test
def the_key_ring_is_locked_for_anybody():
    site, found = site_as_nobody(8 << 20)
    check(status(site.process.pid, 'VmLck') >= 4, 'nothing of mmd is locked')
    site.stop()

@test
def without_a_limit_to_lock_in_nothing_is_locked():
    site, found = site_as_nobody(0)  # the control: where locking fails, this test sees it, and mmd works all the same
    equal([status(pid, 'VmLck') for pid in found], [0] * len(found), 'locked memory')
    site.stop()

@test
def with_an_unlimited_limit_all_is_locked():
    if os.getuid() != 0 or resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] != resource.RLIM_INFINITY and \
       not int(re.search(r'CapEff:\s+(\w+)', open('/proc/self/status').read()).group(1), 16) >> 14 & 1:
        raise Skip('needs CAP_IPC_LOCK or no limit for locked memory')
    site = Site('clang')
    site.start()
    for pid, program in tree(site.process.pid).items():
        if program == 'mm-deliver':
            continue  # the home: no mail and no key of the archive comes to it
        locked, used = status(pid, 'VmLck'), status(pid, 'VmRSS')
        check(locked >= used * 0.8, '%s: %d KiB of %d are locked' % (program, locked, used))
    site.stop()

@test
def a_tool_that_opens_the_directory_itself():
    """mm-search without mmd holds the keys too: stopped while it reads its query, it can be looked at."""
    if os.getuid() != 0:
        raise Skip('needs root, to start a tool as another user')
    site = Site('clang')
    for at, dirs, names in os.walk(site.root):
        for name in ['.'] + names:
            os.chown(os.path.join(at, name), NOBODY, NOBODY)
    p = subprocess.Popen(['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=flock', '-e', 'inject=flock:signal=SIGSTOP',
                          os.path.join(site.bin, 'mm-search'), '--archive', 'corp', '--count', ''], env=site.env,
                         user=NOBODY, group=NOBODY, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(500):
            kids = open('/proc/%d/task/%d/children' % (p.pid, p.pid)).read().split()
            if kids and 'Seccomp' and status(int(kids[0]), 'Threads') and open('/proc/%s/comm' % kids[0]).read() == 'mm-search-alone\n' \
               and os.stat('/proc/%s/environ' % kids[0]).st_uid == 0:
                break
            time.sleep(0.01)
        else:
            raise AssertionError('mm-search-alone can be looked into')
        check(re.search(r'^Max core file size +0 +0 ', open('/proc/%s/limits' % kids[0]).read(), re.M), 'mm-search-alone may leave a core file')
    finally:
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()

done()
