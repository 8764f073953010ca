"""The figure of a study of defences: leak against verification, with intervals on both axes."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from fr_inference.report.svg import COLOUR, WIDTH, styled, svg
from fr_inference.report.what_helps import first

_TITLES = {
    'file': 'An attacker with the file',
    'answers': 'An attacker with embeddings',
}
_KNOWS = {'partial': '', 'auxiliary': ', knowing no member'}
_PANEL = 2.9  # inches
_NEAR = (0.06, 0.08)  # share of an axis within which the labels of two points would overlap


def leak_and_utility(rows: Sequence[Mapping[str, Any]], numbers: Mapping[str, int]) -> str:
    """Draws a panel for each access, and for attackers who know no member if there were any.

    Args:
      rows: `rows` of study.json, the undefended backbone first.
      numbers: label of a defence -> its number in the table.
    """
    panels = [
        (access, setting)
        for access in ('file', 'answers')
        for setting in _KNOWS
        if _points(rows, access, setting)
    ]
    if not panels:
        return ''
    with styled():
        figure = Figure(figsize=(WIDTH, 0.4 + _PANEL * len(panels)))
        several = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (access, setting) in zip(several, panels, strict=True):
            _draw(axes, _points(rows, access, setting), numbers)
            axes.set_title(f'{_TITLES[access]}{_KNOWS[setting]}', loc='left', fontweight='bold')
            axes.set_ylabel('leak (excess of the AUC)')
        several[-1].set_xlabel('verification of strangers, % right')
        said = '; '.join(
            f'{_TITLES[access]}{_KNOWS[setting]}: '
            + ', '.join(_in_words(*point) for point in _points(rows, access, setting))
            for access, setting in panels
        )
        alt = f'Excess of the AUC (leak) and verification of strangers. {said}.'
        return svg(figure, 'leak_and_utility', alt)


def _in_words(row, cell):
    void = '' if cell['valid'] else ', not counted'
    who = f'{row["label"]}, {row["attacker"]} attacker'
    right = 100 * row['verification']['accuracy']
    return f'{who} {cell["excess"]["auc"]:+.3f} at {right:.1f} %{void}'


def _points(rows, access, setting):
    """[(row, cell)] of the rows that have a figure on both axes."""
    found = []
    for row in rows:
        if row['status'] != 'done' or not row.get('verification'):
            continue
        alike = [cell for cell in row['cells'] if cell['setting'] == setting]
        cell = first(alike, access)
        if cell is not None and cell['excess']:
            found.append((row, cell))
    return found


def _draw(axes, points, numbers):
    labels: list[tuple[float, float, str, list[str]]] = []
    for row, cell in points:
        base = row['label'] not in numbers
        tint = COLOUR['ink' if base else 'member' if cell['valid'] else 'muted']
        right, excess = row['verification'], cell['excess']
        x, y = 100 * right['accuracy'], excess['auc']
        low, high = (100 * end for end in right['accuracy_ci95'])
        axes.plot([low, high], [y, y], color=tint, alpha=0.35, linewidth=1.5, zorder=1)
        axes.plot([x, x], excess['auc_ci95'], color=tint, alpha=0.35, linewidth=1.5, zorder=1)
        hollow = row['attacker'] == 'plain' and not base
        sign = 'D' if base else 'o' if cell['valid'] else 'x'
        fill = COLOUR['paper'] if hollow else tint
        axes.plot(x, y, sign, color=tint, mfc=fill, markersize=8 if base else 6, mew=1.4, zorder=3)
        if base:
            axes.axhline(y, color=tint, linestyle=':', linewidth=1, zorder=0)
            axes.annotate(
                'undefended',
                (1, y),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, 2),
                textcoords='offset points',
                ha='right',
                fontsize=9,
            )
        else:
            labels.append((x, y, tint, [str(numbers[row['label']])]))
    axes.axhline(0, color=COLOUR['line'], linewidth=1, zorder=0)
    axes.grid(linewidth=0.5)
    axes.margins(0.08, 0.12)
    for x, y, tint, names in _together(labels, *axes.get_xlim(), *axes.get_ylim()):
        text = ', '.join(dict.fromkeys(names))
        offset = {'xytext': (5, 4), 'textcoords': 'offset points', 'zorder': 4}
        axes.annotate(text, (x, y), color=tint, fontsize=9, **offset)


def _together(labels, left, right, bottom, top):
    """Joins the numbers of points that lie so close that their labels would overlap."""
    found: list[tuple[float, float, str, list[str]]] = []
    for x, y, tint, names in sorted(labels):
        for other in found:
            near = abs(x - other[0]) < _NEAR[0] * (right - left)
            if near and abs(y - other[1]) < _NEAR[1] * (top - bottom):
                other[3].extend(names)
                break
        else:
            found.append((x, y, tint, list(names)))
    return [(*one[:3], sorted(one[3], key=int)) for one in found]
