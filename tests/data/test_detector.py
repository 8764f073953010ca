"""The detector of the extra: absent, of other content, and which face a picture is about."""

import importlib.machinery
import importlib.util
import pickle

import numpy as np
import pytest

from fr_inference.data import detector
from fr_inference.errors import InputError
from tests.data import detectors


@pytest.fixture
def forgotten():
    """The weights are read anew, and forgotten afterwards."""
    detector._networks.cache_clear()
    yield
    detector._networks.cache_clear()


def test_without_the_extra(forgotten, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError) as caught:
        detector.open_detector('landmarks')
    assert caught.value.field == 'landmarks'
    assert caught.value.hint == "pip install 'fr_inference[align]'"


class Bomb:
    """Runs when it is read as a pickle."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code of a stranger ran')",)


@pytest.mark.parametrize('content', [None, b'', pickle.dumps(Bomb())])
def test_other_weights_are_not_read(forgotten, monkeypatch, tmp_path, content):
    folder = tmp_path / 'assets' / 'weights'
    folder.mkdir(parents=True)
    for name in ('pnet.lz4', 'rnet.lz4', 'onet.lz4'):
        if content is not None:
            (folder / name).write_bytes(content)
    spec = importlib.machinery.ModuleSpec('mtcnn', None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: spec)
    with pytest.raises(InputError) as caught:
        detector.open_detector()
    assert caught.value.field == 'align'
    assert 'pnet.lz4' in caught.value.found


def test_other_processes_can_use_it():
    find = pickle.loads(pickle.dumps(detectors.real()))
    assert len(find.sha256) == 64
    assert find(np.zeros((40, 40, 3), np.uint8))[0].shape == (0, 5)


@pytest.mark.parametrize(
    ('boxes', 'expected'),
    [
        ([(40, 40, 60, 60, 0.9), (0, 0, 100, 100, 0.9)], 1),  # the larger
        ([(0, 0, 20, 20, 0.9), (40, 40, 60, 60, 0.9)], 1),  # the one in the middle
        ([(40, 40, 60, 60, 0.9), (40, 40, 61, 60, 0.71)], 0),  # the certain one
        ([(-500, -500, -400, -400, 0.9)], 0),
    ],
)
def test_the_face_that_a_picture_is_about(boxes, expected):
    assert detector.main_face(np.array(boxes, float), 100, 100) == expected
