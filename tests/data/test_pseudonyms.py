"""People named by a keyed hash: the hash itself, the key's file, and renamed faces."""

import dataclasses
import hashlib
import os
import pickle
import stat

import numpy as np
import pytest
from PIL import Image

from fr_inference import errors
from fr_inference.data import pseudonyms, sources
from fr_inference.data.faces import BadImageError, from_arrays

KEY = bytes(range(40))
OTHER = b'another key, of which nobody knows'


def by_hand(text, key):
    """HMAC as RFC 2104 writes it, for a key below a block of 64 bytes."""
    key = key.ljust(64, b'\0')
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text.encode()).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


def people(*names, name='arrays'):
    images = np.random.default_rng(0).integers(0, 256, (len(names), 4, 4, 3), np.uint8)
    return from_arrays(images, names, name)


@pytest.fixture
def folder(tmp_path):
    """Ann has an image that cannot be read, and a folder in her folder."""
    for name, count in (('Ann_Archer', 2), ('Bob Baker', 1)):
        (tmp_path / 'faces' / name).mkdir(parents=True)
        for number in range(count):
            colour = (number, len(name), 0)
            path = tmp_path / 'faces' / name / f'{name}_{number}.png'
            Image.new('RGB', (4, 4), colour).save(path)
    (tmp_path / 'faces' / 'Ann_Archer' / 'Ann_Archer_9.png').write_text('of Ann_Archer')
    (tmp_path / 'faces' / 'Ann_Archer' / 'inner').mkdir()
    return tmp_path / 'faces'


def test_a_pseudonym_is_an_hmac_of_the_name_in_its_one_spelling():
    assert pseudonyms.of('Ann_Archer', KEY) == f'p-{by_hand("ann archer", KEY)[:12]}'
    assert pseudonyms.of('ann archer', KEY) == pseudonyms.of('Ann_Archer', KEY)
    assert pseudonyms.of('ann archer', OTHER) != pseudonyms.of('ann archer', KEY)
    assert pseudonyms.of('Zo\u00eb', KEY) == pseudonyms.of('Zoe\u0308', KEY)
    assert pseudonyms.of('\udce9', KEY).startswith('p-')  # a file name that is not UTF-8


def test_faces_keep_their_content_and_lose_their_names_and_order():
    given = people('cy', 'ann', 'bob', 'ann')
    found = pseudonyms.renamed({'members': given}, KEY)['members']
    assert list(found.paths) == sorted(found.paths)
    assert sorted(found.identities) == sorted(pseudonyms.of(one, KEY) for one in given.identities)
    place = {given.digest(row): row for row in range(4)}
    for row in range(4):
        was = place[found.digest(row)]
        assert found.identities[row] == pseudonyms.of(given.identities[was], KEY)
        assert found.paths[row] == f'{found.identities[row]}/{by_hand(given.paths[was], KEY)[:12]}'
        np.testing.assert_array_equal(found.read(row), given.read(was))
    # Another order of the source shows nowhere.
    shuffled = pseudonyms.renamed({'members': given.select([2, 3, 1, 0])}, KEY)['members']
    assert (shuffled.paths, shuffled.identities) == (found.paths, found.identities)


def test_people_are_the_same_in_all_sources():
    found = pseudonyms.renamed({'a': people('Ann A', 'bob'), 'b': people('ann_a', name='b')}, KEY)
    assert set(found['b'].identities) < set(found['a'].identities)
    assert not set(found['b'].paths) & set(found['a'].paths)


def test_drawn_images_stay_known_as_such(tmp_path):
    drawn = sources.open_faces('procedural:easy,people=2,images=1,size=8')
    (tmp_path / 'key').write_bytes(KEY)
    found = pseudonyms.renamed({'members': drawn}, KEY)['members']
    assert all(path.startswith('procedural:p-') for path in found.paths)
    assert 'easy' not in ''.join([*found.paths, *found.identities])
    assert pseudonyms.who(found.paths[0], tmp_path / 'key', drawn.name) in drawn.paths


def test_two_people_never_share_a_pseudonym(monkeypatch):
    monkeypatch.setattr(pseudonyms, '_DIGITS', 1)
    for given in (
        {'members': people(*map(str, range(17)))},
        {name: people(name, name=name) for name in map(str, range(17))},
        {'members': people(*['one'] * 17)},
    ):
        with pytest.raises(errors.InputError) as caught:
            pseudonyms.renamed(given, KEY)
        assert caught.value.field == 'pseudonyms'


def test_neither_remarks_nor_errors_name_anybody(folder):
    given = sources.open_faces(folder)
    assert any('Ann_Archer' in remark for remark in given.remarks)
    found = pseudonyms.renamed({'members': given}, KEY)['members']
    assert found.remarks == ('left out, folders inside the folders of people: 1',)
    read = pickle.loads(pickle.dumps(found.read))  # as processes that decode get it
    (bad,) = [row for row in range(len(found)) if found.encoded(row) == b'of Ann_Archer']
    with pytest.raises(BadImageError) as caught:
        read(bad)
    assert (caught.value.field, caught.value.__cause__) == (found.paths[bad], None)
    assert 'Ann' not in str(caught.value)
    assert read((bad + 1) % len(found)).shape == (4, 4, 3)


@pytest.mark.parametrize(
    ('remark', 'kept'),
    [
        ('left out, hidden files: 2 (.ann (1).jpg, .bob: 3)', 'left out, hidden files: 2'),
        ('HEIC photographs are not read: 3; convert them', 'HEIC photographs are not read: 3'),
        ('Ann is odd', 'a remark that was shown when the faces were opened'),
        ('odd (Ann: 3)', 'a remark that was shown when the faces were opened'),
    ],
)
def test_of_a_remark_only_the_count_is_kept(remark, kept):
    assert pseudonyms._without_examples(remark) == kept


def test_the_owner_looks_a_pseudonym_up(folder, tmp_path):
    key_file = tmp_path / 'key'
    key = pseudonyms.read_key(key_file)
    for person in ('Ann_Archer', 'Bob Baker'):
        assert pseudonyms.who(pseudonyms.of(person, key), key_file, folder) == person
    given = sources.open_faces(folder)
    renamed = pseudonyms.renamed({'members': given}, key)['members']
    assert {pseudonyms.who(path, key_file, folder) for path in renamed.paths} == set(given.paths)
    for wrong in ('p-000000000000', 'Ann_Archer', f'{pseudonyms.of("Bob Baker", key)}/0'):
        with pytest.raises(errors.InputError) as caught:
            pseudonyms.who(wrong, key_file, folder)
        assert caught.value.field == 'pseudonym'
    with pytest.raises(errors.InputError):  # a lookup makes no key
        pseudonyms.who('p-000000000000', tmp_path / 'none', folder)
    assert not (tmp_path / 'none').exists()


def test_a_key_is_made_once(tmp_path):
    file = tmp_path / 'key'
    key = pseudonyms.read_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(bytes.fromhex(key.decode())) == 32
    assert file.read_bytes() == key + b'\n'
    assert pseudonyms.read_key(file) == key
    assert pseudonyms.read_key(tmp_path / 'second') != key
    (tmp_path / 'own').write_bytes(b'sixteen bytes 16\r\n')
    assert pseudonyms.read_key(tmp_path / 'own') == b'sixteen bytes 16'


def test_what_is_no_key(tmp_path):
    (tmp_path / 'empty').touch()
    (tmp_path / 'short').write_bytes(b'fifteen bytes..\n')
    (tmp_path / 'long').write_bytes(b'x' * 5000)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'nowhere').symlink_to(tmp_path / 'gone')
    os.mkfifo(tmp_path / 'pipe')
    names = ('empty', 'short', 'long', 'folder', 'nowhere', 'pipe', 'absent/key', 'x' * 300)
    for path in (*(tmp_path / name for name in names), 'gs://bucket/key'):
        with pytest.raises(errors.InputError) as caught:
            pseudonyms.read_key(path)
        assert caught.value.field == 'pseudonyms', path
    assert (tmp_path / 'short').read_bytes() == b'fifteen bytes..\n'


def test_a_key_lies_outside_of_the_results(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'out')
    pseudonyms.check_apart(tmp_path / 'key', tmp_path / 'out')
    for inside in ('out/key', 'out/deep/key', 'link/key', 'x/../out/key'):
        with pytest.raises(errors.InputError) as caught:
            pseudonyms.check_apart(tmp_path / inside, tmp_path / 'out')
        assert caught.value.field == 'pseudonyms'


def test_names_in_further_columns_are_not_shown():
    faces = people('Ann_Archer', 'Bob Baker', '7')
    columns = {
        'photographer': ['Bob  baker', 'by ann archer, 2019', 'nobody'],
        'age': ['7', '31', 'Anne'],
    }
    given = {'members': dataclasses.replace(faces, columns=columns)}
    found = pseudonyms.renamed(given, KEY)['members']
    rows = [found.identities.index(pseudonyms.of(name, KEY)) for name in faces.identities]
    seen = {name: [values[row] for row in rows] for name, values in found.columns.items()}
    assert seen['photographer'][0] == pseudonyms.of('Bob Baker', KEY)
    assert seen['photographer'][1] == pseudonyms.of('by ann archer, 2019', KEY)
    assert seen['photographer'][2] == 'nobody'
    assert seen['age'] == ['7', '31', 'Anne']
