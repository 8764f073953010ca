"""The folder for the results, created and tested before the work begins."""

import os
import pathlib
import re
import secrets
import tempfile
from collections.abc import Iterable

from fr_inference import addresses, errors, mirrored, runs


def make(path: str | os.PathLike, field: str, files: Iterable[str] = ()) -> pathlib.Path:
    """Creates the folder for the results. Process 0 does it; an error is raised in all processes.

    Args:
      path: the folder, or an address.
      field: its name in errors.
      files: names of the files that will be written there.

    Returns:
      The folder; for an address, the local folder that stands for it (`mirrored`).

    Raises:
      InputError: when it cannot be created or written to, or another run writes to the address.
    """

    def made():
        folder = pathlib.Path(path)
        if addresses.is_address(path):
            folder = mirrored.folder_of(str(path), field)
        make_here(folder, field, files)
        return str(folder)

    return pathlib.Path(runs.by_first(made))


def try_address(address: str, field: str) -> None:
    """Raises `InputError` in all processes for an address that cannot be written to."""

    def tried():
        trial = addresses.joined(address, f'.{secrets.token_hex(8)}')
        addresses.write(trial, b'', field)
        addresses.remove(trial, field)

    runs.by_first(tried)


def make_here(path: pathlib.Path, field: str, files: Iterable[str] = ()) -> None:
    """`make` in this process only."""
    other, whole = 'choose another folder', os.path.abspath(path)
    # Looks like an address that was turned into a path
    if re.match('[A-Za-z][A-Za-z0-9+.-]+:/', str(path)):
        raise errors.InputError(field, path, 'a folder of this machine', other)
    if whole != whole.encode(errors='replace').decode():  # Orbax needs it
        raise errors.InputError(field, path, 'a UTF-8 name', other)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f'{path}, which cannot be created: {error.strerror}'
        raise errors.InputError(field, found, hint=other) from error
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        found = f'{path}, which cannot be written to: {error.strerror}'
        raise errors.InputError(field, found, hint=other) from error
    for file in (path / name for name in files):
        if os.path.lexists(file) and not (file.is_file() and os.access(file, os.W_OK)):
            found = f'{file}, which is not a file that can be replaced'
            raise errors.InputError(field, found, hint=other)
