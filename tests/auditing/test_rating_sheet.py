"""The sheet asks what it should and tells nothing; planted ratings come out again."""

import sys

import numpy as np
import pytest
from PIL import Image

from fr_inference import errors, tables
from tests.auditing import rating_sheet
from tests.auditing.rating_sheet import KINDS


def test_each_person_is_asked_three_times_and_a_control_shows_another():
    asked = rating_sheet.questions(20, seed=0)
    assert sorted((q.person, q.kind) for q in asked) == sorted(
        (person, kind) for person in range(20) for kind in KINDS
    )
    for question in asked:
        assert (question.shows != question.person) == (question.kind == 'control')
    assert sorted(q.shows for q in asked if q.kind == 'control') == list(range(20))
    assert asked != rating_sheet.questions(20, seed=1)


def test_planted_ratings_come_out():
    key = rating_sheet.questions(40, seed=0)
    draw = np.random.default_rng(0)
    chance = {'real': 0.9, 'reconstruction': 0.5, 'control': 0.1}
    taken = np.array([[draw.random() < chance[q.kind] for q in key] for _ in range(3)])
    ratings = np.where(taken, 5.0, 2.0)
    ratings[0, :30] = np.nan
    found = rating_sheet.evaluate(key, ratings, seed=0)
    kinds = np.array([q.kind for q in key])
    for kind in KINDS:
        counted = ratings[:, kinds == kind]
        assert found[kind]['same'] == pytest.approx((counted[np.isfinite(counted)] >= 4).mean())
        assert found[kind]['same_ci95'][0] < found[kind]['same'] < found[kind]['same_ci95'][1]
    assert found['reconstruction']['over_control_ci95'][0] > 0
    nothing = rating_sheet.evaluate(key, np.where(draw.random((3, 120)) < 0.5, 5.0, 1.0), seed=0)
    low, high = nothing['reconstruction']['over_control_ci95']
    assert low < 0 < high


@pytest.fixture
def made(tmp_path):
    draw = np.random.default_rng(0)
    faces = tmp_path / 'faces'
    for person in 'abc':
        (faces / person).mkdir(parents=True)
        for number in range(2):
            pixels = draw.integers(0, 255, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(faces / person / f'{number}.png')
    out = tmp_path / 'out'
    (out / 'reconstructions').mkdir(parents=True)
    for number in range(3):
        pixels = draw.integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(out / 'reconstructions' / f'{number:04d}.png')
    tables.write(
        out / 'reconstructions.csv',
        ('template', 'similarity'),
        ((faces / person / '0.png', 0.5) for person in 'abc'),
    )
    return faces, out, tmp_path / 'sheet'


def test_a_sheet_of_files(made, monkeypatch, capsys):
    faces, out, sheet = made
    command = ['make', f'--faces={faces}', f'--reconstructions={out}', f'--out={sheet}']
    monkeypatch.setattr(sys, 'argv', ['rating_sheet', *command])
    rating_sheet.main()
    text = (sheet / 'sheet.html').read_text()
    assert text.count('<fieldset>') == 9
    assert text.count('data:image/png;base64,') == 18
    assert not any(kind in text for kind in KINDS)
    filled = sheet / 'filled.csv'
    tables.write(filled, ('number', 'rating'), ((n, 5) for n in range(9)))
    monkeypatch.setattr(sys, 'argv', ['x', 'evaluate', f'--key={sheet}/key.csv', str(filled)])
    capsys.readouterr()
    rating_sheet.main()
    assert '"same": 1.0' in capsys.readouterr().out
    tables.write(filled, ('number', 'rating'), [(0, 6)])
    with pytest.raises(errors.InputError) as caught:
        rating_sheet.main()
    assert caught.value.field == str(filled)
