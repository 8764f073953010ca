"""A search and its controls: what is left is over the strongest of them."""

import json

import numpy as np
import pytest

from fr_inference.inversion import judge, outcome

PEOPLE, WIDTH = 20, 32


@pytest.fixture(scope='module')
def gallery():
    draw = np.random.default_rng(0)
    embeddings = np.repeat(draw.normal(size=(2 * PEOPLE, WIDTH)), 3, axis=0)
    names = [f'p{row:02d}' for row in range(2 * PEOPLE) for _ in range(3)]
    return judge.gallery(embeddings, names, np.arange(6 * PEOPLE) < 3 * PEOPLE, seed=0)


def shown(gallery, rows):
    """Judges reconstructions that show these people."""
    judged = judge.judge(gallery.centres[rows], gallery, np.zeros(len(rows), int))
    return judged, judge.figures(judged, gallery, seed=0)


@pytest.fixture(scope='module')
def planted(gallery):
    judged, figures = shown(gallery, np.arange(PEOPLE))
    outsiders = np.arange(PEOPLE, 2 * PEOPLE)
    controls = {
        'random_latents': shown(gallery, outsiders),
        'selected_only': shown(gallery, [*range(5), *outsiders[:15]]),
    }
    return outcome.outcome(judged, figures, controls, gallery, seed=0)


def test_the_strongest_control_decides(planted):
    assert planted.figures['hit_rate'] == 1
    assert [planted.controls[name]['hit_rate'] for name in planted.controls] == [0, 0.25, 0]
    assert list(planted.controls) == ['random_latents', 'selected_only', 'nonmember_gallery']
    assert planted.excess['over'] == 'selected_only'
    assert planted.excess['hit_rate'] == pytest.approx(0.75)
    assert planted.excess['hit_rate_ci95'][0] > 0
    assert planted.excess['p_value'] < 0.01


def test_the_same_search_twice_leaves_nothing(gallery):
    same = shown(gallery, np.arange(PEOPLE // 2))
    found = outcome.outcome(*same, {'untrained_target': same}, gallery, seed=0)
    assert found.excess['over'] == 'untrained_target'
    assert found.excess['hit_rate'] == 0
    assert found.excess['p_value'] == 1


def test_as_it_stands_in_the_record(planted):
    record = {'goal': 'centres', **planted.to_json(), 'settings': {'draws': 3}}
    assert outcome.Outcome.from_json(json.loads(json.dumps(record))) == planted
    templates = outcome.Outcome(figures={'top1': 0.5}, controls={'selected_only': {'top1': 0.1}})
    assert 'excess' not in templates.to_json()
    assert outcome.Outcome.from_json({'people': 3, **templates.to_json()}) == templates
