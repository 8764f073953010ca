"""Image files: whatever the bytes, an RGB image within bounds or one line; scaled to any size."""

import io
import pathlib
import pickle
import struct
import tempfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fr_inference.errors import InputError
from fr_inference.formats import images
from fr_inference.formats.images import BadImageError


def picture(seed=0, height=12, width=10):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def encoded(kind):
    buffer = io.BytesIO()
    Image.fromarray(picture(3, 24, 24)).save(buffer, kind)
    return buffer.getvalue()


def attempt(call, *arguments):
    """Returns what the call gives, or the InputError it raises; nothing else may be raised."""
    try:
        return call(*arguments)
    except InputError as error:
        return error


def refused(path):
    """Returns the error of a file that must be refused, in one line that names it."""
    with pytest.raises(BadImageError) as caught:
        images.read_image(path)
    assert caught.value.field == str(path)
    assert '\n' not in str(caught.value)
    return caught.value


@pytest.mark.parametrize('kind', ['png', 'bmp', 'webp'])
def test_lossless(tmp_path, kind):
    options = {'lossless': True} if kind == 'webp' else {}
    path = write(tmp_path / f'a.{kind}', picture(), **options)
    np.testing.assert_array_equal(images.read_image(path), picture())


def test_jpeg(tmp_path):
    smooth = np.linspace(0, 255, 32 * 24).reshape(32, 24, 1).astype(np.uint8).repeat(3, 2)
    read = images.read_image(write(tmp_path / 'a.JPG', smooth, quality=95))
    assert read.shape == (32, 24, 3)
    np.testing.assert_allclose(read.astype(int), smooth, atol=8)


def test_grey(tmp_path):
    grey = picture()[..., 0]
    read = images.read_image(write(tmp_path / 'a.png', grey))
    np.testing.assert_array_equal(read, np.repeat(grey[..., None], 3, 2))


def test_palette(tmp_path):
    path = tmp_path / 'a.png'
    image = Image.fromarray(picture()).quantize(16)
    image.save(path)
    np.testing.assert_array_equal(images.read_image(path), np.asarray(image.convert('RGB')))


def test_transparency_is_dropped(tmp_path):
    alpha = np.full((12, 10, 1), 255, np.uint8)
    path = write(tmp_path / 'a.png', np.concatenate([picture(), alpha], 2))
    np.testing.assert_array_equal(images.read_image(path), picture())


def test_sixteen_bit_keeps_its_range(tmp_path):
    deep = np.linspace(0, 65535, 120).reshape(12, 10).astype(np.uint16)
    read = images.read_image(write(tmp_path / 'a.png', deep))
    np.testing.assert_array_equal(read, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, 2))


@pytest.mark.parametrize(
    ('orientation', 'upright'),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (6, lambda x: np.rot90(x, -1)),
        (8, lambda x: np.rot90(x)),
    ],
)
def test_exif_rotation(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / 'a.png', picture(), exif=exif)
    np.testing.assert_array_equal(images.read_image(path), upright(picture()))


def test_damaged_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, 'maker'
    path = write(tmp_path / 'a.jpg', picture(), exif=exif)
    # The tag of the maker's name replaces that of the width: Pillow cannot rewrite that.
    path.write_bytes(path.read_bytes().replace(b'\x01\x0f\x00\x02', b'\x01\x00\x00\x02'))
    assert 'an unreadable image' in refused(path).found


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp', 'bmp'])
def test_truncated(tmp_path, kind):
    path = tmp_path / f'half.{kind}'
    whole = encoded(kind)
    path.write_bytes(whole[: len(whole) // 2])
    assert 'unreadable' in refused(path).found


@pytest.mark.parametrize('content', [b'', b'hello', b'%!PS-Adobe', b'GIF89a' + bytes(40)])
def test_other_content(tmp_path, content):
    path = tmp_path / 'odd.jpg'
    path.write_bytes(content)
    assert refused(path).found == 'no known image format'


def test_absent(tmp_path):
    assert refused(tmp_path / 'gone.png').found == 'no such file'


def test_folder_in_place_of_a_file(tmp_path):
    assert 'not a regular file' in refused(tmp_path).found


@pytest.mark.parametrize('shape', [(1, 200_000), (4000, 3)])
def test_strip(tmp_path, shape):
    path = write(tmp_path / 'strip.png', np.zeros(shape, np.uint8))
    assert 'a strip' in refused(path).found


def test_decompression_bomb(tmp_path, monkeypatch):
    path = write(tmp_path / 'bomb.png', np.zeros((400, 400), np.uint8))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100_000)
    refused(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes(data):
    """Whatever the bytes: an RGB image, or BadImageError, never another exception."""
    content = bytearray(encoded(data.draw(st.sampled_from(('jpeg', 'png', 'webp', 'bmp')))))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / 'damaged.png'
        path.write_bytes(bytes(content))
        found = attempt(images.read_image, path)
    if isinstance(found, InputError):
        assert isinstance(found, BadImageError)
        assert 'damaged.png' in str(found)
    else:
        assert found.dtype == np.uint8
        assert found.shape[2:] == (3,)


def png_of_zeros(width, height):
    """A small PNG of any size: one row of zeros again and again, compressed."""

    def chunk(kind, content):
        whole = kind + content
        return struct.pack('>I', len(content)) + whole + struct.pack('>I', zlib.crc32(whole))

    packed = zlib.compressobj(9)
    row = bytes(1 + width)
    rows = b''.join([*(packed.compress(row) for _ in range(height)), packed.flush()])
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    start = b'\x89PNG\r\n\x1a\n'
    return start + chunk(b'IHDR', header) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / 'large.png'
    path.write_bytes(png_of_zeros(8000, 6251))
    monkeypatch.setattr(Image.Image, 'load', lambda self: pytest.fail('decoded'))
    assert '8000 x 6251 pixels, more than 50,000,000' in refused(path).found


@pytest.mark.parametrize(
    'name',
    [
        'png_9000x9000_mem500.png',
        'png_9000x9000_full__243_MB_pixels__mem500.png',
        'jpeg_12000x7000_mem500.jpg',
        'jpeg_progressive_many_scans_timeout.jpg',
    ],
)
def test_files_that_took_seconds_or_gigabytes(shared, monkeypatch, name):
    monkeypatch.setattr(Image.Image, 'load', lambda self: pytest.fail('decoded'))
    assert 'more than 50,000,000' in refused(shared / 'cases' / 'hostile' / name).found


def test_a_bad_image_reaches_another_process_as_it_is():
    error = BadImageError('a.png', 'no such file', 'an image', 'look', inside='line 3')
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error.within('faces')) is BadImageError
    assert str(again) == str(error) == 'a.png: line 3: found no such file, expected an image; look'
    assert str(error.within('faces')) == f'faces: {error}'


def test_right_size_comes_back_untouched():
    image = picture(0, 16, 16)
    np.testing.assert_array_equal(images.fit_image(image, 16, 16), image)


def test_narrow_network_gets_the_middle_columns():
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    np.testing.assert_array_equal(images.fit_image(image, 112, 96), image[:, 8:104])


@settings(max_examples=60, deadline=None)
@given(*(st.integers(1, 70) for _ in range(4)))
def test_any_size_to_any_size(rows, columns, height, width):
    image = np.full((rows, columns, 3), 77, np.uint8)
    fitted = images.fit_image(image, height, width)
    assert fitted.shape == (height, width, 3)
    assert (fitted == 77).all()


def test_scaling_keeps_the_shape_of_things():
    # The left half dark, the right half light, twice as wide as needed: the edge stays in the middle.
    image = np.zeros((40, 160, 3), np.uint8)
    image[:, 80:] = 200
    fitted = images.fit_image(image, 20, 20)
    assert (fitted[:, :9] == 0).all()
    assert (fitted[:, 11:] == 200).all()


def test_a_strip_takes_no_more_memory_than_its_middle():
    """Scaled as a whole it would take 10^5 x 112 x 112 x 3 bytes."""
    strip = np.full((1, 100_000, 3), 9, np.uint8)
    assert (images.fit_image(strip, 112, 112) == 9).all()
    assert (images.fit_image(strip.transpose(1, 0, 2), 112, 96) == 9).all()
    marked = np.arange(20_001, dtype=np.int64).reshape(1, -1, 1) == 10_000
    fitted = images.fit_image(np.repeat(255 * marked, 3, 2).astype(np.uint8), 15, 15)
    assert (fitted[:, 7] == 255).all()
