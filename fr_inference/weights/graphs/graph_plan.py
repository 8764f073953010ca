"""Prepares a graph: folds constants, separates weights from numbers, names BatchNorm layers."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats.onnx_file import Model, Node
from fr_inference.weights.graphs import operation, operators, quantized_layers
from fr_inference.weights.graphs.operators import NORM, OPERATORS

_STATISTICS = ('scale', 'bias', 'mean', 'var')  # inputs of a BatchNormalization after the map
_SUFFIX = re.compile(r'[._/](running_mean|moving_mean|running_var|weight|gamma|scale|mean)$')
_GENERATED = re.compile(r'^(onnx::\w+|\d+)$')


@dataclasses.dataclass(frozen=True)
class Norm:
    """A BatchNormalization node: its name in the variables, and its options."""

    name: str
    epsilon: float
    momentum: float


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A graph to run. Plans with equal digests are equal, so they share compiled programs.

    Attributes:
      nodes: the remaining operations, in order.
      numbers: constants other than weights: integers, single numbers, scales of a resize.
      keys: name of a weight in the graph -> its name in the variables.
      shapes: name of a weight in the graph -> its shape there; vectors are kept flat.
      kernels: weights that only convolutions use; they are kept as [h, w, in, out].
      norms: result of a BatchNormalization node -> its layer.
      input: name of the image tensor.
      channels_first: whether the image tensor is [N, C, H, W].
      outputs: names of the results.
    """

    nodes: tuple[Node, ...]
    numbers: Mapping[str, np.ndarray]
    keys: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    kernels: frozenset[str]
    norms: Mapping[str, Norm]
    input: str
    channels_first: bool
    outputs: tuple[str, ...]
    digest: str = dataclasses.field(init=False)

    def __post_init__(self):
        numbers = {
            name: (str(value.dtype), value.shape, value.tobytes())
            for name, value in self.numbers.items()
        }
        nodes = [
            (node.op, node.opset, node.inputs, node.outputs, sorted(node.attributes.items()))
            for node in self.nodes
        ]
        rest = (self.keys, self.shapes, sorted(self.kernels), self.norms)
        described = (nodes, numbers, *rest, self.input, self.channels_first, self.outputs)
        digest = hashlib.sha256(repr(described).encode()).hexdigest()
        object.__setattr__(self, 'digest', digest)

    def __eq__(self, other):
        return isinstance(other, Plan) and other.digest == self.digest

    def __hash__(self):
        return hash(self.digest)


def make(
    model: Model, outputs: Sequence[str], *, channels_first: bool
) -> tuple[Plan, dict[str, Any]]:
    """Returns a plan that computes some results of a graph, and its variables.

    Args:
      model: the model as read.
      outputs: names of results.
      channels_first: whether the image tensor is [N, C, H, W], not [N, H, W, C].

    Returns:
      (the plan, {'params', 'batch_stats'} of float32 NumPy arrays: a leaf for each weight, and {'scale',
      'bias'} and {'mean', 'var'} for each BatchNormalization).

    Raises:
      InputError: for operators that are not supported, all of which it lists, and for weights that do
        not fit their operator.
    """
    nodes = [
        part for node in _needed(model.nodes, outputs) for part in quantized_layers.expanded(node)
    ]
    operators.check(nodes)
    constants = {name: _as_float32(value) for name, value in model.constants.items()}
    nodes = _needed(_folded(nodes, constants), outputs)
    for name in outputs:
        if name in constants or name == model.input:
            raise errors.InputError(name[:80], 'a result that no operator computes', 'an embedding')
    taken: set[str] = set()
    norms, params, statistics = _norms(nodes, constants, taken)
    numbers, weights = _apart(nodes, constants)
    alone = weights - _used_elsewhere(nodes)
    kernels = frozenset(name for name in alone if constants[name].ndim > 2)
    keys = {}
    for name in sorted(weights):
        keys[name] = _unique(name.replace('/', '.').strip('.') or 'weight', taken)
        params[keys[name]] = _stored(constants[name], name in kernels)
    plan = Plan(
        nodes=tuple(nodes),
        numbers=numbers,
        keys=keys,
        shapes={name: constants[name].shape for name in sorted(weights)},
        kernels=kernels,
        norms=norms,
        input=model.input,
        channels_first=channels_first,
        outputs=tuple(outputs),
    )
    variables = {'params': params}
    return plan, {**variables, 'batch_stats': statistics} if statistics else variables


def _as_float32(value):
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return value
    with np.errstate(all='ignore'):
        return value.astype(np.float32)


def _needed(nodes, outputs):
    """Returns the nodes that the outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(name for name in node.inputs if name)
            kept.append(node)
    return kept[::-1]


def _folded(nodes, constants):
    """Computes the nodes that depend only on constants, adds their results, and returns the others."""
    budget = 2 * operation.MAX_STATIC + 8 * sum(value.size for value in constants.values())
    rest = []
    for node in nodes:
        known = all(name in constants for name in node.inputs if name)
        if not (known and node.inputs and OPERATORS[node.op].folds):
            rest.append(node)
            continue
        inputs = [constants[name] if name else None for name in node.inputs]
        results = operators.evaluate(node, *inputs)
        budget -= sum(value.size for value in results)
        if budget < 0:
            raise errors.InputError('constants', 'more than the file contains', 'weights')
        constants.update(zip(node.outputs, map(np.asarray, results), strict=False))
    return rest


def _norms(nodes, constants, taken):
    """Returns result -> layer, and the layers' params and statistics."""
    norms: dict[str, Norm] = {}
    params: dict[str, Any] = {}
    statistics: dict[str, Any] = {}
    shared: dict[tuple, str] = {}  # layers that are called twice
    for node in nodes:
        if node.op != NORM:
            continue
        own = [constants.get(name) for name in node.inputs[1:5]]
        epsilon, momentum = _number(node, 'epsilon', 1e-5), _number(node, 'momentum', 0.9)
        shapes = {value.shape if value is not None else None for value in own}
        fits = len(shapes) == 1 and all(len(shape or ()) == 1 for shape in shapes)
        if not fits or len(own) != 4 or not node.inputs[0]:
            raise errors.InputError(
                f'{NORM} {node.name}',
                f'{_said(shapes)}',
                'scale, bias, mean and variance of one length',
            )
        name = shared.get((*node.inputs[1:5], epsilon))
        if name is None:
            name = _unique(_layer_name(node, len(norms)), taken)
            shared[*node.inputs[1:5], epsilon] = name
            scale, bias, mean, var = (np.array(value, np.float32) for value in own)
            params[name] = {'scale': scale, 'bias': bias}
            statistics[name] = {'mean': mean, 'var': var}
        norms[node.outputs[0]] = Norm(name, epsilon, momentum)
    return norms, params, statistics


def _number(node, name, default):
    value = node.attributes.get(name, default)
    if not isinstance(value, int | float):
        raise errors.InputError(f'{NORM}.{name}', str(value)[:80], 'a number')
    return float(value)


def _said(shapes):
    return ', '.join('computed values' if shape is None else str(list(shape)) for shape in shapes)


def _layer_name(node, number):
    """Returns the layer's name in the exported network, if its tensors or the node show it."""
    for tensor in (node.inputs[3], node.inputs[1]):
        stem = _SUFFIX.sub('', tensor)
        if stem != tensor and not _GENERATED.match(stem):
            return stem.replace('/', '.').strip('.')
    path = node.name.replace('/', '.').strip('.').removesuffix(f'.{NORM}')
    return path or f'{NORM}_{number}'


def _unique(name, taken):
    """Returns a name that no other layer or weight has."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f'{name}_{number}'
    taken.add(found)
    return found


def _apart(nodes, constants):
    """Returns the constants that are plain numbers, and the names of those that are weights."""
    numbers, weights = {}, set()
    for node in nodes:
        static = OPERATORS[node.op].static
        for position, name in enumerate(node.inputs):
            if name not in constants or (node.op == NORM and position > 0):
                continue
            value = constants[name]
            if value.dtype != np.float32 or value.size <= 1 or position in static:
                numbers[name] = value
            else:
                weights.add(name)
    return numbers, weights - numbers.keys()


def _used_elsewhere(nodes):
    return {
        name
        for node in nodes
        for position, name in enumerate(node.inputs)
        if (node.op, position) != ('Conv', 1)
    }


def _stored(value, kernel):
    """Returns a kernel [out, in, h, w] as [h, w, in, out], and a vector of any shape with one axis."""
    if kernel:
        value = value.transpose(*range(2, value.ndim), 1, 0)
    elif value.size == max(value.shape, default=0):
        value = value.reshape(-1)
    return np.array(value, np.float32, order='C')
