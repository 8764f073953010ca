"""Runs the rows of a batch: over all devices in turn, or one on each device at a time."""

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import queue
import re
import threading
import traceback
from collections.abc import Callable, Sequence

from fr_inference import config, devices, errors, mirrored, processes, runs
from fr_inference.batch import row_folder, row_gates, single
from fr_inference.batch.table import SCORES, Row
from fr_inference.cli import bars, options
from fr_inference.data import pseudonyms
from fr_inference.report import batch_page
from fr_inference.report.batch_page import Entry
from fr_inference.report.gate import Gate

_BAR = 'audits'


class Batch:
    """The rows, their outcomes, and the page that shows them.

    Shared state is changed under one lock, and every change is written immediately.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        out: pathlib.Path,
        scores: str | None = None,
        gates: Sequence[Gate] = (),
    ):
        """Takes the rows, the batch's folder, the folder of earlier measurements (default: below the
        batch's), and the gates that the data of every row must be able to answer.
        """
        self.gates = gates
        self.scores = scores or str(out / SCORES)
        self.rows, self.out = rows, out
        self.entries = [Entry(name=row.name, target=row.inputs.target) for row in rows]
        self._lock = threading.Lock()

    def run(self, *, per_device: bool = False) -> list[Entry]:
        """Audits every unfinished row; returns the outcome of each.

        Args:
          per_device: one row on each device at a time, instead of one after the other on all.

        Raises:
          InputError: before any work, for a gate that no row can answer, and for a key of
            pseudonyms inside the results.
        """
        if per_device and processes.count() > 1:
            raise errors.InputError(
                'per_device',
                f'{processes.count()} processes, which work on one row together',
                hint='leave it out, or start a batch of its own on each machine',
            )
        row_gates.check(self.rows, self.gates)
        for row in self.rows:
            if row.inputs.pseudonyms is not None:
                pseudonyms.check_apart(row.inputs.pseudonyms, self.out)
        bars.progress(_BAR, 0, len(self.rows))
        pending = [number for number in range(len(self.rows)) if not self._kept(number)]
        self._publish()
        try:
            if per_device:
                self._on_each_device(pending)
            else:
                for number in pending:
                    self._audit(number)
        finally:
            bars.drop(_BAR)  # the bar of a stopped batch is not full
        return self.entries

    def _kept(self, number):
        """Whether a row needs no audit: it is done already, or its faces are missing."""

        def look(row, folder):
            record = runs.by_first(lambda: row_folder.finished(folder, row))
            return record and _done(row, record)  # None: it has to be audited

        entry = self._guarded(number, look)
        if entry is not None:
            self._settle(number, entry, ' (done before)' * (entry.status == 'done'))
        return entry is not None

    def _audit(self, number):
        def work(row, folder):
            run = runs.by_first(lambda: row_folder.claim(folder, row))
            shown = {'thumbnails': row.report.thumbnails, 'advice': row.report.advice}
            known_as = mirrored.address_of(folder) or str(folder)
            output = config.Output(out=known_as, **shown)
            asked = (row.inputs, row.settings, row.search)
            result = single.run(
                *asked,
                config.replace(output, scores=self.scores),
                command=options.command(*asked, output, program='audit'),
                gates=self.gates,
                progress=self._progress(number),
            )
            row_folder.close(folder, run)
            return _done(row, result.record)

        processes.stop_point()
        waiting = self.entries[number]
        with self._lock:
            self.entries[number] = dataclasses.replace(waiting, status='running')
        self._publish()
        try:
            self._settle(number, self._guarded(number, work))
        finally:
            bars.drop(_label(number, waiting.name))
            with self._lock:
                if self.entries[number].status == 'running':  # stopped in the middle
                    self.entries[number] = waiting
            self._publish()

    def _guarded(self, number: int, work: Callable) -> Entry | None:
        """Runs the work of a row; an error fails only this row."""
        row = self.rows[number]
        folder = self.out / row.name
        hidden = row.inputs.pseudonyms is not None
        try:
            return work(row, folder)
        except processes.Stopped:
            raise
        except errors.InputError as error:
            # Errors name arguments of the library: here, switches are flags and other values
            # columns of the table.
            status, message = 'failed', re.sub(r'\b(\w+)=True\b', r'--\1', str(error))
        # Broad on purpose, and nowhere else: a bug that one row exposes must not lose hours of work on
        # the other rows. It is recorded as a bug, with its traceback, and decides the exit code.
        except Exception as error:
            if processes.count() > 1:
                raise  # the other processes wait for this one, so all end and must be started again
            status, message = 'bug', f'{type(error).__name__}: {error}'
            with contextlib.suppress(OSError):  # a full disk may be the reason
                row_folder.fail(folder, _places(error) if hidden else traceback.format_exc())
        message = errors.shown(' '.join(message.split()))[:1000]
        if hidden:  # an error of opening faces names people
            bars.say(f'{row.name}: {message}')
            message = 'see the output of the batch (an error may name people, so it is not stored)'
        return Entry(name=row.name, target=row.inputs.target, status=status, error=message)

    def _on_each_device(self, pending):
        free: queue.SimpleQueue = queue.SimpleQueue()
        for device in devices.local():
            free.put(device)

        def audit(number):
            device = free.get()
            try:
                with devices.using([device]):
                    self._audit(number)
            finally:
                free.put(device)

        with concurrent.futures.ThreadPoolExecutor(free.qsize()) as pool:
            try:
                for future in [pool.submit(audit, number) for number in pending]:
                    future.result()
            finally:
                # After a signal no further row begins
                pool.shutdown(wait=False, cancel_futures=True)

    def _progress(self, number):
        label = _label(number, self.rows[number].name)

        def shown(name, done, total, **metrics):
            bars.progress(f'{label}{name}', done, total, keep=False, **metrics)

        return shown

    def _settle(self, number, entry, remark=''):
        """Stores the outcome of a row and prints it in one line."""
        with self._lock:
            self.entries[number] = entry
            over = sum(entry.status not in ('waiting', 'running') for entry in self.entries)
        said = entry.error
        if entry.status == 'done':
            said = f'{entry.headline} ({entry.brief})'
        how = {'failed': 'failed: ', 'bug': 'failed by a bug: '}.get(entry.status, '')
        bars.say(f'{entry.name}: {how}{said}{remark}')
        bars.progress(_BAR, over, len(self.rows))

    def _publish(self):
        with self._lock:
            batch_page.write(self.out, self.entries)


def _places(error):
    """The locations of a traceback, without the text of the error."""
    return ''.join([*traceback.format_tb(error.__traceback__), type(error).__name__])


def _done(row, record):
    return batch_page.finished(row.name, row.inputs.target, record, f'{row.name}/report.html')


def _label(number, name):
    """The unique prefix of the labels of a row's bars."""
    return f'{number + 1} {name[:24]}: '
