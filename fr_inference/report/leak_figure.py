"""The figure of a training: the leak by epoch, and below it the accuracy on held-out people."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fr_inference.report.svg import COLOUR, WIDTH, alone, styled


def draw(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns an SVG file's text.

    Args:
      rows: `rows` of leak.json, one or more.
    """
    known = [row for row in rows if row['verification'] is not None]
    with styled():
        figure = Figure(figsize=(WIDTH, 4.6 if known else 2.9))
        axes = figure.subplots(
            1 + bool(known), sharex=True, squeeze=False, height_ratios=[3, 2][: 1 + bool(known)]
        )[:, 0]
        ends = [row['auc_ci95'] for row in rows]
        _line(axes[0], rows, [row['auc'] for row in rows], ends, 'member')
        axes[0].axhline(0.5, color=COLOUR['line'], linewidth=1, zorder=0)
        axes[0].set_ylabel(f'AUC ({rows[-1]["attack"]})')
        axes[0].set_title('Members against people never trained on', loc='left')
        if known:
            right = [100 * row['verification']['accuracy'] for row in known]
            ends = [[100 * end for end in row['verification']['accuracy_ci95']] for row in known]
            _line(axes[1], known, right, ends, 'auxiliary')
            axes[1].set_ylabel('% right')
            axes[1].set_title('Verification of people never trained on', loc='left')
        axes[-1].set_xlabel('epochs')
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        return alone(figure, 'leak')


def _line(axes, rows, values, ends, tint):
    low, high = zip(*ends, strict=True)
    epochs = [row['epoch'] for row in rows]
    axes.vlines(epochs, low, high, color=COLOUR[tint], alpha=0.4, linewidth=2)
    axes.plot(epochs, values, 'o-', color=COLOUR[tint], markersize=4)
    axes.grid(linewidth=0.5)
