"""tests/bench/rows_archive.py - rows about mail that is there: import, sizes, searches, forgetting"""
import json, os, shutil, subprocess, time
import mm, peers
from archive import Archive, size_of
from report import percentile
from rows_smtp import closed

def bring_in(b):
    b.report.row('import', 'Import of real mail, archived and indexed, both cores')
    site = Archive(b.root).start()
    seconds = site.take(b.mails.copy('mail', 0))
    closed(site)
    paths = b.some(max(1, -int(-b.seconds * 1.15 // seconds)) * b.mails.count)
    ours, theirs = [], {name: [] for name in b.indexers}
    for _ in range(b.runs):
        site = Archive(b.root).start()
        try:
            ours.append(len(paths) * b.mails.count / site.take(*paths))
            mm.equal(site.count(''), len(paths) * b.mails.count, 'findable')
        finally:
            closed(site)
        for name in b.indexers:
            theirs[name].append(b.index_with(name))
    b.rates.update(theirs)
    mean = b.mails.bytes / b.mails.count
    b.report.figure('mm-import, until the last is findable', ours, 'msg/s', '%d messages, %.1f MB/s' %
                    (len(paths) * b.mails.count, b.median(ours) * mean / 1e6))
    for name, least in (('notmuch new', 8), ('mu index', 5)):
        rate = b.report.figure(name, theirs[name], 'msg/s', '%d messages' % (b.indexers[name].copies * b.mails.count))
        b.report.ratio(name, b.median(ours), rate, least=least)

def shares(parts, raw):
    return 'store %.1f, index %.1f; beside them audit %.2f, control %.2f, keys %.2f' % tuple(
        100 * v / raw for v in (parts['seg'], parts['index'], parts['audit'],
                                sum(v for n, v in parts.items() if n.startswith('control')),
                                sum(v for n, v in parts.items() if n.startswith('keys'))))

def size_goal(b, name, site, raw):
    parts = site.sizes()
    value = 100 * (parts['seg'] + parts['index']) / raw
    b.report.figure('mm, ' + name, value, '%', shares(parts, raw))
    b.report.goal(name, value, '%', most=45)

def size(b):
    b.report.row('size', 'Bytes on disk, of raw bytes: %d messages, %.1f MB' % (b.mails.count, b.mails.bytes / 1e6))
    one = b.mails.copy('one', 0)
    site = Archive(b.root).start()
    try:
        site.take(one)
        parts = site.sizes()
        b.report.figure('mm, in bulk, shard still open', 100 * (parts['seg'] + parts['index']) / b.mails.bytes, '%',
                        shares(parts, b.mails.bytes))
        site.run('mmctl', 'seal')
        size_goal(b, 'in bulk, shard sealed', site, b.mails.bytes)
    finally:
        closed(site)
    for name, peer in (('notmuch', peers.Notmuch(b.root, os.path.dirname(one))), ('mu', peers.Mu(b.root, os.path.dirname(one)))):
        peer.new()
        b.report.figure(name + ', mail and index', 100 * (b.mails.bytes + size_of(peer.index)) / b.mails.bytes, '%')
        shutil.rmtree(peer.index)
    day(b)

def day(b):
    """A message, its checkpoint, the next message: what a message a second does, without the waiting."""
    messages = [mm.crlf(m) for m in b.mails.messages[:b.day]]
    site = Archive(b.root, 'bench')
    try:
        site.tomorrow()
        site.start()
        raw = 0
        with mm.Sender(site.port) as s:
            for m in messages:
                if s.try_send(m)[0] == 250:
                    raw += len(m)
                while site.backlog():
                    time.sleep(0.002)
        site.tomorrow()
        parts = site.sizes()
        b.report.figure('mm, a message at a time (%d), not repacked' % len(messages), 100 * (parts['seg'] + parts['index']) / raw, '%',
                        shares(parts, raw))
        site.run('mmctl', 'repack')
        site.run('mmctl', 'seal')
        size_goal(b, 'a message at a time, repacked', site, raw)
    finally:
        closed(site)

QUERIES = ['kernel', 'patch', '"device tree"', 'serial AND console', 'mtd', 'selinux policy', 'from:torvalds', 'subject:patch', 'flash',
           'the', 'uart', '"signed off by"', 'nand OR spi', 'policy NOT kernel', 'gnuradio', 'usrp', 'b210', 'antenna', 'invoice',
           'password', 'account', 'from:gmail.com', 'subject:re', 'driver', 'regression', 'boot', 'memory leak', 'segfault', 'thanks',
           'attached', 'reviewed', 'nosuchwordatall']

def latency(command, env, times=5):
    """Milliseconds of each of the queries, the program's start included; a first pass warms up. (times, {query: median})"""
    took = {q: [] for q in QUERIES}
    for i in range(times + 1):
        for q in QUERIES:
            began = time.monotonic()
            subprocess.run(command + [q], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if i:
                took[q].append((time.monotonic() - began) * 1000)
    return [t for q in took.values() for t in q], took

def slowest(b, took):
    worst = sorted(took, key=lambda q: -b.median(took[q]))[:2]
    return 'slowest: ' + ', '.join('%s %.1f' % (q, b.median(took[q])) for q in worst)

def measure(b, title, site, what):
    command = [site.bin + '/mm-search', '--archive', 'corp'] + (['--count'] if what == 'count' else ['--limit', '50'])
    all_of, took = latency(command, site.env)
    b.report.figure('mm-search %s, median%s' % (what, title), b.median(all_of), 'ms', slowest(b, took))
    b.report.figure('mm-search %s, p99%s' % (what, title), percentile(all_of, 99), 'ms')
    return b.median(all_of), percentile(all_of, 99)

def search(b):
    b.report.row('search', 'Search: %d queries, 5 times each, warm, process start included; %d messages' % (len(QUERIES), b.mails.count))
    one = b.mails.copy('one', 0)
    notmuch = peers.Notmuch(b.root, os.path.dirname(one))
    notmuch.new()
    site = Archive(b.root).start()
    try:
        site.take(one)
        theirs, _ = latency(['notmuch', 'count'], notmuch.env)
        count = (b.report.figure('notmuch count, median', b.median(theirs), 'ms'),
                 b.report.figure('notmuch count, p99', percentile(theirs, 99), 'ms'))
        theirs, _ = latency(['notmuch', 'search', '--output=messages', '--limit=50'], notmuch.env)
        b.report.figure('notmuch search --limit=50, median', b.median(theirs), 'ms')
        b.report.figure('notmuch search --limit=50, p99', percentile(theirs, 99), 'ms')
        for title in (', shard open', ', shard sealed'):
            ours = measure(b, title, site, 'count')
            b.report.ratio('notmuch count, median' + title, ours[0], count[0], most=1)
            b.report.ratio('notmuch count, p99' + title, ours[1], count[1], most=1)
            ours = measure(b, title, site, 'newest 50')
            b.report.goal('newest 50, p99' + title, ours[1], 'ms', most=10)
            site.run('mmctl', 'seal')
    finally:
        closed(site)
        shutil.rmtree(notmuch.index, ignore_errors=True)

def timed(site, *command):
    began = time.monotonic()
    out = site.run(*command)
    return time.monotonic() - began, out

def sweep(b, site, name, want):
    site.run('mmctl', 'seal') # a shard of this age is sealed
    before, shards = site.count(''), site.status()['sealed_shards']
    seconds, _ = timed(site, 'mm-retention', 'run')
    mm.equal(site.count(''), before - want, 'kept')
    b.report.figure(name, seconds, 's', '%d sealed shards before' % shards)
    b.report.goal(name, seconds, 's', most=10)

def erase_one(b, site, name):
    total = site.count('')
    victim = site.request('search', archive='corp', query='', mode='ids', limit=total // 2)[1][-1]['id']
    seconds, _ = timed(site, 'mm-retention', 'erase', '--archive', 'corp', '--reason', 'bench', '--yes', victim)
    mm.equal(site.count(''), total - 1, 'kept')
    b.report.figure(name, seconds, 's', '%d sealed shards' % site.status()['sealed_shards'])
    b.report.goal(name, seconds, 's', most=10)

def filled(b, shard, *days, expire=2):
    """An archive with a day's mail a folder list, days one after another, that keeps each `expire` days; the first is due."""
    site = Archive(b.root, 'bench', days=expire, index={'shard_messages': shard})
    site.tomorrow()
    site.start()
    for paths in days:
        if paths is not days[0]:
            site.tomorrow()
        site.take(*paths)
    site.tomorrow(expire + 1 - (len(days) - 1))
    return site

def forget(b):
    of_day, shard, few = (100000, 50000, 1700) if not b.quick else (2000, 1000, 34)
    b.report.row('forget', 'Forget: an expired day of %d, %d messages inside a shard of %d, one erased message' % (of_day, few, shard))
    for name, shards in (('a day of %d, 1 shard' % of_day, 2 * of_day), ('a day of %d, 20 shards' % of_day, of_day // 20)):
        site = filled(b, shards, b.exactly(of_day), [b.mails.copy('one', 0)])
        try:
            sweep(b, site, name, of_day)
        finally:
            closed(site)
    site = filled(b, shard, b.exactly(few), b.exactly(shard - few, few))
    try:
        sweep(b, site, '%d inside a shard of %d, 1 shard' % (few, shard), few)
        erase_one(b, site, 'one erased message, 1 shard')
    finally:
        closed(site)
    if not b.million:
        b.report.note('%d inside a shard, one erased message, at 20 shards: with --million' % few)

def million(b):
    """Twenty shards of 50,000, a day each; the first day has 1,700 messages of the first shard, and is due at the end."""
    shard, few = (50000, 1700) if not b.quick else (1000, 34)
    b.report.row('million', 'An archive of %d generated messages in shards of %d (--million)' % (b.million, shard))
    generator, began, raw = b.generator(), time.monotonic(), 0
    b.report.note('learnt from the corpora: %d words, %d different, %.1f %% of them new' %
                  (len(generator.words), generator.vocabulary, 100 * generator.fresh))
    kept = -(-b.million // shard) + 5 # days; the first one is due then, and no other
    site = Archive(b.root, 'bench', days=kept, index={'shard_messages': shard})
    path, spent, done, days = os.path.join(b.root, 'generated.mbox'), 0, 0, 0
    try:
        site.tomorrow()
        site.start()
        while done < b.million:
            count = few if done == 0 else min(shard - done % shard, b.million - done)
            raw += generator.mbox(path, done, count)
            spent += site.take(path)
            done += count
            site.tomorrow()
            days += 1
        parts = site.sizes()
        b.report.figure('mm-import of generated mail (test build)', b.million / spent, 'msg/s', '%.1f kB a message' % (raw / b.million / 1e3))
        b.report.figure('store and index, of raw bytes', 100 * (parts['seg'] + parts['index']) / raw, '%', shares(parts, raw))
        measure(b, '', site, 'count')
        newest = measure(b, '', site, 'newest 50')
        b.report.goal('newest 50 of %d, p99' % b.million, newest[1], 'ms', most=50)
        site.tomorrow(kept + 1 - days)
        sweep(b, site, '%d inside a shard of %d, %d shards' % (few, shard, b.million // shard), few)
        erase_one(b, site, 'one erased message, %d shards' % (b.million // shard))
    finally:
        closed(site)
        if os.path.exists(path):
            os.unlink(path)
    b.report.note('took %.0f s' % (time.monotonic() - began))
