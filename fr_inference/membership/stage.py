"""Stage 1 as a whole: every comparison of a membership audit with the controls beside it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import checks, rng
from fr_inference.data import overlap
from fr_inference.data.faces import Faces, concat
from fr_inference.membership import attack, controls, distances, protocol, summary
from fr_inference.membership.distances import Measurements, Progress
from fr_inference.membership.protocol import Labelled
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored
from fr_inference.models.target import Target

Measure = Callable[[Target, Faces, str], Measurements]


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
        checks.require(
            0 <= self.seed < 2**31, f'seed: found {self.seed}, expected 0 to {2**31 - 1}'
        )
        _ = self.options  # checks the rest

    @property
    def options(self) -> attack.Options:
        """How the attack model is fitted."""
        return attack.Options(hidden=self.hidden, l2=self.l2, seed=self.seed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shadow:
    """A backbone that the auditor trained on auxiliary faces.

    Attributes:
      target: the backbone.
      digests: SHA-256 of each image it was trained on.
    """

    target: Target
    digests: Sequence[str]


@dataclasses.dataclass
class Findings:
    """What stage 1 collects on its way.

    Attributes:
      faces: members, then non-members.
      labelled: the N images that could be read.
      fit: [N] bool, the half of the people that attacks are fitted on.
      blind: the backbone of the blind control.
      logits: setting -> [N] membership logits.
      evaluated: comparison -> the scores behind its figures.
      membership: what `audit.json` holds under that name.
      exposed: members of the evaluated half, the most recognisable first.
      skipped: (path, reason) of images that could not be read.
      limits: what the figures can not say, one sentence each.
    """

    faces: Faces
    labelled: Labelled
    fit: np.ndarray
    blind: Target
    logits: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    evaluated: dict[str, Scored] = dataclasses.field(default_factory=dict)
    membership: dict[str, Any] = dataclasses.field(default_factory=dict)
    exposed: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    skipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    limits: list[str] = dataclasses.field(default_factory=list)


def check_people(given: Mapping[str, Faces], seed: int) -> None:
    """Finds what names alone tell, before anything is scored: too few people, nobody of that name.

    Args:
      given: as in `run`.
      seed: of the settings.

    Raises:
      InputError: that `run` would raise at its end (and may yet, where images can't be read).
    """
    both = (*given['members'].identities, *given['nonmembers'].identities)
    member = np.arange(len(both)) < len(given['members'])
    fit = protocol.fit_half(both, member, seed)
    controls.null_labels(given['nonmembers'].identities, seed)
    if 'member_identities' in given:
        judged = {both[row] for row in np.flatnonzero(member & ~fit)}
        _check_others(judged, given['member_identities'].identities)


def run(
    target: Target,
    given: Mapping[str, Faces],
    *,
    settings: Settings,
    shadow: Shadow | None = None,
    blind: Target | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Runs every comparison that the given faces allow.

    Args:
      target: the backbone.
      given: 'members', 'nonmembers' and, where there are any, 'auxiliary', 'member_identities', 'shift'.
      settings: how.
      shadow: trained on part of 'auxiliary'; without one there is no auxiliary setting.
      blind: a backbone that never saw the members nor the non-members; the target with random weights
        when None.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    skipped: dict[str, str] = {}

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
        skipped.update(measured.skipped)
        return measured

    faces = concat([given['members'], given['nonmembers']], 'members and non-members')
    measured = measure(target, faces, 'target')
    labelled = Labelled(measured=measured, member=measured.index < len(given['members']))
    fit = protocol.fit_half(measured.identities, labelled.member, settings.seed)
    backbone = blind_backbone(
        target, blind, faces, labelled, fit, seed=settings.seed, skip_bad=settings.skip_bad
    )
    found = Findings(faces=faces, labelled=labelled, fit=fit, blind=backbone)
    if not measured.layers:
        unseen = (
            'calls no flax.linen.BatchNorm that uses its statistics'
            if target.variables.get('batch_stats')
            else 'has no BatchNorm statistics (another normalisation, or folded into the weights)'
        )
        found.limits.append(
            f'{target.name} {unseen}: the attack on single images (partial, auxiliary, layers, '
            'populations) can not be run; the attack on people with several images needs embeddings '
            'only, and can.'
        )
    if blind is None:
        found.limits.append(
            'The blind control is this backbone with random weights: where members and non-members '
            'were collected in different ways, trained features may tell them apart better than '
            'random ones without having learned anyone. A backbone trained on other faces (blind) '
            'excludes that.'
        )
    control = _seen_by(found.blind, found, given, measure)
    controlled = {'blind': (control, fit), 'null': _null(labelled, settings)}
    if measured.layers:
        fitted, found.logits['partial'] = protocol.partial(labelled, fit, settings.options)
        if shadow is not None:
            checks.require(
                'auxiliary' in given, 'shadow: it needs auxiliary, faces it was trained on'
            )
            _auxiliary(target, shadow, given, found, measure, settings, (found.blind, control))
        for name, values in found.logits.items():
            found.evaluated[name] = labelled.scored(values, ~fit)
        for name, (images, half) in controlled.items():
            _, values = protocol.partial(images, half, settings.options)
            found.evaluated[name] = images.scored(values, ~half)
        _populations(target, fitted, given, found, measure)
        found.membership['layers'] = summary.layers(labelled, fit, seed=settings.seed)
    person_logits = _people(found, controlled, settings)
    checks.require(
        found.evaluated,
        f'{target.name}: without BatchNorm statistics and without people of several images there is '
        'nothing to attack',
    )
    _summarise(found, settings)
    found.exposed = summary.exposed(labelled, fit, found.logits.get('partial'), person_logits)
    found.skipped = sorted(skipped.items())
    return found


def blind_backbone(
    target: Target,
    blind: Target | None,
    faces: Faces,
    labelled: Labelled,
    fit: np.ndarray,
    *,
    seed: int,
    skip_bad: bool,
) -> Target:
    """Returns the given backbone that never saw the members, or the target with random weights.

    Args:
      target: the backbone.
      blind: the given one, or None.
      faces: what `labelled` measured.
      labelled: N images.
      fit: [N] bool, the half on which statistics are measured afresh.
      seed: of the random weights.
      skip_bad: leave unreadable images out.
    """
    if blind is not None:
        return _sharing(blind, target)
    generator = rng.numpy_generator(seed, 'calibration')
    order = generator.permutation(labelled.measured.index[fit])
    return controls.blind_target(target, faces.select(order), seed=seed, skip_bad=skip_bad)


def _sharing(backbone, target):
    """Lets a backbone of the target's very module use what is compiled for the target already."""
    if backbone.module is None or backbone.module != target.module:
        return backbone
    return dataclasses.replace(backbone, apply=target.apply)


def _seen_by(backbone, found, given, measure):
    """The same images in the blind backbone."""
    measured = measure(backbone, found.faces, 'blind control')
    checks.require(
        measured.layers or not found.labelled.measured.layers,
        '--blind: that backbone has no BatchNorm statistics, so that the attack can not be run on it',
    )
    return Labelled(measured=measured, member=measured.index < len(given['members']))


def _null(labelled, settings):
    """(Non-members, half of whom are called members, the half to fit on)."""
    outsiders = distances.select(labelled.measured, ~labelled.member)
    member = controls.null_labels(outsiders.identities, settings.seed)
    half = protocol.fit_half(outsiders.identities, member, settings.seed, least=2)
    return Labelled(measured=outsiders, member=member), half


def _auxiliary(target, shadow, given, found, measure, settings, blind):
    """The setting without any known member: fitted on the shadow, moved to the target.

    Everything that the attack is fitted on, and that its features are standardised by, is auxiliary.
    """
    auxiliary = given['auxiliary']
    seen = measure(_sharing(shadow.target, target), auxiliary, 'shadow')
    digests = overlap.content_digests(auxiliary, skip_bad=settings.skip_bad)
    trained_on = set(shadow.digests)
    member = np.array([digests[position] in trained_on for position in seen.index])
    checks.require(
        member.any() and not member.all(),
        f'--shadow: {int(member.sum())} of {len(member)} auxiliary images are among the '
        f'{len(trained_on)} that it was trained on, expected some and not all',
    )
    labelled = Labelled(measured=seen, member=member)
    reference = measure(target, auxiliary, 'auxiliary faces')
    _, found.logits['auxiliary'] = protocol.auxiliary(
        labelled, reference, found.labelled, settings.options
    )
    half = protocol.fit_half(seen.identities, member, settings.seed)
    _, own = protocol.partial(labelled, half, settings.options)
    found.membership['shadow'] = {
        'name': shadow.target.name,
        'recipe': shadow.target.recipe,
        'members': int(member.sum()),
        'nonmembers': int((~member).sum()),
        'on_itself': _figures(labelled.scored(own, ~half), settings),
    }
    backbone, control = blind
    if len(control.measured.layers) == len(seen.layers):
        reference = measure(backbone, auxiliary, 'auxiliary faces, blind')
        _, values = protocol.auxiliary(labelled, reference, control, settings.options)
        found.evaluated['auxiliary_blind'] = control.scored(values, ~found.fit)


def _people(found, controlled, settings):
    """The attack on people with several images and its controls; returns name -> logit of members."""
    logits = {}
    for name, (images, half) in {
        'identity_level': (found.labelled, found.fit),
        **{f'identity_{name}': pair for name, pair in controlled.items()},
    }.items():
        crowd = _crowd(images, half, settings)
        result = crowd and protocol.identity_level(crowd, settings.options)
        if not result:
            continue
        values, found.evaluated[name] = result
        if name == 'identity_level':
            logits = {
                person: float(value)
                for person, value, member in zip(crowd.names, values, crowd.member, strict=True)
                if member
            }
    if 'identity_level' not in found.evaluated:
        found.limits.append(
            'The attack on people was left out: it takes eight people with two or more images each '
            'among the members, and as many among the non-members.'
        )
    return logits


def _crowd(images, half, settings):
    """Returns `protocol.People` with honest features on both halves, or None for too few people."""
    values = None
    if images.measured.layers:
        for side in (images.member, ~images.member):
            if len(summary.names(images.measured.identities, half & side)) < 2 * 2:
                return None
        _, values = protocol.partial(images, half, settings.options)
        values = protocol.crossed_logits(images, half, values, settings.options, settings.seed)
    return protocol.people(images, half, values)


def _populations(target, fitted, given, found, measure):
    """The four comparisons, each with the partial setting's attack, on people it was not fitted on."""
    labelled, fit = found.labelled, found.fit
    found.evaluated['members_vs_nonmembers'] = found.evaluated['partial']

    def compare(name, first, second):
        found.evaluated[name] = Scored(
            scores=np.concatenate([first[0], second[0]]),
            member=np.arange(len(first[0]) + len(second[0])) < len(first[0]),
            identities=(*first[1], *second[1]),
        )

    def evaluated(side):
        rows = np.flatnonzero(side & ~fit)
        names = tuple(labelled.measured.identities[row] for row in rows)
        return found.logits['partial'][rows], names

    members, strangers = evaluated(labelled.member), evaluated(~labelled.member)
    if 'member_identities' in given:
        other = measure(target, given['member_identities'], 'other images of members')
        judged = set(members[1])
        own = distances.select(other, np.array([name in judged for name in other.identities]))
        _check_others(judged, own.identities)
        others = protocol.logits(fitted, own), own.identities
        compare('member_identities_vs_nonmembers', others, strangers)
        compare('members_vs_same_identities', members, others)
    if 'shift' in given:
        far = measure(target, given['shift'], 'another source')
        compare('nonmembers_vs_shift', strangers, (protocol.logits(fitted, far), far.identities))


def _check_others(judged, names):
    checks.require(
        judged & set(names),
        'member_identities: none of these people is a member in the evaluated half; identities '
        'must have the names they have in --members',
    )


_POPULATIONS = (
    'members_vs_nonmembers',
    'member_identities_vs_nonmembers',
    'members_vs_same_identities',
    'nonmembers_vs_shift',
)


def _figures(scored, settings):
    return intervals.figures(scored, seed=settings.seed, replicates=settings.replicates)


def _summarise(found, settings):
    """Turns scores into figures."""
    known: dict[int, Any] = {}  # two names of the same scores share the work
    figures = {}
    for name, scored in found.evaluated.items():
        if id(scored) not in known:
            known[id(scored)] = _figures(scored, settings)
        figures[name] = known[id(scored)]

    def block(*names):
        return {name: figures[name] for name in names if name in figures}

    found.membership['settings'] = block('partial', 'auxiliary')
    found.membership |= block('identity_level')
    controls_block = block('null', 'blind', 'identity_null', 'identity_blind')
    for key, ours, theirs in (
        ('excess', 'partial', 'blind'),
        ('auxiliary_excess', 'auxiliary', 'auxiliary_blind'),
        ('identity_excess', 'identity_level', 'identity_blind'),
    ):
        if ours in figures and theirs in figures:
            controls_block[key] = summary.excess(
                found.evaluated[ours],
                found.evaluated[theirs],
                seed=settings.seed,
                replicates=settings.replicates,
            )
    found.membership['controls'] = controls_block
    if 'auxiliary_blind' in figures:
        found.membership['shadow']['on_blind'] = figures['auxiliary_blind']
    if 'partial' in figures:
        found.membership['populations'] = block(*_POPULATIONS)
    found.limits += summary.limits(found.evaluated, figures)
