"""Trains shadow backbones like the target, on faces that the auditor has."""

import dataclasses
import os

from fr_inference import errors
from fr_inference.data import splits
from fr_inference.data.faces import Faces
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.runs import Progress
from fr_inference.training import recognizer, records


def train_shadow(
    target: Target,
    auxiliary: Faces,
    *,
    seed: int,
    start: Target | None = None,
    workdir: str | os.PathLike | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> tuple[Target, list[str]]:
    """Trains a backbone of the target's architecture on half of the auxiliary people.

    It uses the recipe that the target records, or the default one.

    Args:
      target: of a registered architecture.
      auxiliary: faces of people that the target never saw.
      seed: of the halves, the weights and the training.
      start: the backbone to start from; None for random weights.
      workdir: folder for the state, from which a run resumes.
      skip_bad: leave unreadable images out.
      progress: called as progress(label, done, total, ...).

    Returns:
      (the shadow, the SHA-256 of each image that it was trained on).

    Raises:
      InputError: for a target whose architecture is not registered.
    """
    if target.architecture not in registry.VARIANTS:
        raise errors.InputError(
            'auxiliary',
            f'a target whose architecture is not registered ({target.name}), for which no shadow can be '
            'trained here',
            hint='train a shadow yourself and give it as shadow',
        )
    parts = splits.split_identities(auxiliary, {'members': 0.5, 'nonmembers': 0.5}, seed=seed)
    begin = start or recognizer.fresh_target(
        target.architecture, dict(target.config), target.input, seed + 1
    )
    shadow = recognizer.train(
        records.recorded_recipe(target.recipe, seed=seed + 1),
        begin,
        parts['members'],
        workdir=workdir,
        skip_bad=skip_bad,
        progress=progress,
    )
    members = records.training_members(parts['members'], skip_bad=skip_bad)
    return dataclasses.replace(shadow, name='shadow'), [digest for _, _, digest in members]
