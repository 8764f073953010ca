"""One candidate of the search: drawn, scored, improved step by step, looked at afresh.

Pure functions of a candidate's number, to be `vmap`-ed over candidates by `search`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fr_inference import errors, rng
from fr_inference.inversion import objective as objectives
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.objective import Guide
from fr_inference.inversion.scene import Jitter, Scene
from fr_inference.membership import logistic

OPTIMISERS = ('adam', 'projected')

Program = Callable[[Any, Any], Any]
"""(`Constants`, one example) -> pytree of arrays."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How the search is done.

    Attributes:
      draws: random latents that are scored.
      candidates: the best of them, which are improved.
      steps: of the optimiser; 0 for none.
      keep: reconstructions kept in the end.
      pictures: moved pictures that every score and gradient is averaged over, 2 or more.
      learning_rate: of a step in whitened coordinates, falling to 0 along a cosine.
      optimiser: 'adam', or 'projected': steps along the unit gradient, pulled back to the length that
        random latents have (the paper's).
      apart: largest cosine, in the target's eyes, between two that are kept; 1 for any.
      batch: candidates computed at once on a device: it bounds memory.
      seed: of every draw.
      jitter: how far pictures are moved.
    """

    draws: int = 4096
    candidates: int = 256
    steps: int = 60
    keep: int = 64
    pictures: int = 4
    learning_rate: float = 0.1
    optimiser: str = 'adam'
    apart: float = 0.6
    batch: int = 64
    seed: int = 0
    jitter: Jitter = dataclasses.field(default_factory=Jitter)

    def __post_init__(self):
        errors.one_of('optimiser', self.optimiser, OPTIMISERS)
        for name in ('draws', 'candidates', 'keep', 'batch', 'learning_rate'):
            errors.positive(name, getattr(self, name))
        errors.require(-1 <= self.apart <= 1, f'apart: found {self.apart}, expected -1 to 1')
        errors.require(self.steps >= 0, f'steps: found {self.steps}, expected 0 or more')
        errors.require(self.pictures >= 2, f'pictures: found {self.pictures}, expected 2 or more')
        errors.require(
            self.keep <= self.candidates <= self.draws,
            f'found draws={self.draws}, candidates={self.candidates}, keep={self.keep}, expected '
            'draws >= candidates >= keep',
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Constants:
    """What all candidates share; placed on the devices once.

    Attributes:
      generator: variables.
      target: variables.
      guide: what was measured.
      key: of the seed.
      weights: of the objective, where one is maximised.
    """

    generator: Any
    target: Any
    guide: Guide
    key: Any
    weights: Any = None


def white_to_latent(guide: Guide, white: jax.Array) -> jax.Array:
    """Returns the latent of whitened coordinates [..., w_dim]."""
    return guide.w_mean + white @ guide.w_colour


def latent_to_white(guide: Guide, latent: jax.Array) -> jax.Array:
    """Returns the whitened coordinates of a latent [..., w_dim]."""
    return (latent - guide.w_mean) @ guide.w_white


def _pictures(scene: Scene, plan: Plan, constants: Constants, images, key):
    """Looks at T images, each moved at random."""

    def look(image, key):
        moved = scenes.transform(key, image, scene.input, plan.jitter)
        return scene.see(constants.target, moved)

    return jax.vmap(look)(images, jax.random.split(key, plan.pictures))


def _look(scene, plan, constants, white, key):
    """Returns (terms of one latent averaged over moved pictures, their mean embedding [D])."""
    latent = white_to_latent(constants.guide, white)
    image = scene.render(constants.generator, latent)
    images = jnp.broadcast_to(image, (plan.pictures, *image.shape))
    seen = _pictures(scene, plan, constants, images, key)
    return objectives.terms(constants.guide, latent, seen), seen.embedding.mean(0)


def value(
    scene: Scene,
    plan: Plan,
    membership: str,
    constants: Constants,
    white: jax.Array,
    wanted: jax.Array,
    key: jax.Array,
) -> jax.Array:
    """Returns the objective of one latent averaged over moved pictures, [] float32.

    Args:
      scene: generator before target.
      plan: how pictures are moved.
      membership: kind of the membership term, in `objective.MEMBERSHIP`.
      constants: variables and weights.
      white: the latent, in whitened coordinates.
      wanted: [D] unit embedding of the targeted mode.
      key: of the moves.
    """
    terms, embedding = _look(scene, plan, constants, white, key)
    return objectives.total(membership, constants.weights, terms, embedding @ wanted)


def value_and_gradient(
    scene: Scene,
    plan: Plan,
    membership: str,
    constants: Constants,
    white: jax.Array,
    wanted: jax.Array,
    key: jax.Array,
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Returns ((objective, mean membership logit), gradient with respect to `white`); as `value`."""
    guide = constants.guide

    def render(white):
        return scene.render(constants.generator, white_to_latent(guide, white))

    def of_images(images, white):
        seen = _pictures(scene, plan, constants, images, key)
        terms = objectives.terms(guide, white_to_latent(guide, white), seen)
        cosine = (seen.embedding @ wanted).mean()
        return objectives.total(membership, constants.weights, terms, cosine), terms['raw']

    image, pull_back = jax.vjp(render, white)
    images = jnp.broadcast_to(image, (plan.pictures, *image.shape))
    both, (on_images, direct) = jax.value_and_grad(of_images, (0, 1), has_aux=True)(images, white)
    total = on_images.sum(0)
    agreed = jnp.abs(total) / (jnp.abs(on_images).sum(0) + 1e-20)
    damped = total * agreed ** constants.weights['agreement']
    return both, pull_back(damped)[0] + direct


def _optimiser(plan):
    schedule = optax.cosine_decay_schedule(plan.learning_rate, max(1, plan.steps))
    direction = {'adam': optax.scale_by_adam, 'projected': optax.normalize_by_update_norm}
    return optax.chain(direction[plan.optimiser](), optax.scale_by_learning_rate(schedule))


def advancing(scene: Scene, plan: Plan, membership: str, steps: int) -> Program:
    """Returns the function of (constants, one candidate's state) that does so many steps."""
    optimiser = _optimiser(plan)

    def step(constants, state, _):
        key = jax.random.fold_in(jax.random.fold_in(constants.key, state['draw']), state['step'])
        (score, logit), gradient = value_and_gradient(
            scene, plan, membership, constants, state['white'], state['wanted'], key
        )
        better = score > state['best_score']
        best = jnp.where(better, state['white'], state['best'])
        with jax.numpy_dtype_promotion('standard'):  # optax raises floats to whole numbers
            updates, memory = optimiser.update(-gradient, state['memory'], state['white'])
        white = optax.apply_updates(state['white'], updates)
        if plan.optimiser == 'projected':
            length = jnp.sqrt(jnp.mean(jnp.square(white)))
            white = white / jnp.maximum(length, 1.0)
        state = {
            'draw': state['draw'],
            'wanted': state['wanted'],
            'step': state['step'] + 1,
            'white': white,
            'memory': memory,
            'best': best,
            'best_score': jnp.where(better, score, state['best_score']),  # a NaN is no better
        }
        return state, jnp.stack([score, logit])

    def advance(constants, state):
        return jax.lax.scan(functools.partial(step, constants), state, length=steps)

    return advance


def _draw_one(scene, z_dim):
    def draw(constants, number):
        key = jax.random.fold_in(rng.stream(constants.key, 'draw'), number)
        z = jax.random.normal(key, (z_dim,))
        return latent_to_white(constants.guide, scene.to_latent(constants.generator, z))

    return draw


def beginning(scene: Scene, plan: Plan, z_dim: int) -> Program:
    """Returns the program from a candidate's (number, wanted embedding) to its state before step 1."""
    draw, optimiser = _draw_one(scene, z_dim), _optimiser(plan)

    def fresh(constants, example):
        number, wanted = example
        white = draw(constants, number)
        return {
            'draw': number,
            'wanted': wanted,
            'step': jnp.zeros((), jnp.int32),
            'white': white,
            'memory': optimiser.init(white),
            'best': white,
            'best_score': jnp.asarray(-jnp.inf),
        }

    return fresh


def scoring(scene: Scene, plan: Plan, z_dim: int) -> Program:
    """Returns the program from a candidate's number to (terms, mean embedding [D]) of its latent.

    Any objective may weigh the terms, and any wanted embedding be compared.
    """
    draw = _draw_one(scene, z_dim)

    def score(constants, number):
        key = jax.random.fold_in(rng.stream(constants.key, 'first look'), number)
        return _look(scene, plan, constants, draw(constants, number), key)

    return score


def looking(scene: Scene, plan: Plan, membership: str) -> Program:
    """Returns the program of the last look.

    From a candidate's state to (objective, membership logit, [D] embedding, [R, R, 3] uint8 picture,
    latent) of the better one of its last latent and its best so far.
    """

    def look(constants, state):
        key = jax.random.fold_in(rng.stream(constants.key, 'last look'), state['draw'])
        # The best so far was called so by its own few pictures; both are judged by new ones.
        two = jnp.stack([state['white'], state['best']])
        values = jax.vmap(
            lambda white: value(scene, plan, membership, constants, white, state['wanted'], key)
        )(two)
        values = jnp.where(jnp.isfinite(values), values, -jnp.inf)
        chosen = two[jnp.argmax(values)]  # of equals the last latent
        latent = white_to_latent(constants.guide, chosen)
        image = scene.render(constants.generator, latent)
        still = scenes.transform(key, image, scene.input, scenes.STILL)
        seen = scene.see(constants.target, still)
        logit = logistic.logit(constants.guide.attack, seen.features)
        picture = jnp.clip(jnp.round(image), 0, 255).astype(jnp.uint8)
        return values.max(), logit, seen.embedding, picture, latent

    return look
