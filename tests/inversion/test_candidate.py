"""The gradient of a candidate is that of its objective, by two independent ways."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.inversion import candidate, goals, guidance, prior, scene
from tests.inversion import worlds

PICTURES = 3
WHITE = 0.3 * jax.random.normal(jax.random.key(5), (8,))
KEY = jax.random.key(6)
WANTED = jnp.zeros(worlds.WIDTH).at[0].set(1.0)
GOALS = {
    'density': goals.membership('density', prior=0.3),
    'cosine': goals.templates(np.asarray(WANTED)[None], strength=0.1, prior=0.3),
}


@pytest.fixture(scope='module', params=GOALS)
def goal(request):
    return GOALS[request.param]


@pytest.fixture(scope='module')
def value_and_gradient(goal):
    subject = worlds.subject_of()
    constants = dataclasses.replace(subject.constants, weights=goal.weights)

    def value(white):
        return candidate.value(subject.scene, PICTURES, goal.term, constants, white, WANTED, KEY)

    return jax.jit(jax.value_and_grad(value, has_aux=True))


def test_gradient_through_the_image(goal, value_and_gradient):
    """The terms' gradient on each moved picture, summed, is pulled back through the generator."""
    constants, view = worlds.subject_of().constants, worlds.subject_of().scene

    def render(white):
        return view.render(constants.generator, prior.to_latent(constants.prior, white))

    def of_images(images):
        def one(image, key):
            moved = scene.transform(key, image, view.input, scene.MOVED)
            return view.see(constants.target, moved)

        seen = jax.vmap(one)(images, jax.random.split(KEY, PICTURES))
        if goal.term == 'cosine':
            return goal.strength * (seen.embedding @ WANTED).mean()
        terms = jax.vmap(lambda each: guidance.terms(constants.guide, each))(seen.distances)
        return goal.strength * terms[goal.term].mean()

    @jax.jit
    def both(white):
        image, pull_back = jax.vjp(render, white)
        images = jnp.broadcast_to(image, (PICTURES, *image.shape))
        slopes = jax.grad(of_images)(images)
        near = jax.grad(
            lambda white: prior.log_density(
                constants.prior, prior.to_latent(constants.prior, white)
            )
        )(white)
        return pull_back(slopes.sum(0))[0] + goal.prior * near

    _, gradient = value_and_gradient(WHITE)
    np.testing.assert_allclose(gradient, both(WHITE), rtol=1e-3, atol=1e-5)


def test_gradient_is_the_slope(value_and_gradient):
    _, gradient = value_and_gradient(WHITE)
    step = 1e-2
    for direction in np.eye(8, dtype=np.float32):
        ahead, behind = (value_and_gradient(WHITE + sign * step * direction) for sign in (1, -1))
        slope = (ahead[0][0] - behind[0][0]) / (2 * step)
        assert float(slope) == pytest.approx(float(gradient @ direction), rel=0.05, abs=5e-3)


def test_targets_of_one_module_share_what_is_compiled():
    target, generator = worlds.networks()
    other = dataclasses.replace(target, name='other', variables={})
    assert scene.make(generator.module, target) is scene.make(generator.module, other)
    assert scene.make(generator.module, target, psi=0.5) is not scene.make(generator.module, target)
