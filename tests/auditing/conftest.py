"""A tiny target, its faces, and the audit of it that the tests of this folder share."""

import pytest

from fr_inference import auditing, config, opening
from tests.membership.backbones import Small, noise_faces, target_of

SETTINGS = config.Settings(replicates=100, batch_size=16)


@pytest.fixture(scope='module')
def target():
    return target_of(Small())


@pytest.fixture(scope='module')
def members():
    return noise_faces(12, 2, seed=1, name='in')


@pytest.fixture(scope='module')
def nonmembers():
    return noise_faces(16, 2, seed=2, name='out')


@pytest.fixture(scope='module')
def auxiliary():
    return noise_faces(8, 2, seed=3, name='aux')


@pytest.fixture(scope='module')
def audit(target, members, nonmembers):
    """Audits the target on these faces; arguments are fields of `Opened`, and those of `run`."""
    of_run = ('membership', 'workdir', 'command', 'search')

    def run(settings=SETTINGS, **given):
        faces = {'members': members, 'nonmembers': nonmembers}
        faces |= {name: given.pop(name) for name in opening.FACES if name in given}
        how = {name: given.pop(name) for name in of_run if name in given}
        opened = auditing.Opened(**{'target': target, 'faces': faces} | given)
        return auditing.run(opened, settings, **how)

    return run
