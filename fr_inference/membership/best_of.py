"""Intervals that hold for several attacks together, so that the best may be chosen afterwards.

The best of twenty attacks that find nothing looks like a finding. The max-T interval corrects for
that choice: its half-width, in standard deviations, is the 99 % quantile over resamples of the
largest deviation of any figure. In each resample all attacks see the same people.

Source: Westfall & Young 1993, "Resampling-Based Multiple Testing"; Romano & Wolf 2005.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from fr_inference.membership.comparison import Comparison
from fr_inference.metrics import intervals as single

LEVEL = 0.99
_NORMAL = single.student(10**9)
_FARTHEST = 100.0


def intervals(
    comparisons: Sequence[Comparison], *, seed: int, replicates: int
) -> dict[str, dict[str, Any]]:
    """Returns the intervals of the comparisons that have a blind control, by key.

    Args:
      comparisons: with their scores.
      seed: of the bootstrap.
      replicates: of the bootstrap.

    Returns:
      key -> {'auc_ci99', 'excess_ci99'}. Attacks on images and attacks on people are resampled
      separately, and each family has its share of the error.
    """
    families: dict[tuple[str, ...], list[Comparison]] = {}
    for one in comparisons:
        if one.scored is not None and one.blind_scored is not None:
            families.setdefault(one.scored.identities, []).append(one)
    found: dict[str, dict[str, Any]] = {}
    for family in families.values():
        error = (1 - LEVEL) / len(families)
        found |= _of_family(family, error, seed=seed, replicates=replicates)
    return found


def _of_family(family, error, *, seed, replicates):
    first = family[0].scored
    scores = [one.scored.scores for one in family] + [one.blind_scored.scores for one in family]
    values, samples = single.aucs(
        np.stack(scores), first.member, first.identities, seed=seed, replicates=replicates
    )
    count = len(family)
    over, over_samples = values[:count] - values[count:], samples[:, :count] - samples[:, count:]
    values, samples = values[:count], samples[:, :count]
    people = min(single.people_per_side(first.identities, np.asarray(first.member, bool)))
    least = statistics.NormalDist().inv_cdf(1 - error / 2)
    found: dict[str, dict[str, list[float]]] = {one.key: {} for one in family}
    for name, figures, sampled in (
        ('auc_ci99', values, samples),
        ('excess_ci99', over, over_samples),
    ):
        times = _times(figures, sampled, error=error, people=people)
        for one, value, sample in zip(family, figures, sampled.T, strict=True):
            found[one.key][name] = _ends(
                name, float(value), sample, times=times, least=least, people=people
            )
    return found


def _times(values, samples, *, error, people):
    """The half-width of the intervals of K figures, in standard deviations."""
    varied = _vary(samples)
    spreads = np.where(varied, samples.std(0), 1.0)
    largest = (np.abs(samples - values) / spreads * varied).max(1)
    # Wider for few people, like a single interval.
    return np.quantile(largest, 1 - error) * single.student(people) / _NORMAL


def _ends(name, value, sample, *, times, least, people):
    if not _vary(sample[:, None])[0]:
        # A figure without variation, such as a perfect one, is not certain: take Wilson's interval
        # for the same number of draws.
        square = max(float(times), least) ** 2
        unsure = square / (people + square)
        low, high = value - unsure, value + unsure
        return [max(0.0, low), min(1.0, high)] if name == 'auc_ci99' else [low, high]
    half = float(times * sample.std())
    if name == 'excess_ci99':
        return [value - half, value + half]
    # On the logit scale, like `intervals.interval`.
    middle, half = math.log(value / (1 - value)), half / (value * (1 - value))
    ends = np.clip([middle - half, middle + half], -_FARTHEST, _FARTHEST)
    return [float(1 / (1 + math.exp(-end))) for end in ends]


def _vary(samples):
    return np.ptp(samples, axis=0) > 1e-9
