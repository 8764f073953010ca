"""Fréchet distance against its closed form and SciPy, coverage against what is planted."""

import numpy as np
import pytest
import scipy.linalg

from fr_inference import errors
from fr_inference.metrics import realism


def test_frechet_distance_equals_the_definition():
    draw = np.random.default_rng(0)
    first = draw.normal(size=(300, 6)) @ draw.normal(size=(6, 6))
    second = 0.5 + draw.normal(size=(200, 6)) @ draw.normal(size=(6, 6))
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    means = first.mean(0) - second.mean(0)
    root = scipy.linalg.sqrtm(one @ two).real
    expected = means @ means + np.trace(one + two - 2 * root)
    assert realism.frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_set_and_its_copy():
    points = np.random.default_rng(1).normal(size=(100, 4))
    assert realism.frechet_distance(points, points) == pytest.approx(0, abs=1e-9)
    moved = realism.frechet_distance(points, points + np.array([3.0, 0, 0, 0]))
    assert moved == pytest.approx(9, rel=1e-9)


def test_frechet_distance_with_more_dimensions_than_points():
    draw = np.random.default_rng(2)
    value = realism.frechet_distance(draw.normal(size=(10, 64)), draw.normal(size=(12, 64)))
    assert np.isfinite(value)
    assert value > 0


def test_coverage():
    draw = np.random.default_rng(3)
    real = draw.normal(size=(500, 2))
    same = realism.coverage(real, draw.normal(size=(500, 2)))
    assert min(same.values()) > 0.85
    far = realism.coverage(real, 100 + draw.normal(size=(500, 2)))
    assert max(far.values()) == 0
    # One point again and again: realistic, and nothing of the variety.
    narrow = realism.coverage(real, 0.01 * draw.normal(size=(500, 2)))
    assert narrow['precision'] == 1
    assert narrow['recall'] < 0.2
    assert narrow['coverage'] < 0.2


def test_bad_input():
    with pytest.raises(errors.InputError) as caught:
        realism.frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    assert (caught.value.field, caught.value.found) == ('embeddings', '[1, 3] and [5, 3]')
    for real, fake, field in ((4, 9, 'real'), (9, 5, 'fake')):
        with pytest.raises(errors.InputError) as caught:
            realism.coverage(np.zeros((real, 3)), np.zeros((fake, 3)))
        assert caught.value.field == field
