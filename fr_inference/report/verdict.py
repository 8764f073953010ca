"""The verdict in plain language: what was asked, what was found, how sure, what it means.

One for each stage, and one for the audit: what one stage shows is the headline, whatever the other does.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

# A leak whose interval stays below this excess of the AUC is called none: 5 more right answers in 100.
NEGLIGIBLE = 0.05

# Largest p-value of a recovery.
SIGNIFICANT = 0.01
# Controls of the second stage, as the report calls them.
CONTROLS = {
    'random_latents': 'random faces',
    'selected_only': 'the best random faces, not improved',
    'untrained_target': 'the same search against an untrained backbone',
    'nonmember_gallery': 'people who are no members',
}

LEAK, NONE, OPEN, INVALID = 'leak', 'none', 'open', 'invalid'

_HEADLINES = {
    LEAK: 'This backbone gives away whom it was trained on',
    NONE: 'No leak found by this attack',
    OPEN: 'Not conclusive: no leak is shown, but one can not be excluded',
    INVALID: 'Not conclusive: a control failed',
}


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
    """Returns the verdict on the contents of `audit.json`: of one stage, or of both."""
    stages = []
    if 'membership' in record:
        stages.append(of_membership(record['membership']))
    if 'inversion' in record:
        stages.append(of_inversion(record['inversion']))
    kinds = [stage.kind for stage in stages]
    kind = next(kind for kind in (LEAK, INVALID, OPEN, NONE) if kind in kinds)
    headline = stages[kinds.index(kind)].headline
    if kinds == [LEAK, LEAK]:
        headline = f'{headline}, and their faces can be reconstructed'
    return Verdict(kind, headline, sum((stage.sentences for stage in stages), ()))


def of_membership(membership: Mapping[str, Any]) -> Verdict:
    """Returns the verdict on the first stage.

    A leak is claimed only where an attack's own interval lies above 0.5, that of its excess over the
    blind control above 0 (a control below 0.5 by chance is no finding), and its null control's
    contains 0.5. Attacks are judged one by one; a leak that
    one of them shows is the headline, whatever the others do.

    Args:
      membership: that part of `audit.json`.
    """
    kinds, found = _attacks(membership)
    kind = next(kind for kind in (LEAK, INVALID, OPEN, NONE) if kind in kinds.values())
    leaking = [name for name, of_attack in kinds.items() if of_attack == LEAK]
    meaning = _PEOPLE if leaking == ['identity_level'] else _MEANING[kind]
    asked = (
        'Asked: can someone who holds only this backbone, without its classification layer, tell '
        'whether a photograph, or a person, was in its training set?'
    )
    return Verdict(kind, _HEADLINES[kind], (asked, *found, _sure(membership), meaning))


def decisive(membership: Mapping[str, Any]) -> str:
    """Returns the attack that the verdict rests on: the first that shows a leak, or that was run."""
    kinds, _ = _attacks(membership)
    return next((name for name, kind in kinds.items() if kind == LEAK), next(iter(kinds)))


def _attacks(membership):
    """Returns (attack -> kind of its own, a sentence on each), of those that were run."""
    controls = membership['controls']
    attacks = {
        'partial': (membership['settings'].get('partial'), 'excess', 'null'),
        'auxiliary': (membership['settings'].get('auxiliary'), 'auxiliary_excess', 'null'),
        'identity_level': (membership.get('identity_level'), 'identity_excess', 'identity_null'),
    }
    kinds: dict[str, str] = {}
    found = []
    for name, (block, excess, null) in attacks.items():
        if block is None:
            continue
        kinds[name] = _judge(block, controls.get(excess), controls.get(null))
        found.append(_finding(name, block, controls.get(excess)))
    return kinds, found


def _judge(block, excess, null):
    if null is not None and not null['auc_ci95'][0] <= 0.5 <= null['auc_ci95'][1]:
        return INVALID
    if excess is None:
        return OPEN
    low, high = excess['auc_ci95']
    if low > 0 and block['auc_ci95'][0] > 0.5:
        return LEAK
    return NONE if high < NEGLIGIBLE else OPEN


def _finding(name, block, excess):
    who = {
        'partial': 'Knowing some of the training images',
        'auxiliary': 'Knowing none of them, with a similar backbone trained on other faces',
        'identity_level': 'With several photographs of a person',
    }[name]
    low, high = block['auc_ci95']
    text = (
        f'{who}, the attack picks the member out of one member and one stranger in '
        f'{_hundred(block["auc"])} of 100 cases (95 % interval {_hundred(low)} to {_hundred(high)}; '
        '50 is guessing)'
    )
    rate = next((r for r in ('0.001', '0.01', '0.1') if block['tpr_at_fpr'][r] is not None), None)
    if rate is not None:
        share = 100 * block['tpr_at_fpr'][rate]
        text += (
            f', and finds {share:.3g} % of the members while taking {100 * float(rate):g} % of the '
            'strangers for members'
        )
    if excess is not None:
        low, high = excess['auc_ci95']
        text += (
            f'. That is {100 * excess["auc"]:+.0f} ({100 * low:+.0f} to {100 * high:+.0f}) beyond what '
            'it reaches on a backbone that never saw these people'
        )
    return text + '.'


def _sure(membership):
    controls = membership['controls']
    block = membership['settings'].get('partial') or membership['identity_level']
    null = controls.get('null') if 'partial' in membership['settings'] else None
    null = null or controls.get('identity_null')
    text = (
        f'How sure: judged on {block["identities"]} people on whom the attack was not fitted; the '
        'intervals resample people, not photographs.'
    )
    if null is None:
        return text
    low, high = null['auc_ci95']
    outcome = 'as it must' if low <= 0.5 <= high else 'which should contain 50 and does not'
    return text + (
        ' Among strangers only, where there is nothing to find, the same attack gives '
        f'{_hundred(null["auc"])} of 100 ({_hundred(low)} to {_hundred(high)}), {outcome}.'
    )


_ADVICE = (
    'Whoever receives it can use that to argue that a given person was in the training set; treat '
    'the file as personal data until another audit says otherwise.'
)
_PEOPLE = (
    'What it means: the backbone holds information about the people it was trained on, which shows in '
    'several photographs taken together. ' + _ADVICE
)
_MEANING = {
    LEAK: 'What it means: the backbone holds information about individual training photographs. '
    + _ADVICE,
    NONE: 'What it means: this attack learns next to nothing about the training set from this file. '
    'Another attack may learn more.',
    OPEN: 'What it means: with so few people the answer stays open. More members and more strangers '
    'narrow the intervals.',
    INVALID: 'What it means: do not rely on the figures below. The attack told strangers apart from '
    'strangers, so that it may find a difference where none is.',
}


def of_inversion(inversion: Mapping[str, Any]) -> Verdict:
    """Returns the verdict on the second stage.

    Recovery is claimed only where what is left of the hit rate after every control has an interval above
    0, and it and the relabelled gallery have p-values below `SIGNIFICANT`. More hits than chance and
    every control would have, or likenesses that pass no threshold but are nearer to members than chance
    and every control would have it, leave the question open.

    Args:
      inversion: that part of `audit.json`.
    """
    excess = inversion['excess']
    low, high = inversion['hit_rate_ci95']
    left, most = excess['hit_rate_ci95']
    highest = max(control['hit_rate'] for control in inversion['controls'].values())
    by_chance = inversion['p_value'] >= SIGNIFICANT
    recovered = left > 0 and excess['p_value'] < SIGNIFICANT and not by_chance
    chance = max(
        control.get('nearest_is_member', 0.0) for control in inversion['controls'].values()
    )
    leaning = (inversion['hit_rate'] > highest and not by_chance) or (
        inversion['nearest_p_value'] < SIGNIFICANT
        and inversion['nearest_is_member_ci95'][0] > chance
    )
    unsure = most > NEGLIGIBLE
    asked = (
        'Asked: can faces of people whom it was trained on be reconstructed from this backbone and a '
        'generator of faces, knowing none of them?'
        if inversion['setting'] in ('auxiliary', 'strangers')
        else 'Asked: can faces of further people whom it was trained on be reconstructed from this '
        'backbone and a generator of faces?'
    )
    people = inversion['distinct_identities']
    found = (
        f'Of {inversion["reconstructions"]} reconstructions, {_percent(inversion["hit_rate"])} show a '
        f'member in the eyes of a backbone that the search never saw (95 % interval {_percent(low)} to '
        f'{_percent(high)}), {people} {"person" if people == 1 else "people"} in all. The control that '
        f'comes closest, {CONTROLS[excess["over"]]}, reaches {_percent(highest)}: '
        f'{100 * excess["hit_rate"]:+.0f} ({100 * left:+.0f} to {100 * most:+.0f}) points are left. '
        'However like or unlike, the nearest of all '
        f'people is a member for {_percent(inversion["nearest_is_member"])} of the reconstructions '
        f'(the controls: up to {_percent(chance)}).'
    )
    sure = (
        'How sure: if chance had decided who of the gallery is a member, as many hits would come with '
        f'probability {_probability(inversion["p_value"])}, and as many nearest members with '
        f'{_probability(inversion["nearest_p_value"])}; if the search were no better than a control, as '
        f'many more hits would come with {_probability(excess["p_value"])} at most.'
    )
    sentences = [asked, found, sure]
    if 'targeted' in inversion:
        sentences.append(_from_templates(inversion['targeted']))
    meaning = (
        'What it means: whoever holds this file and such a generator can make faces that resemble '
        'people of the training set. They are likenesses, not photographs.'
        if recovered
        else 'What it means: too few reconstructions are like enough to a member to stand out from '
        'every control, yet together they lean towards members. The backbone holds something about whom '
        'it was trained on; a better generator may bring it out.'
        if leaning
        else 'Nothing recovered for certain: reconstructions do not show members so much more often '
        'than the controls that chance is out of the question. More people would narrow the intervals.'
        if unsure
        else 'Nothing recovered: by this search, with this generator, reconstructions show members no '
        'more often than the controls allow for. Another search may find more.'
    )
    headline = (
        'Faces of people whom this backbone was trained on can be reconstructed'
        if recovered
        else 'Not conclusive: reconstructions lean towards members, but show nobody for certain'
        if leaning
        else 'Nothing recovered for certain: the answer stays open'
        if unsure
        else 'Nothing recovered: no face of a training person is shown'
    )
    kind = LEAK if recovered else OPEN if leaning or unsure else NONE
    return Verdict(kind, headline, (*sentences, meaning))


def _from_templates(targeted):
    chance = targeted['controls']['random_latents']['top1']
    low, high = targeted['top1_ci95']
    return (
        f'Given the stored embedding of a known person ({targeted["people"]} members), the face that is '
        f'made is most like that person, among {targeted["gallery"]}, in '
        f'{_percent(targeted["top1"])} of the cases ({_percent(low)} to {_percent(high)}; random faces: '
        f'{_percent(chance)}).'
    )


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %' if 0 < share < 0.1 else f'{100 * share:.0f} %'


def _probability(value: float) -> str:
    return f'{value:.4f}' if value < 0.01 else f'{value:.2f}'


def _hundred(share: float) -> str:
    return f'{100 * share:.0f}'
