#!/usr/bin/env python3
"""kill -9 of one process at a time under load: of mm-smtpd, of mm-parse, of mmd alone (its children end by themselves), with three
archives, three days, sealed shards and an import. Nothing acknowledged is missing, nothing is there twice, in any archive."""
import collections, os, random, re, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

ROUNDS = 30 if LONG else 3
seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)

# Two rules put a message of sales@ into corp, a third into legal too; short has what the last rule is left.
RESOURCES = dict(DEFAULT, RuleSets=[{"RuleSetName": "all", "Rules": [
    {"Name": "sales", "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "STARTS_WITH",
     "Values": ["sales@"]}}], "Actions": [{"Archive": {"TargetArchive": "corp"}}, {"Archive": {"TargetArchive": "legal"}}]},
    {"Name": "again", "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "STARTS_WITH",
     "Values": ["sales@"]}}], "Actions": [{"Archive": {"TargetArchive": "corp"}}]},
    {"Name": "rest", "Unless": [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "STARTS_WITH",
     "Values": ["sales@", "none@"]}}], "Conditions": [], "Actions": [{"Archive": {"TargetArchive": "short"}}]}]}])
ARCHIVES = {'sales@corp.example': ('corp', 'legal'), 'bob@corp.example': ('short',), 'none@corp.example': ()}

def stat(pid):
    """(parent, state) of a process, or None."""
    try:
        fields = open('/proc/%d/stat' % pid).read().rsplit(')', 1)[1].split()
        return int(fields[1]), fields[0]
    except (OSError, IndexError):
        return None

def children(site, name):
    """Pids of mmd's children that run the program `name`."""
    found = []
    for pid in os.listdir('/proc'):
        try:
            if pid.isdigit() and stat(int(pid))[0] == site.process.pid and \
               os.path.basename(os.readlink('/proc/%s/exe' % pid)) == name:
                found.append(int(pid))
        except (OSError, TypeError):
            pass
    return found

def confined(pid):
    """It has entered its sandbox, so it is at work. One that is killed while it starts is another case: mmd tries five times, then ends."""
    try:
        filters = re.search(r'^Seccomp_filters:\s*(\d+)', open('/proc/%d/status' % pid).read(), re.M)
        return bool(filters) and int(filters.group(1)) >= 2  # mmd's and its own
    except OSError:
        return False

def some_children(site, name):
    """The same, once there are some: a worker is started again when there is mail for it, which may be long after the kill."""
    for _ in range(3000):
        found = [pid for pid in children(site, name) if os.environ.get('MM_SANDBOX') == 'off' or confined(pid)]
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError('no %s is started again' % name)

class Load:
    """Senders that go on through restarts, until they are told to stop: `acked` is {id: (sha256, recipient)}."""
    def __init__(self, site, senders=6):
        self.port, self.acked, self.broken, self.stop, self.lock = site.port, {}, 0, False, threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(random.Random(rng.randrange(1 << 32)),)) for _ in range(senders)]
        for t in self.threads:
            t.start()

    def run(self, r):
        while not self.stop:
            sending = False
            try:
                with Sender(self.port) as s:
                    while not self.stop:
                        to = r.choice(list(ARCHIVES))
                        size = r.choice([100, 1000, 8000, 300000 if r.random() < 0.05 else 2000])
                        data = crlf(mail('load %d' % r.randrange(1 << 30), 'some words\r\n' * (size // 12)))
                        data = data if data.endswith(b'\r\n') else data + b'\r\n'
                        sending = True
                        code, text = s.try_send(data, to=(to,))
                        sending = False
                        if code == 250:
                            with self.lock:
                                self.acked[message_id(text)] = (sha256(data), to)
            except (OSError, smtplib.SMTPException, IndexError):
                with self.lock:
                    self.broken += sending
                time.sleep(0.02)

    def progress(self, more=20):
        """Waits until so many more were acknowledged."""
        want = len(self.acked) + more
        for _ in range(6000):
            if len(self.acked) >= want:
                return
            time.sleep(0.01)
        raise AssertionError('no mail is accepted any more')

    def join(self):
        self.stop = True
        for t in self.threads:
            t.join()

def compare(site, acked, imported=0):
    """Every acknowledged message is where its rule puts it, once; dispositions tell of the others."""
    site.wait()
    rows = {a: site.rows('', a) for a in ('corp', 'legal', 'short')}
    for archive, found in rows.items():
        count = collections.Counter(r['id'] for r in found)
        sums = {r['id']: r['sha256'] for r in found}
        want = {i: s for i, (s, to) in acked.items() if archive in ARCHIVES[to]}
        equal([i for i in want if sums.get(i) != want[i]], [], 'lost from ' + archive)
        equal([i for i, n in count.items() if n > 1], [], 'twice in ' + archive)
        wrong = [i for i in count if i in acked and archive not in ARCHIVES[acked[i][1]]]
        equal(wrong, [], 'archived against the rules in ' + archive)
    listed = collections.Counter(json.loads(l)['id'] for l in
                                 site.run('mmctl', 'list', '--json', '--disposition', 'unmatched').splitlines())
    equal([i for i, (_, to) in acked.items() if not ARCHIVES[to] and listed[i] != 1], [], 'without a disposition')
    equal(site.verify()['problems'], 0, 'verify')
    site.run('mm-audit', 'verify')
    return rows

def new_site(**config):
    return Site(resources=RESOURCES, config=dict({'index': {'shard_messages': 60}}, **config)).start()

@test
def mm_smtpd_is_killed():
    site = new_site()
    load = Load(site)
    for n in range(ROUNDS * 2):
        load.progress(rng.randrange(10, 60))
        for pid in children(site, 'mm-smtpd'):
            os.kill(pid, signal.SIGKILL)
        if n % 2:
            site.advance(days=1)
    load.progress()
    load.join()
    check(load.broken, 'no message was on its way when mm-smtpd was killed')
    compare(site, load.acked)
    site.sealed(2)
    print('   %d acknowledged, %d on their way' % (len(load.acked), load.broken))
    site.stop()
    site.close()

@test
def mm_parse_is_killed():
    site = new_site()
    load = Load(site)
    kills = 0
    for _ in range(ROUNDS * 6):
        load.progress(rng.randrange(5, 20))
        for pid in some_children(site, 'mm-parse')[:rng.choice([1, 2])]:
            os.kill(pid, signal.SIGKILL)
            kills += 1
    load.progress()
    load.join()
    check(kills > ROUNDS * 3, 'only %d kills' % kills)
    rows = compare(site, load.acked)
    died = sum(bool(r['parse_problem']) for found in rows.values() for r in found)
    print('   %d acknowledged, %d workers killed, %d messages marked' % (len(load.acked), kills, died))
    site.stop()
    site.close()

@test
def mmd_alone_is_killed():
    """Its children see their channels close: they end, and their ports are free for the next mmd."""
    site = new_site()
    acked, broken = {}, 0
    path = os.path.join(site.root, 'import.mbox')
    with open(path, 'w') as f:
        for i in range(4000):
            f.write('From a@b.example Mon Mar  2 09:15:00 2026\nSubject: imported %d\n\n%s\n\n' % (i, 'text ' * 100))
    for n in range(ROUNDS):
        importing = subprocess.Popen([os.path.join(site.bin, 'mm-import'), '--json', '--archive', 'short', path], env=site.env,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        importing.stdout.readline()
        load = Load(site)
        load.progress(rng.randrange(10, 50))
        for _ in range(3000): # mail is accepted before the workers are there
            kids = children(site, 'mm-smtpd') + children(site, 'mm-parse')
            if len(kids) == 3:
                break
            time.sleep(0.01)
        equal(len(kids), 3, 'children')
        site.process.kill()
        site.process.wait(30)
        site.process.stdout.close()
        for _ in range(1000):
            left = [k for k in kids if stat(k) and stat(k)[1] != 'Z']
            if not left:
                break
            time.sleep(0.02)
        equal(left, [], 'children that outlive mmd')
        site.process = None
        load.join()
        importing.communicate(timeout=60)
        acked.update(load.acked)
        broken += load.broken
        site.advance(days=1)
        site.start()
    check(broken, 'nothing was on its way when mmd was killed')
    out = site.run('mm-import', '--archive', 'short', path)
    rows = compare(site, acked)
    subjects = collections.Counter(r['subject'] for r in rows['short'] if r['subject'].startswith('imported'))
    equal((len(subjects), max(subjects.values())), (4000, 1), 'imported messages')
    print('   %d acknowledged, %d on their way; import: %s' % (len(acked), broken, out.strip()))
    site.stop()
    site.close()

@test
def what_is_acknowledged_is_counted():
    """Whoever has a 250 finds the message among those spooled or archived: `mmctl wait` can't miss it."""
    site = Site(config={'index': {'shard_messages': 1000}}).start()
    load = Load(site)
    for n in range(100 if LONG else 40):
        load.progress(1)
        known = len(load.acked)
        status = site.status()
        check(status['spooled'] + status['archived'] >= known,
              '%d acknowledged, %d spooled and %d archived' % (known, status['spooled'], status['archived']))
    load.join()
    site.wait()
    check(site.status()['archived'] >= len(load.acked), 'archived')
    site.stop()
    site.close()

@test
def stopped_under_load():
    """A clean stop with senders at work and an apply that waits for an mm-smtpd that hangs."""
    site = new_site()
    load = Load(site)
    load.progress(50)
    smtpd = children(site, 'mm-smtpd')[0]
    os.kill(smtpd, signal.SIGSTOP)
    changed = os.path.join(site.root, 'changed.json')
    site.write(changed, json.dumps({"Archives": [{"ArchiveName": "late", "Retention": {"RetentionDays": 3}}]}))
    applying = subprocess.Popen([os.path.join(site.bin, 'mmctl'), 'apply', changed], env=site.env, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
    for _ in range(500):
        if site.run('mmctl', 'show', 'Archives').find('late') >= 0:
            break
        time.sleep(0.02)
    process, site.process = site.process, None
    process.send_signal(signal.SIGTERM)
    for _ in range(3000): # else it would start another mm-smtpd, and the change is through
        if 'stopping' in site.tail(1 << 20):
            break
        time.sleep(0.01)
    os.kill(smtpd, signal.SIGKILL)
    code = process.wait(60)
    process.stdout.close()
    out = applying.communicate(timeout=30)[0]
    load.join()
    equal(code, 0, 'mmd')
    check(applying.returncode != 0, 'apply succeeded without mm-smtpd: %r' % out)
    site.start()
    compare(site, load.acked)
    site.stop()
    check('LeakSanitizer' not in site.tail(200000), 'a leak')
    site.close()

done()
