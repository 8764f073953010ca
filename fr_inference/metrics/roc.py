"""Receiver operating characteristics, with ties and weights handled exactly.

Higher scores mean 'more like a member'. Weights count an example several times, as in resampling;
with all weights 1 these are the textbook quantities.
"""

import dataclasses

import numpy as np

from fr_inference import errors


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Scores sorted once, so that many weightings of them are cheap.

    Attributes:
      order: [N] positions from the highest score to the lowest.
      ends: [G] in the sorted order, the last position of each group of equal scores.
      member: [N] bool in the sorted order.
    """

    order: np.ndarray
    ends: np.ndarray
    member: np.ndarray

    def curves(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the (false, true) positive rates when the groups are accepted one by one.

        Args:
          weights: [R, N] at least 0, in the order of the scores given to `rank`.

        Returns:
          Two [R, G + 1] arrays from 0 to 1.
        """
        sorted_weights = weights[:, self.order]
        positives = _cumulated(sorted_weights * self.member, self.ends)
        negatives = _cumulated(sorted_weights * ~self.member, self.ends)
        return (
            negatives / np.maximum(negatives[:, -1:], 1e-300),
            positives / np.maximum(positives[:, -1:], 1e-300),
        )


def rank(scores: np.ndarray, member: np.ndarray) -> Ranking:
    """Sorts scores.

    Args:
      scores: [N] finite.
      member: [N] bool.

    Raises:
      InputError: for scores that are not finite, or one kind only.
    """
    scores, member = np.asarray(scores, np.float64), np.asarray(member, bool)
    if scores.shape != member.shape:
        raise errors.InputError('scores', f'shape {scores.shape}', f'{member.shape}, as of member')
    if not np.isfinite(scores).all():
        raise errors.InputError('scores', 'numbers that are not finite', 'finite numbers')
    if member.all() or not member.any():
        raise errors.InputError(
            'member', f'{int(member.sum())} members among {len(member)} scores', 'both kinds'
        )
    order = np.argsort(-scores, kind='stable')
    ordered = scores[order]
    return Ranking(
        order, np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)), member[order]
    )


def area(false: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the area under [..., G + 1] curves by trapezoids: ties count one half."""
    return 0.5 * np.sum(np.diff(false) * (true[..., 1:] + true[..., :-1]), axis=-1)


def true_positive_rates(false: np.ndarray, true: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Returns the highest true-positive rate whose false-positive rate does not exceed each rate.

    Args:
      false: [R, G + 1] from 0 to 1, not falling.
      true: [R, G + 1].
      rates: [F] in [0, 1].

    Returns:
      [R, F].
    """
    # The rates are sums of weights; rounding must not reject a rate that is met exactly.
    last = [np.searchsorted(row, rates + 1e-12, side='right') - 1 for row in false]
    return np.take_along_axis(true, np.asarray(last).reshape(len(false), len(rates)), axis=1)


def auc(scores: np.ndarray, member: np.ndarray) -> float:
    """Returns the probability that a member scores above a non-member, ties counting one half.

    >>> auc([3.0, 2.0, 1.0, 1.0], [True, False, True, False])
    0.625
    """
    ranking = rank(scores, member)
    return float(area(*ranking.curves(np.ones((1, len(ranking.order)))))[0])


def _cumulated(values, ends):
    sums = np.cumsum(values, axis=1)[:, ends]
    return np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)
