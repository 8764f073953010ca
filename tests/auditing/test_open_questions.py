"""The program of the open questions: who is drawn for whom, what its table and figure say."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from fr_inference.metrics.intervals import Scored
from tests.auditing import open_questions

ROWS = [
    {'variant': 'a', 'seed': 1, 'leak': [0.6, 0.5, 0.7], 'verification': [0.8, 0.7, 0.9]},
    {'variant': 'b', 'seed': 1, 'leak': [0.7, 0.6, 0.8], 'leak change': [0.1, 0.0, 0.2]},
    {'variant': 'a', 'seed': 2, 'leak': [0.8, 0.7, 0.9], 'verification': [0.6, 0.5, 0.7]},
]


def test_no_two_seeds_share_people():
    parts = [
        set(faces.identities)
        for seed in (0, 1, 2, 3)
        for faces in (
            open_questions.members(seed, max(open_questions.SIZES)),
            open_questions.strangers(seed),
            open_questions.public(seed),
        )
    ]
    assert len(set.union(*parts)) == sum(map(len, parts))


def test_table_holds_mean_least_and_largest():
    lines = open_questions.table(ROWS).splitlines()
    assert lines[0] == '| | leak | verification | leak change |'
    assert lines[2] == '| a | 0.700 (0.600 to 0.800) | 0.700 (0.600 to 0.800) | – |'
    assert lines[3] == '| b | 0.700 (0.700 to 0.700) | – | 0.100 (0.100 to 0.100) |'


def test_figure_has_a_panel_for_each_measure():
    drawing = open_questions.draw(ROWS, 'margins')
    assert open_questions.TITLES['leak'] in drawing
    assert open_questions.TITLES['verification'] in drawing
    assert open_questions.TITLES['hits'] not in drawing


def test_changes_are_those_from_the_first_variant():
    member = np.repeat([True, False], 20)
    names = tuple(f'p{number}' for number in range(40))

    def one(scores):
        auc = float((scores[:20, None] > scores[None, 20:]).mean())
        scored = Scored(scores=scores, member=member, identities=names)
        figures = {'auc': auc, 'auc_ci95': [auc - 0.1, auc + 0.1]}
        return {'file': SimpleNamespace(scored=scored, figures=figures, kind='open')}

    draws = np.random.default_rng(0).normal(size=40)
    first, second = open_questions.rows_of({'a': one(draws), 'b': one(draws + member)}, 0)
    assert 'file change' not in first
    assert second['file change'][0] == pytest.approx(second['file'][0] - first['file'][0])
    assert second['file change'][1] > 0
    assert json.dumps([first, second])
