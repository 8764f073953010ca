"""Faces whose images are objects of a store: read on request, several at the same time.

A store responds slowly but handles many requests at once. So a reader announces which images it
will read next (`ahead`); they are read together and kept here for a moment. Nothing is kept on disk.
"""

import collections
import dataclasses
import functools
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence

from fr_inference import addresses
from fr_inference.addresses import Entry
from fr_inference.data.faces import Faces
from fr_inference.formats import images
from fr_inference.formats.images import BadImageError

_MOST_WAITING = 256 << 20  # bytes; images that were read ahead but never requested are dropped
_LARGE = 4 << 20  # bytes of an image that is not read ahead


class ObjectFolder:
    """A folder of a store, or an object in one, in the form that `photo_folders.read` uses."""

    def __init__(self, address: str, inside: Mapping[str, 'ObjectFolder'] | None = None):
        """Takes the address, and what is inside of a folder; None for an object."""
        self._address, self._inside = address, inside
        self.name = addresses.name(address)

    @property
    def suffix(self) -> str:
        """The suffix of the name, as it is written."""
        return self.name[len(self.name) - len(addresses.suffix(self._address)) :]

    def __str__(self) -> str:
        return self._address

    def __lt__(self, other: 'ObjectFolder') -> bool:
        return self.name < other.name

    def __truediv__(self, name: str) -> 'ObjectFolder':
        return ObjectFolder(addresses.joined(self._address, name))

    def exists(self) -> bool:
        """True: it was listed."""
        return True

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self._inside is not None

    def iterdir(self) -> Iterator['ObjectFolder']:
        """Yields the files and folders inside."""
        yield from (self._inside or {}).values()


def tree(address: str, names: Sequence[str]) -> ObjectFolder:
    """Returns a folder of a store.

    Args:
      address: of the folder.
      names: of the objects below it, with / between the parts.
    """
    inside: dict[str, dict] = {}
    for name in names:
        place = inside
        *above, last = name.split('/')
        for part in above:
            place = place.setdefault(part, {})
        place.setdefault(last, {})
    return _tree(address, inside)


def _tree(address, inside):
    return ObjectFolder(
        address,
        {
            name: _tree(addresses.joined(address, name), below)
            if below
            else ObjectFolder(addresses.joined(address, name))
            for name, below in inside.items()
        },
    )


@dataclasses.dataclass
class Objects:
    """Images of a store, read by many threads; can be sent to other processes.

    Attributes:
      paths: their addresses.
      field: the argument that named them.
    """

    paths: Sequence[str]
    field: str

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: collections.OrderedDict[int, bytes | FileNotFoundError] = (
            collections.OrderedDict()
        )
        self._bytes = 0
        self._root = ''
        self._listed: dict[str, Entry] | None = None  # requested by `batches` only

    def __getstate__(self) -> tuple[Sequence[str], str]:
        return self.paths, self.field

    def __setstate__(self, state: tuple[Sequence[str], str]) -> None:
        self.paths, self.field = state
        self.__post_init__()

    def ahead(self, indices: Sequence[int]) -> None:
        """Reads images together; each waits until it is asked for once.

        Raises:
          InputError: when the store cannot be asked.
        """
        wanted = [index for index in dict.fromkeys(indices) if index not in self._waiting]
        found = addresses.read_some([self.paths[index] for index in wanted], self.field, _LARGE)
        with self._lock:
            for index, content in zip(wanted, found, strict=True):
                if not isinstance(content, bytes) or len(content) <= _LARGE:
                    self._bytes += _size(content) - _size(self._waiting.pop(index, b''))
                    self._waiting[index] = content
            while self._bytes > _MOST_WAITING:
                _, dropped = self._waiting.popitem(last=False)
                self._bytes -= _size(dropped)

    def encoded(self, index: int) -> bytes:
        """Returns the file of an image.

        Raises:
          BadImageError: for one that is absent or too long.
          InputError: when the store cannot be asked; it is not an error of the image.
        """
        path = self.paths[index]
        with self._lock:
            content = self._waiting.pop(index, None)
            self._bytes -= _size(content)
        if content is None:
            (content,) = addresses.read_some([path], self.field, images.MOST_BYTES)
        if isinstance(content, FileNotFoundError):
            raise BadImageError(path, 'no such object', 'an image') from content
        if len(content) > images.MOST_BYTES:
            raise BadImageError(
                path, 'a longer object', f'an image of at most {images.MOST_BYTES} bytes'
            )
        return content

    def version(self, index: int) -> str:
        """Returns size and version of an image as the store lists it, '' for one that is not listed.

        Raises:
          InputError: when the store cannot be asked.
        """
        if self._listed is None:
            first, last = min(self.paths), max(self.paths)
            same = itertools.takewhile(lambda two: two[0] == two[1], zip(first, last, strict=False))
            self._root = addresses.parent(first[: len(list(same))] + '-')
            self._listed = addresses.below(self._root, self.field)
        entry = self._listed.get(self.paths[index][len(self._root) :].lstrip('/'))
        return '' if entry is None else f'{entry.size} {entry.stamp}'


def _size(content):
    return len(content) if isinstance(content, bytes) else 0


def from_addresses(
    name: str,
    paths: Sequence[str],
    identities: Sequence[str],
    field: str,
    remarks: Sequence[str] = (),
) -> Faces:
    """Returns faces of a store.

    Args:
      name: in reports.
      paths: addresses of the N images.
      identities: of the N images.
      field: the field of errors that are not about one image.
      remarks: as in `Faces`.
    """
    paths = tuple(paths)
    held = Objects(paths, field)
    return Faces(
        name=name,
        identities=tuple(identities),
        paths=paths,
        read=functools.partial(_read, held),
        digest=functools.partial(_digest, held),
        encoded=held.encoded,
        ahead=held.ahead,
        version=held.version,
        remarks=tuple(remarks),
    )


def _read(held, index):
    return images.decode(held.encoded(index), held.paths[index], shrink=True)


def _digest(held, index):
    return images.content_digest(held.encoded(index))
