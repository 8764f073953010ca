"""The table of a batch: one audit a row, its options in columns named as their flags."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from experiments import job, search
from experiments.batch_folder import SCORES
from fr_inference import errors, tables
from fr_inference.report import batch_page

_PATHS = (*job.BACKBONES, *job.FACES, *search.BACKBONES, *search.FACES)
_FILE_TYPES = ('.pth', '.pt', '.ckpt', '.safetensors', '.onnx', '.pkl')
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,99}')
_RESERVED = (*batch_page.FILES, SCORES)
_SHOWN = 20  # of the errors of one table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One audit of a batch.

    Attributes:
      name: of its folder, too.
      job: what it is asked to do.
    """

    name: str
    job: job.Job


def read(
    path: str, defaults: Mapping[str, Any], parsers: Mapping[str, Callable[[str], Any]]
) -> list[Row]:
    """Reads a table of audits.

    Args:
      path: a CSV file. A relative path in it is relative to its folder where that exists, else to the
        current one.
      defaults: values of the flags, which a cell that is not empty overrides.
      parsers: flag -> what reads its value from text; `ValueError` where it can't.

    Raises:
      InputError: one line that lists whatever is wrong with the table itself. What is wrong with
        the files that it names is found when they are opened.
    """
    columns, rows = tables.whole(path, f'--targets: {path}')
    needed = [name for name in job.REQUIRED if defaults[name] is None]
    missing = [name for name in needed if name not in columns]
    unknown = [name for name in columns if name != 'name' and name not in parsers]
    errors.require(
        not missing,
        f'--targets: {path} lacks the columns {",".join(missing)}: found '
        f'{",".join(columns)[:200]!r}; add them, or give a flag that holds for all rows',
    )
    errors.require(
        not unknown,
        f'--targets: {path} has unknown columns {", ".join(map(repr, unknown))[:200]}, expected '
        f'name or options of an audit: {", ".join(parsers)}',
    )
    errors.require(rows, f'--targets: {path} lists no targets; expected one a line')
    found, wrong = [], []
    taken: dict[str, int] = {}
    for line, cells in rows:
        try:
            row = _row(cells, pathlib.Path(path).parent, defaults, parsers)
            first = taken.setdefault(row.name.lower(), line)
            errors.require(
                first == line,
                f'the name {row.name!r} is that of line {first} as well; give each row another one '
                'in a column name',
            )
            found.append(row)
        except errors.InputError as error:
            wrong.append(f'line {line}: {error}')
    more = f'; and {len(wrong) - _SHOWN} lines more' if len(wrong) > _SHOWN else ''
    errors.require(not wrong, f'--targets: {path} {"; ".join(wrong[:_SHOWN])}{more}')
    return found


def _row(cells, folder, defaults, parsers):
    cells = {column: cell.strip() for column, cell in cells.items()}
    values = dict(defaults)
    for column, cell in cells.items():
        if column == 'name' or not cell:
            continue
        try:
            values[column] = parsers[column](_located(folder, cell) if column in _PATHS else cell)
        except ValueError as error:
            raise errors.InputError(f'{column}: found {cell!r:.80}: {error}') from None
    for name in job.REQUIRED:
        errors.require(values[name], f'{name}: empty')
    name = cells.get('name') or _default_name(values['target'])
    errors.require(
        name.lower() not in _RESERVED,
        f"name: found {name!r:.120}, which the batch's own files have; choose another",
    )
    errors.require(
        _NAME.fullmatch(name),
        f'name: found {name!r:.120}, expected the name of a folder: letters, digits and ._- only, 100 '
        'at most, a letter or a digit first',
    )
    return Row(name=name, job=job.of_values(values))


def _located(folder, cell):
    beside = folder / cell
    # The same from wherever the batch is started.
    return os.path.abspath(beside) if os.path.exists(beside) else cell


def _default_name(target):
    """Depends on the row alone: what is added to a table must not rename what is done."""
    path = pathlib.Path(target)
    name = path.stem if path.suffix.lower() in _FILE_TYPES else path.name
    return re.sub(r'[^A-Za-z0-9._-]+', '_', name).lstrip('._-')[:100] or 'target'
