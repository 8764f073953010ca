"""What a differentially private training guarantees, in words, and whether an audit found more."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference.membership.comparison import Comparison, decisive, weighed

_RATE = '0.01'


def most_found(epsilon: float, delta: float, false_alarms: float) -> float:
    """Returns the largest share of members that an attack can find under (epsilon, delta).

    1 - max(0, 1 - delta - e^epsilon a, e^-epsilon (1 - delta - a)) with a the false-positive rate
    (Kairouz et al., arXiv 1311.0776; Dong et al., arXiv 1905.02383, proposition 3). It is at most
    e^epsilon a + delta.

    >>> round(most_found(1.0, 0.0, 0.01), 4)
    0.0272
    """
    by_alarms = math.exp(min(epsilon, 700)) * false_alarms + delta
    by_misses = 1 - math.exp(-epsilon) * (1 - delta - false_alarms)
    return min(1.0, by_alarms, by_misses)


def of_group(epsilon: float, delta: float, size: int) -> tuple[float, float]:
    """Returns the guarantee for `size` units together, given (epsilon, delta) for one.

    >>> of_group(0.5, 1e-5, 1)
    (0.5, 1e-05)
    """
    # delta * (e^(k epsilon) - 1) / (e^epsilon - 1): Vadhan, "The Complexity of Differential Privacy",
    # lemma 2.2.
    grown = sum(math.exp(min(700.0, step * epsilon)) for step in range(min(size, 10_000)))
    return size * epsilon, min(1.0, delta * grown)


def sentences(recipe: Mapping[str, Any] | None, found: Sequence[Comparison]) -> str:
    """Returns what a target's recipe says about differential privacy, '' if it says nothing.

    Members and strangers of an audit differ by whole people. If the unit is an image, the guarantee
    for a person is that for the group of all their images.

    Args:
      recipe: the recipe of the target.
      found: the attacks of the audit.
    """
    privacy = (recipe or {}).get('privacy')
    if not isinstance(privacy, Mapping):
        return ''
    if privacy.get('epsilon') is None:
        return (
            'Gradients were clipped and noised, but the noise can be reproduced: no differential '
            'privacy is claimed.'
        )
    if (known := _known(privacy)) is None:
        return ''
    epsilon, delta, most, unit = known
    said = [
        f'Trained with differential privacy: epsilon {_up(epsilon)} at delta {_up(delta)} per {unit}.'
    ]
    size = 1 if unit == 'person' else most
    if size > 1:
        said.append(
            f'One person had up to {size:,} images: for a person the guarantee is epsilon '
            f'{_up(size * epsilon)}.'
        )
    limit = most_found(*of_group(epsilon, delta, size), float(_RATE))
    if limit > 0.99:
        said.append('That rules out no attack in practice.')
    else:
        said.append(
            f'An attack with 1 % false alarms finds at most {_up(100 * limit)} % of the members.'
        )
    started = (recipe or {}).get('start')
    if isinstance(started, Mapping) and started.get('sha256'):
        said.append('The guarantee does not cover what the initial checkpoint had already learned.')
    said += _compared(limit, found) if limit <= 0.99 else []
    return ' '.join(said)


def _known(privacy):
    """Returns (epsilon, delta, images of a person, unit), None if they do not have our format."""
    epsilon, delta = (privacy.get(key) for key in ('epsilon', 'delta'))
    most, unit = privacy.get('images_of_a_person'), privacy.get('unit')
    if not all(type(one) in (int, float) and math.isfinite(one) for one in (epsilon, delta)):
        return None
    fits = type(most) is int and most >= 1 and epsilon >= 0 and 0 <= delta <= 1
    return (epsilon, delta, most, unit) if fits and unit in ('image', 'person') else None


def _up(value):
    """Three digits, rounded up, so that no more is claimed than holds."""
    if value == 0:
        return '0'
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    # The small factor absorbs the rounding error of the division.
    return f'{math.ceil(value / unit * (1 - 1e-12)) * unit:.3g}'


def _compared(limit, found):
    """Compares that with what the attack on photographs found, at the same false-positive rate."""
    counted = weighed([one for one in found if one.unit == 'image' and one.valid])
    shown = decisive(counted) if counted else None
    if shown is None or (share := shown.figures['tpr_at_fpr'].get(_RATE)) is None:
        return []
    low, high = shown.figures['tpr_at_fpr_ci95'][_RATE]
    text = (
        f'This audit found {100 * share:.2g} % (95 % interval {100 * low:.2g} to {100 * high:.2g}).'
    )
    if low <= limit:
        return [text]
    return [
        text,
        'That is more than the guarantee allows: either it does not hold as recorded, or members '
        'and strangers differ in something else.',
    ]
