#!/usr/bin/env python3
"""Damage: one flipped byte in every kind of file, files and tables that are gone. It is reported with exit 1 or 3, or repaired, and
never answered with wrong data; whatever is derived can be made anew from what is primary, with the same answers as before."""
import glob, json, os, random, shutil, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

seed = int(os.environ.get('MM_SEED', random.randrange(1 << 32)))
rng = random.Random(seed)
print('seed %d' % seed)
FLIPS = 12 if LONG else 3
RULES = [{"RuleSetName": "all", "Rules": [
    {"Name": "legal", "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "SUBJECT"}, "Operator": "CONTAINS", "Values": ["contract"]}}],
     "Actions": [{"Archive": {"TargetArchive": "legal"}}]},
    {"Name": "keep", "Conditions": [], "Actions": [{"Archive": {"TargetArchive": "corp"}}]}]}]
site = Site(resources=dict(DEFAULT, RuleSets=RULES), config={'index': {'shard_messages': 60}})
pristine, QUERIES = site.data + '.pristine', ['', 'word7', 'number1*', 'odd', 'NOT odd', '"body of"', 'has:attachment', 'is:unindexed', 'subject:contract', 'larger:3K']
good = {} # id: (sha256, also in archive legal)
answers = {}

def everything(bin=os.environ.get('MM_BIN') or build('clang')):
    """Answers to all queries in all archives, by a build whose tools start quickly."""
    ask = lambda a, q: subprocess.run([os.path.join(bin, 'mm-search'), '--archive', a, '--ids', q], env=site.env, stdout=subprocess.PIPE, check=True)
    return {(a, q): sorted(ask(a, q).stdout.decode().split()) for a in ('corp', 'legal', 'short') for q in QUERIES}

def counts():
    s = site.status()
    return {k: s[k] for k in ('spooled', 'archived', 'failed', 'not_indexed', 'parse_problems')}

def restore():
    shutil.rmtree(site.data, ignore_errors=True)
    shutil.copytree(pristine, site.data)

def files(pattern):
    return sorted(glob.glob(os.path.join(site.data, pattern), recursive=True))

def flip(path, at=None):
    size = os.path.getsize(path)
    at = rng.randrange(size) if at is None else at
    with open(path, 'r+b') as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ (1 << rng.randrange(8))]))
    return '%s+%d of %d' % (os.path.relpath(path, site.data), at, size)

def tool(*args):
    p = subprocess.run([os.path.join(site.bin, args[0])] + list(args[1:]), env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    err = p.stderr.decode('utf-8', 'replace')
    if 'Sanitizer' in err or 'runtime error' in err or p.returncode not in (0, 1, 2, 3):
        raise AssertionError('%s: exit %d: %s' % (args, p.returncode, err[-2000:]))
    return p.returncode, p.stdout.decode('utf-8', 'replace'), err

def wrong_data():
    """What was said with success and is not true; None when all that is said is right."""
    for archive in ('corp', 'legal'):
        want = {i: s for i, (s, legal) in good.items() if archive == 'corp' or legal}
        code, out, _ = tool('mm-search', '--archive', archive, '--json', '')
        if code == 0:
            rows = {r['id']: r['sha256'] for r in map(json.loads, out.splitlines())}
            if rows != want:
                return '%s: the search succeeded with %d of %d rows' % (archive, len(rows), len(want))
        to = os.path.join(site.root, 'out')
        shutil.rmtree(to, ignore_errors=True)
        code, _, _ = tool('mm-export', '--archive', archive, '--to', to, '')
        manifest = os.path.join(to, 'manifest.jsonl')
        have = {}
        for line in open(manifest) if os.path.exists(manifest) else []:
            m = json.loads(line)
            have[m['id']] = sha256(open(os.path.join(to, m['path']), 'rb').read())
        if any(want.get(i) != s for i, s in have.items()) or (code == 0 and have != want):
            return '%s: exit %d with %d of %d messages' % (archive, code, len(have), len(want))
    return None

def verdict():
    """(verify's exit code, what it says)"""
    code, out, err = tool('mmctl', 'verify', '--json')
    return code, out + err

def damaged(name, harm, codes=(1, 3), says=None):
    """The damage is found, and nothing wrong is said afterwards."""
    restore()
    what = harm()
    code, text = verdict()
    if code not in codes:
        return (name, what, 'verify: exit %d' % code, text[-300:])
    if says and says not in text:
        return (name, what, 'verify does not say "%s"' % says, text[-500:])
    wrong = wrong_data()
    return (name, what, wrong) if wrong else None

def all_of(cases):
    bad = [c for c in cases if c]
    equal(bad[:3], [], '%d of %d not as promised' % (len(bad), len(cases)))

@test
def a_directory_with_all_kinds_of_files():
    site.start()
    for day in range(3):
        with Sender(site.port) as s:
            for i in range(50):
                n = day * 50 + i
                subject = '%snumber%d' % ('contract ' if n % 5 == 0 else '', n)
                body = 'body of word%d %s\r\n' % (n % 10, 'odd' if n % 2 else 'even') + 'filling %d\r\n' % n * (n * 7 % 300)
                data = mail(subject, body) if n % 25 else mail(subject, '--p\r\n\r\nbody of x\r\n--p\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1\r\n--p--',
                                                               extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=p\r\n')
                good[s.send(data)] = (sha256(data), n % 5 == 0)
            big = mail('number9%d' % day, 'big\r\n' + 'incompressible %d\r\n' % rng.getrandbits(4000) * 400)
            good[s.send(big)] = (sha256(big), False)
        site.wait()
        site.advance(days=1)
    # What was accepted last is in the open shard; the one before it is sealed.
    deadline = time.monotonic() + 300 # sealing comes when nobody else wants the processor
    while site.status()['sealed_shards'] < 2:
        check(time.monotonic() < deadline, site.status())
        time.sleep(0.2)
    answers.update(everything())
    equal((len(answers[('corp', '')]), len(answers[('legal', '')])), (len(good), 30), 'archived')
    equal(len(answers[('corp', 'is:unindexed')]), 6, 'not indexed')
    site.stop()
    shutil.copytree(site.data, pristine)
    equal(verdict()[0], 0, 'verify of what is whole')
    equal(wrong_data(), None, 'the control')
    equal(sorted(everything(site.bin).items()), sorted(answers.items()), 'answers')

def each(pattern, n=None, **args):
    restore()
    paths = files(pattern)
    check(paths, 'no file ' + pattern)
    return [damaged(pattern, lambda p=p: flip(os.path.join(site.data, p)), **args)
            for p in [os.path.relpath(rng.choice(paths), site.data) for _ in range(n or FLIPS)]]

@test
def a_flipped_byte_in_a_segment():
    all_of(each('seg/*/*', 2 * FLIPS))

@test
def a_flipped_byte_in_a_sealed_shard():
    all_of(each('index/*/*.shard', 2 * FLIPS))

@test
def a_flipped_byte_in_an_open_shard():
    all_of(each('index/*/*.db'))

@test
def a_flipped_byte_in_the_control_database():
    all_of(each('control.db'))

@test
def a_flipped_byte_in_the_audit_log():
    all_of(each('audit/*'))

@test
def a_flipped_byte_in_the_spool_harms_nothing():
    """All of it is checkpointed: what lies there is of no use any more. It may be told, but not lost."""
    restore()
    if files('spool/*'):
        all_of(each('spool/*', codes=(0, 1, 3)))

SLOT = 512

def slots(path):
    """Numbers of the slots that are in use."""
    data = open(path, 'rb').read()
    return [i for i in range(1, len(data) // SLOT) if any(data[i * SLOT:(i + 1) * SLOT])]

@test
def a_flipped_byte_in_one_replica_of_the_key_ring_is_repaired():
    for name in ('keys.a', 'keys.b'):
        for slot in rng.sample(slots(os.path.join(pristine, name)), FLIPS) + [0]:
            restore()
            what = flip(os.path.join(site.data, name), slot * SLOT + rng.randrange(SLOT))
            code, _, err = tool('mmctl', 'status', '--json')
            equal(code, 0, what)
            check('repaired' in err, '%s: nothing is said of the repair: %s' % (what, err))
            equal(open(os.path.join(site.data, 'keys.a'), 'rb').read(), open(os.path.join(site.data, 'keys.b'), 'rb').read(), 'replicas')
            code, text = verdict()
            check(code == 0 and 'repaired' not in text, text[-500:])
            equal(wrong_data(), None, what)

@test
def a_replica_that_is_gone_is_made_anew():
    for name in ('keys.a', 'keys.b'):
        restore()
        os.remove(os.path.join(site.data, name))
        equal(verdict()[0], 0, name)
        equal(open(os.path.join(site.data, 'keys.a'), 'rb').read(), open(os.path.join(site.data, 'keys.b'), 'rb').read(), 'replicas')

@test
def the_same_slot_in_both_replicas_is_a_key_that_is_lost():
    for slot in rng.sample(slots(os.path.join(pristine, 'keys.a')), FLIPS) + [0]:
        restore()
        for name in ('keys.a', 'keys.b'):
            flip(os.path.join(site.data, name), slot * SLOT + rng.randrange(SLOT))
        code, text = verdict()
        check(code in (1, 3) and ('slot %d ' % slot if slot else 'no valid header') in text, 'slot %d: exit %d: %s' % (slot, code, text[-500:]))
        equal(wrong_data(), None, 'slot %d' % slot)

@test
def two_slots_in_two_replicas_are_repaired():
    restore()
    a, b = rng.sample(slots(os.path.join(pristine, 'keys.a')), 2)
    flip(os.path.join(site.data, 'keys.a'), a * SLOT + 30)
    flip(os.path.join(site.data, 'keys.b'), b * SLOT + 30)
    equal(verdict()[0], 0, 'verify')
    equal(wrong_data(), None, 'data')

@test
def a_running_mmd_compares_both_replicas_with_what_it_holds():
    restore()
    site.start()
    equal(verdict()[0], 0, 'whole')
    for name in ('keys.a', 'keys.b'):
        path = os.path.join(site.data, name)
        whole = open(path, 'rb').read()
        slot = rng.choice(slots(path))
        what = flip(path, slot * SLOT + rng.randrange(SLOT))
        code, text = verdict()
        check(code == 1 and name in text and 'slot %d ' % slot in text, '%s: exit %d: %s' % (what, code, text[-500:]))
        with open(path, 'r+b') as f:
            f.write(whole)
        os.rename(path, path + '.x')
        shutil.copy(os.path.join(pristine, name), path) # an older copy
        code, text = verdict()
        check(code == 1 and name in text, 'older %s: exit %d: %s' % (name, code, text[-500:]))
        os.rename(path + '.x', path)
        equal(verdict()[0], 0, 'put back')
    site.stop()

# ---- what is gone ----

def cut(path, share):
    os.truncate(path, int(os.path.getsize(path) * share))
    return 'cut ' + os.path.relpath(path, site.data)

def gone(pattern):
    path = rng.choice(files(pattern))
    os.remove(path)
    return 'removed ' + os.path.relpath(path, site.data)

@test
def primary_files_that_are_gone_or_cut():
    all_of([damaged('segment gone', lambda: gone('seg/*/*'), says='were archived'),
            damaged('segment cut', lambda: cut(rng.choice(files('seg/*/*')), 0.6)),
            damaged('segment empty', lambda: cut(rng.choice(files('seg/*/*')), 0)),
            damaged('all segments gone', lambda: [os.remove(p) for p in files('seg/*/*')], says='were archived'),
            damaged('audit cut', lambda: cut(files('audit/*')[-1], 0.5)),
            damaged('audit gone', lambda: gone('audit/*')),
            damaged('control gone', lambda: gone('control.db')),
            damaged('control cut', lambda: cut(files('control.db')[0], 0.5)),
            damaged('keys gone', lambda: [os.remove(p) for p in files('keys.*')], codes=(3,))])

@test
def segments_that_changed_places():
    def swap():
        a, b = files('seg/*/*')[:2]
        os.rename(a, a + '.x')
        os.rename(b, a)
        os.rename(a + '.x', b)
        return 'swapped %s %s' % (a, b)
    all_of([damaged('swap', swap)])

@test
def verify_names_the_messages_that_are_gone():
    restore()
    path = max(files('seg/*/*'), key=os.path.getsize)
    os.remove(path)
    code, text = verdict()
    equal(code, 1, 'exit')
    lines = [json.loads(l) for l in text.splitlines() if l.startswith('{"')]
    missing = {l['where'] for l in lines if 'not stored' in l.get('problem', '')}
    really = {i for i in answers[('corp', '')] if tool('mm-search', '--archive', 'corp', '--raw', i)[0]}
    check(really, 'nothing is missing')
    equal(missing, really, 'named and unreadable')

# ---- what is derived ----

def rebuilt(name, harm, found=(1, 3)):
    restore()
    harm()
    code, text = verdict()
    if code not in found:
        return (name, 'verify: exit %d' % code, text[-300:])
    wrong = wrong_data()
    if wrong and found != (0, 1, 3):
        return (name, wrong)
    code, _, err = tool('mmctl', 'reindex')
    if code:
        return (name, 'reindex: exit %d' % code, err[-500:])
    if everything() != answers:
        return (name, 'other answers after reindex')
    code, text = verdict()
    return (name, 'verify after reindex: exit %d' % code, text[-500:]) if code else None

@test
def reindex_makes_the_index_anew():
    before = counts()
    all_of([rebuilt('nothing', lambda: None, found=(0,)),
            rebuilt('a sealed shard gone', lambda: gone('index/*/*.shard')),
            rebuilt('an open shard gone', lambda: gone('index/*/*.db')),
            rebuilt('an archive gone', lambda: shutil.rmtree(os.path.dirname(files('index/*/*.shard')[0]))),
            rebuilt('index/ gone', lambda: shutil.rmtree(os.path.join(site.data, 'index'))),
            rebuilt('a sealed shard flipped', lambda: flip(rng.choice(files('index/*/*.shard')))),
            rebuilt('a sealed shard cut', lambda: cut(rng.choice(files('index/*/*.shard')), 0.5)),
            rebuilt('a sealed shard empty', lambda: cut(rng.choice(files('index/*/*.shard')), 0)),
            rebuilt('an open shard empty', lambda: cut(rng.choice(files('index/*/*.db')), 0)),
            rebuilt('every shard flipped', lambda: [flip(p) for p in files('index/*/*')])])
    equal(counts(), before, 'counts')

@test
def reindex_of_one_archive_leaves_the_others():
    restore()
    old = {p: os.stat(os.path.join(pristine, p)).st_size for p in [os.path.relpath(p, site.data) for p in files('index/*/*')]}
    corp = max({p.split('/')[1] for p in old}, key=lambda a: sum(q.split('/')[1] == a for q in old))
    [flip(os.path.join(site.data, p)) for p in old if p.split('/')[1] == corp]
    equal(tool('mmctl', 'reindex', '--archive', 'corp')[0], 0, 'reindex')
    check(all(os.path.exists(os.path.join(site.data, p)) for p in old if p.split('/')[1] != corp), 'others')
    equal(everything(), answers, 'answers')
    equal(tool('mmctl', 'reindex', '--archive', 'nowhere')[0], 2, 'no such archive')

@test
def a_reindex_that_is_killed_is_no_silent_loss():
    """Until a rebuild has come to its end searches fail; they never answer with what happens to be there."""
    site.start()
    for _ in range(2):
        for i in range(3):
            p = subprocess.Popen([os.path.join(site.bin, 'mmctl'), 'reindex'], env=site.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.01, 0.25))
            site.kill()
            p.wait()
            wrong = wrong_data()
            equal(wrong, None, 'after the kill')
            site.start()
    site.run('mmctl', 'reindex')
    equal(everything(), answers, 'answers')
    site.stop()

@test
def a_damaged_message_is_told_by_reindex_too():
    for path in rng.sample(files('seg/*/*'), 2):
        restore()
        what = flip(path, rng.randrange(128, os.path.getsize(path) // 2)) # a block: the footer is made anew from them
        code, out, _ = tool('mmctl', 'reindex')
        check(code == 1 and ('where' in out or 'lot' in out), '%s: exit %d: %s' % (what, code, out))
        equal(verdict()[0], 1, 'verify')

# ---- the audit log ----

@test
def audit_cuts_and_edits():
    restore()
    code, head, _ = tool('mm-audit', 'verify')
    equal(code, 0, 'whole')
    anchor = [l for l in head.splitlines() if l.strip()][-1]
    old = {p: open(p, 'rb').read() for p in files('audit/*')}
    tool('mm-search', '--archive', 'corp', 'x')
    code, _, err = tool('mm-audit', 'verify', '--anchor', anchor)
    equal(code, 0, 'a log that grew: ' + err)
    # The control database knows how long the log was; where it is put back too only the anchor does.
    newer = [l for l in tool('mm-audit', 'verify')[1].splitlines() if l.strip()][-1]
    for path, content in old.items():
        open(path, 'wb').write(content)
    code, _, err = tool('mm-audit', 'verify')
    check(code == 1 and 'cut or replaced' in err, 'an older log under a newer control database: %d %s' % (code, err))
    restore()
    equal(tool('mm-audit', 'verify')[0], 0, 'an older copy of all')
    equal(tool('mm-audit', 'verify', '--anchor', newer)[0], 1, 'an older copy put back')
    for _ in range(FLIPS):
        restore()
        what = flip(rng.choice(files('audit/*')))
        equal(tool('mm-audit', 'verify')[0], 1, what)
    for share in (0.3, 0.9):
        restore()
        what = cut(files('audit/*')[-1], share)
        equal(tool('mm-audit', 'verify', '--anchor', anchor)[0], 1, what)

done()
