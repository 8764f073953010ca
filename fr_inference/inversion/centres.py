"""Where the backbone's training people are: its class centres, estimated from faces of strangers alone.

A margin softmax drives everybody it is trained on to a centre of their own, and sees strangers as
mixtures of those. Centres are then near the independent components of strangers' embeddings: directions
in which few faces reach far, to one side, and most do not at all. A component's own direction is bent by
its neighbours; the few faces that reach farthest along it lie closer to the centre, and the better they
agree with each other, the better the estimate. Neither the classification layer nor a member is needed,
and no BatchNorm either. (Ours, not of arXiv 2401.13719; the algorithm is FastICA, Hyvärinen 1999, with
the skewness as contrast.)
"""

import warnings

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from fr_inference import errors
from fr_inference.inversion import evaluate

_STARTS = 8  # of FastICA, whose components depend on where it starts
_FARTHEST = 512  # one face in so many is among the farthest along a component, but
_FEWEST, _MOST = 8, 64  # so many at least and at most
_APART = 0.5  # largest cosine of two estimates that are called different


def _skewness(x):
    """The derivative of x^3 / 3 and the mean of its own: what is one-sided, not only heavy-tailed."""
    return x**2, (2 * x).mean(axis=-1)


def estimate(embeddings: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Returns so many estimated class centres, the most reliable first.

    Args:
      embeddings: [N, D] of faces that were not trained on, generated ones for instance; N well above D.
      count: components, at most D and below N. The number of training people, or more, where that is
        below D.
      seed: of where the iterations start.

    Returns:
      [count, D] float32 of unit length.

    Raises:
      InputError: for more components than the embeddings have dimensions, or can tell apart.
    """
    unit = evaluate.unit(embeddings)
    most = min(unit.shape[1], len(unit) - 1)
    errors.require(
        1 <= count <= most,
        f'centres: found {count}, expected 1 to {most}, for embeddings {list(unit.shape)}',
    )
    means = [
        _farthest(unit, sources)
        for start in range(_STARTS)
        if (sources := _sources(unit, count, seed + start)) is not None
    ]
    errors.require(
        means,
        f'centres: {len(unit)} embeddings do not tell {count} components apart; give more faces '
        '(--strangers, or --draws where there are none) or fewer centres',
    )
    found = np.concatenate(means)
    found = found[np.argsort(-np.linalg.norm(found, axis=1), kind='stable')]
    directions = evaluate.unit(found)
    different: list[int] = []
    for row in range(len(directions)):
        if not different or (directions[different] @ directions[row]).max() <= _APART:
            different.append(row)
    again = np.setdiff1d(np.arange(len(directions)), different)
    return directions[[*different, *again][:count]].astype(np.float32)


def _sources(unit, count, seed):
    """[N, count] how far each face reaches along each component, or None where there is no telling."""
    analysis = FastICA(
        count,
        fun=_skewness,
        whiten='unit-variance',
        whiten_solver='eigh',
        max_iter=200,
        tol=1e-3,
        random_state=seed,
    )
    try:
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            # A component that still turns a little is an estimate like the others.
            warnings.simplefilter('ignore', ConvergenceWarning)
            warnings.simplefilter('ignore', UserWarning)
            sources = analysis.fit_transform(unit)
    except (ValueError, np.linalg.LinAlgError):
        return None
    return sources * np.sign((sources**3).mean(0)) if np.isfinite(sources).all() else None


def _farthest(unit, sources):
    """[count, D] means of the faces that reach farthest; the longer, the more alike those are."""
    number = min(len(unit), max(_FEWEST, min(len(unit) // _FARTHEST, _MOST)))
    rows = np.argpartition(-sources, number - 1, axis=0)[:number]
    return unit[rows].mean(0)
