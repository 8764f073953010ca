"""AUC of each layer's distance used alone."""

from typing import Any

import numpy as np

from fr_inference.membership.labelled import Labelled
from fr_inference.metrics import intervals, roc

_REPLICATES = 200


def figures(images: Labelled, fit: np.ndarray, *, seed: int) -> list[dict[str, Any]]:
    """Returns each layer's name and AUC outside `fit` ([N] bool), with its sign learned inside."""
    people = [images.identities[row] for row in np.flatnonzero(~fit)]
    member = images.member[~fit]
    smaller = min(intervals.people_per_side(people, member))
    values, sampled = intervals.aucs(
        signed(images, fit)[:, ~fit], member, people, seed=seed, replicates=_REPLICATES
    )
    return [
        {'name': name, 'auc': float(value), 'auc_ci95': intervals.interval(value, sample, smaller)}
        for name, value, sample in zip(images.layers, values, sampled.T, strict=True)
    ]


def signed(images: Labelled, fit: np.ndarray) -> np.ndarray:
    """Returns each layer's log-distance, signed so that members in `fit` are higher: [L, N]."""
    return np.stack(
        [
            row if roc.auc(row[fit], images.member[fit]) >= 0.5 else -row
            for row in images.log_distances.T
        ]
    )
