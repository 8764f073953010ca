"""Which tensor of a graph is the embedding: not what a classification layer makes of it.

Nothing in a file says so. The last layer's width tells: an embedding has a multiple of 16 numbers, 4096
at most. A layer with another number of results, or with a softmax behind it, tells people apart.
EdgeFace makes 512 numbers of 100: a multiple of 16 stays, with a remark where it is more than what it is
made of.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.weights.graphs.graph_plan import Plan

_LONGEST, _STEP = 4096, 16
_MOST = 8  # names that an error lists
_PROBABILITIES = ('Softmax', 'LogSoftmax')
# What changes neither the number of values nor which layer they come from.
_CARRYING = (
    *('Identity', 'Cast', 'Dropout', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose'),
    *('Clip', 'LpNormalization', 'QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear'),
)
_SCALING = ('Add', 'Sub', 'Mul', 'Div')

HEAD, DOUBTFUL, REMARK = 'head', 'doubtful', 'remark'


@dataclasses.dataclass(frozen=True)
class _Last:
    """The last layer behind a result.

    Attributes:
      verdict: whether it is a classification layer: `HEAD`, `DOUBTFUL`, `REMARK` (hardly), '' (no).
      input: the tensor that it takes, '' where there is no such layer.
      sizes: how many numbers it takes and gives for each image.
    """

    verdict: str
    input: str = ''
    sizes: tuple[int, int] = (0, 0)


def embedding(plan: Plan, found: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Returns the name of the embedding, and what a report says about the choice, one line each.

    Args:
      plan: of all the graph's results.
      found: tensor -> its abstract value, of what depends on the image.

    Raises:
      InputError: of 'part', which lists what it may be, where the graph leaves it open.
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
    if last.verdict == DOUBTFUL:
        raise _open(
            [name, trace.behind(last.input)],
            f'an embedding: the last layer makes {given} numbers of {taken}, as one that tells people '
            'apart may',
        )
    notes = [f'set aside (not part of the backbone): results {_listed(others)}'] if others else []
    if last.verdict == REMARK:
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
    """Raises an `InputError` of 'part' for what is no tensor of the graph."""
    if part not in names:
        raise errors.InputError(
            'part', repr(part)[:200], 'the name of a tensor of the graph', errors.near(part, names)
        )


def _open(names, expected):
    return errors.InputError('part', f'{_listed(names)}', expected, 'name the one that it is')


def _listed(names):
    more = f' and {len(names) - _MOST} more' if len(names) > _MOST else ''
    return ', '.join(errors.shown(name)[:80] for name in names[:_MOST]) + more


class _Trace:
    """Walks from a result towards the image."""

    def __init__(self, plan: Plan, found: Mapping[str, Any]):
        self._found = found
        self._constants = {*plan.keys, *plan.numbers}
        self._makers = {name: node for node in plan.nodes for name in node.outputs}

    def length(self, name: str) -> int:
        """How many numbers a tensor has for each image."""
        shape = self._found[name].shape
        return math.prod(shape) // max(shape[0], 1) if shape else 1

    def _main(self, node):
        """The one input of several numbers that depends on the image, '' where there are more."""
        names = [
            name for name in node.inputs if name in self._found and name not in self._constants
        ]
        if len(names) > 1:
            names = [name for name in names if self.length(name) > 1]
        return names[0] if len(names) == 1 else ''

    def behind(self, name: str) -> str:
        """Returns the tensor that a tensor is made of without any layer."""
        while (node := self._makers.get(name)) and node.op in (*_CARRYING, *_SCALING):
            inner = self._main(node)
            if not inner or self.length(inner) != self.length(name):
                break
            name = inner
        return name

    def last(self, name: str) -> _Last:
        """Returns the last layer behind a result, where nothing but scaling comes after it."""
        probable = False
        while True:
            name = self.behind(name)
            node = self._makers.get(name)
            if node is None or node.op not in _PROBABILITIES:
                break
            probable, name = True, node.inputs[0]
        taken = node.inputs[0] if node is not None and self._is_layer(node) else ''
        if not taken:
            return _Last(HEAD if probable else '')
        sizes = self.length(taken), self.length(name)
        return _Last(HEAD if probable else _verdict(*sizes), taken, sizes)

    def _is_layer(self, node):
        """Whether it is a product of one vector with a matrix of constants."""
        if node.op not in ('Gemm', 'MatMul', 'Conv') or len(node.inputs) < 2:
            return False
        taken, weights = node.inputs[:2]
        if taken not in self._found or weights not in self._constants:
            return False
        shape = self._found[taken].shape
        return math.prod(shape[1:-1]) == 1 and node.attributes.get('group', 1) == 1


def _verdict(taken: int, given: int) -> str:
    usual = given <= _LONGEST and given % _STEP == 0
    if given < _STEP or (usual and given > taken):
        return REMARK
    if usual:
        return ''
    return HEAD if given > min(taken, _LONGEST) else DOUBTFUL
