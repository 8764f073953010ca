"""A gate for a pipeline: figures of an audit that must not be above a limit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.membership.comparison import Comparison
from fr_inference.metrics import intervals
from fr_inference.report import wording
from fr_inference.report.verdict import comparisons, doubt_of

NAMES = (
    *('auc', 'accuracy', 'excess', 'identity_auc', 'identity_excess'),
    *(f'tpr@fpr={rate}' for rate in intervals.RATES),
)
_FIELD = 'fail_above'


class GateCrossed(Exception):
    """A figure of an audit is above its limit."""


def parse(text: str) -> tuple[str, float]:
    """Reads NAME:LIMIT, with NAME in `NAMES`.

    >>> parse('tpr@fpr=0.01:0.05')
    ('tpr@fpr=0.01', 0.05)

    Raises:
      InputError: with the field 'fail_above', for another name, and for a limit that is not a number or
        that no figure can exceed, such as 60 for 0.6.
    """
    name, _, limit = text.rpartition(':')
    try:
        number = float(limit)
    except ValueError:
        number = math.nan
    if name not in NAMES or not math.isfinite(number):
        raise errors.InputError(
            _FIELD, repr(text), f'NAME:LIMIT, as auc:0.6, with NAME one of {", ".join(NAMES)}'
        )
    if number >= 1:
        raise errors.InputError(_FIELD, repr(text), 'a limit below 1, the largest possible figure')
    return name, number


def check(gates: Sequence[tuple[str, float]], record: Mapping[str, Any]) -> None:
    """Compares an audit with its gates.

    A gate reads the attacks on photographs, an `identity_` gate those on people; where no attack on
    photographs was run, the attacks on people stand in. The highest figure counts. An attack whose
    control failed neither crosses a gate nor passes it: the gate that reads it cannot be held, unless
    an attack that is counted crosses it.

    Args:
      gates: (name, limit) of each.
      record: the contents of `audit.json`.

    Raises:
      GateCrossed: lists the figures above their limits, whatever else is wrong.
      InputError: with the field 'fail_above', when no gate is crossed, but one cannot be held: its
        figure was not measured, a control of its attack failed, or the images may not be what the
        backbone expects.
    """
    found = comparisons(record)
    values = [(name, limit, highest(found, name)) for name, limit in gates]
    crossed = [
        f'{name} is {value:.4g}, above {limit:g}'
        for name, limit, value in values
        if value is not None and value > limit
    ]
    if crossed:
        raise GateCrossed(', '.join(crossed))
    for name, _, value in values:
        _hold(name, value, found)
    if gates and (doubt := doubt_of(record)) is not None:
        raise errors.InputError(
            _FIELD,
            f'{gates[0][0]} of a backbone that may have been fed wrong input: {doubt.text}',
            hint='give its input convention, or align the images; the gate cannot be held as it is',
        )


def highest(found: Sequence[Comparison], name: str) -> float | None:
    """Returns the highest figure of that name over the attacks that are counted, None without any."""
    values = [_figure(one, name) for one in _read(found, name) if one.valid]
    return max((value for value in values if value is not None), default=None)


def _read(found, name):
    """Returns the comparisons that a gate of this name reads."""
    of_images = [one for one in found if one.unit == 'image']
    if name.startswith('identity_') or not of_images:
        return [one for one in found if one.unit == 'person']
    return of_images


def _figure(one, name):
    name = name.removeprefix('identity_')
    if name == 'excess':
        return one.excess and one.excess['auc']
    rate = name.partition('=')[2]
    return one.figures['tpr_at_fpr'][rate] if rate else one.figures[name]


def _hold(name, value, found):
    """Raises `InputError` for a gate that says nothing."""
    read = _read(found, name)
    failed = [one for one in read if not one.valid]
    if failed:
        raise errors.InputError(
            _FIELD,
            f'{name} of an attack ({wording.label(failed[0])}) that is '
            f'{wording.not_counted(failed[0])}',
            hint='give more people, or a blind backbone that was trained on others; the gate cannot be '
            'held as it is',
        )
    if value is not None:
        return
    rate = name.partition('=')[2]
    if rate and read:
        most = max(one.figures['nonmembers'] for one in read)
        raise errors.InputError(
            _FIELD,
            f'{name} with {most:,} evaluated non-members',
            f'{math.ceil(intervals.RESOLVABLE / float(rate)):,} or more to resolve that rate',
            'give more of them (half are evaluated), or leave this gate out',
        )
    raise errors.InputError(
        _FIELD,
        f'{name}, which was not measured',
        hint='leave this gate out, or give what its attack needs (see limits in the report)',
    )
