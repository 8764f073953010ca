"""Times calls in turn, so that noise affects all of them equally."""

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import jax
import numpy as np

from fr_inference.runs import Progress

Label = TypeVar('Label', bound=Hashable)

# Seconds before each timed call: PyTorch's threads spin for a while after their work, and would take
# half the processor from the next call.
_PAUSE = 0.25


def interleaved(
    calls: dict[Label, Callable[[], Any]],
    rounds: int,
    progress: Progress | None = None,
    meet: Callable[[], None] | None = None,
) -> dict[Label, list[float]]:
    """Returns the seconds of every call in every round; each round times all calls.

    Args:
      calls: by label.
      rounds: timed calls of each.
      progress: called as progress(label, done, total) after each round.
      meet: called before each timed call, so that several processes start it together.
    """
    seconds: dict[Label, list[float]] = {label: [] for label in calls}
    order = list(calls)
    for i in range(rounds):
        for label in order if i % 2 else order[::-1]:  # so that no call always follows the same one
            time.sleep(_PAUSE)
            # Warms caches; waited for, so that it is not timed with the next call
            timed(calls[label])
            if meet is not None:
                meet()
            seconds[label].append(timed(calls[label])[0])
        if progress is not None:
            progress('rounds', i + 1, rounds)
    return seconds


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Returns (seconds until the call's output is ready, the output)."""
    start = time.perf_counter()
    output = jax.block_until_ready(call())
    return time.perf_counter() - start, output


def quartiles(values: Any) -> dict[str, Any]:
    """Returns {'median', 'quartiles': [low, high]}."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {'median': float(median), 'quartiles': [float(low), float(high)]}
