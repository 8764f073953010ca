"""Who learns what: the attack that stands for each access and knowledge, or why there is none."""

import dataclasses
from collections.abc import Sequence

from fr_inference.membership.comparison import LEAK, Comparison
from fr_inference.report import wording

COLUMNS = (('answers', False), ('answers', True), ('file', False), ('file', True))
"""(access, whether with reference networks), from the least access to the most."""
ROWS = ('strangers', 'auxiliary', 'partial')
"""What the attacker knows, from the least to the most."""

_MOST_DRAWN = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of the table: an access and what the attacker knows.

    Attributes:
      access: of `comparison.ACCESS`.
      references: whether the attacker has reference networks.
      setting: of `comparison.SETTINGS`.
      comparison: the attack on photographs that stands for the cell, None if none was run.
      missing: why none was run, in two or three words; '' if one was.
      people: the attack on several photographs of a person, None if none was run.
    """

    access: str
    references: bool
    setting: str
    comparison: Comparison | None = None
    missing: str = ''
    people: Comparison | None = None


def cells(
    found: Sequence[Comparison], *, references: bool, shadow: bool, chosen: bool
) -> list[list[Cell]]:
    """Returns a row for each of `ROWS`, with a cell for each of `COLUMNS`.

    `stands_for` chooses the attack of a cell; `to_whom` says the same in words.

    Args:
      found: every comparison of an audit.
      references: whether reference networks were given.
      shadow: whether there was a shadow.
      chosen: whether only some of the attacks were requested.
    """
    rows = []
    for setting in ROWS:
        row: list[Cell] = []
        for access, also in COLUMNS:
            one = stands_for(found, access, also, setting)
            missing = ''
            if one is None:
                ran = {(cell.access, cell.references) for cell in row if cell.comparison}
                missing = _missing(access, also, setting, ran, references, shadow, chosen)
            row.append(
                Cell(
                    access=access,
                    references=also,
                    setting=setting,
                    comparison=one,
                    missing=missing,
                    people=stands_for(found, access, also, setting, unit='person'),
                )
            )
        rows.append(row)
    return rows


def stands_for(
    found: Sequence[Comparison],
    access: str,
    references: bool,
    setting: str,
    *,
    unit: str = 'image',
) -> Comparison | None:
    """Returns the attack that stands for an access and what is known, None if there is none.

    It is the attack that was fixed beforehand (`fixed_for`). If that shows no leak or is not counted,
    the first attack that shows a leak stands instead: first in the order of the report, never the one
    with the highest figure.

    Args:
      found: every comparison of an audit, in the order of the report.
      access: of `comparison.ACCESS`.
      references: whether the attacker has reference networks.
      setting: of `comparison.SETTINGS`.
      unit: of `comparison.UNITS`.
    """
    alike = _alike(found, access, references, setting, unit)
    fixed = fixed_for(found, access, references, setting, unit=unit)
    return next((one for one in (fixed, *alike) if one and one.kind == LEAK), fixed)


def fixed_for(
    found: Sequence[Comparison],
    access: str,
    references: bool,
    setting: str,
    *,
    unit: str = 'image',
) -> Comparison | None:
    """Returns the attack of a cell whatever its result, so that two audits can be compared.

    It is the combination of all attacks with this access or, if that was not run, the first attack.
    """
    alike = _alike(found, access, references, setting, unit)
    return next((one for one in alike if wording.combines(one)), alike[0] if alike else None)


def _alike(found, access, references, setting, unit):
    place = (unit, access, references, setting)
    return [one for one in found if (one.unit, one.access, one.references, one.setting) == place]


def _missing(access, also, setting, ran, references, shadow, chosen):
    if also and not references:
        return 'no reference given'
    if setting == 'auxiliary' and not shadow:
        return 'no shadow'
    if access == 'file' and any(seen == 'answers' for seen, _ in ran):
        return 'as with the embeddings'
    if also and (access, False) in ran:
        return 'as without a reference'
    return 'not chosen' if chosen else 'not run'


def best_further(found: Sequence[Comparison]) -> Comparison | None:
    """Returns the further attack with the largest excess, None if there is none.

    It may be chosen afterwards, because its intervals hold for the best of all further attacks
    (`best_of`).
    """
    fitting = [
        ((one.kind == LEAK, one.excess['auc']), one)
        for one in found
        if one.valid and one.further and one.best_of and one.excess
    ]
    return max(fitting, key=lambda pair: pair[0], default=(None, None))[1]


def main(found: Sequence[Comparison]) -> list[Comparison]:
    """Returns the attacks that have a place of their own in the figures, in the order of `found`.

    These are the attacks chosen beforehand, all attacks on the embeddings together, the paper's,
    and the best further one. The table holds all attacks.
    """
    wanted = [one for one in found if not one.further]
    partial = [one for one in found if one.setting == 'partial' and one not in wanted]
    wanted += [one for one in partial if wording.combines(one) and one.access == 'answers'][:1]
    wanted += [one for one in partial if one.attack == wording.PAPER]
    best = best_further([one for one in found if not wording.combines(one)])
    if best is not None and best not in wanted:
        wanted = [*wanted[: _MOST_DRAWN - 1], best]
    return [one for one in found if one in wanted]
