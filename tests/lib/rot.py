"""tests/lib/rot.py - what the tests of bit rot share: a small data directory with every kind of file in it, as a kill leaves it, and
a Reader, which opens copies of it in one process (tests/helpers/rot.c), says what was found, and puts back what was changed."""
import collections, glob, json, os, random, re, shutil, struct, subprocess
from mm import *
from forget import *

ARCHIVES = ('short', 'corp', 'legal')
QUERIES = ('meaning', 'NOT meaning', 'has:attachment')
ASK = ([{'op': 'verify'}] + [{'op': 'export', 'archive': a, 'query': '', 'case': 'x'} for a in ARCHIVES]
       + [{'op': 'search', 'archive': 'corp', 'mode': 'count', 'query': q} for q in QUERIES]
       + [{'op': 'audit-list'}, {'op': 'show'}, {'op': 'list'}])
LONG_AGO = 10 ** 18 # 2001, in nanoseconds
# In place of mm-parse where there is nothing to parse: the processes that a tool starts answer and wait for their end.
IDLE_PARSER = '#!/bin/sh\nprintf d >&3\nread -r never <&3\n'

class Directory:
    """`whole`: killed when all was archived, so WALs and a spool file lie there. `backlog`: killed before that; the spool holds
    accepted mail, a large message too."""
    def __init__(self, rng, build_name='asan'):
        self.rng = rng
        # Spool files of 256 KiB, blocks of 64 KiB, shards of 20 messages: several of each.
        resources = json.loads(json.dumps(RESOURCES))
        resources['Archives'][0]['Retention'] = {'RetentionDays': 20}
        self.site = site = Calendar({'index': {'shard_messages': 20}, 'parse': {'workers': 1}}, resources, build_name=build_name)
        self.words = Words(rng.randrange(1 << 32))
        site.start()
        self.first_days()
        self.torn_log()
        self.backlog_then_whole()

    def letters(self, n, archive):
        return [Letter(self.words, archive) for _ in range(n)]

    def heavy(self, archive, size):
        """Random text: it is as large in the store."""
        l = Letter(self.words, archive)
        l.data += ('\r\n'.join(self.rng.randbytes(35).hex() for _ in range(size // 72)) + '\r\n').encode()
        return l

    def first_days(self):
        """Three days in three archives, sweeps, an erasure, repacked blocks."""
        site = self.site
        site.post(self.letters(12, 'corp') + [self.heavy('legal', 200000)] + self.letters(14, 'legal') + self.letters(6, 'short'))
        site.wait()
        site.next_day()
        site.post(self.letters(9, 'legal') + self.letters(5, 'corp'))
        site.wait()
        site.purge()
        site.run('mm-retention', 'erase', '--archive', 'legal', '--reason', 'x', '--yes', site.known[15].id)
        site.next_day()
        site.run('mmctl', 'repack')
        site.post(self.letters(9, 'legal'))
        site.wait()
        self.old_mail()
        site.purge()
        site.next_day(days=3) # segments of days past are closed
        for _ in range(2):
            site.post(self.letters(3, 'legal') + self.letters(3, 'corp'))
            site.wait()

    def old_mail(self):
        """Days that share a segment, one of them past its period."""
        box = os.path.join(self.site.root, 'old')
        os.mkdir(box)
        for i, age in enumerate((30,) + (10,) * 14):
            with open(os.path.join(box, '%d.eml' % i), 'wb') as f:
                f.write(Letter(self.words, 'corp', received=self.site.rfc_date(-age)).data)
        self.site.run('mm-import', '--archive', 'short', '--received', 'header', box)

    def torn_log(self):
        """A kill, and a torn entry behind the audit log: the log goes on in a second file."""
        self.site.kill()
        with open(sorted(glob.glob(self.site.data + '/audit/*'))[-1], 'ab') as f:
            f.write(b'MMAE' + self.rng.randbytes(300))
        self.site.start()

    def parsers(self):
        children = [int(p) for p in os.listdir('/proc') if p.isdigit()]
        for p in children:
            try:
                if (open('/proc/%d/stat' % p).read().rsplit(')', 1)[1].split()[1] == str(self.site.process.pid)
                        and os.path.basename(os.readlink('/proc/%d/exe' % p)) == 'mm-parse'):
                    yield p
            except OSError:
                pass

    def backlog_then_whole(self):
        site = self.site
        for p in self.parsers():
            os.kill(p, signal.SIGSTOP) # nothing is archived before the kill
        site.post([self.heavy('corp', self.rng.randrange(15000, 30000)) for _ in range(20)] + [self.heavy('corp', 400000)]
                  + self.letters(8, 'legal'))
        site.kill()
        self.backlog = copy_of(site.data, os.path.join(site.root, 'backlog'))
        site.start()
        site.wait()
        site.run('mm-search', '--archive', 'corp', 'number1') # an entry behind the last checkpoint
        site.kill()
        self.whole = copy_of(site.data, os.path.join(site.root, 'whole'))

Entry = collections.namedtuple('Entry', 'at bytes number synced')

def audit_entries(content):
    """Of one audit file, as far as they follow each other."""
    out, at = [], 128
    while content[at:at + 4] == b'MMAE':
        size, number, _, synced = struct.unpack_from('<IQqQ', content, at + 4)
        if out and number != out[-1].number + 1:
            break
        out.append(Entry(at, 64 + size, number, synced))
        at += 64 + size
    return out

class Reader:
    """One copy of a data directory and the process that reads it."""
    def __init__(self, site, data, name):
        self.top = os.path.join(site.root, name)
        self.data = os.path.join(self.top, 'data')
        os.mkdir(self.top)
        shutil.copytree(data, self.data)
        shutil.copy(site.data + '.key', self.data + '.key')
        shutil.copy(os.path.join(site.bin, 'rot'), self.top)
        with open(os.path.join(self.top, 'mm-parse'), 'w') as f:
            f.write(IDLE_PARSER)
        os.chmod(f.name, 0o755)
        self.before = {self.rel(p): open(p, 'rb').read() for p in self.paths()}
        self.err = open(os.path.join(self.top, 'stderr'), 'w+b')
        self.process = subprocess.Popen([os.path.join(self.top, 'rot'), '--data', self.data, '--key-file', self.data + '.key'],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err,
                                        env=dict(site.env, ASAN_OPTIONS='exitcode=99:quarantine_size_mb=8:malloc_context_size=8'))
        self.log = ''
        self.restore()

    def rel(self, path):
        return os.path.relpath(path, self.data)

    def paths(self):
        return [os.path.join(at, n) for at, _, names in os.walk(self.data) for n in names] + [self.data + '.key']

    def restore(self):
        """Puts back the files that changed: what is as it was has a time that no writer gives it."""
        there = set()
        for path in self.paths():
            name = self.rel(path)
            there.add(name)
            if name not in self.before:
                os.remove(path)
            elif os.stat(path).st_mtime_ns != LONG_AGO:
                self.write(name, self.before[name], LONG_AGO)
        for name in set(self.before) - there:
            self.write(name, self.before[name], LONG_AGO)

    def write(self, name, content, when=None):
        path = os.path.join(self.data, name)
        with open(path, 'wb') as f:
            f.write(content)
        if when:
            os.utime(path, ns=(when, when))

    def patch(self, name, at, content):
        with open(os.path.join(self.data, name), 'r+b') as f:
            f.seek(at)
            f.write(content)

    def command(self, command):
        self.err.truncate(0)
        self.err.seek(0)
        self.process.stdin.write(json.dumps(command).encode() + b'\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        self.log = open(self.err.name, errors='replace').read()
        check(line and 'runtime error' not in self.log, 'the reader ended: %s' % self.log[-3000:])
        return json.loads(line)

    def entries(self):
        """How many the audit log has."""
        return audit_entries(self.before[max(n for n in self.before if n.startswith('audit/'))])[-1].number

    def close(self):
        """The end, with what a sanitizer has to say of leaks."""
        self.process.stdin.close()
        code = self.process.wait(120)
        self.process.stdout.close()
        check(code == 0, 'the reader ended with %d: %s' % (code, open(self.err.name, errors='replace').read()[-3000:]))
        self.err.close()
        shutil.rmtree(self.top)

class Verdict:
    """What readers said of a directory, beside what they say of the whole one, whose audit log has so many entries."""
    def __init__(self, answer, log, entries, right=None):
        self.entries = entries
        self.found = [answer['open']] if 'open' in answer else []
        self.repaired = [l for l in log.splitlines() if 'repaired' in l or 'begins anew' in l]
        self.log, self.facts, self.told = log, {}, list(self.found)
        for request, a in zip(ASK, answer['answers']):
            self.take(request, a)
        self.wrong = [(k, v) for k, v in self.facts.items() if right and right.facts.get(k) != v]
        self.missing = [k for k in right.facts if k not in self.facts] if right else []

    def take(self, request, a):
        if request['op'] == 'verify':
            self.found += ['%s: %s' % (r['where'], r['problem']) for r in a['rows'] if 'problem' in r]
            self.found += [a['error']] if 'error' in a else []
        elif 'error' in a:
            self.told.append(a['error'])
        if request['op'] == 'export':
            self.take_export(request['archive'], a)
        elif request['op'] == 'search' and 'result' in a:
            self.facts['hits', request['query']] = a['result']['hits']
        elif request['op'] == 'audit-list':
            self.facts.update({('entry', r['number']): r for r in a['rows'] if r['number'] <= self.entries})
        elif request['op'] in ('show', 'list'):
            self.facts.update({(request['op'], json.dumps(r, sort_keys=True)): True for r in a['rows']})
            if request['op'] == 'show' and 'result' in a:
                self.facts['show', ''] = a['result']

    def take_export(self, archive, a):
        bytes_of = {b['row']: b['sha256'] for b in a['bytes']}
        for i, row in enumerate(a['rows'][1:], 1):
            self.told += [row.pop('failure')] if 'failure' in row else []
            self.facts['row', archive, row['id']] = row
            if i in bytes_of:
                self.facts['bytes', archive, row['id']] = bytes_of[i]
