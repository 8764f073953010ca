"""The comparison says which leaks, which does not and which failed; it stands alone, as page and CSV."""

import concurrent.futures
import csv
import dataclasses
import re

import pytest

from fr_inference.report import comparison
from fr_inference.report.comparison import Entry
from tests.report.test_html import Elements

NASTY = '</script><script>alert("x")</script> & Søn'


def entry(name, kind, auc=0.8, **more):
    figures = {
        **{'architecture': 'iresnet50', 'images': 3054, 'people': 610, 'seconds': 12.3},
        'target_sha256': '0' * 64,
        'auc_partial': (auc, auc - 0.03, auc + 0.03),
        'auc_blind': (0.5, 0.45, 0.55),
        'excess': (auc - 0.5, auc - 0.56, auc - 0.44),
        **more,
    }
    return Entry(
        name=name,
        target=f'/models/{name}.pth',
        status='done',
        report=f'{name}/report.html',
        kind=kind,
        headline='said',
        figures=figures,
    )


FAILED = Entry(name='broken', target=NASTY, status='failed', error=f'--target: {NASTY} not found')
BUG = Entry(name='odd', target='odd.pth', status='bug', error='ZeroDivisionError: by zero')
ENTRIES = [
    entry('first', 'none', 0.5),
    entry('second', 'leak', 0.7, auc_people=(0.9, 0.8, 1.0), tpr_at_1_percent=(0.1, 0.05, 0.2)),
    FAILED,
    entry('third', 'leak', 0.9, hit_rate=(0.25, 0.1, 0.4)),
    BUG,
    entry('a-name_of.many-parts_' * 4 + 'end', 'open', 0.55, auc_auxiliary=(0.6, 0.5, 0.7)),
    Entry(name='later', target='later.pth'),
]


@pytest.fixture(scope='module')
def page():
    return comparison.render(ENTRIES)


def test_the_summary_says_what_matters_first():
    headline, tone, sentences = comparison.summary(ENTRIES)
    assert (headline, tone) == ('2 of 4 backbones give away training data', 'leak')
    text = '\n'.join(sentences)
    for line in (
        '7 audits: 4 done, 2 failed, 1 waiting.',
        'Leaks most: third. Of 100 pairs of a member and a stranger the attack gets 40 more right '
        '(34 to 46) than on a backbone that never saw them.',
        'Leaks shown, the strongest first: third, second.',
        'No leak found: first.',
        'Failed, with the reason below: broken, odd.',
    ):
        assert line in text


@pytest.mark.parametrize(
    ('entries', 'headline', 'tone'),
    [
        ([FAILED], 'Nothing audited yet', 'open'),
        ([entry('a', 'none'), FAILED], 'No leak found in 1 backbone', 'none'),
        ([entry('a', 'none'), entry('b', 'open')], 'Not conclusive for 2 backbones', 'open'),
        ([entry('a', 'invalid')], 'Not conclusive for 1 backbone', 'open'),
        ([entry('a', 'leak')], '1 of 1 backbone gives away', 'leak'),
    ],
)
def test_headlines(entries, headline, tone):
    found = comparison.summary(entries)
    assert found[0].startswith(headline)
    assert found[1] == tone
    assert comparison.render(entries)


def test_many_names_are_counted():
    _, _, sentences = comparison.summary([entry(f'e{number}', 'none') for number in range(9)])
    assert sentences[-1] == 'No leak found: e0, e1, e2, e3, e4, e5 and 3 more.'


def test_no_reference_leaves_the_folder(page):
    for tag, attributes in Elements(page).found:
        assert tag not in ('link', 'iframe', 'object', 'img')
        assert 'src' not in attributes
        for name in ('href', 'xlink:href'):
            value = attributes.get(name) or ''
            assert value == '' or value[0] == '#' or re.fullmatch(r'[\w.-]+/report\.html', value)
    assert not re.search(r'url\((?!#)', page)


def test_text_of_others_is_text(page):
    assert page.count('<script>') == 1
    assert '&lt;script&gt;' in page
    assert 'Søn' in page


def test_a_row_for_each_with_values_to_sort_by(page):
    body = page[page.index('<tbody>') : page.index('</tbody>')]
    rows = body.split('<tr>')[1:]
    heads = len(re.findall('<th[ >]', page))
    assert [row.count('<td') for row in rows] == [heads] * len(ENTRIES)
    assert 'data-value="0.9"' in rows[3]
    assert 'data-value="0.25"' in rows[3]
    assert (
        len(re.findall('data-value="[^"]', rows[2])) == 2
    )  # name and verdict: nothing was measured
    assert '<a href="#failed-3">' in rows[2]
    assert 'id="failed-3"' in page
    assert 'odd/error.txt' in page


def test_columns_without_a_figure_are_left_out():
    page = comparison.render([entry('a', 'none')])
    assert 'Faces found' not in page
    assert 'none known' not in page
    assert 'still running' not in page


def test_figures_follow_the_colours_of_the_page(page):
    assert page.count('<svg') == 1
    defined = set(re.findall(r'(--[a-z]+):', page))
    assert set(re.findall(r'var\((--[a-z]+)', page)) <= defined
    assert not re.search(r'#00000[1-8]', page)
    assert 'a-name_of.many-pa…' in page


def test_csv_holds_the_same_figures(tmp_path):
    comparison.write(tmp_path, ENTRIES)
    assert {path.name for path in tmp_path.iterdir()} == set(comparison.FILES)
    with open(tmp_path / 'comparison.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ENTRIES)
    for row, one in zip(rows, ENTRIES, strict=True):
        assert (row['name'], row['target'], row['error']) == (one.name, one.target, one.error)
        for name in comparison.INTERVALS:
            cells = [row[f'{name}{end}'] for end in ('', '_low', '_high')]
            expected = one.figures.get(name, ('', '', ''))
            assert cells == [str(value) for value in expected]
    comparison.write(tmp_path, ENTRIES[:1])  # replaced
    assert 'second' not in (tmp_path / 'comparison.html').read_text()


def test_brief():
    assert ENTRIES[1].brief == 'AUC 0.700, 0.670 to 0.730; 12 s'
    bare = dataclasses.replace(ENTRIES[1], figures={'seconds': 2.0, 'hit_rate': (0.5, 0.2, 0.8)})
    assert bare.brief == 'hit rate 0.500, 0.200 to 0.800; 2 s'


def test_threads_do_not_draw_over_each_other(page):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(comparison.render, [ENTRIES] * 4)) == {page}
