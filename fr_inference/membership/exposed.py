"""The members that an attack recognises beyond every stranger, at a stated error rate."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference.membership.labelled import Labelled

_MOST = 12
_PICTURES = 4
_UNSURE = 0.05
# Nobody is named where a larger share of strangers may score as high: it takes 14 of them.
_ERRORS = 0.2


def of_people(images: Labelled, fit: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Returns each judged person's mean logit over their images.

    Args:
      images: N images.
      fit: [N] bool, on whose people the attack was fitted.
      logits: [N] of an attack on images.
    """
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(~fit):
        rows.setdefault(images.identities[row], []).append(int(row))
    return {name: float(np.mean(logits[own])) for name, own in rows.items()}


def exposed(
    images: Labelled,
    fit: np.ndarray,
    scores: Mapping[str, float],
    *,
    by: str,
    logits: np.ndarray | None = None,
    trained: Collection[str] | None = None,
) -> dict[str, Any] | None:
    """Returns members of the evaluated half whose score lies above that of every stranger there.

    Of n strangers none lies above the bar, so that with 95 % confidence at most 1 - 0.05^(1/n) of all
    strangers would (the exact upper bound of a share that was seen 0 times in n; Clopper and Pearson
    1934).

    Args:
      images: N images.
      fit: [N] bool, on whose people the attack was fitted.
      scores: of the judged people, members and strangers.
      by: key of the comparison they are of.
      logits: [N] of an attack on images, by which a person's pictures are chosen.
      trained: who is in the backbone's own list of training images; None where it has no list. A member
        who is not is neither counted nor named.

    Returns:
      by; strangers (n); error_rate_ci95 (that bound); members (how many were judged); above (how many
      lie above the bar); people: the highest, with 'identity', 'score', 'images' and up to four 'rows'.
      None where nobody lies above it, or so few strangers are judged that the bound says little.
    """
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(images.member & ~fit):
        rows.setdefault(images.identities[row], []).append(int(row))
    strangers = [score for name, score in scores.items() if name not in rows]
    members = {
        name: score
        for name, score in scores.items()
        if name in rows and (trained is None or name in trained)
    }
    if not strangers or (bound := 1 - _UNSURE ** (1 / len(strangers))) > _ERRORS:
        return None
    above = sorted(
        (name for name, score in members.items() if score > max(strangers)),
        key=lambda name: -members[name],
    )
    if not above:
        return None
    return {
        'by': by,
        'strangers': len(strangers),
        'error_rate_ci95': bound,
        'members': len(members),
        'above': len(above),
        'people': [
            {
                'identity': name,
                'score': members[name],
                'images': len(rows[name]),
                'rows': _shown(rows[name], logits),
            }
            for name in above[:_MOST]
        ],
    }


def _shown(rows: Sequence[int], logits: np.ndarray | None) -> list[int]:
    if logits is not None:
        rows = sorted(rows, key=lambda row: -logits[row])
    return list(rows[:_PICTURES])
