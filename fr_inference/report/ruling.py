"""The verdict on one part of an audit: a word, a headline, sentences and reasons."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reason:
    """One reason for a verdict.

    Attributes:
      code: a short name that programs can rely on, as listed in docs/verdicts.md.
      text: one sentence or two.
    """

    code: str
    text: str


@dataclasses.dataclass(frozen=True)
class Ruling:
    """The verdict on one part of an audit.

    Attributes:
      kind: 'leak', 'clear', 'open' or 'invalid'.
      headline: one sentence.
      sentences: what was asked, what was found, how sure, what it means, in this order.
      reasons: why it is this word.
    """

    kind: str
    headline: str
    sentences: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()


def capital(text: str) -> str:
    """Returns the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def hundred(share: float) -> str:
    """Returns a share of 1 as a share of 100, rounded.

    >>> hundred(0.897)
    '90'
    """
    return f'{100 * share:.0f}'


def percent(share: float) -> str:
    """Returns a share as a percentage.

    >>> percent(0.0312), percent(0.39)
    ('3.1 %', '39 %')
    """
    return f'{100 * share:.1f} %' if 0 < share < 0.1 else f'{100 * share:.0f} %'


def two_digits(number: float) -> int:
    """Returns an estimate with two digits, rounded upwards.

    >>> two_digits(561), two_digits(4321.5)
    (570, 4400)
    """
    step = 10 ** max(0, len(str(int(number))) - 2)
    return int(-(-number // step) * step)
