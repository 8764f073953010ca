"""The verdict of membership inference: each attack beside its controls, what leaks, how surely."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fr_inference.membership.comparison import (
    CLEAR,
    FINDABLE,
    INVALID,
    LEAK,
    NEGLIGIBLE,
    OPEN,
    Comparison,
    decisive,
    first_of,
    kind_of,
    weighed,
)
from fr_inference.metrics import power
from fr_inference.report import attack_sentences, to_whom, wording
from fr_inference.report.ruling import Reason, Ruling, capital, hundred, two_digits

_ASKED = (
    'Asked: can someone who holds only this file{} tell whether a photograph or a person was in its '
    'training set?'
)


def in_order(found: Sequence[Comparison]) -> list[Comparison]:
    """Returns comparisons in the order of the report: the decisive one first, the invalid ones last."""
    if not found:
        return []
    first = decisive(found)
    return sorted(found, key=lambda one: (one is not first, not one.valid))


def of(
    found: Sequence[Comparison],
    populations: Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
) -> Ruling:
    """Returns the verdict of membership inference.

    Every attack is judged by its own controls (`Comparison.kind`). An attack whose control failed is
    named as not counted, with the reason in place of its figures.

    Args:
      found: one comparison or more.
      populations: `membership.populations` of `audit.json`, with other photographs of the members'
        people.
      data: `data` of `audit.json`: how many people and images there were.
    """
    every, found = found, weighed(found)
    kind = kind_of(found)
    chosen = [one for one in found if not one.further]
    findings = attack_sentences.findings(in_order(chosen))
    rests_on_further = decisive(found).further
    further = attack_sentences.of_further(every, first=rests_on_further)
    if rests_on_further:  # the box begins with what the verdict rests on
        said = [*further, attack_sentences.none_chosen(chosen), *findings]
    else:
        said = [*findings, *further]
    of_answers = any(one.access == 'answers' and not one.references for one in every)
    asked = _ASKED.format(', or only receives its embeddings,' if of_answers else '')
    said = [asked, f'Found: {said[0]}', *map(capital, said[1:])]
    whom = to_whom.sentences(every)
    whom = [f'To whom: {whom[0]}', *whom[1:]] if whom else []
    if kind == LEAK:
        given = _given_away(found, populations)
        advice = _advice(found)
        said += [given.found] if given.found else []
        sure = attack_sentences.sure(decisive(found))
        said += [*whom, sure, f'What it means: {given.meaning} {advice}']
        return Ruling(kind, given.headline, tuple(said), (Reason('membership', given.headline),))
    said += whom
    if kind == INVALID:
        return _invalid(found, said, others=any(one.valid for one in every))
    said.append(attack_sentences.sure(decisive(found)))
    if kind == CLEAR:
        return _clear(found, said, (data or {}).get('members', {}), len(every))
    return _open(found, said, data, len(every))


def _advice(found):
    answers = [one for one in found if one.kind == LEAK and one.access == 'answers']
    also = ''
    if any(not one.references for one in answers):
        also = ' So can anyone who only receives its embeddings.'
    elif answers:
        also = ' So can anyone who receives its embeddings and has such a reference network.'
    alone = any(not one.references for one in found if one.kind == LEAK)
    beside = '' if alone else ' and has such a reference network'
    return (
        f'Anyone who receives it{beside} can use that to argue that a given person was in the training '
        f'set.{also} Treat the file as personal data, and do not pass it on.'
    )


class _Given(NamedTuple):
    """What is given away; `found` is the sentence on other photographs of the same people."""

    headline: str
    found: str
    meaning: str


_PHOTOGRAPHS = 'This backbone gives away which photographs it was trained on'
_OF_PHOTOGRAPHS = 'the backbone holds information about individual training photographs.'


def _given_away(found, populations):
    """Names what leaks: photographs, people, or both."""
    leaking = {one.unit for one in found if one.kind == LEAK}
    others = populations.get('member_identities_vs_nonmembers')
    by = first_of(found, 'image')  # the attack that looked at other photographs
    if leaking == {'person'}:
        return _Given(
            'This backbone gives away whom it was trained on, to those who hold several of the '
            'training photographs',
            'Whether other photographs of the same people are enough is not known.',
            'the backbone holds information about the people it was trained on. It shows in '
            'several training photographs of a person taken together.',
        )
    if others is None:
        return _Given(
            _PHOTOGRAPHS,
            'Whether it also recognises other photographs of the same people was not tested '
            '(--member_identities).',
            _OF_PHOTOGRAPHS,
        )
    if by is None or not by.valid:
        return _Given(
            _PHOTOGRAPHS,
            'Whether other photographs of the same people are recognised stays open: the attack that '
            f'looked at them is {wording.NOT_COUNTED}.',
            _OF_PHOTOGRAPHS,
        )
    low, high = others['auc_ci95']
    blind = others.get('blind')
    seen = (
        f'Other photographs of the same people are picked in {hundred(others["auc"])} of 100 cases '
        f'({hundred(low)} to {hundred(high)})'
    )
    if blind is not None:
        ends = [hundred(end) for end in blind['auc_ci95']]
        seen += (
            f', on a backbone that never saw these people in {hundred(blind["auc"])} ({ends[0]} to '
            f'{ends[1]})'
        )
    if low > 0.5 and blind is not None and low > blind['auc'] and blind['auc_ci95'][0] <= 0.5:
        return _Given(
            'This backbone gives away whom it was trained on',
            f'{seen}: the person is given away, not only the photograph.',
            'the backbone holds information about the people it was trained on. It shows even in '
            'photographs of them that it never saw.',
        )
    if low <= 0.5 and high < 0.5 + FINDABLE:
        return _Given(
            _PHOTOGRAPHS,
            f'{seen}. So a training photograph gives away that its person was in the training set; '
            'another photograph of that person does not.',
            _OF_PHOTOGRAPHS,
        )
    return _Given(
        _PHOTOGRAPHS,
        f'{seen}: whether the person is given away as well stays open.',
        _OF_PHOTOGRAPHS,
    )


_REVERSED = (
    ' Another possible cause: the blind backbone or a reference was trained on people of one side.'
)


def _invalid(found, said, *, others):
    if all(one.blind_failed or one.pictures_failed for one in found):
        without = (
            'Plain statistics of the pictures, without any backbone,'
            if any(one.pictures_failed for one in found)
            else 'The same attack on a backbone that never saw these people'
        )
        reason = Reason(
            'sources',
            f'{without} can tell the photographs of members from those of strangers. The two were '
            'collected or prepared differently, and that difference hides what the backbone gives away.'
            + (_REVERSED if any(one.blind_reversed for one in found) else ''),
        )
        headline = 'The photographs of members and of strangers differ in more than training'
        advice = (
            'this audit says nothing about the backbone, and is no reason to release it. Give '
            'members and strangers from one source, prepared in the same way.'
        )
    else:
        which = 'No attack that was run' if not others else 'No attack that the verdict rests on'
        reason = Reason('control', f'{which} is counted: each failed a control.')
        headline = f'{which} can be relied on: each failed a control'
        advice = (
            'do not rely on the figures below: they show a difference where there is nothing to find. '
            'This audit is no reason to release the file. With more people, controls fail less '
            'often; other attacks have their own controls.'
        )
    said = [f'Why: {reason.text}', *said] if reason.code == 'sources' else said
    return Ruling(INVALID, headline, (*said, f'What it means: {advice}'), (reason,))


_RESTS = ' that the verdict rests on'  # added if further attacks were run


def _clear(found, said, members, count):
    most = hundred(max(0, *(one.excess['auc_ci95'][1] for one in found)))
    least = hundred(max(one.smallest_excess for one in found))
    several = len(found) > 1
    which = ('Each attack' if several else 'The attack') + (_RESTS if count > len(found) else '')
    reason = Reason(
        'bound',
        f'{which} gains at most {most} of 100 pairs over its control; a gain of {least} would have been '
        'found in 9 of 10 audits.',
    )
    ran = (
        f'any of the {count} attacks that were run' if count > 1 else 'the one attack that was run'
    )
    headline = f'No leak found by {ran}'
    meaning = (
        f'What it means: {"these attacks learn" if count > 1 else "this attack learns"} next to nothing '
        f'about the training set from this file. {reason.text} Another attack may learn more.'
    )
    if 'in_training_list' not in members:
        headline += ', if the members were trained on'
        meaning += (
            ' That they were is taken on trust, because the backbone has no list of its training '
            'images. If they were not, nothing would be found either.'
        )
    return Ruling(CLEAR, headline, (*said, meaning), (reason,))


def _open(found, said, data, count):
    """Says what this audit could have found, and what would settle the question."""
    counted = [one for one in found if one.valid]
    judged = [one for one in counted if one.excess is not None and one.null_held]
    reasons = []
    if void := len(found) - len(counted):
        are = 'is' if void == 1 else 'are'
        rests = _RESTS if count > len(found) else ''
        reasons.append(
            Reason(
                'control',
                f'{void} of {len(found)} attacks{rests} {are} not counted; what they would have '
                'found stays open.',
            )
        )
    for one in counted:
        if one not in judged:
            which = capital(attack_sentences.which(one, found))
            text = f'{which} {attack_sentences.uncontrolled(one)}'
            reasons.append(Reason('no-control', text))
    unsettled = [one for one in judged if one.kind == OPEN]
    if unsettled:
        reasons.append(Reason('power', attack_sentences.missed(judged, found)))
    said = [*said, ' '.join(reason.text for reason in reasons)]
    needed = _needed(unsettled, data)
    if not needed and void:
        needed = (
            'the same audit with other people, or more of them. A control fails by chance in one of 20 '
            'audits; where it fails again, choose other attacks (--attacks).'
        )
    if needed:
        said.append(f'What would settle it: {needed}')
    nothing = (
        'no leak is shown, and none is excluded'
        if count == 1
        else f'none of {count} attacks shows a leak, but a leak is not excluded'
    )
    meaning = (
        'the attacks that are counted find next to nothing, but the question stays open. This audit '
        'is no reason to release the file.'
        if counted and all(one.kind == CLEAR for one in counted)
        else f'{nothing}: the question stays open. This audit is no reason to release the file.'
    )
    if data is not None and 'in_training_list' not in data['members']:
        meaning += (
            ' That the members were trained on is taken on trust, because the backbone has no list of '
            'its training images. If they were not, nothing can be found, with more people either.'
        )
    headline = 'No leak is shown, but one cannot be excluded'
    return Ruling(OPEN, headline, (*said, f'What it means: {meaning}'), tuple(reasons))


def _needed(unsettled, data):
    """How many people would settle the question, in a sentence; '' if that is unknown."""
    if not unsettled or data is None:
        return ''
    sides = [data['members'], data['nonmembers']]
    people = min(side['people'] for side in sides)
    images = sum(side['images'] for side in sides) / sum(side['people'] for side in sides)
    images = round(images, 1) if images < 10 else round(images)
    ends = [ends for one in unsettled for ends in one.decided_by]
    most = max(power.people_needed(low, high, people, NEGLIGIBLE) for low, high in ends)
    if most <= people:
        return (
            'people from another source. The intervals are narrow enough, but the figures lie at the '
            'limit between a leak that matters and one that is too small to matter.'
        )
    rounded = two_digits(most)
    return (
        f'about {rounded:,} members and the same number of strangers with {images:g} '
        f'{"photograph" if images == 1 else "photographs"} each '
        f'({two_digits(2 * rounded * images):,} photographs; here {people:,} on a side). Then a leak of '
        f'{hundred(0.5 + NEGLIGIBLE)} of 100 would be found in 9 of 10 audits.'
    )
