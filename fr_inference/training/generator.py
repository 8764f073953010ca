"""Trains StyleGAN2 on face images.

Karras et al., arXiv 1912.04958, with the training of NVIDIA's stylegan2-ada-pytorch: non-saturating
loss, lazy R1 (section 3.1) and optional lazy path-length regularisation (section 3.2), a running mean of
the generator's weights and of w, style mixing. Deterministic and resumable, as `recognizer` is.
"""

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from fr_inference import checkpointing, devices, errors, rng, runs
from fr_inference.config import GeneratorRecipe
from fr_inference.data.faces import Faces
from fr_inference.models import stylegan2
from fr_inference.program_config import GeneratorNetwork
from fr_inference.runs import Progress
from fr_inference.training import generator_step, training_images
from fr_inference.training.generator_step import State

AUGMENTATIONS = ('none', 'differentiable', 'adaptive')
_TOLD_EVERY = 16  # steps; reporting more often would make the devices wait


def variables_of(state: State, generator: stylegan2.Generator, seed: int) -> dict[str, Any]:
    """Returns the trained variables: averaged weights, mean w and constant noise, as NumPy arrays."""
    sizes = stylegan2.noise_sizes(generator.resolution)
    draw = rng.numpy_generator(seed, 'constant noise')
    noise = {
        f'noise_{i}': draw.standard_normal((size, size), np.float32) for i, size in enumerate(sizes)
    }
    kept = jax.device_get({'params': state.averaged, 'w_avg': state.w_avg})
    return {'params': kept['params'], 'buffers': {'w_avg': kept['w_avg'], **noise}}


def networks(asked: GeneratorNetwork) -> tuple[stylegan2.Generator, stylegan2.Discriminator]:
    """Returns a generator and a discriminator of the same widths."""
    widths: dict[str, Any] = {'channel_base': asked.channel_base, 'channel_max': asked.channel_max}
    module = stylegan2.Generator(
        asked.resolution,
        z_dim=asked.z_dim,
        w_dim=asked.w_dim,
        mapping_layers=asked.mapping_layers,
        **widths,
    )
    return module, stylegan2.Discriminator(asked.resolution, **widths)


def train(
    recipe: GeneratorRecipe,
    generator: stylegan2.Generator,
    discriminator: stylegan2.Discriminator,
    faces: Faces,
    *,
    workdir: str | os.PathLike | None = None,
    save_seconds: float = 120.0,
    skip_bad: bool = False,
    progress: Progress | None = None,
    sample_images: int = 0,
    sample: Callable[[int, stylegan2.Trained], None] | None = None,
) -> stylegan2.Trained:
    """Trains `generator` against `discriminator` on `faces`.

    A batch is split over the devices of all processes; the result does not depend on their number. A
    step does not depend on how many follow: a resumed run can have a larger `recipe.images`, and with a
    smaller one it ends at its present step.

    Args:
      recipe: how to train.
      generator: at the resolution of the images.
      discriminator: at the same resolution.
      faces: the training images; identities are not used.
      workdir: folder for the state, below `state/`, from which a run resumes.
      save_seconds: shortest time between two saves.
      skip_bad: leave unreadable images out.
      progress: called as progress(label, done, total, generator=, discriminator=, sign=).
      sample_images: images between two calls of `sample`; 0 for only the last call.
      sample: called as sample(images seen, the averaged generator so far).

    Returns:
      The averaged generator, named after `workdir`; its recipe holds the settings, the number of images
      that were shown, and the faces.

    Raises:
      Stopped: when a stop was requested; with a `workdir` the state is saved.
      InputError: for different resolutions, too few images, or a `workdir` that holds another run.
    """
    size = generator.resolution
    stylegan2.resolutions(size)  # checks it
    if size != discriminator.resolution:
        raise errors.InputError(
            'resolution', f'{size} and {discriminator.resolution}', 'the same for both networks'
        )
    batch_size = recipe.batch_size
    group = min(discriminator.group, batch_size)
    if batch_size % group:
        raise errors.InputError(
            'batch_size',
            batch_size,
            f'a multiple of {group}, the group size of the discriminator',
        )
    read, kept = training_images.load(faces, size, size, skip_bad)
    if len(kept) < batch_size:
        raise errors.InputError(
            faces.name, f'{len(kept)} images', f'{batch_size} or more (batch_size)'
        )
    mesh = devices.training_mesh(batch_size)
    folder = pathlib.Path(workdir) if workdir is not None else None
    if folder is not None:
        runs.claim(folder, _described(recipe, generator, discriminator, faces.select(kept)))
    # The step depends neither on how often it is repeated nor on the seed.
    shared = dataclasses.replace(recipe, images=1, seed=0)
    step = generator_step.make_step(shared, generator, discriminator, mesh)
    total, per_epoch = math.ceil(recipe.images / batch_size), len(kept) // batch_size

    def so_far(state, seen):
        variables = variables_of(state, generator, recipe.seed)
        described = dataclasses.asdict(dataclasses.replace(recipe, images=seen))
        return stylegan2.Trained(
            name=folder.resolve().name if folder is not None else 'generator',
            module=generator,
            variables=variables,
            sha256=checkpointing.digest(variables),
            recipe={**described, 'faces': faces.name, 'count': len(faces)},
        )

    @functools.lru_cache(maxsize=1)
    def order(epoch):
        return rng.numpy_generator(recipe.seed, f'epoch {epoch}').permutation(len(kept))

    def advance(state, done):
        epoch, within = divmod(done, per_epoch)
        chosen = order(epoch)[within * batch_size : (within + 1) * batch_size]
        images = devices.batch_on_mesh(lambda rows: read(chosen[rows]), batch_size, mesh)
        state, metrics = step(state, images, np.int32(recipe.seed))
        done += 1
        seen = done * batch_size
        tell = done % _TOLD_EVERY == 0 or done == total
        if tell:
            _check_finite(metrics, seen, recipe)
        due = sample_images and seen // sample_images != (seen - batch_size) // sample_images
        if sample is not None and (due or done == total):
            sample(seen, so_far(state, seen))
        return state, done, metrics if tell else None

    state = runs.resume(
        generator_step.initial_state(recipe, generator, discriminator),
        total,
        advance,
        folder=folder,
        place=functools.partial(devices.on_mesh, mesh=mesh),
        save_seconds=save_seconds,
        label='training',
        progress=progress,
    )
    return so_far(state, int(jax.device_get(state.step)) * batch_size)


def _check_finite(metrics, seen, recipe):
    if not math.isfinite(float(metrics['generator']) + float(metrics['discriminator'])):
        raise errors.InputError(
            'learning_rate',
            f'{recipe.learning_rate}, with which training diverged after {seen} images',
            'a lower one, or a larger r1',
        )


def _described(recipe, generator, discriminator, faces):
    """Describes a run: its recipe except for the length, its networks and its images."""
    described = dataclasses.asdict(recipe)
    del described['images']
    return {
        'recipe': described,
        'generator': stylegan2.options_of(generator),
        'discriminator': stylegan2.options_of(discriminator),
        'faces': training_images.digest(faces),
    }
