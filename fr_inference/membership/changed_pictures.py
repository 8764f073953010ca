"""Changed copies of photographs: mirrored, shifted, cropped, recompressed."""

import dataclasses
import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from fr_inference.data.faces import Faces
from fr_inference.formats.images import fit_image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A change of a photograph.

    Attributes:
      name: in `audit.json`, such as 'crop-90'.
      label: a description of the copy for reports, such as 'cropped to 90 %'.
      family: the kind of change; changes of one kind are listed together, the weakest first.
      make: [H, W, 3] uint8 -> the same shape; can be sent to other processes.
    """

    name: str
    label: str
    family: str
    make: Callable[[np.ndarray], np.ndarray]


def mirrored(image: np.ndarray) -> np.ndarray:
    """Returns the mirror image."""
    return image[:, ::-1]


def shifted(image: np.ndarray, *, percent: int) -> np.ndarray:
    """Moves the picture to the right by a share of its width; its left edge is repeated.

    The shift is a whole number of pixels, at least one, because a fractional shift would also blur.

    >>> shifted(np.arange(4, dtype=np.uint8).reshape(1, 4, 1), percent=5)[0, :, 0].tolist()
    [0, 0, 1, 2]
    """
    width = image.shape[1]
    columns = np.arange(width) - max(1, round(percent * width / 100))
    return image[:, np.maximum(columns, 0)]


def cropped(image: np.ndarray, *, percent: int) -> np.ndarray:
    """Cuts out the middle, a share of each side, and scales it back (bilinear)."""
    height, width = image.shape[:2]
    cut = (100 - percent) / 200
    box = (cut * width, cut * height, width - cut * width, height - cut * height)
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box=box))


def recompressed(image: np.ndarray, *, quality: int) -> np.ndarray:
    """Writes the picture as a JPEG file (Pillow's usual subsampling of colours) and reads it."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, format='JPEG', quality=quality)
    with Image.open(file) as picture:
        return np.asarray(picture.convert('RGB'))


CHANGES = (
    Change(name='mirror', label='mirrored', family='mirror', make=mirrored),
    *(
        Change(
            name=f'shift-{percent}',
            label=f'shifted by {percent} %',
            family='shift',
            make=functools.partial(shifted, percent=percent),
        )
        for percent in (2, 5)
    ),
    *(
        Change(
            name=f'crop-{percent}',
            label=f'cropped to {percent} %',
            family='crop',
            make=functools.partial(cropped, percent=percent),
        )
        for percent in (95, 90, 80)
    ),
    *(
        Change(
            name=f'jpeg-{quality}',
            label=f'saved at JPEG quality {quality}',
            family='jpeg',
            make=functools.partial(recompressed, quality=quality),
        )
        for quality in (90, 50, 20)
    ),
)


def copies(faces: Faces, change: Change, height: int, width: int) -> Faces:
    """Returns changed copies of faces, each changed when it is read.

    Files and digests stay those of the originals. `changed` distinguishes copies, so that rows
    measured on one are never used for the other.

    Args:
      faces: of any sizes.
      change: one of `CHANGES`.
      height: height in pixels to which an image is scaled before it is changed.
      width: likewise.
    """
    done = f'{change.name} at {height}x{width}'
    return dataclasses.replace(
        faces,
        name=f'{faces.name}, {change.label}',
        read=functools.partial(_read, faces.read, change.make, height, width),
        changed=functools.partial(_told, faces.changed, done),
    )


def _read(read, make, height, width, index):
    return make(fit_image(read(index), height, width))


def _told(changed, done, index):
    return f'{changed(index)}, {done}'.removeprefix(', ')
