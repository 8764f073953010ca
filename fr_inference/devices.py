"""The only file that knows devices: maps functions of one example over batches, devices and processes.

Measuring and inversion run on the devices of one process, and each process computes its share of the
examples; a training step runs on the devices of all processes at once.
"""

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fr_inference import errors, processes

# Examples that are computed together on a CPU: the features of 8 images stay in its caches, and XLA
# allocates less memory at every call. 4 and 8 are equally fast; 1 is slow for wide backbones.
CPU_CHUNK = 8

# XLA on CPU hands convolutions, matrix products and reductions to a library (YNNPACK), which is faster
# for reductions and slower than XLA's own code for the convolutions of face backbones.
_CPU_OPTIONS = {'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_REDUCE'}

_CHOSEN: contextvars.ContextVar[tuple[jax.Device, ...] | None]
_CHOSEN = contextvars.ContextVar('devices', default=None)


def local() -> tuple[jax.Device, ...]:
    """Returns the devices that work is shared over: those of `using`, else all of this process."""
    return _CHOSEN.get() or tuple(jax.local_devices())


@contextlib.contextmanager
def using(chosen: Sequence[jax.Device]) -> Iterator[None]:
    """Makes everything inside, in this thread, run on the chosen devices of this process."""
    token = _CHOSEN.set(tuple(chosen))
    try:
        with jax.default_device(chosen[0]):
            yield
    finally:
        _CHOSEN.reset(token)


@dataclasses.dataclass(frozen=True)
class Batched:
    """A function of (constants, batch) that `per_example` compiles.

    Attributes:
      program: function of (constants, batch placed on the devices by `share_out`), compiled by
        `jax.jit`.
      split: the sharding of a batch.
    """

    program: Any
    split: NamedSharding

    def share_out(self, batch: Any) -> Any:
        """Puts each part of a batch on its device."""
        # With several processes, `jit` cannot distribute NumPy arrays itself.
        return jax.device_put(batch, self.split)

    def __call__(self, constants: Any, batch: Any) -> Any:
        """Computes a batch of [B, ...] arrays, on the host or on devices."""
        return self.program(constants, self.share_out(batch))


def per_example(
    function: Callable[[Any, Any], Any], on: Sequence[jax.Device] | None = None
) -> tuple[Batched, Callable[[Any], Any], int]:
    """Compiles a function of one example into one of a batch that is split over the devices.

    Args:
      function: (constants, example) -> pytree of arrays. Pure.
      on: which devices; `local()` by default.

    Returns:
      (function of (constants, batch [B, ...]) -> pytree of [B, ...] arrays; function that puts the
      constants on every device, to be called once; number of devices, by which B must be divisible).
    """
    shared = tuple(on or local())
    everywhere, split = _shardings(Mesh(np.array(shared), ('batch',)))
    compiled = jax.jit(
        _batched(function, shared),
        in_shardings=(everywhere, split),
        out_shardings=split,
        compiler_options=_compiler_options(shared[0]),
    )
    run = Batched(compiled, split)
    return run, lambda constants: jax.device_put(constants, everywhere), len(shared)


def per_candidate(
    function: Callable[[Any, Any], Any], on: Sequence[jax.Device] | None = None
) -> tuple[Callable[[Any, Any], Any], Callable[[Any], Any], int]:
    """Compiles a function of one candidate: `pmap` over the devices, `vmap` within each.

    No device ever waits for another. The constants, which all candidates share, are placed once.

    Args:
      function: (constants, candidate) -> pytree of arrays. Pure.
      on: which devices; `local()` by default.

    Returns:
      (function of (constants, candidates [D, B, ...]) -> pytree of [D, B, ...] arrays; function
      that puts the constants on every device, to be called once; number D of devices).
    """
    shared = tuple(on or local())
    everywhere, _ = _shardings(Mesh(np.array(shared), ('batch',)))
    batched = _batched(function, shared)
    if len(shared) > 1:
        mapped: Any = jax.pmap(batched, in_axes=(None, 0), devices=shared)
    else:  # on one device: without a mapped axis, and with the compiler's options

        def alone(constants, parts):
            found = batched(constants, jax.tree.map(lambda leaf: leaf[0], parts))
            return jax.tree.map(lambda leaf: leaf[None], found)

        mapped = jax.jit(
            alone,
            in_shardings=everywhere,
            out_shardings=everywhere,
            compiler_options=_compiler_options(shared[0]),
        )
    return mapped, lambda constants: jax.device_put(constants, everywhere), len(shared)


@dataclasses.dataclass(frozen=True)
class Mapped:
    """A function of one example over any number of examples, made by `over`.

    Attributes:
      program: from `per_candidate`.
      constants: shared by all examples, placed on every device.
      count: number of devices of this process that are used.
      width: examples at a time on each device.
    """

    program: Callable[[Any, Any], Any]
    constants: Any
    count: int
    width: int

    def here(self, examples: Any) -> Any:
        """Computes on this process's devices alone.

        Args:
          examples: pytree of NumPy arrays [n, ...]; n may be 0.

        Returns:
          Pytree of NumPy arrays [n, ...].
        """
        total = len(jax.tree.leaves(examples)[0])
        chunk = self.count * self.width
        if not total:
            one = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(
                    (self.count, self.width, *leaf.shape[1:]), leaf.dtype
                ),
                examples,
            )
            shapes = jax.eval_shape(self.program, self.constants, one)
            return jax.tree.map(lambda leaf: np.zeros((0, *leaf.shape[2:]), leaf.dtype), shapes)
        parts = []
        for start in range(0, total, chunk):
            # The last chunk is padded with the last example, so that one program serves any number.
            index = np.minimum(np.arange(start, start + chunk), total - 1)
            index = index.reshape(self.count, self.width)
            batch = jax.tree.map(lambda leaf, index=index: np.asarray(leaf)[index], examples)
            found = jax.device_get(self.program(self.constants, batch))
            real = min(chunk, total - start)
            parts.append(
                jax.tree.map(
                    lambda leaf, real=real: leaf.reshape(chunk, *leaf.shape[2:])[:real], found
                )
            )
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def __call__(self, examples: Any) -> Any:
        """Computes on the devices of all processes: each takes a share, all get the whole result.

        Args:
          examples: pytree of NumPy arrays [N, ...], the same in all processes.

        Returns:
          Pytree of NumPy arrays [N, ...].
        """
        own = processes.share(len(jax.tree.leaves(examples)[0]))
        found = self.here(jax.tree.map(lambda leaf: np.asarray(leaf)[own], examples))
        return processes.gather_rows(found)


def largest_share(total: int) -> int:
    """Returns the largest number of the `total` examples that a process may get."""
    return -(-total // processes.count())


def over(
    program: tuple[Callable[[Any, Any], Any], Callable[[Any], Any], int],
    constants: Any,
    *,
    total: int,
    most: int,
) -> Mapped:
    """Applies a compiled one-candidate function to any number of candidates.

    Args:
      program: the result of `per_candidate`; programs that differ only in their constants share it.
      constants: shared by all candidates; they are put on every device here, once.
      total: number of candidates per call, of all processes together. It sets how many a device
        computes at once, so that a few are not padded to `most`.
      most: examples at a time on each device, which bounds its memory.
    """
    compiled, place, count = program
    width = max(1, min(most, -(-largest_share(total) // count)))
    return Mapped(compiled, place(constants), count, width)


def _batched(function, shared):
    batched = jax.vmap(function, in_axes=(None, 0))
    if [device.platform for device in shared] == ['cpu']:
        batched = _in_chunks(batched, CPU_CHUNK)
    return batched


def _in_chunks(batched, size):
    """`batched` with a few examples at a time, if they can be divided evenly."""

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
    """Options of XLA for programs on the device; None if this version does not know them."""
    if device.platform != 'cpu':
        return None
    try:
        one = jax.device_put(np.float32(1), device)
        jax.jit(lambda x: x, compiler_options=_CPU_OPTIONS).lower(one).compile()
    except jax.errors.JaxRuntimeError:
        return None
    return _CPU_OPTIONS


def replicated(tree: Any) -> Any:
    """Puts a pytree on every one of `local()`, once."""
    return jax.device_put(tree, _shardings(Mesh(np.array(local()), ('batch',)))[0])


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jax.jit` with the fastest options for this process's devices; `options` as for `jax.jit`."""
    return jax.jit(function, compiler_options=_compiler_options(local()[0]), **options)


def round_up(count: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is at least `count`."""
    return -(-count // multiple) * multiple


def _shardings(mesh):
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec('batch'))


def training_mesh(batch_size: int, fewest: int = 1) -> Mesh:
    """Returns the devices over which batches of this size can be divided evenly.

    Each process takes the largest number of its devices that divides its part: a batch of 30 on 8
    devices is computed on 6. No result depends on how many there are.

    Args:
      batch_size: images of a batch.
      fewest: the smallest number of images that a device may get.

    Raises:
      InputError: when the batch is not a multiple of the number of processes.
    """
    several = processes.count()
    if batch_size % several:
        raise errors.InputError('batch_size', batch_size, f'a multiple of {several} processes')
    part = batch_size // several
    here = local()
    fitting = [n for n in range(1, len(here) + 1) if part % n == 0 and part // n >= fewest]
    if not fitting:
        raise errors.InputError(
            'batch_size', batch_size, f'{fewest} images for each of {several} processes'
        )
    if several == 1:
        return Mesh(np.array(here[: fitting[-1]]), ('batch',))
    of_all = [[d for d in jax.devices() if d.process_index == n] for n in range(several)]
    return Mesh(np.array([d for of_one in of_all for d in of_one[: fitting[-1]]]), ('batch',))


def data_parallel(
    step: Callable[[Any, Any, Any], Any], mesh: Mesh
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Compiles a training step (state, batch [B, ...], seed) -> (state, metrics) for the mesh.

    The step gives the same result as on one device: sums and means, also those of BatchNorm, are
    over the whole batch. The state is replicated on all devices, and donated.
    """
    everywhere, split = _shardings(mesh)
    compiled = jax.jit(
        step,
        in_shardings=(everywhere, split, everywhere),
        out_shardings=everywhere,
        donate_argnums=0,
        compiler_options=_compiler_options(mesh.local_devices[0]),
    )
    if processes.count() == 1:
        return compiled

    @functools.cache
    def together(shapes):
        # Devices of several processes connect in their first common program, and wait for each
        # other at most half a minute. Compilation times of the processes may differ by more than that.
        made = compiled.lower(*jax.tree.unflatten(*shapes)).compile()
        multihost_utils.sync_global_devices('compiled')
        return made

    def run(*arguments):
        leaves, structure = jax.tree.flatten(arguments)
        shapes = tuple(jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype) for leaf in leaves)
        return together((structure, shapes))(*arguments)

    vars(run)['lower'] = compiled.lower  # for the benchmark, which times compilation separately
    return run


def by_device(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """Makes each device compute a function of (shared, batch [B, ...]) on its own part of the batch.

    Returns:
      A function of the same arguments that returns the mean over the devices.
    """

    def own(shared, batch):
        return jax.lax.pmean(function(shared, batch), 'batch')

    return jax.shard_map(
        own,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec('batch')),
        out_specs=PartitionSpec(),
    )


def summed_by_device(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """As `by_device`, but returns the sum. Gradients inside the function are those of its own part."""

    def own(shared, batch):
        return jax.lax.psum(function(shared, batch), 'batch')

    specs = PartitionSpec(), PartitionSpec('batch')
    # With the check, gradients of the shared arguments would already be summed over the devices.
    return jax.shard_map(own, mesh=mesh, in_specs=specs, out_specs=specs[0], check_vma=False)


def is_cpu(mesh: Mesh) -> bool:
    """Whether the devices are CPUs, whose caches hold only a few examples."""
    return bool(mesh.devices.flat[0].platform == 'cpu')


def on_mesh(tree: Any, mesh: Mesh) -> Any:
    """Puts a pytree, the same in all processes, on every device of the mesh."""
    everywhere, _ = _shardings(mesh)

    def place(leaf):
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, everywhere, lambda index: leaf[index])

    return jax.tree.map(place, tree)


def batch_on_mesh(read: Callable[[slice], Any], size: int, mesh: Mesh) -> Any:
    """Puts a batch on the mesh; each process reads only its own part.

    Args:
      read: rows of the batch -> pytree of arrays [len(rows), ...].
      size: size of the batch.
      mesh: of `training_mesh`.
    """
    _, split = _shardings(mesh)
    own = processes.share(size)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(split, leaf, (size, *leaf.shape[1:])),
        read(own),
    )
