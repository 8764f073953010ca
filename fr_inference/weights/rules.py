"""Converts weights of PyTorch layers to Linen's: one rule per layer, a table of rules per family.

NCHW exists only here. A convolution's [O, I, h, w] becomes [h, w, I, O], a dense layer after a
flattened map has its columns reordered from (C, H, W) to (H, W, C).
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from fr_inference import errors
from fr_inference.models import registry
from fr_inference.models.target import InputSpec

Transform = Callable[[np.ndarray], np.ndarray]
Weight = tuple[str, str, Transform]
"""(collection, leaf name, transform) of one tensor of a layer."""


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _conv(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 3, 1, 0)


def _pointwise(array: np.ndarray) -> np.ndarray:
    return array.reshape(array.shape[0], array.shape[1]).T


# Kind of layer -> the name of each of its tensors in PyTorch -> where it goes.
KINDS: Mapping[str, Mapping[str, Weight]] = {
    'conv': {'weight': ('params', 'kernel', _conv)},
    'conv_bias': {'weight': ('params', 'kernel', _conv), 'bias': ('params', 'bias', _same)},
    'depthwise': {'weight': ('params', 'kernel', _conv)},
    'pointwise': {'weight': ('params', 'kernel', _pointwise)},
    'pointwise_bias': {
        'weight': ('params', 'kernel', _pointwise),
        'bias': ('params', 'bias', _same),
    },
    'dense': {
        'weight': ('params', 'kernel', np.transpose),
        'bias': ('params', 'bias', _same),
    },
    'dense_plain': {'weight': ('params', 'kernel', np.transpose)},
    'prelu': {'weight': ('params', 'slope', _same)},
    'norm': {
        'weight': ('params', 'scale', _same),
        'bias': ('params', 'bias', _same),
        'running_mean': ('batch_stats', 'mean', _same),
        'running_var': ('batch_stats', 'var', _same),
    },
    'norm_plain': {
        'running_mean': ('batch_stats', 'mean', _same),
        'running_var': ('batch_stats', 'var', _same),
    },
    'layer_norm': {'weight': ('params', 'scale', _same), 'bias': ('params', 'bias', _same)},
    'raw': {'': ('params', 'value', _same)},
    'temperature': {'temperature': ('params', 'temperature', _same)},
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """One rule.

    Attributes:
      source: the layer's name in the state dict.
      kind: in `KINDS`, or 'flat_dense' and 'flat_dense_plain' for a dense layer after a flattened map.
      target: the module's path in Linen, parts joined by '/'.
      grid: (height, width) of the flattened map, for 'flat_dense'.
    """

    source: str
    kind: str
    target: str
    grid: tuple[int, int] = (0, 0)

    def weights(self) -> dict[str, Weight]:
        """Returns the rule of each tensor: suffix of its name -> (collection, leaf, transform)."""
        if not self.kind.startswith('flat_dense'):
            return dict(KINDS[self.kind])

        def reorder(array: np.ndarray) -> np.ndarray:
            maps = array.reshape(array.shape[0], -1, *self.grid)
            return maps.transpose(2, 3, 1, 0).reshape(array.shape[1], array.shape[0])

        kind = self.kind.removeprefix('flat_')
        return {**KINDS[kind], 'weight': ('params', 'kernel', reorder)}

    def key(self, suffix: str) -> str:
        """Returns the state dict's name of the tensor with that suffix."""
        return f'{self.source}.{suffix}' if suffix else self.source


@dataclasses.dataclass(frozen=True)
class Match:
    """The network that a family recognised in a state dict.

    Attributes:
      architecture: name in `registry.VARIANTS`.
      config: overrides of its hyper-parameters.
      input: the images that it expects.
      layers: the rules, in the order of the network.
      assumed: fields of `input` that neither the file nor its layout shows.
      remarks: hyper-parameters that the file does not show, one line each.
      prefix: of the names of its tensors in the file.
    """

    architecture: str
    config: dict[str, Any]
    input: InputSpec
    layers: tuple[Layer, ...]
    assumed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    prefix: str = ''


def fill(
    entries: Mapping[str, tuple[str, Transform]], tensors: Mapping[str, np.ndarray], expected: Any
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Arranges the tensors of a file as the variables of the module.

    Args:
      entries: name in the file -> (path in the variables, parts joined by '/', transform).
      tensors: of the file, by name.
      expected: abstract variables of the module.

    Returns:
      (variables as float32 NumPy arrays, names that are missing, descriptions of misshaped ones).
    """
    variables: dict[str, Any] = {}
    missing, misshaped = [], []
    leaves = by_path(expected)
    for key, (path, transform) in entries.items():
        if key not in tensors:
            missing.append(key)
            continue
        shape = leaves[path].shape if path in leaves else None
        array = None
        if shape is not None and math.prod(shape) == tensors[key].size:
            with contextlib.suppress(ValueError, IndexError):
                array = transform(tensors[key])
        if array is None or array.shape != shape:
            wanted = 'nothing' if shape is None else f'what gives {list(shape)}'
            misshaped.append(f'{key} is {list(tensors[key].shape)}, expected {wanted}')
            continue
        *parents, leaf = path.split('/')
        tree = variables
        for part in parents:
            tree = tree.setdefault(part, {})
        # A copy, so that the mapped file can be released.
        tree[leaf] = np.array(array, np.float32, order='C')
    return variables, missing, misshaped


def by_path(tree: Any) -> dict[str, Any]:
    """Returns the leaves of variables by their paths, parts joined by '/'."""
    return {path_of(key): leaf for key, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def path_of(key: Any) -> str:
    """Returns a key path of a pytree as text, parts joined by '/'."""
    return jax.tree_util.keystr(key, simple=True, separator='/')


def check_finite(variables: Any, source: str) -> None:
    """Raises `InputError` if any tensor has numbers that are not finite."""
    leaves = by_path(variables)
    wrong = [key for key, leaf in leaves.items() if not np.isfinite(np.asarray(leaf)).all()]
    if wrong:
        listed = ', '.join(wrong[:4]) + (', ...' if len(wrong) > 4 else '')
        raise errors.InputError(
            source, f'{len(wrong)} of {len(leaves)} tensors that are not finite ({listed})'
        )


def size_of(shapes: Mapping[str, tuple[int, ...]], name: str, default: int, axis: int = 0) -> int:
    """Returns one size of a tensor, `default` if there is no such tensor or axis."""
    shape = shapes.get(name, ())
    return shape[axis] if len(shape) > axis else default


def differing(architecture: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the hyper-parameters among `wanted` in which the variant itself differs."""
    module = registry.build(architecture)

    def own(name):
        value = getattr(module, name)
        return list(value) if isinstance(value, tuple) else value

    return {name: value for name, value in wanted.items() if value != own(name)}


def part_of(prefix: str, name: str) -> bool:
    """Whether `name` is one of the parts of a prefix, as 'features' is of 'module.features.'."""
    return name in prefix.split('.')


def input_of(spec: InputSpec, columns: int, channels: int, input: InputSpec | None) -> InputSpec:
    """Returns the images for a backbone whose head flattens `columns` = channels * h * w numbers.

    Unless `input` says otherwise, images are assumed to be square, or 112 pixels high if a square does
    not fit the head's columns. The network's stride is 16. The rest is taken from `spec`.
    """
    if input is not None:
        return input
    area = columns // max(channels, 1)
    height = math.isqrt(area)
    if height * height != area:
        height = 7
    width = area // max(height, 1)
    known = 0 < height <= 256 and 0 < width <= 256 and height * width == area
    return registry.sized(spec, 16 * height, 16 * width) if known else spec


def grid_of(input: InputSpec) -> tuple[int, int]:
    """Returns (height, width) of the last map of a backbone of stride 16."""
    return -(-input.height // 16), -(-input.width // 16)
