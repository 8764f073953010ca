"""The figure of the batch page: every target's AUCs with their intervals, in the order of the table."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from fr_inference.report import wording
from fr_inference.report.svg import COLOUR, WIDTH, look, styled, svg

_LONGEST = 44  # letters of a name
_LEGEND = 56  # letters in a line
# Heights of a page, of the space around the attacks of an entry, and of an attack with its control.
_ROWS, _HEAD, _ATTACK = 34, 1.15, 1.1
_HOLLOW = 'hollow, just below: the same attack on a backbone that never saw them'


def targets(entries: Sequence[Any], labels: Mapping[str, str]) -> list[str]:
    """Draws a block for each `batch_page.Entry`, in figures that fit a printed page.

    Every attack has its own blind control just below it, hollow and in the same colour. An attack
    that is not counted is grey and crossed. An unfinished audit stays empty.

    Args:
      entries: in the order of the page.
      labels: key of a comparison -> its label, in the order in which they are drawn.
    """
    found = [one for entry in entries for one in entry.shown]
    blocks = [block for one in found for block in (one.figures, one.blind) if block is not None]
    left = min([0.35, *(block['auc_ci95'][0] - 0.02 for block in blocks)])
    return [
        _draw(some, labels, left, f'targets{number}') for number, some in enumerate(_pages(entries))
    ]


def _pages(entries):
    """Yields the entries page by page."""
    some: list[Any] = []
    for entry in entries:
        rows = sum(_HEAD + _ATTACK * len(one.shown) for one in (*some, entry))
        if some and rows > _ROWS:
            yield some
            some = []
        some.append(entry)
    yield some


def _draw(entries, labels, left, name):
    looks = {key: look(place) for place, key in enumerate(labels)}
    with styled():
        figure = Figure()
        axes = figure.subplots()

        def draw(row, block, tint, sign, name, *, hollow=False):
            low, high = block['auc_ci95']
            thick = 1.2 if hollow else 3
            axes.plot([low, high], [row, row], color=tint, alpha=0.55, zorder=1, linewidth=thick)
            point(block['auc'], row, tint, sign, name, hollow)

        def point(x, y, tint, sign, name, hollow):
            fill = COLOUR['paper'] if hollow else tint
            axes.plot(x, y, sign, color=tint, mfc=fill, label=name, markersize=6, mew=1.4)

        row, controlled = 0.0, False
        for entry in entries:
            if row:
                axes.axhline(row - 0.6, color=COLOUR['line'], linewidth=0.5)
            there = COLOUR['ink' if entry.comparisons else 'muted']
            # The names stand above the bars and use the width of the figure.
            axes.text(
                0,
                row,
                _label(entry),
                transform=axes.get_yaxis_transform(),
                va='center',
                fontweight='bold',
                color=there,
            ).set_in_layout(False)
            row += 0.8
            found = {one.key: one for one in entry.shown}
            for key in (key for key in labels if key in found):
                one = found[key]
                void = entry.void(one)
                tint, _, sign = look(0, counted=False) if void else looks[key]
                called = void or labels[key]
                draw(row, one.figures, tint, sign, called)
                if one.blind is not None:
                    sign = 'o' if void else sign
                    draw(row + 0.42, one.blind, tint, sign, '_', hollow=True)
                    controlled = True
                row += _ATTACK
            row += _HEAD - 0.8
        if controlled:
            point([], [], COLOUR['muted'], 'o', _HOLLOW, hollow=True)
        named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        # In the legend the attacks come first, then what hollow and grey mean.
        order = [name for name in labels.values() if name in named]
        order += [name for name in named if name not in order]
        said = [textwrap.fill(name, _LEGEND) for name in order]
        lines = sum(text.count('\n') + 1 for text in said)
        figure.set_size_inches(WIDTH, 0.8 + 0.2 * lines + 0.26 * row)
        axes.axvline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_yticks([])
        axes.spines['left'].set_visible(False)
        axes.set(ylim=(row - 0.6, -0.7), xlim=(left, 1.02))
        figure.supxlabel(wording.AUC_AXIS, fontsize=9.5)
        axes.grid(axis='x', linewidth=0.6)
        if order:
            handles = [named[name] for name in order]
            figure.legend(handles, said, loc='outside upper left', fontsize=9)
        alt = '; '.join(_in_words(entry, labels) for entry in entries)
        return svg(figure, name, f'AUC of each audit, 0.5 is guessing. {alt}.')


def _in_words(entry, labels):
    each = [
        f'{labels[one.key]} {wording.auc(one.figures)}'
        + (
            f', {void}'
            if (void := entry.void(one))
            else f', blind control {wording.auc(one.blind)}'
        )
        for one in entry.shown
        if one.key in labels
    ]
    return f'{_label(entry)}: {", ".join(each) or "no figure"}'


def _label(entry):
    name = entry.name
    if len(name) > _LONGEST:  # the end distinguishes epochs, the beginning trainings
        name = f'{name[: _LONGEST // 2]}…{name[-(_LONGEST // 2 - 1) :]}'
    if entry.comparisons or entry.status == 'done':
        return name
    return f'{name} ({entry.status if entry.status != "bug" else "failed"})'
