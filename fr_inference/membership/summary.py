"""From scores to what an audit says: the excess, layers, exposed people, and what can not be said."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.membership import protocol
from fr_inference.membership.protocol import Labelled
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored

_LAYER_REPLICATES = 200
_MOST_EXPOSED = 12
# With fewer people on a side, intervals miss the truth more often than they say: in simulations with 2
# people a third of them did, with 3 up to 9 %.
_FEW_PEOPLE = 6


def excess(ours: Scored, theirs: Scored, *, seed: int, replicates: int) -> dict[str, Any]:
    """Returns what the target gives away beyond a backbone that never saw the members.

    Args:
      ours: scores in the target.
      theirs: scores of the same images in the other; the interval is of the difference, drawn together.
      seed: of the bootstrap.
      replicates: of the bootstrap.
    """
    errors.require(
        ours.identities == theirs.identities,
        'blind control: it could not read the same images as the target',
    )
    values, sampled = intervals.aucs(
        np.stack([ours.scores, theirs.scores]),
        ours.member,
        ours.identities,
        seed=seed,
        replicates=replicates,
    )
    value, sample = float(values[0] - values[1]), sampled[:, 0] - sampled[:, 1]
    people = min(intervals.people_per_side(ours.identities, ours.member))
    low, high = intervals.percentiles(sample, people)
    if np.ptp(sample) < 1e-9:  # both perfect: a difference that does not vary is not certain
        unsure = 1 - intervals.wilson(1.0, people)[0]
        low, high = value - unsure, value + unsure
    return {'auc': value, 'auc_ci95': [low, high]}


def limits(evaluated: Mapping[str, Scored], figures: Mapping[str, Any]) -> list[str]:
    """Returns what is too small to be said, one sentence each."""
    found = []
    name = 'partial' if 'partial' in figures else 'identity_level'
    headline, scored = figures[name], evaluated[name]
    unresolved = [rate for rate, value in headline['tpr_at_fpr'].items() if value is None]
    if unresolved:
        percent = ', '.join(f'{100 * float(rate):g} %' for rate in unresolved)
        needed = intervals.RESOLVABLE / float(unresolved[-1])
        found.append(
            f'With {headline["nonmembers"]} non-members in the evaluation, true-positive rates at '
            f'{percent} false positives can not be resolved ({needed:,.0f} would be needed for the '
            'lowest).'
        )
    few = min(
        min(intervals.people_per_side(one.identities, one.member))
        for one in (scored, evaluated.get('null', scored))
    )
    if few < _FEW_PEOPLE:
        found.append(
            f'Some comparisons have only {few} people on a side: with fewer than {_FEW_PEOPLE}, 95 % '
            'intervals hold the truth less often than that.'
        )
    return found


def layers(labelled: Labelled, fit: np.ndarray, *, seed: int) -> list[dict[str, Any]]:
    """Returns each layer's AUC outside `fit` ([N] bool), the sign of its distances learned inside."""
    scores = protocol.layer_scores(labelled, fit)
    identities = [labelled.measured.identities[row] for row in np.flatnonzero(~fit)]
    people = min(intervals.people_per_side(identities, labelled.member[~fit]))
    values, sampled = intervals.aucs(
        scores[:, ~fit],
        labelled.member[~fit],
        identities,
        seed=seed,
        replicates=_LAYER_REPLICATES,
    )
    return [
        {'name': name, 'auc': float(value), 'auc_ci95': intervals.percentiles(sample, people)}
        for name, value, sample in zip(labelled.measured.layers, values, sampled.T, strict=True)
    ]


def exposed(
    labelled: Labelled,
    fit: np.ndarray,
    logits: np.ndarray | None,
    person_logits: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Returns members of the evaluated half and the rows of their images, the most recognisable first.

    Args:
      labelled: N images.
      fit: [N] bool.
      logits: [N] of the attack on images, None without one.
      person_logits: of the attack on people, for those it was run on.
    """
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(labelled.member & ~fit):
        rows.setdefault(labelled.measured.identities[row], []).append(int(row))
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
        for name in ranked[:_MOST_EXPOSED]
    ]


def names(identities: tuple[str, ...], mask: np.ndarray) -> set[str]:
    """Returns the people of the images in `mask` ([N] bool)."""
    return {name for name, inside in zip(identities, mask, strict=True) if inside}
