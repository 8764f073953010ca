"""The page says which leaks, which does not and which failed; it stands alone, as HTML and CSV."""

import concurrent.futures
import csv
import dataclasses
import re

import pytest

from fr_inference.report import batch_figure, batch_page, svg, wording
from fr_inference.report.batch_page import Entry
from tests.report import demo
from tests.report.comparisons import (
    BAD_NULL,
    block,
    brightness,
    combined,
    comparison,
    further,
    on_people,
)
from tests.report.test_page import Elements

NASTY = '</script><script>alert("x")</script> & Søn'


def entry(name, kind, auc=0.8, *, more=(), **figures):
    found = comparison(
        figures=block(auc, auc - 0.03, auc + 0.03, rates=(0.4, None, None)),
        blind=block(0.5, 0.45, 0.55),
        over=(auc - 0.56, auc - 0.44),
    )
    return Entry(
        name=name,
        target=f'/models/{name}.pth',
        status='done',
        report=f'{name}/report.html',
        kind=kind,
        headline='said',
        figures={
            **{'architecture': 'iresnet50', 'images': 3054, 'people': 610, 'seconds': 12.3},
            'target_sha256': '0' * 64,
            **figures,
        },
        comparisons=(found, *more),
    )


FAILED = Entry(name='broken', target=NASTY, status='failed', error=f'--target: {NASTY} not found')
BUG = Entry(name='odd', target='odd.pth', status='bug', error='ZeroDivisionError: by zero')
SHADOWED = comparison(setting='auxiliary', figures=block(0.6, 0.5, 0.7), null=None)
VOID = on_people(null=BAD_NULL)
ENTRIES = [
    entry('first', 'clear', 0.5),
    entry('second', 'leak', 0.7, more=[on_people(over=(0.1, 0.3))]),
    FAILED,
    entry('third', 'leak', 0.9, hit_rate=(0.25, 0.1, 0.4), more=[VOID]),
    BUG,
    entry('a-name_of.many-parts_' * 4 + 'end', 'open', 0.55, more=[SHADOWED, brightness()]),
    Entry(name='later', target='later.pth'),
]


@pytest.fixture(scope='module')
def page():
    return batch_page.render(ENTRIES)


def test_the_summary_says_what_matters_first():
    headline, tone, sentences = batch_page.summary(ENTRIES)
    assert (
        headline
        == '2 of 4 backbones give away training data; 1 open, 1 clear, 2 failed, 1 not done'
    )
    assert tone == 'leak'
    text = '\n'.join(sentences)
    for line in (
        '7 audits: 4 done, 2 failed, 1 waiting.',
        'Largest finding: third. Of 100 pairs of a member and a stranger, the attack on photographs '
        'gets 40 more right (34 to 46) than on a backbone that never saw them.',
        'Leak: third, second (largest excess first).',
        'Clear: first.',
        'Failed: broken, odd.',
    ):
        assert line in text


@pytest.mark.parametrize(
    ('entries', 'headline', 'tone'),
    [
        ([FAILED], 'Nothing audited yet', ''),
        ([entry('a', 'clear'), entry('b', 'clear')], 'No leak found in 2 backbones', 'clear'),
        # An audit that failed, or is still to come, is no all-clear.
        ([entry('a', 'clear'), FAILED], 'No leak found in 1 backbone; 1 failed', 'open'),
        ([entry('a', 'clear'), ENTRIES[-1]], 'No leak found in 1 backbone; 1 not done', 'open'),
        (
            [entry('a', 'clear'), entry('b', 'open'), entry('c', 'invalid')],
            'No leak is shown in 3 backbones: 1 invalid, 1 open, 1 clear',
            'open',
        ),
        (
            [entry('a', 'open'), entry('b', 'invalid'), FAILED],
            'No leak is shown in 2 backbones: 1 invalid, 1 open; 1 failed',
            'open',
        ),
        ([entry('a', 'invalid')], 'No leak is shown in 1 backbone: 1 invalid', 'invalid'),
        ([entry('a', 'leak')], '1 of 1 backbone gives away training data', 'leak'),
        (
            [entry('a', 'leak'), entry('b', 'invalid')],
            '1 of 2 backbones gives away training data; 1 invalid',
            'leak',
        ),
    ],
)
def test_headlines(entries, headline, tone):
    found = batch_page.summary(entries)
    assert found[:2] == (headline, tone)
    text = batch_page.render(entries)
    assert f'<section class="verdict {tone}"' in text


def test_many_verdicts_are_counted_and_no_word_stands_for_all(page):
    words = re.findall(r'<span class="badge (\w+)">(\d [^<]*)</span>', page[: page.index('<h2>')])
    assert words == [
        ('leak', '2 leak'),
        ('open', '1 open'),
        ('clear', '1 clear'),
        ('waiting', '1 waiting'),
        ('failed', '1 failed'),
        ('bug', '1 failed: bug'),
    ]
    alone = batch_page.render([entry('a', 'open')])
    assert 'Verdict: <span class="badge open">open</span>' in alone


def test_leaks_that_only_a_search_shows_are_not_ranked_below_the_others():
    searched = dataclasses.replace(
        entry('a', 'leak', hit_rate=(0.4, 0.3, 0.5)), comparisons=(comparison(over=(-0.2, 0.3)),)
    )
    _, _, sentences = batch_page.summary([searched, entry('b', 'leak', 0.7), entry('c', 'leak')])
    said = 'Leak: c, b (largest excess first); a (by reconstructed faces alone).'
    assert said in sentences


def test_no_figure_of_an_invalid_audit_is_shown_as_a_finding():
    one = entry('a', 'invalid', 0.9, hit_rate=(0.4, 0.3, 0.5))
    assert one.brief == '12 s'
    text = batch_page.render([one, entry('b', 'clear', 0.5)])
    rows = rows_of(text)
    assert rows[0].count('class=void') == rows[0].count('data-label') - 2  # all but counts
    assert wording.NO_FIGURE in rows[0]
    assert 'class=void' not in rows[1]
    figure = text[text.index('<svg') : text.index('</svg>')]
    assert wording.NO_FIGURE in figure
    assert 'no attack, because the audit is invalid. said.' in text


def test_a_leak_that_only_a_search_shows_has_no_excess():
    """Membership inference may stay open beside it."""
    one = dataclasses.replace(
        entry('a', 'leak', hit_rate=(0.4, 0.3, 0.5)), comparisons=(comparison(over=(-0.2, 0.3)),)
    )
    assert not any(text.startswith('Leaks most') for text in batch_page.summary([one])[2])


def test_many_names_are_counted():
    _, _, sentences = batch_page.summary([entry(f'e{number}', 'clear') for number in range(9)])
    assert sentences[-1] == 'Clear: e0, e1, e2, e3, e4, e5 and 3 more.'


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


def rows_of(page):
    body = page[page.index('<tbody>') : page.index('</tbody>')]
    return body.split('<tr>')[1:]


def test_a_row_for_each_with_values_to_sort_by(page):
    rows = rows_of(page)
    heads = len(re.findall('<th[ >]', page))
    assert [row.count('<td') for row in rows] == [heads] * len(ENTRIES)
    assert 'data-value="0.9"' in rows[3]
    assert 'data-value="0.25"' in rows[3]
    # Name and verdict: nothing was measured.
    assert len(re.findall('data-value="[^"]', rows[2])) == 2
    assert '<a href="#failed-3">' in rows[2]
    assert 'id="failed-3"' in page
    assert 'odd/error.txt' in page


def test_every_figure_says_what_it_is_without_the_head_of_its_column(page):
    """As on a phone, where a row is a card and the head is not shown."""
    for row in rows_of(page):
        for cell in re.findall('<td[^>]*>', row)[2:]:
            assert 'data-label="' in cell or 'class="absent"' in cell
    heads = page[page.index('<thead>') : page.index('</thead>')]
    for label in set(re.findall('data-label="(?:AUC, )?([^"]*)"', page)):
        assert label in heads


def test_the_control_of_each_attack_stands_with_it(page):
    row = rows_of(page)[1]
    cells = [cell for cell in row.split('<td') if 'data-label="AUC' in cell]
    assert ['control 0.500<br>0.450 to 0.550' in cell for cell in cells] == [True, False]
    assert 'control 0.520<br>0.460 to 0.580' in cells[1]
    assert row.count('class="control"') == 2


def test_columns_without_a_figure_are_left_out():
    page = batch_page.render([entry('a', 'clear')])
    assert 'Faces found' not in page
    assert 'no member known' not in page
    assert 'still running' not in page
    assert 'What is not counted' not in page


def test_a_newcomers_attack_has_its_column(page):
    head = page[page.index('<thead>') : page.index('</thead>')]
    assert head.count('>AUC</a>') == 4
    assert wording.label(brightness()) in head
    figure = page[page.index('<svg') : page.index('</svg>')]
    assert wording.label(brightness()) in figure


def test_what_is_not_counted_is_grey_and_says_why(page):
    assert rows_of(page)[3].count('class=void') == 1
    assert [row.count('class=void') for row in rows_of(page)[:3]] == [0, 0, 0]
    assert wording.not_counted(VOID) in page[page.index('What is not counted') :]
    figure = page[page.index('<svg') : page.index('</svg>')]
    assert wording.not_counted(VOID, short=True) in figure
    assert f'<small class="why">{wording.not_counted(VOID, short=True)}</small>' in rows_of(page)[3]


def test_an_attack_whose_control_failed_decides_only_where_there_is_no_other():
    one = dataclasses.replace(entry('a', 'open'), comparisons=(VOID, comparison(over=(-0.1, 0.1))))
    assert one.decisive.key == 'bn-distance/partial'
    alone = dataclasses.replace(one, comparisons=(VOID,), kind='invalid')
    assert alone.brief == f'{wording.not_counted(VOID)}; 12 s'


def test_figures_follow_the_colours_of_the_page(page):
    assert page.count('<svg') == 1
    defined = set(re.findall(r'(--[a-z]+):', page))
    assert set(re.findall(r'var\((--[a-z]+)', page)) <= defined
    assert not re.search(r'#00000[1-8]', page)
    assert 'a-name_of.many-parts_a…' in page


def test_csv_holds_the_same_figures(tmp_path):
    batch_page.write(tmp_path, ENTRIES)
    assert {path.name for path in tmp_path.iterdir()} == set(batch_page.FILES)
    with open(tmp_path / 'comparison.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ENTRIES)
    for row, one in zip(rows, ENTRIES, strict=True):

        def cells(name, row=row):
            return [row[f'{name}{end}'] for end in ('', '_low', '_high')]

        assert (row['name'], row['target'], row['error']) == (one.name, one.target, one.error)
        for name in batch_page.INTERVALS:
            assert cells(name) == [str(value) for value in one.measured.get(name, ('', '', ''))]
        for found in one.comparisons:
            expected = [found.figures['auc'], *found.figures['auc_ci95']]
            assert cells(f'auc {found.key}') == [str(value) for value in expected]
        assert row['decided_by'] == (one.decisive.key if one.comparisons else '')
    assert rows[3]['not_counted'] == 'people/partial'
    assert rows[0]['auc brightness/strangers'] == ''
    batch_page.write(tmp_path, [entry('wrong', 'invalid')])  # replaced
    with open(tmp_path / 'comparison.csv', encoding='utf-8', newline='') as file:
        (row,) = csv.DictReader(file)
    assert (row['verdict'], row['not_counted']) == ('invalid', 'bn-distance/partial')
    batch_page.write(tmp_path, ENTRIES[:1])
    assert 'second' not in (tmp_path / 'comparison.html').read_text()


def test_an_entry_is_made_of_a_record():
    record = demo.record_of('few')
    one = batch_page.finished('few', 'few.pth', record, 'few/report.html')
    assert (one.kind, one.decisive.key) == ('leak', 'bn-distance/partial')
    first = record['membership']['comparisons'][0]
    assert one.measured['excess'] == (first['excess']['auc'], *first['excess']['auc_ci95'])
    assert one.measured['hit_rate'][0] == record['inversion']['hit_rate']
    assert one.figures['images'] == 1024
    without = {name: value for name, value in record.items() if name != 'membership'}
    searched = batch_page.finished('few', 'few.pth', without, 'few/report.html')
    assert searched.brief.startswith('hit rate 0.391')


def test_brief():
    assert ENTRIES[1].brief == 'AUC 0.700, 0.670 to 0.730; 12 s'
    figures = {'seconds': 2.0, 'hit_rate': (0.5, 0.2, 0.8)}
    bare = dataclasses.replace(ENTRIES[1], figures=figures, comparisons=())
    assert bare.brief == 'hit rate 0.500, 0.200 to 0.800; 2 s'


def test_figures_fit_a_printed_page():
    """All targets are drawn, on one axis; heads and attacks are not torn apart."""
    entries = [entry(f'e{number}', 'open', 0.9 - number / 60) for number in range(20)]
    drawn = batch_figure.targets(entries, {'bn-distance/partial': 'Distances'})
    assert len(drawn) == 2
    heights = [float(re.search(r'height="([\d.]+)pt"', figure)[1]) for figure in drawn]
    width = 72 * svg.WIDTH
    assert all(height / width < 24 / 10.5 for height in heights)  # centimetres, as in style.css
    names = re.findall(r'>(e\d+)<', ''.join(drawn))
    assert names == [one.name for one in entries]
    ticks = [re.findall(r'>(0\.\d)<', figure) for figure in drawn]
    assert ticks[0] == ticks[1]


def test_threads_do_not_draw_over_each_other(page):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(batch_page.render, [ENTRIES] * 4)) == {page}


def test_columns_are_the_attacks_that_were_chosen_the_papers_and_the_decisive():
    """Twenty columns could not be read; the CSV holds all."""
    found = (
        combined(figures=block(0.51, 0.46, 0.56), over=(-0.03, 0.03)),
        comparison(further=True, best_of={'auc_ci99': [0.4, 0.6], 'excess_ci99': [-0.1, 0.1]}),
        further(),
        further('anchors', reach=(-0.2, 0.2)),
    )
    one = dataclasses.replace(entry('a', 'leak'), comparisons=found)
    keys = ['combined-file/partial', 'bn-distance/partial', 'norm/partial']
    assert [shown.key for shown in one.shown] == keys
    assert one.decisive is found[2]
    text = batch_page.render([one])
    for shown in one.shown:
        assert f'<small>{wording.label(shown)}</small></th>'.replace("'", '&#39;') in text
    assert 'The anchors' not in text
    assert 'all others, up to 1 per audit' in text
