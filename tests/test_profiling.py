"""A trace of a few steps of each loop, and the work as if nothing were traced."""

import jax
import numpy as np
import pytest

from fr_inference import processes, profiling, runs
from tests import traces


def count_to(total, label='counting', **options):
    def advance(state, done):
        return state + 1, done + 1, {'loss': 0.5}

    return int(runs.resume(np.int32(0), total, advance, label=label, **options))


def rows_of(total, label='measuring'):
    def compute(positions):
        for first in range(0, len(positions), 2):
            yield np.float32(positions[first : first + 2, None])

    return runs.rows([''] * total, compute, width=1, batch=2, label=label)[:, 0].tolist()


@pytest.fixture(scope='module')
def traced(tmp_path_factory):
    """Two loops, one of them twice, and one that is too short."""
    folder = tmp_path_factory.mktemp('traced')
    with profiling.into(folder) as labels:
        found = [count_to(8), rows_of(24), count_to(8), count_to(2, 'short')]
    return folder, list(labels), found


def test_each_loop_is_traced_once_where_it_has_warmed_up(traced):
    folder, labels, _ = traced
    assert labels == ['counting', 'measuring']
    assert sorted(path.name for path in folder.iterdir()) == labels
    for label in labels:
        assert traces.steps(folder / label, label) == [2, 3, 4]


def test_the_work_is_done_all_the_same(traced):
    assert traced[2] == [8, list(range(24)), 8, 2]


def test_a_loop_that_ends_early_is_traced_to_its_end(tmp_path):
    with profiling.into(tmp_path):
        assert count_to(4, 'x, 2: 3/4') == 4
    assert traces.steps(tmp_path / 'x_2_3_4', 'x, 2: 3/4') == [2, 3]


def test_what_is_stopped_keeps_what_was_traced_and_goes_on(tmp_path):
    state = tmp_path / 'run'

    def stop(label, done, total, **_):
        if done == 4:
            raise processes.Stopped

    with pytest.raises(processes.Stopped), profiling.into(tmp_path / 'first'):
        count_to(9, folder=state, save_seconds=0, progress=stop)
    assert traces.steps(tmp_path / 'first' / 'counting', 'counting') == [2, 3]
    with profiling.into(tmp_path / 'second'):
        assert count_to(9, folder=state) == 9
    # Numbers count from where this process began: what is done there compiles, too.
    assert traces.steps(tmp_path / 'second' / 'counting', 'counting') == [2, 3, 4]


def test_a_loop_within_a_step_leaves_the_trace_alone(tmp_path):
    def advance(state, done):
        assert count_to(6, 'inner') == 6
        return state, done + 1, None

    with profiling.into(tmp_path) as labels:
        runs.resume(np.int32(0), 1, advance, label='outer')
        assert labels == ['inner']
        runs.resume(np.int32(0), 6, advance, label='outer')
    assert labels == ['inner', 'outer']
    assert traces.steps(tmp_path / 'outer', 'outer') == [2, 3, 4]


def test_nothing_is_traced_unasked(monkeypatch):
    monkeypatch.setattr(jax.profiler, 'start_trace', None)
    monkeypatch.setattr(jax.profiler, 'StepTraceAnnotation', None)
    assert count_to(8) == 8
    profiling.repeated('never', lambda: pytest.fail('called'))
    with profiling.into(None) as labels:
        assert rows_of(24) == list(range(24))
    assert labels == []
