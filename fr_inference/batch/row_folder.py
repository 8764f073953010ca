"""The folder of a row: the options that its results belong to, and how its audit ended.

The audit itself writes its results, and the state of an interrupted audit, into the same folder.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
from typing import Any

from fr_inference import auditing, declaring, errors, files, runs
from fr_inference.batch.table import Row
from fr_inference.cli import folders
from fr_inference.data import pseudonyms, sources
from fr_inference.formats import onnx_file
from fr_inference.weights import generators, targets

JOB, ERROR = 'job.json', 'error.txt'
_AUDIT = 'audit_sha256'
_SCHEMA = 2
_MAX_BYTES = 64 << 20
# Files that are removed before a folder is used for other options.
_FILES = (*auditing.FILES, ERROR, JOB)
_FOLDERS = ('search', 'shadow', 'reconstructions')


def describe(row: Row) -> dict[str, Any]:
    """Returns what a row's result depends on: its options, and the contents of the files they name.

    Backbones and generators are hashed completely. For faces, the list of files counts, with their
    sizes and modification times.

    Raises:
      InputError: when the faces cannot be listed.
    """
    values: dict[str, Any] = {}
    contents = {}
    for one in row.configs:
        values |= dataclasses.asdict(one)
        for name, (_, known) in declaring.options_of(type(one)).items():
            value = getattr(one, name)
            if value and known.names in ('BACKBONE', 'GENERATOR'):
                several = value if isinstance(value, tuple) else (value,)
                found = [_content(one, name, known.names) for one in several]
                contents[name] = found if isinstance(value, tuple) else found[0]
            elif value and known.names == 'FACES':
                contents[name] = _listing(value, name, row)
            elif value and name == 'pseudonyms':  # with another key, people have other names
                contents[name] = pseudonyms.of('', pseudonyms.read_key(value))
    run = {'schema': _SCHEMA, 'values': values, 'contents': contents}
    return json.loads(json.dumps(run))  # in the form in which it will be read back


def finished(folder: pathlib.Path, row: Row) -> dict[str, Any] | None:
    """Returns the record of a finished audit with these options; None if there is no intact one."""
    held, run = _read(folder / JOB), describe(row)
    if held is None or held.get('status') != 'done' or not _same(held, run):
        return None
    file = folder / 'audit.json'
    try:  # earlier versions wrote no digest
        whole = held.get(_AUDIT) in (None, files.sha256(file))
    except OSError:
        return None
    return _read(file) if whole else None


def claim(folder: pathlib.Path, row: Row) -> dict[str, Any]:
    """Prepares the folder of a row: keeps a state with the same options, removes any other.

    Returns:
      The row's description, for `close`.

    Raises:
      InputError: when the folder cannot be written to, or holds files not written by a batch.
    """
    run = describe(row)
    folders.make_here(folder, 'out')
    held = _read(folder / JOB)
    # Not `runs.claim`, which refuses another run: a changed row is begun anew in its folder, and what
    # stands in the file says whether the row is done. A killed batch may have left the beginning of it.
    others = [name for name in os.listdir(folder) if name != JOB and not files.is_unfinished(name)]
    if held is None and others:
        raise errors.InputError(
            'out',
            f'files and no readable {JOB}',
            hint='choose another folder or name',
            inside=str(folder),
        )
    if held is not None and not _same(held, run):
        for name in _FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
    _write(folder, run, 'running')
    (folder / ERROR).unlink(missing_ok=True)
    return run


@runs.first_only
def close(folder: pathlib.Path, run: dict[str, Any]) -> None:
    """Marks the row as done after all its results were written (by process 0)."""
    _write(folder, {**run, _AUDIT: files.sha256(folder / 'audit.json')}, 'done')


def fail(folder: pathlib.Path, trace: str) -> None:
    """Stores the traceback of a bug; the row stays open and will be retried."""
    files.write_text(folder / ERROR, trace, errors='backslashreplace')


def _same(held, run):
    return all(held.get(key) == value for key, value in run.items())


def _read(path):
    """Reads the file of the row; a damaged one counts as absent, so that the row is done again."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(folder, run, status):
    files.write_text(folder / JOB, json.dumps({**run, 'status': status}, indent=1) + '\n')


def _content(source, name, kind):
    """SHA-256 of a file, or of all files of a native checkpoint; None where nothing is there."""
    path = (generators if kind == 'GENERATOR' else targets).locate(source, name)
    if not os.path.exists(path):
        return None
    if path.is_dir():
        found = sorted(file for file in path.rglob('*') if file.is_file())
        names = [file.relative_to(path).as_posix() for file in found]
    else:
        found = list(onnx_file.files_of(path))
        names = ['.', *(file.name for file in found[1:])]
    total = hashlib.sha256()
    for file, name in zip(found, names, strict=True):
        total.update(f'{name}\0{_digest(str(file), _stamp(file))}\n'.encode(errors='surrogatepass'))
    return total.hexdigest()


@functools.lru_cache(maxsize=4096)
def _digest(path, _stamp):
    """Cached, because rows share evaluators and generators."""
    return files.sha256(path)


def _listing(source, name, row):
    faces = sources.open_faces(source, name, reading=row.inputs)
    total = hashlib.sha256()
    for index, (path, identity) in enumerate(zip(faces.paths, faces.identities, strict=True)):
        text = f'{path}\0{identity}\0{_stamp(path)}{faces.version(index)}\n'
        total.update(text.encode(errors='surrogatepass'))
    return total.hexdigest()


def _stamp(path):
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a drawn image, or a missing one, which the reader will report
        return ''
    return f'{status.st_size} {status.st_mtime_ns}'
