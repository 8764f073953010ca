"""An audit's searches: every goal with its controls, and what each leaves in the record."""

import dataclasses

import numpy as np
import pytest

from fr_inference import config, errors
from fr_inference.data.faces import from_arrays
from fr_inference.inversion import guidance, outcome, reconstructions, searches
from fr_inference.measuring import measurements
from tests.inversion import worlds
from tests.membership.backbones import Plain, Small, target_of

PEOPLE = 6
HOW = config.replace(worlds.HOW, steps=2, keep=6)


def embed(backbone, faces, label=''):
    return measurements.measure(backbone, faces, label=label).embeddings


def side(target, faces, guide, label):
    rows = len(faces)
    return guidance.Side(
        target=target,
        embeddings=embed(target, faces),
        guide=guide,
        setting='partial' if guide is not None else None,
        fitted_on=np.arange(rows) % 4 < 2 if guide is not None else np.zeros(rows, bool),
        label=label,
    )


def audited(target, untrained, guide):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (8 * PEOPLE, 16, 16, 3)).astype(np.uint8)
    names = [f'p{row // 2:02d}' for row in range(8 * PEOPLE)]
    faces = from_arrays(images, names, 'noise')
    return guidance.Audited(
        target=side(target, faces, guide, 'target'),
        untrained=side(untrained, faces, guide, 'untrained target'),
        identities=np.array(names),
        member=np.arange(len(faces)) < 4 * PEOPLE,
        index=np.arange(len(faces)),
        faces=faces,
        embed=embed,
    )


@pytest.fixture(scope='module')
def request_of():
    _, generator = worlds.networks()
    evaluator = target_of(Small(embedding=12), size=16, seed=5, name='evaluator')

    def make(**options):
        how = config.replace(HOW, **options)
        return searches.Request(generator=generator, evaluator=evaluator, search=how)

    return make


@pytest.fixture(scope='module')
def guided():
    target, _ = worlds.networks()
    untrained = target_of(Small(embedding=worlds.WIDTH), size=16, seed=9)
    return audited(target, untrained, worlds.guide())


@pytest.fixture(scope='module')
def by_membership(guided, request_of):
    return searches.invert(guided, request_of(sweep=(0.5, 1.0), targeted=2), seed=worlds.SEED)


def test_membership(by_membership, guided):
    record = by_membership.record
    assert (record['goal'], record['setting']) == ('membership', 'partial')
    assert set(record['controls']) == set(outcome.CONTROLS) - {'nonmembers'}
    assert [one['strength'] for one in record['sweep']] == [0.5, 1]
    assert record['sweep'][1]['hit_rate'] == record['hit_rate']
    assert record['members_median_logit'] == pytest.approx(float(worlds.guide().level))
    # Half of the people guided, and are in no gallery.
    assert record['gallery'] == {'members': PEOPLE, 'nonmembers': PEOPLE}
    fitted = set(guided.identities[guided.target.fitted_on].tolist())
    assert not fitted & set(by_membership.gallery.names)
    assert record['settings']['draws'] == HOW.draws
    templates = record['targeted']
    assert set(templates['controls']) == set(outcome.CONTROLS) - {'nonmember_gallery'}
    assert templates['people'] == 2
    assert (templates['strength'], templates['prior']) == (1, 0.3)  # whatever the search's
    assert outcome.Outcome.from_json(record).excess['over'] in record['controls']


def test_the_table(by_membership):
    table = reconstructions.rows(by_membership)
    assert {len(values) for values in table.values()} == {HOW.keep}
    assert np.mean(table['hit']) == pytest.approx(by_membership.record['hit_rate'])
    assert table['membership_logit'] == by_membership.found.logits.tolist()


def test_centres_need_neither_batchnorm_nor_an_attack(request_of):
    plain, other = (target_of(Plain(), size=16, seed=seed) for seed in (1, 2))
    faces = audited(plain, other, None)
    found = searches.invert(faces, request_of(centres=2, targeted=2), seed=worlds.SEED)
    record = found.record
    assert (record['goal'], record['setting']) == ('centres', 'strangers')
    assert record['gallery']['members'] == 2 * PEOPLE  # it knows nobody
    assert not {'members_median_logit', 'median_logit'} & set(record)
    assert 'membership_logit' not in reconstructions.rows(found)
    assert sorted(set(found.found.group.tolist())) == [0, 1]
    with pytest.raises(errors.InputError) as caught:
        searches.invert(faces, request_of(), seed=worlds.SEED)
    assert caught.value.field == 'target'


def test_two_evaluators_must_agree(by_membership, guided, request_of):
    other = target_of(Small(embedding=20), size=16, seed=6, name='other')
    asked = dataclasses.replace(request_of(targeted=2), second_evaluator=other)
    both = searches.invert(guided, asked, seed=worlds.SEED)
    swapped = dataclasses.replace(asked, evaluator=other, second_evaluator=asked.evaluator)
    alone = searches.invert(
        guided, dataclasses.replace(swapped, second_evaluator=None), seed=worlds.SEED
    )
    first, second = by_membership.judged, alone.judged
    same = first.nearest == second.nearest
    np.testing.assert_array_equal(both.judged.matched, first.matched & second.matched & same)
    np.testing.assert_array_equal(both.judged.rank, np.maximum(first.rank, second.rank))
    assert both.record['top1'] == np.mean((first.rank == 0) & (second.rank == 0))
    assert both.record['second_evaluator']['name'] == 'other'
    assert 'second_evaluator' not in by_membership.record
    turned = searches.invert(guided, swapped, seed=worlds.SEED)
    for found in ('hit_rate', 'top1', 'top5'):
        assert turned.record[found] == both.record[found]
        assert both.record[found] <= min(by_membership.record[found], alone.record[found])
    template = both.record['targeted']
    for control in (template, template['controls']['random_latents']):
        single = by_membership.record['targeted'], alone.record['targeted']
        if control is not template:
            single = tuple(one['controls']['random_latents'] for one in single)
        for share in ('top1', 'top5', 'accepted'):
            assert control[share] <= min(one[share] for one in single)


def test_the_second_evaluator_is_another_one(guided, request_of):
    for same in (request_of().evaluator, guided.target.target):
        request = dataclasses.replace(request_of(), second_evaluator=same)
        with pytest.raises(errors.InputError) as caught:
            searches.invert(guided, request, seed=worlds.SEED)
        assert caught.value.field == 'second_evaluator'


def test_the_target_does_not_judge_itself(guided, request_of):
    request = dataclasses.replace(request_of(), evaluator=guided.target.target)
    with pytest.raises(errors.InputError) as caught:
        searches.invert(guided, request, seed=worlds.SEED)
    assert caught.value.field == 'evaluator'
