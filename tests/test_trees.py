"""Trees on disk and training states: whole or not at all, bit for bit; what does not fit is named."""

import resource

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


class TestStates:
    def test_round_trip(self, tmp_path):
        checkpointing.save_state(tmp_path, 3, STATE)
        step, found = checkpointing.latest_state(tmp_path, STATE)
        assert step == 3
        same(found, STATE)

    def test_the_newest_of_two(self, tmp_path):
        for step in (1, 2, 10):
            changed = {**STATE, 'step': np.asarray(step, np.int32)}
            checkpointing.save_state(tmp_path, step, changed)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            'step_000000002',
            'step_000000010',
        ]
        step, found = checkpointing.latest_state(tmp_path, STATE)
        assert (step, int(found['step'])) == (10, 10)

    def test_incomplete_ones_do_not_count(self, tmp_path):
        checkpointing.save_state(tmp_path, 1, STATE)
        (tmp_path / 'step_000000002').mkdir()  # no metadata: never finished
        (tmp_path / 'step_000000003.orbax-checkpoint-tmp').mkdir()
        assert checkpointing.latest_state(tmp_path, STATE)[0] == 1

    def test_none(self, tmp_path):
        assert checkpointing.latest_state(tmp_path, STATE) is None
        assert checkpointing.latest_state(tmp_path / 'none', STATE) is None

    def test_of_another_run(self, tmp_path):
        checkpointing.save_state(tmp_path, 1, STATE)
        other = {**STATE, 'params': {'w': np.zeros(5, np.float32)}, 'more': np.zeros(1)}
        with pytest.raises(InputError, match=r'1 missing \(more\); 1 misshaped \(params/w is'):
            checkpointing.latest_state(tmp_path, other)


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
