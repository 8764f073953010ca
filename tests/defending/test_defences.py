import numpy as np
import pytest

from fr_inference import errors
from fr_inference.data import loader
from fr_inference.data.sources import open_faces
from fr_inference.defending import defences
from fr_inference.measuring import measurements
from fr_inference.weights import native_targets
from fr_inference.weights.targets import open_target

FACES = 'procedural:medium,people=8,images=4,seed=3'


@pytest.fixture(scope='module')
def target():
    return open_target('demo_few')


def statistics(target, name):
    return np.asarray(target.variables['batch_stats']['bn1'][name], np.float64)


def defended(target, text, seed=0):
    return defences.defend(target, defences.parse(text), seed=seed)[0]


def test_refreshed_statistics_are_those_of_the_faces(target):
    """The first layer's, whose input depends on no other layer: mean and variance by NumPy."""
    made = defended(target, f'refresh:{FACES}')
    faces = open_faces(FACES)
    (batch,) = loader.batches(faces, height=32, width=32, batch_size=len(faces))
    pixels = np.asarray(target.input.normalize(batch.images), np.float64)
    kernel = np.asarray(target.variables['params']['conv1']['kernel'], np.float64)
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = sum(
        padded[:, row : row + 32, column : column + 32] @ kernel[row, column]
        for row in range(3)
        for column in range(3)
    )
    np.testing.assert_allclose(statistics(made, 'mean'), seen.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(statistics(made, 'var'), seen.var((0, 1, 2)), rtol=1e-3)


def test_noise_has_the_size_that_is_said(target):
    drawn = [defended(target, 'noise:0.2', seed) for seed in range(40)]
    mean, var = (statistics(target, name) for name in ('mean', 'var'))
    shifts = np.stack([(statistics(one, 'mean') - mean) / np.sqrt(var) for one in drawn])
    ratios = np.stack([np.log(statistics(one, 'var') / var) for one in drawn])
    for values in (shifts, ratios):
        np.testing.assert_allclose(values.std(), 0.2, rtol=0.1)
        np.testing.assert_allclose(values.mean(), 0, atol=0.03)


def test_rounded_statistics_have_few_values(target):
    made = defended(target, 'round:bits=2')
    for name in ('mean', 'var'):
        before, after = statistics(target, name), statistics(made, name)
        assert len(np.unique(after)) <= 4
        np.testing.assert_allclose([after.min(), after.max()], [before.min(), before.max()], 1e-5)


def test_answers_belong_to_the_record(target, tmp_path):
    made = defended(target, 'answers-noise:0.3,answers-largest:9,answers-round:bits=6,answers-unit')
    native_targets.save_target(tmp_path / 'made', made)
    read = native_targets.load_target(tmp_path / 'made')
    assert read.answers.to_json() == {'noise': 0.3, 'largest': 9, 'bits': 6, 'unit': True}
    faces = open_faces(FACES)
    plain = measurements.measure(target, faces)
    for one in (made, read):
        found = measurements.measure(one, faces)
        assert (np.count_nonzero(found.embeddings, axis=1) <= 9).all()
        np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, rtol=1e-4)
        np.testing.assert_allclose(found.distances, plain.distances, rtol=1e-5)


def test_the_recipe_names_all_that_was_done(target):
    made = defended(defended(target, 'noise:0.1'), 'fold', seed=4)
    assert made.recipe['defences'] == ['noise:0.1', 'fold']
    assert made.recipe['epochs'] == target.recipe['epochs']


@pytest.mark.parametrize(
    'text',
    [
        *('', 'nothing', 'noise', 'noise:', 'noise:-1', 'noise:inf', 'noise:x', 'fold:1'),
        *('round:bits=0', 'round:bits=2.5', 'round:bits=17', 'answers-round:bits=1', 'strip,fold'),
        *('refresh:nowhere', 'fold,noise:1', 'answers-noise:nan', 'answers-largest:2.5'),
        *('answers-unit:1', 'answers-largest:64'),
    ],
)
def test_wrong_defences(target, text):
    with pytest.raises(errors.InputError) as raised:
        defended(target, text)
    assert raised.value.field in ('defence', 'target')


@pytest.mark.parametrize(
    'text',
    [
        *('fold,fold', 'strip,fold', 'fold,noise:1', 'fold,answers-unit,refresh:procedural:easy'),
        'answers-noise:1,answers-unit,answers-noise:2',
    ],
)
def test_defences_of_which_one_would_do_nothing(text):
    with pytest.raises(errors.InputError) as raised:
        defences.parse(text)
    assert raised.value.field == 'defence'
