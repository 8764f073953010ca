"""Runs one attack in one setting together with its controls; only this module pairs the two."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fr_inference import config, errors, runs
from fr_inference.membership import controls, labelled, picture_statistics
from fr_inference.membership.attack import Attack
from fr_inference.membership.comparison import Comparison
from fr_inference.membership.trials import Trial, run_attack, transfer_attack
from fr_inference.membership.views import Views
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored

_SAME = 1e-6  # logits that differ by less count as equal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trials:
    """The scores of an attack and of its controls.

    Attributes:
      target: in the target.
      blind: in a backbone that never saw the members; None if it cannot be run there or gives every
        picture the same score.
      null: in the target among strangers, half of whom are called members; None if there are too few.
    """

    target: Trial
    blind: Trial | None
    null: Trial | None


def compare(
    attack: Attack,
    setting: str,
    views: Views,
    settings: config.Settings,
    *,
    headline: bool = False,
    further: bool = False,
    pictures: Mapping[str, Any] | None = None,
) -> tuple[Comparison, Trials] | None:
    """Runs an attack in one setting in the target, and its controls.

    Args:
      attack: of `attacks.chosen`.
      setting: what the attacker knows, of `comparison.SETTINGS`.
      views: by `views.measure_views`, with what the attack needs measured.
      settings: seed and replicates.
      headline: whether it was chosen to head the report before the data were seen.
      further: whether the verdict rests on others.
      pictures: the result of `pictures_alone` if another attack on the same unit has it; computed
        when None.

    Returns:
      (its figures with those of its controls, the scores behind them); None if it cannot be run.

    Raises:
      Stopped: when a stop was requested.
      InputError: for an unknown setting, or one that the attack does not support.
    """
    errors.one_of('setting', setting, [name for name in _SETTINGS if name in attack.settings])
    runs.stop_point()  # with many images the resampling takes minutes
    trials = _SETTINGS[setting](attack, views, settings.seed)
    if trials is None:
        return None
    if trials.blind is not None and (
        # A backbone that gives every picture the same score is no control: it always reaches 0.5.
        np.ptp(trials.blind.scored.scores) < _SAME
        # Nor is a backbone that is compared with itself.
        or (attack.references and views.blind_is_reference)
    ):
        trials = dataclasses.replace(trials, blind=None)

    figures = functools.partial(_figures, settings=settings)
    scored = trials.target.scored
    blind_scored = trials.blind.scored if trials.blind is not None else None
    over = None
    if blind_scored is not None:
        over = excess(scored, blind_scored, seed=settings.seed, replicates=settings.replicates)
    found = Comparison(
        attack=attack.name,
        title=attack.title,
        access=trials.target.examples.access or attack.access,
        references=attack.references,
        setting=setting,
        unit=attack.unit,
        headline=headline,
        further=further,
        figures=figures(trials.target),
        blind=figures(trials.blind),
        null=figures(trials.null),
        pictures=pictures or pictures_alone(attack.unit, views, settings),
        excess=over,
        scored=scored,
        blind_scored=blind_scored,
        null_scored=trials.null.scored if trials.null is not None else None,
    )
    return found, trials


def _halved(attack, views, seed, setting='partial'):
    """Fitted on half of the members and strangers (or of the strangers), judged on the other half."""
    target = run_attack(attack, views.in_target, views.fit, seed, setting)
    if target is None:
        return None
    null = controls.null(views.in_target, seed)
    half = labelled.fit_half(null.identities, null.member, seed, least=2)
    return Trials(
        target=target,
        blind=run_attack(attack, views.in_blind, views.fit, seed, setting),
        null=run_attack(attack, null, half, seed, setting),
    )


def pictures_alone(unit: str, views: Views, settings: config.Settings) -> dict[str, Any] | None:
    """Returns the figures of the control without a backbone, None if it cannot be run.

    Args:
      unit: 'image' or 'person', as for the attack.
      views: with `picture_statistics.FEATURE` measured.
      settings: seed and replicates.
    """
    control = picture_statistics.control(unit)
    return _figures(run_attack(control, views.in_target, views.fit, settings.seed), settings)


def _figures(trial, settings):
    return trial and intervals.figures(
        trial.scored, seed=settings.seed, replicates=settings.replicates
    )


def _auxiliary(attack, views, seed):
    """Fitted on a shadow's members and strangers, transferred to the target, judged like `_partial`."""
    shadow = views.shadow
    if shadow is None:
        return None
    learned, reference, judged = shadow.in_shadow, shadow.in_target, ~views.fit
    target = transfer_attack(attack, learned, reference, views.in_target, judged, seed)
    if target is None:
        return None
    blind = null = None
    try:
        blind = transfer_attack(attack, learned, shadow.in_blind, views.in_blind, judged, seed)
    except errors.InputError as error:
        if error.field != 'shadow':  # features of another length: no control
            raise
    if len(labelled.people_in(learned.identities, ~learned.member)) >= 2:
        strangers = controls.null(views.in_target, seed)
        null = transfer_attack(
            attack,
            controls.null(learned, seed, least=2),
            reference,
            strangers,
            np.ones(len(strangers), bool),  # none of them was used in the fit
            seed,
        )
    return Trials(target=target, blind=blind, null=null)


_SETTINGS: Mapping[str, Callable[..., Trials | None]] = {
    'partial': _halved,
    'auxiliary': _auxiliary,
    'strangers': functools.partial(_halved, setting='strangers'),
}


def excess(ours: Scored, theirs: Scored, *, seed: int, replicates: int) -> dict[str, Any]:
    """Returns what the target gives away beyond a backbone that never saw the members.

    Args:
      ours: scores in the target.
      theirs: scores of the same images or people in the other backbone. The interval is for the
        difference, with both resampled together.
      seed: of the bootstrap.
      replicates: of the bootstrap.

    Returns:
      {'auc', 'auc_ci95'}.

    Raises:
      InputError: when the two are not of the same images.
    """
    if ours.identities != theirs.identities:
        raise errors.InputError(
            'blind', 'other images that could be read', 'the same images as in the target'
        )
    values, sampled = intervals.aucs(
        np.stack([ours.scores, theirs.scores]),
        ours.member,
        ours.identities,
        seed=seed,
        replicates=replicates,
    )
    value, sample = float(values[0] - values[1]), sampled[:, 0] - sampled[:, 1]
    people = min(intervals.people_per_side(ours.identities, ours.member))
    low, high = intervals.percentiles(sample, people)
    if np.ptp(sample) < 1e-9:  # both perfect: a difference that does not vary is not certain
        unsure = 1 - intervals.wilson(1.0, people)[0]
        low, high = value - unsure, value + unsure
    return {'auc': value, 'auc_ci95': [low, high]}
