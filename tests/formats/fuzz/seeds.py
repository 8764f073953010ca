"""All groups of the fuzzer, and how often each comes."""

from collections.abc import Callable, Mapping, Sequence

from tests.formats.fuzz import own_files, stranger_files
from tests.formats.fuzz.group import Group

GROUPS: Mapping[str, Callable[[], Group]] = {**stranger_files.GROUPS, **own_files.GROUPS}
_SLOW = (
    *('native targets', 'native generators', 'old native targets', 'ours: native targets'),
    'sharded folders',
)
_OFTEN = 8


def schedule(names: Sequence[str]) -> list[str]:
    """Returns the group of input 0, 1, ... of a round: fast ones come several times."""
    return [name for name in names for _ in range(1 if name in _SLOW else _OFTEN)]
