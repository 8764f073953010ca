"""Limits on what an untrusted file may hold, and how its text may appear in errors."""

from collections.abc import Collection

from fr_inference import errors

MAX_FILE_BYTES = 8 << 30
MAX_TABLE_BYTES = 4 << 20  # tables of contents take 100 to 200 bytes a tensor
MAX_TENSORS = 20_000
MAX_NAME = 512
MAX_NUMBER = 1 << 48
_MAX_WORDS = 200


def check_count(count: int, source: str) -> None:
    """Raises `InputError` for a file of more than `MAX_TENSORS` entries."""
    if count > MAX_TENSORS:
        raise errors.InputError(
            source, f'{count} entries', f'at most {MAX_TENSORS} in a checkpoint'
        )


def check_names(names: Collection[str], source: str) -> None:
    """Raises `InputError` for names that hold control characters."""
    if not all(name.isprintable() for name in names):
        raise errors.InputError(
            source, 'names with control characters', 'names of tensors that can be printed'
        )


def brief(error: Exception) -> str:
    """Returns the text of an error in at most 200 printable characters.

    Libraries quote names and numbers of the file in their errors, whatever their length.

    >>> brief(ValueError('bad name:\\n' + 'a' * 1_000_000))[:16]
    'bad name: aaaaaa'
    """
    words = errors.shown(' '.join(str(error)[: 4 * _MAX_WORDS].split()))
    return words[:_MAX_WORDS] or type(error).__name__
