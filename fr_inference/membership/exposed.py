"""The members that are recognised most easily."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fr_inference.membership.labelled import Labelled

_MOST = 12


def exposed(
    images: Labelled,
    fit: np.ndarray,
    logits: np.ndarray | None,
    person_logits: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Returns members of the evaluated half and the rows of their images, the most recognisable first.

    Args:
      images: N images.
      fit: [N] bool.
      logits: [N] of an attack on images, None without one.
      person_logits: of an attack on people, for those it was run on.
    """
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(images.member & ~fit):
        rows.setdefault(images.identities[row], []).append(int(row))
    image = {}
    if logits is not None:
        image = {name: float(np.mean(logits[own])) for name, own in rows.items()}
        rows = {name: sorted(own, key=lambda row: -logits[row]) for name, own in rows.items()}
    ranked = sorted(rows, key=lambda name: -person_logits.get(name, image.get(name, -np.inf)))
    return [
        {
            'identity': name,
            'person_logit': person_logits.get(name),
            'mean_image_logit': image.get(name),
            'images': len(rows[name]),
            'rows': rows[name][:4],
        }
        for name in ranked[:_MOST]
    ]
