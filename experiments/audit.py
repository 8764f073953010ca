"""Audits a backbone: writes audit.json, scores.csv, distances.npz and report.html.

  python -m experiments.audit --target=BACKBONE --members=FACES --nonmembers=FACES --out=FOLDER

Runs membership inference, and model inversion where --generator and --evaluator are given. Exit codes:
2 bad input, 3 a gate of --fail_above was not passed (docs/gates.md), 4 stopped by SIGTERM: the same
command continues.
"""

from fr_inference import config
from fr_inference.batch import single
from fr_inference.cli import bars, options, program
from fr_inference.report import gate


def main(flags: options.Flags) -> None:
    """Audits, writes, checks the gates."""
    inputs, settings = flags.read(config.Inputs), flags.read(config.Settings)
    gates = [gate.parse(text, settings.attacks) for text in flags.read(config.Gates).fail_above]
    search = config.search_of(inputs, flags.given(config.Search))
    output = flags.read(config.Output)
    command = options.command(inputs, settings, search, output, flags.read(config.Gates))
    result = single.run(
        inputs, settings, search, output, command=command, gates=gates, progress=bars.progress
    )
    print(single.printed(result, output))
    single.judge(gates, result.record)


PROGRAM = program.Program(
    main=main,
    kinds=(
        *(config.Inputs, config.Settings, config.Search),
        *(config.Output, config.Gates, config.Profiling),
    ),
)

if __name__ == '__main__':
    PROGRAM.run()
