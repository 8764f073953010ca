"""Programs of one candidate, compiled and mapped over any number of them."""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

from fr_inference import devices, processes


class Mapped:
    """A program over examples, which are NumPy arrays (or pytrees of them) with a first axis.

    Searches that differ in numbers and weights alone share what is compiled.
    """

    def __init__(
        self,
        make: Callable[..., Callable[[Any, Any], Any]],
        static: tuple[Hashable, ...],
        constants: Any,
        batch: int,
    ):
        """Compiles at the first call, and places what all examples share.

        Args:
          make: returns the program of (constants, example).
          static: arguments of `make`, on which what is compiled depends.
          constants: what all examples share.
          batch: examples at a time on each device.
        """
        self._program = make(*static)
        self._compiled, place, self._devices = _compiled(devices.local(), make, *static)
        self._constants, self._batch = place(constants), batch

    @property
    def at_once(self) -> int:
        """Examples that this process computes at a time."""
        return self._batch * self._devices

    def shapes(self, example: Any) -> Any:
        """Returns the shapes and dtypes of one example's result."""
        return jax.eval_shape(self._program, self._constants, example)

    def here(self, examples: Any) -> Any:
        """Computes n examples on this process's devices: results with a first axis of length n."""
        total = len(jax.tree.leaves(examples)[0])
        if not total:
            one = jax.tree.map(lambda leaf: np.zeros(leaf.shape[1:], leaf.dtype), examples)
            return jax.tree.map(
                lambda leaf: np.zeros((0, *leaf.shape), leaf.dtype), self.shapes(one)
            )
        count = self._devices
        width = min(self._batch, -(-total // count))
        parts = []
        for start in range(0, total, width * count):
            index = np.minimum(np.arange(start, start + width * count), total - 1)
            chunk = jax.tree.map(
                lambda leaf, index=index: leaf[index].reshape(count, width, *leaf.shape[1:]),
                examples,
            )
            real = min(width * count, total - start)
            parts.append(
                jax.tree.map(
                    lambda leaf, real=real: leaf.reshape(-1, *leaf.shape[2:])[:real],
                    jax.device_get(self._compiled(self._constants, chunk)),
                )
            )
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def __call__(self, examples: Any) -> Any:
        """Computes n examples, each process its share; all processes get the whole."""
        own = processes.share(len(jax.tree.leaves(examples)[0]))
        part = self.here(jax.tree.map(lambda leaf: np.asarray(leaf)[own], examples))
        return processes.gather_rows(part)


@functools.lru_cache(maxsize=32)
def _compiled(on, make, *static):
    return devices.per_candidate(make(*static), on)
