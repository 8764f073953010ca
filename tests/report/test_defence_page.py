"""The page of a study of defences: a figure for what was measured, a reason for what was not."""

import re

import pytest

from fr_inference.report import defence_page
from tests.report import studies

ROWS = [
    studies.undefended(),
    studies.row('noise:1', 'both', file=(-0.3, -0.4, -0.2), answers=(0.0, -0.02, 0.02)),
    studies.row('answers-round:bits=4', 'both', answers=(0.0, -0.01, 0.01)),
    studies.row('fold', 'both', why='target: <none>'),
]


def table_of(html):
    body = re.search(r'<tbody>(.*?)</tbody>', html, re.DOTALL)[1]
    rows = re.findall(r'<tr.*?</tr>', body, re.DOTALL)
    return [
        [re.sub(r'<[^>]*>', ' ', cell) for cell in re.findall(r'<td.*?</td>', row, re.DOTALL)]
        for row in rows
    ]


def test_every_row_has_its_figures_or_says_why_not():
    html = defence_page.render(studies.record(ROWS))
    first, noise, answers, fold = table_of(html)
    assert '+0.400' in first[2]
    assert '+0.100' in noise[2]
    assert 'change -0.300' in noise[2]
    assert 'lower' in noise[2]
    assert 'as it was' in noise[3]
    assert 'the holder of the file can leave it out' in answers[2]
    assert 'not run: target: &lt;none&gt;' in fold[1]
    assert '93.0 %' in noise[1]
    assert 'study &lt;it&gt;' in html
    assert 'Model inversion was not asked for' in html
    assert 'Reconstructions' not in html


def shares(name, value):
    return {name: value, f'{name}_ci95': [value - 0.1, value + 0.1]}


@pytest.mark.parametrize('templates', [True, False])
def test_reconstructions_stand_beside_leak_and_utility(templates):
    found = {
        'goal': 'centres',
        'search': {
            **shares('hit_rate', 0.7),
            'excess': {**shares('hit_rate', 0.4), 'over': 'selected_only', 'p_value': 0.01},
        },
    }
    if templates:
        found['templates'] = {
            'people': 10,
            **shares('top1', 0.6),
            'selected_only': shares('top1', 0.2),
        }
    rows = [{**ROWS[0], 'inversion': found}, *ROWS[1:]]  # as where no statistics are left
    html = defence_page.render(studies.record(rows))
    first, noise, _, _ = table_of(html)
    assert 'from class centres' in html
    assert 'Model inversion was not asked for' not in html
    assert '70.0 %' in first[2]
    assert 'over the best random faces, not improved +40.0' in first[2]
    assert 'no statistics to guide the search' in noise[2]
    assert ('60.0 %' in first[3]) == templates
    assert len(first) == len(noise) == (6 if templates else 5)


def test_the_figure_has_a_panel_for_each_access():
    html = defence_page.render(studies.record(ROWS))
    drawing = html[html.index('<svg') : html.index('</svg>')]
    assert 'An attacker with the file' in drawing
    assert 'An attacker with embeddings' in drawing
    assert 'knowing no member' not in drawing
    # Without verification there is nothing to draw, and the page says all else.
    bare = [{**row, 'verification': None} for row in ROWS]
    assert '<svg' not in defence_page.render(studies.record(bare))


def test_plain_and_adaptive_attackers_are_told_apart():
    rows = [
        {**studies.undefended(), 'attacker': 'plain'},
        studies.row('noise:1', 'plain', file=(-0.3, -0.4, -0.2), answers=(0.0, -0.02, 0.02)),
        studies.row('noise:1', 'adaptive', file=(0.0, -0.02, 0.02), answers=(0.0, -0.02, 0.02)),
    ]
    html = defence_page.render(studies.record(rows))
    assert [row[1].strip() for row in table_of(html)] == ['–', 'plain', 'adaptive']
    assert 'Hollow: the plain one' in html
