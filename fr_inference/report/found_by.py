"""Which attack finds which members: those that score above nearly all strangers, and the overlaps.

After Lex et al. 2014, "UpSet": a row for each combination of attacks in place of overlapping circles.
"""

import collections
import dataclasses
import itertools
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fr_inference.membership.comparison import LEAK, Comparison
from fr_inference.metrics import intervals
from fr_inference.report import who_learns, wording
from fr_inference.report.svg import COLOUR, WIDTH, styled, svg

_ATTACKS = 5
_COMBINATIONS = 8  # drawn one by one
_RATES = ('0.01', '0.1')  # the first rate for which there are enough strangers is used
_START = 1.6  # inches from the left edge to the bars, for the labels of the last rows
_LETTERS = 58  # in a line of the figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlap:
    """How far several attacks agree on who was trained on.

    Attributes:
      attacks: A attacks on photographs, all judged on the same ones.
      rate: the largest share of strangers above each attack's threshold.
      found: [A] how many members each finds.
      members: how many are judged.
      strangers: how many are judged.
      combinations: (which of the A attacks, number of members that exactly these find, number of
        strangers), with the most members first. Members that no attack finds are not included.
    """

    attacks: tuple[Comparison, ...]
    rate: float
    found: tuple[int, ...]
    members: int
    strangers: int
    combinations: tuple[tuple[tuple[bool, ...], int, int], ...]

    @property
    def missed(self) -> int:
        """How many members no attack finds."""
        return self.members - sum(members for _, members, _ in self.combinations)


def overlap(comparisons: Sequence[Comparison]) -> Overlap | None:
    """Returns how far the main attacks on photographs agree, None with fewer than two to compare.

    Compares only attacks that know some members and are counted, and only at a rate that the
    strangers resolve: with fewer than ten expected strangers above a threshold, a few images decide.

    Args:
      comparisons: the attacks with their scores.
    """
    usable = [
        one
        for one in comparisons
        if one.scored is not None and one.valid and (one.unit, one.setting) == ('image', 'partial')
    ]
    scored = {one.key: one.scored for one in usable if one.scored is not None}
    if not scored:
        return None
    first = next(iter(scored.values()))
    usable = [one for one in usable if scored[one.key].identities == first.identities]
    chosen = _chosen(usable)
    member = np.asarray(first.member, bool)
    strangers = int((~member).sum())
    rates = [float(rate) for rate in _RATES if strangers * float(rate) >= intervals.RESOLVABLE]
    if len(chosen) < 2 or not rates:
        return None
    above = np.stack([_above(scored[one.key].scores, member, rates[0]) for one in chosen])
    members, others = (
        collections.Counter(map(tuple, above[:, side].T.tolist())) for side in (member, ~member)
    )
    combinations = sorted(
        ((which, members[which], others[which]) for which in {*members, *others} if any(which)),
        key=lambda found: (-found[1], -sum(found[0]), found[0]),
    )
    return Overlap(
        attacks=tuple(chosen),
        rate=rates[0],
        found=tuple(above[:, member].sum(1).tolist()),
        members=int(member.sum()),
        strangers=strangers,
        combinations=tuple(combinations),
    )


def _chosen(usable):
    """The main attacks, then single ones, those that show a leak first; at most `_ATTACKS`."""
    main = who_learns.main(usable)
    rest = [one for one in usable if one not in main and not wording.combines(one)]
    rest.sort(key=lambda one: one.kind != LEAK)
    kept = [*main, *rest][:_ATTACKS]
    return [one for one in usable if one in kept]


def _above(scores, member, rate):
    """[N] bool, whether the score is above the threshold that at most this share of strangers passes."""
    strangers = np.sort(np.asarray(scores)[~member])[::-1]
    return np.asarray(scores) > strangers[int(rate * len(strangers))]


def draw(found: Overlap) -> str:
    """Draws a row for each combination of attacks: filled points name them, a bar counts members."""
    letters = [chr(ord('A') + place) for place in range(len(found.attacks))]
    names = [
        textwrap.wrap(
            f'{letter}  {wording.name(one)}: {number:,} of {found.members:,}',
            _LETTERS,
            subsequent_indent='     ',
        )
        for letter, one, number in zip(letters, found.attacks, found.found, strict=True)
    ]
    shown, rest = found.combinations[:_COMBINATIONS], found.combinations[_COMBINATIONS:]
    rows = [(which, members, strangers, '') for which, members, strangers in shown]
    if rest:
        sums = sum(members for _, members, _ in rest), sum(strangers for _, _, strangers in rest)
        rows.append(((), *sums, f'{len(rest)} other combinations'))
    rows.append(((), found.missed, 0, 'by none of them'))
    legend, line, step = 0.2 * sum(map(len, names)), 0.2, 0.26
    total = legend + 0.35 + step * len(rows) + 0.15
    with styled():
        figure = Figure(figsize=(WIDTH, total))
        figure.set_layout_engine('none')
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(total, 0))
        axes.axis('off')
        down = 0.12
        for text in itertools.chain(*names):
            axes.text(0.05, down, text, va='center')
            down += line
        down += 0.18
        spots = [0.15 + 0.27 * place for place in range(len(letters))]
        for spot, letter in zip(spots, letters, strict=True):
            axes.text(spot, down, letter, ha='center', va='center', fontweight='bold')
        start = max(spots[-1] + 0.3, _START)
        axes.text(start, down, 'members found by exactly these', va='center', color=COLOUR['muted'])
        largest = max(1, *(members for _, members, _, _ in rows))
        room = WIDTH - start - 1.45
        for which, members, strangers, label in rows:
            down += step
            if not which:
                axes.text(spots[0] - 0.1, down, label, va='center', fontsize=9)
            else:
                inside = [spot for spot, there in zip(spots, which, strict=True) if there]
                axes.plot([inside[0], inside[-1]], [down, down], color=COLOUR['ink'], linewidth=1.5)
                for spot, there in zip(spots, which, strict=True):
                    fill = COLOUR['ink' if there else 'paper']
                    edge = COLOUR['ink' if there else 'line']
                    axes.plot(spot, down, 'o', color=edge, mfc=fill, markersize=7, zorder=3)
            wide = room * members / largest
            grey = COLOUR['member' if which else 'muted']
            axes.barh(down, wide, 0.16, left=start, color=grey)
            said = f'{members:,}'
            if strangers:
                said += f' ({strangers:,} stranger{"s" if strangers != 1 else ""})'
            axes.text(start + wide + 0.06, down, said, va='center', fontsize=9.5)
        said = '; '.join(
            f'{wording.name(one)}: {number:,}'
            for one, number in zip(found.attacks, found.found, strict=True)
        )
        alt = (
            f'Which attacks find which of {found.members:,} members. {said}; by none of them: '
            f'{found.missed:,}.'
        )
        return svg(figure, 'found-by', alt)
