#!/usr/bin/env python3
"""Forgetting at scale: an expired day of 100,000 messages; 1,700 messages inside a shard of 50,000; one erased message; in an
archive of no more than that and in one of more shards. Prints a row each: what, shards, seconds, of which CPU seconds.

    tests/bench/forgetting.py [BUILD-DIR] [SHARDS...]        default: build-bench, 3 and 20 shards

The mail is generated (MM_SEED): words by Zipf's law, bodies of log-normal length, 2.5 KB a message in the middle. A BUILD-DIR is
one of -DMM_TEST=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo: the day must pass by a test clock."""
import bisect, datetime, itertools, json, os, random, resource, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import mm

SHARD, DAY, SOME = 50000, 100000, 1700
KEEP = 100 # days of retention

class Mail:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        letters = 'etaoinshrdlucmfwypvbgkjqxz'
        self.vocabulary = [''.join(self.rng.choices(letters, k=self.rng.randint(2, 11), weights=range(26, 0, -1)))
                           for _ in range(150000)]
        self.weights = list(itertools.accumulate(1 / (i + 2.7) for i in range(len(self.vocabulary))))
        self.serial = 0

    def words(self, n):
        return self.rng.choices(self.vocabulary, cum_weights=self.weights, k=n)

    def message(self, date):
        self.serial += 1
        n = min(4000, int(self.rng.lognormvariate(5.2, 0.9)) + 5)
        body, words = '', self.words(n + 6)
        for i in range(6, n + 6, 11):
            body += ' '.join(words[i:i + 11]) + '\n'
        return ('Received: from a.example by b.example; %s\nFrom: %s@%s.example\nTo: %s@corp.example\nSubject: %s\n'
                'Message-ID: <%d@generated.example>\nDate: %s\n\n%s' % (date, words[0], words[1], words[2], ' '.join(words[3:6]),
                self.serial, date, body))

    def mbox(self, path, count, day):
        with open(path, 'w') as f:
            for i in range(count):
                at = 86399 * i // count # spread over the day
                date = day.strftime('%a, %d %b %Y ') + '%02d:%02d:%02d +0000' % (at // 3600, at // 60 % 60, at % 60)
                f.write('From a@b.example Thu Jan  1 00:00:00 2026\n%s\n' % self.message(date))

class Archive:
    """One archive of `shards` shards: the first holds 1,700 messages of one day among 48,300 of others, two hold the day of
    100,000, the rest other days."""
    def __init__(self, build, shards, seed):
        mm.build = lambda name: os.path.join(os.path.abspath(build), 'bin')
        self.site = mm.Site(config={'index': {'shard_messages': SHARD, 'shard_days': 100000}, 'spool': {'file_bytes': 64 << 20}},
                            resources={'Archives': [{'ArchiveName': 'corp', 'Retention': {'RetentionDays': KEEP}}],
                                       'TrafficPolicies': [{'TrafficPolicyName': 'open', 'DefaultAction': 'ALLOW',
                                                            'PolicyStatements': []}],
                                       'RuleSets': [{'RuleSetName': 'all', 'Rules': []}]})
        self.mail, self.today = Mail(seed), datetime.datetime.now(datetime.timezone.utc)
        self.site.start()
        self.put(SOME, KEEP - 1)
        self.put(SHARD - SOME, 20)
        if shards > 1:
            self.put(DAY, KEEP)
        for i in range(shards - 3):
            self.put(SHARD, 10 + i % 10)
        self.site.run('mmctl', 'seal')

    def put(self, count, age):
        path = os.path.join(self.site.root, 'in.mbox')
        self.mail.mbox(path, count, self.today - datetime.timedelta(days=age))
        self.site.run('mm-import', '--archive', 'corp', '--received', 'header', path)
        self.site.wait(600)
        os.remove(path)

    def cpu(self):
        """Seconds of mmd, which does the work."""
        fields = open('/proc/%d/stat' % self.site.process.pid).read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def timed(self, what, *command):
        cpu, began = self.cpu(), time.monotonic()
        out = self.site.run(*command)
        took, cpu = time.monotonic() - began, self.cpu() - cpu
        print('%-44s %2d shards %8.2f s %8.2f s CPU' % (what, self.site.status()['sealed_shards'], took, cpu), flush=True)
        return json.loads(out), took

    def one_of(self, age):
        day = (self.today - datetime.timedelta(days=age)).date().isoformat()
        next_day = (self.today - datetime.timedelta(days=age - 1)).date().isoformat()
        return self.site.run('mm-search', '--archive', 'corp', '--ids', '--limit', '1',
                             'after:%s before:%s' % (day, next_day)).split()[0]

    def erase(self, what, age):
        self.timed(what, 'mm-retention', 'erase', '--archive', 'corp', '--reason', 'bench', '--yes', '--json', self.one_of(age))

    def purge(self, what, want):
        report, took = self.timed(what, 'mm-retention', 'run', '--json')
        mm.equal(report['messages_destroyed'], want, what)

def measure(build, shards, seed):
    a = Archive(build, shards, seed)
    a.erase('one erased, of a day of 48,300', 20)
    due = DAY if shards > 1 else 0
    if due:
        a.erase('one erased, of a day of 100,000', KEEP)
        a.site.advance(days=1)
        a.purge('an expired day of 100,000', DAY - 1)
        a.site.advance(days=1)
    else:
        a.site.advance(days=2)
    a.purge('1,700 messages in a shard of 50,000', SOME)
    a.site.close()

def main(build='build-bench', shards=(3, 20)):
    seed = int(os.environ.get('MM_SEED', '7'))
    for n in shards:
        measure(build, n, seed)

if __name__ == '__main__':
    main(*(sys.argv[1:2] or ['build-bench']), *([tuple(map(int, sys.argv[2:]))] if sys.argv[2:] else []))
