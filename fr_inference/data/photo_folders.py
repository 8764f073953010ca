"""Lists a folder with one sub-folder per person: its images, and what is left out."""

import collections
import dataclasses
import pathlib
from typing import Any

from fr_inference import errors
from fr_inference.data.objects import ObjectFolder
from fr_inference.data.spellings import listed
from fr_inference.formats import images

# Names of files and folders that systems create by themselves; lower case.
_SYSTEM = frozenset(
    (
        *('@eadir', '@tmp', '#recycle', '__macosx', 'lost+found', '$recycle.bin', 'recycler'),
        *('system volume information', 'thumbs.db', 'ehthumbs.db', 'desktop.ini'),
    )
)
_MOST_SUFFIXES = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """The contents of a folder.

    Attributes:
      files: the images, ordered by person and name: paths, or objects of a store.
      people: the name of the sub-folder of each.
      remarks: a line for each kind of thing that was left out.
    """

    files: list[Any]
    people: list[str]
    remarks: tuple[str, ...]


@dataclasses.dataclass
class _LeftOut:
    """The parts that were left out, as paths below the folder."""

    hidden: list[str] = dataclasses.field(default_factory=list)
    loose: list[str] = dataclasses.field(default_factory=list)
    nested: list[str] = dataclasses.field(default_factory=list)
    nobody: list[str] = dataclasses.field(default_factory=list)
    others: collections.Counter = dataclasses.field(default_factory=collections.Counter)


def read(root: pathlib.Path | ObjectFolder) -> Listing:
    """Lists a folder.

    Names that begin with a dot and folders of the system (thumbnails, recycle bins, indices) are
    ignored. A file counts as an image by its suffix; a broken link or a folder with such a name
    fails when it is read.

    Raises:
      InputError: for a folder that cannot be read, a person that is a broken link, or no images.
    """
    left = _LeftOut()
    files: list[Any] = []
    people: list[str] = []
    try:
        entries: list[Any] = sorted(root.iterdir())
        for entry in entries:
            if is_hidden(entry.name):
                left.hidden.append(entry.name)
            elif not entry.exists():
                raise errors.InputError(str(entry), 'a broken link', hint='remove or repair it')
            elif entry.is_dir():
                own = _images_of(entry, left)
                files += own
                people += [entry.name] * len(own)
            elif entry.suffix.lower() in images.suffixes():
                left.loose.append(entry.name)
            else:
                left.others[entry.suffix.lower()] += 1
    except OSError as error:
        raise errors.InputError(
            str(error.filename), f'a folder that cannot be read ({error.strerror})'
        ) from error
    if not files:
        raise _nothing(root, entries, left)
    return Listing(files=files, people=people, remarks=tuple(_remarks(left, files)))


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is hidden or belongs to the system.

    >>> [is_hidden(name) for name in ('.ipynb_checkpoints', '._1.jpg', 'Thumbs.db', 'Ann')]
    [True, True, True, False]
    """
    return name.startswith('.') or name.lower() in _SYSTEM


def _images_of(person, left):
    own = []
    for file in sorted(person.iterdir()):
        name = f'{person.name}/{file.name}'
        if is_hidden(file.name):
            left.hidden.append(name)
        elif file.suffix.lower() in images.suffixes():
            own.append(file)
        elif file.is_dir():
            left.nested.append(name)
        else:
            left.others[file.suffix.lower()] += 1
    if not own:
        left.nobody.append(person.name)
    return own


def _remarks(left, files):
    for kind, found in (
        ('hidden files, and files and folders of a system', left.hidden),
        ('images beside the folders of people', left.loose),
        ('folders inside the folders of people', left.nested),
        ('folders without an image', left.nobody),
    ):
        if found:
            yield f'left out, {kind}: {len(found)} ({listed(found)})'
    if left.others:
        total = left.others.total()
        yield f'left out, files without the suffix of an image: {total} ({_counted(left.others)})'
    photographs = left.others['.heic'] + left.others['.heif']
    if photographs:
        yield f'HEIC photographs are not read: {photographs}; convert them to JPEG or PNG'
    moving = [file.name for file in files if file.suffix.lower() == '.gif']
    if moving:
        yield f'read by their first picture, GIF files: {len(moving)} ({listed(moving)})'


def _counted(suffixes):
    counts = [f'{n} {kind or "without one"}' for kind, n in suffixes.most_common()]
    shown = errors.shown(', '.join(counts[:_MOST_SUFFIXES]))[:200]
    return shown + (', ...' if len(counts) > _MOST_SUFFIXES else '')


def _nothing(root, entries, left):
    found, hint = 'no images in sub-folders', None
    records = [entry.name for entry in entries if entry.suffix.lower() == '.rec']
    if left.loose:
        found = 'images but no sub-folders'
    elif records:
        found, hint = f'{records[0]} and no images in sub-folders', f'name {records[0]} itself'
    elif left.nested:
        found = 'folders inside sub-folders'
        hint = f'name the folder that holds the people, such as {root / left.nobody[0]}'
    elif left.others:
        found = f'no images in sub-folders, but {_counted(left.others)}'
    return errors.InputError(
        str(root), found, 'one sub-folder per person with images (.jpg, .png, .tif, ...)', hint
    )
