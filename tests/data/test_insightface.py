"""insightface's RecordIO sets: what was written is read, and errors name what is damaged."""

import concurrent.futures
import hashlib
import io
import os
import pathlib
import pickle
import re
import struct
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fr_inference.data import insightface, loader, sources
from fr_inference.data.faces import BadImageError
from fr_inference.errors import InputError
from fr_inference.formats import recordio
from tests.data import records

PEOPLE = {0: [records.jpeg(0), records.jpeg(1)], 5: [records.jpeg(2)], 2: [records.jpeg(3)] * 3}


def flat(people=PEOPLE):
    return [(str(label), image) for label, own in people.items() for image in own]


@pytest.fixture
def path(tmp_path):
    records.write(tmp_path / 'train', records.training_set(PEOPLE))
    return tmp_path / 'train.rec'


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def check(faces, people=PEOPLE):
    expected = flat(people)
    assert len(faces) == len(expected)
    assert list(faces.identities) == [label for label, _ in expected]
    assert len(set(faces.paths)) == len(expected)
    for index, (_, image) in enumerate(expected):
        np.testing.assert_array_equal(faces.read(index), pixels(image))
        assert faces.digest(index) == hashlib.sha256(image).hexdigest()
        assert faces.encoded(index) == image


def refused(path, *words):
    with pytest.raises(InputError) as caught:
        insightface.open_record(path, 'members')
    assert caught.value.field == 'members'
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 600
    told = (caught.value.inside, caught.value.found, caught.value.expected, caught.value.hint)
    for word in words:
        assert any(word in part for part in told if part)


def test_identities_and_images(path):
    faces = sources.open_faces(path)
    check(faces)
    assert faces.paths[3] == f'{path}#3'


def test_labels_with_landmarks(tmp_path):
    records.write(tmp_path / 'train', records.training_set(PEOPLE, landmarks=True))
    check(sources.open_faces(tmp_path / 'train.rec'))


@pytest.mark.parametrize('first', [0, 1])
def test_without_a_record_of_ranges(tmp_path, first):
    """As MXNet's own im2rec writes them: each record an image, numbered from 0 or 1."""
    content = {
        key: records.header(int(label), key) + image
        for key, (label, image) in enumerate(flat(), start=first)
    }
    records.write(tmp_path / 'x', content)
    check(sources.open_faces(tmp_path / 'x.rec'))


def test_record_of_landmarks_at_0_is_an_image(tmp_path):
    content = {
        key: records.header([int(label), *range(10)], key) + image
        for key, (label, image) in enumerate(flat())
    }
    records.write(tmp_path / 'x', content)
    check(sources.open_faces(tmp_path / 'x.rec'))


def test_records_in_parts(tmp_path):
    """The magic number within an image cuts its record, wherever it stands and however often."""
    plain = records.jpeg(4)
    for position in (0, 4, 8):
        # A comment segment behind the JPEG's first two bytes, the numbers at a multiple of four.
        for times in (1, 2, 3):
            inside = bytes(position) + records.MAGIC * times + b'end'
            comment = b'\xff\xfe' + struct.pack('>H', len(inside) + 2 + 2) + b'ab' + inside
            image = plain[:2] + comment + plain[2:]
            records.write(tmp_path / 'train', records.training_set({3: [image, plain]}))
            framed = (tmp_path / 'train.rec').read_bytes()
            assert framed.count(records.MAGIC) == 4 + times
            check(sources.open_faces(tmp_path / 'train.rec'), {3: [image, plain]})


def test_order_of_the_index_does_not_matter(path):
    index = path.with_suffix('.idx')
    index.write_text('\r\n'.join(reversed(index.read_text().split('\n')[:-1])))
    check(sources.open_faces(path))


def test_selected_and_sent_elsewhere(path):
    faces = sources.open_faces(path).select([4, 1])
    read = pickle.loads(pickle.dumps(faces.read))
    np.testing.assert_array_equal(read(1), pixels(PEOPLE[0][1]))
    assert list(faces.paths) == [f'{path}#4', f'{path}#1']
    assert list(faces.identities) == ['2', '0']


def test_many_threads(path):
    faces = sources.open_faces(path)
    expected = [pixels(image) for _, image in flat()]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for index, image in enumerate(pool.map(faces.read, [*range(6)] * 50)):
            np.testing.assert_array_equal(image, expected[index % 6])


def test_manifest_of_part_of_it(path, tmp_path):
    whole = sources.open_faces(path)
    sources.write_manifest(tmp_path / 'part.csv', whole.select([5, 0, 2]))
    part = sources.open_faces(tmp_path / 'part.csv')
    assert part.identities == ('2', '0', '5')
    for index, original in enumerate((5, 0, 2)):
        assert part.digest(index) == whole.digest(original)
    (tmp_path / 'part.csv').write_text('path,identity\ntrain.rec#6,x\n')
    with pytest.raises(InputError) as caught:
        sources.open_faces(tmp_path / 'part.csv')
    assert caught.value.inside.endswith('line 2')
    assert caught.value.found == "'train.rec#6'"


def test_a_bad_image_is_left_out(tmp_path):
    people = {1: [records.jpeg(0), b'no image', records.jpeg(1)]}
    records.write(tmp_path / 'train', records.training_set(people))
    faces = sources.open_faces(tmp_path / 'train.rec')
    with pytest.raises(BadImageError, match=r'train\.rec: record 2 at byte \d+: '):
        faces.read(1)
    skipped = []
    found = list(
        loader.batches(faces, height=8, width=8, batch_size=4, skip_bad=True, skipped=skipped)
    )
    assert found[0].index[found[0].mask].tolist() == [0, 2]
    assert skipped[0][0] == faces.paths[1]


class TestDamaged:
    def test_index_of_another_file(self, path, tmp_path):
        records.write(tmp_path / 'other', {0: records.header(1) + records.jpeg(9, 64)})
        lines = path.with_suffix('.idx').read_text().splitlines()
        path.with_suffix('.idx').write_text('\n'.join([lines[0], '1\t8', *lines[2:]]))
        refused(path, 'record 1 at byte 8', '0xced7230a', 'belongs to another file')

    def test_truncated(self, path):
        """The records of identities stand at the end: an index beyond it is seen at once."""
        content = path.read_bytes()
        path.write_bytes(content[:-300])
        refused(path, 'train.idx', 'truncated')

    def test_truncated_within_the_last_record(self, path):
        path.write_bytes(path.read_bytes()[:-8])
        refused(path, 'record 9 at byte', 'truncated or damaged')

    def test_absurd_length_takes_no_memory(self, path):
        faces = sources.open_faces(path)
        offset = int(path.with_suffix('.idx').read_text().splitlines()[2].split()[1])
        content = bytearray(path.read_bytes())
        content[offset + 4 : offset + 8] = struct.pack('<I', 0x1FFFFFFF)
        path.write_bytes(content)  # in place: the open file sees it
        with pytest.raises(BadImageError, match=r'record 2 at byte .* a length of 536870911 bytes'):
            faces.read(1)

    def test_huge_records_of_a_sparse_file(self, path):
        """Such as the file holds, but no face takes."""
        faces = sources.open_faces(path)
        file = faces.read.args[0]
        size = 1 << 29
        os.truncate(path, size + 64)
        content = records.MAGIC + struct.pack('<I', size - 1024)
        with open(path, 'r+b') as stream:
            stream.seek(int(file.offsets[2]))
            stream.write(content)
        reopened = pickle.loads(pickle.dumps(faces.read))
        with pytest.raises(BadImageError, match='bytes, expected an image'):
            reopened(1)

    def test_labels_without_end(self, path):
        content = bytearray(path.read_bytes())
        content[8:12] = struct.pack('<I', 0xFFFFFFFF)
        path.write_bytes(content)
        refused(path, 'record 0 at byte 0', 'announces 4294967295 labels')

    @pytest.mark.parametrize(
        ('kinds', 'words'),
        [((2,), 'part 2'), ((3,), 'part 3'), ((1, 0), 'part 0'), ((1, 1), 'part 1')],
    )
    def test_parts_out_of_order(self, path, kinds, words):
        image = records.header(1, 1) + records.jpeg(0)
        parts = b''.join(records.part(kind, image) for kind in kinds)
        path.write_bytes(parts)
        path.with_suffix('.idx').write_text('1\t0\n')
        faces = sources.open_faces(path)
        with pytest.raises(BadImageError, match=f'record 1 at byte 0: found {words}'):
            faces.read(0)

    def test_parts_without_end(self, path):
        path.write_bytes(records.part(1, records.header(1) + b'abcd') + records.part(2, b'xyz') * 9)
        path.with_suffix('.idx').write_text('1\t0\n')
        with pytest.raises(BadImageError, match='the end of the file at byte'):
            sources.open_faces(path).read(0)

    @pytest.mark.parametrize(
        ('change', 'words'),
        [
            ({0: [5, 10]}, None),
            ({0: [11, 12]}, ('a count of 10 images', 'the 9 that the .idx lists before record 11')),
            ({0: [0, 10]}, ('record 0 at byte 0', 'identity records from 0')),
            ({0: [1, 10]}, ('record 0 at byte 0', 'identity records from 1')),
            ({0: [float('nan'), 10]}, ('record 0 at byte 0', 'label nan')),
            ({0: [7.5, 10]}, ('label 7.5',)),
        ],
    )
    def test_headers(self, tmp_path, change, words):
        content = records.training_set(PEOPLE)
        for key, labels in change.items():
            content[key] = records.header(labels, key)
        records.write(tmp_path / 'train', content)
        if words:
            refused(tmp_path / 'train.rec', *words)
        else:  # as in training: what the header leaves out is no image
            faces = insightface.open_record(tmp_path / 'train.rec')
            assert list(faces.identities) == ['0', '0', '5', '2']
            assert len(faces.remarks) == 1

    def test_a_large_set_by_the_ends_of_its_ranges(self, tmp_path, monkeypatch):
        """An image with another label between them is refused when it is read."""
        monkeypatch.setattr(insightface, '_MOST_HEADERS', 3)
        content = records.training_set(PEOPLE)
        records.write(tmp_path / 'train', content)
        check(insightface.open_record(tmp_path / 'train.rec'))
        content[5] = records.header(7, 5) + records.jpeg(3)
        records.write(tmp_path / 'train', content)
        faces = insightface.open_record(tmp_path / 'train.rec')
        assert faces.remarks == ()
        with pytest.raises(BadImageError, match=r'record 5 at byte .* found label 7, expected 2'):
            faces.read(4)
        content[8] = records.header([3, 5], 8)  # into the next range: all labels are read then
        records.write(tmp_path / 'train', content)
        faces = insightface.open_record(tmp_path / 'train.rec')
        assert list(faces.identities) == ['0', '0', '5', '2', '7', '2']
        assert len(faces.remarks) == 1


CHANGES = [
    ({8: [3, 3]}, 'record 0'),  # an image in no range
    ({8: [2, 4]}, 'record 8'),  # one image too far to the front
    ({7: [1, 4]}, 'record 7'),  # one too far to the back
    ({9: [4, 9]}, 'record 9'),
    ({9: [0, 4]}, 'record 9'),
    ({9: [6, 4]}, 'record 9'),
    ({9: [4, float('inf')]}, 'record 9'),
    ({9: 4.0}, 'record 9'),  # one number
    ({7: 1.0, 8: 3.0, 9: 4.0}, 'record 7, record 8, record 9'),
    ({0: [7, 7]}, 'record 0'),  # the header's range is short, or long
    ({0: [7, 9]}, 'record 0'),
    ({0: [7, 11]}, 'record 0'),
    ({0: [7, float('nan')]}, 'record 0'),
]


@pytest.mark.parametrize(('change', 'named'), CHANGES)
@pytest.mark.parametrize('most', [1 << 20, 3])
def test_the_labels_of_the_images_count(tmp_path, monkeypatch, caplog, change, named, most):
    """As in training; a record of an identity that says otherwise is told of once."""
    monkeypatch.setattr(insightface, '_MOST_HEADERS', most)
    content = records.training_set(PEOPLE)
    for key, labels in change.items():
        content[key] = records.header(labels, key)
    records.write(tmp_path / 'train', content)
    faces = sources.open_faces(tmp_path / 'train.rec', 'members')
    check(faces)
    (remark,) = faces.remarks
    assert remark.endswith(f': {len(change)} ({named})')
    assert [f'members: {tmp_path / "train.rec"}: {remark}'] == caplog.messages


def test_records_without_an_image_are_left_out(tmp_path):
    """The header counts an identity record among the images."""
    content = records.training_set(PEOPLE)
    content[0] = records.header([8, 10])
    records.write(tmp_path / 'train', content)
    faces = insightface.open_record(tmp_path / 'train.rec')
    check(faces)
    assert faces.remarks[0] == 'left out, records without an image: 1 (record 7)'


def test_an_image_of_somebody_else_in_a_range(tmp_path):
    content = records.training_set(PEOPLE)
    content[2] = records.header(7, 2) + records.jpeg(1)
    records.write(tmp_path / 'train', content)
    faces = sources.open_faces(tmp_path / 'train.rec')
    assert list(faces.identities) == ['0', '7', '5', '2', '2', '2']
    np.testing.assert_array_equal(faces.read(1), pixels(records.jpeg(1)))
    assert len(faces.remarks) == 1


def test_the_set_with_a_range_one_image_too_far(shared):
    faces = sources.open_faces(shared / 'cases' / 'rec_1447' / 'train.rec')
    labels = [faces.read.args[0].header(row)[0][0] for row in range(1, 13)]
    assert list(faces.identities) == [str(int(label)) for label in labels]
    assert len(faces.remarks) == 1
    for index in range(len(faces)):
        assert faces.read(index).shape[2] == 3


def attempt(call, *arguments):
    """Returns what the call gives, or the InputError it raises; nothing else may be raised."""
    try:
        return call(*arguments)
    except InputError as error:
        return error


@settings(max_examples=150)
@given(data=st.data())
def test_flipped_bits_are_read_or_refused(data):
    """Of a file with any byte changed each image is read, or named with its record and byte."""
    content = records.training_set({1: [records.jpeg(0)], 4: [records.jpeg(1), records.jpeg(2)]})
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'train'
        records.write(path, content)
        for suffix in ('.rec', '.idx'):
            file = path.with_suffix(suffix)
            found = bytearray(file.read_bytes())
            for _ in range(data.draw(st.integers(0, 3))):
                found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))
            stop = len(found) - data.draw(st.integers(0, 8)) * data.draw(st.integers(0, 1))
            file.write_bytes(found[:stop])
        faces = attempt(insightface.open_record, path.with_suffix('.rec'), 'members')
        if isinstance(faces, InputError):
            assert faces.field == 'members'
            assert path.name in str(faces)
            return
        for index in range(len(faces)):
            image = attempt(faces.read, index)
            if isinstance(image, InputError):
                assert isinstance(image, BadImageError)
                assert re.search(r'train\.rec: record \d+ at byte \d+: ', str(image))
            else:
                assert image.dtype == np.uint8


@settings(max_examples=60)
@given(st.binary(max_size=300), st.binary(max_size=60))
def test_arbitrary_bytes(record, index):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'x.rec'
        path.write_bytes(record)
        path.with_suffix('.idx').write_bytes(index)
        with pytest.raises(InputError):
            insightface.open_record(path)


def test_many_images_take_little_memory(tmp_path):
    """What stays of each is numbers in arrays: names and paths are made when asked for."""
    count = 100_000
    path = tmp_path / 'x.rec'
    head = records.part(0, records.header(3, 0) + b'abcd')
    path.write_bytes(head * count)
    step = len(head)
    path.with_suffix('.idx').write_text(''.join(f'{key}\t{key * step}\n' for key in range(count)))
    faces = insightface.open_record(path)
    assert len(faces) == count
    file, rows, labels = faces.read.args
    assert isinstance(file, recordio.RecordFile)
    assert sum(part.nbytes for part in (file.keys, file.offsets, rows, labels)) == 32 * count
    assert len(pickle.dumps(faces.identities)) < 10 * count
    assert faces.identities[count - 1] == '3'
