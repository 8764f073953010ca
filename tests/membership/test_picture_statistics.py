"""Pictures alone tell two sources apart, and nothing else."""

import types

import jax
import numpy as np
import pytest

from fr_inference import config
from fr_inference.membership import comparing, labelled, picture_statistics, trials
from fr_inference.membership.picture_statistics import FEATURE
from tests.membership.backbones import crowd

SETTINGS = config.Settings(replicates=200)


def measured(images):
    """[N, F] of images [N, H, W, 3], computed in NumPy."""
    found = []
    for image in images.astype(np.float64):
        grey = image.mean(-1)
        around = (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]) / 4
        found.append(
            [
                *(image[..., channel].mean() / 255 for channel in range(3)),
                *(np.log(1 + image[..., channel].std()) for channel in range(3)),
                np.log(1 + np.abs(grey[1:] - grey[:-1]).mean()),
                np.log(1 + np.abs(grey[:, 1:] - grey[:, :-1]).mean()),
                np.log(1 + np.abs(grey[1:-1, 1:-1] - around).mean()),
                (grey < 2).mean(),
                (grey > 253).mean(),
            ]
        )
    return np.array(found)


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3))


def test_statistics():
    images = pictures(4)
    images[0] = 0
    images[1] = 255
    found = jax.vmap(lambda image: FEATURE.function(types.SimpleNamespace(image=image), None))(
        np.float32(images)
    )
    np.testing.assert_allclose(found, measured(images), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize('unit', ['image', 'person'])
@pytest.mark.parametrize('shift', [0, 30])
def test_they_tell_sources_apart_and_nothing_else(unit, shift):
    images = crowd(people=40, images=2, shift=2.0)  # the backbone's distances leak: they do not
    drawn = np.clip(
        pictures(len(images), seed=3) + shift * images.member[:, None, None, None], 0, 255
    )
    images.extra[FEATURE.name] = measured(drawn)
    fit = labelled.fit_half(images.identities, images.member, 0)
    views = types.SimpleNamespace(in_target=images, fit=fit)
    low, high = comparing.pictures_alone(unit, views, SETTINGS)['auc_ci95']
    assert (low > 0.5) == bool(shift)
    assert low <= 0.5 <= high or shift


@pytest.mark.parametrize('unit', ['image', 'person'])
def test_without_pictures_there_is_no_control(unit):
    images = crowd()
    assert trials.run_attack(picture_statistics.control(unit), images, images.member, 0) is None
