"""What an audit is asked for: chosen attacks, backbones without BatchNorm, what would be ignored."""

import dataclasses

import pytest

from fr_inference import config
from fr_inference.errors import InputError
from fr_inference.membership import attack, labelled, trials
from tests.auditing.conftest import SETTINGS
from tests.membership.backbones import Plain, Small, crowd, noise_faces, target_of


class TestChosenAttacks:
    def test_people_alone(self, audit):
        found = audit(dataclasses.replace(SETTINGS, attacks=('people',)))
        (comparison,) = found.comparisons
        assert (comparison.attack, comparison.headline) == ('people', True)
        assert list(found.columns) == ['path', 'identity', 'member', 'evaluation']
        assert 'populations' not in found.record['membership']

    @pytest.mark.parametrize('field', ['auxiliary', 'member_identities', 'shift'])
    def test_faces_that_they_ignore(self, audit, field):
        """No shadow is trained for nothing."""
        settings = dataclasses.replace(SETTINGS, attacks=('people',))
        with pytest.raises(InputError) as caught:
            audit(settings, **{field: noise_faces(12, 2, seed=7, name='more')})
        assert (caught.value.field, caught.value.found) == (
            field,
            'faces that attacks=people ignores',
        )

    def test_no_leak_can_be_followed(self, audit):
        """People have no copies, and an inversion has no attack."""
        reaching = dataclasses.replace(SETTINGS, reach=True)
        searched = {'generator': 'one', 'evaluator': 'another', 'membership': False}
        for settings, given in (
            (dataclasses.replace(reaching, attacks=('people',)), {}),
            (reaching, searched),
        ):
            with pytest.raises(InputError) as caught:
                audit(settings, **given)
            assert caught.value.field == 'reach'

    def test_in_the_order_of_the_report(self, audit):
        found = audit(dataclasses.replace(SETTINGS, attacks=('people', 'bn-distance')))
        assert [one.attack for one in found.comparisons] == ['bn-distance', 'people']
        assert [one.headline for one in found.comparisons] == [True, False]


class TestWithoutBatchNorm:
    def test_people_can_still_be_attacked(self, audit, tmp_path):
        found = audit(target=target_of(Plain(), name='plain'))
        assert set(found.record['membership']) == {'comparisons', 'populations', 'slices'}
        by_key = {one.key: one for one in found.comparisons}
        assert set(by_key) == {
            *('combined-answers/partial', 'combined-answers/strangers', 'people/partial'),
            *('anchors/partial', 'norm/partial', 'norm/strangers'),
            *('quantile/partial', 'quantile/strangers'),
        }
        assert {one.access for one in found.comparisons} == {'answers'}
        assert found.comparisons[0].key == 'combined-answers/partial'
        assert found.comparisons[0].headline
        people = by_key['people/partial']
        assert None not in (people.null, people.blind, people.excess)
        assert found.record['target']['norm_layers'] == []
        assert found.distances.shape == (56, 0)
        limits = found.record['limits']
        assert len([line for line in limits if line.startswith('plain has no BatchNorm')]) == 1
        assert any(line.startswith('BatchNorm distances: not run') for line in limits)
        found.save(tmp_path)

    def test_a_blind_backbone_shows_no_more_than_the_target(self, audit):
        found = audit(
            dataclasses.replace(SETTINGS, attacks=('people',)),
            target=target_of(Plain(), name='plain'),
            blind=target_of(Small(), seed=8),
        )
        (comparison,) = found.comparisons
        assert comparison.blind is not None
        assert comparison.access == 'answers'

    def test_nothing_left_is_an_error(self, audit):
        with pytest.raises(InputError) as caught:
            audit(
                dataclasses.replace(SETTINGS, attacks=('bn-distance', 'people')),
                target=target_of(Plain()),
                members=noise_faces(12, 1, seed=1, name='in'),
                nonmembers=noise_faces(12, 1, seed=2, name='out'),
            )
        assert caught.value.field == 'attacks'
        for name in ('bn-distance', 'people'):
            assert name in caught.value.expected

    def test_an_auxiliary_set_does_not_train_a_shadow_in_vain(self, audit, auxiliary):
        found = audit(target=target_of(Plain()), auxiliary=auxiliary)
        assert 'shadow' not in found.record['membership']

    def test_a_blind_backbone_without_statistics(self, audit):
        with pytest.raises(InputError) as caught:
            audit(blind=target_of(Plain()))
        assert caught.value.field == 'blind'


class TestWhatIsAskedFor:
    @pytest.mark.parametrize('given', [{'membership': False}, {'search': config.Search()}])
    def test_a_search_without_generator(self, audit, given):
        with pytest.raises(InputError) as caught:
            audit(**given)
        assert caught.value.field == 'generator'

    def test_a_generator_without_judge(self, audit):
        with pytest.raises(InputError) as caught:
            audit(generator='one')
        assert caught.value.field == 'evaluator'

    def test_strangers_without_centres(self, audit, members):
        with pytest.raises(InputError) as caught:
            audit(generator='one', evaluator='another', strangers=members)
        assert caught.value.field == 'strangers'


@pytest.mark.parametrize(
    ('people', 'others', 'field', 'found'),
    [
        ((3, 12), 'in', 'members', '3 people'),
        ((12, 3), 'in', 'nonmembers', '3 people'),
        ((12, 7), 'in', 'nonmembers', '7 people'),
        ((12, 12), 'other', 'member_identities', 'nobody who is a member in the evaluated half'),
    ],
)
def test_what_names_tell_is_told_before_anything_is_scored(audit, people, others, field, found):
    def unread(count, name):
        seed = len(name)  # different people look different
        return dataclasses.replace(noise_faces(count, 2, seed=seed, name=name), read=None)

    with pytest.raises(InputError) as caught:
        audit(
            members=unread(people[0], 'in'),
            nonmembers=unread(people[1], 'out'),
            member_identities=dataclasses.replace(
                unread(12, others), digest=lambda index: f'{index}'
            ),
        )
    assert (caught.value.field, caught.value.found) == (field, found)


class TestReferences:
    """What would be compared with itself is refused."""

    def test_the_target_itself(self, audit, target):
        with pytest.raises(InputError) as caught:
            audit(references={'copy': dataclasses.replace(target, name='copy', sha256='')})
        assert caught.value.field == 'references'

    def test_twice(self, audit):
        other = target_of(Small(), seed=9)
        with pytest.raises(InputError) as caught:
            audit(references={'one': other, 'two': other})
        assert caught.value.field == 'references'

    def test_combined_attacks_alone(self, audit):
        with pytest.raises(InputError) as caught:
            audit(dataclasses.replace(SETTINGS, attacks=('combined-file',)))
        assert caught.value.field == 'attacks'

    def test_an_attack_that_knows_strangers_sees_no_label(self):
        seen = []

        def examples(images, fit, seed):
            seen.append((images.member.any(), int(fit.sum())))
            return attack.of_images(images, fit, images.embeddings[:, :1].astype(float))

        own = attack.Attack(
            name='own', title='own', source='a test', access='answers', unit='image', needs='nothing',
            examples=examples, settings=('strangers',), signs=(1.0,),
        )  # fmt: skip
        faces = crowd(people=12)
        fit = labelled.fit_half(faces.identities, faces.member, 0)
        assert trials.run_attack(own, faces, fit, 0, 'strangers') is not None
        assert seen == [(False, int((fit & ~faces.member).sum()))]
