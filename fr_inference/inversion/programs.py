"""The compiled programs of the search, over any number of candidates."""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

from fr_inference import checkpointing, devices, processes, rng
from fr_inference.inversion import optimize
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Constants, Plan
from fr_inference.inversion.scene import Scene


def ready(constants: Constants, plan: Plan, objective: Objective | None = None) -> Constants:
    """Returns the constants on every device, with the key of the plan's seed and the weights."""
    key = rng.stream(jax.random.key(plan.seed), 'search')
    weights = objective.weights if objective is not None else None
    return devices.replicated(dataclasses.replace(constants, key=key, weights=weights))


def identified(scene: Scene, constants: Constants) -> dict[str, str]:
    """Returns what saved work belongs to, besides its plan: kind of scene, digests of the weights."""
    return {
        'scene': scene.kind,
        'generator': checkpointing.digest(constants.generator),
        'target': checkpointing.digest(constants.target),
        'guide': checkpointing.digest(constants.guide),
    }


@functools.lru_cache(maxsize=32)
def _compiled(on, make, scene, plan, *more):
    return devices.per_candidate(make(scene, plan, *more), on)


def over(
    make: Callable[..., optimize.Program],
    constants: Constants,
    scene: Scene,
    plan: Plan,
    *more: Hashable,
) -> Callable[[Any], Any]:
    """Returns a program over any number of examples, `plan.batch` at a time on each device.

    Examples are NumPy arrays (or pytrees of them) with a first axis, as results are.

    Searches that differ in numbers and weights alone share what is compiled.

    Args:
      make: a function of `optimize` that returns a program.
      constants: what all examples share.
      scene: its first argument.
      plan: its second.
      *more: the rest.
    """
    shared = dataclasses.replace(plan, seed=0, draws=1, candidates=1, keep=1, apart=1.0, batch=1)
    if make is not optimize.advancing:
        shared = dataclasses.replace(shared, steps=0, learning_rate=1.0)
    compiled, place, count = _compiled(devices.local(), make, scene, shared, *more)
    placed = place(constants)

    def run(examples):
        """Of several processes each computes its share, and all get the whole."""
        total = len(jax.tree.leaves(examples)[0])
        own = processes.share(total)
        most = -(-total // processes.count())
        width = min(plan.batch, -(-most // count))
        parts = []
        # Without a share it computes one all the same, to know what the others' look like.
        for start in range(own.start, max(own.stop, own.start + 1), width * count):
            index = np.minimum(np.arange(start, start + width * count), total - 1)
            chunk = jax.tree.map(
                lambda leaf, index=index: leaf[index].reshape(count, width, *leaf.shape[1:]),
                examples,
            )
            real = min(width * count, own.stop - start)
            parts.append(
                jax.tree.map(
                    lambda leaf, real=real: leaf.reshape(-1, *leaf.shape[2:])[:real],
                    jax.device_get(compiled(placed, chunk)),
                )
            )
        found = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
        return processes.gather_rows(found)

    return run
