"""MTCNN in NumPy: its layers against their definitions, its landmarks on photographs of known ones."""

import csv
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import signal

from fr_inference.data import cascade
from fr_inference.formats import images
from tests.data import detectors


@pytest.mark.parametrize('side', [2, 3])
def test_a_convolution_is_a_correlation(side):
    draw = np.random.default_rng(side)
    x, kernel = draw.normal(size=(2, 7, 6, 3)), draw.normal(size=(side, side, 3, 4))
    bias, slopes = draw.normal(size=4), draw.normal(size=(1, 1, 4))
    expected = [
        [signal.correlate(image, kernel[..., to], mode='valid')[..., 0] for to in range(4)]
        for image in x
    ]
    expected = np.moveaxis(np.array(expected), 1, -1) + bias
    np.testing.assert_allclose(cascade._layer(x, (kernel, bias)), expected)
    rectified = np.where(expected < 0, expected * slopes, expected)
    np.testing.assert_allclose(cascade._layer(x, (kernel, bias, slopes)), rectified)


@pytest.mark.parametrize(
    ('length', 'side', 'expected'), [(46, 3, 23), (21, 3, 10), (9, 3, 4), (8, 2, 4)]
)
def test_the_largest_of_each_window(length, side, expected):
    """The lengths that the paper's networks have; a window may end outside."""
    x = -np.random.default_rng(0).random((1, length, length + 1, 2))
    found = cascade._pool(x, side)
    assert found.shape[1] == expected
    for row, column in itertools.product(range(found.shape[1]), range(found.shape[2])):
        window = x[:, 2 * row : 2 * row + side, 2 * column : 2 * column + side]
        np.testing.assert_array_equal(found[:, row, column], window.max((1, 2)))


def overlap(a, b):
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(0, width) * max(0, height)
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 12))
def test_boxes_that_no_likelier_one_covers(seed, count):
    draw = np.random.default_rng(seed)
    corner = draw.uniform(0, 20, (count, 2))
    boxes = np.column_stack([corner, corner + draw.uniform(5, 20, (count, 2)), draw.random(count)])
    kept = cascade._apart(boxes, 0.5).tolist()
    assert (np.diff(boxes[kept, 4]) <= 0).all()
    for one in range(count):
        covered = any(
            overlap(boxes[one], boxes[k]) > 0.5 for k in kept if boxes[k, 4] > boxes[one, 4]
        )
        assert covered == (one not in kept)


def known(shared):
    """Yields (image, [5, 2] known landmarks) of each photograph."""
    root = shared / 'data' / 'lfw_raw'
    with open(root / 'landmarks.csv', newline='') as file:
        for path, *numbers in list(csv.reader(file))[1:]:
            yield images.read_image(root / path), np.array(numbers, float).reshape(5, 2)


def error(found, points):
    """Mean distance as a share of that between the eyes, for the face that is nearest."""
    away = np.linalg.norm(found - points, axis=2).mean(1) if len(found) else np.array([np.inf])
    return away.min() / np.linalg.norm(points[1] - points[0])


def test_landmarks_of_photographs(shared):
    """The known ones are multiples of 0.6 pixels, 2.5 % of the distance between the eyes."""
    find = detectors.real()
    errors = [error(find(image)[1], points) for image, points in known(shared)]
    assert len(errors) == 24
    assert np.mean(errors) < 0.035, errors
    assert max(errors) < 0.08, errors


def test_a_large_photograph_has_the_same_landmarks(shared):
    """Ten times the size is more than the networks look at."""
    find = detectors.real()
    image, points = next(known(shared))
    large = np.asarray(Image.fromarray(image).resize((1500, 1500), Image.Resampling.BICUBIC))
    boxes, found = find(large)
    assert error(found, (points + 0.5) * 10 - 0.5) < 0.05
    assert 400 < (boxes[0, 2:4] - boxes[0, :2]).max() < 1000


def test_a_mirror_image_has_mirrored_landmarks(shared):
    find = detectors.real()
    image, points = next(known(shared))
    mirrored = (points * (-1, 1) + (149, 0))[[1, 0, 2, 4, 3]]
    assert error(find(image[:, ::-1])[1], mirrored) < 0.06


@pytest.mark.parametrize('shape', [(1, 1), (11, 300), (64, 48), (2, 200)])
def test_nobody(shape):
    boxes, landmarks = detectors.real()(np.full((*shape, 3), 127, np.uint8))
    assert boxes.shape == (0, 5)
    assert landmarks.shape == (0, 5, 2)
