"""Random weights: the variables that a network has, none of them zero throughout where that matters."""

import jax
import numpy as np
import pytest

from fr_inference.benchmarking import random_weights
from fr_inference.models import registry


@pytest.mark.parametrize('name', ['tiny', 'mobilefacenet_prelu'])
def test_a_backbone_has_what_its_module_has(name):
    target = random_weights.backbone(name)
    expected = registry.abstract_variables(target.module, target.input)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), target.variables)
    assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), expected)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(target.variables))


def test_a_generator_draws_pictures_of_unit_scale():
    trained = random_weights.generator(8, 'bfloat16', channel_base=64, channel_max=16)
    assert trained.module.low_precision_from == 4
    z = np.random.default_rng(0).standard_normal((4, 512), np.float32)
    image = jax.jit(trained.module.apply)(trained.variables, z)
    assert 0.2 < float(image.std()) < 5
