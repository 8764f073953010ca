"""What each attack found, in sentences: its controls, how sure it is, and what it may have missed."""

from collections.abc import Sequence

from fr_inference.membership.comparison import LEAK, LEAST_NULL, Comparison
from fr_inference.report import who_learns, wording
from fr_inference.report.ruling import capital, hundred

_CONTROL = 'the same attack on a backbone that never saw these people'


def findings(chosen: Sequence[Comparison]) -> list[str]:
    """Returns what each attack found, compared with its blind control, or why it is not counted.

    What the figures and the control mean is said where they are first met.

    Args:
      chosen: the attacks, in the order in which they are said.
    """
    said: list[str] = []
    first, explain = True, True
    for one in chosen:
        if not one.valid:
            said.append(f'{which(one, chosen)} is {wording.not_counted(one)}.')
            continue
        said.append(_picks(one, first=first) + _beyond(one, explain=explain))
        first, explain = False, explain and one.excess is None
    return said


def _picks(one, *, first):
    """How often the attack is right; the first sentence says what is picked, and what guessing is."""
    share, low, high = map(hundred, (one.figures['auc'], *one.figures['auc_ci95']))
    text = f'{wording.knowing(one.setting)}, {_named(one)} picks the member '
    if first:
        return (
            f'{text}out of one member and one stranger in {share} of 100 cases (95 % interval {low} to '
            f'{high}; 50 is guessing)'
        )
    return f'{text}in {share} of 100 cases ({low} to {high})'


def _beyond(one, *, explain):
    """The end of the sentence: the difference from the control, which is explained once."""
    if one.excess is None:
        return '.'
    difference = _difference(one.excess['auc'])
    low, high = (f'{100 * end:+.0f}' for end in one.excess['auc_ci95'])
    if explain:
        return (
            f'. That is {difference} its control, {_CONTROL} (95 % interval of the difference {low} to '
            f'{high}).'
        )
    return f', {difference} its control ({low} to {high}).'


def none_chosen(chosen: Sequence[Comparison]) -> str:
    """Returns a sentence: a further attack decides, because no attack chosen beforehand shows a leak."""
    if not any(one.valid for one in chosen):
        none = 'no attack chosen beforehand is counted'
    elif len(chosen) == 1:
        none = 'the attack chosen beforehand shows no leak'
    else:
        none = f'none of the {len(chosen)} attacks chosen beforehand shows a leak'
    return f'the verdict rests on that attack: {none}.'


def of_further(every: Sequence[Comparison], *, first: bool) -> list[str]:
    """Returns what the further attacks found; no sentence if there are none.

    Among those that show a leak, it names the one with the largest excess over its control.

    Args:
      every: all attacks of the audit.
      first: whether this is said before `findings`, and explains what the control is.
    """
    further = [one for one in every if one.further]
    if not further:
        return []
    void = sum(not one.valid for one in further)
    are = 'is' if void == 1 else 'are'
    left_out = f' {void} of them {are} {wording.NOT_COUNTED}.' if void else ''
    one = who_learns.best_further(every)
    if one is None or one.kind != LEAK:
        if len(further) == 1:
            return [
                f'the further attack {f"is {wording.NOT_COUNTED}" if void else "shows no leak"}.'
            ]
        return [f'none of {len(further)} further attacks shows a leak.{left_out}']
    assert one.best_of is not None
    assert one.excess is not None
    low, high = one.best_of['excess_ci99']
    picks = f'picks the member in {hundred(one.figures["auc"])} of 100 cases'
    above = (
        f'{_difference(one.excess["auc"])} its control{f", {_CONTROL}" if first else ""} '
        f'({100 * low:+.0f} to {100 * high:+.0f}, a 99 % interval'
    )
    known, count = wording.holding(one), len(further)
    if count == 1:
        return [f'{known}, a further attack ({one.title}) {picks}, {above}).']
    leaking = sum(other.kind == LEAK for other in further)
    more = f' {void} more {are} {wording.NOT_COUNTED}.' if void else ''
    called = f'{capital(known)}, {wording.called(one)}'
    held = f'{picks}, {above} that holds for all {count} further attacks together)'
    if leaking == 1:
        return [f'one of {count} further attacks shows a leak.{more} {called} {held}.']
    return [
        f'{leaking} of {count} further attacks show a leak.{more} {called} has the largest '
        f'excess over its control: it {held}. Another may pick more, but with a smaller excess.'
    ]


def sure(one: Comparison) -> str:
    """Returns how sure a finding is: on how many people it was judged, and its null control."""
    text = (
        f'How sure: judged on {one.figures["identities"]:,} people who were not used to prepare the '
        'attack.'
    )
    if not one.null_held:
        return text
    assert one.null is not None
    low, high = one.null['auc_ci95']
    return text + (
        ' Tried among strangers only, half of them called members, it is right in '
        f'{hundred(one.null["auc"])} of 100 cases ({hundred(low)} to {hundred(high)}). That range '
        'includes 50, as it should.'
    )


def uncontrolled(one: Comparison) -> str:
    """Returns the end of a sentence on an attack: which control is missing, and what follows."""
    if not one.null_held:
        # Half of them are called members; where some are known, the attack is fitted on half of each.
        needed = LEAST_NULL * (2 if one.setting == 'auxiliary' else 4)
        return (
            f'could not be tried among strangers only, for which at least {needed} are needed: '
            'whatever it finds may be due to chance. Give more strangers.'
        )
    return 'could not be tried on a backbone that never saw these people. Give one (--blind).'


def missed(judged: Sequence[Comparison], found: Sequence[Comparison]) -> str:
    """Returns the smallest leak that each attack in `judged` would have found."""
    if min(map(_smallest, judged)) >= 0.5:
        return 'With so few people this audit could have found no leak, however large.'
    several = len(judged) > 1
    sizes = [
        f'{_size(one)} could have been missed{f" by {which(one, found)}" if several else ""}'
        for one in judged
    ]
    return f'{capital(", and ".join(sizes))}. One of that size is found by 9 of 10 such audits.'


def which(one: Comparison, found: Sequence[Comparison]) -> str:
    """Returns the attack by name, with what it knows if it was also run knowing something else."""
    settings = {other.setting for other in found if other.unit == one.unit}
    known = f' {wording.knowing(one.setting)}' if len(settings) > 1 else ''
    return f'{_named(one)}{known}'


def _named(one):
    """Returns what the attack judges, and its title."""
    if wording.combines(one):
        return wording.combination(one)
    return f'the attack on {wording.judged(one.unit)} ({one.title})'


def _size(one):
    if (smallest := _smallest(one)) >= 0.5:
        return 'a leak of any size'
    return f'a leak below {hundred(0.5 + smallest)} of 100 cases'


def _smallest(one):
    assert one.smallest_excess is not None  # only attacks with a blind control are passed here
    return one.smallest_excess


def _difference(share):
    points = hundred(abs(share))
    if points == '0':
        return 'the same as'
    return f'{points} {"above" if share > 0 else "below"}'
