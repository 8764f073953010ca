"""Progress bars and lines on the terminal, by process 0 only."""

import sys
from typing import TextIO

import tqdm

from fr_inference import errors, processes

_BARS: dict[str, tqdm.tqdm] = {}


def progress(label: str, done: int, total: int, *, keep: bool = True, **metrics: float) -> None:
    """Draws one progress bar per label; pass it as `progress=` to the library.

    Args:
      label: shown before the bar; threads that work at the same time must use different labels.
      done: of `total`.
      total: the number at which the bar ends.
      keep: whether the bar then stays on the screen.
      **metrics: shown after the bar.
    """
    if not processes.is_first():
        return
    bar = _BARS.get(label)
    if bar is None:
        seen = sys.stderr.isatty()  # a log gets few lines and no cursor movements
        bar = _BARS[label] = tqdm.tqdm(
            total=total,
            desc=label,
            mininterval=0.5 if seen else 10,
            position=None if seen else 0,
            file=sys.stderr,
            leave=keep,
        )
    bar.update(done - bar.n)
    if metrics:
        shown = {
            name: f'{value:,}' if isinstance(value, int) else f'{value:.4g}'
            for name, value in metrics.items()
        }
        bar.set_postfix(shown, refresh=False)
    if done >= total:
        bar.close()
        del _BARS[label]


def drop(prefix: str) -> None:
    """Removes the bars whose labels begin with `prefix`, after their work was abandoned."""
    for label in [label for label in _BARS if label.startswith(prefix)]:
        bar = _BARS.pop(label)
        bar.leave = False
        bar.close()


def say(line: str, file: TextIO | None = None) -> None:
    """Prints one line above the bars, to stdout unless another file is given."""
    if processes.is_first():
        file = file or sys.stdout
        tqdm.tqdm.write(errors.shown(line), file=file)
        file.flush()
