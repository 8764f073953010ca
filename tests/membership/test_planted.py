"""A planted leak is found, and where there is nothing to find nothing is found."""

import dataclasses

import numpy as np
import pytest

from fr_inference import auditing, config
from fr_inference.data import sources
from fr_inference.membership import attacks, comparing, comparison, controls, labelled, trials
from fr_inference.metrics import intervals
from fr_inference.models.target import InputSpec
from fr_inference.report.verdict import verdict
from fr_inference.training import recognizer
from tests.membership.backbones import labelled_of

DISTANCES, PEOPLE_ATTACK = attacks.get('bn-distance'), attacks.get('people')
DRAWS = 100
REPLICATES = 200
PEOPLE, IMAGES, LAYERS = 24, 3, 6


def draw(seed, shift=0.0):
    """Distances whose logarithms hang together by person; members are closer by `shift`."""
    generator = np.random.default_rng([23, seed])
    person = np.repeat(np.arange(2 * PEOPLE), IMAGES)
    member = person < PEOPLE
    logs = generator.normal(size=(2 * PEOPLE, LAYERS))[person]
    logs = logs + generator.normal(size=logs.shape) - shift * member[:, None]
    embeddings = generator.normal(size=(2 * PEOPLE, 4))[person]
    embeddings = embeddings + generator.normal(size=embeddings.shape)
    return labelled_of(np.exp(logs), member, [f'p{number}' for number in person], embeddings)


def halves(images, seed):
    return labelled.fit_half(images.identities, images.member, seed)


def partial(images, seed):
    return trials.run_attack(DISTANCES, images, halves(images, seed), seed).scored


def auxiliary(shadow, reference, images, seed):
    reference = dataclasses.replace(reference, member=np.zeros(len(reference), bool))
    judged = ~halves(images, seed)
    return trials.transfer_attack(DISTANCES, shadow, reference, images, judged, seed).scored


def interval(scored, seed):
    return intervals.figures(scored, seed=seed, replicates=REPLICATES)['auc_ci95']


class TestNullDraws:
    """Each of 100 independent draws goes the whole way: halves, fit, scores, interval."""

    def test_partial(self):
        inside = 0
        for seed in range(DRAWS):
            low, high = interval(partial(draw(seed), seed), seed)
            inside += low <= 0.5 <= high
        assert inside >= 90

    def test_people(self):
        """The mean logit of a person must not carry over what the attack learned by heart."""
        inside = 0
        for seed in range(DRAWS):
            images = draw(seed)
            scored = trials.run_attack(PEOPLE_ATTACK, images, halves(images, seed), seed).scored
            low, high = interval(scored, seed)
            inside += low <= 0.5 <= high
        assert inside >= 90

    def test_auxiliary_with_a_shadow_that_leaks(self):
        inside = 0
        for seed in range(DRAWS):
            shadow, reference = draw(1000 + seed, shift=1.0), draw(2000 + seed)
            low, high = interval(auxiliary(shadow, reference, draw(seed), seed), seed)
            inside += low <= 0.5 <= high
        assert inside >= 90

    def test_null_of_the_auxiliary_setting(self):
        """Half of the shadow's strangers against the others tell nothing of the target's strangers."""
        inside = 0
        for seed in range(DRAWS):
            learned = controls.null(draw(1000 + seed, shift=1.0), seed, least=2)
            images = controls.null(draw(seed, shift=1.0), seed)
            reference = draw(2000 + seed)
            scored = trials.transfer_attack(
                DISTANCES,
                learned,
                dataclasses.replace(reference, member=np.zeros(len(reference), bool)),
                images,
                np.ones(len(images), bool),
                seed,
            ).scored
            low, high = interval(scored, seed)
            inside += low <= 0.5 <= high
        assert inside >= 90

    def test_excess(self):
        """Target and blind backbone see the same images, neither knows any: the excess is 0."""
        inside = 0
        for seed in range(DRAWS):
            target, blind = draw(seed), draw(5000 + seed)
            common = 0.5 * np.log(target.distances)
            blind = labelled_of(
                np.exp(common + np.log(blind.distances)),
                target.member,
                target.identities,
            )
            found = comparing.excess(
                partial(target, seed), partial(blind, seed), seed=seed, replicates=REPLICATES
            )
            low, high = found['auc_ci95']
            assert low <= found['auc'] <= high
            inside += low <= 0 <= high
        assert inside >= 90


class TestPlantedDistances:
    def test_partial_and_excess(self):
        ours, theirs = partial(draw(0, shift=1.0), 0), partial(draw(1), 0)
        theirs = dataclasses.replace(theirs, identities=ours.identities)
        assert interval(ours, 0)[0] > 0.6
        found = comparing.excess(ours, theirs, seed=0, replicates=REPLICATES)
        assert found['auc_ci95'][0] > 0

    def test_a_moderate_leak_is_found_in_most_draws(self):
        """The intervals are not so wide that they never say anything."""
        found = sum(
            interval(partial(draw(seed, shift=0.8), seed), seed)[0] > 0.5 for seed in range(20)
        )
        assert found >= 15

    def test_auxiliary(self):
        scored = auxiliary(draw(1, shift=1.0), draw(2), draw(0, shift=1.0), 0)
        assert interval(scored, 0)[0] > 0.6

    def test_two_perfect_attacks_do_not_prove_that_nothing_leaks(self):
        """Another source tells itself apart in any backbone: the difference is 0, but not surely."""
        scored = partial(draw(0, shift=50.0), 0)
        found = comparing.excess(scored, scored, seed=0, replicates=REPLICATES)
        unsure = 1 - intervals.wilson(1.0, PEOPLE // 2)[0]
        assert found['auc'] == 0
        assert found['auc_ci95'] == pytest.approx([-unsure, unsure])


@pytest.fixture(scope='module')
def faces():
    """Drawn people: 24 members and 32 strangers, four images each."""
    everyone = sources.open_faces('procedural:hard,people=56,images=4,size=16,seed=1')
    return everyone.select(range(96)), everyone.select(range(96, 224))


@pytest.fixture(scope='module')
def fresh():
    return recognizer.fresh_target('tiny', {}, InputSpec(height=16, width=16), 0)


SETTINGS = config.Settings(replicates=400)


def audited(target, faces):
    opened = auditing.Opened(target=target, faces={'members': faces[0], 'nonmembers': faces[1]})
    return auditing.run(opened, SETTINGS)


class TestRealBackbone:
    def test_learned_by_heart(self, faces, fresh):
        recipe = config.Recipe(
            epochs=60,
            batch_size=32,
            learning_rate=0.05,
            mirror=False,
            weight_decay=0.0,
            scale=16.0,
        )
        target = recognizer.train(recipe, fresh, faces[0])
        assert target.recipe['accuracy'] == 1
        found = audited(target, faces)
        by_key = {one.key: one for one in found.comparisons}
        images, people = found.comparisons[0], by_key['people/partial']
        assert images.key == 'combined-file/partial'
        assert images.figures['auc'] > 0.7
        assert images.figures['auc_ci95'][0] > 0.55
        assert people.figures['auc'] > 0.95
        assert images.excess['auc'] > 0.15
        for one in (images, people):
            assert one.excess['auc_ci95'][0] > 0.05
            for block in (one.null, one.blind):
                low, high = block['auc_ci95']
                assert low <= 0.5 <= high
            assert one.kind == 'leak'
        # The last layers know it, the first do not.
        layers = [layer['auc'] for layer in found.record['membership']['layers']]
        assert max(layers[-4:]) > max(0.6, *layers[:6])
        assert comparison.kind_of(found.comparisons) == verdict(found.record).kind == 'leak'

    def test_untrained(self, faces, fresh):
        found = audited(fresh, faces)
        images, people = comparison.weighed(found.comparisons)
        for block in (images.figures, images.null, images.blind, people.figures, people.null):
            low, high = block['auc_ci95']
            assert low <= 0.5 <= high
        for one in (images, people):
            low, high = one.excess['auc_ci95']
            assert low <= 0 <= high
        assert comparison.kind_of(found.comparisons) in ('open', 'none')
        assert verdict(found.record).kind == 'invalid'  # its statistics are those of no images
