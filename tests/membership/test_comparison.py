"""What a comparison says, and which of several an audit rests on."""

import json

import pytest

from fr_inference.errors import InputError
from fr_inference.membership import comparison
from fr_inference.membership.comparison import CLEAR, INVALID, LEAK, OPEN, Comparison


def block(low, high, people=60):
    return {'auc': (low + high) / 2, 'auc_ci95': [low, high], 'identities': people}


def made(own=(0.7, 0.9), excess=(0.1, 0.3), null=(0.4, 0.6), blind=(0.45, 0.55), **changes):
    known = {
        'attack': 'bn-distance',
        'title': 'BatchNorm distances',
        'access': 'file',
        'setting': 'partial',
        'unit': 'image',
        'headline': True,
        'figures': block(*own),
        'excess': excess and block(*excess),
        'null': null and block(*null),
        'blind': blind and block(*blind),
    }
    return Comparison(**known | changes)


@pytest.mark.parametrize(
    ('changes', 'kind'),
    [
        ({}, LEAK),
        ({'own': (0.5, 0.9)}, OPEN),  # its interval must lie above 0.5
        ({'excess': (0.0, 0.3)}, OPEN),
        ({'own': (0.46, 0.54), 'excess': (-0.05, 0.049)}, CLEAR),
        # Paired with its control it hardly varies, but it could have missed a leak of 10 points itself.
        ({'own': (0.4, 0.6), 'excess': (-0.01, 0.01)}, OPEN),
        ({'excess': (-0.1, 0.049)}, OPEN),  # it could have missed a leak of 10 points
        ({'excess': (-0.06, 0.049), 'null': None}, OPEN),
        ({'own': (0.4, 0.45), 'excess': (0.01, 0.04)}, CLEAR),
        ({'null': (0.51, 0.9)}, INVALID),
        ({'null': (0.1, 0.49)}, INVALID),  # a null below 0.5 is as wrong as one above
        ({'null': (0.5, 0.9), 'own': (0.71, 0.9)}, LEAK),
        ({'null': (0.44, 0.98), 'own': (0.7, 1.0)}, INVALID),  # few people: it reaches 0.71 itself
        ({'null': (0.44, 0.98), 'own': (0.5, 1.0)}, OPEN),  # it claims nothing
        ({'blind': (0.51, 0.6)}, INVALID),
        ({'blind': (0.1, 0.46)}, LEAK),  # below 0.5 by chance it proves nothing
        ({'blind': (0.1, 0.44)}, INVALID),  # the sides differ the other way round
        ({'null': None}, OPEN),  # a control that was not run holds nothing
        ({'null': (0.1, 0.6, 15)}, OPEN),  # nor does one with 7 people on a side
        ({'null': (0.1, 0.6, 16)}, LEAK),
        ({'null': (0.51, 0.9, 15)}, INVALID),  # but it can fail
        ({'blind': None, 'excess': None}, OPEN),
    ],
)
def test_kind(changes, kind):
    found = made(**changes)
    assert found.kind == kind
    assert found.valid == (kind != INVALID)


def test_comes_back_from_json():
    for one in (made(), made(null=None), made(blind=None, excess=None)):
        text = json.dumps(one.to_json())
        assert Comparison.from_json(json.loads(text)) == one
    assert 'null' not in made(null=None).to_json()
    assert made().to_json()['valid'] is True
    assert made().key == 'bn-distance/partial'


@pytest.mark.parametrize('field', ['access', 'setting', 'unit'])
def test_checked(field):
    with pytest.raises(InputError) as caught:
        made(**{field: 'other'})
    assert caught.value.field == field


LEAKING = made(headline=False, attack='people')
SILENT = made(own=(0.46, 0.54), excess=(-0.05, 0.01))
UNSURE, FAILED = made(own=(0.4, 0.9)), made(null=(0.6, 0.9))


@pytest.mark.parametrize(
    ('comparisons', 'first', 'kind'),
    [
        ([SILENT, LEAKING], LEAKING, LEAK),
        ([FAILED, LEAKING], LEAKING, LEAK),
        ([SILENT, UNSURE], UNSURE, OPEN),
        ([SILENT], SILENT, CLEAR),
        ([SILENT, FAILED], SILENT, OPEN),  # an attack that cannot be judged leaves it open
        ([FAILED], FAILED, INVALID),
        ([LEAKING, made()], made(), LEAK),  # among equals the one chosen beforehand
    ],
)
def test_together(comparisons, first, kind):
    assert comparison.decisive(comparisons) == first
    assert comparison.kind_of(comparisons) == kind
