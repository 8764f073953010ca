"""Identifies reconstructions with a held-out evaluator, with p-values.

Definitions. The gallery holds one mean embedding for each member and for equally many non-members. A
reconstruction is a *hit* if its nearest identity in the gallery is a member and their similarity passes
the evaluator's threshold at 0.1 % false matches. A reconstruction claims to show the member that the
target itself finds nearest. *Top-1* and *top-5*: the share of claims that the evaluator ranks first, or
among the first five, in the gallery of all members (chance is 1 and 5 over their number).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import checkpointing, errors, rng
from fr_inference.metrics import intervals
from fr_inference.models.target import Target

FALSE_MATCHES = 1e-3
FALSE_MATCH_RATES = (1e-2, 1e-3, 1e-4)
_FEWEST_FALSE = 10  # expected false matches needed to resolve a rate
_PERMUTATIONS = 9999
_AT_ONCE = 100  # relabellings at a time: memory is this times the gallery
_REPLICATES = 2000
_ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gallery:
    """Identities, as embedded by one backbone.

    Attributes:
      names: of the G identities.
      member: [G] bool.
      centres: [G, D] float64, unit mean of unit embeddings.
      threshold: cosine that `FALSE_MATCHES` of the images of one identity reach with another's centre.
      thresholds: the same for each of `FALSE_MATCH_RATES`; None if fewer than ten false matches
        would be expected within the gallery.
    """

    names: tuple[str, ...]
    member: np.ndarray
    centres: np.ndarray
    threshold: float
    thresholds: Mapping[float, float | None] = dataclasses.field(default_factory=dict)


def gallery(
    embeddings: np.ndarray, identities: Sequence[str], member: np.ndarray, *, seed: int
) -> Gallery:
    """Builds the gallery of all members and equally many non-members.

    Args:
      embeddings: [N, D] of images.
      identities: of the N images.
      member: [N] bool.
      seed: of the draw, if there are more identities on one side.

    Raises:
      InputError: for an identity on both sides, or fewer than two on one.
    """
    units = unit(embeddings)
    names = np.asarray(identities)
    sides = [sorted(set(names[member])), sorted(set(names[~member]))]
    both = set(sides[0]) & set(sides[1])
    if both:
        raise errors.InputError(
            'gallery', f'{sorted(both)[:3]} among members and non-members', 'each on one side'
        )
    count = min(map(len, sides))
    if count < 2:
        raise errors.InputError(
            'gallery',
            f'{len(sides[0])} members and {len(sides[1])} non-members',
            '2 or more of each',
        )
    draw = rng.numpy_generator(seed, 'gallery')
    chosen = [sorted(draw.permutation(side)[:count].tolist()) for side in sides]
    people = [*chosen[0], *chosen[1]]
    centres = unit(np.stack([units[names == name].mean(0) for name in people]))
    rows = np.flatnonzero(np.isin(names, people))
    cosines = units[rows] @ centres.T
    strangers = cosines[names[rows][:, None] != np.asarray(people)[None]]
    return Gallery(
        names=tuple(people),
        member=np.arange(2 * count) < count,
        centres=centres,
        threshold=float(np.quantile(strangers, 1 - FALSE_MATCHES)),
        thresholds={
            rate: float(np.quantile(strangers, 1 - rate))
            if rate * len(strangers) >= _FEWEST_FALSE
            else None
            for rate in FALSE_MATCH_RATES
        },
    )


def check_evaluator(evaluator: Target, other: Target, field: str = 'evaluator') -> None:
    """Checks that an evaluator is not the backbone that it judges, nor the evaluator that it joins.

    Raises:
      InputError: of `field`, for one with the weights of `other`.
    """
    if checkpointing.digest(evaluator.variables) == checkpointing.digest(other.variables):
        raise errors.InputError(
            field,
            f'{evaluator.name}, which has the weights of {other.name}',
            'a backbone of another architecture and other training people',
        )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors [..., D] at unit length, float64."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """The evaluator's results for M reconstructions.

    Attributes:
      nearest: [M] row of the nearest identity in the gallery.
      similarity: [M] cosine with it.
      matched: [M] bool, whether that passes the threshold.
      nearest_member: [M] row of the nearest member.
      member_similarity: [M].
      nearest_other: [M] row of the nearest non-member.
      other_similarity: [M].
      own_similarity: [M] cosine with the claimed member.
      rank: [M] 0 if the claimed member is the nearest of all members.
    """

    nearest: np.ndarray
    similarity: np.ndarray
    matched: np.ndarray
    nearest_member: np.ndarray
    member_similarity: np.ndarray
    nearest_other: np.ndarray
    other_similarity: np.ndarray
    own_similarity: np.ndarray
    rank: np.ndarray


def judge(
    embeddings: np.ndarray,
    of_evaluator: Gallery,
    claims: np.ndarray,
) -> Judged:
    """Compares reconstructions with the gallery.

    Args:
      embeddings: [M, D] of the reconstructions, by the evaluator.
      of_evaluator: the gallery, by the evaluator.
      claims: [M] row of the member that each claims to show (`claim`).
    """
    cosines = unit(embeddings) @ of_evaluator.centres.T
    member = of_evaluator.member
    inside, outside = np.flatnonzero(member), np.flatnonzero(~member)
    nearest = cosines.argmax(1)
    rows = np.arange(len(cosines))
    first, other = inside[cosines[:, inside].argmax(1)], outside[cosines[:, outside].argmax(1)]
    own = cosines[rows, claims]
    return Judged(
        nearest=nearest,
        similarity=cosines[rows, nearest],
        matched=cosines[rows, nearest] >= of_evaluator.threshold,
        nearest_member=first,
        member_similarity=cosines[rows, first],
        nearest_other=other,
        other_similarity=cosines[rows, other],
        own_similarity=own,
        rank=(cosines[:, inside] > own[:, None]).sum(1),
    )


def agreed(first: Judged, second: Judged) -> Judged:
    """Returns what two evaluators agree on, with the first one's similarities.

    A reconstruction matches where it matches one person for both; the worse of its two ranks counts.

    Args:
      first: M reconstructions.
      second: the same ones, compared with a gallery of the same people.
    """
    return dataclasses.replace(
        first,
        matched=first.matched & second.matched & (first.nearest == second.nearest),
        rank=np.maximum(first.rank, second.rank),
    )


def accepted(judged: Judged, of_evaluator: Gallery) -> dict[float, np.ndarray | None]:
    """Returns, for each false match rate, which reconstructions pass for the claimed person.

    The mean is the successful attack rate (SAR) at that FMR, of type II because the gallery holds
    photographs of the person other than the one behind the template.

    Args:
      judged: M reconstructions.
      of_evaluator: the gallery that they were compared with.

    Returns:
      rate of `FALSE_MATCH_RATES` -> [M] bool; None if the gallery does not resolve the rate.
    """
    return {
        rate: None if threshold is None else judged.own_similarity >= threshold
        for rate, threshold in of_evaluator.thresholds.items()
    }


def most_alike(embeddings: np.ndarray, photographs: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Returns which photograph is most similar to each of M reconstructions, [M] rows.

    Args:
      embeddings: [M, D].
      photographs: [N, D] unit embeddings.
      among: [N] bool, the photographs to compare with.
    """
    rows = np.flatnonzero(among)
    return rows[(unit(embeddings) @ photographs[rows].T).argmax(1)]


def claim(embeddings: np.ndarray, of_target: Gallery) -> np.ndarray:
    """Returns the row of the member that the target finds nearest to each reconstruction, [M] int.

    Args:
      embeddings: [M, D] of the reconstructions, by the target.
      of_target: the gallery, by the target.
    """
    cosines = unit(embeddings) @ of_target.centres.T
    return np.where(of_target.member, cosines, -np.inf).argmax(1)


def figures(judged: Judged, of_evaluator: Gallery, *, seed: int) -> dict[str, Any]:
    """Returns hit rate, top-1, top-5 with 95 % intervals, distinct people and p-values.

    `nearest_is_member` is the hit rate without the threshold: even weak likenesses may lean towards
    members.

    Intervals resample the identities that reconstructions are nearest to: reconstructions of one person
    are not independent. p-value: the fraction of random relabellings of the gallery, with the same
    number of members, that give at least as many hits. A preference of the search that has nothing to do
    with training is the same under every relabelling.

    Args:
      judged: M reconstructions.
      of_evaluator: the gallery that they were compared with.
      seed: of the draws.

    Returns:
      reconstructions, distinct_identities, and as shares hit_rate, nearest_is_member, top1, top5, each
      with NAME_ci95; p_value and nearest_p_value.
    """
    member = of_evaluator.member
    hit = judged.matched & member[judged.nearest]
    shares = {
        'hit_rate': hit,
        'nearest_is_member': member[judged.nearest],
        'top1': judged.rank == 0,
        'top5': judged.rank < 5,
    }
    result: dict[str, Any] = {'reconstructions': len(hit)}
    for name, values in shares.items():
        result[name] = float(values.mean())
        result[f'{name}_ci95'] = _interval(values, judged.nearest, seed)
    return result | {
        'distinct_identities': len(set(judged.nearest[hit].tolist())),
        'p_value': _permuted(judged.nearest[judged.matched], member, seed),
        'nearest_p_value': _permuted(judged.nearest, member, seed),
    }


def excess(
    judged: Judged, control: Judged | None, of_evaluator: Gallery, *, seed: int
) -> dict[str, Any]:
    """Returns how much the hit rate lies above a control's, with a 95 % interval and a p-value.

    Reconstructions of one identity are not independent, and some identities are easier for both. So
    the unit is the identity: the interval resamples identities, and under the null hypothesis the
    two sides' hits for an identity are exchangeable. If no resample differs, the interval is as
    wide as Wilson's for as many draws as there are nearest people.

    Args:
      judged: M reconstructions.
      control: the same number of other reconstructions; None compares with the non-members that
        `judged` itself shows.
      of_evaluator: the gallery of both.
      seed: of the draws.
    """
    member = of_evaluator.member
    people = len(member)
    both = ((judged, member), (judged, ~member) if control is None else (control, member))
    sizes = np.stack([np.bincount(some.nearest, minlength=people) for some, _ in both])
    hits = np.stack(
        [
            np.bincount(some.nearest[some.matched & side[some.nearest]], minlength=people)
            for some, side in both
        ]
    )
    difference = hits[0] - hits[1]
    draw = rng.numpy_generator(seed, 'excess')
    larger, resampled = 0, []
    for first in range(0, _PERMUTATIONS, _AT_ONCE):
        shape = (min(_AT_ONCE, _PERMUTATIONS - first), people)
        exchanged = (2 * draw.integers(0, 2, shape) - 1) @ difference
        larger += int((exchanged >= difference.sum()).sum())
    for first in range(0, _REPLICATES, _AT_ONCE):
        size = min(_AT_ONCE, _REPLICATES - first)
        times = draw.multinomial(people, np.full(people, 1 / people), size)
        shares = times @ hits.T / np.maximum(times @ sizes.T, 1)
        resampled.append(shares[:, 0] - shares[:, 1])
    sample = np.concatenate(resampled)
    low, high = np.percentile(sample, [2.5, 97.5])
    ours, theirs = hits.sum(1) / sizes.sum(1)
    # No hit anywhere, or only hits: the interval must not have width 0
    if np.ptp(sample) < _ROUNDING:
        unsure = intervals.wilson(0.0, int((sizes[0] > 0).sum()))[1]
        low, high = max(-1.0, ours - theirs - unsure), min(1.0, ours - theirs + unsure)
    return {
        'hit_rate': float(ours - theirs),
        'hit_rate_ci95': [float(low), float(high)],
        'p_value': (1 + larger) / (1 + _PERMUTATIONS),
    }


def _permuted(nearest, member, seed):
    """Fraction of relabellings of the gallery with at least as many members among the nearest."""
    counts = np.bincount(nearest, minlength=len(member))
    draw = rng.numpy_generator(seed, 'permutations')
    larger = 0
    for first in range(0, _PERMUTATIONS, _AT_ONCE):
        labels = np.tile(member, (min(_AT_ONCE, _PERMUTATIONS - first), 1))
        larger += int((draw.permuted(labels, axis=1) @ counts >= counts[member].sum()).sum())
    return (1 + larger) / (1 + _PERMUTATIONS)


def _interval(values, clusters, seed):
    """95 % interval of a share by resampling whole clusters; Wilson's if it does not vary."""
    people, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, values.astype(float))
    sizes = np.bincount(index)
    draw = rng.numpy_generator(seed, 'shares').integers(
        len(people), size=(_REPLICATES, len(people))
    )
    sampled = sums[draw].sum(1) / sizes[draw].sum(1)
    low, high = np.percentile(sampled, [2.5, 97.5])
    bounds = intervals.wilson(float(values.mean()), len(people))
    if np.ptp(sampled) < _ROUNDING:
        low, high = bounds
    return [float(max(0.0, low)), float(min(1.0, high))]
