"""The similarity of pairs: each image embedded once, mirror images as the target's input says."""

import numpy as np
import pytest

from fr_inference.data.faces import from_arrays
from fr_inference.data.pairs import Pairs
from fr_inference.measuring import pair_scores
from fr_inference.models.target import InputSpec, Target

SIZE, COUNT, WIDTH = 4, 5, 6


@pytest.mark.parametrize(('mirror', 'labels'), [('none', 1), ('add', 2), ('concat', 2)])
def test_cosines_are_those_of_numpy(mirror, labels):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (COUNT, SIZE, SIZE, 3), np.uint8)
    kernel = draw.normal(size=(SIZE * SIZE * 3, WIDTH)).astype(np.float32)
    target = Target(
        name='linear',
        apply=lambda variables, x: x.reshape(len(x), -1) @ variables['params'],
        variables={'params': kernel},
        input=InputSpec(height=SIZE, width=SIZE, mean=(9.0,) * 3, std=(50.0,) * 3, mirror=mirror),
    )
    first, second = np.array([0, 1, 4, 0]), np.array([1, 2, 3, 4])
    pairs = Pairs(
        faces=from_arrays(images, range(COUNT)),
        first=first,
        second=second,
        same=np.array([True, False, True, False]),
        folds=np.zeros(4, int),
    )
    told = []
    found = pair_scores.cosines(
        target, pairs, batch_size=2, progress=lambda label, *_, **__: told.append(label)
    )
    plain, turned = (
        (one.reshape(COUNT, -1) - 9) / 50 @ kernel.astype(float)
        for one in (images.astype(float), images[:, :, ::-1].astype(float))
    )
    rows = {'none': plain, 'add': plain + turned, 'concat': np.hstack([plain, turned])}[mirror]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found, (rows[first] * rows[second]).sum(1), atol=1e-5)
    assert len(set(told)) == labels
