"""The page of a study of defences: a figure for what was measured, a reason for what was not."""

import re

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
    assert 'does not bind whoever holds the file' in answers[2]
    assert 'not run: target: &lt;none&gt;' in fold[1]
    assert '93.0 %' in noise[1]
    assert 'study &lt;it&gt;' in html
    assert 'Model inversion is not part of this version' in html


def test_the_figure_has_a_panel_for_each_access():
    html = defence_page.render(studies.record(ROWS))
    drawing = html[html.index('<svg') : html.index('</svg>')]
    assert 'Whoever holds the file' in drawing
    assert 'Whoever receives embeddings' in drawing
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
