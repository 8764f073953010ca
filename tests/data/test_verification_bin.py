"""Verification sets: what the pickles of Python 2 and 3 hold is read, and nothing in them runs."""

import errno
import hashlib
import io
import os
import pathlib
import pickle
import struct
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fr_inference.data import verification_bin
from fr_inference.data.faces import BadImageError
from fr_inference.errors import InputError
from tests.data import records

IMAGES = [records.jpeg(seed, 96, quality=98) for seed in range(6)]
SAME = [True, False, True]


def python2(images, same):
    """What Python 2.7's cPickle writes of (list of str, list of bool) in protocol 2."""
    out, memo = [b'\x80\x02]q\x00('], 1
    for image in images:
        short = len(image) < 256
        length = struct.pack('<B' if short else '<i', len(image))
        out += [b'U' if short else b'T', length, image, b'r', struct.pack('<I', memo)]
        memo += 1
    out += [b'e]r', struct.pack('<I', memo), b'(', *(b'\x88' if one else b'\x89' for one in same)]
    return b''.join([*out, b'e\x86r', struct.pack('<I', memo + 1), b'.'])


def arrays(images, same):
    return [np.frombuffer(image, np.uint8) for image in images], np.array(same)


def columns(images, same):
    """As `cv2.imencode` gives them before OpenCV 4.5, and a file of it as one row of a matrix."""
    shape = iter([(-1, 1), (1, -1)] * len(images))
    return [np.frombuffer(image, np.uint8).reshape(next(shape)) for image in images], same


FORMS = {
    'python 2': python2(IMAGES, SAME),
    **{f'protocol {n}': pickle.dumps((IMAGES, SAME), protocol=n) for n in range(2, 6)},
    'a list': pickle.dumps([IMAGES, SAME]),
    'numbers as flags': pickle.dumps((IMAGES, [1, 0, 1])),
    'flags of NumPy': pickle.dumps((IMAGES, list(np.array(SAME)))),
    **{
        f'arrays, protocol {n}': pickle.dumps(arrays(IMAGES, SAME), protocol=n) for n in range(2, 6)
    },
    **{
        f'columns, protocol {n}': pickle.dumps(columns(IMAGES, SAME), protocol=n) for n in (2, 4, 5)
    },
    'byte arrays': pickle.dumps(([bytearray(image) for image in IMAGES], SAME), protocol=5),
}


def opened(folder, content):
    path = folder / 'lfw.bin'
    path.write_bytes(content)
    return verification_bin.open_bin(path)


def refused(folder, content):
    with pytest.raises(InputError) as caught:
        opened(folder, content)
    assert caught.value.field == 'pairs'
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 700
    return caught.value


def test_the_stand_in_for_python_2_is_a_pickle():
    images, same = pickle.loads(FORMS['python 2'], encoding='bytes')
    assert (images, same) == (IMAGES, SAME)


@pytest.mark.parametrize('form', FORMS)
def test_forms(tmp_path, form):
    pairs = opened(tmp_path, FORMS[form])
    assert pairs.same.tolist() == SAME
    assert pairs.folds.tolist() == [0, 1, 2]
    assert not pairs.named
    for side, start in ((pairs.first, 0), (pairs.second, 1)):
        for position, image in zip(side, IMAGES[start::2], strict=True):
            expected = np.asarray(Image.open(io.BytesIO(image)))
            np.testing.assert_array_equal(pairs.faces.read(position), expected)
            assert pairs.faces.digest(position) == hashlib.sha256(image).hexdigest()
            assert pairs.faces.encoded(position) == image


def test_the_set_written_with_opencv(shared):
    pairs = verification_bin.open_bin(shared / 'cases' / 'cv2_imencode_column_arrays.bin')
    assert len(pairs) > 1
    assert {pairs.faces.read(index).shape for index in range(len(pairs.faces))} == {(112, 112, 3)}


def test_equal_images_are_listed_once(tmp_path):
    a, b, c = IMAGES[:3]
    pairs = opened(tmp_path, pickle.dumps(([a, b, bytes(bytearray(a)), c, c, b], SAME)))
    assert len(pairs.faces) == 3
    assert pairs.first.tolist() == [0, 0, 2]
    assert pairs.second.tolist() == [1, 2, 1]
    assert [path.rpartition('#')[2] for path in pairs.faces.paths] == ['0', '1', '3']


def test_ten_folds_in_a_row(tmp_path):
    pairs = opened(tmp_path, pickle.dumps((IMAGES[:2] * 23, [True] * 23)))
    assert np.bincount(pairs.folds).tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert (np.diff(pairs.folds) >= 0).all()


def test_a_bad_image_is_found_when_it_is_read(tmp_path):
    pairs = opened(tmp_path, pickle.dumps(([*IMAGES[:3], b'no image'], [True, False])))
    with pytest.raises(BadImageError, match=r'lfw\.bin#3: '):
        pairs.faces.read(int(pairs.second[1]))


class MXNet:
    """Pickled as MXNet's arrays are: an object of its own class, built from a state."""

    def __reduce__(self):
        return _named, ()


def _named():
    raise AssertionError('nothing is called')


def test_arrays_of_mxnet(tmp_path):
    content = pickle.dumps(([MXNet()] * 2, [True]), protocol=2)
    here = f'c{_named.__module__}\n_named\n'.encode()
    assert here in content
    content = content.replace(here, b'cmxnet.ndarray.ndarray\nNDArray\n')
    assert 'arrays of MXNet, which only MXNet can open' in refused(tmp_path, content).found


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        ([], 'something else'),
        ({}, 'something else'),
        ((IMAGES, SAME, SAME), 'something else'),
        ((IMAGES[:5], SAME), '5 images and 3 flags'),
        (([], []), '0 images and 0 flags'),
        ((IMAGES, [True, False, 2]), 'other numbers than 0 and 1'),
        ((IMAGES, [True, False, 'x']), 'a str as flag'),
        ((IMAGES, [True, False, None]), 'a NoneType as flag'),
        ((IMAGES, 7), 'a int as flags'),
        ((IMAGES, np.array([1.0, 0, 1])), 'an array of another type'),
        (([*IMAGES[:5], 'caf\u0113'], SAME), 'lfw.bin#5: '),
        (([*IMAGES[:5], 12], SAME), 'lfw.bin#5: '),
        (([*IMAGES[:5], {}], SAME), 'an encoded image'),
        (([*IMAGES[:5], np.zeros((4, 4, 3), np.uint8)], SAME), 'pixels or numbers'),
        (([*IMAGES[:5], np.zeros((4, 4), np.uint8)], SAME), 'pixels or numbers'),
        (([*IMAGES[:5], np.zeros((4, 1, 1), np.uint8)], SAME), 'pixels or numbers'),
        (([*IMAGES[:5], np.zeros((2, 1), np.uint16)], SAME), 'an array of another type'),
        (([*IMAGES[:5], np.zeros(4)], SAME), 'an array of another type'),
    ],
)
def test_other_values(tmp_path, value, words):
    error = refused(tmp_path, pickle.dumps(value))
    assert any(words in part for part in (f'{error.inside}: ', error.found, error.expected) if part)


class Attack:
    """Would write a file, if anything were called."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize('call', [os.system, eval, exec, os.mkdir, __import__])
def test_nothing_runs(tmp_path, call, protocol):
    target = tmp_path / 'written'
    commands = {os.system: f'touch {target}', os.mkdir: str(target), __import__: 'this'}
    attack = Attack(call, commands.get(call, f'open({str(target)!r}, "w")'))
    for value in ((attack, SAME), ([attack, *IMAGES[1:]], SAME), (IMAGES, [attack, True, False])):
        assert 'nothing was run' in refused(tmp_path, pickle.dumps(value, protocol)).hint
    assert not target.exists()


def test_an_image_mentioned_over_and_over_costs_nothing(tmp_path):
    """A megabyte that 200,000 entries mention: read each time it would be 200 GB."""
    image = IMAGES[0] + bytes(1 << 20)
    content = pickle.dumps(([image] * 200_000, [True] * 100_000))
    assert len(content) < len(image) + 10**6
    assert len(opened(tmp_path, content).faces) == 1


def test_views_of_one_text_over_and_over(tmp_path):
    """Each an object of its own, all of the same megabyte."""
    text = b'X' + struct.pack('<I', 1 << 20) + b'x' * (1 << 20) + b'q\x00'
    view = b'c_codecs\nencode\nh\x00h\x01\x86R'
    name = b'U\x06latin1q\x01'
    content = b'\x80\x02' + text + b'0' + name + b'0](' + view * 2000 + b'e](' + b'\x88' * 1000
    assert 'longer than the file itself' in refused(tmp_path, content + b'e\x86.').found


@pytest.mark.parametrize('form', ['python 2', 'protocol 2', 'protocol 4', 'arrays, protocol 5'])
def test_truncated(tmp_path, form):
    content = FORMS[form]
    for stop in (0, 1, 2, 100, len(content) // 2, len(content) - 1):
        refused(tmp_path, content[:stop])


def test_a_huge_declared_length_takes_no_memory(tmp_path):
    refused(tmp_path, b'\x80\x05]\x8e' + struct.pack('<Q', 1 << 60) + b'x')
    refused(tmp_path, b'\x80\x02]T' + struct.pack('<i', 2**31 - 1) + b'x')
    with open(tmp_path / 'big.bin', 'wb') as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(InputError) as caught:
        verification_bin.open_bin(tmp_path / 'big.bin')
    assert caught.value.found == '1073741825 bytes'


def test_not_a_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe.bin')
    for path, words in (
        (tmp_path, 'not a regular file'),
        (tmp_path / 'x.bin', os.strerror(errno.ENOENT)),
        (tmp_path / 'pipe.bin', 'not a regular file'),
    ):
        with pytest.raises(InputError) as caught:
            verification_bin.open_bin(path)
        assert (caught.value.field, caught.value.inside) == ('pairs', str(path))
        assert words in caught.value.found


@settings(max_examples=150)
@given(data=st.data(), form=st.sampled_from(sorted(FORMS)))
def test_flipped_bytes(data, form):
    content = bytearray(FORMS[form])
    # Most bytes are those of images: half of the changes go where the structure is.
    places = st.integers(0, len(content) - 1) | st.sampled_from([0, 2, 3, 4, 9, len(content) - 2])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(places)] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'x.bin'
        path.write_bytes(content)
        try:
            pairs = verification_bin.open_bin(path)
        except InputError:
            return
        for index in range(len(pairs.faces)):
            try:
                pairs.faces.read(index)
            except BadImageError as error:
                named = str(error)
                assert 'x.bin#' in named


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_arbitrary_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'x.bin'
        path.write_bytes(content)
        with pytest.raises(InputError):
            verification_bin.open_bin(path)
