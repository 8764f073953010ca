"""What every program shares: exit codes, one-line errors, a progress bar on process 0."""

import sys
from collections.abc import Callable

import jax
import tqdm
from absl import app, flags

from fr_inference import checks

EXIT_BAD_INPUT = 2
EXIT_GATE = 3


class GateCrossedError(Exception):
    """A gate given with `--fail_above` was crossed."""


def run(main: Callable[[], None]) -> None:
    """Parses flags and runs `main`; exit code 2 and one line on bad input, 3 on a crossed gate."""

    def parse(argv: list[str]) -> list[str]:
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _stop(str(error), EXIT_BAD_INPUT)
        if len(rest) > 1:
            _stop(f'arguments: found {rest[1]!r}, expected only --flag=value', EXIT_BAD_INPUT)
        return rest

    def guarded(_argv: list[str]) -> None:
        try:
            main()
        except checks.InputError as error:
            _stop(str(error), EXIT_BAD_INPUT)
        except GateCrossedError as error:
            _stop(str(error), EXIT_GATE)

    app.run(guarded, flags_parser=parse)


def _stop(message: str, code: int) -> None:
    print(' '.join(message.split()), file=sys.stderr)
    sys.exit(code)


def progress(label: str, done: int, total: int, **metrics: float) -> None:
    """Draws one progress bar per label, on process 0; pass it as `progress=` to the library."""
    if jax.process_index() != 0:
        return
    bar = _BARS.get(label)
    if bar is None:
        bar = _BARS[label] = tqdm.tqdm(total=total, desc=label, mininterval=0.5, file=sys.stderr)
    bar.update(done - bar.n)
    if metrics:
        bar.set_postfix({name: f'{value:.4g}' for name, value in metrics.items()}, refresh=False)
    if done >= total:
        bar.close()
        del _BARS[label]


_BARS: dict[str, tqdm.tqdm] = {}
