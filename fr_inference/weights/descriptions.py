"""Reads the JSON files that describe native networks, with bounds, a digest and one-line errors."""

import contextlib
import json
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from fr_inference import errors, files
from fr_inference.formats import bounds

_MAX_BYTES = 4 << 20  # a list of lists takes thirty times its text in memory
_WRONG = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@contextlib.contextmanager
def naming(field: str) -> Iterator[None]:
    """Gives every `InputError` inside the field `field`, the argument that caused it."""
    try:
        yield
    except errors.InputError as error:
        raise error.within(field) from error


@contextlib.contextmanager
def describing(path: pathlib.Path) -> Iterator[None]:
    """Turns errors about a description's values into an `InputError` whose field is the file."""
    try:
        with naming(str(path)):
            yield
    except errors.InputError:
        raise
    except _WRONG as error:
        words = errors.shown(repr(error)[:200])
        raise errors.InputError(
            str(path), f'a description that cannot be used ({words})'
        ) from error


def read(path: pathlib.Path, schemas: Sequence[int]) -> dict[str, Any]:
    """Returns the contents of a description.

    Args:
      path: the JSON file.
      schemas: the supported schema numbers.

    Raises:
      InputError: when it is absent, too large, not a JSON object, of another schema, or was changed
        after it was written.
    """
    if not path.is_file():
        raise errors.InputError(str(path), 'no such file', 'the description in a native folder')
    try:
        with path.open('rb') as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise errors.InputError(str(path), f'{path.stat().st_size} bytes', 'at most 4 MiB')
        record = parse(content.decode())
    except errors.InputError:
        raise
    except (ValueError, RecursionError, OSError) as error:
        raise errors.InputError(
            str(path), f'a damaged description ({bounds.brief(error)})', 'a JSON object'
        ) from error
    if not isinstance(record, dict):
        raise errors.InputError(str(path), type(record).__name__, 'a JSON object')
    try:
        record = files.unsealed(record)
    except (ValueError, RecursionError) as error:
        raise errors.InputError(
            str(path),
            f'a damaged description ({bounds.brief(error)})',
            hint='copy or download the folder again; if you changed it yourself, remove its "sha256"',
        ) from error
    with naming(str(path)):
        errors.one_of('schema', record.get('schema'), schemas)
    return record


def parse(text: str) -> Any:
    """Parses JSON; raises `ValueError` for invalid JSON and for numbers that are not finite."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(constant):
    raise ValueError(f'the number {constant}, which is not valid JSON')


def _finite(text):
    return float(text) if math.isfinite(float(text)) else _refuse(text[:20])


def notes(record: dict[str, Any]) -> tuple[str, ...]:
    """Returns the notes in a description's `source`, as printable text."""
    return tuple(
        errors.shown(str(note)[:1000]) for note in record.get('source', {}).get('notes', ())[:100]
    )


def recipe(record: dict[str, Any]) -> dict[str, Any] | None:
    """Returns how the network was trained, None when unknown.

    Raises:
      InputError: for anything but an object or null.
    """
    found = record.get('recipe')
    if found is not None and not isinstance(found, dict):
        raise errors.InputError('recipe', repr(found)[:80], 'an object or null')
    return found
