"""Parity of two devices: numbers of one beside numbers of the other, and an error is seen."""

import jax
import numpy as np
import pytest

from fr_inference.benchmarking import device_parity, random_weights
from fr_inference.models import registry

EXACT = device_parity.PRECISIONS[:1]


@pytest.fixture(scope='module')
def networks():
    spec = registry.sized(registry.VARIANTS['tiny'].input, 16, 16)
    target = random_weights.backbone('tiny', {}, spec)
    generator = random_weights.generator(
        4, 'float32', channel_base=32, channel_max=4, mapping_layers=1
    )
    return generator, target


def test_two_devices_agree(networks):
    """Variables that lie on the one do not bind what the other computes."""
    on, host = jax.devices('cpu')[1], jax.devices('cpu')[0]
    with jax.default_device(on):
        generator, target = jax.tree.map(lambda x: x, networks)
    found = list(device_parity.backbone(target, on, host, EXACT))
    found += device_parity.search(generator, target, on, host, EXACT)
    assert [row['quantity'] for row in found] == [*EXACT[0].tolerances]
    assert all(row['met'] for row in found)


@pytest.mark.parametrize('wrong', ['distances', 'embeddings', 'gradients'])
def test_a_wrong_number_is_seen(networks, monkeypatch, wrong):
    shapes = {'distances': (4, 3), 'embeddings': (4, 8), 'gradients': (4, 2, 2, 3)}
    right = [np.random.default_rng(0).uniform(0.5, 1, shape) for shape in shapes.values()]

    def computed(target, on, precision):
        if on == 'host':
            return right
        return [
            part * (1.05 if name == wrong else 1) for name, part in zip(shapes, right, strict=True)
        ]

    monkeypatch.setattr(device_parity, '_pass', computed)
    found = device_parity.backbone(networks[1], 'device', 'host', EXACT)
    assert {row['quantity'] for row in found if not row['met']} == {wrong}


def test_what_is_not_a_number_is_wrong(networks, monkeypatch):
    values = [np.ones((4, 3)), np.ones((4, 2)), np.ones((4, 2))]
    broken = [np.full_like(part, np.nan) for part in values]
    monkeypatch.setattr(
        device_parity, '_pass', lambda target, on, precision: values if on == 'host' else broken
    )
    found = device_parity.backbone(networks[1], 'device', 'host', EXACT)
    assert not any(row['met'] for row in found)
