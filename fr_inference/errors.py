"""Errors and argument checks shared by every layer."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence

_CALLED: dict[str, str] = {}


def call(path: str, name: str) -> None:
    """Makes errors name a local path, and all below it, by the address that it is a copy of."""
    _CALLED[path] = name


def called(text: str) -> str:
    """Returns a text in which paths of local copies are replaced by the addresses that users know.

    >>> call('/cache/7f', 'gs://bucket/nets')
    >>> called('/cache/7f/a.pth, /cache/7f0')
    'gs://bucket/nets/a.pth, /cache/7f0'
    """
    for path, name in _CALLED.items():
        if path in text:
            parts = re.split(re.escape(path) + r'(?![\w.-])', text)
            text = name.join(parts)
    return text


class InputError(ValueError):
    """Bad input: an argument, a file or a line of a table that cannot be used.

    The message is one line of printable characters, whatever a file contains. Programs print it
    with the field as a flag (`--members`) and exit with code 2; Python callers can read the attributes.

    >>> print(InputError('epochs', found=-1, expected='0 or more'))
    epochs: found -1, expected 0 or more
    >>> damaged = InputError('b.pth', found='a truncated archive', hint='download it again')
    >>> print(damaged.within('target'))
    target: b.pth: found a truncated archive; download it again

    Attributes:
      field: the argument, or the file if no argument is known.
      found: what was given, as text or a number; None if nothing was.
      expected: what would have been accepted.
      hint: what to do about it.
      inside: the file, line or tensor within `field` that is wrong, '' for the field itself.
    """

    def __init__(
        self,
        field: str,
        found: object = None,
        expected: str | None = None,
        hint: str | None = None,
        *,
        inside: str = '',
    ):
        self.field, self.inside = called(field), called(inside)
        self.found = None if found is None else called(str(found))
        self.expected = None if expected is None else called(expected)
        self.hint = None if hint is None else called(hint)
        super().__init__(self.message(self.field))

    def message(self, field: str) -> str:
        """Returns the message with another name for the field, such as its flag."""
        said = [f'found {self.found}'] * (self.found is not None)
        said += [f'expected {self.expected}'] * (self.expected is not None)
        rest = '; '.join(part for part in (', '.join(said), self.hint) if part)
        text = ': '.join(part for part in (field, self.inside, rest) if part)
        return shown(' '.join(text.splitlines()))

    def within(self, field: str) -> 'InputError':
        """Returns the same error for `field`, the argument that named the file of this error."""
        inside = ': '.join(part for part in (self.field, self.inside) if part)
        return type(self)(field, self.found, self.expected, self.hint, inside=inside)

    def to_json(self) -> list[str | None]:
        """Returns a form from which `from_json` makes the same error in another process."""
        return [self.field, self.found, self.expected, self.hint, self.inside]

    @classmethod
    def from_json(cls, parts: Sequence[str | None]) -> 'InputError':
        """Returns the error that another process raised."""
        field, found, expected, hint, inside = parts
        return cls(field or '', found, expected, hint, inside=inside or '')

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).from_json, (self.to_json(),)  # decoders run in separate processes


def one_of(field: str, value: object, allowed: Iterable[object]) -> None:
    """Raises `InputError` unless `value` is among `allowed`; the message lists the alternatives.

    >>> one_of('space', 'w', ('w', 'z'))
    >>> one_of('space', 'x', ('w', 'z'))
    Traceback (most recent call last):
    ...
    fr_inference.errors.InputError: space: found 'x', expected one of 'w', 'z'
    """
    allowed = list(allowed)
    if value not in allowed:
        listed = ', '.join(repr(choice) for choice in allowed)
        raise InputError(field, repr(value)[:200], f'one of {listed}', near(value, allowed))


def near(value: object, allowed: Iterable[object], prefix: str = '') -> str | None:
    """Returns a "did you mean" with the nearest allowed text, None if none is near.

    Args:
      value: what was given.
      allowed: the alternatives.
      prefix: shown before the nearest text, such as the dashes of a flag.

    >>> near('demo_leeky', ['demo_easy', 'demo_leaky'])
    "did you mean 'demo_leaky'?"
    """
    texts = [choice for choice in allowed if isinstance(choice, str)]
    found = difflib.get_close_matches(value[:200], texts, 1) if isinstance(value, str) else []
    return f'did you mean {prefix + found[0]!r}?' if found else None


def positive(field: str, value: float) -> None:
    """Raises `InputError` unless 0 < `value` < infinity."""
    if not 0 < value < math.inf:
        raise InputError(field, repr(value), 'a number above 0')


def report_mismatch(
    source: str, *, unmatched: list[str], missing: list[str], misshaped: list[str]
) -> None:
    """Raises one `InputError` that names some of the unmatched, missing and misshaped weights."""
    most = 12  # a file from outside may hold any number
    parts = [
        f'{len(keys)} {kind} ({", ".join(key[:80] for key in keys[:most])}'
        f'{f" and {len(keys) - most} more" if len(keys) > most else ""})'
        for kind, keys in (
            ('unmatched', unmatched),
            ('missing', missing),
            ('misshaped', misshaped),
        )
        if keys
    ]
    if parts:
        raise InputError(source, '; '.join(parts), 'weights that fit the architecture')


def shown(text: str) -> str:
    r"""Returns a text from outside with control characters escaped, which a terminal would obey.

    >>> shown('a\x1b[2J')
    'a\\x1b[2J'
    """
    return ''.join(part if part.isprintable() else repr(part)[1:-1] for part in text)
