"""The position of the face in a generator's picture, and the crop that a face backbone expects.

Generators trained on FFHQ show the whole head, shoulders and background; backbones expect the face
cropped to ArcFace's five-point template. Both alignments are similarity transforms of five
landmarks, so one frame has a fixed place inside the other.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.data import align

FRAMINGS = ('face', 'ffhq')
"""'face': the picture is as the backbone expects it; 'ffhq': aligned as FFHQ."""

_WHOLE_HEADS_FROM = (
    256  # pixels per side: published generators of at least this size are trained on FFHQ
)

# Means of FFHQ's five landmarks, in shares of the side: (x, y) of left eye, right eye, nose tip, left
# and right mouth corner, as seen in the picture. Published as the 512 x 512 template of facexlib
# (`face_restoration_helper.py`, "standard 5 landmarks for FFHQ faces").
_FFHQ = (
    np.array(
        [
            (192.98138, 239.94708),
            (318.90277, 240.1936),
            (256.63416, 314.01935),
            (201.26117, 371.41043),
            (313.08905, 371.15118),
        ]
    )
    / 512
)


def of(framing: str | None, resolution: int) -> str:
    """Returns the framing of a generator: the given one, else the one that its size suggests.

    >>> of(None, 64), of(None, 256), of('face', 256)
    ('face', 'ffhq', 'face')
    """
    if framing is not None:
        return framing
    return 'ffhq' if resolution >= _WHOLE_HEADS_FROM else 'face'


def box() -> tuple[float, float, float]:
    """Returns where the backbone's square lies in a picture of FFHQ, in shares of the picture's side.

    Computed by the least-squares similarity from FFHQ's mean landmarks to `align.TEMPLATE`, without
    its rotation of 0.01 degrees.

    Returns:
      (left, top, side).
    """
    matrix = align.similarity(_FFHQ, align.TEMPLATE / align.SIZE)
    back = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))
    x, y, _ = back @ (0.5, 0.5, 1)
    side = float(np.hypot(*back[:2, 0]))
    return float(x) - side / 2, float(y) - side / 2, side


def cut(image: jax.Array, framing: str) -> jax.Array:
    """Returns the part of a generator's picture that a backbone expects, at the same scale.

    Bilinear, and differentiable.

    Args:
      image: [R, R, 3] float32.
      framing: in `FRAMINGS`; 'face' leaves the picture as it is.

    Returns:
      [S, S, 3] float32; S is R for 'face', and about 0.75 R for 'ffhq'.
    """
    if framing == 'face':
        return image
    left, top, side = box()
    resolution = image.shape[0]
    size = max(1, round(side * resolution))
    scale = size / (side * resolution)
    shift = jnp.asarray([-top, -left], jnp.float32) * (resolution * scale)
    return jax.image.scale_and_translate(
        image,
        (size, size, image.shape[-1]),
        (0, 1),
        jnp.full((2,), scale, jnp.float32),
        shift,
        method='linear',
        antialias=False,
    )
