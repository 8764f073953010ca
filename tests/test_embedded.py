"""The demonstration holds: the attack finds the backbone that learned its training images by heart."""

import pytest

import fr_inference

SPEC = 'procedural:hard,images=4,seed=1,people=128'


@pytest.fixture(scope='module')
def comparisons():
    found = fr_inference.audit(
        'demo_leaky',
        members=SPEC,
        nonmembers=f'{SPEC},first=128',
        settings=fr_inference.Settings(replicates=200),
    )
    return {comparison.key: comparison for comparison in found.comparisons}


def test_the_leak_is_found(comparisons):
    assert comparisons['bn-distance/partial'].figures['auc'] >= 0.85
    assert comparisons['people/partial'].figures['auc'] >= 0.95


def test_the_controls_find_nothing(comparisons):
    found = comparisons['bn-distance/partial']
    low, high = found.null['auc_ci95']
    assert low <= 0.5 <= high
    assert found.blind['auc'] < 0.65
    assert found.valid
