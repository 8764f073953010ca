"""Distances between an image's features and the statistics that the backbone keeps of its training.

For the i-th BatchNorm layer with input v_i [H, W, C], running mean u_i and scale b_i:

    d_i = sum over channels of (mean over H, W of v_i - u_i)^2 / b_i

Source: Huang et al., arXiv 2401.13719, section on membership inference. What b_i is it does not say;
see `SCALINGS`.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import devices, errors
from fr_inference.measuring.features import Feature
from fr_inference.models.target import Apply, Target

# What b_i may be: the running variance (plus the layer's epsilon), channel by channel; the number of
# channels; 1.
SCALINGS = ('variance', 'channels', 'none')


@contextlib.contextmanager
def intercepting(function: Callable[..., Any]) -> Iterator[None]:
    """Lets `function(call, arguments, keywords, context)` see every call of a Linen method inside.

    Compiled functions are traced into: a compiled `apply` that JAX remembers would call no layer, and
    pass for a backbone without any.
    """
    with jax.disable_jit(), nn.intercept_methods(function):
        yield


@contextlib.contextmanager
def recording(scaling: str = 'variance') -> Iterator[list[tuple[str, jax.Array]]]:
    """Collects (layer name, distances [N]) of every BatchNorm layer called inside.

    Args:
      scaling: in `SCALINGS`.

    Raises:
      InputError: when a layer is called in training mode: its statistics would change, and the
        distances would be to the batch at hand.
    """
    errors.one_of('scaling', scaling, SCALINGS)
    found: list[tuple[str, jax.Array]] = []

    def intercept(call, arguments, keywords, context):
        layer = context.module
        if isinstance(layer, nn.BatchNorm) and context.method_name == '__call__':
            x = arguments[0] if arguments else keywords['x']
            name = '/'.join(str(part) for part in layer.path) or 'norm'
            frozen = nn.merge_param(
                'use_running_average',
                layer.use_running_average,
                keywords.get('use_running_average', (*arguments, None, None)[1]),
            )
            errors.require(
                frozen is True,
                f'{name}: BatchNorm is in training mode while scoring; the apply function must run '
                'the model with use_running_average=True',
            )
            calls = sum(other.partition('#')[0] == name for other, _ in found)
            found.append((f'{name}#{calls + 1}' if calls else name, _distance(layer, x, scaling)))
        return call(*arguments, **keywords)

    with intercepting(intercept):
        yield found


def _distance(layer, x, scaling):
    errors.require(
        layer.axis in (-1, x.ndim - 1),
        f'{layer.name}: BatchNorm over axis {layer.axis}, expected the last one (NHWC)',
    )
    errors.require(
        layer.has_variable('batch_stats', 'mean'),
        f'{layer.name}: BatchNorm without statistics; variables must hold them under batch_stats',
    )
    mean = jnp.asarray(layer.get_variable('batch_stats', 'mean'), jnp.float32)
    pooled = jnp.mean(x.astype(jnp.float32), axis=tuple(range(1, x.ndim - 1)))
    squares = (pooled - mean) ** 2
    if scaling == 'variance':
        variance = jnp.asarray(layer.get_variable('batch_stats', 'var'), jnp.float32)
        squares = squares / (variance + layer.epsilon)
    elif scaling == 'channels':
        squares = squares / squares.shape[-1]
    return squares.sum(-1)


def of_image(
    apply: Apply, variables: Any, image: jax.Array, scaling: str = 'variance'
) -> tuple[jax.Array, jax.Array]:
    """Returns one image's distances and embedding; `jax.vmap` it over images, differentiate it.

    Args:
      apply: see `target.Apply`.
      variables: of the backbone; unchanged.
      image: [H, W, 3] float32, normalised.
      scaling: in `SCALINGS`.

    Returns:
      ([L] float32 distances, [D] float32 embedding).

    Raises:
      InputError: for BatchNorm layers in training mode or without statistics, and for an `apply`
        that returns something else than embeddings.
    """
    with recording(scaling) as found:
        embedding = apply(variables, image[None])
    _check_embedding(embedding)
    distances = [distance[0] for _, distance in found]
    stacked = jnp.stack(distances) if distances else jnp.zeros(0, jnp.float32)
    return stacked, embedding.reshape(-1).astype(jnp.float32)


def _check_embedding(found):
    shape = getattr(found, 'shape', None)
    errors.require(
        shape is not None and shape[:1] == (1,),
        f'apply: found {shape or type(found).__name__} for one image, expected an array [1, D] of its '
        'embedding',
    )


def layer_names(target: Target) -> tuple[str, ...]:
    """Returns the names of the BatchNorm layers in the order they are called, without computing."""
    image = jax.ShapeDtypeStruct((1, target.input.height, target.input.width, 3), jnp.float32)
    with recording() as found:
        # A function of its own: JAX remembers traces by function, and a remembered one records nothing.
        jax.eval_shape(lambda *inputs: target.apply(*inputs), target.variables, image)
    return tuple(name for name, _ in found)


def embedding_size(target: Target) -> int:
    """Returns the length D of the target's embeddings.

    Raises:
      InputError: for an `apply` that returns something else.
    """
    shape = (1, target.input.height, target.input.width, 3)
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    found = jax.eval_shape(target.apply, target.variables, image)
    _check_embedding(found)
    return math.prod(found.shape[1:])


def scorer(
    target: Target,
    scaling: str = 'variance',
    on: Sequence[jax.Device] | None = None,
    features: Sequence[Feature] = (),
) -> tuple[devices.Batched, Callable[[Any], Any], int]:
    """Returns what `measure` runs on each batch: `devices.per_example` of `of_image`.

    Args:
      target: the backbone; its variables are the constants.
      scaling: in `SCALINGS`.
      on: the devices that share the work; `devices.local()` by default.
      features: what else is computed of each image.

    Returns:
      (function of (variables, images [B, H, W, 3] on the scale 0 to 255) -> ([B, L] distances,
      [B, D] embeddings, [B, F] for each feature); what puts the variables on every device; their
      number).
    """
    on = tuple(on or devices.local())
    return _scorer(target.apply, target.input, scaling, on, tuple(features))


@functools.lru_cache(maxsize=32)
def _scorer(apply, input, scaling, on, features):
    """Compiles once for all sets of faces, controls and audits, on each device of a batch of them."""

    def one(variables, image):
        found, embedding = of_image(apply, variables, input.normalize(image), scaling)
        pixels = image.astype(jnp.float32)
        return found, embedding, *(one.function(pixels, embedding, found) for one in features)

    return devices.per_example(one, on)
