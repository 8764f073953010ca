"""Image files of strangers, decoded within bounds."""

import hashlib
import io
import os
import stat
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from fr_inference import errors
from fr_inference.data.faces import BadImageError

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
MOST_BYTES = 256 << 20  # of one image's file: more is no face, and would be read at once
_FORMATS = ('BMP', 'JPEG', 'PNG', 'WEBP')
_LONGEST = 100  # times as long as wide: no photograph, and its middle shows nobody


def decode(content: bytes | memoryview, where: str) -> np.ndarray:
    """Decodes one image's file as [h, w, 3] uint8 RGB, upright, whatever its mode.

    Args:
      content: the file.
      where: how errors call it.

    Raises:
      BadImageError: naming it and the reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # odd EXIF blocks are no reason to stop
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if max(image.size) > _LONGEST * min(image.size):
                    raise ValueError(f'{image.width} x {image.height} pixels, a strip')
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith('I;16'):
                    return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, -1)
                return np.asarray(upright.convert('RGB'))
    except (
        *(OSError, SyntaxError, ValueError, EOFError, struct.error),  # the last from odd EXIF
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    ) as error:
        # Pillow names the memory that held the file, which says nothing.
        reason = (
            'no known format' if isinstance(error, Image.UnidentifiedImageError) else f'{error}'
        )
        raise BadImageError(f'{where}: not a readable image: {reason}') from error


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads one image file as `decode` does.

    Raises:
      BadImageError: naming the file and the reason.
    """
    return decode(read_file(path), str(path))


def read_file(path: str | os.PathLike) -> bytes:
    """Returns the content of an image's file, of 256 MiB at most.

    Raises:
      BadImageError: naming the file and the reason.
    """
    try:
        # Not even opened unless a regular file: a pipe would be waited for.
        found = os.stat(path)
        errors.require(
            stat.S_ISREG(found.st_mode), f'{path}: not a readable image: no regular file'
        )
        errors.require(
            found.st_size <= MOST_BYTES,
            f'{path}: not a readable image: a file of {found.st_size} bytes',
        )
        with open(path, 'rb', buffering=0) as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError as error:
        raise BadImageError(f'{path}: not found') from error
    except errors.InputError as error:
        raise BadImageError(str(error)) from error
    except (OSError, ValueError) as error:  # the latter for NUL in a name
        reason = getattr(error, 'strerror', None) or error
        raise BadImageError(f'{path!s:.200}: can not be opened: {reason}') from error


def content_digest(content: bytes | memoryview) -> str:
    """Returns the SHA-256 (hex) of a file's content, the same wherever the file lies."""
    return hashlib.sha256(content).hexdigest()


def encode_png(image: np.ndarray) -> bytes:
    """Returns the PNG file of an image ([h, w, 3] uint8), which keeps every pixel."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'PNG')
    return buffer.getvalue()
