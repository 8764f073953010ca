"""Each layer as an attack of its own, its direction learned on the fit half alone."""

import numpy as np

from fr_inference.membership import layer_figures
from fr_inference.metrics import roc
from tests.membership.backbones import labelled_of


def test_signs_of_layers_come_from_the_fit_half(images, fit):
    """A layer that points one way in the fit half and the other way outside scores below 0.5."""
    logs = np.tile(np.where(images.member, -1.0, 1.0)[:, None], (1, 3))
    logs += 0.1 * np.random.default_rng(0).normal(size=logs.shape)
    logs[:, 1] *= -1
    logs[~fit, 2] *= -1
    scores = layer_figures.signed(labelled_of(np.exp(logs), images.member, images.identities), fit)
    assert scores.shape == (3, len(fit))
    inside = [roc.auc(row[fit], images.member[fit]) for row in scores]
    outside = [roc.auc(row[~fit], images.member[~fit]) for row in scores]
    np.testing.assert_allclose(inside, [1, 1, 1])
    np.testing.assert_allclose(outside, [1, 1, 0], atol=1e-12)


def test_figures_are_of_the_other_half(images, fit):
    found = layer_figures.figures(images, fit, seed=0)
    assert [layer['name'] for layer in found] == list(images.layers)
    scores = layer_figures.signed(images, fit)
    for layer, row in zip(found, scores, strict=True):
        assert abs(layer['auc'] - roc.auc(row[~fit], images.member[~fit])) < 1e-12
        low, high = layer['auc_ci95']
        assert low <= layer['auc'] <= high
