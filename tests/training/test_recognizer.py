"""The trainer: it learns, it resumes bit for bit, and it refuses another run's folder."""

import dataclasses
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from fr_inference import checkpointing, devices
from fr_inference.config import Recipe
from fr_inference.data import overlap, sources
from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.errors import InputError
from fr_inference.measuring import measurements
from fr_inference.metrics import roc, verification
from fr_inference.models.target import InputSpec, Target
from fr_inference.program_config import Network
from fr_inference.training import margin, recognizer, recognizer_step, records
from fr_inference.weights import native_targets
from fr_inference.weights.targets import open_target
from tests import flipped_bits

SPEC = 'procedural:easy,people=6,images=6,size=16,seed=2'
# 36 images make 5 steps of 7 each epoch: 40 steps in all, and 16 is in the middle of an epoch.
RECIPE = Recipe(epochs=8, batch_size=7, learning_rate=0.05, seed=3)
INPUT = InputSpec(height=16, width=16)


@pytest.fixture(scope='module')
def faces():
    return sources.open_faces(SPEC)


def fresh():
    return recognizer.fresh_target('tiny', {}, INPUT, seed=1)


@pytest.fixture(scope='module')
def uninterrupted(faces, tmp_path_factory):
    """(the trained target, its workdir with epochs 0, 4 and 8, what progress was told)."""
    workdir, told = tmp_path_factory.mktemp('uninterrupted'), []
    trained = recognizer.train(
        RECIPE,
        fresh(),
        faces,
        workdir=workdir,
        save_epochs=(0, 4, 8),
        progress=lambda *call, **metrics: told.append((call, metrics)),
    )
    return trained, workdir, told


def assert_same_weights(first, second):
    assert jax.tree.structure(first.variables) == jax.tree.structure(second.variables)
    for one, two in zip(*map(jax.tree.leaves, (first.variables, second.variables)), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def separation(target, faces):
    """AUC of same against different person by the cosine of embeddings."""
    measured = measurements.measure(target, faces)
    return roc.auc(*verification.sample_pairs(measured.embeddings, measured.identities, seed=0))


class TestLearning:
    def test_accuracy_rises(self, faces, uninterrupted):
        trained = uninterrupted[0]
        assert trained.recipe['accuracy'] > 0.8  # chance is 1/6
        assert separation(trained, faces) > max(0.95, separation(fresh(), faces) + 0.02)

    def test_progress_is_told(self, uninterrupted):
        calls = uninterrupted[2]
        assert [call for call, _ in calls] == [('training', s, 40) for s in (8, 16, 24, 32, 40)]
        assert all(set(metrics) == {'loss', 'accuracy'} for _, metrics in calls)
        assert calls[-1][1]['loss'] < 0.8 * calls[0][1]['loss']

    def test_last_scale_stays_one(self, uninterrupted):
        params = uninterrupted[0].variables['params']
        np.testing.assert_array_equal(params['features']['scale'], 1)
        assert (np.asarray(params['bn2']['scale']) != 1).any()
        assert (np.asarray(params['features']['bias']) != 0).any()

    def test_start_is_left_alone(self, faces):
        start = fresh()
        before = jax.tree.map(np.array, start.variables)
        recognizer.train(dataclasses.replace(RECIPE, epochs=1, batch_size=36), start, faces)
        for one, two in zip(*map(jax.tree.leaves, (before, start.variables)), strict=True):
            np.testing.assert_array_equal(one, two)

    def test_recipe_is_recorded(self, uninterrupted, faces):
        trained = uninterrupted[0]
        recipe = trained.recipe
        assert recipe['epochs'] == recipe['trained_epochs'] == 8
        assert (recipe['margin'], recipe['scale']) == ('arcface', 64.0)
        assert (recipe['images'], recipe['identities']) == (36, 6)
        assert recipe['faces'] == faces.name
        assert trained.sha256 == checkpointing.digest(trained.variables)

    def test_statistics_are_those_of_training(self, uninterrupted):
        statistics = uninterrupted[0].variables['batch_stats']
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(statistics))
        assert (np.asarray(statistics['bn1']['var']) != 1).all()

    def test_no_epochs_leave_the_backbone_as_it_is(self, faces):
        start = fresh()
        trained = recognizer.train(dataclasses.replace(RECIPE, epochs=0), start, faces)
        assert_same_weights(trained, start)
        assert trained.recipe['accuracy'] is None

    def test_divergence_is_reported(self, faces):
        recipe = dataclasses.replace(RECIPE, learning_rate=1e30, warmup=0.0)
        with pytest.raises(InputError) as caught:
            recognizer.train(recipe, fresh(), faces)
        assert caught.value.field == 'learning_rate'
        assert caught.value.found.startswith('1e+30')

    def test_divergence_in_the_very_last_step_is_reported(self, faces):
        """Its loss is that of the weights before it."""
        recipe = dataclasses.replace(
            RECIPE, learning_rate=1e30, weight_decay=1e30, epochs=1, batch_size=18
        )
        with pytest.raises(InputError) as caught:
            recognizer.train(recipe, fresh(), faces)
        assert caught.value.field == 'learning_rate'
        assert caught.value.found.endswith('epoch 1')


class TestStart:
    def test_from_random_weights(self):
        begun = recognizer.start(Network(arch='tiny', input_size='16'), seed=1)
        assert begun.input == INPUT
        assert_same_weights(begun, fresh())

    def test_from_a_checkpoint(self):
        begun = recognizer.start(Network(init='demo_easy', colour='bgr'), seed=1)
        assert begun.sha256 == open_target('demo_easy').sha256
        assert begun.input.colour == 'bgr'

    def test_from_no_checkpoint(self):
        with pytest.raises(InputError) as caught:
            recognizer.start(Network(init='nowhere'), seed=1)
        assert caught.value.field == 'init'

    def test_a_part_is_of_a_checkpoint(self):
        for options in ({}, {'init': 'demo_easy'}):  # which holds one backbone
            with pytest.raises(InputError) as caught:
                recognizer.start(Network(part='teacher', **options), seed=1)
            assert caught.value.field == 'part'


class TestSavedEpochs:
    def test_weights_of_the_last_epoch(self, uninterrupted):
        trained, workdir, _ = uninterrupted
        assert_same_weights(native_targets.load_target(workdir / 'epoch_008'), trained)
        assert_same_weights(native_targets.load_target(workdir / 'epoch_000'), fresh())
        middle = native_targets.load_target(workdir / 'epoch_004')
        assert middle.recipe['trained_epochs'] == 4
        assert middle.recipe['accuracy'] < trained.recipe['accuracy']

    def test_members_are_the_training_images(self, uninterrupted, faces):
        workdir = uninterrupted[1]
        digests = overlap.content_digests(faces)
        assert native_targets.read_members(workdir / 'epoch_008') == digests
        assert native_targets.read_members(workdir / 'epoch_004') == digests
        assert native_targets.read_members(workdir / 'epoch_000') == []
        rows = records.training_members(faces)
        assert rows == list(zip(faces.paths, faces.identities, digests, strict=True))


class StopHereError(Exception):
    """Stands for whatever ends a run early."""


class TestResuming:
    @pytest.mark.parametrize('save_seconds', [-1.0, 1e9], ids=['each step', 'never'])
    def test_stopped_in_the_middle_of_an_epoch(self, faces, uninterrupted, tmp_path, save_seconds):
        def stop(label, done, total, **metrics):
            if done == 16:
                raise StopHereError

        options = {'workdir': tmp_path, 'save_seconds': save_seconds}
        with pytest.raises(StopHereError):
            recognizer.train(RECIPE, fresh(), faces, progress=stop, **options)
        states = sorted(path.name for path in (tmp_path / 'state').glob('step_*'))
        assert states == (['step_000000014', 'step_000000015'] if save_seconds < 0 else [])
        told = []
        resumed = recognizer.train(
            RECIPE, fresh(), faces, progress=lambda *call, **_: told.append(call[1]), **options
        )
        assert told[0] == (16 if save_seconds < 0 else 8)
        assert_same_weights(resumed, uninterrupted[0])
        # The last epoch's figures too, which were partly summed before the stop.
        assert resumed.recipe == uninterrupted[0].recipe

    def test_killed(self, faces, uninterrupted, tmp_path):
        """SIGKILL while states are being written; what is there goes on to the same weights."""
        program = f"""
import jax
jax.config.update('jax_num_cpu_devices', 2)
from fr_inference.config import Recipe
from fr_inference.data import sources
from fr_inference.models.target import InputSpec
from fr_inference.training import margin, recognizer, recognizer_step, records
recognizer.train(
    Recipe(epochs=8, batch_size=7, learning_rate=0.05, seed=3),
    recognizer.fresh_target('tiny', {{}}, InputSpec(height=16, width=16), seed=1),
    sources.open_faces({SPEC!r}),
    workdir={str(tmp_path)!r},
    save_seconds=-1.0,
)
"""
        process = subprocess.Popen([sys.executable, '-c', program])
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (tmp_path / 'state' / 'step_000000007').exists():
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        last = max(int(path.name[5:14]) for path in (tmp_path / 'state').glob('step_*'))
        assert 7 <= last < 40
        resumed = recognizer.train(RECIPE, fresh(), faces, workdir=tmp_path)
        assert_same_weights(resumed, uninterrupted[0])

    def test_an_epoch_is_saved_before_the_state_that_ends_it(self, faces, tmp_path, monkeypatch):
        """However a run is cut short, the epochs that it was to save are there when it is over."""
        save = checkpointing.States.save

        def dies_after(states, step, state):
            save(states, step, state)
            if step % 5 == 0:
                raise StopHereError

        monkeypatch.setattr(checkpointing.States, 'save', dies_after)
        recipe = dataclasses.replace(RECIPE, epochs=2)
        options = {'workdir': tmp_path, 'save_epochs': (1, 2), 'save_seconds': -1.0}
        for name in ('epoch_001', 'epoch_002'):
            with pytest.raises(StopHereError):
                recognizer.train(recipe, fresh(), faces, **options)
            assert native_targets.is_target(tmp_path / name)
        shutil.rmtree(tmp_path / 'epoch_002')  # as a version left it that saved the state first
        trained = recognizer.train(recipe, fresh(), faces, **options)
        assert_same_weights(native_targets.load_target(tmp_path / 'epoch_002'), trained)
        with pytest.raises(InputError) as caught:
            recognizer.train(recipe, fresh(), faces, workdir=tmp_path, save_epochs=(0, 1))
        assert caught.value.field == 'save_epochs'
        assert caught.value.found.startswith('epochs [0]')
        for name in ('variables.safetensors', 'target.json', 'members.csv'):
            for _ in flipped_bits.each(tmp_path / 'epoch_001' / name, 1, seed=3):
                with pytest.raises(InputError) as caught:
                    recognizer.train(recipe, fresh(), faces, **options)
                assert caught.value.field == 'save_epochs'
                assert name in caught.value.found

    def test_finished_run_is_not_repeated(self, faces, uninterrupted):
        trained, workdir, _ = uninterrupted
        told = []
        again = recognizer.train(
            RECIPE, fresh(), faces, workdir=workdir, progress=lambda *call, **_: told.append(call)
        )
        assert told == []
        assert_same_weights(again, trained)

    @pytest.mark.parametrize(
        ('change', 'found'),
        [
            ({'learning_rate': 0.1}, 'recipe.learning_rate (0.05 there, 0.1 here)'),
            ({'epochs': 9}, 'recipe.epochs'),
            ({'seed': 4}, 'recipe.seed'),
        ],
    )
    def test_another_recipe_in_the_same_folder(self, faces, uninterrupted, change, found):
        with pytest.raises(InputError) as caught:
            recognizer.train(
                dataclasses.replace(RECIPE, **change), fresh(), faces, workdir=uninterrupted[1]
            )
        assert caught.value.field == str(uninterrupted[1])
        assert found in caught.value.found

    def test_other_faces_or_another_start_in_the_same_folder(self, faces, uninterrupted):
        workdir = uninterrupted[1]
        start = recognizer.fresh_target('tiny', {}, INPUT, seed=2)
        for name, target, images in (
            ('faces', fresh(), faces.select(range(30))),
            ('start', start, faces),
        ):
            with pytest.raises(InputError) as caught:
                recognizer.train(RECIPE, target, images, workdir=workdir)
            assert caught.value.field == str(workdir)
            assert f' {name} (' in caught.value.found


class TestRecordedRecipe:
    def test_round_trip(self, uninterrupted):
        assert records.recorded_recipe(uninterrupted[0].recipe, seed=3) == RECIPE
        assert records.recorded_recipe({'note': 'x'}, seed=0) == Recipe()

    @pytest.mark.parametrize(
        ('numbers', 'options'),
        [
            ({'m1': 1.0, 'm2': 0.5, 'm3': 0.0, 'scale': 64.0}, {}),
            (
                {'m1': 1.0, 'm2': 0.3, 'm3': 0.2, 'scale': 16.0},
                {'margin': 'combined', 'scale': 16.0},
            ),
            (
                {'m1': 2.0, 'm2': 0.1, 'm3': 0.0, 'scale': 8.0},
                {'margin': 'softmax', 'm1': 2.0, 'm2': 0.1, 'm3': 0.0, 'scale': 8.0},
            ),
        ],
    )
    def test_of_an_earlier_version(self, numbers, options):
        """They recorded the margin as four numbers."""
        found = records.recorded_recipe({'margin': numbers, 'epochs': 9}, seed=2)
        assert found == Recipe(epochs=9, seed=2, **options)
        assert dataclasses.asdict(margin.chosen(found)) == numbers

    @pytest.mark.parametrize(
        'record',
        [{'margin': {'foo': 1}}, {'margin': 'x'}, {'epochs': '9'}, {'epochs': 1.5}, {'mirror': 1}],
    )
    def test_of_somebody_else(self, record):
        with pytest.raises(InputError) as caught:
            records.recorded_recipe(record, seed=0)
        assert caught.value.field == 'target'
        assert 'shadow' in caught.value.hint


class TestInput:
    def test_fewer_than_two_people(self, faces):
        with pytest.raises(InputError) as caught:
            recognizer.train(RECIPE, fresh(), faces.select(range(6)))
        assert (caught.value.field, caught.value.found) == (faces.name, '6 images of 1 people')

    def test_an_epoch_beyond_the_last(self, faces):
        with pytest.raises(InputError) as caught:
            recognizer.train(RECIPE, fresh(), faces, save_epochs=(1, 9))
        assert (caught.value.field, caught.value.found) == ('save_epochs', '[9]')

    def test_a_target_that_is_not_registered(self, faces):
        bare = Target(name='mine', apply=lambda v, x: x, variables={}, input=INPUT)
        with pytest.raises(InputError) as caught:
            recognizer.train(RECIPE, bare, faces)
        assert (caught.value.field, caught.value.found) == ('target', 'mine')

    def test_unreadable_images(self):
        images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
        whole = from_arrays(images, [0, 0, 1, 1, 2, 2, 3, 3], 'faces')

        def read(index):
            if index in (2, 3):  # all of person 1: a class less
                raise BadImageError(f'faces#{index}: broken')
            return images[index]

        broken = dataclasses.replace(whole, read=read)
        recipe = dataclasses.replace(RECIPE, epochs=0)
        with pytest.raises(BadImageError, match='faces#2: broken'):
            recognizer.train(recipe, fresh(), broken)
        trained = recognizer.train(recipe, fresh(), broken, skip_bad=True)
        assert (trained.recipe['images'], trained.recipe['identities']) == (6, 3)

    @pytest.mark.parametrize(
        ('field', 'value'),
        [
            ('epochs', -1),
            ('batch_size', 1),
            ('learning_rate', 0.0),
            ('momentum', 1.0),
            ('momentum', -0.1),
            ('weight_decay', -1e-4),
            ('warmup', 1.0),
            ('learning_rate', float('nan')),
            ('learning_rate', float('inf')),
            ('weight_decay', float('inf')),
        ],
    )
    def test_bad_recipes(self, field, value):
        with pytest.raises(InputError) as caught:
            Recipe(**{field: value})
        assert (caught.value.field, caught.value.found) == (field, repr(value))


def test_trainings_by_one_recipe_share_what_is_compiled():
    mesh = devices.training_mesh(4)
    steps = [
        recognizer_step.make_step(recipe, fresh(), 5, mesh)
        for recipe in (
            RECIPE,
            dataclasses.replace(RECIPE, seed=9),
            dataclasses.replace(RECIPE, epochs=9),
        )
    ]
    assert steps[0] is steps[1]
    assert steps[0] is not steps[2]
