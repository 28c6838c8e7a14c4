#!/usr/bin/env python3
"""The same random SMTP sessions to mm and to Postfix: the class of each reply must agree, and so must what was accepted. Where they don't
and mm means it, a line of KNOWN says why. A session that differs is cut down to its shortest form and printed.

Needs the package postfix and root (Postfix drops its rights itself). Arguments: number of sessions, seed."""
import os, random, re, socket, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'), os.path.join(HERE, '..', 'bench')]
from mm import *
import peers

SESSIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)

# Postfix as strict as it gets, and without delays. It takes mail for local.test from anybody, and relays nothing.
STRICT = '''mynetworks = 192.0.2.1/32
virtual_mailbox_domains = local.test
smtpd_relay_restrictions = reject_unauth_destination
smtpd_forbid_bare_newline = reject
smtpd_forbid_bare_newline_exclusions =
smtpd_helo_required = yes
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_junk_command_limit = 1000
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_reject_footer =
strict_rfc821_envelopes = yes
smtpd_reject_unlisted_recipient = no
smtpd_discard_ehlo_keywords = etrn
allow_percent_hack = no
swap_bangpath = no
smtputf8_enable = yes
'''
POLICY = {"TrafficPolicyName": "local-only", "DefaultAction": "DENY", "PolicyStatements": [{"Action": "ALLOW", "Conditions": [
    {"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH", "Values": ["@local.test"]}}]}]}

# ---- sessions: lists of steps ----
#
# A step is (command, what follows it): a body goes after a 354 only, a chunk of BDAT at once.

PATHS = ['a@local.test', 'B.c@local.test', 'x+y@local.test', '"q r"@local.test', '"a\\"b"@local.test', 'a@[127.0.0.1]', 'a', 'a@', '@local.test',
         'a@local.test.', 'a@@local.test', 'a b@local.test', 'a..b@local.test', '.a@local.test', 'a.@local.test', 'a@local..test',
         'a@-local.test', 'a@lo_cal.test', 'a@other.test', 'a%other.test@local.test', 'other!a@local.test', '@x.test:a@local.test',
         'a@' + 'l' * 64 + '.test', 'l' * 65 + '@local.test', 'postmaster', '\u00e4@local.test', 'a@l\u00f6cal.test', '"@other.test"@local.test']
PARAMETERS = ['', '', '', '', ' SIZE=100', ' SIZE=x', ' SIZE=99999999999', ' BODY=8BITMIME', ' BODY=7BIT', ' BODY=X', ' SMTPUTF8', ' SMTPUTF8=1',
              ' RET=HDRS', ' RET=X', ' ENVID=a+2Bb', ' ENVID=a+zz', ' X=Y', ' SIZE=1 SIZE=2', ' AUTH=<>']
RCPT_PARAMETERS = ['', '', '', '', '', ' NOTIFY=NEVER', ' NOTIFY=SUCCESS,FAILURE', ' NOTIFY=NEVER,DELAY', ' NOTIFY=', ' ORCPT=rfc822;a@b',
                   ' ORCPT=x', ' X=Y', ' SIZE=1']
TEXT = [b'Subject: s\r\n\r\n', b'line\r\n', b'..\r\n', b'.x\r\n', b'\r\n', b'long ' * 300 + b'\r\n', b'\xc3\xa4\r\n']
ODD_TEXT = [b'bare\nlf\r\n', b'bare\rcr\r\n', b'\n.\n\r\n', b'\n.\r\n', b'\r\n.\n\r\n', b'nul\0\r\n']

def address(rng, good):
    return 'a@local.test' if rng.random() < good else rng.choice(PATHS)

def command(rng):
    """One that is neither of a usual transaction nor in its place."""
    return rng.choice(['NOOP', 'NOOP x', 'RSET', 'RSET x', 'VRFY a@local.test', 'VRFY', 'EXPN l', 'HELP', 'EHLO again.example', 'HELO again.example',
                       'EHLO', 'HELO', 'EHLO [127.0.0.1]', 'AUTH PLAIN', 'STARTTLS x', 'TURN', 'XYZZY', '', ' NOOP', 'noop', 'MAIL', 'RCPT', 'DATA x', 'MAIL TO:<a@local.test>',
                       'RCPT FROM:<a@local.test>', 'MAIL FROM: <a@local.test>', 'MAIL FROM:a@local.test', 'RCPT TO:a@local.test', 'mail from:<a@local.test>'])

def body(rng):
    lines = [rng.choice(TEXT if rng.random() < 0.95 else ODD_TEXT) for _ in range(rng.randrange(6))]
    return TEXT[0] + b''.join(b'.' + l if l.startswith(b'.') else l for l in lines)

def session(rng):
    steps = [(rng.choice(['EHLO c.example'] * 8 + ['HELO c.example', 'MAIL FROM:<>']), b'')]
    def put(text, follows=b''):
        steps.append((text, follows))
    for _ in range(rng.randrange(1, 5)):
        if rng.random() < 0.2:
            put(command(rng))
        if rng.random() < 0.95:
            put('MAIL FROM:<%s>%s' % (rng.choice(['', address(rng, 0.6)]), rng.choice(PARAMETERS)))
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            put('RCPT TO:<%s>%s' % (address(rng, 0.6), rng.choice(RCPT_PARAMETERS)))
        if rng.random() < 0.15:
            put(command(rng))
        kind = rng.random()
        if kind < 0.7:
            put('DATA', body(rng) + b'.\r\n')
        elif kind < 0.9:
            for last in ([''] * rng.randrange(3) + [' LAST']):
                chunk = body(rng)
                put('BDAT %d%s' % (len(chunk), last), chunk)
                if rng.random() < 0.1:
                    put(command(rng))
    return steps[:18] + [('QUIT', b'')] # mm ends a connection after 20 errors

# ---- both servers ----

taken = 0 # messages that mm has accepted

class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), 20)
        self.socket.settimeout(20)
        self.stream = self.socket.makefile('rb')

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def reply(self):
        """The first digit of the next reply; 'closed' when there is none."""
        try:
            while True:
                line = self.stream.readline()
                if len(line) < 4 or not line.endswith(b'\n'):
                    return 'closed'
                if line[3:4] != b'-':
                    self.text = line
                    return chr(line[0])
        except socket.timeout:
            return 'silence'
        except OSError:
            return 'closed'

    def close(self):
        self.stream.close()
        self.socket.close()

def talk(port, steps):
    """One class for each reply: of commands, and of messages."""
    global taken
    c = Client(port)
    classes = [c.reply()]
    try:
        for text, follows in steps:
            line = text.encode() + b'\r\n'
            c.send(line + follows if text.startswith('BDAT') else line)
            classes.append(c.reply())
            if classes[-1] == '3' and text == 'DATA':
                c.send(follows)
                classes.append(c.reply())
            if port == site.port and classes[-1] == '2' and (text.endswith(' LAST') or text == 'DATA'):
                taken += 1
            if classes[-1] in ('closed', 'silence'):
                break
    finally:
        c.close()
    return classes

def asked(steps, classes):
    """What the last of `classes` answered, and all before it."""
    n = 1
    for i, (text, follows) in enumerate(steps):
        for _ in range(2 if text == 'DATA' and n < len(classes) and classes[n] == '3' else 1):
            n += 1
            if n == len(classes):
                return i
    return len(steps) - 1

def differs(steps):
    """None, or (step, class of Postfix, class of mm, text of both). What comes after the first difference isn't compared: states may differ."""
    theirs, ours = talk(postfix.port, steps), talk(site.port, steps)
    for n, (a, b) in enumerate(zip(theirs, ours)):
        if a != b:
            return asked(steps, theirs[:n + 1]), a, b
    return None

# (the command with what follows it, classes that Postfix and mm give, why, what must have come before) - docs/smtp.md says more.
SLOPPY = r'<(a@@local|a b@|a@local\.test\.>|a\.\.b|\.a@|a\.@|a@-local|a@lo_cal|l{65}|@x\.test:|a>|a@>|a@local\.\.)'
KNOWN = [(pattern, classes.split(), why, before) for pattern, classes, why, before in [
    (r'^(MAIL|RCPT)[^\n]*' + SLOPPY, '25', 'the strict grammar of RFC 5321 4.1.2', ''),
    (r'^MAIL FROM:(<postmaster>| |a@)', '25', 'the strict grammar of RFC 5321 4.1.2', ''),
    (r'^RCPT TO:(<postmaster>|<a@\[)', '25', "this test's policy denies what is not @local.test", ''),
    (r'^(MAIL|RCPT)[^\n]*<"@other', '52', 'Postfix takes an @ in quotes for a route; mm reads it once', ''),
    (r'^(MAIL|RCPT)[^\n]*<(\u00e4|a@l\u00f6)', '25', 'an address in UTF-8 needs SMTPUTF8 (RFC 6531 3.4)', ''),
    (r'SIZE=1 SIZE=2', '25', 'a parameter twice (RFC 5321 4.1.2)', ''),
    (r'^HELP', '52', 'Postfix has no HELP', ''),
    (r'^ NOOP', '25', 'a blank before a command', ''),
    (r'^(DATA|BDAT)[^\n]*\n.*(\0|\r(?!\n))', '25', 'NUL and bare CR are refused', ''),
    (r'^mail', '52', 'mm ends the transaction at a refused chunk, Postfix wants RSET first', 'BDAT'),
    (r'^MAIL', '52', 'Postfix keeps a sender whose SIZE it refused', 'SIZE=9'),
]]

def known(steps, difference):
    at, theirs, ours = difference
    text, history = steps[at][0] + '\n' + steps[at][1].decode('latin-1'), ' '.join(t for t, _ in steps[:at])
    return next((why for pattern, classes, why, before in KNOWN
                 if theirs + ours in classes and re.search(pattern, text, re.S | re.I) and before in history), None)

def shortest(steps):
    """The fewest steps that still differ in a way that isn't known."""
    n = 0
    while n < len(steps):
        fewer = steps[:n] + steps[n + 1:]
        found = differs(fewer) if fewer else None
        if found and not known(fewer, found):
            steps = fewer
        else:
            n += 1
    return steps

def run(count, seed, explain=known):
    rng, reasons, bad = random.Random(seed), {}, {}
    for _ in range(count):
        steps = session(rng)
        found = differs(steps)
        why = found and explain(steps, found)
        if why:
            reasons[why] = reasons.get(why, 0) + 1
        elif found:
            steps = shortest(steps) if explain == known else steps
            found = differs(steps)
            key = (re.sub(r'\d+', 'N', steps[found[0]][0]), found[1:]) if found else 'not again'
            if key not in bad:
                bad[key] = (found, steps)
                explain == known and print('   Postfix %s, mm %s: step %d of %s' % (found[1:] + (found[0], [(t, f[:200]) for t, f in steps]) if found else ('?', '?', 0, steps)), flush=True)
        if len(bad) >= 60:
            break
    return reasons, bad

if not shutil.which('postfix', path=os.environ['PATH'] + ':/usr/sbin'):
    print('skip differential: needs the package postfix')
    done()
if os.geteuid() != 0:
    print('skip differential: needs root')
    done()

site = Site('clang', apply=False)
site.apply(dict(DEFAULT, TrafficPolicies=[POLICY]), {"TrafficPolicyName": "local-only"})
site.start()
os.chmod(site.root, 0o755)
postfix = peers.Postfix(site.root, STRICT)
atexit.register(postfix.close)

@test
def the_same_sessions_get_the_same_replies():
    print('   seed %d, %d sessions' % (SEED, SESSIONS))
    reasons, bad = run(SESSIONS, SEED)
    for why, n in sorted(reasons.items(), key=lambda r: -r[1]):
        print('   %6d: %s' % (n, why))
    equal(len(bad), 0, 'differences without a reason')

@test
def what_was_accepted_is_archived_and_nothing_else():
    site.wait()
    equal(len(site.rows()), taken, 'archived')
    equal(site.verify()['problems'], 0, 'verify')

@test
def control_without_the_reasons_there_are_differences():
    check(len(run(200, SEED, lambda steps, difference: None)[1]) > 5, 'the comparison is blind')

done()
