"""Reads and writes CSV tables; an error is one line that names the file and the line.

Several dialects are read. Values are separated by commas, or by semicolons or tabs if the first
line has no comma. Blanks after a separator and a byte order mark are ignored.
"""

import collections
import contextlib
import csv
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence

from fr_inference import errors, files

_MOST_BYTES = 1 << 30  # largest size of a table that is read row by row
_MOST_BYTES_AT_ONCE = 2 << 20
# Largest length of a line; csv itself limits a value to 131,072 characters
_MOST_CHARACTERS = 1 << 20


def rows(
    path: str | os.PathLike, columns: Sequence[str], field: str | None = None
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields (number of the line, the values of `columns`) row by row; an absent value is ''.

    Args:
      path: a UTF-8 file of at most 1 GiB whose first line names its columns.
      columns: the columns to read; the file may have others.
      field: of errors; the path by default.

    Raises:
      InputError: when it cannot be read, or lacks a column.
    """
    field = str(path) if field is None else field
    with _reading(path, field, _MOST_BYTES) as reader:
        found = reader.fieldnames or []
        if any(name not in found for name in columns):
            missing = ','.join(name for name in columns if name not in found)
            raise errors.InputError(
                field,
                f'the columns {",".join(found)[:80]!r}',
                ','.join(columns),
                f'add the columns {missing}',
            )
        for number, row in enumerate(reader, start=2):
            yield number, tuple(row[name] or '' for name in columns)


def further(path: str | os.PathLike, columns: Sequence[str], field: str | None = None) -> list[str]:
    """Returns the names of a table's other columns than `columns`; columns without a name are ignored.

    Args:
      path: as for `rows`.
      columns: the columns to leave out.
      field: of errors; the path by default.

    Raises:
      InputError: when it cannot be read, or repeats one of them.
    """
    field = str(path) if field is None else field
    with _reading(path, field, _MOST_BYTES) as reader:
        found = [name for name in reader.fieldnames or [] if name and name not in columns]
    if len(set(found)) < len(found):
        twice = collections.Counter(found).most_common(1)[0][0]
        raise errors.InputError(field, f'the column {twice[:80]!r} twice', 'each column once')
    return found


def whole(
    path: str | os.PathLike, field: str | None = None
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Returns (the columns' names, (number of the line, column -> value) of each row).

    Args:
      path: as for `rows`, of at most 2 MiB.
      field: of errors; the path by default.

    Raises:
      InputError: when it cannot be read, repeats a column, or a row has more values than columns.
    """
    field = str(path) if field is None else field
    found: list[tuple[int, dict[str, str]]] = []
    with _reading(path, field, _MOST_BYTES_AT_ONCE) as reader:
        columns = list(reader.fieldnames or [])
        if len(set(columns)) < len(columns):
            twice = ','.join(sorted({name for name in columns if columns.count(name) > 1}))
            raise errors.InputError(field, f'the column {twice[:80]!r} twice', 'each column once')
        for row in reader:
            if None in row:
                raise errors.InputError(
                    field,
                    f'more values than the {len(columns)} columns',
                    hint='put quotes around a value with a comma',
                    inside=f'line {reader.line_num}',
                )
            found.append((reader.line_num, {name: row[name] or '' for name in columns}))
    return columns, found


@contextlib.contextmanager
def _reading(path, field, most):
    if os.path.exists(path):
        if not os.path.isfile(path):  # opening a pipe would wait for a writer
            raise errors.InputError(field, 'something that is not a regular file', 'a CSV file')
        if os.path.getsize(path) > most:
            found = f'{os.path.getsize(path)} bytes'
            raise errors.InputError(field, found, f'a CSV file of at most {most} bytes')
    try:
        # File names in other encodings survive a round trip, because Python's escapes are kept.
        with open(path, newline='', encoding='utf-8-sig', errors='surrogatepass') as file:
            lines = _lines(file, field)
            first = next(lines, '')
            mark = next((one for one in ',;\t' if one in first), ',')
            reader = csv.DictReader(
                itertools.chain([first], lines), delimiter=mark, skipinitialspace=True
            )
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            yield reader
    except errors.InputError:
        raise
    except OSError as error:
        raise errors.InputError(
            field, f'a file that cannot be read ({error.strerror})', 'a CSV file'
        ) from error
    except (ValueError, csv.Error) as error:
        raise errors.InputError(field, f'{error}', 'a UTF-8 CSV file') from error


def _lines(file, field):
    """Yields the lines of a file; an overlong line is not read into memory as a whole."""
    number = 1
    while line := file.readline(_MOST_CHARACTERS + 1):
        if len(line) > _MOST_CHARACTERS:
            raise errors.InputError(
                field,
                f'more than {_MOST_CHARACTERS} characters',
                'a row of a CSV file',
                inside=f'line {number}',
            )
        yield line
        number += 1


def as_found(folder: str | os.PathLike, written: str) -> str:
    """Returns a path from a table, with / instead of backslashes if only that exists.

    Args:
      folder: the base of relative paths.
      written: the path.
    """
    other = written.replace('\\', '/')
    here = os.path.exists(os.path.join(folder, written))
    return other if not here and os.path.exists(os.path.join(folder, other)) else written


def write(
    path: str | os.PathLike, columns: Iterable[str], values: Iterable[Iterable[object]]
) -> None:
    """Writes a CSV table that `rows` reads, atomically replacing an earlier one.

    Raises:
      OSError: that names `path`, on a full disk for instance.
    """
    with files.replacing(path) as temporary:
        fill(temporary, columns, values)


def fill(
    path: str | os.PathLike, columns: Iterable[str], values: Iterable[Iterable[object]]
) -> None:
    """Writes to an unfinished file; file names in the table may have any encoding."""
    with open(path, 'w', newline='', encoding='utf-8', errors='surrogatepass') as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(values)
