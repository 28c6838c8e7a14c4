"""tests/bench/archive.py - an mm to measure: a site below the bench's folder, its backlog, memory, sizes"""
import json, os, tempfile, time
import mm

class Archive(mm.Site):
    """The release, as it comes but for room in the spool; build='bench' has the clock of tests."""
    def __init__(self, root, build='', tls=False, days=None, **config):
        settings = {'index': {'shard_messages': 50000}, 'spool': {'file_bytes': 64 << 20, 'max_bytes': 48 << 30},
                    'parse': {'workers': os.cpu_count()}, 'smtp': {'max_per_address': 1000}}
        for section, values in config.items():
            settings.setdefault(section, {}).update(values)
        resources = json.loads(json.dumps(mm.DEFAULT))
        if days:
            resources['Archives'][0]['Retention'] = {'RetentionDays': days}
        old, tempfile.tempdir = tempfile.tempdir, root
        try:
            super().__init__(build, config=settings, resources=resources)
        finally:
            tempfile.tempdir = old
        if tls:
            self.tls()

    def backlog(self):
        return self.request('status')[0]['spooled']

    def drain(self, limit=3600, each=lambda: None):
        """Waits until all that was accepted is archived and findable; (messages that were waiting, seconds)."""
        left, began = self.backlog(), time.monotonic()
        while self.backlog():
            if time.monotonic() - began > limit:
                raise AssertionError('%d messages are still in the spool after %d s' % (self.backlog(), limit))
            each()
            time.sleep(0.05)
        return left, time.monotonic() - began

    def take(self, *paths):
        """mm-import into corp, and until the last is findable; seconds."""
        began = time.monotonic()
        self.run('mm-import', '--archive', 'corp', *paths)
        self.drain()
        return time.monotonic() - began

    def processes(self):
        """mmd and all below it: {pid: program}."""
        parents, names = {}, {}
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                stat = open('/proc/%s/stat' % pid).read()
            except OSError:
                continue
            parents[int(pid)] = int(stat.rpartition(')')[2].split()[1])
            names[int(pid)] = stat[stat.index('(') + 1:stat.rindex(')')]
        mine = {self.process.pid}
        while True:
            more = {p for p, parent in parents.items() if parent in mine} - mine
            if not more:
                return {p: names[p] for p in mine if p in names}
            mine |= more

    def memory(self):
        """{program: bytes}: what the processes have, memory that is shared counted once (the sum of PSS)."""
        total = {}
        for pid, name in self.processes().items():
            try:
                for line in open('/proc/%d/smaps_rollup' % pid):
                    if line.startswith('Pss:'):
                        total[name] = total.get(name, 0) + int(line.split()[1]) * 1024
            except OSError:
                pass # it ended
        return total

    def tomorrow(self, days=1):
        """The clock of a test build goes on by night, while mmd stands still; at noon, so that no measurement crosses midnight."""
        running = self.process is not None
        self.stop()
        if int(open(self.clock).read()) == 0:
            self.advance(seconds=43200 - time.time() % 86400)
        self.advance(days=days)
        if running:
            self.start()

    def sizes(self):
        """{part: bytes} of the data directory."""
        parts = {}
        for path in self.files():
            part = os.path.relpath(path, self.data).split(os.sep)[0]
            parts[part] = parts.get(part, 0) + os.path.getsize(path)
        return parts

def size_of(folder):
    return sum(os.path.getsize(os.path.join(at, n)) for at, _, names in os.walk(folder) for n in names)
