"""The batch page's figure: every target's AUCs with their intervals, in the order of the table."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from fr_inference.report import wording
from fr_inference.report.svg import COLOUR, look, styled, svg

_LONGEST = 34  # letters of a name
_CROWDED = 25  # rows from which on they are drawn closer


def targets(entries: Sequence[Any], labels: Mapping[str, str]) -> str:
    """Draws a row for each `batch_page.Entry`; one that is not done stays empty.

    Every attack has its blind control in grey just below it. One that is not counted is grey and
    crossed itself.

    Args:
      entries: in the order of the page.
      labels: key of a comparison -> its label, in the order in which they are drawn.
    """
    height = (0.5 if len(entries) < _CROWDED else 0.34) * max(1.0, 0.5 * len(labels))
    spread = 0.72 / max(1, len(labels))
    lowest = 0.5
    named: set[str] = set()
    with styled():
        figure = Figure(figsize=(9.4, 1.1 + height * len(entries)))
        axes = figure.subplots()

        def draw(row, block, tint, sign, name):
            nonlocal lowest
            low, high = block['auc_ci95']
            lowest = min(lowest, low)
            axes.plot([low, high], [row, row], color=tint, linewidth=3, alpha=0.55)
            label = '_' if name in named else name  # once in the legend
            named.add(name)
            axes.plot(block['auc'], row, sign, color=tint, markersize=6, label=label, mew=1.6)

        for place, key in enumerate(labels):
            offset = (place - (len(labels) - 1) / 2) * spread
            for row, entry in enumerate(entries):
                for one in entry.comparisons:
                    if one.key != key:
                        continue
                    tint, _, sign = look(place, counted=one.valid)
                    name = wording.not_counted(one, short=True) or labels[key]
                    at = row + offset - 0.16 * spread
                    draw(at, one.figures, tint, sign, name)
                    if one.blind is not None:
                        name = 'control: backbone that never saw them'
                        draw(at + 0.32 * spread, one.blind, COLOUR['muted'], '.', name)
        for row in range(1, len(entries)):
            axes.axhline(row - 0.5, color=COLOUR['line'], linewidth=0.5)
        axes.axvline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_yticks(range(len(entries)), [_label(entry) for entry in entries])
        for tick, entry in zip(axes.get_yticklabels(), entries, strict=True):
            if not entry.comparisons:
                tick.set_color(COLOUR['muted'])
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        axes.set(ylim=(len(entries) - 0.5, -0.5), xlim=(min(0.35, lowest - 0.02), 1.02))
        axes.set_xlabel(wording.AUC_AXIS)
        axes.grid(axis='x', linewidth=0.6)
        if named:
            # The attacks first; what is grey explains them.
            handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
            order = [name for name in labels.values() if name in handles]
            order += [name for name in handles if name not in order]
            axes.legend(
                [handles[name] for name in order],
                order,
                loc='lower center',
                bbox_to_anchor=(0.4, 1.0),
                ncols=2,
                fontsize=9.5,
                borderaxespad=0.3,
            )
        return svg(figure, 'targets')


def _label(entry):
    name = entry.name
    if len(name) > _LONGEST:  # the end tells epochs apart, the beginning trainings
        name = f'{name[: _LONGEST // 2]}…{name[-(_LONGEST // 2 - 1) :]}'
    if entry.comparisons or entry.status == 'done':
        return name
    return f'{name} ({entry.status if entry.status != "bug" else "failed"})'
