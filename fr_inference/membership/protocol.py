"""Who is compared with whom: splits by person, the two settings, the attack on people, the layers.

Nobody is on both sides of an attack's fit and its evaluation.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fr_inference import errors, rng
from fr_inference.measuring.measurements import Measurements
from fr_inference.membership import attack as attacks
from fr_inference.membership.attack import Attack, Options
from fr_inference.metrics import roc
from fr_inference.metrics.intervals import Scored

LEAST_PEOPLE = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """Measured images whose membership is known.

    Attributes:
      measured: N images.
      member: [N] bool.
    """

    measured: Measurements
    member: np.ndarray

    @property
    def features(self) -> np.ndarray:
        """[N, L] float32 log-distances."""
        return np.asarray(attacks.log_distances(self.measured.distances))

    def scored(self, scores: np.ndarray, rows: np.ndarray) -> Scored:
        """Returns the scores [N] of the images in `rows` ([N] bool)."""
        return Scored(
            scores=np.asarray(scores)[rows],
            member=self.member[rows],
            identities=tuple(self.measured.identities[row] for row in np.flatnonzero(rows)),
        )


def fit_half(
    identities: Sequence[str], member: np.ndarray, seed: int, *, least: int = LEAST_PEOPLE
) -> np.ndarray:
    """Draws the half of the people on which an attack is fitted; the others evaluate it.

    Args:
      identities: of the N images.
      member: [N] bool.
      seed: of the draw.
      least: people on each side, without whom there is nothing to split.

    Returns:
      [N] bool; people of members, of non-members and of both are halved apart.

    Raises:
      InputError: when a side has fewer than `least` people.
    """
    member = np.asarray(member, bool)
    sides: dict[str, int] = {}
    for name, inside in zip(identities, member.tolist(), strict=True):
        sides[name] = sides.get(name, 0) | (1 if inside else 2)
    for side, label in ((1, 'members'), (2, 'non-members')):
        count = sum(bool(mask & side) for mask in sides.values())
        errors.require(
            count >= least,
            f'{label}: found {count} people, expected {least} or more: the attack is fitted '
            'on half of them and judged on the others',
        )
    chosen: set[str] = set()
    for side in (1, 2, 3):
        people = sorted(name for name, mask in sides.items() if mask == side)
        order = rng.numpy_generator(seed, f'halves {side}').permutation(len(people))
        chosen |= {people[position] for position in order[: (len(people) + 1) // 2]}
    return np.array([name in chosen for name in identities])


def partial(labelled: Labelled, fit: np.ndarray, options: Options) -> tuple[Attack, np.ndarray]:
    """Fits the attack on the images in `fit`, whose membership the auditor knows.

    Returns:
      (the attack, [N] logits of all images; those outside `fit` are the evaluation).
    """
    fitted = attacks.fit(labelled.features[fit], labelled.member[fit], options)
    return fitted, np.asarray(attacks.logit(fitted, labelled.features))


def auxiliary(
    shadow: Labelled, reference: Measurements, labelled: Labelled, options: Options
) -> tuple[Attack, np.ndarray]:
    """Fits the attack on a shadow backbone alone and moves it to the target.

    Args:
      shadow: auxiliary faces measured in the shadow.
      reference: auxiliary faces measured in the target: nobody's members there.
      labelled: what is to be scored, measured in the target.
      options: of the fit.

    Returns:
      (the attack on the target, [N] logits).

    Raises:
      InputError: when shadow and target have different layers.
    """
    errors.require(
        len(shadow.measured.layers) == len(labelled.measured.layers),
        f'shadow: found {len(shadow.measured.layers)} BatchNorm layers, but the target has '
        f'{len(labelled.measured.layers)}; the shadow must have its architecture',
    )
    fitted = attacks.fit(shadow.features, shadow.member, options)
    moved = attacks.standardised_by(fitted, attacks.log_distances(reference.distances))
    return moved, np.asarray(attacks.logit(moved, labelled.features))


def logits(fitted: Attack, measured: Measurements) -> np.ndarray:
    """Returns the membership logits [N] of measured images."""
    return np.asarray(attacks.logit(fitted, attacks.log_distances(measured.distances)))


def layer_scores(labelled: Labelled, fit: np.ndarray) -> np.ndarray:
    """Returns each layer's log-distance, signed so that members in `fit` score higher: [L, N]."""
    features = labelled.features.T
    return np.stack(
        [row if roc.auc(row[fit], labelled.member[fit]) >= 0.5 else -row for row in features]
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class People:
    """People with two or more images, for the attack on people.

    Attributes:
      names: of the P people; one that is on both sides counts as two.
      member: [P] bool.
      fit: [P] bool.
      features: [P, F] float64: the mean cosine between the person's images and, where there are
        logits, the images' mean logit.
    """

    names: tuple[str, ...]
    member: np.ndarray
    fit: np.ndarray
    features: np.ndarray


def people(labelled: Labelled, fit: np.ndarray, logits: np.ndarray | None) -> People:
    """Gathers people's features.

    Args:
      labelled: the images.
      fit: [N] bool, the half to fit on.
      logits: [N], or None for a target without BatchNorm. In the `fit` half they must be those of an
        attack that was fitted on other people (`crossed_logits`).
    """
    embeddings = labelled.measured.embeddings.astype(np.float64)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    units = embeddings / np.maximum(norms, 1e-12)
    rows: dict[tuple[str, bool], list[int]] = {}
    for row, name in enumerate(labelled.measured.identities):
        rows.setdefault((name, bool(labelled.member[row])), []).append(row)
    several = {person: own for person, own in sorted(rows.items()) if len(own) > 1}
    features = []
    for own in several.values():
        count = len(own)
        together = float((units[own].sum(0) ** 2).sum())
        alone = float((units[own] ** 2).sum())
        cosine = (together - alone) / (count * (count - 1))
        features.append([cosine] if logits is None else [cosine, float(np.mean(logits[own]))])
    return People(
        names=tuple(name for name, _ in several),
        member=np.array([member for _, member in several], bool),
        fit=np.array([bool(fit[own[0]]) for own in several.values()], bool),
        features=np.array(features, np.float64).reshape(len(several), 1 if logits is None else 2),
    )


def crossed_logits(
    labelled: Labelled, fit: np.ndarray, logits: np.ndarray, options: Options, seed: int
) -> np.ndarray:
    """Replaces the logits in `fit` by those of attacks fitted on the other half of `fit`'s people.

    A logit of an image that the attack was fitted on says more than it would for a stranger.
    """
    inside = np.flatnonzero(fit)
    identities = [labelled.measured.identities[row] for row in inside]
    first = fit_half(identities, labelled.member[inside], seed, least=2)
    crossed = np.array(logits, np.float64)
    for learn, score in ((inside[first], inside[~first]), (inside[~first], inside[first])):
        fitted = attacks.fit(labelled.features[learn], labelled.member[learn], options)
        crossed[score] = np.asarray(attacks.logit(fitted, labelled.features[score]))
    return crossed


def identity_level(crowd: People, options: Options) -> tuple[np.ndarray, Scored] | None:
    """Fits the same attack model on people's features.

    Returns:
      ([P] logits, those of the evaluation half), or None when a side has too few people with several
      images.
    """
    for half in (crowd.fit, ~crowd.fit):
        for side in (crowd.member, ~crowd.member):
            if (half & side).sum() < 2:
                return None
    # One number a person and hundreds of people: no hidden layer, whatever the images' attack has.
    plain = dataclasses.replace(options, hidden=0)
    fitted = attacks.fit(crowd.features[crowd.fit], crowd.member[crowd.fit], plain)
    logits = np.asarray(attacks.logit(fitted, crowd.features.astype(np.float32)))
    rest = ~crowd.fit
    return logits, Scored(
        scores=logits[rest],
        member=crowd.member[rest],
        identities=tuple(crowd.names[row] for row in np.flatnonzero(rest)),
    )
