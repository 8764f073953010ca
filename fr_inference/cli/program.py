"""Common to all programs: flags, exit codes, one-line errors, several processes.

Exit codes: 0 done, 1 a bug, 2 bad input, 3 a gate not passed, 4 stopped by SIGTERM with its state saved
(run the same command to continue).
"""

import contextlib
import dataclasses
import errno
import faulthandler
import gc
import io
import logging as standard_logging
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence

from absl import logging

from fr_inference import errors, mirrored, processes, profiling
from fr_inference.cli import bars, compiled, folders, helptext, joining
from fr_inference.cli.joining import EXIT_BAD_INPUT, joined
from fr_inference.cli.options import Flags
from fr_inference.config import Profiling
from fr_inference.declaring import Config
from fr_inference.program_config import Machine
from fr_inference.report import gate

EXIT_BUG = 1
EXIT_GATE = 3
EXIT_STOPPED = 4

_LAST_SECONDS = 3
_ALLOCATIONS = 50_000  # allocations between two garbage collections
# The errors that are raised when another process ends.
_LOST = re.compile('Gloo|coordination service|NCCL', re.IGNORECASE)
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """One command.

    Attributes:
      main: the function of the program; called with its flags.
      kinds: the config classes whose options are its flags.
      required: options that it requires although they have a default.
      optional: options that it does not require although they have no default.
      hidden: options without a flag.
      often: the most used options besides the required ones, separated by spaces, which
        `--helpshort` shows; '' for all.
      shared: whether several processes can do it together.
      names_program: whether another program's name and flags follow its own.
      saves: whether it saves a state when SIGTERM stops it; otherwise it ends at once.
    """

    main: Callable[[Flags], None]
    kinds: Sequence[type[Config]]
    required: Iterable[str] = ()
    optional: Iterable[str] = ()
    hidden: Iterable[str] = ()
    often: str = ''
    names_program: bool = False
    shared: bool = True
    saves: bool = True

    @property
    def doc(self) -> str:
        """What it does, and how to call it."""
        return sys.modules[self.main.__module__].__doc__ or ''

    def flags(self) -> Flags:
        """Returns its flags, unparsed."""
        return Flags(
            self.kinds,
            required=self.required,
            optional=self.optional,
            hidden=self.hidden,
            names_program=self.names_program,
        )

    def run(self) -> None:
        """Parses the command line and runs `main`; an error ends it with one line and an exit code."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors='backslashreplace')  # file names may have any encoding
        _collect_less()
        flags = self.flags()
        try:
            if asked := flags.parse(sys.argv[1:]):
                if asked == 'helpshort' and self.often:
                    _show(helptext.short(self.doc, flags, self.often.split()))
                else:
                    _show(helptext.text(self.doc, flags, shared=self.shared))
                return
            machine = flags.read(Machine)
        except errors.InputError as error:
            _stop(_line(error, flags), EXIT_BAD_INPUT)
        logging.use_absl_handler()
        logging.get_absl_handler().setFormatter(_Plain())
        # absl's own flags stay unparsed; without this it would print a line about that.
        vars(logging)['_warn_preinit_stderr'] = False
        logging.set_verbosity(machine.verbosity)
        if sys.__stderr__ is not None:
            faulthandler.enable(sys.__stderr__)
        failure = self._attempt(flags, machine)
        # Outside of any `except`: a traceback would keep arrays and programs alive until after JAX has
        # closed its devices, which ends with a segmentation fault in some versions.
        if failure is not None:
            _stop(*failure)

    def _work(self, flags: Flags) -> None:
        """Runs `main`; no process ends before process 0 has uploaded the results.

        Otherwise the others would wait at their end for only half a minute, and their failure would
        end process 0.
        """
        try:
            with mirrored.kept(), _profiled(flags):
                self.main(flags)
        except (processes.Stopped, gate.GateCrossed):  # in all processes
            processes.meet()
            raise
        processes.meet()

    def _attempt(self, flags: Flags, machine: Machine) -> tuple[str, int] | None:
        """Runs `main`; returns (line, exit code) for an error that is not a bug."""
        try:
            joining.join_others(machine, shared=self.shared)
            compiled.keep()
            compiled.announce()
            if self.saves and not joined():  # with several, JAX handles it and tells the others
                signal.signal(signal.SIGTERM, _on_sigterm)
            self._work(flags)
            return None
        except errors.InputError as error:
            return _line(error, flags), EXIT_BAD_INPUT
        except gate.GateCrossed as error:
            return f'--fail_above: {error}', EXIT_GATE
        except processes.Stopped:
            return 'stopped: state saved; run the same command to continue', EXIT_STOPPED
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                return f'{error.filename or "a file"}: {error.strerror}', EXIT_BAD_INPUT
            if not joined():
                raise
            if _LOST.search(str(error)):
                return (
                    'another process ended (see its log); run the same command to continue',
                    EXIT_BUG,
                )
            traceback.print_exc()
            _leave(EXIT_BUG)
        return None


class _Plain(standard_logging.Formatter):
    """A log message as one line, `Warning: ...`, without date, process and file."""

    def formatMessage(self, record: standard_logging.LogRecord) -> str:
        said = errors.shown(' '.join(record.getMessage().split()))
        return f'{record.levelname.capitalize()}: {said}'


@contextlib.contextmanager
def _profiled(flags: Flags) -> Iterator[None]:
    """Traces as --profile asks, only in process 0, since the others do the same."""
    asked = flags.read(Profiling).profile if 'profile' in flags.options else None
    folder = None if asked is None else folders.make(asked, 'profile')
    with profiling.into(folder if processes.is_first() else None) as traced:
        yield
    if folder is not None:
        bars.say(
            f'--profile: {errors.called(str(folder))} holds a trace of {", ".join(traced)}'
            if traced
            else '--profile: found no loop to trace, expected one of more than 2 batches or steps (of a '
            'search more than 20)',
            file=sys.stderr,
        )


def _collect_less() -> None:
    """Saves a seventh of the time of a short audit, because JAX tracing makes millions of small objects.

    The collector would repeatedly traverse all objects of the imports, which are never freed.
    """
    if gc.get_threshold()[0] < _ALLOCATIONS:  # not yet
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS, 10, 10)


def _show(text: str) -> None:
    """Prints help; a reader such as `| head` may close the pipe early."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(error: errors.InputError, flags: Flags) -> str:
    """Turns arguments in the library's messages (`field`, `skip_bad=True`) into flags."""

    def flag(found):
        return f'--{found[1]}' if found[1] in flags else found[0]

    if error.hint is not None:  # which options to pass, with their values
        hint = re.sub(r'(?<![^\s(])(\w+)(?==(?!True\b))', flag, error.hint)
        error = errors.InputError(
            error.field, error.found, error.expected, hint, inside=error.inside
        )
    said = error.message(f'--{error.field}' if error.field in flags else error.field)
    return re.sub(r'\b(\w+)=True\b', flag, said)


def _stop(message: str, code: int) -> None:
    print(errors.shown(' '.join(message.split())), file=sys.stderr)
    _leave(code)


def _leave(code: int) -> None:
    """Ends the program; with several processes at once, to avoid waiting for the others forever."""
    others = joined()
    stopped = code == EXIT_STOPPED and (others or _SIGNALLED.is_set())
    if stopped or (others and code != EXIT_GATE):
        sys.stdout.flush()
        sys.stderr.flush()
        if stopped and others:
            joining.leave_others()  # all processes stop at the same point
        elif others and processes.is_first():
            # The end of this process ends the others, which may still have something to print.
            time.sleep(_LAST_SECONDS)
        # After a signal, JAX 0.12 ends the interpreter with a segmentation fault; all files are written.
        os._exit(code)
    sys.exit(code)


_SIGNALLED = threading.Event()


def _on_sigterm(number: int, frame: object) -> None:
    """Stops at the next point where the state can be saved; a second signal ends at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _SIGNALLED.set()
    processes.ask_to_stop()
