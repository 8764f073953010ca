"""One attack in one backbone: fitted on some examples and applied to others, for a given knowledge.

It is fitted on half of the members and strangers ('partial'), on the same half of the strangers and
no member ('strangers'), or on a shadow's members and strangers, after which the model is
transferred to the attacked backbone ('auxiliary'). An attack that combines others is fitted on
their logits, none of which come from a model fitted on the same person.
"""

import dataclasses
import functools

import numpy as np

from fr_inference import errors
from fr_inference.membership import attack as attacking
from fr_inference.membership import cross_fitting, labelled, logistic
from fr_inference.membership.attack import Attack, Examples
from fr_inference.membership.cross_fitting import Fit
from fr_inference.membership.labelled import Labelled
from fr_inference.membership.logistic import Logistic
from fr_inference.metrics.intervals import Scored

_LEAST_CROSS_FITTED = 4  # people on a side of the fit half: two in each of its halves


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """An attack, fitted and applied in one backbone.

    Attributes:
      examples: images or people.
      model: fitted on examples that the evaluation leaves out.
      logits: [E] of all examples.
      judged: [E] bool, the examples that evaluate it.
    """

    examples: Examples
    model: Logistic
    logits: np.ndarray
    judged: np.ndarray

    @property
    def scored(self) -> Scored:
        """The scores from which figures are computed."""
        return Scored(
            scores=self.logits[self.judged],
            member=self.examples.member[self.judged],
            identities=tuple(self.examples.names[row] for row in np.flatnonzero(self.judged)),
        )


def run_attack(
    attack: Attack, images: Labelled, fit: np.ndarray, seed: int, setting: str = 'partial'
) -> Trial | None:
    """Fits an attack on one half of the people and judges it on the other.

    Args:
      attack: of `attacks.chosen`.
      images: N images in one backbone.
      fit: [N] bool, by `labelled.fit_half`.
      seed: of splits within the half.
      setting: 'partial', or 'strangers' for a model that uses no member.

    Returns:
      The result, or None if the attack cannot be run or a half has too few people.
    """
    examples = _examples(attack, images, fit, seed, setting)
    if examples is None or not examples.enough:
        return None
    model = _fit(attack, setting)(examples.features[examples.fit], examples.member[examples.fit])
    return _applied(model, examples, ~examples.fit)


def transfer_attack(
    attack: Attack,
    learned: Labelled,
    reference: Labelled,
    images: Labelled,
    judged: np.ndarray,
    seed: int,
) -> Trial | None:
    """Fits an attack in one backbone and applies it in another.

    Only auxiliary faces are used to fit the attack and to standardise its features.

    Args:
      attack: of `attacks.chosen`, on images.
      learned: auxiliary faces in the shadow, which was trained on some of them.
      reference: the same faces in the attacked backbone, where they are strangers.
      images: N images in the backbone that is attacked.
      judged: [N] bool, the images that evaluate it.
      seed: of splits.

    Returns:
      The result, or None if the attack cannot be run.
    """
    moved = _moved(attack, (learned, reference, images), seed)
    if moved is None:
        return None
    known, strangers, examples = moved
    model = logistic.fit(known.features, known.member)
    return _applied(logistic.standardised_by(model, strangers.features), examples, judged)


def _fit(attack, setting) -> Fit:
    if setting == 'strangers':
        return functools.partial(logistic.one_sided, signs=attack.signs)
    return logistic.fit


def _examples(attack, images, fit, seed, setting):
    if not _measured(attack, images):
        return None
    if not attack.combines:
        if setting == 'strangers':
            return _of_strangers(attack, images, fit, seed)
        return _made(attack, images, fit, seed, known=fit)
    columns, parts = [], []
    for part in _parts(attack, setting):
        own = _examples(part, images, fit, seed, setting)
        if own is not None and _can_be_cross_fitted(own):
            columns.append(cross_fitting.logits(own, seed, _fit(part, setting)))
            parts.append(part)
    if not _worth_combining(attack, parts):
        return None
    return attacking.of_images(images, fit, np.stack(columns, 1))


def _of_strangers(attack, images, fit, seed):
    """The examples for an attacker who knows no member: no labels, and no member in the fit half."""
    known = np.zeros(len(images), bool)
    found = _made(attack, images, fit & ~images.member, seed, known=known)
    return found and dataclasses.replace(found, member=images.member, fit=fit)


def _made(attack, images, fit, seed, *, known):
    """The attack's examples, made without the labels of images that are not `known` ([N] bool).

    Raises:
      InputError: if they are not as `Attack.examples` requires; an attack may be the user's own.
    """
    # An attack on people states itself who is on which side.
    seen = images if attack.unit == 'person' else images.relabelled(images.member & known)
    try:
        found = attack.examples(seen, fit, seed)
    except errors.InputError:
        raise
    except Exception as error:
        if not attack.own:
            raise
        raise _wrong(attack, f'{type(error).__name__}: {error}', 'examples') from error
    if found is None:
        return None
    features = checked(attack, found, len(images))
    if not np.isfinite(features).all():
        raise _wrong(attack, 'features that are not finite', 'finite numbers')
    if attack.unit == 'person':
        return dataclasses.replace(found, features=features)
    return attacking.of_images(images, fit, features)


def checked(attack: Attack, found: object, images: int) -> np.ndarray:
    """Returns the features of examples, as numbers [E, F], which need not be finite.

    Args:
      attack: the attack that made them.
      found: what it returned.
      images: how many there were.

    Raises:
      InputError: if they are not as `Attack.examples` requires.
    """
    if not isinstance(found, Examples):
        raise _wrong(attack, f'a {type(found).__name__}', 'Examples, or None')
    try:
        numbers = np.asarray(found.features, np.float64)
    except (TypeError, ValueError) as error:
        raise _wrong(attack, f'features: {error}', 'numbers') from error
    count = images if attack.unit == 'image' else len(found.names)
    if attack.unit == 'person' and not len(found.member) == len(found.fit) == count:
        raise _wrong(attack, 'names, member and fit of different lengths', 'one of each per person')
    if numbers.ndim != 2 or len(numbers) != count or not numbers.shape[1]:
        raise _wrong(
            attack, f'features {list(numbers.shape)}', f'[{count}, F], one row per example'
        )
    if attack.signs and len(attack.signs) not in (1, numbers.shape[1]):
        raise _wrong(attack, f'{len(attack.signs)} signs', f'one, or {numbers.shape[1]}')
    given = np.asarray(found.features)
    return given if given.dtype.kind == 'f' else numbers


def _wrong(attack, found, expected):
    return errors.InputError('attacks', found, expected, inside=attack.name)


def _worth_combining(attack, parts):
    """Whether it combines more than the combination with less access."""
    return any(part.access == attack.access for part in parts) and (
        not attack.references or any(part.references for part in parts)
    )


def _measured(attack, images):
    """Whether everything that it needs was measured."""
    if attack.references and not images.references:
        return False
    return all(feature.name in images.extra for feature in attack.measured)


def _parts(attack, setting):
    return [part for part in attack.parts if setting in part.settings]


def _can_be_cross_fitted(examples):
    return all(
        len(labelled.people_in(examples.names, examples.fit & side)) >= _LEAST_CROSS_FITTED
        for side in (examples.member, ~examples.member)
    )


def _moved(attack, three, seed):
    """Returns the examples of `learned`, of the strangers and of the images, or None."""
    if not all(_measured(attack, images) for images in three):
        return None
    if attack.combines:
        return _moved_parts(attack, three, seed)
    every = [np.ones(len(images), bool) for images in three]
    labelled_ones = (every[0], ~every[1], ~every[2])  # none in the target
    known, strangers, examples = (
        _made(attack, images, fit, seed, known=labels)
        for images, fit, labels in zip(three, every, labelled_ones, strict=True)
    )
    if known is None or strangers is None or examples is None:
        return None
    if known.features.shape[1] != examples.features.shape[1]:
        raise errors.InputError(
            'shadow',
            f'{known.features.shape[1]} features of {attack.title}',
            f"{examples.features.shape[1]}: a shadow has the target's architecture",
        )
    return known, strangers, examples


def _moved_parts(attack, three, seed):
    columns: tuple[list[np.ndarray], ...] = ([], [], [])
    parts = []
    for part in _parts(attack, 'auxiliary'):
        moved = _moved(part, three, seed)
        if moved is None or not _can_be_cross_fitted(moved[0]):
            continue
        known, strangers, examples = moved
        model = logistic.fit(known.features, known.member)
        there = logistic.standardised_by(model, strangers.features)
        parts.append(part)
        columns[0].append(cross_fitting.logits(known, seed))
        columns[1].append(logistic.scores(there, strangers.features))
        columns[2].append(logistic.scores(there, examples.features))
    if not _worth_combining(attack, parts):
        return None
    return tuple(
        attacking.of_images(images, np.ones(len(images), bool), np.stack(own, 1))
        for images, own in zip(three, columns, strict=True)
    )


def _applied(model, examples, judged):
    logits = logistic.scores(model, examples.features)
    return Trial(examples=examples, model=model, logits=logits, judged=judged)
