"""Native folders of any pytree: dtypes kept, one whole network at any moment, damage noticed."""

import json
import os
import threading

import jax
import ml_dtypes
import numpy as np
import pytest

from fr_inference import checkpointing, files, processes
from fr_inference.errors import InputError
from fr_inference.weights import descriptions, native_folders
from tests import flipped_bits


def abstract(tree):
    return jax.tree.map(lambda leaf: np.broadcast_to(leaf.dtype.type(0), leaf.shape), tree)


def load(folder, expected):
    record = descriptions.read(folder / 'some.json', native_folders.SCHEMAS)
    return native_folders.load_variables(folder, record, expected)


def test_dtypes_are_kept(tmp_path):
    tree = {
        'params': {'a': np.array([1.5], ml_dtypes.bfloat16), 'b': np.ones((), np.float16)},
        'count': np.array([2**40], np.int64),
    }
    native_folders.save(tmp_path, 'some.json', {'x': 1}, tree)
    found, digest, notes = load(tmp_path, abstract(tree))
    jax.tree.map(np.testing.assert_array_equal, found, tree)
    assert jax.tree.map(lambda leaf: leaf.dtype, found) == jax.tree.map(
        lambda leaf: leaf.dtype, tree
    )
    assert (digest, notes) == (checkpointing.digest(tree), ())
    written = json.loads((tmp_path / 'some.json').read_text())
    assert files.unsealed(written) == {'schema': 2, 'x': 1, 'variables_sha256': digest}
    assert 'sha256' in written


def test_a_reader_beside_a_writer_never_sees_a_mixture(tmp_path):
    """One network or the other, or one line."""
    trees = [{'w': np.full(1000, value, np.float32)} for value in (1, 2)]
    native_folders.save(tmp_path, 'some.json', {}, trees[0])
    done = threading.Event()

    def write():
        for turn in range(60):
            native_folders.save(tmp_path, 'some.json', {}, trees[turn % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set():
        try:
            found, _, _ = load(tmp_path, abstract(trees[0]))
        except InputError:
            continue
        seen += 1
        assert len(np.unique(found['w'])) == 1
    writer.join()
    assert seen
    assert load(tmp_path, abstract(trees[0]))[0]['w'][0] == 2


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, 'is_first', lambda: False)
    native_folders.save(tmp_path / 'new', 'some.json', {}, {'w': np.ones(1)})
    assert not os.listdir(tmp_path)


def test_a_flipped_bit_in_a_description_never_describes_another_network(tmp_path):
    record = {'input': {'mean': [127.5, 1.0]}, 'name': 'näme', 'config': {'width': 64}}
    native_folders.save(tmp_path, 'some.json', record, {'w': np.ones(1)})
    file = tmp_path / 'some.json'
    honest = descriptions.read(file, native_folders.SCHEMAS)
    noticed = 0
    for _ in flipped_bits.each(file, 200):
        try:
            found = descriptions.read(file, native_folders.SCHEMAS)
        except InputError as error:
            noticed += error.field == str(file)
            continue
        assert {name: found.get(name) for name in honest} == honest
    assert noticed > 150


def test_files_beside_are_those_that_were_written(tmp_path):
    beside = {'list.csv': lambda path: path.write_text('a,b')}
    native_folders.save(tmp_path, 'some.json', {}, {'w': np.ones(1)}, beside=beside)
    record, file = descriptions.read(tmp_path / 'some.json', [2]), tmp_path / 'list.csv'
    native_folders.check_beside(file, record)
    for _ in flipped_bits.each(file, 10):
        with pytest.raises(InputError) as caught:
            native_folders.check_beside(file, record)
        assert caught.value.field == str(file)
    native_folders.check_beside(file, {})  # of an earlier version


@pytest.mark.parametrize(
    'content', ['', '[]', '{}', '{"schema": 7}', '{"schema": [1]}', '[' * 9999]
)
def test_descriptions_that_are_none(tmp_path, content):
    (tmp_path / 'some.json').write_text(content)
    with pytest.raises(InputError) as caught:
        descriptions.read(tmp_path / 'some.json', native_folders.SCHEMAS)
    assert caught.value.field == str(tmp_path / 'some.json')
    assert '\n' not in str(caught.value)
