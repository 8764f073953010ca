"""Gates: what is crossed, what can't be held."""

import pytest

from fr_inference.cli import gates
from fr_inference.errors import InputError


def block(auc, accuracy=0.5, rates=(0.2, 0.1, None)):
    return {
        'auc': auc,
        'accuracy': accuracy,
        'tpr_at_fpr': dict(zip(('0.1', '0.01', '0.001'), rates, strict=True)),
    }


MEMBERSHIP = {
    'settings': {'partial': block(0.7, 0.65), 'auxiliary': block(0.6, 0.66, (0.1, 0.3, None))},
    'identity_level': block(0.9),
    'controls': {
        'excess': {'auc': 0.15, 'auc_ci95': [0.1, 0.2]},
        'auxiliary_excess': {'auc': 0.05, 'auc_ci95': [0.0, 0.1]},
        'identity_excess': {'auc': 0.4, 'auc_ci95': [0.3, 0.5]},
    },
}
PLAIN = {
    'settings': {},
    'identity_level': block(0.8),
    'controls': {'identity_excess': {'auc': 0.3, 'auc_ci95': [0.2, 0.4]}},
}


@pytest.mark.parametrize(
    ('name', 'expected', 'without_batch_norm'),
    [
        ('auc', 0.7, 0.8),
        ('accuracy', 0.66, 0.5),
        ('excess', 0.15, 0.3),
        ('identity_auc', 0.9, 0.8),
        ('identity_excess', 0.4, 0.3),
        ('tpr@fpr=0.1', 0.2, 0.2),
        ('tpr@fpr=0.01', 0.3, 0.1),
        ('tpr@fpr=0.001', None, None),
    ],
)
def test_the_highest_of_all_settings(name, expected, without_batch_norm):
    assert gates.highest(MEMBERSHIP, name) == expected
    assert gates.highest(PLAIN, name) == without_batch_norm


def test_every_name_has_a_figure():
    assert {gates.highest(MEMBERSHIP, name) is None for name in gates.NAMES[:-1]} == {False}


def test_crossed():
    gates.check([], MEMBERSHIP)
    gates.check([('auc', 0.7), ('tpr@fpr=0.1', 0.5)], MEMBERSHIP)  # at the limit is not above it
    with pytest.raises(gates.GateCrossedError, match=r'auc is 0\.7, above 0\.6, excess is 0\.15'):
        gates.check([('auc', 0.6), ('accuracy', 0.9), ('excess', 0.1)], MEMBERSHIP)


def test_what_was_not_measured_can_not_be_held():
    with pytest.raises(InputError) as caught:
        gates.check([('tpr@fpr=0.001', 0.5), ('auc', 0.9)], MEMBERSHIP)
    assert caught.value.field == 'fail_above'
    assert 'tpr@fpr=0.001' in caught.value.found
    with pytest.raises(gates.GateCrossedError, match='auc'):
        gates.check([('tpr@fpr=0.001', 0.5), ('auc', 0.5)], MEMBERSHIP)
    without = {**MEMBERSHIP, 'identity_level': None, 'controls': {}}
    for name in ('identity_auc', 'identity_excess', 'excess'):
        assert gates.highest(without, name) is None


def test_parse():
    assert gates.parse('tpr@fpr=0.01:0.05') == ('tpr@fpr=0.01', 0.05)
    assert gates.parse('excess:-0.1') == ('excess', -0.1)
    for text in ('auc', 'area:0.5', ':0.5', 'tpr@fpr=0.5:0.1'):
        with pytest.raises(InputError) as caught:
            gates.parse(text)
        assert (caught.value.field, caught.value.found) == ('fail_above', repr(text))
        assert all(name in caught.value.expected for name in gates.NAMES)
    for text in ('auc:', 'auc:high', 'auc:nan', 'auc:inf'):
        with pytest.raises(InputError) as caught:
            gates.parse(text)
        assert (caught.value.field, caught.value.expected) == ('fail_above', 'NAME:NUMBER')
