"""What an audit says in each situation: one word, why, in which words, and what a gate makes of it."""

import dataclasses
import functools

import pytest

from fr_inference import auditing, config
from fr_inference.data import placement
from fr_inference.errors import InputError
from fr_inference.report import gate, gating
from fr_inference.report.verdict import verdict
from tests.auditing import planted
from tests.auditing.planted import faces

FEW = config.Settings(replicates=200)
MISFIT = config.Settings(replicates=200, allow_misfit=True)
OVERLAP = config.Settings(replicates=200, allow_overlap=True)
IMAGES = config.Settings(replicates=200, attacks=('bn-distance',))
BGR, ZERO = {'colour': 'bgr'}, {'mean': (0.0,) * 3, 'std': (255.0,) * 3}
MARKED = functools.partial(faces, 64, seed=1, mark=5, name='m')
UNMARKED = functools.partial(faces, 64, seed=1, name='m')
OTHERS = functools.partial(faces, 64, seed=2, name='n')
# The attack on people tells some of them from the others.
UNLUCKY = functools.partial(faces, 64, seed=144, name='n')
# Enough for an all-clear, and compared by one attack.
MANY = functools.partial(faces, 1500, 4, seed=1, name='m', alike=8.0)
MANY_OTHERS = functools.partial(faces, 1500, 4, seed=4, name='n', alike=8.0)


def audited(members, others, settings=FEW, target=None, listed=None, **more):
    """Audits; `listed` is the share of the members in the target's own list of training images."""
    sides = {'members': members, 'nonmembers': others}
    sides |= {name: more.pop(name) for name in ('member_identities',) if name in more}
    if listed is not None:
        known = [members.digest(row) for row in range(round(listed * len(members)))]
        more['trained_on'] = {'target': [*known, '0' * 64]}
    target = target or planted.target()
    opened = auditing.Opened(target=target, faces=sides, **more)
    return auditing.run(opened, settings)


def exit_code(record, *gates):
    """What a program would end with."""
    try:
        gating.check([gate.parse(text) for text in gates], record)
    except gate.GateCrossed:
        return 3
    except InputError:
        return 2
    return 0


# name -> (audit, word, code of a reason, exit code of --fail_above=verdict, words)
SITUATIONS = {
    'a photograph leaks': (
        lambda: audited(MARKED(), OTHERS()),
        *('leak', 'membership', 3, 'gives away which photographs it was trained on'),
    ),
    'a photograph leaks, not the person': (
        lambda: audited(MARKED(), OTHERS(), member_identities=faces(64, seed=7, name='m')),
        *('leak', 'membership', 3, 'another photograph of that person does not'),
    ),
    'a person leaks': (
        lambda: audited(MARKED(), OTHERS(), member_identities=faces(64, seed=7, mark=5, name='m')),
        *('leak', 'membership', 3, 'the person is given away, not only the photograph'),
    ),
    'a leak beside a blind backbone that was trained': (
        lambda: audited(
            MARKED(), OTHERS(), blind=planted.target(seed=5, name='blind', secret=False)
        ),
        *('leak', 'membership', 3, 'gives away'),
    ),
    'a leak of members who are in the list': (
        lambda: audited(MARKED(), OTHERS(), listed=1.0),
        *('leak', 'membership', 3, 'gives away'),
    ),
    'a leak, and only half of the members are in the list': (
        lambda: audited(MARKED(), OTHERS(), listed=0.5),
        *('leak', 'members', 3, 'Caution: Only 64 of the 128 images given as members'),
    ),
    'a leak beside a blind backbone that was trained on strangers, allowed': (
        lambda: audited(
            MARKED(),
            OTHERS(),
            OVERLAP,
            blind=planted.target(seed=5, name='blind', secret=False),
            trained_on={'blind': [OTHERS().digest(0)]},
        ),
        *('leak', 'overlap', 3, 'Caution: Blind: 1 images of nonmembers'),
    ),
    'a leak, and too few strangers for a control': (
        lambda: audited(
            faces(64, seed=1, mark=12, name='m'),
            faces(8, seed=2, name='n'),
            dataclasses.replace(FEW, attacks=('people',)),
        ),
        *('open', 'no-control', 3, 'could not be tried among strangers only'),
    ),
    'a leak beside a blind backbone with the wrong input, allowed': (
        lambda: audited(
            MARKED(),
            OTHERS(),
            MISFIT,
            blind=planted.target(seed=5, name='blind', secret=False, **BGR),
        ),
        *('leak', 'input-beside', 3, 'Caution: Blind (blind): '),
    ),
    'a leak beside a blind backbone that sees nothing': (
        lambda: audited(
            MARKED(),
            OTHERS(),
            IMAGES,
            planted.target(hidden=True),
            blind=planted.target(name='blind', hidden=True, constant=True),
        ),
        *('open', 'no-control', 3, 'could not be tried on a backbone that never saw'),
    ),
    'nothing leaks, many people': (
        lambda: audited(MANY(), MANY_OTHERS(), IMAGES),
        *('clear', 'bound', 0, 'taken on trust'),
    ),
    'nothing leaks, many people, all in the list': (
        lambda: audited(MANY(), MANY_OTHERS(), IMAGES, listed=1.0),
        *('clear', 'bound', 0, 'No leak found by the one attack that was run'),
    ),
    'nothing leaks, half of them are in the list': (
        lambda: audited(MANY(), MANY_OTHERS(), IMAGES, listed=0.5),
        *('open', 'members', 3, 'Only 3,000 of the 6,000 images'),
    ),
    'nothing leaks, the sides overlap': (
        lambda: audited(
            MANY(), MANY_OTHERS(shared=4), dataclasses.replace(IMAGES, allow_overlap=True)
        ),
        *('open', 'overlap', 3, 'the two sides overlap'),
    ),
    'nothing leaks, few people': (
        lambda: audited(UNMARKED(), OTHERS(), IMAGES),
        *('open', 'power', 3, 'could have been missed'),
    ),
    'very few people': (
        lambda: audited(faces(8, seed=1, name='m'), faces(8, seed=2, name='n'), IMAGES),
        *('open', 'no-control', 3, 'for which at least 32 are needed'),
    ),
    'no BatchNorm': (
        lambda: audited(UNMARKED(), OTHERS(), target=planted.plain()),
        *('open', 'power', 3, 'people with several photographs'),
    ),
    'an attack is not counted, another leaks': (
        lambda: audited(MARKED(), UNLUCKY()),
        *('leak', 'membership', 3, 'is not counted because a control failed: among strangers'),
    ),
    'an attack is not counted, the other is open': (
        lambda: audited(UNMARKED(), UNLUCKY()),
        *('open', 'control', 3, '1 of 2 attacks that the verdict rests on is not counted'),
    ),
    'the only attack is not counted': (
        lambda: audited(UNMARKED(), UNLUCKY(), dataclasses.replace(FEW, attacks=('people',))),
        *('invalid', 'control', 3, 'do not rely on the figures below'),
    ),
    'members are of another source': (
        lambda: audited(UNMARKED(tint=(20, 0, -20)), OTHERS()),
        *('invalid', 'sources', 3, 'differ in more than training'),
    ),
    'the blind control finds the members, too': (
        lambda: audited(MARKED(), OTHERS(), IMAGES, blind=planted.target(seed=5, name='blind')),
        *('invalid', 'sources', 3, 'a backbone that never saw these people'),
    ),
    'members who were not trained on': (
        lambda: audited(UNMARKED(), OTHERS(), listed=0.0),
        *('invalid', 'members', 3, 'None of the 128 images given as members'),
    ),
    'members who were not trained on, and a difference': (
        lambda: audited(MARKED(), OTHERS(), listed=0.0),
        *('invalid', 'members', 3, 'no image given as a member'),
    ),
    'wrong order of colours, allowed': (
        lambda: audited(UNMARKED(), OTHERS(), MISFIT, planted.target(**BGR)),
        *('invalid', 'input', 3, 'were not given to the backbone as it expects them'),
    ),
    'wrong range, allowed': (
        lambda: audited(UNMARKED(), OTHERS(), MISFIT, planted.target(**ZERO)),
        *('invalid', 'input', 3, 'pass mean=127.5,127.5,127.5'),
    ),
    'wrong range, allowed, and a leak all the same': (
        lambda: audited(MARKED(), OTHERS(), MISFIT, planted.target(**ZERO)),
        *('leak', 'input', 3, 'gives away'),
    ),
    'input that is assumed and cannot be checked': (
        lambda: audited(
            faces(64, 1, seed=1, name='m'),
            faces(64, 1, seed=2, name='n'),
            IMAGES,
            planted.target(how='assumed', hidden=True),
        ),
        *('open', 'input-unknown', 3, 'may not have been given to the backbone as it expects them'),
    ),
    'images that are not aligned': (
        lambda: unaligned(UNMARKED(), OTHERS()),
        *('invalid', 'alignment', 3, 'do not look aligned'),
    ),
    'a random backbone': (
        lambda: audited(UNMARKED(), OTHERS(), target=planted.target(trained=False)),
        *('invalid', 'input', 3, 'the network was not trained'),
    ),
    'a constant backbone': (
        lambda: audited(UNMARKED(), OTHERS(), IMAGES, planted.target(constant=True)),
        *('open', 'power', 3, 'could have been missed'),
    ),
}


def unaligned(members, others):
    def look(faces, spec):
        return {'scores': {'members': 0.1, 'nonmembers': 0.6}, 'least': placement.LEAST}, []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, 'check', look)  # it looks at images of the template's size only
        return audited(members, others)


@pytest.mark.parametrize('name', SITUATIONS)
def test_situation(name):
    run, word, code, ends, words = SITUATIONS[name]
    found = run()
    record, said = found.record, found.verdict
    assert (said.kind, record['verdict']) == (word, word), str(said)
    assert code in [reason.code for reason in said.reasons]
    assert words in str(said)
    assert exit_code(record, 'verdict') == ends
    assert verdict(record) == said  # the file alone leads to the same verdict
    assert ('exposed' in record) <= (word == 'leak')
    if word != 'clear':
        assert 'next to nothing about the training set' not in str(said)


ERRORS = {
    'wrong order of colours': (
        lambda: audited(MARKED(), OTHERS(), target=planted.target(**BGR)),
        'colour',
    ),
    'wrong range': (lambda: audited(MARKED(), OTHERS(), target=planted.target(**ZERO)), 'mean'),
    'a blind backbone with the wrong input': (
        lambda: audited(MARKED(), OTHERS(), blind=planted.target(name='blind', **BGR)),
        'blind',
    ),
    'too few people': (lambda: audited(faces(3, seed=1, name='m'), OTHERS()), 'members'),
    'too few strangers': (lambda: audited(MARKED(), faces(7, seed=2, name='n')), 'nonmembers'),
    'an overlap': (lambda: audited(UNMARKED(), OTHERS(shared=1)), 'nonmembers'),
    'strangers who were trained on': (
        lambda: audited(MARKED(), OTHERS(), trained_on={'target': [OTHERS().digest(0)]}),
        'nonmembers',
    ),
}


@pytest.mark.parametrize('name', ERRORS)
def test_what_stops_before_a_verdict(name):
    run, field = ERRORS[name]
    with pytest.raises(InputError) as raised:
        run()
    assert raised.value.field == field


def test_nobody_is_named_who_is_not_in_the_list_of_training_images():
    members = MARKED()
    found = audited(members, OTHERS(), listed=0.5).record['exposed']
    listed = set(members.identities[: len(members) // 2])
    assert {person['identity'] for person in found['people']} <= listed
    assert found['named'] <= found['members'] < len(listed)


def test_exposed_people_carry_the_mark():
    record = audited(MARKED(), OTHERS()).record
    found = record['exposed']
    assert found['strangers'] == 32
    assert found['named'] >= 16
    assert all(person['identity'].startswith('m') for person in found['people'])
