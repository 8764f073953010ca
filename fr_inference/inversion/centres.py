"""Where the backbone's training people are: its class centres, estimated from faces of strangers alone.

A margin softmax drives everybody it is trained on to a centre of their own, and sees strangers as
mixtures of those. Centres are then independent components of strangers' embeddings: directions in which
few faces reach far, to one side, and most do not at all. Neither the classification layer nor a member
is needed, and no BatchNorm either. (Ours, not of arXiv 2401.13719; the algorithm is FastICA, Hyvärinen
1999, with the skewness as contrast.)
"""

import warnings

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from fr_inference import checks

_REACH = 3.0  # standard deviations from the mean along a component: where few faces are


def _skewness(x):
    """The derivative of x^3 / 3 and the mean of its own: what is one-sided, not only heavy-tailed."""
    return x**2, (2 * x).mean(axis=-1)


def estimate(embeddings: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Returns so many estimated class centres.

    Args:
      embeddings: [N, D] of faces that were not trained on, generated ones for instance; N well above D.
      count: components, at most D and below N. Close to the number of training people where that is
        below D.
      seed: of where the iteration starts.

    Returns:
      [count, D] float32 of unit length.

    Raises:
      InputError: for more components than the embeddings have dimensions, or can tell apart.
    """
    embeddings = np.asarray(embeddings, np.float64)
    length = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    unit = embeddings / length
    most = min(unit.shape[1], len(unit) - 1)
    checks.require(
        1 <= count <= most,
        f'centres: found {count}, expected 1 to {most}, for embeddings {list(unit.shape)}',
    )
    analysis = FastICA(
        count,
        fun=_skewness,
        whiten='unit-variance',
        whiten_solver='eigh',
        max_iter=500,
        random_state=seed,
    )
    try:
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            # A component that still turns a little is an estimate like the others; what is said of
            # small singular values is said below.
            warnings.simplefilter('ignore', ConvergenceWarning)
            warnings.simplefilter('ignore', UserWarning)
            sources = analysis.fit_transform(unit)
            if not np.isfinite(sources).all():
                raise ValueError('sources that are not finite')
    except (ValueError, np.linalg.LinAlgError) as error:
        raise checks.InputError(
            f'centres: {len(unit)} embeddings do not tell {count} components apart; give more faces '
            '(--strangers, or --draws where there are none) or fewer centres'
        ) from error
    sign = np.sign((sources**3).mean(0))
    reached = unit.mean(0) + _REACH * (analysis.mixing_ * np.where(sign == 0, 1, sign)).T
    return (reached / np.linalg.norm(reached, axis=1, keepdims=True)).astype(np.float32)
