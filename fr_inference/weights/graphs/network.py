"""A graph as a Linen module, so that other code can treat it as any backbone.

Maps have their channels last between consecutive operators that are elementwise or slide a window. For
all other operators they have the graph's order, [N, C, H, W]. A reshape therefore means what it means in
the file, and convolutions have the fast layout (measured: docs/results/notebook).
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats.onnx_file import Node
from fr_inference.weights.graphs import operation, operators
from fr_inference.weights.graphs.graph_plan import Plan
from fr_inference.weights.graphs.operation import Tensor
from fr_inference.weights.graphs.operators import NORM, OPERATORS


class Laid(NamedTuple):
    """A tensor, and whether its channels were moved from the second axis to the last."""

    array: Tensor
    last: bool = False


class Network(nn.Module):
    """A graph in eval mode; its BatchNormalization nodes are `nn.BatchNorm` layers.

    Attributes:
      plan: the operations that it computes.
    """

    plan: Plan

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps [N, H, W, 3] normalised images to [N, D] float32, the first of the graph's results."""
        found = self.values(images)[self.plan.outputs[0]]
        return first(found).reshape(images.shape[0], -1).astype(jnp.float32)

    @nn.compact
    def values(self, images: jax.Array) -> dict[str, Laid]:
        """Returns every tensor of the graph by name.

        Raises:
          InputError: of the operator, for shapes that do not fit or are out of bounds.
        """
        plan = self.plan
        values = {name: Laid(value) for name, value in plan.numbers.items()}
        for name, key in plan.keys.items():
            leaf = jnp.asarray(self.get_variable('params', key))
            values[name] = Laid(
                jnp.transpose(leaf, (leaf.ndim - 1, leaf.ndim - 2, *range(leaf.ndim - 2)))
                if name in plan.kernels
                else leaf.reshape(plan.shapes[name])
            )
        values[plan.input] = Laid(images.astype(jnp.float32), last=plan.channels_first)
        layers: dict[str, nn.Module] = {}
        room = operation.MAX_ELEMENTS * max(images.shape[0], 1)
        static = 2 * operation.MAX_STATIC
        for node in plan.nodes:
            inputs = [values.get(name) for name in node.inputs]  # None for an absent one
            results: tuple[Laid, ...]
            if node.op == NORM:
                results = (self._normalised(node, values[node.inputs[0]], layers),)
            else:
                results = run(node, inputs)
            for one in results:
                static -= one.array.size if isinstance(one.array, np.ndarray) else 0
                if one.array.size > room or static < 0:
                    raise errors.InputError(
                        f'{node.op} {node.name}', f'a result of shape {list(one.array.shape)[:8]}'
                    )
            values.update(zip(node.outputs, results, strict=False))
        return values

    def _normalised(self, node, given, layers):
        own = self.plan.norms[node.outputs[0]]
        if own.name not in layers:
            layers[own.name] = nn.BatchNorm(
                use_running_average=True,
                epsilon=own.epsilon,
                momentum=own.momentum,
                dtype=jnp.float32,
                name=own.name,
            )
        x = last(given)
        length: tuple[int, ...] = self.get_variable('batch_stats', own.name)['mean'].shape
        if x.ndim < 2 or x.shape[-1:] != length:
            raise errors.InputError(
                f'{NORM} {node.name}',
                f'{list(x.shape)} with {length[0]} statistics',
                'one per channel',
            )
        return Laid(layers[own.name](x), last=x.ndim > 2)


def run(node: Node, inputs: list[Laid | None]) -> tuple[Laid, ...]:
    """Returns the results of an operator on tensors in any layout."""
    operator = OPERATORS[node.op]
    given = [value for value in inputs if value is not None]
    moved = [value for value in given if value.last]
    if operator.layout == 'last' and inputs and inputs[0] is not None:
        arrays: list[Any] = [None if value is None else first(value) for value in inputs]
        arrays[0] = last(inputs[0])
        kept = arrays[0].ndim > 2
    elif operator.layout == 'either' and moved and _alike(given):
        rank = moved[0].array.ndim
        arrays = [None if value is None else _broadcast(value, rank) for value in inputs]
        node = _with_axis(node, rank) if operator.axis else node
        kept = True
    else:
        arrays = [None if value is None else first(value) for value in inputs]
        kept = False
    results = operators.evaluate(node, *arrays)
    return tuple(Laid(one, last=kept) for one in results)


def first(value: Laid) -> Any:
    """Returns a tensor in the graph's own order."""
    return jnp.moveaxis(value.array, -1, 1) if value.last else value.array


def last(value: Laid) -> Any:
    """Returns a tensor with its channels last."""
    return value.array if value.last or value.array.ndim < 3 else jnp.moveaxis(value.array, 1, -1)


def _alike(values):
    """Whether all tensors can have the same layout: none has more axes than the maps."""
    ranks = {value.array.ndim for value in values if value.last}
    return len(ranks) == 1 and max(value.array.ndim for value in values) == max(ranks)


def _broadcast(value: Laid, rank: int) -> Any:
    """Reshapes a tensor of any rank to broadcast against maps with their channels last."""
    if value.last or value.array.ndim == 0:
        return value.array
    array = value.array.reshape((1,) * (rank - value.array.ndim) + value.array.shape)
    xp = operation.library(array)
    return xp.moveaxis(array, 1, -1)


def _with_axis(node: Node, rank: int) -> Node:
    axis = node.attributes.get('axis', 0)
    if not -rank <= axis < rank:
        return node  # evaluating the operator reports the error
    moved = (0, rank - 1, *range(1, rank - 1))[axis]
    return dataclasses.replace(node, attributes={**node.attributes, 'axis': moved})
