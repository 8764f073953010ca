"""Errors and argument checks shared by every layer."""

import math
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from the user: a flag, a file or an argument.

    The message is one line: which flag, file or argument; what was found; what was expected; what
    to do about it. Programs in `experiments` print it and exit with code 2.
    """


def require(condition: object, message: str) -> None:
    """Raises `InputError(message)` unless `condition` is true."""
    if not condition:
        raise InputError(message)


def one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raises `InputError` unless `value` is among `allowed`; the message lists the alternatives.

    >>> one_of('scaling', 'variance', ('variance', 'none'))
    >>> one_of('scaling', 'std', ('variance', 'none'))
    Traceback (most recent call last):
    ...
    fr_inference.checks.InputError: scaling: found 'std', expected one of 'variance', 'none'
    """
    allowed = list(allowed)
    if value not in allowed:
        listed = ', '.join(repr(choice) for choice in allowed)
        raise InputError(f'{name}: found {value!r}, expected one of {listed}')


def positive(name: str, value: float) -> None:
    """Raises `InputError` unless 0 < `value` < infinity."""
    require(0 < value < math.inf, f'{name}: found {value!r}, expected a number above 0')


def fraction(name: str, value: float) -> None:
    """Raises `InputError` unless 0 < `value` < 1."""
    require(0 < value < 1, f'{name}: found {value!r}, expected a number between 0 and 1')


def report_mismatch(
    source: str, *, unmatched: list[str], missing: list[str], misshaped: list[str]
) -> None:
    """Raises one `InputError` that names unmatched, missing and misshaped weights, if there are any."""
    most = 1000  # a stranger's file may hold any number
    parts = [
        f'{len(keys)} {kind} ({", ".join(key[:200] for key in keys[:most])}'
        f'{", ..." if len(keys) > most else ""})'
        for kind, keys in (
            ('unmatched', unmatched),
            ('missing', missing),
            ('misshaped', misshaped),
        )
        if keys
    ]
    require(not parts, f'{source}: weights do not fit the architecture: {"; ".join(parts)}')


def shown(text: str) -> str:
    r"""Returns a stranger's text without the control characters that a terminal obeys.

    >>> shown('a\x1b[2J')
    'a\\x1b[2J'
    """
    return ''.join(part if part.isprintable() else repr(part)[1:-1] for part in text)
