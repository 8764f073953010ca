"""Audits three embedded backbones, trained on drawn faces: shows an audit without needing any files.

  python -m experiments.demo --audits=easy    (the shortest)
  python -m experiments.demo --out=FOLDER

Writes FOLDER/report.html, FOLDER/easy/report.html and FOLDER/few/report.html, and prints the command of
each audit. All three take about ten minutes on two cores. The same command continues after a stop.
"""

from fr_inference.batch import demonstration, single
from fr_inference.cli import bars, options, program
from fr_inference.program_config import Demonstration


def main(flags: options.Flags) -> None:
    """Runs the audits one after the other."""
    for said, audit in demonstration.audits(flags.read(Demonstration)):
        command = options.command(*audit, program='audit')
        bars.say(said)
        bars.say(f'  {command}')
        print(
            single.printed(single.run(*audit, command=command, progress=bars.progress), audit[-1])
        )


PROGRAM = program.Program(main=main, kinds=(Demonstration,))

if __name__ == '__main__':
    PROGRAM.run()
