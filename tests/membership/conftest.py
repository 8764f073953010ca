"""Measured images that the tests of this folder share."""

import pytest

from fr_inference.membership import labelled
from tests.membership.backbones import crowd


@pytest.fixture(scope='session')
def images():
    """Twelve members and twelve strangers; members are closer."""
    return crowd(shift=0.7)


@pytest.fixture(scope='session')
def fit(images):
    return labelled.fit_half(images.identities, images.member, 0)
