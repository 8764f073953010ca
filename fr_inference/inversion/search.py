"""The search: improves the best of many random latents step by step, and keeps a varied few.

Towards a template, the first candidate starts at a mean of random latents (`starts`).

After an interruption it continues from the last saved step, to the same result.
"""

import dataclasses
import os
import pathlib
import time

import jax
import numpy as np

from fr_inference import errors, runs
from fr_inference.config import Search
from fr_inference.inversion import candidate, goals, starts
from fr_inference.inversion.candidate import Optimiser
from fr_inference.inversion.goals import Goal
from fr_inference.inversion.subject import Pool, Subject
from fr_inference.runs import Progress

_BLOCK = 4096  # random latents compared with all wanted embeddings at once
_LONGEST = 10  # steps between two checks of the time
# Options that do not change a search, or that are part of the descriptions of its goal and subject.
_NOT_DESCRIBED = {
    *('search_batch', 'untrained', 'sweep', 'targeted'),
    *('membership', 'centres', 'strength', 'prior'),
    *('space', 'psi'),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """The results of a search, for each wanted embedding the best first.

    Attributes:
      latents: [M, ...] float32, in the search's space.
      objective: [M] float32, averaged over moved pictures that no step has seen.
      logits: [M] float32 membership logits of the unmoved pictures; None without a guide.
      embeddings: [M, D] float32, the target's unit embeddings of those pictures.
      images: [M, R, R, 3] uint8.
      draws: [M] number of the random latent from which each started; for a candidate that started
        near a template (`starts`), that of the best one.
      group: [M] row of the wanted embedding of each.
      curve: [steps, 2] float32, mean objective and mean membership logit over the candidates; the logit
        is NaN without a guide.
      seconds: duration of the steps of this call.
      candidate_steps: the candidate-steps in those seconds.
    """

    latents: np.ndarray
    objective: np.ndarray
    logits: np.ndarray | None
    embeddings: np.ndarray
    images: np.ndarray
    draws: np.ndarray
    group: np.ndarray
    curve: np.ndarray
    seconds: float = 0.0
    candidate_steps: int = 0

    @property
    def rate(self) -> float | None:
        """Candidate-steps per second, including compilation; None if nothing was left to do."""
        return self.candidate_steps / self.seconds if self.candidate_steps else None


def run(
    subject: Subject,
    goal: Goal,
    how: Search,
    *,
    workdir: str | os.PathLike | None = None,
    save_seconds: float = 60.0,
    label: str = 'searching',
    progress: Progress | None = None,
) -> Found:
    """Searches a backbone.

    Args:
      subject: the backbone and its random latents; the first `how.draws` are used.
      goal: what is maximised. Each wanted embedding gets `how.candidates` candidates and `how.keep`
        reconstructions.
      how: numbers, steps and diversity.
      workdir: keeps the state for resuming.
      save_seconds: how often at most to save.
      label: of the progress.
      progress: called as progress(label, done, total, objective=...).

    Raises:
      Stopped: when a stop was requested; with a `workdir` the state is saved.
      InputError: for a goal that needs a missing guide, when `workdir` holds another search, or if
        no finite result was found.
    """
    if len(subject.pool) < how.draws:
        raise errors.InputError('draws', how.draws, f'at most the {len(subject.pool)} of the pool')
    if goal.term != 'cosine' and subject.constants.guide is None:
        raise errors.InputError(
            'goal',
            f'{goal.name} for a backbone without a membership attack',
            'goals.centres or goals.templates, or a guide (BatchNorm statistics are needed)',
        )
    wanted = goal.rows(subject.pool.embeddings.shape[1])
    if workdir is not None:
        options = dataclasses.asdict(how).items()
        described = {name: value for name, value in options if name not in _NOT_DESCRIBED}
        runs.claim(
            pathlib.Path(workdir),
            {'search': described, 'goal': goal.description(), **subject.description()},
        )
    count = len(wanted) * how.candidates
    scene, constants = subject.scene, dataclasses.replace(subject.constants, weights=goal.weights)
    optimiser = Optimiser(name=how.optimiser, learning_rate=how.learning_rate, steps=how.steps)

    def mapped(make, *static):
        return candidate.mapped(make, static, constants, total=count, most=how.search_batch)

    def fresh():
        numbers = best(goal, how, subject.pool, wanted).reshape(-1)
        begin = mapped(candidate.beginning, scene, optimiser)
        candidates = begin((numbers, np.repeat(wanted, how.candidates, axis=0)))
        # Without steps a candidate stays a random latent
        if goal.name == 'templates' and how.steps:
            latents = candidate.mapped(
                candidate.drawing, (scene,), constants, total=how.draws, most=how.search_batch
            )
            white = latents(np.arange(how.draws, dtype=np.int32))
            seen = subject.pool.embeddings[: how.draws]
            # Hosts may round differently, so all use the start of process 0.
            near = runs.by_first(lambda: starts.near(wanted, seen, white))
            candidates = _with_starts(candidates, near, how.candidates)
        return {'candidates': candidates, 'curve': np.zeros((how.steps, 2), np.float32)}

    one = jax.eval_shape(candidate.beginning(scene, optimiser), constants, (np.int32(0), wanted[0]))
    like = {
        'candidates': jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), one
        ),
        'curve': jax.ShapeDtypeStruct((how.steps, 2), np.float32),
    }
    size = _segment(how.steps)
    steps_here = 0

    def advance(state, done):
        nonlocal steps_here
        steps = min(size, how.steps - done)
        step = mapped(candidate.advancing, scene, how.pictures, goal.term, optimiser, steps)
        candidates, part = step(state['candidates'])
        curve = np.array(state['curve'])
        curve[done : done + steps] = part.mean(0)
        steps_here += steps
        state = {'candidates': candidates, 'curve': curve}
        return state, done + steps, {'objective': part[:, -1, 0].mean()}

    started = time.monotonic()
    state = runs.resume(
        fresh,
        how.steps,
        advance,
        like=like,
        folder=workdir,
        save_seconds=save_seconds,
        label=label,
        progress=progress,
    )
    seconds = time.monotonic() - started
    look = mapped(candidate.looking, scene, how.pictures, goal.term)
    found = _select(look, how, state, len(wanted))
    return dataclasses.replace(found, seconds=seconds, candidate_steps=steps_here * count)


def _with_starts(candidates, near, each):
    """The first candidate of each wanted embedding starts near it; `draw` still numbers its latent."""
    white = np.array(candidates['white'])
    white[::each] = near
    return {**candidates, 'white': white, 'best': white.copy()}


def best(goal: Goal, how: Search, pool: Pool, wanted: np.ndarray) -> np.ndarray:
    """Returns the numbers of the pool's best latents for each wanted embedding.

    Args:
      goal: ranks them.
      how: uses `draws` and `candidates`.
      pool: of `how.draws` latents or more.
      wanted: [G, D].

    Returns:
      [G, candidates] int32, the best first; among equals the lower number.

    Raises:
      InputError: if too few have a finite objective.
    """
    kept = np.zeros((len(wanted), 0), np.int32)
    values = np.zeros((len(wanted), 0), np.float32)
    for first in range(0, how.draws, _BLOCK):
        rows = slice(first, min(first + _BLOCK, how.draws))
        terms = {name: column[rows] for name, column in pool.terms.items()}
        shape = len(wanted), rows.stop - first
        found = np.broadcast_to(goals.objective(goal.term, goal.weights, terms, wanted), shape)
        numbers = np.arange(rows.start, rows.stop, dtype=np.int32)
        kept = np.concatenate([kept, np.broadcast_to(numbers, shape)], 1)
        values = np.concatenate([values, found], 1)
        ranked = np.where(np.isfinite(values), values, -np.inf)
        order = np.argsort(-ranked, axis=1, kind='stable')[:, : how.candidates]
        kept = np.take_along_axis(kept, order, axis=1)
        values = np.take_along_axis(values, order, axis=1)
    finite = np.isfinite(values).all(0)
    if not finite.all():
        raise errors.InputError(
            'draws',
            f'{int(finite.sum())} random latents of {how.draws} with a finite objective',
            f'{how.candidates} or more',
            'check whether generator or target is damaged',
        )
    return kept


def _segment(steps):
    """Steps between two stop points; if possible a divisor, which saves a compilation."""
    most = min(_LONGEST, max(1, steps // 2))
    least = 1 if steps <= _LONGEST else 5
    return next((size for size in range(most, least - 1, -1) if steps % size == 0), most)


def _select(look, how, state, groups):
    """Evaluates the candidates anew and keeps the best of each group that are not too similar."""
    candidates = state['candidates']
    found = look({name: candidates[name] for name in ('draw', 'wanted', 'white', 'best')})
    size = how.candidates
    chosen = np.concatenate(
        [
            first
            + varied(
                found['objective'][first : first + size],
                found['embedding'][first : first + size],
                how.keep,
                how.apart,
            )
            for first in range(0, groups * size, size)
        ]
    )
    lost = int((~np.isfinite(found['objective'][chosen])).sum())
    if lost:
        raise errors.InputError(
            'learning_rate',
            f'{how.learning_rate:g}, with which {lost} of {len(chosen)} reconstructions diverged',
            'one that leaves their objective finite',
            'lower it, or the strength',
        )
    return Found(
        latents=found['latent'][chosen],
        objective=found['objective'][chosen],
        logits=found['logit'][chosen] if 'logit' in found else None,
        embeddings=found['embedding'][chosen],
        images=found['image'][chosen],
        draws=np.asarray(candidates['draw'])[chosen],
        group=chosen // size,
        curve=np.asarray(state['curve']),
    )


def varied(values: np.ndarray, embeddings: np.ndarray, keep: int, apart: float) -> np.ndarray:
    """Returns the rows to keep: the best first, none too similar to a better one.

    If these are fewer than `keep`, the best of the others are added.

    Args:
      values: [K] objective.
      embeddings: [K, D] of unit length.
      keep: rows to return, at most K.
      apart: largest cosine between two, -1 to 1.

    Returns:
      [keep] row numbers, best first.
    """
    order = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind='stable')
    chosen: list[int] = []
    for row in order:
        if len(chosen) == keep:
            break
        if not chosen or (embeddings[chosen] @ embeddings[row]).max() <= apart:
            chosen.append(int(row))
    rest = [int(row) for row in order if int(row) not in set(chosen)]
    chosen += rest[: keep - len(chosen)]
    return np.array(sorted(chosen, key=lambda row: -values[row]), int)
