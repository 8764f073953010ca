"""Intervals that hold for several attacks together: the best of them may be chosen afterwards.

The best of twenty attacks that find nothing looks like a finding. The max-T interval is wide enough for
whichever is best: each figure reaches as many standard deviations to both sides as the largest deviation
of any of them does in 99 of 100 resamples, in which all attacks see the same people.

Source: Westfall & Young 1993, "Resampling-Based Multiple Testing"; Romano & Wolf 2005.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fr_inference.membership.comparison import Comparison
from fr_inference.metrics import intervals as single

LEVEL = 0.99
_NORMAL = single.student(10**9)


def intervals(
    comparisons: Sequence[Comparison], *, seed: int, replicates: int
) -> dict[str, dict[str, Any]]:
    """Returns the intervals of those that have a blind control, by their keys.

    Args:
      comparisons: with their scores.
      seed: of the bootstrap.
      replicates: of the bootstrap.

    Returns:
      key -> {'auc_ci99', 'excess_ci99'}. Attacks on images and on people resample apart: each family has
      its share of the error.
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
    wide = [
        _reach(*both, error=error, people=people)
        for both in ((values, samples), (over, over_samples))
    ]
    found = {}
    for n, one in enumerate(family):
        # On the scale of the logit, as `intervals.interval`.
        inside = float(np.clip(values[n], 1e-6, 1 - 1e-6))
        middle = np.log(inside / (1 - inside))
        half = min(wide[0][n] / (inside * (1 - inside)), 50.0)
        ends = [float(1 / (1 + np.exp(-end))) for end in (middle - half, middle + half)]
        low, high = float(over[n] - wide[1][n]), float(over[n] + wide[1][n])
        found[one.key] = {'auc_ci99': ends, 'excess_ci99': [low, high]}
    return found


def _reach(values, samples, *, error, people):
    """[K] how far the interval of each of K figures reaches to both sides."""
    # One that does not vary is not certain: Wilson's half width for as many draws as there are people.
    least = 0.5 * np.ptp(single.wilson(1.0, people)) / single.student(people)
    spreads = np.where(np.ptp(samples, axis=0) < 1e-9, least, samples.std(0))
    largest = (np.abs(samples - values) / spreads).max(1)
    # Few people: wider, as a single interval is.
    return np.quantile(largest, 1 - error) * single.student(people) / _NORMAL * spreads
