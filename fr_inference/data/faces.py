"""Faces: a source of (image, identity, path) records with a length."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from fr_inference import checks


class BadImageError(checks.InputError):
    """An image that can't be read; the message names the file and the reason."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faces:
    """A source of faces; images are read one by one, when asked for.

    Attributes:
      name: how reports call it.
      identities: of each image.
      paths: of each image, unique, shown to people.
      read: index -> [h, w, 3] uint8 RGB at its own size. Raises `BadImageError`.
      digest: index -> SHA-256 (hex) of the image's content. Raises `BadImageError`.
    """

    name: str
    identities: tuple[str, ...]
    paths: tuple[str, ...]
    read: Callable[[int], np.ndarray]
    digest: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: Sequence[int] | np.ndarray) -> 'Faces':
        """Returns the faces at `indices` (whole numbers below the length), in that order."""
        chosen = [int(index) for index in indices]
        return Faces(
            name=self.name,
            identities=tuple(self.identities[index] for index in chosen),
            paths=tuple(self.paths[index] for index in chosen),
            read=lambda index: self.read(chosen[index]),
            digest=lambda index: self.digest(chosen[index]),
        )


def concat(parts: Sequence[Faces], name: str | None = None) -> Faces:
    """Returns the faces of all `parts`, one after the other."""
    owners = [(part, index) for part in parts for index in range(len(part))]
    return Faces(
        name=name or ' + '.join(part.name for part in parts),
        identities=tuple(part.identities[index] for part, index in owners),
        paths=tuple(part.paths[index] for part, index in owners),
        read=lambda index: owners[index][0].read(owners[index][1]),
        digest=lambda index: owners[index][0].digest(owners[index][1]),
    )


def from_arrays(images: np.ndarray, identities: Sequence[object], name: str = 'arrays') -> Faces:
    """Returns faces held in memory.

    Args:
      images: [N, h, w, 3] uint8 RGB.
      identities: N names or numbers, equal for images of one person.
      name: how reports call them.

    Raises:
      InputError: for another shape or dtype.
    """
    images = np.asarray(images)
    checks.require(
        images.ndim == 4 and images.shape[-1] == 3 and images.dtype == np.uint8,
        f'{name}: found images {images.dtype}{list(images.shape)}, expected uint8 [N, h, w, 3]',
    )
    checks.require(
        len(images) == len(identities),
        f'{name}: found {len(images)} images and {len(identities)} identities',
    )
    return Faces(
        name=name,
        identities=tuple(str(identity) for identity in identities),
        paths=tuple(f'{name}#{index}' for index in range(len(images))),
        read=lambda index: images[index],
        digest=lambda index: pixel_digest(images[index]),
    )


def pixel_digest(image: np.ndarray) -> str:
    """Returns the SHA-256 (hex) of an image's shape and pixels."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()
