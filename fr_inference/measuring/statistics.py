"""The statistics that BatchNorm layers would have after training on given faces."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.data import loader
from fr_inference.data.faces import Faces
from fr_inference.measuring import distances
from fr_inference.models.target import Target

_BATCH = 64


def measured(target: Target, faces: Faces, *, skip_bad: bool = False) -> Any:
    """Returns the target's variables with statistics measured only on `faces`.

    Each batch is normalised by itself, as in training. The mean is the mean of the batch means; the
    variance is that within batches plus that between their means.

    Args:
      target: any target with BatchNorm layers, of any module.
      faces: of anybody.
      skip_bad: leave unreadable images out.

    Raises:
      InputError: when the layers' names do not lead to their statistics.
    """
    found = _layer_moments(target, faces, skip_bad)
    variables = target.variables
    for path, (count, mean, between, within) in found.items():
        variables = _with_statistics(variables, path, mean, within + between / count, target.name)
    return variables


def _layer_moments(target, faces, skip_bad):
    """Returns path -> (n calls and batches, mean of means, n times their variance, mean variance)."""
    run = _moments(target.apply, target.input)
    found: dict[tuple[str, ...], tuple[int, Any, Any, Any]] = {}
    for batch in loader.batches(
        faces,
        height=target.input.height,
        width=target.input.width,
        batch_size=len(faces) // -(-len(faces) // _BATCH),
        skip_bad=skip_bad,
    ):
        if not batch.mask.all() and found:
            continue  # padding would count, so only whole batches are used
        images = batch.images[batch.mask]
        for path, calls in run(target.variables, images).items():
            for moments in calls:
                found[path] = _added(found.get(path), *(np.asarray(one) for one in moments))
    return found


def _added(so_far, mean, within):
    """Adds a batch (Welford 1962), so that no batch has to be kept."""
    if so_far is None:
        return 1, mean, np.zeros_like(mean), within
    count, centre, between, average = so_far
    moved = centre + (mean - centre) / (count + 1)
    between = between + (mean - centre) * (mean - moved)
    return count + 1, moved, between, average + (within - average) / (count + 1)


@functools.lru_cache(maxsize=32)
def _moments(apply, input):
    """Compiles (variables, images) -> path -> [(mean, variance)] of every call of a layer."""

    @jax.jit
    def run(variables, images):
        found: dict[tuple[str, ...], list[Any]] = {}

        def intercept(call, arguments, keywords, context):
            layer = context.module
            if not isinstance(layer, nn.BatchNorm) or context.method_name != '__call__':
                return call(*arguments, **keywords)
            given = arguments[0] if arguments else keywords['x']
            x = given.astype(jnp.float32)
            axes = tuple(range(x.ndim - 1))
            mean, spread = jnp.mean(x, axes), jnp.var(x, axes)
            found.setdefault(layer.path, []).append((mean, spread))
            y = (x - mean) * jax.lax.rsqrt(spread + layer.epsilon)
            if layer.use_scale:
                y = y * layer.get_variable('params', 'scale').astype(jnp.float32)
            if layer.use_bias:
                y = y + layer.get_variable('params', 'bias').astype(jnp.float32)
            return y.astype(layer.dtype or given.dtype)

        with distances.intercepting(intercept):
            apply(variables, input.normalize(images))
        return found

    return run


def _with_statistics(variables, path, mean, spread, name):
    def replaced(tree, parts):
        if not isinstance(tree, Mapping) or (parts[0] if parts else 'mean') not in tree:
            raise errors.InputError(
                'blind',
                f'no backbone, and no statistics under {"/".join(path)!r}',
                'a backbone that never saw the members: random weights cannot be given statistics',
                inside=name,
            )
        if not parts:
            return {**tree, 'mean': jnp.asarray(mean), 'var': jnp.asarray(spread)}
        return {**tree, parts[0]: replaced(tree[parts[0]], parts[1:])}

    statistics = replaced(variables['batch_stats'], path)
    return {**variables, 'batch_stats': statistics}
