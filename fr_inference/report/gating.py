"""Checks a finished audit against its gates. An open or invalid verdict never passes silently."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.inversion.outcome import Outcome
from fr_inference.membership.comparison import CLEAR, INVALID, Comparison, weighed
from fr_inference.report import wording
from fr_inference.report.gate import FIELD, OF_SEARCH, Gate, GateCrossed
from fr_inference.report.verdict import comparisons, doubt_of, verdict

_AS_IT_IS = 'the gate cannot be checked as it is'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """The value that a gate reads in an audit.

    Attributes:
      value: the estimate, or the upper end of its 95 % interval.
      estimate: the estimate.
      high: the upper end.
      people: the number of people in the evaluated half; None for a search.
    """

    value: float
    estimate: float
    high: float
    people: int | None = None


def check(gates: Sequence[Gate], record: Mapping[str, Any]) -> str:
    """Compares an audit with its gates.

    The highest figure of all attacks that a gate reads counts. These are the attacks that the
    verdict rests on, or the one that the gate names. An attack whose control failed neither crosses
    a gate nor passes it: the gate cannot be checked, unless an attack that is counted crosses it.

    Args:
      gates: of `gate.parse`.
      record: the contents of `audit.json`.

    Returns:
      A warning although every gate was passed, or '': the verdict is not clear, and which gate
        would have failed for that.

    Raises:
      GateCrossed: with all figures above their limits, and a verdict that is not clear. It has
        priority over all that follows.
      InputError: with the field 'fail_above', if no gate is crossed, but one cannot be checked: its
        figure was not measured, a control of its attack failed, the images may not be what the
        backbone expects, or the verdict is invalid.
    """
    of_figures = [gate for gate in gates if gate.limit is not None]
    values = [(gate, read(gate, record)) for gate in of_figures]
    crossed = [
        _crossing(gate, found)
        for gate, found in values
        if found is not None and gate.limit is not None and found.value > gate.limit
    ]
    if len(of_figures) < len(gates) and (said := verdict(record)).kind != CLEAR:
        crossed.append(f'the verdict is {said.kind}, and only a clear one passes: {_why(said)}')
    if crossed:
        raise GateCrossed('; '.join(crossed))
    for gate, found in values:
        _hold(gate, found, record)
    return _remark(values, record) if values else ''


def read(gate: Gate, record: Mapping[str, Any]) -> Reading | None:
    """Returns the highest figure that a gate reads among counted attacks, None if there is none."""
    if gate.figure in OF_SEARCH:
        return _of_search(gate, record)
    found = [
        _of_attack(gate, one, *ends)
        for one in gate.read(candidates(gate, record))
        if one.valid and (ends := _figure(gate, one)) is not None
    ]
    return max(found, key=lambda one: one.value, default=None)


def candidates(gate: Gate, record: Mapping[str, Any]) -> list[Comparison]:
    """Returns the attacks that a gate may read.

    Further attacks are included only if they show a leak: of twenty attacks without a leak, one
    control fails by chance, and the highest of their figures is high by chance.
    """
    found = comparisons(record)
    return found if gate.key is not None or not found else weighed(found)


def _figure(gate, one):
    """Returns (estimate, upper end) in one comparison, None if it was not measured."""
    if gate.figure == 'excess':
        return one.excess and (one.excess['auc'], one.excess['auc_ci95'][1])
    if gate.rate is None:
        return one.figures[gate.figure], one.figures[f'{gate.figure}_ci95'][1]
    share = one.figures['tpr_at_fpr'].get(gate.rate)
    return None if share is None else (share, one.figures['tpr_at_fpr_ci95'][gate.rate][1])


def _of_attack(gate, one, estimate, high):
    value = high if gate.high else estimate
    return Reading(value=value, estimate=estimate, high=high, people=one.figures['identities'])


def _of_search(gate, record):
    if 'inversion' not in record:
        return None
    search = Outcome.from_json(record['inversion'])
    block = search.excess if gate.figure == 'hit_excess' else search.figures
    if block is None:
        return None
    estimate, high = block['hit_rate'], block['hit_rate_ci95'][1]
    return Reading(value=high if gate.high else estimate, estimate=estimate, high=high)


def _crossing(gate, found):
    said = f'{gate.name} is {found.value:.4g}, above {gate.limit:g}'
    if not gate.high or found.estimate >= gate.limit:
        return said
    said += f' (the estimate itself, {found.estimate:.4g}, is not'
    if found.people is not None:
        # An interval narrows with the square root of the number of people.
        narrower = (found.high - found.estimate) / (gate.limit - found.estimate)
        needed = math.ceil(found.people * narrower**2)
        said += (
            f'; with about {needed:,} people in the evaluated half instead of {found.people:,} the '
            'interval would stay below'
        )
    return f'{said})'


def _why(said):
    """The headline, and the reasons that add something to it."""
    return ' '.join(
        [f'{said.headline}.', *(r.text for r in said.reasons if r.text != said.headline)]
    )


def _hold(gate, found, record):
    """Raises `InputError` for a gate that cannot be checked."""
    reads = gate.read(candidates(gate, record)) if gate.figure not in OF_SEARCH else []
    failed = [one for one in reads if not one.valid]
    if failed:
        raise errors.InputError(
            FIELD,
            f'{gate.name} for an attack ({wording.label(failed[0])}) that is '
            f'{wording.not_counted(failed[0])}',
            hint=f'give more people, or a blind backbone that was trained on others; {_AS_IT_IS}',
        )
    if found is not None:
        return
    if gate.rate is not None and reads:
        most = max(one.figures['nonmembers'] for one in reads)
        gate.check_count(most, wording.judged(reads[0].unit))
    raise errors.InputError(
        FIELD,
        f'{gate.name}, which was not measured',
        hint='leave this gate out, or give what it needs (see limits in the report)',
    )


def _remark(values, record):
    """Returns the warning on figures that are all within their limits; raises if that means nothing."""
    said = verdict(record)
    if doubt := doubt_of(record):
        raise errors.InputError(
            FIELD,
            f'{values[0][0].name} for a backbone that may have been given the wrong input '
            f'({doubt.text})',
            hint=f'give its input convention, or align the images; {_AS_IT_IS}',
        )
    if said.kind == INVALID:
        raise errors.InputError(
            FIELD,
            f'{values[0][0].name} in an audit whose verdict is invalid ({_why(said)})',
            hint=_AS_IT_IS,
        )
    if said.kind == CLEAR:
        return ''
    # Look at all attacks that a gate reads: the widest interval need not belong to the highest estimate.
    read_again = [(gate.bound, read(gate.bound, record)) for gate, _ in values]
    bounds = [(gate, found) for gate, found in read_again if found is not None]
    ends = dict.fromkeys(f'{gate.name} is {found.value:.4g}' for gate, found in bounds)
    stricter = [gate.text for gate, found in bounds if found.value > gate.limit]
    return (
        f'passed, but the verdict is {said.kind}: {said.headline}. {", ".join(ends)}; '
        f'with the gate {" or ".join(["verdict", *stricter])} it would have failed'
    )
