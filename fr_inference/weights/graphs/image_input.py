"""Finds the images that a graph expects: size, order of the axes, whether it normalises them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.formats.onnx_file import Model
from fr_inference.models.target import InputSpec, origins

_THROUGH = ('Identity', 'Cast', 'Transpose')
_LARGEST, _SPREAD = 8.0, 0.5  # of normalised pixels; ImageNet's mean and std give -2.1 to 2.6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convention:
    """The file's information about its images.

    Attributes:
      input: the convention, with the usual values for what the file does not state.
      told: fields of it that the file states.
      channels_first: whether the tensor is [N, 3, H, W].
      batch: number of images, None if the file leaves it open.
    """

    input: InputSpec
    told: tuple[str, ...]
    channels_first: bool
    batch: int | None


def convention(model: Model) -> Convention:
    """Returns the images that a graph expects.

    Raises:
      InputError: of the field 'input', for a tensor that is not a batch of RGB images.
    """
    shape = model.shape
    first = len(shape) == 4 and shape[1] in (3, None) and not (shape[1] is None and shape[3] == 3)
    if len(shape) != 4 or not (first or shape[3] == 3):
        said = ' x '.join('?' if size is None else str(size) for size in shape[:8])
        raise errors.InputError(
            'input', said or 'a tensor without a shape', 'N x 3 x H x W or N x H x W x 3'
        )
    sizes = shape[2:] if first else shape[1:3]
    fields = dict(zip(('height', 'width'), sizes, strict=True))
    told: dict[str, Any] = {name: size for name, size in fields.items() if size is not None}
    scale = _own_range(model)
    if scale is not None:
        told |= {'mean': (0.0, 0.0, 0.0), 'std': (255.0 / scale,) * 3}
    return Convention(
        input=InputSpec(**told), told=tuple(told), channels_first=first, batch=shape[0]
    )


def changed(found: Convention, changes: Mapping[str, Any]) -> tuple[InputSpec, dict[str, str]]:
    """Returns the input with the user's changes, and the origin of each of its fields.

    Raises:
      InputError: of the field 'input', for a size that the graph does not have.
    """
    for name in ('height', 'width'):
        own = getattr(found.input, name)
        if name in found.told and changes.get(name, own) != own:
            raise errors.InputError('input', f'{name} {changes[name]}', f'{own}, as the graph says')
    known = {**origins('assumed'), **origins('layout', found.told), **origins('given', changes)}
    return found.input.changed(changes), known


def _own_range(model: Model) -> float | None:
    """Returns 255 or 1 if the graph itself normalises pixels from 0 to that value, else None.

    MXNet's exports begin with such operators. insightface's own reader looks for a Sub and a Mul among
    the first eight operators (`python-package/insightface/model_zoo/arcface_onnx.py`). This function
    follows the numbers through the operators, and checks that they are plausible.
    """
    operations = {'Sub': np.subtract, 'Mul': np.multiply, 'Add': np.add, 'Div': np.divide}
    ends, name, steps = np.array([[0.0], [1.0], [255.0]]), model.input, 0
    while True:
        users = [node for node in model.nodes if name in node.inputs]
        if len(users) != 1:
            break
        node = users[0]
        if node.op in operations and node.inputs[0] == name and len(node.inputs) == 2:
            value = model.constants.get(node.inputs[1])
            if value is None or value.size not in (1, 3):
                break
            with np.errstate(all='ignore'):
                ends = operations[node.op](ends, value.reshape(1, -1).astype(np.float64))
            steps += 1
        elif node.op not in _THROUGH:
            break
        name = node.outputs[0]
    if steps:
        for row, scale in ((2, 255.0), (1, 1.0)):
            low, high = ends[0], ends[row]
            small = np.abs([low, high]).max() <= _LARGEST and (high - low).min() >= _SPREAD
            if small and (scale > 1 or (low < 0).all()):
                return scale
    return None
