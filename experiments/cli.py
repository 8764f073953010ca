"""What every program shares: exit codes, one-line errors, a progress bar on process 0."""

import io
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterable

import jax
import tqdm
from absl import app, flags, logging

from fr_inference import checks

EXIT_BAD_INPUT = 2
EXIT_GATE = 3


class GateCrossedError(Exception):
    """A gate given with `--fail_above` was crossed."""


def define_seed(description: str) -> flags.FlagHolder:
    """Defines --seed, which all random numbers follow from."""
    return flags.DEFINE_integer('seed', 0, description, lower_bound=0, upper_bound=2**31 - 1)


def run(main: Callable[[], None]) -> None:
    """Parses flags and runs `main`; exit code 2 and one line on bad input, 3 on a crossed gate."""
    quiet = False
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')  # file names of any encoding

    def parse(argv: list[str]) -> list[str]:
        nonlocal quiet
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _stop(str(error), EXIT_BAD_INPUT)
        except SystemExit:
            sys.exit(0)  # help was asked for and shown, which absl calls a failure
        quiet = flags.FLAGS['verbosity'].using_default_value
        if len(rest) > 1:
            _stop(f'arguments: found {rest[1]!r}, expected only --flag=value', EXIT_BAD_INPUT)
        return rest

    def guarded(_argv: list[str]) -> None:
        if quiet:  # absl has raised it to INFO, where Orbax tells of every file
            logging.set_verbosity(logging.WARNING)
        try:
            main()
        except checks.InputError as error:
            _stop(str(error), EXIT_BAD_INPUT)
        except GateCrossedError as error:
            _stop(str(error), EXIT_GATE)

    app.run(guarded, flags_parser=parse)


def _stop(message: str, code: int) -> None:
    print(checks.shown(' '.join(message.split())), file=sys.stderr)
    sys.exit(code)


def make_folder(path: str | os.PathLike, flag: str, files: Iterable[str] = ()) -> pathlib.Path:
    """Makes the folder for the results, before the work whose results it is to hold.

    Args:
      path: the folder.
      flag: how errors call it.
      files: names of what will be written there.

    Raises:
      InputError: when it can't be made or written to.
    """
    path = pathlib.Path(path)
    whole = os.path.abspath(path)
    checks.require(
        whole == whole.encode(errors='replace').decode(),  # Orbax writes nowhere else
        f'{flag}: {path} is no UTF-8 name; choose another folder',
    )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise checks.InputError(
            f'{flag}: {path} can not be made: {error.strerror}; choose another folder'
        ) from error
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise checks.InputError(
            f'{flag}: {path} can not be written to: {error.strerror}; choose another folder'
        ) from error
    for file in (path / name for name in files):
        writable = file.is_file() and os.access(file, os.W_OK)
        checks.require(
            writable or not os.path.lexists(file),
            f'{flag}: {file} is there and is no file that can be replaced; choose another folder',
        )
    return path


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
