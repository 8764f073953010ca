"""Audits many targets, and puts them side by side in comparison.html and comparison.csv.

  python -m experiments.batch_audit --targets=targets.csv --out=DIR [--per_device] [flags of audit]

targets.csv has one row a target with the columns target,members,nonmembers, and as it likes name and any
other option of experiments.audit by its flag's name. A flag given here holds for all rows, unless a cell
says otherwise; then its column may be absent. Relative paths are looked for beside the table, then here.

Each row is audited into DIR/NAME on all devices in turn, or with --per_device one row on each device at
a time. A row that fails is recorded and the others go on. The same command again audits what is missing,
failed, or has changed: options, checkpoint, list of faces. What an interrupted row had done is kept.

Exit code 0: all rows are done. 1: a row failed by a bug, see DIR/NAME/error.txt. Otherwise 3: a gate of
--fail_above was crossed by a row that is done. Otherwise 2: a row failed by its input, or the table or a
flag is bad, and then nothing was audited. 4: stopped by SIGTERM; the same command goes on. DIR/scores
holds what was measured, for all rows: it may be removed.
"""

import json
import sys

from absl import flags

from experiments import audit_flags, batch_table, cli, inputs, search_flags
from experiments.batch_run import Batch
from fr_inference import errors, processes
from fr_inference.report import batch_page, gate

for _module in (inputs, audit_flags, search_flags):
    flags.adopt_module_key_flags(_module)
_TARGETS = flags.DEFINE_string('targets', None, 'The table: a CSV file.', required=True)
_PER_DEVICE = flags.DEFINE_bool('per_device', False, 'One row on each device at a time.')


def main() -> None:
    """Reads the table, audits every row, writes the comparison, checks the gates."""
    limits = [gate.parse(text) for text in audit_flags.FAIL.value]
    defaults = inputs.values(inputs.OPTIONS, audit_flags.OPTIONS, search_flags.OPTIONS)
    parsers = {name: flags.FLAGS[name].parser.parse for name in defaults}
    rows = batch_table.read(_TARGETS.value, defaults, parsers)
    out = cli.make_folder(inputs.OUT.value, '--out', batch_page.FILES)
    batch = Batch(rows, out, inputs.command_of, inputs.SCORES.value)
    entries = batch.run(per_device=_PER_DEVICE.value)
    headline, _, sentences = batch_page.summary(entries)
    for line in (headline, *sentences, f'comparison: {out / batch_page.FILES[0]}'):
        cli.say(line)
    failed = {kind: _errors(entries, kind) for kind in ('bug', 'failed')}
    if failed['bug']:
        print(f'failed by a bug: {"; ".join(failed["bug"])}', file=sys.stderr)
        sys.exit(cli.EXIT_BUG)
    done = [entry.name for entry in entries if entry.status == 'done']
    crossed, unknown = processes.from_first(lambda: _gates(limits, done, out))
    if crossed:
        raise gate.GateCrossed('; '.join(crossed))
    errors.require(not failed['failed'] + unknown, '; '.join(failed['failed'] + unknown))


def _errors(entries, status):
    return [f'{entry.name}: {entry.error}' for entry in entries if entry.status == status]


def _gates(limits, names, out):
    """Returns (gates that rows crossed, gates that could not be held), a line each."""
    crossed, unknown = [], []
    for name in names if limits else ():
        record = json.loads((out / name / 'audit.json').read_text(encoding='utf-8'))
        try:
            gate.check(limits, record)
        except gate.GateCrossed as error:
            crossed.append(f'{name}: {error}')
        except errors.InputError as error:
            unknown.append(f'{name}: {error}')
    return crossed, unknown


if __name__ == '__main__':
    cli.run(main)
