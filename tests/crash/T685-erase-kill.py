#!/usr/bin/env python3
"""kill -9 in the middle of an erasure, at random moments: the restart goes on from the intent. Then what was to be erased is
nowhere, and all else is there, found and verified."""
import os, random, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from forget import *

ROUNDS = 40 if LONG else 3
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
words = Words(seed)
print('seed %d' % seed)
site = Calendar().start()
gone, state = [], {'resumed': 0, 'before': 0, 'tries': 0, 'done': 0}

def kept():
    return [l for l in site.known if l not in gone]

def arguments(some):
    return ['erase', '--archive', 'legal', '--reason', 'asked for', '--yes'] + [l.id for l in some]

def kill_in(seconds, some):
    p = subprocess.Popen([os.path.join(site.bin, 'mm-retention')] + arguments(some), env=site.env, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    site.kill()
    return p.wait(60)

def check_all():
    output, _ = site.opened()
    equal(found(output, gone)[0][:3], [], 'still there')
    equal(found(output, kept())[1][:3], [], 'lost')
    site.whole(gone, ('legal',))
    searchable(site, kept())

@test
def mail_of_two_days():
    for _ in range(2):
        site.post([Letter(words, 'legal', big=i % 15 == 0) for i in range(50)])
        site.wait()
        site.next_day()
    some = [kept()[0], kept()[70]]
    began = time.monotonic()
    site.run('mm-retention', *arguments(some))
    state['took'] = time.monotonic() - began
    gone.extend(some)
    check_all()

@test
def a_killed_mmd_goes_on_at_its_start():
    while state['resumed'] < ROUNDS:
        state['tries'] += 1
        check(state['tries'] <= 12 * ROUNDS, 'hardly a kill hit an erasure')
        while len(kept()) < 60:
            site.post([Letter(words, 'legal', big=i % 15 == 0) for i in range(30)])
            site.wait()
        some = rng.sample(kept(), 2)
        last = site.events()[-1]['number']
        code = kill_in(rng.uniform(0, 1.1) * state['took'], some)
        site.start()
        events = [e for e in site.events() if e['number'] > last and e['event'].startswith('erase_')]
        if events:
            equal(events[-1]['event'], 'erase_done', 'the last entry')
            gone.extend(some)
            state['resumed' if events[-1]['detail']['resumed'] else 'done'] += 1
        else:
            check(code != 0, 'it said that it was done, and nothing was')
            state['before'] += 1
        check_all()
    print('   %(tries)d kills: %(resumed)d between intent and record, %(before)d before the intent, %(done)d after' % state)

done()
