"""tests/lib/forget.py - what the tests of retention share: mail with words of its own, a clock that walks from day to day, and
open_all, which opens everything that the master key opens."""
import datetime, json, os, random, re, shutil, string, subprocess, tempfile, time
from mm import *
import invariants

KINDS = ('body', 'subject', 'from', 'to', 'file', 'attached')
# With more than this in common with another word a page of the index would not hold the rest in one piece (FTS5 writes terms
# without what they share with the one before); so open_all's pages are searched for the rest alone.
SHARED = 5

class Words:
    """Words that nobody else uses: 17 letters, random."""
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def word(self):
        return ''.join(self.rng.choice(string.ascii_lowercase) for _ in range(17))

class Letter:
    """One message with a word of its own in each place that is indexed."""
    def __init__(self, words, archive, big=False, received=None):
        self.archive, self.id = archive, None
        self.words = {k: words.word() for k in KINDS}
        w = self.words
        filler = (w['body'] + ' and other text of no meaning\r\n') * (12000 if big else 1)
        received = 'Received: from a.example by b.example; %s\r\n' % received if received else ''
        self.sender, self.to = '%s@shop.example' % w['from'], '%s@%s.example' % (w['to'], archive)
        self.data = mail(w['subject'], '--p\r\nContent-Type: text/plain\r\n\r\n%s--p\r\nContent-Type: text/csv\r\n'
                         'Content-Disposition: attachment; filename="%s.csv"\r\n\r\n%s\r\n--p--\r\n'
                         % (filler, w['file'], w['attached']), sender=self.sender, to=self.to,
                         extra=received + 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=p\r\n')
        if received:
            self.data = received.encode() + self.data.replace(received.encode(), b'', 1)

def needles(letters):
    """(rest of the word, letter, kind) of every word."""
    return [(l.words[k][SHARED:].encode(), l, k) for l in letters for k in KINDS]

RESOURCES = {
    "Archives": [{"ArchiveName": "short", "Retention": {"RetentionDays": 1}},
                 {"ArchiveName": "corp", "Retention": {"RetentionDays": 2}},
                 {"ArchiveName": "legal", "Retention": {"RetentionPeriod": "TEN_YEARS"}}],
    "TrafficPolicies": [{"TrafficPolicyName": "open", "DefaultAction": "ALLOW", "PolicyStatements": []}],
    "RuleSets": [{"RuleSetName": "all", "Rules": [
        {"Name": name, "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH",
                                                            "Values": ["@%s.example" % name]}}],
         "Actions": [{"Archive": {"TargetArchive": name}}]} for name in ('short', 'corp', 'legal')]}],
}

class Calendar(Site):
    """A Site whose clock stands at noon (UTC) at first, so that no test crosses midnight by itself."""
    def __init__(self, config=None, resources=None, **more):
        settings = {'index': {'shard_messages': 30}, 'store': {'block_bytes': 65536}, 'spool': {'file_bytes': 262144}}
        for section, values in (config or {}).items():
            settings.setdefault(section, {}).update(values)
        super().__init__(config=settings, resources=resources or RESOURCES, **more)
        self.advance(seconds=43200 - time.time() % 86400 + 86400)
        self.known = []

    def now(self):
        return time.time() + int(open(self.clock).read()) / 1000

    def day(self, ahead=0):
        return (datetime.datetime.fromtimestamp(self.now(), datetime.timezone.utc).date()
                + datetime.timedelta(days=ahead)).isoformat()

    def rfc_date(self, ahead=0):
        at = datetime.datetime.fromtimestamp(self.now() + 86400 * ahead, datetime.timezone.utc)
        return at.strftime('%a, %d %b %Y %H:%M:%S +0000')

    def next_day(self, days=1, run=True):
        """By night mmd stands still: a clock that jumps under a running one is another test."""
        running = self.process is not None
        self.stop()
        for _ in range(days):
            self.advance(days=1)
            if running and run:
                self.start()
                if _ + 1 < days:
                    self.stop()

    def next_day_while_running(self, days):
        """The clock jumps, and mmd does its daily work."""
        before = len([e for e in self.events() if e['event'] == 'tick'])
        self.advance(days=days)
        for _ in range(200):
            if len([e for e in self.events() if e['event'] == 'tick']) > before:
                return
            time.sleep(0.1)
        raise AssertionError('no daily entry')

    def post(self, letters):
        with Sender(self.port) as s:
            for l in letters:
                l.id, l.day = s.send(l.data, (l.to,), l.sender), self.day()
        self.known += letters
        return letters

    def plan(self):
        return json.loads(self.run('mm-retention', 'plan', '--json'))

    def purge(self, *args, code=0):
        out = self.run('mm-retention', 'run', '--json', *args, code=code)
        return json.loads(out) if code == 0 else None

    def events(self):
        return [json.loads(l) for l in self.run('mm-audit', 'list', '--json').splitlines()]

    def whole(self, gone, archives=('short', 'corp', 'legal')):
        """All that was posted and is not `gone` is there, and nothing else."""
        invariants.whole(self, {l.id: sha256(l.data) for l in self.known}, (), archives, gone={l.id for l in gone})

    def opened(self, data=None):
        """All that open_all prints of a copy, and of copies with one replica of the key ring each."""
        return opened(self, data or self.data)

def copy_of(data, to):
    """A copy of a data directory, also of one that mmd works on (a file may go while it is copied)."""
    for attempt in range(20):
        try:
            shutil.rmtree(to, ignore_errors=True)
            return shutil.copytree(data, to, ignore=shutil.ignore_patterns('*.sock'))
        except (shutil.Error, FileNotFoundError) as e:
            last = e
            time.sleep(0.5)
    raise last

def open_all(site, data, *more):
    """What open_all prints of a copy, which it may change, and what it counts."""
    p = subprocess.run([os.path.join(site.bin, 'open_all'), '--data', data, '--key-file', site.data + '.key'] + list(more),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=site.env)
    check(p.returncode == 0, 'open_all: ' + p.stderr.decode('utf-8', 'replace')[-1000:])
    return p.stdout, json.loads(p.stderr.splitlines()[-1])

def without_searches(output):
    """The audit log keeps what was searched for, by design: these entries alone are left out."""
    return re.sub(rb'(?m)^search .*$', b'', output)

def opened(site, data):
    out, counts = b'', []
    for gone in (None, 'keys.a', 'keys.b'):
        top = tempfile.mkdtemp(prefix='open-', dir=site.root)
        copy = os.path.join(top, 'data')
        copy_of(data, copy)
        if gone:
            os.remove(os.path.join(copy, gone))
        more, n = open_all(site, copy)
        shutil.rmtree(top)
        counts.append(n)
        out += without_searches(more)
    return out, counts[0]

def found(output, letters):
    """(archive, day, kind, id, places) of the words that the output has, and the same without places of those it hasn't. A word
    is found by its last letters, so it is enough that they stand anywhere."""
    wanted = {needle: [] for needle, _, _ in needles(letters)}
    for part in re.split(rb'(?m)^@@ ', output):
        name, _, text = part.partition(b'\n')
        for rest in {run[i:i + 12] for run in re.findall(rb'[a-z]{12,}', text) for i in range(len(run) - 11)}:
            if rest in wanted:
                wanted[rest].append(os.path.relpath(name.decode('utf-8', 'replace'), '/')[-30:])
    have = [(l.archive, getattr(l, 'day', '?'), k, l.id, sorted(set(wanted[n]))) for n, l, k in needles(letters) if wanted[n]]
    return have, [(l.archive, getattr(l, 'day', '?'), k, l.id) for n, l, k in needles(letters) if not wanted[n]]

def searchable(site, letters):
    """Each letter is found by each of its words."""
    by_archive = {}
    for l in letters:
        by_archive.setdefault(l.archive, []).append(l)
    for archive, some in by_archive.items():
        for kind in KINDS:
            for i in range(0, len(some), 20):
                part = some[i:i + 20]
                query = ' OR '.join(l.words[kind] for l in part)
                equal(site.count(query, archive), len(part), '%s words in %s' % (kind, archive))
