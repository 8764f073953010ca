"""The search: the best of many random latents, improved step by step, a varied few kept.

Interrupted, it goes on from the last saved step to the same result.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable

import jax
import numpy as np

from fr_inference import checkpointing, errors, processes, provenance
from fr_inference.inversion import objective as objectives
from fr_inference.inversion import optimize, programs
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Constants, Plan
from fr_inference.inversion.pool import Pool
from fr_inference.inversion.scene import Scene

Progress = Callable[..., None]
_BLOCK = 4096  # random latents compared with all wanted embeddings at once


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
    pool: Pool,
    wanted: np.ndarray,
    *,
    workdir: str | os.PathLike | None = None,
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
      pool: random latents, of the same scene, constants and seed, of which the first `plan.draws` count.
      wanted: [G, D] unit embeddings of the targeted mode, each of which gets the plan's candidates and
        reconstructions; [1, D] zeros without one.
      workdir: keeps the state for resuming.
      save_seconds: how often at most to save.
      label: of the progress.
      progress: called as progress(label, done, total).

    Raises:
      Stopped: when that was asked for; the state is saved where there is a `workdir`.
      InputError: when `workdir` holds another search, or nothing finite was found.
    """
    errors.require(
        len(pool) >= plan.draws,
        f'draws: found a pool of {len(pool)} random latents, expected {plan.draws} or more',
    )
    constants = programs.ready(constants, plan, objective)
    wanted = np.asarray(wanted, np.float32)
    folder = pathlib.Path(workdir) if workdir is not None else None
    if folder is not None:
        described = {
            'plan': dataclasses.asdict(plan),
            'objective': dataclasses.asdict(objective),
            'wanted': checkpointing.digest(wanted),
            **programs.identified(scene, constants),
        }
        provenance.claim_run(folder, described)
    state, curve = _begin(scene, plan, objective, constants, pool, wanted, folder)
    started, done_before = time.monotonic(), int(state['step'][0]) if plan.steps else 0
    state, curve = _optimise(
        scene, plan, objective, constants, state, curve, folder, save_seconds, label, progress
    )
    seconds = time.monotonic() - started
    found = _select(scene, plan, objective, constants, state, curve, len(wanted))
    steps = (plan.steps - done_before) * plan.candidates * len(wanted)
    return dataclasses.replace(found, seconds=seconds, candidate_steps=steps)


def _begin(scene, plan, objective, constants, pool, wanted, folder):
    """Takes the best of the pool for each wanted embedding, and returns the candidates' states.

    Where such states were saved, it returns those.
    """
    curve = np.zeros((plan.steps, 2), np.float32)
    if folder is not None:
        fresh = optimize.beginning(scene, plan, pool.z_dim)
        example = (np.int32(0), wanted[0])
        shapes = jax.eval_shape(fresh, constants, example)
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (len(wanted) * plan.candidates, *leaf.shape), leaf.dtype
            ),
            shapes,
        )
        saved = checkpointing.latest_state(folder / 'state', {'candidates': like, 'curve': curve})
        if saved is not None:
            return saved[1]['candidates'], np.array(saved[1]['curve'])

    best = _best(plan, objective, pool, wanted)
    start = programs.over(optimize.beginning, constants, scene, plan, pool.z_dim)
    return start((best.reshape(-1), np.repeat(wanted, plan.candidates, axis=0))), curve


def _best(plan, objective, pool, wanted):
    """Numbers of the best latents of the pool for each of G wanted embeddings, [G, candidates]."""
    kept = np.zeros((len(wanted), 0), np.int32)
    values = np.zeros((len(wanted), 0), np.float32)
    for first in range(0, plan.draws, _BLOCK):
        rows = slice(first, min(first + _BLOCK, plan.draws))
        cosines = wanted @ np.asarray(pool.embeddings[rows]).T
        terms = {name: np.asarray(column[rows]) for name, column in pool.terms.items()}
        found = np.broadcast_to(
            objectives.total(objective.membership, objective.weights, terms, cosines), cosines.shape
        )
        numbers = np.arange(rows.start, rows.stop, dtype=np.int32)
        kept = np.concatenate([kept, np.broadcast_to(numbers, cosines.shape)], 1)
        values = np.concatenate([values, found], 1)
        ranked = np.where(np.isfinite(values), values, -np.inf)
        order = np.argsort(-ranked, axis=1, kind='stable')[:, : plan.candidates]
        kept = np.take_along_axis(kept, order, axis=1)
        values = np.take_along_axis(values, order, axis=1)
    errors.require(
        np.isfinite(values).all(),
        f'only {int(np.isfinite(values).all(0).sum())} of {plan.draws} random latents have a finite '
        f'score, expected {plan.candidates}; are generator and target damaged?',
    )
    return kept


def _optimise(
    scene, plan, objective, constants, state, curve, folder, save_seconds, label, progress
):
    """Goes on from `state` to the last step, in segments of fixed length."""
    segment = _segment(plan.steps)
    done, saved_at = int(state['step'][0]), time.monotonic()

    def save_state():
        if folder is not None:
            tree = {'candidates': state, 'curve': curve}
            checkpointing.save_state(folder / 'state', done, jax.tree.map(np.asarray, tree))

    if progress is not None and done < plan.steps:
        progress(label, done, plan.steps)
    while done < plan.steps:
        count = min(segment, plan.steps - done)
        advance = programs.over(
            optimize.advancing, constants, scene, plan, objective.membership, count
        )
        state, part = advance(state)
        curve[done : done + count] = part.mean(0)
        done += count
        if progress is not None:
            progress(label, done, plan.steps, objective=part[:, -1, 0].mean())
        if done == plan.steps or time.monotonic() - saved_at >= save_seconds:
            save_state()
            saved_at = time.monotonic()
        if done < plan.steps:
            processes.stop_point(save_state)
    return state, curve


def _segment(steps):
    """Steps between two looks at the clock; a divisor, where there is one, saves a compilation."""
    return next((size for size in range(10, 4, -1) if steps % size == 0), min(10, max(1, steps)))


def _select(scene, plan, objective, constants, state, curve, groups):
    """Looks at the candidates afresh and keeps the best of each group that are not alike."""
    look = programs.over(optimize.looking, constants, scene, plan, objective.membership)
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
    lost = int((~np.isfinite(scores[chosen])).sum())
    errors.require(
        not lost,
        f'{lost} of {len(chosen)} reconstructions have no finite score: the search diverged; lower '
        f'learning_rate (now {plan.learning_rate:g}) or the strength',
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
