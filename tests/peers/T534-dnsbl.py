#!/usr/bin/env python3
"""DNS block lists as add-ons, served by a real name server: addresses and domains, with a key and without, one that refuses, one that fails."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from nsd import *

KEY = 'k%08x' % random.randrange(1 << 32)
nsd = Nsd({
    'bad.example.%s.dbl.test' % KEY: [('A', '127.0.1.2')],
    'from.example.%s.dbl.test' % KEY: [('A', '127.0.1.4'), ('A', '127.0.1.5')],
    'bad.example.dbl.test': [('A', '127.255.255.252')],  # without the key
    '1.0.0.127.ip.test': [('A', '127.0.0.2'), ('TXT', text(b'this machine'))],
    '2.0.0.127.other.test': [('A', '127.0.0.2')],
    '1.0.0.127.refuses.test': [('A', '127.255.255.254')],
    'down.test': [('A', '192.0.2.1')],
}, failing=['down.test'])
ADDONS = {'SPAMHAUS_DBL': {'dnsbl': 'dbl.test', 'lists': 'domain', 'key': KEY}, 'IP': {'dnsbl': 'ip.test', 'lists': 'ip'},
          'OTHER': {'dnsbl': 'other.test', 'lists': 'ip'}, 'REFUSES': {'dnsbl': 'refuses.test', 'lists': 'ip'},
          'DOWN': {'dnsbl': 'down.test', 'lists': 'ip'}}

def asked(addon, field):
    return {'Analysis': {'Analyzer': addon, 'ResultField': field}}

def is_listed(addon, operator='IS_TRUE'):
    return {'BooleanExpression': {'Evaluate': asked(addon, 'addon.is listed'), 'Operator': operator}}

def verdict(addon, word):
    return {'VerdictExpression': {'Evaluate': asked(addon, 'addon.verdict'), 'Operator': 'EQUALS', 'Values': [word]}}

def says(addon, field, operator, value):
    return {'StringExpression': {'Evaluate': asked(addon, field), 'Operator': operator, 'Values': [value]}}

RULES = {
    'domain': [is_listed('SPAMHAUS_DBL'), verdict('SPAMHAUS_DBL', 'FAIL'), says('SPAMHAUS_DBL', 'listedOn', 'EQUALS', 'dbl.test')],
    'code': [says('SPAMHAUS_DBL', 'addon.codes', 'CONTAINS', '127.0.1.5')],
    'ip': [is_listed('IP'), says('IP', 'codes', 'EQUALS', '127.0.0.2'), says('IP', 'listed', 'EQUALS', '127.0.0.1')],
    'other': [is_listed('OTHER', 'IS_FALSE'), verdict('OTHER', 'PASS')],
    'failed': [verdict('REFUSES', 'PROCESSING_FAILED'), verdict('DOWN', 'PROCESSING_FAILED')],
    'never': [is_listed('DOWN', 'IS_FALSE')],
    'neither': [is_listed('REFUSES')],
}

def counts(site):
    return {name: site.count('', name) for name in RULES}

def site_with(config):
    resources = dict(DEFAULT, Archives=[{'ArchiveName': name, 'Retention': {'RetentionPeriod': 'ONE_YEAR'}} for name in RULES],
                     AddonSubscriptions=[{'AddonName': a} for a in ADDONS], AddonInstances=[{'AddonName': a} for a in ADDONS],
                     RuleSets=[{'RuleSetName': 'all', 'Rules': [
                         {'Name': name, 'Conditions': c, 'Actions': [{'Archive': {'TargetArchive': name}}]} for name, c in RULES.items()]}])
    return Site(config=config, resources=resources)

@test
def rules_ask_them():
    site = site_with({'addons': ADDONS, 'dns': {'forward': nsd.forward}}).start()
    site.send(mail('good'), sender='a@good.example')
    site.wait()
    equal(counts(site), {'domain': 0, 'code': 0, 'ip': 1, 'other': 1, 'failed': 1, 'never': 0, 'neither': 0})
    site.send(mail('its sender', sender='x@good.example'), sender='a@Bad.Example')
    site.send(mail('its From', sender='x@from.example'), sender='a@good.example')
    site.send(mail('no sender', sender='x@good.example'), sender='')
    site.wait()
    equal(counts(site), {'domain': 2, 'code': 1, 'ip': 4, 'other': 4, 'failed': 4, 'never': 0, 'neither': 0})
    check(not [l for l in open(site.log, errors='replace') if KEY in l], 'the key is in the log')
    site.stop()
    equal(site.grep([KEY.encode()]), [], 'the key lies in the clear')

@test
def a_list_needs_dns():
    site = Site(config={'addons': {'IP': ADDONS['IP']}})
    site.run('mmd', '--config', site.config, code=2)
    check('addons.IP: a DNS block list needs the section dns' in site.stderr, site.stderr)
    settings = json.load(open(site.config))
    settings['dns'] = {'lists': {}}
    site.write(site.config, json.dumps(settings))
    site.run('mmd', '--config', site.config, code=2)
    check('dns.lists is not known' in site.stderr, site.stderr)

done()
