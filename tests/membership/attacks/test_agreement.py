"""Moved pictures, and how little the answer changes: one picture after the other, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from fr_inference.measuring import distances, measurements
from fr_inference.membership import attacks
from fr_inference.membership.attacks import agreement
from tests.membership.attacks import planted
from tests.membership.backbones import Small, noise_faces, target_of

MOVES = [(1, 0), (-1, 0), (0, 1), (0, -1)]


def moved_by_hand(image):
    """Mirror image, shifts by 4 % down, up, right and left, noise, brighter."""
    height, width, _ = image.shape
    by = max(1, round(0.04 * height)), max(1, round(0.04 * width))
    shifted = [
        ndimage.shift(image, (down * by[0], right * by[1], 0), order=0, mode='nearest')
        for down, right in MOVES
    ]
    noise = np.asarray(jax.random.normal(jax.random.key(0), (2, *image.shape), jnp.float32))
    noisy = [np.clip(image + 6 * one, 0, 255) for one in noise]
    return [image[:, ::-1], *shifted, *noisy, np.minimum(1.1 * image, 255)]


def test_moved_pictures():
    image = np.random.default_rng(0).uniform(0, 255, (75, 30, 3)).astype(np.float32)
    found = agreement._moved(jnp.asarray(image))
    expected = np.stack(moved_by_hand(image))
    assert found.shape == (agreement.MOVED, 75, 30, 3)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.std(np.asarray(found[5]) - image) == pytest.approx(6, rel=0.1)


@pytest.fixture(scope='module')
def measured():
    """Three images of noise in a small backbone, all at once."""
    target, faces = target_of(Small()), noise_faces(3)
    found = measurements.measure(target, faces, features=(agreement.FEATURE,), batch_size=4)
    return target, faces, found


def test_cosines_and_changes_one_image_after_the_other(measured):
    target, faces, found = measured
    for row in range(3):
        image = np.asarray(faces.read(row), np.float32)

        def look(picture):
            normalised = target.input.normalize(jnp.asarray(picture, jnp.float32))
            return map(np.asarray, distances.of_image(target.apply, target.variables, normalised))

        own_distances, own = look(image)
        others = [tuple(look(picture)) for picture in moved_by_hand(image)]
        cosines = np.sort(
            [own @ other / np.linalg.norm(own) / np.linalg.norm(other) for _, other in others]
        )
        changes = np.log([there for there, _ in others]) - np.log(own_distances)
        expected = [*cosines, cosines.mean(), cosines.std(), *changes.mean(0), *changes.std(0)]
        np.testing.assert_allclose(found.extra['agreement'][row], expected, atol=2e-4)


def test_answers_and_distances_apart():
    images = planted.drawn(0)
    fit = planted.halves(images)
    values = images.extra['agreement']
    answers, file = (attacks.get(name) for name in ('agreement', 'agreement-distances'))
    np.testing.assert_array_equal(answers.examples(images, fit, 0).features, values[:, :10])
    np.testing.assert_array_equal(file.examples(images, fit, 0).features, values[:, 10:])
    assert (answers.access, file.access) == ('answers', 'file')
    assert file.examples(planted.without_layers(images), fit, 0) is None


@pytest.mark.parametrize('name', ['agreement', 'agreement-distances'])
class TestFinds:
    @pytest.mark.parametrize('setting', ['partial', 'auxiliary'])
    def test_what_leaks(self, name, setting):
        planted.assert_found(name, setting, name)

    @pytest.mark.parametrize('setting', ['partial', 'auxiliary'])
    def test_nothing_without_a_leak(self, name, setting):
        planted.assert_nothing(name, setting, name)

    def test_keeps_to_its_half(self, name):
        planted.assert_keeps_to_its_half(name)
