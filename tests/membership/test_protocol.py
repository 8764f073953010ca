"""Who is compared with whom: nobody is on both sides, and fits never see whom they are judged on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_inference.errors import InputError
from fr_inference.measuring import measurements
from fr_inference.membership import attack, protocol
from fr_inference.membership.attack import Options
from fr_inference.metrics import roc
from tests.membership.backbones import assert_same_bytes, labelled_of

OPTIONS = Options()


def crowd(people=12, images=4, layers=5, shift=0.0, seed=0):
    """Log-normal distances and random embeddings; people below half are members, and closer."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(2 * people), images)
    member = person < people
    logs = generator.normal(size=(len(person), layers)) - shift * member[:, None]
    embeddings = generator.normal(size=(len(person), 6))
    return labelled_of(np.exp(logs), member, [f'p{number}' for number in person], embeddings)


@pytest.fixture(scope='module')
def labelled():
    return crowd(shift=0.7)


@pytest.fixture(scope='module')
def fit(labelled):
    return protocol.fit_half(labelled.measured.identities, labelled.member, 0)


class TestFitHalf:
    @given(
        st.lists(st.integers(1, 4), min_size=4, max_size=15),
        st.lists(st.integers(1, 4), min_size=4, max_size=15),
        st.integers(0, 3),
        st.integers(0, 1000),
    )
    def test_nobody_on_both_sides_and_halves_of_either(self, members, others, both, seed):
        rows = [(f'm{i}', True) for i, count in enumerate(members) for _ in range(count)]
        rows += [(f'n{i}', False) for i, count in enumerate(others) for _ in range(count)]
        rows += [(f'b{i}', side) for i in range(both) for side in (True, False)]
        order = np.random.default_rng(seed).permutation(len(rows))
        names = [rows[position][0] for position in order]
        member = np.array([rows[position][1] for position in order])
        fit = protocol.fit_half(names, member, seed)
        inside = {name for name, side in zip(names, fit, strict=True) if side}
        outside = {name for name, side in zip(names, fit, strict=True) if not side}
        assert not inside & outside
        for letter, count in (('m', len(members)), ('n', len(others)), ('b', both)):
            assert sum(name[0] == letter for name in inside) == (count + 1) // 2
        assert (fit == protocol.fit_half(names, member, seed)).all()

    def test_the_order_of_images_does_not_matter(self, labelled, fit):
        names = np.array(labelled.measured.identities)
        order = np.random.default_rng(1).permutation(len(names))
        again = protocol.fit_half(names[order].tolist(), labelled.member[order], 0)
        np.testing.assert_array_equal(again, fit[order])

    def test_every_person_comes_into_either_half(self, labelled):
        drawn = np.mean(
            [
                protocol.fit_half(labelled.measured.identities, labelled.member, seed)
                for seed in range(400)
            ],
            axis=0,
        )
        np.testing.assert_allclose(drawn, 0.5, atol=0.1)

    @pytest.mark.parametrize(
        ('members', 'others', 'message'),
        [(3, 9, 'members: found 3 people'), (9, 3, 'non-members: found 3 people')],
    )
    def test_too_few(self, members, others, message):
        names = [f'p{number}' for number in range(members + others)]
        with pytest.raises(InputError, match=f'{message}, expected 4 or more'):
            protocol.fit_half(names, np.arange(len(names)) < members, 0)


class TestPartial:
    def test_is_the_attack_on_log_distances_of_the_fit_half(self, labelled, fit):
        fitted, logits = protocol.partial(labelled, fit, OPTIONS)
        features = np.log(labelled.measured.distances.astype(np.float64) + 1e-12)
        np.testing.assert_allclose(labelled.features, features, rtol=1e-4, atol=1e-6)
        expected = attack.fit(features[fit], labelled.member[fit], OPTIONS)
        np.testing.assert_allclose(
            logits, attack.logit(expected, features.astype(np.float32)), rtol=1e-3, atol=1e-4
        )
        np.testing.assert_array_equal(logits, protocol.logits(fitted, labelled.measured))
        assert roc.auc(logits[~fit], labelled.member[~fit]) > 0.8

    def test_never_sees_the_people_it_is_judged_on(self, labelled, fit):
        fitted, _ = protocol.partial(labelled, fit, OPTIONS)
        other = labelled.measured.distances.copy()
        other[~fit] = np.exp(np.random.default_rng(5).normal(size=other[~fit].shape))
        changed = labelled_of(
            other, labelled.member ^ ~fit, labelled.measured.identities
        )  # their labels turned round as well
        assert_same_bytes(fitted, protocol.partial(changed, fit, OPTIONS)[0])

    def test_scored(self, labelled, fit):
        scored = labelled.scored(np.arange(len(fit)), ~fit)
        np.testing.assert_array_equal(scored.scores, np.flatnonzero(~fit))
        np.testing.assert_array_equal(scored.member, labelled.member[~fit])
        names = np.array(labelled.measured.identities)
        assert scored.identities == tuple(names[~fit])


class TestAuxiliary:
    """Only auxiliary faces shape the attack."""

    def test_finds_the_same_signal_in_other_units(self, labelled):
        shadow = crowd(shift=0.7, seed=3)
        scale = np.exp(np.random.default_rng(4).normal(size=5))
        there = labelled_of(
            scale * labelled.measured.distances**1.5,
            labelled.member,
            labelled.measured.identities,
        )
        outsiders = crowd(seed=8).measured
        reference = labelled_of(
            scale * outsiders.distances**1.5, np.zeros(len(outsiders)), outsiders.identities
        ).measured
        _, logits = protocol.auxiliary(shadow, reference, there, OPTIONS)
        assert roc.auc(logits, there.member) > 0.85
        # The threshold comes along: it is the shadow's, and still in the middle.
        said = logits > 0
        assert said[there.member].mean() > 0.65
        assert (~said)[~there.member].mean() > 0.65

    def test_knows_nothing_of_the_target_labels_or_images(self, labelled):
        shadow, reference = crowd(shift=0.7, seed=3), crowd(seed=8).measured
        fitted, logits = protocol.auxiliary(shadow, reference, labelled, OPTIONS)
        turned = labelled_of(
            labelled.measured.distances, ~labelled.member, labelled.measured.identities
        )
        again, same = protocol.auxiliary(shadow, reference, turned, OPTIONS)
        assert_same_bytes(fitted, again)
        np.testing.assert_array_equal(logits, same)
        few = measurements.select(labelled.measured, [0, 50])
        part, alone = protocol.auxiliary(
            shadow,
            reference,
            protocol.Labelled(measured=few, member=labelled.member[[0, 50]]),
            OPTIONS,
        )
        assert_same_bytes(fitted, part)
        np.testing.assert_allclose(alone, logits[[0, 50]], rtol=1e-5)

    def test_another_architecture(self, labelled):
        with pytest.raises(InputError, match=r'shadow: found 3 BatchNorm layers.*has 5'):
            protocol.auxiliary(crowd(layers=3), labelled.measured, labelled, OPTIONS)


def test_signs_of_layers_come_from_the_fit_half(labelled, fit):
    """A layer that points one way in the fit half and the other way outside scores below 0.5."""
    logs = np.tile(np.where(labelled.member, -1.0, 1.0)[:, None], (1, 3))
    logs += 0.1 * np.random.default_rng(0).normal(size=logs.shape)
    logs[:, 1] *= -1
    logs[~fit, 2] *= -1
    scores = protocol.layer_scores(
        labelled_of(np.exp(logs), labelled.member, labelled.measured.identities), fit
    )
    assert scores.shape == (3, len(fit))
    inside = [roc.auc(row[fit], labelled.member[fit]) for row in scores]
    outside = [roc.auc(row[~fit], labelled.member[~fit]) for row in scores]
    np.testing.assert_allclose(inside, [1, 1, 1])
    np.testing.assert_allclose(outside, [1, 1, 0], atol=1e-12)


class TestPeople:
    def test_mean_cosine_of_every_two_images(self, labelled, fit):
        logits = np.arange(len(fit), dtype=float)
        people = protocol.people(labelled, fit, logits)
        assert people.names == tuple(sorted({*labelled.measured.identities}))
        names = np.array(labelled.measured.identities)
        for row, name in enumerate(people.names):
            own = np.flatnonzero(names == name)
            units = labelled.measured.embeddings[own].astype(np.float64)
            units /= np.linalg.norm(units, axis=1, keepdims=True)
            pairs = [units[i] @ units[j] for i in range(4) for j in range(4) if i != j]
            np.testing.assert_allclose(people.features[row], [np.mean(pairs), own.mean()])
            assert people.member[row] == labelled.member[own[0]]
            assert people.fit[row] == fit[own[0]]
        bare = protocol.people(labelled, fit, None)
        np.testing.assert_array_equal(bare.features, people.features[:, :1])

    def test_single_images_say_nothing_and_both_sides_count_apart(self):
        names = ['one', 'two', 'two', 'both', 'both', 'both', 'both', 'mixed', 'mixed']
        member = [True, True, True, True, True, False, False, True, False]
        images = labelled_of(np.ones((9, 1)), member, names)
        people = protocol.people(images, np.zeros(9, bool), None)
        assert list(zip(people.names, people.member.tolist(), strict=True)) == [
            ('both', False),
            ('both', True),
            ('two', True),
        ]

    def test_embedding_of_nothing(self):
        images = labelled_of(np.ones((2, 1)), [True, True], 'aa', np.zeros((2, 3)))
        assert protocol.people(images, np.zeros(2, bool), None).features.tolist() == [[0.0]]

    def test_an_attack_on_people_finds_the_ones_whose_images_agree(self, labelled, fit):
        generator = np.random.default_rng(0)
        base = {name: generator.normal(size=6) for name in set(labelled.measured.identities)}
        spread = np.where(labelled.member, 0.2, 1.0)[:, None]
        embeddings = np.stack([base[name] for name in labelled.measured.identities])
        embeddings = embeddings + spread * generator.normal(size=embeddings.shape)
        images = labelled_of(
            np.ones((len(fit), 0)), labelled.member, labelled.measured.identities, embeddings
        )
        people = protocol.people(images, fit, None)
        logits, scored = protocol.identity_level(people, OPTIONS)
        assert len(logits) == 24
        assert len(scored.scores) == 12
        assert roc.auc(scored.scores, scored.member) > 0.95
        inside = {name for name, side in zip(people.names, people.fit, strict=True) if side}
        assert not inside & set(scored.identities)
        # No hidden layer, whatever the images' attack has.
        again, _ = protocol.identity_level(people, Options(hidden=7))
        np.testing.assert_array_equal(again, logits)

    @pytest.mark.parametrize('short', [(True, True), (True, False), (False, True), (False, False)])
    def test_too_few_people_on_a_side(self, short):
        member = np.array([True] * 4 + [False] * 4)
        fit = np.array([True, True, False, False] * 2)
        keep = ~((member == short[0]) & (fit == short[1]))
        keep[np.flatnonzero(~keep)[0]] = True  # one of two is left

        def people(rows):
            return protocol.People(
                names=tuple(f'p{row}' for row in np.flatnonzero(rows)),
                member=member[rows],
                fit=fit[rows],
                features=np.arange(8.0)[rows, None],
            )

        assert protocol.identity_level(people(np.ones(8, bool)), OPTIONS) is not None
        assert protocol.identity_level(people(keep), OPTIONS) is None


class TestCrossedLogits:
    def test_outside_the_fit_half_nothing_changes(self, labelled, fit):
        _, logits = protocol.partial(labelled, fit, OPTIONS)
        crossed = protocol.crossed_logits(labelled, fit, logits, OPTIONS, 0)
        np.testing.assert_array_equal(crossed[~fit], logits[~fit])
        assert (crossed[fit] != logits[fit]).all()

    def test_nobody_is_scored_by_an_attack_that_was_fitted_on_them(self, labelled, fit):
        """Changing one person's images changes that person's logits and those of the other part."""
        logits = np.zeros(len(fit))
        before = protocol.crossed_logits(labelled, fit, logits, OPTIONS, 0)
        names = np.array(labelled.measured.identities)
        name = names[np.flatnonzero(fit)[0]]
        changed = labelled.measured.distances.copy()
        changed[np.flatnonzero(names == name)[0]] *= 50
        after = protocol.crossed_logits(
            labelled_of(changed, labelled.member, names), fit, logits, OPTIONS, 0
        )
        moved = {person for person in names[fit] if (before != after)[names == person].any()}
        still = set(names[fit]) - moved - {name}
        # All images of the own part but the changed one stay: they were scored by the other part.
        assert (before != after)[names == name].sum() == 1
        assert len(still) in (5, 6, 7)
        assert moved.isdisjoint(still)

    def test_noise_does_not_look_like_membership(self):
        """Forty layers of noise and few people: the attack knows its own images, and only those."""
        noise = crowd(people=16, images=2, layers=40)
        fit = protocol.fit_half(noise.measured.identities, noise.member, 0)
        _, logits = protocol.partial(noise, fit, OPTIONS)
        crossed = protocol.crossed_logits(noise, fit, logits, OPTIONS, 0)
        assert roc.auc(logits[fit], noise.member[fit]) > 0.95
        assert roc.auc(crossed[fit], noise.member[fit]) < 0.75
