"""A recovery counts only beyond every control, an all-clear only of a search that can find faces."""

import pytest

from fr_inference.report import inversion_verdict
from tests.report.searches import DRAWN, NOT_DRAWN, search, targeted


@pytest.mark.parametrize(
    ('found', 'kind'),
    [
        (search(0.4, 0.3, 0.1, 0.001), 'leak'),
        (search(0.4, 0.3, 0.1, 0.02), 'open'),  # chance would do as well
        (search(0.4, 0.3, 0.42, 0.001), 'open'),  # a control does better
        (search(0.1, 0.07, 0.2, 0.5), 'clear'),
        (search(0.1, 0.07, 0.2, 0.5, targeted=None), 'open'),  # can it draw these people?
        (search(0.1, 0.07, 0.2, 0.5, targeted=NOT_DRAWN), 'open'),
        (search(0.1, 0.07, 0.2, 0.5, untrained=False), 'open'),
        (search(0.1, 0.02, 0.1, 0.5), 'open'),  # its interval reaches too far
        (search(0.4, 0.3, 0.1, 0.001, targeted=None), 'leak'),  # what is found is found
    ],
)
def test_kind(found, kind):
    said = inversion_verdict.of(found)
    assert said.kind == kind
    assert ('can be reconstructed' in said.headline) == (kind == 'leak')
    assert ('Nothing recovered' in said.headline) == (kind == 'clear')
    assert 'random faces' in ' '.join(said.sentences)


@pytest.mark.parametrize(
    ('changed', 'codes'),
    [
        ({'targeted': None}, ['generator']),
        ({'targeted': NOT_DRAWN}, ['generator']),
        ({'untrained': False}, ['no-control']),
        ({'targeted': None, 'untrained': False}, ['generator', 'no-control']),
    ],
)
def test_a_search_that_may_be_blind_says_why(changed, codes):
    said = inversion_verdict.of(search(0.1, 0.07, 0.2, 0.5, **changed))
    assert [reason.code for reason in said.reasons] == codes
    assert 'may have been unable to find anybody' in said.headline
    for reason in said.reasons:
        assert reason.text in said.sentences[-3]


def test_an_open_answer_says_on_which_side_it_lies():
    more = inversion_verdict.of(search(0.4, 0.3, 0.1, 0.02))
    assert more.headline == (
        'Reconstructions match members more often than the controls do, but the difference could be '
        'chance'
    )
    assert [reason.code for reason in more.reasons] == ['power']
    fewer = inversion_verdict.of(search(0.4, 0.3, 0.42, 0.001)).headline
    assert 'do not match members more often' in fewer


def test_likenesses_that_lean_towards_members_leave_it_open():
    found = search(0.1, 0.07, 0.2, 0.5) | {'nearest_p_value': 0.002}
    said = inversion_verdict.of(found)
    assert said.kind == 'open'
    assert 'lean towards members' in said.headline
    found['controls']['untrained_target']['nearest_is_member'] = 0.5  # it leans as far untrained
    assert inversion_verdict.of(found).kind == 'clear'


@pytest.mark.parametrize('changed', [{'hit_rate_ci95': [-0.01, 0.3]}, {'p_value': 0.02}])
def test_hits_beyond_chance_but_not_surely_beyond_a_control_leave_it_open(changed):
    found = search(0.4, 0.3, 0.1, 0.001)
    found['excess'] |= changed
    said = inversion_verdict.of(found)
    assert said.kind == 'open'
    assert 'lean towards members' in said.headline
    found['p_value'] = 0.02
    said = inversion_verdict.of(found)
    assert said.kind == 'open'
    assert 'could be chance' in said.headline


@pytest.mark.parametrize(
    ('setting', 'words'),
    [
        ('partial', 'knowing some of the training images?'),
        ('auxiliary', 'knowing none of the training images?'),
        ('strangers', 'knowing images of strangers only?'),
    ],
)
def test_the_question_says_what_the_search_knows(setting, words):
    found = search(0.1, 0.07, 0.2, 0.5, setting=setting)
    assert inversion_verdict.of(found).sentences[0].endswith(words)


def test_templates_stand_beside_their_strongest_control():
    def sentence(top1, low, high):
        found = search(0.1, 0.07, 0.2, 0.5, targeted=targeted(top1, low, high, DRAWN))
        return inversion_verdict.of(found).sentences[3]

    said = sentence(0.5, 0.3, 0.7)
    assert 'In 50 % of the cases (30 % to 70 %), the face is more like that person' in said
    assert 'The controls, the strongest first: templates of ' in said
    assert said.index('not members 94 %') < said.index('random faces 3.1 %')
    assert 'no sign of training' in said
    assert 'drawn better than people it never saw' not in said
    assert 'drawn better than people it never saw' in sentence(1.0, 0.999, 1.0)


def test_an_open_answer_says_how_many_people_and_reconstructions_would_settle_it():
    said = inversion_verdict.of(search(0.1, 0.02, 0.1, 0.5))
    settle = next(text for text in said.sentences if text.startswith('What would settle it: '))
    # 3.87 standard errors of 0.16 / 3.92 are 0.158, so (0.158 / 0.05)^2 = 9.97 times as many.
    assert 'about 320 members, the same number of strangers, and 640 reconstructions' in settle
    assert 'A difference below 16 % could have been missed' in ' '.join(said.sentences)
    lost = inversion_verdict.of(search(0.1, 0.07, 0.2, 0.5, targeted=NOT_DRAWN, untrained=False))
    settle = next(text for text in lost.sentences if text.startswith('What would settle it: '))
    assert 'a generator that is shown to draw such people' in settle
    assert '(--untrained)' in settle


def test_a_leak_says_which_control_was_left_out():
    said = inversion_verdict.of(search(0.4, 0.3, 0.1, 0.001, untrained=False))
    assert said.kind == 'leak'
    assert [reason.code for reason in said.reasons] == ['inversion', 'no-control']
    assert said.reasons[1].text in said.sentences[-2]


def test_a_hint_claims_nothing_about_the_training_set():
    found = search(0.1, 0.07, 0.2, 0.5) | {'nearest_p_value': 0.002}
    text = ' '.join(inversion_verdict.of(found).sentences)
    assert 'the nearest person is a member for 55 % of the reconstructions' in text
    assert 'the backbone holds' not in text.casefold()
    assert 'no reason to release the file' in text


def test_templates_without_people_it_never_saw_say_nothing_about_training():
    found = targeted(0.9, 0.6, 0.98, DRAWN)
    del found['controls']['nonmembers']
    said = inversion_verdict.of(search(0.1, 0.07, 0.2, 0.5, targeted=found)).sentences[3]
    assert 'says nothing about training' in said
