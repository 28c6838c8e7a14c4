#!/usr/bin/env python3
"""A small break-in: each process, confined as in a release, tries what a program that was broken into would try (tests/probe/probe.c).
It gets EPERM or EACCES for all that its row in docs/design.md, "Processes", doesn't list. Control: the same tries without the sandbox."""
import errno, os, shutil, socket, sys, tempfile
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
from called import Caller
from calls import archive_ids
from signed import Line

# mmd binds listeners and its request socket, and sets its own priority and limits. All else needs a file that isn't its own.
MMD_MAY = {'inet', 'inet6', 'unix', 'socketpair', 'bind', 'listen', 'prctl', 'setrlimit'}
# A child of mm-deliver (of an export, and the caller) may connect to the endpoint's port, which the probe's isn't.
DELIVER_MAY = {'inet', 'inet6'}
# A child of mm-verdict sends datagrams, and connects to DNS servers' ports, which the probe's isn't either; Landlock keeps it from binding TCP.
VERDICT_MAY = {'inet', 'inet6', 'udp'}
MAY = {'mmd': MMD_MAY, 'mm-deliver': DELIVER_MAY, 'mm-verdict': VERDICT_MAY, 'mm-sender': VERDICT_MAY}
REFUSED = (errno.EPERM, errno.EACCES)
# They have no Unix socket but their channel, so that calls on one fail before anybody looks at the address.
NO_UNIX = [('mm-deliver', 'unix-connect', errno.EAFNOSUPPORT), ('mm-deliver', 'unix-connect', errno.ENOTSOCK), ('mm-verdict', 'unix-connect', errno.ENOTSOCK),
           ('mm-verdict', 'unix-bind', errno.ENOTSOCK), ('mm-sender', 'unix-connect', errno.ENOTSOCK), ('mm-sender', 'unix-bind', errno.ENOTSOCK)]

def export(site, port):
    """Starts a child of mm-deliver; that it finds nobody at the endpoint is its end."""
    key = json.loads(site.run('mmctl', 'principal', 'create', 'boss', '--role', 'admin', '--json'))
    line = Line(port)
    status, answer = line.call(key, '127.0.0.1:%d' % port, 'StartArchiveExport', json.dumps({
        'ArchiveId': archive_ids(site)['corp'], 'FromTimestamp': 1, 'ToTimestamp': 2,
        'ExportDestinationConfiguration': {'S3': {'S3Location': 's3://mail/x'}}}).encode())
    equal(status, 200, answer)
    while 'CompletionTimestamp' not in line.call(key, '127.0.0.1:%d' % port, 'GetArchiveExport', json.dumps(answer).encode())[1]['Status']:
        time.sleep(0.1)
    line.close()

class Place:
    """What lies outside of the data directory, for the probe to try."""
    def __init__(self):
        self.path = tempfile.mkdtemp(prefix='mm-probe-')
        atexit.register(shutil.rmtree, self.path, True)
        for name in ('file', 'unlink', 'rename'):
            open(os.path.join(self.path, name), 'w').write('x')
        os.mkdir(os.path.join(self.path, 'dir'))
        shutil.copy('/bin/true', self.path)

    def __enter__(self):
        self.sockets = [socket.socket(socket.AF_UNIX), socket.socket()]
        for s, address in zip(self.sockets, (os.path.join(self.path, 'sock'), ('127.0.0.1', 0))):
            s.bind(address)
            s.listen(50)
        return '%s:%d' % (self.path, self.sockets[1].getsockname()[1])

    def __exit__(self, *args):
        for s in self.sockets:
            s.close()

def take(found, log):
    for line in log.splitlines():
        words = line.split()
        if len(words) == 5 and words[0] == 'probe':
            found.setdefault(words[1], {}).setdefault(words[2], {})[words[3]] = int(words[4])

def probe_sender(found, sandbox):
    """The sender of mm-deliver, which is a child of the same home: it is made at once."""
    bin = build('clang')
    with Place() as place:
        p = subprocess.Popen([os.path.join(bin, 'outbound_run'), json.dumps({'dns': {'forward': '127.0.0.1@%d' % free_port()}, 'hostname': 'mm.test'}),
                              os.path.join(bin, 'mm-deliver')], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env=dict(os.environ, MM_PROBE=place, MM_SANDBOX=sandbox))
        log = b''
        while b' userfaultfd ' not in log:
            line = p.stderr.readline()
            check(line, 'it ended')
            log += line
        p.stdin.close()
        log += p.stderr.read()
        equal(p.wait(60), 0)
    take(found, log.decode())

def caller(env, endpoint):
    """What the caller tried; it isn't asked for anything."""
    with Caller({'sns': {'url': 'http://127.0.0.1:%d' % endpoint, 'access_key': 'key', 'secret_key': 'secret'}}, 'clang', env) as c:
        while ' userfaultfd ' not in c.tail():
            time.sleep(0.1)
        return open(c.log).read()

def probe(sandbox):
    """{program: [{attempt: errno} for each of its processes]}; build-clang is optimised, so confined as the release."""
    api, endpoint = free_port(), free_port()
    site = Site('clang', config={'api': {'listen': '127.0.0.1:%d' % api}, 'addons': {'A': {'clamd': '127.0.0.1:%d' % endpoint}}, 'dns': {'forward': '127.0.0.1@%d' % free_port()}, 'endpoints': {'s3': {
        'url': 'http://127.0.0.1:%d' % endpoint, 'access_key': 'key', 'secret_key': 'secret', 'path_style': True}}})
    shutil.copy('/bin/true', site.data)
    with Place() as place:
        site.env.update(MM_PROBE=place, MM_SANDBOX=sandbox)
        site.start()
        export(site, api)
        while not [l for l in site.tail(1 << 20).splitlines() if l.startswith('probe mm-scan ') and ' userfaultfd ' in l]:
            time.sleep(0.1)  # nobody waits for its start
        site.stop()
        said = caller({name: site.env[name] for name in ('MM_PROBE', 'MM_SANDBOX')}, endpoint)
    found = {}
    take(found, site.tail(1 << 20) + said)
    site.close()
    probe_sender(found, sandbox)
    equal(sorted(found), ['mm-deliver', 'mm-httpd', 'mm-parse', 'mm-scan', 'mm-sender', 'mm-smtpd', 'mm-verdict', 'mmd'], 'who was probed')
    equal(len(found['mm-deliver']), 3, 'an export, the caller of mmd and the one beside it')
    return {program: list(processes.values()) for program, processes in found.items()}

def names(number):
    return errno.errorcode.get(number, str(number))

@test
def nothing_that_is_not_in_its_row():
    wrong = []
    for program, processes in probe('on').items():
        for tried in processes:
            check(len(tried) >= 55, '%s: only %d attempts' % (program, len(tried)))
            for name, number in tried.items():
                may = name in MAY.get(program, ())
                if (program, name, number) in NO_UNIX:
                    continue
                if (number != 0) if may else (number not in REFUSED):
                    wrong.append('%s: %s: %s' % (program, name, names(number) if number else 'done'))
    check(not wrong, '; '.join(wrong))

@test
def the_same_without_the_sandbox_works():
    if os.getuid() != 0:
        raise Skip('needs root: mounts, other namespaces')
    found = probe('off')
    # Each runs in a process of its own there; another address space has nothing at the address that read-parent reads.
    wrong = ['%s: %s' % (name, names(number)) for tried in found['mmd'] for name, number in tried.items()
             if number not in (0, errno.ENOSYS) and (name, number) != ('read-parent', errno.EFAULT)]
    for program in ('mm-smtpd', 'mm-parse', 'mm-httpd', 'mm-deliver', 'mm-scan', 'mm-verdict', 'mm-sender'):  # after mmd: a name is taken already
        wrong += ['%s: %s: %s' % (program, name, names(number)) for tried in found[program] for name, number in tried.items()
                  if number in REFUSED]
    check(not wrong, '; '.join(wrong))

@test
def a_master_key_from_a_command_is_still_read():
    site = Site('clang')
    path = site.data + '.key'
    first, second = open(path).read().splitlines()
    site.write(path, '%s\ncommand echo %s\n' % (first, second.split()[1]))
    site.start()
    site.stop()

done()
