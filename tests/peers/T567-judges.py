#!/usr/bin/env python3
"""mm's verdicts beside two others': mailauth (npm) and rspamd (Debian), about the same mail and the same zone, message by message.

The mail is the bulk corpora's, signed by python3-dkim and mailauth, sealed by mm and mailauth, some of it damaged (tests/lib/bulk.py), and the
DKIM and ARC suites of others with their keys. Printed is a table: for each judge and each of SPF, DKIM, DMARC and ARC how many agree, and
every difference by its reason (tests/lib/reasons.py). A difference without a reason fails. ./check has a sample and the suites that share a zone with
it; ./check long has all. MM_SEED and MM_COUNT make another set, MM_KEEP is a folder for the messages that differ without a reason. The
control: mm is given the same mail with one bit changed, and each difference that this makes is one without a reason."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from judges import *
from reasons import reason
import concurrent.futures, dkim_suites, node

# Always the same set, where none is asked for: that a judge has one more oddity isn't for whoever runs ./check to find out.
SEED = int(os.environ.get('MM_SEED') or 8)
COUNT = int(os.environ.get('MM_COUNT') or 0) or (None if LONG else 100)
print('seed %d' % SEED)

def ready():
    try:
        import dkim
    except ImportError:
        raise Skip('needs python3-dkim, which is absent')
    if not shutil.which('npm'):
        raise Skip('needs npm, which is absent')
    return dkim

# ---- what is asked about ----

def suites(auth):
    """[(zone, failing names, messages)] of the suites; those whose records don't contradict each other share a zone."""
    groups = []
    for case in [c for read in (dkim_suites.perl, dkim_suites.go, dkim_suites.mailauth, dkim_suites.arc) for c in read(auth)] + list(
            dkim_suites.opendkim(auth, {})):
        records, failing = case.zone
        place = next((g for g in groups if fits(g[0], g[1], records, failing)), None)
        if place is None:
            place = ({}, set(), [])
            groups.append(place)
        place[0].update({name.lower(): rows for name, rows in records.items()})
        place[1].update(failing)
        made = Made('%s %s' % (case.suite, case.name), case.message)
        made.sender = 'someone@ip4.spf.judge.example'
        place[2].append(made)
    return groups

def fits(zone, failing, records, more):
    return all(zone.get(name.lower(), rows) == rows for name, rows in records.items()) and not set(more) & set(zone) and not set(records) & failing

def made_of_bulk(auth, js, dkim):
    maker = Maker(random.Random(SEED), js, dkim)
    made = [maker.make(name, data) for name, data in mails(auth, maker.rng, COUNT)]
    maker.end()
    for why, names in sorted(maker.odd.items()):
        print('   %d that could not be signed or sealed: %s (%s)' % (len(names), why, names[0]))
    check(sum(map(len, maker.odd.values())) < len(made) * 0.1, 'too many were not signed')
    return maker.zone, made

def begin_rspamd(pool):
    """It starts, for a name server that will come at this port."""
    port = free_port()
    coming = pool.submit(RspamdJudge, '127.0.0.1@%d' % port)
    coming.port = port
    return coming

# ---- the table ----

class Table:
    """Counts of (judge, family), and of each reason, with the names of its messages."""
    def __init__(self):
        self.agree, self.differ, self.bad = collections.Counter(), {}, []

    def add(self, judge, made, mine, other):
        for i, family in enumerate(FAMILIES):
            if mine[i] == other[i]:
                self.agree[judge, family] += 1
                continue
            why = reason(judge, family, made, mine, other)
            self.differ.setdefault((judge, family), {}).setdefault((mine[i], other[i], why), []).append(made.name)
            if not why:
                self.bad.append((judge, family, made, mine, other))

    def print(self):
        for judge in ('mailauth', 'rspamd'):
            for family in FAMILIES:
                rows = self.differ.get((judge, family), {})
                print('%-8s %-5s  agree %5d   differ %4d' % (judge, family, self.agree[judge, family], sum(map(len, rows.values()))))
                for (mine, other, why), names in sorted(rows.items(), key=lambda r: -len(r[1])):
                    print('   %4d  mm %s, %s %s: it %s (%s)' % (len(names), mine, judge, other or 'undefined', why or 'NOT EXPLAINED', names[0]))

    def unexplained(self):
        for judge, family, made, mine, other in self.bad[:20]:
            print('%s %s: %s %s from %s, HELO %s, MAIL FROM %s' % (judge, family, made.name, made.did, made.ip, made.helo, made.sender))
            print('      mm:       %s' % json.dumps(mine.whole)[:1500])
            print('      %-9s %s' % (judge + ':', json.dumps(other.whole)[:1500]))
            if os.environ.get('MM_KEEP'):
                with open(os.path.join(os.environ['MM_KEEP'], made.name.replace('/', '-')), 'wb') as f:
                    f.write(made.raw)
        return len(self.bad)

def timed(judge, made):
    began = time.monotonic()
    said = judge.all(made)
    judge.end()
    print('   %s judged %d messages in %.0f s' % (judge.name, len(made), time.monotonic() - began))
    return said

def compare(pool, table, js, zone, failing, made, coming):
    """All words of all three in the table; `coming` is rspamd, which takes its time to start."""
    server = Nsd(zone, tuple(failing), port=coming.port)
    judges = [Mm(server.forward), Mailauth(js, server.forward), coming.result()]
    said = [f.result() for f in [pool.submit(timed, judge, made) for judge in judges]]
    server.close()
    for m, mine, theirs, others in zip(made, *said):
        m.policies = policies_of(zone, m.raw)
        table.add('mailauth', m, mine, theirs)
        table.add('rspamd', m, mine, others)
    return said

def control(js, zone, failing, made, said):
    """What has one signature, which passes at all three, and in mm's copy has one bit of its body changed."""
    some = [(m, theirs, others) for m, mine, theirs, others in zip(made, *said)
            if mine.dkim == theirs.dkim == others.dkim == 'pass' and len(mine.whole['dkim']['signatures']) == 1 and flipped(m.raw)][:40]
    check(len(some) > (20 if COUNT is None else 3), 'only %d pass everywhere' % len(some))
    server, table = Nsd(zone, tuple(failing)), Table()
    mm = Mm(server.forward)
    copies = []
    for m, _, _ in some:
        copy = Made(m.name, flipped(m.raw))
        copy.__dict__.update({k: v for k, v in m.__dict__.items() if k != 'raw'})
        copies.append(copy)
    for (m, theirs, others), mine in zip(some, mm.all(copies)):
        table.add('mailauth', m, mine, theirs)
        table.add('rspamd', m, mine, others)
    mm.end()
    found = {(judge, m.name) for judge, family, m, _, _ in table.bad if family == 'dkim'}
    equal(len(found), 2 * len(some), 'differences without a reason, where a bit was changed')
    print('control: %d with a bit changed for mm alone: each differs without a reason from both judges' % len(some))

@test
def the_same_words_as_mailauth_and_rspamd():
    dkim = ready()
    auth = folder()
    pool = concurrent.futures.ThreadPoolExecutor(4)
    coming = begin_rspamd(pool)
    js = node.Lines(*node.command('auth.js'))
    zone, made = made_of_bulk(auth, js, dkim)
    groups = suites(auth)
    first = groups.pop(0)
    check(fits(zone, set(), first[0], first[1]), 'a suite has a name of the bulk set')
    zone.update(first[0])
    failing = first[1] | {'broken.example'}
    made += first[2]
    table = Table()
    said = compare(pool, table, js, zone, failing, made, coming)
    for more in groups if LONG else []:
        compare(pool, table, js, dict(more[0], **spf_zone()), more[1], more[2], begin_rspamd(pool))
    js.end()
    print('%d messages of the bulk set and of suites, by %d zones' % (len(made) + sum(len(g[2]) for g in groups if LONG), 1 + len(groups) * LONG))
    table.print()
    check(table.unexplained() == 0, '%d differences without a reason' % len(table.bad))
    control(js, zone, failing, made, said)

done()
