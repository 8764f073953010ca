"""Checkpoints in several files: Hugging Face's folders, and shards listed by an index.

Sources: the names that transformers and huggingface_hub give to files; the index is JSON with a table
`weight_map` from names of tensors to names of files beside it.
"""

import json
import os
import pathlib
from collections.abc import Iterator

from fr_inference import errors
from fr_inference.formats import bounds, regular_files
from fr_inference.formats.named_tensors import StateDict
from fr_inference.formats.state_dicts import read_tensors

_INDEX = '.index.json'
_NAMES = (
    *(f'model.safetensors{_INDEX}', f'pytorch_model.bin{_INDEX}'),
    *('model.safetensors', 'pytorch_model.bin'),
)
_MAX_SHARDS = 1000


def main_file(folder: pathlib.Path) -> pathlib.Path | None:
    """Returns the file that holds or lists the weights in a Hugging Face folder; None for others."""
    return next((folder / name for name in _NAMES if (folder / name).exists()), None)


def named_in(path: pathlib.Path) -> list[str]:
    """Returns the names of the shards that an index lists, which need not exist yet; else []."""
    try:
        names = sorted({shard for _, shard in _table(path)}) if path.name.endswith(_INDEX) else []
    except errors.InputError:  # `read` reports it
        return []
    return names[:_MAX_SHARDS]


def read(path: str | os.PathLike) -> tuple[StateDict, list[pathlib.Path]]:
    """Reads a checkpoint in one file or several.

    Args:
      path: a checkpoint file, an index, or a folder that has a `main_file`.

    Returns:
      (all named tensors, the files that they came from).

    Raises:
      InputError: as of `read_tensors`; for an index that is damaged or names files elsewhere.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        path = main_file(path) or path
    if not path.name.endswith(_INDEX):
        return read_tensors(path), [path]
    shards: dict[str, list[str]] = {}
    for tensor, shard in _table(path):
        shards.setdefault(shard, []).append(tensor)
    if len(shards) > _MAX_SHARDS:
        raise errors.InputError(str(path), f'{len(shards)} files', f'at most {_MAX_SHARDS}')
    whole = StateDict({})
    files = [path.parent / name for name in sorted(shards)]
    for file in files:
        state = read_tensors(file)
        missing = [name for name in shards[file.name] if name not in state.tensors]
        more = state.tensors.keys() - set(shards[file.name])
        if missing or more:
            named = errors.shown((missing or sorted(more))[0][:80])
            raise errors.InputError(
                str(path),
                f'{file.name} with other tensors than the index lists, such as {named}',
                'files of one checkpoint',
                'copy or download the folder again',
            )
        whole.tensors.update(state.tensors)
    return whole, files


def _table(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    source = str(path)
    try:
        size = regular_files.size_of(path, 'an index of shards')
        if size > bounds.MAX_TABLE_BYTES:
            raise errors.InputError(source, f'an index of {size} bytes', 'at most 4 MiB')
        table = json.loads(path.read_bytes())['weight_map']
        names = dict(table.items())
    except errors.InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise errors.InputError(source, f'a damaged index ({bounds.brief(error)})') from error
    bounds.check_count(len(names), source)
    bounds.check_names(names, source)
    for tensor, file in names.items():
        plain = isinstance(file, str) and file not in ('', '.', '..') and file.isprintable()
        if not plain or len(file) > 255 or set(file) & set('/\\:'):
            raise errors.InputError(
                source, f'a shard called {str(file)[:80]!r}', 'a file beside the index'
            )
        yield tensor, file
