"""Random latents and what a target makes of them: drawn once, for every search that begins from them.

A latent is a pure function of its number, so that neither devices nor batches change one; on disk, an
interrupted draw goes on where it stopped.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping

import jax
import numpy as np

from fr_inference import devices, errors, processes, provenance
from fr_inference.inversion import optimize, programs
from fr_inference.inversion.optimize import Constants, Plan
from fr_inference.inversion.scene import Scene

Progress = Callable[..., None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """Latents number 0 to N - 1, averaged over moved pictures of each.

    Attributes:
      z_dim: length of the z that each was drawn as.
      terms: name -> [N] float32, of `objective.terms`.
      embeddings: [N, D] float32, the target's.
    """

    z_dim: int
    terms: Mapping[str, np.ndarray]
    embeddings: np.ndarray

    def __len__(self):
        return len(self.embeddings)


def draw(
    scene: Scene,
    plan: Plan,
    constants: Constants,
    z_dim: int,
    *,
    workdir: str | os.PathLike | None = None,
    label: str = 'drawing',
    progress: Progress | None = None,
) -> Pool:
    """Draws and scores `plan.draws` random latents, `plan.batch` at a time on each device.

    Args:
      scene: generator before target.
      plan: how many, how many pictures of each, the seed.
      constants: variables and measurements; `key` is replaced by the plan's seed.
      z_dim: length of z.
      workdir: keeps what is drawn, as files that are read when needed; in memory when None.
      label: of the progress.
      progress: called as progress(label, done, total).

    Raises:
      InputError: when `workdir` holds another draw.
    """
    constants = programs.ready(constants, plan)
    score = programs.over(optimize.scoring, constants, scene, plan, z_dim)
    shapes = jax.eval_shape(optimize.scoring(scene, plan, z_dim), constants, np.int32(0))
    folder = pathlib.Path(workdir) if workdir is not None else None
    if folder is not None:
        described = {name: getattr(plan, name) for name in ('draws', 'pictures', 'seed')}
        described['jitter'] = dataclasses.asdict(plan.jitter)
        provenance.claim_run(folder, described | programs.identified(scene, constants))
    terms, embeddings = jax.tree_util.tree_map_with_path(
        lambda path, leaf: _column(folder, jax.tree_util.keystr(path), (plan.draws, *leaf.shape)),
        shapes,
    )
    columns = [*terms.values(), embeddings]
    at_once = plan.batch * len(devices.local()) * processes.count()
    block = min(at_once, plan.draws)

    def saved(rows):
        found = [np.asarray(column[rows]) for column in columns]
        return found if all(np.isfinite(part).all() for part in found) else None

    for first in range(0, plan.draws, block):
        rows = slice(first, min(first + block, plan.draws))
        done = processes.from_first(functools.partial(saved, rows))
        if done is not None:
            for column, values in zip(columns, done, strict=True):
                column[rows] = values
        else:
            # Always whole blocks, for one compiled program.
            found, seen = score(np.arange(first, first + block, dtype=np.int32))
            count = rows.stop - first
            embeddings[rows] = seen[:count]
            for name, column in terms.items():
                column[rows] = found[name][:count]
        if progress is not None:
            progress(label, rows.stop, plan.draws)
        processes.stop_point()
    return Pool(z_dim=z_dim, terms=terms, embeddings=embeddings)


def _column(folder, name, shape):
    """An array of NaN, or what an earlier run left of it: a row that is finite is done.

    Of several processes the first keeps it on disk, the others in memory.
    """
    if folder is None or not processes.is_first():
        return np.full(shape, np.nan, np.float32)
    path = folder / f'{"".join(filter(str.isalpha, name)) or "embeddings"}.npy'
    if not path.exists():
        temporary = path.with_suffix('.tmp')
        fresh = np.lib.format.open_memmap(temporary, 'w+', np.float32, shape)
        fresh[:] = np.nan
        fresh.flush()
        temporary.rename(path)
    try:
        found = np.lib.format.open_memmap(path, 'r+')
    except (ValueError, OSError) as error:
        raise errors.InputError(f'{path}: damaged: {error}; remove it to draw anew') from error
    errors.require(
        found.shape == shape and found.dtype == np.float32,
        f'{path}: found {found.dtype} {list(found.shape)}, expected float32 {list(shape)}; remove it '
        'to draw anew',
    )
    return found
