"""The results of a device check: JSON and a table, which are rewritten after every figure."""

import dataclasses
import json
import os
import pathlib
import threading
from collections.abc import Callable
from typing import Any

from fr_inference import files
from fr_inference.benchmarking import scaling


@dataclasses.dataclass
class Bar:
    """A figure with the value that it should reach.

    Attributes:
      name: of the figure.
      least: the value to reach.
      unit: of both.
      found: the largest value so far, None before the first.
    """

    name: str
    least: float
    unit: str
    found: float | None = None

    @property
    def said(self) -> str:
        """The bar and the reached value, in one line."""
        scale = 100 if self.unit == '%' else 1
        head = f'{self.name}: at least {scale * self.least:g} {self.unit}'
        if self.found is None:
            return f'{head}: not measured'
        word = 'met' if self.found >= self.least else 'missed'
        return f'{head}: {word} with {scale * self.found:.3g}'


class Record:
    """Rows by part. The files are complete at any time, even if the process is killed."""

    def __init__(
        self, folder: str | os.PathLike, head: dict[str, Any], say: Callable[[str], None] = print
    ):
        """Begins a record.

        Args:
          folder: of `gpu_check.json` and `gpu_check.txt`.
          head: the first entries of the JSON.
          say: receives each line of the table.
        """
        self._folder = pathlib.Path(folder)
        self._head = head
        self._say = say
        self._lock = threading.RLock()  # the watchdog may close it while a part adds a row
        self._lines: list[str] = []
        self._parts: list[dict[str, Any]] = []
        self._bars: dict[str, Bar] = {}

    def expect(self, key: str, name: str, least: float, unit: str) -> None:
        """Sets the least value that a figure must reach."""
        self._bars[key] = Bar(name, least, unit)

    def reached(self, key: str, value: float) -> None:
        """Notes the value of such a figure; the highest counts."""
        bar = self._bars[key]
        bar.found = value if bar.found is None else max(value, bar.found)

    def begin(self, name: str) -> None:
        """Begins a part; the rows that follow are its own."""
        with self._lock:
            self._parts.append({'name': name, 'state': 'begun', 'rows': []})
            self._line(f'-- {name}')

    def end(self, seconds: float, failed: str | None = None) -> None:
        """Ends the part; `failed` is the reason in one line if it failed."""
        with self._lock:
            part = self._parts[-1]
            part |= {'state': 'done' if failed is None else 'failed', 'seconds': seconds}
            if failed is not None:
                part['failed'] = failed
                self._line(f'   failed: {failed}')
            self._write()

    def add(self, row: dict[str, Any], line: str) -> None:
        """Adds a row to the part, and its line to the table."""
        with self._lock:
            self._parts[-1]['rows'].append(row)
            self._line(f'   {line}')

    def note(self, line: str) -> None:
        """Adds a line that belongs to no figure, such as why there is none."""
        with self._lock:
            self._parts[-1].setdefault('notes', []).append(line)
            self._line(f'   {line}')

    def close(self, how: str) -> int:
        """Prints the results and returns the exit code: 1 if a number is wrong or a part failed."""
        with self._lock:
            self._head['ended'] = how
            self._line(f'-- {how}')
            for bar in self._bars.values():
                self._line(f'   bar: {bar.said}')
            compared = [row for part in self._parts for row in part['rows'] if 'met' in row]
            wrong = [row for row in compared if not row['met']]
            self._line(
                f'   {len(compared) - len(wrong)} of {len(compared)} comparisons with the CPU within '
                'their tolerances'
            )
            failed = [part['name'] for part in self._parts if part['state'] == 'failed']
            if failed:
                self._line(f'   failed parts: {", ".join(failed)}')
            return 1 if wrong or failed else 0

    def _line(self, text):
        self._lines.append(text)
        self._say(text)
        self._write()

    def _write(self):
        result = {
            **self._head,
            'bars': [{**dataclasses.asdict(bar), 'said': bar.said} for bar in self._bars.values()],
            'parts': self._parts,
        }
        files.write_text(self._folder / 'gpu_check.json', json.dumps(result, indent=1) + '\n')
        files.write_text(self._folder / 'gpu_check.txt', '\n'.join(self._lines) + '\n')


def speed_line(row: dict[str, Any], unit: str) -> str:
    """Returns a row of `scaling.measure` as a line."""
    name = f'{row["name"]}, {row["size"]} at a time'
    line = (
        f'{name}: {row["rate"]["median"]:.5g} {unit}/s, '
        f'{1e3 * row["seconds_per_call"]["median"]:.4g} ms a call'
    )
    if 'flops_per_second_per_device' in row:
        line += f', {row["flops_per_second_per_device"] / 1e12:.4g} TFLOP/s'
    if 'share_of_bound' in row:
        line += f', {scaling.said_shares(row)}'
    return f'{line}; compiled in {row["compile_seconds"]:.1f} s'


def parity_line(row: dict[str, Any]) -> str:
    """Returns a row of `device_parity` as a line."""
    word = 'within' if row['met'] else 'OUTSIDE'
    return (
        f'{row["name"]}, {row["precision"]}: {row["quantity"]} {row["error"]:.1e} apart, '
        f'{word} {row["tolerance"]:g}'
    )
