"""Peak speed of a device, memory that it has held, and the work of a program."""

import resource
import sys
from collections.abc import Sequence
from typing import Any

import jax

_NVIDIA = 'https://www.nvidia.com/en-us/data-center'
_GOOGLE = 'https://cloud.google.com/tpu/docs'
# Beginning of the device's kind -> (dense bfloat16 FLOP/s of one device, the vendor's data sheet).
# NVIDIA's sheets for H100 and H200 give twice these values, "with sparsity". The longest match counts.
PEAKS: dict[str, tuple[float, str]] = {
    'NVIDIA A100': (312e12, f'{_NVIDIA}/a100'),
    'NVIDIA H100 80GB HBM3': (989.5e12, f'{_NVIDIA}/h100'),
    'NVIDIA H100 NVL': (835.5e12, f'{_NVIDIA}/h100'),
    'NVIDIA H100 PCIe': (756.5e12, f'{_NVIDIA}/h100'),
    'NVIDIA H200': (989.5e12, f'{_NVIDIA}/h200'),
    'NVIDIA H200 NVL': (835.5e12, f'{_NVIDIA}/h200'),
    'TPU v4': (275e12, f'{_GOOGLE}/v4'),
    'TPU v5 lite': (197e12, f'{_GOOGLE}/v5e'),
    'TPU v5e': (197e12, f'{_GOOGLE}/v5e'),
    'TPU v5': (459e12, f'{_GOOGLE}/v5p'),
    'TPU v6 lite': (918e12, f'{_GOOGLE}/v6e'),
    'TPU v6e': (918e12, f'{_GOOGLE}/v6e'),
}
_OTHERS = ('TPU v4 lite', 'TPU v4i')  # inference chips that begin like one of the table


def peak(kind: str) -> tuple[float, str] | None:
    """Returns (peak bfloat16 FLOP/s of one device, the source), None for a kind that is not known.

    >>> peak('TPU v5 lite')[0] < peak('TPU v5p')[0]
    True
    >>> peak('cpu')
    """
    if kind in _OTHERS:
        return None
    matching = [name for name in PEAKS if kind.startswith(name)]
    return PEAKS[max(matching, key=len)] if matching else None


def peak_bytes(devices: Sequence[jax.Device]) -> tuple[int, str]:
    """Returns (most bytes held so far, by what: 'device', the fullest one, or this 'process')."""
    held = [(device.memory_stats() or {}).get('peak_bytes_in_use') for device in devices]
    if all(value is not None for value in held):
        return max(int(value) for value in held if value is not None), 'device'
    unit = 1 if sys.platform == 'darwin' else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 'process'


def host() -> jax.Device | None:
    """Returns the CPU as a JAX device, None where JAX was started without it (JAX_PLATFORMS)."""
    try:
        return jax.devices('cpu')[0]
    except RuntimeError:
        return None


def flops(function: Any, *arguments: Any) -> float | None:
    """Returns the floating-point operations of one call, by XLA's cost analysis.

    They are counted before optimisation, with direct convolutions: the number is the same on any device,
    although a CPU computes fewer products (Winograd) and others may compute more (padding). XLA counts
    the body of a loop once: give a function without loops.

    Args:
      function: `jax.jit` of something, on the `host` if it is bound to devices.
      *arguments: pytrees of arrays, or of their shapes.

    Returns:
      None without a `host`: plug-in backends do not analyse programs before they are compiled.
    """
    device = host()
    if device is None:
        return None
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
    with jax.default_device(device):
        # For a TPU every operation is XLA's own; it cannot count what a library computes.
        lowered = function.trace(*shapes).lower(lowering_platforms=('tpu',))
        analysis = lowered.cost_analysis() or {}
    return analysis.get('flops')
