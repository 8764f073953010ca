"""Folders and shards give the tensors of the one file that they stand for."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

from fr_inference.errors import InputError
from fr_inference.formats import checkpoint_folders
from fr_inference.weights.targets import open_target
from tests.formats import states, writer

STATE = states.filled(states.iresnet())
INDEX = 'model.safetensors.index.json'


def shards(folder, kind='safetensors'):
    """Writes the state in two files, and their index."""
    names = sorted(STATE)
    parts = {f'part-{i}.{kind}': names[i::2] for i in range(2)}
    for file, held in parts.items():
        held_arrays = {name: STATE[name] for name in held}
        if kind == 'bin':
            writer.save(folder / file, held_arrays)
        else:
            safetensors.numpy.save_file(held_arrays, folder / file)
    table = {name: file for file, held in parts.items() for name in held}
    main = INDEX if kind == 'safetensors' else 'pytorch_model.bin.index.json'
    (folder / main).write_text(json.dumps({'metadata': {}, 'weight_map': table}))
    return folder / main


def same(found):
    assert set(found.tensors) == set(STATE)
    for name, array in STATE.items():
        np.testing.assert_array_equal(found.tensors[name], array)


@pytest.mark.parametrize('kind', ['safetensors', 'bin'])
def test_shards(tmp_path, kind):
    index = shards(tmp_path, kind)
    for path in (tmp_path, index):
        found, files = checkpoint_folders.read(path)
        same(found)
        assert [file.name for file in files] == [f'part-{i}.{kind}' for i in range(2)]


@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin'])
def test_folders_of_one_file(tmp_path, name):
    if name.endswith('bin'):
        writer.save(tmp_path / name, STATE)
    else:
        safetensors.numpy.save_file(STATE, tmp_path / name)
    (tmp_path / 'config.json').write_text('{"architectures": ["Other"]}')
    found, files = checkpoint_folders.read(tmp_path)
    same(found)
    assert files == [tmp_path / name]


def test_a_target(tmp_path):
    """Its digest tells the weights of all shards."""
    shards(tmp_path)
    target = open_target(tmp_path)
    assert target.name == tmp_path.name
    whole = open_target(writer.save(tmp_path / 'whole.pt', STATE))
    first, second = target.variables['params'], whole.variables['params']
    np.testing.assert_array_equal(first['fc']['kernel'], second['fc']['kernel'])
    part = tmp_path / 'part-0.safetensors'
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    other = hashlib.sha256((tmp_path / 'part-1.safetensors').read_bytes()).hexdigest()
    lines = f'{digest}  part-0.safetensors\n{other}  part-1.safetensors\n'
    assert target.sha256 == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize('change', ['gone', 'less', 'elsewhere'])
def test_shards_that_do_not_fit(tmp_path, change):
    index = shards(tmp_path)
    table = json.loads(index.read_text())
    if change == 'gone':
        (tmp_path / 'part-1.safetensors').unlink()
    elif change == 'less':
        del table['weight_map']['conv1.weight']
    else:
        table['weight_map']['conv1.weight'] = '../part-0.safetensors'
    index.write_text(json.dumps(table))
    with pytest.raises(InputError) as caught:
        checkpoint_folders.read(tmp_path)
    assert caught.value.field.startswith(str(tmp_path))
