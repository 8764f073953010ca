"""Image files: whatever the bytes, an RGB image within bounds or one line; scaled to any size."""

import concurrent.futures
import io
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

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


@pytest.mark.parametrize(
    'kind', ['png', 'bmp', 'dib', 'webp', 'tif', 'ppm', 'jp2', 'j2k', 'tga', 'pcx', 'sgi', 'apng']
)
def test_lossless(tmp_path, kind):
    options = {'lossless': True} if kind == 'webp' else {}
    path = write(tmp_path / f'a.{kind}', picture(), **options)
    assert path.suffix in images.suffixes()
    np.testing.assert_array_equal(images.read_image(path), picture())


def test_the_first_of_several_pictures(tmp_path):
    first, second = (Image.fromarray(picture(seed)).quantize(16) for seed in (0, 1))
    for kind in ('gif', 'tif', 'png'):
        first.save(tmp_path / f'a.{kind}', save_all=True, append_images=[second])
        found = images.read_image(tmp_path / f'a.{kind}')
        np.testing.assert_array_equal(found, np.asarray(first.convert('RGB')))


def test_pixels_of_an_unknown_scale_are_refused(tmp_path):
    for kind, values in (
        ('tif', np.full((8, 8), 70_000, np.int32)),
        ('tif', np.full((8, 8), 0.5, np.float32)),
        ('pfm', np.full((8, 8), 0.5, np.float32)),
    ):
        Image.fromarray(values).save(tmp_path / f'a.{kind}')
        assert 'whose scale is not known' in refused(tmp_path / f'a.{kind}').found


def test_suffixes_are_those_of_still_images():
    wanted = {
        '.jpg',
        '.jpe',
        '.jfif',
        '.mpo',
        '.png',
        '.tif',
        '.tiff',
        '.bmp',
        '.gif',
        '.webp',
        '.jp2',
    }
    assert wanted | {'.pgm', '.ppm'} <= images.suffixes()
    assert not {'.eps', '.ps', '.pdf', '.mpg', '.wmf', '.h5', '.txt', ''} & images.suffixes()


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
    """One tag is damaged; the orientation is not."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, 'maker'
    path = write(tmp_path / 'a.jpg', picture(), exif=exif)
    plain = images.read_image(write(tmp_path / 'b.jpg', picture()))
    # The tag of the maker's name replaces that of the width.
    path.write_bytes(path.read_bytes().replace(b'\x01\x0f\x00\x02', b'\x01\x00\x00\x02'))
    np.testing.assert_array_equal(images.read_image(path), np.rot90(plain, -1))


@pytest.mark.parametrize('kind', ['png', 'webp', 'bmp', 'gif', 'tiff'])
def test_truncated(tmp_path, kind):
    path = tmp_path / f'half.{kind}'
    whole = encoded(kind)
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(path).found.startswith(('an unreadable', 'no known image'))


@pytest.mark.parametrize(
    'content', [b'', b'hello', b'%!PS-Adobe', b'<!doctype html>', b'\x89HDF\r\n']
)
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


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes(data):
    """Whatever the bytes: an RGB image, or BadImageError, never another exception."""
    content = bytearray(
        encoded(
            data.draw(
                st.sampled_from(
                    ('jpeg', 'png', 'webp', 'bmp', 'gif', 'tiff', 'ppm', 'jpeg2000', 'tga')
                )
            )
        )
    )
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
    ('name', 'found'),
    [
        ('png_9000x9000_mem500.png', 'more than 50,000,000'),
        ('png_9000x9000_full__243_MB_pixels__mem500.png', 'more than 50,000,000'),
        ('jpeg_12000x7000_mem500.jpg', 'more than 50,000,000'),
        ('jpeg_progressive_many_scans_timeout.jpg', '5000 scans of 9000 x 9000 pixels'),
    ],
)
def test_files_that_took_seconds_or_gigabytes(shared, monkeypatch, name, found):
    monkeypatch.setattr(Image.Image, 'load', lambda self: pytest.fail('decoded'))
    assert found in refused(shared / 'cases' / 'hostile' / name).found


MEASURED = """
import resource, sys
from fr_inference.formats import images
images.formats()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image = images.read_image(sys.argv[1], shrink=True)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(*image.shape, (after - before) // 1024)
"""


@pytest.mark.parametrize(
    ('kind', 'size', 'shape'),
    [
        ('jpeg', (12_000, 7_000), (1750, 3000, 3)),
        ('png', (7_000, 7_000), (3500, 3500, 3)),
    ],
)
def test_large_images_take_little_memory_where_their_size_does_not_matter(
    tmp_path, kind, size, shape
):
    """The JPEG is decoded at a quarter of its size, the PNG row by row and then halved."""
    path = tmp_path / f'a.{kind}'
    if kind == 'png':
        path.write_bytes(png_of_zeros(*size))
    else:
        tiny = io.BytesIO()
        Image.new('L', (8, 8)).save(tiny, 'JPEG')
        # The scan of 8 x 8 zeros goes on with zeros to whatever size the header claims.
        content = tiny.getvalue()
        head, _, scan = content.partition(b'\xff\xda')
        at = head.index(b'\xff\xc0') + 5
        head = head[:at] + struct.pack('>HH', *size[::-1]) + head[at + 4 :]
        path.write_bytes(head + b'\xff\xda' + scan[:10] + bytes(2_000_000) + b'\xff\xd9')
    done = subprocess.run(
        [sys.executable, '-c', MEASURED, str(path)], capture_output=True, text=True, check=True
    )
    *found, megabytes = map(int, done.stdout.split())
    assert tuple(found) == shape
    assert megabytes < 300


def test_only_one_large_image_is_decoded_at_a_time(monkeypatch):
    """Whatever the number of threads; small ones go on beside it."""
    running, most = [], []

    def load(self):
        running.append(self)
        most.append(len(running))
        time.sleep(0.02)
        running.remove(self)
        raise OSError('enough')

    large = png_of_zeros(4000, 3500)
    monkeypatch.setattr(ImageFile.ImageFile, 'load', load)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: attempt(images.decode, large, str(n)), range(4)))
    assert all(isinstance(error, BadImageError) for error in found)
    assert max(most) == 1


def test_a_file_in_a_million_pieces_takes_moments(monkeypatch):
    monkeypatch.setattr(images, '_MOST_READS', 1000)
    monkeypatch.setattr(images._Pieces, 'left', 1000)
    jpeg, png = encoded('jpeg'), encoded('png')
    empty = struct.pack('>I', 0) + b'teSt' + struct.pack('>I', zlib.crc32(b'teSt'))
    for content in (
        jpeg[:2] + b'\xff' * 5000 + jpeg[2:],
        png[:33] + empty * 5000 + png[33:],
        b'P6\n#' + b'x' * 5000 + b'\n8 8\n255\n' + bytes(192),
    ):
        found = attempt(images.decode, content, 'a')
        assert isinstance(found, BadImageError)
        assert 'pieces' in str(found)


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
