"""A plan for this process's own devices, with a data sheet that is made up."""

import dataclasses
import json

import jax
import pytest

from fr_inference import files
from fr_inference.planning import compiling, plan_table, planner, topologies
from fr_inference.program_config import Planning
from tests.planning.planned import CHIP, COMMON, machine, parts


@pytest.fixture(scope='module')
def scoring():
    return parts('audit', target='tiny', **COMMON)


def planned(monkeypatch, scoring, opened, **options):
    monkeypatch.setattr(topologies, 'open_topology', lambda name: opened)
    asked = Planning(topology=(opened.name,), **options)
    (plan,) = planner.plan(asked, scoring)
    return json.loads(json.dumps(plan, allow_nan=False))


def test_a_plan_and_what_was_measured(monkeypatch, scoring):
    plan = planned(monkeypatch, scoring, machine(real=True), largest=False, price_per_hour=(3.0,))
    (row,) = plan['parts']
    assert plan['fits']
    assert row['amount'] == 400
    assert (row['examples_per_device'], row['option_value']) == (32, 64)
    assert row['collectives'] == {}
    images = 32 * 112 * 112 * 3
    assert row['bytes'] > images  # it reads them at least
    arithmetic, memory = row['flops'] / CHIP.float32, row['bytes'] / CHIP.bandwidth
    assert row['least_seconds_per_call'] == pytest.approx(max(arithmetic, memory))
    assert plan['least_hours'] == pytest.approx(7 * max(arithmetic, memory) / 3600)
    assert plan['least_cost'] == pytest.approx(plan['least_hours'] * 3 * 2)
    assert row['measured_seconds_per_call'] > 0
    said = plan_table.text({'plans': [plan], 'left_out': 'nothing'})
    assert 'Fits. At least' in said
    assert 'times the bound' in said


def test_what_does_not_fit_has_no_time(monkeypatch, scoring):
    plan = planned(monkeypatch, scoring, machine(available=1000), largest=True)
    (row,) = plan['parts']
    assert not plan['fits']
    assert plan['least_hours'] is plan['least_cost'] is None
    assert 'least_hours' not in row
    assert row['largest'] is None
    assert sum(row['memory_bytes'].values()) > 1000
    said = plan_table.text({'plans': [plan], 'left_out': 'nothing'})
    assert 'Does not fit' in said
    assert '--batch_size: none' in said


def test_figures_are_kept(monkeypatch, scoring, tmp_path):
    """A second plan compiles nothing, and says the same."""
    monkeypatch.setattr(topologies, 'open_topology', lambda name: machine())
    asked = Planning(topology=('h100x2',), largest=False)
    first = planner.plan(asked, scoring, kept=tmp_path / 'kept')
    (path,) = (tmp_path / 'kept').iterdir()
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(files.sealed(kept | {'bytes': 12345.0})))
    second = planner.plan(asked, scoring, kept=tmp_path / 'kept')
    assert first[0]['parts'][0]['bytes'] == kept['bytes']
    assert second[0]['parts'][0]['bytes'] == 12345.0


@pytest.mark.parametrize('content', ['', '{}', '[]', '{"fits": true, "memory": {}, "more": 1}'])
def test_damaged_figures_are_compiled_again(monkeypatch, scoring, tmp_path, content):
    monkeypatch.setattr(topologies, 'open_topology', lambda name: machine())
    found = compiling.Figures(fits=True, memory={'arguments': 1}, flops=1.0, bytes=7.0)
    monkeypatch.setattr(compiling, '_compiled', lambda lowered, topology: found)
    asked = Planning(topology=('h100x2',), largest=False)
    planner.plan(asked, scoring, kept=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    path.write_text(content)
    (plan,) = planner.plan(asked, scoring, kept=tmp_path)
    assert plan['parts'][0]['bytes'] == 7.0
    assert path.read_text() == whole


def test_another_effort_of_the_compiler_is_another_program(monkeypatch, scoring, tmp_path):
    monkeypatch.setattr(topologies, 'open_topology', lambda name: machine())
    asked = Planning(topology=('h100x2',), largest=False)
    fewest = compiling.Figures(fits=True, memory={'arguments': 1}, flops=1.0, bytes=7.0)
    monkeypatch.setattr(compiling, '_compiled', lambda lowered, topology: fewest)
    planner.plan(asked, scoring, kept=tmp_path)
    more = dataclasses.replace(fewest, bytes=9.0)
    monkeypatch.setattr(compiling, '_compiled', lambda lowered, topology: more)
    (usual,) = planner.plan(asked, scoring, kept=tmp_path)
    monkeypatch.setenv('LIBTPU_INIT_ARGS', '--some_flag=1')
    (flagged,) = planner.plan(asked, scoring, kept=tmp_path)
    monkeypatch.delenv('LIBTPU_INIT_ARGS')
    jax.config.update('jax_exec_time_optimization_effort', -1.0)
    try:
        (hasty,) = planner.plan(asked, scoring, kept=tmp_path)
    finally:
        jax.config.update('jax_exec_time_optimization_effort', 0.0)
    found = [plan['parts'][0]['bytes'] for plan in (usual, flagged, hasty)]
    assert found == [7.0, 9.0, 9.0]


def test_every_part_of_a_search_is_traced():
    """With the shapes that the programs are given; the state of a candidate among them."""
    found = parts(
        'invert', target='demo_few', generator='demo_generator', evaluator='demo_few', steps=2,
        candidates=4, keep=2, draws=8, **COMMON,
    )  # fmt: skip
    by_name = {part.name.partition(':')[0]: part for part in found}
    on = machine().local
    for name in ('looking', 'searching'):
        part = by_name[name]
        lowered = part.program(on, part.size(machine())).lower()
        assert 'all_reduce' not in lowered.as_text()


def test_a_training_step_runs_on_what_was_planned(monkeypatch):
    trained = parts('train_recognizer', faces='64:8', arch='tiny', batch_size=4, epochs=2)
    plan = planned(monkeypatch, trained, machine(real=True), largest=False)
    (row,) = plan['parts']
    assert row['devices'] == 2
    assert row['collectives'].get('all-reduce', 0) > 0  # BatchNorm over the whole batch
    assert row['measured_seconds_per_call'] > 0
    assert plan['least_hours'] == pytest.approx(
        row['least_seconds_per_call'] * (row['amount'] // 4) / 3600
    )
