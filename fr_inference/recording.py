"""The parts of `audit.json` besides the figures: what was audited, how, and the verdict."""

import dataclasses
import datetime
import time
from collections.abc import Mapping
from typing import Any

from fr_inference import checkpointing, config, provenance
from fr_inference.data import overlap
from fr_inference.data.faces import Faces
from fr_inference.measuring.convention import Fit
from fr_inference.membership.study import Findings
from fr_inference.membership.views import Views
from fr_inference.metrics import verification
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.opening import Opened
from fr_inference.report.verdict import verdict


def judged(record: dict[str, Any], exposed: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the record with its verdict and, for a leak, with the exposed people.

    Args:
      record: the rest of the record.
      exposed: the result of `study.run`.
    """
    said = verdict(record)
    found = {'schema': record['schema'], **said.to_json(), **record}
    # Without a leak nobody is named, since somebody always has the highest score.
    return found | ({'exposed': exposed} if exposed and said.kind == 'leak' else {})


def provenance_of(
    opened: Opened, views: Views, settings: config.Settings, command: str, started: float
) -> dict[str, Any]:
    """Returns the provenance of an audit: code, weights, settings and command.

    Args:
      opened: what was audited.
      views: what was measured.
      settings: the settings of the audit.
      command: the command that was typed, '' for none.
      started: the start by `time.monotonic`.
    """
    target, blind = opened.target, views.blind
    return {
        **provenance.describe(command),
        'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'seed': settings.seed,
        'settings': dataclasses.asdict(settings),
        'target_sha256': target.sha256 or checkpointing.digest(target.variables),
        **({'target_answers': target.answers.to_json()} if target.answers else {}),
        'blind': {
            'name': blind.name,
            'sha256': blind.sha256 or checkpointing.digest(blind.variables),
        },
        'references': [
            {'name': name, 'sha256': one.sha256 or checkpointing.digest(one.variables)}
            for name, one in views.references.items()
        ],
        'seconds': round(time.monotonic() - started, 2),
    }


def subject(opened: Opened, views: Views, faces: Mapping[str, Faces]) -> dict[str, Any]:
    """Returns the description of the target and of the images."""
    target = opened.target
    data = {name: side.described() for name, side in faces.items()}
    if (listed := _in_list(opened, faces)) is not None:
        data['members']['in_training_list'] = sum(listed)
    return {
        'target': {
            'name': target.name,
            'architecture': target.architecture,
            'parameters': registry.count_parameters(target.variables),
            'norm_layers': list(views.in_target.layers),
            'recipe': target.recipe,
            'notes': list(target.notes),
        },
        'data': data,
        'skipped': [
            {'path': path, 'reason': reason} for path, reason in sorted(views.skipped.items())
        ],
    }


def trained_people(opened: Opened, faces: Mapping[str, Faces]) -> set[str] | None:
    """Returns the members with an image in the target's own list; None if it has no list."""
    listed = _in_list(opened, faces)
    if listed is None:
        return None
    names = zip(faces['members'].identities, listed, strict=True)
    return {name for name, known in names if known}


def _in_list(opened, faces):
    """For each image of the members, whether it is in the target's list of training images; or None."""
    if (training := opened.trained_on.get('target')) is None:
        return None
    members = faces['members']  # whose digests were computed by `checking.checked_faces`
    return overlap.listed([members.digest(row) for row in range(len(members))], training)


def fed(
    target: Target,
    views: Views,
    settings: config.Settings,
    fit: Fit,
    alignment: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Returns the input convention of the target, and how well the images fit it.

    Args:
      target: the backbone.
      views: what was measured.
      settings: seed and replicates.
      fit: by `convention.check`.
      alignment: by `placement.check`, if it has a result.
    """
    found = {**target.convention, 'check': fit.to_json()}
    strangers = views.in_target.select(~views.in_target.member)
    accuracy = verification.of_people(
        strangers.embeddings,
        strangers.identities,
        seed=settings.seed,
        replicates=settings.replicates,
    )
    if accuracy is not None:  # only with enough people
        found['verification'] = accuracy
    return found | ({'alignment': alignment} if alignment else {})


def columns(views: Views, found: Findings) -> dict[str, list[Any]]:
    """Returns the columns of scores.csv: name -> one value for each image."""
    images = views.in_target
    return {
        'path': [views.faces.paths[position] for position in images.index],
        'identity': list(images.identities),
        'member': images.member.astype(int).tolist(),
        'evaluation': (~views.fit).astype(int).tolist(),
        **{
            f'logit_{key}': [float(value) for value in values]
            for key, values in found.logits.items()
        },
    }
