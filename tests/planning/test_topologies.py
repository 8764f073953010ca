"""Machines by name; what has no compiler here is one line."""

import importlib.util

import pytest

from fr_inference import errors
from fr_inference.benchmarking import chips
from fr_inference.planning import gpu_targets, topologies


@pytest.mark.parametrize(
    ('name', 'family', 'shape', 'hosts'),
    [
        ('v5e-1', 'v5e', (1, 1), 1),
        ('v5e-8', 'v5e', (2, 4), 1),
        ('v6e-16', 'v6e', (4, 4), 4),
        ('v5p-8', 'v5p', (2, 2, 1), 1),  # Google counts TensorCores: four chips
        ('tpu7x-16', 'tpu7x', (2, 2, 2), 2),
    ],
)
def test_slices_of_tpus(name, family, shape, hosts):
    found, layout = topologies.parse(name)
    assert (found, layout.shape, layout.hosts) == (family, shape, hosts)


def test_every_slice_is_made_of_whole_hosts():
    for tpu in topologies.TPUS.values():
        for layout in tpu.layouts.values():
            sides = zip(layout.shape, layout.host, strict=False)
            assert all(side % part == 0 for side, part in sides)


@pytest.mark.parametrize(('name', 'count'), [('h100x8', 8), ('a100x16', 16), ('h200x3', 3)])
def test_gpus(name, count):
    assert topologies.parse(name) == (name.partition('x')[0], count)


@pytest.mark.parametrize(
    'name', ['', 'v5e', 'v5e-0', 'v5e-5', 'v5ex8', 'h100-8', 'h100x12', 'a100x', 'v2-8', 'V5E-8']
)
def test_other_names(name):
    with pytest.raises(errors.InputError) as raised:
        topologies.parse(name)
    assert raised.value.field == 'topology'


@pytest.mark.parametrize('name', ['v5e-4', 'h100x1'])
def test_without_a_compiler(name, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda module: None)
    with pytest.raises(errors.InputError) as raised:
        topologies.open_topology(name)
    assert raised.value.field == 'topology'
    assert 'launch/plan.sh' in raised.value.hint


def test_there_is_a_data_sheet_of_every_machine():
    kinds = [tpu.kind for tpu in topologies.TPUS.values()]
    kinds += [gpu.kind for gpu in gpu_targets.GPUS.values()]
    assert all(chips.find(kind) for kind in kinds)
    for gpu in gpu_targets.GPUS.values():  # the compiler is told what the data sheet says
        sheet = chips.find(gpu.kind)
        assert gpu.bandwidth == pytest.approx(sheet.bandwidth, rel=0.01)
        assert gpu.memory == pytest.approx(sheet.memory, rel=0.07)
        assert f'device_description_str: "{gpu.kind}"' in gpu.text()
