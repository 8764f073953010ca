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
import numpy as np

from fr_inference import checkpoint, checks, parallel, provenance, rng
from fr_inference.inversion import optimize
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Constants, Plan
from fr_inference.inversion.scene import Scene

Progress = Callable[..., None]


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
      group: [M] row of the wanted embedding that each is for.
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
    group: np.ndarray
    curve: np.ndarray
    seconds: float = 0.0
    candidate_steps: int = 0

    @property
    def rate(self) -> float | None:
        """Candidate-steps per second, compilation included; None where nothing was left to do."""
        return self.candidate_steps / self.seconds if self.candidate_steps else None


def run(
    scene: Scene,
    plan: Plan,
    objective: Objective,
    constants: Constants,
    z_dim: int,
    wanted: np.ndarray,
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
      wanted: [G, D] unit embeddings of the targeted mode, each of which gets the plan's candidates and
        reconstructions; [1, D] zeros without one.
      workdir: keeps the state for resuming.
      run: what else the state belongs to (JSON-able), such as digests of the variables.
      save_seconds: how often at most to save.
      label: of the progress.
      progress: called as progress(label, done, total).

    Raises:
      InputError: when `workdir` holds another search, or nothing finite was found.
    """
    constants = parallel.replicated(_seeded(constants, plan))
    folder = pathlib.Path(workdir) if workdir is not None else None
    if folder is not None:
        described = {
            'plan': dataclasses.asdict(plan),
            'objective': dataclasses.asdict(objective),
            **(run or {}),
        }
        provenance.claim_run(folder, described)
    wanted = np.asarray(wanted, np.float32)
    state, curve = _begin(scene, plan, objective, constants, z_dim, wanted, folder, label, progress)
    started, done_before = time.monotonic(), int(state['step'][0]) if plan.steps else 0
    state, curve = _optimise(
        scene, plan, objective, constants, state, curve, folder, save_seconds, label, progress
    )
    seconds = time.monotonic() - started
    found = _select(scene, plan, objective, constants, state, curve, len(wanted))
    steps = (plan.steps - done_before) * plan.candidates * len(wanted)
    return dataclasses.replace(found, seconds=seconds, candidate_steps=steps)


def embeddings_of_draws(
    scene: Scene,
    plan: Plan,
    objective: Objective,
    constants: Constants,
    z_dim: int,
    *,
    label: str = 'drawing',
    progress: Progress | None = None,
) -> np.ndarray:
    """Returns what the target makes of the plan's random latents: [draws, D] mean embeddings.

    The arguments are those of `run`, which begins from the same latents.
    """
    constants = parallel.replicated(_seeded(constants, plan))
    scores = _over('score', scene, plan, objective, constants, z_dim)
    found = []
    for first in range(0, plan.draws, plan.batch):
        numbers = np.arange(first, min(first + plan.batch, plan.draws), dtype=np.int32)
        found.append(scores(numbers)[1])
        if progress is not None:
            progress(label, int(numbers[-1]) + 1, plan.draws)
    return np.concatenate(found)


def _seeded(constants, plan):
    return dataclasses.replace(constants, key=rng.stream(jax.random.key(plan.seed), 'search'))


@functools.lru_cache(maxsize=32)
def _program(kind, scene, plan, objective, extra):
    """Compiles a function of (constants, example); searches that differ in numbers share it."""
    if kind == 'advance':
        function = optimize.advancing(scene, plan, objective, extra)
    elif kind == 'score':
        function = optimize.scoring(scene, plan, objective, extra)
    elif kind == 'begin':
        function = optimize.beginning(scene, plan, extra)
    else:
        function = optimize.looking(scene, plan, objective)
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


def _begin(scene, plan, objective, constants, z_dim, wanted, folder, label, progress):
    """Draws, keeps the best for each wanted embedding, and returns the candidates' states.

    Where such states were saved, it returns those.
    """
    curve = np.zeros((plan.steps, 2), np.float32)
    if folder is not None:
        fresh = optimize.beginning(scene, plan, z_dim)
        example = (np.int32(0), wanted[0])
        shapes = jax.eval_shape(fresh, constants, example)
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (len(wanted) * plan.candidates, *leaf.shape), leaf.dtype
            ),
            shapes,
        )
        saved = checkpoint.latest_state(folder / 'state', {'candidates': like, 'curve': curve})
        if saved is not None:
            saved_state = jax.tree.map(np.asarray, saved[1])
            return saved_state['candidates'], np.array(saved_state['curve'])

    scores = _over('score', scene, plan, objective, constants, z_dim)
    kept = np.zeros((len(wanted), 0), np.int32)
    values = np.zeros((len(wanted), 0), np.float32)
    for first in range(0, plan.draws, plan.batch):
        numbers = np.arange(first, min(first + plan.batch, plan.draws), dtype=np.int32)
        alone, embeddings = scores(numbers)
        matched = alone + np.float32(objective.match) * (wanted @ embeddings.T)
        kept = np.concatenate([kept, np.broadcast_to(numbers, matched.shape)], 1)
        values = np.concatenate([values, matched], 1)
        ranked = np.where(np.isfinite(values), values, -np.inf)
        best = np.argsort(-ranked, axis=1, kind='stable')[:, : plan.candidates]
        kept = np.take_along_axis(kept, best, axis=1)
        values = np.take_along_axis(values, best, axis=1)
        if progress is not None:
            progress(f'{label}: drawing', int(numbers[-1]) + 1, plan.draws)
    checks.require(
        np.isfinite(values).all(),
        f'only {int(np.isfinite(values).all(0).sum())} of {plan.draws} random latents have a finite '
        f'score, expected {plan.candidates}; are generator and target damaged?',
    )
    start = _over('begin', scene, plan, objective, constants, z_dim)
    return start((kept.reshape(-1), np.repeat(wanted, plan.candidates, axis=0))), curve


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


def _select(scene, plan, objective, constants, state, curve, groups):
    """Looks at the candidates afresh and keeps the best of each group that are not alike."""
    look = _over('look', scene, plan, objective, constants)
    scores, logits, embeddings, images, latents = look(
        {name: state[name] for name in ('draw', 'wanted', 'white', 'best')}
    )
    size = plan.candidates
    chosen = np.concatenate(
        [
            first
            + varied(
                scores[first : first + size],
                embeddings[first : first + size],
                plan.keep,
                plan.apart,
            )
            for first in range(0, groups * size, size)
        ]
    )
    return Found(
        latents=latents[chosen],
        scores=scores[chosen],
        logits=logits[chosen],
        embeddings=embeddings[chosen],
        images=images[chosen],
        draws=np.asarray(state['draw'])[chosen],
        group=chosen // size,
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
