"""The copy of the project that the tests of the scripts share."""

import pytest

from tests.launch.standins import Project


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)
