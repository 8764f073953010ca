"""The verdict in plain language: what was asked, what was found, how sure."""

from collections.abc import Mapping
from typing import Any


def verdict(record: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Returns (headline, sentences) for the contents of `audit.json`.

    A leak is claimed only where the excess over the blind control lies above 0 with its whole interval
    and the null control's interval contains 0.5.
    """
    membership = record['membership']
    controls = membership['controls']
    if 'partial' in membership['settings']:
        what, block = 'an image', membership['settings']['partial']
        excess, null = controls['excess'], controls['null']
    else:
        what, block = 'a person with several images', membership['identity_level']
        excess, null = controls.get('identity_excess'), controls.get('identity_null')
    low, high = block['auc_ci95']
    sentences = [
        f'The question: can someone who has only this backbone tell whether {what} was in its '
        'training set?',
        f'Shown one member and one stranger from the same source, the attack picks the member in '
        f'{100 * block["auc"]:.0f} of 100 cases (95 % interval {100 * low:.0f} to {100 * high:.0f}; '
        '50 is guessing).',
    ]
    sound = null is None or null['auc_ci95'][0] <= 0.5 <= null['auc_ci95'][1]
    if not sound:
        sentences.append(
            'The null control, where there is nothing to find, does not contain 0.5: do not rely on '
            'these figures.'
        )
        return 'Not conclusive: the null control failed', sentences
    if excess is None:
        return 'Not conclusive: there was no blind control', sentences
    low, high = excess['auc_ci95']
    sentences.append(
        f'Beyond what the same attack reaches on a backbone that never saw these people, that is '
        f'{100 * excess["auc"]:+.0f} points (95 % interval {100 * low:+.0f} to {100 * high:+.0f}).'
    )
    if low > 0:
        return 'This backbone gives its training images away', sentences
    if high < 0.05:
        return 'No leak found by this attack', sentences
    return 'Not conclusive: a leak of this size can neither be shown nor excluded', sentences
