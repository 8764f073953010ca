"""One audit, from its options to its files: for `audit`, `invert` and each row of a batch."""

import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import addresses, auditing, checking, config, errors, runs
from fr_inference.cli import bars, description, folders
from fr_inference.data import pseudonyms
from fr_inference.measuring import distances
from fr_inference.report import gate_needs, gating, model_card, verdict, what_helps
from fr_inference.report.gate import Gate
from fr_inference.runs import Progress


def run(
    inputs: config.Inputs,
    settings: config.Settings,
    search: config.Search | None,
    output: config.Output,
    *,
    command: str,
    membership: bool = True,
    gates: Sequence[Gate] = (),
    progress: Progress | None = None,
) -> auditing.Audit:
    """Opens the inputs, audits, and writes the results and the state of an interrupted audit.

    Checks before anything is measured whether the data can answer the gates; `judge` then applies
    them to the result.

    Args:
      inputs: backbones, faces and generator.
      settings: how the audit is done.
      search: how the generator is searched; None without one.
      output: where to write the results.
      command: the command to record.
      membership: whether to report membership inference.
      gates: the gates of the audit.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    gate_needs.check(gates, settings, given=inputs.parts, membership=membership)
    if output.advice is not None:  # before anything is measured
        runs.by_first(functools.partial(what_helps.read, output.advice))
    if output.card is not None:
        model_card.check(output.card)
    if inputs.pseudonyms is not None:
        pseudonyms.check_apart(inputs.pseudonyms, output.out)
    opened = auditing.open_inputs(inputs)
    bars.say(description.line(opened.target))
    if gates:
        gate_needs.check(
            gates,
            settings,
            given=inputs.parts,
            membership=membership,
            layers=bool(distances.layer_names(opened.target)),
            shadow=checking.shadow_can_be_had(opened),
            faces=opened.faces,
        )
    out = folders.make(output.out, 'out', auditing.FILES)
    if output.scores is not None:
        if addresses.is_address(output.scores):
            folders.try_address(output.scores, 'scores')
        else:
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
    result.save(out, thumbnails=output.thumbnails, advice=output.advice)
    if output.card is not None:
        model_card.write(result.record, output.card)
    return result


def printed(result: auditing.Audit, output: config.Output) -> str:
    """Returns the text to print: the verdict, the answer on a collection, and the path of the report."""
    page = 'report.html'
    stored = addresses.is_address(output.out)
    where = addresses.joined(output.out, page) if stored else pathlib.Path(output.out) / page
    lines = (str(result.verdict), verdict.collection(result.record), f'report: {where}')
    return '\n'.join(line for line in lines if line)


def judge(gates: Sequence[Gate], record: Mapping[str, Any], name: str = '') -> None:
    """Checks a finished audit against its gates; prints warnings on passed gates to stderr.

    Args:
      gates: of `gate.parse`.
      record: its `audit.json`.
      name: the name of the audit, if there are several.

    Raises:
      GateCrossed: see `gating.check`.
      InputError: see `gating.check`.
    """
    if remark := gating.check(gates, record):
        _warn(f'--fail_above: {name}{": " if name else ""}{remark}')


@runs.first_only
def _warn(line):
    print(errors.shown(line), file=sys.stderr)
