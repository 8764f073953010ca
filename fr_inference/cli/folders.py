"""The folder for the results, made and tried before the work begins."""

import os
import pathlib
import tempfile
from collections.abc import Iterable

from fr_inference import errors, runs


def make(path: str | os.PathLike, field: str, files: Iterable[str] = ()) -> pathlib.Path:
    """Makes the folder for the results. Process 0 does it, and all processes see an error.

    Args:
      path: the folder.
      field: how errors call it.
      files: names of what will be written there.

    Raises:
      InputError: when it cannot be made or written to.
    """
    path = pathlib.Path(path)
    runs.by_first(lambda: make_here(path, field, files))
    return path


def make_here(path: pathlib.Path, field: str, files: Iterable[str] = ()) -> None:
    """`make` in this process only."""
    other, whole = 'choose another folder', os.path.abspath(path)
    if whole != whole.encode(errors='replace').decode():  # Orbax needs it
        raise errors.InputError(field, path, 'a UTF-8 name', other)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f'{path}, which cannot be made: {error.strerror}'
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
