"""How similar two sets of images are, by distances in an embedding.

Every figure depends on the embedding: the Fréchet distance in a face-recognition embedding is not
comparable with the FID, which uses Inception's.
"""

import numpy as np

from fr_inference import errors


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the squared Fréchet distance between normal distributions fitted to two sets.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), Dowson and Landau 1982; for images Heusel et al.,
    arXiv 1706.08500.

    Args:
      first: [N, D] embeddings.
      second: [M, D] embeddings.

    Raises:
      InputError: for fewer than two of either.
    """
    first, second = _checked(first, second)
    means = first.mean(0) - second.mean(0)
    one, two = (np.cov(x, rowvar=False).reshape(x.shape[1], -1) for x in (first, second))
    # tr((C1 C2)^(1/2)) = tr((S C2 S)^(1/2)) for S = C1^(1/2), which is symmetric.
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    middle = np.linalg.eigvalsh(root @ two @ root)
    shared = np.sqrt(np.maximum(middle, 0)).sum()
    return float(max(0.0, means @ means + np.trace(one) + np.trace(two) - 2 * shared))


def coverage(real: np.ndarray, fake: np.ndarray, neighbours: int = 5) -> dict[str, float]:
    """Returns precision, recall (arXiv 1904.06991), density and coverage (arXiv 2002.09797).

    Each real (fake) point has a ball that reaches to its k-th neighbour among the real (fake) points.
    Precision: fraction of fakes inside a real ball; recall: fraction of reals inside a fake ball;
    density: mean number of real balls around a fake, over k; coverage: fraction of real balls that
    contain a fake.

    Args:
      real: [N, D] embeddings, N > k.
      fake: [M, D] embeddings, M > k.
      neighbours: k.
    """
    real, fake = _checked(real, fake)
    for name, points in (('real', real), ('fake', fake)):
        if len(points) <= neighbours:
            raise errors.InputError(
                name, f'{len(points)} images', f'more than the {neighbours} neighbours'
            )
    between = _distances(real, fake)
    reach_real = np.sort(_distances(real, real), axis=1)[:, neighbours]
    reach_fake = np.sort(_distances(fake, fake), axis=1)[:, neighbours]
    inside = between <= reach_real[:, None]
    return {
        'precision': float(inside.any(0).mean()),
        'recall': float((between <= reach_fake[None]).any(1).mean()),
        'density': float(inside.sum(0).mean() / neighbours),
        'coverage': float(inside.any(1).mean()),
    }


def _distances(first, second):
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.sqrt(np.maximum(squares, 0))


def _checked(first, second):
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    fine = first.ndim == second.ndim == 2 and first.shape[1] == second.shape[1]
    if not fine or min(len(first), len(second)) < 2:
        raise errors.InputError(
            'embeddings',
            f'{list(first.shape)} and {list(second.shape)}',
            'two sets [N, D] of two or more',
        )
    return first, second
