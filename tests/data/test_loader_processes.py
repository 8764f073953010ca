"""Threads and processes give the same batches."""

import dataclasses

import numpy as np
import pytest

from fr_inference.data import insightface, loader
from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.data.loader import Decoders
from fr_inference.errors import InputError
from fr_inference.formats.images import fit_image
from tests.data import records

COUNT = 60
BAD = (7, 31, 32)


@pytest.fixture(scope='module')
def faces(tmp_path_factory):
    path = tmp_path_factory.mktemp('rec') / 'train'
    people = {
        label: [
            b'no image' if 10 * label + n in BAD else records.jpeg(10 * label + n)
            for n in range(10)
        ]
        for label in range(COUNT // 10)
    }
    records.write(path, records.training_set(people))
    return insightface.open_record(path.with_suffix('.rec'))


@pytest.fixture(scope='module')
def processes(faces):
    with Decoders(faces, processes=2) as decoders:
        yield decoders


def collect(faces, decoders=None, **options):
    skipped = []
    found = list(
        loader.batches(
            faces, height=12, width=10, batch_size=7, skipped=skipped, decoders=decoders, **options
        )
    )
    images = np.concatenate([batch.images[batch.mask] for batch in found])
    return images, np.concatenate([batch.index[batch.mask] for batch in found]), skipped


def test_processes_and_threads_agree(faces, processes):
    assert processes.count == 2
    images, index, skipped = collect(faces, skip_bad=True)
    assert index.tolist() == [row for row in range(COUNT) if row not in BAD]
    assert [path for path, _ in skipped] == [faces.paths[row] for row in BAD]
    for decoders in (processes, processes):  # which serve any number of calls
        again = collect(faces, decoders, skip_bad=True)
        np.testing.assert_array_equal(again[0], images)
        np.testing.assert_array_equal(again[1], index)
        assert again[2] == skipped


def test_order_and_choice(faces, processes):
    chosen = [40, 3, 3, 59, 0]
    images, index, _ = collect(faces, processes, indices=chosen)
    assert index.tolist() == chosen
    for image, row in zip(images, chosen, strict=True):
        np.testing.assert_array_equal(image, fit_image(faces.read(row), 12, 10))


def test_the_error_names_the_image(faces, processes):
    with pytest.raises(BadImageError, match=r'train\.rec: record 8 at byte \d+: '):
        collect(faces, processes)


def test_batches_before_a_bad_image_are_given(faces):
    """Whatever part of the images a task reads at once."""
    with Decoders(faces, threads=1) as decoders:
        stream = loader.batches(
            faces, height=8, width=8, batch_size=5, indices=range(5, 20), decoders=decoders
        )
        with pytest.raises(BadImageError):
            next(stream)
        stream = loader.batches(
            faces, height=8, width=8, batch_size=5, indices=range(2, 20), decoders=decoders
        )
        assert next(stream).index.tolist() == [2, 3, 4, 5, 6]
        with pytest.raises(BadImageError):
            next(stream)


def test_stopped_early(faces, processes):
    stream = loader.batches(faces, height=8, width=8, batch_size=2, decoders=processes)
    next(stream)
    stream.close()
    assert len(collect(faces, processes, indices=[1])[1]) == 1


def test_what_can_not_be_sent_is_read_by_threads():
    arrays = from_arrays(np.zeros((3, 8, 8, 3), np.uint8), range(3))
    unsendable = dataclasses.replace(arrays, read=lambda index: arrays.read(index))
    with Decoders(unsendable, threads=3, processes=2) as decoders:
        assert decoders.count == 3
        assert len(collect(unsendable, decoders)[1]) == 3


def test_bad_numbers(faces):
    for name, value in (('threads', 0), ('processes', -1)):
        with pytest.raises(InputError) as caught:
            Decoders(faces, **{name: value})
        assert caught.value.field == name
