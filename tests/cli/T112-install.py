#!/usr/bin/env python3
"""What "cmake --install" puts into a folder is whole: the programs do the main job from there, man finds and renders each page, the unit
starts what was installed, and every file that a page or the unit names is there."""
import os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *

STARTED_BY_MMD = {'mm-smtpd', 'mm-parse', 'mm-httpd', 'mm-deliver', 'mm-scan', 'mm-verdict'}
ALONE = {'mm-search-alone'} # what mm-search becomes without mmd
SECTIONS = {'1': 'NAME SYNOPSIS DESCRIPTION OPTIONS EXIT_STATUS EXAMPLES SEE_ALSO', '7': 'NAME DESCRIPTION EXAMPLES SEE_ALSO',
            '8': 'NAME SYNOPSIS DESCRIPTION SEE_ALSO'}
root = tempfile.mkdtemp(prefix='mm-test-')
atexit.register(shutil.rmtree, root, ignore_errors=True)
place = os.path.join(root, 'prefix')

def run(*args, **env):
    """(exit status, stdout, stderr)"""
    p = subprocess.run(args, env=dict(os.environ, LC_ALL='C.UTF-8', MANWIDTH='80', **env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, universal_newlines=True)
    return p.returncode, p.stdout, p.stderr

def names(*folders):
    return set(os.listdir(os.path.join(place, *folders)))

def text_of(*path):
    return open(os.path.join(place, *path), encoding='utf-8').read()

def pages():
    return sorted((s, name) for s in '178' for name in names('share', 'man', 'man' + s))

@test
def it_installs():
    code, out, error = run('cmake', '--install', os.path.dirname(build('')), '--prefix', place)
    equal(code, 0, out + error)
    built = {name for name in os.listdir(build('')) if name.startswith('mm')}
    equal((names('bin'), names('libexec', 'mm')), (built - STARTED_BY_MMD - ALONE, STARTED_BY_MMD | ALONE))
    equal({p[:-2] for s, p in pages()}, built - ALONE | {'mm-query'})
    for folder, path in (('docs', 'docs'), ('.', 'README.md'), ('.', 'LICENSE')):
        equal(subprocess.call(['diff', '-r', os.path.join(ROOT, path), os.path.join(place, 'share', 'doc', 'mm', path)]), 0, path)

@test
def the_main_job_is_done_from_there():
    os.environ['MM_BIN'] = os.path.join(place, 'bin')
    old = [shutil.copy('/bin/false', os.path.join(place, 'bin', name)) for name in STARTED_BY_MMD | ALONE] # of a release that put them there
    site = Site(config={'api': {'listen': '127.0.0.1:%d' % free_port()}}).start()
    site.send(mail('installed', 'a lantern'))
    site.wait()
    equal(site.count('lantern'), 1)
    children = subprocess.check_output(['pgrep', '-P', str(site.process.pid)]).split()
    started = {os.readlink('/proc/%d/exe' % int(p)) for p in children}
    equal(started, {os.path.join(place, 'libexec', 'mm', name) for name in STARTED_BY_MMD - {'mm-scan', 'mm-verdict'}})
    site.stop()
    equal(site.count('lantern'), 1, 'without mmd')
    for path in old:
        os.unlink(path)

def unreadable(page):
    """What man, mandoc and whatis have against a page."""
    found = [run('man', '--warnings', '-l', page)[2], run('mandoc', '-Tlint', '-Wwarning', page)[1]]
    name = os.path.basename(page)[:-2]
    if '"%s - ' % name not in run('lexgrog', page)[1]:
        found.append('whatis finds no NAME')
    return '\n'.join(f for f in found if f)

@test
def man_shows_every_page():
    for section, name in pages():
        equal(unreadable(os.path.join(place, 'share', 'man', 'man' + section, name)), '', name)
        code, shown, error = run('man', section, name[:-2], MANPATH=os.path.join(place, 'share', 'man'))
        equal((code, error), (0, ''), name)
        equal([s for s in SECTIONS[section].split() if not re.search('^%s$' % s.replace('_', ' '), shown, re.M)], [], 'sections missing in ' + name)
        equal(re.findall(r'.*(?:`|\*\*|^#|\|.*\|$).*', re.sub(r'a \| b|eml\|mbox|LINE \| .*|UID\|USER', '', shown)), [], 'Markdown is left in ' + name)
    check('       --archive NAME\n' in run('man', 'mm-search', MANPATH=os.path.join(place, 'share', 'man'))[1], 'options are not set as they are typed')

@test
def a_page_that_is_wrong_is_seen():
    path = os.path.join(root, 'mm-search.1')
    good = text_of('share', 'man', 'man1', 'mm-search.1')
    for bad in (good.replace('.SH NAME', '.SH TITLE'), good.replace('.EE', '.RE', 1), good + '.IP \\(bu 2\n\\fQx\\fR\n'):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(bad)
        check(bad != good and unreadable(path), 'not seen')
    for bad in ('no title\n', '# mm-search(1) - find\n\nan `open word\n'):
        with open(path, 'w') as f:
            f.write(bad)
        check(run('awk', '-f', os.path.join(ROOT, 'tools', 'man.awk'), path)[0] != 0, 'taken: ' + bad)

def unit_errors(path):
    return run('systemd-analyze', 'verify', path, MANPATH=os.path.join(place, 'share', 'man'))[2]

@test
def the_unit_starts_what_was_installed():
    path = os.path.join('lib', 'systemd', 'system', 'mmd.service')
    unit = text_of(path)
    equal(unit.replace(place + '/', '/usr/local/'), open(os.path.join(ROOT, 'tools', 'mmd.service')).read())
    equal(unit_errors(os.path.join(place, path)), '')
    for was, now in (('/bin/mmd ', '/bin/mmdd '), ('man:mmd(8)', 'man:mmdd(8)'), ('NoNewPrivileges=', 'NoNewPrivilege=')):
        with open(os.path.join(root, 'mmd.service'), 'w') as f:
            f.write(unit.replace(was, now))
        check(unit_errors(f.name), 'not seen: ' + now)

@test
def what_is_named_is_there():
    texts = [os.path.join('share', 'man', 'man' + s, name) for s, name in pages()] + [os.path.join('lib', 'systemd', 'system', 'mmd.service')]
    named = set()
    for path in texts:
        text = text_of(path).replace('\\-', '-')
        check('/usr/local' not in text, path + ' names /usr/local')
        named |= set(re.findall(re.escape(place) + r'(/[\w./-]*[\w/])', text))
    check(len(named) > 5, 'only %r' % named)
    equal([n for n in sorted(named) if not os.path.exists(place + n)], [], 'named, and not installed')

done()
