"""Controls: what the same attack reaches where there is nothing to find.

Null: non-members only, half of whom are called members. Blind: a backbone that never saw the members.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors, rng
from fr_inference.data import loader
from fr_inference.data.faces import Faces
from fr_inference.measuring import distances
from fr_inference.membership.labelled import Labelled
from fr_inference.models.target import Target

LEAST_STRANGERS = 8

_CALIBRATION_IMAGES = 512
_BATCH = 64


def null_labels(
    identities: Sequence[str], seed: int, *, least: int = LEAST_STRANGERS
) -> np.ndarray:
    """Calls a random half of the people members: [N] bool.

    Raises:
      InputError: for fewer people than `least`.
    """
    names = sorted(set(identities))
    if len(names) < least:
        raise errors.InputError(
            'nonmembers', f'{len(names)} people', f'{least} or more, for the null control'
        )
    order = rng.numpy_generator(seed, 'null control').permutation(len(names))
    chosen = {names[position] for position in order[: len(names) // 2]}
    return np.array([name in chosen for name in identities])


def null(images: Labelled, seed: int, *, least: int = LEAST_STRANGERS) -> Labelled:
    """Returns the non-members among the images, half of them called members."""
    strangers = images.select(~images.member)
    return strangers.relabelled(null_labels(strangers.identities, seed, least=least))


def blind_target(
    target: Target, calibration: Faces, *, seed: int, skip_bad: bool = False
) -> Target:
    """Returns the target's twin that never learned: random weights, statistics measured again.

    Kernels are drawn from a normal distribution with the spread of the trained kernels; vectors (biases,
    scales, slopes) are replaced by their mean. The BatchNorm statistics are those of `calibration`,
    which must hold both members and non-members.

    Args:
      target: any target; its module need not be known.
      calibration: faces, of which the first 512 at most are used.
      seed: of the weights.
      skip_bad: leave unreadable images out.

    Raises:
      InputError: when the layers' names do not lead to their statistics.
    """

    def redraw(path, leaf):
        leaf = np.asarray(leaf)
        spread = leaf.astype(np.float32)
        if leaf.ndim < 2:
            return np.full_like(leaf, spread.mean())
        generator = rng.numpy_generator(seed, f'blind control {jax.tree_util.keystr(path)}')
        drawn = generator.standard_normal(leaf.shape, np.float32)
        return (spread.std() * drawn).astype(leaf.dtype)

    params = jax.tree_util.tree_map_with_path(redraw, target.variables['params'])
    variables = {**target.variables, 'params': params}
    if 'batch_stats' in target.variables:
        # The means' mean, and the variance within batches plus that between their means.
        moments = _layer_moments(target, variables, calibration, skip_bad)
        for path, (means, spreads) in moments.items():
            mean, spread = np.mean(means, 0), np.mean(spreads, 0) + np.var(means, 0)
            variables = _with_statistics(variables, path, mean, spread, target.name)
    return dataclasses.replace(
        target,
        name=f'{target.name} (random weights)',
        variables=variables,
        sha256='',
        recipe=None,
        notes=(),
    )


def _layer_moments(target, variables, calibration, skip_bad):
    """Returns path -> the (means, variances) of every call and batch, normalised by themselves."""
    run = _moments(target.apply, target.input)
    count = min(len(calibration), _CALIBRATION_IMAGES)
    collected: dict[tuple[str, ...], tuple[list[Any], list[Any]]] = {}
    for batch in loader.batches(
        calibration,
        height=target.input.height,
        width=target.input.width,
        batch_size=count // -(-count // _BATCH),
        indices=np.arange(count),
        skip_bad=skip_bad,
    ):
        if not batch.mask.all() and collected:
            continue  # padding would count; the whole batches before it do
        images = batch.images[batch.mask]
        for path, calls in run(variables, images).items():
            means, spreads = collected.setdefault(path, ([], []))
            for mean, spread in calls:
                means.append(np.asarray(mean))
                spreads.append(np.asarray(spread))
    return collected


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
