"""The mean of each channel of what a BatchNorm layer sees.

Where the layer sees the output of a convolution whose input another BatchNorm layer made (the blocks of
IResNet), the mean follows from sums that are nearly known: `kernels/window_sums.py`.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference.kernels import seam
from fr_inference.models import layers


@seam.operation
def convolved_mean(
    convolved: jax.Array,
    x: jax.Array,
    mean: jax.Array,
    scale: jax.Array,
    shift: jax.Array,
    kernel: jax.Array,
    *,
    padding: int,
) -> jax.Array:
    """Returns the mean [N, features] over height and width of `convolve(scale x + shift, kernel)`.

    Args:
      convolved: [N, H', W', features], the output.
      x: [N, H, W, C].
      mean: [N, C] float32, of x over height and width.
      scale: [C] float32.
      shift: [C] float32.
      kernel: [h, w, C, features], at stride 1.
      padding: zeros on each side, less than h and w.
    """
    return _mean(convolved)


@dataclasses.dataclass
class Means:
    """Remembers what the layers of one pass made, to take each mean where that is cheapest.

    Attributes:
      means: input of a BatchNorm layer and its mean, by the input's identity as an object.
      normalised: input and output of BatchNorm layers, scale and shift, by the output's identity.
      convolved: output of a convolution of those with the arguments of `convolved_mean`.
    """

    means: dict[int, tuple[jax.Array, jax.Array]] = dataclasses.field(default_factory=dict)
    normalised: dict[int, tuple[jax.Array, ...]] = dataclasses.field(default_factory=dict)
    convolved: dict[int, tuple[tuple[jax.Array, ...], int]] = dataclasses.field(
        default_factory=dict
    )

    def of(self, x: jax.Array) -> jax.Array:
        """Returns the mean [N, C] float32 of x [N, ..., C] over all axes but the first and the last."""
        if id(x) in self.convolved:
            arguments, padding = self.convolved[id(x)]
            mean = convolved_mean(*arguments, padding=padding)
        else:
            mean = _mean(x)
        self.means[id(x)] = x, mean
        return mean

    def called(self, layer: nn.Module, x: Any, y: Any) -> None:
        """Remembers a layer that made y of x."""
        # A subclass, or a convolution that is not ours, may do something else with its variables.
        if type(layer) is nn.BatchNorm and id(x) in self.means:
            self.normalised[id(y)] = x, self.means[id(x)][1], *_scale_and_shift(layer), y
        elif type(layer) is nn.Conv and id(x) in self.normalised and not layer.use_bias:
            how = layer.conv_general_dilated
            kernel: Any = layer.get_variable('params', 'kernel')
            if isinstance(how, layers.Convolving) and how.stride == 1 and x.ndim == 4:
                arguments = y, *self.normalised[id(x)][:4], kernel.astype(y.dtype)
                self.convolved[id(y)] = arguments, how.padding


def _mean(x):
    return jnp.mean(x.astype(jnp.float32), axis=tuple(range(1, x.ndim - 1)))


def _scale_and_shift(layer):
    """What a BatchNorm layer with its running statistics does to each channel."""
    mean, variance = (
        jnp.asarray(layer.get_variable('batch_stats', name), jnp.float32)
        for name in ('mean', 'var')
    )
    scale = jax.lax.rsqrt(variance + layer.epsilon)
    if layer.use_scale:
        scale = scale * jnp.asarray(layer.get_variable('params', 'scale'), jnp.float32)
    shift = -mean * scale
    if layer.use_bias:
        shift = shift + jnp.asarray(layer.get_variable('params', 'bias'), jnp.float32)
    return scale, shift
