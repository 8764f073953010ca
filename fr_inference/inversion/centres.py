"""Class centres of the training people, estimated only from faces of strangers.

A margin softmax moves every training person to a class centre, and places strangers between the centres.
The centres are then near the independent components of strangers' embeddings: directions in which a
few faces have large values of one sign, and most have values near 0. Neighbouring centres distort
the direction of a component. The few faces that reach farthest along it lie closer to the centre,
and the better they agree with each other, the better the estimate. The method needs neither the
classification layer nor members nor BatchNorm. (Ours, not of arXiv 2401.13719; the algorithm is
FastICA, Hyvärinen 1999, with the skewness as contrast.)
"""

import warnings

import numpy as np

from fr_inference import errors, runs
from fr_inference.inversion import judge

_STARTS = 8  # starts of FastICA, whose components depend on the start
_FARTHEST = 512  # the farthest along a component: one face in this many,
_FEWEST, _MOST = 8, 64  # but at least and at most these numbers
_APART = 0.5  # largest cosine of two estimates that count as different
_RANK_TOLERANCE = 1e-7  # of a standard deviation, relative to the largest


def _skewness(x):
    """First and mean second derivative of the contrast x^3 / 3, which favours one-sided components."""
    runs.stop_point_of_one()  # once an iteration: all of them together take minutes
    return x**2, (2 * x).mean(axis=-1)


def estimate(embeddings: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Returns estimated class centres, the most reliable first.

    Args:
      embeddings: [N, D] of faces that were not trained on, generated ones for instance; N well above D.
      count: number of centres, at most D and below N: the number of training people or more, if D
        allows it.
      seed: of where the iterations start.

    Returns:
      [count, D] float32 of unit length.

    Raises:
      Stopped: when a stop was requested.
      InputError: for more centres than the embeddings have dimensions, or can tell apart.
    """
    unit = judge.unit(embeddings)
    most = min(unit.shape[1], len(unit) - 1)
    if not 1 <= count <= most:
        raise errors.InputError('centres', count, f'1 to {most}, for embeddings {list(unit.shape)}')
    rank = _rank(unit)
    if rank < count:
        raise errors.InputError(
            'centres',
            f'{count} for {len(unit)} embeddings that vary in {rank} directions',
            f'at most {rank}',
            'more faces of strangers (or more draws if there are none) allow more',
        )
    means = [
        _farthest(unit, sources)
        for start in range(_STARTS)
        if (sources := _sources(unit, count, seed + start)) is not None
    ]
    if not means:
        raise errors.InputError(
            'centres',
            f'{count}, which {len(unit)} embeddings do not tell apart',
            hint='give more faces of strangers (or more draws if there are none), or fewer centres',
        )
    found = np.concatenate(means)
    found = found[np.argsort(-np.linalg.norm(found, axis=1), kind='stable')]
    directions = judge.unit(found)
    different: list[int] = []
    for row in range(len(directions)):
        if not different or (directions[different] @ directions[row]).max() <= _APART:
            different.append(row)
    again = np.setdiff1d(np.arange(len(directions)), different)
    return directions[[*different, *again][:count]].astype(np.float32)


def _rank(unit):
    """The number of directions in which the embeddings vary by more than rounding errors."""
    spread = np.linalg.svd(unit - unit.mean(0), compute_uv=False)
    return int((spread > max(_RANK_TOLERANCE * spread[0], 1e-9)).sum())


def _sources(unit, count, seed):
    """[N, count] how far each face reaches along each component; None if FastICA finds none."""
    # Importing it takes a second, which other audits can save
    from sklearn.decomposition import FastICA

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
            # A component that has not fully converged is still a valid estimate.
            warnings.simplefilter('ignore', UserWarning)
            sources = analysis.fit_transform(unit)
    except (ValueError, np.linalg.LinAlgError):
        return None
    return sources * np.sign((sources**3).mean(0)) if np.isfinite(sources).all() else None


def _farthest(unit, sources):
    """[count, D] means of the faces that reach farthest; their length says how alike those are."""
    number = min(len(unit), max(_FEWEST, min(len(unit) // _FARTHEST, _MOST)))
    rows = np.argpartition(-sources, number - 1, axis=0)[:number]
    return unit[rows].mean(0)
