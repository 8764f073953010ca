"""What a report says of slices: a sentence, and a table in which nothing is dropped."""

import html
import re

import pytest

from fr_inference.report import page, slice_words
from tests.report import demo
from tests.report.comparisons import BAD_NULL, comparison, on_people


def entry(value, auc=None, difference=(0.0, -0.1, 0.1), *, by='images', **known):
    counts = {'members': 1234, 'nonmembers': 30, 'member_people': 15, 'nonmember_people': 12}
    found = {'by': by, 'value': value, **counts, **known}
    if auc is None:
        return found
    middle, *ends = difference
    return found | {
        'auc': auc,
        'auc_ci95': [auc - 0.25, auc + 0.02],
        'difference': middle,
        'difference_ci95': ends,
    }


def sliced(*entries, unsliced=()):
    looked_at = sum('auc' in one for one in entries)
    return {
        **{'least_people': 10, 'looked_at': looked_at},
        **{'slices': list(entries), 'unsliced': list(unsliced)},
    }


HIGHER = entry('a', 0.9, (0.2, 0.1, 0.3), by='column', column='camera')
LOWER = entry('below 3', 0.4, (-0.3, -0.4, -0.1), by='verification')
ALIKE = entry('1', 0.71)
SMALL = entry('10 or more')


@pytest.mark.parametrize(
    ('found', 'words'),
    [
        (sliced(SMALL), ['No slice has 10 people']),
        (sliced(ALIKE), ['The only slice does not certainly differ', '0.700']),
        (sliced(HIGHER), ['The only slice differs', 'Column camera: a (AUC 0.900']),
        (sliced(ALIKE, ALIKE, SMALL), ['Of 2 slices none certainly differs']),
        (sliced(ALIKE, HIGHER), ['Of 2 slices, 1 certainly differs', 'Column camera: a']),
        (sliced(HIGHER, ALIKE, LOWER), ['2 certainly differ ', 'Verification score: below 3']),
    ],
)
def test_the_sentence(found, words):
    said = slice_words.sentence(found, 0.7)
    for word in words:
        assert word in said


def rendered(found, *, controls=None):
    audit = demo.with_comparisons('easy', comparison(**controls or {}), on_people())
    if found is not None:
        audit.record['membership']['slices'] = found
    text = page.render(audit, thumbnails=False)
    start = text.find('<h3>Slices of the judged images')
    return re.split('<h[23]', text[start + 3 :])[0] if start >= 0 else ''


def test_every_slice_has_a_line():
    odd = entry('<b>&', 0.7, by='column', column='"<i>')
    part = rendered(sliced(ALIKE, SMALL, LOWER, HIGHER, odd, unsliced=['no<te']))
    assert re.findall('scope="rowgroup">(.*?)</th>', part) == [
        'Images of the person',
        'Verification score',
        'Column camera',
        'Column &#34;&lt;i&gt;',
    ]
    lines = part[part.index('<tbody>') :].split('<tr')
    assert [re.findall('<td>(.*?)</td>', line)[0] for line in lines if '<td>' in line] == [
        *('1', '10 or more', 'below 3', 'a', '&lt;b&gt;&amp;')
    ]
    (small,) = (line for line in lines if '10 or more' in line)
    assert 'fewer than 10 people' in small
    words = html.unescape(re.sub('<[^>]*>', ' ', part))
    assert '1,234 + 30 images' in words
    assert 'all 4 slices together' in words
    assert 'no<te' in words
    assert 'class=void' not in part


def test_slices_of_an_attack_whose_control_failed_are_grey():
    part = rendered(sliced(ALIKE, SMALL, HIGHER), controls={'null': BAD_NULL})
    assert part.count('<tr class=void>') == 3


def test_without_slices_nothing_is_shown():
    assert rendered(None) == ''
    alone = rendered(sliced(SMALL))
    assert 'No slice has 10 people on each side.' in alone
    assert '<table' not in alone
