"""The main programs as the compilers of TPUs and GPUs see them: bytes, and what devices tell each other.

Needs the environment of `bash launch/plan.sh --make`; `.ci/run` runs it there. The bars are what was
counted with jax 0.10.2 and a margin of a few percent: a change that moves more memory, or adds a
collective, fails here. `pytest -rP` prints the figures.
"""

import dataclasses
import functools
import importlib.util

import jax
import jax.numpy as jnp
import pytest

from fr_inference import config, devices
from fr_inference.benchmarking import least_time
from fr_inference.planning import compiling, lowering, stand_ins, topologies
from fr_inference.planning.lowering import Program

for compiler in ('libtpu', 'jax_cuda12_plugin'):
    if importlib.util.find_spec(compiler) is None:
        pytest.skip(f'{compiler} is not installed (bash launch/plan.sh)', allow_module_level=True)

pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')


@pytest.fixture(autouse=True)
def promotion():
    """Flax mixes bfloat16 and float32."""
    with jax.numpy_dtype_promotion('standard'):
        yield


@functools.cache
def opened(name):
    return topologies.open_topology(name)


def compiled(program, topology, label):
    found = compiling.figures(program.lower(), opened(topology))
    print(
        f'{label} on {topology}: {found.bytes / 1e6:.1f} MB through main memory '
        f'({(found.accessed or 0) / 1e6:.1f} by XLA), {found.total / 1e6:.1f} MB of it, '
        f'{dict(found.collectives)}, compiled in {found.compile_seconds:.0f} s'
    )
    assert found.fits
    return found


def plain(target, on, size):
    """The forward pass without distances."""

    def embed(variables, image):
        return target.apply(variables, target.input.normalize(image)[None])[0]

    run, _, count = devices.per_example(embed, on)
    shape = (size * count, target.input.height, target.input.width, 3)
    return Program(run.program, (target.variables, jax.ShapeDtypeStruct(shape, jnp.uint8)))


@pytest.mark.parametrize(
    ('topology', 'arch', 'size', 'most'),
    [('v5e-4', 'iresnet50', 64, 1.5), ('h100x4', 'iresnet50', 64, 1.03)],
)
def test_scoring_moves_little_more_than_the_forward_pass(topology, arch, size, most):
    target = stand_ins.backbone(arch, 'target', dtype='bfloat16')
    on = opened(topology).local
    scored = compiled(lowering.scoring(target, [], on, size), topology, f'scoring {arch}')
    forward = compiled(plain(target, on, size), topology, f'forward pass of {arch}')
    assert scored.bytes / forward.bytes < most
    assert not scored.collectives
    if topology.startswith('v5e'):  # the bytes take less time than the arithmetic
        least = least_time.of_call(scored.flops, scored.bytes, opened(topology).chip, narrow=True)
        assert least.bound_by == 'arithmetic'


@pytest.mark.parametrize(('topology', 'most'), [('v5e-4', 0.32e9), ('h100x4', 0.4e9)])
def test_a_step_of_the_search(topology, most):
    """Bytes of each candidate; no device waits for another."""
    searching = lowering.Searching(
        target=stand_ins.backbone('iresnet18', 'target', dtype='bfloat16'),
        generator=_narrow_generator(),
        how=config.Search(),
        term='capped',
        watched=True,
    )
    found = compiled(searching.steps(opened(topology).local, 4), topology, 'a step of the search')
    assert found.bytes / 4 < most
    assert not found.collectives


def _narrow_generator():
    """StyleGAN2 of 64 pixels with 64 features, the larger half of its layers in half precision."""
    full = stand_ins.generator('64')
    module = full.module.clone(channel_max=64)
    z = jax.ShapeDtypeStruct((1, module.z_dim), jnp.float32)
    variables = jax.eval_shape(module.init, jax.eval_shape(lambda: jax.random.key(0)), z)
    return dataclasses.replace(full, module=module, variables=variables)


@pytest.mark.parametrize(('topology', 'most'), [('v5e-8', 0.11e9), ('h100x8', 0.46e9)])
def test_a_step_of_the_training(topology, most):
    """Bytes of each image; devices meet twice for a BatchNorm layer, over the whole batch, and once."""
    target = stand_ins.of_architecture('iresnet18', {'dtype': 'bfloat16'})
    recipe = config.Recipe(batch_size=64)
    program = lowering.training(recipe, target, 1000, 1000, opened(topology).devices, 8)
    found = compiled(program, topology, 'a step of the training')
    assert found.bytes / 8 < most
    assert found.collectives.keys() == {'all-reduce'}
    layers = len(jax.tree.leaves(target.variables['batch_stats'])) / 2
    assert found.collectives['all-reduce'] <= 2 * layers + 1
