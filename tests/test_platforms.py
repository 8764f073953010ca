"""What the standard library lacks on Windows is not needed to import the package."""

import pathlib
import subprocess
import sys

from fr_inference import locks

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Of the standard library, and array_record, which has no wheel for Windows.
ABSENT = ('fcntl', 'resource', 'pwd', 'grp', 'termios', 'tty', 'pty', 'syslog', 'array_record')
PROGRAM = """
import importlib, os, pkgutil, sys
import jax, flax.linen, optax, PIL.Image, sklearn.linear_model, matplotlib, orbax.checkpoint, onnx
import etils.epath, tensorflow_datasets
for name in {absent}:
    for loaded in [one for one in sys.modules if one.partition('.')[0] == name]:
        del sys.modules[loaded]
    sys.modules[name] = None
for name in ('getuid', 'statvfs', 'O_NONBLOCK', 'pread'):
    delattr(os, name)
import fr_inference
names = [one.name for one in pkgutil.walk_packages(fr_inference.__path__, 'fr_inference.')]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def test_every_module_is_imported_without_posix():
    """What is not ours is imported first: on Windows it has versions of its own."""
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM.format(absent=ABSENT)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    modules = [path for path in (ROOT / 'fr_inference').rglob('*.py') if path.name != '__init__.py']
    assert int(done.stdout) >= len(modules)


class _Msvcrt:
    """Stands in for the module of Windows."""

    LK_NBLCK = 2

    def __init__(self, busy):
        self.busy, self.calls = busy, 0

    def locking(self, file, mode, size):
        self.calls += 1
        assert (mode, size) == (self.LK_NBLCK, 1)
        if self.calls <= self.busy:
            raise PermissionError(13, 'Permission denied')


def test_locks_of_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, 'fcntl', None)
    monkeypatch.setattr(locks, '_LOOK_SECONDS', 0)
    monkeypatch.setitem(sys.modules, 'msvcrt', (waited := _Msvcrt(busy=2)))
    with open(tmp_path / 'lock', 'a', encoding='utf-8') as file:
        locks.hold(file)
        assert waited.calls == 3
        monkeypatch.setitem(sys.modules, 'msvcrt', _Msvcrt(busy=9))
        try:
            locks.hold(file, wait=False)
        except BlockingIOError:
            return
    raise AssertionError('held twice')


def test_one_process_holds_a_lock(tmp_path):
    with open(tmp_path / 'lock', 'a', encoding='utf-8') as file:
        locks.hold(file)
        other = (
            'import sys; from fr_inference import locks; '
            'locks.hold(open(sys.argv[1], "a"), wait=False)'
        )
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', other, str(tmp_path / 'lock')],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert done.returncode == 1
    assert 'BlockingIOError' in done.stderr
