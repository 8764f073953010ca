"""One candidate of the search: drawn, evaluated, improved step by step, and evaluated again.

Pure functions of one candidate; `mapped` computes them for any number, on all devices of all
processes. Every program takes `Constants` first. The compiled code depends only on the arguments of
the function that returns the program.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fr_inference import devices, rng
from fr_inference.inversion import goals, guidance, prior
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.prior import Prior
from fr_inference.inversion.scene import Scene

Program = Callable[[Any, Any], Any]
"""(`Constants`, one example) -> pytree of arrays."""

OPTIMISERS: Mapping[str, Callable[[], optax.GradientTransformation]] = {
    'adam': optax.scale_by_adam,
    'projected': optax.normalize_by_update_norm,
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Constants:
    """The values that all candidates share; placed on the devices once.

    Attributes:
      generator: variables.
      target: variables.
      prior: of the generator.
      guide: the attack on the target, or None.
      key: of the search, a typed key.
      weights: the weights of the goal, if there is one.
    """

    generator: Any
    target: Any
    prior: Prior
    guide: guidance.Guide | None
    key: Any
    weights: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimiser:
    """How a candidate moves.

    Attributes:
      name: in `OPTIMISERS`; 'projected': steps along the unit gradient, pulled back to the length that
        random latents have (the paper's).
      learning_rate: of the first step, in whitened coordinates; it decays to 0 along a cosine.
      steps: the number of steps over which it decays.
    """

    name: str
    learning_rate: float
    steps: int

    def transformation(self) -> optax.GradientTransformation:
        """Returns the transformation from a gradient to an update that descends it."""
        schedule = optax.cosine_decay_schedule(self.learning_rate, max(1, self.steps))
        return optax.chain(OPTIMISERS[self.name](), optax.scale_by_learning_rate(schedule))


def look(
    scene: Scene, pictures: int, constants: Constants, white: jax.Array, key: jax.Array
) -> dict[str, jax.Array]:
    """Returns the terms of one latent, averaged over moved pictures of its image.

    Args:
      scene: generator before target.
      pictures: how many.
      constants: variables, prior and guide.
      white: the latent in whitened coordinates.
      key: of the moves, a typed key.

    Returns:
      'prior' [], 'embedding' [D] and, with a guide, `guidance.KINDS` [] each; float32.
    """
    latent = prior.to_latent(constants.prior, white)
    image = scene.render(constants.generator, latent)
    seen = scenes.pictures(scene, constants.target, image, key, pictures)
    found = {
        'prior': prior.log_density(constants.prior, latent),
        'embedding': seen.embedding.mean(0),
    }
    if constants.guide is not None:
        of_each = jax.vmap(functools.partial(guidance.terms, constants.guide))(seen.distances)
        found |= {kind: values.mean() for kind, values in of_each.items()}
    return found


def value(
    scene: Scene,
    pictures: int,
    term: str,
    constants: Constants,
    white: jax.Array,
    wanted: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns (the objective of one latent, its mean membership logit), [] float32 each.

    Differentiate it with respect to `white`. The logit is NaN without a guide.

    Args:
      scene: generator before target.
      pictures: the number of moved pictures to average over.
      term: of the goal.
      constants: with the goal's weights.
      white: the latent in whitened coordinates.
      wanted: [D] unit embedding; zeros if the goal has none.
      key: of the moves, a typed key.
    """
    terms = look(scene, pictures, constants, white, key)
    logit = terms.get('raw', jnp.full((), jnp.nan))
    return goals.objective(term, constants.weights, terms, wanted), logit


def beginning(scene: Scene, optimiser: Optimiser) -> Program:
    """Returns the program from (number, wanted embedding) to a candidate's state before step 1."""
    transformation = optimiser.transformation()

    def fresh(constants, example):
        number, wanted = example
        white = prior.draw(scene, constants.generator, constants.prior, constants.key, number)
        return {
            'draw': number,
            'wanted': wanted,
            'step': jnp.zeros((), jnp.int32),
            'white': white,
            'memory': transformation.init(white),
            'best': white,
            'best_value': jnp.asarray(-jnp.inf),
        }

    return fresh


def drawing(scene: Scene) -> Program:
    """Returns the program from a number to the random latent of that number, whitened."""
    return lambda constants, number: prior.draw(
        scene, constants.generator, constants.prior, constants.key, number
    )


def advancing(scene: Scene, pictures: int, term: str, optimiser: Optimiser, count: int) -> Program:
    """Returns the program from a candidate's state to (state, [count, 2]) after `count` steps.

    The rows hold the objective and the mean membership logit before each step.
    """
    transformation = optimiser.transformation()

    def step(constants, state, _):
        key = jax.random.fold_in(jax.random.fold_in(constants.key, state['draw']), state['step'])
        (found, logit), gradient = jax.value_and_grad(
            lambda white: value(scene, pictures, term, constants, white, state['wanted'], key),
            has_aux=True,
        )(state['white'])
        better = found > state['best_value']  # a NaN is not
        with jax.numpy_dtype_promotion('standard'):  # optax raises floats to whole numbers
            updates, memory = transformation.update(-gradient, state['memory'], state['white'])
        white = optax.apply_updates(state['white'], updates)
        if optimiser.name == 'projected':
            length = jnp.sqrt(jnp.mean(jnp.square(white)))
            white = white / jnp.maximum(length, 1.0)
        state = {
            'draw': state['draw'],
            'wanted': state['wanted'],
            'step': state['step'] + 1,
            'white': white,
            'memory': memory,
            'best': jnp.where(better, state['white'], state['best']),
            'best_value': jnp.where(better, found, state['best_value']),
        }
        return state, jnp.stack([found, logit])

    def advance(constants, state):
        return jax.lax.scan(functools.partial(step, constants), state, length=count)

    return advance


def first_look(scene: Scene, pictures: int) -> Program:
    """Returns the program from a number to the terms (`look`) of the random latent of that number."""

    def terms(constants, number):
        key = jax.random.fold_in(rng.stream(constants.key, 'first look'), number)
        white = prior.draw(scene, constants.generator, constants.prior, constants.key, number)
        return look(scene, pictures, constants, white, key)

    return terms


def looking(scene: Scene, pictures: int, term: str) -> Program:
    """Returns the program of the final evaluation.

    It maps a candidate's state to the results for the better one of its last latent and its best so far:
    'objective' [], 'logit' [] of the picture that was not moved (absent without a guide), 'embedding'
    [D] of it, 'image' [R, R, 3] uint8 and 'latent'.
    """

    def judge(constants, state):
        key = jax.random.fold_in(rng.stream(constants.key, 'last look'), state['draw'])
        # The best so far was chosen by its own few pictures, so both are judged by new ones.
        two = jnp.stack([state['white'], state['best']])
        values, _ = jax.vmap(
            lambda white: value(scene, pictures, term, constants, white, state['wanted'], key)
        )(two)
        values = jnp.where(jnp.isfinite(values), values, -jnp.inf)
        chosen = two[jnp.argmax(values)]  # the last latent if they are equal
        latent = prior.to_latent(constants.prior, chosen)
        image = scene.render(constants.generator, latent)
        still = scenes.transform(key, image, scene.input, scenes.STILL)
        seen = scene.see(constants.target, still)
        found = {
            'objective': values.max(),
            'embedding': seen.embedding,
            'image': jnp.clip(jnp.round(image), 0, 255).astype(jnp.uint8),
            'latent': latent,
        }
        if constants.guide is not None:
            found['logit'] = guidance.terms(constants.guide, seen.distances)['raw']
        return found

    return judge


def mapped(
    make: Callable[..., Program],
    static: tuple[Hashable, ...],
    constants: Constants,
    *,
    total: int,
    most: int,
) -> devices.Mapped:
    """Compiles a program, at its first call, for any number of examples.

    Searches that differ only in numbers and weights share the compiled program.

    Args:
      make: a function of this module that returns a program.
      static: its arguments.
      constants: what all examples share.
      total: how many examples there will be at a time, all processes together.
      most: examples at a time on each device, which bounds its memory.
    """
    program = _compiled(devices.local(), make, *static)
    return devices.over(program, constants, total=total, most=most)


@functools.lru_cache(maxsize=32)
def _compiled(on, make, *static):
    return devices.per_candidate(make(*static), on)
