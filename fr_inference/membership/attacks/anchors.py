"""How similar an image is to strangers: training may push members away from everybody else.

The cosines of its embedding with those of strangers: 16 quantiles, the mean of the ten highest, the
highest. The strangers are those of the fit half; no person is compared with themselves.
"""

from collections.abc import Iterator

import numpy as np

from fr_inference import rng
from fr_inference.measuring.measurements import Measurements
from fr_inference.membership import attack
from fr_inference.membership.labelled import Labelled

_MOST = 4096  # strangers
_QUANTILES = np.linspace(0, 1, 16)
_HIGHEST = 10
_CHUNK_NUMBERS = 1 << 24


def _examples(images, fit, seed):
    anchors = np.flatnonzero(fit & ~images.member)
    if len({images.identities[row] for row in anchors}) < 2:
        return None
    drawn = rng.numpy_generator(seed, 'anchors').permutation(anchors)[:_MOST]
    found = [_of_cosines(*chunk) for chunk in with_strangers(images, images, drawn)]
    return attack.of_images(images, fit, np.concatenate(found).astype(np.float64))


def with_strangers(
    images: Labelled, seen: Measurements, drawn: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the cosines of some images' embeddings with those of strangers, chunk by chunk.

    Args:
      images: N images.
      seen: the same in a backbone.
      drawn: [A] rows of strangers.

    Yields:
      ([n, A] float32 cosines, [n, A] bool, which of them are with images of the same person).
    """
    units = seen.embeddings.astype(np.float32)
    units = units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    names = np.asarray(images.identities)
    rows = max(1, _CHUNK_NUMBERS // len(drawn))
    for start in range(0, len(names), rows):
        chunk = slice(start, start + rows)
        yield units[chunk] @ units[drawn].T, names[chunk, None] == names[drawn]


def _of_cosines(cosines, own):
    """[n, A] cosines, and which of them are with images of the same person -> [n, 18]."""
    cosines = np.sort(np.where(own, np.inf, cosines), axis=1)  # own images last
    count = cosines.shape[1] - own.sum(1)
    places = (_QUANTILES * (count[:, None] - 1)).round().astype(int)
    quantiles = np.take_along_axis(cosines, places, axis=1)
    top = count[:, None] - 1 - np.arange(_HIGHEST)
    highest = np.take_along_axis(cosines, np.maximum(top, 0), axis=1)
    mean = np.mean(highest, axis=1, keepdims=True, where=top >= 0)  # there may be fewer than ten
    return np.concatenate([quantiles, mean, highest[:, :1]], axis=1)


ATTACK = attack.Attack(
    name='anchors',
    title='Similarity to strangers',
    source='after Gao et al., SD-MI, AAAI 2023, arXiv 2211.15918',
    access='answers',
    unit='image',
    needs='two strangers to fit on',
    examples=_examples,
    settings=('partial',),
)
