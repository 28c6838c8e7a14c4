#!/usr/bin/env python3
"""tests/fuzz/run.py TARGET... - runs libFuzzer programs of build-fuzz, each from its corpus, and keeps what they find.

Each runs MM_FUZZ_SECONDS (10; 600 with MM_LONG), and once more for as long as others had its processor meanwhile. The seed is printed,
MM_SEED repeats it. New inputs stay in a temporary folder; with MM_GROW they are merged into tests/fuzz/corpus, minimised. A find is left in
build-fuzz/finds, printed in base64, and makes the exit status 1: put it, fixed, into tests/fuzz/corpus/TARGET."""
import atexit, base64, os, random, resource, shutil, signal, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECONDS = int(os.environ.get('MM_FUZZ_SECONDS') or (600 if os.environ.get('MM_LONG') else 10))
SEED = int(os.environ.get('MM_SEED') or random.randrange(1, 1 << 31))
FINDS = os.path.join(ROOT, 'build-fuzz', 'finds')
# Longest input that is worth its time, in bytes.
MOST = {'fuzz_smtp_session': 4096, 'fuzz_segment': 65536, 'fuzz_vfs': 16384, 'fuzz_mime': 16384, 'fuzz_token': 4096}

def grow(target, corpus, fresh, least, options):
    """Adds to the corpus, of what reaches more than it does, a few small inputs (they are tried in every run)."""
    os.makedirs(least)
    for name in os.listdir(corpus):
        shutil.copy(os.path.join(corpus, name), least)
    subprocess.run([target, '-merge=1'] + options + [least, fresh], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    more = sorted(n for n in os.listdir(least) if not os.path.exists(os.path.join(corpus, n)))
    more = [n for n in more if os.path.getsize(os.path.join(least, n)) <= 600]
    for name in more[:: max(len(more) // 15, 1)]:
        shutil.copy(os.path.join(least, name), os.path.join(corpus, name[:12]))

def used():
    """Seconds of processor time of the targets that have ended."""
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime

def fuzz(name, work):
    target = os.path.join(ROOT, 'build-fuzz', 'fuzz', name)
    corpus = os.path.join(ROOT, 'tests', 'fuzz', 'corpus', name)
    fresh, finds = os.path.join(work, 'fresh'), os.path.join(work, 'finds')
    for folder in (fresh, finds):
        os.makedirs(folder)
    options = ['-print_funcs=0', '-rss_limit_mb=2048', '-timeout=20', '-max_len=%d' % MOST.get(name, 8192), '-artifact_prefix=%s/' % finds]
    env = dict(os.environ, TMPDIR=work)
    print('%s: %d s, seed %d' % (name, SECONDS, SEED), flush=True)
    seconds, begun = SECONDS, used()
    while seconds > 0:
        p = subprocess.run([target, '-max_total_time=%d' % seconds, '-seed=%d' % (SEED + SECONDS - seconds), '-print_final_stats=1']
                           + options + [fresh, corpus],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=work)
        out = p.stdout.decode('utf-8', 'replace')
        for line in out.splitlines():
            if line.startswith('stat::number_of_executed_units') or ' DONE ' in line:
                print('   ' + line.strip())
        seconds = 0 if p.returncode or seconds < SECONDS else int(SECONDS - (used() - begun))
    if p.returncode:
        print(out[-6000:])
        os.makedirs(FINDS, exist_ok=True)
        for find in os.listdir(finds):
            path = shutil.copy(os.path.join(finds, find), os.path.join(FINDS, name + '-' + find))
            data = open(path, 'rb').read()
            print('find: %s %s' % (path, base64.b64encode(data[:4096]).decode() + ('...' if len(data) > 4096 else '')))
        return False
    if os.environ.get('MM_GROW'):
        grow(target, corpus, fresh, os.path.join(work, 'least'), options)
    return True

def main():
    work = tempfile.mkdtemp(prefix='mm-fuzz-')
    atexit.register(shutil.rmtree, work, True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bad = [name for name in sys.argv[1:] if not fuzz(name, os.path.join(work, name))]
    sys.exit(1 if bad or not sys.argv[1:] else 0)

main()
