"""The members that an attack can name at a stated error rate, instead of a mere ranking.

A conformal p-value of each judged member tells how many of the judged strangers score as high. Of
the members that the procedure of Benjamini and Hochberg then names, on average at most one in ten
is wrong.

Sources: Bates et al. 2023, "Testing for outliers with conformal p-values", arXiv 2104.08279; Benjamini &
Hochberg 1995. For membership: arXiv 2508.07066.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference.membership.labelled import Labelled

FALSE_DISCOVERIES = 0.1

_MOST = 12
_PICTURES = 4


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
    """Returns the named members of the evaluated half; on average at most one in ten is wrong.

    Args:
      images: N images.
      fit: [N] bool, on whose people the attack was fitted.
      scores: the scores of the judged people, members and strangers.
      by: the key of the comparison with these scores.
      logits: [N] logits of an attack on images, by which a person's pictures are chosen.
      trained: people in the backbone's own list of training images; None if it has no list. A
        member who is not in it is neither counted nor named.

    Returns:
      by; strangers and members (how many were judged); false_discovery_rate; named (how many are);
      people: the first of them, with 'identity', 'score', 'p_value', 'images' and up to four 'rows'.
      None if nobody is named, for example because there are too few strangers for a small p-value.
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
    found = named(members, strangers)
    if not found:
        return None
    order = sorted(found, key=lambda name: (found[name], -members[name]))
    return {
        'by': by,
        'strangers': len(strangers),
        'members': len(members),
        'false_discovery_rate': FALSE_DISCOVERIES,
        'named': len(found),
        'people': [
            {
                'identity': name,
                'score': members[name],
                'p_value': found[name],
                'images': len(rows[name]),
                'rows': _shown(rows[name], logits),
            }
            for name in order[:_MOST]
        ],
    }


def named(members: Mapping[str, float], strangers: Sequence[float]) -> dict[str, float]:
    """Returns the p-values of the members who are named.

    >>> named({'a': 9.0, 'b': 0.5}, [0.0] * 30)
    {'a': 0.03225806451612903, 'b': 0.03225806451612903}
    >>> named({'a': 9.0, 'b': 0.5}, [*[1.0] * 3, *[0.0] * 28])
    {'a': 0.03125}
    >>> named({'a': 9.0}, [0.0] * 8)  # too few strangers for a small p-value
    {}

    Args:
      members: score of each; higher for members.
      strangers: scores of people who were certainly not trained on, and on whom nothing was fitted.
    """
    if not members:
        return {}
    names, known = list(members), np.sort(np.asarray(strangers, np.float64))
    scores = np.array([members[name] for name in names])
    as_high = len(known) - np.searchsorted(known, scores, side='left')
    values = (1 + as_high) / (1 + len(known))
    order = np.argsort(values, kind='stable')
    bars = FALSE_DISCOVERIES * np.arange(1, len(names) + 1) / len(names)
    below = np.flatnonzero(values[order] <= bars)
    count = int(below[-1]) + 1 if len(below) else 0
    return {names[row]: float(values[row]) for row in order[:count]}


def _shown(rows: Sequence[int], logits: np.ndarray | None) -> list[int]:
    if logits is not None:
        rows = sorted(rows, key=lambda row: -logits[row])
    return list(rows[:_PICTURES])
