"""Controls: the same attack where there is nothing to find.

Null: non-members only, half of whom are called members. Blind: a backbone that never saw the members.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from fr_inference import errors, rng
from fr_inference.data.faces import Faces
from fr_inference.measuring import statistics
from fr_inference.membership.labelled import Labelled
from fr_inference.models.target import Target

LEAST_STRANGERS = 8

_CALIBRATION_IMAGES = 512


def null_labels(
    identities: Sequence[str], seed: int, *, least: int = LEAST_STRANGERS
) -> np.ndarray:
    """Calls a random half of the people members: [N] bool.

    Raises:
      InputError: for fewer people than `least`.
    """
    names = sorted(set(identities))
    if len(names) < least:
        raise errors.InputError(
            'nonmembers', f'{len(names)} people', f'{least} or more, for the null control'
        )
    order = rng.numpy_generator(seed, 'null control').permutation(len(names))
    chosen = {names[position] for position in order[: len(names) // 2]}
    return np.array([name in chosen for name in identities])


def null(images: Labelled, seed: int, *, least: int = LEAST_STRANGERS) -> Labelled:
    """Returns the non-members among the images, half of them called members."""
    strangers = images.select(~images.member)
    return strangers.relabelled(null_labels(strangers.identities, seed, least=least))


def blind_target(
    target: Target, calibration: Faces, *, seed: int, skip_bad: bool = False
) -> Target:
    """Returns an untrained copy of the target: random weights, with the statistics measured anew.

    Kernels are drawn from a normal distribution with the spread of the trained kernels; vectors
    (biases, scales, slopes) are replaced by their mean. The BatchNorm statistics are measured on
    `calibration`, which must hold both members and non-members.

    Args:
      target: any target, of any module.
      calibration: faces; at most the first 512 are used.
      seed: of the weights.
      skip_bad: leave unreadable images out.

    Raises:
      InputError: when the layers' names do not lead to their statistics.
    """

    def redraw(path, leaf):
        leaf = np.asarray(leaf)
        spread = leaf.astype(np.float32)
        if leaf.ndim < 2:
            return np.full_like(leaf, spread.mean())
        generator = rng.numpy_generator(seed, f'blind control {jax.tree_util.keystr(path)}')
        drawn = generator.standard_normal(leaf.shape, np.float32)
        return (spread.std() * drawn).astype(leaf.dtype)

    params = jax.tree_util.tree_map_with_path(redraw, target.variables['params'])
    variables = {**target.variables, 'params': params}
    if 'batch_stats' in target.variables:
        count = min(len(calibration), _CALIBRATION_IMAGES)
        variables = statistics.measured(
            dataclasses.replace(target, variables=variables),
            calibration.select(np.arange(count)),
            skip_bad=skip_bad,
        )
    return dataclasses.replace(
        target,
        name=f'{target.name} (random weights)',
        variables=variables,
        sha256='',
        recipe=None,
        notes=(),
    )
