"""A benchmark's JSON beside a plan: what is compared, and what is not."""

import json
import os
import time

import pytest

from fr_inference import errors
from fr_inference.benchmarking import suite, timing
from fr_inference.planning import measured, plan_table, planner, topologies
from fr_inference.program_config import Planning
from tests.benchmarking.settings import quick
from tests.planning.planned import COMMON, machine, parts

ROW = {'name': 'tiny', 'narrow': False, 'size': 32, 'devices': 1, 'rate_per_device': 50.0}


def written(tmp_path, rows=(ROW,), what='scoring', device='cpu', dtype='float32'):
    path = tmp_path / 'speed.json'
    record = {
        'what': what,
        'settings': {'dtype': dtype},
        'scaling': {'device': device, 'rows': list(rows)},
    }
    path.write_text(json.dumps(record))
    return str(path)


@pytest.fixture(scope='module')
def scoring():
    (part,) = parts('audit', target='tiny', **COMMON)
    return part


def beside(scoring, path):
    return measured.beside(scoring, 32, machine(), measured.read(path))


def test_what_the_benchmark_writes_is_compared(tmp_path, monkeypatch, scoring):
    monkeypatch.setattr(timing, '_PAUSE', 0)
    monkeypatch.setattr(topologies, 'open_topology', lambda name: machine())
    path = str(tmp_path / 'speed.json')
    (rate,) = (
        row['rate_per_device']
        for row in suite.run(quick(out=path, devices=(1,)), say=lambda _: None)['scaling']['rows']
    )
    asked = Planning(topology=('h100x2',), largest=False, measured=(path,))
    (plan,) = planner.plan(asked, [scoring])
    (row,) = plan['parts']
    found = row['measured']
    assert found['hours'] == pytest.approx(400 / (2 * rate) / 3600)
    assert (found['devices'], plan['not_compared']) == (1, [])
    said = plan_table.text({'plans': [plan], 'left_out': 'nothing'})
    times = found['seconds_per_item'] / row['least_seconds_per_item']
    assert f'{times:.2f} times the bound' in said
    assert path in said


def test_the_nearest_row_is_taken(tmp_path, scoring):
    """By examples at a time, then by devices; another network beside it does not count."""
    rates = {(8, 2): 1.0, (48, 1): 2.0, (48, 4): 3.0, (48, 2): 4.0}
    rows = [
        {**ROW, 'size': size, 'devices': devices, 'rate_per_device': rate}
        for (size, devices), rate in rates.items()
    ]
    other = {**ROW, 'name': 'iresnet18', 'devices': 2, 'rate_per_device': 9.0}
    found, notes = beside(scoring, written(tmp_path, [other, *rows]))
    assert (found['examples_per_device'], found['devices'], notes) == (48, 2, [])
    assert found['seconds_per_item'] == 1 / (4.0 * 2)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'device': 'NVIDIA H200'}, 'measured NVIDIA H200, planned cpu'),
        ({'dtype': 'bfloat16'}, 'measured bfloat16, planned float32'),
        ({'rows': [{**ROW, 'name': 'iresnet18'}] * 2}, 'measured iresnet18, planned tiny'),
        ({'rows': [{**ROW, 'narrow': True}]}, 'bfloat16 in places, planned float32 alone'),
    ],
)
def test_one_line_says_what_differs(tmp_path, scoring, changes, said):
    found, (line,) = beside(scoring, written(tmp_path, **changes))
    assert found is None
    assert said in line


def test_another_kind_of_work_is_passed_over(tmp_path, scoring):
    assert beside(scoring, written(tmp_path, what='inversion')) == (None, [])


def test_random_weights_count_as_the_network_that_they_stand_for(tmp_path):
    (_, step) = parts('reconstruct', target='tiny', generator='8', templates='10', draws=64)
    row = {**ROW, 'name': 'random StyleGAN2-8 before tiny', 'narrow': True}
    rows = measured.read(written(tmp_path, [row], what='inversion'))
    found, notes = measured.beside(step, 8, machine(), rows)
    assert notes == []
    assert found['hours'] == pytest.approx(10 * 4 * 100 / (50 * 2) / 3600)


@pytest.mark.parametrize(
    'content',
    [
        *('', '{', '[1]', '"a"', '{}', '[' * 100_000, '{"what": "loading", "scaling": {}}'),
        '{"what": ["scoring"], "scaling": {"rows": []}}',
        '{"what": "scoring", "settings": {"dtype": "a"}, "scaling": {"device": "cpu", "rows": []}}',
        '{"what": "scoring", "settings": 3, "scaling": {"device": "cpu", "rows": [{"name": 1}]}}',
        '\x00\x01',
    ],
)
def test_other_files_are_one_line(tmp_path, content):
    path = tmp_path / 'other.json'
    path.write_text(content)
    with pytest.raises(errors.InputError) as raised:
        measured.read(str(path))
    assert raised.value.field == 'measured'


@pytest.mark.parametrize('rate', [0.0, -1.0, 1e400, 'fast', None])
def test_rates_that_are_none(tmp_path, rate):
    path = written(tmp_path, [{**ROW, 'rate_per_device': rate}])
    with pytest.raises(errors.InputError) as raised:
        measured.read(path)
    assert raised.value.field == 'measured'


def test_a_pipe_and_a_large_file_are_not_read(tmp_path):
    large = tmp_path / 'large.json'
    with large.open('wb') as file:
        file.truncate(1 << 33)
    began = time.monotonic()
    os.mkfifo(tmp_path / 'pipe')
    for path in (large, tmp_path, tmp_path / 'absent.json', tmp_path / 'pipe'):
        with pytest.raises(errors.InputError) as raised:
            measured.read(str(path))
        assert raised.value.field == 'measured'
    assert time.monotonic() - began < 5
