"""To whom a backbone gives something away: a sentence for each access, on the attacks in the picture."""

from collections.abc import Sequence

from fr_inference.membership.comparison import LEAK, Comparison
from fr_inference.report import wording
from fr_inference.report.ruling import capital
from fr_inference.report.who_learns import COLUMNS, ROWS, stands_for


def sentences(found: Sequence[Comparison]) -> list[str]:
    """Returns a sentence for each access, from the least to the most that an attacker sees.

    The attacks are those of the picture (`stands_for`). Attackers with reference networks have
    sentences if any such attack was run.

    Args:
      found: every comparison of an audit, in the order of the report.

    Returns:
      [] for an audit without further attacks: the other sentences say it already.
    """
    if not any(one.further for one in found):
        return []
    referred = any(one.references for one in found)
    said = []
    leaking: list[tuple[str, bool]] = []
    for access, also in COLUMNS:
        if also and not referred:
            continue
        own = [one for one in found if (one.access, one.references) == (access, also)]
        # Each access includes the ones before it, but reference networks are something of their own.
        can = any(also >= other for _, other in leaking)
        said.append(_learns(access, also, own, can))
        if any(one.kind == LEAK for one in own):
            leaking.append((access, also))
    return said


def _learns(access, also, own, can):
    """What is learned with an access; `can`: whether a lower access already shows a leak."""
    who = capital(wording.somebody(access, also))
    if any(one.kind == LEAK for one in own):
        same = ' can do the same, and' if can else ''
        return f'{who}{same} picks the member {_ways(access, also, own)}.'
    if not own:
        none = f'no attack was run {wording.seen(access, also)}'
        return f'{who} can do the same.' if can else f'{who}: {none}.'
    if can:
        return f'{who} can do the same; {_none(own)}.'
    if not any(one.valid for one in own):
        each = 'the only attack' if len(own) == 1 else f'each of {len(own)} attacks'
        return f'{who}: nothing can be said, because {each} failed a control.'
    figures = [
        f'{wording.called(one) if len(own) > 1 else "it"} picks the member in {_cases(one)} '
        f'{wording.holding(one)}'
        for stand in (_drawn(access, also, own, 'image'), _drawn(access, also, own, 'person'))
        for one in [one for one in stand if one.valid][:1]
    ]
    return f'{who}: {"; ".join([_none(own), *figures])}.'


def _drawn(access, also, own, unit):
    """The attacks with an access as in the picture, the one with most knowledge first."""
    found = [stands_for(own, access, also, setting, unit=unit) for setting in ROWS[::-1]]
    return [one for one in found if one is not None]


def _ways(access, also, own):
    """How often the member is picked: with most and least knowledge, and from several photographs."""
    pictures = [one for one in _drawn(access, also, own, 'image') if one.kind == LEAK]
    every_person = _drawn(access, also, own, 'person')
    people = [one for one in every_person if one.kind == LEAK][:1]
    shown = list({one.key: one for one in (*pictures[:1], *pictures[-1:], *people)}.values())
    said = [f'in {_cases(shown[0])} {wording.holding(shown[0])}{_by(shown[0], own)}']
    said += [
        f'in {wording.share(one.figures)} {wording.holding(one)}{_by(one, own)}'
        for one in shown[1:]
    ]
    *rest, last = said
    text = f'{", ".join(rest)} and {last}' if rest else last
    if not pictures and (others := [one for one in own if one.unit == 'image']):
        text += f'; {_none(others)}'
    if not people and every_person:
        text += f'; {_none(every_person)}'
    return text


def _by(one, own):
    """Which attack does so, unless it is all of them together."""
    if wording.combines(one):
        return ''
    named = f'by {wording.called(one)}'
    together = next(
        (other for other in own if wording.combines(other) and other.setting == one.setting), None
    )
    if together is None or one.unit == 'person':
        return f' ({named})'
    why = 'shows no leak' if together.valid else f'is {wording.NOT_COUNTED}'
    return f' ({named}; the combination of all {why})'


def _none(own):
    """Says that none of the attacks shows a leak, and how many are not counted."""
    void = sum(not one.valid for one in own)
    if len(own) == 1:
        return (
            f'{wording.called(own[0])} {f"is {wording.NOT_COUNTED}" if void else "shows no leak"}'
        )
    words = (
        f' ({void} of them {"is" if void == 1 else "are"} {wording.NOT_COUNTED})' if void else ''
    )
    seen = wording.seen(own[0].access, own[0].references)
    return f'none of {len(own)} attacks {seen} shows a leak{words}'


def _cases(one):
    return wording.cases(one.figures).replace(' (', ' cases (')
