"""Image files of strangers, decoded within bounds, and scaled to what a network takes."""

import hashlib
import io
import os
import stat
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from fr_inference import errors

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
MOST_BYTES = 256 << 20  # of one file, which is read at once
MOST_PIXELS = 50_000_000  # decoded and converted they take some 400 MB in each decoding thread
_FORMATS = ('BMP', 'JPEG', 'PNG', 'WEBP')
_LONGEST = 100  # ratio of the sides: no photograph of a face is such a strip
_MIDDLE = 8  # of a longer image only the middle, this many times what is needed, is scaled
_EXPECTED = 'an image (BMP, JPEG, PNG or WebP)'


class BadImageError(errors.InputError):
    """An image that cannot be read; the field is its file, or its place in a file of many."""


def decode(content: bytes | memoryview, where: str) -> np.ndarray:
    """Decodes one image file as [h, w, 3] uint8 RGB, upright, whatever its mode.

    Args:
      content: the file.
      where: the field of errors.

    Raises:
      BadImageError: when it is damaged, no image, a strip, or of more than 50 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # odd EXIF blocks are no reason to stop
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _check_size(*image.size)
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith('I;16'):
                    return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, -1)
                return np.asarray(upright.convert('RGB'))
    except Image.UnidentifiedImageError as error:  # its text names a place in memory
        raise BadImageError(where, 'no known image format', _EXPECTED) from error
    except (
        *(OSError, SyntaxError, ValueError, EOFError, struct.error),  # the last from odd EXIF
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    ) as error:
        raise BadImageError(where, f'an unreadable image ({error})', _EXPECTED) from error


def _check_size(width, height):
    if max(width, height) > _LONGEST * min(width, height):
        raise ValueError(f'{width} x {height} pixels, a strip')
    if width * height > MOST_PIXELS:
        raise ValueError(f'{width} x {height} pixels, more than {MOST_PIXELS:,}')


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads one image file as `decode` does.

    Raises:
      BadImageError: as of `decode` and `read_file`.
    """
    return decode(read_file(path), str(path))


def read_file(path: str | os.PathLike) -> bytes:
    """Returns the content of an image file, of 256 MiB at most.

    Raises:
      BadImageError: when it is absent, unreadable, too long or not a regular file.
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
    """Returns the PNG file of an image ([h, w, 3] uint8), which keeps every pixel."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'PNG')
    return buffer.getvalue()


def fit_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scales an image to cover height x width and cuts out the middle.

    An image of the right size comes back as it is; a 112 x 112 face for a 112 x 96 network loses 8
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
