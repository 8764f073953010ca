"""The end of a batch: its summary, and the exit code for all rows together."""

import json
import pathlib
import sys
from collections.abc import Sequence

from fr_inference import errors, runs
from fr_inference.batch import single
from fr_inference.cli import bars, program
from fr_inference.report import batch_page
from fr_inference.report.batch_page import Entry
from fr_inference.report.gate import Gate, GateCrossed


def tell(entries: Sequence[Entry], gates: Sequence[Gate], out: pathlib.Path) -> None:
    """Prints the summary; raises or exits unless all rows are done and passed the gates.

    Raises:
      GateCrossed: when a finished row has not passed a gate.
      InputError: when a row failed by its input.
    """
    headline, _, sentences = batch_page.summary(entries)
    for line in (headline, *sentences, f'comparison: {out / batch_page.FILES[0]}'):
        bars.say(errors.called(line))
    bugs, failed = (_errors(entries, status) for status in ('bug', 'failed'))
    if bugs:
        print(f'failed by a bug: {"; ".join(bugs)}', file=sys.stderr)
        sys.exit(program.EXIT_BUG)
    done = [entry.name for entry in entries if entry.status == 'done']
    crossed, unknown = runs.by_first(lambda: _judged(gates, done, out))
    if crossed:
        raise GateCrossed('; '.join(crossed))
    if failed or unknown:
        raise errors.InputError('targets', hint='; '.join(failed + unknown))


def _errors(entries, status):
    return [f'{entry.name}: {entry.error}' for entry in entries if entry.status == status]


def _judged(gates, names, out):
    """Returns (gates that rows did not pass, gates that could not be checked), one line each."""
    crossed, unknown = [], []
    for name in names if gates else ():
        record = json.loads((out / name / 'audit.json').read_text(encoding='utf-8'))
        try:
            single.judge(gates, record, name)
        except GateCrossed as error:
            crossed.append(f'{name}: {error}')
        except errors.InputError as error:
            unknown.append(f'{name}: {error}')
    return crossed, unknown
