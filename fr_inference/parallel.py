"""The only file that knows devices: a function of one example, over batches, over all local devices."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Sequence
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

_CHOSEN: contextvars.ContextVar[tuple[jax.Device, ...] | None]
_CHOSEN = contextvars.ContextVar('devices', default=None)


def devices() -> tuple[jax.Device, ...]:
    """Returns the devices that work is shared over: those of `using`, else all of this process."""
    return _CHOSEN.get() or tuple(jax.local_devices())


@contextlib.contextmanager
def using(chosen: Sequence[jax.Device]) -> Iterator[None]:
    """Lets everything inside, in this thread, compute on the chosen devices of this process."""
    token = _CHOSEN.set(tuple(chosen))
    try:
        with jax.default_device(chosen[0]):
            yield
    finally:
        _CHOSEN.reset(token)


def per_example(
    function: Callable[[Any, Any], Any], on: Sequence[jax.Device] | None = None
) -> tuple[Callable[[Any, Any], Any], Callable[[Any], Any], int]:
    """Compiles a function of one example into one of a batch that is split over the devices.

    Args:
      function: (constants, example) -> pytree of arrays. Pure.
      on: which devices; `devices()` by default.

    Returns:
      (function of (constants, batch [B, ...]) -> pytree of [B, ...] arrays; what puts the constants
      on every device, once; the number of devices, by which B must be divisible).
    """
    shared = tuple(on or devices())
    mesh = Mesh(np.array(shared), ('batch',))
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec('batch'))
    batched = jax.vmap(function, in_axes=(None, 0))
    if [device.platform for device in shared] == ['cpu']:
        batched = _in_chunks(batched, CPU_CHUNK)
    compiled = jax.jit(
        batched,
        in_shardings=(everywhere, split),
        out_shardings=split,
        compiler_options=_compiler_options(shared[0]),
    )
    return compiled, lambda constants: jax.device_put(constants, everywhere), len(shared)


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


def replicated(tree: Any) -> Any:
    """Puts a pytree on every one of `devices()`, once."""
    mesh = Mesh(np.array(devices()), ('batch',))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jax.jit` with what is fast on this process's devices; `options` are its own."""
    return jax.jit(function, compiler_options=_compiler_options(devices()[0]), **options)


def round_up(count: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is at least `count`."""
    return -(-count // multiple) * multiple
