"""A finished audit and its gates: what is crossed, what cannot be held, what is said of what passed."""

import pytest

from fr_inference.errors import InputError
from fr_inference.report import gate, gating, wording
from fr_inference.report.gate import GateCrossed
from fr_inference.report.verdict import verdict
from tests.report.comparisons import (
    BAD_BLIND,
    BAD_NULL,
    block,
    brightness,
    comparison,
    data,
    further,
    on_people,
    record,
)
from tests.report.searches import search


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
CLEAR = comparison(figures=figures(0.51), over=(-0.03, 0.03))
OPEN = comparison(figures=figures(0.51), over=(-0.1, 0.1))
MISFED = {'input': {'check': {'trusted': False, 'state': 'other', 'remark': 'It was fed BGR.'}}}
UNSURE = {'input': {'check': {'trusted': False, 'state': 'unknown', 'remark': 'Who knows.'}}}


def check(gates, found):
    """Of gates as they are written, separated by commas, and a record or comparisons."""
    found = found if isinstance(found, dict) else record(*found)
    return gating.check([gate.parse(text) for text in gates.split(',')], found)


def crossed(gates, found):
    with pytest.raises(GateCrossed) as caught:
        check(gates, found)
    return str(caught.value)


def unheld(gates, found):
    """The error of gates that cannot be held."""
    with pytest.raises(InputError) as caught:
        check(gates, found)
    assert caught.value.field == 'fail_above'
    return caught.value


def read(name, found):
    found = gating.read(gate.parse(f'{name}:0.5'), record(*found))
    return found and found.value


@pytest.mark.parametrize(
    ('name', 'expected', 'without_batch_norm'),
    [
        ('auc', 0.7, 0.8),
        ('auc_high', 0.75, 0.85),
        ('accuracy', 0.66, 0.5),
        ('accuracy_high', 0.7, 0.8),
        ('excess', 0.15, 0.3),
        ('excess_high', 0.2, 0.4),
        ('identity_auc', 0.9, 0.8),
        ('identity_excess', 0.4, 0.3),
        ('identity_excess_high', 0.5, 0.4),
        ('tpr@fpr=0.1', 0.2, 0.2),
        ('tpr@fpr=0.01', 0.3, 0.1),
        ('tpr_high@fpr=0.01', 0.35, 0.15),
        ('tpr@fpr=0.001', None, None),
        ('bn-distance/auxiliary.auc', 0.6, None),
        ('bn-distance/partial.tpr_high@fpr=0.1', 0.25, None),
        ('people/partial.auc_high', 0.95, 0.85),
    ],
)
def test_the_highest_of_the_attacks_that_are_read(name, expected, without_batch_norm):
    for found, value in ((WHOLE, expected), (PLAIN, without_batch_norm)):
        assert read(name, found) == (value if value is None else pytest.approx(value))


def test_every_figure_can_be_read():
    both = record(*WHOLE) | {'inversion': search(0.2, 0.1, 0.05, 0.001)}
    for name, (figure, high, _) in gate.FIGURES.items():
        found = gating.read(gate.parse(f'{name}:0.5'), both)
        if figure == 'tpr@fpr=0.001':
            assert found is None
            continue
        assert found.value == (found.high if high else found.estimate)
        assert found.estimate < found.high or figure == 'accuracy'


def test_a_newcomers_attack_is_read():
    found = [*WHOLE, brightness(figures=figures(0.75))]
    assert read('auc', found) == 0.75
    assert crossed('auc:0.72', found) == 'auc is 0.75, above 0.72'


def test_crossed():
    assert check('auc:0.7,tpr@fpr=0.1:0.5', WHOLE)  # at the limit is not above it
    assert crossed('auc:0.6,accuracy:0.9,excess:0.1', WHOLE) == (
        'auc is 0.7, above 0.6; excess is 0.15, above 0.1'
    )
    assert gating.check([], record(*WHOLE)) == ''


@pytest.mark.parametrize(
    ('name', 'value'),
    [('hit_rate', 0.2), ('hit_rate_high', 0.3), ('hit_excess', 0.15), ('hit_excess_high', 0.25)],
)
def test_a_search_is_read(name, value):
    """With membership inference or without it."""
    of_search = {'inversion': search(0.2, 0.1, 0.05, 0.001)}
    for found in (of_search, record(CLEAR) | of_search):
        assert crossed(f'{name}:{value - 0.01}', found).startswith(f'{name} is {value:g}, above')
        check(f'{name}:{value + 0.01}', found)
    assert unheld(f'{name}:0.9', WHOLE).found.startswith(name)


def test_an_upper_end_says_how_many_people_bring_it_below():
    said = crossed('auc_high:0.55', [OPEN])  # 0.51 (to 0.56) of 60 people
    assert said.startswith('auc_high is 0.56, above 0.55 (')
    assert '94 people' in said  # 60 (0.05 / 0.04)^2
    assert 'people' not in crossed('auc_high:0.5', [OPEN])  # the estimate is above as well
    of_search = {'inversion': search(0.05, 0.02, 0.05, 0.5)}
    assert 'people' not in crossed('hit_rate_high:0.07', of_search)


@pytest.mark.parametrize(
    ('found', 'kind'),
    [
        (record(CLEAR), 'clear'),
        (record(OPEN), 'open'),
        (record(*WHOLE), 'leak'),
        (record(comparison(null=BAD_NULL)), 'invalid'),
        (record(CLEAR) | MISFED, 'invalid'),
        (record(CLEAR) | UNSURE, 'open'),
        (record(CLEAR) | {'data': data(in_training_list=0)}, 'invalid'),
        (record(CLEAR) | {'inversion': search(0.4, 0.3, 0.05, 0.001)}, 'leak'),
        (record(CLEAR) | {'inversion': search(0.1, 0.0, 0.05, 0.5)}, 'open'),
    ],
)
def test_only_a_clear_verdict_passes(found, kind):
    assert verdict(found).kind == kind
    if kind == 'clear':
        assert check('verdict', found) == ''
        assert check('verdict,auc:0.9', found) == ''
        return
    said = crossed('verdict', found)
    assert said.startswith(f'the verdict is {kind}, ')
    assert verdict(found).headline in said
    for reason in verdict(found).reasons:
        assert reason.text in said
    assert said in crossed('verdict,auc:0.99', found)


def test_a_verdict_that_is_not_clear_stands_beside_a_crossed_figure():
    first, second = crossed('auc:0.5,verdict', [OPEN]).split('; ', 1)
    assert first == 'auc is 0.51, above 0.5'
    assert second.startswith('the verdict is open')


def test_a_figure_does_not_pass_an_open_verdict_in_silence():
    assert check('auc:0.9', [CLEAR]) == ''
    said = check('auc:0.55,excess:0.2', [OPEN])
    assert said.startswith('passed, but the verdict is open: ')
    assert verdict(record(OPEN)).headline in said
    assert 'auc_high is 0.56' in said
    assert said.endswith('; with the gate verdict or auc_high:0.55 it would have failed')
    assert check('auc_high:0.6', [OPEN]).endswith('; with the gate verdict it would have failed')
    assert check('auc:0.9', WHOLE).startswith('passed, but the verdict is leak: ')
    said = check('hit_rate:0.15', {'inversion': search(0.1, 0.0, 0.05, 0.5)})
    assert said.endswith('; with the gate verdict or hit_rate_high:0.15 it would have failed')


def test_the_widest_interval_is_said():
    """It need not be that of the highest estimate."""
    wide = comparison(
        setting='auxiliary', figures=block(0.5, 0.2, 0.8), over=(-0.3, 0.3), headline=False
    )
    said = check('auc:0.6,auc_high:0.85', [OPEN, wide])
    assert said.endswith(
        '. auc_high is 0.8; with the gate verdict or auc_high:0.6 it would have failed'
    )


def test_what_was_not_measured_cannot_be_held():
    error = unheld('tpr@fpr=0.001:0.5,auc:0.9', WHOLE)
    assert error.found.startswith('tpr@fpr=0.001 with 120 evaluated non-members')
    assert error.expected.startswith('10,000 or more')
    assert crossed('tpr@fpr=0.001:0.5,auc:0.5', WHOLE).startswith('auc is')
    without = comparison(over=None, blind=None)
    for name in ('identity_auc', 'identity_excess', 'excess', 'people/partial.auc'):
        assert read(name, [without]) is None
        assert unheld(f'{name}:0.5', [without]).found.startswith(name)
    unheld('auc:0.5', [])  # nothing at all


@pytest.mark.parametrize('controls', [{'null': BAD_NULL}, {'blind': BAD_BLIND}])
@pytest.mark.parametrize('auc', [0.4, 0.99])
def test_an_attack_whose_control_failed_does_not_pass_silently(controls, auc):
    """Neither with a high figure, which would not count, nor with a low one."""
    failed = brightness(figures=figures(auc), **controls)
    assert wording.not_counted(failed) in unheld('auc:0.8', [*WHOLE, failed]).found
    unheld('auc:0.8', [failed])
    check('identity_auc:0.95', [*WHOLE, failed])  # does not read it
    assert crossed('auc:0.6', [*WHOLE, failed]) == 'auc is 0.7, above 0.6'  # by one that counts


@pytest.mark.parametrize('doubted', [MISFED, UNSURE])
def test_wrong_input_passes_no_gate(doubted):
    remark = doubted['input']['check']['remark']
    for found in (WHOLE, [CLEAR]):
        assert remark in unheld('auc:0.99', record(*found) | doubted).found
    assert crossed('auc:0.5', record(*WHOLE) | doubted) == 'auc is 0.7, above 0.5'
    assert gating.check([], record(*WHOLE) | doubted) == ''
    check('auc:0.99', record(*WHOLE) | {'input': {'check': {'trusted': True}}})


def test_images_that_do_not_look_aligned_pass_no_gate():
    for score, passes in ((0.05, False), (0.5, True)):
        seen = {'alignment': {'scores': {'members': 0.5, 'nonmembers': score}, 'least': 0.4}}
        looked_at = record(*WHOLE) | {'input': seen}
        if passes:
            check('auc:0.99', looked_at)
        else:
            assert 'nonmembers do not look aligned' in unheld('auc:0.99', looked_at).found


def test_an_invalid_verdict_passes_no_gate():
    """Whatever the figure says: of strangers compared with strangers it says nothing."""
    strangers = record(CLEAR) | {'data': data(in_training_list=0)}
    assert verdict(strangers).headline in unheld('auc:0.99', strangers).found
    found = record(brightness(null=BAD_NULL)) | {'inversion': search(0.05, 0.04, 0.05, 0.5)}
    assert verdict(found).kind == 'invalid'
    unheld('hit_rate:0.5', found)


def test_a_gate_looks_at_what_the_verdict_rests_on():
    """Of further attacks only one that shows a leak counts; by name each can be asked for."""
    high = further(figures=figures(0.9), reach=(-0.1, 0.9))
    failed = further('anchors', figures=figures(0.95), null=BAD_NULL)
    found = [CLEAR, high, failed]
    assert check('auc:0.6', found) == ''
    assert 'norm/partial.auc is 0.9' in crossed('norm/partial.auc:0.6', found)
    assert unheld('anchors/partial.auc:0.6', found).found.startswith('anchors/partial.auc for an')
    leaking = further(figures=figures(0.9), reach=(0.1, 0.9))
    assert 'auc is 0.9' in crossed('auc:0.6', [CLEAR, leaking, failed])
