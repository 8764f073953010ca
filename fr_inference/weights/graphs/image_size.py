"""Checks the image size of a graph that leaves it open, and finds the sizes that fit."""

import math
from collections.abc import Mapping
from typing import Any

from fr_inference import errors
from fr_inference.models.target import InputSpec
from fr_inference.weights.graphs import batches
from fr_inference.weights.graphs.graph_plan import Plan

# Height and width of the images that published face backbones expect, the most common first.
_SIZES = (
    *((112, 112), (112, 96), (160, 160), (128, 128), (224, 224), (96, 96), (64, 64), (96, 112)),
    *((100, 100), (120, 120), (144, 144), (150, 150), (192, 192), (256, 256), (299, 299), (80, 80)),
)
_WHOLE = 4  # smallest side of a window that covers the last map


def check(
    plan: Plan,
    variables: Any,
    spec: InputSpec,
    *,
    declared: Mapping[str, tuple[int | None, ...]],
    batch: int,
    given: bool,
) -> str:
    """Returns a remark on a size that is assumed, '' for one that was given.

    Args:
      plan: of a graph that leaves the size open.
      variables: of its network.
      spec: the images' size.
      declared: result -> its shape as declared in the file, None for a length that is left open.
      batch: number of images.
      given: whether the user gave the size.

    Raises:
      InputError: of 'input_size', with the sizes that fit; of the operator if none does.
    """
    error = _misfit(plan, variables, spec, declared, batch, given)
    if error is not None:
        fitting = [
            f'{height}x{width}'
            for height, width in _SIZES
            if not _misfit(
                *(plan, variables, spec.changed({'height': height, 'width': width})),
                *(declared, batch, False),
            )
        ]
        if not fitting:
            raise error
        raise errors.InputError(
            'input_size',
            f'{spec.height}x{spec.width}{"" if given else " (assumed)"}, which does not fit the graph',
            f'one that fits, such as {" or ".join(fitting[:4])}',
        ) from error
    if given:
        return ''
    return (
        f'images of {spec.height} x {spec.width} pixels are assumed, since the graph leaves their '
        'size open; pass input_size if it was trained on another size'
    )


def _misfit(plan, variables, spec, declared, batch, given):
    """Returns the error that explains why a size does not fit, None if it fits."""
    try:
        found = batches.shapes(plan, variables, spec, batch)
    except errors.InputError as error:
        return error
    for name, shape in declared.items():
        own = found[name].shape[1:] if name in found else ()
        if own and shape[1:] and None not in shape[1:] and math.prod(own) != math.prod(shape[1:]):
            return errors.InputError(
                errors.shown(name)[:80], f'shape {list(own)[:8]}', f'{list(shape[1:])[:8]}'
            )
    if given:
        return None
    for node in plan.nodes:
        # Maps have their channels last: [N, H, W, C].
        left = found[node.outputs[0]].shape[1:-1] if node.outputs[0] in found else ()
        if _is_whole(node, plan) and math.prod(left) != 1:
            return errors.InputError(
                f'{node.op} {node.name}', f'{list(left)} positions in the result', 'one'
            )
    return None


def _is_whole(node, plan):
    """Whether a window seems intended to cover the whole last map, as in MobileFaceNet."""
    window = node.attributes.get('kernel_shape', ())
    if node.op == 'Conv':
        window = plan.shapes.get(node.inputs[1], ())[2:]
    elif node.op != 'AveragePool':
        return False
    moving = [*node.attributes.get('strides', ())] if node.op == 'Conv' else []
    padded = any(node.attributes.get('pads', ())) or node.attributes.get('auto_pad', 'NOTSET') in (
        'SAME_UPPER',
        'SAME_LOWER',
    )
    return len(window) == 2 and min(window) >= _WHOLE and max(moving, default=1) == 1 and not padded
