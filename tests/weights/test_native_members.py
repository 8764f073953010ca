"""The list of training images in a native folder."""

import csv

import pytest

from fr_inference.errors import InputError
from fr_inference.weights import native_targets
from tests.weights import native


@pytest.fixture(scope='module')
def target():
    return native.target()


class TestMembers:
    rows = (('a, "b"/1.png', 'a, "b"', '0' * 64), ('ü/2\n.png', 'ü', 'f' * 64))

    def test_round_trip(self, tmp_path, target):
        native_targets.save_target(tmp_path, target, members=self.rows)
        assert native_targets.read_member_rows(tmp_path) == list(self.rows)
        assert native_targets.read_members(tmp_path) == ['0' * 64, 'f' * 64]
        with open(tmp_path / 'members.csv', newline='', encoding='utf-8') as file:
            assert next(csv.reader(file)) == ['path', 'identity', 'sha256']

    def test_unknown(self, tmp_path):
        assert native_targets.read_members(tmp_path) is None
        assert native_targets.read_members(tmp_path / 'none') is None

    @pytest.mark.parametrize(
        ('content', 'expected'),
        [
            (b'path,identity\na,b\n', 'path,identity,sha256'),
            (b'', 'path,identity,sha256'),
            (b'path,identity,sha256\n\xff\xfe\n', 'a UTF-8 CSV file'),
            (b'path,identity,sha256\n"' + b'a' * 200_000, 'a UTF-8 CSV file'),
        ],
    )
    def test_damaged(self, tmp_path, content, expected):
        (tmp_path / 'members.csv').write_bytes(content)
        with pytest.raises(InputError) as caught:
            native_targets.read_members(tmp_path)
        assert caught.value.field == str(tmp_path / 'members.csv')
        assert caught.value.expected == expected
