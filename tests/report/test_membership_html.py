"""What a report shows of membership inference: every attack once, beside its controls."""

import dataclasses
import html
import re

import pytest

from fr_inference.report import membership_figures, page, svg, wording
from tests.report import demo
from tests.report.comparisons import (
    BAD_BLIND,
    BAD_NULL,
    block,
    brightness,
    combined,
    comparison,
    further,
    on_people,
)
from tests.report.test_page import box_of

FAILED = [
    (comparison, {'null': BAD_NULL}),
    (on_people, {'null': BAD_NULL}),
    (on_people, {'blind': BAD_BLIND}),
    (brightness, {'null': BAD_NULL, 'blind': BAD_BLIND}),
]


@pytest.mark.parametrize(('make', 'controls'), FAILED)
def test_verdict_table_and_figure_say_the_same_of_a_failed_control(make, controls):
    failed = make(**controls)
    others = [one for one in (comparison(), on_people(), brightness()) if one.key != failed.key]
    text = page.render(demo.with_comparisons('easy', failed, *others))
    words = wording.not_counted(failed)
    assert words in box_of(text)
    (table,) = re.findall(r'<table class="attacks[^>]*>.*?</table>', text, re.DOTALL)
    assert words in html.unescape(table)
    (row,) = re.findall(r'<tr class=void>.*?</tr>', table, re.DOTALL)
    assert wording.name(failed) in html.unescape(row)
    rows = re.findall(r'<tr.*?</tr>', table, re.DOTALL)
    assert words in html.unescape(rows[rows.index(row) + 1])
    assert words in demo.words_of_figure(text, 'overview')
    short = f'{wording.label(failed)} {wording.not_counted(failed, short=True)}'
    assert short in demo.words_of_figure(text, 'roc')
    shown = text[text.index('How members and strangers differ') :]
    assert f'{wording.label(failed)}: the logit' not in html.unescape(shown)


def test_a_control_failed_and_the_further_attack_shows_nothing():
    """No attack that counts has logits to draw: the page is made without them."""
    failed, other = comparison(null=BAD_NULL), further(reach=(-0.1, 0.1))
    assert (failed.kind, other.valid, other.kind == 'leak') == ('invalid', True, False)
    text = page.render(demo.with_comparisons('easy', failed, other), thumbnails=False)
    assert 'the logit' not in text


@pytest.mark.parametrize('controls', [{}, {'null': BAD_NULL}, {'blind': BAD_BLIND}])
def test_populations_say_whether_their_attack_is_counted(controls):
    """It is the first on photographs: others that are counted do not make its figures sound."""
    first = comparison(**controls)
    auxiliary = comparison(setting='auxiliary')
    text = page.render(
        demo.with_comparisons('easy', first, auxiliary, on_people()), thumbnails=False
    )
    table = html.unescape(text[text.index('Who is compared with whom') :])
    table = table[: table.index('</table>')]
    rows = len(demo.record_of('easy')['membership']['populations'])
    assert table.count('<tr class=void>') == rows * bool(controls)
    assert table.count('class="void why"') == bool(controls)
    if controls:
        short, reason = wording.not_counted(first, short=True), wording.not_counted(first)
        assert table.count(f'<small>{short}</small>') == rows
        assert table.count(reason) == 1


def test_the_control_without_a_backbone_is_shown_where_it_was_run():
    found = dataclasses.replace(comparison(), pictures=block(0.42, 0.4, 0.44))
    text = page.render(demo.with_comparisons('easy', found, on_people()), thumbnails=False)
    assert 'Pictures alone</a><small>photographs</small></td>' in text
    assert '<td data-label="AUC">0.420<small>0.400 to 0.440</small></td>' in text
    assert 'pictures alone' in demo.words_of_figure(text, 'overview')
    without = page.render(
        demo.with_comparisons('easy', comparison(), on_people()), thumbnails=False
    )
    assert 'ictures alone' not in without


def test_a_failed_attack_is_grey_in_the_figure():
    colour, _, sign = svg.look(0, counted=False)
    assert (colour, sign) == ('#000007', 'x')
    drawn = membership_figures.overview([on_people(null=BAD_NULL)])
    assert 'var(--muted)' in drawn
    for tint in ('--member', '--people', '--auxiliary', '--stranger'):
        assert f'var({tint})' not in drawn


def test_the_controls_of_the_first_attack_stand_beside_its_curve():
    audit = demo.audit_of(demo.record_of('easy'))
    words = demo.words_of_figure(page.render(audit, thumbnails=False), 'roc')
    assert 'blind control of the first' in words
    assert 'null control of the first' in words


def test_the_auxiliary_attack_shows_its_own_null():
    shadowed = comparison(setting='auxiliary', null=BAD_NULL)
    text = page.render(demo.with_comparisons('easy', comparison(), shadowed))
    assert '0.875<small>0.574 to 1.000</small>' in text
    assert '0.510<small>0.450 to 0.570</small>' in text
    assert text.count('<tr class=void>') == 1


def test_a_newcomers_attack_appears_everywhere():
    text = html.unescape(page.render(demo.with_comparisons('easy', comparison(), brightness())))
    assert 'nowing images of strangers only, the attack on photographs (Brightness) picks' in text
    assert '<summary>Brightness</summary>' in text
    assert '<td class="knows">strangers only</td>' in text
    for name in ('overview', 'roc'):
        assert wording.label(brightness()) in demo.words_of_figure(text, name)


def table_of(text):
    """The rows of the table of attacks, without tags."""
    (table,) = re.findall(r'<table class="attacks[^>]*>.*?</table>', text, re.DOTALL)
    rows = re.findall(r'<tr.*?</tr>', table, re.DOTALL)
    return [' '.join(html.unescape(re.sub(r'<[^>]*>', ' ', row)).split()) for row in rows]


def test_every_attack_has_a_line_below_those_who_can_do_it():
    best = further('anchors', reach=(0.2, 0.4), over=(0.3, 0.4))
    found = [combined(), comparison(), further(), best, further('norm', setting='strangers')]
    lines = table_of(page.render(demo.with_comparisons('easy', *found), thumbnails=False))
    starts = [line.partition(' Judged')[0] for line in lines]
    assert starts[1] == 'Somebody who only receives embeddings'
    names = 'norm', 'anchors', 'norm'
    papers = [wording.source(name) for name in names]
    for start, name, paper in zip(starts[2:5], names, papers, strict=True):
        assert start.casefold() == f'the {name} {paper}.'.casefold()
    assert starts[5] == 'Somebody who holds the file'
    assert starts[6].startswith('All attacks on the file together')
    assert starts[7].startswith("The paper's attack: BatchNorm distances")
    assert ' strangers only leak 0.800' in lines[4]
    # The interval of the best further one holds for whichever is the best.
    marked = [row for row, line in enumerate(lines) if 'best of 3: +0.200 to +0.400' in line]
    assert marked == [3]


def test_attacks_that_are_not_drawn_are_counted():
    many = [further(name, setting='strangers', reach=(-0.1, 0.1)) for name in ('a', 'b', 'c')]
    text = page.render(demo.with_comparisons('easy', combined(), *many), thumbnails=False)
    words = demo.words_of_figure(text, 'overview')
    assert ('The a ' in words, 'The b ' in words) == (True, False)
    assert '2 further attacks are in <a href="#attacks">' in text


@pytest.mark.parametrize('used', [None, (0.42, 0.31, 0.55)])
def test_how_much_of_a_collection_was_used(used):
    record = demo.record_of('easy')
    record['membership']['collection'] = used and {
        'share': used[0],
        'share_ci95': list(used[1:]),
        **{'recognised': 0.4, 'tpr': 0.8, 'fpr': 0.1, 'images': 2000, 'people': 500},
    }
    text = re.sub('<[^>]*>', '', page.render(demo.audit_of(record), thumbnails=False))
    if used is None:
        why = 'because the attack that would look for them shows no leak.'
        assert f'How many of its photographs were trained on is not known, {why}' in text
    else:
        said = (
            "About 42 % of the collection's 2,000 photographs of 500 people were trained on (95 % "
        )
        assert f'{said}interval 31 to 55 %)' in html.unescape(text)
    assert 'How much of the collection' not in page.render(demo.audit_of(demo.record_of('easy')))
