"""The search: many random latents, the best of them improved step by step, a varied few kept.

Every candidate is a pure function of its number, so that neither devices nor batches change a result;
interrupted, it goes on from the last saved step to the same result.
"""

import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fr_inference import checkpoint, checks, parallel, provenance, rng
from fr_inference.inversion import objective as objectives
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.objective import Guide, Objective
from fr_inference.inversion.scene import Jitter, Scene
from fr_inference.membership import attack as attacks

OPTIMISERS = ('adam', 'projected')

Progress = Callable[..., None]


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
        checks.one_of('optimiser', self.optimiser, OPTIMISERS)
        for name in ('draws', 'candidates', 'keep', 'batch', 'learning_rate'):
            checks.positive(name, getattr(self, name))
        checks.require(self.steps >= 0, f'steps: found {self.steps}, expected 0 or more')
        checks.require(self.pictures >= 2, f'pictures: found {self.pictures}, expected 2 or more')
        checks.require(
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
      wanted: [D] unit embedding of the targeted mode; zeros without one.
      key: of the seed.
    """

    generator: Any
    target: Any
    guide: Guide
    wanted: Any
    key: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What the search returns, the best first.

    Attributes:
      latents: [M, ...] float32, in the search's space.
      scores: [M] objective, averaged over pictures nobody optimised.
      logits: [M] membership logit of the picture that was not moved.
      embeddings: [M, D] the target's unit embedding of it.
      images: [M, R, R, 3] uint8.
      draws: [M] number of the random latent that each began as.
      curve: [steps, 2] mean objective and mean membership logit over the candidates.
      seconds: of optimisation, this process's share.
      candidate_steps: done in those seconds.
    """

    latents: np.ndarray
    scores: np.ndarray
    logits: np.ndarray
    embeddings: np.ndarray
    images: np.ndarray
    draws: np.ndarray
    curve: np.ndarray
    seconds: float = 0.0
    candidate_steps: int = 0


def white_to_latent(guide: Guide, white: jax.Array) -> jax.Array:
    """Returns the latent of whitened coordinates [..., w_dim]."""
    return guide.w_mean + white @ guide.w_colour


def latent_to_white(guide: Guide, latent: jax.Array) -> jax.Array:
    """Returns the whitened coordinates of a latent [..., w_dim]."""
    return (latent - guide.w_mean) @ guide.w_white


def _pictures(scene: Scene, constants: Constants, images, keys, jitter):
    """Looks at T images, each moved by its key."""

    def look(image, key):
        return scene.see(constants.target, scenes.transform(key, image, scene.input, jitter))

    return jax.vmap(look)(images, keys)


def _value(scene, plan, objective, constants, white, key):
    """The objective of one latent, averaged over moved pictures."""
    latent = white_to_latent(constants.guide, white)
    image = scene.render(constants.generator, latent)
    images = jnp.broadcast_to(image, (plan.pictures, *image.shape))
    keys = jax.random.split(key, plan.pictures)
    seen = _pictures(scene, constants, images, keys, plan.jitter)
    return objectives.of_pictures(objective, constants.guide, latent, seen, constants.wanted)


def _gradient(scene, plan, objective, constants, white, key):
    """Returns ((objective, mean membership logit), gradient with respect to `white`)."""
    guide = constants.guide

    def render(white):
        return scene.render(constants.generator, white_to_latent(guide, white))

    def of_images(images, white):
        keys = jax.random.split(key, plan.pictures)
        seen = _pictures(scene, constants, images, keys, plan.jitter)
        latent = white_to_latent(guide, white)
        value = objectives.of_pictures(objective, guide, latent, seen, constants.wanted)
        return value, attacks.logit(guide.attack, seen.features).mean()

    image, pull_back = jax.vjp(render, white)
    images = jnp.broadcast_to(image, (plan.pictures, *image.shape))
    both, (on_images, direct) = jax.value_and_grad(of_images, (0, 1), has_aux=True)(images, white)
    total = on_images.sum(0)
    if objective.agreement:
        agreed = jnp.abs(total) / (jnp.abs(on_images).sum(0) + 1e-20)
        total = total * agreed**objective.agreement
    return both, pull_back(total)[0] + direct


def _optimiser(plan):
    schedule = optax.cosine_decay_schedule(plan.learning_rate, max(1, plan.steps))
    direction = {'adam': optax.scale_by_adam, 'projected': optax.normalize_by_update_norm}
    return optax.chain(direction[plan.optimiser](), optax.scale_by_learning_rate(schedule))


def _advance(scene, plan, objective, steps):
    """Returns the function of (constants, one candidate's state) that does so many steps."""
    optimiser = _optimiser(plan)

    def step(constants, state, _):
        key = jax.random.fold_in(jax.random.fold_in(constants.key, state['draw']), state['step'])
        (value, logit), gradient = _gradient(scene, plan, objective, constants, state['white'], key)
        better = value > state['best_score']
        best = jnp.where(better, state['white'], state['best'])
        with jax.numpy_dtype_promotion('standard'):  # optax raises floats to whole numbers
            updates, memory = optimiser.update(-gradient, state['memory'], state['white'])
        white = optax.apply_updates(state['white'], updates)
        if plan.optimiser == 'projected':
            length = jnp.sqrt(jnp.mean(jnp.square(white)))
            white = white / jnp.maximum(length, 1.0)
        state = {
            'draw': state['draw'],
            'step': state['step'] + 1,
            'white': white,
            'memory': memory,
            'best': best,
            'best_score': jnp.maximum(value, state['best_score']),
        }
        return state, jnp.stack([value, logit])

    def advance(constants, state):
        return jax.lax.scan(functools.partial(step, constants), state, length=steps)

    return advance


def run(
    scene: Scene,
    plan: Plan,
    objective: Objective,
    constants: Constants,
    z_dim: int,
    *,
    workdir: str | os.PathLike | None = None,
    run: dict[str, Any] | None = None,
    save_seconds: float = 60.0,
    label: str = 'searching',
    progress: Progress | None = None,
) -> Found:
    """Searches.

    Args:
      scene: generator before target.
      plan: how.
      objective: what is maximised.
      constants: variables and measurements; `key` is replaced by the plan's seed.
      z_dim: length of z.
      workdir: keeps the state for resuming.
      run: what else the state belongs to (JSON-able), such as digests of the variables.
      save_seconds: how often at most to save.
      label: of the progress.
      progress: called as progress(label, done, total).

    Raises:
      InputError: when `workdir` holds another search, or nothing finite was found.
    """
    constants = dataclasses.replace(constants, key=rng.stream(jax.random.key(plan.seed), 'search'))
    constants = parallel.replicated(constants)
    folder = pathlib.Path(workdir) if workdir is not None else None
    if folder is not None:
        described = {
            'plan': dataclasses.asdict(plan),
            'objective': dataclasses.asdict(objective),
            **(run or {}),
        }
        provenance.claim_run(folder, described)
    state, curve = _begin(scene, plan, objective, constants, z_dim, folder, label, progress)
    started, done_before = time.monotonic(), int(state['step'][0]) if plan.steps else 0
    state, curve = _optimise(
        scene, plan, objective, constants, state, curve, folder, save_seconds, label, progress
    )
    seconds = time.monotonic() - started
    found = _select(scene, plan, objective, constants, state, curve)
    steps = (plan.steps - done_before) * plan.candidates
    return dataclasses.replace(found, seconds=seconds, candidate_steps=steps)


@functools.lru_cache(maxsize=32)
def _program(kind, scene, plan, objective, extra):
    """Compiles a function of (constants, example); searches that differ in numbers share it."""
    if kind == 'advance':
        function = _advance(scene, plan, objective, extra)
    elif kind == 'score':
        function = _score(scene, plan, objective, extra)
    elif kind == 'begin':
        function = _fresh(scene, plan, extra)
    else:
        function = _look(scene, plan, objective)
    return parallel.per_example(function)


def _over(kind, scene, plan, objective, constants, extra=None):
    """Returns the program over any number of examples, `plan.batch` at a time on each device."""
    # What a program does not depend on, so that controls share those of the search.
    shared = dataclasses.replace(plan, seed=0, draws=1, candidates=1, keep=1, apart=1.0, batch=1)
    if kind != 'advance':
        shared = dataclasses.replace(shared, steps=0, learning_rate=1.0)
    compiled, place, count = _program(kind, scene, shared, objective, extra)
    placed = place(constants)
    size = plan.batch * count

    def over(examples):
        total = len(jax.tree.leaves(examples)[0])
        width = min(size, parallel.round_up(total, count))
        parts = []
        for start in range(0, total, width):
            index = np.minimum(np.arange(start, start + width), total - 1)
            chunk = jax.tree.map(lambda leaf, index=index: leaf[index], examples)
            found = jax.device_get(compiled(placed, chunk))
            real = min(width, total - start)
            parts.append(jax.tree.map(lambda leaf, real=real: leaf[:real], found))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    return over


def _draw_one(scene, z_dim):
    def draw(constants, number):
        key = jax.random.fold_in(rng.stream(constants.key, 'draw'), number)
        z = jax.random.normal(key, (z_dim,))
        return latent_to_white(constants.guide, scene.to_latent(constants.generator, z))

    return draw


def _fresh(scene, plan, z_dim):
    draw, optimiser = _draw_one(scene, z_dim), _optimiser(plan)

    def fresh(constants, number):
        white = draw(constants, number)
        return {
            'draw': number,
            'step': jnp.zeros((), jnp.int32),
            'white': white,
            'memory': optimiser.init(white),
            'best': white,
            'best_score': jnp.asarray(-jnp.inf),
        }

    return fresh


def _score(scene, plan, objective, z_dim):
    draw = _draw_one(scene, z_dim)

    def score(constants, number):
        key = jax.random.fold_in(rng.stream(constants.key, 'first look'), number)
        return _value(scene, plan, objective, constants, draw(constants, number), key)

    return score


def _look(scene, plan, objective):
    def look(constants, example):
        draw, last, best = example
        key = jax.random.fold_in(rng.stream(constants.key, 'last look'), draw)
        # The best so far was called so by its own few pictures; both are judged by new ones.
        values = jnp.stack(
            [_value(scene, plan, objective, constants, white, key) for white in (last, best)]
        )
        chosen = jnp.where(values[0] >= values[1], last, best)
        latent = white_to_latent(constants.guide, chosen)
        image = scene.render(constants.generator, latent)
        still = scenes.transform(key, image, scene.input, scenes.STILL)
        seen = scene.see(constants.target, still)
        logit = attacks.logit(constants.guide.attack, seen.features)
        picture = jnp.clip(jnp.round(image), 0, 255).astype(jnp.uint8)
        return values.max(), logit, seen.embedding, picture, latent

    return look


def _begin(scene, plan, objective, constants, z_dim, folder, label, progress):
    """Draws, keeps the best, and returns the candidates' states; or those that were saved."""
    curve = np.zeros((plan.steps, 2), np.float32)
    start = _over('begin', scene, plan, objective, constants, z_dim)
    if folder is not None:
        fresh = _fresh(scene, plan, z_dim)
        few = np.arange(2, dtype=np.int32)
        shapes = jax.eval_shape(jax.vmap(fresh, in_axes=(None, 0)), constants, few)
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((plan.candidates, *leaf.shape[1:]), leaf.dtype),
            shapes,
        )
        saved = checkpoint.latest_state(folder / 'state', {'candidates': like, 'curve': curve})
        if saved is not None:
            saved_state = jax.tree.map(np.asarray, saved[1])
            return saved_state['candidates'], np.array(saved_state['curve'])

    scores = _over('score', scene, plan, objective, constants, z_dim)
    kept = np.zeros(0, np.int32)
    values = np.zeros(0, np.float32)
    for first in range(0, plan.draws, plan.batch):
        numbers = np.arange(first, min(first + plan.batch, plan.draws), dtype=np.int32)
        kept = np.concatenate([kept, numbers])
        values = np.concatenate([values, scores(numbers)])
        best = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind='stable')
        kept, values = kept[best[: plan.candidates]], values[best[: plan.candidates]]
        if progress is not None:
            progress(f'{label}: drawing', int(numbers[-1]) + 1, plan.draws)
    checks.require(
        np.isfinite(values).all(),
        f'only {int(np.isfinite(values).sum())} of {plan.draws} random latents have a finite score, '
        f'expected {plan.candidates}; are generator and target damaged?',
    )
    return start(kept), curve


def _optimise(
    scene, plan, objective, constants, state, curve, folder, save_seconds, label, progress
):
    """Goes on from `state` to the last step, in segments of fixed length."""
    segment = min(10, max(1, plan.steps))
    done, saved_at = int(state['step'][0]), time.monotonic()
    while done < plan.steps:
        count = min(segment, plan.steps - done)
        advance = _over('advance', scene, plan, objective, constants, count)
        state, part = advance(state)
        curve[done : done + count] = part.mean(0)
        done += count
        if progress is not None:
            progress(label, done, plan.steps, objective=part[:, -1, 0].mean())
        if folder is not None and (
            done == plan.steps or time.monotonic() - saved_at >= save_seconds
        ):
            tree = {'candidates': state, 'curve': curve}
            checkpoint.save_state(folder / 'state', done, jax.tree.map(np.asarray, tree))
            saved_at = time.monotonic()
    return state, curve


def _select(scene, plan, objective, constants, state, curve):
    """Looks at the candidates afresh and keeps the best that are not alike."""

    over = _over('look', scene, plan, objective, constants)
    examples = (state['draw'], state['white'], state['best'])
    scores, logits, embeddings, images, latents = over(examples)
    chosen = varied(scores, embeddings, plan.keep, plan.apart)
    return Found(
        latents=latents[chosen],
        scores=scores[chosen],
        logits=logits[chosen],
        embeddings=embeddings[chosen],
        images=images[chosen],
        draws=np.asarray(state['draw'])[chosen],
        curve=curve,
    )


def varied(scores: np.ndarray, embeddings: np.ndarray, keep: int, apart: float) -> np.ndarray:
    """Returns the rows that are kept: the best first, none too like a better one.

    Where that leaves fewer than `keep`, the best of the others fill up.

    Args:
      scores: [K].
      embeddings: [K, D] of unit length.
      keep: rows to return.
      apart: largest cosine between two.

    Returns:
      [keep] row numbers, best first.
    """
    order = np.argsort(-np.where(np.isfinite(scores), scores, -np.inf), kind='stable')
    chosen: list[int] = []
    for row in order:
        if len(chosen) == keep:
            break
        if not chosen or (embeddings[chosen] @ embeddings[row]).max() <= apart:
            chosen.append(int(row))
    rest = [int(row) for row in order if int(row) not in set(chosen)]
    chosen += rest[: keep - len(chosen)]
    return np.array(sorted(chosen, key=lambda row: -scores[row]), int)
