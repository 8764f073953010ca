"""The bound of a call, and how often it is called."""

import pytest

from fr_inference.benchmarking import least_time
from fr_inference.benchmarking.chips import Chip

CHIP = Chip(bfloat16=100.0, float32=50.0, bandwidth=10.0, memory=1, source='none')


@pytest.mark.parametrize(
    ('flops', 'moved', 'narrow', 'seconds', 'bound_by'),
    [
        (1000, 10, True, 10, 'arithmetic'),
        (1000, 10, False, 20, 'arithmetic'),
        (1000, 300, True, 30, 'memory'),
    ],
)
def test_the_longer_one_bounds(flops, moved, narrow, seconds, bound_by):
    found = least_time.of_call(flops, moved, CHIP, narrow=narrow)
    assert found.seconds == seconds
    assert found.bound_by == bound_by


def test_calls_are_whole():
    assert least_time.calls(65, 8, 2) == 5
    assert least_time.calls(64, 8, 2) == 4
