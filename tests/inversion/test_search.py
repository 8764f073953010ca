"""The search improves what it is asked to, depends on nothing else, and goes on where it stopped."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from fr_inference import errors
from fr_inference.inversion import optimize, pool, scene, search
from fr_inference.inversion.objective import Objective
from tests.experiments import programs
from tests.inversion import worlds
from tests.inversion.worlds import PLAN, world

RAW = Objective(membership='raw', prior=0.1)


NOBODY = np.zeros((1, 16))


def run(plan=PLAN, objective=RAW, space='w', wanted=NOBODY, **options):
    scene, constants, z_dim = world(space)
    drawn = pool.draw(scene, plan, constants, z_dim)
    return search.run(scene, plan, objective, constants, drawn, wanted, **options)


@pytest.fixture(scope='module')
def found():
    return run()


def test_the_objective_rises(found):
    assert found.curve.shape == (12, 2)
    assert found.curve[-1, 0] > found.curve[0, 0] + 0.1
    unoptimised = run(dataclasses.replace(PLAN, steps=0))
    assert found.scores.max() > unoptimised.scores.max()


def test_what_comes_back(found):
    assert found.images.shape == (3, 8, 8, 3)
    assert found.images.dtype == np.uint8
    assert np.ptp(found.images) > 0
    assert (np.diff(found.scores) <= 0).all()
    assert len(set(found.draws.tolist())) == 3
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, rtol=1e-4)
    assert found.candidate_steps == 6 * 12


def test_batches_change_nothing(found):
    other = run(dataclasses.replace(PLAN, batch=5))
    np.testing.assert_array_equal(other.draws, found.draws)
    np.testing.assert_allclose(other.latents, found.latents, atol=1e-3)


class Stop(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize('when', [6, 12])
def test_goes_on_to_the_same_result(found, tmp_path, when):
    def stop(label, done, total, **_):
        if label == 'searching' and done == when:
            raise Stop

    # The progress is told before the state is saved: what is done again must come out the same.
    with pytest.raises(Stop):
        run(workdir=tmp_path, save_seconds=0, progress=stop)
    again = run(workdir=tmp_path, save_seconds=0)
    np.testing.assert_array_equal(again.latents, found.latents)
    np.testing.assert_array_equal(again.images, found.images)
    np.testing.assert_array_equal(again.curve, found.curve)
    third = run(workdir=tmp_path)
    np.testing.assert_array_equal(third.latents, found.latents)
    assert third.candidate_steps == 0


def test_killed_it_ends_the_same(tmp_path):
    """SIGKILL of a process that saves as often as it can, then the same search here."""
    plan = dataclasses.replace(PLAN, steps=100)
    command = (
        'import dataclasses, sys; from tests.inversion.test_search import PLAN, run; '
        f'run(dataclasses.replace(PLAN, steps={plan.steps}), workdir=sys.argv[1], save_seconds=0)'
    )
    started = subprocess.Popen(
        [sys.executable, '-c', command, str(tmp_path)],
        cwd=programs.ROOT,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '2'},
    )
    while not list(tmp_path.glob('state/step_?????????/_CHECKPOINT_METADATA')):
        assert started.poll() is None
        time.sleep(0.01)
    started.kill()
    assert started.wait() == -signal.SIGKILL
    again, whole = run(plan, workdir=tmp_path), run(plan)
    assert 0 < again.candidate_steps < whole.candidate_steps
    for name in ('latents', 'images', 'curve', 'scores'):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_another_search_in_the_same_folder(tmp_path):
    small = dataclasses.replace(PLAN, steps=0)
    run(small, workdir=tmp_path)
    with pytest.raises(errors.InputError, match='another run, which differs'):
        run(dataclasses.replace(small, seed=4), workdir=tmp_path)


@pytest.mark.parametrize('space', ['w+', 'z'])
def test_other_spaces(space):
    result = run(dataclasses.replace(PLAN, steps=4), space=space)
    assert result.latents.shape[1:] == {'w+': (4, 8), 'z': (8,)}[space]
    assert np.isfinite(result.scores).all()


def test_projected_steps_stay_among_random_latents():
    plan = dataclasses.replace(PLAN, optimiser='projected', learning_rate=1.0, steps=6)
    _, constants, _ = world('w')
    result = run(plan)
    white = np.asarray(optimize.latent_to_white(constants.guide, result.latents))
    drawn = run(dataclasses.replace(plan, steps=0))
    lengths = np.asarray(optimize.latent_to_white(constants.guide, drawn.latents))
    most = max(1.0, np.sqrt((lengths**2).mean(1)).max())
    assert np.sqrt((white**2).mean(1)).max() <= most * 1.001


def test_targeted_mode_comes_closer_to_each():
    objective = Objective(membership='none', prior=0.1, match=10.0)
    goals = run(dataclasses.replace(PLAN, steps=0, seed=99)).embeddings[:2]
    plan = dataclasses.replace(PLAN, candidates=3, keep=1)
    before = run(dataclasses.replace(plan, steps=0), objective, wanted=goals)
    after = run(plan, objective, wanted=goals)
    assert before.group.tolist() == after.group.tolist() == [0, 1]
    assert ((after.embeddings * goals).sum(1) > (before.embeddings * goals).sum(1)).all()
    alone = run(plan, objective, wanted=goals[1:])
    np.testing.assert_array_equal(alone.draws, after.draws[1:])
    np.testing.assert_allclose(alone.embeddings, after.embeddings[1:], atol=1e-3)


def test_gradient_is_that_of_the_value():
    scene, constants, _ = world('w')
    objective = Objective(membership='capped', prior=0.3, identity=0.5, match=0.2)
    white = 0.3 * jax.random.normal(jax.random.key(5), (8,))
    key = jax.random.key(6)

    wanted = jax.numpy.zeros(16).at[0].set(1.0)

    def value(white):
        weighed = dataclasses.replace(constants, weights=objective.weights)
        return optimize.value(scene, PLAN, 'capped', weighed, white, wanted, key)

    @jax.jit
    def compute(weights):
        weighed = dataclasses.replace(constants, weights=weights)
        return optimize.value_and_gradient(scene, PLAN, 'capped', weighed, white, wanted, key)

    def gradient_of(objective):
        return compute(objective.weights)

    (found, _), gradient = gradient_of(objective)
    expected, slope = jax.jit(jax.value_and_grad(value))(white)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-5)
    _, damped = gradient_of(dataclasses.replace(objective, agreement=1.0))
    assert not np.allclose(damped, gradient, rtol=1e-3)


def test_targets_of_one_module_share_what_is_compiled():
    generator, _, target = worlds.networks()
    other = dataclasses.replace(target, name='other', variables={})
    assert scene.make(generator, target) is scene.make(generator, other)
    assert scene.make(generator, target, psi=0.5) is not scene.make(generator, target)


def test_steps_that_lead_nowhere_are_not_kept():
    found = run(dataclasses.replace(PLAN, learning_rate=1e38))
    assert np.isfinite(found.scores).all()
    assert np.isfinite(found.latents).all()


def test_varied_keeps_apart():
    embeddings = np.eye(4)[[0, 0, 1, 2, 2]]
    scores = np.array([5.0, 4.0, 3.0, np.nan, 2.0])
    assert search.varied(scores, embeddings, 3, 0.5).tolist() == [0, 2, 4]
    assert search.varied(scores, embeddings, 4, 0.5).tolist() == [0, 1, 2, 4]
    assert search.varied(scores, embeddings, 3, 1.0).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'keep': 7}, 'expected draws >= candidates >= keep'),
        ({'pictures': 1}, 'pictures: found 1'),
        ({'optimiser': 'sgd'}, "optimiser: found 'sgd'"),
        ({'steps': -1}, 'steps: found -1'),
        ({'apart': float('nan')}, 'apart: found nan'),
        ({'apart': 5}, 'apart: found 5'),
    ],
)
def test_bad_plans(options, message):
    with pytest.raises(errors.InputError, match=message):
        dataclasses.replace(PLAN, **options)
