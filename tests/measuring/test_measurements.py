"""Measurements are kept as they come, found again by content, never served for another backbone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import processes, runs
from fr_inference.data.faces import BadImageError, concat, from_arrays
from fr_inference.errors import InputError
from fr_inference.measuring import measurements
from fr_inference.measuring.features import Feature
from fr_inference.models import registry
from fr_inference.models.answers import Answers
from fr_inference.models.target import InputSpec
from fr_inference.training import recognizer


@pytest.fixture(scope='module')
def target():
    return recognizer.fresh_target('tiny', {}, InputSpec(height=16, width=16), seed=1)


@pytest.fixture(scope='module')
def faces():
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), np.uint8)
    return from_arrays(images, range(30))


def counting(faces):
    """The same faces, and the list of those that are read to be measured."""
    read = []

    def noted(index):
        read.append(index)
        return faces.read(index)

    return dataclasses.replace(faces, read=noted), read


def measured_in(target, faces, folder, **options):
    watched, read = counting(faces)
    found = measurements.measure(target, watched, batch_size=4, scores=folder, **options)
    return found, sorted(read)


class TestMeasure:
    def test_nothing_is_measured_twice(self, target, faces, tmp_path):
        first, read = measured_in(target, faces, tmp_path)
        assert read == list(range(30))
        plain = measurements.measure(target, faces, batch_size=4)
        np.testing.assert_array_equal(first.distances, plain.distances)
        order = np.random.default_rng(1).permutation(30)
        told = []
        again, read = measured_in(
            target,
            faces.select(order),
            tmp_path,
            progress=lambda *call, **metrics: told.append((*call, metrics)),
        )
        assert not read
        assert told == [('measuring', 30, 30, {'stored': 30})]
        np.testing.assert_array_equal(again.distances, first.distances[order])
        np.testing.assert_array_equal(again.embeddings, first.embeddings[order])
        assert again.identities == tuple(first.identities[i] for i in order)
        more = from_arrays(np.zeros((2, 16, 16, 3), np.uint8), 'ab')
        assert measured_in(target, concat([faces, more]), tmp_path)[1] == [30, 31]

    def test_changed_weights_and_mirror_are_measured_anew(self, target, faces, tmp_path):
        few = faces.select(range(4))
        measured_in(target, few, tmp_path)
        changed = jax.tree.map(np.array, target.variables)
        jax.tree.leaves(changed['params'])[0].flat[0] += 1e-3
        other = dataclasses.replace(target, variables=changed)
        assert len(measured_in(other, few, tmp_path)[1]) == 4
        assert len(measured_in(target, few, tmp_path, mirror=True)[1]) == 4
        assert len(measured_in(target, few, tmp_path)[1]) == 0

    def test_changed_answers_of_the_same_weights_are_measured_anew(self, target, faces, tmp_path):
        few = faces.select(range(4))
        plain, _ = measured_in(target, few, tmp_path)
        coarse = registry.remade(target, answers=Answers(bits=2))
        found, read = measured_in(coarse, few, tmp_path)
        assert len(read) == 4
        assert np.abs(found.embeddings - plain.embeddings).max() > 0

    def test_goes_on_after_it_was_stopped(self, target, faces, tmp_path, monkeypatch):
        monkeypatch.setattr(runs, '_FIRST_BATCHES', 2)
        monkeypatch.setattr(runs, '_BLOCK_SECONDS', 0)
        expected = measurements.measure(target, faces, batch_size=4)
        told = []

        def stop(label, done, total):
            told.append(done)
            if done >= 12:
                processes.ask_to_stop()

        try:
            with pytest.raises(processes.Stopped):
                measured_in(target, faces, tmp_path, progress=stop)
        finally:
            processes._ASKED.clear()
        assert told[-1] == 16
        found, read = measured_in(target, faces, tmp_path)
        assert read == list(range(16, 30))
        np.testing.assert_array_equal(found.distances, expected.distances)
        np.testing.assert_array_equal(found.embeddings, expected.embeddings)

    def test_a_module_of_ones_own_is_not_kept(self, target, faces, tmp_path):
        own = dataclasses.replace(target, architecture='custom')
        assert len(measured_in(own, faces.select([0]), tmp_path)[1]) == 1
        assert len(measured_in(own, faces.select([0]), tmp_path)[1]) == 1
        assert not list(tmp_path.iterdir())

    def test_damage_costs_time_alone(self, target, faces, tmp_path):
        first, _ = measured_in(target, faces, tmp_path)
        (path,) = tmp_path.glob('*.sqlite')
        with path.open('r+b') as file:
            file.truncate(path.stat().st_size // 3)
        again, read = measured_in(target, faces, tmp_path)
        assert read
        np.testing.assert_array_equal(again.distances, first.distances)
        np.testing.assert_array_equal(again.embeddings, first.embeddings)

    def test_skipped_images_are_not_kept(self, target, faces, tmp_path):
        def read(index):
            if index in (2, 29):
                raise BadImageError(f'faces#{index}: broken')
            return faces.read(index)

        broken = dataclasses.replace(faces, read=read, digest=faces.digest)
        for _ in range(2):
            found, _ = measured_in(target, broken, tmp_path, skip_bad=True)
            assert [path for path, _ in found.skipped] == [faces.paths[2], faces.paths[29]]
            assert len(found) == 28
        whole, read = measured_in(target, faces, tmp_path)
        assert read == [2, 29]
        np.testing.assert_array_equal(whole.distances[found.index], found.distances)


def brightness(look, network):
    return jnp.stack([look.image.mean(), look.embedding.sum(), look.distances.sum()])


class TestFeatures:
    FEATURES = (
        Feature('brightness', brightness),
        Feature('first', lambda look, _: look.image[0, 0]),
    )

    def test_are_kept_beside_the_rest(self, target, faces, tmp_path):
        plain = measurements.measure(target, faces, batch_size=4)
        found, read = measured_in(target, faces, tmp_path, features=self.FEATURES)
        assert len(read) == 30
        assert plain.extra == {}
        np.testing.assert_array_equal(found.distances, plain.distances)
        np.testing.assert_array_equal(found.embeddings, plain.embeddings)
        images = np.stack([faces.read(n) for n in range(30)]).astype(np.float32)
        expected = [images.mean((1, 2, 3)), found.embeddings.sum(1), found.distances.sum(1)]
        np.testing.assert_allclose(
            found.extra['brightness'], np.stack(expected, 1), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_array_equal(found.extra['first'], images[:, 0, 0])
        again, read = measured_in(target, faces, tmp_path, features=self.FEATURES)
        assert not read
        np.testing.assert_array_equal(again.extra['first'], found.extra['first'])
        part = measurements.select(again, [3, 4])
        np.testing.assert_array_equal(part.extra['first'], found.extra['first'][[3, 4]])

    def test_further_passes(self, target, faces):
        """A feature may look at a changed picture: here the mirror image."""
        mirrored = Feature(
            'mirrored', lambda look, network: network.look(look.image[:, ::-1]).embedding
        )
        found = measurements.measure(target, faces, features=(mirrored,), batch_size=4)
        expected = measurements.measure(target, faces, mirror=True, batch_size=4)
        np.testing.assert_allclose(
            found.extra['mirrored'], expected.embeddings, rtol=1e-4, atol=1e-5
        )

    def test_other_features_are_other_rows(self, target, faces, tmp_path):
        few = faces.select(range(3))
        changed = Feature('brightness', lambda look, _: 2 * look.image.mean((0, 1)))
        for features in ((), self.FEATURES, self.FEATURES[:1], (changed,)):
            assert len(measured_in(target, few, tmp_path, features=features)[1]) == 3

    @pytest.mark.parametrize(
        'features',
        [
            (Feature('a', lambda look, _: look.image),),
            (Feature('a', lambda look, _: look.image.mean()),),
            (Feature('a', lambda look, _: look.image[0, 0].astype(jnp.int32)),),
            (Feature('a', brightness), Feature('a', brightness)),
        ],
    )
    def test_of_another_form(self, target, faces, features):
        with pytest.raises(InputError) as caught:
            measurements.measure(target, faces, features=features)
        assert caught.value.field == 'features'
