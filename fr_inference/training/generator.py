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
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fr_inference import checkpointing, devices, errors, processes, provenance, rng
from fr_inference.data.faces import Faces
from fr_inference.models import stylegan2
from fr_inference.training import augment
from fr_inference.training import training_images as training_images

AUGMENTATIONS = ('none', 'differentiable', 'adaptive')

_BETA2 = 0.99
_W_BETA = 0.995
_PATH_DECAY = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a generator is trained.

    Attributes:
      images: real images shown to the discriminator in all.
      batch_size: images per step.
      learning_rate: of Adam (beta1 0, beta2 0.99), for both networks.
      r1: weight gamma of the gradient penalty on real images; None for 0.0002 resolution^2 / batch_size,
        the reference's rule of thumb.
      r1_every: steps between gradient penalties.
      path_length: weight of the path-length penalty; 0 for none.
      path_every: steps between path-length penalties.
      style_mixing: share of images that take their w from two latents.
      ema_images: half-life of the running mean of the weights, in images.
      augmentation: in `AUGMENTATIONS`.
      mirror: whether images are mirrored at random.
      seed: of the weights, the order of the images and every draw.
    """

    images: int = 1_000_000
    batch_size: int = 32
    learning_rate: float = 0.0025
    r1: float | None = None
    r1_every: int = 16
    path_length: float = 0.0
    path_every: int = 8
    style_mixing: float = 0.9
    ema_images: int = 10_000
    augmentation: str = 'none'
    mirror: bool = True
    seed: int = 0

    def __post_init__(self):
        errors.one_of('augmentation', self.augmentation, AUGMENTATIONS)
        for name in ('images', 'batch_size', 'r1_every', 'path_every', 'ema_images'):
            errors.positive(name, getattr(self, name))
        errors.positive('learning_rate', self.learning_rate)
        errors.require(self.r1 is None or self.r1 >= 0, f'r1: found {self.r1}, expected 0 or more')
        errors.require(
            self.path_length >= 0, f'path_length: found {self.path_length}, expected 0 or more'
        )
        errors.require(
            0 <= self.style_mixing <= 1,
            f'style_mixing: found {self.style_mixing}, expected a number from 0 to 1',
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """What a step carries.

    Attributes:
      generator: parameters.
      discriminator: parameters.
      averaged: running mean of the generator's parameters: what is kept in the end.
      w_avg: running mean of w, [w_dim].
      optimisers: states of both Adams.
      path_mean: running mean of path lengths.
      probability: of augmentation.
      step: how many were done.
    """

    generator: Any
    discriminator: Any
    averaged: Any
    w_avg: jax.Array
    optimisers: Any
    path_mean: jax.Array
    probability: jax.Array
    step: jax.Array


def initial_state(
    recipe: Recipe, generator: stylegan2.Generator, discriminator: stylegan2.Discriminator
) -> State:
    """Returns the state before the first step; the seed's streams name the networks."""
    key = jax.random.key(recipe.seed)
    latent = jnp.zeros((1, generator.z_dim))
    image = jnp.zeros((1, generator.resolution, generator.resolution, 3))
    params = jax.jit(generator.init)(rng.stream(key, 'generator'), latent)['params']
    judge = jax.jit(discriminator.init)(rng.stream(key, 'discriminator'), image)['params']
    first, second = _optimisers(recipe)
    return State(
        generator=params,
        discriminator=judge,
        averaged=jax.tree.map(jnp.array, params),
        w_avg=jnp.zeros(generator.w_dim),
        optimisers=(first.init(params), second.init(judge)),
        path_mean=jnp.zeros(()),
        probability=jnp.asarray(1.0 if recipe.augmentation == 'differentiable' else 0.0),
        step=jnp.zeros((), jnp.int32),
    )


def _optimisers(recipe):
    """Adam for both, slowed where now and then a penalty takes a step of its own."""

    def adam(every):
        share = every / (every + 1) if every else 1.0
        return optax.adam(recipe.learning_rate * share, b1=0.0, b2=_BETA2**share, eps=1e-8)

    return adam(recipe.path_every if recipe.path_length else 0), adam(recipe.r1_every)


def _apply(optimiser, gradient, memory, params):
    """Returns (new parameters, new state of the optimiser)."""
    with jax.numpy_dtype_promotion('standard'):  # optax raises floats to whole numbers
        updates, memory = optimiser.update(gradient, memory, params)
    return optax.apply_updates(params, updates), memory


@functools.lru_cache(maxsize=4)
def make_step(
    recipe: Recipe,
    generator: stylegan2.Generator,
    discriminator: stylegan2.Discriminator,
    mesh: Any,
) -> Callable[[State, jax.Array, np.int32], tuple[State, dict[str, jax.Array]]]:
    """Returns the step on the mesh: (state, images [B, H, W, 3] uint8, seed) -> (state, metrics)."""
    first, second = _optimisers(recipe)
    resolution = generator.resolution
    gamma = recipe.r1 if recipe.r1 is not None else 2e-4 * resolution**2 / recipe.batch_size
    buffers = {'w_avg': jnp.zeros(generator.w_dim)} | {
        f'noise_{i}': jnp.zeros((size, size))
        for i, size in enumerate(stylegan2.noise_sizes(resolution))
    }

    def synthesise(params, ws, key):
        noise = stylegan2.random_noise(key, resolution, len(ws))
        variables = {'params': params, 'buffers': buffers}
        return generator.apply(variables, ws, noise, method='synthesis')

    def latents(params, key, count):
        """Returns (w [N, w_dim] of the first latents, ws [N, styles, w_dim] mixed with second ones)."""
        keys = jax.random.split(key, 4)
        z = jax.random.normal(keys[0], (2 * count, generator.z_dim))
        w: Any = generator.apply({'params': params, 'buffers': buffers}, z, method='mapping')
        styles = stylegan2.style_count(resolution)
        cut = jax.random.randint(keys[1], (count, 1), 1, styles)
        mixed = jax.random.bernoulli(keys[2], recipe.style_mixing, (count, 1))
        second_one = mixed & (jnp.arange(styles) >= cut)
        ws = jnp.where(second_one[..., None], w[count:, None], w[:count, None])
        return w[:count], ws

    def judge(params, images, key, probability):
        if recipe.augmentation != 'none':
            images = augment.augment(key, images, probability)
        return discriminator.apply({'params': params}, images)

    def generator_loss(params, state, key, count):
        keys = jax.random.split(key, 4)
        w, ws = latents(params, keys[0], count)
        fakes = synthesise(params, ws, keys[1])
        loss = jax.nn.softplus(
            -judge(state.discriminator, fakes, keys[2], state.probability)
        ).mean()
        return loss, w.mean(axis=0)

    def path_penalty(params, mean, key, count):
        keys = jax.random.split(key, 3)
        _, ws = latents(params, keys[0], count)

        def projected(ws):
            image = synthesise(params, ws, keys[1])
            return jnp.sum(image * jax.random.normal(keys[2], image.shape)) / resolution

        lengths = jnp.sqrt(jnp.mean(jnp.sum(jnp.square(jax.grad(projected)(ws)), -1), -1))
        mean = mean + _PATH_DECAY * (lengths.mean() - mean)
        weight = recipe.path_length * recipe.path_every
        return weight * jnp.mean(jnp.square(lengths - jax.lax.stop_gradient(mean))), mean

    def discriminator_loss(params, state, generator_params, reals, key):
        keys = jax.random.split(key, 4)
        _, ws = latents(generator_params, keys[0], len(reals))
        fakes = synthesise(generator_params, ws, keys[1])
        on_fakes = judge(params, fakes, keys[2], state.probability)
        on_reals = judge(params, reals, keys[3], state.probability)
        loss = jax.nn.softplus(on_fakes).mean() + jax.nn.softplus(-on_reals).mean()
        return loss, jnp.sign(on_reals).mean()

    def penalty(params, state, reals, key):
        def total(images):
            return judge(params, images, key, state.probability).sum()

        slopes = jax.grad(total)(reals)
        return 0.5 * gamma * recipe.r1_every * jnp.mean(jnp.sum(jnp.square(slopes), (1, 2, 3)))

    def step(state: State, reals: jax.Array, seed: jax.Array):
        base = rng.stream(jax.random.key(seed), 'training')
        keys = jax.random.split(jax.random.fold_in(base, state.step), 5)
        count = len(reals)
        reals = reals.astype(jnp.float32) / 127.5 - 1
        if recipe.mirror:
            flips = jax.random.bernoulli(keys[4], shape=(count, 1, 1, 1))
            reals = jnp.where(flips, reals[:, :, ::-1], reals)
        optimiser_g, optimiser_d = state.optimisers
        params, critic, path_mean = state.generator, state.discriminator, state.path_mean
        (loss_g, w_mean), gradient = jax.value_and_grad(generator_loss, has_aux=True)(
            params, state, keys[0], count
        )
        params, optimiser_g = _apply(first, gradient, optimiser_g, params)
        if recipe.path_length:

            def shorten(params, optimiser, mean):
                penalise = jax.grad(path_penalty, has_aux=True)
                gradient, mean = penalise(params, mean, keys[1], max(1, count // 2))
                return *_apply(first, gradient, optimiser, params), mean

            now = state.step % recipe.path_every == 0
            params, optimiser_g, path_mean = jax.lax.cond(
                now, shorten, lambda *same: same, params, optimiser_g, path_mean
            )
        (loss_d, sign), gradient = jax.value_and_grad(discriminator_loss, has_aux=True)(
            critic, state, params, reals, keys[2]
        )
        critic, optimiser_d = _apply(second, gradient, optimiser_d, critic)

        def flatten(critic, optimiser):
            gradient = jax.grad(penalty)(critic, state, reals, keys[3])
            return _apply(second, gradient, optimiser, critic)

        if gamma:
            critic, optimiser_d = jax.lax.cond(
                state.step % recipe.r1_every == 0, flatten, lambda *same: same, critic, optimiser_d
            )
        seen = ((state.step + 1) * count).astype(jnp.float32)
        half_life = jnp.minimum(float(recipe.ema_images), 0.05 * seen)
        keep = jnp.exp2(-count / half_life)
        averaged = jax.tree.map(lambda a, p: p + keep * (a - p), state.averaged, params)
        probability = state.probability
        if recipe.augmentation == 'adaptive':
            probability = augment.adapt(probability, sign, count)
        state = State(
            generator=params,
            discriminator=critic,
            averaged=averaged,
            w_avg=w_mean + _W_BETA * (state.w_avg - w_mean),
            optimisers=(optimiser_g, optimiser_d),
            path_mean=path_mean,
            probability=probability,
            step=state.step + 1,
        )
        return state, {'generator': loss_g, 'discriminator': loss_d, 'sign': sign}

    return devices.data_parallel(step, mesh)


def variables_of(state: State, generator: stylegan2.Generator, seed: int) -> dict[str, Any]:
    """Returns what is kept: the averaged weights, the mean w and constant noise, as NumPy arrays."""
    sizes = stylegan2.noise_sizes(generator.resolution)
    draw = rng.numpy_generator(seed, 'constant noise')
    noise = {
        f'noise_{i}': draw.standard_normal((size, size), np.float32) for i, size in enumerate(sizes)
    }
    kept = jax.device_get({'params': state.averaged, 'w_avg': state.w_avg})
    return {'params': kept['params'], 'buffers': {'w_avg': kept['w_avg'], **noise}}


def train(
    recipe: Recipe,
    generator: stylegan2.Generator,
    discriminator: stylegan2.Discriminator,
    faces: Faces,
    *,
    workdir: str | os.PathLike | None = None,
    save_seconds: float = 120.0,
    skip_bad: bool = False,
    progress: Callable[..., None] | None = None,
    sample_images: int = 0,
    sample: Callable[[int, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Trains `generator` against `discriminator` on `faces`.

    Args:
      recipe: how.
      generator: at the resolution of the images.
      discriminator: at the same resolution.
      faces: the training images; identities are not used.
      workdir: keeps the state for resuming, below `state/`.
      save_seconds: how often at most to save it.
      skip_bad: leave unreadable images out.
      progress: called as progress(label, done, total, generator=, discriminator=, sign=).
      sample_images: images between two calls of `sample`; 0 for none but the last.
      sample: called as sample(images seen, variables of the averaged generator).

    Returns:
      The variables of the averaged generator.

    A batch is shared out over the devices of all processes; the result does not depend on their number.

    Raises:
      Stopped: when that was asked for; the state is saved where there is a `workdir`.
      InputError: for resolutions that differ, too few images, or a `workdir` that holds another run.
    """
    size = generator.resolution
    stylegan2.resolutions(size)  # checks it
    errors.require(
        size == discriminator.resolution,
        f'resolution: found {size} and {discriminator.resolution}, expected the same for both',
    )
    group = min(discriminator.group, recipe.batch_size)
    errors.require(
        recipe.batch_size % group == 0,
        f'batch_size: found {recipe.batch_size}, expected a multiple of {group}, among whose images the '
        'discriminator compares',
    )
    read, kept = training_images.load(faces, size, size, skip_bad)
    errors.require(
        len(kept) >= recipe.batch_size,
        f'{faces.name}: found {len(kept)} images, expected {recipe.batch_size} or more (batch_size)',
    )
    workdir = pathlib.Path(workdir) if workdir is not None else None
    state = initial_state(recipe, generator, discriminator)
    if workdir is not None:
        _check_same_run(workdir, recipe, generator, discriminator, faces.select(kept))
        saved = checkpointing.latest_state(workdir / 'state', state)
        if saved is not None:
            state = saved[1]
    mesh = devices.training_mesh(recipe.batch_size)
    state = devices.on_mesh(state, mesh)
    # The step does not depend on how long it is repeated, nor on the seed.
    shared = dataclasses.replace(recipe, images=1, seed=0)
    step_function = make_step(shared, generator, discriminator, mesh)
    total, per_epoch = math.ceil(recipe.images / recipe.batch_size), len(kept) // recipe.batch_size
    done = int(state.step)
    saved_at, order, order_of = time.monotonic(), np.zeros(0, int), -1

    def save_state():
        if workdir is not None:
            checkpointing.save_state(workdir / 'state', done, state)

    while done < total:
        epoch, within = divmod(done, per_epoch)
        if epoch != order_of:
            order = rng.numpy_generator(recipe.seed, f'epoch {epoch}').permutation(len(kept))
            order_of = epoch
        chosen = order[within * recipe.batch_size : (within + 1) * recipe.batch_size]

        def part(rows, chosen=chosen):
            return read(chosen[rows])

        images = devices.batch_on_mesh(part, recipe.batch_size, mesh)
        state, metrics = step_function(state, images, np.int32(recipe.seed))
        done += 1
        if done % 16 == 0 or done == total:
            values = {name: float(value) for name, value in metrics.items()}
            errors.require(
                math.isfinite(values['generator'] + values['discriminator']),
                f'training diverged after {done * recipe.batch_size} images; lower learning_rate '
                f'(now {recipe.learning_rate}) or raise r1',
            )
            if progress is not None:
                progress('training', done, total, **values)
        seen = done * recipe.batch_size
        due = sample_images and seen // sample_images != (seen - recipe.batch_size) // sample_images
        if sample is not None and (due or done == total):
            sample(seen, variables_of(state, generator, recipe.seed))
        if done == total or time.monotonic() - saved_at > save_seconds:
            save_state()
            saved_at = time.monotonic()
        if done < total:
            processes.stop_point(save_state)
    return variables_of(state, generator, recipe.seed)


def _check_same_run(workdir, recipe, generator, discriminator, faces):
    """A state belongs to one recipe, one pair of networks and one set of images."""
    run = {
        'recipe': dataclasses.asdict(recipe),
        'generator': stylegan2.options_of(generator),
        'discriminator': stylegan2.options_of(discriminator),
        'faces': training_images.digest(faces),
    }
    provenance.claim_run(workdir, run)
