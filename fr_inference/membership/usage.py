"""Estimates how much of a collection was trained on, without known labels for its images.

An attack takes a share TPR of the judged members, FPR of the judged strangers and s of the
collection for members. If the used images of the collection are recognised as often as the members,
and the unused ones as often as the strangers, then (s - FPR) / (TPR - FPR) of the collection was used.

Source: after Tong et al., DUCI, ICLR 2025.
"""

from typing import Any

import numpy as np

from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored

LEAST_PEOPLE = 10
"""Least number of people in a collection; with fewer the bootstrap is unreliable."""
_LEAST_DIFFERENCE = (
    0.1  # least difference of TPR and FPR: an attack that hardly recognises anybody tells nothing
)


def share(
    scored: Scored, collection: Scored, *, seed: int, replicates: int, threshold: float = 0.0
) -> dict[str, Any] | None:
    """Returns the estimate with its 95 % interval.

    Args:
      scored: known members and strangers on whom the attack was not fitted.
      collection: the scores of the collection; `member` is ignored.
      seed: of the bootstrap, which resamples people on all three sides.
      replicates: of the bootstrap.
      threshold: scores above it mean 'member'; chosen beforehand.

    Returns:
      {'share', 'share_ci95', 'recognised', 'tpr', 'fpr', 'images', 'people'}, the estimate and its ends
      between 0 and 1; None if the attack recognises too few members, in the data or in one of 40
      resamples, and for a collection of fewer than ten people.
    """
    people = len(set(collection.identities))
    if people < LEAST_PEOPLE:
        return None
    member = np.asarray(scored.member, bool)
    said = np.asarray(scored.scores) > threshold
    found = np.asarray(collection.scores) > threshold
    everyone = np.ones(len(found), bool)
    draws = zip(
        intervals.resampled_weights(
            scored.identities, member, seed=seed, replicates=replicates, size=len(found)
        ),
        intervals.resampled_weights(
            collection.identities, everyone, seed=seed + 1, replicates=replicates, size=len(said)
        ),
        strict=True,
    )
    rates = np.concatenate(
        [
            np.stack(
                [
                    _share(known, said, member),
                    _share(known, said, ~member),
                    _share(new, found, everyone),
                ]
            ).T
            for known, new in draws
        ]
    )
    tpr, fpr, seen = float(said[member].mean()), float(said[~member].mean()), float(found.mean())
    differences = rates[:, 0] - rates[:, 1]
    if tpr - fpr < _LEAST_DIFFERENCE or np.quantile(differences, 0.025) < _LEAST_DIFFERENCE:
        return None
    sample = (rates[:, 2] - rates[:, 1]) / np.maximum(differences, 1e-3)
    ends = intervals.percentiles(
        sample, min(people, *intervals.people_per_side(scored.identities, member))
    )
    low, high = np.clip(ends, 0, 1).tolist()
    # Upper limit of a share that is seen 0 times in that many draws
    unseen = 1 - 0.05 ** (1 / people)
    low, high = min(low, 1 - unseen), max(high, unseen)
    return {
        'share': float(np.clip((seen - fpr) / (tpr - fpr), 0, 1)),
        'share_ci95': [low, high],
        'recognised': seen,
        'tpr': tpr,
        'fpr': fpr,
        'images': len(found),
        'people': people,
    }


def _share(weights, said, side):
    """[R] from weights [R, N]: the share of the side's images that were taken for members."""
    return (weights[:, side] * said[side]).sum(1) / weights[:, side].sum(1)
