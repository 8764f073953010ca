"""The attacks: found by their files, and the examples that each makes of measured images."""

import dataclasses

import numpy as np
import pytest

from fr_inference import config
from fr_inference.errors import InputError
from fr_inference.membership import attacks, trials
from fr_inference.membership.attack import Examples
from fr_inference.metrics import roc
from tests.membership.backbones import labelled_of

PEOPLE, DISTANCES = attacks.get('people'), attacks.get('bn-distance')


class TestFound:
    def test_in_the_order_of_the_report(self):
        names = attacks.names()
        assert all(name.startswith('combined') for name in names[:4])
        assert names[4:7] == ('bn-distance', 'people', 'people-answers')
        assert list(names[7:]) == sorted(names[7:])

    def test_options_know_them(self):
        known = config.options_of(config.Settings)['attacks'][1]
        assert known.allowed() == (*attacks.names(), attacks.ALL)
        assert config.Settings(attacks=('people',)).attacks == ('people',)
        for wrong in ('nothing', 'ATTACK'):
            with pytest.raises(InputError) as caught:
                config.Settings(attacks=(wrong,))
            assert caught.value.field == 'attacks'
            assert 'bn-distance' in caught.value.expected
        with pytest.raises(InputError) as caught:
            config.Settings(attacks=('people', 'people'))
        assert (caught.value.field, caught.value.found) == ('attacks', "'people' twice")

    @pytest.mark.parametrize('name', attacks.names())
    def test_says_what_it_is(self, name):
        attack = attacks.get(name)
        assert attack.name == name
        assert attack.title
        assert attack.needs
        assert attack.source

    @pytest.mark.parametrize('field', ['access', 'unit', 'settings'])
    def test_checked(self, field):
        with pytest.raises(InputError) as caught:
            dataclasses.replace(
                DISTANCES, **{field: ('other',) if field == 'settings' else 'other'}
            )
        assert caught.value.field == field


class TestExamples:
    @pytest.mark.parametrize('short', [(True, True), (True, False), (False, True), (False, False)])
    def test_enough_people_on_every_side(self, short):
        member = np.array([True] * 4 + [False] * 4)
        fit = np.array([True, True, False, False] * 2)
        keep = ~((member == short[0]) & (fit == short[1]))
        keep[np.flatnonzero(~keep)[0]] = True  # one of two is left

        def examples(rows):
            return Examples(
                names=tuple(f'p{row}' for row in np.flatnonzero(rows)),
                member=member[rows],
                fit=fit[rows],
                features=np.arange(8.0)[rows, None],
            )

        assert examples(np.ones(8, bool)).enough
        assert not examples(keep).enough
        again = dataclasses.replace(examples(np.ones(8, bool)), names=('p',) * 8)
        assert not again.enough  # images of one person are one


class TestDistances:
    def test_one_example_for_each_image(self, images, fit):
        found = DISTANCES.examples(images, fit, 0)
        assert found.names == images.identities
        np.testing.assert_array_equal(found.features, images.log_distances)
        np.testing.assert_array_equal(found.member, images.member)
        np.testing.assert_array_equal(found.fit, fit)

    def test_without_layers(self, images, fit):
        bare = labelled_of(images.distances[:, :0], images.member, images.identities)
        assert DISTANCES.examples(bare, fit, 0) is None


def without_layers(images):
    return labelled_of(images.distances[:, :0], images.member, images.identities, images.embeddings)


class TestPeople:
    def test_single_images_say_nothing_and_both_sides_count_apart(self):
        names = ['one', 'two', 'two', 'both', 'both', 'both', 'both', 'mixed', 'mixed']
        member = [True, True, True, True, True, False, False, True, False]
        names += ['x', 'y']  # two strangers to fit on
        member, fit = [*member, False, False], np.arange(11) > 8
        people = PEOPLE.examples(labelled_of(np.ones((11, 0)), member, names), fit, 0)
        assert list(zip(people.names, people.member.tolist(), strict=True)) == [
            ('both', False),
            ('both', True),
            ('two', True),
        ]

    def test_embedding_of_nothing(self):
        nothing = labelled_of(np.ones((4, 0)), [True, True, False, False], 'aabc', np.zeros((4, 3)))
        found = PEOPLE.examples(nothing, np.array([False, False, True, True]), 0)
        assert np.isfinite(found.features).all()

    def test_too_few_people_to_cross_fit(self, images, fit):
        """Three members in the fit half cannot be halved again."""
        members = sorted(
            {name for name, inside in zip(images.identities, fit, strict=True) if inside}
        )
        members = [name for name in members if int(name[1:]) < 12]
        keep = np.array([name not in members[:3] for name in images.identities])
        few = images.select(keep)
        assert len(set(few.identities)) == 21
        assert PEOPLE.examples(few, fit[keep], 0) is None
        assert PEOPLE.examples(without_layers(few), fit[keep], 0).enough

    def test_finds_the_ones_whose_images_agree(self, images, fit):
        generator = np.random.default_rng(0)
        base = {name: generator.normal(size=6) for name in set(images.identities)}
        spread = np.where(images.member, 0.2, 1.0)[:, None]
        embeddings = np.stack([base[name] for name in images.identities])
        embeddings = embeddings + spread * generator.normal(size=embeddings.shape)
        alike = labelled_of(np.ones((len(fit), 0)), images.member, images.identities, embeddings)
        trial = trials.run_attack(PEOPLE, alike, fit, 0)
        assert len(trial.logits) == 24
        scored = trial.scored
        assert len(scored.scores) == 12
        assert roc.auc(scored.scores, scored.member) > 0.95
        inside = {name for name, half in zip(images.identities, fit, strict=True) if half}
        assert not inside & set(scored.identities)
