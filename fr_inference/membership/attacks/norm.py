"""The length of the embedding: training makes the embeddings of its images longer.

The length of a face embedding also depends on the quality of the picture; the blind backbone shows
how much of the attack's result is due to that.
"""

import numpy as np

from fr_inference.membership import attack


def log_norms(embeddings: np.ndarray) -> np.ndarray:
    """Returns the logarithms of the norms 1, 2, 4 and infinity of embeddings [N, D]: [N, 4] float64."""
    sizes = np.abs(embeddings.astype(np.float64))
    norms = [np.linalg.norm(sizes, order, axis=1) for order in (1, 2, 4, np.inf)]
    return np.log(np.stack(norms, 1) + 1e-12)


def _examples(images, fit, seed):
    return attack.of_images(images, fit, log_norms(images.embeddings))


ATTACK = attack.Attack(
    name='norm',
    title='Length of the embedding',
    source='after LpLA (likelihood of the norms of embeddings), AsiaCCS 2025',
    access='answers',
    unit='image',
    needs='nothing',
    examples=_examples,
    settings=('partial', 'auxiliary', 'strangers'),
    signs=(1.0,),
)
