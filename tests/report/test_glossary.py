"""Every term of a page is explained in one sentence, where it stands and at the end."""

import re
from importlib import resources

import pytest

from fr_inference.report import batch_page, page
from fr_inference.report.glossary import SENTENCES, TERMS, Glossary
from tests.report import demo, test_batch_page
from tests.report.test_page import Elements


def test_templates_and_glossary_name_the_same_terms():
    folder = resources.files('fr_inference').joinpath('report')
    files = [file for file in folder.iterdir() if file.name.endswith('.html')]
    used = {key for file in files for key in re.findall(r"term\('(\w+)'", file.read_text())}
    assert used | set(SENTENCES) == set(TERMS)


@pytest.mark.parametrize('key', TERMS)
def test_a_term_has_one_short_sentence(key):
    name, meaning = TERMS[key]
    assert re.fullmatch(r'[A-Z][^.]*(\d\.\d[^.]*)*\.', meaning)  # one full stop, but in numbers
    assert len(meaning) <= 200
    assert name.lower() not in meaning.lower().split(':')[0].split()  # not explained by itself


def test_text_in_place_of_the_term_is_text():
    glossary = Glossary()
    assert '>&lt;b&gt;</a>' in glossary.term('auc', '<b>')
    assert glossary.used == [('auc', *TERMS['auc'])]


def test_words_of_a_sentence_are_explained_where_they_first_stand():
    glossary = Glossary()
    text = 'a backbone (--member_identities, 95 % interval) & members; a member, backbones'
    marked = glossary.explained(text)
    assert re.sub('<[^>]*>', '', marked) == text.replace('&', '&amp;')
    assert re.findall('>([^<]*)</a>', marked) == ['backbone', '95 % interval', 'members']
    assert glossary.explained('a member') == 'a member'


@pytest.mark.parametrize('name', [*demo.NAMES, 'comparison'])
def test_what_a_term_means_is_shown_beside_it_and_listed(name):
    if name == 'comparison':
        text = batch_page.render(test_batch_page.ENTRIES)
    else:
        text = page.render(demo.audit_of(demo.record_of(name)), thumbnails=False)
    found = Elements(text).found
    terms = [attributes for _, attributes in found if attributes.get('class') == 'term']
    tips = {term['href'][1:]: term['data-tip'] for term in terms if term['href'] != '#fed'}
    listed = {attributes['id'] for tag, attributes in found if tag == 'dd' and 'id' in attributes}
    assert set(tips) == listed
    if name != 'comparison':  # the box explains its words, each where it first stands
        box = text[text.index('<section class="verdict') : text.index('</section>')]
        keys = re.findall(r'href="#term-(\w+)"', box)
        assert {'backbone', 'member', 'stranger', 'interval'} <= set(keys)
        assert ('generator' in keys) == (name == 'few')
        assert len(keys) == len(set(keys))
    for key, tip in tips.items():
        assert tip == TERMS[key.removeprefix('term-')][1]
