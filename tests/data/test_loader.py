"""Batches: order and content do not depend on batch size, threads or unreadable neighbours."""

import dataclasses
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.data import loader
from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.errors import InputError


def faces_of(count, size=8):
    images = np.random.default_rng(1).integers(1, 256, (count, size, size, 3), np.uint8)
    return from_arrays(images, range(count), 'faces'), images


def with_bad(faces, bad):
    def read(index):
        if index in bad:
            raise BadImageError(faces.paths[index], 'broken bytes')
        return faces.read(index)

    return dataclasses.replace(faces, read=read)


def collect(faces, batch_size, **options):
    found = list(loader.batches(faces, height=8, width=8, batch_size=batch_size, **options))
    for batch in found:
        assert batch.images.shape == (batch_size, 8, 8, 3)
        assert batch.images.dtype == np.uint8
        assert not batch.images[~batch.mask].any()
        assert not batch.index[~batch.mask].any()
    assert all(batch.mask.all() for batch in found[:-1])
    images = [batch.images[batch.mask] for batch in found]
    index = [batch.index[batch.mask] for batch in found]
    return np.concatenate(images), np.concatenate(index)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 30), batch_size=st.integers(1, 12), threads=st.integers(1, 4))
def test_padding_and_threads_change_neither_order_nor_content(count, batch_size, threads):
    faces, images = faces_of(count)
    found, index = collect(faces, batch_size, threads=threads)
    np.testing.assert_array_equal(index, np.arange(count))
    np.testing.assert_array_equal(found, images)


def test_slow_images_do_not_lose_their_place():
    faces, images = faces_of(20)

    def read(index):
        time.sleep(0.01 if index % 3 == 0 else 0)
        return images[index]

    found, index = collect(dataclasses.replace(faces, read=read), 6, threads=4)
    np.testing.assert_array_equal(index, np.arange(20))
    np.testing.assert_array_equal(found, images)


def test_indices_choose_and_order():
    faces, images = faces_of(10)
    found, index = collect(faces, 3, indices=[7, 2, 2, 9])
    np.testing.assert_array_equal(index, [7, 2, 2, 9])
    np.testing.assert_array_equal(found, images[[7, 2, 2, 9]])


@settings(max_examples=25, deadline=None)
@given(bad=st.sets(st.integers(0, 13), max_size=13), batch_size=st.integers(1, 6))
def test_skip_bad_leaves_out_and_lists(bad, batch_size):
    faces, images = faces_of(14)
    skipped = []
    found, index = collect(with_bad(faces, bad), batch_size, skip_bad=True, skipped=skipped)
    good = [number for number in range(14) if number not in bad]
    np.testing.assert_array_equal(index, good)
    np.testing.assert_array_equal(found, images[good])
    assert skipped == [
        (f'faces#{number}', f'faces#{number}: found broken bytes') for number in sorted(bad)
    ]


def test_unreadable_image_stops_by_default():
    faces, _ = faces_of(10)
    with pytest.raises(BadImageError) as caught:
        collect(with_bad(faces, {6}), 4)
    assert caught.value.field == 'faces#6'


def test_other_errors_are_not_taken_for_bad_images():
    def read(index):
        raise RuntimeError('a bug')

    faces = dataclasses.replace(faces_of(3)[0], read=read)
    with pytest.raises(RuntimeError, match='a bug'):
        collect(faces, 2, skip_bad=True)


def test_nothing_readable_gives_no_batch():
    faces, _ = faces_of(3)
    stream = loader.batches(
        with_bad(faces, {0, 1, 2}), height=8, width=8, batch_size=2, skip_bad=True
    )
    assert list(stream) == []


def test_reads_a_bounded_number_ahead():
    faces, images = faces_of(100)
    asked, lock = [], threading.Lock()

    def read(index):
        with lock:
            asked.append(index)
        return images[index]

    counted = dataclasses.replace(faces, read=read)
    stream = loader.batches(counted, height=8, width=8, batch_size=4)
    next(stream)
    time.sleep(0.1)
    assert len(asked) <= 4 * 4
    stream.close()


def test_bad_batch_size():
    with pytest.raises(InputError) as caught:
        collect(faces_of(2)[0], 0)
    assert caught.value.field == 'batch_size'
