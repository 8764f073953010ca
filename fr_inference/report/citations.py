"""The sources of a report: papers on its attacks and controls, each with what it supports."""

from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference.membership.comparison import Comparison
from fr_inference.report import wording

_CONTROLS = (
    (
        'arXiv 2406.16201',
        'members and strangers can often be told apart without looking at the model, so every '
        'attack here has a blind control and a control that sees only the pictures',
    ),
    (
        'arXiv 2605.25819',
        'pooled true-positive rates are not calibrated at low false-positive rates, so none is '
        'given here below ten expected strangers, and intervals resample people',
    ),
    (
        'arXiv 2605.24420',
        'BatchNorm amplifies memorisation, which is why its statistics are attacked',
    ),
    (
        'EDPB Opinion 28/2024',
        'a model is anonymous only if the likelihood of extracting personal data is insignificant '
        'for all means reasonably likely to be used, and this is documented; so several attacks '
        'stand here side by side, each with what the attacker sees and knows',
    ),
)
_SEARCH = (
    'arXiv 2505.03519',
    'evaluators of model inversion give many false positives, so every hit rate here stands beside its '
    'controls',
)


def of(record: Mapping[str, Any], comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """Returns [(source, what it supports)] for the attacks that were run and for the controls.

    Args:
      record: the contents of `audit.json`.
      comparisons: the comparisons of the audit.
    """
    found: dict[str, list[str]] = {}
    for one in comparisons:
        if cited := wording.source(one.attack):
            names = found.setdefault(cited, [])
            called = wording.name(one) if one.attack == wording.PAPER else one.title
            names += [called] if called not in names else []
    said = [(cited[:1].upper() + cited[1:], '; '.join(names)) for cited, names in found.items()]
    controls = list(_CONTROLS) if comparisons else []
    return [*said, *controls, *([_SEARCH] if 'inversion' in record else [])]
