"""The report's figures of membership inference."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fr_inference.membership.comparison import Comparison
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored
from fr_inference.report import wording
from fr_inference.report.svg import COLOUR, look, styled, svg

_BAND_REPLICATES = 200
_NOTE_LETTERS = 110  # in a line of the figure


def overview(found: Sequence[Comparison]) -> str:
    """Draws the AUC of every attack with its interval, its controls below it, on one axis.

    An attack that is not counted is grey and crossed, and the reason stands below it.
    """
    ticks: list[tuple[float, str, str]] = []  # place, label, colour
    bottom = lowest = 0.5
    with styled():
        figure = Figure()
        axes = figure.subplots()
        row = 0.0
        for place, one in enumerate(found):
            colour, _, marker = look(place, counted=one.valid)
            points: list[tuple[Mapping[str, Any] | None, str, str, str]] = [
                (one.figures, f'{one.title}\n{wording.details(one)}', colour, marker),
                (one.blind, 'blind control', COLOUR['muted'], 'o'),
                (one.null, 'null control', COLOUR['muted'], 'o'),
                (one.pictures, 'pictures alone', COLOUR['muted'], 'o'),
            ]
            for block, label, tint, sign in points:
                if block is None:
                    continue
                low, high = block['auc_ci95']
                lowest = min(lowest, low)
                axes.plot([low, high], [row, row], color=tint, linewidth=3, alpha=0.55)
                axes.plot(block['auc'], row, sign, color=tint, markersize=7, markeredgewidth=2)
                grey = tint == COLOUR['muted']
                ticks.append((row, label, COLOUR['muted' if grey else 'ink']))
                row += 1.35 if block is one.figures else 1
            for line in _lines(wording.not_counted(one)):
                # It ends where the axis does and may be longer.
                axes.text(
                    *(1, row - 0.2, line),
                    transform=axes.get_yaxis_transform(),
                    fontsize=9.5,
                    ha='right',
                    va='center',
                    color=COLOUR['muted'],
                    bbox={'facecolor': COLOUR['paper'], 'linewidth': 0, 'pad': 1},
                )
                row += 0.7
            bottom = row - 0.5
            if place + 1 < len(found):
                axes.axhline(bottom, color=COLOUR['line'], linewidth=0.5)
            row += 0.35
        figure.set_size_inches(7.6, 0.6 + 0.33 * row)
        axes.axvline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_yticks([place for place, _, _ in ticks], [label for _, label, _ in ticks])
        for tick, (_, _, colour) in zip(axes.get_yticklabels(), ticks, strict=True):
            tick.set_color(colour)
            tick.set_fontsize(10)
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        axes.set(ylim=(bottom, -0.8), xlim=(min(0.35, lowest - 0.02), 1.02))
        axes.set_xlabel(wording.AUC_AXIS)
        axes.grid(axis='x', linewidth=0.6)
        return svg(figure, 'overview')


def _lines(text):
    """Returns lines of about one length that are short enough for the figure."""
    count = -(-len(text) // _NOTE_LETTERS)
    return textwrap.wrap(text, len(text) // max(1, count) + 12)


def roc(found: Sequence[Comparison], seed: int) -> str:
    """Draws the ROC curves with their 95 % bands on log axes, and the controls of the first attack.

    A curve begins where one false positive is expected: left of it there is nothing to see.

    Args:
      found: those without logits are left out.
      seed: of the bands.
    """
    curves = [
        (
            f'{wording.label(one)}\n{wording.not_counted(one, short=True)}'.strip(),
            one.scored,
            *look(place, counted=one.valid)[:2],
        )
        for place, one in enumerate(found)
        if one.scored is not None
    ]
    controls = (
        ('blind control of the first', found[0].blind_scored, '--'),
        ('null control of the first', found[0].null_scored, ':'),
    )
    curves += [
        (label, scored, COLOUR['muted'], line)
        for label, scored, line in controls
        if scored is not None
    ]
    with styled():
        figure = Figure(figsize=(7.6, 5))
        axes = figure.subplots()
        left = 0.3
        for label, scored, tint, line in curves:
            first = 1 / (~scored.member).sum()
            left = min(left, first)
            rates = np.geomspace(first, 1, 120)
            value, ends = intervals.band(scored, rates, seed=seed, replicates=_BAND_REPLICATES)
            axes.plot(rates, value, line, color=tint, label=label, linewidth=2)
            axes.fill_between(rates, *ends, color=tint, alpha=0.14, linewidth=0)
        rates = np.geomspace(left, 1, 50)
        axes.plot(rates, rates, color=COLOUR['ink'], linewidth=0.8, label='guessing')
        axes.set(xscale='log', yscale='log', xlim=(left, 1), ylim=(left, 1.1))
        axes.set(xlabel='false alarms: share of strangers taken for members')
        axes.set(ylabel='share of members found')
        ticks = [tick for tick in (0.0001, 0.001, 0.01, 0.1, 1) if tick >= 0.9 * left]
        labels = [f'{100 * tick:g} %' for tick in ticks]
        axes.set_xticks(ticks, labels)
        axes.set_yticks(ticks, labels)
        axes.minorticks_off()
        axes.grid(linewidth=0.6)
        axes.legend(loc='upper center', bbox_to_anchor=(0.46, -0.13), ncols=2, fontsize=9)
        return svg(figure, 'roc')


def scores(scored: Scored) -> str:
    """Draws an attack's logits of members and strangers in the evaluated half."""
    with styled():
        figure = Figure(figsize=(7.6, 2.8))
        axes = figure.subplots()
        _two_histograms(axes, scored.scores, scored.member)
        axes.axvline(0, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_xlabel('membership logit: right of 0 the attack says "member"')
        axes.legend(loc='upper left', fontsize=9.5)
        return svg(figure, 'scores')


def distances(values: np.ndarray, member: np.ndarray, layers: Sequence[Mapping[str, Any]]) -> str:
    """Draws the distances of the three layers that tell most.

    Args:
      values: [N, L] distances of the evaluated half.
      member: [N] bool.
      layers: name and auc of each of the L layers.
    """
    order = sorted(range(len(layers)), key=lambda layer: -layers[layer]['auc'])[:3]
    with styled():
        figure = Figure(figsize=(7.6, 2.6))
        panels = figure.subplots(1, len(order), squeeze=False)[0]
        logs = np.log10(values + 1e-12)  # what the attack takes, in powers of ten
        for axes, layer in zip(panels, sorted(order), strict=True):
            _two_histograms(axes, logs[:, layer], member)
            axes.set_title(layers[layer]['name'], fontsize=9)
            axes.set_xlabel(f'log10 distance (AUC {layers[layer]["auc"]:.2f})', fontsize=9)
            axes.tick_params(labelsize=9)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8.5, loc='upper center', ncols=2)
        figure.tight_layout(rect=(0, 0, 1, 0.93))
        return svg(figure, 'distances')


def layers(found: Sequence[Mapping[str, Any]]) -> str:
    """Draws the AUC of each layer alone, in the order of the computation."""
    with styled():
        figure = Figure(figsize=(7.6, 3))
        axes = figure.subplots()
        values = np.array([layer['auc'] for layer in found])
        ends = np.array([layer['auc_ci95'] for layer in found])
        rows = np.arange(1, len(found) + 1)
        axes.vlines(rows, *ends.T, color=COLOUR['member'], alpha=0.4, linewidth=3)
        axes.plot(rows, values, 'o', color=COLOUR['member'], markersize=4)
        axes.axhline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set(xlabel='BatchNorm layer, from the image (left) to the embedding (right)')
        axes.set(ylabel='AUC of this layer alone')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis='y', linewidth=0.6)
        return svg(figure, 'layers')


def _two_histograms(axes: Axes, values: np.ndarray, member: np.ndarray) -> None:
    low, high = np.quantile(values, [0.002, 0.998])
    bins = np.linspace(low, high if high > low else low + 1, 36).tolist()
    inside = np.clip(values, low, high)
    sides = ((member, 'members', 'member'), (~member, 'strangers', 'stranger'))
    for side, label, colour in sides:
        tint = COLOUR[colour]
        axes.hist(inside[side], bins, density=True, color=tint, alpha=0.3, linewidth=0)
        axes.hist(inside[side], bins, density=True, histtype='step', color=tint, label=label)
    axes.set_yticks([])
    axes.spines['left'].set_visible(False)
