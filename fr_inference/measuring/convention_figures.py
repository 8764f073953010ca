"""How well images fit each of several input conventions of a backbone: two figures.

Misfit: under the right convention the input of a BatchNorm layer near the images has, in every channel
c, the layer's running mean u_c and variance s_c. With the mean m_c and variance v_c of the images,

    misfit = mean over c of (v_c / s_c + (m_c - u_c)^2 / s_c - 1 - log(v_c / s_c)) / 2,

the Kullback-Leibler divergence of the two normal distributions in nats a channel (Kullback & Leibler
1951); s_c and v_c both include the layer's epsilon.

Separation: two photographs of one person are more similar than those of two people. With their
cosines s, d,

    separation = (mean s - mean d) / sqrt((var s + var d) / 2),

the sensitivity index of signal detection (Green & Swets 1966). Under the right convention it is largest.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import devices, rng
from fr_inference.data import loader
from fr_inference.data.faces import Faces
from fr_inference.measuring import distances
from fr_inference.models.target import Apply, InputSpec, Target

REPLICATES = 1000

_BATCH = 16
# A layer is near the images if it sees a position for every 3x3 pixels: behind a stride of 2, not of 4.
_REACH = 3
_LEAST = 1e-6


class _Reached(Exception):
    """The first BatchNorm layer was called; nothing after it is needed."""


def near_layer(target: Target) -> str | None:
    """Returns the name of the first BatchNorm layer if it is near the images, None otherwise.

    Raises:
      InputError: as `distances.layer_names`.
    """
    names = distances.layer_names(target)
    if not names:
        return None
    height, width = target.input.height, target.input.width
    image = jax.ShapeDtypeStruct((height, width, 3), jnp.float32)
    # A function of its own: JAX remembers traces by function.
    seen = jax.eval_shape(lambda *inputs: _first(target.apply, *inputs)[0], target.variables, image)
    near = seen.ndim == 4 and seen.shape[1] * seen.shape[2] * _REACH**2 >= height * width
    return names[0] if near else None


def _first(apply, variables, image):
    """Returns (input [1, H, W, C], running mean, running variance, epsilon) of the first BatchNorm."""
    found: list[Any] = []

    def intercept(call, arguments, keywords, context):
        layer = context.module
        if isinstance(layer, nn.BatchNorm) and context.method_name == '__call__':
            statistics: Any = (layer.get_variable('batch_stats', name) for name in ('mean', 'var'))
            mean, variance = (jnp.asarray(one, jnp.float32) for one in statistics)
            x = arguments[0] if arguments else keywords['x']
            found.append((x.astype(jnp.float32), mean, variance, layer.epsilon))
            raise _Reached
        return call(*arguments, **keywords)

    with distances.intercepting(intercept), contextlib.suppress(_Reached):
        apply(variables, image[None])
    return found[0]


def misfits(
    target: Target,
    faces: Faces,
    positions: np.ndarray,
    specs: Sequence[InputSpec],
    *,
    skip_bad: bool = False,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Returns readable positions, misfits under K conventions, and whether the misfits mean anything.

    Args:
      target: with a `near_layer`.
      faces: the images.
      positions: [n] ascending, the images to use.
      specs: K conventions of one size.
      skip_bad: leave unreadable images out.

    Returns:
      ([n] positions, [K] misfits, whether the layer's statistics differ from their initial values;
      for an untrained layer a misfit means nothing).
    """
    index, found = _computed(_moments, target, faces, positions, specs, skip_bad)
    if not len(index):
        return index, np.full(len(specs), np.nan), False
    mean, square, running, variance, epsilon = (part.astype(np.float64).mean(0) for part in found)
    own = np.maximum(square - mean**2, 0) + epsilon[:, None]
    ratio = own / (variance + epsilon[:, None])
    shift = (mean - running) ** 2 / (variance + epsilon[:, None])
    trained = bool((running != 0).any() or (variance != 1).any())
    return index, 0.5 * (ratio + shift - 1 - np.log(ratio)).mean(-1), trained


def _moments(apply, variables, image):
    x, mean, variance, epsilon = _first(apply, variables, image)
    axes = tuple(range(x.ndim - 1))
    return x.mean(axes), (x * x).mean(axes), mean, variance, jnp.float32(epsilon)


def embeddings(
    target: Target,
    faces: Faces,
    positions: np.ndarray,
    specs: Sequence[InputSpec],
    *,
    skip_bad: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns ([n] positions that could be read, [n, K, D] embeddings); arguments as `misfits`.

    Raises:
      InputError: for an `apply` that does not return embeddings.
    """
    distances.embedding_size(target)
    index, found = _computed(_embedded, target, faces, positions, specs, skip_bad)
    return index, found[0] if found else np.zeros((0, len(specs), 1), np.float32)


def _embedded(apply, variables, image):
    return (apply(variables, image[None]).reshape(-1).astype(jnp.float32),)


def _computed(function, target, faces, positions, specs, skip_bad):
    """Computes a function of (apply, variables, image): ([n] positions, arrays [n, K, ...])."""
    program, place, count = _compiled(function, target.apply, devices.local())
    conventions = (
        np.array([spec.colour == 'bgr' for spec in specs]),
        np.array([spec.mean for spec in specs], np.float32),
        np.array([spec.std for spec in specs], np.float32),
    )
    constants, index, parts = place((target.variables, conventions)), [], []
    for batch in loader.batches(
        faces,
        height=specs[0].height,
        width=specs[0].width,
        batch_size=devices.round_up(_BATCH, count),
        indices=positions,
        skip_bad=skip_bad,
    ):
        found = jax.device_get(program(constants, batch.images))
        index += batch.index[batch.mask].tolist()
        parts.append([leaf[batch.mask] for leaf in found])
    return np.array(index, int), [np.concatenate(leaves) for leaves in zip(*parts, strict=True)]


@functools.lru_cache(maxsize=32)
def _compiled(function: Callable[..., Any], apply: Apply, on: Any):
    """Compiles one loop over any conventions."""

    def one(constants, image):
        variables, conventions = constants
        pixels = image.astype(jnp.float32)

        def under(convention):
            swapped, mean, std = convention
            x = (jnp.where(swapped, pixels[..., ::-1], pixels) - mean) / std
            return function(apply, variables, x)

        return jax.lax.map(under, conventions)

    return devices.per_example(one, on)


def separations(cosines: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the separation of people under K conventions, for B weightings of the people: [B, K].

    Args:
      cosines: [K, P, P] of the first photograph of each person with the second of each.
      weights: [B, P] how often each person counts; two or more count at least once.
    """
    people = cosines.shape[1]
    same = np.diagonal(cosines, axis1=1, axis2=2)
    other = np.where(np.eye(people, dtype=bool), 0, cosines)
    pairs = (weights.sum(1) ** 2 - (weights**2).sum(1))[:, None]

    def moments(values):
        return np.einsum('bi,kij,bj->bk', weights, values, weights, optimize=True) / pairs

    means = weights @ same.T / weights.sum(1)[:, None], moments(other)
    squares = weights @ (same**2).T / weights.sum(1)[:, None], moments(other**2)
    spread = sum(square - mean**2 for square, mean in zip(squares, means, strict=True)) / 2
    return (means[0] - means[1]) / np.sqrt(np.maximum(spread, _LEAST))


def resampled(cosines: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns ([K] separations, [R, K] over people drawn with replacement); see `separations`."""
    people = cosines.shape[1]
    generator = rng.numpy_generator(seed, 'input convention, people')
    drawn = generator.multinomial(people, np.full(people, 1 / people), REPLICATES).astype(float)
    drawn = drawn[(drawn > 0).sum(1) > 1]
    whole = separations(cosines, np.ones((1, people)))[0]
    return whole, separations(cosines, drawn)
