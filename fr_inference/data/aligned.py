"""Photographs as faces: each is cropped to the ArcFace template when it is read."""

import dataclasses
import functools

import numpy as np

from fr_inference import errors
from fr_inference.data import align, detector
from fr_inference.data.detector import Detector
from fr_inference.data.faces import Faces
from fr_inference.formats.images import BadImageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Located:
    """The main face of a picture.

    Attributes:
      landmarks: [5, 2] points (x, y) in pixels, in the order of `align.TEMPLATE`.
      faces: how many faces were found in all.
    """

    landmarks: np.ndarray
    faces: int


def locate(image: np.ndarray, find: Detector, where: str) -> Located:
    """Finds the main face of a picture; with several faces, the one that `detector.main_face` selects.

    Args:
      image: [h, w, 3] uint8.
      find: the detector.
      where: the field of errors.

    Raises:
      BadImageError: when there is no face.
    """
    boxes, landmarks = find(image)
    if not len(boxes):
        raise BadImageError(where, 'no face that the detector finds', 'a photograph of a face')
    chosen = detector.main_face(boxes, *image.shape[:2])
    # Other processors round the last digits differently.
    return Located(landmarks=np.round(landmarks[chosen], 2), faces=len(boxes))


def crop(image: np.ndarray, located: Located, where: str) -> np.ndarray:
    """Returns [112, 112, 3] uint8, the face of a picture on the template.

    Raises:
      BadImageError: when the points cannot be those of a face.
    """
    try:
        return align.align(image, located.landmarks)
    except errors.InputError as error:
        raise BadImageError(where, f'{error.field}: {error.found}', error.expected) from error


def aligned(faces: Faces, find: Detector) -> Faces:
    """Returns the same faces, cropped to the template when they are read.

    Files and digests stay those of the photographs. Each read detects the face again.

    Args:
      faces: photographs.
      find: the detector.
    """
    return dataclasses.replace(
        faces,
        read=functools.partial(_read, faces.read, faces.paths, find),
        changed=functools.partial(_changed, f'aligned by {find.name} {find.sha256}'),
    )


def _read(read, paths, find, index):
    image, where = read(index), paths[index]
    return crop(image, locate(image, find, where), where)


def _changed(text, _index):
    return text
