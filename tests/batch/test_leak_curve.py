"""The leak by epoch: what it finds, that it leaves the training alone, and what a stop leaves to do."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from fr_inference import processes
from fr_inference.batch import leak_curve
from fr_inference.config import Recipe
from fr_inference.data import sources
from fr_inference.errors import InputError
from fr_inference.measuring import measurements
from fr_inference.metrics import roc
from fr_inference.models.target import InputSpec
from fr_inference.program_config import RecognizerTraining
from fr_inference.training import recognizer
from tests.auditing import planted

FACES = 'procedural:easy,people=6,images=6,size=16,seed=2'
OTHERS = f'{FACES},first=6'
# 36 images make 5 steps of 7 each epoch.
RECIPE = Recipe(epochs=4, batch_size=7, learning_rate=0.05, seed=3)
ASKED = RecognizerTraining(
    faces=FACES, out='unused', audit_every=3, audit_nonmembers=OTHERS, holdout=0.0
)


@pytest.fixture(scope='module')
def faces():
    return sources.open_faces(FACES)


@pytest.fixture(scope='module', autouse=True)
def few_replicates():
    """A whole bootstrap of each row would take longer than the training."""
    with pytest.MonkeyPatch.context() as patch:
        for function in (leak_curve.intervals.figures, leak_curve.verification.of_people):
            patch.setitem(function.__kwdefaults__, 'replicates', 50)
        yield


def trained(faces, out):
    audits = leak_curve.audits(ASKED, RECIPE, faces, None, out)
    start = recognizer.fresh_target('tiny', {}, InputSpec(height=16, width=16), seed=1)
    return recognizer.train(RECIPE, start, faces, workdir=out, audits=audits, save_seconds=1e9)


@pytest.fixture(scope='module')
def uninterrupted(faces, tmp_path_factory):
    """(the trained backbone, its folder)."""
    out = tmp_path_factory.mktemp('uninterrupted')
    return trained(faces, out), out


def test_the_training_is_left_alone(faces, uninterrupted):
    start = recognizer.fresh_target('tiny', {}, InputSpec(height=16, width=16), seed=1)
    alone = recognizer.train(RECIPE, start, faces)
    watched = uninterrupted[0]
    assert alone.sha256 == watched.sha256
    for one, two in zip(*map(jax.tree.leaves, (alone.variables, watched.variables)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_epochs_are_the_first_every_few_and_the_last(uninterrupted):
    target, out = uninterrupted
    rows = json.loads((out / 'leak.json').read_text())['rows']
    assert [row['epoch'] for row in rows] == [0, 3, 4]
    assert rows[-1]['sha256'] == target.sha256
    assert len({row['sha256'] for row in rows}) == 3
    assert '<svg' in (out / 'leak.svg').read_text()


@pytest.mark.parametrize('looks', [0, 1, 2], ids=['before', 'on the way', 'at the end'])
def test_a_stop_within_a_measurement_loses_nothing(
    faces, uninterrupted, tmp_path, monkeypatch, looks
):
    measure, seen = measurements.measure, []

    def stopped(*arguments, **options):
        if len(seen) == looks:
            raise processes.Stopped
        seen.append(1)
        return measure(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(measurements, 'measure', stopped)
        with pytest.raises(processes.Stopped):
            trained(faces, tmp_path)
    saved = [path.name for path in (tmp_path / 'state').glob('step_*')]
    assert f'step_{5 * (0, 3, 4)[looks]:09d}' in saved or not looks
    with monkeypatch.context() as patch:
        patch.setattr(measurements, 'measure', lambda *a, **o: seen.append(1) or measure(*a, **o))
        assert trained(faces, tmp_path).sha256 == uninterrupted[0].sha256
    assert len(seen) == 3  # each once
    for name in leak_curve.FILES:
        assert (tmp_path / name).read_bytes() == (uninterrupted[1] / name).read_bytes()


def curve_of(tmp_path, mark, members=24, others=24):
    return leak_curve.LeakCurve(
        planted.faces(members, 4, seed=1, mark=mark, name='m'),
        planted.faces(others, 4, seed=2, name='n'),
        tmp_path,
        seed=0,
    )


@pytest.mark.parametrize('mark', [0.0, 20.0])
def test_what_was_planted_is_found(tmp_path, mark):
    curve = curve_of(tmp_path, mark)
    curve.add(planted.target(), 0)
    (row,) = curve.record['rows']
    low, high = row['auc_ci95']
    assert row['attack'] == 'bn-distance'
    assert (low > 0.7) if mark else (low < 0.5 < high)


def test_without_statistics_it_is_the_length_of_embeddings(tmp_path):
    curve = curve_of(tmp_path, 0.0)
    curve.add(planted.plain(), 0)
    assert curve.record['rows'][0]['attack'] == 'norm'


def test_verification_is_of_the_others(tmp_path):
    """Its people are strangers only, and as many as that; by eye, pairs of one person are closer."""
    curve = curve_of(tmp_path, 0.0, others=9)
    curve.add(planted.target(), 0)
    found = curve.record['rows'][0]['verification']
    assert found['people'] == 9
    measured = measurements.measure(planted.target(), planted.faces(9, 4, seed=2, name='n'))
    unit = measured.embeddings / np.linalg.norm(measured.embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(len(unit), 1)
    same = np.array(measured.identities)[first] == np.array(measured.identities)[second]
    assert (found['accuracy'] > 0.5) == (roc.auc((unit @ unit.T)[first, second], same) > 0.5)


def test_there_are_as_many_members_as_others(tmp_path):
    assert curve_of(tmp_path, 0.0, members=30, others=8).record['members']['people'] == 8
    assert curve_of(tmp_path, 0.0, members=8, others=30).record['members']['people'] == 8


def test_rows_of_weights_that_are_gone_are_replaced(tmp_path):
    curve = curve_of(tmp_path, 0.0)
    for epoch, digest in ((0, 'a'), (1, 'b'), (2, 'c'), (1, 'd')):
        curve.add(dataclasses.replace(planted.target(), sha256=digest), epoch)
    again = curve_of(tmp_path, 0.0)
    assert [(row['epoch'], row['sha256']) for row in again.record['rows']] == [(0, 'a'), (1, 'd')]


@pytest.mark.parametrize('text', ['{', None], ids=['damaged', 'of other people'])
def test_rows_that_cannot_be_gone_on_with_are_refused(tmp_path, text):
    curve_of(tmp_path, 0.0).add(planted.target(), 0)
    if text is not None:
        (tmp_path / 'leak.json').write_text(text)
    with pytest.raises(InputError) as caught:
        curve_of(tmp_path, 0.0, others=24 if text else 23)
    assert caught.value.field == str(tmp_path / 'leak.json')


@pytest.mark.parametrize(
    ('field', 'changes', 'held_out'),
    [
        ('audit_nonmembers', {'audit_nonmembers': OTHERS.replace('people=6', 'people=3')}, None),
        ('audit_nonmembers', {'audit_nonmembers': FACES}, None),
        ('holdout', {'audit_nonmembers': None, 'holdout': 0.5}, 3),
        ('faces', {'faces': FACES.replace('people=6', 'people=3')}, None),
    ],
    ids=['few others', 'trained on', 'few held out', 'few members'],
)
def test_people_that_do_not_serve(tmp_path, field, changes, held_out):
    asked = dataclasses.replace(ASKED, **changes)
    others = held_out and sources.open_faces(OTHERS.replace('people=6', f'people={held_out}'))
    with pytest.raises(InputError) as caught:
        leak_curve.audits(asked, RECIPE, sources.open_faces(asked.faces), others, tmp_path)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ('field', 'options'),
    [
        ('audit_nonmembers', {'audit_nonmembers': OTHERS}),
        ('audit_every', {'audit_every': 1, 'holdout': 0.0}),
    ],
)
def test_options_that_would_do_nothing(field, options):
    with pytest.raises(InputError) as caught:
        RecognizerTraining(faces=FACES, out='unused', **options)
    assert caught.value.field == field


def test_nothing_is_measured_unasked(faces, tmp_path):
    asked = RecognizerTraining(faces=FACES, out='unused')
    assert leak_curve.audits(asked, RECIPE, faces, None, tmp_path) == {}
