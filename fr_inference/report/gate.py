"""What a gate asks: a clear verdict, or a figure that must not be above a limit (docs/gates.md).

`gate_needs` checks before an audit whether its data can answer; `gating` checks a finished audit.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from fr_inference import errors
from fr_inference.membership import attacks
from fr_inference.metrics import intervals

FIELD = 'fail_above'
VERDICT = 'verdict'
OF_ATTACKS = ('auc', 'accuracy', 'excess', *(f'tpr@fpr={rate}' for rate in intervals.RATES))
OF_SEARCH = ('hit_rate', 'hit_excess')
_PEOPLE = 'identity_'


class GateCrossed(Exception):
    """An audit failed a gate: a figure is above its limit, or the verdict is not clear."""


class Judging(Protocol):
    """An attack in one setting, run or planned."""

    @property
    def key(self) -> str:
        """Its key, such as 'people/partial'."""

    @property
    def unit(self) -> str:
        """What it judges: 'image' or 'person'."""


Attack = TypeVar('Attack', bound=Judging)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate.

    Attributes:
      name: the gate as it was written, without the limit.
      limit: the largest figure that passes; None for the verdict, which must be clear.
      figure: of `OF_ATTACKS` or `OF_SEARCH`; `VERDICT` for the verdict.
      high: whether the upper end of the figure's 95 % interval is meant.
      key: the key of the one attack that it reads; None for all.
      people: whether it reads the attacks on people if no key is given.
    """

    name: str
    limit: float | None
    figure: str
    high: bool = False
    key: str | None = None
    people: bool = False

    @property
    def text(self) -> str:
        """The gate in the form that `parse` reads."""
        return self.name if self.limit is None else f'{self.name}:{self.limit:g}'

    @property
    def rate(self) -> str | None:
        """The false-positive rate of the figure, None for another figure."""
        return self.figure.partition('=')[2] or None

    @property
    def bound(self) -> 'Gate':
        """The same gate on the upper end of the interval."""
        if self.high:
            return self
        own = self.name.removesuffix(self.figure)
        return dataclasses.replace(self, name=own + spelled(self.figure, high=True), high=True)

    def read(self, candidates: Sequence[Attack]) -> list[Attack]:
        """Returns the attacks that the gate reads.

        A gate that names an attack reads only that one. Others read the attacks on photographs (or
        on people if there are none), or those on people if the figure says so. For a finished audit
        the candidates are `gating.candidates`.
        """
        if self.key is not None:
            return [one for one in candidates if one.key == self.key]
        of_images = [one for one in candidates if one.unit == 'image']
        if self.people or not of_images:
            return [one for one in candidates if one.unit == 'person']
        return of_images

    def check_count(self, evaluated: int, what: str, given: int | None = None) -> None:
        """Checks that there are enough evaluated non-members for the figure's rate, if it has one.

        Args:
          evaluated: the number of evaluated non-members.
          what: their name in errors.
          given: their number in both halves together, if known.

        Raises:
          InputError: with the field 'fail_above'; it says how many are needed.
        """
        if self.rate is None or _resolves(evaluated, self.rate):
            return
        needed = math.ceil(intervals.RESOLVABLE / float(self.rate))
        fine = [rate for rate in intervals.RATES if _resolves(evaluated, rate)]
        other = 'leave this gate out'
        if fine:
            other = f'gate {spelled(f"tpr@fpr={fine[-1]}", high=self.high)}, which these resolve'
        raise errors.InputError(
            FIELD,
            f'{self.name} with {evaluated:,} evaluated non-members ({what})'
            + (f', half of {given:,}' if given is not None else ''),
            f'{needed:,} or more evaluated, so about {2 * needed:,} in all',
            f'give more non-members, or {other}',
        )


def _resolves(evaluated, rate):
    return evaluated * float(rate) >= intervals.RESOLVABLE


def spelled(figure: str, *, high: bool) -> str:
    """Returns the written form of a figure or of the upper end of its interval.

    >>> spelled('tpr@fpr=0.01', high=True)
    'tpr_high@fpr=0.01'
    """
    name, at, rate = figure.partition('@')
    return f'{name}{"_high" if high else ""}{at}{rate}'


FIGURES = {
    prefix + spelled(figure, high=high): (figure, high, bool(prefix))
    for prefix, figures in (('', (*OF_ATTACKS, *OF_SEARCH)), (_PEOPLE, OF_ATTACKS))
    for figure in figures
    for high in (False, True)
}
"""Written form of a figure -> (figure, whether its upper end is meant, whether it is on people)."""

_GRAMMAR = (
    f'{VERDICT}, or FIGURE:LIMIT as auc_high:0.6, or ATTACK/SETTING.FIGURE:LIMIT, with FIGURE one of '
    f'{", ".join((*OF_ATTACKS, *OF_SEARCH))} (auc_high: upper end of its 95 % interval; '
    'identity_auc: of the attacks on people)'
)


def keys(asked: Iterable[str] = ()) -> list[str]:
    """Returns the attacks that a gate may name, such as 'people/partial'.

    Args:
      asked: `Settings.attacks`; attacks of the user's own ('module:name') in it may be named too.
    """
    own = [name for name in asked if ':' in name]
    known = map(attacks.get, dict.fromkeys((*attacks.names(), *own)))
    return [f'{attack.name}/{setting}' for attack in known for setting in attack.settings]


def parse(text: str, asked: Iterable[str] = ()) -> Gate:
    """Reads one gate.

    >>> parse('people/partial.auc_high:0.7').bound.name
    'people/partial.auc_high'
    >>> parse('tpr@fpr=0.01:0.05').limit
    0.05

    Args:
      text: a gate as in docs/gates.md.
      asked: the requested attacks (`Settings.attacks`): a gate may name the user's own.

    Raises:
      InputError: with the field 'fail_above', for an unknown figure or attack, and for a limit that is
        not a number or that no figure can exceed, such as 60 for 0.6.
    """
    if text == VERDICT:
        return Gate(name=text, limit=None, figure=VERDICT)
    name, colon, limit = text.rpartition(':')
    if not colon:
        raise _unknown(text, text, [VERDICT, *FIGURES])
    attack, slash, rest = name.rpartition('/')  # an attack of the user's own may have points
    setting, dot, own = rest.partition('.')
    key = f'{attack}{slash}{setting}'
    if not dot or '@' in key:  # the decimal point of a rate
        key, own = '', name
    if own not in FIGURES:
        raise _unknown(text, own, FIGURES)
    figure, high, people = FIGURES[own]
    if key and (people or figure in OF_SEARCH):
        raise errors.InputError(
            FIELD,
            _shown(text),
            f'after ATTACK/SETTING one of {", ".join(OF_ATTACKS)}, or its _high',
        )
    if key and key not in (known := keys(asked)):
        alike = [one for one in known if one.partition('/')[0] == key.partition('/')[0]]
        raise errors.InputError(
            FIELD,
            _shown(text),
            f'one of the attacks {", ".join(known)}, or one of your own that attacks names, too',
            errors.near(key, alike or known),
        )
    return Gate(
        name=name,
        limit=_limit(text, limit),
        figure=figure,
        high=high,
        key=key or None,
        people=people,
    )


def _limit(text, limit):
    try:
        number = float(limit)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise errors.InputError(FIELD, _shown(text), 'a number as the limit, as in auc_high:0.6')
    if number >= 1:
        raise errors.InputError(FIELD, _shown(text), 'a limit below 1, the largest possible figure')
    return number


def _unknown(text, name, known):
    # If the upper end is meant, never suggest the estimate, which is easier to pass.
    if 'high' in name:
        known = [one for one in known if 'high' in one]
    return errors.InputError(FIELD, _shown(text), _GRAMMAR, errors.near(name, known))


def _shown(text):
    return repr(text)[:200]
