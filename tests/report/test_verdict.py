"""One word for an audit: what makes the figures answer another question is said first."""

import pytest

from fr_inference.report.verdict import collection, no_answer, verdict
from tests.report import demo
from tests.report.comparisons import BAD_NULL, comparison, data, on_people, record
from tests.report.searches import search

FITS = {'state': 'fits', 'trusted': True, 'remark': 'Fits.'}
WRONG = {'state': 'none', 'trusted': False, 'remark': 'It was fed BGR.'}
UNKNOWN = {'state': 'unknown', 'trusted': False, 'remark': 'Nobody knows.'}
LOOSE = {'scores': {'members': 0.2, 'nonmembers': 0.9}, 'least': 0.5}


@pytest.mark.parametrize('over', [(0.2, 0.4), (-0.04, 0.06), (-0.04, 0.04)])
@pytest.mark.parametrize(
    ('fed', 'kind', 'code', 'words'),
    [
        ({'check': WRONG}, 'invalid', 'input', 'It was fed BGR.'),
        ({'check': UNKNOWN}, 'open', 'input-unknown', 'Nobody knows.'),
        (
            {'alignment': LOOSE},
            'invalid',
            'alignment',
            'The images of members do not look aligned.',
        ),
    ],
)
def test_wrong_input_is_said_first_and_never_ends_in_an_all_clear(over, fed, kind, code, words):
    found = record(comparison(over=over))
    assert verdict(found | {'input': {'check': FITS}}) == verdict(found)
    doubted = verdict(found | {'input': fed})
    assert doubted.kind == ('leak' if over == (0.2, 0.4) else kind)
    said = 'Caution: ' if doubted.kind == 'leak' else 'Why: '
    assert doubted.sentences[0].startswith(said)
    assert doubted.sentences[0].endswith(words)
    assert ('What would settle it' in str(doubted)) <= (doubted.kind == 'leak')
    assert code in [reason.code for reason in doubted.reasons]
    assert 'learns next to nothing' not in str(doubted)


def test_a_failed_control_with_input_of_which_nothing_is_known_is_invalid():
    found = record(comparison(null=BAD_NULL)) | {'input': {'check': UNKNOWN}}
    assert verdict(found).kind == 'invalid'


@pytest.mark.parametrize('over', [(0.2, 0.4), (-0.04, 0.06), (-0.04, 0.04)])
def test_members_who_were_not_trained_on_make_it_invalid(over):
    found = record(comparison(over=over))
    said = verdict(found | {'data': data(in_training_list=0)})
    assert said.kind == 'invalid'
    assert 'no image given as a member' in said.headline
    assert [reason.code for reason in said.reasons] == ['members']
    assert '80 of 100' not in str(said)
    assert verdict(found | {'data': data(in_training_list=256)}).kind != 'invalid'


@pytest.mark.parametrize('fed', [{'check': WRONG}, {'alignment': LOOSE}])
def test_a_search_with_wrong_input_never_ends_in_an_all_clear(fed):
    found = {'inversion': search(0.1, 0.07, 0.2, 0.5)}
    assert verdict(found).kind == 'clear'
    said = verdict(found | {'input': fed})
    assert said.kind == 'invalid'
    assert 'Nothing recovered' not in str(said)


def test_a_backbone_with_untrained_statistics_is_told_so():
    check = WRONG | {'trained': False, 'remark': 'The statistics of bn1 are initial.'}
    said = verdict(record(comparison(over=(-0.04, 0.04))) | {'input': {'check': check}})
    assert said.kind == 'invalid'
    assert 'untrained' in said.headline
    assert 'order' not in ''.join(reason.text for reason in said.reasons)


def test_the_record_of_a_verdict():
    said = verdict(record(comparison()))
    assert said.to_json() == {
        'verdict': 'leak',
        'headline': said.headline,
        'reasons': [{'code': 'membership', 'text': said.headline}],
    }
    assert str(said).startswith(f'Verdict: leak. {said.headline}\nAsked: ')


def test_the_demo_does_not_claim_its_people():
    said = verdict(demo.record_of('few'))
    assert said.kind == 'leak'
    assert 'the attack on photographs' in said.sentences[1]
    people = 'The attack on people with several photographs'
    (sentence,) = [text for text in said.sentences if text.startswith(people)]
    assert sentence.endswith(
        'is not counted because a control failed: among strangers only, where there is nothing to '
        'find and 50 would be right, it picks 88 of 100 (44 to 98), and 88 is not below the range in '
        'which it picks members (81 to 100).'
    )


@pytest.mark.parametrize(('name', 'kind'), [('leaky', 'leak'), ('easy', 'open'), ('few', 'leak')])
def test_the_demo(name, kind):
    assert verdict(demo.record_of(name)).kind == kind


def test_both_parts_in_one_verdict():
    leaking = record(comparison())
    both = verdict(leaking | {'inversion': search(0.4, 0.3, 0.1, 0.001)})
    assert both.kind == 'leak'
    assert 'can be reconstructed' in both.headline
    one = verdict(leaking | {'inversion': search(0.1, 0.07, 0.2, 0.5)})
    assert one.kind == 'leak'
    assert 'reconstructed' not in one.headline
    assert 'match members no more often' in str(one)


@pytest.mark.parametrize(
    ('over', 'found', 'kind'),
    [
        ((-0.04, 0.04), search(0.1, 0.07, 0.2, 0.5), 'clear'),
        ((-0.04, 0.06), search(0.1, 0.07, 0.2, 0.5), 'open'),
        ((-0.04, 0.04), search(0.1, 0.07, 0.2, 0.5, targeted=None), 'open'),
        ((-0.04, 0.04), search(0.4, 0.3, 0.1, 0.001), 'leak'),
    ],
)
def test_an_audit_is_clear_only_where_every_part_is(over, found, kind):
    said = verdict(record(comparison(over=over)) | {'inversion': found})
    assert said.kind == kind


@pytest.mark.parametrize(('low', 'kind'), [(0.51, 'clear'), (0.5, 'open')])
def test_a_backbone_that_recognises_nobody_is_not_clear(low, kind):
    fed = {'check': FITS, 'verification': {'accuracy': 0.55, 'accuracy_ci95': [low, 0.6]}}
    said = verdict(record(comparison(over=(-0.04, 0.04))) | {'input': fed})
    assert said.kind == kind
    assert ('recognition' in [reason.code for reason in said.reasons]) == (kind == 'open')


@pytest.mark.parametrize(('listed', 'kind'), [(256, 'clear'), (231, 'clear'), (230, 'open')])
@pytest.mark.parametrize('part', ['membership', 'inversion'])
def test_clear_needs_members_that_were_trained_on(listed, kind, part):
    found = record(comparison(over=(-0.04, 0.04))) | {'inversion': search(0.1, 0.07, 0.2, 0.5)}
    said = verdict({part: found[part], 'data': data(in_training_list=listed)})
    assert said.kind == kind
    assert ([reason.code for reason in said.reasons] == ['members']) == (kind == 'open')


def test_an_overlap_is_never_clear():
    found = record(comparison(over=(-0.04, 0.04))) | {
        'overlaps': ['members and nonmembers: 2 images']
    }
    said = verdict(found)
    assert (said.kind, said.reasons[0].code) == ('open', 'overlap')
    assert said.sentences[0] == 'Why: Members and nonmembers: 2 images'


def test_a_leak_says_first_what_speaks_against_its_figures():
    found = record(comparison()) | {'overlaps': ['members and blind: 2 images']}
    said = verdict(found | {'data': data(in_training_list=100)})
    assert said.kind == 'leak'
    assert said.sentences[0] == 'Caution: Members and blind: 2 images'
    assert said.sentences[1].startswith('Caution: Only 100 of the 256 images given as members')
    assert [reason.code for reason in said.reasons] == ['membership', 'overlap', 'members']


def test_a_backbone_beside_the_target_that_may_be_fed_wrong_is_said_first():
    beside = {'misfits': {'shadow': 'shadow (s): 64 images do not fit.'}}
    said = verdict(record(comparison(over=(-0.04, 0.04))) | beside)
    assert (said.kind, said.reasons[0].code) == ('open', 'input-beside')
    assert said.sentences[0] == 'Why: Shadow (s): 64 images do not fit.'
    leak = verdict(record(comparison()) | beside)
    assert leak.kind == 'leak'
    assert leak.sentences[0] == 'Caution: Shadow (s): 64 images do not fit.'


def test_a_collection_is_answered_in_one_line():
    found = record(comparison())
    assert collection(found) == collection({}) == ''
    used = {'share': 0.42, 'share_ci95': [0.31, 0.55], 'images': 2000, 'people': 500}
    found['membership']['collection'] = used
    assert collection(found) == (
        'Collection: about 42 % of its 2,000 photographs of 500 people were trained on (95 % interval '
        '31 to 55 %).'
    )


@pytest.mark.parametrize(
    ('one', 'people', 'why'),
    [
        (
            comparison(),
            500,
            'the attack takes members for members hardly more often than strangers',
        ),
        (comparison(), 9, 'the collection holds 9 people, and 10 are needed'),
        (comparison(over=(-0.1, 0.1)), 9, 'the attack that would look for them shows no leak'),
        (
            comparison(null=BAD_NULL),
            500,
            'the attack that would look for them is not counted because a control failed',
        ),
        (on_people(), 500, 'no attack on photographs that knows some members was run'),
    ],
)
def test_a_collection_without_an_answer_has_one_reason(one, people, why):
    found = record(one) | {'data': {'collection': {'people': people}}}
    if one.unit == 'image':  # what was not looked for is not in the record
        found['membership']['collection'] = None
    assert no_answer(found) == why
    assert collection(found).endswith(f' is not known, because {why}.')


def test_a_collection_of_an_older_record_has_a_reason_too():
    found = record(comparison())
    found['membership']['collection'] = None
    assert 'hardly more often than strangers' in collection(found)
