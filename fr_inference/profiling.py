"""A trace of a few steps of each loop, for XProf and Perfetto.

A program requests it with `into`. The loops of `runs` pass their steps to a `Loop`, which just
calls them if no trace was requested. Each loop is traced once, under its label, after the steps
that compile.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import jax

Result = TypeVar('Result')

_WARM = 2  # steps before the trace: the first compiles, and the second may compile again
_TRACED = 3

_FOLDER: pathlib.Path | None = None
_LABELS: list[str] = []  # labels of the traced loops


@contextlib.contextmanager
def into(folder: str | os.PathLike | None) -> Iterator[list[str]]:
    """Traces the loops that run inside this context.

    Args:
      folder: each loop's trace is written to a folder of its label in here; None traces nothing.

    Yields:
      The labels of the loops that were traced.
    """
    global _FOLDER
    _FOLDER = None if folder is None else pathlib.Path(folder)
    _LABELS.clear()
    try:
        yield _LABELS
    finally:
        _FOLDER = None
        if Loop.traced is not None:  # the loop stopped or failed during the trace
            Loop.traced.end()


class Loop:
    """The steps of one loop.

    >>> loop = Loop('training')
    >>> [loop.step(divmod, number, 2) for number in range(3)]
    [(0, 0), (0, 1), (1, 0)]
    >>> loop.end()
    """

    traced: ClassVar['Loop | None'] = None  # JAX traces one thing at a time

    def __init__(self, label: str):
        """Prepares the loop; traces nothing yet.

        Args:
          label: the label of the loop's progress.
        """
        self._label, self._steps = label, 0

    def step(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Returns the result of `function`; traces the call if it is this step's turn.

        Args:
          function: one step.
          *arguments: its arguments.
        """
        if _FOLDER is None:
            return function(*arguments)
        due = self._steps == _WARM and self._label not in _LABELS
        if due and Loop.traced is None:
            self._begin(_FOLDER)
        with jax.profiler.StepTraceAnnotation(self._label, step_num=self._steps):
            result = function(*arguments)
        self._steps += 1
        if self._steps in (_WARM, _WARM + _TRACED):
            # The trace contains its own steps completely, and no others
            jax.block_until_ready(result)
            if Loop.traced is self:
                self.end()
        return result

    def _begin(self, folder):
        how = jax.profiler.ProfileOptions()
        how.python_tracer_level = 0  # millions of Python calls would hide everything else
        name = re.sub(r'\W+', '_', self._label).strip('_')
        jax.profiler.start_trace(
            str(folder / name), create_perfetto_trace=True, profiler_options=how
        )
        Loop.traced = self
        _LABELS.append(self._label)

    def end(self) -> None:
        """Writes the trace if the loop ended during it."""
        if Loop.traced is self:
            Loop.traced = None
            jax.profiler.stop_trace()


def repeated(label: str, function: Callable[[], object]) -> None:
    """Traces calls of `function` if a trace was requested; otherwise does not call it at all.

    Args:
      label: of the trace.
      function: one step.
    """
    if _FOLDER is not None:
        loop = Loop(label)
        for _ in range(_WARM + _TRACED):
            loop.step(function)
