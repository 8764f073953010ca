"""The report's first picture: who learns what, by what an attacker sees and knows."""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from fr_inference.report import wording
from fr_inference.report.svg import COLOUR, WIDTH, styled, svg
from fr_inference.report.who_learns import COLUMNS, Cell

_HEADS = {
    ('answers', False): 'only receives\nembeddings',
    ('answers', True): 'embeddings\nand reference',
    ('file', False): 'holds\nthe file',
    ('file', True): 'file and\nreference',
}
_LETTERS = 15  # characters in a line of a cell
_LINE = 0.15  # inches
_BOX = 'round,pad=0,rounding_size=0.05'
_AXIS = (0.3, 1.0)  # the range of AUC across a cell


def matrix(rows: Sequence[Sequence[Cell]]) -> str:
    """Draws a cell for each access (columns) and knowledge (rows).

    A cell holds the AUC with its interval, the result in a word, and below it the attack and its
    two controls on one axis, whose dotted line is guessing. The last line is about the attack on
    several photographs of a person. Words and positions say everything, so that it can be read
    without colours.

    Args:
      rows: by `who_learns.cells`.
    """
    heights = [_height(row) for row in rows]
    head, foot = 0.42, 0.3
    total = head + foot + sum(heights)
    with styled():
        figure = Figure(figsize=(WIDTH, total))
        figure.set_layout_engine('none')
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(total, 0))
        axes.axis('off')
        wide = WIDTH / len(COLUMNS)
        for place, column in enumerate(COLUMNS):
            middle = (place + 0.5) * wide
            axes.text(middle, 0.19, _HEADS[column], ha='center', va='center', fontweight='bold')
        top = head
        for row, high in zip(rows, heights, strict=True):
            axes.text(
                0.03,
                top + 0.13,
                f'knows {wording.knows(row[0].setting)}',
                va='center',
                color=COLOUR['muted'],
            )
            for place, cell in enumerate(row):
                _draw(axes, cell, place * wide + 0.03, top + 0.25, wide - 0.06, high - 0.31)
            top += high
        axes.text(
            WIDTH / 2,
            total - 0.13,
            'bars: attack, blind control, null control; dotted: guessing',
            ha='center',
            va='center',
            fontsize=9,
            color=COLOUR['muted'],
        )
        said = '; '.join(_in_words(cell) for row in rows for cell in row)
        return svg(figure, 'who_learns', f'Who learns what; 0.5 is guessing. {said}.')


def _in_words(cell):
    """The text of a cell for people who cannot see it."""
    one = cell.comparison
    who = f'{wording.somebody(cell.access, cell.references)}, {wording.knowing(cell.setting)}'
    said = cell.missing
    if one is not None:
        controls = (('blind control', one.blind), ('null control', one.null))
        said = ', '.join(
            [
                f'AUC {wording.auc(one.figures)}',
                wording.word(one.kind),
                *(f'{name} {wording.auc(block)}' for name, block in controls if block),
            ]
        )
    return ', '.join([f'{who}: {said}', *_of_people(cell)])


def _height(row):
    people = max((len(_of_people(cell)) for cell in row), default=0)
    return _of_photographs(row) + _LINE * people


def _of_photographs(row):
    ran = [cell.comparison for cell in row if cell.comparison is not None]
    if not ran:
        return 0.31 + 0.42
    words = max(len(_words(one)) for one in ran)
    return (
        0.31 + 0.5 + _LINE * words + 0.36 + max(0.18 * (not wording.combines(one)) for one in ran)
    )


def _words(one):
    if one.valid:
        return [wording.word(one.kind)]
    return textwrap.wrap(wording.not_counted(one, short=True), _LETTERS + 2)


def _of_people(cell):
    """The lines on several photographs of a person; none if no such attack was run."""
    one = cell.people
    if one is None:
        return []
    says = f'{one.figures["auc"]:.2f} {wording.word(one.kind)}' if one.valid else 'not counted'
    return textwrap.wrap(f'people: {says}', _LETTERS + 2)


def _draw(axes: Axes, cell: Cell, left: float, top: float, wide: float, high: float) -> None:
    one = cell.comparison
    middle = left + wide / 2

    def write(down, text, **more):
        axes.text(middle, top + down, text, ha='center', va='center', **more)

    def frame(**more):
        box = FancyBboxPatch((left, top), wide, high, boxstyle=_BOX, linewidth=1, **more)
        axes.add_patch(box)

    people = _of_people(cell)
    for line, text in enumerate(people):
        tint = COLOUR[cell.people.kind if cell.people and cell.people.valid else 'muted']
        write(high - 0.1 - _LINE * (len(people) - 1 - line), text, fontsize=9, color=tint)
    if one is None:
        frame(facecolor='none', edgecolor=COLOUR['line'], linestyle='--')
        text = '\n'.join(textwrap.wrap(cell.missing, _LETTERS))
        write((high - _LINE * len(people)) / 2, text, fontsize=9, color=COLOUR['muted'])
        return
    tone = COLOUR[one.kind]
    frame(facecolor=COLOUR['soft'], edgecolor=tone)
    low, up = one.figures['auc_ci95']
    strong = COLOUR['ink' if one.valid else 'muted']
    write(0.16, f'{one.figures["auc"]:.2f}', fontsize=15, fontweight='bold', color=strong)
    write(0.345, f'{low:.2f} to {up:.2f}', fontsize=9.5, color=strong)
    down = 0.52
    for line in _words(one):
        weight = 'bold' if one.valid else 'normal'
        write(down, line, fontsize=10 if one.valid else 9, fontweight=weight, color=tone)
        down += _LINE
    _bars(axes, one, left + 0.07, top + down + 0.03, wide - 0.14)
    if not wording.combines(one):
        write(high - 0.11 - _LINE * len(people), 'one attack', fontsize=9, color=COLOUR['muted'])


def _bars(axes, one, left, top, wide):
    """The attack and its controls on one axis, `wide` inches from 0.3 to 1."""

    def place(value):
        low, up = _AXIS
        return left + wide * (min(max(value, low), up) - low) / (up - low)

    axes.plot([place(0.5)] * 2, [top - 0.04, top + 0.28], ':', color=COLOUR['ink'], linewidth=1)
    tone = COLOUR['ink' if one.valid else 'muted']
    for row, block in enumerate((one.figures, one.blind, one.null)):
        if block is None:
            continue
        down, tint = top + 0.12 * row, tone if row == 0 else COLOUR['muted']
        ends = [place(end) for end in block['auc_ci95']]
        axes.plot(ends, [down, down], color=tint, linewidth=3 if row == 0 else 2, alpha=0.6)
        axes.plot(place(block['auc']), down, 'o', color=tint, markersize=5 if row == 0 else 3.5)
