"""The report's figures of membership inference."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from fr_inference.membership.comparison import Comparison
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored
from fr_inference.report import wording
from fr_inference.report.svg import COLOUR, WIDTH, look, styled, svg

_BAND_REPLICATES = 200
_LETTERS, _BOLD = 60, 50  # characters in a line of a figure


def overview(found: Sequence[Comparison]) -> str:
    """Draws the AUC of every attack with its interval, and its controls below it, on one axis.

    An attack that is not counted is grey and crossed, with the reason below it.
    """
    ticks: list[tuple[float, str]] = []
    lowest = 0.5
    with styled():
        figure = Figure()
        axes = figure.subplots()

        from_edge = blended_transform_factory(figure.transFigure, axes.transData)

        def write(row, text, **more):
            """Writes a line over the whole width of the figure; the grid does not run through it."""
            paper = {'facecolor': COLOUR['paper'], 'linewidth': 0, 'pad': 1.5}
            text = axes.text(0.015, row, text, transform=from_edge, va='center', bbox=paper, **more)
            text.set_in_layout(False)

        row = 0.0
        for place, one in enumerate(found):
            if place:
                axes.axhline(row - 0.65, color=COLOUR['line'], linewidth=0.5)
            colour, _, marker = look(place, counted=one.valid)
            for line in textwrap.wrap(wording.label(one), _BOLD):
                write(row, line, fontweight='bold', color=COLOUR['ink' if one.valid else 'muted'])
                row += 0.8
            points: list[tuple[Mapping[str, Any] | None, str, str, str]] = [
                (one.figures, 'attack', colour, marker),
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
                ticks.append((row, label))
                row += 0.9
            for line in textwrap.wrap(wording.not_counted(one), _LETTERS):
                write(row, line, fontsize=9, color=COLOUR['muted'])
                row += 0.7
            row += 0.5
        bottom = row - 0.65
        figure.set_size_inches(WIDTH, 0.7 + 0.27 * row)
        axes.axvline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        axes.set(ylim=(bottom, -0.7), xlim=(min(0.35, lowest - 0.02), 1.02))
        figure.supxlabel(wording.AUC_AXIS, fontsize=9.5)
        axes.grid(axis='x', linewidth=0.6)
        said = '; '.join(map(_beside_controls, found))
        return svg(figure, 'overview', f'AUC of each attack, 0.5 is guessing. {said}.')


def _beside_controls(one):
    blocks = (
        ('', one.figures),
        ('blind control ', one.blind),
        ('null control ', one.null),
        ('pictures alone ', one.pictures),
    )
    said = ', '.join(f'{name}{wording.auc(block)}' for name, block in blocks if block is not None)
    return ', '.join([f'{wording.label(one)}: {said}', *_void(one)])


def roc(found: Sequence[Comparison], seed: int) -> str:
    """Draws the ROC curves with their 95 % bands on log axes, and the controls of the first attack.

    A curve begins where one false positive is expected; further left there is nothing to resolve.

    Args:
      found: the attacks; those without logits are left out.
      seed: the seed of the bands.
    """
    curves = [
        (
            '\n'.join(textwrap.wrap(wording.label(one), _LETTERS) + _void(one)),
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
        lines = 1 + sum(label.count('\n') + 1 for label, *_ in curves)
        figure = Figure(figsize=(WIDTH, 3.4 + 0.17 * lines))
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
        axes.set(xlabel='false-positive rate: share of strangers taken for members')
        axes.set(ylabel='share of members found')
        ticks = [tick for tick in (0.0001, 0.001, 0.01, 0.1, 1) if tick >= 0.9 * left]
        labels = [f'{100 * tick:g} %' for tick in ticks]
        axes.set_xticks(ticks, labels)
        axes.set_yticks(ticks, labels)
        axes.minorticks_off()
        axes.grid(linewidth=0.6)
        figure.legend(loc='outside lower left', fontsize=9)
        said = '; '.join(_found_at_rates(one) for one in found if one.scored is not None)
        alt = f'Share of members found against the share of strangers taken for members. {said}.'
        return svg(figure, 'roc', alt)


def _found_at_rates(one):
    rates = [
        f'{100 * share:.1f} % found at {100 * float(rate):g} %'
        for rate, share in one.figures['tpr_at_fpr'].items()
        if share is not None
    ]
    return ', '.join([f'{wording.label(one)}: {", ".join(rates)}', *_void(one)])


def _void(one):
    return [] if one.valid else [wording.not_counted(one, short=True)]


def scores(scored: Scored) -> str:
    """Draws an attack's logits of members and strangers in the evaluated half."""
    with styled():
        figure = Figure(figsize=(WIDTH, 2.9))
        axes = figure.subplots()
        _two_histograms(axes, scored.scores, scored.member)
        axes.axvline(0, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set_xlabel('membership logit: right of 0 the attack says "member"')
        figure.legend(loc='outside upper right', ncols=2, fontsize=9)
        sides = (('members', scored.member), ('strangers', ~scored.member))
        said = ', '.join(
            f'{side.sum():,} {name} with a median of {np.median(scored.scores[side]):.2f}'
            for name, side in sides
        )
        return svg(figure, 'scores', f'Histograms of the membership logit: {said}.')


def distances(values: np.ndarray, member: np.ndarray, layers: Sequence[Mapping[str, Any]]) -> str:
    """Draws the distances in the three most informative layers.

    Args:
      values: [N, L] distances of the evaluated half.
      member: [N] bool.
      layers: name and auc of each of the L layers.
    """
    order = sorted(range(len(layers)), key=lambda layer: -layers[layer]['auc'])[:3]
    with styled():
        figure = Figure(figsize=(WIDTH, 0.4 + 1.5 * len(order)))
        panels = figure.subplots(len(order), 1, squeeze=False)[:, 0]
        logs = np.log10(values + 1e-12)  # the attack's features, in powers of ten
        for axes, layer in zip(panels, sorted(order), strict=True):
            _two_histograms(axes, logs[:, layer], member)
            name = textwrap.shorten(layers[layer]['name'], _LETTERS - 18, placeholder='…')
            axes.set_title(f'{name} (AUC {layers[layer]["auc"]:.2f})', loc='left')
            axes.tick_params(labelsize=9)
        panels[-1].set_xlabel('distance, in powers of ten')
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=9, loc='outside upper right', ncols=2)
        said = ', '.join(
            f'{layers[layer]["name"]} (AUC {layers[layer]["auc"]:.2f})' for layer in sorted(order)
        )
        alt = f'Histograms of the distances of members and strangers in the layers {said}.'
        return svg(figure, 'distances', alt)


def layers(found: Sequence[Mapping[str, Any]]) -> str:
    """Draws the AUC of each layer alone, from input to output."""
    with styled():
        figure = Figure(figsize=(WIDTH, 3))
        axes = figure.subplots()
        values = np.array([layer['auc'] for layer in found])
        ends = np.array([layer['auc_ci95'] for layer in found])
        rows = np.arange(1, len(found) + 1)
        axes.vlines(rows, *ends.T, color=COLOUR['member'], alpha=0.4, linewidth=3)
        axes.plot(rows, values, 'o', color=COLOUR['member'], markersize=4)
        axes.axhline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        axes.set(xlabel='BatchNorm layer, from the image to the embedding')
        axes.set(ylabel='AUC of this layer alone')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis='y', linewidth=0.6)
        best = found[int(values.argmax())]
        alt = (
            f'AUC of each of {len(found)} layers alone, from {values.min():.2f} to {values.max():.2f}; '
            f'the highest is that of {best["name"]}; 0.5 is guessing.'
        )
        return svg(figure, 'layers', alt)


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
