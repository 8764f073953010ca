"""Random variables of any module; compiling its initialisers takes longer than most tests."""

import jax
import numpy as np


def drawn(abstract):
    """Kernels that keep the scale of their input, and statistics that are not 0 and 1.

    Args:
      abstract: shapes of the variables.
    """
    rng = np.random.default_rng(7)

    def draw(path, leaf):
        kind = path[-1].key
        if kind == 'kernel':
            return rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape).astype(np.float32)
        low, high = {'bias': (-0.2, 0.2), 'mean': (-0.5, 0.5)}.get(kind, (0.5, 1.5))
        return rng.uniform(low, high, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, abstract)
