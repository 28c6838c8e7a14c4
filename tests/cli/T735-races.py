#!/usr/bin/env python3
"""ThreadSanitizer over all that goes on at once: two senders, searches, an import, a new configuration, repacking and a purge, in one mmd
(build-tsan). Nothing is lost, and no process reports a race. The control is a program with a race, built the same way."""
import os, random, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

ROUNDS = 40 if LONG else 6
REPORT = 'WARNING: ThreadSanitizer'

def run_all(jobs):
    """Every job in a thread of its own; the first exception of one is raised when all have ended."""
    wrong = []
    def one(job):
        try:
            job()
        except BaseException as e:
            wrong.append(e)
    threads = [threading.Thread(target=one, args=(job,)) for job in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        raise wrong[0]

@test
def everything_at_once():
    os.environ['TSAN_OPTIONS'] = 'exitcode=66 second_deadlock_stack=1'
    site = Site('tsan')
    short = dict(DEFAULT, RuleSets=[{"RuleSetName": "all", "Rules": [{"Name": "keep", "Conditions": [], "Actions": [
        {"Archive": {"TargetArchive": "corp"}}, {"Archive": {"TargetArchive": "short"}}]}]}])
    site.apply(short)
    site.start()
    for n in range(20):
        site.send(mail('old %d' % n, 'lantern'))
    site.wait()
    site.advance(days=40)  # past the retention of "short"
    box = os.path.join(site.root, 'box')
    with open(box, 'wb') as f:
        for n in range(10 * ROUNDS):
            f.write(b'From ann@shop.example Mon Mar  2 09:15:00 2026\n' +
                    mail('old mail %d' % n, 'harbour %d' % n).replace(b'\r\n', b'\n') + b'\n')
    sent = []
    def send():
        for n in range(ROUNDS):
            with Sender(site.port) as s:
                for i in range(10):
                    sent.append(s.send(mail('new %d %d' % (n, i), 'meadow %d' % i)))
    def search():
        for n in range(ROUNDS):
            site.count('lantern OR harbour OR meadow')
            site.ids('meadow')
            site.status()
    def forget():
        site.run('mm-retention', 'plan')
        site.run('mm-retention', 'run', code=None)
        for n in range(ROUNDS // 3):
            site.run('mmctl', 'verify', '--json', code=None)
    def change():
        for n in range(ROUNDS // 3):
            site.apply(short)
            site.process.send_signal(signal.SIGHUP)
    run_all([send, send, search, search, forget, change,
             lambda: site.run('mm-import', '--archive', 'legal', '--received', 'header', box)])
    site.wait()
    equal(site.count('meadow'), len(sent), 'messages sent and found')
    equal(site.count('harbour', 'legal'), 10 * ROUNDS, 'messages imported and found')
    equal(site.count('lantern', 'short'), 0, 'messages past their retention')
    site.stop()
    log = site.tail(1 << 22)
    check(REPORT not in log, log[log.find(REPORT):][:3000])

@test
def a_race_is_reported():
    with tempfile.TemporaryDirectory(prefix='mm-test-') as folder:
        path = os.path.join(folder, 'race')
        subprocess.run(['gcc', '-x', 'c', '-O1', '-fsanitize=thread', '-o', path, '-'], check=True, input=b'''
            #include <pthread.h>
            static int n;
            static void *add(void *arg) { for (int i = 0; i < 10000; i++) n++; return arg; }
            int main(void) { pthread_t t; pthread_create(&t, 0, add, 0); add(0); pthread_join(t, 0); return 0; }''')
        p = subprocess.run([path], env=dict(os.environ, TSAN_OPTIONS='exitcode=66'), stderr=subprocess.PIPE)
        equal(p.returncode, 66, 'exit status of the control')
        check(REPORT.encode() in p.stderr, p.stderr[:500])

done()
