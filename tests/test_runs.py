"""The run kit: one process writes, one run a folder, states that survive kills, rows computed once."""

import json
import subprocess
import sys

import numpy as np
import pytest

from fr_inference import processes, runs
from fr_inference.errors import InputError
from fr_inference.row_cache import RowCache
from tests import killed_runs
from tests.experiments.programs import ROOT

RUN = {'seed': 1, 'recipe': {'epochs': 3, 'rate': 0.1}, 'faces': 'abc'}


@pytest.mark.parametrize('first', [True, False])
def test_the_first_process_writes(monkeypatch, first):
    written = []
    monkeypatch.setattr(processes, 'is_first', lambda: first)
    runs.first_only(written.append)('x')
    assert written == ['x'] * first


class TestShared:
    def test_blocks_in_order(self, monkeypatch):
        monkeypatch.setattr(runs, '_POSITIONS', 4)
        asked = []

        def work(own):
            asked.append(list(own))
            return [number * number for number in own]

        assert runs.shared(10, work) == [number * number for number in range(10)]
        assert asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert runs.shared(0, work) == []

    def test_stopped(self, monkeypatch):
        monkeypatch.setattr(runs, '_POSITIONS', 4)
        asked: list[int] = []
        monkeypatch.setattr(processes, '_stopping', lambda: bool(asked))
        with pytest.raises(processes.Stopped):
            runs.shared(10, lambda own: asked.extend(own) or list(own))
        assert asked == [0, 1, 2, 3]


class TestClaim:
    def test_first_and_again(self, tmp_path):
        folder = tmp_path / 'deep'
        runs.claim(folder, RUN)
        runs.claim(folder, RUN)
        found = json.loads((folder / 'run.json').read_text())
        del found['sha256']
        assert found == RUN

    def test_differences(self, tmp_path):
        runs.claim(tmp_path, RUN)
        text = (tmp_path / 'run.json').read_text()
        other = {'seed': 2, 'recipe': {'epochs': 3, 'rate': 0.2}, 'faces': 'abc'}
        with pytest.raises(InputError) as caught:
            runs.claim(tmp_path, other)
        assert caught.value.field == str(tmp_path)
        assert caught.value.found == (
            'another run, with different recipe.rate (0.1 there, 0.2 here), seed (1 there, 2 here)'
        )
        assert (tmp_path / 'run.json').read_text() == text

    def test_of_another_kind(self, tmp_path):
        (tmp_path / 'run.json').write_text('{"seed": 1, "recipe": 5}')
        with pytest.raises(InputError) as caught:
            runs.claim(tmp_path, RUN)
        assert caught.value.found == (
            "another run, with different faces (None there, 'abc' here), "
            'recipe.epochs (None there, 3 here), recipe.rate (None there, 0.1 here)'
        )

    @pytest.mark.parametrize('content', ['{', '[]', '"text"', 'null', '[' * 100_000])
    def test_damaged(self, tmp_path, content):
        (tmp_path / 'run.json').write_text(content)
        with pytest.raises(InputError) as caught:
            runs.claim(tmp_path, RUN)
        assert caught.value.field == str(tmp_path / 'run.json')
        assert 'damaged' in caught.value.found
        assert 'remove it' in caught.value.hint

    def test_one_changed_byte_is_damage_not_another_run(self, tmp_path):
        runs.claim(tmp_path, RUN)
        path = tmp_path / 'run.json'
        whole = path.read_text()
        for place in range(0, len(whole), 3):
            path.write_text(whole[:place] + chr(ord(whole[place]) ^ 1) + whole[place + 1 :])
            if '"sha256"' not in path.read_text():  # as an earlier version wrote it
                continue
            with pytest.raises(InputError) as caught:
                runs.claim(tmp_path, RUN)
            assert 'damaged' in caught.value.found


def begin():
    return {'mixed': np.arange(1000, dtype=np.uint32), 'sum': np.zeros((), np.uint32)}


def resume(folder=None, total=killed_runs.TOTAL, advance=killed_runs.advance, **options):
    state = runs.resume(begin(), total, advance, folder=folder, **options)
    return [int(state['sum']), *state['mixed'][:5].tolist()]


class StopHereError(Exception):
    """Stands for whatever ends a run early."""


class TestResume:
    def test_goes_on_from_the_last_state(self, tmp_path):
        told = []

        def stop(label, done, total, **metrics):
            told.append((label, done, total))
            if done == 5:
                raise StopHereError

        with pytest.raises(StopHereError):
            resume(tmp_path, progress=stop, save_seconds=0.0, label='chain')
        assert told == [('chain', n, killed_runs.TOTAL) for n in range(1, 6)]
        placed = []

        def place(state):
            placed.append(int(state['sum']))
            return state

        told.clear()
        again = resume(tmp_path, progress=lambda *call: told.append(call[1]), place=place)
        assert told == list(range(5, killed_runs.TOTAL + 1))
        assert placed == [resume(total=4)[0]]
        assert again == resume()
        told.clear()
        assert resume(tmp_path, progress=lambda *call: told.append(call)) == again
        assert not told

    def test_the_beginning_is_made_only_where_it_is_needed(self, tmp_path):
        made = []

        def make():
            made.append(1)
            return begin()

        options = {'like': begin(), 'folder': tmp_path}
        first = runs.resume(make, 3, killed_runs.advance, **options)
        second = runs.resume(make, 3, killed_runs.advance, **options)
        assert made == [1]
        np.testing.assert_array_equal(first['mixed'], second['mixed'])

    def test_metrics_are_numbers_and_may_be_left_out(self):
        told = []

        def advance(state, done):
            state, done, _ = killed_runs.advance(state, done)
            return state, done, {'loss': np.float32(done)} if done % 3 == 0 else None

        resume(advance=advance, progress=lambda *call, **metrics: told.append((call[1], metrics)))
        assert told == [(n, {'loss': float(n)}) for n in (3, 6, 9, 12)]

    def test_stopped(self, tmp_path):
        def stop(label, done, total):
            if done == 4:
                processes.ask_to_stop()

        try:
            with pytest.raises(processes.Stopped):
                resume(tmp_path, progress=stop)
            with pytest.raises(processes.Stopped):  # asked before the work begins
                resume(tmp_path / 'other', progress=stop)
        finally:
            processes._ASKED.clear()
        assert [path.name for path in (tmp_path / 'state').iterdir()] == ['step_000000004']
        told = []
        assert resume(tmp_path, progress=lambda *call: told.append(call[1])) == resume()
        assert told[0] == 5

    def test_every_unit_is_short_work(self, tmp_path):
        """A unit may be several steps; states are counted by steps done."""

        def advance(state, done):
            for _ in range(5):
                if done < killed_runs.TOTAL:
                    state, done, _ = killed_runs.advance(state, done)
            return state, done, {}

        assert resume(tmp_path, advance=advance, save_seconds=0.0) == resume()
        assert {path.name for path in (tmp_path / 'state').iterdir()} == {
            'step_000000010',
            'step_000000012',
        }

    @pytest.mark.parametrize('kind', ['states', 'rows', 'two writers'])
    def test_killed_at_random_moments(self, tmp_path, kind):
        done = subprocess.run(
            [sys.executable, '-m', 'tests.killed_runs', str(tmp_path), kind, '3'],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads(done.stdout)
        assert found['killed'] > 1
        if kind == 'states':
            assert found['result'] == resume()
        else:
            expected = killed_runs.compute(np.arange(60))
            np.testing.assert_array_equal(np.array(found['result'], np.float32), expected)


class TestRows:
    def test_only_what_is_absent_is_computed(self, tmp_path):
        cache = RowCache(tmp_path, {'what': 'sines'}, killed_runs.WIDTH)
        asked, told = [], []

        def compute(positions):
            asked.extend(positions.tolist())
            return killed_runs.compute(positions)

        def rows(keys, **options):
            return runs.rows(keys, compute, width=killed_runs.WIDTH, cache=cache, **options)

        expected = killed_runs.compute(np.arange(30))
        np.testing.assert_array_equal(rows(killed_runs.KEYS[:10]), expected[:10])
        assert asked == list(range(10))
        asked.clear()
        found = rows(
            killed_runs.KEYS[:30],
            label='sines',
            progress=lambda *call, **stored: told.append((*call, stored)),
        )
        np.testing.assert_array_equal(found, expected)
        assert asked == list(range(10, 30))
        assert told == [('sines', 10, 30, {'stored': 10}), ('sines', 30, 30, {})]

    def test_parts_are_told_as_they_come(self):
        told = []

        def compute(positions):
            for start in range(0, len(positions), 4):
                yield killed_runs.compute(positions[start : start + 4])

        found = runs.rows(
            killed_runs.KEYS[:10],
            compute,
            width=killed_runs.WIDTH,
            batch=2,
            progress=lambda label, done, total: told.append(done),
        )
        np.testing.assert_array_equal(found, killed_runs.compute(np.arange(10)))
        assert told == [4, 8, 10]

    def test_lost_rows_are_neither_kept_nor_hidden(self, tmp_path):
        cache = RowCache(tmp_path, {}, killed_runs.WIDTH)
        lost: dict[int, str] = {}

        def compute(positions):
            found = killed_runs.compute(positions)
            if 3 in positions:
                lost[3] = 'unreadable'
                found[positions.tolist().index(3)] = np.nan
            return found

        found = runs.rows(
            killed_runs.KEYS[:5], compute, width=killed_runs.WIDTH, cache=cache, lost=lost
        )
        assert lost == {3: 'unreadable'}
        assert np.isnan(found).all(axis=1).tolist() == [False, False, False, True, False]
        assert cache.lookup(killed_runs.KEYS[:5])[0].tolist() == [True, True, True, False, True]

    def test_a_shortened_cache_is_computed_again(self, tmp_path):
        cache = RowCache(tmp_path, {}, killed_runs.WIDTH)
        options = {'width': killed_runs.WIDTH, 'cache': cache}
        first = runs.rows(killed_runs.KEYS, killed_runs.compute, **options)
        with cache.path.open('r+b') as file:
            file.truncate(cache.path.stat().st_size // 2)
        np.testing.assert_array_equal(
            runs.rows(killed_runs.KEYS, killed_runs.compute, **options), first
        )

    def test_none(self):
        found = runs.rows([], killed_runs.compute, width=killed_runs.WIDTH)
        assert found.shape == (0, killed_runs.WIDTH)
