"""The only file that knows devices: a function of one example, over batches, over all local devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def per_example(
    function: Callable[[Any, Any], Any], devices: Sequence[jax.Device] | None = None
) -> tuple[Callable[[Any, Any], Any], Callable[[Any], Any], int]:
    """Compiles a function of one example into one of a batch that is split over the devices.

    Args:
      function: (constants, example) -> pytree of arrays. Pure.
      devices: all of this process by default.

    Returns:
      (function of (constants, batch [B, ...]) -> pytree of [B, ...] arrays; what puts the constants
      on every device, once; the number of devices, by which B must be divisible).
    """
    devices = list(devices or jax.local_devices())
    mesh = Mesh(np.array(devices), ('batch',))
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec('batch'))
    compiled = jax.jit(
        jax.vmap(function, in_axes=(None, 0)),
        in_shardings=(everywhere, split),
        out_shardings=split,
    )
    return compiled, lambda constants: jax.device_put(constants, everywhere), len(devices)


def round_up(count: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is at least `count`."""
    return -(-count // multiple) * multiple
