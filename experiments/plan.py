"""Plans a program for machines that you do not have: will it fit, how long will it take, at what cost?

  python -m experiments.plan --topology=v5e-8,a100x8 --price_per_hour=1.2,2.5 \\
      audit --target=iresnet50 --dtype=bfloat16 --members=4096 --generator=256

The flags of the planned program (audit, invert, reconstruct or train_recognizer) follow its name.
Faces may be replaced by a number of images or IMAGES:PEOPLE, a backbone by the name of an
architecture, a generator by a resolution, templates by a number. Every part of the program is
compiled by the compilers for TPUs and GPUs, which launch/plan.sh installs in a separate
environment. Times are lower bounds: no run is faster (docs/plan.md).
"""

from fr_inference.cli import bars, options, program
from fr_inference.planning import plan_table, planned_program
from fr_inference.program_config import Planning


def main(flags: options.Flags) -> None:
    """Compiles, prints a table, writes the JSON."""
    asked = flags.read(Planning)
    result = planned_program.run(asked, flags, __package__ or '', progress=bars.progress)
    print(plan_table.text(result))


PROGRAM = program.Program(
    main=main, kinds=(Planning,), names_program=True, shared=False, saves=False
)

if __name__ == '__main__':
    PROGRAM.run()
