"""Results at an address: one run at a time, on any machine, from the last whole upload."""

import json
import shutil
from unittest import mock

import numpy as np
import pytest

from fr_inference import addresses, claims, errors, local_copies, mirrored, runs
from tests import stores

OUT = 'memory://bucket/run'


class Killed(BaseException):
    """What no program catches."""


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """An empty file system in memory, and an empty cache; nothing is open afterwards."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(claims, '_LOOK_SECONDS', 0.01)
    monkeypatch.setattr(claims, '_SILENT_SECONDS', 0.05)
    monkeypatch.setattr(mirrored, '_LEAST_SECONDS', 0.0)
    monkeypatch.setattr(mirrored, '_SHARE', 0)
    with stores.in_memory() as files:
        yield files
        kill()


def kill():
    """What a SIGKILL leaves: nothing is uploaded, and the claim stays."""
    for mirror in mirrored._OPEN.values():
        mirror._claim._ended.set()
    mirrored._OPEN.clear()


def another_machine(tmp_path):
    kill()
    shutil.rmtree(tmp_path / 'cache', ignore_errors=True)


@pytest.fixture
def elsewhere():
    """Claims of this process look like those of another machine."""
    with mock.patch.object(claims, '_is_here', return_value=False):
        yield


def names(memory):
    return set(addresses.below(OUT, 'out')) - {mirrored.LIST, claims.NAME}


def advance(state, done):
    return {'x': state['x'] * np.float32(3) + done}, done + 1, {}


def chain(total, until=None):
    """Returns (the state at the end, the steps that were done here); killed before step `until`."""
    folder, done_here = mirrored.folder_of(OUT, 'out'), []

    def step(state, done):
        if done == until:
            raise Killed
        done_here.append(done)
        return advance(state, done)

    runs.claim(folder, {'what': 'a chain'})
    ended = runs.resume(
        {'x': np.arange(3, dtype=np.float32)}, total, step, folder=folder, save_seconds=0.0
    )
    return ended['x'].tolist(), done_here


def test_a_killed_run_goes_on_on_another_machine(memory, tmp_path, elsewhere):
    state = {'x': np.arange(3, dtype=np.float32)}
    for done in range(6):
        state, _, _ = advance(state, done)
    expected = state['x'].tolist()
    with pytest.raises(Killed):
        chain(6, until=4)
    another_machine(tmp_path)
    assert chain(6) == (expected, [4, 5])


@pytest.mark.parametrize('uploads', [0, 3, 12, 13, 25, 38])
def test_a_kill_during_an_upload(memory, tmp_path, elsewhere, uploads):
    """Whatever was uploaded last, the next machine finds a whole state, or begins anew."""
    upload, left = addresses.upload, [uploads]

    def some(*rest):
        if not left[0]:
            raise Killed
        left[0] -= 1
        upload(*rest)

    with mock.patch.object(addresses, 'upload', some), pytest.raises(Killed):
        chain(6)
    listed = json.loads(memory.cat_file('/bucket/run/.files.json'))['files']
    states = [name.split('/')[1] for name in listed if name.startswith('state/')]
    whole = max((int(name.removeprefix('step_')) for name in states), default=0)
    another_machine(tmp_path)
    _, here = chain(6)
    assert here == list(range(here[0], 6))
    assert here[0] == whole
    if not 3 < uploads < 25:  # a state has some ten files, not always as many
        assert (whole > 0) == (uploads > 3)
    with mirrored.kept():
        pass
    listed = json.loads(memory.cat_file('/bucket/run/.files.json'))
    assert names(memory) == set(listed['files'])  # nothing half uploaded is left
    assert not memory.exists('/bucket/run/.running.json')


def test_one_run_at_a_time(memory):
    with mirrored.kept():
        mirrored.folder_of(OUT, 'out')
        with pytest.raises(errors.InputError, match='another run is writing') as caught:
            mirrored.Mirror(OUT, 'out')
        assert caught.value.field == 'out'
    mirrored.folder_of(OUT, 'out')  # the first is over


def test_a_live_run_elsewhere(memory, elsewhere, monkeypatch):
    """It gives a sign while the other waits."""
    monkeypatch.setattr(claims, '_BEAT_SECONDS', 0.02)
    monkeypatch.setattr(claims, '_SILENT_SECONDS', 5.0)
    with mirrored.kept():
        mirrored.folder_of(OUT, 'out')
        with pytest.raises(errors.InputError, match='another run is writing'):
            mirrored.Mirror(OUT, 'out')


def test_a_run_that_was_halted_too_long_writes_no_more(memory, elsewhere):
    folder = mirrored.folder_of(OUT, 'out')
    (first,) = mirrored._OPEN.values()
    kill()
    mirrored.folder_of(OUT, 'out')  # takes over
    (folder / 'late.txt').write_text('1')
    for due in (True, False):
        with pytest.raises(errors.InputError, match='took over'):
            first.push(due=due)
    assert names(memory) == set()


def test_files_of_others_stay(memory, tmp_path):
    """What was put there before a run is fetched and kept, also without a list."""
    memory.pipe_file('/bucket/run/notes.txt', b'mine')
    with mirrored.kept():
        folder = mirrored.folder_of(OUT, 'out')
        assert (folder / 'notes.txt').read_bytes() == b'mine'
        (folder / 'a' / 'b').mkdir(parents=True)
        (folder / 'a' / 'b' / 'c').write_text('1')
        (folder / 'rows.sqlite').write_text('rows go their own way')
    assert names(memory) == {'notes.txt', 'a/b/c'}
    memory.pipe_file('/bucket/run/later.txt', b'put there by hand')
    another_machine(tmp_path)
    with mirrored.kept():
        folder = mirrored.folder_of(OUT, 'out')
        assert not (folder / 'later.txt').exists()  # not of the run
        (folder / 'notes.txt').unlink()
    assert names(memory) == {'later.txt', 'a/b/c'}


def test_what_another_machine_did_is_fetched(memory, tmp_path, monkeypatch):
    """And what nobody else did is not."""
    with mirrored.kept():
        (mirrored.folder_of(OUT, 'out') / 'a').write_text('first')
    with mirrored.kept(), mock.patch.object(addresses, 'download') as download:
        mirrored.folder_of(OUT, 'out')
    assert not download.called
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'other'))
    with mirrored.kept():
        (mirrored.folder_of(OUT, 'out') / 'a').write_text('second')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    with mirrored.kept():
        assert (mirrored.folder_of(OUT, 'out') / 'a').read_text() == 'second'


def test_what_was_removed_there_is_begun_anew(memory):
    with mirrored.kept():
        (mirrored.folder_of(OUT, 'out') / 'a').write_text('first')
    memory.rm('/bucket/run', recursive=True)
    with mirrored.kept():
        assert not (mirrored.folder_of(OUT, 'out') / 'a').exists()


def test_a_store_that_goes_away_loses_nothing(memory, caplog):
    """The work goes on; the end says where everything is; the same command uploads it."""
    gone = errors.InputError('out', 'a store that does not answer')
    folder = mirrored.folder_of(OUT, 'out')
    (folder / 'a').write_text('1')
    with mock.patch.object(addresses, 'upload', side_effect=gone):
        mirrored.push(folder)
        assert 'continuing' in caplog.text
        with pytest.raises(errors.InputError, match='does not answer') as caught:
            mirrored._close()
    assert str(local_copies.cache('runs')) in caught.value.hint
    with mirrored.kept():
        assert (mirrored.folder_of(OUT, 'out') / 'a').read_text() == '1'
    assert names(memory) == {'a'}


def test_the_error_of_the_work_is_the_one_that_is_told(memory):
    gone = errors.InputError('out', 'a store that does not answer')

    def work():
        with mirrored.kept():
            (mirrored.folder_of(OUT, 'out') / 'a').write_text('1')
            raise KeyError

    with mock.patch.object(addresses, 'upload', side_effect=gone), pytest.raises(KeyError):
        work()


def test_folders_below(memory):
    with mirrored.kept():
        folder = mirrored.folder_of(OUT, 'out')
        assert mirrored.folder_of(f'{OUT}/row', 'out') == folder / 'row'
        assert mirrored.address_of(folder / 'row' / 'x') == f'{OUT}/row/x'
        assert mirrored.address_of(folder.with_name('runner')) is None
    assert mirrored.address_of(folder) is None


def test_uploads_leave_time_for_work(memory, monkeypatch):
    monkeypatch.setattr(mirrored, '_LEAST_SECONDS', 3600.0)
    with mirrored.kept():
        folder = mirrored.folder_of(OUT, 'out')
        for number in range(3):
            (folder / f'{number}').write_text('1')
            mirrored.push(folder)
        assert names(memory) == {'0'}
    assert names(memory) == {'0', '1', '2'}
