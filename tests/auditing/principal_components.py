"""Would principal components of the shifts help? Attacks of one's own, tried and left out.

  python -m tests.auditing.attack_table --attacks=bn-distance,bn-moments,\\
    tests.auditing.principal_components:components,tests.auditing.principal_components:beside_moments ...

The shifts of a layer have too many channels to be kept of every image. A projection to 64 random
directions keeps their larger components; components are fitted on the strangers of the fit half.
docs/results/attacks.md has the results.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.measuring.features import Feature
from fr_inference.membership import attack
from fr_inference.membership.attacks import bn_moments

_WIDTH = 64


def _sketch(look, network):
    parts = [
        shifts
        @ jax.random.rademacher(
            jax.random.fold_in(jax.random.key(7), layer), (shifts.shape[-1], _WIDTH), jnp.float32
        )
        for layer, shifts in enumerate(look.shifts)
    ]
    return jnp.concatenate(parts) if parts else jnp.zeros(0, jnp.float32)


SKETCH = Feature('sketch', _sketch)


def of_layers(sketches: np.ndarray, strangers: np.ndarray, count: int) -> np.ndarray:
    """Returns the first principal components of each layer, in units of the strangers' deviations.

    Args:
      sketches: [N, L, 64].
      strangers: [N] bool, those that components are fitted on.
      count: components of a layer.

    Returns:
      [N, L * count].
    """
    columns = []
    for layer in range(sketches.shape[1]):
        centred = sketches[:, layer] - sketches[strangers, layer].mean(0)
        _, sizes, directions = np.linalg.svd(centred[strangers], full_matrices=False)
        deviations = sizes[:count] / np.sqrt(strangers.sum()) + 1e-9
        columns.append(centred @ directions[:count].T / deviations)
    return np.concatenate(columns, axis=1)


def _attack(name, count, moments):
    def examples(images, fit, seed):
        if not images.layers:
            return None
        sketches = np.asarray(images.extra[SKETCH.name], np.float64)
        found = of_layers(sketches.reshape(len(sketches), -1, _WIDTH), fit & ~images.member, count)
        parts = [images.log_distances, found]
        if moments:
            parts.append(np.log(images.extra[bn_moments.FEATURE.name] + 1e-12))
        return attack.of_images(images, fit, np.concatenate(parts, axis=1))

    return attack.Attack(
        name=name,
        title=f'distances and {count} principal components a layer',
        source='MINT, arXiv 2402.09225, looks at activations themselves',
        access='file',
        unit='image',
        needs='BatchNorm layers with statistics from training',
        examples=examples,
        measured=(SKETCH, bn_moments.FEATURE) if moments else (SKETCH,),
        layers=True,
    )


components = _attack('components', 8, moments=False)
beside_moments = _attack('beside-moments', 4, moments=True)
