"""Scans and the end of a JPEG; a file that ends early is read as training programs read it."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from fr_inference.formats import images, jpeg_marks
from fr_inference.formats.images import BadImageError


def picture(size=128):
    """A smooth picture with noise: no row is of one colour."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((size, size))
    return Image.fromarray(np.asarray(coarse) // 2 + rng.integers(0, 99, (size, size, 3), np.uint8))


def jpeg(**options):
    buffer = io.BytesIO()
    picture().save(buffer, 'JPEG', **options)
    return buffer.getvalue()


def scans_of(content):
    """Where each scan's header stands: 0xFF is never followed by 0xDA within a scan."""
    places = [place for place in range(len(content)) if content[place : place + 2] == b'\xff\xda']
    return [*places, len(content)]


@pytest.mark.parametrize(
    'options',
    [{}, {'subsampling': 0}, {'progressive': True}, {'restart_marker_blocks': 1}, {'quality': 100}],
)
def test_whole_files(options):
    content = jpeg(**options)
    found = jpeg_marks.read(content)
    assert found == dataclasses.replace(
        jpeg_marks.read(memoryview(content + bytes(100) + content[:50])), whole=len(content)
    )
    assert (found.scans, found.ended, found.coarse) == (len(scans_of(content)) - 1, True, False)
    assert not images.is_cut_short(content)


def test_a_preview_inside_does_not_count():
    """Neither its scan nor its end: it lies in a block of its own."""
    preview = jpeg()
    assert len(preview) < 2**16 - 2
    block = b'\xff\xe1' + (len(preview) + 2).to_bytes(2, 'big') + preview
    content = jpeg()
    content = content[:2] + block + content[2:]
    assert jpeg_marks.read(content).scans == 1
    assert images.is_cut_short(content[:-20])
    assert not images.is_cut_short(content)


@pytest.mark.parametrize('options', [{}, {'subsampling': 0}, {'restart_marker_blocks': 3}])
@pytest.mark.parametrize('missing', [1, 2, 3, 200, 1000])
def test_what_is_there_is_read_as_pillow_reads_it_for_training(monkeypatch, options, missing):
    """The oracle is Pillow's own switch for files that end early, which holds for the whole process."""
    content = jpeg(**options)[:-missing]
    assert images.is_cut_short(content)
    found = images.decode(content, 'a.jpg')
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(found, expected)
    whole = np.asarray(Image.open(io.BytesIO(jpeg(**options))))
    np.testing.assert_array_equal(found[:64], whole[:64])


@pytest.mark.parametrize('options', [{}, {'restart_marker_blocks': 3}, {'progressive': True}])
def test_half_of_a_picture_is_none(options):
    content = jpeg(**options)
    start = scans_of(content)[0]
    for share in (0.0, 0.1, 0.35):
        with pytest.raises(BadImageError, match='half of the picture') as caught:
            images.decode(content[: start + 20 + int(share * (len(content) - start))], 'a.jpg')
        assert caught.value.field == 'a.jpg'


def test_a_progressive_file_counts_once_every_coefficient_was_there():
    content = jpeg(progressive=True)
    whole = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    errors = []
    for scans, stop in enumerate(scans_of(content)[1:], start=1):
        for cut in (content[: stop - 1], content[: stop + 4]):  # also within the tables of the next
            try:
                error = np.abs(images.decode(cut, 'a.jpg') - whole).mean()
            except BadImageError:
                assert scans <= 6  # of ten scans the sixth refines all that came before
            else:
                assert scans >= 6
                errors.append(error)
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 20  # of noise
    assert errors[-1] < 0.1


def test_marks_without_end():
    with pytest.raises(ValueError, match='markers'):
        jpeg_marks.read(b'\xff\xd8' + b'\xff\xfe\0\2' * 20_000)
    assert not jpeg_marks.read(b'\xff\xd8' + b'\xff' * 10**6).ended
    assert not images.is_cut_short(b'\x89PNG')
