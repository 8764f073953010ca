"""One audit from its options to its files; `audit`, `invert` and each row of a batch are such."""

import os
import pathlib
from typing import Any

from fr_inference import auditing, config, errors, processes
from fr_inference.cli import folders
from fr_inference.data import sources
from fr_inference.inversion import objective, optimize
from fr_inference.inversion import stage as inversion
from fr_inference.measuring.measurements import Progress
from fr_inference.membership import measured
from fr_inference.weights import native_targets
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import locate, open_target

_FACES = ('members', 'nonmembers', 'auxiliary', 'member_identities', 'shift')


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
    opened = processes.each_its_share(lambda: _open(inputs, search))  # all see what one lacks
    out = folders.make(output.out, 'out', auditing.FILES)
    if output.scores is not None:
        folders.make(output.scores, 'scores')
    result = auditing.audit_target(
        **opened,
        settings=measured.Settings(
            **{
                name: getattr(settings, name)
                for name in ('seed', 'batch_size', 'decoders', 'skip_bad', 'allow_overlap')
            }
        ),
        membership=membership,
        workdir=out,
        scores=output.scores,
        command=command,
        progress=progress,
    )
    result.save(out, thumbnails=output.thumbnails)
    return result


def _open(inputs: config.Inputs, search: config.Search | None) -> dict[str, Any]:
    """Returns what the inputs name, as arguments of `auditing.audit_target`."""
    return {
        'inversion': _request(inputs, search) if search is not None else None,
        'target': _backbone(inputs, 'target'),
        'shadow': _shadow(inputs) if inputs.shadow else None,
        'shadow_start': _backbone(inputs, 'shadow_init'),
        'blind': _backbone(inputs, 'blind'),
        **{name: _faces(inputs, name) for name in _FACES},
        'training_digests': native_targets.read_members(locate(inputs.target)),
        'blind_digests': _digests(inputs.blind) if inputs.blind else None,
    }


def _digests(source: str | os.PathLike):
    return native_targets.read_members(locate(source))


def _shadow(inputs):
    digests = _digests(inputs.shadow)
    if digests is None:
        raise errors.InputError(
            'shadow', f'{inputs.shadow} without members.csv, the list of its training images'
        )
    return measured.Shadow(target=_backbone(inputs, 'shadow'), digests=digests)


def _faces(inputs, name):
    value = getattr(inputs, name)
    if not value:
        return None
    return sources.open_faces(
        value, name, identity_key=inputs.identity_key, data_dir=inputs.data_dir
    )


def _backbone(inputs, name):
    value = getattr(inputs, name)
    return open_target(value, dtype=inputs.dtype, flag=f'--{name}') if value else None


def _request(inputs, search):
    evaluator = str(inputs.evaluator)
    return inversion.Request(
        generator=open_generator(inputs.generator),
        evaluator=open_target(evaluator, flag='--evaluator'),
        strangers=_faces(inputs, 'strangers'),
        evaluator_digests=_digests(evaluator),
        settings=inversion.Settings(
            plan=optimize.Plan(
                batch=search.search_batch,
                **{
                    name: getattr(search, name)
                    for name in (
                        *('draws', 'candidates', 'steps', 'keep', 'pictures', 'learning_rate'),
                        *('optimiser', 'apart'),
                    )
                },
            ),
            objective=objective.Objective(
                membership=search.membership or 'capped',
                strength=search.strength,
                prior=search.prior,
            ),
            space=search.space,
            psi=search.psi,
            untrained=search.untrained,
            centres=search.centres,
            strengths=search.sweep,
            targeted=search.targeted,
        ),
    )


def printed(result: auditing.Audit, output: config.Output) -> str:
    """Returns what a program prints of an audit: the verdict, and where the report is."""
    from fr_inference.report.verdict import verdict

    return f'{verdict(result.record)}\nreport: {pathlib.Path(output.out) / "report.html"}'
