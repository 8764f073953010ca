"""One attack in one backbone: combined ones by hand, and what no attack gets to see."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fr_inference.errors import InputError
from fr_inference.membership import attacks, labelled, logistic, trials
from fr_inference.membership.attack import Attack, Examples, of_images
from tests.membership.attacks import planted

SEED = 3
ANSWERS, FILE = attacks.get('combined-answers'), attacks.get('combined-file')
WITH_REFERENCES = attacks.get('combined-answers-references')


def combining(attack, *names):
    return dataclasses.replace(attack, parts=tuple(attacks.get(name) for name in names))


class ByHand:
    """Logistic regression by scikit-learn, standardised by strangers."""

    def __init__(self, features, member):
        self.mean, self.std = features[~member].mean(0), features[~member].std(0)
        self.model = LogisticRegression(C=1 / logistic.L2, solver='newton-cholesky', tol=1e-9)
        shares = np.where(member, 0.5 / member.sum(), 0.5 / (~member).sum())
        self.model.fit((features - self.mean) / self.std, member, sample_weight=shares)

    def moved_to(self, strangers):
        self.mean, self.std = strangers.mean(0), strangers.std(0)
        return self

    def __call__(self, features):
        return self.model.decision_function((features - self.mean) / self.std)


class Strangers:
    """The mean standard score less what one stranger in ten exceeds."""

    def __init__(self, features, member):
        self.known = features[~member]
        self.least = np.quantile(self.scores(self.known), 0.9)

    def scores(self, features):
        return ((features - self.known.mean(0)) / self.known.std(0)).mean(1)

    def __call__(self, features):
        return self.scores(features) - self.least


def cross_fitted(model, features, images, fit):
    """Logits, in the fit half by the model of its other half."""
    inside = np.flatnonzero(fit)
    names = [images.identities[row] for row in inside]
    first = labelled.fit_half(names, images.member[inside], SEED, least=2)
    found = model(features[fit], images.member[fit])(features)
    for learn, judge in ((inside[first], inside[~first]), (inside[~first], inside[first])):
        found[judge] = model(features[learn], images.member[learn])(features[judge])
    return found


def features_of(name, images, fit):
    return attacks.get(name).examples(images, fit, SEED).features.astype(np.float64)


class TestCombinedByHand:
    @pytest.mark.parametrize(
        ('setting', 'model', 'parts'),
        [
            ('partial', ByHand, ('norm', 'anchors', 'quantile')),
            ('strangers', Strangers, ('norm', 'quantile')),
        ],
    )
    def test_of_one_backbone(self, setting, model, parts):
        images = planted.drawn(0, 'length')
        fit = planted.halves(images)
        columns = [
            cross_fitted(model, features_of(name, images, fit), images, fit) for name in parts
        ]
        stacked = np.stack(columns, axis=1)
        expected = model(stacked[fit], images.member[fit])(stacked)
        trial = trials.run_attack(combining(ANSWERS, *parts), images, fit, SEED, setting)
        np.testing.assert_allclose(trial.examples.features, stacked, atol=1e-3)
        np.testing.assert_allclose(trial.logits, expected, atol=5e-3)
        np.testing.assert_array_equal(trial.judged, ~fit)

    def test_of_a_shadow(self):
        learned = planted.drawn(1, 'length', 'distances')
        there = planted.strangers(planted.drawn(2))
        images = planted.drawn(0, 'length')
        parts = 'bn-distance', 'norm'
        in_shadow, in_target, of_strangers = [], [], []
        for name in parts:
            known, strange, judged = (
                features_of(name, one, np.ones(len(one), bool)) for one in (learned, there, images)
            )
            moved = ByHand(known, learned.member).moved_to(strange)
            every = np.ones(len(learned), bool)
            in_shadow.append(cross_fitted(ByHand, known, learned, every))
            of_strangers.append(moved(strange))
            in_target.append(moved(judged))
        whole = ByHand(np.stack(in_shadow, 1), learned.member)
        expected = whole.moved_to(np.stack(of_strangers, 1))(np.stack(in_target, 1))
        judged = ~planted.halves(images)
        trial = trials.transfer_attack(
            combining(FILE, *parts), learned, there, images, judged, SEED
        )
        np.testing.assert_allclose(trial.logits, expected, atol=1e-2)
        np.testing.assert_array_equal(trial.judged, judged)

    def test_parts_that_cannot_be_run_or_do_not_know_the_setting_are_left_out(self):
        images = planted.drawn(0)
        fit = planted.halves(images)

        def columns(setting='partial', given=images):
            attack = combining(ANSWERS, 'norm', 'anchors', 'quantile', 'agreement')
            trial = trials.run_attack(attack, given, fit, SEED, setting)
            return trial.examples.features.shape[1]

        assert columns() == 4
        assert columns(given=dataclasses.replace(images, extra={})) == 3
        assert columns(given=dataclasses.replace(images, blind=None)) == 3
        assert columns('strangers') == 2

    def test_one_part_is_enough(self):
        """What heads a report does not depend on how many others could be run."""
        images = planted.drawn(0)
        fit = planted.halves(images)
        trial = trials.run_attack(combining(ANSWERS, 'norm'), images, fit, SEED)
        assert trial.examples.features.shape == (len(images), 1)


def test_nobody_gets_a_logit_of_a_model_that_was_fitted_on_them(monkeypatch):
    """Every feature is the number of its person, and every logit that of the model it is of."""
    images = planted.drawn(0)
    fit = planted.halves(images)
    numbers = np.array([float(name[1:]) for name in images.identities])[:, None]
    parts = [
        dataclasses.replace(
            attacks.get('norm'),
            name=name,
            settings=('partial',),
            signs=(),
            examples=lambda images, fit, seed: of_images(images, fit, numbers),
        )
        for name in ('one', 'two')
    ]
    fitted = []

    def learn(features, member):
        fitted.append(set(features[:, 0]))
        return len(fitted) - 1

    monkeypatch.setattr(logistic, 'fit', learn)
    monkeypatch.setattr(
        logistic, 'scores', lambda model, features: np.full(len(features), model, np.float32)
    )
    attack = dataclasses.replace(ANSWERS, parts=tuple(parts))
    trial = trials.run_attack(attack, images, fit, SEED)
    assert len(fitted) == 2 * 3 + 1
    for row, models in enumerate(trial.examples.features.astype(int)):
        for model in models:
            assert numbers[row, 0] not in fitted[model]


class TestNotRun:
    @pytest.mark.parametrize(
        ('attack', 'parts', 'setting'),
        [
            (ANSWERS, ('anchors', 'agreement'), 'strangers'),  # none that looks at no member
            (ANSWERS, (), 'partial'),
            (FILE, ('norm', 'anchors'), 'partial'),  # nothing of the file
            (FILE, ('norm', 'quantile', 'bn-distance'), 'strangers'),
            (WITH_REFERENCES, ('norm', 'anchors'), 'partial'),  # nothing of a reference
            (WITH_REFERENCES, ('norm', 'quantile', 'reference'), 'strangers'),
        ],
    )
    def test_without_anything_beyond_the_lesser_access(self, attack, parts, setting):
        images = planted.drawn(0)
        fit = planted.halves(images)
        assert trials.run_attack(combining(attack, *parts), images, fit, SEED, setting) is None

    def test_in_a_shadow(self):
        images = planted.drawn(0)
        three = planted.drawn(1), planted.strangers(planted.drawn(2)), images
        judged = ~planted.halves(images)
        for attack, parts in (
            (ANSWERS, ('anchors', 'quantile')),
            (FILE, ('norm', 'agreement')),
            (WITH_REFERENCES, ('norm', 'agreement', 'reference-ratio')),
        ):
            found = trials.transfer_attack(combining(attack, *parts), *three, judged, SEED)
            assert found is None

    def test_without_references_or_what_is_measured(self):
        images = planted.drawn(0)
        fit = planted.halves(images)
        alone = dataclasses.replace(images, references={}, extra={})
        for name in ('reference', 'gradients', 'bn-moments'):
            assert trials.run_attack(attacks.get(name), images, fit, SEED) is not None
            assert trials.run_attack(attacks.get(name), alone, fit, SEED) is None
        attack = combining(WITH_REFERENCES, 'norm', 'reference')
        assert trials.run_attack(attack, images, fit, SEED) is not None
        assert trials.run_attack(attack, alone, fit, SEED) is None

    def test_with_three_people_of_a_side_to_fit_parts_on(self):
        images = planted.drawn(0)
        fit = planted.halves(images)
        names = np.array(images.identities)
        attack = combining(ANSWERS, 'norm', 'anchors')
        for people, runs in ((3, False), (4, True)):
            few = np.unique(names[fit & images.member])[:people]
            keep = ~(fit & images.member) | np.isin(names, few)
            trial = trials.run_attack(attack, images.select(keep), fit[keep], SEED)
            assert (trial is not None) == runs


def of_function(examples, **more):
    return Attack(
        name='own',
        title='own',
        source='',
        access='answers',
        needs='nothing',
        unit=more.pop('unit', 'image'),
        examples=examples,
        **more,
    )


class TestLabels:
    """An attack may be anybody's: it does not get to see what it must not know."""

    def cheat(self, images, fit, seed):
        return of_images(images, fit, images.member[:, None].astype(float))

    def test_of_judged_images(self):
        images = planted.drawn(0)
        fit = planted.halves(images)
        trial = trials.run_attack(of_function(self.cheat), images, fit, SEED)
        np.testing.assert_array_equal(trial.examples.features[fit, 0], images.member[fit])
        np.testing.assert_array_equal(trial.examples.member, images.member)
        assert np.ptp(trial.logits[~fit]) == 0

    def test_in_the_target_where_a_shadow_is_all_that_is_known(self):
        images = planted.drawn(0)
        three = planted.drawn(1), planted.drawn(2), images
        trial = trials.transfer_attack(
            of_function(self.cheat), *three, ~planted.halves(images), SEED
        )
        assert np.ptp(trial.logits) == 0
        np.testing.assert_array_equal(trial.examples.member, images.member)


class TestExamples:
    @pytest.mark.parametrize(
        'features',
        [
            np.zeros(80),
            np.zeros((79, 1)),
            np.zeros((80, 0)),
            np.full((80, 1), np.nan),
            np.full((80, 1), np.inf),
            [['one']] * 80,
            [[1.0], [1.0, 2.0]] * 40,
            None,
        ],
    )
    @pytest.mark.parametrize('unit', ['image', 'person'])
    def test_wrong_features(self, features, unit):
        images = planted.drawn(0)
        attack = of_function(
            lambda images, fit, seed: of_images(images, fit, features),
            unit=unit,
            settings=('partial',),
        )
        with pytest.raises(InputError) as caught:
            trials.run_attack(attack, images, planted.halves(images), SEED)
        assert (caught.value.field, caught.value.inside) == ('attacks', 'own')

    def test_something_else(self):
        images = planted.drawn(0)
        attack = of_function(lambda images, fit, seed: np.zeros((80, 1)))
        with pytest.raises(InputError) as caught:
            trials.run_attack(attack, images, planted.halves(images), SEED)
        assert (caught.value.field, caught.value.inside) == ('attacks', 'own')

    def test_signs_of_other_features(self):
        images = planted.drawn(0)
        attack = of_function(
            lambda images, fit, seed: of_images(images, fit, np.zeros((80, 3))),
            settings=('strangers',),
            signs=(1, -1),
        )
        with pytest.raises(InputError) as caught:
            trials.run_attack(attack, images, planted.halves(images), SEED, 'strangers')
        assert (caught.value.field, caught.value.inside) == ('attacks', 'own')

    def test_names_and_halves_are_those_of_the_images(self):
        """Whatever an attack says of them."""
        images = planted.drawn(0)
        fit = planted.halves(images)

        def examples(images, fit, seed):
            return Examples(
                names=('x',) * len(images),
                member=~images.member,
                features=images.log_distances,
                fit=~fit,
            )

        trial = trials.run_attack(of_function(examples), images, fit, SEED)
        assert trial.examples.names == images.identities
        np.testing.assert_array_equal(trial.judged, ~fit)
        np.testing.assert_array_equal(trial.examples.member, images.member)
