"""The table of a batch: one audit per row, with its options in columns named like their flags."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import addresses, config, declaring, errors, local_copies, tables
from fr_inference.declaring import Config
from fr_inference.report import batch_page

SCORES = 'scores'  # folder beside the rows' folders, for measurements that the rows share
KINDS: tuple[type[Config], ...] = (
    *(config.Inputs, config.Settings, config.Search),
    config.Report,
)
"""A column is an option of one of these."""

_OPTIONS = {name: kind for kind in KINDS for name in declaring.flags_of(kind)}
_REQUIRED = [
    name
    for name, kind in _OPTIONS.items()
    if declaring.is_required(declaring.options_of(kind)[name][0])
]
# Options that apply only when a generator is searched.
_OF_SEARCH = ('evaluator', 'second_evaluator', 'strangers', *declaring.flags_of(config.Search))
_FILE_TYPES = ('.pth', '.pt', '.ckpt', '.safetensors', '.onnx', '.pkl')
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,99}')
_RESERVED = (*batch_page.FILES, SCORES)
_SHOWN = 20  # number of a table's errors to show


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One audit of a batch.

    Attributes:
      name: also the name of its folder.
      inputs: backbones, faces and generator.
      settings: how the audit is done.
      search: how the generator is searched; None without one.
      report: the options of its report.
    """

    name: str
    inputs: config.Inputs
    settings: config.Settings
    search: config.Search | None
    report: config.Report

    @property
    def configs(self) -> tuple[Config, ...]:
        """All its options."""
        found = (self.inputs, self.settings, self.search, self.report)
        return tuple(one for one in found if one is not None)


def read(path: str, given: Mapping[str, Any]) -> list[Row]:
    """Reads a table of audits.

    Args:
      path: a CSV file. A relative path in it is resolved from its folder if that exists, else from
        the current folder.
      given: options for every row, unless a cell overrides them.

    Raises:
      InputError: one line that lists all errors in the table itself. Errors in files that it names
        are found when they are opened.
    """
    config.Settings(**_of(config.Settings, given))
    try:
        columns, lines = tables.whole(local_copies.path_of(path, 'targets'))
    except errors.InputError as error:
        raise error.within('targets') from error
    missing = [name for name in _REQUIRED if name not in given and name not in columns]
    unknown = [name for name in columns if name != 'name' and name not in _OPTIONS]
    if missing:
        raise errors.InputError(
            'targets',
            f'the columns {",".join(columns)[:200]!r} without {",".join(missing)}',
            hint='add them, or give a flag for all rows',
            inside=path,
        )
    if unknown:
        raise errors.InputError(
            'targets',
            f'unknown columns {", ".join(map(repr, unknown))[:200]}',
            f'name or options of an audit: {", ".join(_OPTIONS)}',
            inside=path,
        )
    if not lines:
        raise errors.InputError('targets', 'no rows', 'one audit per line', inside=path)
    found, wrong = _rows(path, lines, given)
    if wrong:
        more = f'; and {len(wrong) - _SHOWN} more lines' if len(wrong) > _SHOWN else ''
        raise errors.InputError('targets', hint='; '.join(wrong[:_SHOWN]) + more, inside=path)
    _check_used(found, given)
    return found


def _rows(path, lines, given) -> tuple[list[Row], list[str]]:
    """Returns the rows, and an error line for each bad one."""
    stored = addresses.is_address(path)
    folder = addresses.parent(path) if stored else pathlib.Path(path).parent
    found, wrong = [], []
    taken: dict[str, int] = {}
    for line, cells in lines:
        try:
            row = _row(cells, folder, given)
            first = taken.setdefault(row.name.lower(), line)
            if first != line:
                raise errors.InputError(
                    'name',
                    f'{row.name!r}, which is also the name in line {first}',
                    hint='give each row its own in a column name',
                )
            found.append(row)
        except errors.InputError as error:
            wrong.append(f'line {line}: {error}')
    return found, wrong


def _row(cells: Mapping[str, str], folder: pathlib.Path | str, given: Mapping[str, Any]) -> Row:
    cells = {column: cell.strip() for column, cell in cells.items()}
    own = {
        column: _value(column, cell, folder)
        for column, cell in cells.items()
        if column != 'name' and cell
    }
    if 'generator' not in {**given, **own}:
        given = {name: value for name, value in given.items() if name not in _OF_SEARCH}
    values = {**given, **own}
    for name in _REQUIRED:
        if not values.get(name):
            raise errors.InputError(name, 'an empty cell')
    inputs = config.Inputs(**_of(config.Inputs, values))
    return Row(
        name=_name(cells.get('name') or _default_name(inputs.target)),
        inputs=inputs,
        settings=config.Settings(**_of(config.Settings, values)),
        search=config.search_of(inputs, _of(config.Search, values)),
        report=config.Report(**_of(config.Report, values)),
    )


def _of(kind, values):
    return {name: values[name] for name in declaring.flags_of(kind) if name in values}


def _value(column, cell, folder):
    kind = _OPTIONS[column]
    if declaring.options_of(kind)[column][1].names:
        if isinstance(folder, str):  # an address
            beside = addresses.joined(folder, cell)
            known = os.path.exists(cell) or not addresses.exists(beside, column)
            return declaring.parse(kind, column, cell if known else beside)
        cell = tables.as_found(folder, cell)
        beside = folder / cell
        # The same path from whatever folder the batch is started.
        cell = os.path.abspath(beside) if os.path.exists(beside) else cell
    return declaring.parse(kind, column, cell)


def _check_used(rows: Sequence[Row], given: Mapping[str, Any]) -> None:
    """Checks that each option for all rows applies to at least one of them."""
    unused = [name for name in _OF_SEARCH if name in given]
    if unused and not any(row.search for row in rows):
        raise errors.InputError(
            unused[0], 'no row with a generator', 'a generator, or no search options'
        )


def _name(name):
    if name.lower() in _RESERVED:
        raise errors.InputError(
            'name', f'{name!r:.120}, which is a file of the batch itself', hint='choose another'
        )
    if not _NAME.fullmatch(name):
        raise errors.InputError(
            'name',
            f'{name!r:.120}',
            'the name of a folder: at most 100 letters, digits and ._-, first a letter or a digit',
        )
    return name


def _default_name(target):
    """A name that depends only on the row, so that added rows do not rename finished ones."""
    path = pathlib.Path(target)
    name = path.stem if path.suffix.lower() in _FILE_TYPES else path.name
    return re.sub(r'[^A-Za-z0-9._-]+', '_', name).lstrip('._-')[:100] or 'target'
