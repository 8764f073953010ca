"""Distances between an image's features and the statistics that the backbone keeps of its training.

For the i-th BatchNorm layer with input v_i [H, W, C], running mean u_i and scale b_i:

    d_i = sum over channels of (mean over H, W of v_i - u_i)^2 / b_i

Source: Huang et al., arXiv 2401.13719, section on membership inference. The paper does not say what b_i
is; here it is the layer's running variance plus its epsilon, channel by channel.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models.target import Apply, Target


@contextlib.contextmanager
def intercepting(function: Callable[..., Any]) -> Iterator[None]:
    """Lets `function(call, arguments, keywords, context)` see every call of a Linen method inside.

    Compiled functions are traced into: a compiled `apply` that JAX remembers would call no layer, and
    pass for a backbone without any.
    """
    with jax.disable_jit(), nn.intercept_methods(function):
        yield


@contextlib.contextmanager
def recording() -> Iterator[list[tuple[str, jax.Array]]]:
    """Collects (layer name, distances [N]) of every BatchNorm layer called inside.

    Raises:
      InputError: when a layer is called in training mode: its statistics would change, and the
        distances would be to the batch at hand.
    """
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
            if frozen is not True:
                raise errors.InputError(
                    'apply',
                    'BatchNorm in training mode',
                    'use_running_average=True in every layer',
                    inside=name,
                )
            calls = sum(other.partition('#')[0] == name for other, _ in found)
            found.append((f'{name}#{calls + 1}' if calls else name, _distance(layer, name, x)))
        return call(*arguments, **keywords)

    with intercepting(intercept):
        yield found


def _distance(layer, name, x):
    if layer.axis not in (-1, x.ndim - 1):
        raise errors.InputError(
            'apply', f'BatchNorm over axis {layer.axis}', 'the last axis (NHWC)', inside=name
        )
    if not layer.has_variable('batch_stats', 'mean'):
        raise errors.InputError(
            'variables', 'BatchNorm without statistics', 'them under batch_stats', inside=name
        )
    mean = jnp.asarray(layer.get_variable('batch_stats', 'mean'), jnp.float32)
    variance = jnp.asarray(layer.get_variable('batch_stats', 'var'), jnp.float32)
    pooled = jnp.mean(x.astype(jnp.float32), axis=tuple(range(1, x.ndim - 1)))
    return ((pooled - mean) ** 2 / (variance + layer.epsilon)).sum(-1)


def of_image(apply: Apply, variables: Any, image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns one image's distances and embedding; `jax.vmap` it over images, differentiate it.

    Args:
      apply: see `target.Apply`.
      variables: of the backbone; unchanged.
      image: [H, W, 3] float32, normalised.

    Returns:
      ([L] float32 distances, [D] float32 embedding).

    Raises:
      InputError: for BatchNorm layers in training mode or without statistics, and for an `apply`
        that returns something else than embeddings.
    """
    found: tuple[jax.Array, jax.Array] = _program(apply)(variables, image)
    return found


@functools.lru_cache(maxsize=32)
def _program(apply):
    """Compiled, so that the programs that look at a backbone share one trace of its layers."""

    def look(variables, image):
        with recording() as found:
            embedding = apply(variables, image[None])
        _check_embedding(embedding)
        distances = [distance[0] for _, distance in found]
        stacked = jnp.stack(distances) if distances else jnp.zeros(0, jnp.float32)
        return stacked, embedding.reshape(-1).astype(jnp.float32)

    return jax.jit(look)


def _check_embedding(found):
    shape = getattr(found, 'shape', None)
    if shape is None or shape[:1] != (1,):
        raise errors.InputError(
            'apply',
            f'{shape or type(found).__name__} for one image',
            'an array [1, D] of its embedding',
        )


def layer_names(target: Target) -> tuple[str, ...]:
    """Returns the names of the BatchNorm layers in the order they are called, without computing."""
    shapes = jax.eval_shape(lambda variables: variables, target.variables)
    image = jax.ShapeDtypeStruct((1, target.input.height, target.input.width, 3), jnp.float32)
    leaves, structure = jax.tree.flatten((shapes, image))
    return _layer_names(target.apply, structure, tuple(leaves))


@functools.lru_cache(maxsize=32)
def _layer_names(apply, structure, leaves):
    with recording() as found:
        # A function of its own: JAX remembers traces by function, and a remembered one records nothing.
        jax.eval_shape(lambda *inputs: apply(*inputs), *jax.tree.unflatten(structure, leaves))
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
