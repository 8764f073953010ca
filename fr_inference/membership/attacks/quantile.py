"""How unusual a signal is for a picture that looks like this one; fitted only on strangers.

The embedding of a blind backbone predicts the mean and spread of the signal among strangers; the
score is how many spreads the target's signal lies above the mean. It needs neither members nor a
shadow. The signals are the length of the embedding, or the distance of each BatchNorm layer.

For the control in the blind backbone itself, only the direction of its embedding is used: with its
length the control would predict a number from itself, and see no difference between the sides. The
target's embedding cannot be used instead, because it depends on membership: if members' embeddings
are longer, it predicts too large a length for them in the blind backbone, and the control fails
because of the leak.
"""

import numpy as np

from fr_inference import rng
from fr_inference.membership import attack
from fr_inference.membership.attacks.norm import log_norms

_RIDGE = 1.0  # weight, as a share of the number of strangers
_SOURCE = (
    'after Bertran et al., quantile regression, NeurIPS 2023, arXiv 2307.03694; for unseen classes '
    'Thaker et al., arXiv 2506.06488'
)


def _of_answers(images, fit, seed):
    return _examples(images, log_norms(images.embeddings)[:, 1:2], fit, seed)


def _of_distances(images, fit, seed):
    if not images.layers:
        return None
    return _examples(images, images.log_distances.astype(np.float64), fit, seed)


def _examples(images, signals, fit, seed):
    """One feature for each of the signals [N, S]."""
    strangers = fit & ~images.member
    names = np.asarray(images.identities)
    people = np.unique(names[strangers])
    if images.blind is None or len(people) < 4:
        return None
    seen = images.blind.embeddings.astype(np.float64)
    if np.array_equal(images.blind.embeddings, images.embeddings):
        seen /= np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-12)
    scores = _standard(seen, signals, strangers)
    # No person's prediction is fitted on that person.
    order = rng.numpy_generator(seed, 'quantile').permutation(len(people))
    first = np.isin(names, people[order[: len(people) // 2]])
    for judge in (strangers & first, strangers & ~first):
        scores[judge] = _standard(seen, signals, strangers & ~judge)[judge]
    return attack.of_images(images, fit, scores)


def _standard(seen, signals, strangers):
    """[N, S] standard scores of signals, with means and spreads predicted from strangers ([N] bool)."""
    centred = seen - seen[strangers].mean(0)
    # One scale for all coordinates, so that those that vary little are shrunk most.
    centred /= max(float(np.sqrt((centred[strangers] ** 2).mean())), 1e-12)
    known = centred[strangers]
    ridge = known.T @ known + _RIDGE * len(known) * np.eye(known.shape[1])
    residuals = signals - _predicted(centred, signals, strangers, ridge)
    floor = 1e-4 * residuals[strangers].var(0) + 1e-12
    logs = _predicted(centred, np.log(residuals**2 + floor), strangers, ridge)
    # A prediction far outside the range of strangers would give an arbitrarily large score.
    logs = np.clip(logs, *np.quantile(logs[strangers], [0.05, 0.95], axis=0))
    return residuals / np.exp(0.5 * logs)


def _predicted(columns, values, strangers, ridge):
    """Ridge regression of values [N, S] on columns [N, D], fitted on strangers."""
    middle = values[strangers].mean(0)
    learned = columns[strangers].T @ (values[strangers] - middle)
    return middle + columns @ np.linalg.solve(ridge, learned)


ATTACKS = (
    attack.Attack(
        name='quantile',
        title='Length for its kind of picture',
        source=_SOURCE,
        access='answers',
        unit='image',
        needs='a blind backbone, and four strangers to fit on',
        examples=_of_answers,
        settings=('partial', 'strangers'),
        signs=(1.0,),
    ),
    attack.Attack(
        name='quantile-distances',
        title='Distances for their kind of picture',
        source=_SOURCE,
        access='file',
        unit='image',
        needs='BatchNorm layers, a blind backbone, and four strangers to fit on',
        examples=_of_distances,
        settings=('partial',),  # members may be closer or farther, layer by layer
        layers=True,
    ),
)
