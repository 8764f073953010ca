"""The search improves what it is asked to, depends on nothing else, and goes on where it stopped."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fr_inference import config, errors, processes, profiling
from fr_inference.inversion import goals, prior, search, searches, starts
from tests import traces
from tests.experiments import programs
from tests.inversion import worlds
from tests.inversion.worlds import HOW, subject_of

RAW = goals.membership('raw', prior=0.1)


def run(how=HOW, goal=RAW, subject=None, **options):
    return search.run(subject or subject_of(), goal, how, **options)


@pytest.fixture(scope='module')
def found():
    return run()


def test_the_objective_rises(found):
    assert found.curve.shape == (12, 2)
    assert found.curve[-1, 0] > found.curve[0, 0] + 0.1
    unoptimised = run(config.replace(HOW, steps=0))
    assert found.objective.max() > unoptimised.objective.max()


def test_what_comes_back(found):
    assert found.images.shape == (3, 4, 4, 3)
    assert found.images.dtype == np.uint8
    assert np.ptp(found.images) > 0
    assert (np.diff(found.objective) <= 0).all()
    assert len(set(found.draws.tolist())) == 3
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, rtol=1e-4)
    assert found.candidate_steps == 6 * 12


def test_batches_change_nothing(found):
    other = run(config.replace(HOW, search_batch=5))
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


@pytest.mark.parametrize('steps', [2, 3, 10, 12])
def test_however_few_the_steps_a_stop_is_heard(tmp_path, monkeypatch, steps):
    how, asked = config.replace(HOW, steps=steps), []
    monkeypatch.setattr(processes, '_stopping', lambda: bool(asked))
    with pytest.raises(processes.Stopped):
        run(how, workdir=tmp_path, progress=lambda *_, **__: asked.append(1))
    asked.clear()
    again, whole = run(how, workdir=tmp_path), run(how)
    assert 0 < again.candidate_steps < whole.candidate_steps
    np.testing.assert_array_equal(again.latents, whole.latents)


def test_killed_it_ends_the_same(tmp_path):
    """SIGKILL of a process that saves as often as it can, then the same search here."""
    how = config.replace(HOW, steps=100)
    command = (
        'import sys; from fr_inference import config; from tests.inversion.test_search import HOW, run; '
        f'run(config.replace(HOW, steps={how.steps}), workdir=sys.argv[1], save_seconds=0)'
    )
    started = subprocess.Popen(
        [sys.executable, '-c', command, str(tmp_path)],
        cwd=programs.ROOT,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '2'},
    )
    while not list(tmp_path.glob('state/step_?????????')):
        assert started.poll() is None
        time.sleep(0.01)
    started.kill()
    assert started.wait() == -signal.SIGKILL
    again, whole = run(how, workdir=tmp_path), run(how)
    assert 0 < again.candidate_steps < whole.candidate_steps
    for name in ('latents', 'images', 'curve', 'objective'):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_some_steps_are_traced_and_nothing_else_changes(found, tmp_path):
    how = config.replace(HOW, steps=100)
    with profiling.into(tmp_path):
        traced = run(how)
    assert traces.steps(tmp_path / 'searching', 'searching') == [2, 3, 4]  # of ten steps each
    np.testing.assert_array_equal(traced.latents, run(how).latents)


def test_another_search_in_the_same_folder(tmp_path):
    small = config.replace(HOW, steps=0)
    run(small, workdir=tmp_path)
    for other in (
        {'how': config.replace(small, keep=2)},
        {'how': small, 'subject': subject_of(seed=4)},
        {'how': small, 'goal': dataclasses.replace(RAW, strength=0.5)},
    ):
        with pytest.raises(errors.InputError) as caught:
            run(workdir=tmp_path, **other)
        assert caught.value.field == str(tmp_path)
        assert 'another run' in caught.value.found
    run(config.replace(small, search_batch=5), workdir=tmp_path)  # that is no other search


@pytest.mark.parametrize('space', ['w+', 'z'])
def test_other_spaces(space):
    how = config.replace(HOW, steps=4, space=space)
    result = run(how, subject=subject_of(how))
    assert result.latents.shape[1:] == {'w+': (2, 8), 'z': (8,)}[space]
    assert np.isfinite(result.objective).all()


def test_projected_steps_stay_among_random_latents():
    how = config.replace(HOW, optimiser='projected', learning_rate=1.0, steps=6)
    of_generator = subject_of().constants.prior
    result = run(how)
    white = np.asarray(prior.to_white(of_generator, result.latents))
    drawn = run(config.replace(how, steps=0))
    lengths = np.asarray(prior.to_white(of_generator, drawn.latents))
    most = max(1.0, np.sqrt((lengths**2).mean(1)).max())
    assert np.sqrt((white**2).mean(1)).max() <= most * 1.001


def test_templates_are_come_closer_to():
    others = run(config.replace(HOW, steps=0), subject=subject_of(seed=99)).embeddings[:2]
    how = config.replace(HOW, candidates=3, keep=1)
    goal = goals.templates(others, prior=0.01)
    before = run(config.replace(how, steps=0), goal)
    after = run(how, goal)
    assert before.group.tolist() == after.group.tolist() == [0, 1]
    assert ((after.embeddings * others).sum(1) > (before.embeddings * others).sum(1)).all()
    alone = run(how, goals.templates(others[1:], prior=0.01))
    np.testing.assert_array_equal(alone.draws, after.draws[1:])
    np.testing.assert_allclose(alone.embeddings, after.embeddings[1:], atol=1e-3)
    # The attack is only watched: without one the faces are the same, and there is no logit.
    unguided = run(how, goal, subject_of(guided=False))
    assert unguided.logits is None
    assert np.isnan(unguided.curve[:, 1]).all()
    np.testing.assert_array_equal(unguided.draws, after.draws)
    np.testing.assert_allclose(unguided.embeddings, after.embeddings, atol=1e-3)


def test_the_first_candidate_of_a_template_starts_between_random_latents():
    made = subject_of()
    goal = goals.templates(
        run(config.replace(HOW, steps=0), subject=subject_of(seed=99)).embeddings[:2]
    )
    how = config.replace(HOW, candidates=2, keep=2, steps=1, learning_rate=1e-9, apart=1.0)
    found, drawn = run(how, goal), run(config.replace(how, steps=0), goal)
    numbers = np.arange(how.draws, dtype=np.int32)
    constants = made.constants
    white = np.stack(
        [
            prior.draw(made.scene, constants.generator, constants.prior, constants.key, n)
            for n in numbers
        ]
    )
    expected = np.asarray(
        prior.to_latent(constants.prior, starts.near(goal.wanted, made.pool.embeddings, white))
    )
    for group in range(2):
        best, latents = (
            search.best(goal, how, made.pool, goal.wanted)[group],
            found.latents[found.group == group],
        )
        distance = np.abs(latents - expected[group]).max(1)
        assert distance.min() < 1e-3
        assert sorted(found.draws[found.group == group]) == sorted(best)
        assert distance.max() > 0.01  # the second one starts at a random latent
    # Without steps all are random latents.
    np.testing.assert_allclose(
        prior.to_white(constants.prior, drawn.latents), white[drawn.draws], atol=1e-3
    )


def test_membership_needs_an_attack():
    with pytest.raises(errors.InputError) as caught:
        run(subject=subject_of(guided=False))
    assert caught.value.field == 'goal'


def test_a_search_on_its_own_is_that_of_its_parts(found, tmp_path):
    whole = searches.search_faces(
        *worlds.networks(), RAW, HOW, seed=worlds.SEED, guide=worlds.guide(), workdir=tmp_path
    )
    np.testing.assert_array_equal(whole.latents, found.latents)
    assert (tmp_path / 'search' / 'state').is_dir()


def test_steps_that_lead_nowhere_are_not_kept():
    found = run(config.replace(HOW, learning_rate=1e38))
    assert np.isfinite(found.objective).all()
    assert np.isfinite(found.latents).all()


def test_varied_keeps_apart():
    embeddings = np.eye(4)[[0, 0, 1, 2, 2]]
    values = np.array([5.0, 4.0, 3.0, np.nan, 2.0])
    assert search.varied(values, embeddings, 3, 0.5).tolist() == [0, 2, 4]
    assert search.varied(values, embeddings, 4, 0.5).tolist() == [0, 1, 2, 4]
    assert search.varied(values, embeddings, 3, 1.0).tolist() == [0, 1, 2]


def test_damaged_networks_are_told_of():
    made = subject_of()
    terms = {**made.pool.terms, 'raw': np.full(len(made.pool), np.nan, np.float32)}
    lost = dataclasses.replace(made, pool=dataclasses.replace(made.pool, terms=terms))
    with pytest.raises(errors.InputError) as caught:
        run(subject=lost)
    assert caught.value.field == 'draws'
    assert caught.value.found.startswith('0 ')
    with pytest.raises(errors.InputError) as caught:
        run(config.replace(HOW, draws=13))
    assert caught.value.field == 'draws'
