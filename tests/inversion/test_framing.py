"""The face is cut out of FFHQ's picture where FFHQ's own rule puts it, bilinearly, with its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import errors
from fr_inference.data import align
from fr_inference.inversion import framing, scene
from tests.inversion import worlds


def by_rule(points):
    """(left, top, side) of a 112-pixel square in FFHQ's picture of a face with these landmarks.

    The rule of FFHQ's alignment (Karras et al., arXiv 1812.04948, `recreate_aligned_images`).
    """
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    across, down = points[1] - points[0], mouth - eyes
    axis = across - down[::-1] * [-1, 1]
    half = max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down))
    assert abs(np.degrees(np.arctan2(axis[1], axis[0]))) < 0.5
    corner = eyes + 0.1 * down - half
    return (*(-corner / (2 * half)), align.SIZE / (2 * half))


def test_the_box_is_that_of_ffhqs_rule():
    """From the mean landmarks of one side, and from the template of the other."""
    np.testing.assert_allclose(framing.box(), by_rule(align.TEMPLATE), atol=0.02)


def test_a_slope_is_cut_exactly():
    """Bilinear reading gives a linear picture's own values."""
    size = 64
    y, x = np.mgrid[:size, :size] + 0.5
    picture = np.stack([x, y, 100 - x - 2 * y], -1).astype(np.float32)
    left, top, side = np.array(framing.box()) * size
    count = round(side)
    centres = (np.arange(count) + 0.5) * side / count
    across, down = np.meshgrid(left + centres, top + centres)
    expected = np.stack([across, down, 100 - across - 2 * down], -1)
    np.testing.assert_allclose(framing.cut(jnp.asarray(picture), 'ffhq'), expected, atol=1e-3)


def test_a_face_is_left_as_it_is():
    picture = jnp.arange(48.0).reshape(4, 4, 3)
    assert framing.cut(picture, 'face') is picture


def test_the_gradient_reaches_the_face_alone():
    picture = jax.random.normal(jax.random.key(0), (32, 32, 3))
    slope = jax.grad(lambda image: framing.cut(image, 'ffhq').sum())(picture)
    left, top, side = np.array(framing.box()) * 32
    row, column = np.nonzero(np.asarray(slope)[..., 0])
    for found, first in ((row, top), (column, left)):
        assert abs(found.min() - first) <= 1.5
        assert abs(found.max() + 1 - first - side) <= 1.5
    np.testing.assert_allclose(np.asarray(slope)[12:20, 12:20], 1, atol=0.2)


def test_a_scene_cuts():
    target, generator = worlds.networks()
    whole, cut = (scene.make(generator.module, target, framing=one) for one in ('face', 'ffhq'))
    assert whole is scene.make(generator.module, target)
    assert whole.kind != cut.kind
    latent = jnp.zeros(8)
    pictures = [one.render(generator.variables, latent) for one in (whole, cut)]
    np.testing.assert_allclose(pictures[1], framing.cut(pictures[0], 'ffhq'), atol=1e-3)
    assert pictures[1].shape == (3, 3, 3)
    with pytest.raises(errors.InputError) as caught:
        scene.make(generator.module, target, framing='profile')
    assert caught.value.field == 'framing'
