"""Another platform's forms: taken inside, given back after."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.benchmarking import other_forms
from fr_inference.kernels import seam
from fr_inference.measuring import channel_means


def program():
    """A convolution's mean: a CPU computes it plainly."""
    shape = (1, 32, 32, 4)
    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.standard_normal(shape, np.float32))
    kernel = jnp.asarray(draw.standard_normal((3, 3, 4, 4), np.float32))
    ones, zeros = jnp.ones(4), jnp.zeros(4)
    convolved = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    arguments = (convolved, x, x.mean((1, 2)), ones, zeros, kernel)

    def mean(*arrays):
        return channel_means.convolved_mean(*arrays, padding=1)

    return jax.jit(mean).lower(*arguments).as_text(), jax.jit(mean)(*arguments)


def test_forms_are_taken_and_given_back():
    before, plain = program()
    with other_forms.taken('window sums', 'cpu'):
        inside, found = program()
    after, _ = program()
    assert before == after != inside
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', other_forms.FORMS)
def test_a_failure_gives_them_back_too(name):
    operations, owner = other_forms.FORMS[name]
    before = {operation: dict(seam.FORMS[operation]) for operation in operations}

    def fail():
        with other_forms.taken(name, 'cuda'):
            assert all(seam.FORMS[one]['cuda'] is seam.FORMS[one][owner] for one in operations)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {operation: dict(seam.FORMS[operation]) for operation in operations} == before
