"""How far the leak reaches, in words and drawn: what is survived, what is not, what is not counted."""

import html
import re

from fr_inference.membership.changed_pictures import CHANGES
from fr_inference.report import page, reach_figure
from tests.report import demo

KEY = 'bn-distance/partial'
BLIND = {'auc': 0.5, 'auc_ci95': [0.45, 0.55]}


def entry(change, auc, half=0.05, blind=BLIND):
    ends = [auc - half, min(1, auc + half)]
    sizes = {'images': 512, 'people': 128}
    return {'change': change, 'by': KEY, 'auc': auc, 'auc_ci95': ends, 'blind': blind, **sizes}


def entries(others=None, **aucs):
    """Every change at 0.9 but those given, by names with '_' for '-'."""
    names = ['none', *(change.name for change in CHANGES)]
    found = [entry(name, aucs.get(name.replace('-', '_'), 0.9)) for name in names]
    return found if others is None else [*found, entry('other-photographs', others)]


def test_every_change_of_the_figure_is_named_once():
    found = entries(mirror=0.5, crop_80=0.52, jpeg_50=0.51, jpeg_20=0.8)
    said = reach_figure.in_words(found)
    assert said == (
        'A photograph is recognised unchanged (AUC 0.90), and also when it is shifted by 2 % (0.90), '
        'shifted by 5 % (0.90), cropped to 95 % (0.90), cropped to 90 % (0.90), saved at JPEG quality '
        '90 (0.90) or saved at JPEG quality 20 (0.80). It is not reliably recognised when it is '
        'mirrored (AUC 0.50, 0.45 to 0.55), cropped to 80 % (AUC 0.52, 0.47 to 0.57) or saved at JPEG '
        'quality 50 (AUC 0.51, 0.46 to 0.56).'
    )
    for change in CHANGES:
        assert said.count(f'{change.label} (') == 1


def test_the_control_is_named_where_it_decides():
    found = entries(others=0.9, mirror=0.61, shift_2=0.61)
    found[2]['blind'] = {'auc': 0.58, 'auc_ci95': [0.5, 0.63]}
    found[-1]['blind'] = {'auc': 0.6, 'auc_ci95': [0.55, 0.65]}
    said = reach_figure.in_words(found)
    assert 'when it is mirrored (0.61), shifted by 5 %' in said
    assert 'shifted by 2 % (AUC 0.61, 0.56 to 0.66; the blind control alone reaches 0.58).' in said
    assert '0.85 to 0.95; the blind control fails: AUC 0.60, 0.55 to 0.65).' in said


def test_where_everything_or_nothing_is_recognised():
    assert 'not reliably' not in reach_figure.in_words(entries())
    nothing = {change.name.replace('-', '_'): 0.5 for change in CHANGES}
    said = reach_figure.in_words(entries(**nothing))
    assert said.startswith('Only the unchanged photograph is reliably recognised (AUC 0.90,')
    assert 'and also' not in said
    assert 'too few' in reach_figure.in_words(entries(none=0.51))


def test_other_photographs_of_the_person():
    assert 'people are recognised too (AUC 0.70,' in reach_figure.in_words(entries(others=0.7))
    assert 'people are not reliably recognised' in reach_figure.in_words(entries(others=0.5))
    assert 'same people' not in reach_figure.in_words(entries())


def test_a_copy_is_recognised_above_its_control_alone():
    """Other photographs also need a control that holds: the verdict says no more."""
    found = entries(mirror=0.7)
    for auc, expected in ((0.5, True), (0.6, True), (0.66, False)):
        found[1]['blind'] = {'auc': auc, 'auc_ci95': [auc - 0.04, auc + 0.04]}
        assert reach_figure.recognised(found[1]) == expected
        assert ('mirrored' in reach_figure.in_words(found).split('It is not')[0]) == expected
    others = entry('other-photographs', 0.9, blind={'auc': 0.6, 'auc_ci95': [0.55, 0.65]})
    assert not reach_figure.recognised(others)
    assert reach_figure.recognised({**others, 'blind': BLIND})


def test_the_figure_says_every_change_and_its_alternative_text_every_number():
    found = entries(others=0.61, mirror=0.52)
    drawn = reach_figure.draw(found)
    words = [html.unescape(text) for text in re.findall(r'<text[^>]*>([^<]*)</text>', drawn)]
    for label in ('as it is', *(change.label for change in CHANGES), 'other photographs'):
        assert label in words
    assert {'0.90', '0.52', '0.61'} <= set(words)
    (alt,) = re.findall(r'<svg role="img" aria-label="([^"]*)"', drawn)
    assert 'mirrored AUC 0.52, 0.47 to 0.57' in alt
    assert 'other photographs AUC 0.61, 0.56 to 0.66' in alt


def test_the_page_shows_it_where_it_was_asked_for():
    record = demo.record_of('leaky')
    assert 'How far the leak reaches' not in page.render(demo.audit_of(record), thumbnails=False)
    assert any(
        f'{one["attack"]}/{one["setting"]}' == KEY for one in record['membership']['comparisons']
    )
    record['membership']['reach'] = entries(others=0.5)
    text = html.unescape(page.render(demo.audit_of(record), thumbnails=False))
    assert text.count('How far the leak reaches') == 1
    whole = text[text.index('<section class="whole">') :]
    assert '</figure>' in whole[: whole.index('</section>')]  # in print on one page
    assert re.search(r'\.whole[^{]*\{ break-inside: avoid', text)
    assert reach_figure.in_words(entries(others=0.5)) in text
    assert '512 judged photographs of 128 people are changed' in ' '.join(text.split())
    record['membership']['reach'] = []  # there was no leak
    assert 'How far the leak reaches' not in page.render(demo.audit_of(record), thumbnails=False)
