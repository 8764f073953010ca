"""A plan as lines of text."""

from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = (
    *('part', 'items', 'at a time', 'memory', 'TFLOP', 'moves', 'bound by', 'least per item'),
    *('least time', 'largest', 'collectives'),
)


def text(result: Mapping[str, Any]) -> str:
    """Returns a table for each machine, and a note on what the times leave out."""
    lines: list[str] = []
    for plan in result['plans']:
        lines += [*_machine(plan), '']
    return '\n'.join(
        [
            *lines,
            'Times are bounds by arithmetic and by memory: no run is faster. They leave out '
            f'{result["left_out"]}.',
        ]
    )


def _machine(plan):
    count, kind = plan['chips'], plan['chip']
    head = f'{plan["topology"]}: {count} x {kind}'
    if plan['devices'] != count:
        head += f', {plan["devices"]} devices'
    if plan['processes'] > 1:
        head += f', {plan["processes"]} processes'
    rows = [_COLUMNS, *(_row(row) for row in plan['parts'])]
    return [f'{head}. {_sum(plan)}', *aligned(rows), *_notes(plan['parts']), *_others(plan)]


def _others(plan):
    return [f'  {line}' for line in plan['not_compared']]


def _sum(plan):
    if not plan['fits']:
        return 'Does not fit: see the parts.'
    said = f'Fits. At least {duration(3600 * plan["least_hours"])}'
    if plan['least_cost'] is not None:
        said += f', at least {plan["least_cost"]:.2f} at {plan["price_per_hour"]:g} a chip-hour'
    return said + '.'


def _row(row):
    at_a_time = f'{row["examples_per_device"]} x {row["devices"]}'
    used, available = sum(row['memory_bytes'].values()), row['memory_available_bytes']
    memory = f'{used / 1e9:.2f} of {available / 1e9:.1f} GB'
    amount = f'{row["amount"]:,} {row["unit"]}s'
    if not row['fits']:
        said = ['-'] * 5
        memory = f'does not fit {available / 1e9:.1f} GB'
    else:
        said = [
            '?' if row['flops'] is None else f'{row["flops"] / 1e12:.3f}',
            f'{row["bytes"] / 1e9:.2f} GB',
            _bound(row),
            duration(row['least_seconds_per_item']),
            duration(3600 * row['least_hours']),
        ]
    kinds = ', '.join(f'{n} {kind}' for kind, n in row.get('collectives', {}).items()) or 'none'
    return (row['part'], amount, at_a_time, memory, *said, _largest(row), kinds)


def _bound(row):
    """The limiting resource, and the share of its time that the other takes (100 % if balanced)."""
    less, more = sorted((row['arithmetic_seconds'], row['memory_seconds']))
    other = 'memory' if row['bound_by'] == 'arithmetic' else 'arithmetic'
    return f'{row["bound_by"]} ({other} {less / more if more else 1:.0%})'


def _largest(row):
    if 'largest' not in row:
        return ''
    found = row['largest']
    if found is None:
        return f'--{row["option"]}: none'
    return f'--{row["option"]}={found["option_value"]}'


def _notes(rows) -> list[str]:
    """The memory of each part, the rate at the largest batch, and measured times."""
    lines = []
    for row in rows:
        parts = ', '.join(f'{name} {size / 1e9:.2f}' for name, size in row['memory_bytes'].items())
        line = f'  {row["part"]}: GB of {parts}' if parts else f'  {row["part"]}: no figures'
        best = row.get('largest')
        if best and best['examples_per_device'] != row['examples_per_device']:
            line += (
                f'; with --{row["option"]}={best["option_value"]} at least '
                f'{duration(best["least_seconds_per_item"])} for each'
            )
        measured = row.get('measured_seconds_per_call')
        if measured is not None:
            times = measured / row['least_seconds_per_call']
            line += f'; measured {duration(measured)} a call, {times:.2f} times the bound'
        if 'measured' in row:
            line += f'; {_beside(row, row["measured"])}'
        lines.append(line)
    return lines


def _beside(row, found):
    """The times that a benchmark measured, and their source."""
    said = f'measured {duration(found["seconds_per_item"])} for each'
    if row['fits']:
        said += f', {found["seconds_per_item"] / row["least_seconds_per_item"]:.2f} times the bound'
    where = f'{found["examples_per_device"]} x {found["devices"]} in {found["file"]}'
    return f'{said}, so {duration(3600 * found["hours"])} in all ({where})'


def duration(seconds: float) -> str:
    """Returns seconds in a readable unit.

    >>> duration(2e-5), duration(0.0123), duration(75), duration(5400)
    ('20.0 us', '12.3 ms', '75.0 s', '1.50 h')
    """
    for unit, name, digits in ((3600, 'h', 2), (1, 's', 1), (1e-3, 'ms', 1)):
        if seconds >= unit:
            return f'{seconds / unit:.{digits}f} {name}'
    return f'{seconds * 1e6:.1f} us'


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows of texts as lines with aligned columns.

    >>> aligned([('a', 'bcd'), ('efg', 'h')])
    ['  a    bcd', '  efg  h']
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        (
            '  ' + '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
