"""The start of a search for a stored template: a mean of the random latents that look like it.

The pool provides pairs (embedding, latent) rendered by the generator itself. The mean weighs each
random latent by the similarity of its embedding to the wanted one (Nadaraya 1964, Watson 1964): a
map from embeddings to latents without fitting. docs/results/inversion.md shows how near these
starts are.
"""

import numpy as np

_LATENTS = 6.0  # effective number of latents in a mean
_HALVINGS = 60


def weights(cosines: np.ndarray, count: float = _LATENTS) -> np.ndarray:
    """Returns weights exp(t cosine) / sum, each row's t such that 1 / sum of squares is `count`.

    >>> weights(np.array([[0.1, 0.9, 0.2, 0.8]]), count=2).round(1).tolist()
    [[0.0, 0.6, 0.0, 0.4]]

    Args:
      cosines: [G, N] of each wanted embedding with that of each random latent; a latent with a
        value that is not finite gets no weight.
      count: effective number of latents, 1 to N.

    Returns:
      [G, N] float64; rows sum to 1.
    """
    usable = np.isfinite(cosines)
    away = np.where(usable, cosines, -np.inf)
    away = away - away.max(1, keepdims=True)

    def at(sharpness):
        with np.errstate(invalid='ignore'):  # avoids 0 times infinity for latents without weight
            found = np.where(usable, np.exp(sharpness[:, None] * away), 0.0)
        return found / found.sum(1, keepdims=True)

    low, high = np.zeros(len(away)), np.full(len(away), 1e6)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        many = 1 / np.square(at(middle)).sum(1) > count
        low, high = np.where(many, middle, low), np.where(many, high, middle)
    return at(high)


def near(wanted: np.ndarray, embeddings: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Returns a latent for each wanted embedding, [G, ...] float32 in whitened coordinates.

    Args:
      wanted: [G, D] of unit length.
      embeddings: [N, D] of the random latents, means of unit embeddings.
      white: [N, ...] those latents.
    """
    lengths = np.linalg.norm(embeddings, axis=1).astype(np.float64)
    with np.errstate(invalid='ignore', divide='ignore'):
        cosines = (np.asarray(wanted, np.float64) @ embeddings.T) / lengths
    found = weights(cosines, min(_LATENTS, len(embeddings)))
    return np.tensordot(found, white.astype(np.float64), 1).astype(np.float32)
