"""Reads and writes CSV tables: a line for whatever is wrong with one."""

import contextlib
import csv
import os
from collections.abc import Iterable, Iterator, Sequence

from fr_inference import errors


def rows(
    path: str | os.PathLike, columns: Sequence[str], source: str
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields (number of the line, the values of `columns`) row by row; an absent value is ''.

    Args:
      path: a UTF-8 file, a byte order mark allowed, whose first line names its columns.
      columns: those that are read; the file may have others.
      source: how errors call the file.

    Raises:
      InputError: when it can't be read, or lacks a column.
    """
    with _reading(path, source) as reader:
        found = reader.fieldnames or []
        missing = [name for name in columns if name not in found]
        errors.require(
            not missing,
            f'{source} lacks the columns {",".join(missing)}: found '
            f'{",".join(found)[:80]!r}, expected {",".join(columns)}',
        )
        for number, row in enumerate(reader, start=2):
            yield number, tuple(row[name] or '' for name in columns)


def whole(
    path: str | os.PathLike, source: str
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Returns (the columns' names, (number of the line, column -> value) of each row).

    Args:
      path: as for `rows`.
      source: how errors call the file.

    Raises:
      InputError: when it can't be read, names a column twice, or a row has more values than columns.
    """
    found: list[tuple[int, dict[str, str]]] = []
    with _reading(path, source) as reader:
        columns = list(reader.fieldnames or [])
        twice = sorted({name for name in columns if columns.count(name) > 1})
        errors.require(not twice, f'{source} has the column {",".join(twice)[:80]!r} twice')
        for row in reader:
            errors.require(
                None not in row,
                f'{source} line {reader.line_num} has more values than the {len(columns)} columns; '
                'put quotes around a value with a comma',
            )
            found.append((reader.line_num, {name: row[name] or '' for name in columns}))
    return columns, found


@contextlib.contextmanager
def _reading(path, source):
    errors.require(
        os.path.isfile(path) or not os.path.exists(path),  # a pipe would be waited for
        f'{source} is no regular file, expected a CSV file',
    )
    try:
        # File names of other encodings are written, and found again, as Python keeps them.
        with open(path, newline='', encoding='utf-8-sig', errors='surrogatepass') as file:
            reader = csv.DictReader(file)
            first = ','.join(reader.fieldnames or [])
            separator = next((mark for mark in ';\t' if mark in first and ',' not in first), '')
            errors.require(
                not separator, f'{source} is separated by {separator!r}, expected commas'
            )
            yield reader
    except errors.InputError:
        raise
    except OSError as error:
        raise errors.InputError(f'{source} can not be read: {error.strerror}') from error
    except (ValueError, csv.Error) as error:
        raise errors.InputError(f'{source} is not a UTF-8 CSV file: {error}') from error


def write(
    path: str | os.PathLike, columns: Iterable[str], values: Iterable[Iterable[object]]
) -> None:
    """Writes a CSV table that `rows` reads, whatever the encoding of the file names in it."""
    with open(path, 'w', newline='', encoding='utf-8', errors='surrogatepass') as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(values)
