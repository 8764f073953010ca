"""Checks that faces are where the ArcFace template has them, with a drawn pattern and no detector.

In a face the eyes, nostrils and mouth are darker than their surroundings; the cheeks and the bridge
of the nose are brighter. The score of an image is the correlation of that pattern with the image's
grey levels, after removing local brightness and contrast. Measurements:
docs/results/notebook/checkpoints.md.
"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from fr_inference.data import align
from fr_inference.data.faces import BadImageError, Faces, each
from fr_inference.formats.images import fit_image
from fr_inference.models.target import InputSpec

_LOG = logging.getLogger(__name__)
LEAST = 0.4  # mean score of images that count as aligned
_SAMPLE = 64  # images checked on each side
_GRID = 28  # the score sees images of 28 x 28 averages
_CELL = align.SIZE // _GRID
# (x, y) on the template, horizontal and vertical spread, all in pixels; how much darker (-) or
# brighter (+).
_PATTERN = (
    *((38, 52, 7, 4, -1.0), (74, 52, 7, 4, -1.0)),  # eyes
    *((56, 77, 8, 3.5, -0.6), (56, 92, 12, 3.5, -0.7)),  # nostrils, mouth
    *((36, 70, 6, 6, 0.7), (76, 70, 6, 6, 0.7)),  # cheeks
    *((56, 60, 4, 9, 0.5), (56, 34, 16, 7, 0.35)),  # bridge of the nose, forehead
)
# Standard deviations in cells: finest detail, surroundings, region for the contrast.
_FINE, _AROUND, _CONTRAST = 0.5, 3.0, 4.0
_FAINT = 4.0  # contrast in grey levels below which there is none
_ROWS, _COLUMNS = np.mgrid[:_GRID, :_GRID] * _CELL + (_CELL - 1) / 2
_FACE = ((_COLUMNS - 56) / 38) ** 2 + ((_ROWS - 64) / 44) ** 2 < 1


def scores(images: np.ndarray) -> np.ndarray:
    """Returns the score of each image, [N] float64 from -1 to 1; 0 for an image without contrast.

    Args:
      images: [N, 112, 112, 3] uint8.
    """
    grey = images.astype(float) @ (0.299, 0.587, 0.114)
    cells = grey.reshape(-1, _GRID, _CELL, _GRID, _CELL).mean((2, 4))
    detail = _blurred(cells, _FINE) - _blurred(cells, _AROUND)
    detail /= np.sqrt(_blurred(detail**2, _CONTRAST)) + _FAINT
    seen = detail[:, _FACE]
    seen -= seen.mean(1, keepdims=True)
    wanted = _pattern()[_FACE]
    wanted -= wanted.mean()
    length = np.linalg.norm(seen, axis=1) * np.linalg.norm(wanted)
    return seen @ wanted / np.maximum(length, 1e-9)


def _pattern():
    return sum(
        by * np.exp(-(((_COLUMNS - x) / right) ** 2 + ((_ROWS - y) / down) ** 2) / 2)
        for x, y, right, down, by in _PATTERN
    )


def _blurred(cells, deviation):
    """A Gaussian blur along both axes of [N, 28, 28], renormalised at the edges."""
    apart = np.arange(_GRID)[:, None] - np.arange(_GRID)
    weights = np.exp(-((apart / deviation) ** 2) / 2)
    weights /= weights.sum(1, keepdims=True)
    return weights @ cells @ weights.T


def check(sides: Mapping[str, Faces], input: InputSpec) -> tuple[dict[str, Any], list[str]]:
    """Checks up to 64 images of each side, and warns about sides that do not look aligned.

    Leaves out unreadable images, drawn faces (which have their own placement), and all images for a
    network that does not use the template (112 x 112, or its middle 96 columns).

    Args:
      sides: name -> faces.
      input: of the network.

    Returns:
      (the record for the audit, empty if nothing was checked; one sentence for each warning).
    """
    scored = {}
    if input.height == align.SIZE and input.width in (align.SIZE, 96):
        samples = {name: _sample(faces, input.height, input.width) for name, faces in sides.items()}
        scored = {name: float(scores(seen).mean()) for name, seen in samples.items() if len(seen)}
    aligned = {name: how for name, faces in sides.items() if (how := faces.changed(0))}
    record: dict[str, Any] = {'aligned_here': aligned} if aligned else {}
    if scored:
        rounded = {name: round(score, 3) for name, score in scored.items()}
        record |= {'scores': rounded, 'least': LEAST}
    said = [
        f'The images of {name} do not look aligned: eyes, nose and mouth at their places on the ArcFace '
        f'template score {score:.2f}, aligned faces {LEAST} or more. A backbone that was trained '
        'on aligned faces never saw such images, and its results on them prove nothing: align '
        'photographs (the option align, or the program align_faces). For a backbone with another '
        'template they may be right.'
        for name, score in scored.items()
        if score < LEAST
    ]
    if aligned:
        said.append(
            f'The faces of {", ".join(aligned)} were found in photographs and cropped by a '
            'detector. If a picture shows several faces, the main one was used; align_faces lists '
            'such pictures.'
        )
    for sentence in said:
        _LOG.warning('%s', sentence)
    return record, said


def _sample(faces, height, width):
    """Returns images spread evenly over the faces, and so over people if they are sorted."""
    spread = np.unique(np.linspace(0, len(faces) - 1, _SAMPLE).astype(int)).tolist()
    indices = [index for index in spread if not faces.paths[index].startswith('procedural:')]

    def padded(index):
        try:
            image = fit_image(faces.read(index), height, width)
        except BadImageError:
            return None
        margin = (align.SIZE - width) // 2
        return np.pad(image, ((0, 0), (margin, margin), (0, 0)), mode='edge')

    found = each(faces, indices, padded, threads=1)
    return np.array([image for image in found if image is not None])
