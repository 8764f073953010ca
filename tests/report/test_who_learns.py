"""Who learns what: one attack stands for each access and knowledge, fixed before the data were seen."""

import pytest

from fr_inference.report import who_learns
from tests.report.comparisons import BAD_NULL, block, combined, comparison, further, on_people


def cells(*found, references=False, shadow=False, chosen=False):
    rows = who_learns.cells(found, references=references, shadow=shadow, chosen=chosen)
    return [
        [cell.comparison.key if cell.comparison else cell.missing for cell in row] for row in rows
    ]


def test_all_attacks_together_stand_for_an_access():
    strong = further('norm', figures=block(0.99, 0.98, 1.0))
    answers = combined('answers', further=True)
    found = cells(combined(), answers, strong, comparison(), on_people())
    assert found == [
        ['not run', 'no reference given', 'not run', 'no reference given'],
        ['no shadow', 'no reference given', 'no shadow', 'no reference given'],
        [
            'combined-answers/partial',
            'no reference given',
            'combined-file/partial',
            'no reference given',
        ],
    ]


def test_the_first_stands_for_an_access_without_a_combination():
    weak, strong = further('a', over=(0.1, 0.2)), further('b', over=(0.3, 0.4))
    assert cells(weak, strong)[2][0] == 'a/partial'


@pytest.mark.parametrize(
    ('how', 'column', 'words'),
    [
        ({}, 1, 'no reference given'),
        ({'references': True}, 1, 'as without a reference'),
        ({'references': True}, 2, 'as with the embeddings'),
        ({'references': True, 'shadow': True}, 0, 'not run'),
        ({'references': True, 'shadow': True, 'chosen': True}, 0, 'not chosen'),
        ({'references': True}, 0, 'no shadow'),
    ],
)
def test_why_a_cell_is_empty(how, column, words):
    setting = 'strangers' if column else 'partial'
    found = cells(combined('answers', setting=setting), **how)
    assert found[0 if column else 1][column] == words


def test_the_best_further_attack_has_the_largest_excess_among_those_that_count():
    best = further('b', over=(0.3, 0.4))
    failed = further('c', over=(0.4, 0.5), null=BAD_NULL)
    assert who_learns.best_further([comparison(), further('a'), best, failed]) is best
    assert who_learns.best_further([comparison(), failed]) is None


def test_at_most_six_are_drawn():
    chosen = [combined(), combined(setting='auxiliary'), on_people()]
    paper = [comparison(further=True, headline=False)]
    others = [further(name) for name in 'abcdef']
    best = further('best', over=(0.4, 0.6))
    answers = combined('answers', further=True)
    found = who_learns.main([*chosen, answers, *paper, *others, best])
    assert found == [*chosen, answers, *paper, best]


def test_a_single_attack_stands_where_all_together_show_nothing_or_are_not_counted():
    """The first that shows a leak, in the order of the report: neither the strongest nor by name."""
    quiet = further('quiet', reach=(-0.1, 0.5))
    first, strong = further('z'), further('a', figures=block(0.99, 0.98, 1.0), over=(0.4, 0.5))
    for together in (
        combined('answers', further=True, null=BAD_NULL),
        combined('answers', over=(-0.1, 0.1)),
    ):
        assert cells(together, quiet, first, strong)[2][0] == 'z/partial'
        fixed = who_learns.fixed_for([first, strong, together], 'answers', False, 'partial')
        assert fixed is together  # two audits are compared by the same attack
        assert cells(quiet, together)[2][0] == together.key
    sound = combined('answers')
    assert cells(first, sound)[2][0] == sound.key
    # Each knowledge is decided by itself.
    elsewhere = combined('answers', setting='strangers', null=BAD_NULL)
    assert cells(elsewhere, sound, first)[0][0] == elsewhere.key


def test_attacks_on_people_have_the_access_that_they_were_run_with():
    rows = who_learns.cells(
        [on_people(), on_people(access='answers', null=BAD_NULL)],
        references=False,
        shadow=False,
        chosen=False,
    )
    found = [cell.people and cell.people.access for cell in rows[2]]
    assert found == ['answers', None, 'file', None]
    assert [cell.people for cell in rows[0]] == [None] * 4
    assert rows[2][2].comparison is None
