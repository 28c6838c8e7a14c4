"""tests/lib/given.py - verdicts without DNS: a test build takes those of a sender from MM_TEST_VERDICTS (ingest/mail.c)

The words are those of docs/verdicts.md."""
import json

KINDS = {'spf': ['none', 'neutral', 'pass', 'fail', 'softfail', 'temperror', 'permerror'],
         'dkim': ['none', 'pass', 'fail', 'policy', 'neutral', 'temperror', 'permerror'],
         'arc': ['none', 'pass', 'fail', 'temperror'],
         'dmarc': ['none', 'pass', 'fail', 'temperror', 'permerror'],
         'dmarc_asks': ['none', 'quarantine', 'reject']}
API = {'spf': {'pass': 'PASS', 'fail': 'FAIL', 'none': 'GRAY', 'neutral': 'GRAY', 'softfail': 'GRAY', 'temperror': 'PROCESSING_FAILED',
               'permerror': 'PROCESSING_FAILED'},
       'dkim': {'pass': 'PASS', 'fail': 'FAIL', 'policy': 'FAIL', 'neutral': 'FAIL', 'permerror': 'FAIL', 'none': 'GRAY',
                'temperror': 'PROCESSING_FAILED'},
       'arc': {'pass': 'PASS', 'fail': 'FAIL', 'none': 'GRAY', 'temperror': 'PROCESSING_FAILED'}}

def verdicts(spf='pass', dkim='pass', arc='none', dmarc='pass', dmarc_asks='none'):
    """As the receipt has them."""
    out = {kind: {'verdict': API[kind][word], 'result': word} for kind, word in (('spf', spf), ('dkim', dkim), ('arc', arc))}
    out['dmarc'] = {'result': dmarc, 'policy': 'NONE', 'asks': dmarc_asks.upper()}
    return out

def give(site, by_sender):
    """Before mmd is started: {sender: keywords of verdicts()}."""
    site.env['MM_TEST_VERDICTS'] = json.dumps({sender: verdicts(**words) for sender, words in by_sender.items()})
