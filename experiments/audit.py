"""Audits a backbone: writes audit.json, scores.csv, distances.npz and report.html.

  python -m experiments.audit --target=BACKBONE --members=FACES --nonmembers=FACES --out=FOLDER

  python -m experiments.audit --target=backbone.pth --members=train/ --nonmembers=others/ --out=runs/mine
  python -m experiments.audit --target=demo_easy --members=procedural:easy,images=8,seed=1,people=128 \\
      --nonmembers=procedural:easy,images=8,seed=1,people=128,first=512 --out=runs/easy

Runs membership inference, and model inversion if --generator and --evaluator are given. Exit codes:
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
    often='auxiliary member_identities shift blind references generator evaluator align seed '
    'attacks thumbnails pseudonyms fail_above card',
)

if __name__ == '__main__':
    PROGRAM.run()
