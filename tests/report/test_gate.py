"""The gate: what is crossed, what cannot be held."""

import pytest

from fr_inference.errors import InputError
from fr_inference.report import gate, wording
from fr_inference.report.gate import GateCrossed
from tests.report.comparisons import (
    BAD_BLIND,
    BAD_NULL,
    block,
    brightness,
    comparison,
    on_people,
    record,
)


def figures(auc, accuracy=0.5, rates=(0.2, 0.1, None)):
    return block(auc, auc - 0.05, auc + 0.05, rates=rates) | {'accuracy': accuracy}


IMAGES = [
    comparison(figures=figures(0.7, 0.65), over=(0.1, 0.2)),
    comparison(
        setting='auxiliary', figures=figures(0.6, 0.66, (0.1, 0.3, None)), over=(0, 0.1), null=None
    ),
]
WHOLE = [*IMAGES, on_people(figures=figures(0.9), over=(0.3, 0.5))]
PLAIN = [on_people(figures=figures(0.8), over=(0.2, 0.4))]


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
    for found, value in ((WHOLE, expected), (PLAIN, without_batch_norm)):
        assert gate.highest(found, name) == (value if value is None else pytest.approx(value))


def test_every_name_has_a_figure():
    assert {gate.highest(WHOLE, name) is None for name in gate.NAMES[:-1]} == {False}


def test_a_newcomers_attack_is_read():
    found = [*WHOLE, brightness(figures=figures(0.75))]
    assert gate.highest(found, 'auc') == 0.75
    with pytest.raises(GateCrossed, match=r'auc is 0\.75, above 0\.72'):
        gate.check([('auc', 0.72)], record(*found))


def test_crossed():
    whole = record(*WHOLE)
    gate.check([], whole)
    gate.check([('auc', 0.7), ('tpr@fpr=0.1', 0.5)], whole)  # at the limit is not above it
    with pytest.raises(GateCrossed, match=r'auc is 0\.7, above 0\.6, excess is 0\.15'):
        gate.check([('auc', 0.6), ('accuracy', 0.9), ('excess', 0.1)], whole)


def held(gates, *found):
    """The error of gates that cannot be held."""
    with pytest.raises(InputError) as caught:
        gate.check(gates, record(*found))
    assert caught.value.field == 'fail_above'
    return caught.value


def test_what_was_not_measured_cannot_be_held():
    rate = ('tpr@fpr=0.001', 0.5)
    error = held([rate, ('auc', 0.9)], *WHOLE)
    assert error.found == 'tpr@fpr=0.001 with 120 evaluated non-members'
    assert error.expected.startswith('10,000 or more')
    with pytest.raises(GateCrossed, match='auc'):
        gate.check([rate, ('auc', 0.5)], record(*WHOLE))
    without = comparison(over=None, blind=None)
    for name in ('identity_auc', 'identity_excess', 'excess'):
        assert gate.highest([without], name) is None
        assert held([(name, 0.5)], without).found.startswith(name)
    held([('auc', 0.5)])  # nothing at all


@pytest.mark.parametrize('controls', [{'null': BAD_NULL}, {'blind': BAD_BLIND}])
@pytest.mark.parametrize('auc', [0.4, 0.99])
def test_an_attack_whose_control_failed_does_not_pass_silently(controls, auc):
    """Neither with a high figure, which would not count, nor with a low one."""
    failed = brightness(figures=figures(auc), **controls)
    error = held([('auc', 0.8)], *WHOLE, failed)
    assert wording.not_counted(failed) in error.found
    held([('auc', 0.8)], failed)
    gate.check([('identity_auc', 0.95)], record(*WHOLE, failed))  # does not read it
    with pytest.raises(GateCrossed, match=r'^auc is 0\.7, above 0\.6$'):  # by an attack that counts
        gate.check([('auc', 0.6)], record(*WHOLE, failed))


def test_wrong_input_passes_no_gate():
    doubted = record(*WHOLE) | {'input': {'check': {'trusted': False, 'remark': 'It was fed BGR.'}}}
    with pytest.raises(InputError) as caught:
        gate.check([('auc', 0.99)], doubted)
    assert caught.value.field == 'fail_above'
    assert 'It was fed BGR.' in caught.value.found
    with pytest.raises(GateCrossed):
        gate.check([('auc', 0.5)], doubted)
    gate.check([], doubted)
    gate.check([('auc', 0.99)], record(*WHOLE) | {'input': {'check': {'trusted': True}}})


def test_images_that_do_not_look_aligned_pass_no_gate():
    for score, passes in ((0.05, False), (0.5, True)):
        seen = {'alignment': {'scores': {'members': 0.5, 'nonmembers': score}, 'least': 0.4}}
        looked_at = record(*WHOLE) | {'input': seen}
        if passes:
            gate.check([('auc', 0.99)], looked_at)
            continue
        with pytest.raises(InputError) as caught:
            gate.check([('auc', 0.99)], looked_at)
        assert 'nonmembers do not look aligned' in caught.value.found


def test_parse():
    assert gate.parse('tpr@fpr=0.01:0.05') == ('tpr@fpr=0.01', 0.05)
    assert gate.parse('excess:-0.1') == ('excess', -0.1)
    for text in (
        *('auc', 'area:0.5', ':0.5', 'tpr@fpr=0.5:0.1', 'auc=0.6'),
        *('auc:', 'auc:high', 'auc:nan', 'auc:inf'),
    ):
        with pytest.raises(InputError) as caught:
            gate.parse(text)
        assert caught.value.field == 'fail_above'
        assert caught.value.found == repr(text)
        assert 'identity_auc' in caught.value.expected
    for text in ('auc:60', 'excess:1'):  # nothing could cross it
        with pytest.raises(InputError) as caught:
            gate.parse(text)
        assert (caught.value.field, caught.value.found) == ('fail_above', repr(text))
