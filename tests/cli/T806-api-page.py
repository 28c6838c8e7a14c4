#!/usr/bin/env python3
"""docs/api.md is what the table of operations says; and what the table marks as later, ours or stricter is on the page."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from mm import *
import api_page

MODEL = api_page.load(os.path.join(build('asan'), 'api_model'))
TEXT = open(api_page.PAGE, encoding='utf-8').read()

@test
def the_page_is_the_table():
    check(TEXT.count(api_page.MARK) == 1, 'the line above the printed part is not there')
    check(TEXT.split(api_page.MARK)[1] == api_page.page(MODEL), 'docs/api.md differs: python3 tests/lib/api_page.py --write')

@test
def what_differs_from_the_service_is_named():
    head = TEXT.split(api_page.MARK)[0]
    for name, shape in MODEL['Shapes'].items():
        if shape['CheckedMore']:
            check('`%s`' % name in head, '%s is checked further than the model says, and the page does not say how' % name)
        for m in shape.get('Members', []):
            if m['Ours'] or m['RequiredHere']:
                check('`%s`' % m['Name'] in head, '%s.%s is ours, and the page does not say what it is' % (name, m['Name']))

@test
def a_changed_table_is_seen():
    """The control."""
    MODEL['Operations'][0]['Errors'].pop()
    check(TEXT.split(api_page.MARK)[1] != api_page.page(MODEL), 'a change was not seen')

done()
