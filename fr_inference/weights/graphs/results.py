"""Finds the tensor of a graph that is the embedding, not the output of a classifier after it.

A file does not state it, so the width of the last layer decides: an embedding has a multiple of 16
numbers, at most 4096. A layer of another width, or with a softmax after it, is a classification layer.

A classification layer for 64 people also has a usual width, so its surroundings are examined. A vector
that is normalised at the end is an embedding. A vector between two layers without an activation is the
embedding of a classifier. (EdgeFace computes 512 numbers from 100 that a layer without bias computed:
that is one layer of low rank.) A remark describes cases that remain open.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.weights.graphs.graph_plan import Plan

_LONGEST, _STEP = 4096, 16
_SHORTEST = 64  # of published embeddings; their lengths are powers of 2
_MOST = 8  # number of names that an error lists
_PROBABILITIES = ('Softmax', 'LogSoftmax')
_SQUASHING = (*_PROBABILITIES, 'Sigmoid', 'HardSigmoid')
# Operators that keep the number of values and the layer they come from.
_CARRYING = (
    *('Identity', 'Cast', 'Dropout', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose'),
    *('Clip', 'LpNormalization', 'QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear'),
)
_SCALING = ('Add', 'Sub', 'Mul', 'Div')
_OF_A_LENGTH = (  # operations on the length of a vector before the vector is divided by it
    *('Identity', 'Cast', 'Reshape', 'Squeeze', 'Unsqueeze', 'Expand', 'Clip', 'Max', 'Add'),
    *('Sqrt', 'Pow', 'Div', 'Reciprocal'),
)

HEAD, DOUBTFUL, REMARK = 'head', 'doubtful', 'remark'
LAYER, COSINE, MAP = 'layer', 'cosine', 'map'


@dataclasses.dataclass(frozen=True)
class _Last:
    """The last layer before a result.

    Attributes:
      verdict: whether it is a classification layer: `HEAD`, `DOUBTFUL`, `REMARK` (it may be), '' (no).
      input: the tensor that it takes, '' if there is no last layer.
      sizes: number of its inputs and outputs for each image.
    """

    verdict: str
    input: str = ''
    sizes: tuple[int, int] = (0, 0)


def embedding(plan: Plan, found: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Returns the name of the embedding, and remarks on the choice, one line each.

    Args:
      plan: of all the graph's results.
      found: tensor that depends on the image -> its abstract value.

    Raises:
      InputError: of 'part', with the possible tensors, if the graph leaves it open.
    """
    trace = _Trace(plan, found)
    several = [name for name in plan.outputs if name in found and trace.length(name) > 1]
    lasts = {name: trace.last(name) for name in several}
    made = {trace.behind(name) for name in several}
    plain = [
        name
        for name, last in lasts.items()
        if last.verdict != HEAD and not (last.input and trace.behind(last.input) in made)
    ]
    inputs = {last.input for last in lasts.values()}
    if not plain and len(inputs) == 1 and '' not in inputs:
        return _without_head(trace, lasts)
    if len(plain) != 1:
        raise _open(plain or several or plan.outputs, 'one embedding')
    (name,) = plain
    last, others = lasts[name], [other for other in several if other != name]
    taken, given = last.sizes
    above = {trace.behind(lasts[other].input) for other in others if lasts[other].input}
    told = trace.behind(name) in above  # another result is the output of a head after it
    if last.verdict == DOUBTFUL and not told:
        made_of = trace.behind(last.input)
        raise _open(
            [name, made_of],
            f'an embedding: the last layer makes {given} numbers of {taken}, as one that tells people '
            'apart may',
            f'name {errors.shown(made_of)[:80]} if it does, else {errors.shown(name)[:80]}',
        )
    notes = [f'set aside (not part of the backbone): results {_listed(others)}'] if others else []
    if last.verdict == REMARK and not told:
        notes.append(
            f'the last layer makes {given} numbers of {taken}, taken for the embedding; if it tells '
            f'people apart, part={errors.shown(trace.behind(last.input))} is the embedding'
        )
    return name, tuple(notes)


def _without_head(trace, lasts):
    (name, last), *_ = lasts.items()
    taken, given = last.sizes
    return trace.behind(last.input), (
        f'set aside (not part of the backbone): the last layer, which makes {given} numbers of {taken}; '
        f'if those are the embedding, part={errors.shown(name)}',
    )


def check_part(part: str, names: Sequence[str]) -> None:
    """Raises an `InputError` of 'part' for a name that is not a tensor of the graph."""
    if part not in names:
        raise errors.InputError(
            'part', repr(part)[:200], 'the name of a tensor of the graph', errors.near(part, names)
        )


def _open(names, expected, hint='name the one that it is'):
    return errors.InputError('part', f'{_listed(names)}', expected, hint)


def _listed(names):
    more = f' and {len(names) - _MOST} more' if len(names) > _MOST else ''
    return ', '.join(errors.shown(name)[:80] for name in names[:_MOST]) + more


class _Trace:
    """Walks from a result towards the image."""

    def __init__(self, plan: Plan, found: Mapping[str, Any]):
        self._found, self._image = found, plan.input
        self._constants = {*plan.keys, *plan.numbers}
        self._makers = {name: node for node in plan.nodes for name in node.outputs}

    def length(self, name: str) -> int:
        """Returns how many numbers a tensor has for each image."""
        shape = self._found[name].shape
        return math.prod(shape) // max(shape[0], 1) if shape else 1

    def _main(self, node):
        """Returns the input with several numbers that depends on the image, '' if there are more."""
        names = [
            name for name in node.inputs if name in self._found and name not in self._constants
        ]
        if len(names) > 1:
            names = [name for name in names if not self._is_length(name) and self.length(name) > 1]
        return names[0] if len(names) == 1 else ''

    def _is_length(self, name):
        """Whether it is a sum over a vector, or a root of one."""
        for _ in range(_MOST):
            node = self._makers.get(name)
            if node is None or node.op not in _OF_A_LENGTH:
                return node is not None and node.op.startswith('Reduce')
            inner = [
                one for one in node.inputs if one in self._found and one not in self._constants
            ]
            if len(inner) != 1:
                return False
            (name,) = inner
        return False

    def _back(self, name, *, norms=False):
        """Walks back to the output of the preceding layer; returns it and the nodes in between."""
        passed = []
        while node := self._makers.get(name):
            if node.op == 'BatchNormalization' and norms:
                inner = node.inputs[0]
            elif node.op in (*_CARRYING, *_SCALING):
                inner = self._main(node)
            else:
                break
            if not inner or self.length(inner) != self.length(name):
                break
            passed.append(node)
            name = inner
        return name, passed

    def behind(self, name: str) -> str:
        """Returns the output of the layer that precedes a tensor."""
        return self._back(name)[0]

    def last(self, name: str) -> _Last:
        """Returns the last layer before a result, if only scaling comes after it."""
        probable, after = False, []
        while True:
            name, passed = self._back(name)
            after += passed
            node = self._makers.get(name)
            if node is None or node.op not in _SQUASHING:
                break
            probable |= node.op in _PROBABILITIES
            name = node.inputs[0]
        taken = node.inputs[0] if node is not None and self._is_layer(node) else ''
        if not taken or self.behind(taken) == self._image:  # nothing else could be the embedding
            return _Last(HEAD if probable else '')
        sizes = self.length(taken), self.length(name)
        if probable:
            return _Last(HEAD, taken, sizes)
        if self._normalised(after):
            return _Last('', taken, sizes)
        return _Last(_verdict(*sizes, self._before(taken, _shifted(node, after))), taken, sizes)

    def _before(self, name, shifted):
        """Returns the kind of the last layer's input: `LAYER`, `COSINE`, `MAP`, or '' for others."""
        name, passed = self._back(name, norms=True)
        node = self._makers.get(name)
        if self._normalised(passed) and not shifted:
            return COSINE
        if node is not None and self._is_layer(node):
            return LAYER if _shifted(node, passed) else ''
        depthwise = node is not None and node.op == 'Conv' and node.attributes.get('group', 1) > 1
        several = sum(size > 1 for size in self._found[name].shape[1:]) > 1
        return MAP if depthwise or several else ''

    def _normalised(self, nodes):
        return any(
            node.op == 'LpNormalization'
            or (node.op in ('Div', 'Mul') and any(self._is_length(one) for one in node.inputs))
            for node in nodes
        )

    def _is_layer(self, node):
        """Whether a node multiplies one vector by a matrix of constants."""
        if node.op not in ('Gemm', 'MatMul', 'Conv') or len(node.inputs) < 2:
            return False
        taken, weights = node.inputs[:2]
        if taken not in self._found or weights not in self._constants:
            return False
        # So does a convolution over the whole map.
        shape = self._found[node.outputs[0] if node.op == 'Conv' else taken].shape
        return math.prod(shape[1:-1]) == 1 and node.attributes.get('group', 1) == 1


def _shifted(node, passed):
    """Whether a layer has a bias, or a norm after it."""
    own = node.op != 'MatMul' and len(node.inputs) > 2 and bool(node.inputs[2])
    return own or any(one.op in ('Add', 'Sub', 'BatchNormalization') for one in passed)


def _verdict(taken: int, given: int, before: str) -> str:
    if before == COSINE:
        return HEAD
    if given > _LONGEST or given % _STEP:
        return HEAD if given > min(taken, _LONGEST) else DOUBTFUL
    if before == LAYER:
        return DOUBTFUL
    published = given >= _SHORTEST and given & (given - 1) == 0
    return '' if before == MAP and published and given <= taken else REMARK
