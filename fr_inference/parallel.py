"""The only file that knows devices: a function of one example, over batches, over all local devices."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# On a CPU, examples that are computed together: the features of so few images stay in its caches, and
# XLA takes less memory afresh at every call. 4 and 8 are equally fast; 1 is slow for wide backbones.
CPU_CHUNK = 8

# XLA on CPU hands convolutions, matrix products and reductions to a library (YNNPACK). It is the
# faster one for reductions, and slower than XLA's own for the convolutions of face backbones.
_CPU_OPTIONS = {'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_REDUCE'}


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
    batched = jax.vmap(function, in_axes=(None, 0))
    if [device.platform for device in devices] == ['cpu']:
        batched = _in_chunks(batched, CPU_CHUNK)
    compiled = jax.jit(
        batched,
        in_shardings=(everywhere, split),
        out_shardings=split,
        compiler_options=_compiler_options(devices[0]),
    )
    return compiled, lambda constants: jax.device_put(constants, everywhere), len(devices)


def _in_chunks(batched, size):
    """`batched` a few examples at a time, where they can be shared out evenly."""

    def chunked(constants, batch):
        count = len(jax.tree.leaves(batch)[0])
        if count <= size or count % size:
            return batched(constants, batch)
        chunks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), batch)
        results = jax.lax.map(functools.partial(batched, constants), chunks)
        return jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), results)

    return chunked


@functools.cache
def _compiler_options(device: jax.Device) -> dict[str, Any] | None:
    """Options of XLA for programs on the device; None where its version does not know them."""
    if device.platform != 'cpu':
        return None
    try:
        one = jax.device_put(np.float32(1), device)
        jax.jit(lambda x: x, compiler_options=_CPU_OPTIONS).lower(one).compile()
    except jax.errors.JaxRuntimeError:
        return None
    return _CPU_OPTIONS


def replicated(tree: Any, devices: Sequence[jax.Device] | None = None) -> Any:
    """Puts a pytree on every device (all of this process by default), once."""
    mesh = Mesh(np.array(list(devices or jax.local_devices())), ('batch',))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jax.jit` with what is fast on this process's devices; `options` are its own."""
    return jax.jit(function, compiler_options=_compiler_options(jax.local_devices()[0]), **options)


def device_count() -> int:
    """Returns how many devices this process computes on."""
    return jax.local_device_count()


def round_up(count: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is at least `count`."""
    return -(-count // multiple) * multiple
