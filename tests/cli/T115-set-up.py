#!/usr/bin/env python3
"""What an administrator does wrong when setting mm up is said, with what to do, by the right exit status; nothing is taken for its default."""
import json, os, shutil, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

site = Site()

def mmd(config):
    """(exit status, what it said); None while it runs."""
    path = os.path.join(site.root, 'tried.json')
    site.write(path, config if isinstance(config, str) else json.dumps(config))
    with subprocess.Popen([os.path.join(site.bin, 'mmd'), '--config', path], env=site.env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True) as p:
        if p.stdout.readline() == 'ready\n':
            p.terminate()
            p.communicate(timeout=60)
            return None, ''
        return p.wait(60), p.stderr.read()

@test
def a_configuration_of_another_type_is_refused():
    """A number where a text is wanted passed for an absent member: the audit log got no anchor, the sweep its default time."""
    for config, word in ((
            ('[]', 'object'), ({'smtp': 5}, 'smtp must be an object'), ({'retention': []}, 'retention must be an object'),
            ({'smtp': {'hostname': 5}}, 'smtp.hostname must be a text'), ({'smtp': {'hostname': 'two words'}}, 'smtp.hostname'),
            ({'smtp': {'hostname': ''}}, 'smtp.hostname'), ({'smtp': {'max_message': '10M'}}, 'smtp.max_message must be a number'),
            ({'smtp': {'max_connections': -1}}, 'smtp.max_connections'), ({'smtp': {'tls_cert': 7, 'tls_key': 7}}, 'smtp.tls_cert'),
            ({'smtp': {'tls_cert': [7], 'tls_key': [7]}}, 'smtp.tls_cert'), ({'smtp': {'tls_cert': None}}, 'smtp.tls_cert'),
            ({'retention': {'schedule': 5}}, 'retention.schedule must be a text'), ({'audit': {'anchor': True}}, 'audit.anchor'),
            ({'parse': {'workers': '2'}}, 'parse.workers must be a number'), ({'smtp': {'hostnam': 'x'}}, 'smtp.hostnam is not known'))):
        code, said = mmd(config)
        equal((code, word in said), (2, True), '%s: %s' % (config, said))
    for config in ({}, {'smtp': {'hostname': 'mail.corp.example', 'max_connections': 10}}, {'smtp': {'hostname': '[192.0.2.1]'}},
                   {'retention': {'schedule': 'off'}, 'audit': {'anchor': os.path.join(site.root, 'anchor')}}):
        equal(mmd(config), (None, ''), config)

@test
def what_is_wrong_is_named_where_it_is():
    junk = os.path.join(site.root, 'junk.pem')
    site.write(junk, 'no certificate\n')
    tls = {'tls_cert': junk, 'tls_key': junk}
    for config, begins in (
            ({'smtp': tls}, 'smtp.tls_cert, smtp.tls_key: '), ({'api': {'listen': '127.0.0.1:1', **tls}}, 'api.tls_cert, api.tls_key: '),
            ({'socket': {'mode': '0666'}}, 'configuration: socket.path must be set'),
            ({'endpoints': {'s3': {'url': 'ftp://x'}}}, 'configuration: endpoints.s3.url'),
            ({'endpoints': {'s4': {}}}, 'configuration: endpoints.s4'),
            ({'endpoints': {'mailbox': {'port': 0}}}, 'configuration: endpoints.mailbox has'),
            ({'endpoints': {'webhooks': {'a': {'url': 'ftp://x'}}}}, 'configuration: endpoints.webhooks')):
        code, said = mmd(config)
        equal((code, (' ' + said).count(' ' + begins), said.count('configuration:') < 2), (2, 1, True), '%s: %s' % (config, said))

@test
def what_is_no_data_directory_is_told():
    for data, code, word in (('', 2, '--data DIR'), (site.config, 3, 'mmctl init'), (site.root, 3, 'mmctl init'), (site.root + '/nowhere', 3, 'mmctl init')):
        site.run('mmctl', 'status', env=dict(site.env, MM_DATA=data), code=code)
        check(word in site.stderr, (data, site.stderr))

@test
def who_may_not_is_told_how_he_may():
    if os.getuid() != 0:
        raise Skip('needs root')
    p = subprocess.run(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', os.path.join(site.bin, 'mmctl'), 'status'],
                       env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    equal((p.returncode, '--socket' in p.stderr), (3, True), p.stderr)

@test
def a_word_that_is_no_event_is_refused():
    """An empty list would say that nothing of the kind was done."""
    site.run('mm-audit', 'list', '--event', 'exports', code=2)
    check('exports' in site.stderr and 'formats.md' in site.stderr, site.stderr)
    equal(site.run('mm-audit', 'list', '--event', 'export'), '')

@test
def what_is_made_is_named():
    data = os.path.join(site.root, 'a "quoted" name')
    said = json.loads(site.run('mmctl', 'init', '--data', data, '--json', '--recovery', data + '.copy'))
    equal(said, {'data': data, 'key_file': data + '.key'})
    check(data + '.copy' in site.stderr, site.stderr)

@test
def a_passphrase_gives_the_key():
    data, phrase = os.path.join(site.root, 'phrased'), os.path.join(site.root, 'phrase')
    env = dict(site.env, MM_DATA=data, MM_PASSPHRASE_FILE=phrase)
    site.write(phrase, 'too short\n')
    site.run('mmctl', 'init', '--passphrase', env=env, code=3)
    equal(os.path.exists(data + '.key'), False, 'a key file')
    site.write(phrase, 'correct horse battery\n')
    site.run('mmctl', 'init', '--passphrase', '--recovery', data + '.copy', env=env)
    equal(open(data + '.key').read().split()[2:4], ['passphrase', 'argon2id'])
    site.run('mmctl', 'status', env=env)
    site.run('mmctl', 'status', '--key-file', data + '.copy', env=site.env | {'MM_DATA': data})
    site.run('mmctl', 'init', '--passphrase', '--data', data + '2', '--key-file', data + '.key', env=env, code=3)
    site.write(phrase, 'correct horse batterx\n')
    site.run('mmctl', 'status', env=env, code=3)
    check('passphrase is wrong' in site.stderr, site.stderr)

@test
def a_missing_key_says_what_to_do():
    key = site.data + '.key'
    os.rename(key, key + '.away')
    site.run('mmctl', 'status', code=3)
    check('--key-file' in site.stderr and key in site.stderr, site.stderr)
    equal(mmd({})[0], 3)
    site.run('mmctl', 'status', '--key-file', key + '.away')
    os.rename(key + '.away', key)
    site.run('mmctl', 'status')

@test
def mm_search_without_its_other_half_says_so():
    alone = os.path.join(site.root, 'alone')
    os.mkdir(alone)
    shutil.copy(os.path.join(site.bin, 'mm-search'), alone)
    p = subprocess.run([os.path.join(alone, 'mm-search'), '--archive', 'corp', ''], env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    equal((p.returncode, p.stdout, os.path.join(alone, 'mm-search-alone') in p.stderr.decode()), (3, b'', True), p.stderr)

@test
def an_address_in_use_is_waited_for_and_named():
    """Also what the mm-smtpd of a killed mmd holds for a moment."""
    import threading
    with socket.create_server(('127.0.0.1', site.port)) as holder:
        code, said = mmd({})
        equal((code, 'in use' in said, str(site.port) in said), (1, True, True), said)
        threading.Timer(0.7, holder.close).start()
        equal(mmd({}), (None, ''))

@test
def a_directory_in_use_is_named():
    """What a child of a killed mmd holds for a moment, until its program begins, is waited for."""
    import fcntl, threading
    site.start()
    code, said = mmd({})
    equal((code, 'open already' in said), (3, True), said)
    site.stop()
    with open(os.path.join(site.data, 'lock'), 'a') as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        code, said = mmd({})
        equal((code, 'open already' in said), (3, True), said)
        threading.Timer(0.2, lambda: fcntl.flock(holder, fcntl.LOCK_UN)).start()
        equal(mmd({}), (None, ''))

@test
def a_directory_of_another_user_is_3():
    if os.getuid() != 0:
        raise Skip('needs root')
    os.chmod(site.root, 0o755)
    site.start()
    p = subprocess.run(['setpriv', '--reuid', 'nobody', '--clear-groups', os.path.join(site.bin, 'mmctl'), '--data', site.data, 'status'],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    equal((p.returncode, 'Permission denied' in p.stderr), (3, True), p.stderr)
    site.stop()

def give_to_nobody():
    if os.getuid() != 0:
        raise Skip('needs root')
    for at, _, names in os.walk(site.root):
        for name in ['.'] + names:
            os.chown(os.path.join(at, name), 65534, 65534, follow_symlinks=False)

@test
def root_runs_mmd_in_the_directory_of_another_user():
    """Confined, it may give nothing away: what it makes stays root's."""
    give_to_nobody()
    for n in range(2):
        site.start()
        site.send(mail('turn%d' % n))
        site.stop()
    site.start()
    site.wait()
    equal([site.count('subject:turn%d' % n) for n in range(2)], [1, 1])
    site.stop()

@test
def what_root_makes_belongs_to_the_owner():
    """A tool that root ran left files that the mmd of another user couldn't open at its next start; also where the directory is named by
    another way than its real one, as SQLite names it."""
    give_to_nobody()
    os.chdir(site.root)
    eml = os.path.join(site.root, 'one.eml')
    for data in site.data, 'data', 'data/', './data', site.data + '/':
        env = dict(site.env, MM_DATA=data, MM_KEY_FILE=site.data + '.key')
        site.write(eml, 'Subject: lantern\nMessage-ID: <%s>\n\ntext %s\n' % (data, data))
        for args in (('mm-import', '--archive', 'corp', eml), ('mmctl', 'seal'), ('mmctl', 'reindex'),
                     ('mm-export', '--archive', 'corp', '--to', os.path.join(site.root, 'case'), '')):
            site.run(*args, env=env)
            paths = [os.path.join(at, name) for at, dirs, names in os.walk(site.data) for name in dirs + names]
            equal([p for p in paths if os.lstat(p).st_uid != 65534], [], 'of root, by %s with %s' % (args[:2], data))
        equal(os.stat(os.path.join(site.root, 'case')).st_uid, 0, 'an export belongs to who makes it')
        shutil.rmtree(os.path.join(site.root, 'case'))
    p = subprocess.Popen(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', os.path.join(site.bin, 'mmd'), '--config',
                          site.config], env=site.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = p.stdout.readline()
    p.terminate()
    equal((line, p.wait(60)), (b'ready\n', 0), p.stderr.read())

@test
def a_link_leads_to_the_directory():
    """SQLite says of a path with a link that it has one; that passed for a failure, and nothing was sealed."""
    link, eml = os.path.join(site.root, 'link'), os.path.join(site.root, 'one.eml')
    os.symlink('data', link)
    env = dict(site.env, MM_DATA=link, MM_KEY_FILE=site.data + '.key')
    site.write(eml, 'Subject: by a link\n\ntext\n')
    site.run('mm-import', '--archive', 'corp', eml, env=env)
    site.run('mmctl', 'verify', env=env)
    site.run('mmctl', 'seal', env=env)
    site.run('mmctl', 'verify', env=env)
    paths = [os.path.join(at, name) for at, dirs, names in os.walk(site.data) for name in dirs + names]
    equal([p for p in paths if os.lstat(p).st_uid != os.stat(site.data).st_uid], [], 'of another owner')

done()
