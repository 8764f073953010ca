"""The verdict in plain language: what was asked, what was found, how sure, what it means.

Membership inference and model inversion have one each, and the audit has one. A finding of either is
the headline, whatever the other says.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.inversion.outcome import Outcome
from fr_inference.membership.comparison import (
    INVALID,
    LEAK,
    NEGLIGIBLE,
    NONE,
    OPEN,
    Comparison,
    decisive,
    kind_of,
)
from fr_inference.report import wording

# Largest p-value of a recovery.
SIGNIFICANT = 0.01

LABELS = ('Asked', 'How sure', 'What it means')
"""Some sentences begin with one of these and a colon."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is said first.

    Attributes:
      kind: 'leak', 'none', 'open' or 'invalid'.
      headline: one sentence.
      sentences: what was asked, what was found, how sure, what it means.
    """

    kind: str
    headline: str
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return '\n'.join([self.headline, *self.sentences])


def verdict(record: Mapping[str, Any]) -> Verdict:
    """Returns the verdict on the contents of `audit.json`: of either part, or of both.

    Where the images do not surely fit the backbone's input, no part ends in an all-clear, and the reason
    is said first.
    """
    doubt, parts = doubt_of(record), []
    if 'membership' in record:
        parts.append(of_membership(comparisons(record), fits=not doubt))
    if 'inversion' in record:
        parts.append(of_inversion(record['inversion'], fits=not doubt))
    kinds = [part.kind for part in parts]
    kind = next(kind for kind in (LEAK, INVALID, OPEN, NONE) if kind in kinds)
    headline = _UNFED if doubt and kind == OPEN else parts[kinds.index(kind)].headline
    if kinds == [LEAK, LEAK]:
        headline = f'{headline}, and their faces can be reconstructed'
    doubts = (doubt,) if doubt else ()
    return Verdict(kind, headline, doubts + sum((part.sentences for part in parts), ()))


def doubt_of(record: Mapping[str, Any]) -> str:
    """Returns why the images may not be what the backbone expects, '' where they fit."""
    found = record.get('input', {})
    check, alignment = found.get('check'), found.get('alignment', {})
    if check is not None and not check['trusted']:
        return check['remark']
    loose = [
        name for name, score in alignment.get('scores', {}).items() if score < alignment['least']
    ]
    return f'The images of {" and ".join(loose)} do not look aligned.' if loose else ''


def comparisons(record: Mapping[str, Any]) -> list[Comparison]:
    """Returns the comparisons of an `audit.json`, none where membership inference was not run."""
    found = record.get('membership', {}).get('comparisons', ())
    return [Comparison.from_json(entry) for entry in found]


def in_order(found: Sequence[Comparison]) -> list[Comparison]:
    """Returns comparisons as they are reported: the decisive first, then as given, the invalid last."""
    if not found:
        return []
    first = decisive(found)
    return sorted(found, key=lambda one: (one is not first, not one.valid))


def of_membership(found: Sequence[Comparison], *, fits: bool = True) -> Verdict:
    """Returns the verdict on membership inference.

    Every attack is judged by its own controls (`Comparison.kind`). An attack whose control failed is
    named as not counted, with the reason in place of its figures.

    Args:
      found: one comparison or more.
      fits: whether the images fit the backbone's input; without that the answer stays open.
    """
    kind = kind_of(found)
    unfed = kind == NONE and not fits
    kind = OPEN if unfed else kind
    asked = (
        'Asked: can someone who holds only this backbone, without its classification layer, tell '
        'whether a photograph, or a person, was in its training set?'
    )
    said = tuple(_finding(one) for one in in_order(found))
    headline = _HEADLINES[kind]
    if kind == NONE and len(found) > 1:
        headline = headline.replace('this attack', 'these attacks')
    meaning = _MEANING_UNFED if unfed else _meaning(kind, found)
    sentences = (asked, *said, _sure(decisive(found)), meaning)
    return Verdict(kind, headline, sentences)


_HEADLINES = {
    LEAK: 'This backbone gives away whom it was trained on',
    NONE: 'No leak found by this attack',
    OPEN: 'Inconclusive: no leak is shown, but one cannot be excluded',
    INVALID: f'Inconclusive: {wording.CONTROL_FAILED}',
}

_UNFED = 'Inconclusive: the images may not be what the backbone expects'
_MEANING_UNFED = (
    'What it means: next to nothing is found in the backbone as it was fed here. With the right input '
    'it may leak, so the answer stays open.'
)


def _finding(one):
    attack = f'the attack on {wording.judged(one.unit)} ({one.title})'
    if not one.valid:
        return f'{_capital(attack)}, {wording.knowing(one.setting)}, is {wording.not_counted(one)}.'
    low, high = one.figures['auc_ci95']
    text = (
        f'{_capital(wording.knowing(one.setting))}, {attack} picks the member out of one member and one '
        f'stranger in {_hundred(one.figures["auc"])} of 100 cases (95 % interval {_hundred(low)} to '
        f'{_hundred(high)}; 50 is guessing)'
    )
    rates = one.figures['tpr_at_fpr']
    rate = min((r for r, found in rates.items() if found is not None), key=float, default=None)
    if rate is not None:
        text += (
            f', and finds {100 * rates[rate]:.3g} % of the members while taking '
            f'{100 * float(rate):g} % of the strangers for members'
        )
    text += '.'
    if one.excess is not None:
        low, high = one.excess['auc_ci95']
        text += (
            f' That is {_difference(one.excess["auc"])} what it reaches on a backbone that never saw '
            f'these people (95 % interval of the difference {100 * low:+.0f} to {100 * high:+.0f}).'
        )
    return text


def _difference(share):
    points = _hundred(abs(share))
    if points == '0':
        return 'the same as'
    return f'{points} {"above" if share > 0 else "below"}'


def _sure(one):
    text = (
        f'How sure: judged on {one.figures["identities"]} people on whom the attack was not fitted; the '
        'intervals resample people, not photographs.'
    )
    if one.null is None or not one.valid:
        return text
    low, high = one.null['auc_ci95']
    return text + (
        ' Among strangers only, where there is nothing to find, the same attack gives '
        f'{_hundred(one.null["auc"])} of 100 ({_hundred(low)} to {_hundred(high)}); its interval '
        'includes 50.'
    )


_ADVICE = (
    'Anyone who receives it can use that to argue that a given person was in the training set. Treat '
    'the file as personal data until another audit says otherwise.'
)


def _meaning(kind, found):
    if kind == LEAK:
        leaking = {one.unit for one in found if one.kind == LEAK}
        of_people = (
            'the people it was trained on, which shows in several photographs taken together'
        )
        held = of_people if leaking == {'person'} else 'individual training photographs'
        return f'What it means: the backbone holds information about {held}. {_ADVICE}'
    if kind == NONE:
        several = len(found) > 1
        return (
            f'What it means: {"these attacks learn" if several else "this attack learns"} next to '
            'nothing about the training set from this file. Another attack may learn more.'
        )
    if kind == INVALID:
        return (
            'What it means: do not rely on the figures below. The attack finds a difference where there '
            'is nothing to find.'
        )
    if {one.kind for one in found} == {NONE, INVALID}:
        return (
            'What it means: the attacks that can be counted find next to nothing. The other one cannot '
            'be judged, so the answer stays open.'
        )
    return (
        'What it means: with so few people the answer stays open. More members and more strangers '
        'narrow the intervals.'
    )


def of_inversion(inversion: Mapping[str, Any], *, fits: bool = True) -> Verdict:
    """Returns the verdict on model inversion.

    A recovery is claimed only where the hit rate's excess over the strongest control has an interval
    above 0, and the p-values of that excess and of the relabelled gallery are below `SIGNIFICANT`. The
    question stays open where there are more hits than chance and every control explain, or where the
    nearest person is a member more often than chance and every control explain.

    Args:
      inversion: that part of `audit.json`.
      fits: as of `of_membership`.
    """
    search = Outcome.from_json(inversion)
    figures, controls, excess = search.figures, search.controls, search.excess
    if excess is None:
        raise errors.InputError('inversion', 'a search without an excess', 'one over its controls')
    low, high = figures['hit_rate_ci95']
    left, most = excess['hit_rate_ci95']
    by_chance = figures['p_value'] >= SIGNIFICANT
    recovered = left > 0 and excess['p_value'] < SIGNIFICANT and not by_chance
    nearest = max(control.get('nearest_is_member', 0.0) for control in controls.values())
    leaning = (excess['hit_rate'] > 0 and not by_chance) or (
        figures['nearest_p_value'] < SIGNIFICANT and figures['nearest_is_member_ci95'][0] > nearest
    )
    unsure = most > NEGLIGIBLE
    asked = (
        'Asked: can faces of people in its training set be reconstructed from this backbone and a face '
        f'generator, {wording.knowing(inversion["setting"])}?'
    )
    people = figures['distinct_identities']
    found = (
        f'Of {figures["reconstructions"]} reconstructions, {_percent(figures["hit_rate"])} match a '
        'member, judged by an evaluator backbone that the search never used (95 % interval '
        f'{_percent(low)} to {_percent(high)}), {people} {"person" if people == 1 else "people"} '
        'in all. '
        f'The strongest control, {wording.SEARCH_CONTROLS[excess["over"]]}, reaches '
        f'{_percent(controls[excess["over"]]["hit_rate"])}: the difference is '
        f'{100 * excess["hit_rate"]:+.0f} points ({100 * left:+.0f} to {100 * most:+.0f}). '
        'Without any threshold, the nearest person is a member for '
        f'{_percent(figures["nearest_is_member"])} of the reconstructions (controls: up to '
        f'{_percent(nearest)}).'
    )
    sure = (
        'How sure: if members and strangers of the gallery were relabelled at random, at least as many '
        f'hits would occur with probability {_probability(figures["p_value"])}, and at least as many '
        f'nearest members with probability {_probability(figures["nearest_p_value"])}. If the search '
        'were no better than a control, a difference this large would occur with probability '
        f'{_probability(excess["p_value"])} or less.'
    )
    sentences = [asked, found, sure]
    if 'targeted' in inversion:
        sentences.append(_from_templates(inversion['targeted']))
    state = (
        'recovered'
        if recovered
        else 'leaning'
        if leaning
        else 'nothing'
        if not unsure
        else 'more'
        if excess['hit_rate'] > 0
        else 'few'
    )
    headline, meaning = _RECOVERIES[state]
    kind = {'recovered': LEAK, 'nothing': NONE}.get(state, OPEN)
    meaning = f'What it means: {meaning}'
    if kind == NONE and not fits:
        kind, headline, meaning = OPEN, _UNFED, _MEANING_UNFED
    return Verdict(kind, headline, (*sentences, meaning))


# How far a search came -> headline, what it means.
_RECOVERIES = {
    'recovered': (
        'Faces of people in the training set can be reconstructed from this backbone',
        'anyone who holds this file and such a generator can make faces that resemble people of the '
        'training set. They are likenesses, not photographs.',
    ),
    'leaning': (
        'Inconclusive: reconstructions lean towards members, but show nobody for certain',
        'too few reconstructions match a member to stand out from every control, but together they lean '
        'towards members. The backbone holds something about its training set; a better generator may '
        'bring it out.',
    ),
    'more': (
        'Inconclusive: reconstructions match members more often than the controls do, but the '
        'difference could be chance',
        'the answer stays open. More people would narrow the intervals.',
    ),
    'few': (
        'Inconclusive: reconstructions do not match members more often than the controls do, but a '
        'difference cannot be excluded',
        'the answer stays open. More people would narrow the intervals.',
    ),
    'nothing': (
        'Nothing recovered: no face of a training person is shown',
        'with this search and this generator, reconstructions match members no more often than the '
        'controls do. Another search may find more.',
    ),
}


def _from_templates(targeted):
    search = Outcome.from_json(targeted)
    low, high = search.figures['top1_ci95']
    controls = ', '.join(
        f'{wording.TEMPLATE_CONTROLS[name]} {_percent(found["top1"])}'
        for name, found in search.controls.items()
    )
    return (
        f'Given the stored embedding of a known person ({targeted["people"]} members), the '
        f'reconstructed face is most like that person, among {targeted["gallery"]}, in '
        f'{_percent(search.figures["top1"])} of the cases ({_percent(low)} to {_percent(high)}). The '
        f'controls: '
        f'{controls}.'
    )


def _capital(text):
    return text[:1].upper() + text[1:]


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %' if 0 < share < 0.1 else f'{100 * share:.0f} %'


def _probability(value: float) -> str:
    return f'{value:.4f}' if value < 0.01 else f'{value:.2f}'


def _hundred(share: float) -> str:
    return f'{100 * share:.0f}'
