"""The report's figures, as SVG that takes its colours from the page and so follows light and dark."""

import contextlib
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fr_inference.membership.logistic import log_distances
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored

# Colours that stand for variables of the page's style sheet.
_VARIABLES = {
    '#000001': '--ink',
    '#000002': '--line',
    '#000003': '--member',
    '#000004': '--stranger',
    '#000005': '--people',
    '#000006': '--auxiliary',
    '#000007': '--muted',
    '#000008': '--paper',
}
COLOUR = {name.strip('-'): placeholder for placeholder, name in _VARIABLES.items()}
STYLE: Any = {
    'svg.fonttype': 'none',
    'font.family': 'sans-serif',
    'font.size': 11,
    'text.color': COLOUR['ink'],
    'axes.edgecolor': COLOUR['line'],
    'axes.labelcolor': COLOUR['ink'],
    'axes.facecolor': 'none',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'xtick.color': COLOUR['line'],
    'ytick.color': COLOUR['line'],
    'xtick.labelcolor': COLOUR['ink'],
    'ytick.labelcolor': COLOUR['ink'],
    'grid.color': COLOUR['line'],
    'legend.frameon': False,
    'figure.facecolor': 'none',
}
_BAND_REPLICATES = 200
# Matplotlib's settings are the whole process's: one thread draws at a time.
_DRAWING = threading.RLock()
# Attack -> (label, colour, line style) in the ROC and the overview.
_CURVES = {
    'partial': ('images, some members known', 'member', '-'),
    'auxiliary': ('images, no member known', 'auxiliary', '-'),
    'identity_level': ('people with several images', 'people', '-'),
    'blind': ('control: backbone that never saw them', 'muted', '--'),
    'null': ('control: nothing to find', 'muted', ':'),
    'identity_blind': ('control on people: never saw them', 'muted', '--'),
    'identity_null': ('control on people: nothing to find', 'muted', ':'),
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draws everything inside in the report's style, one thread at a time."""
    with _DRAWING, matplotlib.rc_context(STYLE):
        yield


def overview(blocks: Sequence[tuple[str, Mapping[str, Any], bool]]) -> str:
    """Draws every AUC with its interval on one axis.

    Args:
      blocks: (label, figures R, whether it is a control), from top to bottom.
    """
    with styled():
        figure = Figure(figsize=(7.6, 0.5 + 0.36 * len(blocks)))
        axes = figure.subplots()
        for row, (_, block, control) in enumerate(blocks):
            low, high = block['auc_ci95']
            colour = COLOUR['muted' if control else 'member']
            axes.plot([low, high], [row, row], color=colour, linewidth=3, alpha=0.55)
            axes.plot(block['auc'], row, 'o', color=colour, markersize=7)
        axes.axvline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_yticks(range(len(blocks)), [label for label, _, _ in blocks])
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        lowest = min(block['auc_ci95'][0] for _, block, _ in blocks)
        axes.set(ylim=(len(blocks) - 0.5, -0.5), xlim=(min(0.35, lowest - 0.02), 1.02))
        axes.set_xlabel('AUC: how often a member is told from a stranger (0.5 is guessing)')
        axes.grid(axis='x', linewidth=0.6)
        return svg(figure, 'overview')


def roc(evaluated: Mapping[str, Scored], seed: int) -> str:
    """Draws the ROC curves with their 95 % bands on log axes.

    A curve begins where one false positive is expected: left of it there is nothing to see.
    """
    with styled():
        figure = Figure(figsize=(7.6, 5))
        axes = figure.subplots()
        left = 0.3
        for name, (label, colour, style) in _CURVES.items():
            # Controls on people are drawn where there is no attack on images beside them.
            crowded = name in ('identity_blind', 'identity_null') and 'partial' in evaluated
            if name not in evaluated or crowded:
                continue
            scored = evaluated[name]
            first = 1 / (~scored.member).sum()
            left = min(left, first)
            rates = np.geomspace(first, 1, 120)
            value, ends = intervals.band(scored, rates, seed=seed, replicates=_BAND_REPLICATES)
            tint = COLOUR[colour]
            axes.plot(rates, value, style, color=tint, label=label, linewidth=2)
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
        axes.legend(loc='lower right', fontsize=9.5)
        return svg(figure, 'roc')


def logits(scored: Scored) -> str:
    """Draws the membership logits of members and strangers in the evaluated half."""
    with styled():
        figure = Figure(figsize=(7.6, 2.8))
        axes = figure.subplots()
        _two_histograms(axes, scored.scores, scored.member)
        axes.axvline(0, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_xlabel('membership logit: right of 0 the attack says "member"')
        axes.legend(loc='upper left', fontsize=9.5)
        return svg(figure, 'logits')


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
        scores = np.asarray(log_distances(values)) / np.log(10)
        for axes, layer in zip(panels, sorted(order), strict=True):
            _two_histograms(axes, scores[:, layer], member)
            axes.set_title(layers[layer]['name'], fontsize=9)
            axes.set_xlabel(f'log10 distance (AUC {layers[layer]["auc"]:.2f})', fontsize=9)
            axes.tick_params(labelsize=9)
        panels[0].legend(loc='upper left', fontsize=8.5)
        figure.tight_layout()
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


def svg(figure: Figure, salt: str) -> str:
    """Returns the figure as an SVG element for the page, coloured by its variables."""
    buffer = io.StringIO()
    with _DRAWING, matplotlib.rc_context({'svg.hashsalt': salt}):
        figure.savefig(buffer, format='svg', metadata={'Date': None}, bbox_inches='tight')
    text = buffer.getvalue()
    text = text[text.index('<svg') :]
    for placeholder, variable in _VARIABLES.items():
        text = text.replace(placeholder, f'var({variable})')
    # Parts of several figures must not share names on one page.
    return (
        text.replace('id="', f'id="{salt}-')
        .replace('href="#', f'href="#{salt}-')
        .replace('url(#', f'url(#{salt}-')
    )
