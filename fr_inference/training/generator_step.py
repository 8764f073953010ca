"""One step of a StyleGAN2 training: both networks' losses, lazy penalties, running means."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fr_inference import devices, rng
from fr_inference.config import GeneratorRecipe
from fr_inference.models import stylegan2
from fr_inference.training import augment

_BETA2 = 0.99
_W_BETA = 0.995
_PATH_DECAY = 0.01


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """The state that a step takes and returns.

    Attributes:
      generator: parameters.
      discriminator: parameters.
      averaged: running mean of the generator's parameters, the result of the training.
      w_avg: running mean of w, [w_dim].
      optimisers: states of both Adam optimisers.
      path_mean: running mean of path lengths.
      probability: of augmentation, 0 to 1.
      step: number of steps done.
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
    recipe: GeneratorRecipe, generator: stylegan2.Generator, discriminator: stylegan2.Discriminator
) -> State:
    """Returns the state before the first step; each network has its own stream of the seed."""
    begin = _beginning(dataclasses.replace(recipe, seed=0), generator, discriminator)
    state: State = begin(jax.random.key(recipe.seed))
    return state


@functools.lru_cache(maxsize=4)
def _beginning(recipe, generator, discriminator):
    """Returns one program for all parameters: one per shape takes longer than a small training."""
    first, second = _optimisers(recipe)

    def begin(key):
        latent = jnp.zeros((1, generator.z_dim))
        image = jnp.zeros((1, generator.resolution, generator.resolution, 3))
        params = generator.init(rng.stream(key, 'generator'), latent)['params']
        judge = discriminator.init(rng.stream(key, 'discriminator'), image)['params']
        return State(
            generator=params,
            discriminator=judge,
            averaged=params,
            w_avg=jnp.zeros(generator.w_dim),
            optimisers=(first.init(params), second.init(judge)),
            path_mean=jnp.zeros(()),
            probability=jnp.asarray(1.0 if recipe.augmentation == 'differentiable' else 0.0),
            step=jnp.zeros((), jnp.int32),
        )

    return jax.jit(begin)


def _optimisers(recipe):
    """Returns Adam for both networks, with lower rates if a lazy penalty takes steps of its own."""

    def adam(every):
        share = every / (every + 1) if every else 1.0
        return optax.adam(recipe.learning_rate * share, b1=0.0, b2=_BETA2**share, eps=1e-8)

    return adam(recipe.path_every if recipe.path_length else 0), adam(recipe.r1_every)


def _apply(optimiser, gradient, memory, params):
    """Returns (new parameters, new state of the optimiser)."""
    with jax.numpy_dtype_promotion('standard'):  # optax raises floats to integer powers
        updates, memory = optimiser.update(gradient, memory, params)
    return optax.apply_updates(params, updates), memory


@functools.lru_cache(maxsize=4)
def make_step(
    recipe: GeneratorRecipe,
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
        """Returns (w [N, w_dim], ws [N, styles, w_dim] after style mixing with second latents)."""
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
