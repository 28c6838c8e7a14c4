#!/usr/bin/env python3
"""The release as it is installed: every program has the protections that the compiler gives, and tools/mmd.service lets mmd run with
little more than it needs."""
import ctypes, os, re, resource, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from s3 import Store
from signed import *

NOBODY = 65534
UNIT = os.path.join(ROOT, 'tools', 'mmd.service')
BIN = build('')
PROGRAMS = sorted(name for name in os.listdir(BIN) if name.startswith('mm'))
WANT = {'relro': 'full', 'canary': 'yes', 'nx': 'yes', 'pie': 'yes', 'rpath': 'no', 'runpath': 'no', 'fortify_source': 'yes'}

def checksec(path):
    out = subprocess.run(['checksec', '--output=json', '--file=' + path], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out)[path]

@test
def every_program_is_hardened():
    equal(sorted(os.listdir(BIN)), sorted(PROGRAMS), 'programs')
    for name in PROGRAMS:
        found = checksec(os.path.join(BIN, name))
        equal({k: found[k] for k in WANT}, WANT, name)

@test
def a_program_that_is_not_is_seen():
    with tempfile.TemporaryDirectory(prefix='mm-test-') as folder:
        path = os.path.join(folder, 'plain')
        subprocess.run(['gcc', '-x', 'c', '-O2', '-no-pie', '-fno-stack-protector', '-U_FORTIFY_SOURCE', '-Wl,-z,norelro,-z,execstack', '-o',
                        path, '-'], input=b'#include <stdio.h>\nint main(void) { char b[90]; return !fgets(b, 90, stdin) || puts(b); }',
                       check=True)
        found = checksec(path)
        equal([k for k in ('relro', 'canary', 'nx', 'pie', 'fortify_source') if found[k] == WANT[k]], [], 'protections of the control')

@test
def our_objects_are_marked_for_cet():
    """The objects, not the programs: Debian 12's crt1.o carries no mark, and the linker keeps what all have."""
    if os.uname().machine != 'x86_64':
        raise Skip('CET is of x86-64')
    for path in ('CMakeFiles/mm_base.dir/base/file.c.o', 'CMakeFiles/mm_store.dir/store/crypt.c.o', 'CMakeFiles/mmd.dir/tools/mmd.c.o'):
        notes = subprocess.run(['readelf', '-n', os.path.join(os.path.dirname(BIN), path)], check=True, stdout=subprocess.PIPE).stdout
        check(b'IBT, SHSTK' in notes, '%s has no note of IBT and SHSTK' % path)

@test
def the_unit_has_an_exposure_of_at_most_1_5():
    out = subprocess.run(['systemd-analyze', 'security', '--offline=true', UNIT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = out.stdout.decode()
    score = float(re.search(r'Overall exposure level for mmd.service: ([\d.]+)', text).group(1))
    check(score <= 1.5, 'the exposure is %s' % score)
    check('ignoring' not in text and 'Unknown' not in text, text[:500])

def group(name, seen):
    """The calls of a group of systemd's, groups in it included."""
    out = subprocess.run(['systemd-analyze', 'syscall-filter', '--no-pager', name], check=True, stdout=subprocess.PIPE).stdout.decode()
    calls = set()
    for word in re.findall(r'^    ([@\w-]+)$', out, re.M):
        if word[0] != '@':
            calls.add(word)
        elif word not in seen:
            seen.add(word)
            calls |= group(word, seen)
    return calls

def settings(name):
    return re.findall(r'^%s=(.*)$' % name, open(UNIT).read(), re.M)

def allowed_calls():
    """As systemd reads the unit: the first line begins with nothing but @default, each further one adds or takes away."""
    calls = group('@default', set())
    for line in settings('SystemCallFilter'):
        named = set()
        for word in line.lstrip('~').split():
            named |= group(word, set()) if word[0] == '@' else {word}
        calls = calls - named if line[0] == '~' else calls | named
    return calls

def confine(calls):
    """What the unit does to a process that a test can do too: its seccomp filter, no memory that is written and run, no new privileges."""
    lib = ctypes.CDLL('libseccomp.so.2')
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(0x00050001))  # SCMP_ACT_ERRNO(EPERM)
    for name in calls:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and lib.seccomp_rule_add(context, 0x7fff0000, number, 0) != 0:
            raise OSError('seccomp rule for ' + name)
    libc = ctypes.CDLL(None)
    def enter():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.umask(0o077)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        libc.prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, Linux 6.3: as MemoryDenyWriteExecute
        libc.prctl(38, 1, 0, 0, 0)
        if lib.seccomp_load(context) != 0:
            os._exit(77)
    return enter

def exported(site, port, store):
    """How many messages a key of the API gets out of the archive."""
    key, line, host = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json')), Line(port), '127.0.0.1:%d' % port
    def ask(operation, **input):
        status, answer = line.call(key, host, operation, encoded(input, 'json'))
        equal(status, 200, answer)
        return answer
    corp = next(a['ArchiveId'] for a in ask('ListArchives')['Archives'] if a['ArchiveName'] == 'corp')
    id = ask('StartArchiveExport', ArchiveId=corp, FromTimestamp=1, ToTimestamp=int(time.time()) + 60,
             ExportDestinationConfiguration={'S3': {'S3Location': 's3://bucket/x'}})['ExportId']
    while 'CompletionTimestamp' not in ask('GetArchiveExport', ExportId=id)['Status']:
        time.sleep(0.05)
    line.close()
    return sum(name.endswith('.eml') for name in store.objects)

def run_under(calls):
    """The release's mmd under the unit's filter, through a whole life, with API and exports; what it said when it didn't get there."""
    port, store = free_port(), Store()
    site = Site('', config={'api': {'listen': '127.0.0.1:%d' % port, 'profile': 'open'}, 'endpoints': {'s3': store.settings}})
    site.tls()
    for at, dirs, names in os.walk(site.root):
        for name in ['.'] + names:
            os.chown(os.path.join(at, name), NOBODY, NOBODY)
    site.process = subprocess.Popen([os.path.join(site.bin, 'mmd'), '--config', site.config], env=site.env, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=open(site.log, 'ab'), start_new_session=True, preexec_fn=confine(calls))
    if site.process.stdout.readline() != b'ready\n':
        site.process.wait(60)
        site.process = None
        return site.tail()
    with Sender(site.port, tls=True) as s:
        for n in range(130):  # over the shard's limit, so that one is sealed
            s.send(mail('day %d' % n, 'lantern %d' % n))
        s.send(mail('large', 'word ' * 14 + '\r\n' + ('y' * 70 + '\r\n') * 6000))
    site.wait()
    equal(site.count('lantern'), 130, 'messages found')
    equal(exported(site, port, store), 131, 'messages exported')
    site.verify()
    site.stop()
    check('error' not in site.tail(), site.tail())
    return None

@test
def mmd_runs_under_the_units_filter():
    if os.getuid() != 0:
        raise Skip('needs root, to start mmd as another user')
    calls = allowed_calls()
    check(250 < len(calls) < 400 and 'mount' not in calls and 'seccomp' in calls, '%d calls are allowed' % len(calls))
    equal(run_under(calls), None, 'mmd')

@test
def a_filter_that_is_too_small_is_seen():
    if os.getuid() != 0:
        raise Skip('needs root, to start mmd as another user')
    check(run_under(allowed_calls() - {'seccomp', 'landlock_restrict_self'}), 'mmd ran without the calls that confine it')

@test
def the_unit_starts_what_is_built():
    start = settings('ExecStart')[0]
    options = re.findall(r'--[a-z-]+', start)
    known = subprocess.run([os.path.join(BIN, 'mmd'), '--help'], stdout=subprocess.PIPE).stdout.decode()
    equal([o for o in options if o not in known], [], 'options of the unit that mmd has not')
    equal(subprocess.run(['systemd-analyze', 'verify', '--man=no', UNIT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()
          .replace(start.split()[0], '').count('nknown'), 0, 'settings that systemd does not know')

done()
