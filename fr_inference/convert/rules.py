"""How weights of PyTorch layers become Linen's: one rule per layer, a table of rules per family.

NCHW exists only here. A convolution's [O, I, h, w] becomes [h, w, I, O], a dense layer behind a
flattened map has its columns reordered from (C, H, W) to (H, W, C).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

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
    'prelu': {'weight': ('params', 'slope', _same)},
    'norm': {
        'weight': ('params', 'scale', _same),
        'bias': ('params', 'bias', _same),
        'running_mean': ('batch_stats', 'mean', _same),
        'running_var': ('batch_stats', 'var', _same),
    },
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """One rule.

    Attributes:
      source: the layer's name in the state dict.
      kind: in `KINDS`, or 'flat_dense' for a dense layer behind a flattened map.
      target: the module's path in Linen, parts joined by '/'.
      channels: of the flattened map, for 'flat_dense'.
    """

    source: str
    kind: str
    target: str
    channels: int = 0

    def weights(self) -> dict[str, Weight]:
        """Returns the rule of each tensor: suffix of its name -> (collection, leaf, transform)."""
        if self.kind != 'flat_dense':
            return dict(KINDS[self.kind])

        def reorder(array: np.ndarray) -> np.ndarray:
            side = _square(array.shape[1] // self.channels)
            maps = array.reshape(array.shape[0], self.channels, side, side)
            return maps.transpose(2, 3, 1, 0).reshape(array.shape[1], array.shape[0])

        return {'weight': ('params', 'kernel', reorder), 'bias': ('params', 'bias', _same)}


@dataclasses.dataclass(frozen=True)
class Match:
    """What a family recognised in a state dict.

    Attributes:
      architecture: name in `registry.VARIANTS`.
      config: overrides of its hyper-parameters.
      input: what images it expects.
      layers: the rules, in the order of the network.
    """

    architecture: str
    config: dict[str, Any]
    input: InputSpec
    layers: tuple[Layer, ...]


def _square(area: int) -> int:
    return round(area**0.5)


def square_side(columns: int, channels: int) -> int | None:
    """Returns s where columns = channels * s * s, None where there is no such whole number."""
    side = _square(columns // max(channels, 1))
    return side if side and side * side * channels == columns else None
