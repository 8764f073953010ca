"""Trees on disk and training states: whole or not at all, bit for bit; what does not fit is named."""

import resource
import shutil

import jax
import numpy as np
import pytest

from fr_inference import checkpointing
from fr_inference.errors import InputError


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert jax.tree.map(lambda leaf: leaf.dtype, first) == jax.tree.map(
        lambda leaf: leaf.dtype, second
    )


def test_digest():
    tree = {'a': np.arange(6, dtype=np.float32).reshape(2, 3), 'b': {'c': np.zeros(2, np.int32)}}
    value = checkpointing.digest(tree)
    assert value == checkpointing.digest(jax.tree.map(jax.numpy.asarray, tree))
    assert value == checkpointing.digest({'b': tree['b'], 'a': np.asfortranarray(tree['a'])})
    others = [
        {**tree, 'a': tree['a'].reshape(3, 2)},
        {**tree, 'a': tree['a'].astype(np.float64)},
        {**tree, 'a': np.nextafter(tree['a'], np.float32(9))},
        {'a': tree['a'], 'd': tree['b']},
        {'a': tree['a']},
    ]
    assert len({value, *map(checkpointing.digest, others)}) == 6


STATE = {
    'params': {'w': np.arange(4, dtype=np.float32)},
    'step': np.asarray(3, np.int32),
    'momentum': [np.zeros((2, 2), np.float32), np.ones(1, np.float16)],
}


def save(folder, *steps):
    with checkpointing.States(folder) as states:
        for step in steps:
            states.save(step, {**STATE, 'step': np.asarray(step, np.int32)})


def latest(folder, like=STATE):
    with checkpointing.States(folder) as states:
        return states.latest(like)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestStates:
    def test_round_trip(self, tmp_path):
        save(tmp_path, 3)
        step, found = latest(tmp_path)
        assert step == 3
        same(found, STATE)

    def test_the_newest_of_two(self, tmp_path):
        save(tmp_path, 1, 2)
        save(tmp_path, 10)
        assert names(tmp_path) == ['step_000000002', 'step_000000010']
        step, found = latest(tmp_path)
        assert (step, int(found['step'])) == (10, 10)

    def test_incomplete_ones_do_not_count(self, tmp_path):
        save(tmp_path, 1)
        (tmp_path / 'step_000000002').mkdir()  # no metadata: never finished
        (tmp_path / 'step_000000003.orbax-checkpoint-tmp').mkdir()
        assert latest(tmp_path)[0] == 1
        save(tmp_path, 2, 3)
        assert names(tmp_path) == ['step_000000002', 'step_000000003']

    def test_none(self, tmp_path):
        assert latest(tmp_path) is None
        assert latest(tmp_path / 'none') is None

    def test_of_another_run(self, tmp_path):
        save(tmp_path, 1)
        other = {**STATE, 'params': {'w': np.zeros(5, np.float32)}, 'more': np.zeros(1)}
        with pytest.raises(InputError) as caught:
            latest(tmp_path, other)
        assert caught.value.field == str(tmp_path / 'step_000000001' / 'state')
        assert caught.value.found.startswith('1 missing (more); 1 misshaped (params/w ')

    def test_of_an_earlier_version(self, tmp_path):
        checkpointing.save_tree(tmp_path / 'step_000000004', STATE)
        with pytest.raises(InputError) as caught:
            latest(tmp_path)
        assert caught.value.field == str(tmp_path / 'step_000000004')
        assert 'earlier version' in caught.value.found
        assert caught.value.hint == f'remove {tmp_path} to start over'

    @pytest.mark.parametrize('whole', [True, False], ids=['one before', 'none before'])
    def test_one_changed_byte(self, tmp_path, whole, caplog):
        """In any file: the state is right, or the one before it, or one line says what to remove."""
        save(tmp_path / 'saved', *((1, 2) if whole else (2,)))
        files = sorted(
            file.relative_to(tmp_path / 'saved')
            for file in (tmp_path / 'saved' / 'step_000000002').rglob('*')
            if file.is_file() and file.stat().st_size
        )
        assert len(files) > 5
        noticed = 0
        for number, name in enumerate(files):
            folder = tmp_path / f'copy{number}'
            shutil.copytree(tmp_path / 'saved', folder)
            data = bytearray((folder / name).read_bytes())
            data[len(data) // 2] ^= 4
            (folder / name).write_bytes(bytes(data))
            try:
                step, found = latest(folder)
            except InputError as error:
                refused = error
            else:
                same(found, {**STATE, 'step': np.asarray(step, np.int32)})
                assert step == 2 or whole
                assert (step == 2) == (folder / 'step_000000002').exists()
                noticed += step == 1
                save(folder, step + 1)
                continue
            assert not whole
            assert refused.hint == f'remove {folder} to start over'
            assert '\n' not in str(refused)
            noticed += 1
        assert noticed >= 3
        assert caplog.text.count('continuing from step 1') == (noticed if whole else 0)


def test_no_file_names_the_place_it_was_written_to(tmp_path):
    checkpointing.save_tree(tmp_path / 'tree', {'x': np.ones(3, np.float32)})
    files = [file for file in (tmp_path / 'tree').rglob('*') if file.is_file()]
    assert files
    assert not [file for file in files if str(tmp_path).encode() in file.read_bytes()]


def test_no_room_is_told_as_such(tmp_path):
    """As a full disk: no file may grow beyond a few bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    tree = {'x': np.random.default_rng(0).normal(size=50_000)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=f'File too large: .*{tmp_path.name}/tree'):
            checkpointing.save_tree(tmp_path / 'tree', tree)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    checkpointing.save_tree(tmp_path / 'tree', tree)


def test_no_room_for_a_state_is_told_as_such(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    save(tmp_path, 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match='File too large') as caught:
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path)
    assert latest(tmp_path)[0] == 1
    save(tmp_path, 2)
    assert latest(tmp_path)[0] == 2
