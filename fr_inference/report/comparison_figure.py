"""The comparison's figure: every target's AUCs with their intervals, in the order of the table."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from fr_inference.report.figures import COLOUR, styled, svg

# Figure -> (label, colour, marker); beside each other within a row.
_POINTS = {
    'auc_partial': ('images, some members known', 'member', 'o'),
    'auc_auxiliary': ('images, no member known', 'auxiliary', 's'),
    'auc_people': ('people with several images', 'people', 'D'),
    'auc_blind': ('control: backbone that never saw them', 'muted', 'o'),
}
_LONGEST = 34  # letters of a name
_CROWDED = 25  # rows from which on they are drawn closer


def targets(entries: Sequence[Any]) -> str:
    """Draws a row for each `comparison.Entry`; one without figures stays empty."""
    shown = [name for name in _POINTS if any(name in entry.figures for entry in entries)]
    height = 0.5 if len(entries) < _CROWDED else 0.34
    spread = 0.62 / max(1, len(shown))
    lowest = 0.5
    with styled():
        figure = Figure(figsize=(9.4, 1.1 + height * len(entries)))
        axes = figure.subplots()
        for place, name in enumerate(shown):
            label, colour, marker = _POINTS[name]
            tint = COLOUR[colour]
            offset = (place - (len(shown) - 1) / 2) * spread
            rows = [row for row, entry in enumerate(entries) if name in entry.figures]
            found = [entries[row].figures[name] for row in rows]
            for row, (_, low, high) in zip(rows, found, strict=True):
                heights = [row + offset, row + offset]
                axes.plot([low, high], heights, color=tint, linewidth=3, alpha=0.55)
                lowest = min(lowest, low)
            places = [row + offset for row in rows]
            values = [value for value, _, _ in found]
            axes.plot(values, places, marker, color=tint, markersize=6, label=label)
        for row in range(1, len(entries)):
            axes.axhline(row - 0.5, color=COLOUR['line'], linewidth=0.5)
        axes.axvline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_yticks(range(len(entries)), [_label(entry) for entry in entries])
        for tick, entry in zip(axes.get_yticklabels(), entries, strict=True):
            if not entry.figures:
                tick.set_color(COLOUR['muted'])
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        axes.set(ylim=(len(entries) - 0.5, -0.5), xlim=(min(0.35, lowest - 0.02), 1.02))
        axes.set_xlabel('AUC: how often a member is told from a stranger (0.5 is guessing)')
        axes.grid(axis='x', linewidth=0.6)
        axes.legend(
            loc='lower center', bbox_to_anchor=(0.4, 1.0), ncols=2, fontsize=9.5, borderaxespad=0.3
        )
        return svg(figure, 'targets')


def _label(entry):
    name = entry.name
    if len(name) > _LONGEST:  # the end tells epochs apart, the beginning trainings
        name = f'{name[: _LONGEST // 2]}…{name[-(_LONGEST // 2 - 1) :]}'
    return (
        name if entry.figures else f'{name} ({entry.status if entry.status != "bug" else "failed"})'
    )
