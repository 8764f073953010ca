"""A leak is claimed only where every control allows it, and clear only what would have been found."""

import itertools

import pytest

from fr_inference.report import membership_verdict, wording
from fr_inference.report.membership_verdict import in_order
from tests.report.comparisons import (
    BAD_BLIND,
    BAD_NULL,
    NULL,
    block,
    brightness,
    combined,
    comparison,
    data,
    further,
    on_people,
)


def said_of(*found, populations=(), sides=None):
    return membership_verdict.of(found, dict(populations), data=sides)


def text_of(said):
    return ' '.join(said.sentences)


@pytest.mark.parametrize(
    ('controls', 'kind'),
    [
        ({'over': (0.2, 0.4)}, 'leak'),
        ({'over': (0.001, 0.4)}, 'leak'),
        ({'over': (-0.001, 0.4)}, 'open'),
        ({'over': (-0.04, 0.04)}, 'clear'),
        ({'over': (-0.2, -0.1)}, 'clear'),
        ({'over': (-0.2, 0.04)}, 'open'),  # it could have missed a leak of 10 points
        ({'over': (-0.04, 0.04), 'null': None}, 'open'),  # not all controls were run
        ({'over': (-0.04, 0.06)}, 'open'),
        ({'over': (0.2, 0.4), 'null': BAD_NULL}, 'invalid'),
        ({'over': (-0.04, 0.04), 'null': block(0.4, 0.3, 0.49)}, 'invalid'),
        ({'over': (0.2, 0.4), 'blind': BAD_BLIND}, 'invalid'),
        ({'over': None, 'blind': None}, 'open'),
        ({'over': (0.2, 0.4), 'null': None}, 'open'),
    ],
)
def test_kind_of_one_attack(controls, kind):
    found = said_of(comparison(**controls))
    assert found.kind == kind
    assert ('gives away' in found.headline) == (kind == 'leak')


@pytest.mark.parametrize(
    ('images', 'null', 'people', 'kind'),
    [
        ((-0.04, 0.04), NULL, (0.3, 0.5), 'leak'),  # the person is given away, the image is not
        ((0.1, 0.2), NULL, (-0.2, 0.2), 'leak'),
        ((-0.04, 0.04), NULL, (-0.2, 0.2), 'open'),
        ((-0.04, 0.04), NULL, (-0.04, 0.04), 'clear'),
        ((0.1, 0.2), BAD_NULL, (-0.04, 0.04), 'open'),  # no leak is claimed, and none excluded
        ((0.1, 0.2), BAD_NULL, (0.3, 0.5), 'leak'),  # the attack on people has its own control
    ],
)
def test_the_strongest_sound_finding_is_the_headline(images, null, people, kind):
    figures = block(0.6, 0.55, 0.65)
    by_people = on_people(figures=block(0.56, 0.515, 0.605), over=people)
    found = said_of(comparison(figures=figures, over=images, null=null), by_people)
    assert found.kind == kind
    codes = [reason.code for reason in found.reasons]
    assert ('control' in codes) == (kind == 'open' and null is BAD_NULL)


def test_a_control_that_fell_below_a_half_is_no_leak():
    low = block(0.4, 0.35, 0.45)
    found = said_of(comparison(figures=block(0.52, 0.45, 0.59), over=(0.02, 0.2), blind=low))
    assert found.kind == 'open'


def test_sentences_hold_the_figures():
    found = said_of(comparison())
    text = text_of(found)
    assert '80 of 100 cases (95 % interval 75 to 85; 50 is guessing)' in text
    assert '30 above its control' in text
    assert 'difference +20 to +40' in text
    assert 'judged on 60 people who were not used to prepare the attack' in text
    assert 'it is right in 51 of 100 cases (45 to 57). That range includes 50' in text


@pytest.mark.parametrize(
    ('over', 'words'),
    [
        ((-0.25, 0.05), '10 below its control'),
        ((-0.004, 0.006), 'the same as its control'),
        ((0, 0.1), '5 above'),
    ],
)
def test_a_difference_is_said_in_words(over, words):
    assert words in text_of(said_of(comparison(over=over)))


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
        assert wording.not_counted(one) in text_of(found)
        assert '83 of 100' not in text_of(found)
    (reason,) = said_of(one).reasons
    assert reason.code == ('sources' if 'blind' in controls else 'control')


@pytest.mark.parametrize('controls', FAILED)
@pytest.mark.parametrize('over', [(0.2, 0.4), (-0.04, 0.04), (-0.2, 0.2)])
def test_an_attack_whose_control_failed_never_heads(controls, over):
    failed, sound = comparison(**controls), on_people(over=over)
    for found in itertools.permutations([failed, brightness(over=over), sound]):
        assert in_order(found)[-1] == failed
        said = said_of(*found)
        assert not ('photographs' in said.headline and said.kind == 'leak' and over[0] < 0.1)
        assert wording.not_counted(failed) not in said.sentences[1]
        assert said.kind == said_of(sound).kind or said.kind == 'open'


def test_the_words_of_a_failed_control():
    assert wording.not_counted(comparison()) == wording.not_counted(comparison(), short=True) == ''
    short = wording.not_counted(comparison(null=BAD_NULL), short=True)
    assert wording.not_counted(comparison(null=BAD_NULL)).startswith(f'{short}: ')
    assert wording.not_counted(comparison(null=BAD_NULL)) == (
        'not counted because a control failed: among strangers only, where there is nothing to '
        'find and 50 would be right, it picks 88 of 100 (57 to 100)'
    )
    both = wording.not_counted(comparison(null=BAD_NULL, blind=BAD_BLIND))
    assert both.startswith('not counted because a control failed: among strangers')
    assert both.endswith(
        '; on a backbone that never saw these people it picks 70 of 100 (60 to 80)'
    )


def test_a_newcomers_attack_is_said():
    text = text_of(said_of(comparison(), brightness(figures=block(0.61, 0.56, 0.66))))
    assert 'Knowing images of strangers only, the attack on photographs (Brightness) picks' in text
    assert '61 of 100' in text


def test_people_only():
    """A target without BatchNorm: only the attack on people could be run."""
    found = said_of(on_people())
    assert found.kind == 'leak'
    assert 'the attack on people with several photographs' in text_of(found)
    assert 'the attack on photographs' not in text_of(found)


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


@pytest.mark.parametrize(
    ('others', 'headline', 'words'),
    [
        (None, 'which photographs', 'was not tested (--member_identities)'),
        ((0.46, 0.4, 0.53), 'which photographs', 'another photograph of that person does not'),
        (
            (0.55, 0.45, 0.65),
            'which photographs',
            'whether the person is given away as well stays open',
        ),
        # Above guessing, and no more than so without training, for all that is known: no "does not".
        ((0.56, 0.53, 0.59, None), 'which photographs', 'whether the person is given away'),
        (
            (0.56, 0.53, 0.59, block(0.55, 0.48, 0.62)),
            'which photographs',
            'whether the person is given away',
        ),
        ((0.9, 0.8, 0.95), 'whom', 'the person is given away, not only the photograph'),
        ((0.9, 0.8, 0.95, BAD_BLIND), 'which photographs', 'whether the person is given away'),
        ((0.9, 0.8, 0.95, None), 'which photographs', 'whether the person is given away'),
    ],
)
def test_what_is_given_away_is_named(others, headline, words):
    """The person only beside a control: other photographs in a backbone that never saw anybody."""
    found = {}
    if others is not None:
        auc, low, high, *control = others
        (blind,) = control or [block(0.5, 0.45, 0.55)]
        seen = block(auc, low, high) | ({} if blind is None else {'blind': blind})
        found = {'member_identities_vs_nonmembers': seen}
    said = said_of(comparison(), populations=found)
    assert said.headline == f'This backbone gives away {headline} it was trained on'
    assert words in text_of(said)


def test_people_alone_are_given_away_to_those_who_hold_photographs():
    said = said_of(comparison(over=(-0.04, 0.04)), on_people(over=(0.3, 0.5)))
    assert 'whom it was trained on, to those who hold several' in said.headline


def test_an_open_answer_says_what_it_could_have_found_and_what_would_settle_it():
    said = said_of(comparison(over=(-0.06, 0.06)), sides=data(100, 4))
    (reason,) = said.reasons
    assert reason.code == 'power'
    # 3.87 standard errors of 0.12 / 3.92.
    assert 'A leak below 62 of 100 cases could have been missed.' in reason.text
    settle = next(text for text in said.sentences if text.startswith('What would settle it: '))
    # (0.1185 / 0.05)^2 = 5.61 times as many people, four photographs each.
    assert (
        'about 570 members and the same number of strangers with 4 photographs each (4,600'
        in settle
    )
    assert 'here 100 on a side' in settle


def test_an_open_answer_near_the_limit_needs_no_more_people():
    said = said_of(comparison(over=(0.02, 0.055), figures=block(0.5, 0.48, 0.52)), sides=data())
    assert said.kind == 'open'
    assert 'narrow enough' in text_of(said)


def test_clear_says_how_small_a_leak_it_excludes():
    said = said_of(comparison(over=(-0.04, 0.04)), sides=data(in_training_list=256))
    (reason,) = said.reasons
    assert reason.code == 'bound'
    assert 'at most 4 of 100 pairs' in reason.text
    assert 'a gain of 10 would have been found' in reason.text  # 9.9 points, by its own interval
    assert 'taken on trust' not in said.sentences[-1]
    assert 'taken on trust' in said_of(comparison(over=(-0.04, 0.04)), sides=data()).sentences[-1]


def test_other_photographs_say_nothing_where_the_attack_on_them_is_not_counted():
    others = block(0.9, 0.8, 0.95) | {'blind': block(0.5, 0.45, 0.55)}
    void, sound = comparison(null=BAD_NULL), comparison(setting='auxiliary')
    said = said_of(void, sound, populations={'member_identities_vs_nonmembers': others})
    assert said.kind == 'leak'
    assert 'gives away which photographs' in said.headline
    assert 'stays open: the attack that looked at them is not counted' in text_of(said)


def test_attacks_that_are_not_counted_are_counted():
    void = [comparison(null=BAD_NULL), brightness(null=BAD_NULL)]
    said = said_of(*void, on_people(over=(-0.2, 0.2)))
    assert '2 of 3 attacks are not counted' in text_of(said)


@pytest.mark.parametrize('missing', [{'null': None}, {'blind': None, 'over': None}])
def test_an_attack_without_one_of_its_controls_shows_nothing(missing):
    said = said_of(comparison(figures=block(0.99, 0.95, 1.0), **missing), sides=data())
    assert said.kind == 'open'
    assert [reason.code for reason in said.reasons] == ['no-control']
    assert (
        'The attack on photographs (BatchNorm distances) could not be tried' in said.reasons[0].text
    )
    both = said_of(comparison(**missing), on_people())
    assert both.kind == 'leak'
    assert 'whom it was trained on, to those who hold several' in both.headline


def test_few_strangers_show_nothing():
    """A null control of seven people on a side does not hold, whatever it gives."""
    said = said_of(comparison(null=block(0.51, 0.2, 0.8, people=14)), sides=data())
    assert said.kind == 'open'
    assert [reason.code for reason in said.reasons] == ['no-control']
    assert 'for which at least 32 are needed' in said.reasons[0].text
    assert 'as it should' not in text_of(said)
    shadow = comparison(setting='auxiliary', null=block(0.51, 0.2, 0.8, people=14))
    assert 'for which at least 16 are needed' in said_of(shadow).reasons[0].text


def test_a_blind_backbone_that_tells_the_sides_apart_the_other_way_round():
    said = said_of(comparison(blind=block(0.35, 0.28, 0.42)), sides=data())
    assert said.kind == 'invalid'
    assert said.reasons[0].code == 'sources'
    assert 'was trained on people of one side' in said.reasons[0].text
    assert 'the other way round, as if that backbone had been trained on' in text_of(said)


def test_an_open_verdict_says_that_membership_is_taken_on_trust():
    trust = 'That the members were trained on is taken on trust'
    wide = {'figures': block(0.5, 0.3, 0.7), 'over': (-0.2, 0.2)}
    assert trust in said_of(comparison(**wide), sides=data()).sentences[-1]
    assert trust not in text_of(said_of(comparison(**wide), sides=data(in_training_list=256)))


def test_where_only_a_control_is_missing_the_advice_is_to_repeat():
    alone = said_of(comparison(over=(-0.04, 0.04)), on_people(null=BAD_NULL), sides=data())
    assert alone.kind == 'open'
    assert 'What would settle it: the same audit with other people' in text_of(alone)


QUIET = {'over': (-0.04, 0.04), 'figures': block(0.51, 0.47, 0.55)}


def test_all_attacks_together_are_said_as_such():
    text = text_of(said_of(combined(), combined(setting='auxiliary'), further()))
    called = 'the combination of all attacks on the file'
    assert f'Found: knowing some of the training images, {called} picks the member' in text
    assert f'Knowing none of the training images, {called} picks the member' in text
    void = text_of(said_of(combined(null=BAD_NULL), on_people()))
    assert f'{called[1:]} is not counted because a control failed: among strangers' in void


def test_a_leak_of_the_attack_chosen_beforehand_comes_before_a_further_one():
    said = said_of(combined(), further(over=(0.4, 0.5)))
    assert 'the combination of all attacks' in said.sentences[1]
    assert not any('chosen beforehand' in text for text in said.sentences)


def test_nothing_found_is_said_with_the_number_of_attacks():
    quiet = [further(name, reach=(-0.1, 0.1), **QUIET) for name in 'abcd']
    said = said_of(combined(**QUIET), *quiet, sides=data(in_training_list=256))
    assert said.kind == 'clear'
    assert said.headline == 'No leak found by any of the 5 attacks that were run'
    assert 'None of 4 further attacks shows a leak.' in said.sentences
    assert 'Each attack that' not in text_of(said)
    assert 'The attack that the verdict rests on gains at most' in said.reasons[0].text
    wide = said_of(combined(over=(-0.2, 0.2), figures=block(0.5, 0.4, 0.6)), *quiet)
    assert wide.kind == 'open'
    assert 'none of 5 attacks shows a leak, but a leak is not excluded' in wide.sentences[-1]


def test_further_attacks_that_hold_do_not_make_an_audit_valid():
    said = said_of(combined(null=BAD_NULL), further(reach=(-0.1, 0.1)))
    assert said.kind == 'invalid'
    assert said.headline.startswith('No attack that the verdict rests on can be relied on')
    alone = said_of(combined(null=BAD_NULL), further(null=BAD_NULL))
    assert alone.headline.startswith('No attack that was run can be relied on')


def test_the_question_names_embeddings_where_an_attack_has_nothing_else():
    assert ', or only receives its embeddings,' in said_of(combined(), further()).sentences[0]
    helped = further('reference', references=True)
    for found in ([comparison(), on_people()], [combined(), helped]):
        assert 'embeddings' not in said_of(*found).sentences[0]


def test_the_advice_asks_for_a_reference_where_every_leak_takes_one():
    helped = {'references': True, 'reach': (0.3, 0.6)}
    needed = said_of(combined(**QUIET), further('reference', **helped)).sentences[-1]
    assert needed.count('has such a reference network') == 2
    assert 'only receives its embeddings' not in needed
    beside = said_of(combined(), further('reference', **helped)).sentences[-1]
    assert 'Anyone who receives it can use that' in beside
    assert 'So can anyone who receives its embeddings and has such a reference network.' in beside
    without = said_of(combined(), further('reference', **helped), further()).sentences[-1]
    assert 'reference' not in without
