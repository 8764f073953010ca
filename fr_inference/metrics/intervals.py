"""Figures of a membership attack with 95 % intervals that resample people, not images.

Images of one person are correlated: an interval that resampled images would be too narrow. The cluster
bootstrap (Field & Welsh 2007, "Bootstrapping clustered data") draws people with replacement, each with
all their images; see `percentiles` for few people.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fr_inference import errors, rng
from fr_inference.metrics import roc

RATES = ('0.1', '0.01', '0.001')
REPLICATES = 1000

# With fewer expected false positives than this, a few images decide a rate: it is not resolvable.
RESOLVABLE = 10

_CHUNK_NUMBERS = 1 << 22
_Z = 1.959963984540054
_ROUNDING = 1e-9  # tolerance for sums of weights
_FARTHEST = 100.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """Scores of an attack on known members and non-members.

    Attributes:
      scores: [N] float, above 0 means 'member'.
      member: [N] bool.
      identities: of the N images.
    """

    scores: np.ndarray
    member: np.ndarray
    identities: tuple[str, ...]


def resampled_weights(
    identities: Sequence[str],
    member: np.ndarray,
    *,
    seed: int,
    replicates: int = REPLICATES,
    size: int = 0,
) -> Iterator[np.ndarray]:
    """Yields chunks [R, N] of how often each image is drawn, `replicates` rows in all.

    Members, non-members and people who are both are drawn separately, so that every replicate has
    both sides.

    Args:
      identities: of N images.
      member: [N] bool.
      seed: of the draw.
      replicates: how many.
      size: the size of another sample that is resampled together with this one; if each gets the
        size of the other, their chunks have equal length.
    """
    _, person = np.unique(np.asarray(identities), return_inverse=True)
    people = int(person.max()) + 1
    sides = np.zeros(people, np.int64)
    np.bitwise_or.at(sides, person, np.where(member, 1, 2))
    generator = rng.numpy_generator(seed, 'bootstrap')
    chunk = max(1, _CHUNK_NUMBERS // max(len(person), size))
    for start in range(0, replicates, chunk):
        count = min(chunk, replicates - start)
        drawn = np.zeros((count, people))
        for side in (1, 2, 3):
            stratum = np.flatnonzero(sides == side)
            if len(stratum):
                share = np.full(len(stratum), 1 / len(stratum))
                drawn[:, stratum] = generator.multinomial(len(stratum), share, size=count)
        yield drawn[:, person]


def figures(
    scored: Scored, *, seed: int, replicates: int = REPLICATES, threshold: float = 0.0
) -> dict[str, Any]:
    """Returns a block of figures (R in the description of `audit.json`).

    Args:
      scored: the scores of at least two people on each side.
      seed: of the bootstrap.
      replicates: of the bootstrap.
      threshold: scores above it count as 'member', for the accuracy.

    Returns:
      auc, accuracy (balanced: the mean of the shares of correct answers of the two classes) and,
      for each rate of `RATES`, tpr_at_fpr (None if not resolvable), each with a 95 % interval; the
      numbers of members, non-members and identities.
    """
    ranking = roc.rank(scored.scores, scored.member)
    member = np.asarray(scored.member, bool)
    rates = np.array([float(rate) for rate in RATES])
    resolvable = [rate * (~member).sum() >= RESOLVABLE for rate in rates]
    right = (np.asarray(scored.scores) > threshold) == member

    def statistics(weights):
        false, true = ranking.curves(weights)
        hits = [
            (weights[:, side] * right[side]).sum(1) / weights[:, side].sum(1)
            for side in (member, ~member)
        ]
        return np.column_stack(
            [
                roc.area(false, true),
                0.5 * (hits[0] + hits[1]),
                roc.true_positive_rates(false, true, rates),
            ]
        )

    values = statistics(np.ones((1, len(member))))[0]
    draws = resampled_weights(scored.identities, member, seed=seed, replicates=replicates)
    sampled = np.concatenate([statistics(weights) for weights in draws])
    sides = people_per_side(scored.identities, member)
    ends = [interval(values[one], sampled[:, one], min(sides)) for one in (0, 1)]
    for value, sample in zip(values[2:], sampled[:, 2:].T, strict=True):
        sure = np.ptp(sample) < _ROUNDING
        ends.append(_unvaried(value, sides[0]) if sure else percentiles(sample, sides[0]))
    return {
        'auc': float(values[0]),
        'auc_ci95': ends[0],
        'accuracy': float(values[1]),
        'accuracy_ci95': ends[1],
        'tpr_at_fpr': {
            rate: float(value) if fine else None
            for rate, value, fine in zip(RATES, values[2:], resolvable, strict=True)
        },
        'tpr_at_fpr_ci95': {
            rate: interval if fine else None
            for rate, interval, fine in zip(RATES, ends[2:], resolvable, strict=True)
        },
        'members': int(member.sum()),
        'nonmembers': int((~member).sum()),
        'identities': len(set(scored.identities)),
    }


def aucs(
    scores: np.ndarray,
    member: np.ndarray,
    identities: Sequence[str],
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the AUC of several scores of the same images, over the same resamples.

    Args:
      scores: [K, N].
      member: [N] bool.
      identities: of the N images.
      seed: of the bootstrap.
      replicates: of the bootstrap.

    Returns:
      ([K] values, [replicates, K] resampled values).
    """
    rankings = [roc.rank(row, member) for row in np.asarray(scores)]
    ones = np.ones((1, len(member)))
    values = np.array([roc.area(*ranking.curves(ones))[0] for ranking in rankings])
    sampled = [
        np.column_stack([roc.area(*ranking.curves(weights)) for ranking in rankings])
        for weights in resampled_weights(identities, member, seed=seed, replicates=replicates)
    ]
    return values, np.concatenate(sampled)


def percentiles(sample: np.ndarray, people: int) -> list[float]:
    """Returns the ends of the 95 % interval that a bootstrap sample [R] of `people` people gives.

    For differences and other figures far from their bounds; see `interval` for an AUC. Plain percentiles
    are too narrow for few people: they lack the factor n / (n - 1) of a variance and Student's heavier
    tails. These are Hesterberg's expanded percentiles ("What teachers should know about the bootstrap",
    2015, section 5.3).
    """
    tail = _tail(people)
    return [float(end) for end in np.quantile(sample, [tail, 1 - tail])]


def interval(value: float, sample: np.ndarray, people: int, times: float = _Z) -> list[float]:
    """Returns the ends of the 95 % interval of an AUC or an accuracy.

    Near 1, such a figure varies more the lower it is, so if it is high by chance its interval is
    too short: percentile intervals of an AUC of 0.95 lie above it in 4.7 % of cases with 40 to 200
    people and in 8.4 % with 20 to 60 (1,000 simulations each). The logit has a nearly constant
    spread. The interval is Student's on that scale: logit(value) -+ t * spread / (value (1 -
    value)), with n / (n - 1) for the variance. Then 3.0 and 3.3 % lie above. (Pepe 2003, "The
    statistical evaluation of medical tests for classification and prediction", has the
    transformation; the resampling of people is ours.)

    Args:
      value: 0 to 1.
      sample: [R] bootstrap replicates of it.
      people: number of people on the smaller side.
      times: half-width of the interval of a normal figure, in standard deviations: 1.96, or more
        for an interval that holds for several figures together.

    Returns:
      [lower, upper] between 0 and 1. If no replicate differs, Wilson's interval for `people` draws,
      since even perfect figures are not certain.
    """
    if np.ptp(sample) < _ROUNDING:
        return _unvaried(value, people, times)
    half = student(people, times) * float(np.std(sample)) / (value * (1 - value))
    middle = math.log(value / (1 - value))
    # Far beyond these ends the exponential overflows.
    ends = np.clip([middle - half, middle + half], -_FARTHEST, _FARTHEST)
    return [float(1 / (1 + math.exp(-end))) for end in ends]


def people_per_side(identities: Sequence[str], member: np.ndarray) -> tuple[int, int]:
    """Returns the numbers of people among the members and among the non-members ([N] bool)."""
    names = np.asarray(identities)
    return len(set(names[member].tolist())), len(set(names[~member].tolist()))


def band(
    scored: Scored, rates: np.ndarray, *, seed: int, replicates: int = REPLICATES
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ROC and its pointwise 95 % band at given false-positive rates.

    Args:
      scored: the attack's scores.
      rates: [F] false-positive rates.
      seed: of the bootstrap.
      replicates: of the bootstrap.

    Returns:
      ([F] true-positive rates, [2, F] lower and upper ends).
    """
    ranking = roc.rank(scored.scores, scored.member)
    ones = np.ones((1, len(scored.member)))
    value = roc.true_positive_rates(*ranking.curves(ones), rates)[0]
    draws = resampled_weights(scored.identities, scored.member, seed=seed, replicates=replicates)
    sampled = np.concatenate(
        [roc.true_positive_rates(*ranking.curves(weights), rates) for weights in draws]
    )
    tail = _tail(min(people_per_side(scored.identities, np.asarray(scored.member, bool))))
    return value, np.quantile(sampled, [tail, 1 - tail], axis=0)


def wilson(share: float, count: int, times: float = _Z) -> tuple[float, float]:
    """Returns Wilson's 95 % interval for a share in `count` independent draws.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference". `times` is as of
    `interval`.
    """
    errors.positive('count', count)
    centre = (share + times**2 / (2 * count)) / (1 + times**2 / count)
    half = (times / (1 + times**2 / count)) * np.sqrt(
        share * (1 - share) / count + times**2 / (4 * count**2)
    )
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def student(people: int, times: float = _Z) -> float:
    """Returns the half-width of an interval in standard deviations of a bootstrap sample of `people`.

    `times` is as in `interval`, the limit for very many people.
    """
    degrees = max(1, people - 1)
    z = times
    # Student's quantile by the expansion of Cornish and Fisher (Abramowitz & Stegun 26.7.5).
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    quantile = z + sum(term / degrees**power for power, term in enumerate(terms, start=1))
    return math.sqrt((degrees + 1) / degrees) * quantile


def _unvaried(value, people, times=_Z):
    low, high = wilson(float(np.clip(value, 0, 1)), people, times)
    return [min(low, float(value)), max(high, float(value))]


def _tail(people):
    """The share of replicates beyond each end: 0.025 for very many people, less for few people."""
    return 0.5 * math.erfc(student(people) / math.sqrt(2))
