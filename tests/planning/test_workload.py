"""What a program does, counted by hand; its parts are the programs' own functions."""

import jax
import numpy as np
import pytest

from fr_inference import errors, rng
from fr_inference.config import Search
from fr_inference.inversion import goals, guidance, prior
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.candidate import Constants
from fr_inference.measuring import distances
from fr_inference.membership import logistic
from fr_inference.planning import lowering
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target
from tests.planning.planned import COMMON, machine, parts


def amounts(found):
    return {part.name.partition(':')[0]: (part.amount, part.unit) for part in found}


def test_membership_inference():
    """Members, as many non-members, and others, in the target and in its blind control."""
    found = parts('audit', target='tiny', member_identities='30', shift='7', **COMMON)
    assert amounts(found) == {'scoring': (2 * (100 + 100 + 30 + 7), 'image')}


def test_references_see_every_picture_once():
    found = parts('audit', target='tiny', references='demo_few', shift='7', **COMMON)
    assert amounts(found) == {
        'scoring': (2 * (200 + 7), 'image'),
        'scoring, reference demo_few': (207, 'image'),
    }


def test_copies_are_counted_where_a_leak_is_to_be_followed():
    """Nine changes of the judged half, 256 images a side at most, in both networks and the reference."""
    given = {**COMMON, 'members': '100:20', 'nonmembers': '1000', 'reach': 'true'}
    found = parts('audit', target='tiny', references='demo_few', **given)
    seen = 100 + 1000 + 9 * (50 + 256)
    assert amounts(found) == {
        'scoring': (2 * seen, 'image'),
        'scoring, reference demo_few': (seen, 'image'),
    }


def test_further_passes_are_counted():
    few = parts('audit', target='tiny', **COMMON)[0].flops()
    more = parts('audit', target='tiny', attacks='bn-distance,agreement', **COMMON)[0].flops()
    assert more == 9 * few


def test_another_blind_backbone_is_a_program_of_its_own():
    found = parts('audit', target='tiny', blind='demo_few', nonmembers='40', **COMMON)
    assert amounts(found) == {'scoring': (140, 'image'), 'scoring, blind': (140, 'image')}


def test_a_shadow_is_trained_and_measured():
    found = parts('audit', target='tiny', auxiliary='200:50', **COMMON)
    # In target and blind control 200, auxiliary faces in both and in the shadow.
    measured = 2 * 200 + 3 * 200
    trained = (
        20 * (100 // 64) * 64
    )  # epochs of the default recipe, whole batches of half the images
    assert amounts(found) == {
        'scoring': (measured, 'image'),
        'training the shadow': (trained, 'image'),
    }


def test_the_search_and_its_controls():
    found = parts(
        'invert', target='tiny', generator='8', evaluator='demo_few', sweep='0,1', draws=64,
        candidates=16, steps=5, keep=4, search_batch=8, targeted=3, **COMMON,
    )  # fmt: skip
    # The search, an untrained target, one other strength; 3 people in three searches, 4 candidates each.
    candidates = (2 + 1) * 16 + 3 * 3 * 4
    assert amounts(found) == {
        'scoring': (400, 'image'),
        'looking': (2 * 64 + 2 * candidates, 'look'),
        'searching': (5 * candidates, 'candidate-step'),
        'evaluator': (200, 'image'),
    }
    sizes = {part.unit: part.size(machine()) for part in found}
    assert sizes == {'image': 32, 'look': 8, 'candidate-step': 8}
    assert found[2].size(machine(processes=2)) == 8


def test_without_steps_there_are_looks_alone():
    found = parts('reconstruct', target='tiny', generator='8', templates='10', steps=0, draws=64)
    assert amounts(found) == {'looking': (64 + 2 * 40, 'look')}


def test_photographs_are_measured_first():
    found = parts('reconstruct', target='tiny', generator='8', photographs='10', draws=64)
    assert amounts(found)['photographs'] == (10, 'image')
    assert amounts(found)['searching'] == (10 * 4 * 100, 'candidate-step')


def test_training_leaves_the_held_out_people_out():
    (part,) = parts('train_recognizer', faces='1000:100', arch='tiny', epochs=3, batch_size=32)
    assert (part.amount, part.everywhere) == (3 * (900 // 32) * 32, True)
    assert part.size(machine()) == 16


def test_measuring_the_leak_takes_as_many_members_as_others_at_every_look():
    flags = {'faces': '1000:100', 'arch': 'tiny', 'epochs': 5, 'audit_every': 2}
    _, measured = parts('train_recognizer', **flags)
    assert measured.amount == (3 + 1) * (100 + 100)  # epochs 0, 2 and 4, and the last
    _, measured = parts('train_recognizer', **flags, holdout=0, audit_nonmembers='300:200')
    assert measured.amount == 4 * (1000 + 300)


@pytest.mark.parametrize(
    ('program', 'given', 'field'),
    [
        ('audit', {'members': '10'}, 'target'),
        ('audit', {'target': 'tiny'}, 'members'),
        ('invert', {'target': 'tiny', 'members': '10'}, 'generator'),
        (
            'audit',
            {'target': 'tiny', 'members': '10', 'steps': '4'},
            'steps',
        ),  # without a generator
        ('audit', {'target': 'none', 'members': '10'}, 'target'),
        ('reconstruct', {'target': 'tiny', 'templates': '10'}, 'generator'),
        ('reconstruct', {'generator': '8', 'templates': '10'}, 'target'),
        ('reconstruct', {'target': 'tiny', 'generator': '8'}, 'templates'),
        ('train_recognizer', {'arch': 'tiny'}, 'faces'),
    ],
)
def test_what_is_missing(program, given, field):
    with pytest.raises(errors.InputError) as raised:
        parts(program, **given)
    assert raised.value.field == field


def test_constants_are_those_of_the_search():
    """Structure, shapes and dtypes of what `subject.prepare` and `search.run` give to a program."""
    target, generator = open_target('demo_few'), open_generator('demo_generator')
    layers, seed = len(distances.layer_names(target)), 0
    scene = scenes.make(generator.module, target)
    draw = np.random.default_rng(0)
    features, member = draw.normal(size=(8, layers)).astype(np.float32), np.arange(8) < 4
    real = Constants(
        generator=generator.variables,
        target=target.variables,
        prior=prior.of_generator(scene, generator.variables, seed),
        guide=guidance.guide(logistic.fit(features, member), features[member]),
        key=rng.stream(jax.random.key(seed), 'search'),
        weights=goals.membership().weights,
    )
    how = Search()
    found = lowering.Searching(
        target=target, generator=generator, how=how, term=lowering.goal_of(how), watched=True
    ).constants
    assert jax.tree.structure(found) == jax.tree.structure(real)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(real), strict=True):
        assert (one.shape, one.dtype) == (np.shape(other), jax.numpy.asarray(other).dtype)
