#!/usr/bin/env python3
"""tests/tidy/tidy.py - the code checks itself: prints "file:line: message" and exits 1 when something is found.

A line that must break a rule carries its reason: /* tidy: reason */."""
import glob, os, re, subprocess, sys

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.chdir(root)
FOLDERS = ['base', 'smtp', 'store', 'index', 'query', 'retention', 'ingest', 'api', 'tools']
LONGEST_FUNCTION = 70
LONGEST_FILE = 900
LONGEST_LINE = 120

# call, where it is allowed (prefixes), what to use instead
BANNED = [
    (r'strcpy|strcat|sprintf|vsprintf|gets|strtok|strtok_r|alloca|sscanf', [], 'struct buf or struct slice'),
    (r'atoi|atol|atoll|strtol|strtoul|strtoll|strtoull', [], 'slice_to_u64'),
    (r'time|gettimeofday|clock_gettime|localtime|mktime|gmtime', ['base/clock.c'], 'base/clock.h'),
    (r'fsync|fdatasync|pwrite|pwritev|pwrite64|rename|unlink|ftruncate|truncate|mkdir|rmdir|fopen|creat|fallocate|openat',
     ['base/file.c'], 'base/file.h'),
    (r'rand|srand|random|srandom|drand48', [], 'crypt_random'),
    (r'system|popen', [], 'base/child.h'),
]
problems = []

def problem(path, line, text):
    problems.append('%s:%d: %s' % (path, line, text))

def sources():
    for folder in FOLDERS:
        for at, _, names in os.walk(folder):
            for name in sorted(names):
                if name.endswith(('.c', '.h')):
                    yield os.path.join(at, name)

def without_comments(text):
    """Comments and string contents blanked, line numbers kept."""
    def blank(m):
        s = m.group(0)
        if s[0] == '"':
            return '"' + ' ' * (len(s) - 2) + '"'
        if s[0] == "'":
            return "' '"
        return re.sub(r'[^\n]', ' ', s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)

def load_rules():
    may, library = {}, []
    for line in open('tests/tidy/includes.txt'):
        line = line.strip()
        if not line or line[0] == '#':
            continue
        key, _, value = line.partition(':')
        if key[0] == '<':
            library.append((key, value.split()))
        else:
            may[key] = [key] + value.split()
    return may, library

def check_includes(path, text, may, library):
    folder = path.split('/')[0]
    for number, line in enumerate(text.split('\n'), 1):
        m = re.match(r'\s*#\s*include\s+(["<][^">]+[">])', line)
        if not m:
            continue
        name = m.group(1)
        if name[0] == '"':
            target = name[1:-1].split('/')[0]
            if '/' not in name:
                problem(path, number, 'include %s from the root of the tree' % name)
            elif target not in may[folder]:
                problem(path, number, '%s/ may not include %s' % (folder, name))
        for prefix, where in library:
            if name.startswith(prefix) and not path.startswith(tuple(where)):
                problem(path, number, '%s belongs in %s' % (name, ' '.join(where)))

def check_calls(path, text, code):
    lines = text.split('\n')
    for number, line in enumerate(code.split('\n'), 1):
        if 'tidy:' in lines[number - 1]:
            continue
        for calls, allowed, instead in BANNED:
            m = re.search(r'(?<![\w.>])(%s)\s*\(' % calls, line)
            if m and not path.startswith(tuple(allowed) or ('\0',)):
                problem(path, number, '%s(): use %s' % (m.group(1), instead))

def check_marks(path, text):
    for number, line in enumerate(text.split('\n'), 1):
        if re.search(r'\b(TODO|FIXME|XXX|HACK)\b', line):
            problem(path, number, 'an unfinished mark')
        if len(line.expandtabs(8)) > LONGEST_LINE:
            problem(path, number, 'a line of %d columns' % len(line.expandtabs(8)))
        if line != line.rstrip():
            problem(path, number, 'blanks at the end of the line')
    lines = text.count('\n')
    if lines > LONGEST_FILE:
        problem(path, lines, 'a file of %d lines (limit %d)' % (lines, LONGEST_FILE))

def check_header(path, text):
    if path.endswith('.h') and not text.startswith('/*'):
        problem(path, 1, 'a header begins with its manual')

def check_functions():
    files = [f for f in sources() if f.endswith('.c')]
    out = subprocess.run(['ctags', '--fields=+ne', '--c-kinds=f', '-f', '-'] + files, capture_output=True, text=True)
    if out.returncode:
        problem('tests/tidy/tidy.py', 1, 'ctags: %s' % out.stderr.strip())
    for row in out.stdout.split('\n'):
        m = re.search(r'^(\S+)\t(\S+)\t.*\tline:(\d+).*\tend:(\d+)', row)
        if m and int(m.group(4)) - int(m.group(3)) > LONGEST_FUNCTION:
            problem(m.group(2), int(m.group(3)), '%s() has %d lines (limit %d)' %
                    (m.group(1), int(m.group(4)) - int(m.group(3)), LONGEST_FUNCTION))

def check_tests():
    for at, _, names in os.walk('tests/unit'):
        for name in names:
            if name.startswith('test_') and name.endswith('.c'):
                if not re.search(r'cmocka_unit_test', open(os.path.join(at, name)).read()):
                    problem(os.path.join(at, name), 1, 'a test file without a test')

def check_manuals():
    for tool in sorted(os.listdir('tools')):
        if re.fullmatch(r'mm[a-z-]*\.c', tool):
            name = tool[:-2]
            section = '8' if name in ('mmd', 'mm-smtpd', 'mm-httpd', 'mm-parse', 'mm-deliver', 'mm-scan', 'mm-verdict') else '1'
            if not os.path.exists('docs/man/%s.%s.md' % (name, section)):
                problem('tools/' + tool, 1, 'no man page docs/man/%s.%s.md' % (name, section))

def check_docs():
    """Files that the documents speak of are there, and so are the pages and headings that code and documents point to."""
    pages = ['README.md'] + glob.glob('docs/*.md') + glob.glob('docs/man/*.md')
    for page in pages:
        for number, line in enumerate(open(page, encoding='utf-8').read().split('\n'), 1):
            for name in re.findall(r'`((?:%s|tests|docs)/[\w./*-]*)`' % '|'.join(FOLDERS), line):
                if not re.search(r'/[ANS]/|NNNN', name) and not any(glob.glob(name + end) for end in ('', '.c', '.h')):
                    problem(page, number, 'there is no %s' % name)
            for name in re.findall(r'\]\(([^)#:]+)\)', line):
                if not os.path.exists(os.path.join(os.path.dirname(page), name)):
                    problem(page, number, 'a link to %s, which is not there' % name)
    for path in list(sources()) + pages:
        for m in re.finditer(r'(docs/[\w/-]+\.md)(?:[,:]? \(?"([^"\n]+)")?', open(path, encoding='utf-8').read()):
            if not os.path.exists(m.group(1)):
                problem(path, 1, 'there is no %s' % m.group(1))
            elif m.group(2) and not re.search(r'^#+ %s$' % re.escape(m.group(2)), open(m.group(1), encoding='utf-8').read(), re.M):
                problem(path, 1, '%s has no heading "%s"' % m.groups())

def main():
    may, library = load_rules()
    for path in sources():
        text = open(path, encoding='utf-8').read()
        code = without_comments(text)
        check_includes(path, text, may, library)
        check_calls(path, text, code)
        check_marks(path, text)
        check_header(path, text)
    check_functions()
    check_tests()
    check_manuals()
    check_docs()
    for p in problems:
        print(p)
    sys.exit(1 if problems else 0)

main()
