"""The report stands alone, shows what was run and nothing else, and trusts no name."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import markupsafe
import numpy as np
import pytest
from fr_inference.membership.measured import Settings

from fr_inference import auditing
from fr_inference.data import sources
from fr_inference.data.faces import from_arrays
from fr_inference.models.target import InputSpec
from fr_inference.report import html
from fr_inference.training import recognizer

NASTY = '<script>alert("x")</script> & Søn'


def drawn(first, images=3, start=0):
    name = f'procedural:hard,people=8,images={images},size=16,first={first},start={start}'
    return sources.open_faces(name)


def renamed(faces, identity):
    first = faces.identities[0]
    names = tuple(identity if name == first else name for name in faces.identities)
    return dataclasses.replace(faces, identities=names)


def run(norm='batch', **parts):
    config = {'norm': norm, 'width': 4, 'embedding': 8}
    target = recognizer.fresh_target('tiny', config, InputSpec(height=16, width=16), 0)
    return auditing.audit_target(
        dataclasses.replace(target, name=NASTY),
        renamed(drawn(0), NASTY),
        drawn(8),
        settings=Settings(replicates=100),
        command=f'python -m experiments.audit --out={NASTY}',
        **parts,
    )


@pytest.fixture(scope='module')
def whole():
    return run(
        member_identities=renamed(drawn(0, start=3), NASTY),
        shift=from_arrays(
            np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8), range(6), 'noise'
        ),
    )


@pytest.fixture(scope='module')
def page(whole):
    return html.render(whole)


class Elements(HTMLParser):
    """Collects every element and its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_no_reference_leaves_the_file(page):
    for tag, attributes in Elements(page).found:
        assert tag not in ('script', 'link', 'iframe', 'object')
        for name in ('src', 'href', 'xlink:href'):
            value = attributes.get(name) or ''
            assert value == '' or value.startswith(('data:image/jpeg;base64,', '#')), (tag, value)
    assert not re.search(r'url\((?!#)', page)
    assert '@import' not in page


def test_names_are_text(page):
    assert '<script' not in page
    assert '&lt;script&gt;' in page
    assert 'Søn' in page


def test_every_part_is_there(page):
    for text in (
        'What was found, beside its controls',
        'How many are found at what price',
        'How members and strangers differ',
        'Who is compared with whom',
        'Most exposed people',
        'Limits',
        'Provenance',
    ):
        assert text in page
    assert page.count('<svg') == 5
    assert page.count('<figcaption>') == 5
    assert len(re.findall(r'<tr><td>.*(?:against)', page)) == 4


def test_figures_follow_the_colours_of_the_page(page):
    assert 'prefers-color-scheme: dark' in page
    defined = set(re.findall(r'(--[a-z]+):', page))
    assert set(re.findall(r'var\((--[a-z]+)\)', page)) <= defined
    assert not re.search(r'#00000[1-8]', page)  # every placeholder was replaced


def test_references_inside_figures_are_unique_and_meet(page):
    names = re.findall(r'\sid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(names)


def test_figures_of_the_table_are_those_of_the_record(whole, page):
    membership = whole.record['membership']
    for value in (
        membership['settings']['partial']['auc'],
        membership['settings']['partial']['accuracy'],
        membership['controls']['blind']['auc'],
        membership['controls']['null']['auc'],
    ):
        assert f'{value:.3f}' in page
    assert f'{membership["controls"]["excess"]["auc"]:+.3f}' in page
    assert 'resolvable' in page  # 24 strangers can not resolve 0.1 %


def test_thumbnails_can_be_left_out(whole, page):
    images = sum(len(person['rows']) for person in whole.record['exposed'])
    assert page.count('<img') == images > 0
    without = html.render(whole, thumbnails=False)
    assert '<img' not in without
    assert 'faces were\nleft out on request' in without


def test_parts_that_were_not_run_are_absent():
    page = html.render(run(norm='group'))
    assert page.count('<svg') == 2  # overview and ROC of the attack on people
    assert 'Who is compared with whom' not in page
    assert 'How members and strangers differ' not in page
    assert 'can not be run' in page


def test_same_audit_same_report(whole, page):
    assert html.render(whole) == page


@pytest.mark.parametrize('recipe', [{'note': 'x <b>'}, {'trained_epochs': 'x', 'epochs': 1}])
def test_a_recipe_of_somebody_else_is_shown_as_it_is(whole, recipe):
    record = {**whole.record, 'target': {**whole.record['target'], 'recipe': recipe}}
    page = html.render(dataclasses.replace(whole, record=record), thumbnails=False)
    assert str(markupsafe.escape(json.dumps(recipe))) in page


def test_our_own_recipe_is_a_sentence():
    recipe = {'trained_epochs': 3, 'epochs': 20, 'images': 5120, 'identities': 64, 'faces': 'F'}
    assert html._trained(recipe) == '3 of 20 epochs on 5,120 images of 64 people (F)'


def test_one_reconstruction_of_each_centre_is_shown_first():
    expected = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    assert html._first(np.repeat(np.arange(4), 3)).tolist() == expected
    assert html._first(np.zeros(20, int)).tolist() == list(range(12))
    assert html._first(np.arange(20)).tolist() == list(range(12))
