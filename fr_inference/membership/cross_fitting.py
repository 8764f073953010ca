"""Logits of the examples that an attack is fitted on, by attacks that were not fitted on them."""

import numpy as np

from fr_inference.membership import labelled, logistic
from fr_inference.membership.attack import Examples


def logits(examples: Examples, seed: int) -> np.ndarray:
    """Returns the logits [E] of all examples, none of them by a model that was fitted on that person.

    Outside the fit half the model fitted on the whole of it gives them. Inside, the model fitted on the
    other half of its people does: the logit of an example that a model was fitted on says more than it
    would for a stranger, so that whatever is fitted on such logits would trust them too much.

    Args:
      examples: with four or more people a side in the fit half.
      seed: of the split of the fit half.
    """
    fit, member, features = examples.fit, examples.member, examples.features
    found = np.array(logistic.logit(logistic.fit(features[fit], member[fit]), features), np.float64)
    inside = np.flatnonzero(fit)
    names = [examples.names[row] for row in inside]
    first = labelled.fit_half(names, member[inside], seed, least=2)
    for learn, judge in ((inside[first], inside[~first]), (inside[~first], inside[first])):
        model = logistic.fit(features[learn], member[learn])
        found[judge] = np.asarray(logistic.logit(model, features[judge]))
    return found
