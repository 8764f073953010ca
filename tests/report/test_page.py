"""The report stands alone, shows what was run and nothing else, and trusts no name."""

import html
import json
import re
import types
from html.parser import HTMLParser

import markupsafe
import numpy as np
import pytest

from fr_inference import auditing
from fr_inference.membership.comparison import Comparison
from fr_inference.models.target import origins
from fr_inference.report import page, svg
from fr_inference.report.verdict import comparisons, verdict
from tests.report import demo, studies
from tests.report.comparisons import on_people

NASTY = '<script>alert("x")</script> & Søn'


def nasty(record):
    """The record with a name that is markup wherever a stranger may choose one."""
    record['target']['name'] = NASTY
    record['provenance']['command'] = f'python -m experiments.audit --out={NASTY}'
    record['data']['members']['source'] = NASTY
    if 'exposed' in record:
        record['exposed']['people'][0]['identity'] = NASTY
    record['limits'].append(NASTY)
    record['skipped'].append({'path': NASTY, 'reason': NASTY})
    return record


@pytest.fixture(scope='module', params=demo.NAMES)
def audit(request):
    return demo.audit_of(nasty(demo.record_of(request.param)))


@pytest.fixture(scope='module')
def rendered(audit):
    return page.render(audit)


class Elements(HTMLParser):
    """Collects every element and its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_no_reference_leaves_the_file(rendered):
    for tag, attributes in Elements(rendered).found:
        assert tag not in ('script', 'link', 'iframe', 'object')
        for name in ('src', 'href', 'xlink:href'):
            value = attributes.get(name) or ''
            assert value == '' or value.startswith(('data:image/jpeg;base64,', '#')), (tag, value)
    assert not re.search(r'url\((?!#)', rendered)
    assert '@import' not in rendered


def test_names_are_text(rendered):
    assert '<script' not in rendered
    assert '&lt;script&gt;' in rendered
    assert 'Søn' in rendered


def test_every_part_is_there(audit, rendered):
    leak = verdict(audit.record).kind == 'leak'
    for text in (
        'Who learns what',
        'All attacks',
        'What was found, beside its controls',
        'What this rests on',
        'True positives against false positives',
        'How members and strangers differ',
        'Who is compared with whom',
        'Limits',
        'Provenance',
        '32 × 32 pixels (height × width), RGB, each value v of 0 to 255 as (v − 127.5) / 127.5',
    ):
        assert text in rendered
    assert ('People who can be named' in rendered) == leak
    searched = 'inversion' in audit.record
    assert rendered.count('<svg') == 6 + 2 * searched
    populations = audit.record['membership']['populations']
    assert len(re.findall(r'<small>.* against .* images</small>', rendered)) == len(populations)
    assert ('What was reconstructed' in rendered) == searched


def test_remarks_on_faces_stand_among_the_limits():
    record = demo.record_of('few')
    record['data']['members']['remarks'] = ['left out, images: 3 (<b>a.jpg)', 'another']
    html = page.render(demo.audit_of(record), thumbnails=False)
    limits = html[html.index('id="limits">') : html.index('id="provenance">')]
    assert '<li>Members: left out, images: 3 (&lt;b&gt;a.jpg)</li>' in limits
    assert '<li>Members: another</li>' in limits


def test_figures_follow_the_colours_of_the_page(rendered):
    assert 'prefers-color-scheme: dark' in rendered
    defined = set(re.findall(r'(--[a-z]+):', rendered))
    assert set(re.findall(r'var\((--[a-z]+)\)', rendered)) <= defined
    assert not re.search(r'#00000[1-9a-d]', rendered)  # every placeholder was replaced


def test_references_inside_figures_are_unique_and_meet(rendered):
    names = re.findall(r'\sid="([^"]+)"', rendered)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', rendered)) <= set(names)


def test_tables_move_sideways_in_boxes_of_their_own(rendered):
    """The keyboard reaches them; attacks become cards, and the provenance breaks its lines instead."""
    boxed = len(re.findall(r'<div class="wide" tabindex="0"[^>]*>\s*<table>', rendered))
    own = rendered.count('<table class="provenance">') + rendered.count('<table class="attacks')
    assert boxed == rendered.count('<table') - own >= 1
    assert own == 2
    assert re.search(r'\.wide \{[^}]*overflow-x: auto', rendered)


def test_figures_are_of_one_width_beside_their_captions(rendered):
    """So their letters are of one size, on a phone and on a screen."""
    widths = set(re.findall(r'<svg[^>]* width="([\d.]+)pt"', rendered))
    assert widths == {f'{72 * svg.WIDTH:g}'}
    assert rendered.count('<svg') == rendered.count(
        '<figure class="beside"><div class="drawing"><svg'
    )


def box_of(text):
    """What stands in the box, without its tags."""
    box = text[text.index('<section class="verdict') : text.index('</section>')]
    return html.unescape(re.sub(r'<[^>]*>', '', box))


def test_the_first_screen_is_plain(audit, rendered):
    """One word, its headline, what it means and the facts; of the terms only attacks' names."""
    box, said = box_of(rendered), verdict(audit.record)
    unnamed = box
    for one in audit.comparisons:
        unnamed = unnamed.replace(f'({one.title})', '')
    ((tone, word),) = re.findall(r'class="badge (\w+)">(\w+)<', rendered)
    assert tone == word == said.kind in ('leak', 'clear', 'open', 'invalid')
    assert f'<section class="verdict {word}"' in rendered
    assert f'{{ --tone: var(--{word})' in rendered
    plain = ('AUC', 'logit', 'TPR', 'cosine', 'Top-1', 'Fréchet', 'BatchNorm', 'fitted', 'gallery')
    for term in plain:
        assert term not in unnamed
    parts = [said.headline, *(page.labelled(sentence)[1] for sentence in said.sentences)]
    assert all(part.casefold() in box.casefold() for part in parts)
    places = [box.index(text) for text in ('What it means:', 'Given as members', 'Asked:')]
    assert places == sorted(places)
    assert '#figures' in rendered[: rendered.index('<section')]


def test_an_invalid_audit_says_that_its_figures_say_nothing(rendered):
    words = 'no figure below says anything about the backbone'
    assert words not in rendered
    record = demo.record_of('easy')
    record['data']['members']['in_training_list'] = 0
    assert words in page.render(demo.audit_of(record), thumbnails=False)


def test_reasons_that_the_sentences_do_not_give_stand_in_the_box():
    reasons = [types.SimpleNamespace(text=text) for text in ('It leaks: much.', 'Too few people.')]
    said = types.SimpleNamespace(
        kind='open', headline='A', sentences=('It leaks: much.',), reasons=reasons
    )
    assert page._unsaid(said) == ['Too few people.']
    said.kind = 'leak'
    assert page._unsaid(said) == []


def test_figures_of_the_table_are_those_of_the_record(audit, rendered):
    for entry in audit.record['membership']['comparisons']:
        assert f'{entry["auc"]:.3f}' in rendered
        assert f'{entry["accuracy"]:.3f}' in rendered
        for control in ('blind', 'null'):
            if control in entry:
                assert f'{entry[control]["auc"]:.3f}' in rendered
        assert f'{entry["excess"]["auc"]:+.3f}' in rendered
    unresolved = re.search(r'Not resolvable: found at\s+([^,]*),', rendered)[1]
    assert '0.1 %' in unresolved  # of these strangers that are fewer than ten
    assert 'Found at 0.1' not in rendered


def test_thumbnails_can_be_left_out(audit, rendered):
    exposed = audit.record.get('exposed', {}).get('people', ())
    images = sum(len(person['rows']) for person in exposed)
    if 'inversion' in audit.record:
        images += 3 * 12 + 2 * audit.record['inversion']['targeted']['people']
    assert rendered.count('<img') == images
    assert bool(images) == (verdict(audit.record).kind == 'leak')
    without = page.render(audit, thumbnails=False)
    assert '<img' not in without
    assert ('aces were left out on request' in without) == bool(images)


def test_parts_that_were_not_run_are_absent():
    """Without BatchNorm only people can be attacked."""
    record = demo.record_of('easy')
    record['membership'] = {'comparisons': [on_people().to_json()]}
    record['target']['norm_layers'] = []
    text = page.render(demo.audit_of(record))
    assert text.count('<svg') == 3  # who learns what, overview and ROC of the attack on people
    assert 'Who is compared with whom' not in text
    assert 'How members and strangers differ' not in text


def test_the_input_convention_and_how_images_fit_it():
    record = demo.record_of('easy')
    record['input'] |= {
        'colour': 'bgr',
        'mirror': 'add',
        'mean': [1.0, 2.0, 3.0],
        'origins': {**origins('layout'), 'colour': 'assumed', 'mean': 'given'},
        'check': {'trusted': False, 'remark': 'Sixty-four images do not fit it.'},
        'verification': {
            **{'accuracy': 0.9512, 'accuracy_ci95': [0.9, 0.98], 'pairs': 1200, 'people': 60},
            'folds': 10,
        },
    }
    record['limits'].append('Sixty-four images do not fit it.')
    text = page.render(demo.audit_of(record))
    assert 'BGR, each value v of 0 to 255 as (v − (1, 2, 3)) / 127.5' in text
    assert 'order assumed, range given' in text
    # Verdict, facts, limits, provenance.
    assert text.count('Sixty-four images do not fit it.') == 4
    assert '<small>BGR, may not fit</small>' in text
    assert '95.1 % of 1,200 pairs of 60 people (95 % interval 90.0 to 98.0' in text


def test_a_search_alone_has_no_attacks():
    record = demo.record_of('few')
    del record['membership'], record['exposed']
    text = page.render(demo.audit_of(record))
    assert 'What was reconstructed' in text
    assert 'What was found' not in text


def test_a_search_without_an_attack_has_no_logits():
    """Class centres can be searched for in a backbone without BatchNorm."""
    record = demo.record_of('few')
    del record['membership'], record['exposed'], record['inversion']['members_median_logit']
    del record['inversion']['median_logit']
    audit = demo.audit_of(record)
    text = page.render(audit, thumbnails=False)
    assert "the members' median is" not in text
    assert 'membership logit' not in demo.words_of_figure(text, 'curves')


def test_same_audit_same_report():
    audit = demo.audit_of(demo.record_of('easy'))
    assert page.render(audit) == page.render(audit)


def test_exposed_people_stand_at_a_stated_error_rate():
    text = html.unescape(page.render(demo.audit_of(demo.record_of('few')), thumbnails=False))
    exposed = text[text.index('People who can be named') : text.index('What was reconstructed')]
    exposed = re.sub('<[^>]*>', '', exposed)
    found = demo.record_of('few')['exposed']
    assert f'{found["named"]} of {found["members"]} members' in exposed
    assert (
        f'compared with\n{found["strangers"]} strangers, that they can be named: on average'
        in exposed
    )
    assert (
        'at most 10 % of the people named were not trained\non, if strangers and members are'
        in exposed
    )
    assert f'the smallest that\n{found["strangers"]} strangers allow' in exposed
    assert exposed.count(f'p = {found["people"][0]["p_value"]:.2g}') == len(found['people'])


def test_p_values_are_the_least_only_where_all_are():
    record = demo.record_of('few')
    record['exposed']['people'][-1]['p_value'] *= 2
    assert 'strangers allow' not in page.render(demo.audit_of(record), thumbnails=False)


@pytest.mark.parametrize('nobody', [False, True])
def test_that_a_search_finds_nobody_is_said_only_where_it_does(nobody):
    record = demo.record_of('few')
    if nobody:
        record['inversion']['excess']['hit_rate_ci95'] = [-0.1, 0.1]
    text = page.render(demo.audit_of(record), thumbnails=False)
    assert ('this search finds nobody' in text) == nobody
    assert text.count('does not prove') == nobody  # the limits of an audit say it of its attacks


def test_records_without_scores_have_no_curves():
    audit = demo.audit_of(demo.record_of('easy'))
    audit.comparisons = comparisons(audit.record)
    text = page.render(audit)
    assert 'True positives against false positives' not in text
    assert text.count('<svg') == 4


def test_the_records_are_of_this_schema():
    for name in demo.NAMES:
        record = demo.record_of(name)
        assert record['schema'] == auditing.SCHEMA
        for entry in record['membership']['comparisons']:  # of before there were further attacks
            before = {'references': False, 'further': False}
            assert Comparison.from_json(entry).to_json() == before | entry


@pytest.mark.parametrize('recipe', [{'note': 'x <b>'}, {'trained_epochs': 'x', 'epochs': 1}])
def test_a_recipe_of_somebody_else_is_shown_as_it_is(recipe):
    record = demo.record_of('easy')
    record['target']['recipe'] = recipe
    text = page.render(demo.audit_of(record), thumbnails=False)
    assert str(markupsafe.escape(json.dumps(recipe))) in text


def test_our_own_recipe_is_a_sentence():
    recipe = {'trained_epochs': 3, 'epochs': 20, 'images': 5120, 'identities': 64, 'faces': 'F'}
    assert page._trained(recipe) == '3 of 20 epochs on 5,120 images of 64 people (F)'


def test_one_reconstruction_of_each_centre_is_shown_first():
    expected = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    assert page._first(np.repeat(np.arange(4), 3)).tolist() == expected
    assert page._first(np.zeros(20, int)).tolist() == list(range(12))
    assert page._first(np.arange(20)).tolist() == list(range(12))


def test_a_study_of_defences_is_quoted():
    record = demo.record_of('easy')
    own = record['provenance']['target_sha256']
    rows = [studies.undefended(), studies.row('fold <1>', 'both', why='no reason')]
    for sha256, other in ((own, False), ('0' * 64, True)):
        study = studies.record(rows, sha256=sha256)
        html = page.render(demo.audit_of(record), study=study)
        quoted = html[html.index('<h2 id="what-helps">') : html.index('id="figures"')]
        assert 'defences of demo (2026-11-27)' in quoted
        assert '<li>fold &lt;1&gt; was not run: no reason</li>' in quoted
        assert ('another backbone' in quoted) == other
    assert 'what-helps' not in page.render(demo.audit_of(record))
