"""Files of strangers: one line each, nothing run, nothing written, little time and memory."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.errors import InputError
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.weights.targets import open_target
from tests.experiments import programs
from tests.formats import generators, hostile, states, writer

CPU_SECONDS, MEGABYTES = 5, 500
LISTS = r'\d (missing|unmatched|misshaped) \('  # of weights, all of which are named
SEARCH = os.pathsep.join([str(programs.ROOT), str(programs.ROOT / 'tests')])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Every hostile file, and two honest ones."""
    folder = tmp_path_factory.mktemp('hostile')
    hostile.make_all(folder)
    return folder


@pytest.fixture(scope='module')
def results(folder):
    """What `experiments.convert_weights` made of each file, all in one process of its own."""
    before = sorted(path.name for path in folder.iterdir())
    done = subprocess.run(
        [sys.executable, '-m', 'formats.hostile', str(folder)],
        env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': SEARCH},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert sorted(path.name for path in folder.iterdir() if path.name != 'out') == before
    return json.loads(done.stdout)


@pytest.mark.parametrize('name', hostile.CASES)
def test_one_line_and_exit_code_2(results, name):
    """The line names the file, says what is wrong with it, and holds no control characters."""
    words, _ = hostile.CASES[name]
    result = results[name]
    assert result['code'] == 2, result['err']
    assert result['err'].count('\n') == 1
    assert result['err'].strip().isprintable()
    assert len(result['err']) < (4000 if re.search(LISTS, result['err']) else 1000)
    assert re.search(words, result['err'])
    assert hostile.file_name(name) in result['err']
    assert len(result['fields']) == 1
    file = name in hostile.GENERATORS
    assert result['fields'][0].endswith(hostile.file_name(name) if file else 'source')


@pytest.mark.parametrize('name', hostile.CASES)
def test_seconds_and_megabytes(results, name):
    """Of the whole program, JAX and Orbax included, but for the start of Python."""
    assert results[name]['seconds'] < CPU_SECONDS
    assert results[name]['megabytes'] < MEGABYTES


def test_honest_ones_are_converted(results):
    assert [results[name]['code'] for name in hostile.HONEST] == [0] * len(hostile.HONEST)


def test_nothing_was_run(folder, results):
    assert results
    assert not (folder / hostile.MARKER).exists()


def test_the_bombs_are_real(tmp_path):
    """Python's own unpickler does run them: a marker that nothing leaves would prove nothing."""
    marker = tmp_path / hostile.MARKER
    for name, bomb in hostile.bombs(marker).items():
        subprocess.run(
            [sys.executable, '-c', 'import pickle, sys; pickle.load(sys.stdin.buffer)'],
            input=pickle.dumps(bomb, 2),
            env={**os.environ, 'PYTHONPATH': SEARCH},
            capture_output=True,
            check=False,
        )
        assert marker.exists(), name
        marker.unlink()


@pytest.mark.parametrize('name', ['code_in_zip_system', 'malformed_metadata_list'])
def test_command_line(folder, tmp_path, name):
    """The program itself, as a user starts it."""
    path = folder / hostile.file_name(name)
    done = programs.command_line(
        'convert_weights', f'--source={path}', f'--out={tmp_path / "refused"}'
    )
    assert (done.code, done.out, done.err.count('\n')) == (2, '', 1)
    assert path.name in done.err
    assert not (folder / hostile.MARKER).exists()


@pytest.fixture(scope='module')
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp('bytes') / 'file.pt'


def refused_or_read(path, data):
    """Whether the bytes gave tensors or one line of error; anything else raises."""
    path.write_bytes(data)
    try:
        return bool(read_tensors(path).tensors)
    except InputError as error:
        return '\n' not in str(error)


HEADS = (
    b'',
    b'PK\x03\x04',
    b'\x80\x02',
    b'\x80\x05',
    writer.legacy_bytes(b'')[:120],
    b'\x20' + b'\0' * 7 + b'{',
)


@settings(max_examples=300)
@given(st.sampled_from(HEADS), st.binary(max_size=300))
def test_arbitrary_bytes(scratch, head, data):
    assert refused_or_read(scratch, head + data)


MODULE = generators.nvidia_bytes(generators.module({'weight': np.ones((2, 3), np.float32)}))


@settings(max_examples=300)
@given(
    st.sampled_from([b'\x80\x02', b'\x80\x04\x95', b'\x80\x05', MODULE[:300]]),
    st.binary(max_size=300),
)
def test_arbitrary_bytes_of_a_generator(scratch, head, data):
    assert refused_or_read(scratch, head + data)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=4),
    st.sampled_from([2, 3, 4, 5]),
    st.none() | st.integers(0, 10_000),
)
def test_damaged_modules(scratch, changes, protocol, length):
    """An honest small module, some bytes changed, mostly not in its source code, cut somewhere."""
    made = generators.module({'weight': np.ones((2, 3), np.float32)}, source='')
    data = bytearray(generators.nvidia_bytes(made, protocol))
    for position, value in changes:
        data[position % len(data)] = value
    assert refused_or_read(scratch, bytes(data[:length]))


SMALL = {'a': states.filled({'weight': (2, 3)})['weight'], 'b': [1, 'two', None]}


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(writer.FORMATS)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    st.integers(0, 10_000),
)
def test_damaged_checkpoints(scratch, form, changes, length):
    """An honest small file, some bytes changed, cut somewhere."""
    data = bytearray(writer.encode(SMALL, form))
    for position, value in changes:
        data[position % len(data)] = value
    assert refused_or_read(scratch, bytes(data[:length]))


def container(make):
    keep: list[np.ndarray] = []
    return writer.zip_bytes(writer.PROTO + bytes(make(keep)) + b'.', keep)


WEIGHT = np.ones((2, 3), np.float32)
CONTAINERS = (
    container(lambda keep: writer.module('Net', keep, {'fc': writer.module('Fc', keep, w=WEIGHT)})),
    container(lambda keep: writer.scripted({'fc.weight': WEIGHT}, keep)),
    container(lambda keep: writer.body([('w', WEIGHT), writer.pickled({1, 'two'})], keep)),
    pickle.dumps({'w': WEIGHT, 'path': pathlib.PurePosixPath('a'), 'more': np.float32(1)}, 4),
    writer.PROTO + writer.pickled({'w': WEIGHT}) + b'.',
)


@settings(max_examples=300)
@given(
    st.sampled_from(CONTAINERS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    st.none() | st.integers(0, 10_000),
)
def test_damaged_containers(scratch, content, changes, length):
    """Objects, modules and arrays of strangers, some bytes changed, cut somewhere."""
    data = bytearray(content)
    for position, value in changes:
        data[position % len(data)] = value
    assert refused_or_read(scratch, bytes(data[:length]))


@settings(max_examples=100)
@given(st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_in_an_archive_never_changes_a_weight(scratch, position, bit):
    """Archives carry checksums."""
    data = bytearray(writer.encode(SMALL))
    data[position % len(data)] ^= 1 << bit
    scratch.write_bytes(data)
    try:
        found = read_tensors(scratch).tensors
    except InputError:
        return
    assert [array.tolist() for array in found.values()] == [SMALL['a'].tolist()]


def test_native_directories_do_not_stay_silent(folder):
    """The library says the same without the program."""
    with pytest.raises(InputError) as caught:
        open_target(folder / 'chunk_larger_than_its_array')
    assert caught.value.field == 'target'
    with pytest.raises(InputError) as caught:
        open_target(folder / 'flipped_bit_in_the_variables', field='blind')
    assert caught.value.field == 'blind'
    assert 'SHA-256' in caught.value.found
