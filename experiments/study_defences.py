"""Studies defences: how much each lowers the leak, what it costs, and whether an attacker can evade it.

  python -m experiments.study_defences --target=BACKBONE --members=FACES --nonmembers=FACES \\
    --out=FOLDER --defences="noise:0.1;noise:0.3;round:bits=4;fold;refresh:FACES;answers-noise:0.5"

Every defence is one of experiments.defend (several with commas), or a backbone that was trained with one
(--trained). Each is audited on the same people as the undefended backbone. With --auxiliary or
--references it is audited twice: by a plain attacker, whose shadow and references are undefended,
and by an adaptive one, whose shadow and references are defended in the same way, with noise from
another seed.

FOLDER/study.html shows leak against verification accuracy, and says what helps; study.json holds
the same, and audits can quote it (--advice). FOLDER/NAME holds the audit of a row. The same command
continues a study that was stopped. With --generator and --evaluator, every row is also inverted, as
in experiments.audit: from class centres (--centres) or guided by the attack, and from stored
templates (--targeted).

Exit codes: 2 bad input, 4 stopped by SIGTERM: the same command continues.
"""

from fr_inference import config
from fr_inference.batch import defence_rows, defence_study
from fr_inference.cli import bars, folders, options, program
from fr_inference.program_config import Studied


def main(flags: options.Flags) -> None:
    """Lists the rows, audits them, writes the page."""
    inputs, settings = flags.read(config.Inputs), flags.read(config.Settings)
    output, studied = flags.read(config.Output), flags.read(Studied)
    report = config.Report(thumbnails=output.thumbnails)
    search = config.search_of(inputs, flags.given(config.Search))
    rows = defence_rows.rows(inputs, settings, report, studied, search)
    command = options.command(inputs, settings, search, studied, output)
    out = folders.make(output.out, 'out', defence_study.FILES)
    study = defence_study.Study(rows, out, scores=output.scores, command=command)
    for sentence in study.run()['recommendation']['sentences']:
        bars.say(sentence)
    bars.say(f'study: {out / defence_study.FILES[1]}')


PROGRAM = program.Program(
    main=main,
    kinds=(config.Inputs, config.Settings, config.Search, Studied, config.Output),
    hidden=('advice', 'card'),
    often='auxiliary references generator evaluator seed thumbnails',
)

if __name__ == '__main__':
    PROGRAM.run()
