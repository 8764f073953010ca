"""CSV tables: what is written is read, in bounded memory, and a killed process leaves no half file."""

import os

import pytest

from fr_inference import tables
from fr_inference.errors import InputError


def refused(path, columns=('a', 'b')):
    """Returns the error of a table that must be refused, in one line that names it."""
    with pytest.raises(InputError) as caught:
        list(tables.rows(path, columns))
    assert caught.value.field == str(path)
    assert len(str(caught.value)) < 500
    return caught.value


def test_round_trip(tmp_path):
    path = tmp_path / 'a.csv'
    values = [('1', 'with, a comma'), ('2', 'a "quote"'), ('3', 'caf\xe9\udceb')]
    tables.write(path, ('a', 'b'), values)
    assert list(tables.rows(path, ('b', 'a'))) == [
        (number, (b, a)) for number, (a, b) in enumerate(values, start=2)
    ]
    assert [p.name for p in tmp_path.iterdir()] == ['a.csv']


def test_a_write_that_fails_leaves_the_table_of_before(tmp_path):
    path = tmp_path / 'a.csv'
    tables.write(path, ('a',), [('1',)])

    def values():
        yield ('2',)
        raise RuntimeError('killed')

    with pytest.raises(RuntimeError, match='killed'):
        tables.write(path, ('a',), values())
    assert list(tables.rows(path, ('a',))) == [(2, ('1',))]
    assert [p.name for p in tmp_path.iterdir()] == ['a.csv']


@pytest.mark.parametrize('before', [b'', b'a,b\n', b'a,b\n1,2\n'])
def test_a_file_without_line_ends_takes_no_memory(tmp_path, before):
    path = tmp_path / 'sparse.csv'
    path.write_bytes(before)
    with open(path, 'r+b') as file:
        file.truncate(1 << 30)  # no space on the disk is needed
    error = refused(path)
    assert error.found == 'more than 1048576 characters'
    assert error.inside == f'line {before.count(10) + 1}'


def test_a_file_that_is_too_large_is_not_opened(tmp_path):
    path = tmp_path / 'sparse.csv'
    path.write_bytes(b'a,b\n')
    os.truncate(path, 3 << 20)
    with pytest.raises(InputError) as caught:
        tables.whole(path)
    assert caught.value.found == f'{3 << 20} bytes'
    os.truncate(path, 3 << 30)
    assert refused(path).found == f'{3 << 30} bytes'


def test_pipes_and_devices(tmp_path):
    os.mkfifo(tmp_path / 'pipe.csv')
    for path in (tmp_path / 'pipe.csv', '/dev/zero', tmp_path):
        assert refused(path).found == 'something that is not a regular file'


@pytest.mark.parametrize('mark', [',', ', ', ';', '; ', '\t'])
@pytest.mark.parametrize('start', ['', '\ufeff'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_as_spreadsheets_and_people_write_them(tmp_path, mark, start, end):
    path = tmp_path / 'a.csv'
    lines = [('a', 'b'), ('1', '"x, y; z"'), ('"2"', '')]
    path.write_text(start + ''.join(mark.join(line) + end for line in lines), newline='')
    assert list(tables.rows(path, ('b', 'a'))) == [(2, ('x, y; z', '1')), (3, ('', '2'))]
    assert tables.whole(path)[0] == ['a', 'b']
    path.write_text(path.read_text().replace('a', ' a '))
    assert tables.whole(path)[0] == ['a', 'b']


def test_paths_of_windows(tmp_path):
    (tmp_path / 'ann').mkdir()
    (tmp_path / 'ann' / '1.png').touch()
    (tmp_path / 'a\\b.png').touch()
    for written, found in (
        ('ann\\1.png', 'ann/1.png'),
        ('.\\ann\\1.png', './ann/1.png'),
        ('ann/1.png', 'ann/1.png'),
        ('a\\b.png', 'a\\b.png'),  # which exists as it is written
        ('ann\\2.png', 'ann\\2.png'),  # neither exists
        ('a\0b', 'a\0b'),
    ):
        assert tables.as_found(tmp_path, written) == found


def test_a_long_value(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('a,b\n1,"' + 'x\n' * 200_000 + '"\n')
    assert 'field limit' in refused(path).found


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('', "the columns ''"),
        ('a,c\n', "the columns 'a,c'"),
        ('a|b\n', "the columns 'a|b'"),
        ('a;c\n', "the columns 'a,c'"),
    ],
)
def test_other_tables(tmp_path, text, found):
    path = tmp_path / 'a.csv'
    path.write_text(text)
    assert refused(path).found == found


def test_whole_and_its_problems(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('a,b\n1,2\n3\n')
    assert tables.whole(path) == (['a', 'b'], [(2, {'a': '1', 'b': '2'}), (3, {'a': '3', 'b': ''})])
    for text, inside in (('a,a\n', ''), ('a,b\n1,2,3\n', 'line 2')):
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            tables.whole(path, 'targets')
        assert (caught.value.field, caught.value.inside) == ('targets', inside)
