"""The audit: every comparison with its controls, as figures, scores and a report.

(The module is not called `audit`, because the function `fr_inference.audit` would shadow it.)
"""

import dataclasses
import datetime
import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import checkpointing, errors, processes, provenance, tables
from fr_inference.data import overlap, sources
from fr_inference.data.faces import Faces, from_arrays
from fr_inference.inversion import guidance, reconstructions, searches
from fr_inference.inversion.searches import Inversion, Request
from fr_inference.measuring import distances
from fr_inference.measuring.measurements import Progress
from fr_inference.membership import stage
from fr_inference.membership.measured import Settings, Shadow, measure_all
from fr_inference.metrics.intervals import Scored
from fr_inference.models import registry
from fr_inference.models.target import Apply, InputSpec, Target
from fr_inference.training.shadow import train_shadow

SCHEMA = 1
FILES = (
    *('audit.json', 'scores.csv', 'distances.npz', 'report.html'),
    *('reconstructions.csv', 'reconstructions.png'),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """The result.

    Attributes:
      record: what `audit.json` holds.
      columns: name -> one value for each of the N images: path, identity, member, evaluation, and a
        logit for each setting.
      distances: [N, L] float32.
      evaluated: name of a comparison -> the scores behind its figures, for the ROC curves.
      faces: the N images, for the report's pictures.
      inversion: the second stage, where it was run.
    """

    record: dict[str, Any]
    columns: dict[str, list[Any]]
    distances: np.ndarray
    evaluated: dict[str, Scored]
    faces: Faces
    inversion: Inversion | None = None

    def save(self, directory: str | os.PathLike, *, thumbnails: bool = True) -> None:
        """Writes audit.json, scores.csv, distances.npz and report.html, and the reconstructions.

        Of several processes the first does.

        Args:
          directory: made where it does not exist.
          thumbnails: whether the report shows the faces of the most exposed people.
        """
        from fr_inference.report import html  # here, for matplotlib takes a second to import

        if not processes.is_first():
            return
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / 'audit.json', json.dumps(self.record, indent=1, allow_nan=False) + '\n')
        rows = zip(*self.columns.values(), strict=True)
        tables.write(directory / 'scores.csv', self.columns, rows)
        np.savez_compressed(
            directory / 'distances.npz',
            distances=self.distances,
            layers=np.array(self.record['target']['norm_layers'], np.str_),
            paths=np.array(self.columns['path'], np.str_),
        )
        if self.inversion is not None:
            reconstructions.save(self.inversion, directory)
        _write(directory / 'report.html', html.render(self, thumbnails=thumbnails))


def audit(
    apply: Apply,
    variables: Any,
    *,
    members: Any,
    nonmembers: Any,
    input: InputSpec | None = None,
    name: str = 'custom model',
    settings: Settings | None = None,
    **sources_and_shadow: Any,
) -> Audit:
    """Audits any Linen module that has BatchNorm layers.

    Args:
      apply: `apply(variables, images)`: [N, H, W, 3] float32 normalised -> [N, D] embeddings, with
        `use_running_average=True`. It must call Linen modules (not a compiled export of them).
      variables: {'params': ..., 'batch_stats': ...}; without BatchNorm (none there, or folded into
        the weights) {'params': ...}, any pytree of arrays: people can be attacked, images can't.
      members: training images: a folder or manifest (`sources.open_faces`), `Faces`, or a pair
        (uint8 images [N, h, w, 3], N identities).
      nonmembers: the same for people who were not trained on, of the same source.
      input: size and normalisation of the images.
      name: how the report calls the model.
      settings: how the audit is done.
      **sources_and_shadow: further arguments of `audit_target`.

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    errors.require(
        isinstance(variables, Mapping) and 'params' in variables,
        f'variables: found {type(variables).__name__} without params, expected '
        "{'params': ..., 'batch_stats': ...}",
    )
    target = Target(name=name, apply=apply, variables=variables, input=input or InputSpec())
    for key in ('auxiliary', 'member_identities', 'shift'):
        if sources_and_shadow.get(key) is not None:
            sources_and_shadow[key] = as_faces(sources_and_shadow[key], key)
    return audit_target(
        target,
        as_faces(members, 'members'),
        as_faces(nonmembers, 'nonmembers'),
        settings=settings or Settings(),
        **sources_and_shadow,
    )


def as_faces(source: Any, name: str) -> Faces:
    """Returns `Faces` of a folder, manifest or `procedural:` name, `Faces`, or (images, identities)."""
    if isinstance(source, Faces):
        return source
    if isinstance(source, tuple):
        errors.require(len(source) == 2, f'{name}: expected the pair (images, identities)')
        return from_arrays(np.asarray(source[0]), source[1], name)
    errors.require(
        isinstance(source, str | os.PathLike),
        f'{name}: found a {type(source).__name__}, expected a path, Faces or (images, identities)',
    )
    return sources.open_faces(source, name)


def audit_target(
    target: Target,
    members: Faces,
    nonmembers: Faces,
    *,
    settings: Settings,
    auxiliary: Faces | None = None,
    shadow: Shadow | None = None,
    shadow_start: Target | None = None,
    member_identities: Faces | None = None,
    shift: Faces | None = None,
    blind: Target | None = None,
    training_digests: Sequence[str] | None = None,
    blind_digests: Sequence[str] | None = None,
    inversion: Request | None = None,
    membership: bool = True,
    workdir: str | os.PathLike | None = None,
    scores: str | os.PathLike | None = None,
    command: str = '',
    progress: Progress | None = None,
) -> Audit:
    """Audits `target`: membership inference, and inversion where it is asked for.

    Args:
      target: the backbone.
      members: images it was trained on.
      nonmembers: images of other people from the same source.
      settings: how.
      auxiliary: faces of people who are neither, for the setting without any known member.
      shadow: a backbone trained on part of `auxiliary`; trained here when None.
      shadow_start: what a shadow trained here starts from; random weights when None.
      member_identities: other images of the members' people.
      shift: faces of another source.
      blind: a backbone that never saw the members nor the non-members; the target with random weights
        when None.
      training_digests: SHA-256 of all images the target was trained on, where they are known.
      blind_digests: those of `blind`.
      inversion: generator, evaluator and settings of the second stage; None for the first alone.
      membership: whether the first stage's figures are wanted; the second needs only its measurements.
      workdir: where the training of a shadow (`shadow/`) and searches (`search/`) keep their state.
      scores: folder where distances and embeddings are kept as they come, and taken from, whichever
        audit they were computed for; `workdir`/scores by default.
      command: for the record.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    started = time.monotonic()
    errors.require(
        membership or inversion is not None, 'found nothing to do: neither stage is wanted'
    )
    folder = pathlib.Path(workdir) if workdir is not None else None
    errors.require(
        auxiliary is not None or (shadow is None and shadow_start is None),
        'shadow: found one without auxiliary, the faces it was trained on or is to be trained on',
    )
    errors.require(
        shadow is None or shadow_start is None,
        'shadow_start: found beside a shadow that is trained already; give one of them',
    )
    sides = {
        'members': members,
        'nonmembers': nonmembers,
        'auxiliary': auxiliary,
        'member_identities': member_identities,
        'shift': shift,
    }
    given = {name: side for name, side in sides.items() if side is not None}
    digests = {
        name: overlap.content_digests(side, skip_bad=settings.skip_bad)
        for name, side in given.items()
    }
    given = {name: _digested(side, digests[name]) for name, side in given.items()}
    limits = overlap.check_all(given, digests, settings.allow_overlap)
    limits += overlap.check_training_list(given, digests, training_digests, settings.allow_overlap)
    for name, trained_on in (
        ('shadow', shadow.digests if shadow is not None else None),
        ('blind', blind_digests),
        ('evaluator', inversion.evaluator_digests if inversion is not None else None),
    ):
        limits += _check_untouched(name, trained_on, given, digests, settings.allow_overlap)
    stage.check_people(given, settings.seed)
    if auxiliary is not None and shadow is None and distances.layer_names(target):
        trained, trained_on = train_shadow(
            target,
            auxiliary,
            seed=settings.seed,
            start=shadow_start,
            workdir=folder and folder / 'shadow',
            skip_bad=settings.skip_bad,
            progress=progress,
        )
        shadow = Shadow(target=trained, digests=trained_on)
        limits.append(_known_of_recipe(target, shadow_start))
    measured = measure_all(
        target,
        given,
        settings=settings,
        shadow=shadow,
        blind=blind,
        scores=scores if scores is not None else folder and folder / 'scores',
        progress=progress,
    )
    labelled = measured.labelled
    found = stage.run(measured, given, settings=settings) if membership else stage.nothing(measured)
    inverted = None
    if inversion is not None:
        inverted = searches.invert(
            guidance.audited(measured, settings),
            inversion,
            seed=settings.seed,
            workdir=folder and folder / 'search',
            progress=progress,
        )
    record = {
        'schema': SCHEMA,
        'provenance': {
            **provenance.describe(command),
            'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
            'seed': settings.seed,
            'settings': dataclasses.asdict(settings),
            'target_sha256': target.sha256 or checkpointing.digest(target.variables),
            'blind': {
                'name': measured.blind.name,
                'sha256': measured.blind.sha256 or checkpointing.digest(measured.blind.variables),
            },
            'seconds': round(time.monotonic() - started, 2),
        },
        'target': {
            'name': target.name,
            'architecture': target.architecture,
            'parameters': registry.count_parameters(target.variables),
            'norm_layers': list(labelled.measured.layers),
            'input': dataclasses.asdict(target.input),
            'recipe': target.recipe,
            'notes': list(target.notes),
        },
        'data': {
            name: {'source': side.name, 'images': len(side), 'people': len(set(side.identities))}
            for name, side in given.items()
        },
        'skipped': [
            {'path': path, 'reason': reason} for path, reason in sorted(measured.skipped.items())
        ],
        **({'membership': found.membership, 'exposed': found.exposed} if membership else {}),
        **({'inversion': inverted.record} if inverted is not None else {}),
        'limits': limits + found.limits,
    }
    columns: dict[str, list[Any]] = {
        'path': [measured.faces.paths[position] for position in labelled.measured.index],
        'identity': list(labelled.measured.identities),
        'member': labelled.member.astype(int).tolist(),
        'evaluation': (~measured.fit).astype(int).tolist(),
    }
    for name, values in found.logits.items():
        columns[f'logit_{name}'] = [float(value) for value in values]
    return Audit(
        record=record,
        columns=columns,
        distances=labelled.measured.distances,
        evaluated=found.evaluated,
        faces=measured.faces.select(labelled.measured.index),
        inversion=inverted,
    )


def _digested(faces, digests):
    """The same faces, whose content is not read again to be digested again."""
    return dataclasses.replace(faces, digest=lambda index: digests[index])


def _known_of_recipe(target, start):
    """What whoever trained the shadow knew; an outsider may know less."""
    begin = f'started from {start.name}' if start is not None else 'started from random weights'
    if 'epochs' in (target.recipe or {}):
        return (
            f"The shadow was trained by the target's own recipe and {begin}: who does not know the "
            'recipe may reach less in the auxiliary setting.'
        )
    return (
        f'The target records no recipe; the shadow was trained by the default one and {begin}: the '
        'right recipe may reach more in the auxiliary setting.'
    )


def _check_untouched(name, trained_on, given, digests, allow):
    """No shadow, blind backbone or evaluator may have learned anybody whom the attack is judged on."""
    notes = []
    known = set(trained_on or ()) - {''}  # unreadable there
    for part in ('members', 'nonmembers'):
        inside = [
            path
            for path, digest in zip(given[part].paths, digests[part], strict=True)
            if digest in known
        ]
        if inside:
            found = (
                f'{name}: {len(inside)} images of {part} (as {inside[0]}) are among those that it was '
                'trained on'
            )
            errors.require(allow, f'{found}; take another, or pass --allow_overlap to go on')
            notes.append(f'{found}; --allow_overlap was given, so the figures may mislead.')
    return notes


def _write(path, text):
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(text, encoding='utf-8', errors='backslashreplace')
    temporary.rename(path)
