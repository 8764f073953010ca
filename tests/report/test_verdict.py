"""The verdict claims a leak only where every control allows it."""

import itertools

import pytest

from fr_inference.report import wording
from fr_inference.report.verdict import in_order, verdict
from tests.report import demo
from tests.report.comparisons import (
    BAD_BLIND,
    BAD_NULL,
    NULL,
    block,
    brightness,
    comparison,
    on_people,
    record,
)


def said_of(*found):
    return verdict(record(*found))


@pytest.mark.parametrize(
    ('controls', 'kind'),
    [
        ({'over': (0.2, 0.4)}, 'leak'),
        ({'over': (0.001, 0.4)}, 'leak'),
        ({'over': (-0.001, 0.4)}, 'open'),
        ({'over': (-0.04, 0.04)}, 'none'),
        ({'over': (-0.2, -0.1)}, 'none'),
        ({'over': (-0.04, 0.06)}, 'open'),
        ({'over': (0.2, 0.4), 'null': BAD_NULL}, 'invalid'),
        ({'over': (-0.04, 0.04), 'null': block(0.4, 0.3, 0.49)}, 'invalid'),
        ({'over': (0.2, 0.4), 'blind': BAD_BLIND}, 'invalid'),
        ({'over': None, 'blind': None}, 'open'),
        ({'over': (0.2, 0.4), 'null': None}, 'leak'),
    ],
)
def test_kind_of_one_attack(controls, kind):
    found = said_of(comparison(**controls))
    assert found.kind == kind
    assert ('gives away' in found.headline) == (kind == 'leak')


@pytest.mark.parametrize(
    ('controls', 'kind'),
    [
        ({'over': (0.2, 0.4)}, 'leak'),
        ({'over': (-0.04, 0.06)}, 'open'),
        ({'over': (-0.04, 0.04)}, 'open'),
        ({'over': (0.2, 0.4), 'null': BAD_NULL}, 'invalid'),
    ],
)
def test_wrong_input_never_ends_in_an_all_clear(controls, kind):
    found = record(comparison(**controls))
    sure = {'check': {'trusted': True, 'remark': 'Fits.'}}
    assert verdict(found | {'input': sure}) == verdict(found)
    doubted = verdict(found | {'input': {'check': {'trusted': False, 'remark': 'It was fed BGR.'}}})
    assert doubted.kind == kind
    assert doubted.sentences[0] == 'It was fed BGR.'
    expected = 'may not be what the backbone expects' in doubted.headline
    assert expected == (verdict(found).kind in ('none', 'open'))
    assert 'learns next to nothing' not in str(doubted)


@pytest.mark.parametrize(
    ('images', 'null', 'people', 'kind'),
    [
        ((-0.04, 0.04), NULL, (0.3, 0.5), 'leak'),  # the person is given away, the image is not
        ((0.1, 0.2), NULL, (-0.2, 0.2), 'leak'),
        ((-0.04, 0.04), NULL, (-0.2, 0.2), 'open'),
        ((-0.04, 0.04), NULL, (-0.04, 0.04), 'none'),
        ((0.1, 0.2), BAD_NULL, (-0.04, 0.04), 'open'),  # no leak is claimed, and none excluded
        ((0.1, 0.2), BAD_NULL, (0.3, 0.5), 'leak'),  # the attack on people has its own control
    ],
)
def test_the_strongest_sound_finding_is_the_headline(images, null, people, kind):
    figures = block(0.6, 0.55, 0.65)
    found = said_of(comparison(figures=figures, over=images, null=null), on_people(over=people))
    assert found.kind == kind
    assert ('cannot be judged' in found.sentences[-1]) == (kind == 'open' and null is BAD_NULL)


def test_a_control_that_fell_below_a_half_is_no_leak():
    low = block(0.4, 0.35, 0.45)
    found = said_of(comparison(figures=block(0.52, 0.45, 0.59), over=(0.02, 0.2), blind=low))
    assert found.kind == 'open'


def test_sentences_hold_the_figures():
    found = said_of(comparison())
    text = str(found)
    assert text.startswith(found.headline)
    assert '80 of 100 cases (95 % interval 75 to 85; 50 is guessing)' in text
    # The lowest rate that could be resolved.
    assert 'finds 12.3 % of the members while taking 1 % of the strangers for members' in text
    assert '30 above what it reaches' in text
    assert 'difference +20 to +40' in text
    assert '60 people on whom the attack was not fitted' in text
    assert '51 of 100 (45 to 57); its interval includes 50' in text


@pytest.mark.parametrize(
    ('over', 'words'),
    [
        ((-0.25, 0.05), '10 below what'),
        ((-0.004, 0.006), 'the same as what'),
        ((0, 0.1), '5 above'),
    ],
)
def test_a_difference_is_said_in_words(over, words):
    assert words in str(said_of(comparison(over=over)))


FAILED = [
    {'null': BAD_NULL},
    {'null': block(0.4, 0.3, 0.49)},
    {'blind': BAD_BLIND},
    {'null': BAD_NULL, 'blind': BAD_BLIND},
]


@pytest.mark.parametrize('controls', FAILED)
def test_a_failed_control_is_said_in_place_of_the_figures(controls):
    one = comparison(figures=block(0.83, 0.77, 0.91), **controls)
    for found in (said_of(one), said_of(one, on_people())):
        assert wording.not_counted(one) in str(found)
        assert '83 of 100' not in str(found)
    assert 'do not rely' in str(said_of(one))


@pytest.mark.parametrize('controls', FAILED)
@pytest.mark.parametrize('over', [(0.2, 0.4), (-0.04, 0.04), (-0.2, 0.2)])
def test_an_attack_whose_control_failed_never_heads(controls, over):
    failed, sound = comparison(**controls), on_people(over=over)
    for found in itertools.permutations([failed, brightness(over=over), sound]):
        assert in_order(found)[-1] == failed
        said = said_of(*found)
        assert wording.judged(failed.unit) not in said.headline
        assert wording.not_counted(failed) not in said.sentences[1]
        assert said.kind == said_of(sound).kind or said.kind == 'open'


def test_the_words_of_a_failed_control():
    assert wording.not_counted(comparison()) == wording.not_counted(comparison(), short=True) == ''
    short = wording.not_counted(comparison(null=BAD_NULL), short=True)
    assert wording.not_counted(comparison(null=BAD_NULL)).startswith(f'{short}: ')
    assert wording.not_counted(comparison(null=BAD_NULL)) == (
        'not counted because a control failed: among strangers the same attack reaches 0.875 (0.574 to '
        '1.000), which should include 0.5'
    )
    both = wording.not_counted(comparison(null=BAD_NULL, blind=BAD_BLIND))
    assert both.startswith('not counted because a control failed: among strangers')
    assert both.endswith(
        'on a backbone that never saw these people the same attack reaches 0.700 (0.600 to 0.800), '
        'which should not lie above 0.5'
    )


def test_the_demo_does_not_claim_its_people():
    said = verdict(demo.record_of('few'))
    assert said.kind == 'leak'
    assert 'the attack on photographs' in said.sentences[1]
    people = 'The attack on people with several photographs'
    (sentence,) = [text for text in said.sentences if text.startswith(people)]
    assert sentence.endswith(
        'is not counted because a control failed: among strangers the same attack reaches 0.875 (0.574 '
        'to 1.000), which should include 0.5.'
    )


@pytest.mark.parametrize(('name', 'kind'), [('leaky', 'leak'), ('easy', 'open'), ('few', 'leak')])
def test_the_demo(name, kind):
    assert verdict(demo.record_of(name)).kind == kind


def test_a_newcomers_attack_is_said():
    text = str(said_of(comparison(), brightness(figures=block(0.61, 0.56, 0.66))))
    assert 'Knowing images of strangers only, the attack on photographs (Brightness) picks' in text
    assert '61 of 100' in text


def test_people_only():
    """A target without BatchNorm: only the attack on people could be run."""
    found = said_of(on_people())
    assert found.kind == 'leak'
    assert 'the attack on people with several photographs' in str(found)
    assert 'the attack on photographs' not in str(found)


def inversion(hit_rate, low, control, p_value, **more):
    return {
        'goal': 'membership',
        'setting': 'auxiliary',
        'reconstructions': 64,
        'hit_rate': hit_rate,
        'hit_rate_ci95': [low, 2 * hit_rate - low],
        'nearest_is_member': 0.55,
        'nearest_is_member_ci95': [0.45, 0.65],
        'p_value': p_value,
        'nearest_p_value': 0.3,
        'distinct_identities': 9,
        'controls': {
            'random_latents': {'hit_rate': control},
            'nonmember_gallery': {'hit_rate': 0.02},
        },
        'excess': {
            'hit_rate': hit_rate - control,
            'hit_rate_ci95': [low - control, 2 * hit_rate - low - control],
            'over': 'random_latents',
            'p_value': p_value,
        },
        **more,
    }


@pytest.mark.parametrize(
    ('found', 'kind'),
    [
        (inversion(0.4, 0.3, 0.1, 0.001), 'leak'),
        (inversion(0.4, 0.3, 0.1, 0.02), 'open'),  # chance would do as well
        (inversion(0.4, 0.3, 0.42, 0.001), 'open'),  # a control does better
        (inversion(0.1, 0.07, 0.2, 0.5), 'none'),
    ],
)
def test_recovery_is_claimed_only_beyond_every_control(found, kind):
    said = verdict({'inversion': found})
    assert said.kind == kind
    assert ('can be reconstructed' in said.headline) == (kind == 'leak')
    assert ('Nothing recovered' in said.headline) == (kind == 'none')
    assert ('Inconclusive' in said.headline) == (kind == 'open')
    assert 'random faces' in str(said)


def test_a_search_with_wrong_input_never_ends_in_an_all_clear():
    found = {'inversion': inversion(0.1, 0.07, 0.2, 0.5)}
    said = verdict(found | {'input': {'check': {'trusted': False, 'remark': 'It was fed BGR.'}}})
    assert said.kind == 'open'
    assert said.sentences[0] == 'It was fed BGR.'
    assert 'Nothing recovered' not in said.headline


def test_an_open_answer_says_on_which_side_it_lies():
    more = verdict({'inversion': inversion(0.4, 0.3, 0.1, 0.02)}).headline
    assert more == (
        'Inconclusive: reconstructions match members more often than the controls do, but the '
        'difference could be chance'
    )
    fewer = verdict({'inversion': inversion(0.4, 0.3, 0.42, 0.001)}).headline
    assert 'do not match members more often' in fewer


def test_likenesses_that_lean_towards_members_leave_it_open():
    found = inversion(0.1, 0.07, 0.2, 0.5) | {'nearest_p_value': 0.002}
    said = verdict({'inversion': found})
    assert said.kind == 'open'
    assert 'lean towards members' in said.headline
    assert 'Nothing recovered' not in str(said)
    found['controls']['untrained_target'] = {'hit_rate': 0.0, 'nearest_is_member': 0.5}
    assert 'Nothing recovered' in str(verdict({'inversion': found}))  # it leans as far untrained


@pytest.mark.parametrize('changed', [{'hit_rate_ci95': [-0.01, 0.3]}, {'p_value': 0.02}])
def test_hits_beyond_chance_but_not_surely_beyond_a_control_leave_it_open(changed):
    found = inversion(0.4, 0.3, 0.1, 0.001)
    found['excess'] |= changed
    said = verdict({'inversion': found})
    assert said.kind == 'open'
    assert 'lean towards members' in said.headline
    found['p_value'] = 0.02
    said = verdict({'inversion': found})
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
    found = inversion(0.1, 0.07, 0.2, 0.5, setting=setting)
    assert verdict({'inversion': found}).sentences[0].endswith(words)


def test_both_parts_in_one_verdict():
    leaking = record(comparison())
    both = verdict(leaking | {'inversion': inversion(0.4, 0.3, 0.1, 0.001)})
    assert both.kind == 'leak'
    assert 'can be reconstructed' in both.headline
    one = verdict(leaking | {'inversion': inversion(0.1, 0.07, 0.2, 0.5)})
    assert one.kind == 'leak'
    assert 'reconstructed' not in one.headline
    assert 'match members no more often' in str(one)


def test_templates_stand_beside_all_their_controls():
    targeted = {
        'people': 16,
        'gallery': 32,
        'top1': 0.5,
        'top1_ci95': [0.3, 0.7],
        'controls': {'random_latents': {'top1': 1 / 32}, 'nonmembers': {'top1': 1.0}},
    }
    said = str(verdict({'inversion': inversion(0.1, 0.07, 0.2, 0.5, targeted=targeted)}))
    assert '50 % of the cases (30 % to 70 %). The controls: random faces 3.1 %, ' in said
    assert 'templates of people who are not members 100 %.' in said


def test_it_says_whether_photographs_or_people_are_given_away():
    def meaning(images):
        return said_of(comparison(over=images), on_people(over=(0.3, 0.5))).sentences[-1]

    assert 'about the people' in meaning((-0.04, 0.04))
    assert 'about individual training photographs' in meaning((0.2, 0.4))


@pytest.mark.parametrize(
    ('images', 'people', 'expected'),
    [
        ((-0.3, 0.4), (0.3, 0.5), 'people/partial'),
        ((0.1, 0.2), (0.3, 0.5), 'bn-distance/partial'),
        ((-0.3, 0.4), (-0.3, 0.5), 'bn-distance/partial'),
    ],
)
def test_the_attack_that_the_verdict_rests_on_comes_first(images, people, expected):
    found = in_order([comparison(over=images), on_people(over=people)])
    assert found[0].key == expected
