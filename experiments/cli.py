"""What every program shares: exit codes, one-line errors, several processes, a progress bar.

Exit codes: 0 done, 1 a bug, 2 bad input, 3 a gate crossed, 4 stopped by SIGTERM with its state saved
(the same command goes on).
"""

import errno
import io
import os
import pathlib
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable

import jax
import tqdm
from absl import app, flags, logging

from fr_inference import errors, processes
from fr_inference.report import gate

EXIT_BUG = 1
EXIT_BAD_INPUT = 2
EXIT_GATE = 3
EXIT_STOPPED = 4

_HEARTBEAT_SECONDS = 20  # a process that died is missed after so long
_JOIN_SECONDS = 120  # so long all may take to start
_SHUTDOWN_SECONDS = 30  # one that is done waits so long for the others
_LAST_SECONDS = 3
_LOST = re.compile(
    'Gloo|coordination service|NCCL', re.IGNORECASE
)  # what is raised when another ends
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO)

_DISTRIBUTED = flags.DEFINE_bool(
    'distributed',
    False,
    'One of several processes that the cluster (TPU, SLURM, Open MPI) tells of.',
)
_COORDINATOR = flags.DEFINE_string(
    'coordinator_address', None, 'HOST:PORT of process 0, where no cluster tells it.'
)
_PROCESSES = flags.DEFINE_integer('num_processes', None, 'How many there are.', lower_bound=1)
_PROCESS = flags.DEFINE_integer('process_id', None, 'Which one this is, from 0.', lower_bound=0)


def define_seed(description: str) -> flags.FlagHolder:
    """Defines --seed, which all random numbers follow from."""
    return flags.DEFINE_integer('seed', 0, description, lower_bound=0, upper_bound=2**31 - 1)


def run(main: Callable[[], None], *, shared: bool = True, saves: bool = True) -> None:
    """Parses flags and runs `main`; exit code 2 and one line on bad input, 3 on a crossed gate.

    Args:
      main: the program.
      shared: whether several processes can do it together.
      saves: whether it saves a state when SIGTERM stops it; without one it ends at once.
    """
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
            _join_others(shared)
            if saves and not _joined():  # else JAX hears it, and tells the others
                signal.signal(signal.SIGTERM, _on_sigterm)
            main()
        except errors.InputError as error:
            known = error.field in flags.FLAGS
            _stop(error.message(f'--{error.field}' if known else error.field), EXIT_BAD_INPUT)
        except gate.GateCrossed as error:
            _stop(f'--fail_above: {error}', EXIT_GATE)
        except processes.Stopped:
            _stop('stopped; its state is saved, the same command goes on', EXIT_STOPPED)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                _stop(f'{error.filename or "a file"}: {error.strerror}', EXIT_BAD_INPUT)
            if not _joined():
                raise
            if _LOST.search(str(error)):
                _stop('another process ended, see what it says; the same command goes on', EXIT_BUG)
            traceback.print_exc()
            _leave(EXIT_BUG)

    app.run(guarded, flags_parser=parse)


def _stop(message: str, code: int) -> None:
    print(errors.shown(' '.join(message.split())), file=sys.stderr)
    _leave(code)


def _leave(code: int) -> None:
    """Ends; one of several processes at once, for the others may wait for it where it never comes."""
    if _joined() and code not in (EXIT_GATE, EXIT_STOPPED):
        sys.stdout.flush()
        sys.stderr.flush()
        if processes.is_first():
            time.sleep(_LAST_SECONDS)  # its end ends the others, who have something to say as well
        os._exit(code)
    sys.exit(code)


def _on_sigterm(number: int, frame: object) -> None:
    """Stops at the next point where the state can be saved; asked again, at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    processes.ask_to_stop()


def _joined() -> bool:
    return jax.distributed.is_initialized()


def _join_others(shared: bool) -> None:
    """Makes this process one of several, of which the first alone prints results."""
    given = {
        '--coordinator_address': _COORDINATOR.value,
        '--num_processes': _PROCESSES.value,
        '--process_id': _PROCESS.value,
    }
    absent = [name for name, value in given.items() if value is None]
    if len(absent) == len(given) and not _DISTRIBUTED.value:
        return
    errors.require(
        shared,
        '--distributed: this program is the work of one process; leave out all flags of several',
    )
    errors.require(
        not absent or _DISTRIBUTED.value,
        f'{", ".join(absent)}: missing; give all three, or --distributed where a cluster tells them',
    )
    if _COORDINATOR.value is not None:
        host, _, port = _COORDINATOR.value.rpartition(':')
        errors.require(
            host and port.isdecimal() and 0 < int(port) < 65536,
            f'--coordinator_address: found {_COORDINATOR.value!r}, expected HOST:PORT',
        )
        print(
            f'waiting for all {_PROCESSES.value} processes at {_COORDINATOR.value}', file=sys.stderr
        )
    # JAX itself ends a process that waited in vain, with a stack of C++.
    gave_up = threading.Timer(_JOIN_SECONDS, _nobody_came)
    gave_up.start()
    try:
        jax.distributed.initialize(
            _COORDINATOR.value,
            _PROCESSES.value,
            _PROCESS.value,
            initialization_timeout=_JOIN_SECONDS + 30,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise errors.InputError(
            f'--distributed: no connection to the other processes: {error}; give '
            '--coordinator_address, --num_processes and --process_id where no cluster tells them'
        ) from error
    finally:
        gave_up.cancel()
    processes.meet()
    if not processes.is_first():
        sys.stdout = io.StringIO()  # nobody reads it


def _nobody_came() -> None:
    where = f' at {_COORDINATOR.value}' if _COORDINATOR.value else ''
    print(
        f'--num_processes: not all of them came{where} in {_JOIN_SECONDS} s; see what the others say, '
        'and start all at once',
        file=sys.stderr,
        flush=True,
    )
    os._exit(EXIT_BAD_INPUT)


def make_folder(path: str | os.PathLike, flag: str, files: Iterable[str] = ()) -> pathlib.Path:
    """Makes the folder for the results, before the work whose results it is to hold.

    Of several processes the first does, and all hear of it.

    Args:
      path: the folder.
      flag: how errors call it.
      files: names of what will be written there.

    Raises:
      InputError: when it can't be made or written to.
    """
    path = pathlib.Path(path)
    processes.from_first(lambda: make_folder_here(path, flag, files))
    return path


def make_folder_here(path: pathlib.Path, flag: str, files: Iterable[str] = ()) -> None:
    """`make_folder` by this process, whichever it is."""
    whole = os.path.abspath(path)
    errors.require(
        whole == whole.encode(errors='replace').decode(),  # Orbax writes nowhere else
        f'{flag}: {path} is no UTF-8 name; choose another folder',
    )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.InputError(
            f'{flag}: {path} can not be made: {error.strerror}; choose another folder'
        ) from error
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise errors.InputError(
            f'{flag}: {path} can not be written to: {error.strerror}; choose another folder'
        ) from error
    for file in (path / name for name in files):
        writable = file.is_file() and os.access(file, os.W_OK)
        errors.require(
            writable or not os.path.lexists(file),
            f'{flag}: {file} is there and is no file that can be replaced; choose another folder',
        )


def progress(label: str, done: int, total: int, *, keep: bool = True, **metrics: float) -> None:
    """Draws one progress bar per label, on process 0; pass it as `progress=` to the library.

    Args:
      label: stands before the bar; in several threads at a time it must be another in each.
      done: of `total`.
      total: when it is reached the bar ends.
      keep: whether it stays on the screen then.
      **metrics: stand behind it.
    """
    if not processes.is_first():
        return
    bar = _BARS.get(label)
    if bar is None:
        seen = sys.stderr.isatty()  # a log gets few lines, and no movements of the cursor
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


def drop_bars(prefix: str) -> None:
    """Takes away the bars, of labels that begin so, of work that was given up."""
    for label in [label for label in _BARS if label.startswith(prefix)]:
        bar = _BARS.pop(label)
        bar.leave = False
        bar.close()


def say(line: str) -> None:
    """Prints one line, on process 0, above the bars."""
    if processes.is_first():
        tqdm.tqdm.write(errors.shown(line), file=sys.stdout)
        sys.stdout.flush()


_BARS: dict[str, tqdm.tqdm] = {}
