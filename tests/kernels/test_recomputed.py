"""The end of StyleGAN2's layers as GPUs compute it, against the plain one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.kernels import recomputed
from fr_inference.models import stylegan2_ops
from tests.kernels.agreement import agree, draw

ARGUMENTS = draw(2, 4, 3, 5), 1 + draw(2, 1, 1, 5) / 4, draw(1, 4, 3, 1), draw(5)


@pytest.mark.parametrize('clamp', [None, 1.5])
def test_it_is_the_plain_one(clamp):
    agree(
        lambda *arrays: recomputed.finish(*arrays, clamp=clamp),
        lambda *arrays: stylegan2_ops.finish.__wrapped__(*arrays, clamp=clamp),
        *ARGUMENTS,
    )


def test_second_derivatives():
    def slope(function):
        return jax.grad(lambda *arrays: jnp.sum(jnp.tanh(function(*arrays))), argnums=1)

    def second(function):
        return jax.jvp(slope(function), ARGUMENTS, ARGUMENTS)[1]

    expected = second(stylegan2_ops.finish.__wrapped__)
    np.testing.assert_allclose(second(recomputed.finish), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('platform', 'barrier'), [('cpu', False), ('tpu', False), ('cuda', True)])
def test_gpus_get_it(platform, barrier):
    slope = jax.jit(jax.grad(lambda *arrays: jnp.sum(stylegan2_ops.finish(*arrays))))
    text = jax.export.export(slope, platforms=[platform])(*ARGUMENTS).mlir_module()
    assert ('optimization_barrier' in text) == barrier
