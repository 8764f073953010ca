"""People with several images: how alike their embeddings are."""

import dataclasses
import itertools

import numpy as np
import pytest

from fr_inference.membership import attacks, cross_fitting
from fr_inference.membership.attack import of_images
from tests.membership.attacks import planted

ATTACK = attacks.get('people')


def units(embeddings):
    embeddings = embeddings.astype(np.float64)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def expected_of(images, fit, own):
    """By loops over pairs: mean cosines in both backbones, length, how much nearer a stranger is."""
    names = np.array(images.identities)
    strangers = np.flatnonzero(fit & ~images.member)
    among, nearest = [], []
    for seen in (images, images.blind):
        unit = units(seen.embeddings)
        among.append(
            np.mean([unit[one] @ unit[two] for one, two in itertools.combinations(own, 2)])
        )
        nearest.append(
            np.mean(
                [
                    max(unit[row] @ unit[one] for one in strangers if names[one] != names[row])
                    for row in own
                ]
            )
        )
    length = np.log(np.linalg.norm(images.embeddings[own], axis=1)).mean()
    return among, [length, nearest[0] - nearest[1]]


@pytest.fixture(scope='module')
def images():
    drawn = planted.drawn(0)
    if drawn.blind is None:
        drawn = dataclasses.replace(drawn, blind=planted.drawn(1))
    return drawn


def test_what_is_known_of_a_person(images):
    fit = planted.halves(images)
    found = ATTACK.examples(images, fit, 2)
    logits = cross_fitting.logits(of_images(images, fit, images.log_distances), 2)
    names = np.array(images.identities)
    for name, member, half, row in list(
        zip(found.names, found.member, found.fit, found.features, strict=True)
    )[::5]:
        own = np.flatnonzero(names == name)
        among, rest = expected_of(images, fit, own)
        np.testing.assert_allclose(row, [*among, logits[own].mean(), *rest], atol=1e-5)
        assert (member, half) == (images.member[own[0]], fit[own[0]])
    assert found.access is None


def test_the_answers_know_all_but_the_logit(images):
    fit = planted.halves(images)
    whole = ATTACK.examples(images, fit, 2).features
    answers = attacks.get('people-answers').examples(images, fit, 2)
    np.testing.assert_array_equal(answers.features, np.delete(whole, 2, axis=1))
    bare = planted.without_layers(images)
    assert attacks.get('people-answers').examples(bare, fit, 2) is None  # `people` is that then
    alone = ATTACK.examples(bare, fit, 2)
    np.testing.assert_array_equal(alone.features, answers.features)
    assert alone.access == 'answers'


class TestFinds:
    @pytest.mark.parametrize('leak', ['people', 'distances'])
    def test_what_leaks(self, leak):
        planted.assert_found('people', 'partial', leak)

    def test_what_leaks_to_answers(self):
        planted.assert_found('people-answers', 'partial', 'people')

    @pytest.mark.parametrize('name', ['people', 'people-answers'])
    def test_nothing_without_a_leak(self, name):
        planted.assert_nothing(name, 'partial')

    def test_keeps_to_its_half(self):
        planted.assert_keeps_to_its_half('people')
