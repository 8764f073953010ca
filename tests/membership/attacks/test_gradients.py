"""Norms of the gradient by each array of weights, by finite differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.measuring import measurements
from fr_inference.membership import attacks
from fr_inference.membership.attacks import gradients
from fr_inference.models.target import InputSpec, Target
from tests.membership.attacks import planted
from tests.membership.backbones import noise_faces

SIZE, STEP = 3, 1e-5


def embedding(params, image, array=np):
    """Of a normalised image [H, W, 3], in NumPy or JAX."""
    return array.tanh(image.reshape(-1) @ params['inner'] + params['bias']) @ params['outer']


@pytest.fixture(scope='module')
def measured():
    """Three images in a network of three arrays of weights."""
    generator = np.random.default_rng(0)
    shapes = {'bias': (4,), 'inner': (SIZE * SIZE * 3, 4), 'outer': (4, 2)}
    params = {
        name: (0.5 * generator.normal(size=shape)).astype(np.float32)
        for name, shape in shapes.items()
    }

    def apply(variables, images):
        return jax.vmap(lambda image: embedding(variables['params'], image, jnp))(images)

    target = Target(
        name='tanh',
        apply=apply,
        variables={'params': params},
        input=InputSpec(height=SIZE, width=SIZE),
    )
    faces = noise_faces(3, size=SIZE)
    found = measurements.measure(target, faces, features=(gradients.FEATURE,), batch_size=4)
    return target, faces, found.extra['gradients']


def loss(params, image):
    first, second = embedding(params, image), embedding(params, image[:, ::-1])
    return 1 - first @ second / np.linalg.norm(first) / np.linalg.norm(second)


def test_one_image_after_the_other(measured):
    target, faces, found = measured
    params = {
        name: np.asarray(part, np.float64) for name, part in target.variables['params'].items()
    }
    for row in range(3):
        image = np.asarray(target.input.normalize(jnp.asarray(faces.read(row))), np.float64)
        expected = []
        for name, part in sorted(params.items()):
            slopes = []
            for place in np.ndindex(part.shape):
                step = np.zeros_like(part)
                step[place] = STEP
                up, down = ({**params, name: part + sign * step} for sign in (1, -1))
                slopes.append((loss(up, image) - loss(down, image)) / (2 * STEP))
            expected.append(np.log(np.linalg.norm(slopes)))
        np.testing.assert_allclose(found[row], expected, atol=2e-3)


def test_are_the_features():
    images = planted.drawn(0)
    found = attacks.get('gradients').examples(images, planted.halves(images), 0)
    np.testing.assert_array_equal(found.features, images.extra['gradients'])


class TestFinds:
    @pytest.mark.parametrize('setting', ['partial', 'auxiliary'])
    def test_what_leaks(self, setting):
        planted.assert_found('gradients', setting, 'gradients')

    @pytest.mark.parametrize('setting', ['partial', 'auxiliary'])
    def test_nothing_without_a_leak(self, setting):
        planted.assert_nothing('gradients', setting, 'gradients')

    def test_keeps_to_its_half(self):
        planted.assert_keeps_to_its_half('gradients')
