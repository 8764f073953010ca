"""The provenance of a result: versions, devices, commit."""

import importlib.metadata
import pathlib
import platform
import subprocess
from typing import Any

import jax

_PACKAGES = ('fr_inference', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


def describe(command: str) -> dict[str, Any]:
    """Returns what is needed to repeat a run: the command, versions, devices and git commit.

    The commit is None outside a git checkout, and ends in '+changes' if files differ from it.
    """
    return {
        'command': command,
        'git_commit': _commit(pathlib.Path(__file__).resolve().parent.parent),
        'versions': {
            'python': platform.python_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
        'devices': [device.device_kind for device in jax.devices()],
    }


def _version(name):
    """None for a package that is not installed: a checkout can run without it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


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
