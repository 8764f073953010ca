"""Each change against the same by hand, and rows of a copy that are never taken for the original's."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from fr_inference.data.faces import from_arrays
from fr_inference.formats.images import fit_image
from fr_inference.measuring import measurements
from fr_inference.membership import changed_pictures
from fr_inference.membership.changed_pictures import CHANGES
from fr_inference.models.target import InputSpec
from fr_inference.training import recognizer

SIZE = 48
BY_NAME = {change.name: change for change in CHANGES}


def smooth(count, seed=0, size=SIZE):
    """Smooth pictures, of which a JPEG file keeps most."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack(
        [
            np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC))
            for one in coarse
        ]
    )


@pytest.fixture(scope='module')
def image():
    return smooth(1)[0]


def test_the_list():
    assert list(BY_NAME) == [
        *('mirror', 'shift-2', 'shift-5', 'crop-95', 'crop-90', 'crop-80'),
        *('jpeg-90', 'jpeg-50', 'jpeg-20'),
    ]


def test_mirror(image):
    np.testing.assert_array_equal(BY_NAME['mirror'].make(image), np.flip(image, axis=1))


@pytest.mark.parametrize(('name', 'pixels'), [('shift-2', 1), ('shift-5', 2)])
def test_shift_repeats_the_edge(image, name, pixels):
    left = np.repeat(image[:, :1], pixels, axis=1)
    expected = np.concatenate([left, image[:, :-pixels]], axis=1)
    np.testing.assert_array_equal(BY_NAME[name].make(image), expected)


def test_the_smallest_picture_moves_by_a_pixel():
    image = np.arange(3 * 8, dtype=np.uint8).reshape(1, 8, 3)
    np.testing.assert_array_equal(BY_NAME['shift-2'].make(image)[:, 1:], image[:, :-1])


@pytest.mark.parametrize('percent', [95, 90, 80])
def test_crop_is_the_middle_scaled_back(image, percent):
    """Linear interpolation at the centres of the pixels of the smaller box, height and width apart."""
    share = percent / 100
    places = SIZE * (1 - share) / 2 + share * (np.arange(SIZE) + 0.5) - 0.5
    low = np.floor(places).astype(int)
    part = (places - low)[:, None, None]
    rows = (1 - part) * image[low] + part * image[low + 1]
    columns = rows.transpose(1, 0, 2)
    expected = ((1 - part) * columns[low] + part * columns[low + 1]).transpose(1, 0, 2)
    np.testing.assert_allclose(BY_NAME[f'crop-{percent}'].make(image), expected, atol=1.1)


@pytest.mark.parametrize('quality', [90, 50, 20])
def test_jpeg_is_what_a_file_gives(image, quality, tmp_path):
    Image.fromarray(image).save(tmp_path / 'copy.jpg', quality=quality)
    found = BY_NAME[f'jpeg-{quality}'].make(image)
    np.testing.assert_array_equal(found, np.asarray(Image.open(tmp_path / 'copy.jpg')))


def test_a_lower_quality_loses_more(image):
    lost = [
        np.abs(BY_NAME[f'jpeg-{quality}'].make(image).astype(int) - image).mean()
        for quality in (90, 50, 20)
    ]
    assert 0 < lost[0] < lost[1] < lost[2]


@pytest.mark.parametrize('change', CHANGES, ids=lambda change: change.name)
def test_copies_are_made_of_what_the_network_is_fed_with(change):
    images = smooth(2, seed=1, size=60)
    found = changed_pictures.copies(from_arrays(images, 'ab'), change, 24, 20)
    expected = change.make(fit_image(images[1], 24, 20))
    assert expected.shape == (24, 20, 3)
    np.testing.assert_array_equal(found.read(1), expected)
    pickle.loads(pickle.dumps(change))  # processes decode


def test_every_change_has_a_key_of_its_own_and_keeps_what_was_done_before():
    faces = from_arrays(smooth(1), 'a')
    done = [changed_pictures.copies(faces, change, 16, 16).changed(0) for change in CHANGES]
    other = changed_pictures.copies(faces, CHANGES[0], 32, 16).changed(0)
    assert len({'', other, *done}) == len(CHANGES) + 2
    twice = changed_pictures.copies(
        changed_pictures.copies(faces, CHANGES[0], 16, 16), CHANGES[1], 16, 16
    )
    assert twice.changed(0) == f'{done[0]}, {done[1]}'


def test_cached_rows_are_those_of_the_copy(tmp_path):
    """The digest stays that of the original: only `changed` keeps the two apart."""
    target = recognizer.fresh_target('tiny', {}, InputSpec(height=16, width=16), seed=1)
    faces = from_arrays(smooth(3, size=16), 'abc')
    copies = changed_pictures.copies(faces, BY_NAME['mirror'], 16, 16)
    assert [copies.digest(row) for row in range(3)] == [faces.digest(row) for row in range(3)]
    by_hand = from_arrays(np.stack([faces.read(row)[:, ::-1] for row in range(3)]), 'abc')
    expected = measurements.measure(target, by_hand, batch_size=4).embeddings
    plain = measurements.measure(target, faces, batch_size=4, scores=tmp_path).embeddings
    for _ in range(2):  # measured, then out of the cache
        found = measurements.measure(target, copies, batch_size=4, scores=tmp_path).embeddings
        np.testing.assert_array_equal(found, expected)
        assert np.abs(found - plain).min(1).max() > 0
    again = measurements.measure(target, faces, batch_size=4, scores=tmp_path).embeddings
    np.testing.assert_array_equal(again, plain)


def test_recompressing_takes_a_view(image):
    """A mirror image is not contiguous in memory."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[:, ::-1])).save(file, 'JPEG', quality=50)
    np.testing.assert_array_equal(
        changed_pictures.recompressed(image[:, ::-1], quality=50), np.asarray(Image.open(file))
    )
