"""Audits a target: writes audit.json, scores.csv, distances.npz and report.html.

  python -m experiments.audit --target=FILE --members=M --nonmembers=N --out=DIR

Membership inference always, and model inversion with --generator=G --evaluator=E. M, N and the other
faces are a folder with one sub-folder per person, a CSV manifest with the columns path,identity, an
insightface .rec, tfds:NAME:SPLIT or procedural:SPEC. Exit code 2: bad input, 3: a gate of --fail_above
was crossed, 4: stopped by SIGTERM, and the same command goes on.
"""

import pathlib

from absl import flags

from experiments import audit_flags, cli, inputs, job, search_flags
from fr_inference.report import gate
from fr_inference.report.verdict import verdict

for _module in (inputs, audit_flags, search_flags):
    flags.adopt_module_key_flags(_module)
flags.mark_flags_as_required(job.REQUIRED)


def main() -> None:
    """Opens everything, audits, writes, checks the gates."""
    limits = [gate.parse(text) for text in audit_flags.FAIL.value]
    values = inputs.values(inputs.OPTIONS, audit_flags.OPTIONS, search_flags.OPTIONS)
    out = inputs.OUT.value
    result = job.run(
        job.of_values(values),
        out,
        command=inputs.command('experiments.audit'),
        scores=inputs.SCORES.value,
        progress=cli.progress,
    )
    print(f'{verdict(result.record)}\nreport: {pathlib.Path(out) / "report.html"}')
    gate.check(limits, result.record)


if __name__ == '__main__':
    cli.run(main)
