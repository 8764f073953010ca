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


LEAK = {'reach': (0.1, 0.5)}
NONE = {'reach': (-0.1, 0.5)}


@pytest.mark.parametrize(
    ('found', 'words'),
    [
        (
            [combined(), further(**LEAK)],
            'Somebody who only receives embeddings picks the member in 80 of 100 cases (75 to 85) '
            'knowing some of the training images. Somebody who holds the file can do the same, and '
            'picks the member in 80 of 100 cases (75 to 85) knowing some of the training images.',
        ),
        (
            [combined(over=(-0.1, 0.1)), further(**NONE)],
            'Somebody who only receives embeddings: the attack "The norm" shows no leak; it picks the '
            'member in 80 of 100 cases (75 to 85). Somebody who holds the file: the combination of all '
            'attacks on the file shows no leak; it picks the member in 80 of 100 cases (75 to 85).',
        ),
        (
            [combined(over=(-0.1, 0.1)), further(**LEAK)],
            'Somebody who holds the file can do the same; the combination of all attacks on the file '
            'shows no leak.',
        ),
        (
            [combined(over=(-0.1, 0.1)), comparison(further=True, headline=False)],
            'training images. A single attack does so; the combination of all attacks shows no leak.',
        ),
        (
            [combined(), further(null=BAD_NULL)],
            'Somebody who only receives embeddings: nothing can be said, because a control of each',
        ),
        (
            [combined(), comparison(further=True)],
            'What is learned by somebody who only receives embeddings was not measured.',
        ),
        (
            [combined(), further(**LEAK), further('reference', references=True, **LEAK)],
            'knowing some of the training images and in 80 (75 to 85) with a reference network.',
        ),
        (
            [combined(), further(**LEAK), further(setting='strangers', **LEAK)],
            'some of the training images and in 80 (75 to 85) knowing images of strangers only.',
        ),
        (
            [combined(), further('a', **NONE), further('b', null=BAD_NULL)],
            'none of 2 attacks on the embeddings shows a leak (1 of them is not counted because a '
            'control failed); the attack "The a" picks the member in',
        ),
    ],
)
def test_a_sentence_for_each_access(found, words):
    assert words in who_learns.to_whom(found)


def test_audits_of_before_say_nothing_of_it():
    assert who_learns.to_whom([comparison(), comparison(setting='auxiliary'), on_people()]) == ''
