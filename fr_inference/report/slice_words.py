"""The names of the slices of an attack, and what they show, in a sentence."""

from collections.abc import Mapping
from typing import Any

_CALLED = {'images': 'Images of the person', 'verification': 'Verification score'}


def heading(entry: Mapping[str, Any]) -> str:
    """Returns a heading for an entry of `membership.slices`: what it is sliced by.

    >>> heading({'by': 'column', 'column': 'camera', 'value': 'a'})
    'Column camera'
    """
    return _CALLED.get(entry['by']) or f'Column {entry["column"]}'


def groups(sliced: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Returns (heading, slices) of `membership.slices`, in their order."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in sliced['slices']:
        found.setdefault(heading(entry), []).append(entry)
    return list(found.items())


def sentence(sliced: Mapping[str, Any], whole: float) -> str:
    """Returns whether any slice differs from all judged images together.

    Args:
      sliced: `membership.slices` of a record.
      whole: the AUC of all judged images.
    """
    count = sliced['looked_at']
    if not count:
        return f'No slice has {sliced["least_people"]} people on each side.'
    computed = [one for one in sliced['slices'] if 'auc' in one]
    surely = [
        one for one in computed if not one['difference_ci95'][0] <= 0 <= one['difference_ci95'][1]
    ]
    together = f'Of {count} slices' if count > 1 else 'The only slice'
    if not surely:
        said = 'none certainly differs' if count > 1 else 'does not certainly differ'
        return f'{together} {said} from all images together (AUC {whole:.3f}).'
    most = max(surely, key=lambda one: abs(one['difference']))
    where = f'{heading(most)}: {most["value"]} (AUC {most["auc"]:.3f}; all images: {whole:.3f})'
    if count == 1:
        return f'{together} differs from all images together. {where}.'
    verb = 'differs' if len(surely) == 1 else 'differ'
    return (
        f'{together}, {len(surely)} certainly {verb} from all images together, most of all {where}.'
    )
