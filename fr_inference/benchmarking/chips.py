"""Data sheets of devices, their peak memory, and the number of operations of a program."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import jax

from fr_inference import errors

_NVIDIA = 'https://www.nvidia.com/en-us/data-center'
_GOOGLE = 'https://cloud.google.com/tpu/docs'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """The vendor's data for one device, as JAX counts devices.

    Attributes:
      bfloat16: dense FLOP/s of products of bfloat16 numbers.
      float32: dense FLOP/s of products of float32 arrays with JAX's default precision: TF32 on NVIDIA's
        GPUs, bfloat16 on TPUs.
      bandwidth: of the device's own memory, bytes/s.
      memory: of the device, bytes.
      source: the data sheet.
    """

    bfloat16: float
    float32: float
    bandwidth: float
    memory: int
    source: str


def _tpu(teraflops, gigabytes_per_second, gibibytes, page):
    flops = teraflops * 1e12
    return Chip(
        bfloat16=flops,
        float32=flops,
        bandwidth=gigabytes_per_second * 1e9,
        memory=gibibytes * 2**30,
        source=f'{_GOOGLE}/{page}',
    )


def _nvidia(teraflops, gigabytes_per_second, gigabytes, page):
    """Returns the data of an NVIDIA GPU; TF32 has half the rate of bfloat16 on all of them."""
    return Chip(
        bfloat16=teraflops * 1e12,
        float32=teraflops * 1e12 / 2,
        bandwidth=gigabytes_per_second * 1e9,
        memory=gigabytes * 10**9,
        source=f'{_NVIDIA}/{page}',
    )


# Prefix of the device's kind -> data sheet; the longest match counts. NVIDIA's sheets from H100 on give
# twice these rates, "with sparsity". A TPU7x chip is two devices, each with half of it.
CHIPS: dict[str, Chip] = {
    'NVIDIA A100': _nvidia(312, 2039, 80, 'a100'),
    'NVIDIA A100-SXM4-40GB': _nvidia(312, 1555, 40, 'a100'),
    'NVIDIA A100-PCIE-40GB': _nvidia(312, 1555, 40, 'a100'),
    'NVIDIA A100 80GB PCIe': _nvidia(312, 1935, 80, 'a100'),
    'NVIDIA H100 80GB HBM3': _nvidia(989.5, 3350, 80, 'h100'),
    'NVIDIA H100 NVL': _nvidia(835.5, 3900, 94, 'h100'),
    'NVIDIA H100 PCIe': _nvidia(756.5, 2000, 80, 'h100'),
    'NVIDIA H200': _nvidia(989.5, 4800, 141, 'h200'),
    'NVIDIA H200 NVL': _nvidia(835.5, 4800, 141, 'h200'),
    'NVIDIA B200': _nvidia(2250, 8000, 180, 'dgx-b200'),
    'TPU v4': _tpu(275, 1228, 32, 'v4'),
    'TPU v5 lite': _tpu(197, 819, 16, 'v5e'),
    'TPU v5e': _tpu(197, 819, 16, 'v5e'),
    'TPU v5': _tpu(459, 2765, 95, 'v5p'),
    'TPU v6 lite': _tpu(918, 1638, 32, 'v6e'),
    'TPU v6e': _tpu(918, 1638, 32, 'v6e'),
    'TPU7x': _tpu(2307 / 2, 7380 / 2, 96, 'tpu7x'),
}
_OTHERS = ('TPU v4 lite', 'TPU v4i')  # inference chips that match a prefix in the table


def find(kind: str) -> Chip | None:
    """Returns the data of a kind of device, None if it is not in the table.

    >>> find('TPU v5 lite').bfloat16 < find('TPU v5p').bfloat16
    True
    >>> find('cpu')
    """
    if kind in _OTHERS:
        return None
    matching = [name for name in CHIPS if kind.startswith(name)]
    return CHIPS[max(matching, key=len)] if matching else None


def peak_bytes(devices: Sequence[jax.Device]) -> tuple[int, str]:
    """Returns (peak bytes so far, of what: the fullest 'device', or this 'process').

    Raises:
      InputError: when neither the devices nor the system report it (Windows).
    """
    held = [(device.memory_stats() or {}).get('peak_bytes_in_use') for device in devices]
    if all(value is not None for value in held):
        return max(int(value) for value in held if value is not None), 'device'
    try:
        import resource
    except ImportError as error:
        raise errors.InputError('platform', sys.platform, 'Linux or macOS') from error
    unit = 1 if sys.platform == 'darwin' else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 'process'


def host() -> jax.Device | None:
    """Returns the CPU as a JAX device, None if JAX was started without it (JAX_PLATFORMS)."""
    try:
        return jax.devices('cpu')[0]
    except RuntimeError:
        return None


def flops(function: Any, *arguments: Any) -> float | None:
    """Returns the floating-point operations of one call, by XLA's cost analysis.

    They are counted before optimisation, with direct convolutions. The number is the same for every
    device, although a CPU computes fewer products (Winograd) and others may compute more (padding). XLA
    counts the body of a loop once, so the function should have no loops.

    Args:
      function: the result of `jax.jit`, on the `host` if it is bound to devices.
      *arguments: pytrees of arrays, or of their shapes.

    Returns:
      FLOP; None without a `host`, or if JAX cannot count them: plug-in backends do not analyse programs
      before compilation.
    """
    device = host()
    if device is None:
        return None
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
    with jax.default_device(device):
        # On a TPU every operation is XLA's own; elsewhere it cannot count those of a library.
        lowered = function.trace(*shapes).lower(lowering_platforms=('tpu',))
        try:
            analysis = lowered.cost_analysis() or {}
        except NotImplementedError:
            return None
    return analysis.get('flops')
