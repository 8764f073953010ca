"""Aligns a face by five landmarks to the 112 x 112 template that ArcFace networks are trained on.

The template is insightface's; the transform is the least-squares similarity of Umeyama,
"Least-squares estimation of transformation parameters between two point patterns", TPAMI 1991.
"""

import numpy as np
from PIL import Image

from fr_inference import errors

SIZE = 112
_MOST_SCALED = 100

# (x, y) in pixels: left eye, right eye, nose tip, left and right mouth corner, as seen in the image.
TEMPLATE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns the [2, 3] matrix A of the similarity that minimises sum |A (x, y, 1) - target|^2.

    Args:
      source: [K, 2] points (x, y), pixels.
      target: [K, 2] points (x, y), pixels.

    Raises:
      InputError: when the points fall together.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    mean_source, mean_target = source.mean(0), target.mean(0)
    x, y = source - mean_source, target - mean_target
    variance = (x**2).sum()
    if variance <= 1e-9:
        raise errors.InputError('landmarks', 'points that all coincide', 'five different points')
    u, scales, vt = np.linalg.svd(y.T @ x)
    # Never a reflection: turn the weaker axis round.
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (scales * signs).sum() / variance
    shift = mean_target - scale * rotation @ mean_source
    return np.column_stack([scale * rotation, shift])


def align(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Warps a face to the template, bilinear, black outside the picture.

    A picture of more than twice the size is averaged first: bilinear reading would skip pixels.

    Args:
      image: [h, w, 3] uint8.
      landmarks: [5, 2] points (x, y) in pixels, in the template's order.

    Returns:
      [112, 112, 3] uint8.
    """
    if np.shape(landmarks) != (5, 2) or not np.isfinite(landmarks).all():
        raise errors.InputError(
            'landmarks', f'shape {np.shape(landmarks)}', 'five finite points (x, y)'
        )
    side = max(image.shape[:2])
    if np.min(landmarks) < -side or np.max(landmarks) > 2 * side:
        raise errors.InputError(
            'landmarks',
            f'numbers from {np.min(landmarks):.6g} to {np.max(landmarks):.6g}',
            f'points near this picture of {image.shape[1]} x {image.shape[0]} pixels',
        )
    similar = similarity(landmarks, TEMPLATE)
    scale = float(np.hypot(*similar[:, 0]))
    if not 1 / _MOST_SCALED < scale < _MOST_SCALED:
        raise errors.InputError(
            'landmarks', f'points that scale the picture by {scale:.3g}', 'the points of a face'
        )
    picture = Image.fromarray(image)
    factor = int(1 / scale)
    if factor > 1:
        picture = picture.reduce(factor)
        similar = similarity((np.asarray(landmarks) + 0.5) / factor - 0.5, TEMPLATE)
    matrix = np.vstack([similar, (0, 0, 1)])
    inverse = np.linalg.inv(matrix)
    # Pillow samples at pixel centres (+0.5); the template counts centres from 0.
    inverse[:2, 2] += 0.5 - inverse[:2, :2] @ (0.5, 0.5)
    warped = picture.transform(
        (SIZE, SIZE),
        Image.Transform.AFFINE,
        tuple(inverse[:2].ravel()),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(warped)
