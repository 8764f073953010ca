"""Training images: decoded once if they fit in memory, otherwise read again at every step."""

from collections.abc import Callable, Iterator

import numpy as np

from fr_inference import checkpointing, errors, runs
from fr_inference.data import loader
from fr_inference.data.faces import Faces

_IN_MEMORY_BYTES = 1 << 30


def load(
    faces: Faces, height: int, width: int, skip_bad: bool = False
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Prepares images for random access.

    Args:
      faces: the source.
      height: of the images, pixels.
      width: of the images, pixels.
      skip_bad: leave unreadable images out.

    Returns:
      (function of positions [B] among the kept images -> images [B, height, width, 3] uint8; [N] the
      positions of the kept images in `faces`).

    Raises:
      Stopped: when a stop was requested.
      InputError: at an unreadable image, unless `skip_bad`; when none is readable; for `skip_bad`
        with a set that does not fit in 1 GiB.
    """
    if len(faces) * height * width * 3 > _IN_MEMORY_BYTES:
        if skip_bad:
            raise errors.InputError(
                'skip_bad',
                f'a set of {len(faces)} images, too large for memory',
                'skip_bad=False for such a set',
            )

        def read(positions):
            stream: Iterator[loader.Batch] = loader.batches(
                faces, height=height, width=width, batch_size=len(positions), indices=positions
            )
            return next(stream).images

        return read, np.arange(len(faces))
    blocks, index = [], []
    for batch in loader.batches(
        faces, height=height, width=width, batch_size=64, skip_bad=skip_bad
    ):
        runs.stop_point()
        blocks.append(batch.images[batch.mask])
        index.append(batch.index[batch.mask])
    if not blocks:
        raise errors.InputError(faces.name, f'no readable image among {len(faces)}')
    pixels = np.concatenate(blocks)
    return lambda positions: pixels[positions], np.concatenate(index)


def digest(faces: Faces) -> str:
    """Returns the SHA-256 (hex) of paths, identities and changes, which identifies a run's images."""
    changes = sorted({faces.changed(index) for index in range(len(faces))} - {''})
    names = '\n'.join([*faces.paths, *faces.identities, *changes]).encode(errors='surrogatepass')
    return checkpointing.digest(np.frombuffer(names, np.uint8))
