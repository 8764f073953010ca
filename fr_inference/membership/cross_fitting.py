"""Logits for the examples that an attack is fitted on, from models that were not fitted on them."""

from collections.abc import Callable

import numpy as np

from fr_inference.membership import labelled, logistic
from fr_inference.membership.attack import Examples
from fr_inference.membership.logistic import Logistic

Fit = Callable[[np.ndarray, np.ndarray], Logistic]
"""(features [N, F], member [N] bool) -> the model."""


def logits(examples: Examples, seed: int, fit: Fit = logistic.fit) -> np.ndarray:
    """Returns the logits [E] of all examples, each from a model that was not fitted on that person.

    Outside the fit half, they come from the model fitted on the whole fit half; inside, from the
    model fitted on the other half of its people. The logit of an example is more extreme in a model
    that was fitted on it, so a second model fitted on such logits would trust them too much.

    Args:
      examples: examples with four or more people on each side of the fit half.
      seed: of the split of the fit half.
      fit: fits a model.
    """
    half, member, features = examples.fit, examples.member, examples.features
    found = logistic.scores(fit(features[half], member[half]), features).astype(np.float64)
    inside = np.flatnonzero(half)
    names = [examples.names[row] for row in inside]
    first = labelled.fit_half(names, member[inside], seed, least=2)
    for learn, judge in ((inside[first], inside[~first]), (inside[~first], inside[first])):
        found[judge] = logistic.scores(fit(features[learn], member[learn]), features[judge])
    return found
