"""Who learns what: which attack stands for each access and knowledge, and where there is none, why."""

import dataclasses
from collections.abc import Sequence

from fr_inference.membership.comparison import LEAK, Comparison
from fr_inference.report import wording
from fr_inference.report.ruling import capital

COLUMNS = (('answers', False), ('answers', True), ('file', False), ('file', True))
"""(access, whether with reference networks), from the least to the most that an attacker sees."""
ROWS = ('strangers', 'auxiliary', 'partial')
"""What the attacker knows, from the least."""

_MOST_DRAWN = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """An access and a knowledge.

    Attributes:
      access: of `comparison.ACCESS`.
      references: whether the attacker has reference networks.
      setting: of `comparison.SETTINGS`.
      comparison: the attack on photographs that stands for it, None where none was run.
      missing: why none was run, in two or three words; '' where one was.
    """

    access: str
    references: bool
    setting: str
    comparison: Comparison | None = None
    missing: str = ''


def cells(
    found: Sequence[Comparison], *, references: bool, shadow: bool, chosen: bool
) -> list[list[Cell]]:
    """Returns a row for each of `ROWS`, with a cell for each of `COLUMNS`.

    All attacks of an access together stand for it. Where these were not run, the first attack stands for
    it that sees just that: never the one with the highest figure.

    Args:
      found: every comparison of an audit.
      references: whether reference networks were given.
      shadow: whether there was a shadow.
      chosen: whether only some of the attacks were asked for.
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
                    access=access, references=also, setting=setting, comparison=one, missing=missing
                )
            )
        rows.append(row)
    return rows


def stands_for(
    found: Sequence[Comparison], access: str, references: bool, setting: str
) -> Comparison | None:
    """Returns the attack on photographs that stands for an access and a knowledge, None without one."""
    alike = [
        one
        for one in found
        if (one.unit, one.access, one.references, one.setting)
        == ('image', access, references, setting)
    ]
    return next((one for one in alike if wording.combines(one)), alike[0] if alike else None)


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
    """Returns the further attack with the largest excess, None where there is none to choose from.

    Its intervals hold for whichever is the best (`best_of`), so that it may be chosen afterwards.
    """
    fitting = [
        ((one.kind == LEAK, one.excess['auc']), one)
        for one in found
        if one.valid and one.further and one.best_of and one.excess
    ]
    return max(fitting, key=lambda pair: pair[0], default=(None, None))[1]


def main(found: Sequence[Comparison]) -> list[Comparison]:
    """Returns those that are drawn apart, in the order of `found`.

    Those that were chosen beforehand, all attacks on the embeddings together, the paper's, and the best
    further one; the table holds them all.
    """
    wanted = [one for one in found if not one.further]
    partial = [one for one in found if one.setting == 'partial' and one not in wanted]
    wanted += [one for one in partial if wording.combines(one) and one.access == 'answers'][:1]
    wanted += [one for one in partial if one.attack == wording.PAPER]
    best = best_further([one for one in found if not wording.combines(one)])
    if best is not None and best not in wanted:
        wanted = [*wanted[: _MOST_DRAWN - 1], best]
    return [one for one in found if one in wanted]


def to_whom(found: Sequence[Comparison]) -> str:
    """Returns a sentence on those who only receive embeddings, and one on those who hold the file.

    Args:
      found: every comparison of an audit.

    Returns:
      '' for an audit without further attacks: what it found says it already.
    """
    of_images = [one for one in found if one.unit == 'image']
    if not any(one.further for one in of_images):
        return ''
    by_access = {
        access: [one for one in of_images if one.access == access] for access in ('answers', 'file')
    }
    shown = any(one.kind == LEAK for one in by_access['answers'])
    said = [_learns(access, own, shown) for access, own in by_access.items()]
    return ' '.join(said)


def _learns(access, own, shown):
    """What is learned with an access; `shown`: whether the embeddings alone show a leak."""
    who = capital(wording.somebody(access, False))
    counted = [one for one in own if one.valid]
    leaking = [one for one in counted if one.kind == LEAK]
    if leaking:
        also = ' can do the same, and' if access == 'file' and shown else ''
        combined = any(map(wording.combines, own)) and not any(map(wording.combines, leaking))
        alone = '. A single attack does so; the combination of all attacks shows no leak'
        return f'{who}{also} picks the member {_ways(leaking)}{alone if combined else ""}.'
    if access == 'file' and shown:
        none = '' if not own else f'; {_none(own)}'
        return f'{who} can do the same{none}.'
    if access == 'file' and not own:
        return 'No attack on photographs was run that needs the file.'
    if not own:
        return f'What is learned by {who[:1].lower()}{who[1:]} was not measured.'
    if not counted:
        return f'{who}: nothing can be said, because a control of each such attack failed.'
    first = _first(counted)
    them = 'it' if len(own) == 1 else _called(first)
    return f'{who}: {_none(own)}; {them} picks the member in {_cases(first.figures)}.'


def _none(own):
    """That none of several attacks shows a leak, and how many of them are not counted."""
    void = sum(not one.valid for one in own)
    if len(own) == 1:
        return f'{_called(own[0])} {f"is {wording.NOT_COUNTED}" if void else "shows no leak"}'
    words = (
        f' ({void} of them {"is" if void == 1 else "are"} {wording.NOT_COUNTED})' if void else ''
    )
    return f'none of {len(own)} attacks {wording.seen(own[0].access)} shows a leak{words}'


def _called(one):
    return wording.combination(one) if wording.combines(one) else f'the attack "{one.title}"'


def _first(found):
    """The one that stands for several: all attacks together, without references where it can be."""
    return min(found, key=lambda one: (not wording.combines(one), one.references))


def _ways(leaking):
    """How often, with the most knowledge, with the least, and with reference networks."""
    least, most = (
        next(setting for setting in order if any(one.setting == setting for one in leaking))
        for order in (ROWS, ROWS[::-1])
    )
    ways = [_first([one for one in leaking if one.setting == setting]) for setting in (most, least)]
    helped = [one for one in leaking if one.references and one.setting == most]
    ways += [_first(helped)] if helped else []
    first, *others = {one.key: one for one in ways}.values()
    said = [f'in {_cases(first.figures)} {wording.knowing(first.setting)}{_helped(first)}']
    for one in others:
        other = _helped(one) if one.setting == most else f' {wording.knowing(one.setting)}'
        said.append(f'in {wording.share(one.figures)}{other}')
    *rest, last = said
    return f'{", ".join(rest)} and {last}' if rest else last


def _cases(block):
    return wording.cases(block).replace(' (', ' cases (')


def _helped(one):
    return ' with a reference network' if one.references else ''
