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


def doubling(monkeypatch, flops, narrow, **chip):
    """Measures a program that doubles three numbers, on a device that is known."""
    sheet = chips.Chip(**chip, memory=1, source='https://vendor.example/sheet')
    monkeypatch.setattr(chips, 'find', lambda kind: sheet)
    program = jax.jit(lambda x: 2 * x)
    task = scaling.Task(
        name='doubling',
        size=3,
        items=3,
        flops=flops,
        narrow=narrow,
        build=lambda devices: scaling.Program(
            lower=lambda: program.lower(jnp.ones(3)), call=lambda compiled: compiled(jnp.ones(3))
        ),
    )
    return scaling.measure([task], [1], rounds=3)


def test_share_of_the_peak(monkeypatch):
    """The rate of one device, times its work, over the peak."""
    found = doubling(monkeypatch, 10.0, True, bfloat16=1e9, float32=1e9, bandwidth=2e9)
    (row,) = found['rows']
    assert found['peak'] == {
        'bfloat16_flops_per_second': 1e9,
        'bytes_per_second': 2e9,
        'source': 'https://vendor.example/sheet',
    }
    assert row['share_of_peak'] == pytest.approx(10 * row['rate']['median'] / 1e9)
    assert '% of the bfloat16 peak' in scaling.table(found, 'numbers')


@pytest.mark.parametrize(
    ('flops', 'narrow', 'bound_by', 'least'),
    [
        # Three floats are read and three written, 24 bytes at 1e6 bytes/s; 3 items in bfloat16 at 1e6
        # FLOP/s, in float32 at half of it.
        (1.0, True, 'memory', 24e-6),
        (10.0, True, 'arithmetic', 30e-6),
        (10.0, False, 'arithmetic', 60e-6),
    ],
)
def test_the_bound(monkeypatch, flops, narrow, bound_by, least):
    found = doubling(monkeypatch, flops, narrow, bfloat16=1e6, float32=5e5, bandwidth=1e6)
    (row,) = found['rows']
    seconds = row['seconds_per_call']['median']
    assert (row['bytes_per_call'], row['bound_by']) == (24, bound_by)
    assert row['least_seconds_per_call'] == pytest.approx(least)
    assert row['share_of_bound'] == pytest.approx(least / seconds)
    assert row['share_of_bandwidth'] == pytest.approx(24e-6 / seconds)
    assert f'% of the bound by {bound_by}' in scaling.table(found, 'numbers')
