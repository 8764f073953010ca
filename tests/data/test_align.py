"""Alignment by five landmarks: the transform in closed form, the crops against LFW's."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fr_inference.data import align
from fr_inference.errors import InputError
from fr_inference.formats import images


def matrix(scale, angle, shift):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([scale * turn, shift])


def moved(points, transform):
    return points @ transform[:, :2].T + transform[:, 2]


@given(
    scale=st.floats(0.1, 10),
    angle=st.floats(-3.1, 3.1),
    x=st.floats(-100, 100),
    y=st.floats(-100, 100),
)
def test_recovers_an_exact_similarity(scale, angle, x, y):
    expected = matrix(scale, angle, (x, y))
    found = align.similarity(align.TEMPLATE, moved(align.TEMPLATE, expected))
    np.testing.assert_allclose(found, expected, atol=1e-7)


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_least_squares_against_the_linear_closed_form(seed):
    """With A = [[a, -b, c], [b, a, d]] the optimum solves a linear system in (a, b, c, d)."""
    generator = np.random.default_rng(seed)
    source = generator.normal(size=(5, 2)) * 20 + 60
    target = moved(source, matrix(1.3, 0.4, (5, -3))) + generator.normal(size=(5, 2))
    x, y = source.T
    one, zero = np.ones(5), np.zeros(5)
    system = np.concatenate(
        [np.column_stack([x, -y, one, zero]), np.column_stack([y, x, zero, one])]
    )
    a, b, c, d = np.linalg.lstsq(system, np.concatenate(target.T), rcond=None)[0]
    np.testing.assert_allclose(
        align.similarity(source, target), [[a, -b, c], [b, a, d]], rtol=1e-6, atol=1e-6
    )


def test_never_a_reflection():
    mirrored = align.TEMPLATE * (-1, 1) + np.array((112, 0))
    assert np.linalg.det(align.similarity(align.TEMPLATE, mirrored)[:, :2]) > 0


def test_landmarks_on_the_template_leave_the_image_alone():
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    # Pillow rounds down: one grey level.
    np.testing.assert_allclose(align.align(image, align.TEMPLATE).astype(int), image, atol=1)


def test_shifted_landmarks_shift_the_image():
    image = np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)
    found = align.align(image, align.TEMPLATE + np.array((20, 10)))
    np.testing.assert_allclose(found.astype(int), image[10:122, 20:132], atol=1)


def test_black_outside_the_picture():
    image = np.full((112, 112, 3), 200, np.uint8)
    found = align.align(image, align.TEMPLATE - np.array((30, 0)))
    assert (found[:, :29] == 0).all()
    assert (found[:, 31:] == 200).all()


def test_a_large_picture_is_averaged_not_skipped_through():
    """Stripes one pixel wide become grey; points between them would be black or white."""
    image = np.zeros((900, 900, 3), np.uint8)
    image[:, ::2] = 254
    points = moved(align.TEMPLATE, matrix(6.5, 0, (40, 60)))
    found = align.align(image, points)
    assert np.abs(found[5:-5, 5:-5].astype(int) - 127).max() <= 32


def test_landmarks_land_on_the_template_from_any_size():
    """The same picture, eight times as large, gives the same crop."""
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    small = Image.fromarray(image).resize((160, 160), Image.Resampling.BICUBIC)
    large = small.resize((1280, 1280), Image.Resampling.BICUBIC)
    points = align.TEMPLATE + 20
    crops = [
        align.align(np.asarray(picture), (points + 0.5) * factor - 0.5).astype(int)
        for picture, factor in ((small, 1), (large, 8))
    ]
    assert np.abs(crops[0] - crops[1]).mean() < 2


def test_landmarks_land_on_the_template():
    """Bright dots at the landmarks of a turned, scaled face come out at the template's points."""
    points = moved(align.TEMPLATE, matrix(1.8, 0.3, (20, 5)))
    rows, columns = np.mgrid[:260, :260]
    dots = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18) for x, y in points]
    image = np.repeat((255 * np.max(dots, 0)).astype(np.uint8)[..., None], 3, 2)
    found = align.align(image, points)[..., 0].astype(float)
    rows, columns = np.mgrid[:112, :112]
    for x, y in align.TEMPLATE:
        near = np.where((columns - x) ** 2 + (rows - y) ** 2 < 49, found, 0)
        centre = (near * columns).sum() / near.sum(), (near * rows).sum() / near.sum()
        np.testing.assert_allclose(centre, (x, y), atol=0.15)


@pytest.mark.parametrize(
    ('landmarks', 'found'),
    [
        (np.zeros((5, 2)), 'points that all coincide'),
        (np.zeros((4, 2)), 'shape (4, 2)'),
        (np.full((5, 2), np.nan), 'shape (5, 2)'),
        (align.TEMPLATE + 1e200, 'numbers from 1e+200 to 1e+200'),
        (align.TEMPLATE * 1e-3, 'points that scale the picture by 1e+03'),
        (align.TEMPLATE[[1, 1, 1, 1, 1]], 'points that all coincide'),
    ],
)
def test_bad_landmarks(landmarks, found):
    with pytest.raises(InputError) as caught:
        align.align(np.zeros((50, 50, 3), np.uint8), landmarks)
    assert (caught.value.field, caught.value.found) == ('landmarks', found)


def test_crops_agree_with_lfw112(shared):
    """Each aligned photograph is the published crop of that photograph, and of no other."""
    root = shared / 'data' / 'lfw_raw'
    with open(root / 'landmarks.csv', newline='') as file:
        rows = list(csv.reader(file))[1:]
    ours, theirs = [], []
    for path, *numbers in rows:
        crop = shared / 'data' / 'lfw112' / path
        if crop.exists():  # all but one
            points = np.array(numbers, float).reshape(5, 2)
            ours.append(align.align(images.read_image(root / path), points))
            theirs.append(images.read_image(crop))
    assert len(ours) == 23

    def correlations(right, down):
        # The middle, where neither picture ends.
        moved = np.roll(np.stack(ours), (down, right), (1, 2))
        flat = [both[:, 16:96, 16:96].reshape(len(ours), -1) for both in (moved, np.stack(theirs))]
        return np.corrcoef(*flat)[: len(ours), len(ours) :]

    found = correlations(0, 0)
    assert np.diag(found).min() > 0.98, np.diag(found)
    assert (found.argmax(1) == np.arange(len(ours))).all()
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert np.diag(correlations(*shift)).mean() < np.diag(found).mean()
