"""Atomic writing of files: a reader sees the old file or the new one, even after a kill at any moment.

Only this module renames files. A kill leaves behind a hidden file that `is_unfinished` recognises.
A JSON record that is read again carries its own digest, so that a changed byte is noticed.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

_UNFINISHED = re.compile(r'\..*\.\d+\.\d+\.part(\.[^.]*)?')
_MOST_CHARACTERS = 40  # characters of a name that are kept, because file systems limit its length
_SEAL = 'sha256'


@contextlib.contextmanager
def replacing(path: str | os.PathLike, *, synced: bool = False) -> Iterator[pathlib.Path]:
    """Yields a path to write to, which replaces `path` when the block ends without an error.

    Args:
      path: a file; its folder is created. The yielded path has the same suffix.
      synced: wait until the content is on the disk, so that a power failure leaves no empty file;
        for files that are not checked when they are read.

    Raises:
      OSError: names `path`, for example when the disk is full.
    """
    path = pathlib.Path(path)
    # A unique name, so that two runs in one folder do not write to the same file.
    mark = f'{os.getpid()}.{threading.get_ident()}.part'
    own = f'.{path.stem[:_MOST_CHARACTERS]}.{mark}{path.suffix}'
    temporary = path.with_name(own)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if synced:
            with open(temporary, 'rb') as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary), temporary):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def user_cache() -> pathlib.Path:
    """Returns this package's folder in the user's cache folder."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return pathlib.Path(os.path.abspath(base)) / 'fr_inference'


def is_ours(found: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user; always on Windows, which has no user ids."""
    return not hasattr(os, 'getuid') or found.st_uid == os.getuid()


def write_text(path: str | os.PathLike, text: str, errors: str = 'strict') -> None:
    """Writes a UTF-8 text file atomically.

    Args:
      path: as in `replacing`.
      text: all of it.
      errors: how to handle characters that UTF-8 lacks, as for `open`.

    Raises:
      OSError: as `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8', errors=errors)


def sha256(*paths: str | os.PathLike) -> str:
    """Returns the SHA-256 (hex) of a file; for several files, that of the output of `sha256sum`.

    Raises:
      OSError: for a file that cannot be read.
    """
    if len(paths) == 1:
        with open(paths[0], 'rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    lines = ''.join(f'{sha256(path)}  {os.path.basename(path)}\n' for path in paths)
    return hashlib.sha256(lines.encode(errors='surrogatepass')).hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record with the digest of its entries, as the last one.

    Args:
      record: JSON-compatible.
    """
    entries = {name: value for name, value in record.items() if name != _SEAL}
    return {**entries, _SEAL: _digest(entries)}


def unsealed(record: Any) -> dict[str, Any]:
    """Returns the entries of a record that `sealed` made; those of earlier versions have no digest.

    >>> unsealed(sealed({'seed': 1}))
    {'seed': 1}

    Args:
      record: the parsed JSON.

    Raises:
      ValueError: when it is not a record, or its digest does not match its entries.
    """
    if not isinstance(record, dict):
        raise ValueError('not a JSON object')
    entries = {name: value for name, value in record.items() if name != _SEAL}
    if record.get(_SEAL, _digest(entries)) != _digest(entries):
        raise ValueError('its checksum differs')
    return entries


def _digest(entries):
    # Keys as they will be in JSON
    text = json.dumps(json.loads(json.dumps(entries)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_unfinished(name: str) -> bool:
    """Whether a file of this name was left by a killed `replacing`.

    >>> is_unfinished('.table.17.42.part.csv'), is_unfinished('table.csv')
    (True, False)
    """
    return _UNFINISHED.fullmatch(name) is not None


def move(source: pathlib.Path, target: pathlib.Path) -> None:
    """Renames a complete file or folder to its final name, or moves one out of the way."""
    os.replace(source, target)
