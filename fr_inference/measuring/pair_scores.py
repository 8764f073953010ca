"""The similarity of pairs of faces, as a verification protocol compares them."""

import numpy as np

from fr_inference.config import Measuring
from fr_inference.data.pairs import Pairs
from fr_inference.measuring import measurements
from fr_inference.metrics import verification
from fr_inference.models.target import Target
from fr_inference.runs import Progress


def cosines(
    target: Target,
    pairs: Pairs,
    *,
    batch_size: int = Measuring.batch_size,
    progress: Progress | None = None,
) -> np.ndarray:
    """Returns the cosine of each pair's embeddings: [P] in [-1, 1].

    Each image is embedded once, and also its mirror image if the target's input uses it.

    Args:
      target: the backbone.
      pairs: P pairs, and the images that they name.
      batch_size: images at a time in a process.
      progress: called as progress(label, done, total).

    Raises:
      InputError: when the backbone gives numbers that are not finite.
      BadImageError: at an unreadable image.
    """

    def embed(mirrored):
        return measurements.measure(
            target,
            pairs.faces,
            batch_size=batch_size,
            mirror=mirrored,
            label='mirror images' if mirrored else 'images',
            progress=progress,
        ).embeddings

    how = target.input.mirror
    embeddings = verification.combine_mirror(
        embed(False), None if how == 'none' else embed(True), how
    )
    return verification.cosine(embeddings[pairs.first], embeddings[pairs.second])
