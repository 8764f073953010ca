"""The verdict in plain language: what was asked, what was found, how sure, what it means."""

import dataclasses
from collections.abc import Mapping
from typing import Any

# A leak whose interval stays below this excess of the AUC is called none: 5 more right answers in 100.
NEGLIGIBLE = 0.05

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
    """Returns the verdict on the contents of `audit.json`.

    A leak is claimed only where an attack's own interval lies above 0.5, that of its excess over the
    blind control above 0 (a control below 0.5 by chance is no finding), and its null control's
    contains 0.5. Attacks are judged one by one; a leak that
    one of them shows is the headline, whatever the others do.
    """
    membership = record['membership']
    controls = membership['controls']
    attacks = {
        'partial': (membership['settings'].get('partial'), 'excess', 'null'),
        'auxiliary': (membership['settings'].get('auxiliary'), 'auxiliary_excess', 'null'),
        'identity_level': (membership.get('identity_level'), 'identity_excess', 'identity_null'),
    }
    kinds, found = set(), []
    for name, (block, excess, null) in attacks.items():
        if block is None:
            continue
        kinds.add(_judge(block, controls.get(excess), controls.get(null)))
        found.append(_finding(name, block, controls.get(excess)))
    kind = next(kind for kind in (LEAK, INVALID, OPEN, NONE) if kind in kinds)
    asked = (
        'Asked: can someone who holds only this backbone, without its classification layer, tell '
        'whether a photograph, or a person, was in its training set?'
    )
    return Verdict(kind, _HEADLINES[kind], (asked, *found, _sure(membership), _MEANING[kind]))


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


_MEANING = {
    LEAK: 'What it means: the backbone holds information about individual training photographs. '
    'Whoever receives it can use that to argue that a given person was in the training set; treat '
    'the file as personal data until another audit says otherwise.',
    NONE: 'What it means: this attack learns next to nothing about the training set from this file. '
    'Another attack may learn more.',
    OPEN: 'What it means: with so few people the answer stays open. More members and more strangers '
    'narrow the intervals.',
    INVALID: 'What it means: do not rely on the figures below. The attack told strangers apart from '
    'strangers, so that it may find a difference where none is.',
}


def _hundred(share: float) -> str:
    return f'{100 * share:.0f}'
