"""To whom: a sentence for each access, of the attacks that the picture draws, by name."""

import pytest

from fr_inference.membership.comparison import LEAK
from fr_inference.report import to_whom, who_learns
from tests.report.comparisons import (
    BAD_NULL,
    block,
    combined,
    comparison,
    further,
    on_people,
)

NONE = {'reach': (-0.1, 0.5)}
SOME = 'knowing some of the training images'
QUIET = {'over': (-0.1, 0.1)}


def said_of(found):
    return ' '.join(to_whom.sentences(found))


@pytest.mark.parametrize(
    ('found', 'words'),
    [
        (
            [combined(), further()],
            'Somebody who only receives embeddings picks the member in 80 of 100 cases (75 to 85) '
            f'{SOME} (by the attack "The norm"). Somebody who holds the file can do the same, and '
            f'picks the member in 80 of 100 cases (75 to 85) {SOME}.',
        ),
        (
            [combined(**QUIET), further(**NONE)],
            'Somebody who only receives embeddings: the attack "The norm" shows no leak; it picks the '
            f'member in 80 of 100 cases (75 to 85) {SOME}. Somebody who holds the file: the combination '
            'of all attacks on the file shows no leak; it picks the member in 80 of 100 cases',
        ),
        (
            [combined(**QUIET), further()],
            'Somebody who holds the file can do the same; the combination of all attacks on the file '
            'shows no leak.',
        ),
        (
            [combined(**QUIET), comparison(further=True, headline=False)],
            'images (by the attack "BatchNorm distances"; the combination of all shows no leak).',
        ),
        (
            [combined(null=BAD_NULL), comparison(further=True, headline=False)],
            '(by the attack "BatchNorm distances"; the combination of all is not counted because a '
            'control failed).',
        ),
        (
            [combined(), further(null=BAD_NULL)],
            'Somebody who only receives embeddings: nothing can be said, because the only attack '
            'failed a control.',
        ),
        (
            [combined(), further('a', null=BAD_NULL), further('b', null=BAD_NULL)],
            'embeddings: nothing can be said, because each of 2 attacks failed a control.',
        ),
        (
            [combined(), comparison(further=True)],
            'Somebody who only receives embeddings: no attack was run on the embeddings.',
        ),
        (
            [combined('answers'), further(setting='strangers')],
            f'{SOME} and in 80 (75 to 85) knowing images of strangers only (by the attack "The norm").',
        ),
        (
            [combined(), further('a', **NONE), further('b', null=BAD_NULL)],
            'none of 2 attacks on the embeddings shows a leak (1 of them is not counted because a '
            'control failed); the attack "The a" picks the member in',
        ),
    ],
)
def test_a_sentence_for_each_access(found, words):
    assert words in said_of(found)


def test_each_knowledge_is_decided_by_itself():
    """A failed control with some members known is no reason to speak of strangers alone."""
    found = [
        combined('answers', further=True, null=BAD_NULL),
        combined('answers', setting='strangers', further=True, figures=block(0.88, 0.8, 0.95)),
        further('anchors', figures=block(0.82, 0.7, 0.9)),
    ]
    assert (
        f'in 82 of 100 cases (70 to 90) {SOME} (by the attack "The anchors"; the combination of all is '
        'not counted because a control failed) and in 88 (80 to 95) knowing images of strangers only.'
    ) in said_of(found)


def test_the_sentence_names_what_the_picture_draws():
    found = [
        combined(null=BAD_NULL),
        combined('answers', further=True, **QUIET),
        further('z', figures=block(0.73, 0.6, 0.8)),
        further('a', figures=block(0.99, 0.98, 1.0), over=(0.4, 0.5)),
        comparison(further=True, headline=False, figures=block(0.64, 0.6, 0.7)),
    ]
    said = said_of(found)
    rows = who_learns.cells(found, references=False, shadow=False, chosen=False)
    drawn = [cell.comparison for row in rows for cell in row if cell.comparison]
    assert [one.kind for one in drawn] == [LEAK, LEAK]
    assert [one.title for one in drawn] == ['The z', 'BatchNorm distances']
    for one in drawn:
        assert f'"{one.title}"' in said
    assert '"The a"' not in said


def test_people_are_said_in_words_of_their_own():
    people = 'from several photographs of a person, knowing some of the training images'
    said = said_of([combined(), further(**NONE), on_people()])
    assert f'{SOME} and in 90 (80 to 97) {people} (by the attack "Embeddings of a person").' in said
    alone = said_of([combined(**QUIET), further(**NONE), on_people()])
    assert (
        f'in 90 of 100 cases (80 to 97) {people} (by the attack "Embeddings of a person"); the '
        'combination of all attacks on the file shows no leak.'
    ) in alone
    void = said_of([combined(), further(**NONE), on_people(null=BAD_NULL)])
    assert f'{SOME}; the attack "Embeddings of a person" is not counted' in void
    of_answers = said_of([combined(), further(**NONE), on_people(access='answers')])
    assert of_answers.index('several photographs') < of_answers.index('holds the file')


def test_what_was_run_is_counted_once_for_the_access_that_it_takes():
    quiet = [
        further('a', **NONE),
        further('b', **NONE),
        further('reference', references=True, **NONE),
        further('other', references=True, **NONE),
        combined(**QUIET),
        on_people(**QUIET),
    ]
    said = said_of(quiet)
    assert 'embeddings: none of 2 attacks on the embeddings shows a leak' in said
    assert 'none of 2 attacks on the embeddings and a reference shows a leak' in said
    assert 'none of 2 attacks on the file shows a leak' in said
    assert (
        'Somebody who holds the file and a reference network: no attack was run on the file and a '
        'reference.'
    ) in said


@pytest.mark.parametrize('access', ['answers', 'file'])
def test_what_takes_a_reference_is_not_said_of_those_who_have_none(access):
    helped = further('reference', access=access, references=True)
    said = said_of([combined(**QUIET), further(**NONE), helped])
    assert 'only receives embeddings: the attack "The norm" shows no leak' in said
    assert 'holds the file: the combination of all attacks on the file shows no leak' in said
    assert said.count('and a reference network can do the same.') == (access == 'answers')
    assert said.count('reference network picks the member') == 1


def test_audits_of_before_say_nothing_of_it():
    assert said_of([comparison(), comparison(setting='auxiliary'), on_people()]) == ''
