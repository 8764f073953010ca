"""A signal in the target, calibrated by the same signal in reference networks.

Calibration accounts for how unusual a picture is by itself: a picture that every network knows well
shows no leak.
"""

import numpy as np


def rmia(
    target: np.ndarray,
    references: np.ndarray,
    population: np.ndarray,
    population_references: np.ndarray,
    *,
    offset: float = 0.33,
    gamma: float = 2.0,
) -> np.ndarray:
    """Returns the relative membership score: the share of strangers that an image beats by `gamma`.

    Of an image x the ratio is p(x | target) / p(x), where p(x) = ((1 + a) m + 1 - a) / 2 stands for the
    mean over networks trained with and without it: m is the mean over the references, which were trained
    without.

    Source: Zarifzadeh, Liu & Shokri, "Low-Cost High-Power Membership Inference Attacks" (RMIA), ICML
    2024, arXiv 2312.03262, with reference networks that were trained without the images ("offline").
    An image that beats a stranger by exactly `gamma` counts, as there.

    >>> rmia(np.array([0.9, 0.1]), np.array([[0.2, 0.2]]), np.array([0.3]), np.array([[0.3]]))
    array([1., 0.])

    Args:
      target: [N] probabilities, above 0, that the target gives the images.
      references: [R, N] those that the references give them.
      population: [Z] those that the target gives strangers.
      population_references: [R, Z] those that the references give strangers.
      offset: a.
      gamma: 1 or more.

    Returns:
      [N] float64, 0 to 1.
    """
    ratios = target / _expected(references, offset)
    others = np.sort(population / _expected(population_references, offset))
    return np.searchsorted(others, ratios / gamma, side='right') / len(others)


def _expected(references, offset):
    return ((1 + offset) * references.mean(0) + 1 - offset) / 2


def base(target: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Returns the Bayes-optimal score: the signal minus the logarithm of its mean in the references.

    Source: Lassila, Östman & Ngo, "Practical Bayes-Optimal Membership Inference Attacks" (BASE), NeurIPS
    2025, arXiv 2505.24089, for a signal that is a logarithm.

    >>> base(np.array([2.0, 2.0]), np.array([[2.0, 0.0], [2.0, 0.0]]))
    array([0., 2.])

    Args:
      target: [N] signals, such as the negative loss; higher for members.
      references: [R, N] the same in the references.
    """
    highest = references.max(0)
    return target - highest - np.log(np.exp(references - highest).mean(0))
