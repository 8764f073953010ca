"""All attacks of one access together; what it is computed of is tested in `test_trials`."""

import pytest

from fr_inference.membership import attacks
from fr_inference.membership.comparison import ACCESS
from tests.membership.attacks import planted

NAMES = tuple(name for name in attacks.names() if name.startswith('combined'))


def test_one_for_each_access_with_and_without_references():
    kinds = {(attacks.get(name).access, attacks.get(name).references) for name in NAMES}
    assert kinds == {(access, also) for access in ACCESS for also in (True, False)}


@pytest.mark.parametrize('name', NAMES)
def test_parts_take_no_more_access(name):
    parts = [part.name for part in planted.one(name).parts]
    every = [attacks.get(other) for other in attacks.names()]
    assert parts == [
        one.name
        for one in every
        if one.unit == 'image'
        and not one.combines
        and (one.access == 'answers' or 'file' in name)
        and (not one.references or 'references' in name)
    ]
    assert len(parts) >= 4


SETTINGS = [
    ('combined-file-references', 'partial', 'direction'),
    ('combined-file-references', 'auxiliary', 'direction'),
    ('combined-file', 'partial', 'moments'),
    ('combined-file', 'auxiliary', 'distances'),
    ('combined-answers-references', 'partial', 'direction'),
    ('combined-answers-references', 'auxiliary', 'direction'),
    ('combined-answers-references', 'strangers', 'shortly-longer'),
    ('combined-answers', 'partial', 'agreement'),
    ('combined-answers', 'auxiliary', 'length'),
    ('combined-answers', 'strangers', 'length'),
]


class TestFinds:
    @pytest.mark.parametrize(('name', 'setting', 'leak'), SETTINGS)
    def test_what_leaks(self, name, setting, leak):
        planted.assert_found(name, setting, leak)

    @pytest.mark.parametrize(
        ('name', 'setting', 'leak'),
        [
            ('combined-file-references', 'partial', 'direction'),  # of all parts that there are
            ('combined-answers', 'auxiliary', 'length'),
            ('combined-answers-references', 'strangers', 'length'),
        ],
    )
    def test_nothing_without_a_leak(self, name, setting, leak):
        planted.assert_nothing(name, setting, leak)
