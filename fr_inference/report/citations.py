"""What a report rests on: papers on its attacks and its controls, each with what it supports."""

from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference.membership.comparison import Comparison
from fr_inference.report import wording

_CONTROLS = (
    (
        'arXiv 2406.16201',
        'members and strangers can often be told apart without looking at the model, so every attack '
        'here has a blind control, and one that sees nothing but the pictures',
    ),
    (
        'arXiv 2605.25819',
        'shares found at low false-positive rates are not calibrated when they are pooled, so none is '
        'given here below ten expected strangers, and intervals resample people',
    ),
    (
        'arXiv 2605.24420',
        'BatchNorm amplifies memorisation, which is why its statistics are attacked',
    ),
    (
        'EDPB Opinion 28/2024',
        'a model is anonymous only where the extraction of personal data is insignificant by all means '
        'reasonably likely to be used, and that is documented; so several attacks stand here side by '
        'side, each with what its user sees and knows',
    ),
)
_SEARCH = (
    'arXiv 2505.03519',
    'evaluators of model inversion give many false positives, so every hit rate here stands beside its '
    'controls',
)


def of(record: Mapping[str, Any], comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """Returns [(source, what it supports)] of the attacks that were run, and of the controls.

    Args:
      record: the contents of `audit.json`.
      comparisons: its comparisons.
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
