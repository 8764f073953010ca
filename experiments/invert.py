"""Inverts a target: searches a generator for faces it was trained on, and measures what was found.

  python -m experiments.invert --target=T --generator=G --evaluator=E --members=M --nonmembers=N --out=D

The second stage of experiments.audit alone, with the same files as its result, and reconstructions.csv,
reconstructions.png and every reconstruction below D. With --auxiliary the attack that guides was
fitted on a shadow, and all members and non-members are in the gallery; without it, the half that it
was not fitted on.
"""

import pathlib

from absl import flags

from experiments import cli, inputs, job, search_flags
from fr_inference import errors
from fr_inference.report.verdict import verdict

for _module in (inputs, search_flags):
    flags.adopt_module_key_flags(_module)
flags.mark_flags_as_required(job.REQUIRED)


def main() -> None:
    """Opens everything, searches, judges, writes."""
    asked = job.of_values(inputs.values(inputs.OPTIONS, search_flags.OPTIONS))
    errors.require(asked.search is not None, '--generator: missing; it is what is searched')
    out = inputs.OUT.value
    result = job.run(
        asked,
        out,
        command=inputs.command('experiments.invert'),
        membership=False,
        scores=inputs.SCORES.value,
        progress=cli.progress,
    )
    print(f'{verdict(result.record)}\nreport: {pathlib.Path(out) / "report.html"}')


if __name__ == '__main__':
    cli.run(main)
