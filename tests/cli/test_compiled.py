"""Compiled programs are kept in a folder of the user's own, and a second process compiles nothing."""

import os
import pathlib
import subprocess
import sys
import threading
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.cli import compiled
from tests.experiments import targets

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def home(tmp_path, monkeypatch):
    """JAX without any settings of its own, and a home that is empty."""
    kept = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')
    before = {name: getattr(jax.config, name) for name in kept}
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    jax.config.update('jax_compilation_cache_dir', None)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_private_folder_is_used(home):
    folder = compiled.keep()
    assert folder == compiled.place()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert str(folder) == jax.config.jax_compilation_cache_dir
    assert folder.is_relative_to(home)


def test_a_lax_umask_does_not_open_it(home):
    before = os.umask(0o002)
    try:
        folder = compiled.keep()
    finally:
        os.umask(before)
    assert folder is not None
    assert {path.stat().st_mode & 0o777 for path in (folder, *folder.parents[:2])} == {0o700}


def test_settings_of_jax_stand(home):
    jax.config.update('jax_compilation_cache_dir', 'mine')
    assert compiled.keep() is None
    assert jax.config.jax_compilation_cache_dir == 'mine'


@pytest.mark.parametrize('level', [0, 1, 2])
@pytest.mark.parametrize('mode', [0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not(home, level, mode):
    compiled.place().mkdir(parents=True)
    (compiled.place(), *compiled.place().parents)[level].chmod(mode)
    assert compiled.keep() is None
    assert jax.config.jax_compilation_cache_dir is None


def test_a_link_to_a_folder_of_others_is_not(home, tmp_path_factory):
    compiled.place().parent.mkdir(parents=True)
    compiled.place().symlink_to(tmp_path_factory.mktemp('elsewhere'))
    assert compiled.keep() is None


def test_without_a_home_it_goes_on(home, monkeypatch):
    (home / 'a file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(home / 'a file'))
    assert compiled.keep() is None


def test_the_oldest_go_first(home, monkeypatch):
    monkeypatch.setattr(compiled, '_MOST_BYTES', 25)
    compiled.place().mkdir(parents=True)
    for age, name in enumerate(('new', 'old', 'oldest')):
        path = compiled.place() / name
        path.write_bytes(bytes(10))
        os.utime(path, (1000 - age, 1000 - age))
    compiled.keep()
    assert {path.name for path in compiled.place().iterdir()} == {'new', 'old'}


@pytest.fixture
def listening(monkeypatch):
    """Nothing was said yet; programs of other tests may be listening already."""
    monkeypatch.setattr(compiled, '_SAID', threading.Event())
    compiled.announce()
    return monkeypatch


def compile_one(size):
    return jax.jit(lambda x: jnp.sin(x) + 17).lower(np.zeros(size, np.float32)).compile()


def test_a_long_compilation_is_said_once_while_it_lasts(listening, capsys):
    listening.setattr(compiled, '_LONG_SECONDS', 0)
    jax.monitoring.record_scalar(compiled._COMPILING, 0.0, fun_name='slow')
    timer = compiled._WAITING.pop(threading.get_ident())
    timer.join()
    line, *more = capsys.readouterr().err.splitlines()
    assert (line.startswith('compiling for more than 0 s'), more) == (True, [])
    compile_one(3)
    assert not compiled._WAITING
    assert not capsys.readouterr().err


def test_a_short_compilation_is_not_said(listening):
    timers = []

    def made(*_):
        timers.append(mock.Mock())
        return timers[-1]

    listening.setattr(compiled.threading, 'Timer', made)
    compile_one(5)
    assert timers
    assert all(timer.start.call_count == timer.cancel.call_count == 1 for timer in timers)


def test_a_second_process_compiles_nothing(tmp_path):
    settings = {name: text for name, text in os.environ.items() if not name.startswith('JAX_')}
    settings |= {
        'XDG_CACHE_HOME': str(tmp_path),
        'JAX_PLATFORMS': 'cpu',
        'JAX_LOGGING_LEVEL': 'DEBUG',
    }
    faces = 'procedural:easy,images=2,people=8,size=16'
    targets.save(tmp_path / 'target', 0)

    def run(out):
        done = subprocess.run(
            [
                *(sys.executable, '-m', 'experiments.audit', '--nothumbnails'),
                f'--target={tmp_path / "target"}',
                *(f'--members={faces}', f'--nonmembers={faces},first=8', f'--out={tmp_path / out}'),
                '--attacks=bn-distance',
            ],
            cwd=ROOT,
            env=settings,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stderr

    def kept():
        return sorted(path.name for path in tmp_path.rglob('fr_inference/compiled/*/*'))

    run('first')
    before = kept()
    assert before
    log = run('second')
    assert 'Persistent compilation cache hit' in log
    assert 'PERSISTENT COMPILATION CACHE MISS' not in log.upper()
    assert kept() == before
