"""Faces: a source of (image, identity, path) records with a length."""

import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from fr_inference import errors
from fr_inference.data import lazy_names
from fr_inference.formats.images import BadImageError as BadImageError  # what `Faces.read` raises

DISTANT = 8  # threads that read images of a store: they wait most of the time
_TOGETHER = 16  # images of a store that are read at the same time by each
Result = TypeVar('Result')


def _nothing(_index: int) -> None:
    """`Faces.encoded` of a source without files."""


def _not_ahead(_indices: Sequence[int]) -> None:
    """`Faces.ahead` of a local source, which needs no reading ahead."""


def _unchanged(_index: int) -> str:
    """`Faces.changed` of a source with unchanged images."""
    return ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faces:
    """A source of faces; images are read one by one on request, by many threads at once.

    Other processes can read too if `read` can be pickled: folders, `.rec` files and tfds sets.

    Attributes:
      name: in reports.
      identities: of each image.
      paths: of each image, unique, shown to people.
      read: index -> [h, w, 3] uint8 RGB at its own size, or at a half, a third, ... of it above 12.5
        million pixels. Raises `BadImageError`.
      digest: index -> SHA-256 (hex) of the image's content. Raises `BadImageError`.
      encoded: index -> the bytes of the image's file, without `changed` applied; None if it has no
        file. Raises `BadImageError`.
      remarks: a line for each kind of thing that was left out or interpreted when the source was opened.
      ahead: indices -> None; fetches these images together if that is faster, such as from a store,
        and keeps each until it is read. Raises `InputError`, which is not about a single image.
      version: index -> a text that changes with the image's content and is known without reading
        it, or ''.
      changed: index -> what `read` does to the image besides decoding it, '' for nothing. Image and
        text together determine the pixels.
      columns: name -> the value of a further column of a manifest for each image, '' for none.
    """

    name: str
    identities: Sequence[str]
    paths: Sequence[str]
    read: Callable[[int], np.ndarray]
    digest: Callable[[int], str]
    encoded: Callable[[int], bytes | None] = _nothing
    remarks: tuple[str, ...] = ()
    ahead: Callable[[Sequence[int]], None] = _not_ahead
    version: Callable[[int], str] = _unchanged
    changed: Callable[[int], str] = _unchanged
    columns: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    @property
    def distant(self) -> bool:
        """Whether reading waits for another machine, so that reading ahead pays."""
        return self.ahead is not _not_ahead

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: Sequence[int] | np.ndarray) -> 'Faces':
        """Returns the faces at `indices` (whole numbers below the length), in that order."""
        chosen = np.asarray(indices, np.int64)
        return Faces(
            name=self.name,
            identities=lazy_names.take(self.identities, chosen),
            paths=lazy_names.take(self.paths, chosen),
            read=functools.partial(_chosen, self.read, chosen),
            digest=functools.partial(_chosen, self.digest, chosen),
            encoded=functools.partial(_chosen, self.encoded, chosen),
            remarks=self.remarks,
            ahead=functools.partial(_chosen_ahead, self.ahead, chosen)
            if self.distant
            else self.ahead,
            version=functools.partial(_chosen, self.version, chosen),
            changed=functools.partial(_chosen, self.changed, chosen),
            columns={
                name: lazy_names.take(values, chosen) for name, values in self.columns.items()
            },
        )

    def described(self) -> dict[str, Any]:
        """Returns what a record says of the source; remarks where there are any."""
        found = {'source': self.name, 'images': len(self), 'people': len(set(self.identities))}
        return {**found, 'remarks': list(self.remarks)} if self.remarks else found


def each(
    faces: Faces, indices: Sequence[int], look: Callable[[int], Result], *, threads: int
) -> list[Result]:
    """Returns what `look` makes of some images, in their order; those of a store are read together.

    Args:
      faces: the source.
      indices: of the images.
      look: index -> anything; reads the image once.
      threads: how many look at the same time.
    """
    if faces.distant:
        threads = max(threads, DISTANT)

    def some(part):
        faces.ahead(part)
        return [look(index) for index in part]

    size = _TOGETHER if faces.distant else 1
    parts = [indices[start : start + size] for start in range(0, len(indices), size)]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(itertools.chain.from_iterable(pool.map(some, parts)))


def _chosen(call, chosen, index):
    return call(int(chosen[index]))


def _chosen_ahead(call, chosen, indices):
    call(chosen[np.asarray(indices, np.int64)].tolist())


def concat(parts: Sequence[Faces], name: str | None = None) -> Faces:
    """Returns the faces of all `parts`, one after the other."""
    ends = np.cumsum([len(part) for part in parts])
    return Faces(
        name=name or ' + '.join(part.name for part in parts),
        identities=tuple(person for part in parts for person in part.identities),
        paths=tuple(path for part in parts for path in part.paths),
        read=functools.partial(_owned, [part.read for part in parts], ends),
        digest=functools.partial(_owned, [part.digest for part in parts], ends),
        encoded=functools.partial(_owned, [part.encoded for part in parts], ends),
        remarks=tuple(remark for part in parts for remark in part.remarks),
        ahead=functools.partial(_owned_ahead, [part.ahead for part in parts], ends)
        if any(part.distant for part in parts)
        else _not_ahead,
        version=functools.partial(_owned, [part.version for part in parts], ends),
        changed=functools.partial(_owned, [part.changed for part in parts], ends),
        columns={
            name: tuple(
                value for part in parts for value in part.columns.get(name, [''] * len(part))
            )
            for name in dict.fromkeys(name for part in parts for name in part.columns)
        },
    )


def _owned(calls, ends, index):
    part = int(np.searchsorted(ends, index, side='right'))
    return calls[part](index - int(ends[part - 1] if part else 0))


def _owned_ahead(calls, ends, indices):
    wanted = np.asarray(indices, np.int64)
    part = np.searchsorted(ends, wanted, side='right')
    for number in np.unique(part).tolist():
        first = int(ends[number - 1]) if number else 0
        calls[number]((wanted[part == number] - first).tolist())


def from_arrays(images: np.ndarray, identities: Sequence[object], name: str = 'arrays') -> Faces:
    """Returns faces held in memory.

    Args:
      images: [N, h, w, 3] uint8 RGB.
      identities: N names or numbers, equal for images of one person.
      name: in reports, and the field of errors.

    Raises:
      InputError: for another shape or dtype.

    >>> faces = from_arrays(np.zeros((2, 4, 4, 3), np.uint8), ['ann', 7])
    >>> len(faces), faces.identities, faces.read(1).shape
    (2, ('ann', '7'), (4, 4, 3))
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise errors.InputError(
            name, f'images {images.dtype}{list(images.shape)}', 'uint8 [N, h, w, 3]'
        )
    if len(images) != len(identities):
        raise errors.InputError(
            name, f'{len(images)} images and {len(identities)} identities', 'one for each image'
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
