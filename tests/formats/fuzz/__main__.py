"""Tries many inputs in worker processes, and prints a table of how each group ended.

  nice python -m tests.formats.fuzz --inputs=100000 --seed=0 --keep=FOLDER

Inputs that failed are named by their number: `--only=N` tries one in this process and shows its
traceback, and `--keep` writes their files. Exit code 1 where any failed.
"""

import argparse
import collections
import logging
import os
import pathlib
import resource
import select
import signal
import sys
import tempfile
import time
import traceback

import numpy as np

from tests.formats.fuzz.seeds import GROUPS, schedule
from tests.formats.fuzz.watching import OUTCOMES, Attempts

_CPU_SECONDS = 10  # of one input
_SECONDS = 120  # of one input that waits, for a pipe for instance
_ADDRESSES = 6 << 30  # beyond what a worker has: the machine is not to suffer
_TELL_SECONDS = 60
_GOOD = ('clean', 'refused')
_TICKS = os.sysconf('SC_CLK_TCK')


class Worker:
    """A process that tries inputs number `first`, `first` + `stride`, ... and says so in lines."""

    def __init__(self, options, first, stride, folder, until):
        self.next, self.stride, self.buffer = first, stride, b''
        reading, writing = os.pipe()
        self.number = os.fork()
        if not self.number:
            os.close(reading)
            _work(options, first, stride, folder, until, writing)
        os.close(writing)
        self.pipe = reading
        self.since, self.spent, self.begun = time.monotonic(), 0.0, False

    def lines(self):
        """Returns the lines that came; None at its end."""
        data = os.read(self.pipe, 1 << 16)
        if not data:
            return None
        *whole, self.buffer = (self.buffer + data).split(b'\n')
        return [line.decode() for line in whole]

    def cpu(self):
        """Returns the seconds of CPU it has taken."""
        try:
            fields = (
                pathlib.Path(f'/proc/{self.number}/stat').read_text().rpartition(')')[2].split()
            )
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def overdue(self):
        """Whether the input under way, or the start, takes too long."""
        start = 0 if self.begun else 300
        return (
            self.cpu() - self.spent > _CPU_SECONDS + start
            or time.monotonic() - self.since > _SECONDS + start
        )

    def end(self):
        """Kills it if it still runs; returns how it ended."""
        os.close(self.pipe)
        if os.waitpid(self.number, os.WNOHANG)[0]:
            return 'ended'
        os.kill(self.number, signal.SIGKILL)
        os.waitpid(self.number, 0)
        return 'killed'


def _work(options, first, stride, folder, until, writing):
    """Child: never returns."""
    code = 1
    try:
        logging.disable()
        os.chdir(folder)  # where canaries leave their marker
        attempts = Attempts(folder, options.groups)
        _bound_memory()
        with os.fdopen(writing, 'w', buffering=1) as out:
            for number in range(first, options.inputs, stride):
                if time.monotonic() > until:
                    break
                out.write(f'begin {number}\n')
                group, outcome, said = attempts.attempt(options.seed, number)
                out.write(f'end {number}\t{group}\t{outcome}\t{" ".join(said.split())}\n')
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    os._exit(code)


def _bound_memory():
    used = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + _ADDRESSES, hard))


class Run:
    """All workers, and the table of what they said."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.until = time.monotonic() + options.seconds
        self.table = {name: collections.Counter() for name in dict.fromkeys(options.groups)}
        self.failed = []
        self.workers = {}

    def start(self, first):
        """Starts a worker from the input `first` on."""
        own = self.folder / f'from{first}'
        own.mkdir(exist_ok=True)
        worker = Worker(self.options, first, self.options.workers, own, self.until)
        self.workers[worker.pipe] = worker

    def all(self):
        """Runs to the end."""
        for first in range(self.options.workers):
            self.start(first)
        told = time.monotonic()
        while self.workers:
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                done = sum(count.total() for count in self.table.values())
                print(f'{done} of {self.options.inputs}', file=sys.stderr, flush=True)
            ready, _, _ = select.select(list(self.workers), [], [], 1.0)
            for pipe in ready:
                self._hear(self.workers[pipe])
            for worker in list(self.workers.values()):
                if worker.overdue():
                    self._lose(worker, 'time-out', f'more than {_CPU_SECONDS} s')

    def _hear(self, worker):
        lines = worker.lines()
        if lines is None:
            left = worker.next < self.options.inputs and time.monotonic() < self.until
            if left:
                self._lose(worker, 'exception', 'the process died')
            else:
                del self.workers[worker.pipe]
                worker.end()
            return
        for line in lines:
            kind, _, rest = line.partition(' ')
            if kind == 'begin':
                worker.since, worker.spent, worker.begun = time.monotonic(), worker.cpu(), True
            else:
                number, group, outcome, said = rest.split('\t')
                worker.next = int(number) + worker.stride
                self._count(int(number), group, outcome, said)

    def _lose(self, worker, outcome, said):
        number = worker.next
        del self.workers[worker.pipe]
        worker.end()
        self._count(number, self.options.groups[number % len(self.options.groups)], outcome, said)
        if number + worker.stride < self.options.inputs:
            self.start(number + worker.stride)

    def _count(self, number, group, outcome, said):
        self.table[group][outcome] += 1
        if outcome not in _GOOD:
            self.failed.append((number, group, outcome, said))
            print(f'{number} {group}: {outcome}: {said}', flush=True)

    def show(self):
        """Prints the table, and keeps the files of what failed."""
        rows = [('group', 'inputs', *OUTCOMES)]
        rows += [
            (name, str(count.total()), *(str(count[outcome]) for outcome in OUTCOMES))
            for name, count in self.table.items()
        ]
        total = sum(self.table.values(), collections.Counter())
        rows.append(('all', str(total.total()), *(str(total[outcome]) for outcome in OUTCOMES)))
        print('\n'.join('| ' + ' | '.join(row) + ' |' for row in rows))
        for number, group, outcome, _ in self.failed if self.options.keep else ():
            place = pathlib.Path(self.options.keep) / f'{number}_{outcome}'
            made = GROUPS[group]().input(np.random.default_rng([self.options.seed, number]))
            for name, content in made.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(content)


def _one(options, folder):
    """Tries one input here, and lets its error through."""
    name = options.groups[options.only % len(options.groups)]
    attempts = Attempts(folder, [name])
    files = attempts.groups[name].input(np.random.default_rng([options.seed, options.only]))
    place = attempts._write(files, 'one')
    print(name, {file: len(content) for file, content in files.items()})
    print(attempts.groups[name].read(place, options.only))


def main() -> int:
    """Parses the command line and runs."""
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    flags.add_argument('--inputs', type=int, default=3000)
    flags.add_argument('--seed', type=int, default=0)
    flags.add_argument('--seconds', type=float, default=1e9, help='stop after so long')
    flags.add_argument('--workers', type=int, default=2)
    flags.add_argument('--groups', type=lambda text: text.split(','), default=list(GROUPS))
    flags.add_argument('--keep', help='folder for the files that failed')
    flags.add_argument('--only', type=int, help='one input, in this process')
    options = flags.parse_args()
    options.groups = schedule(options.groups)
    with tempfile.TemporaryDirectory(dir='/dev/shm' if os.path.isdir('/dev/shm') else None) as made:
        if options.only is not None:
            _one(options, pathlib.Path(made))
            return 0
        run = Run(options, pathlib.Path(made))
        run.all()
    run.show()
    return bool(run.failed)


if __name__ == '__main__':
    sys.exit(main())
