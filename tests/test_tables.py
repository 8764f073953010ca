"""CSV tables: what is written is read, in bounded memory, and a killed process leaves no half file."""

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
        file.truncate(3 << 30)  # no space on the disk is needed
    error = refused(path)
    assert error.found == 'more than 1048576 characters'
    assert error.inside == f'line {before.count(10) + 1}'


def test_a_long_value(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('a,b\n1,"' + 'x\n' * 200_000 + '"\n')
    assert 'field limit' in refused(path).found


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('', "the columns ''"),
        ('a,c\n', "the columns 'a,c'"),
        ('a;b\n', "the separator ';'"),
        ('a\tb\n', "the separator '\\t'"),
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
