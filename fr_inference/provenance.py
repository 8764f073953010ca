"""Where a result comes from: versions, devices, commit, and which run a folder holds."""

import importlib.metadata
import json
import pathlib
import platform
import subprocess
from typing import Any

import jax

from fr_inference import errors, processes

_PACKAGES = ('fr_inference', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


def describe(command: str) -> dict[str, Any]:
    """Returns what it takes to repeat a run: the command, versions, devices and git commit.

    The commit is None outside a git checkout, and ends in '+changes' where files differ from it.
    """
    return {
        'command': command,
        'git_commit': _commit(pathlib.Path(__file__).resolve().parent.parent),
        'versions': {
            'python': platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        'devices': [device.device_kind for device in jax.devices()],
    }


def _commit(root):
    if not (root / '.git').exists():
        return None

    def git(*arguments):
        return subprocess.run(
            ['git', '-C', str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changes = git('status', '--porcelain', '--untracked-files=no')
        return git('rev-parse', 'HEAD') + ('+changes' if changes else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def claim_run(folder: pathlib.Path, run: dict[str, Any]) -> None:
    """Writes what a run is to `folder`/run.json, or compares with what already stands there.

    Of several processes the first does, and all hear of it.

    Raises:
      InputError: that lists in what the run on disk differs, or says that it is damaged.
    """
    processes.from_first(lambda: claim_run_here(folder, run))


def claim_run_here(folder: pathlib.Path, run: dict[str, Any]) -> None:
    """`claim_run` by this process, whichever it is."""
    path = folder / 'run.json'
    text = json.dumps(run, indent=1, sort_keys=True)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix('.tmp')
        temporary.write_text(text, encoding='utf-8')
        temporary.rename(path)
        return
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        errors.require(isinstance(found, dict), 'not a description of a run')
    except (ValueError, OSError, RecursionError) as error:
        raise errors.InputError(f'{path}: damaged: {error}; remove it to start over') from error
    there, here = _flat(found), _flat(json.loads(text))
    different = [
        f'{key} ({there.get(key)!r:.60} there, {value!r:.60} here)'
        for key, value in here.items()
        if there.get(key) != value
    ]
    errors.require(
        not different,
        f'{folder}: holds another run, which differs in {", ".join(different)}; choose another '
        'folder or repeat the first command',
    )


def _flat(run):
    """Returns the entries of a run's description, those of an inner dict under 'key.inner'."""
    flat = {}
    for key, value in run.items():
        inner = value.items() if isinstance(value, dict) else ()
        flat.update({f'{key}.{name}': part for name, part in inner} or {key: value})
    return flat
