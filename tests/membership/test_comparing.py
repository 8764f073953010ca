"""One attack in one setting: fits never see whom they are judged on, and each has its own controls."""

import dataclasses

import numpy as np
import pytest

from fr_inference import config
from fr_inference.errors import InputError
from fr_inference.membership import attacks, comparing, controls, labelled, logistic, trials
from fr_inference.membership.views import ShadowViews, Views
from fr_inference.metrics import intervals, roc
from tests.membership.backbones import assert_same_bytes, crowd, labelled_of

DISTANCES, PEOPLE = attacks.get('bn-distance'), attacks.get('people')
SETTINGS = config.Settings(replicates=100)


def partial(images, fit):
    return trials.run_attack(DISTANCES, images, fit, 0)


class TestRunAttack:
    def test_is_the_model_of_the_fit_half(self, images, fit):
        trial = partial(images, fit)
        features = images.log_distances
        expected = logistic.fit(features[fit], images.member[fit])
        assert_same_bytes(trial.model, expected)
        np.testing.assert_array_equal(trial.logits, logistic.scores(expected, features))
        np.testing.assert_array_equal(trial.judged, ~fit)
        assert roc.auc(trial.logits[~fit], images.member[~fit]) > 0.8

    def test_never_sees_the_people_it_is_judged_on(self, images, fit):
        other = images.distances.copy()
        other[~fit] = np.exp(np.random.default_rng(5).normal(size=other[~fit].shape))
        # Their labels are turned round as well.
        changed = labelled_of(other, images.member ^ ~fit, images.identities)
        assert_same_bytes(partial(images, fit).model, partial(changed, fit).model)

    def test_scored(self, images, fit):
        trial = partial(images, fit)
        scored = trial.scored
        np.testing.assert_array_equal(scored.scores, trial.logits[~fit])
        np.testing.assert_array_equal(scored.member, images.member[~fit])
        assert scored.identities == tuple(np.array(images.identities)[~fit])

    def test_too_few_to_judge(self, images, fit):
        keep = fit | ~images.member
        assert trials.run_attack(DISTANCES, images.select(keep), fit[keep], 0) is None


def transferred(learned, reference, images):
    everyone = np.ones(len(images), bool)
    return trials.transfer_attack(DISTANCES, learned, reference, images, everyone, 0)


def strangers_of(images):
    return dataclasses.replace(images, member=np.zeros(len(images), bool))


class TestTransferAttack:
    """Only auxiliary faces shape the attack."""

    def test_finds_the_same_signal_in_other_units(self, images):
        scale = np.exp(np.random.default_rng(4).normal(size=5))

        def there(seen):
            return labelled_of(scale * seen.distances**1.5, seen.member, seen.identities)

        trial = transferred(
            crowd(shift=0.7, seed=3), strangers_of(there(crowd(seed=8))), there(images)
        )
        assert roc.auc(trial.logits, images.member) > 0.85
        # The threshold comes along: it is the shadow's, and still in the middle.
        said = trial.logits > 0
        assert said[images.member].mean() > 0.65
        assert (~said)[~images.member].mean() > 0.65

    def test_knows_nothing_of_the_target_labels_or_images(self, images):
        learned, reference = crowd(shift=0.7, seed=3), strangers_of(crowd(seed=8))
        found = transferred(learned, reference, images)
        turned = transferred(learned, reference, dataclasses.replace(images, member=~images.member))
        assert_same_bytes(found.model, turned.model)
        np.testing.assert_array_equal(found.logits, turned.logits)
        alone = transferred(learned, reference, images.select([0, 50]))
        assert_same_bytes(found.model, alone.model)
        np.testing.assert_allclose(alone.logits, found.logits[[0, 50]], rtol=1e-5)

    def test_another_architecture(self, images):
        with pytest.raises(InputError) as caught:
            transferred(crowd(layers=3), strangers_of(images), images)
        assert caught.value.field == 'shadow'
        assert caught.value.found.startswith('3 ')
        assert caught.value.expected.startswith('5')


def views_of(images, blind, shadow=None):
    """Views that nothing was measured for."""
    return Views(
        faces=None,
        target=None,
        in_target=images,
        fit=labelled.fit_half(images.identities, images.member, 0),
        blind=None,
        untrained=True,
        in_blind=blind,
        shadow=shadow,
        skipped={},
        measure=None,
    )


@pytest.fixture(scope='module')
def views():
    """A leak of the images in the target, none in the blind backbone; a shadow that leaks as well."""

    def auxiliary(shift, seed):
        seen = crowd(people=16, images=3, shift=shift, seed=seed)
        names = [name.replace('p', 'a') for name in seen.identities]
        return labelled_of(seen.distances, seen.member, names, seen.embeddings)

    shadow = ShadowViews(
        name='shadow',
        recipe=None,
        in_shadow=auxiliary(1.0, 2),
        in_target=strangers_of(auxiliary(0.0, 3)),
        in_blind=strangers_of(auxiliary(0.0, 4)),
    )
    return views_of(crowd(people=32, shift=1.0), crowd(people=32, seed=1), shadow)


def compared(attack, setting, views):
    comparison, trials = comparing.compare(attack, setting, views, SETTINGS)
    return comparison, trials


class TestCompare:
    @pytest.mark.parametrize(
        ('attack', 'setting'),
        [(DISTANCES, 'partial'), (DISTANCES, 'auxiliary'), (PEOPLE, 'partial')],
        ids=lambda value: getattr(value, 'name', value),
    )
    def test_every_attack_in_every_setting_has_its_own_controls(self, views, attack, setting):
        comparison, trials = compared(attack, setting, views)
        assert (comparison.attack, comparison.setting) == (attack.name, setting)
        assert (comparison.title, comparison.unit) == (attack.title, attack.unit)
        for block, trial in (
            (comparison.figures, trials.target),
            (comparison.blind, trials.blind),
            (comparison.null, trials.null),
        ):
            expected = intervals.figures(trial.scored, seed=0, replicates=100)
            assert block == expected
        for scored, trial in (
            (comparison.scored, trials.target),
            (comparison.blind_scored, trials.blind),
            (comparison.null_scored, trials.null),
        ):
            np.testing.assert_array_equal(scored.scores, trial.scored.scores)
        assert comparison.excess == comparing.excess(
            trials.target.scored, trials.blind.scored, seed=0, replicates=100
        )
        # Nobody whom the null control judges is a member.
        members = set(np.array(views.in_target.identities)[views.in_target.member])
        assert not members & set(trials.null.scored.identities)
        assert trials.null.scored.member.any()

    def test_planted_leak(self, views):
        for setting in ('partial', 'auxiliary'):
            comparison, _ = compared(DISTANCES, setting, views)
            assert comparison.kind == 'leak'
            assert comparison.valid

    def test_null_of_the_auxiliary_setting_knows_only_strangers(self, views):
        """Neither whom the shadow learned nor the target's members change it."""
        _, trials = compared(DISTANCES, 'auxiliary', views)
        learned = views.shadow.in_shadow

        def disturbed(images):
            distances = np.where(images.member[:, None], 100.0, images.distances)
            return labelled_of(distances, images.member, images.identities, images.embeddings)

        other = dataclasses.replace(
            views,
            in_target=disturbed(views.in_target),
            shadow=dataclasses.replace(views.shadow, in_shadow=disturbed(learned)),
        )
        again = compared(DISTANCES, 'auxiliary', other)[1]
        assert_same_bytes(trials.null.model, again.null.model)
        np.testing.assert_array_equal(trials.null.logits, again.null.logits)
        expected = controls.null(views.in_target, 0)
        assert trials.null.scored.identities == expected.identities
        np.testing.assert_array_equal(trials.null.scored.member, expected.member)

    def test_what_the_target_lacks_is_not_run(self, views):
        assert (
            comparing.compare(
                DISTANCES, 'auxiliary', dataclasses.replace(views, shadow=None), SETTINGS
            )
            is None
        )
        bare = labelled_of(
            views.in_target.distances[:, :0],
            views.in_target.member,
            views.in_target.identities,
            views.in_target.embeddings,
        )
        blinded = views_of(bare, bare)
        assert comparing.compare(DISTANCES, 'partial', blinded, SETTINGS) is None
        comparison, _ = compared(PEOPLE, 'partial', blinded)
        assert comparison.access == 'answers'

    def test_a_blind_backbone_of_other_layers_controls_attacks_on_answers_only(self, views):
        blind = views.shadow.in_blind
        bare = dataclasses.replace(blind, layers=(), distances=blind.distances[:, :0])
        shadow = dataclasses.replace(views.shadow, in_blind=bare)
        views = dataclasses.replace(views, shadow=shadow)
        comparison, _ = compared(DISTANCES, 'auxiliary', views)
        assert comparison.blind is comparison.excess is None
        assert comparison.null is not None
        assert comparison.kind == 'open'
        comparison, _ = compared(attacks.get('norm'), 'auxiliary', views)
        assert comparison.blind is not None

    def test_another_setting(self, views):
        with pytest.raises(InputError) as caught:
            comparing.compare(PEOPLE, 'auxiliary', views, SETTINGS)
        assert caught.value.field == 'setting'


def test_excess_is_of_the_same_images(images, fit):
    scored = partial(images, fit).scored
    other = dataclasses.replace(scored, identities=scored.identities[::-1])
    with pytest.raises(InputError) as caught:
        comparing.excess(scored, other, seed=0, replicates=100)
    assert caught.value.field == 'blind'
