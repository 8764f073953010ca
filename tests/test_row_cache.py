"""The row cache: rows are found by key, damage is never served, two processes may write."""

import concurrent.futures
import resource
import sqlite3
from unittest import mock

import numpy as np
import pytest

from fr_inference import addresses, errors
from fr_inference.row_cache import RowCache
from tests import stores

WIDTH = 3
KIND = {'weights': 'w', 'mirror': False}
KEYS = [f'{number:064x}' for number in range(1, 9)]


def rows_of(*numbers):
    return np.array([[number, number + 0.5, -number] for number in numbers], np.float32)


@pytest.fixture
def kept(tmp_path):
    """With rows of the numbers 1 to 8."""
    cache = RowCache(tmp_path / 'deep', KIND, WIDTH)
    cache.append(KEYS, rows_of(*range(1, 9)))
    return cache


def again(cache):
    """The same file, as another run opens it."""
    return RowCache(cache.path.parent, KIND, WIDTH)


def test_finds_what_was_added_in_any_order(kept):
    mask, rows = again(kept).lookup([KEYS[2], 'f' * 64, KEYS[0], '', KEYS[2]])
    assert mask.tolist() == [True, False, True, False, True]
    np.testing.assert_array_equal(rows, rows_of(3, 1, 3))
    assert rows.dtype == np.float32


def test_many(tmp_path):
    cache = RowCache(tmp_path, KIND, WIDTH)
    numbers = np.random.default_rng(0).permutation(5000)
    cache.append([f'{number}' for number in numbers], rows_of(*numbers))
    mask, rows = again(cache).lookup([f'{number}' for number in range(6000)])
    assert mask.tolist() == [number < 5000 for number in range(6000)]
    np.testing.assert_array_equal(rows, rows_of(*range(5000)))


def test_nothing_is_made_before_it_is_needed(tmp_path):
    cache = RowCache(tmp_path / 'none', KIND, WIDTH)
    mask, rows = cache.lookup(KEYS)
    assert (mask.any(), rows.shape) == (False, (0, WIDTH))
    assert not (tmp_path / 'none').exists()


def test_no_row_for_what_is_not_finite_or_has_no_key(tmp_path):
    values = rows_of(1, 2, 3)
    values[1, 2] = np.nan
    cache = RowCache(tmp_path, KIND, WIDTH)
    cache.append([*KEYS[:2], ''], values)
    assert again(cache).lookup([*KEYS[:2], ''])[0].tolist() == [True, False, False]


def test_other_kinds_do_not_meet(kept):
    for described, width in (({**KIND, 'weights': 'x'}, WIDTH), (KIND, WIDTH + 1)):
        assert not RowCache(kept.path.parent, described, width).lookup(KEYS)[0].any()


def test_the_file_says_what_it_holds(kept):
    with sqlite3.connect(kept.path) as database:
        ((described,),) = database.execute('SELECT as_json FROM described')
    database.close()
    assert '"weights": "w"' in described


@pytest.mark.parametrize('column', ['row', 'checksum', 'key'])
def test_a_damaged_row_is_not_used(kept, column):
    with sqlite3.connect(kept.path) as database:
        (value,) = database.execute(f'SELECT {column} FROM rows WHERE key = ?', KEYS[:1]).fetchone()
        changed = value[:-1] + (b'\x01' if isinstance(value, bytes) else 'f')
        database.execute(f'UPDATE rows SET {column} = ? WHERE key = ?', (changed, KEYS[0]))
    database.close()
    asked = [*KEYS[:2], KEYS[0][:-1] + 'f']
    mask, rows = again(kept).lookup(asked)
    assert mask.tolist() == [False, True, False]
    np.testing.assert_array_equal(rows, rows_of(2))
    again(kept).append(asked[:1], rows_of(1))
    np.testing.assert_array_equal(again(kept).lookup(asked)[1], rows_of(1, 2))


@pytest.mark.parametrize('left', [0, 1, 100, 0.4, 0.99])
def test_a_shortened_file_costs_rows_alone(kept, left, caplog):
    whole = kept.path.read_bytes()
    size = left if isinstance(left, int) else int(left * len(whole))
    kept.path.write_bytes(whole[:size])
    mask, rows = again(kept).lookup(KEYS)
    np.testing.assert_array_equal(rows, rows_of(*range(1, 9))[mask])
    again(kept).append(KEYS, rows_of(*range(1, 9)))
    np.testing.assert_array_equal(again(kept).lookup(KEYS)[1], rows_of(*range(1, 9)))
    # SQLite takes one byte for a new file, and reads zeros where the last page ends early.
    if left in (100, 0.4):
        assert f'{kept.path}: damaged; moved to {kept.path.stem}.damaged' in caplog.text
        assert kept.path.with_suffix('.damaged').read_bytes() == whole[:size]


def test_a_damaged_file_never_gives_another_row(kept):
    whole, expected = kept.path.read_bytes(), rows_of(*range(1, 9))
    draw = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 20):
            damaged[place] ^= int(draw.integers(1, 256))
        kept.path.write_bytes(bytes(damaged))
        mask, rows = again(kept).lookup(KEYS)
        np.testing.assert_array_equal(rows, expected[mask])
        again(kept).append(KEYS, expected)
        mask, rows = again(kept).lookup(KEYS)
        np.testing.assert_array_equal(rows, expected[mask])


def test_two_write_one_file(tmp_path):
    """Two connections at once, as of two processes (which `test_runs` kills)."""

    def write(first):
        for number in range(first, first + 40):
            RowCache(tmp_path, KIND, WIDTH).append([f'{number}'], rows_of(number))

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        list(threads.map(write, [0, 20]))
    mask, rows = RowCache(tmp_path, KIND, WIDTH).lookup([f'{number}' for number in range(60)])
    assert mask.all()
    np.testing.assert_array_equal(rows, rows_of(*range(60)))


def test_no_room_is_told_as_such(tmp_path):
    """As a full disk: no file may grow beyond a few bytes."""
    cache = RowCache(tmp_path, KIND, WIDTH)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match=str(cache.path)):
            cache.append([f'{number}' for number in range(5000)], rows_of(*range(5000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    cache.append(KEYS, rows_of(*range(1, 9)))
    assert again(cache).lookup(KEYS)[0].all()


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='file'):
        RowCache(tmp_path / 'file', KIND, WIDTH).append(KEYS[:1], rows_of(1))
    cache = RowCache(tmp_path, KIND, WIDTH)
    cache.path.mkdir()
    with pytest.raises(OSError, match=cache.path.name):
        cache.append(KEYS[:1], rows_of(1))


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A file system in memory, and two machines: each has a cache folder of its own."""
    with stores.in_memory() as memory:

        def machine(name):
            monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / name))
            return RowCache('memory://b/scores', {'what': 'numbers'}, 2)

        yield memory, machine


def test_machines_share_rows_at_an_address(stored):
    """Both add at the same time; each finds what the other added, and nothing is lost."""
    _, machine = stored
    first, second = machine('first'), machine('second')
    assert not first.lookup(['a', 'b'])[0].any()
    second.append(['b'], np.array([[3, 4]], np.float32))
    first.append(['a'], np.array([[1, 2]], np.float32))
    first.append(['c'], np.array([[5, 6]], np.float32))  # waits for more
    third = machine('third')
    mask, rows = third.lookup(['a', 'b', 'c'])
    assert mask.tolist() == [True, True, False]
    np.testing.assert_array_equal(rows, [[1, 2], [3, 4]])
    first.flush()
    assert third.lookup(['c'])[0].all()
    assert second.lookup(['a', 'b', 'c'])[0].all()


def test_rows_there_are_read_once(stored):
    _, machine = stored
    machine('first').append(['a'], np.ones((1, 2), np.float32))
    second = machine('second')
    second.lookup(['a'])
    with mock.patch.object(addresses, 'download') as download:
        assert second.lookup(['a'])[0].all()
    assert not download.called


@pytest.mark.parametrize('damage', [b'', b'no database', None])
def test_damaged_rows_at_an_address_are_computed_again(stored, damage):
    memory, machine = stored
    machine('first').append(['a'], np.ones((1, 2), np.float32))
    (path,) = memory.find('/b/scores')
    content = memory.cat_file(path)
    row = np.ones(2, '<f4').tobytes()
    assert row in content
    changed = content.replace(row, np.full(2, 2, '<f4').tobytes()) if damage is None else damage
    memory.pipe_file(path, changed)
    assert not machine('second').lookup(['a'])[0].any()


def test_a_store_that_does_not_answer_loses_no_rows(stored, caplog):
    _, machine = stored
    first = machine('first')
    gone = errors.InputError('scores', 'a store that does not answer')
    with mock.patch.object(addresses, 'upload', side_effect=gone):
        first.append(['a'], np.ones((1, 2), np.float32))
    assert 'continuing' in caplog.text
    assert first.lookup(['a'])[0].all()
    first.flush()
    assert machine('second').lookup(['a'])[0].all()
