"""How far a leak reaches: the figure of the changed copies, and its result in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from fr_inference.membership.changed_pictures import CHANGES
from fr_inference.membership.reach import OTHERS, UNCHANGED
from fr_inference.report import wording
from fr_inference.report.svg import COLOUR, WIDTH, styled, svg

_LABELS = {
    UNCHANGED: 'as it is',
    **{change.name: change.label for change in CHANGES},
    OTHERS: 'other photographs',
}
_FAMILIES = {change.name: change.family for change in CHANGES}
_ROW, _GAP = 0.29, 0.1  # inches; between two kinds of changes


def recognised(entry: Mapping[str, Any]) -> bool:
    """Returns whether the whole interval of the AUC lies above guessing and above the blind control.

    For other photographs of the people the control must also hold, as for the verdict.
    """
    blind = entry['blind']
    if entry['change'] == OTHERS and blind['auc_ci95'][0] > 0.5:
        return False
    return bool(entry['auc_ci95'][0] > max(0.5, blind['auc']))


def in_words(found: Sequence[Mapping[str, Any]]) -> str:
    """Returns how far the leak reaches: which changed copies are recognised and which are not.

    Every change in the figure is named once. Where the blind control decides, its figure is given too.

    Args:
      found: `membership.reach` of `audit.json`.
    """
    by_name = {entry['change']: entry for entry in found}
    as_it_is = by_name[UNCHANGED]
    if not recognised(as_it_is):
        return (
            'This figure uses too few photographs to follow the leak: the leak does not show even '
            f'in unchanged photographs ({_why_lost(as_it_is)}).'
        )
    copies = [entry for entry in found if entry['change'] not in (UNCHANGED, OTHERS)]
    kept = [f'{_label(entry)} ({entry["auc"]:.2f})' for entry in copies if recognised(entry)]
    lost = [f'{_label(entry)} ({_why_lost(entry)})' for entry in copies if not recognised(entry)]
    sentences = []
    if kept:
        sentences.append(
            f'A photograph is recognised unchanged (AUC {as_it_is["auc"]:.2f}), and also when it '
            f'is {_listed(kept)}.'
        )
    if kept and lost:
        sentences.append(f'It is not reliably recognised when it is {_listed(lost)}.')
    elif lost:
        sentences.append(
            f'Only the unchanged photograph is reliably recognised ({_figures(as_it_is)}), not '
            f'copies that are {_listed(lost)}.'
        )
    others = by_name.get(OTHERS)
    if others is not None:
        says = (
            f'are recognised too ({_figures(others)})'
            if recognised(others)
            else f'are not reliably recognised ({_why_lost(others)})'
        )
        sentences.append(f'Other photographs of the same people {says}.')
    return ' '.join(sentences)


def _listed(parts):
    return ' or '.join([', '.join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _why_lost(entry):
    """The figures of a copy that is not recognised, and those of its control if that decides."""
    blind = entry['blind']
    if entry['auc_ci95'][0] <= 0.5:
        return _figures(entry)
    if entry['change'] == OTHERS and blind['auc_ci95'][0] > 0.5:
        return f'{_figures(entry)}; the blind control fails: {_figures(blind)}'
    return f'{_figures(entry)}; the blind control alone reaches {blind["auc"]:.2f}'


def _label(entry):
    return _LABELS.get(entry['change'], entry['change'])


def _figures(entry):
    low, high = entry['auc_ci95']
    return f'AUC {entry["auc"]:.2f}, {low:.2f} to {high:.2f}'


def draw(found: Sequence[Mapping[str, Any]]) -> str:
    """Draws the AUC with its interval for each change, and below it that of its blind control.

    A point is filled if the copy is recognised, hollow and grey if not.

    Args:
      found: `membership.reach` of `audit.json`.
    """
    rows, down, before = [], 0.0, None
    for entry in found:
        family = _FAMILIES.get(entry['change'], entry['change'])
        down += _GAP * (before not in (None, family))
        rows.append(down)
        down, before = down + _ROW, family
    blocks = [*found, *(entry['blind'] for entry in found)]
    lowest = min(0.5, *(block['auc_ci95'][0] for block in blocks))
    with styled():
        figure = Figure(figsize=(WIDTH, 0.75 + down))
        axes = figure.subplots()
        for row, entry in zip(rows, found, strict=True):
            fine = recognised(entry)
            tint = COLOUR['leak' if fine else 'muted']
            axes.plot(entry['auc_ci95'], [row, row], color=tint, linewidth=3, alpha=0.55)
            fill = tint if fine else COLOUR['paper']
            axes.plot(entry['auc'], row, 'o', color=tint, mfc=fill, markersize=7, mew=2)
            below, control = row + 0.4 * _ROW, entry['blind']
            axes.plot(control['auc_ci95'], [below, below], color=COLOUR['muted'], alpha=0.4)
            axes.plot(control['auc'], below, '|', color=COLOUR['muted'], markersize=5)
            axes.text(
                *(1.05, row),
                f'{entry["auc"]:.2f}',
                va='center',
                color=COLOUR['ink' if fine else 'muted'],
                transform=axes.get_yaxis_transform(),
            )
        axes.axvline(0.5, color=COLOUR['ink'], linestyle=':', linewidth=1)
        labels = [_label(entry) for entry in found]
        axes.set_yticks(rows, labels)
        axes.tick_params(axis='y', length=0)
        axes.spines['left'].set_visible(False)
        axes.set(ylim=(rows[-1] + 0.8 * _ROW, -0.6 * _ROW), xlim=(min(0.35, lowest - 0.02), 1.02))
        axes.grid(axis='x', linewidth=0.6)
        figure.supxlabel(wording.AUC_AXIS, fontsize=9.5)
        return svg(figure, 'reach', _alt(found))


def _alt(found):
    each = '; '.join(f'{_label(entry)} {_figures(entry)}' for entry in found)
    return (
        'How well changed photographs are recognised, with 95 % intervals; 0.5 is '
        f'guessing: {each}.'
    )
