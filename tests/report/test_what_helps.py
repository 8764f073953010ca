"""The rule of a study of defences, on figures that were made up; what an audit quotes of it."""

import json

import pytest

from fr_inference.errors import InputError
from fr_inference.report import what_helps
from tests.report import studies

UNCHANGED, LOWERED, RAISED, UNSURE = (
    (0.0, -0.02, 0.02),
    (-0.3, -0.4, -0.2),
    (0.2, 0.1, 0.3),
    (*(-0.05, -0.15, 0.05),),
)


def outcome(*rows):
    (found,) = what_helps.judged([studies.undefended(), *rows])
    return dict(found.outcome)


def both(file, answers, **more):
    return studies.row('noise:1', 'both', file=file, answers=answers, **more)


@pytest.mark.parametrize(
    ('interval', 'expected'),
    [
        ((-0.4, -0.2), what_helps.LOWER),
        ((-0.06, -0.01), what_helps.LOWER),
        ((-0.049, -0.01), what_helps.SAME),  # surely lower, by less than matters
        ((-0.06, 0.0), what_helps.OPEN),
        ((0.01, 0.06), what_helps.HIGHER),
        ((0.0, 0.0), what_helps.SAME),
    ],
)
def test_what_a_change_says(interval, expected):
    assert what_helps.change({'auc_ci95': list(interval)}) == expected


def test_each_access_is_judged_by_itself():
    assert outcome(both(LOWERED, UNCHANGED)) == {
        'file': what_helps.LOWER,
        'answers': what_helps.SAME,
    }
    assert outcome(both(RAISED, UNSURE)) == {'file': what_helps.HIGHER, 'answers': what_helps.OPEN}


def test_a_defence_of_answers_does_not_bind_who_holds_the_file():
    row = studies.row('answers-noise:1', 'both', answers=LOWERED)
    assert outcome(row) == {'file': what_helps.UNBOUND, 'answers': what_helps.LOWER}
    (sentence,) = what_helps.recommendation([studies.undefended(), row])['sentences']
    assert 'Somebody who holds the file can leave the defence out.' in sentence


def test_the_adaptive_attacker_decides():
    plain = studies.row('noise:1', 'plain', file=LOWERED, answers=LOWERED)
    fooled = studies.row('noise:1', 'adaptive', file=UNCHANGED, answers=LOWERED)
    assert outcome(plain, fooled) == {'file': what_helps.FOOLED, 'answers': what_helps.LOWER}
    none = studies.row('noise:1', 'adaptive', why='no shadow')
    # An attack that knows members is fitted on the defended backbone; one from a shadow is not.
    assert outcome(plain, none)['file'] == what_helps.LOWER
    base = studies.undefended(settings=('partial', 'auxiliary'))
    moved = studies.row(
        'noise:1', 'plain', file=LOWERED, answers=LOWERED, settings=('partial', 'auxiliary')
    )
    (found,) = what_helps.judged([base, moved, none])
    assert found.outcome['file'] == what_helps.UNTESTED


def test_a_failed_control_counts_for_nothing():
    assert outcome(both(LOWERED, LOWERED, valid=False))['file'] == what_helps.VOID


def test_what_showed_no_leak_cannot_be_lowered():
    rows = [studies.undefended(excess=(0.02, -0.05, 0.09)), both(LOWERED, LOWERED)]
    (found,) = what_helps.judged(rows)
    assert set(found.outcome.values()) == {what_helps.NOTHING}
    assert 'shows no leak' in what_helps.recommendation(rows)['headline']


def said(*rows):
    found = what_helps.recommendation([studies.undefended(), *rows])
    return found['headline'], ' '.join(found['sentences'])


def test_what_helps_is_recommended_with_its_cost():
    headline, text = said(both(LOWERED, LOWERED, accuracy=(0.9, -0.06, -0.02)))
    assert headline == 'noise:1 lowers what the file and its embeddings give away'
    assert 'it costs (-4.0 points, -6.0 to -2.0 on the same pairs)' in text
    headline, text = said(both(LOWERED, LOWERED, kind='leak', accuracy=(0.97, -0.01, 0.02)))
    assert headline.endswith('but a leak is still shown')
    assert 'a cost is not shown' in text


def test_what_lowers_the_file_alone_is_said_in_these_words():
    headline, text = said(both(LOWERED, UNCHANGED))
    assert (
        'noise:1 lowers the attack on the file and leaves the attacks on embeddings as they were.'
        in text
    )
    assert 'Somebody who holds the file can compute embeddings too' in text
    assert headline.startswith('Nothing that was tried helps')
    # Where a change is not excluded, nobody says that they were left alone.
    assert 'as they were' not in said(both(LOWERED, UNSURE))[1]


def test_nothing_helps():
    other = studies.row('fold', 'both', file=UNSURE, answers=UNCHANGED)
    headline, text = said(both(UNCHANGED, RAISED), other)
    assert headline == 'Nothing helps: none of 2 defences is shown to lower the leak'
    assert 'noise:1 is not shown to help' in text
    assert 'a change is neither shown nor excluded' in text
    headline, text = said(studies.row('fold', 'both', why='target: no statistics'))
    assert headline == 'Nothing helps: the defence that was tried is not shown to lower the leak'
    assert text == 'fold was not run: target: no statistics'


def test_a_study_is_quoted_and_other_files_are_refused(tmp_path):
    rows = [studies.undefended(), both(LOWERED, UNCHANGED)]
    study = studies.record(rows, sha256='a' * 64)
    file = tmp_path / 'study.json'
    file.write_text(json.dumps(study))
    read = what_helps.read(file)
    same = what_helps.quoted(read, {'provenance': {'target_sha256': 'a' * 64}})
    assert (same['of'], same['date'], same['other']) == ('demo', '2026-11-27', '')
    assert same['sentences'] == study['recommendation']['sentences']
    assert what_helps.quoted(read, {'provenance': {'target_sha256': 'b' * 64}})['other']
    for text in ('{}', '[]', 'x', '3', json.dumps({**study, 'schema': 9}), '[' * 100_000):
        file.write_text(text)
        with pytest.raises(InputError) as caught:
            what_helps.read(file)
        assert caught.value.field == 'advice'
    with pytest.raises(InputError):
        what_helps.read(tmp_path)
