"""What intervals can find, against simulated audits whose answer is known."""

import numpy as np
import pytest
from scipy import stats

from fr_inference.metrics import intervals, power
from tests.metrics import power_table


def test_found_in_nine_of_ten_with_the_controls():
    """Two controls fail by chance, with 5 and 2.5 %: the normal distribution's power times that."""
    error = 0.03
    smallest = power.smallest_excess(-1.96 * error, 1.96 * error)
    found = stats.norm.sf(1.96, loc=smallest / error) * 0.95 * 0.975
    assert found == pytest.approx(0.9, abs=1e-4)


def test_people_needed_turn_the_excess_into_the_smallest():
    low, high = -0.08, 0.12
    needed = power.people_needed(low, high, 100, 0.05)
    narrower = np.sqrt(100 / needed)
    assert power.smallest_excess(low * narrower, high * narrower) == pytest.approx(0.05, rel=1e-3)


def test_width_of_the_mann_whitney_statistic():
    """Its variance is (m + n + 1) / (12 m n)."""
    people = 500
    error = power.width(people) / (2 * intervals.student(people))
    assert error == pytest.approx(np.sqrt((2 * people + 1) / (12 * people**2)), rel=1e-3)


def test_images_that_are_all_alike_count_once():
    assert power.width(40, images=7, correlation=1.0) == pytest.approx(power.width(40))
    assert power.width(40, images=7) == pytest.approx(power.width(40) / np.sqrt(7))


@pytest.mark.parametrize('unit', power_table.UNITS)
def test_the_table_against_simulated_audits(unit):
    people = 128
    own, over, share = power_table.simulated(people, unit, audits=60)
    expected = power_table.expected(people, unit)
    assert (own, over) == pytest.approx(expected[:2], rel=0.08)
    assert 0.8 <= share <= 0.99  # 0.9 in the long run; with 60 audits within 0.1 in 99 of 100
