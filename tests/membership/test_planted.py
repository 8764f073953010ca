"""A planted leak is found, and where there is nothing to find nothing is found."""

import dataclasses

import numpy as np
import pytest

from fr_inference import auditing, config
from fr_inference.data import sources
from fr_inference.membership import protocol, summary
from fr_inference.membership.attack import Options
from fr_inference.metrics import intervals
from fr_inference.models.target import InputSpec
from fr_inference.report.verdict import verdict
from fr_inference.training import recognizer
from tests.membership.backbones import labelled_of

OPTIONS = Options()
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
    return protocol.fit_half(images.measured.identities, images.member, seed)


def partial(images, seed):
    fit = halves(images, seed)
    return images.scored(protocol.partial(images, fit, OPTIONS)[1], ~fit)


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
            fit = halves(images, seed)
            _, logits = protocol.partial(images, fit, OPTIONS)
            logits = protocol.crossed_logits(images, fit, logits, OPTIONS, seed)
            _, scored = protocol.identity_level(protocol.people(images, fit, logits), OPTIONS)
            low, high = interval(scored, seed)
            inside += low <= 0.5 <= high
        assert inside >= 90

    def test_auxiliary_with_a_shadow_that_leaks(self):
        inside = 0
        for seed in range(DRAWS):
            shadow, reference = draw(1000 + seed, shift=1.0), draw(2000 + seed).measured
            images = draw(seed)
            _, logits = protocol.auxiliary(shadow, reference, images, OPTIONS)
            low, high = interval(images.scored(logits, ~halves(images, seed)), seed)
            inside += low <= 0.5 <= high
        assert inside >= 90

    def test_excess(self):
        """Target and blind backbone see the same images, neither knows any: the excess is 0."""
        inside = 0
        for seed in range(DRAWS):
            target, blind = draw(seed), draw(5000 + seed)
            common = 0.5 * np.log(target.measured.distances)
            blind = labelled_of(
                np.exp(common + np.log(blind.measured.distances)),
                target.member,
                target.measured.identities,
            )
            found = summary.excess(
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
        found = summary.excess(ours, theirs, seed=0, replicates=REPLICATES)
        assert found['auc_ci95'][0] > 0

    def test_a_moderate_leak_is_found_in_most_draws(self):
        """The intervals are not so wide that they never say anything."""
        found = sum(
            interval(partial(draw(seed, shift=0.8), seed), seed)[0] > 0.5 for seed in range(20)
        )
        assert found >= 15

    def test_auxiliary(self):
        images = draw(0, shift=1.0)
        _, logits = protocol.auxiliary(draw(1, shift=1.0), draw(2).measured, images, OPTIONS)
        assert interval(images.scored(logits, ~halves(images, 0)), 0)[0] > 0.6

    def test_two_perfect_attacks_do_not_prove_that_nothing_leaks(self):
        """Another source tells itself apart in any backbone: the difference is 0, but not surely."""
        scored = partial(draw(0, shift=50.0), 0)
        found = summary.excess(scored, scored, seed=0, replicates=REPLICATES)
        unsure = 1 - intervals.wilson(1.0, PEOPLE // 2)[0]
        assert found['auc'] == 0
        assert found['auc_ci95'] == pytest.approx([-unsure, unsure])


@pytest.fixture(scope='module')
def faces():
    """Drawn people: 24 members and 24 strangers, four images each."""
    everyone = sources.open_faces('procedural:hard,people=48,images=4,size=16,seed=1')
    return everyone.select(range(96)), everyone.select(range(96, 192))


@pytest.fixture(scope='module')
def fresh():
    return recognizer.fresh_target('tiny', {}, InputSpec(height=16, width=16), 0)


SETTINGS = auditing.Settings(replicates=400)


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
        audit = auditing.audit_target(target, *faces, settings=SETTINGS)
        membership = audit.record['membership']
        partial, controls = membership['settings']['partial'], membership['controls']
        assert partial['auc'] > 0.7
        assert partial['auc_ci95'][0] > 0.55
        assert membership['identity_level']['auc'] > 0.95
        assert controls['excess']['auc'] > 0.15
        assert controls['excess']['auc_ci95'][0] > 0.05
        assert controls['identity_excess']['auc_ci95'][0] > 0.05
        for name in ('null', 'blind', 'identity_null', 'identity_blind'):
            low, high = controls[name]['auc_ci95']
            assert low <= 0.5 <= high, name
        # The last layers know it, the first do not.
        layers = [layer['auc'] for layer in membership['layers']]
        assert max(layers[-4:]) > max(0.6, *layers[:6])
        assert verdict(audit.record).kind == 'leak'

    def test_untrained(self, faces, fresh):
        audit = auditing.audit_target(fresh, *faces, settings=SETTINGS)
        membership = audit.record['membership']
        blocks = {
            **membership['settings'],
            **membership['controls'],
            'identity_level': membership['identity_level'],
        }
        for name in ('partial', 'null', 'blind', 'identity_level', 'identity_null'):
            low, high = blocks[name]['auc_ci95']
            assert low <= 0.5 <= high, name
        for name in ('excess', 'identity_excess'):
            low, high = blocks[name]['auc_ci95']
            assert low <= 0 <= high, name
        assert verdict(audit.record).kind in ('open', 'none')
