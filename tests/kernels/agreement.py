"""Whether two forms of an operation agree: values, gradients and tangents."""

import jax
import numpy as np

RTOL = 1e-4
# What cancels to nearly zero is compared on the scale of the largest.
ATOL = 1e-5


def draw(*shape, seed=0):
    """Standard normal float32, the same for the same shape and seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def close(found, expected, scale=None):
    """Asserts equal shapes, dtypes and, up to rounding, numbers."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    scale = np.max(np.abs(expected)) if scale is None else scale
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=ATOL * scale)


def agree(fast, plain, *arguments):
    """Compares values, gradients of a random readout, and tangents.

    The tangents are with respect to all arguments at once, and to each with the others constant.
    """
    readout = draw(*jax.eval_shape(plain, *arguments).shape, seed=9)
    moved = tuple(draw(*np.shape(argument), seed=10) for argument in arguments)
    alone = range(len(arguments)) if len(arguments) == 2 else ()  # one is all, three are slow

    @jax.jit  # one compilation an example, of both forms
    def both(*arguments):
        found = []
        for function in (fast, plain):
            value, pull = jax.vjp(function, *arguments)
            tangents = [jax.jvp(function, arguments, moved)[1]]
            for i in alone:

                def of_one(argument, i=i, function=function):
                    return function(*arguments[:i], argument, *arguments[i + 1 :])

                tangents.append(jax.jvp(of_one, arguments[i : i + 1], moved[i : i + 1])[1])
            found.append([value, *pull(readout), *tangents])
        return found

    fast_ones, plain_ones = jax.device_get(both(*arguments))
    # One feature's style has no effect once it is demodulated: a gradient of nothing but rounding.
    scale = max(np.max(np.abs(array)) for array in plain_ones)
    for found, wanted in zip(fast_ones, plain_ones, strict=True):
        close(found, wanted, scale)
