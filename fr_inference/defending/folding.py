"""BatchNorm without statistics: folded into the convolution before it, or left as scale and bias.

A layer maps x to (x - mean) / sqrt(var + epsilon) * scale + bias, which is x * s + (bias - mean * s).
If a convolution or dense layer is directly before it, its kernel absorbs s, and a bias remains.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.models import registry
from fr_inference.models.answers import Answers
from fr_inference.models.layers import DepthwiseConv
from fr_inference.models.target import Target

_BEFORE = (nn.Conv, nn.Dense, DepthwiseConv)
_CLOSE = 1e-3  # of the embedding's largest number


@dataclasses.dataclass(frozen=True)
class Layer:
    """A BatchNorm layer of a network.

    Attributes:
      path: of its variables.
      epsilon: beside the variance.
      before: path of the convolution or dense layer whose output only this layer uses; None without one.
    """

    path: tuple[str, ...]
    epsilon: float
    before: tuple[str, ...] | None


def layers(target: Target) -> list[Layer]:
    """Returns the BatchNorm layers in the order they are called, without computing anything.

    Raises:
      InputError: for a network that calls a layer twice: each call would need its own statistics.
    """
    found: list[Layer] = []
    made: dict[
        int, tuple[tuple[str, ...], Any]
    ] = {}  # for each output: the layer, and a reference that keeps its id valid
    calls: dict[tuple[str, ...], int] = {}

    def intercept(call, arguments, keywords, context):
        layer, given = context.module, arguments[0] if arguments else keywords.get('x')
        if context.method_name != '__call__':
            return call(*arguments, **keywords)
        calls[layer.path] = calls.get(layer.path, 0) + 1
        if isinstance(layer, nn.BatchNorm):
            before = made.get(id(given), (None, None))[0]
            found.append(Layer(layer.path, float(layer.epsilon), before))
        output = call(*arguments, **keywords)
        if isinstance(layer, _BEFORE):
            made[id(output)] = layer.path, output
        return output

    spec = target.input
    image = jax.ShapeDtypeStruct((1, spec.height, spec.width, 3), jnp.float32)
    shapes = jax.eval_shape(lambda variables: variables, target.variables)
    with jax.disable_jit(), nn.intercept_methods(intercept):
        jax.eval_shape(lambda *inputs: target.apply(*inputs), shapes, image)
    twice = [layer.path for layer in found if calls[layer.path] > 1]
    if twice:
        raise errors.InputError(
            'target', f'BatchNorm {"/".join(twice[0])} called more than once', 'layers called once'
        )
    return [
        dataclasses.replace(layer, before=None)
        if layer.before is not None and calls[layer.before] > 1
        else layer
        for layer in found
    ]


def strip(target: Target) -> Target:
    """Returns the same network without statistics: every BatchNorm layer is scale and bias.

    Raises:
      InputError: for a target without BatchNorm statistics.
    """
    return _without(target, [dataclasses.replace(one, before=None) for one in _kept(target)])


def fold(target: Target) -> tuple[Target, list[str]]:
    """Returns the same network without statistics, folded into kernels where possible.

    Returns:
      (the network, names of layers that keep a scale because no convolution is directly before them).

    Raises:
      InputError: for a target without BatchNorm statistics, and if the folded network gives other
        answers.
    """
    found = _kept(target)
    whole = _without(target, found)
    return whole, ['/'.join(one.path) for one in found if one.before is None]


def _kept(target):
    if not target.statistics or 'batch_stats' not in target.variables:
        raise errors.InputError('target', 'no BatchNorm statistics', 'a backbone that has them')
    if target.architecture not in registry.VARIANTS:
        raise errors.InputError('target', target.architecture, 'a registered architecture')
    return layers(target)


def _without(target, found):
    params: Any = target.variables['params']
    for layer in found:
        own = _at(params, layer.path) or {}
        kept = _at(target.variables['batch_stats'], layer.path)
        mean, var = (np.asarray(kept[name], np.float64) for name in ('mean', 'var'))
        factor = np.asarray(own.get('scale', 1.0), np.float64) / np.sqrt(var + layer.epsilon)
        bias = np.asarray(own.get('bias', 0.0), np.float64) - mean * factor
        scale = factor
        if layer.before is not None:
            before = dict(_at(params, layer.before))
            for (
                name
            ) in before:  # channels are the last axis of every kernel, and the bias' only one
                before[name] = (np.asarray(before[name], np.float64) * factor).astype(np.float32)
            params = _replaced(params, layer.before, before)
            scale = np.ones_like(factor)
        affine = {'scale': scale.astype(np.float32), 'bias': bias.astype(np.float32)}
        params = _replaced(params, layer.path, {**own, **affine})
    made = registry.remade(target, variables={'params': params}, statistics=False)
    _check(target, made)
    return made


def _check(target, made):
    """Compares the answers to noise images, because an error would silently give a wrong backbone."""
    spec = target.input
    drawn = np.random.default_rng(0).normal(size=(2, spec.height, spec.width, 3))
    images = jnp.asarray(drawn, jnp.float32)
    expected, found = (
        np.asarray(registry.remade(one, answers=Answers()).apply(one.variables, images), np.float64)
        for one in (target, made)
    )
    if not np.abs(found - expected).max() <= _CLOSE * np.abs(expected).max():
        raise errors.InputError(
            'target',
            'other answers once its statistics were folded',
            'a network that can be folded',
        )


def _at(tree, path):
    for part in path:
        if not isinstance(tree, Mapping) or part not in tree:
            return None
        tree = tree[part]
    return tree


def _replaced(tree, path, leaf):
    if not path:
        return leaf
    return {**tree, path[0]: _replaced(tree.get(path[0], {}), path[1:], leaf)}
