"""Distances between an image's features and the BatchNorm statistics from training.

For the i-th BatchNorm layer with input v_i [H, W, C], running mean u_i and scale b_i:

    d_i = sum over channels of (mean over H, W of v_i - u_i)^2 / b_i

Source: Huang et al., arXiv 2401.13719, section on membership inference. The paper does not say what b_i
is; here it is the layer's running variance plus its epsilon, channel by channel.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models.target import Apply, InputSpec, Target


@contextlib.contextmanager
def intercepting(function: Callable[..., Any]) -> Iterator[None]:
    """Calls `function(call, arguments, keywords, context)` for every call of a Linen method inside.

    Compilation is disabled inside: a compiled `apply` from JAX's cache would call no layer and look
    like a backbone without any.
    """
    with jax.disable_jit(), nn.intercept_methods(function):
        yield


@contextlib.contextmanager
def within_reach(name: str) -> Iterator[None]:
    """Raises a one-line error if BatchNorm layers of the backbone `name` were called out of reach.

    Raises:
      InputError: if the values that `recording` saw belong to an inner transformation.
    """
    try:
        yield
    except jax.errors.UnexpectedTracerError as error:
        raise errors.InputError(
            name,
            'BatchNorm layers inside nn.remat, nn.scan or another transformation that hides their '
            'inputs',
            'the same module without it',
        ) from error


class Normalised(NamedTuple):
    """The normalised inputs of N images at one call of a BatchNorm layer.

    Attributes:
      name: of the layer, with '#2' at its second call.
      shifts: [N, C] float32, (mean over H, W - running mean) / sqrt(running variance + epsilon).
      ratios: [N, C] float32 above 0, (variance over H, W + epsilon) / (running variance + epsilon); 1
        for vectors, which have no H and W.
    """

    name: str
    shifts: jax.Array
    ratios: jax.Array

    @property
    def distances(self) -> jax.Array:
        """[N] float32, at least 0."""
        return (self.shifts**2).sum(-1)


@contextlib.contextmanager
def recording() -> Iterator[list[Normalised]]:
    """Collects the inputs of every BatchNorm layer called inside.

    Raises:
      InputError: when a layer is called in training mode, in which its statistics would change and
        distances would be to the current batch.
    """
    found: list[Normalised] = []

    def intercept(call, arguments, keywords, context):
        layer = context.module
        if isinstance(layer, nn.BatchNorm) and context.method_name == '__call__':
            x = arguments[0] if arguments else keywords['x']
            name = '/'.join(str(part) for part in layer.path) or 'norm'
            if not layer.has_variable('batch_stats', 'mean'):
                return _without_statistics(name, call, arguments, keywords)
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
            calls = sum(other.name.partition('#')[0] == name for other in found)
            called = f'{name}#{calls + 1}' if calls else name
            found.append(Normalised(called, *_normalised(layer, name, x)))
        return call(*arguments, **keywords)

    with intercepting(intercept):
        yield found


def _without_statistics(name, call, arguments, keywords):
    """The output of a layer whose statistics were folded into its scale and bias."""
    try:
        return call(*arguments, **keywords)
    except (flax.errors.ScopeCollectionNotFound, flax.errors.ScopeVariableNotFoundError) as error:
        raise errors.InputError(
            'variables', 'BatchNorm without statistics', 'them under batch_stats', inside=name
        ) from error


def _normalised(layer, name, x):
    if layer.axis not in (-1, x.ndim - 1):
        raise errors.InputError(
            'apply', f'BatchNorm over axis {layer.axis}', 'the last axis (NHWC)', inside=name
        )
    mean = jnp.asarray(layer.get_variable('batch_stats', 'mean'), jnp.float32)
    variance = jnp.asarray(layer.get_variable('batch_stats', 'var'), jnp.float32)
    axes = tuple(range(1, x.ndim - 1))
    x = x.astype(jnp.float32)
    pooled, whole = jnp.mean(x, axes), variance + layer.epsilon
    shift = pooled - mean
    # Both sums in one pass over the maps; relative to the running mean, the difference loses few digits.
    spread = jnp.mean((x - mean) ** 2, axes) - shift**2
    ratios = (jnp.maximum(spread, 0) + layer.epsilon) / whole if axes else jnp.ones_like(pooled)
    return shift * jax.lax.rsqrt(whole), ratios


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
        that does not return embeddings.
    """
    found, embedding, _ = _program(apply)(variables, image)
    return found, embedding


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """Everything that a backbone shows of one image, before it is reduced to features; a pytree.

    Attributes:
      image: [H, W, 3] float32, 0 to 255.
      embedding: [D] float32, raw.
      distances: [L] float32, at least 0.
      shifts: for each BatchNorm layer [C] float32, see `Normalised`.
      ratios: for each BatchNorm layer [C] float32, see `Normalised`.
    """

    image: jax.Array
    embedding: jax.Array
    distances: jax.Array
    shifts: tuple[jax.Array, ...]
    ratios: tuple[jax.Array, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A backbone inside a compiled program, for looking at images.

    Attributes:
      apply: see `target.Apply`.
      variables: of the backbone.
      input: the input that it expects.
    """

    apply: Apply
    variables: Any
    input: InputSpec

    def look(self, image: jax.Array, variables: Any = None) -> Look:
        """Returns what the backbone shows of an image [H, W, 3] on the scale 0 to 255.

        Args:
          image: float32 or uint8.
          variables: other weights, to differentiate by; the backbone's own when None.

        Raises:
          InputError: as `of_image`.
        """
        given = self.variables if variables is None else variables
        found, embedding, moments = _program(self.apply)(given, self.input.normalize(image))
        return Look(
            image=image.astype(jnp.float32),
            embedding=embedding,
            distances=found,
            shifts=tuple(shifts for shifts, _ in moments),
            ratios=tuple(ratios for _, ratios in moments),
        )


@functools.lru_cache(maxsize=32)
def _program(apply):
    """Compiled, so that the programs that look at a backbone share one trace of its layers.

    What a caller leaves unused of its results is not computed.
    """

    def look(variables, image):
        with recording() as found:
            embedding = apply(variables, image[None])
        _check_embedding(embedding)
        distances = [layer.distances[0] for layer in found]
        stacked = jnp.stack(distances) if distances else jnp.zeros(0, jnp.float32)
        moments = [(layer.shifts[0], layer.ratios[0]) for layer in found]
        return stacked, embedding.reshape(-1).astype(jnp.float32), moments

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
    """Returns the names of the BatchNorm layers in the order they are called, without computing.

    Raises:
      InputError: for an `apply` that is not a JAX function.
    """
    shapes = jax.eval_shape(lambda variables: variables, target.variables)
    image = jax.ShapeDtypeStruct((1, target.input.height, target.input.width, 3), jnp.float32)
    leaves, structure = jax.tree.flatten((shapes, image))
    try:
        return _layer_names(target.apply, structure, tuple(leaves))
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise errors.InputError(
            target.name,
            'a function that turns its images or variables into NumPy arrays or Python numbers',
            'a function that JAX can trace',
            'use jax.numpy in place of numpy, and no if or float() on values',
        ) from error


@functools.lru_cache(maxsize=32)
def _layer_names(apply, structure, leaves):
    with recording() as found:
        # A function of its own: JAX remembers traces by function, and a remembered one records nothing.
        jax.eval_shape(lambda *inputs: apply(*inputs), *jax.tree.unflatten(structure, leaves))
    return tuple(layer.name for layer in found)


def embedding_size(target: Target) -> int:
    """Returns the length D of the target's embeddings.

    Raises:
      InputError: for an `apply` that does not return embeddings.
    """
    shape = (1, target.input.height, target.input.width, 3)
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    found = jax.eval_shape(target.apply, target.variables, image)
    _check_embedding(found)
    return math.prod(found.shape[1:])
