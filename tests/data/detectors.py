"""Detectors for tests, which find what a test says, and the real one where its extra is installed."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from fr_inference.data import align, detector

LANDMARKS = np.round(align.TEMPLATE * 0.5 + 20, 2)  # as they are kept


@dataclasses.dataclass(frozen=True)
class Planted:
    """Finds `faces` boxes in every picture that is not black, the largest one first."""

    faces: int = 1
    name: str = 'planted'
    sha256: str = '00'

    def __call__(self, image):
        """Returns boxes and landmarks; those of the first box are LANDMARKS."""
        count = self.faces if image.any() else 0
        height, width = image.shape[:2]
        boxes = np.array(
            [(0, 0, width, height, 0.9), *[(0, 0, width / 4, height / 4, 1.0)] * max(0, count - 1)]
        )
        landmarks = np.stack([LANDMARKS + shift for shift in range(max(1, count))])
        return boxes[:count], landmarks[:count]


def real():
    """Returns the detector of the extra; skips where that is not installed."""
    if importlib.util.find_spec('mtcnn') is None:
        pytest.skip('the extra align is not installed (mtcnn)')
    return detector.open_detector()
