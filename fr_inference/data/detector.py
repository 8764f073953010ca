"""Finds faces and five landmarks in photographs, with a detector that needs no download at run time."""

import functools
import hashlib
import importlib.util
import io
import pathlib
from typing import Protocol

import numpy as np

from fr_inference import errors
from fr_inference.data import cascade

_PACKAGE = 'mtcnn'
# The weights of mtcnn 1.0.0. They are pickles, so only files with known digests are read.
_WEIGHTS = {
    'pnet.lz4': 'ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5',
    'rnet.lz4': 'cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee',
    'onet.lz4': '94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3',
}
_INSTALL = "pip install 'fr_inference[align]'"


class Detector(Protocol):
    """Finds the faces in a picture; can be sent to other processes if it can be pickled.

    Attributes:
      name: in records.
      sha256: the digest of its weights, on which the landmarks depend besides the picture.
    """

    name: str
    sha256: str

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the faces as `cascade.detect` does: [F, 5] boxes, [F, 5, 2] landmarks."""
        ...


class Mtcnn:
    """The detector that comes with the extra `align`.

    The weights are loaded at the first picture and not sent to other processes.
    """

    name = 'mtcnn'
    sha256 = hashlib.sha256(''.join(_WEIGHTS.values()).encode()).hexdigest()

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the faces of [h, w, 3] uint8 RGB, as `cascade.detect`."""
        return cascade.detect(_networks(), image)


def open_detector(field: str = 'align') -> Detector:
    """Returns the detector of the extra `align`.

    Args:
      field: of errors.

    Raises:
      InputError: when the extra is not installed, or its weights are not the known ones.
    """
    try:
        _networks()
    except errors.InputError as error:
        raise errors.InputError(field, error.found, error.expected, error.hint) from error
    return Mtcnn()


@functools.cache
def _networks() -> cascade.Networks:
    import joblib

    # Importing the package would import TensorFlow.
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not importlib.util.find_spec('lz4'):
        raise errors.InputError('align', 'no detector of faces installed', hint=_INSTALL)
    import lz4.frame

    weights = []
    for name, known in _WEIGHTS.items():
        path = pathlib.Path(next(iter(found.submodule_search_locations or ['']))) / 'assets'
        path = path / 'weights' / name
        content = path.read_bytes() if path.is_file() else b''
        if hashlib.sha256(content).hexdigest() != known:
            raise errors.InputError(
                'align', f'{path} with other content', 'that of mtcnn 1.0.0', _INSTALL
            )
        # joblib leaves readers of compressed files open, about which Python 3.13 warns.
        weights.append(joblib.load(io.BytesIO(lz4.frame.decompress(content))))
    proposal, refinement, output = weights
    return cascade.Networks(proposal=proposal, refinement=refinement, output=output)


def main_face(boxes: np.ndarray, height: int, width: int) -> int:
    """Returns the position of the main face of a picture: large, near the middle, certain.

    Args:
      boxes: [F, 5] of a `Detector`, F at least 1.
      height: of the picture, pixels.
      width: of the picture, pixels.

    >>> boxes = np.array([[0, 0, 20, 20, 0.99], [40, 30, 80, 80, 0.98], [0, 60, 45, 100, 0.97]])
    >>> main_face(boxes, 100, 120)
    1
    """
    side = np.sqrt(np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1))
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    away = np.hypot(*(middle - (width / 2, height / 2)).T) / np.hypot(width, height)
    return int(np.argmax(side * (1 - np.minimum(away, 1)) * boxes[:, 4]))
