"""The audit: every comparison with its controls, as figures, scores and a report.

(The module is not called `audit`, because the function `fr_inference.audit` would shadow it.)
"""

import csv
import dataclasses
import datetime
import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import checks, provenance, rng
from fr_inference.data import overlap, sources, splits
from fr_inference.data.faces import Faces, concat, from_arrays
from fr_inference.membership import controls, distances, protocol
from fr_inference.membership.attack import Options
from fr_inference.membership.distances import Measurements, Progress
from fr_inference.membership.protocol import Labelled
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored
from fr_inference.models import registry
from fr_inference.models.target import Apply, InputSpec, Target
from fr_inference.training import recognizer

SCHEMA = 1
_LAYER_REPLICATES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How an audit is done.

    Attributes:
      scaling: what distances are divided by, in `distances.SCALINGS`.
      hidden: units of the attack model's hidden layer, 0 for the paper's model.
      l2: weight decay of the attack model.
      seed: of every split, control and interval.
      replicates: of the bootstrap.
      batch_size: images scored at a time.
      skip_bad: leave unreadable images out and list them, instead of stopping.
      allow_overlap: go on when members and non-members share people or images, and say so.
    """

    scaling: str = 'variance'
    hidden: int = 0
    l2: float = 0.01
    seed: int = 0
    replicates: int = intervals.REPLICATES
    batch_size: int = 64
    skip_bad: bool = False
    allow_overlap: bool = False

    def __post_init__(self):
        checks.one_of('scaling', self.scaling, distances.SCALINGS)
        checks.positive('batch_size', self.batch_size)
        checks.require(
            100 <= self.replicates <= 100_000,
            f'replicates: found {self.replicates}, expected 100 to 100000',
        )
        checks.require(self.seed >= 0, f'seed: found {self.seed}, expected 0 or more')
        _ = self.attack  # checks the rest

    @property
    def attack(self) -> Options:
        """How the attack model is fitted."""
        return Options(hidden=self.hidden, l2=self.l2, seed=self.seed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """The result.

    Attributes:
      record: what `audit.json` holds.
      columns: name -> one value for each of the N images: path, identity, member, evaluation, and a
        logit for each setting.
      distances: [N, L] float32.
      evaluated: name of a comparison -> the scores behind its figures, for the ROC curves.
      faces: the N images, for the report's thumbnails.
    """

    record: dict[str, Any]
    columns: dict[str, list[Any]]
    distances: np.ndarray
    evaluated: dict[str, Scored]
    faces: Faces

    def save(self, directory: str | os.PathLike, *, thumbnails: bool = True) -> None:
        """Writes audit.json, scores.csv, distances.npz and report.html.

        Args:
          directory: made where it does not exist.
          thumbnails: whether the report shows the faces of the most exposed people.
        """
        from fr_inference.report import html  # above this module: the report shows an Audit

        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / 'audit.json', json.dumps(self.record, indent=1, allow_nan=False) + '\n')
        with open(directory / 'scores.csv', 'w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows(zip(*self.columns.values(), strict=True))
        np.savez_compressed(
            directory / 'distances.npz',
            distances=self.distances,
            layers=np.array(self.record['target']['norm_layers'], np.str_),
            paths=np.array(self.columns['path'], np.str_),
        )
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
      variables: {'params': ..., 'batch_stats': ...}.
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
        checks.require(len(source) == 2, f'{name}: expected the pair (images, identities)')
        return from_arrays(np.asarray(source[0]), source[1], name)
    checks.require(
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
    shadow: Target | None = None,
    shadow_start: Target | None = None,
    shadow_members: Sequence[str] | None = None,
    member_identities: Faces | None = None,
    shift: Faces | None = None,
    blind: Target | None = None,
    training_digests: Sequence[str] | None = None,
    workdir: str | os.PathLike | None = None,
    command: str = '',
    progress: Progress | None = None,
) -> Audit:
    """Runs the membership audit of `target`.

    Args:
      target: the backbone.
      members: images it was trained on.
      nonmembers: images of other people from the same source.
      settings: how.
      auxiliary: faces of people who are neither, for the setting without any known member.
      shadow: a backbone trained on part of `auxiliary`; trained here when None.
      shadow_start: what a shadow trained here starts from; random weights when None.
      shadow_members: SHA-256 of the images `shadow` was trained on.
      member_identities: other images of the members' people.
      shift: faces of another source.
      blind: a backbone that never saw the members; the target with random weights when None.
      training_digests: SHA-256 of all images the target was trained on, where they are known.
      workdir: where training of the shadow keeps its state.
      command: for the record.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    started = time.monotonic()
    faces = concat([members, nonmembers], 'members and non-members')
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
    limits = _check_overlaps(given, digests, settings.allow_overlap)
    limits += _check_training_list(given, digests, training_digests, settings.allow_overlap)
    skipped: dict[str, list[tuple[str, str]]] = {}

    def measure(backbone: Target, images: Faces, label: str) -> Measurements:
        measured = distances.measure(
            backbone,
            images,
            scaling=settings.scaling,
            batch_size=settings.batch_size,
            skip_bad=settings.skip_bad,
            label=label,
            progress=progress,
        )
        skipped.setdefault(images.name, list(measured.skipped))
        return measured

    measured = measure(target, faces, 'target')
    labelled = Labelled(measured=measured, member=measured.index < len(members))
    fit = protocol.fit_half(measured.identities, labelled.member, settings.seed)
    columns: dict[str, list[Any]] = {
        'path': [faces.paths[position] for position in measured.index],
        'identity': list(measured.identities),
        'member': labelled.member.astype(int).tolist(),
        'evaluation': (~fit).astype(int).tolist(),
    }
    evaluated: dict[str, Scored] = {}
    membership: dict[str, Any] = {}
    logits: dict[str, np.ndarray] = {}
    if measured.layers:
        _, logits['partial'] = protocol.partial(labelled, fit, settings.attack)
        if auxiliary is not None:
            logits['auxiliary'], membership['shadow'] = _auxiliary_setting(
                target,
                auxiliary,
                digests['auxiliary'],
                shadow,
                shadow_start,
                shadow_members,
                labelled,
                measure,
                settings,
                workdir,
                progress,
            )
        for name, values in logits.items():
            columns[f'logit_{name}'] = [float(value) for value in values]
            evaluated[name] = labelled.scored(values, ~fit)
    else:
        limits.append(
            f'{target.name} has no BatchNorm statistics (another normalisation, or folded into the '
            'weights): the attack on single images (partial, auxiliary, layers, populations) can not '
            'be run; the attack on people with several images needs embeddings only and was.'
        )

    def blind_measured() -> Labelled:
        generator = rng.numpy_generator(settings.seed, 'calibration')
        backbone = blind or controls.blind_target(
            target,
            faces.select(generator.permutation(measured.index[fit])),
            seed=settings.seed,
            skip_bad=settings.skip_bad,
        )
        control = measure(backbone, faces, 'blind control')
        checks.require(
            not measured.layers or control.layers,
            '--blind: that backbone has no BatchNorm statistics, so that the attack can not be run',
        )
        return Labelled(measured=control, member=control.index < len(members))

    seen_blind = blind_measured()
    outsiders = distances.select(measured, ~labelled.member)
    null = Labelled(
        measured=outsiders, member=controls.null_labels(outsiders.identities, settings.seed)
    )
    null_fit = protocol.fit_half(outsiders.identities, null.member, settings.seed, least=2)
    trio = {'': (labelled, fit), 'blind': (seen_blind, fit), 'null': (null, null_fit)}
    if measured.layers:
        for name in ('blind', 'null'):
            control, half = trio[name]
            _, values = protocol.partial(control, half, settings.attack)
            evaluated[name] = control.scored(values, ~half)
    crowd_logits = None
    for name, (images, half) in trio.items():
        crowd = _crowd(images, half, settings)
        result = crowd and protocol.identity_level(crowd, settings.attack)
        if result:
            evaluated[f'identity_{name}' if name else 'identity_level'] = result[1]
            if not name:
                crowd_logits = (crowd, result[0])
    if 'identity_level' not in evaluated:
        limits.append(
            'The attack on people was left out: it takes four people with two or more images each, '
            'among members and among non-members.'
        )
    checks.require(
        measured.layers or 'identity_level' in evaluated,
        f'{target.name}: without BatchNorm statistics and without people of several images there is '
        'nothing to attack',
    )

    def figures(name: str) -> dict[str, Any]:
        return intervals.figures(
            evaluated[name], seed=settings.seed, replicates=settings.replicates
        )

    membership['settings'] = {name: figures(name) for name in logits}
    if 'identity_level' in evaluated:
        membership['identity_level'] = figures('identity_level')
    membership['controls'] = {
        name: figures(name)
        for name in ('null', 'blind', 'identity_null', 'identity_blind')
        if name in evaluated
    }
    for key, ours, theirs in (
        ('excess', 'partial', 'blind'),
        ('identity_excess', 'identity_level', 'identity_blind'),
    ):
        if ours in evaluated and theirs in evaluated:
            membership['controls'][key] = _excess(evaluated[ours], evaluated[theirs], settings)
    if measured.layers:
        membership['populations'] = _populations(
            target, labelled, fit, given, measure, evaluated, figures, settings
        )
        membership['layers'] = _layers(labelled, fit, settings)
    limits += _resolution(membership)
    record = {
        'schema': SCHEMA,
        'provenance': {
            **provenance.describe(command),
            'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
            'seed': settings.seed,
            'settings': dataclasses.asdict(settings),
            'target_sha256': target.sha256,
            'seconds': round(time.monotonic() - started, 2),
        },
        'target': {
            'name': target.name,
            'architecture': target.architecture,
            'parameters': registry.count_parameters(target.variables),
            'norm_layers': list(measured.layers),
            'input': dataclasses.asdict(target.input),
            'recipe': target.recipe,
            'notes': list(target.notes),
        },
        'data': {
            name: {'source': side.name, 'images': len(side), 'people': len(set(side.identities))}
            for name, side in given.items()
        },
        'skipped': [
            {'path': path, 'reason': reason} for side in skipped.values() for path, reason in side
        ],
        'membership': membership,
        'exposed': _exposed(labelled, fit, logits.get('partial'), crowd_logits),
        'limits': limits,
    }
    return Audit(
        record=record,
        columns=columns,
        distances=measured.distances,
        evaluated=evaluated,
        faces=faces.select(measured.index),
    )


def _check_overlaps(given, digests, allow):
    """Who may share what: nobody anything, but other images of members are of the same people."""
    found = []
    names = list(given)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            found += overlap.check_disjoint(
                given[first],
                given[second],
                digests=(digests[first], digests[second]),
                names=(first, second),
                allow=allow,
                identities=(first, second) != ('members', 'member_identities'),
            )
    return [f'{line}; --allow_overlap was given, so the figures may mislead.' for line in found]


def _check_training_list(given, digests, training, allow):
    """Compares the labels with the list of training images, where a checkpoint has one."""
    if training is None:
        return []
    known, notes = set(training), []
    for name in given:
        inside = [
            path
            for path, digest in zip(given[name].paths, digests[name], strict=True)
            if digest in known
        ]
        if name == 'members':
            missing = len(given[name]) - len(inside)
            if missing:
                notes.append(
                    f'{missing} of {len(given[name])} images given as members are not in the '
                    "target's own list of training images."
                )
        elif inside:
            checks.require(
                allow,
                f"{name}: {len(inside)} images are in the target's own list of training images "
                f'({", ".join(inside[:3])}); separate them, or pass --allow_overlap to go on',
            )
            notes.append(
                f"{len(inside)} images of {name} are in the target's own list of training images; "
                '--allow_overlap was given, so the figures may mislead.'
            )
    return notes


def _auxiliary_setting(
    target,
    auxiliary,
    digests,
    shadow,
    start,
    shadow_members,
    labelled,
    measure,
    settings,
    workdir,
    progress,
):
    """Returns ([N] logits, what to record of the shadow)."""
    trained_here = shadow is None
    if shadow is None:
        shadow, shadow_members = _train_shadow(
            target, auxiliary, start, settings, workdir, progress
        )
    checks.require(
        shadow_members is not None,
        f'--shadow: {shadow.name} has no list of its training images (members.csv)',
    )
    seen = measure(shadow, auxiliary, 'shadow')
    trained_on = set(shadow_members)
    member = np.array([digests[position] in trained_on for position in seen.index])
    checks.require(
        member.any() and not member.all(),
        f'--shadow: {int(member.sum())} of {len(member)} auxiliary images are among the {len(trained_on)} '
        'it was trained on, expected some and not all',
    )
    shadow_labelled = Labelled(measured=seen, member=member)
    reference = measure(target, auxiliary, 'auxiliary faces')
    _, values = protocol.auxiliary(shadow_labelled, reference, labelled, settings.attack)
    half = protocol.fit_half(seen.identities, member, settings.seed)
    _, own = protocol.partial(shadow_labelled, half, settings.attack)
    figures = intervals.figures(
        shadow_labelled.scored(own, ~half), seed=settings.seed, replicates=settings.replicates
    )
    return values, {
        'name': shadow.name,
        'trained_here': trained_here,
        'recipe': shadow.recipe,
        'members': int(member.sum()),
        'nonmembers': int((~member).sum()),
        'auc_on_itself': figures['auc'],
        'auc_on_itself_ci95': figures['auc_ci95'],
    }


def _train_shadow(target, auxiliary, start, settings, workdir, progress):
    checks.require(
        target.architecture in registry.VARIANTS,
        f'auxiliary: {target.name} is not of a registered architecture, so that no shadow can be '
        'trained here; train one yourself and give it as shadow with shadow_members',
    )
    parts = splits.split_identities(
        auxiliary, {'members': 0.5, 'nonmembers': 0.5}, seed=settings.seed
    )
    fields = {field.name for field in dataclasses.fields(recognizer.Recipe)}
    recorded = {key: value for key, value in (target.recipe or {}).items() if key in fields}
    recipe = recognizer.recipe_of(recorded, seed=settings.seed + 1)
    begin = start or recognizer.fresh_target(
        target.architecture, dict(target.config), target.input, settings.seed + 1
    )
    shadow = recognizer.train(
        recipe,
        begin,
        parts['members'],
        workdir=workdir,
        skip_bad=settings.skip_bad,
        progress=progress,
    )
    members = recognizer.training_members(parts['members'], skip_bad=settings.skip_bad)
    return dataclasses.replace(shadow, name='shadow'), [digest for _, _, digest in members]


def _crowd(images, half, settings):
    """Returns `protocol.People` with honest features on both halves, or None for too few people."""
    values = None
    if images.measured.layers:
        for side in (images.member, ~images.member):
            if len(_names(images.measured.identities, half & side)) < 2 * 2:
                return None
        _, values = protocol.partial(images, half, settings.attack)
        values = protocol.crossed_logits(images, half, values, settings.attack, settings.seed)
    return protocol.people(images, half, values)


def _excess(ours, theirs, settings):
    """What the target gives away beyond a backbone that never saw the members, images paired."""
    checks.require(
        ours.identities == theirs.identities,
        'blind control: it could not read the same images as the target',
    )
    values, sampled = intervals.aucs(
        np.stack([ours.scores, theirs.scores]),
        ours.member,
        ours.identities,
        seed=settings.seed,
        replicates=settings.replicates,
    )
    return {
        'auc': float(values[0] - values[1]),
        'auc_ci95': intervals.percentiles(sampled[:, 0] - sampled[:, 1]),
    }


def _populations(target, labelled, fit, given, measure, evaluated, figures, settings):
    """The four comparisons, each with the partial setting's attack, on people it was not fitted on."""
    fitted, logits = protocol.partial(labelled, fit, settings.attack)
    evaluated['members_vs_nonmembers'] = evaluated['partial']

    def compare(name, first, second):
        evaluated[name] = Scored(
            scores=np.concatenate([first[0], second[0]]),
            member=np.arange(len(first[0]) + len(second[0])) < len(first[0]),
            identities=(*first[1], *second[1]),
        )

    def rows(mask):
        return logits[mask], tuple(
            labelled.measured.identities[row] for row in np.flatnonzero(mask)
        )

    members, strangers = rows(labelled.member & ~fit), rows(~labelled.member & ~fit)
    if 'member_identities' in given:
        other = measure(target, given['member_identities'], 'other images of members')
        judged = set(members[1])
        own = distances.select(other, np.array([name in judged for name in other.identities]))
        checks.require(
            len(own),
            'member_identities: none of these people is a member in the evaluated half; identities '
            'must have the names they have in --members',
        )
        others = protocol.logits(fitted, own), own.identities
        compare('member_identities_vs_nonmembers', others, strangers)
        compare('members_vs_same_identities', members, others)
    if 'shift' in given:
        far = measure(target, given['shift'], 'another source')
        compare('nonmembers_vs_shift', strangers, (protocol.logits(fitted, far), far.identities))
    names = (
        'members_vs_nonmembers',
        'member_identities_vs_nonmembers',
        'members_vs_same_identities',
        'nonmembers_vs_shift',
    )
    return {name: figures(name) for name in names if name in evaluated}


def _layers(labelled, fit, settings):
    scores = protocol.layer_scores(labelled, fit)
    identities = [labelled.measured.identities[row] for row in np.flatnonzero(~fit)]
    values, sampled = intervals.aucs(
        scores[:, ~fit],
        labelled.member[~fit],
        identities,
        seed=settings.seed,
        replicates=_LAYER_REPLICATES,
    )
    return [
        {'name': name, 'auc': float(value), 'auc_ci95': intervals.percentiles(sample)}
        for name, value, sample in zip(
            labelled.measured.layers, values, sampled.T, strict=True
        )
    ]


def _resolution(membership):
    """Says which false-positive rates the evaluation has too few non-members for."""
    blocks: Mapping[str, Any] = membership['settings'] or {'': membership['identity_level']}
    block = next(iter(blocks.values()))
    unresolved = [rate for rate, value in block['tpr_at_fpr'].items() if value is None]
    if not unresolved:
        return []
    percent = ', '.join(f'{100 * float(rate):g} %' for rate in unresolved)
    needed = intervals.RESOLVABLE / float(unresolved[-1])
    return [
        f'With {block["nonmembers"]} non-members in the evaluation, true-positive rates at {percent} '
        f'false positives can not be resolved ({needed:,.0f} would be needed for the lowest).'
    ]


def _exposed(labelled, fit, logits, crowd_logits, most=12):
    """Members of the evaluated half, the most recognisable first, with the rows of their images."""
    names = _names(labelled.measured.identities, labelled.member & ~fit)
    rows: dict[str, list[int]] = {name: [] for name in names}
    for row in np.flatnonzero(labelled.member & ~fit):
        rows[labelled.measured.identities[row]].append(int(row))
    person: dict[str, float] = {}
    if crowd_logits is not None:
        crowd, values = crowd_logits
        person = {
            name: float(value)
            for name, value, member in zip(crowd.names, values, crowd.member, strict=True)
            if member
        }
    if logits is not None:
        image = {name: float(np.mean(logits[own])) for name, own in rows.items()}
        best = {name: sorted(own, key=lambda row: -logits[row]) for name, own in rows.items()}
    else:
        image, best = {}, rows
    ranked = sorted(names, key=lambda name: -person.get(name, image.get(name, -np.inf)))
    return [
        {
            'identity': name,
            'person_logit': person.get(name),
            'mean_image_logit': image.get(name),
            'images': len(rows[name]),
            'rows': best[name][:4],
        }
        for name in ranked[:most]
    ]


def _names(identities, mask):
    return sorted({name for name, inside in zip(identities, mask, strict=True) if inside})


def _write(path, text):
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(text, encoding='utf-8')
    temporary.rename(path)
