"""Decodes untrusted image files within bounds, and scales them to the input of a network.

Memory is bounded in two ways: only one image of more than 12.5 million pixels is decoded at a time,
whatever the number of threads, and each format has a limit that fits the memory its decoder takes. Time
is bounded by the number of scans of a JPEG, and by the number of pieces in which Pillow's Python code
reads a file.
"""

import contextlib
import ctypes
import functools
import hashlib
import io
import os
import stat
import struct
import threading
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

from fr_inference import errors
from fr_inference.formats import jpeg_marks

MOST_BYTES = 96 << 20  # of one file, which is read as a whole
MOST_PIXELS = 50_000_000
# Limit for formats whose decoders hold an image several times in memory.
_MOST_OF = {'AVIF': 25_000_000, 'GIF': 25_000_000, 'JPEG2000': 16_000_000, 'TIFF': 25_000_000}
_MOST_OF['WEBP'] = 20_000_000
_MOST_SHRUNK = 150_000_000  # of a JPEG of one scan, which is decoded at a smaller scale
_MOST_BUFFERED = 32_000_000  # of a JPEG of several scans: all coefficients are held
_MOST_SCANNED = 400_000_000  # pixels times scans
_MOST_READS = 1_000_000
_LARGE = 12_500_000  # pixels; most photographs of phones are smaller
_STRIP = 1 << 20  # pixels that are converted at a time
# TGA comes last, because its files have no signature.
_FORMATS = (
    *('JPEG', 'PNG', 'BMP', 'DIB', 'WEBP', 'TIFF', 'GIF', 'JPEG2000', 'AVIF', 'PPM'),
    *('PCX', 'SGI', 'SUN', 'TGA'),
)
_LONGEST = 100  # ratio of the sides: no photograph of a face is such a strip
_MIDDLE = 8  # of a longer image only the middle, this many times what is needed, is scaled
_EXPECTED = 'an image (AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TGA, TIFF, WebP)'
_ORIENTATION = 0x0112
_ONE_LARGE = threading.Lock()
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


class BadImageError(errors.InputError):
    """An image that cannot be read; the field is its file, or its place in a file of many."""


@functools.cache
def formats() -> tuple[str, ...]:
    """Returns Pillow's names of the formats that are read: still raster images."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@functools.cache
def suffixes() -> frozenset[str]:
    """Returns the suffixes of files that count as images, as Pillow knows them.

    >>> sorted({'.jpg', '.jfif', '.png', '.tif', '.txt', '.mpeg', '.eps'} & suffixes())
    ['.jfif', '.jpg', '.png', '.tif']
    """
    known = {*formats(), 'MPO'}  # the last are JPEG files of several pictures
    return frozenset(end for end, name in Image.registered_extensions().items() if name in known)


def decode(content: bytes | memoryview, where: str, *, shrink: bool = False) -> np.ndarray:
    """Decodes an image file of any mode to [h, w, 3] uint8 RGB, turned upright.

    A file with several images gives the first. A JPEG that ends early is read as training programs read
    it: the rest has one colour. More than half of the picture must be there.

    Args:
      content: the file.
      where: the field of errors.
      shrink: return an image of more than 12.5 million pixels at a half, a third, ... of its size.

    Raises:
      BadImageError: for a file that is damaged, is not an image or is a long strip, and for an image
        that takes too much memory or time.
    """
    try:
        with warnings.catch_warnings():
            # Odd EXIF blocks are ignored; the limits of size are our own.
            warnings.simplefilter('ignore', UserWarning)
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            return _decoded(content, shrink)
    except Image.UnidentifiedImageError as error:  # its text names a place in memory
        raise BadImageError(where, 'no known image format', _EXPECTED) from error
    except (
        *(OSError, SyntaxError, ValueError, EOFError, struct.error),  # the last from odd EXIF
        *(
            IndexError,
            KeyError,
            TypeError,
            OverflowError,
            RuntimeError,
        ),  # odd tags of TIFF and AVIF
        Image.DecompressionBombError,
    ) as error:
        raise BadImageError(where, f'an unreadable image ({error})', _EXPECTED) from error


def is_cut_short(content: bytes | memoryview) -> bool:
    """Returns whether a file is a JPEG whose end is missing, which `decode` may still read."""
    try:
        return jpeg_marks.is_jpeg(content) and not jpeg_marks.read(content).ended
    except ValueError:
        return False


def _decoded(content, shrink):
    marks = jpeg_marks.read(content) if jpeg_marks.is_jpeg(content) else None
    if marks and not marks.ended:
        # As file decoders do when a file ends: the remaining blocks have no detail.
        content = bytes(content[: marks.whole]) + b'\xff\xd9'
    with Image.open(_Pieces(content), formats=formats()) as image:
        width, height = image.size
        _check_size(image, marks, shrink)
        if width * height <= _LARGE:
            return _pixels(image, marks, 1)
        with _ONE_LARGE:
            try:
                return _pixels(image, marks, _scale(width, height) if shrink else 1)
            finally:
                image.close()
                _give_back()


def _give_back():
    """Gives freed memory back to the system: glibc keeps what all threads but the first freed."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other C libraries
        ctypes.CDLL(None).malloc_trim(0)


def _pixels(image: ImageFile.ImageFile, marks: jpeg_marks.Marks | None, scale: int) -> np.ndarray:
    if marks and scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))
        scale = _scale(*image.size)
    image.load()
    pixels = _rgb(image, scale)
    if marks and not marks.ended:
        _check_rest(pixels, marks)
    turned = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    return pixels if turned is None else np.ascontiguousarray(turned(pixels))


class _Pieces(io.BytesIO):
    """A file in memory with a bounded number of reads, because the file controls Pillow's loops."""

    left = _MOST_READS

    def read(self, size=-1):
        self.left -= 1
        if self.left < 0:
            raise ValueError(f'a file of more than {_MOST_READS:,} pieces')
        return super().read(size)


def _check_size(image, marks, shrink):
    width, height = image.size
    if max(width, height) > _LONGEST * min(width, height):
        raise ValueError(f'{width} x {height} pixels, a strip')
    if image.format == 'TIFF' and 322 in image.tag_v2:  # tiles may be larger than the image
        width, height = max(width, image.tag_v2[322]), max(height, image.tag_v2[323])
    most = _MOST_OF.get(image.format, MOST_PIXELS)
    if marks and marks.scans > 1:
        most = _MOST_BUFFERED
        if marks.scans * width * height > _MOST_SCANNED:
            raise ValueError(f'{marks.scans} scans of {width} x {height} pixels')
    elif marks and shrink:
        most = _MOST_SHRUNK
    if width * height > most:
        raise ValueError(f'{width} x {height} pixels, more than {most:,}')


def _scale(width, height):
    """Returns the whole number by which the sides of a large image are divided."""
    scale = 1
    while -(-width // scale) * -(-height // scale) > _LARGE:
        scale += 1
    return scale


def _rgb(image: ImageFile.ImageFile, scale: int) -> np.ndarray:
    """Returns the pixels of a loaded image, copied strip by strip: a copy of the whole takes memory."""
    width, height = image.size
    pixels = np.empty((-(-height // scale), -(-width // scale), 3), np.uint8)
    rows = scale * max(1, _STRIP // (width * scale))
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        strip = _eight_bits(strip, image.format).convert('RGB')
        found = np.asarray(strip.reduce(scale) if scale > 1 else strip)
        pixels[top // scale : top // scale + len(found)] = found
    return pixels


def _eight_bits(image, kind):
    """Returns the upper eight bits of an image with more than eight, if their scale is known."""
    if image.mode[0] not in 'IF':
        return image
    values = np.asarray(image)
    known = image.mode.startswith('I;16') or (kind in ('PNG', 'PPM') and image.mode == 'I')
    if not known or values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError(f'pixels of the type {image.mode}, whose scale is not known')
    return Image.fromarray((values >> 8).astype(np.uint8))


def _check_rest(pixels, marks):
    """Raises if too much of a truncated JPEG is missing: rows of one colour, or no detail at all."""
    if marks.coarse or (pixels == pixels[:, :1]).all((1, 2)).mean() > 0.5:
        raise ValueError('its end is missing, with half of the picture or more')


def read_image(path: str | os.PathLike, *, shrink: bool = False) -> np.ndarray:
    """Reads one image file as `decode` does.

    Raises:
      BadImageError: as of `decode` and `read_file`.
    """
    return decode(read_file(path), str(path), shrink=shrink)


def read_file(path: str | os.PathLike) -> bytes:
    """Returns the content of an image file, of 96 MiB at most.

    Raises:
      BadImageError: for a file that is absent, unreadable, too large or not a regular file.
    """
    try:
        # A pipe must not even be opened: that would wait for a writer.
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise BadImageError(str(path), 'something that is not a regular file', _EXPECTED)
        if found.st_size > MOST_BYTES:
            raise BadImageError(
                str(path), f'{found.st_size} bytes', f'an image of at most {MOST_BYTES} bytes'
            )
        with open(path, 'rb', buffering=0) as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError as error:
        raise BadImageError(str(path), 'no such file', _EXPECTED) from error
    except BadImageError:
        raise
    except (OSError, ValueError) as error:  # the latter for NUL in a name
        reason = getattr(error, 'strerror', None) or error
        raise BadImageError(f'{path!s:.200}', f'a file that cannot be opened ({reason})') from error


def content_digest(content: bytes | memoryview) -> str:
    """Returns the SHA-256 (hex) of a file's content, the same wherever the file lies."""
    return hashlib.sha256(content).hexdigest()


def encode_png(image: np.ndarray) -> bytes:
    """Returns an image ([h, w, 3] uint8) as a PNG file, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'PNG')
    return buffer.getvalue()


def fit_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scales an image to cover height x width and cuts out the middle.

    An image of the right size is returned unchanged; a 112 x 112 face for a 112 x 96 network loses 8
    columns on each side and is not scaled.

    Args:
      image: [h, w, 3] uint8.
      height: pixels.
      width: pixels.

    Returns:
      [height, width, 3] uint8.
    """
    rows, columns = image.shape[:2]
    # Cut long strips first: scaled as a whole they would not fit in memory.
    top = max(0, rows - _MIDDLE * -(-columns * height // width)) // 2
    left = max(0, columns - _MIDDLE * -(-rows * width // height)) // 2
    image = image[top : rows - top, left : columns - left]
    scale = max(height / image.shape[0], width / image.shape[1])
    if scale != 1:
        size = (
            max(width, round(image.shape[1] * scale)),
            max(height, round(image.shape[0] * scale)),
        )
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
