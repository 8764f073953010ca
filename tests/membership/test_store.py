"""Scores are kept as they come, found again by content, and never served for another backbone."""

import dataclasses

import jax
import numpy as np
import pytest

from fr_inference import processes
from fr_inference.data.faces import concat, from_arrays
from fr_inference.errors import InputError
from fr_inference.measuring import measurements, row_store
from fr_inference.models.target import InputSpec
from fr_inference.training import recognizer

WIDTH = 3
KIND = {'weights': 'w', 'scaling': 'variance'}


def digest(number):
    return f'{number:064x}'


def rows_of(*numbers):
    return np.array([[number, number + 0.5, -number] for number in numbers], np.float32)


class TestStore:
    def test_finds_what_was_added_in_any_order(self, tmp_path):
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            kept.append([digest(1), digest(2), digest(3)], rows_of(1, 2, 3))
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            mask, rows = kept.lookup([digest(3), digest(9), digest(1), ''])
        assert mask.tolist() == [True, False, True, False]
        np.testing.assert_array_equal(rows, rows_of(3, 1))

    def test_no_row_for_what_is_not_finite_or_not_known(self, tmp_path):
        values = rows_of(1, 2, 3)
        values[1, 2] = np.nan
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            kept.append([digest(1), digest(2), ''], values)
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            assert kept.lookup([digest(1), digest(2)])[0].tolist() == [True, False]

    @pytest.mark.parametrize('file', ['rows.bin', 'names.bin'])
    @pytest.mark.parametrize('lost', [1, 4, 40])
    def test_a_kill_costs_what_was_not_whole(self, tmp_path, file, lost):
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            kept.append([digest(n) for n in range(1, 9)], rows_of(*range(1, 9)))
        path = next(tmp_path.glob(f'*/{file}'))
        path.write_bytes(path.read_bytes()[:-lost])
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            before = kept.lookup([digest(n) for n in range(1, 9)])
            kept.append([digest(8), digest(10)], rows_of(8, 10))
        assert 3 <= before[0].sum() <= 7
        np.testing.assert_array_equal(before[1], rows_of(*range(1, before[0].sum() + 1)))
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            mask, rows = kept.lookup([digest(1), digest(10), digest(8)])
        assert mask.all()
        np.testing.assert_array_equal(rows, rows_of(1, 10, 8))

    def test_a_damaged_row_is_not_used(self, tmp_path):
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            kept.append([digest(1), digest(2)], rows_of(1, 2))
        path = next(tmp_path.glob('*/rows.bin'))
        values = np.fromfile(path, np.float32)
        values[0] *= 3
        values.tofile(path)
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            mask, rows = kept.lookup([digest(1), digest(2)])
            kept.append([digest(1)], rows_of(1))
        assert mask.tolist() == [False, True]
        np.testing.assert_array_equal(rows, rows_of(2))
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            np.testing.assert_array_equal(kept.lookup([digest(1)])[1], rows_of(1))

    def test_other_kinds_do_not_meet(self, tmp_path):
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            kept.append([digest(1)], rows_of(1))
        with row_store.Store(tmp_path, KIND | {'weights': 'x'}, WIDTH) as kept:
            assert not kept.lookup([digest(1)])[0].any()

    def test_who_comes_second_only_reads(self, tmp_path):
        with row_store.Store(tmp_path, KIND, WIDTH) as first:
            first.append([digest(1)], rows_of(1))
            with row_store.Store(tmp_path, KIND, WIDTH) as second:
                assert second.lookup([digest(1)])[0].all()
                second.append([digest(2)], rows_of(2))
            first.append([digest(3)], rows_of(3))
        with row_store.Store(tmp_path, KIND, WIDTH) as kept:
            found = kept.lookup([digest(n) for n in (1, 2, 3)])
        assert found[0].tolist() == [True, False, True]

    def test_damaged(self, tmp_path):
        with row_store.Store(tmp_path, KIND, WIDTH):
            pass
        next(tmp_path.glob('*/run.json')).write_text('{')
        with pytest.raises(InputError, match='damaged'):
            row_store.Store(tmp_path, KIND, WIDTH)


@pytest.fixture(scope='module')
def target():
    return recognizer.fresh_target('tiny', {}, InputSpec(height=16, width=16), seed=1)


@pytest.fixture(scope='module')
def faces():
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), np.uint8)
    return from_arrays(images, range(30))


def counting(faces):
    """The same faces, and the list of those that are read to be scored."""
    read = []

    def noted(index):
        read.append(index)
        return faces.read(index)

    return dataclasses.replace(faces, read=noted), read


def scored(target, faces, folder, **options):
    watched, read = counting(faces)
    found = measurements.measure(target, watched, batch_size=4, scores=folder, **options)
    return found, sorted(read)


class TestMeasure:
    def test_nothing_is_scored_twice(self, target, faces, tmp_path):
        first, read = scored(target, faces, tmp_path)
        assert read == list(range(30))
        plain = measurements.measure(target, faces, batch_size=4)
        np.testing.assert_array_equal(first.distances, plain.distances)
        order = np.random.default_rng(1).permutation(30)
        told = []
        again, read = scored(
            target,
            faces.select(order),
            tmp_path,
            progress=lambda *call, **metrics: told.append((*call, metrics)),
        )
        assert not read
        assert told == [('scoring', 30, 30, {'stored': 30})]
        np.testing.assert_array_equal(again.distances, first.distances[order])
        np.testing.assert_array_equal(again.embeddings, first.embeddings[order])
        assert again.identities == tuple(first.identities[i] for i in order)
        more = from_arrays(np.zeros((2, 16, 16, 3), np.uint8), 'ab')
        assert scored(target, concat([faces, more]), tmp_path)[1] == [30, 31]

    def test_changed_weights_scaling_and_mirror_are_scored_anew(self, target, faces, tmp_path):
        few = faces.select(range(4))
        scored(target, few, tmp_path)
        changed = jax.tree.map(np.array, target.variables)
        jax.tree.leaves(changed['params'])[0].flat[0] += 1e-3
        other = dataclasses.replace(target, variables=changed)
        assert len(scored(other, few, tmp_path)[1]) == 4
        assert len(scored(target, few, tmp_path, scaling='none')[1]) == 4
        assert len(scored(target, few, tmp_path, mirror=True)[1]) == 4
        assert len(scored(target, few, tmp_path)[1]) == 0

    def test_goes_on_after_it_was_stopped(self, target, faces, tmp_path, monkeypatch):
        monkeypatch.setattr(measurements, '_FIRST_BATCHES', 2)
        monkeypatch.setattr(measurements, '_BLOCK_SECONDS', 0)
        expected = measurements.measure(target, faces, batch_size=4)
        told = []

        def stop(label, done, total):
            told.append(done)
            if done >= 12:
                processes.ask_to_stop()

        try:
            with pytest.raises(processes.Stopped):
                scored(target, faces, tmp_path, progress=stop)
        finally:
            processes._ASKED.clear()
        assert told[-1] == 16
        found, read = scored(target, faces, tmp_path)
        assert read == list(range(16, 30))
        np.testing.assert_array_equal(found.distances, expected.distances)
        np.testing.assert_array_equal(found.embeddings, expected.embeddings)

    def test_a_module_of_ones_own_is_not_kept(self, target, faces, tmp_path):
        own = dataclasses.replace(target, architecture='custom')
        assert len(scored(own, faces.select([0]), tmp_path)[1]) == 1
        assert len(scored(own, faces.select([0]), tmp_path)[1]) == 1
        assert not list(tmp_path.iterdir())
