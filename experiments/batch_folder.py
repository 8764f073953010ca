"""What a batch keeps of a row on disk: its folder, whose job it holds, and how that ended.

The audit itself writes its results and the state that lets it go on into the same folder.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
from typing import Any

from experiments import cli, job, search
from fr_inference import auditing, errors, processes
from fr_inference.data import sources
from fr_inference.weights.targets import EMBEDDED

JOB, ERROR = 'job.json', 'error.txt'
SCORES = 'scores'  # beside the rows' folders: what one of them has measured no other measures again
_SCHEMA = 1
_MAX_BYTES = 64 << 20
# What a row that is audited afresh must not meet again: it belongs to another job.
_FILES = (*auditing.FILES, ERROR, JOB)
_FOLDERS = ('search', 'shadow', 'reconstructions')


def describe(asked: job.Job) -> dict[str, Any]:
    """Returns what a job's result belongs to: its values, and the contents of what they name.

    Backbones and generators are read whole. Of a collection of faces the list counts, with size and
    time of change of every file.

    Raises:
      InputError: when the faces can't be listed.
    """
    values = dataclasses.asdict(asked)
    values |= values.pop('search') or {}
    contents = {}
    for name in (*job.BACKBONES, *search.BACKBONES):
        if values.get(name):
            contents[name] = _content(values[name])
    for name in (*job.FACES, *search.FACES):
        if values.get(name):
            contents[name] = _listing(values[name], name, asked.reading)
    run = {'schema': _SCHEMA, 'values': values, 'contents': contents}
    return json.loads(json.dumps(run))  # as it will be read again


def finished(folder: pathlib.Path, asked: job.Job) -> dict[str, Any] | None:
    """Returns the record of the finished audit in `folder`; None where there is none of this job."""
    held, run = _read(folder / JOB), describe(asked)
    if held is None or held.get('status') != 'done' or not _same(held, run):
        return None
    return _read(folder / 'audit.json')


def claim(folder: pathlib.Path, asked: job.Job) -> dict[str, Any]:
    """Makes the folder ready for a job: the state of the same is kept, all of another is removed.

    Returns:
      Its description, for `close`.

    Raises:
      InputError: when the folder can't be written to, or holds what no batch has written.
    """
    run = describe(asked)
    cli.make_folder_here(folder, '--out')
    held = _read(folder / JOB)
    errors.require(
        held is not None or not set(os.listdir(folder)) - {JOB, f'{JOB}.tmp'},
        f'--out: {folder} holds files and no readable {JOB}; choose another folder or name',
    )
    if held is not None and not _same(held, run):
        for name in _FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
    _write(folder, run, 'running')
    (folder / ERROR).unlink(missing_ok=True)
    return run


def close(folder: pathlib.Path, run: dict[str, Any]) -> None:
    """Marks the run as done, after everything of it was written (by the first process)."""
    if processes.is_first():
        _write(folder, run, 'done')


def fail(folder: pathlib.Path, trace: str) -> None:
    """Keeps the traceback of a bug; the run stays open, and is tried again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ERROR).write_text(trace, encoding='utf-8', errors='backslashreplace')


def _same(held, run):
    return all(held.get(key) == value for key, value in run.items())


def _read(path):
    """What is damaged counts as not there, and is done again."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(folder, run, status):
    temporary = folder / f'{JOB}.tmp'
    text = json.dumps({**run, 'status': status}, indent=1)
    temporary.write_text(text + '\n', encoding='utf-8', errors='surrogatepass')
    temporary.rename(folder / JOB)


def _content(source):
    """SHA-256 of a file, or of all files of a native checkpoint; None for what is not there."""
    path = pathlib.Path(source)
    if not os.path.exists(path) and (EMBEDDED / source).is_dir():
        path = EMBEDDED / source
    if not os.path.exists(path):
        return None
    files = sorted(file for file in path.rglob('*') if file.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        name = file.relative_to(path).as_posix()
        total.update(f'{name}\0{_digest(str(file), _stamp(file))}\n'.encode(errors='surrogatepass'))
    return total.hexdigest()


@functools.lru_cache(maxsize=4096)
def _digest(path, _stamp):
    """Rows share evaluators and generators; each is read once."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _listing(source, name, reading):
    faces = sources.open_faces(source, name, **reading)
    total = hashlib.sha256()
    for path, identity in zip(faces.paths, faces.identities, strict=True):
        text = f'{path}\0{identity}\0{_stamp(path)}\n'
        total.update(text.encode(errors='surrogatepass'))
    return total.hexdigest()


def _stamp(path):
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # drawn, or not there, which its reader will tell
        return ''
    return f'{status.st_size} {status.st_mtime_ns}'
