"""Training images: the same in memory and read again, and a digest of which they are."""

import dataclasses

import numpy as np
import pytest

from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.errors import InputError
from fr_inference.training import training_images

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
FACES = from_arrays(IMAGES, 'abcde', 'five')


def damaged(*rows):
    def read(index):
        if index in rows:
            raise BadImageError('x', 'damaged')
        return FACES.read(index)

    return dataclasses.replace(FACES, read=read)


@pytest.mark.parametrize('memory', [1 << 30, 0])
def test_any_positions_in_any_order(monkeypatch, memory):
    monkeypatch.setattr(training_images, '_IN_MEMORY_BYTES', memory)
    read, kept = training_images.load(FACES, 8, 8)
    assert kept.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(read(np.array([3, 0, 4])), IMAGES[[3, 0, 4]])


def test_positions_count_what_is_kept():
    read, kept = training_images.load(damaged(0, 3), 8, 8, skip_bad=True)
    assert kept.tolist() == [1, 2, 4]
    np.testing.assert_array_equal(read(np.array([0, 2])), IMAGES[[1, 4]])


def test_what_cannot_be_read():
    with pytest.raises(BadImageError):
        training_images.load(damaged(2), 8, 8)
    with pytest.raises(InputError) as caught:
        training_images.load(damaged(*range(5)), 8, 8, skip_bad=True)
    assert caught.value.field == 'five'


def test_a_large_set_cannot_be_skipped_in(monkeypatch):
    monkeypatch.setattr(training_images, '_IN_MEMORY_BYTES', 0)
    with pytest.raises(InputError) as caught:
        training_images.load(FACES, 8, 8, skip_bad=True)
    assert caught.value.field == 'skip_bad'


def test_digest_of_which_images():
    one = training_images.digest(FACES)
    assert one == training_images.digest(dataclasses.replace(FACES, name='another name'))
    others = [
        FACES.select([1, 0, 2, 3, 4]),
        FACES.select(range(4)),
        dataclasses.replace(FACES, identities=tuple('abcdd')),
    ]
    assert len({one, *map(training_images.digest, others)}) == 4
