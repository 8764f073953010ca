"""Membership inference on small backbones: every comparison, populations, layers, people."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from fr_inference import config
from fr_inference.data import overlap
from fr_inference.membership import attacks, comparing, slices, study
from fr_inference.membership.views import Shadow, measure_views
from fr_inference.metrics import intervals, roc
from tests.membership.backbones import Small, noise_faces, target_of

FIGURES = {
    *('auc', 'auc_ci95', 'accuracy', 'accuracy_ci95', 'tpr_at_fpr', 'tpr_at_fpr_ci95'),
    *('members', 'nonmembers', 'identities'),
}
SETTINGS = config.Settings(replicates=100, batch_size=16)


@pytest.fixture(scope='module')
def faces():
    return {
        'members': noise_faces(12, 2, seed=1, name='in'),
        'nonmembers': noise_faces(16, 2, seed=2, name='out'),
        'auxiliary': noise_faces(16, 2, seed=3, name='aux'),
        'member_identities': noise_faces(12, 3, seed=4, name='in'),
        'shift': noise_faces(5, 2, seed=6, name='far'),
    }


@pytest.fixture(scope='module')
def views(faces):
    target = target_of(Small())
    shadow = Shadow(
        target=target_of(Small(), seed=5, apply=target.apply, name='my shadow'),
        digests=overlap.content_digests(faces['auxiliary'])[:16],
    )
    return measure_views(
        target,
        faces,
        settings=SETTINGS,
        features=study.features_of(SETTINGS),
        shadow=shadow,
        references={'base': target_of(Small(), seed=7, apply=target.apply, name='base')},
    )


@pytest.fixture(scope='module')
def found(views, faces):
    return study.run(views, faces, settings=SETTINGS)


@pytest.fixture(scope='module')
def by_key(found):
    return {comparison.key: comparison for comparison in found.comparisons}


def test_every_attack_in_every_setting(found, by_key):
    run = {(attack.name, setting) for attack in attacks.chosen() for setting in attack.settings}
    # Without members the file adds nothing to the answers: no combined attack of it.
    run -= {('combined-file', 'strangers'), ('combined-file-references', 'strangers')}
    assert {tuple(key.split('/')) for key in by_key} == run
    assert [one.headline for one in found.comparisons] == [True] + [False] * (len(by_key) - 1)
    counted = [one.key for one in found.comparisons if not one.further]
    assert counted == [
        'combined-file-references/partial',
        'combined-file-references/auxiliary',
        'people/partial',
    ]
    assert all((one.best_of is None) == (not one.further) for one in found.comparisons)
    assert set(found.membership) == {'comparisons', 'populations', 'slices', 'layers', 'shadow'}
    assert found.membership['comparisons'] == [one.to_json() for one in found.comparisons]


def test_blocks_of_figures(found):
    comparisons, populations = found.comparisons, found.membership['populations']
    blocks = [block for one in comparisons for block in (one.figures, one.blind, one.null)]
    others = dict(populations['member_identities_vs_nonmembers'])
    blocks += [others.pop('blind'), others, found.membership['shadow']['on_itself']]
    blocks += [
        block for name, block in populations.items() if name != 'member_identities_vs_nonmembers'
    ]
    for block in blocks:
        assert set(block) == FIGURES
        assert set(block['tpr_at_fpr']) == {'0.1', '0.01', '0.001'}
        low, high = block['auc_ci95']
        assert 0 <= low <= block['auc'] <= high <= 1
    for one in comparisons:
        assert one.excess['auc_ci95'][0] <= one.excess['auc'] <= one.excess['auc_ci95'][1]


def test_figures_are_those_of_the_logits(found, views, by_key):
    """Every figure again from the logits, the halves and the names."""
    rest = ~views.fit
    for key in ('bn-distance/partial', 'bn-distance/auxiliary'):
        scores, member = found.logits[key][rest], views.in_target.member[rest]
        figures = by_key[key].figures
        assert figures['auc'] == pytest.approx(roc.auc(scores, member), abs=1e-12)
        balanced = 0.5 * ((scores[member] > 0).mean() + (scores[~member] <= 0).mean())
        assert figures['accuracy'] == pytest.approx(balanced, abs=1e-12)
        assert (figures['members'], figures['nonmembers']) == (12, 16)
        assert figures['identities'] == 14


def test_excess_is_the_paired_difference(views, by_key):
    """The same people are drawn for the target and for its control."""
    for attack in study.chosen(SETTINGS)[::3]:
        for setting in attack.settings:
            if f'{attack.name}/{setting}' not in by_key:
                continue
            _, trials = comparing.compare(attack, setting, views, SETTINGS)
            first, second = trials.target.scored, trials.blind.scored
            assert first.identities == second.identities
            np.testing.assert_array_equal(first.member, second.member)
            values, sampled = intervals.aucs(
                np.stack([first.scores, second.scores]),
                first.member,
                first.identities,
                seed=0,
                replicates=100,
            )
            excess = by_key[f'{attack.name}/{setting}'].excess
            assert excess['auc'] == pytest.approx(values[0] - values[1], abs=1e-12)
            # Percentiles as far out as Student's quantile for the people of the smaller side.
            sides = (first.member, ~first.member)
            people = min(len(set(np.array(first.identities)[side])) for side in sides)
            reach = np.sqrt(people / (people - 1)) * stats.t.ppf(0.975, people - 1)
            ends = stats.norm.cdf([-reach, reach])
            expected = np.quantile(sampled[:, 0] - sampled[:, 1], ends)
            np.testing.assert_allclose(excess['auc_ci95'], expected, atol=2e-3)


def test_populations_are_of_people_that_are_judged(found):
    """The attack has not seen the people whose other images it scores."""
    figures = found.membership['populations']
    assert list(figures) == [
        'members_vs_nonmembers',
        'member_identities_vs_nonmembers',
        'members_vs_same_identities',
        'nonmembers_vs_shift',
    ]
    assert figures['members_vs_nonmembers'] == found.comparisons[0].figures
    assert figures['member_identities_vs_nonmembers']['members'] == 6 * 3
    assert figures['member_identities_vs_nonmembers']['identities'] == 6 + 8
    # The same people in the backbone that never saw them, by the attack that was fitted there.
    blind = figures['member_identities_vs_nonmembers']['blind']
    assert (blind['members'], blind['identities']) == (6 * 3, 6 + 8)
    assert blind['auc'] != figures['member_identities_vs_nonmembers']['auc']
    # Both sides are of the same six judged people: none of the fitted ones is among them.
    assert figures['members_vs_same_identities']['identities'] == 6
    assert figures['nonmembers_vs_shift']['nonmembers'] == 10


def test_layers(found, views):
    layers = found.membership['layers']
    assert [layer['name'] for layer in layers] == list(views.in_target.layers)
    assert all(set(layer) == {'name', 'auc', 'auc_ci95'} for layer in layers)


def test_shadow(found):
    shadow = found.membership['shadow']
    assert (shadow['name'], shadow['recipe']) == ('my shadow', None)
    assert (shadow['members'], shadow['nonmembers']) == (16, 16)


def test_nobody_is_exposed_without_a_leak(found):
    assert not [one for one in found.comparisons if one.kind == 'leak']
    assert found.exposed is None
    assert [line for line in found.limits if line.endswith('another attack still might.')]


@pytest.mark.parametrize('failed', ['image', 'person', 'both'])
def test_an_attack_whose_control_failed_ranks_nobody(views, monkeypatch, failed):
    compare = comparing.compare

    def failing(attack, *args, **more):
        pair = compare(attack, *args, **more)
        if pair is None or failed not in (attack.unit, 'both'):
            return pair
        null = {**pair[0].figures, 'auc': 0.875, 'auc_ci95': [0.574, 1.0]}
        return dataclasses.replace(pair[0], null=null), pair[1]

    monkeypatch.setattr(comparing, 'compare', failing)
    found = study.run(views, {}, settings=SETTINGS)
    assert {one.unit for one in found.comparisons if not one.valid} >= (
        {'image', 'person'} if failed == 'both' else {failed}
    )
    if found.exposed is not None:
        units = {one.key: one.unit for one in found.comparisons}
        assert failed not in (units[found.exposed['by']], 'both')
    # What the populations are measured by does not depend on it: the report says that it failed.
    assert found.membership['populations']['members_vs_nonmembers'] == found.comparisons[0].figures


def test_chosen(views):
    settings = dataclasses.replace(SETTINGS, attacks=('people',))
    assert [attack.name for attack in study.chosen(settings)] == ['people']
    found = study.run(views, {}, settings=settings)
    (comparison,) = found.comparisons
    assert (comparison.key, comparison.headline) == ('people/partial', True)
    assert 'on_itself' not in found.membership['shadow']
    assert found.exposed is None or found.exposed['by'] == 'people/partial'


def test_without_a_leak_nothing_is_said_of_a_collection(views, faces):
    """The same difference would be called use for training."""
    settings = dataclasses.replace(SETTINGS, attacks=('bn-distance',))
    collection = noise_faces(12, 2, seed=9, name='new')
    found = study.run(views, {'collection': collection}, settings=settings)
    assert found.comparisons[0].kind != 'leak'
    assert found.membership['collection'] is None


def test_slices_are_of_the_judged_images_and_their_columns(views, monkeypatch):
    """A column stays with its images where some could not be read."""
    monkeypatch.setattr(slices, 'LEAST_PEOPLE', 2)
    cameras = [f'camera {index % 2}' for index in range(len(views.faces))]
    kept = np.flatnonzero(np.arange(len(views.in_target)) % 7 != 2)
    marked = dataclasses.replace(
        views,
        faces=dataclasses.replace(views.faces, columns={'camera': cameras}),
        in_target=views.in_target.select(kept),
        in_blind=views.in_blind.select(kept),
        fit=views.fit[kept],
        shadow=None,
    )
    settings = dataclasses.replace(SETTINGS, attacks=('norm', 'people'))
    found = study.run(marked, {}, settings=settings)
    camera = {
        one['value']: one
        for one in found.membership['slices']['slices']
        if one['by'] == 'column' and one['column'] == 'camera'
    }
    assert set(camera) == {'camera 0', 'camera 1'}
    for name, one in camera.items():
        rows = ~marked.fit & (np.array(cameras)[marked.in_target.index] == name)
        scores, member = found.logits['norm/partial'][rows], marked.in_target.member[rows]
        assert one['auc'] == pytest.approx(roc.auc(scores, member), abs=1e-12)
        assert 'blind_auc' in one
