"""tests/lib/judges.py - mm, mailauth and rspamd asked about the same messages and the same zone, and their words side by side.

Each judge's answer becomes a Said: its own words, and for each family a word that the three have in common:

    spf    pass fail softfail neutral none temperror permerror
    dkim   pass, none, temperror, bad (whatever else is no pass: the three call it fail, neutral, policy, permerror)
    dmarc  none pass temperror, or what is asked for a message that fails: NONE QUARANTINE REJECT
    arc    none pass fail temperror"""
import collections
from bulk import *
from rspamd import CONTENT, OFF, Rspamd
from verdicts import Judge

FAMILIES = ('spf', 'dkim', 'dmarc', 'arc')
Said = collections.namedtuple('Said', 'spf dkim dmarc arc whole')

def dkim_word(word):
    return word if word in ('pass', 'none', 'temperror') else 'bad'

class Mm:
    name = 'mm'

    def __init__(self, dns):
        self.judge = Judge(dns, 60)

    def all(self, messages):
        return [self.said(v) for v in self.judge.all([m.question() for m in messages])]

    def said(self, v):
        dmarc = v['dmarc']['result']
        return Said(v['spf']['result'], dkim_word(v['dkim']['result']), v['dmarc']['asks'] if dmarc == 'fail' else dmarc, v['arc']['result'], v)

    def end(self):
        self.judge.end()

class Mailauth:
    name = 'mailauth'

    def __init__(self, node, dns):
        self.node, self.dns = node, dns.replace('@', ':')

    def all(self, messages):
        return [self.said(self.node.ask({'op': 'judge', 'raw': base64.b64encode(m.raw).decode(), 'dns': self.dns, 'ip': m.ip, 'helo': m.helo,
                                         'sender': m.sender})) for m in messages]

    def said(self, v):
        """It has its seals among the signatures of DKIM, too: without them, told by what bh= says of them."""
        if 'error' in v:
            return Said(*['raises'] * 4, v)
        words = [s['result'] for s in v['dkim'] if s['b'] not in v['seals']]
        dkim = 'pass' if 'pass' in words else 'temperror' if 'temperror' in words else 'bad' if set(words) - {'none'} else 'none'
        dmarc = v['policy'].strip().upper() if v['dmarc'] == 'fail' else v['dmarc']
        return Said(v['spf'], dkim, dmarc, v['arc'], v)

    def end(self):
        pass

SYMBOLS = {
    'spf': {'R_SPF_ALLOW': 'pass', 'R_SPF_FAIL': 'fail', 'R_SPF_SOFTFAIL': 'softfail', 'R_SPF_NEUTRAL': 'neutral', 'R_SPF_NA': 'none',
            'R_SPF_DNSFAIL': 'temperror', 'R_SPF_PERMFAIL': 'permerror'},
    'dkim': {'R_DKIM_ALLOW': 'pass', 'R_DKIM_REJECT': 'bad', 'R_DKIM_PERMFAIL': 'bad', 'R_DKIM_TEMPFAIL': 'temperror', 'R_DKIM_NA': 'none'},
    'dmarc': {'DMARC_POLICY_ALLOW': 'pass', 'DMARC_POLICY_REJECT': 'REJECT', 'DMARC_POLICY_QUARANTINE': 'QUARANTINE', 'DMARC_POLICY_SOFTFAIL': 'NONE',
              'DMARC_NA': 'none', 'DMARC_BAD_POLICY': 'permerror', 'DMARC_DNSFAIL': 'temperror'},
    'arc': {'ARC_ALLOW': 'pass', 'ARC_REJECT': 'fail', 'ARC_INVALID': 'fail', 'ARC_DNSFAIL': 'temperror', 'ARC_NA': 'none'},
}

class RspamdJudge:
    name = 'rspamd'

    def __init__(self, dns):
        self.daemon = Rspamd(OFF + CONTENT, 'dkim', int(dns.split('@')[1]), 5)

    def all(self, messages):
        return [self.said(self.daemon.check_mail(m.raw, m.ip, m.helo, m.sender)) for m in messages]

    def said(self, symbols):
        words = []
        for family in FAMILIES:
            found = [word for symbol, word in SYMBOLS[family].items() if symbol in symbols]
            words.append('pass' if 'pass' in found else found[0] if found else 'nothing')
        return Said(*words, {n: o for n, o in symbols.items() if n.startswith(('R_', 'DKIM', 'DMARC', 'ARC'))})

    def end(self):
        self.daemon.close()
