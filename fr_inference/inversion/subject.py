"""A backbone that is searched, and its pool: random latents with the backbone's measurements of each.

The pool is drawn once for all searches of the backbone, whatever their goals. A latent is a pure
function of its number, so rows can be cached by number and do not depend on devices or batches.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import jax
import numpy as np

from fr_inference import checkpointing, devices, rng, runs
from fr_inference.config import Search
from fr_inference.inversion import candidate, guidance, prior
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.candidate import Constants
from fr_inference.inversion.scene import Scene
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.row_cache import RowCache
from fr_inference.runs import Progress


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """Random latents number 0 to N - 1.

    Attributes:
      terms: name -> [N] float32, or [N, D] float32 for 'embedding': of `candidate.look`.
    """

    terms: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.terms['prior'])

    @property
    def embeddings(self) -> np.ndarray:
        """[N, D] float32: means of the target's unit embeddings of a latent's moved pictures."""
        return self.terms['embedding']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A backbone that is searched.

    Attributes:
      scene: the generator followed by the backbone.
      constants: variables, prior, guide and key.
      pool: its random latents; the same numbers give the same faces before every backbone.
    """

    scene: Scene
    constants: Constants
    pool: Pool

    def description(self) -> dict[str, str]:
        """Returns a JSON-compatible description that identifies this subject."""
        return _description(self.scene, self.constants)


def prepare(
    target: Target,
    generator: Trained,
    how: Search,
    *,
    seed: int,
    guide: guidance.Guide | None = None,
    workdir: str | os.PathLike | None = None,
    label: str = 'random faces',
    progress: Progress | None = None,
) -> Subject:
    """Puts the generator before a backbone, and draws the pool of random latents.

    Args:
      target: the backbone. It needs BatchNorm layers only for a `guide`.
      generator: whose latents are searched.
      how: uses `space`, `psi`, `framing`, `draws`, `pictures` and `search_batch`.
      seed: of every draw, here and in the searches.
      guide: the membership attack on the target, for the membership goal; with other goals its
        logit is only recorded (`Found.logits`).
      workdir: caches the rows of the pool, each with a checksum; with None they are only in memory.
      label: the name of the work, for `progress`.
      progress: called as progress(label, done, total).

    Raises:
      Stopped: when a stop was requested; with a `workdir`, drawn rows are kept.
    """
    scene = scenes.make(generator.module, target, space=how.space, psi=how.psi, framing=how.framing)
    constants = devices.replicated(
        Constants(
            generator=generator.variables,
            target=target.variables,
            prior=prior.of_generator(scene, generator.variables, seed),
            guide=guide,
            key=rng.stream(jax.random.key(seed), 'search'),
        )
    )
    pool = draw(scene, constants, how, workdir=workdir, label=label, progress=progress)
    return Subject(scene=scene, constants=constants, pool=pool)


def draw(
    scene: Scene,
    constants: Constants,
    how: Search,
    *,
    workdir: str | os.PathLike | None = None,
    label: str = 'random faces',
    progress: Progress | None = None,
) -> Pool:
    """Draws the first `how.draws` random latents and evaluates `how.pictures` pictures of each.

    Args:
      scene: generator before target.
      constants: variables, prior, guide and key.
      how: see `prepare`.
      workdir: as in `prepare`.
      label: the name of the work, for `progress`.
      progress: called as progress(label, done, total).
    """
    static = scene, how.pictures
    terms = candidate.mapped(
        candidate.first_look, static, constants, total=how.draws, most=how.search_batch
    )
    shapes = jax.eval_shape(candidate.first_look(*static), constants, np.int32(0))
    width = sum(leaf.size for leaf in shapes.values())
    cache = None
    if workdir is not None:
        described = {'pictures': how.pictures, **_description(scene, constants)}
        cache = RowCache(pathlib.Path(workdir), described, width)

    def compute(positions):
        found = terms.here(positions.astype(np.int32))
        return np.concatenate([found[name].reshape(len(positions), -1) for name in shapes], 1)

    rows = runs.rows(
        [str(number) for number in range(how.draws)],
        compute,
        width=width,
        cache=cache,
        batch=terms.count * terms.width,
        label=label,
        progress=progress,
    )
    ends = np.cumsum([leaf.size for leaf in shapes.values()])[:-1]
    parts = np.split(rows, ends, axis=1)
    return Pool(
        terms={
            name: part.reshape(len(rows), *leaf.shape)
            for (name, leaf), part in zip(shapes.items(), parts, strict=True)
        }
    )


def _description(scene, constants):
    return {
        'scene': scene.kind,
        'generator': checkpointing.digest(constants.generator),
        'target': checkpointing.digest(constants.target),
        'guide': checkpointing.digest(constants.guide),
        'prior': checkpointing.digest(constants.prior),
        'key': checkpointing.digest(jax.random.key_data(constants.key)),
    }
