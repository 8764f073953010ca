"""The grammar of gates."""

import pytest

from fr_inference.errors import InputError
from fr_inference.report import gate
from fr_inference.report.gate import Gate


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('verdict', Gate(name='verdict', limit=None, figure='verdict')),
        ('auc:0.6', Gate(name='auc', limit=0.6, figure='auc')),
        ('auc_high:0.6', Gate(name='auc_high', limit=0.6, figure='auc', high=True)),
        ('excess:-0.1', Gate(name='excess', limit=-0.1, figure='excess')),
        (
            'tpr_high@fpr=0.01:.1',
            Gate(name='tpr_high@fpr=0.01', limit=0.1, figure='tpr@fpr=0.01', high=True),
        ),
        ('identity_auc:0.7', Gate(name='identity_auc', limit=0.7, figure='auc', people=True)),
        (
            'identity_excess_high:0.2',
            Gate(name='identity_excess_high', limit=0.2, figure='excess', high=True, people=True),
        ),
        ('hit_rate:0.1', Gate(name='hit_rate', limit=0.1, figure='hit_rate')),
        (
            'hit_excess_high:0',
            Gate(name='hit_excess_high', limit=0, figure='hit_excess', high=True),
        ),
        (
            'people/partial.auc_high:0.7',
            Gate(
                name='people/partial.auc_high',
                limit=0.7,
                figure='auc',
                high=True,
                key='people/partial',
            ),
        ),
        (
            'bn-distance/auxiliary.tpr@fpr=0.001:0.5',
            Gate(
                name='bn-distance/auxiliary.tpr@fpr=0.001',
                limit=0.5,
                figure='tpr@fpr=0.001',
                key='bn-distance/auxiliary',
            ),
        ),
    ],
)
def test_parse(text, expected):
    assert gate.parse(text) == expected
    assert gate.parse(expected.text) == expected


@pytest.mark.parametrize(
    ('text', 'meant'),
    [
        *(('area:0.5', None), (':0.5', None), ('auc', 'auc'), ('auc=0.6', None), ('', None)),
        *(('auc_hgih:0.6', 'auc_high'), ('verdct', 'verdict'), ('verdict:0.5', None)),
        *(('tpr@fpr=0.5:0.1', 'tpr@fpr=0.1'), ('tpr@fpr=0.01_high:0.1', 'tpr_high@fpr=0.01')),
        *(('identity_hit_rate:0.1', None), ('hit_rat:0.1', 'hit_rate')),
        ('bn-distance/partial.uac:0.6', 'auc'),
    ],
)
def test_an_unknown_figure(text, meant):
    with pytest.raises(InputError) as caught:
        gate.parse(text)
    assert (caught.value.field, caught.value.found) == ('fail_above', repr(text))
    for figure in (*gate.OF_ATTACKS, *gate.OF_SEARCH, 'identity_auc', 'auc_high', 'verdict'):
        assert figure in caught.value.expected
    assert meant is None or f'did you mean {meant!r}' in caught.value.hint


@pytest.mark.parametrize(
    ('text', 'meant'),
    [
        ('peple/partial.auc:0.6', 'people/partial'),
        ('people.auc:0.6', 'people/partial'),
        ('people/auxiliary.auc:0.6', 'people/partial'),
    ],
)
def test_an_unknown_attack(text, meant):
    with pytest.raises(InputError) as caught:
        gate.parse(text)
    assert (caught.value.field, caught.value.found) == ('fail_above', repr(text))
    assert 'bn-distance/auxiliary' in caught.value.expected
    assert meant in caught.value.hint


@pytest.fixture
def own(tmp_path, monkeypatch):
    """An attack of the user's own, as it stands in the option; its name has a point."""
    (tmp_path / 'gated').mkdir()
    (tmp_path / 'gated' / 'mine.py').write_text('def far(images, fit, seed):\n    return None\n')
    monkeypatch.syspath_prepend(tmp_path)
    return 'gated.mine:far'


def test_an_attack_of_the_users_own_is_named_as_in_the_record(own):
    found = gate.parse('gated.mine-far/partial.tpr@fpr=0.01:0.1', [own, 'norm'])
    assert (found.key, found.figure) == ('gated.mine-far/partial', 'tpr@fpr=0.01')
    with pytest.raises(InputError) as caught:
        gate.parse('gated.mine-far/partial.auc:0.6', ['norm'])
    assert caught.value.field == 'fail_above'
    assert 'one of your own that attacks names' in caught.value.expected


@pytest.mark.parametrize('figure', ['identity_auc', 'hit_rate', 'hit_excess_high'])
def test_an_attack_has_neither_people_of_its_own_nor_a_search(figure):
    with pytest.raises(InputError) as caught:
        gate.parse(f'people/partial.{figure}:0.6')
    assert caught.value.field == 'fail_above'


@pytest.mark.parametrize('limit', ['', 'high', 'nan', 'inf', '60', '1'])
def test_a_limit_that_nothing_could_exceed(limit):
    with pytest.raises(InputError) as caught:
        gate.parse(f'auc:{limit}')
    assert (caught.value.field, caught.value.found) == ('fail_above', repr(f'auc:{limit}'))


def test_the_same_gate_on_the_upper_end():
    for text, bound in (
        ('auc:0.6', 'auc_high:0.6'),
        ('auc_high:0.6', 'auc_high:0.6'),
        ('people/partial.tpr@fpr=0.01:0.05', 'people/partial.tpr_high@fpr=0.01:0.05'),
        ('identity_excess:0.1', 'identity_excess_high:0.1'),
        ('hit_excess:0.1', 'hit_excess_high:0.1'),
    ):
        assert gate.parse(text).bound == gate.parse(bound)


def test_a_rate_says_how_many_strangers_it_takes():
    rate = gate.parse('tpr@fpr=0.01:0.5')
    rate.check_count(1000, 'photographs')
    gate.parse('auc:0.5').check_count(0, 'photographs')
    with pytest.raises(InputError) as caught:
        rate.check_count(999, 'photographs', 1998)
    assert caught.value.field == 'fail_above'
    assert '999 evaluated' in caught.value.found
    assert '1,998' in caught.value.found
    assert caught.value.expected.startswith('1,000 or more')
    assert '2,000 in all' in caught.value.expected
    assert 'tpr@fpr=0.1,' in caught.value.hint  # what 999 do resolve
    with pytest.raises(InputError) as caught:
        rate.check_count(99, 'photographs')
    assert 'tpr' not in caught.value.hint
