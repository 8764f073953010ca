"""Which audits a study of defences makes, and what it refuses before it makes any."""

import pytest

from fr_inference import config
from fr_inference.batch import defence_rows
from fr_inference.errors import InputError
from fr_inference.program_config import Studied
from tests.experiments.targets import MEMBERS, OTHERS


def rows(*, auxiliary=None, references=(), **studied):
    inputs = config.Inputs(
        target='demo_few',
        members=MEMBERS,
        nonmembers=OTHERS,
        auxiliary=auxiliary,
        references=references,
    )
    found = defence_rows.rows(inputs, config.Settings(), config.Report(), Studied(**studied))
    assert found[0].name == defence_rows.UNDEFENDED
    return found[1:]


def test_one_attacker_without_shadow_and_references():
    found = rows(defences='noise:0.1; noise:0.1,fold')
    assert [(one.label, one.case.attacker) for one in found] == [
        ('noise:0.1', 'both'),
        ('noise:0.1,fold', 'both'),
    ]
    assert len({one.name for one in found}) == 2


@pytest.mark.parametrize('more', [{'auxiliary': OTHERS}, {'references': ('demo_easy',)}])
def test_plain_and_adaptive_with_them(more):
    found = rows(defences=f'refresh:{OTHERS}', **more)
    assert [one.case.attacker for one in found] == ['plain', 'adaptive']
    assert {one.case.refreshed for one in found} == {OTHERS}


def test_a_trained_backbone_needs_a_shadow_that_was_trained_so():
    text = 'early=runs/3;frozen=runs/frozen,runs/shadow'
    found = rows(trained=text, auxiliary=OTHERS)
    assert [(one.inputs.target, one.case.attacker, bool(one.not_run)) for one in found] == [
        ('runs/3', 'plain', False),
        ('runs/3', 'adaptive', True),
        ('runs/frozen', 'plain', False),
        ('runs/frozen', 'adaptive', False),
    ]
    assert found[3].inputs.shadow == 'runs/shadow'
    assert [one.case.attacker for one in rows(trained='early=runs/3')] == ['both']


@pytest.mark.parametrize(
    ('studied', 'field'),
    [
        ({'defences': 'prayer'}, 'defences'),
        ({'defences': 'noise:0.1;noise'}, 'defences'),
        ({'defences': 'noise:-1'}, 'defences'),
        ({'defences': 'answers-round:bits=1'}, 'defences'),
        ({'defences': 'fold;fold'}, 'defences'),
        ({'defences': 'fold,noise:1'}, 'defences'),
        ({'trained': 'early'}, 'trained'),
        ({'trained': '../x=runs/3'}, 'trained'),
        ({'trained': 'a=runs/3;A=runs/4'}, 'trained'),
        ({}, 'defences'),
    ],
)
def test_refused(studied, field):
    with pytest.raises(InputError) as caught:
        rows(**studied)
    assert caught.value.field == field
