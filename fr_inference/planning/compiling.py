"""Compiles a program for devices that need not be present, and reads its requirements."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import time
from collections.abc import Mapping
from typing import Any

import jax

from fr_inference import files
from fr_inference.benchmarking import program_text
from fr_inference.planning.topologies import Topology

_SCHEMA = 2  # version of the stored figures
_USED = re.compile(r'\(([\d.]+)([KMGT]?)\) exceeds available|Used ([\d.]+)([KMGT]?) of')
# JAX's settings of compiler effort -> their defaults; and environment variables with compiler flags.
_EFFORT = {
    'jax_exec_time_optimization_effort': 0.0,
    'jax_memory_fitting_effort': 0.0,
    'jax_optimization_level': 'UNKNOWN',
    'jax_memory_fitting_level': 'O2',
}
_FLAGS = ('XLA_FLAGS', 'LIBTPU_INIT_ARGS')
_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """The requirements of one call of a program, per device.

    Attributes:
      fits: whether it fits in the memory.
      memory: bytes by part: 'arguments', 'outputs', 'temporaries', 'program'. For a program that
        the compiler refused, only 'temporaries', if it reports them.
      flops: floating-point operations; None if the compiler does not count them.
      bytes: of main memory, read and written; None for a program that was refused.
      accessed: by XLA's own count, which counts a TPU's vector memory as main memory; None if it
        does not count.
      collectives: kind -> number of operations between devices.
      compile_seconds: how long it took on the machine that planned.
    """

    fits: bool
    memory: Mapping[str, int]
    flops: float | None = None
    bytes: float | None = None
    accessed: float | None = None
    collectives: Mapping[str, int] = dataclasses.field(default_factory=dict)
    compile_seconds: float = 0.0

    @property
    def total(self) -> int:
        """Bytes of memory, all parts together."""
        return sum(self.memory.values())


def figures(lowered: Any, topology: Topology, kept: pathlib.Path | None = None) -> Figures:
    """Compiles a lowered program, or returns the stored result for the same program.

    Args:
      lowered: by `jax.jit(...).lower(...)`, for the devices of the topology.
      topology: for its compiler's options and its memory.
      kept: folder with the figures of earlier plans (numbers, not code).
    """
    if kept is None:
        return _compiled(lowered, topology)
    path = kept / f'{_digest(lowered, topology)}.json'
    # If the stored figures are damaged or belong to another user, compile again.
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return Figures(**files.unsealed(json.loads(path.read_text(encoding='utf-8'))))
    found = _compiled(lowered, topology)
    # If the home folder is not writable, the next plan has to compile again; this one still works.
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_text(path, json.dumps(files.sealed(dataclasses.asdict(found))))
    return found


def _digest(lowered, topology):
    """Digest of everything that the figures depend on."""
    device = topology.devices[0]
    described = [
        *(_SCHEMA, jax.__version__, device.device_kind, device.client.platform_version),
        *(topology.available, sorted((topology.options or {}).items()), lowered.as_text()),
        *_settings(),
    ]
    return hashlib.sha256(repr(described).encode()).hexdigest()[:40]


def _settings():
    """The compiler settings in the user's environment, if any."""
    known = jax.config.values
    changed = [(name, known[name]) for name, usual in _EFFORT.items() if known[name] != usual]
    return changed + [(name, os.environ[name]) for name in _FLAGS if os.environ.get(name)]


def _compiled(lowered, topology):
    began = time.monotonic()
    options = None if topology.options is None else dict(topology.options)
    try:
        compiled = lowered.compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        return Figures(
            fits=False,
            memory=_demanded(str(error)),
            compile_seconds=time.monotonic() - began,
        )
    seconds = time.monotonic() - began
    text, cost = compiled.as_text(), _cost(compiled)
    memory = _memory(compiled)
    # Only the TPU's compiler refuses what does not fit.
    return Figures(
        fits=sum(memory.values()) <= topology.available,
        memory=memory,
        flops=cost.get('flops'),
        bytes=float(program_text.bytes_moved(text)),
        accessed=cost.get('bytes accessed'),
        collectives=program_text.collectives(text),
        compile_seconds=seconds,
    )


def _cost(compiled):
    cost = compiled.cost_analysis()
    return (cost[0] if isinstance(cost, list) else cost) or {}


def _memory(compiled):
    found = compiled.memory_analysis()
    return {
        'arguments': found.argument_size_in_bytes,
        # An output that reuses the memory of an argument is counted once.
        'outputs': max(0, found.output_size_in_bytes - found.alias_size_in_bytes),
        'temporaries': found.temp_size_in_bytes,
        'program': found.generated_code_size_in_bytes,
    }


def _demanded(message):
    """The bytes that the compiler reports it would need, if it does."""
    found = _USED.search(message)
    if not found:
        return {}
    number, unit = found[1] or found[3], found[2] or found[4] or ''
    return {'temporaries': int(float(number) * _UNITS[unit])}
