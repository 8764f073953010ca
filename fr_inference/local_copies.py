"""Local copies of the objects of a store, made once for each version of an object.

Readers of checkpoints and tables need local files; these are the files. They are in the user's
cache folder, with one folder for each folder of a store, and keep their names. The processes of a
machine share them: one copies, the others wait. After a kill, a copy continues where it stopped.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence

from fr_inference import addresses, errors, files, locks
from fr_inference.addresses import Entry

_MOST_FILES = 10_000
_ROOM = 1 << 28  # bytes to leave free on the disk


def cache(kind: str) -> pathlib.Path:
    """Returns a folder in the user's cache folder that nobody else can read.

    Args:
      kind: its name.

    Raises:
      OSError: when it cannot be created.
    """
    folder = files.user_cache() / kind
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not files.is_ours(folder.stat()):
        raise PermissionError(1, 'a folder of another user', str(folder))
    folder.chmod(0o700)
    return folder


def here(path: str | os.PathLike, field: str) -> pathlib.Path:
    """Returns the path of a folder of this machine.

    Raises:
      InputError: of `field`, for an address, which would otherwise create a folder called `s3:`.
    """
    if addresses.is_address(path):
        hint = 'only the programs can write to addresses'
        raise errors.InputError(field, path, 'a folder of this machine', hint)
    return pathlib.Path(path)


def path_of(
    source: str | os.PathLike,
    field: str,
    beside: Callable[[pathlib.Path], Sequence[str]] | None = None,
    depth: int = 1,
) -> pathlib.Path:
    """Returns a path unchanged, and for an address the path of a local copy.

    Args:
      source: a path or an address.
      field: of errors.
      beside: function from the copy of a file to the names of files in the same folder that belong
        to it.
      depth: for a folder, the number of levels of sub-folders to copy files from.

    Raises:
      InputError: of `field`, when nothing is there, or it cannot be copied.
    """
    if not addresses.is_address(source):
        return pathlib.Path(source)
    address = str(source).rstrip('/')
    entry = addresses.find(address, field)
    if entry is not None:
        name = addresses.name(address)
        folder = _copied(addresses.parent(address), {name: entry}, field)
        more = {}
        for other in beside(folder / name) if beside is not None else ():
            found = addresses.find(addresses.joined(addresses.parent(address), other), field)
            if found is not None:  # the reader reports files that are missing
                more[other] = found
        _copied(addresses.parent(address), more, field)
        return folder / name
    entries = {
        name: entry
        for name, entry in addresses.below(address, field).items()
        if name.count('/') <= depth
    }
    if not entries:
        raise errors.InputError(field, f'{address[:200]!r}, which does not exist')
    return _copied(address, entries, field, whole=True)


def _copied(address, entries, field, whole=False):
    """Returns the folder with copies of some objects below an address; if `whole`, of nothing else."""
    if len(entries) > _MOST_FILES:
        found = f'{len(entries)} objects'
        raise errors.InputError(field, found, f'{_MOST_FILES} at most', inside=address)
    base = place(address, field, 'objects')
    folder = base / 'files' / (addresses.name(address) or 'root')
    errors.call(str(folder), address)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(base):
        wanted = {name: one for name, one in entries.items() if not _is_copied(folder, name, one)}
        needed = sum(entry.size for entry in wanted.values())
        free = shutil.disk_usage(base).free
        if wanted and needed > free - _ROOM:
            found = f'{needed} bytes to copy to this machine, and {free} free in {base}'
            raise errors.InputError(field, found, inside=address, hint='set XDG_CACHE_HOME')
        for name, entry in wanted.items():
            _copy(address, name, entry, folder, field)
        if whole:
            for path in sorted(folder.rglob('*'), reverse=True):
                if path.relative_to(folder).as_posix() not in entries and not path.is_dir():
                    path.unlink()
    return folder


def _stamp(folder, name):
    return folder.parent.parent / 'stamps' / hashlib.sha256(name.encode()).hexdigest()


def _is_copied(folder, name, entry):
    try:
        held = _stamp(folder, name).read_text(encoding='utf-8')
        return (
            bool(entry.stamp)
            and held == _said(entry)
            and (folder / name).stat().st_size == entry.size
        )
    except OSError:
        return False


def _said(entry: Entry) -> str:
    return f'{entry.size} {entry.stamp}'


def _copy(address, name, entry, folder, field):
    stamp = _stamp(folder, name)
    # The part of this version that a killed process has copied.
    begun = stamp.with_name(
        f'{stamp.name}.{hashlib.sha256(_said(entry).encode()).hexdigest()[:16]}.part'
    )
    stamp.parent.mkdir(parents=True, exist_ok=True)
    for other in stamp.parent.glob(f'{stamp.name}*.part'):
        if other != begun or not entry.stamp or other.stat().st_size > entry.size:
            other.unlink()
    path = folder / name
    if path.is_dir():
        raise errors.InputError(
            field, f'an object {name} and others below {name}/', 'files and folders', inside=address
        )
    addresses.download(addresses.joined(address, name), entry, begun, field)
    stamp.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.move(begun, path)
    files.write_text(stamp, _said(entry))


def place(address: str, field: str, kind: str) -> pathlib.Path:
    """Returns the folder in the cache for an address.

    Args:
      address: of a folder.
      field: of errors.
      kind: name of the folder that it lies in.

    Raises:
      InputError: of `field`, when it cannot be made.
    """
    try:
        # The base name is kept because programs name things after files.
        folder = cache(kind) / hashlib.sha256(address.encode()).hexdigest()[:32]
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder
    except OSError as error:
        raise errors.InputError(
            field,
            f'{error.filename}, which cannot hold copies: {error.strerror}',
            hint='set XDG_CACHE_HOME to a folder that can be written to',
            inside=address,
        ) from error


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Admits one process of this machine at a time; a killed process leaves no lock."""
    with open(folder / 'lock', 'a', encoding='utf-8') as lock:
        locks.hold(lock)
        yield
