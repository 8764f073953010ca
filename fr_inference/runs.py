"""Work in a folder that may be killed at any moment: claim, resumable loop, rows.

Several processes call these functions together. Only process 0 reads and writes files; it sends
what it reads to the others. So work can be resumed with any number of processes, and they need no
shared disk.
"""

import contextlib
import functools
import itertools
import json
import os
import pathlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import jax
import numpy as np

from fr_inference import checkpointing, errors, files, mirrored, processes, profiling
from fr_inference.row_cache import RowCache

Progress = Callable[..., None]
"""Called as progress(label, done, total, **metrics)."""
Advance = Callable[[Any, int], tuple[Any, int, Mapping[str, Any] | None]]
Arguments = ParamSpec('Arguments')
Result = TypeVar('Result')

# Rows are computed and stored in blocks that take about this long; the first is a few batches.
_BLOCK_SECONDS = 20
_FIRST_BATCHES = 4
_POSITIONS = 4096  # images whose files are read between two points at which work can be stopped


def first_only(write: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Decorator for functions that write files: process 0 runs them, the others continue at once."""

    @functools.wraps(write)
    def written(*arguments: Arguments.args, **options: Arguments.kwargs) -> None:
        if processes.is_first():
            write(*arguments, **options)

    return written


def by_first(decide: Callable[[], Result]) -> Result:
    """Returns the result of process 0 in all processes: they may see other disks, and round differently.

    Args:
      decide: called only in process 0; its result must be one that `processes.from_first` can send.

    Raises:
      InputError: in all processes, when `decide` raises it.
    """
    return processes.from_first(decide)


def shared(total: int, work: Callable[[range], list[Any]]) -> list[Any]:
    """Returns the results of `work` for `total` positions, in their order.

    Each process does its share of a block, and all get the whole block. Work can be stopped between
    blocks.

    Args:
      total: the same in all processes.
      work: positions -> a JSON-compatible entry for each.

    Raises:
      Stopped: when a stop was requested.
      InputError: in all processes, when `work` raises it in one.
    """
    found: list[Any] = []
    for first in range(0, total, _POSITIONS):
        stop_point()
        block = range(first, min(first + _POSITIONS, total))
        own = block[processes.share(len(block))]
        part = processes.each_its_share(functools.partial(work, own))
        found += itertools.chain.from_iterable(processes.gather_json(part))
    return found


def stop_point() -> None:
    """A point, passed by all processes, at which work can be stopped with nothing to save.

    Raises:
      Stopped: when a stop was requested.
    """
    processes.stop_point()


def stop_point_of_one() -> None:
    """As `stop_point`, within a function that `by_first` runs; it works only with a single process.

    Raises:
      Stopped: when a stop was requested.
    """
    if processes.count() == 1:
        processes.stop_point()


def claim(
    folder: str | os.PathLike, description: Mapping[str, Any], *, file: str = 'run.json'
) -> None:
    """Writes the description of a run to a file in `folder`, or compares it with the one already there.

    Args:
      folder: the folder of the run; created if it does not exist.
      description: what two runs must have in common to share states, JSON-compatible.
      file: its name.

    Raises:
      InputError: in all processes; lists the differences from the run on disk, or says that the
        file is damaged.
    """
    by_first(lambda: _claim(pathlib.Path(folder), description, file))


def _claim(folder, description, file):
    path = folder / file
    here = json.loads(json.dumps(description))
    if not path.exists():
        return files.write_text(path, json.dumps(files.sealed(here), indent=1, sort_keys=True))
    try:
        found = files.unsealed(json.loads(path.read_text(encoding='utf-8')))
    except (ValueError, OSError, RecursionError) as error:
        raise errors.InputError(
            str(path), f'a damaged file ({error})', hint='remove it to start over'
        ) from error
    there, here = _flat(found), _flat(here)
    different = [
        f'{key} ({there.get(key)!r:.60} there, {value!r:.60} here)'
        for key, value in here.items()
        if there.get(key) != value
    ]
    if different:
        raise errors.InputError(
            str(folder),
            f'another run, with different {", ".join(different)}',
            hint='choose another folder, or repeat the command that started that run',
        )


def _flat(run):
    """Returns the entries of a run's description, those of an inner dict under 'key.inner'."""
    flat = {}
    for key, value in run.items():
        inner = value.items() if isinstance(value, dict) else ()
        flat.update({f'{key}.{name}': part for name, part in inner} or {key: value})
    return dict(sorted(flat.items()))


def resume(
    state: Any,
    total: int,
    advance: Advance,
    *,
    like: Any = None,
    folder: str | os.PathLike | None = None,
    place: Callable[[Any], Any] | None = None,
    save_seconds: float = 60.0,
    save_at: Collection[int] = (),
    label: str = '',
    progress: Progress | None = None,
) -> Any:
    """Runs the work to its end, from the last saved state or the given one.

    An interrupted run gives the same result, bit for bit.

    The work can be stopped between two calls of `advance` (`processes.ask_to_stop`). A kill loses
    the work since the last save.

    Args:
      state: initial state, a pytree of arrays that is the same in all processes. With `like`, a
        function without arguments that returns it, called only if no state was saved.
      total: units of work; a state is saved under the number of units done.
      advance: (state, done) -> (state, done, metrics), which does one unit or more. Metrics are
        numbers to show, or None to report no progress (and wait for no device).
      like: pytree of arrays or `jax.ShapeDtypeStruct`s of the state's structure.
      folder: the claimed folder of the run, with states in its `state/`. With None, no state is saved.
      place: called once with the state that the work starts from (NumPy arrays if it was saved);
        returns the form that `advance` takes, such as the state on all devices.
      save_seconds: seconds between two saves; the last state is always saved.
      save_at: numbers of units after which the state is always saved, for example because the next
        `advance` does more than a unit and may be stopped during it.
      label: of the progress.
      progress: called as progress(label, done, total, **metrics).

    Returns:
      The state after `total` units.

    Raises:
      Stopped: when a stop was requested; the state is saved if there is a `folder`.
      InputError: in all processes, when no saved state can be used.
    """
    with contextlib.ExitStack() as stack:
        states: checkpointing.States | None = None

        def restored():
            nonlocal states
            if folder is None:
                return None
            directory = pathlib.Path(folder) / 'state'
            states = stack.enter_context(checkpointing.States(directory))
            found = states.latest(state if like is None else like)
            return None if found is None else [found[0], jax.tree.leaves(found[1])]

        found = by_first(restored)
        done = saved = 0
        if found is not None:
            done, leaves = found
            saved = done
            state = jax.tree.unflatten(jax.tree.structure(state if like is None else like), leaves)
        elif like is not None:
            state = state()
        if place is not None:
            state = place(state)
        saved_at = time.monotonic()
        loop = profiling.Loop(label)

        def save():
            nonlocal saved, saved_at
            if states is not None and saved != done:
                states.save(done, state)
                mirrored.push(cast(str, folder))
            saved, saved_at = done, time.monotonic()

        while done < total:
            processes.stop_point(save)
            state, done, metrics = loop.step(advance, state, done)
            if progress is not None and metrics is not None:
                told = {name: float(value) for name, value in metrics.items()}
                progress(label, done, total, **told)
            if done >= total or done in save_at or time.monotonic() - saved_at >= save_seconds:
                save()
        loop.end()
        return state


def rows(
    keys: Sequence[str],
    compute: Callable[[np.ndarray], np.ndarray | Iterable[np.ndarray]],
    *,
    width: int,
    cache: RowCache | None = None,
    batch: int = 64,
    label: str = '',
    progress: Progress | None = None,
    lost: MutableMapping[int, str] | None = None,
) -> np.ndarray:
    """Returns one row of numbers for each key: from the cache, or computed and added to it.

    Missing rows are computed block by block. Each process computes its share of a block, all get
    the whole block, and process 0 appends it to the cache. Blocks grow until one takes about 20
    seconds. The work can be stopped before each block.

    Args:
      keys: N texts, the same in all processes; '' for a row that is not cached.
      compute: (positions [n] among the N, ascending, n >= 0) -> [n, width] float32, or an iterator of
        consecutive parts of it. It need not know about other processes.
      width: numbers in a row.
      cache: opened only by process 0; nothing is cached when None.
      batch: rows that a process computes at a time. Its share of a block is a multiple of this,
        except for the last block.
      label: of the progress.
      progress: called as progress(label, done, total). If rows came from the cache, the first call
        also has stored=, their number.
      lost: mapping in which `compute` records position -> reason for rows that it cannot compute,
        whose values are NaN. Every process gets the records of all.

    Returns:
      [N, width] float32.

    Raises:
      Stopped: when a stop was requested; computed rows are in the cache.
      InputError: in all processes, when `compute` raises it in one.
    """
    total = len(keys)
    values, todo = np.full((total, width), np.nan, np.float32), np.arange(total)
    if cache is not None:
        kept: RowCache = cache
        mask, found = by_first(lambda: kept.lookup(keys))
        if mask.all():
            values = found
        else:
            values[mask] = found
        todo = np.flatnonzero(~mask)
    done = stored = total - len(todo)
    if progress is not None and stored:
        progress(label, stored, total, stored=stored)
    at_once = batch * processes.count()
    size = _FIRST_BATCHES * at_once
    loop = profiling.Loop(label)

    def advanced(count):
        if progress is not None:
            progress(label, count, total)

    try:
        while done < total:
            processes.stop_point()
            began = time.monotonic()
            block = todo[done - stored : done - stored + size]
            own = block[processes.share(len(block))]
            # The progress of other processes is not known before the end of the block.
            told = functools.partial(_tell_from, advanced, done) if processes.count() == 1 else None
            part = processes.each_its_share(
                functools.partial(_computed, compute, own, width, told, loop)
            )
            if len(part) != len(own):
                raise ValueError(f'compute: found {len(part)} rows, expected {len(own)}')
            part = processes.gather_rows(part)
            if lost is not None:
                mine = [
                    [int(position), lost[int(position)]] for position in own if position in lost
                ]
                lost.update(pair for pairs in processes.gather_json(mine) for pair in pairs)
            values[block] = part
            if cache is not None and processes.is_first():
                cache.append([keys[position] for position in block.tolist()], part)
            done += len(block)
            if processes.count() > 1:
                advanced(done)
            # The time of the slowest process, so that all choose the same size.
            seconds = max(processes.gather_json(time.monotonic() - began))
            grown = min(16 * size, round(size * _BLOCK_SECONDS / max(seconds, 0.1)))
            size = max(size, grown // at_once * at_once)
        loop.end()
    finally:
        if cache is not None and processes.is_first():
            cache.flush()
    return values


def _tell_from(advanced, done, count):
    advanced(done + count)


def _computed(compute, positions, width, told, loop):
    """Returns the rows of all parts that `compute` yields, reporting each as it comes."""
    parts = compute(positions)
    parts = iter([parts] if isinstance(parts, np.ndarray) else parts)
    found, count = [np.zeros((0, width), np.float32)], 0
    while count < len(positions) and (part := loop.step(next, parts, None)) is not None:
        found.append(np.asarray(part, np.float32))
        count += len(part)
        if told is not None:
            told(count)
    found += [np.asarray(part, np.float32) for part in parts]  # too many; the caller checks
    return np.concatenate(found)
