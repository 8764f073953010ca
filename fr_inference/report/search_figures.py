"""The report's figures of model inversion."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fr_inference.inversion.outcome import Outcome
from fr_inference.report.svg import COLOUR, WIDTH, styled, svg
from fr_inference.report.wording import SEARCH_CONTROLS, searches

_SHARES = (
    ('hit_rate', 'matches a member'),
    ('nearest_is_member', 'nearest is a member'),
    ('top1', 'Top-1'),
    ('top5', 'Top-5'),
)
_LETTERS = 22  # characters in a line of a control's name
_SIDES = ('left', 'center', 'right')


def success(search: Outcome) -> str:
    """Draws hit rate, top-1 and top-5 of the search beside those of its controls."""
    rows = searches(search, SEARCH_CONTROLS)
    with styled():
        figure = Figure(figsize=(WIDTH, 1.2 + 0.76 * len(rows)))
        panels = figure.subplots(2, 2, sharex=True, sharey=True)
        for axes, (name, title) in zip(panels.flat, _SHARES, strict=True):
            for row, (_, found) in enumerate(rows):
                if name not in found:
                    continue
                tint = COLOUR['muted' if row else 'member']
                if f'{name}_ci95' in found:
                    ends = found[f'{name}_ci95']
                    axes.plot(ends, [row, row], color=tint, linewidth=3, alpha=0.55)
                axes.plot(found[name], row, 'o', color=tint, markersize=7, clip_on=False)
            axes.set_title(title, loc='left')
            axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(-0.03, 1.03))
            axes.tick_params(axis='y', length=0, labelsize=9)
            axes.spines['left'].set_visible(False)
            axes.grid(axis='x', linewidth=0.6)
        for axes in panels[-1]:
            axes.set_xticks([0, 0.5, 1], ['0 %', '50', '100'])
            # Otherwise the last label of one panel would touch the first label of the next.
            for label, side in zip(axes.get_xticklabels(), _SIDES, strict=True):
                label.set_horizontalalignment(side)
        names = [textwrap.fill(label, _LETTERS) for label, _ in rows]
        panels[0, 0].set_yticks(range(len(rows)), names)
        said = '; '.join(
            f'{label}: '
            + ', '.join(f'{title} {100 * of[name]:.0f} %' for name, title in _SHARES if name in of)
            for label, of in rows
        )
        return svg(figure, 'success', f'Shares of the reconstructions. {said}.')


def sweep(found: Sequence[Mapping[str, Any]], search: Outcome) -> str:
    """Draws success and quality against the strength of the guidance.

    Args:
      found: the figures at each strength.
      search: the search whose strongest control is drawn for comparison.
    """
    assert search.excess is not None, 'a search has a hit rate'
    strengths = np.array([one['strength'] for one in found])
    places = np.arange(len(found))
    with styled():
        figure = Figure(figsize=(WIDTH, 3))
        left, right = figure.subplots(1, 2)
        ends = np.array([one['hit_rate_ci95'] for one in found])
        left.vlines(places, *ends.T, color=COLOUR['member'], alpha=0.4, linewidth=3)
        left.plot(places, [one['hit_rate'] for one in found], 'o-', color=COLOUR['member'])
        highest = search.controls[search.excess['over']]['hit_rate']
        left.axhline(highest, color=COLOUR['muted'], linestyle='--', label='strongest control')
        left.set(ylabel='matches a member', ylim=(-0.02, 1.02))
        figure.legend(loc='outside upper left', fontsize=9)
        quality = [(one['realism'] or {}).get('frechet_distance', np.nan) for one in found]
        right.plot(places, quality, 's-', color=COLOUR['people'])
        right.set(ylabel='Fréchet distance to members')
        right.margins(y=0.15)
        right.set_ylim(bottom=0)
        for axes in (left, right):
            axes.set_xticks(places, [f'{strength:g}' for strength in strengths])
            axes.set_xlabel('strength of the guidance')
            axes.grid(linewidth=0.6)
        said = '; '.join(
            f'{strength:g}: {100 * one["hit_rate"]:.0f} %, Fréchet distance {distance:.3g}'
            for strength, one, distance in zip(strengths, found, quality, strict=True)
        )
        alt = (
            'Share of the reconstructions that match a member, and their quality, by the strength of '
            f'the guidance. {said}. Strongest control: {100 * highest:.0f} %.'
        )
        return svg(figure, 'sweep', alt)


def curves(found: Mapping[str, np.ndarray], level: float | None) -> str:
    """Draws the mean objective and the mean membership logit of the candidates, step by step.

    Args:
      found: search -> [steps, 2].
      level: the members' median logit; None without an attack, so that no logit is drawn.
    """
    names = ('objective', 'membership logit')[: 1 if level is None else 2]
    with styled():
        figure = Figure(figsize=(WIDTH, 3))
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        styles = {'search': ('the search', 'member', '-')}
        for name, values in found.items():
            if not len(values):
                continue
            label, colour, line = styles.get(name, (SEARCH_CONTROLS.get(name, name), 'muted', '--'))
            for column, axes in enumerate(panels):
                steps = np.arange(1, len(values) + 1)
                axes.plot(steps, values[:, column], line, color=COLOUR[colour], label=label)
        if level is not None:
            panels[1].axhline(level, color=COLOUR['ink'], linestyle=':', label="members' median")
        for axes, label in zip(panels, names, strict=True):
            axes.set(xlabel='step', ylabel=f'mean {label}')
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(linewidth=0.6)
        lines, labels = panels[-1].get_legend_handles_labels()
        figure.legend(lines, labels, fontsize=9, loc='outside lower left')
        said = '; '.join(
            f'{SEARCH_CONTROLS.get(name, name)}: '
            + ', '.join(
                f'{label} from {values[0, column]:.3g} to {values[-1, column]:.3g}'
                for column, label in enumerate(names)
            )
            for name, values in found.items()
            if len(values)
        )
        return svg(figure, 'curves', f'Means over the candidates, step by step. {said}.')
