"""A native target of a tiny network, drawn without compiling, and what is asked of its folder."""

import jax
import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from fr_inference.weights import native_targets
from tests.weights import old_folders

CONFIG = {'embedding': 16}
INPUT = {'height': 32, 'width': 32, 'mean': [1.0, 2.5, 3.0], 'std': [4.0, 5.0, 1 / 3]}


def filled(seed=0, **config):
    """Variables of the tiny network, drawn without compiling anything."""
    module = registry.build('tiny', **{**CONFIG, **config})
    abstract = registry.abstract_variables(module, registry.VARIANTS['tiny'].input)
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: draw.normal(size=leaf.shape).astype(leaf.dtype), abstract)


def target():
    """What the tests of native folders save."""
    return registry.make_target(
        'tiny',
        filled(),
        config=CONFIG,
        input=InputSpec(height=32, width=32, mean=(1.0, 2.5, 3.0), std=(4.0, 5.0, 1 / 3)),
        name='näme',
        sha256='0' * 64,
        recipe={'epochs': 3, 'margin': {'m2': 0.5}},
        notes=('set aside: head',),
    )


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert jax.tree.map(lambda leaf: leaf.dtype, first) == jax.tree.map(
        lambda leaf: leaf.dtype, second
    )


def refused(directory, file='variables.safetensors'):
    """The error of reading a folder, which names one of its files."""
    with pytest.raises(InputError) as caught:
        native_targets.load_target(directory)
    assert caught.value.field == str(directory.resolve() / file)
    assert '\n' not in str(caught.value)
    return caught.value


def described(directory, **changes):
    old_folders.change(directory / 'target.json', **changes)
