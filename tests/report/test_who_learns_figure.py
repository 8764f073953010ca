"""The first picture says everything in words as well as in colours."""

import html
import re

from fr_inference.report import who_learns, who_learns_figure
from tests.report.comparisons import BAD_NULL, block, combined, further, on_people


def words_of(*found):
    rows = who_learns.cells(found, references=False, shadow=False, chosen=False)
    drawn = who_learns_figure.matrix(rows)
    return drawn, [html.unescape(text) for text in re.findall(r'<text[^>]*>([^<]*)</text>', drawn)]


def test_a_cell_holds_the_figure_its_interval_and_what_follows():
    _, words = words_of(combined(figures=block(0.812, 0.754, 0.861)))
    for text in ('0.81', '0.75 to 0.86', 'leak', 'knows some members', 'holds'):
        assert text in words
    assert words.count('no shadow') == 2


def test_an_attack_whose_control_failed_is_grey_and_said_in_the_usual_words():
    drawn, words = words_of(combined(null=BAD_NULL))
    said = ' '.join(words)
    assert 'not counted because a control failed' in said
    assert 'leak' not in words
    assert 'var(--leak)' not in drawn


def test_a_single_attack_says_so():
    _, words = words_of(further())
    assert 'one attack' in words
    assert 'one attack' not in words_of(combined())[1]


def test_the_attack_on_people_is_a_line_of_its_own():
    _, words = words_of(combined(), on_people())
    assert 'people: 0.90 leak' in words
    assert 'one attack' not in words
    drawn, alone = words_of(on_people(null=BAD_NULL))
    assert ' '.join(alone).count('people: not counted') == 1
    assert '0.90' not in ' '.join(alone)
    assert 'var(--leak)' not in drawn
