"""Membership inference as a whole: every attack in every setting, and all other reported results."""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import config, errors
from fr_inference.data.faces import Faces
from fr_inference.measuring.features import Feature
from fr_inference.membership import (
    attacks,
    best_of,
    comparing,
    controls,
    exposed,
    labelled,
    layer_figures,
    limitations,
    picture_statistics,
    populations,
    reach,
    slices,
    trials,
)
from fr_inference.membership.attack import Attack
from fr_inference.membership.comparing import Trials
from fr_inference.membership.comparison import LEAK, Comparison, decisive, first_of
from fr_inference.membership.views import Views
from fr_inference.metrics import intervals


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """The results of membership inference.

    Attributes:
      comparisons: every attack with its controls; the first was chosen to head the report.
      logits: comparison's key -> [N] membership logits of all images, for attacks on images.
      membership: `membership` of `audit.json`.
      exposed: by `exposed.exposed`, if an attack that knows some members shows a leak; else None.
      limits: the limits of the figures, one sentence each.
    """

    comparisons: Sequence[Comparison]
    logits: Mapping[str, np.ndarray]
    membership: Mapping[str, Any]
    exposed: Mapping[str, Any] | None
    limits: Sequence[str]


def chosen(settings: config.Settings) -> list[Attack]:
    """Returns the attacks requested by the settings, in the order of the report."""
    return attacks.chosen(settings.attacks)


def features_of(settings: config.Settings) -> list[Feature]:
    """Returns the features of an image that the chosen attacks and controls need, without repetition.

    A search alone does not need them, but measures them so that it shares rows with an audit.
    """
    wanted = [one for attack in chosen(settings) for one in attack.measured]
    return list(dict.fromkeys([*wanted, picture_statistics.FEATURE]))


def passes(settings: config.Settings) -> int:
    """Returns the number of passes through the backbone per image, including the first."""
    by_feature = {attack.measured: attack.passes for attack in chosen(settings)}
    return 1 + sum(by_feature.values())


def check(faces: Mapping[str, Faces], seed: int) -> None:
    """Checks the identity lists before measuring.

    Args:
      faces: as in `run`, and 'members' and 'nonmembers'.
      seed: of the settings.

    Raises:
      InputError: that `run` would otherwise raise at its end (and still may if images cannot be read).
    """
    both = (*faces['members'].identities, *faces['nonmembers'].identities)
    member = np.arange(len(both)) < len(faces['members'])
    fit = labelled.fit_half(both, member, seed)
    controls.null_labels(faces['nonmembers'].identities, seed)
    if 'member_identities' in faces:
        judged = labelled.people_in(both, member & ~fit)
        populations.check_others(judged, faces['member_identities'].identities)


def run(
    views: Views,
    faces: Mapping[str, Faces],
    *,
    settings: config.Settings,
    trained: Collection[str] | None = None,
) -> Findings:
    """Runs every requested attack, in every setting that the faces allow.

    Args:
      views: by `measure_views`, with the features of `chosen(settings)`.
      faces: 'member_identities', 'shift' and 'collection' where there are any.
      settings: how.
      trained: people in the target's own list of training images; None if it has no list.

    Raises:
      InputError: when none of the attacks can be run, and for anything that is wrong with the input.
    """
    wanted = chosen(settings)
    ran = _compare(wanted, views, settings)
    comparisons = [comparison for comparison, _ in ran]
    of_scores = functools.partial(
        intervals.figures, seed=settings.seed, replicates=settings.replicates
    )
    membership: dict[str, Any] = {'comparisons': [one.to_json() for one in comparisons]}
    by_key = {one.key: behind for one, behind in ran}
    by_image = first_of(comparisons, 'image')
    if by_image is not None:
        membership['populations'] = {
            'members_vs_nonmembers': by_image.figures,
            **populations.figures(
                next(attack for attack in wanted if attack.name == by_image.attack),
                by_key[by_image.key],
                views,
                faces,
                settings.seed,
                of_scores,
            ),
        }
        if (sliced := _sliced(by_image, by_key[by_image.key], views, settings)) is not None:
            membership['slices'] = sliced
        if 'collection' in faces:
            # Without a leak, the attack would measure something other than use for training.
            membership['collection'] = None
            if by_image.kind == LEAK:
                membership['collection'] = populations.collection(
                    next(attack for attack in wanted if attack.name == by_image.attack),
                    by_key[by_image.key],
                    views,
                    faces['collection'],
                    settings,
                )
    if settings.reach:
        membership['reach'] = reach.figures(
            comparisons, by_key, wanted, views, faces, settings, membership.get('populations', {})
        )
    if views.in_target.layers:
        membership['layers'] = layer_figures.figures(views.in_target, views.fit, seed=settings.seed)
    if views.shadow is not None:
        membership['shadow'] = _shadow(wanted, ran, views, settings, of_scores)
    return Findings(
        comparisons=comparisons,
        logits={one.key: behind.target.logits for one, behind in ran if one.unit == 'image'},
        membership=membership,
        exposed=_exposed(views, comparisons, by_key, trained),
        limits=[
            *limitations.of_views(views),
            *limitations.of_attacks(wanted, comparisons, references=bool(views.references)),
            *limitations.of_numbers(comparisons),
            *limitations.of_reach(membership.get('reach')),
            *limitations.of_nothing(comparisons),
        ],
    )


def _compare(wanted, views, settings):
    """[(comparison, trials)] in the order of the report; the first heads it.

    The verdict rests on the attack that heads the report, knowing some members or by a shadow, and
    on the attacks on people. All others are further attacks.
    """
    found: list[tuple[Comparison, Trials]] = []
    pictures: dict[
        str, Mapping[str, Any] | None
    ] = {}  # unit -> the control that all attacks on it share
    first: dict[str, str] = {}  # unit -> the attack on it that the verdict rests on
    for attack in wanted:
        for setting in attack.settings:
            counted = first.get(attack.unit, attack.name) == attack.name
            pair = comparing.compare(
                attack,
                setting,
                views,
                settings,
                headline=not found,
                further=not counted or setting == 'strangers',
                pictures=pictures.get(attack.unit),
            )
            if pair is not None:
                found.append(pair)
                first[attack.unit] = first.get(attack.unit, attack.name)
                pictures[attack.unit] = pair[0].pictures
    if not found:
        raise errors.InputError(
            'attacks',
            f'no attack that can be run on {views.target.name}',
            '; or '.join(f'{attack.needs} ({attack.name})' for attack in wanted),
        )
    if all(one.further for one, _ in found):  # none was asked for that knows members or a shadow
        found[0] = dataclasses.replace(found[0][0], further=False), found[0][1]
    adjusted = best_of.intervals(
        [one for one, _ in found if one.further],
        seed=settings.seed,
        replicates=settings.replicates,
    )
    return [
        (dataclasses.replace(one, best_of=adjusted.get(one.key)), behind) for one, behind in found
    ]


def _sliced(one, behind, views, settings):
    """The slices of the attack that heads the report."""
    rows = np.flatnonzero(behind.target.judged)
    images = views.in_target
    columns = views.faces.select(images.index[rows]).columns
    return slices.figures(
        one.scored,
        images.embeddings[rows],
        columns,
        blind=behind.blind.scored.scores if behind.blind is not None else None,
        seed=settings.seed,
        replicates=settings.replicates,
    )


def _shadow(wanted, ran, views, settings, of_scores):
    """The description of the shadow, and the result of the transferred attack in the shadow itself."""
    images = views.shadow.in_shadow
    found = {
        'name': views.shadow.name,
        'recipe': views.shadow.recipe,
        'members': int(images.member.sum()),
        'nonmembers': int((~images.member).sum()),
    }
    moved = next((one for one, _ in ran if one.setting == 'auxiliary'), None)
    if moved is not None:
        fit = labelled.fit_half(images.identities, images.member, settings.seed)
        attack = next(attack for attack in wanted if attack.name == moved.attack)
        own = trials.run_attack(attack, images, fit, settings.seed)
        if own is not None:  # half of the shadow's people may be too few
            found['on_itself'] = of_scores(own.scored)
    return found


def _exposed(views, comparisons, by_key, trained):
    """The members that can be named by an attack that shows a leak; None without one."""
    leaking = [one for one in comparisons if one.kind == LEAK and one.setting == 'partial']
    if not leaking:
        return None
    one = decisive(leaking)
    trial = by_key[one.key].target
    logits = None
    if one.unit == 'image':
        logits = trial.logits
        scores = exposed.of_people(views.in_target, views.fit, logits)
    else:
        rows = np.flatnonzero(trial.judged)
        scores = {trial.examples.names[row]: float(trial.logits[row]) for row in rows}
    return exposed.exposed(
        views.in_target, views.fit, scores, by=one.key, logits=logits, trained=trained
    )


def nothing(views: Views) -> Findings:
    """Returns findings without figures: only the limits that follow from what could be measured."""
    return Findings(
        comparisons=(), logits={}, membership={}, exposed=None, limits=limitations.of_views(views)
    )
