"""The demonstration holds: the attack finds the backbone that learned its training images by heart."""

import pytest

from fr_inference import Settings, auditing
from fr_inference.data import sources
from fr_inference.weights.targets import open_target

SPEC = 'procedural:hard,images=4,seed=1,people=128'


@pytest.fixture(scope='module')
def membership():
    found = auditing.audit_target(
        open_target('demo_leaky'),
        sources.open_faces(SPEC),
        sources.open_faces(f'{SPEC},first=128'),
        settings=Settings(replicates=200),
    )
    return found.record['membership']


def test_the_leak_is_found(membership):
    assert membership['settings']['partial']['auc'] >= 0.85
    assert membership['identity_level']['auc'] >= 0.95


def test_the_controls_find_nothing(membership):
    controls = membership['controls']
    low, high = controls['null']['auc_ci95']
    assert low <= 0.5 <= high
    assert controls['blind']['auc'] < 0.65
