"""People held out of training, on whom the trained backbone is verified."""

import numpy as np

from fr_inference import errors
from fr_inference.data import overlap, splits
from fr_inference.data.faces import Faces
from fr_inference.measuring import measurements
from fr_inference.metrics import verification
from fr_inference.models.target import Target
from fr_inference.runs import Progress


def split(
    faces: Faces, share: float, *, seed: int, skip_bad: bool = False
) -> tuple[Faces, Faces | None]:
    """Returns the faces of the training people, and of the held-out people (None without any).

    Args:
      faces: of all people.
      share: of the people to hold out; 0 for none.
      seed: of the split.
      skip_bad: leave unreadable images out of the held-out ones.

    Raises:
      InputError: of 'holdout', for too few held-out people or images for verification.
    """
    if not share:
        return faces, None
    both = splits.split_identities(faces, {'train': 1 - share, 'held_out': share}, seed=seed)
    held_out = overlap.readable(both['held_out'], skip_bad=skip_bad)
    people = len(set(held_out.identities))
    if not 1 < people < len(held_out):
        raise errors.InputError(
            'holdout',
            f'{len(held_out)} images of {people} people',
            'two people or more, and two images of one of them',
            'give a larger share, or 0 for none',
        )
    return both['train'], held_out


def verify(
    target: Target, held_out: Faces, *, seed: int, progress: Progress | None = None
) -> verification.Verification:
    """Returns the accuracy on pairs of held-out images.

    Args:
      target: the trained backbone.
      held_out: of `split`.
      seed: of the pairs.
      progress: called as progress(label, done, total).
    """
    measured = measurements.measure(target, held_out, progress=progress)
    scores, same = verification.sample_pairs(measured.embeddings, measured.identities, seed=seed)
    return verification.verify(scores, same, np.zeros(len(scores), int))
