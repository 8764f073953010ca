"""Stage 1 as a whole: every comparison of a membership audit with the controls beside it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.data.faces import Faces
from fr_inference.measuring import measurements
from fr_inference.membership import controls, protocol, summary
from fr_inference.membership.measured import Measured, Settings
from fr_inference.membership.protocol import Labelled
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored


@dataclasses.dataclass
class Findings:
    """What stage 1 collects on its way.

    Attributes:
      logits: setting -> [N] membership logits.
      evaluated: comparison -> the scores behind its figures.
      membership: what `audit.json` holds under that name.
      exposed: members of the evaluated half, the most recognisable first.
      limits: what the figures can not say, one sentence each.
    """

    logits: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    evaluated: dict[str, Scored] = dataclasses.field(default_factory=dict)
    membership: dict[str, Any] = dataclasses.field(default_factory=dict)
    exposed: list[dict[str, Any]] = dataclasses.field(default_factory=list)
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


def run(measured: Measured, given: Mapping[str, Faces], *, settings: Settings) -> Findings:
    """Runs every comparison that the given faces allow.

    Args:
      measured: by `measure_all`.
      given: the same, and 'member_identities' and 'shift' where there are any.
      settings: how.

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    target, labelled, fit = measured.target, measured.labelled, measured.fit
    found = nothing(measured)
    controlled = {'blind': (measured.control, fit), 'null': _null(labelled, settings)}
    if labelled.measured.layers:
        fitted, found.logits['partial'] = protocol.partial(labelled, fit, settings.options)
        if measured.shadow is not None:
            _auxiliary(measured, found, settings)
        for name, values in found.logits.items():
            found.evaluated[name] = labelled.scored(values, ~fit)
        for name, (images, half) in controlled.items():
            _, values = protocol.partial(images, half, settings.options)
            found.evaluated[name] = images.scored(values, ~half)
        _populations(measured, fitted, given, found)
        found.membership['layers'] = summary.layers(labelled, fit, seed=settings.seed)
    person_logits = _people(measured, found, controlled, settings)
    errors.require(
        found.evaluated,
        f'{target.name}: without BatchNorm statistics and without people of several images there is '
        'nothing to attack',
    )
    _summarise(found, settings)
    found.exposed = summary.exposed(labelled, fit, found.logits.get('partial'), person_logits)
    return found


def nothing(measured: Measured) -> Findings:
    """Returns findings without figures: only the limits that follow from what could be measured."""
    found: list[str] = []
    target = measured.target
    if not measured.labelled.measured.layers:
        unseen = (
            'calls no flax.linen.BatchNorm that uses its statistics'
            if target.variables.get('batch_stats')
            else 'has no BatchNorm statistics (another normalisation, or folded into the weights)'
        )
        found.append(
            f'{target.name} {unseen}: the attack on single images (partial, auxiliary, layers, '
            'populations) can not be run; the attack on people with several images needs embeddings '
            'only, and can.'
        )
    if measured.untrained:
        found.append(
            'The blind control is this backbone with random weights: where members and non-members '
            'were collected in different ways, trained features may tell them apart better than '
            'random ones without having learned anyone. A backbone trained on other faces (blind) '
            'excludes that.'
        )
    return Findings(limits=found)


def _null(labelled, settings):
    """(Non-members, half of whom are called members, the half to fit on)."""
    outsiders = measurements.select(labelled.measured, ~labelled.member)
    member = controls.null_labels(outsiders.identities, settings.seed)
    half = protocol.fit_half(outsiders.identities, member, settings.seed, least=2)
    return Labelled(measured=outsiders, member=member), half


def _auxiliary(measured, found, settings):
    """The setting without any known member: fitted on the shadow, moved to the target.

    Everything that the attack is fitted on, and that its features are standardised by, is auxiliary.
    """
    shadow, labelled = measured.shadow, measured.shadow.labelled
    _, found.logits['auxiliary'] = protocol.auxiliary(
        labelled, shadow.reference, measured.labelled, settings.options
    )
    half = protocol.fit_half(labelled.measured.identities, labelled.member, settings.seed)
    _, own = protocol.partial(labelled, half, settings.options)
    found.membership['shadow'] = {
        'name': shadow.name,
        'recipe': shadow.recipe,
        'members': int(labelled.member.sum()),
        'nonmembers': int((~labelled.member).sum()),
        'on_itself': _figures(labelled.scored(own, ~half), settings),
    }
    if shadow.blind_reference is not None:
        _, values = protocol.auxiliary(
            labelled, shadow.blind_reference, measured.control, settings.options
        )
        found.evaluated['auxiliary_blind'] = measured.control.scored(values, ~measured.fit)


def _people(measured, found, controlled, settings):
    """The attack on people with several images and its controls; returns name -> logit of members."""
    logits = {}
    for name, (images, half) in {
        'identity_level': (measured.labelled, measured.fit),
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


def _populations(measured, fitted, given, found):
    """The four comparisons, each with the partial setting's attack, on people it was not fitted on."""
    target, labelled, fit = measured.target, measured.labelled, measured.fit
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
        other = measured.measure(target, given['member_identities'], 'other images of members')
        judged = set(members[1])
        own = measurements.select(other, np.array([name in judged for name in other.identities]))
        _check_others(judged, own.identities)
        others = protocol.logits(fitted, own), own.identities
        compare('member_identities_vs_nonmembers', others, strangers)
        compare('members_vs_same_identities', members, others)
    if 'shift' in given:
        far = measured.measure(target, given['shift'], 'another source')
        compare('nonmembers_vs_shift', strangers, (protocol.logits(fitted, far), far.identities))


def _check_others(judged, names):
    errors.require(
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
