"""From what stage 1 measured to what guides a search: attack, members, the spread of latents."""

import dataclasses
import functools
import pathlib

import jax
import numpy as np

from fr_inference import rng
from fr_inference.config import Settings
from fr_inference.inversion import objective as objectives
from fr_inference.inversion import pool
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.optimize import Constants, Plan
from fr_inference.inversion.pool import Pool, Progress
from fr_inference.inversion.scene import Scene
from fr_inference.measuring import distances
from fr_inference.membership import logistic
from fr_inference.membership.views import Views
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target

_LATENTS = 2048  # random latents that the prior is measured on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """A backbone that is searched.

    Attributes:
      target: the backbone.
      setting: 'auxiliary' or 'partial', whose attack guides.
      known: [N] bool, the images that it was fitted on.
      scene: the generator before the backbone.
      constants: variables, and what was measured.
      pool: random latents, the same of every backbone.
    """

    target: Target
    setting: str
    known: np.ndarray
    scene: Scene
    constants: Constants
    pool: Pool


def side(
    measured: Views,
    generator: Trained,
    plan: Plan,
    *,
    blind: bool,
    settings: Settings,
    space: str,
    psi: float,
    workdir: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> Side:
    """Prepares the search of the target, or (`blind`) of the backbone that never saw the members.

    Args:
      measured: by `measure_views`.
      generator: whose latents are searched.
      plan: of the search.
      blind: which backbone.
      settings: of stage 1.
      space: of the latents, in `scene.SPACES`.
      psi: truncation of the first latents.
      workdir: keeps the random latents.
      progress: called as progress(label, done, total).
    """
    target = measured.blind if blind else measured.target
    images = measured.in_blind if blind else measured.in_target
    shadow, reference = measured.shadow, None
    if shadow is not None:
        reference = shadow.in_blind if blind else shadow.in_target
    if shadow is not None and reference is not None:
        setting, known = 'auxiliary', np.zeros(len(measured.fit), bool)
        seen, member = shadow.in_shadow.log_distances, shadow.in_shadow.member
        fitted = logistic.standardised_by(logistic.fit(seen, member), reference.log_distances)
        features = logistic.carried(seen[member], seen[~member], fitted)
    else:
        setting, known = 'partial', measured.fit
        fitted = logistic.fit(images.log_distances[known], images.member[known])
        features = images.log_distances[known & images.member]
    scene = scenes.make(generator.module, target, space=space, psi=psi)
    constants = _constants(scene, target, generator, fitted, features, settings.seed)
    name = 'untrained target' if blind and measured.untrained else 'blind' if blind else 'target'
    drawn = pool.draw(
        scene,
        plan,
        constants,
        generator.module.z_dim,
        workdir=workdir,
        label=f'random faces in the {name}',
        progress=progress,
    )
    return Side(
        target=target,
        setting=setting,
        known=known,
        scene=scene,
        constants=constants,
        pool=drawn,
    )


def without_attack(
    target: Target, generator: Trained, *, seed: int, space: str = 'w', psi: float = 1.0
) -> tuple[Scene, Constants]:
    """Prepares the search for given embeddings alone; the backbone needs no BatchNorm layers.

    Args:
      target: the backbone.
      generator: whose latents are searched.
      seed: of the latents that the prior is measured on.
      space: of the latents, in `scene.SPACES`.
      psi: truncation of the first latents.
    """
    scene = scenes.make(generator.module, target, space=space, psi=psi)
    layers = len(distances.layer_names(target))
    zeros = np.zeros(layers, np.float32)
    nothing = logistic.Logistic(mean=zeros, std=zeros + 1, weights=zeros, bias=np.float32(0))
    return scene, _constants(scene, target, generator, nothing, np.zeros((2, layers)), seed)


def _constants(scene, target, generator, fitted, features, seed):
    guide = objectives.make_guide(fitted, features, _latents(scene, generator, seed))
    return Constants(
        generator=generator.variables,
        target=target.variables,
        guide=guide,
        key=jax.random.key(seed),
    )


def _latents(scene, generator, seed):
    """Random latents, [N, w_dim or z_dim]."""
    draw = rng.numpy_generator(seed, 'latents')
    z = draw.standard_normal((_LATENTS, generator.module.z_dim), np.float32)
    latents = np.asarray(_many(scene.to_latent)(generator.variables, z))
    return latents.reshape(_LATENTS, -1, latents.shape[-1])[:, 0]  # in w+ all layers start alike


@functools.lru_cache(maxsize=32)
def _many(to_latent):
    return jax.jit(jax.vmap(to_latent, in_axes=(None, 0)))
