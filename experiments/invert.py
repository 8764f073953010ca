"""Inverts a target: searches a generator for faces it was trained on, and measures what was found.

  python -m experiments.invert --target=T --generator=G --evaluator=E --members=M --nonmembers=N --out=D

The second stage of experiments.audit alone, with the same files as its result, and reconstructions.csv,
reconstructions.png and every reconstruction below D. With --auxiliary the attack that guides was
fitted on a shadow, and all members and non-members are in the gallery; without it, the half that it
was not fitted on.
"""

from absl import flags

from experiments import cli, inputs, search_flags
from fr_inference import checks
from fr_inference.report.verdict import verdict

flags.adopt_module_key_flags(inputs)
flags.adopt_module_key_flags(search_flags)


def main() -> None:
    """Opens everything, searches, judges, writes."""
    request = search_flags.request()
    checks.require(request is not None, '--generator: missing; it is what is searched')
    result, report = inputs.audit('experiments.invert', inversion=request, membership=False)
    print(f'{verdict(result.record)}\nreport: {report}')


if __name__ == '__main__':
    cli.run(main)
