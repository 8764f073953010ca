"""Runs the rows of a batch: over all devices in turn, or one on each device at a time."""

import concurrent.futures
import contextlib
import pathlib
import queue
import threading
import traceback
from collections.abc import Callable, Sequence

from experiments import batch_folder, cli, job
from experiments.batch_table import Row
from fr_inference import checks, parallel
from fr_inference.report import comparison
from fr_inference.report.comparison import Entry


class Batch:
    """The rows, what has become of each, and the page that shows it.

    Everything that threads share is changed under one lock, and every change is written at once.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        out: pathlib.Path,
        command: Callable[[job.Job, pathlib.Path], str],
    ):
        """Takes the rows, the batch's folder, and what says which command does a row's job alone."""
        self.rows, self.out, self.command = rows, out, command
        self.entries = [Entry(name=row.name, target=row.job.target) for row in rows]
        self._lock = threading.Lock()

    def run(self, *, per_device: bool = False) -> list[Entry]:
        """Audits every row that is not done yet; returns what has become of each.

        Args:
          per_device: one row on each device at a time, instead of one after the other on all.
        """
        cli.progress('audits', 0, len(self.rows))
        pending = [number for number in range(len(self.rows)) if not self._kept(number)]
        self._publish()
        if per_device:
            self._on_each_device(pending)
        else:
            for number in pending:
                self._audit(number)
        return self.entries

    def _kept(self, number):
        """Whether nothing is left to do for a row: it is done already, or what it names is not there."""

        def look(row, folder):
            record = batch_folder.finished(folder, batch_folder.describe(row.job))
            return record and _done(row, record)  # None: it is to be audited

        entry = self._guarded(number, look)
        if entry is not None:
            self._settle(number, entry, ' (done before)' * (entry.status == 'done'))
        return entry is not None

    def _audit(self, number):
        def work(row, folder):
            run = batch_folder.describe(row.job)
            batch_folder.claim(folder, run)
            result = job.run(
                row.job,
                str(folder),
                command=self.command(row.job, folder),
                progress=self._progress(number),
            )
            batch_folder.close(folder, run)
            return _done(row, result.record)

        with self._lock:
            self.entries[number] = Entry(
                name=self.rows[number].name, target=self.rows[number].job.target, status='running'
            )
        self._publish()
        self._settle(number, self._guarded(number, work))
        self._publish()

    def _guarded(self, number: int, work: Callable) -> Entry | None:
        """Does a row's work; whatever goes wrong is that row's own failure."""
        row = self.rows[number]
        folder = self.out / row.name
        try:
            return work(row, folder)
        except checks.InputError as error:
            status, message = 'failed', str(error)
        # Broad on purpose, and nowhere else: hours of the other rows must not be lost to a bug that
        # one row brings out. It is recorded as a bug, with its traceback, and decides the exit code.
        except Exception as error:
            status, message = 'bug', f'{type(error).__name__}: {error}'
            with contextlib.suppress(OSError):  # a full disk may have been the reason
                batch_folder.fail(folder, traceback.format_exc())
        cli.drop_bars(_label(number, row.name))
        message = checks.shown(' '.join(message.split()))[:1000]
        return Entry(name=row.name, target=row.job.target, status=status, error=message)

    def _on_each_device(self, pending):
        free: queue.SimpleQueue = queue.SimpleQueue()
        for device in parallel.devices():
            free.put(device)

        def audit(number):
            device = free.get()
            try:
                with parallel.using([device]):
                    self._audit(number)
            finally:
                free.put(device)

        with concurrent.futures.ThreadPoolExecutor(free.qsize()) as pool:
            try:
                for future in [pool.submit(audit, number) for number in pending]:
                    future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)  # after a signal none begins

    def _progress(self, number):
        label = _label(number, self.rows[number].name)

        def shown(name, done, total, **metrics):
            cli.progress(f'{label}{name}', done, total, keep=False, **metrics)

        return shown

    def _settle(self, number, entry, remark=''):
        """Keeps what has become of a row, and says it in a line."""
        with self._lock:
            self.entries[number] = entry
            over = sum(entry.status not in ('waiting', 'running') for entry in self.entries)
        said = entry.error
        if entry.status == 'done':
            said = f'{entry.headline} ({entry.brief})'
        how = {'failed': 'failed: ', 'bug': 'failed by a bug: '}.get(entry.status, '')
        cli.say(f'{entry.name}: {how}{said}{remark}')
        cli.progress('audits', over, len(self.rows))

    def _publish(self):
        with self._lock:
            comparison.write(self.out, self.entries)


def _done(row, record):
    return comparison.finished(row.name, row.job.target, record, f'{row.name}/report.html')


def _label(number, name):
    """Begins the labels of a row's bars: no other row's do so."""
    return f'{number + 1} {name[:24]}: '
