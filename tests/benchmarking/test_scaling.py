"""Weak scaling: what the figures mean."""

import jax
import jax.numpy as jnp
import pytest

from fr_inference.benchmarking import chips, scaling, timing


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(timing, '_PAUSE', 0)


def test_the_best_size_is_that_of_fewest_devices():
    rates = [('a', 1, 8, 5.0), ('a', 1, 16, 7.0), ('a', 2, 8, 99.0), ('b', 1, 8, 50.0)]
    rows = [
        {'name': name, 'devices': devices, 'size': size, 'rate': {'median': rate}}
        for name, devices, size, rate in rates
    ]
    assert scaling.fastest({'rows': rows}, 'a') == 16


def test_share_of_the_peak(monkeypatch):
    """Of a device that is known: the rate of one, times its work, over the peak."""
    chip = chips.Chip(
        bfloat16=1e9, float32=1e9, bandwidth=1e9, memory=1, source='https://vendor.example/sheet'
    )
    monkeypatch.setattr(chips, 'find', lambda kind: chip)
    program = jax.jit(lambda x: 2 * x)
    task = scaling.Task(
        name='doubling',
        size=3,
        items=3,
        flops=10.0,
        narrow=True,
        build=lambda devices: scaling.Program(
            lower=lambda: program.lower(jnp.ones(3)), call=lambda compiled: compiled(jnp.ones(3))
        ),
    )
    found = scaling.measure([task], [1], rounds=3)
    (row,) = found['rows']
    assert found['peak'] == {
        'bfloat16_flops_per_second': 1e9,
        'source': 'https://vendor.example/sheet',
    }
    assert row['share_of_peak'] == pytest.approx(10 * row['rate']['median'] / 1e9)
    assert '% of the bfloat16 peak' in scaling.table(found, 'numbers')
