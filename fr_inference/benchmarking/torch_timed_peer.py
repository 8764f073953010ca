"""Times PyTorch in a separate process, which frees its memory and can be stopped after a time limit."""

import json
import os
import subprocess
import sys
from typing import Any

from fr_inference.benchmarking import torch_peer

_MODULE = 'tests.benchmarking.torch_timed'  # in a checkout, with the networks in tests/parity


class NotMeasured(Exception):
    """Reports in one line why there is no figure."""


def measure(asked: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Returns {'seconds': those of each call, 'first_call_seconds', 'device', 'torch'}.

    Args:
      asked: what to time, see `tests/benchmarking/torch_timed.py`.
      seconds: time limit.

    Raises:
      NotMeasured: when PyTorch is missing, fails, or takes too long.
    """
    if (problem := torch_peer.missing()) is not None:
        raise NotMeasured(problem)
    try:
        done = subprocess.run(
            [sys.executable, '-m', _MODULE, json.dumps(asked)],
            cwd=torch_peer.ROOT,
            # JAX is imported with the library but must leave the device to PyTorch.
            env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(torch_peer.ROOT)},
            capture_output=True,
            text=True,
            timeout=max(1.0, seconds),
        )
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f'PyTorch took more than {seconds:.0f} s') from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f'code {done.returncode}']
        raise NotMeasured(f'PyTorch: {lines[-1][:200]}')
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
