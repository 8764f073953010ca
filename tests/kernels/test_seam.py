"""Which platform gets which form, without that platform: what a program is lowered to shows it."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from fr_inference.kernels import seam
from fr_inference.models import layers, stylegan2_ops
from tests.kernels.agreement import agree, close, draw

OPERATIONS = {
    'convolve': layers.convolve,
    'depthwise': layers.depthwise,
    'upsample': stylegan2_ops.upsample,
    'downsample': stylegan2_ops.downsample,
    'upsample_conv': stylegan2_ops.upsample_conv,
    'downsample_conv': stylegan2_ops.downsample_conv,
}
# (arrays, options) for which the CPU's form pays.
ARGUMENTS = {
    'convolve': ((draw(1, 8, 8, 128), draw(3, 3, 128, 128)), {'padding': 1}),
    'depthwise': ((draw(2, 6, 5, 3), draw(3, 3, 1, 3)), {'stride': 2}),
    'upsample': ((draw(2, 3, 4, 3),), {}),
    'downsample': ((draw(2, 6, 4, 3),), {}),
    'upsample_conv': ((draw(2, 3, 4, 3), draw(3, 3, 3, 2)), {}),
    'downsample_conv': ((draw(2, 6, 4, 3), draw(3, 3, 3, 2)), {}),
}
# What the plain operation is: of each convolution (dilation of the input, strides, groups).
PLAIN = {
    'convolve': [(1, 1, 1)],
    'depthwise': [(1, 2, 3)],
    'upsample': [(2, 1, 3)],
    'downsample': [(1, 2, 3)],
    'upsample_conv': [(2, 1, 1), (1, 1, 2)],
    'downsample_conv': [(1, 1, 3), (1, 2, 1)],
}

# What CUDA gets in its place.
ON_CUDA = {
    'upsample': [],
    'downsample': [],
    'upsample_conv': [(1, 1, 1)],
    'downsample_conv': [(1, 2, 1)],
}


def convolutions(function, arrays, platform):
    """Returns (dilation of the input, stride, groups) of each convolution in what is lowered."""
    exported = jax.export.export(jax.jit(function), platforms=[platform])(*arrays)
    found = []
    for line in exported.mlir_module().splitlines():
        if 'stablehlo.convolution' in line:
            dilation = re.search(r'lhs_dilate = \[(\d+),', line)
            stride = re.search(r'\bstride = \[(\d+),', line)
            groups = re.search(r'feature_group_count = (\d+)', line)
            found.append(tuple(int(part[1]) if part else 1 for part in (dilation, stride, groups)))
    return found


def called(name):
    arrays, options = ARGUMENTS[name]
    return (lambda *arrays: OPERATIONS[name](*arrays, **options)), arrays


def test_every_row_is_an_operation():
    assert OPERATIONS.keys() == ARGUMENTS.keys()
    # Of a GPU, and without a convolution: tests/kernels/test_recomputed.py.
    assert OPERATIONS.keys() | {'finish'} == seam.FORMS.keys()
    with pytest.raises(KeyError, match='unknown'):

        @seam.operation
        def unknown(x):
            return x


@pytest.mark.parametrize('platform', ['tpu', 'cuda', 'rocm'])
@pytest.mark.parametrize('name', OPERATIONS)
def test_accelerators_get_the_plain_form_or_their_own(name, platform):
    function, arrays = called(name)
    own = ON_CUDA if platform == 'cuda' else {}
    assert convolutions(function, arrays, platform) == own.get(name, PLAIN[name])


@pytest.mark.parametrize('name', OPERATIONS)
def test_a_cpu_gets_its_own(name):
    """No grouped, dilated or strided convolution is left, and Winograd's is none at all."""
    function, arrays = called(name)
    found = convolutions(function, arrays, 'cpu')
    assert found != PLAIN[name]
    assert set(found) <= {(1, 1, 1)}
    assert name != 'convolve' or not found


@pytest.mark.parametrize('platform', ['tpu', 'rocm'])
def test_derivatives_on_accelerators_are_plain_too(platform):
    """The same convolutions as in the plain operation's own gradient and tangent."""
    arrays, options = ARGUMENTS['upsample_conv']

    def gradient(function):
        return jax.grad(lambda *arrays: jnp.sum(function(*arrays, **options) ** 2), (0, 1))

    def tangent(function):
        return lambda *arrays: jax.jvp(function, arrays, arrays)[1]

    for derivative in (gradient, tangent):
        chosen, plain = (
            convolutions(derivative(function), arrays, platform)
            for function in (stylegan2_ops.upsample_conv, stylegan2_ops.upsample_conv.__wrapped__)
        )
        assert plain
        assert sorted(chosen) == sorted(plain)


@pytest.mark.parametrize('name', OPERATIONS)
def test_choice_agrees_with_the_plain_form(name):
    """Values, gradients and tangents through the choice, as through the plain operation."""
    arrays, options = ARGUMENTS[name]
    agree(
        lambda *arrays: OPERATIONS[name](*arrays, **options),
        lambda *arrays: OPERATIONS[name].__wrapped__(*arrays, **options),
        *arrays,
    )


TWO = [name for name in OPERATIONS if len(ARGUMENTS[name][0]) == 2]


def images_and_kernel(name):
    """More images than above, and a kernel that keeps the outputs near 1."""
    x, kernel = ARGUMENTS[name][0]
    return np.concatenate([x, 2 * x]), kernel / np.sqrt(kernel[..., 0].size)


@pytest.mark.parametrize('name', TWO)
def test_kernel_gradients_under_vmap(name):
    """Of each image, and of the sum over images: the same as the plain form's."""
    x, kernel = images_and_kernel(name)

    @jax.jit
    def gradients(x, kernel):
        found = []
        for operation in (OPERATIONS[name], OPERATIONS[name].__wrapped__):

            def loss(kernel, image, operation=operation):
                return jnp.sum(jnp.sin(operation(image[None], kernel, **ARGUMENTS[name][1])))

            def total(kernel, loss=loss):
                return jnp.sum(jax.vmap(loss, (None, 0))(kernel, x))

            each = jax.vmap(jax.grad(loss), (None, 0))(kernel, x)
            found.append((each, jax.grad(total)(kernel)))
        return found

    (each, total), (expected, expected_total) = jax.device_get(gradients(x, kernel))
    close(each, expected)
    close(total, expected_total)
    close(each.sum(0), total)


@pytest.mark.parametrize('name', TWO)
def test_second_derivatives(name):
    """A Hessian-vector product with respect to the kernel, forward over reverse: the plain form's."""
    x, kernel = images_and_kernel(name)

    @jax.jit
    def products(x, kernel, direction):
        found = []
        for operation in (OPERATIONS[name], OPERATIONS[name].__wrapped__):

            def loss(kernel, operation=operation):
                return jnp.sum(jnp.sin(operation(x, kernel, **ARGUMENTS[name][1])))

            found.append(jax.jvp(jax.grad(loss), (kernel,), (direction,))[1])
        return found

    found, expected = jax.device_get(products(x, kernel, draw(*kernel.shape, seed=5)))
    close(found, expected)


@pytest.mark.parametrize('plain', [False, True])
@pytest.mark.parametrize('name', TWO)
def test_gradients_over_devices(name, plain):
    """Of a batch that two devices share, by the compiler and by `shard_map`: the same as of one."""
    x, kernel = images_and_kernel(name)
    operation = OPERATIONS[name].__wrapped__ if plain else OPERATIONS[name]
    mesh = jax.make_mesh((2,), ('batch',), axis_types=(jax.sharding.AxisType.Auto,))
    everywhere, split = PartitionSpec(), PartitionSpec('batch')

    def loss(x, kernel):
        return jnp.mean(jnp.sin(operation(x, kernel, **ARGUMENTS[name][1])))

    def own(x, kernel):
        return jax.lax.pmean(loss(x, kernel), 'batch')

    places = tuple(NamedSharding(mesh, spec) for spec in (split, everywhere))
    by_device = jax.shard_map(own, mesh=mesh, in_specs=(split, everywhere), out_specs=everywhere)
    expected = jax.jit(jax.grad(loss, (0, 1)))(x, kernel)
    for shared in (
        jax.jit(jax.grad(loss, (0, 1)), in_shardings=places),
        jax.jit(jax.grad(by_device, (0, 1))),
    ):
        for found, wanted in zip(shared(x, kernel), expected, strict=True):
            close(np.asarray(found), np.asarray(wanted))
