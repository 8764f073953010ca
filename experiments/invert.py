"""Inverts a backbone: searches a generator for faces it was trained on, and judges the results.

  python -m experiments.invert --target=BACKBONE --generator=GENERATOR --evaluator=BACKBONE \\
      --members=FACES --nonmembers=FACES --out=FOLDER

Runs only the model inversion of experiments.audit. Writes the same files, and reconstructions.csv,
reconstructions.png and every reconstruction below FOLDER. With --auxiliary, the attack that guides
the search is fitted on a shadow, and the gallery holds all members and non-members; otherwise it
holds the half on which the attack was not fitted. Exit codes: 2 bad input, 3 a gate of --fail_above
was not passed (docs/gates.md), 4 stopped by SIGTERM: the same command continues.
"""

from fr_inference import config
from fr_inference.batch import single
from fr_inference.cli import bars, options, program
from fr_inference.report import gate


def main(flags: options.Flags) -> None:
    """Searches, judges, writes, checks the gates."""
    inputs, settings = flags.read(config.Inputs), flags.read(config.Settings)
    gates = [gate.parse(text, settings.attacks) for text in flags.read(config.Gates).fail_above]
    search = config.search_of(inputs, flags.given(config.Search))
    output = flags.read(config.Output)
    result = single.run(
        inputs,
        settings,
        search,
        output,
        command=options.command(inputs, settings, search, output, flags.read(config.Gates)),
        membership=False,
        gates=gates,
        progress=bars.progress,
    )
    print(single.printed(result, output))
    single.judge(gates, result.record)


PROGRAM = program.Program(
    main=main,
    kinds=(
        *(config.Inputs, config.Settings, config.Search),
        *(config.Output, config.Gates, config.Profiling),
    ),
    required=('generator', 'evaluator'),
    hidden=('attacks', 'reach', 'member_identities', 'shift', 'collection', 'references'),
    often='auxiliary strangers centres targeted keep draws candidates steps search_batch seed',
)

if __name__ == '__main__':
    PROGRAM.run()
