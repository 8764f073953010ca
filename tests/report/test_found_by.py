"""Members above nearly all strangers, and which attacks agree on them."""

import dataclasses

import numpy as np
import pytest

from fr_inference.metrics.intervals import Scored
from fr_inference.report import found_by
from tests.report.comparisons import BAD_NULL, combined, comparison, further, on_people


def scored(one, scores, strangers=100):
    """With these scores of the members, and 1 to 100 of the strangers."""
    member = np.arange(len(scores) + strangers) < len(scores)
    values = np.concatenate([np.asarray(scores, float), np.arange(1, strangers + 1)])
    names = tuple(f'{side}-{row}' for row, side in enumerate(member))
    return dataclasses.replace(one, scored=Scored(scores=values, member=member, identities=names))


def test_members_above_nearly_all_strangers_are_counted_by_who_finds_them():
    """Above all but 10 of 100 strangers is above 90."""
    found = found_by.overlap(
        [
            scored(combined(), [95, 95, 90, 91, 0]),
            scored(comparison(further=True), [91, 0, 90, 0, 0]),
        ]
    )
    assert (found.rate, found.members, found.strangers) == (0.1, 5, 100)
    assert found.found == (3, 1)
    # The same ten strangers lie above both thresholds.
    assert found.combinations == (((True, False), 2, 0), ((True, True), 1, 10))
    assert found.missed == 2


def test_a_thousand_strangers_resolve_one_in_a_hundred():
    found = found_by.overlap(
        [scored(combined(), [991, 990], 1000), scored(comparison(further=True), [0, 2000], 1000)]
    )
    assert (found.rate, found.found) == (0.01, (1, 1))


@pytest.mark.parametrize(
    'others',
    [
        [],
        [scored(further(null=BAD_NULL), [1, 2])],  # not counted
        [scored(further(setting='strangers'), [1, 2])],  # knows something else
        [scored(on_people(), [1, 2])],  # judges something else
        [scored(further(), [1, 2, 3])],  # judged on others
        [further()],  # read from a file
    ],
)
def test_nothing_to_compare(others):
    assert found_by.overlap([scored(combined(), [1, 2]), *others]) is None


def test_too_few_strangers_to_tell():
    assert found_by.overlap([scored(one, [1, 2], 99) for one in (combined(), further())]) is None


def test_at_most_five_attacks_those_that_leak_first():
    quiet = [further(name, reach=(-0.1, 0.1)) for name in 'abcd']
    leaking = further('leaking')
    found = found_by.overlap(
        [scored(one, [1, 2]) for one in (combined(), *quiet, leaking, comparison(further=True))]
    )
    assert [one.attack for one in found.attacks] == [
        'combined-file',
        'a',
        'b',
        'leaking',
        'bn-distance',
    ]


def test_the_figure_holds_every_number():
    drawn = found_by.draw(
        found_by.overlap(
            [scored(combined(), [95, 95, 0]), scored(comparison(further=True), [0, 95, 0])]
        )
    )
    for words in (
        'A  All attacks on the file together: 2 of 3',
        "B  The paper's attack: BatchNorm distances: 1 of 3",
        'by none of them',
        '1 (10 strangers)',
    ):
        assert f'>{words}</text>' in drawn
