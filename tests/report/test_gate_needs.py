"""What is known of a gate before anything is measured."""

import numpy as np
import pytest

from fr_inference import config
from fr_inference.errors import InputError
from fr_inference.membership import attacks, labelled
from fr_inference.report import gate, gate_needs
from tests.membership.backbones import crowd, labelled_of, noise_faces

FACES = {
    'members': noise_faces(12, 2, seed=1, name='in'),
    'nonmembers': noise_faces(61, 2, seed=2, name='out'),
}
SINGLE = {
    'members': noise_faces(12, 1, seed=1, name='in'),
    'nonmembers': noise_faces(61, 1, seed=2, name='out'),
}


def check(gates, *, given=(), attacks=(), faces=FACES, membership=True, seed=0, **known):
    gate_needs.check(
        [gate.parse(text) for text in gates.split(',')],
        config.Settings(attacks=attacks, seed=seed),
        given=given,
        membership=membership,
        **{'layers': True, **known},
        faces=faces,
    )


def unanswered(gates, **how):
    with pytest.raises(InputError) as caught:
        check(gates, **how)
    assert caught.value.field == 'fail_above'
    return caught.value


def test_what_the_data_can_answer():
    check('verdict,auc:0.6,identity_auc_high:0.6,people/partial.excess:0.1')
    check('bn-distance/auxiliary.auc:0.6', given={'auxiliary'})
    check('hit_rate:0.1,hit_excess_high:0.1,verdict', given={'generator'}, membership=False)
    check('auc:0.6,people/partial.auc:0.6', faces=None, layers=None)  # nothing is opened yet
    check('norm/auxiliary.auc:0.6', layers=False, given={'auxiliary'})  # a shadow tells lengths
    check('auc:0.6', layers=False)  # attacks on the embeddings can be run
    check('auc:0.6', layers=False, attacks=('bn-distance', 'people'))  # people stand in
    check('reference/partial.auc:0.6', given={'references'})


def test_a_rate_says_how_many_strangers_it_takes():
    """60 photographs of 30 people are evaluated: the half that was not fitted on."""
    names = [*FACES['members'].identities, *FACES['nonmembers'].identities]
    member = np.arange(len(names)) < 24
    evaluated = int((~labelled.fit_half(names, member, 0) & ~member).sum())
    assert evaluated == 60
    error = unanswered('tpr@fpr=0.1:0.5')
    assert error.found.startswith('tpr@fpr=0.1 with 60 evaluated non-members (photographs)')
    assert '122' in error.found
    assert error.expected.startswith('100 or more')
    assert '200 in all' in error.expected
    more = FACES | {'nonmembers': noise_faces(100, 2, seed=2, name='out')}
    check('tpr@fpr=0.1:0.5', faces=more)
    error = unanswered('auc:0.9,tpr_high@fpr=0.01:0.5', faces=more)
    assert error.found.startswith('tpr_high@fpr=0.01 with 100 evaluated')
    assert 'tpr_high@fpr=0.1,' in error.hint


def test_a_rate_of_people_counts_people():
    more = FACES | {'nonmembers': noise_faces(199, 2, seed=2, name='out')}
    check('tpr@fpr=0.1:0.5', faces=more)
    for found in (
        unanswered('identity_tpr@fpr=0.1:0.5', faces=more).found,
        unanswered('people/partial.tpr@fpr=0.1:0.5', faces=more).found,
        unanswered('tpr@fpr=0.1:0.5', faces=more, attacks=('people',)).found,
    ):
        assert ' with 99 evaluated non-members (people with several photographs)' in found
        assert '199' in found


def test_people_take_several_photographs_each():
    check('auc:0.6', faces=SINGLE)
    error = unanswered('identity_auc:0.6', faces=SINGLE)
    assert error.found.endswith('with 0 people with several photographs among the members')
    assert error.expected == attacks.get('people').needs
    mixed = FACES | {'nonmembers': SINGLE['nonmembers']}
    assert unanswered('people/partial.auc:0.6', faces=mixed).found.endswith('among the nonmembers')


def test_one_person_in_two_spellings_counts_once():
    several = noise_faces(4, 2, seed=1, name='IN')
    faces = FACES | {'members': several}
    names = tuple(name.lower() if row % 2 else name for row, name in enumerate(several.identities))
    spelled = FACES | {'members': type(several)(**vars(several) | {'identities': names})}
    for one in (faces, spelled):
        check('identity_auc:0.6', faces=one)


@pytest.mark.parametrize(
    ('gates', 'how', 'hint'),
    [
        ('hit_rate:0.1', {}, 'generator=GENERATOR'),
        ('hit_excess_high:0.1', {'given': {'auxiliary'}}, 'generator=GENERATOR'),
        ('bn-distance/auxiliary.auc:0.6', {}, 'auxiliary=FACES'),
        (
            'bn-distance/auxiliary.auc:0.6',
            {'layers': False, 'given': {'auxiliary'}},
            attacks.get('bn-distance').needs,
        ),
        (
            'norm/auxiliary.auc:0.6',
            {'layers': False, 'shadow': False, 'given': {'auxiliary'}},
            'shadow=BACKBONE',
        ),
        ('bn-distance/partial.auc:0.6', {'layers': False}, attacks.get('bn-distance').needs),
        ('people/partial.auc:0.6', {'attacks': ('bn-distance',)}, 'attacks='),
        ('reference/partial.auc:0.6', {}, 'references='),
        ('identity_auc:0.6', {'attacks': ('bn-distance',)}, 'attacks='),
        ('bn-distance/partial.auc:0.6', {'attacks': ('people',)}, 'attacks='),
        (
            'auc:0.6',
            {'attacks': ('bn-distance',), 'layers': False},
            attacks.get('bn-distance').needs,
        ),
    ],
)
def test_what_will_not_be_measured(gates, how, hint):
    error = unanswered(gates, **how)
    assert error.found.startswith(gates.partition(':')[0])
    assert hint in error.hint


def test_a_search_alone_answers_no_gate_of_an_attack():
    error = unanswered('auc:0.6', given={'generator'}, membership=False)
    assert 'hit_rate' in error.expected


def test_too_few_people_for_any_attack():
    few = FACES | {'members': noise_faces(3, 2, seed=1, name='in')}
    with pytest.raises(InputError) as caught:
        check('auc:0.6', faces=few)
    assert caught.value.field == 'members'
    check('verdict', faces=few)  # the audit itself says it


def test_attacks_say_beforehand_whether_they_need_layers():
    with_layers = crowd(people=8, images=2)
    without = labelled_of(
        np.empty((len(with_layers), 0)),
        with_layers.member,
        with_layers.identities,
        with_layers.embeddings,
    )
    fit = labelled.fit_half(without.identities, without.member, 0)
    alone = ('anchors', 'bn-distance', 'bn-moments', 'norm', 'people')  # need nothing else
    for attack in map(attacks.get, alone):
        assert attack.layers == (attack.examples(without, fit, 0) is None), attack.name
