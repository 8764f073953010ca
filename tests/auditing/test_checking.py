"""Faces as people keep them, up to what an audit says of them; ../shared has larger ones."""

import tarfile
import unicodedata

import numpy as np
import pytest
from PIL import Image

from fr_inference import auditing, checking, config
from fr_inference.data import sources
from fr_inference.errors import InputError

SETTINGS = config.Settings()


def write(root, people, first=0):
    """Writes two pictures of each person, all different; returns the folder."""
    for number, name in enumerate(people):
        (root / name).mkdir(parents=True, exist_ok=True)
        for image in range(2):
            seed = [first, number, image]
            pixels = np.random.default_rng(seed).integers(0, 256, (48, 48, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f'{image}.jpg')
    return root


@pytest.fixture
def sides(tmp_path):
    """Folders of 12 members and 12 strangers."""
    return (
        write(tmp_path / 'in', [f'In_{number}' for number in range(12)]),
        write(tmp_path / 'out', [f'Out_{number}' for number in range(12)], first=1),
    )


def checked(members, nonmembers, settings=SETTINGS, **others):
    given = {'members': members, 'nonmembers': nonmembers, **others}
    faces = {name: sources.open_faces(source, name) for name, source in given.items()}
    return checking.checked_faces(auditing.Opened(target=None, faces=faces), settings)


def test_nothing_to_say(sides, caplog):
    faces, limits = checked(*sides)
    assert (limits, caplog.messages) == ([], [])
    assert faces['members'].described() == {'source': str(sides[0]), 'images': 24, 'people': 12}


def test_a_jpeg_that_ends_early_is_told_of(sides, caplog):
    path = sides[0] / 'In_3' / '1.jpg'
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    faces, _ = checked(*sides)
    (remark,) = faces['members'].described()['remarks']
    assert remark == f'read up to where they end, truncated JPEG files: 1 ({path})'
    assert caplog.messages == [f'members: {remark}']
    assert 'remarks' not in faces['nonmembers'].described()
    path.write_bytes(whole[: len(whole) // 3])  # too little: that is an unreadable image
    faces, _ = checked(*sides)
    assert faces['members'].remarks == ()


def test_equal_files_of_two_people_are_told_of(sides):
    first, second = sides[1] / 'Out_1' / '0.jpg', sides[1] / 'Out_7' / '0.jpg'
    second.write_bytes(first.read_bytes())
    (sides[1] / 'Out_1' / '1.jpg').write_bytes(first.read_bytes())  # of the same person: no matter
    faces, _ = checked(*sides)
    assert faces['nonmembers'].remarks == (f'equal files of two people: 1 ({first} = {second})',)


@pytest.mark.parametrize(
    ('here', 'there'),
    [
        ('John_Doe', 'john_doe'),
        ('John_Doe', 'John Doe'),
        tuple(unicodedata.normalize(form, 'Zo\u00eb') for form in ('NFC', 'NFD')),
    ],
)
def test_a_person_on_both_sides_however_the_name_is_spelled(sides, here, there):
    write(sides[0], [here], first=2)
    write(sides[1], [there], first=3)
    with pytest.raises(InputError) as caught:
        checked(*sides)
    assert caught.value.field == 'nonmembers'
    assert caught.value.found == f'1 identities on both sides ({here} = {there})'
    faces, limits = checked(*sides, config.Settings(allow_overlap=True))
    assert len(limits) == 1
    # What compares names further on sees one person.
    assert here in faces['nonmembers'].identities
    assert there not in faces['nonmembers'].identities


def test_other_photographs_of_members_are_theirs_however_the_name_is_spelled(sides, tmp_path):
    others = write(tmp_path / 'more', [f'IN {number}' for number in range(12)], first=4)
    faces, limits = checked(*sides, member_identities=others)
    assert limits == []
    assert set(faces['member_identities'].identities) == set(faces['members'].identities)


@pytest.fixture(scope='module')
def folders(shared, tmp_path_factory):
    """The folders of ../shared/cases."""
    root = tmp_path_factory.mktemp('folders')
    with tarfile.open(shared / 'cases' / 'folders.tgz') as archive:
        archive.extractall(root, filter='data')
    return root


@pytest.mark.parametrize(
    ('name', 'people', 'images', 'remarks'),
    [
        ('a_non', 16, 48, []),
        ('a_ipynb', 16, 48, [': 1 (.ipynb_checkpoints)']),
        ('a_apple', 16, 48, [': 16 (Per_000/._Per_000_0000.jpg, ']),
        ('a_tif', 17, 51, []),
        ('f_eadir', 3, 6, [': 2 (@eaDir, P00/@eaDir)']),
        ('f_macosx_flat', 3, 6, [': 1 (__MACOSX)']),
        ('f_trash', 3, 6, [': 2 (.Trash-1000, .thumbnails)']),
        ('f_uppercase', 3, 5, ['without the suffix of an image: 1 (1 without one)']),
    ],
)
def test_folders_as_systems_leave_them(folders, name, people, images, remarks):
    faces = sources.open_faces(folders / name)
    assert (len(set(faces.identities)), len(faces)) == (people, images)
    assert len(faces.remarks) == len(remarks)
    for found, wanted in zip(faces.remarks, remarks, strict=True):
        assert wanted in found
    for index in range(len(faces)):
        assert faces.read(index).shape[2] == 3


@pytest.mark.parametrize(('members', 'nonmembers'), [('a_case', 'a_case2'), ('a_nfc', 'a_nfd')])
def test_one_person_in_two_of_the_folders(folders, members, nonmembers):
    with pytest.raises(InputError) as caught:
        checked(folders / members, folders / nonmembers)
    assert caught.value.field == 'nonmembers'
    assert caught.value.found.startswith('1 identities on both sides')
