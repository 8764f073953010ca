"""The table of operators: ONNX's name -> its operation."""

from collections.abc import Mapping, Sequence

import numpy as np

from fr_inference import errors
from fr_inference.formats import bounds
from fr_inference.formats.onnx_file import Node
from fr_inference.weights.graphs import (
    elementwise,
    quantized,
    reductions,
    resizing,
    shapes,
    spatial,
)
from fr_inference.weights.graphs.operation import Operator, Tensor

NORM = 'BatchNormalization'  # a layer of the network, not a function of arrays

OPERATORS: Mapping[str, Operator] = {
    **elementwise.OPERATORS,
    **shapes.OPERATORS,
    **reductions.OPERATORS,
    **spatial.OPERATORS,
    **resizing.OPERATORS,
    **quantized.OPERATORS,
    NORM: Operator(lambda node, x: x, 'epsilon momentum spatial training_mode', layout='last'),
}

_MOST = 20  # number of kinds that an error lists
# Advice on unsupported operators: any, and those of quantisation.
_ADVICE = (
    'export the backbone alone, without pre- or postprocessing, or take its PyTorch checkpoint',
    'export it without quantisation, or quantised by QuantizeLinear and DequantizeLinear (QDQ)',
)

# Errors of NumPy and JAX for shapes, types and values that do not fit.
_WRONG = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)


def check(nodes: Sequence[Node]) -> None:
    """Raises one `InputError` that lists every operator and attribute that is not supported."""
    unknown: dict[str, int] = {}
    for node in nodes:
        for name in _unsupported(node):
            unknown[name] = unknown.get(name, 0) + 1
    if unknown:
        listed = ', '.join(f'{name} ({count})' for name, count in list(unknown.items())[:_MOST])
        more = ', ...' if len(unknown) > _MOST else ''
        raise errors.InputError(
            'operators',
            f'{listed}{more}, which are not supported',
            f'those of ONNX that face backbones use ({len(OPERATORS)} kinds)',
            _ADVICE[any(mark in listed for mark in ('Quantize', 'Integer', 'QLinear'))],
        )


def _unsupported(node: Node) -> list[str]:
    operator = OPERATORS.get(node.op)
    if operator is None:
        return [node.op]
    rest = node.attributes.keys() - set(operator.attributes.split())
    wrong = [f'{node.op}.{errors.shown(name)[:40]}' for name in sorted(rest)]
    if node.op == NORM and node.attributes.get('spatial', 1) != 1:
        wrong.append(f'{NORM}.spatial')
    return wrong


def evaluate(node: Node, *inputs: Tensor | None) -> tuple[Tensor, ...]:
    """Returns the results of one operator.

    Raises:
      InputError: of the operator, for inputs that do not fit it.
    """
    called = errors.shown(f'{node.op} {node.name}'.strip())[:200]
    try:
        with np.errstate(all='ignore'):
            found = OPERATORS[node.op].compute(node, *inputs)
    except errors.InputError as error:
        raise error.within(called) from error
    except _WRONG as error:
        raise errors.InputError(
            called, f'inputs that do not fit it ({bounds.brief(error)})'
        ) from error
    results = found if isinstance(found, tuple) else (found,)
    return tuple(np.asarray(one) if isinstance(one, np.generic) else one for one in results)
