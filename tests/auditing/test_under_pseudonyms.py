"""An audit under pseudonyms names nobody in anything that it writes, and finds what it would find."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from fr_inference import auditing, config, opening
from fr_inference.data import pseudonyms
from fr_inference.data.faces import BadImageError
from fr_inference.membership.comparison import LEAK
from tests import nobody_named
from tests.auditing import planted

SETTINGS = config.Settings(replicates=100, attacks=('bn-distance', 'people'), allow_overlap=True)
NAMES = [f'Xylo{first}_Quark{last}' for first in 'abcdefghij' for last in 'abcdefgh']


def called(faces, names, *, bad=()):
    """The same faces of people with names, in files that are called after them; some are unreadable."""
    number = [int(name[1:]) for name in faces.identities]
    paths = tuple(f'/faces/{names[n]}/{names[n]}_{row:04}.jpg' for row, n in enumerate(number))

    def read(row):
        if row in bad:
            raise BadImageError(paths[row], f'a letter of {paths[row]}', 'an image')
        return faces.read(row)

    return dataclasses.replace(
        faces,
        name='set',
        identities=tuple(names[n] for n in number),
        paths=paths,
        read=read,
        remarks=(f'left out, folders without an image: 1 ({names[0]})',),
    )


@pytest.fixture(scope='module')
def opened():
    """A leak; one person is on both sides, and an image of the strangers cannot be read."""
    members, others = NAMES[:32], [*NAMES[31:32], *NAMES[32:63]]
    return opening.Opened(
        target=planted.target(),
        faces={
            'members': called(planted.faces(32, seed=1, mark=6), members),
            'nonmembers': called(planted.faces(32, seed=2), others, bad=(7,)),
            'member_identities': called(planted.faces(32, seed=3, mark=6), members),
        },
    )


@pytest.fixture(scope='module')
def key_file(tmp_path_factory):
    file = tmp_path_factory.mktemp('secret') / 'key'
    file.write_text('c0ffee' * 8 + '\n')  # the key decides who is in which half
    return file


@pytest.fixture(scope='module')
def audited(opened, key_file):
    hidden = opening.under_pseudonyms(opened, key_file)
    return auditing.run(hidden, dataclasses.replace(SETTINGS, skip_bad=True))


def test_without_the_option_names_are_found(opened, tmp_path):
    """What follows would find nothing if it looked in the wrong way."""
    auditing.run(opened, dataclasses.replace(SETTINGS, skip_bad=True)).save(tmp_path)
    named = {file for file, _ in nobody_named.named_in(tmp_path, NAMES)}
    assert named == {'audit.json', 'scores.csv', 'distances.npz', 'report.html'}


def test_nothing_that_is_written_names_anybody(audited, key_file, tmp_path):
    record = audited.record
    assert record['verdict'] == LEAK
    assert record['exposed']['named'] > 0
    assert record['overlaps']
    assert len(record['skipped']) == 1
    audited.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *('audit.json', 'scores.csv', 'distances.npz', 'report.html')
    }
    key = key_file.read_text().strip()
    assert (
        nobody_named.named_in(tmp_path, [*NAMES, key, bytes.fromhex(key).decode('latin-1')]) == []
    )


def test_the_report_shows_no_face_unless_it_is_asked_to(audited, tmp_path):
    for shown in (None, False, True):
        audited.save(tmp_path, thumbnails=shown)
        assert ('data:image/jpeg' in (tmp_path / 'report.html').read_text()) == bool(shown)


def test_pseudonyms_are_those_of_the_key(audited, key_file, tmp_path):
    """So that a second report can be joined, and its owner can look people up."""
    audited.save(tmp_path)
    key = pseudonyms.read_key(key_file)
    expected = {pseudonyms.of(name, key) for name in NAMES[:63]}
    with open(tmp_path / 'scores.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert {row['identity'] for row in rows} == expected
    assert all(row['path'].startswith(row['identity'] + '/') for row in rows)
    record = json.loads((tmp_path / 'audit.json').read_text())
    assert {one['identity'] for one in record['exposed']['people']} <= expected
    members = [row['path'] for row in rows if row['member'] == '1']
    assert members == sorted(members)  # not in the order of the names


def test_what_is_matched_by_name_and_content_still_is(audited, opened, key_file):
    record = audited.record
    populations = record['membership']['populations']
    judged = {
        name
        for name, rest, member in zip(
            *(audited.columns[one] for one in ('identity', 'evaluation', 'member')), strict=True
        )
        if rest and member
    }
    # Two other images of each judged member.
    assert populations['member_identities_vs_nonmembers']['members'] == 2 * len(judged)
    assert any('1 identities on both sides' in line for line in record['overlaps'])
    known = [opened.faces['members'].digest(row) for row in range(64)]
    strict = opening.Opened(
        target=opened.target,
        faces={name: opened.faces[name] for name in ('members', 'nonmembers')},
        trained_on={'target': known[:60]},
    )
    found = auditing.run(
        opening.under_pseudonyms(strict, key_file),
        dataclasses.replace(SETTINGS, skip_bad=True),
    )
    assert found.record['data']['members']['in_training_list'] == 60


def test_all_sources_are_renamed(opened, key_file):
    given = dataclasses.replace(opened, strangers=called(planted.faces(4, seed=5), NAMES[70:]))
    hidden = opening.under_pseudonyms(given, key_file)
    every = [*hidden.faces.values(), hidden.strangers]
    assert all(name.startswith('p-') for one in every for name in (*one.identities, *one.paths))
    assert opening.under_pseudonyms(given, None) is given


def test_the_python_call_takes_a_key_file(key_file):
    images = np.stack([planted.faces(64, seed=1).read(row) for row in range(128)])
    found = auditing.audit(
        planted.target(),
        members=(images[:64], [NAMES[row // 2] for row in range(64)]),
        nonmembers=(images[64:], [NAMES[32 + row // 2] for row in range(64)]),
        settings=dataclasses.replace(SETTINGS, allow_overlap=False),
        pseudonyms=key_file,
    )
    key = pseudonyms.read_key(key_file)
    assert set(found.columns['identity']) == {pseudonyms.of(name, key) for name in NAMES[:64]}
