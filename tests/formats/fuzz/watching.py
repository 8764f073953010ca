"""One attempt to read a changed file, watched: what it ran, wrote, took and said."""

import contextlib
import functools
import os
import pathlib
import re
import shutil
import sys
import traceback
import tracemalloc  # which Python imports for a warning of its own
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from fr_inference import errors
from tests.formats.fuzz.seeds import GROUPS, Group
from tests.formats.hostile import MARKER

MEGABYTES = 500
OUTCOMES = ('clean', 'refused', 'changed', 'exception', 'time-out', 'memory', 'code')
"""Read; one line of `InputError`; read as something else; any other end; too long; too large; ran."""

_LISTS = re.compile(r'\d (missing|unmatched|misshaped) \(')  # of weights, all of which are named
_RUNNING = (
    *('os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'subprocess.Popen', 'pickle.find_class'),
    *('socket.bind', 'socket.connect', 'socket.getaddrinfo', 'socket.send', 'ctypes.', 'shutil.'),
    *('urllib.', 'webbrowser.', 'ftplib.', 'smtplib.', 'http.'),
    *('os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.link', 'os.symlink', 'os.truncate'),
    *('os.chmod', 'os.chown', 'os.putenv', 'os.kill', 'code.__new__', 'sys.setprofile'),
)
# Of our own files: a cache that is damaged is moved aside, and a claim or a cache is written.
_OURS = ('os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'shutil.')


class Watch:
    """Notes what runs while it is switched on. An audit hook cannot be removed: one a process."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.on = self.ours = False
        self.known: set[str] = set()
        sys.addaudithook(self._note)

    def know(self) -> None:
        """Takes what is imported by now for harmless."""
        self.known |= {name.partition('.')[0] for name in sys.modules}
        self.known |= {tracemalloc.__name__, '_tracemalloc'}

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == 'open':
            _, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR) if isinstance(flags, int) else 0
            if (writes or any(c in str(mode) for c in 'wax+')) and not self.ours:
                self.seen.append(f'{event} {arguments!r:.200}')
        elif event == 'exec':
            code = arguments[0]
            # What the standard library and installed packages make themselves, as dataclasses do.
            if getattr(code, 'co_filename', '<string>') == '<string>':
                self.seen.append(f'{event} {code!r:.200}')
        elif event == 'import' and arguments[0].partition('.')[0] not in self.known:
            self.seen.append(f'{event} {arguments[0]}')
        elif event.startswith(_RUNNING) and not self._harmless(event, arguments):
            self.seen.append(f'{event} {arguments!r:.200}')

    def _harmless(self, event, arguments):
        """Of ours, or the call by which large images give their memory back (`formats.images`)."""
        trims = event == 'ctypes.dlsym' and arguments[1] == 'malloc_trim'
        this = event == 'ctypes.dlopen' and arguments[0] is None
        return trims or this or (self.ours and event.startswith(_OURS))

    @contextlib.contextmanager
    def watching(self, ours: bool):
        """Switches it on."""
        self.seen.clear()
        self.on, self.ours = True, ours
        try:
            yield
        finally:
            self.on = False


_watch = functools.lru_cache(maxsize=1)(Watch)


class Attempts:
    """Makes inputs and tries them, in one process and one folder; inputs are the same in any."""

    def __init__(self, folder: pathlib.Path, names: Sequence[str]):
        """Reads every honest file once: what is imported and compiled then is not watched.

        Args:
          folder: where inputs are written; of this process alone, which works there.
          names: of the groups of a round, as `seeds.schedule` orders them.
        """
        self.folder, self.names = folder, names
        self.groups = {name: GROUPS[name]() for name in dict.fromkeys(names)}
        self.expected = {name: self._honest(group) for name, group in self.groups.items()}
        self.watch = _watch()
        self.watch.know()

    def attempt(self, seed: int, number: int) -> tuple[str, str, str]:
        """Returns (group, outcome, what to say about it) of input `number`."""
        name = self.names[number % len(self.names)]
        group = self.groups[name]
        files = group.input(np.random.default_rng([seed, number]))
        place = self._write(files, f'{number}')
        try:
            outcome, said = self._read(group, self.expected[name], place, number)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return name, outcome, said

    def _read(self, group, expected, place, number):
        before = _forget_peak()
        outcome, said = 'clean', ''
        with self.watch.watching(group.exact), warnings.catch_warnings():
            warnings.simplefilter('error')
            try:
                found = group.read(place, number)
            except errors.InputError as error:
                outcome, said = 'refused', _wrong_line(error)
            except BaseException as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                outcome, said = 'exception', f'{error!r:.300} at {where.filename}:{where.lineno}'
        if said and outcome == 'refused':
            outcome = 'exception'
        if outcome == 'clean' and group.exact and found != expected:
            outcome, said = 'changed', f'{found!r:.300}'
        grown = (_peak() - before) / 1024
        if grown > MEGABYTES:
            outcome, said = 'memory', f'{grown:.0f} MB'
        marker = self.folder / MARKER
        if self.watch.seen or marker.exists():
            outcome, said = 'code', '; '.join(self.watch.seen) or 'left a marker'
            marker.unlink(missing_ok=True)
        return outcome, said

    def _write(self, files, name):
        place = self.folder / name
        for file, content in files.items():
            path = place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return place

    def _honest(self, group: Group) -> Any:
        found, refused = None, []
        for number, files in enumerate(group.seeds):
            place = self._write(files, f'honest{number}')
            try:
                found = group.read(place, 1)
            except errors.InputError as error:
                refused.append(str(error))
            shutil.rmtree(place)
        assert not refused, refused
        return found


def _wrong_line(error):
    """Returns what is wrong with a line of error, '' for a good one."""
    text = str(error)
    if not text.isprintable():
        return f'an error that does not print on one line: {text!r:.200}'
    long = len(text) > 100_000 or (len(text) > 1500 and not _LISTS.search(text))
    return f'an error of {len(text)} characters: {text:.200}' if long else ''


def _forget_peak():
    forgets_peaks()
    return _peak()


def forgets_peaks() -> bool:
    """Whether this kernel lets a process forget its peak; otherwise only new peaks are seen."""
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/self/clear_refs').write_text('5')
        return True
    return False


def _peak():
    """Peak resident memory since `_forget_peak` in KiB; 0 where Linux is not at hand."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path('/proc/self/status').read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1])
    return 0
