"""No logit is by an attack that was fitted on the person."""

import numpy as np

from fr_inference.membership import attack, cross_fitting, labelled, logistic
from fr_inference.metrics import roc
from tests.membership.backbones import crowd, labelled_of


def examples(images, fit):
    return attack.of_images(images, fit, images.log_distances)


def plain(images, fit):
    """The logits of one attack that was fitted on the whole half."""
    features = images.log_distances
    return np.asarray(logistic.logit(logistic.fit(features[fit], images.member[fit]), features))


def test_outside_the_fit_half_nothing_changes(images, fit):
    logits = plain(images, fit)
    crossed = cross_fitting.logits(examples(images, fit), 0)
    np.testing.assert_allclose(crossed[~fit], logits[~fit], rtol=1e-5, atol=1e-5)
    assert (crossed[fit] != logits[fit]).all()


def test_nobody_is_scored_by_an_attack_that_was_fitted_on_them(images, fit):
    """Changing one person's images changes that person's logits and those of the other part."""
    before = cross_fitting.logits(examples(images, fit), 0)
    names = np.array(images.identities)
    name = names[np.flatnonzero(fit)[0]]
    distances = images.distances.copy()
    distances[np.flatnonzero(names == name)[0]] *= 50
    changed = labelled_of(distances, images.member, names)
    after = cross_fitting.logits(examples(changed, fit), 0)
    moved = {person for person in names[fit] if (before != after)[names == person].any()}
    still = set(names[fit]) - moved - {name}
    # All images of the own part but the changed one stay: they were scored by the other part.
    assert (before != after)[names == name].sum() == 1
    assert len(still) in (5, 6, 7)
    assert moved.isdisjoint(still)


def test_noise_does_not_look_like_membership():
    """Forty layers of noise and few people: the attack knows its own images, and only those."""
    noise = crowd(people=16, images=2, layers=40)
    fit = labelled.fit_half(noise.identities, noise.member, 0)
    crossed = cross_fitting.logits(examples(noise, fit), 0)
    assert roc.auc(plain(noise, fit)[fit], noise.member[fit]) > 0.95
    assert roc.auc(crossed[fit], noise.member[fit]) < 0.75
