"""Audits many backbones and compares them in comparison.html and comparison.csv.

  python -m experiments.batch_audit --targets=targets.csv --out=FOLDER [flags of experiments.audit]

targets.csv has one row per audit, such as

  name,target,members,nonmembers,seed
  first,epoch_3.pth,train/,others/,
  second,epoch_9.pth,train/,others/,1

Any option of experiments.audit may be a column, named like its flag. A flag given here applies to
all rows whose cell is empty or absent. Relative paths are resolved from the folder of the table,
then from the current folder.

Each row is audited into FOLDER/NAME on all devices in turn, or with --per_device one row on each device
at a time. A row that fails is recorded and the others continue. Running the same command again
audits the rows that are missing, failed, or changed (options, checkpoint, list of faces), and
continues an interrupted row. FOLDER/scores holds the measurements of all rows; it may be removed.

Exit codes: 0 all rows are done; 1 a row failed by a bug (FOLDER/NAME/error.txt); otherwise 3 a
finished row did not pass a gate of --fail_above (docs/gates.md); otherwise 2 a row failed by its
input, or the table or a flag is bad (then nothing was audited); 4 stopped by SIGTERM: the same
command continues.
"""

from fr_inference import config
from fr_inference.batch import ending, running, table
from fr_inference.cli import folders, options, program
from fr_inference.program_config import Batch
from fr_inference.report import batch_page, gate


def main(flags: options.Flags) -> None:
    """Reads the table, audits every row, writes the comparison, checks the gates."""
    output, batch = flags.read(config.Output), flags.read(Batch)
    rows = table.read(batch.targets, flags.given(*table.KINDS))
    asked = [name for row in rows for name in row.settings.attacks]
    gates = [gate.parse(text, asked) for text in flags.read(config.Gates).fail_above]
    out = folders.make(output.out, 'out', batch_page.FILES)
    entries = running.Batch(rows, out, output.scores, gates).run(per_device=batch.per_device)
    ending.tell(entries, gates, out)


PROGRAM = program.Program(
    main=main,
    kinds=(Batch, config.Inputs, config.Settings, config.Search, config.Output, config.Gates),
    optional=('target', 'members', 'nonmembers'),
    hidden=('card',),
    often='target members nonmembers auxiliary per_device seed fail_above',
)

if __name__ == '__main__':
    PROGRAM.run()
