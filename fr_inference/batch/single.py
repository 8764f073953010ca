"""One audit from its options to its files; `audit`, `invert` and each row of a batch are such."""

import pathlib

from fr_inference import auditing, config
from fr_inference.cli import bars, description, folders
from fr_inference.runs import Progress


def run(
    inputs: config.Inputs,
    settings: config.Settings,
    search: config.Search | None,
    output: config.Output,
    *,
    command: str,
    membership: bool = True,
    progress: Progress | None = None,
) -> auditing.Audit:
    """Opens the inputs, audits, and writes the results and the state of an interrupted audit.

    Args:
      inputs: backbones, faces and generator.
      settings: how the audit is done.
      search: how the generator is searched; None without one.
      output: where the results are written.
      command: for the record.
      membership: whether the figures of membership inference are wanted.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    opened = auditing.open_inputs(inputs)
    bars.say(description.line(opened.target))
    out = folders.make(output.out, 'out', auditing.FILES)
    if output.scores is not None:
        folders.make(output.scores, 'scores')
    result = auditing.run(
        opened,
        settings,
        search,
        membership=membership,
        workdir=out,
        scores=output.scores,
        command=command,
        progress=progress,
    )
    result.save(out, thumbnails=output.thumbnails)
    return result


def printed(result: auditing.Audit, output: config.Output) -> str:
    """Returns what a program prints of an audit: the verdict, and where the report is."""
    return f'{result.verdict}\nreport: {pathlib.Path(output.out) / "report.html"}'
