"""What both sides of a parity test share: architectures, weights and images, all from one seed.

Weights are drawn by key name, so that neither side can depend on the order of the other's keys.
"""

import dataclasses
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fr_inference.models.target import InputSpec

SEED = 2401
IMAGES = 4
FIXTURES = pathlib.Path(__file__).parent / 'fixtures'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One architecture, small enough for its outputs to be kept in the repository."""

    architecture: str
    input: InputSpec
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# The inputs are not square and the heads more than one pixel high, so that a head that flattens its
# features in another order, or confuses height with width, cannot pass.
CASES = {
    'iresnet': Case(
        architecture='iresnet18',
        config={'depths': [2, 1, 1, 1], 'width': 32, 'embedding': 64},
        input=InputSpec(height=48, width=32),
    ),
    'ir': Case(
        architecture='ir50',
        config={'depths': [2, 1, 1, 1], 'embedding': 64},
        input=InputSpec(height=48, width=32),
    ),
    'irse': Case(
        architecture='irse50',
        config={'depths': [1, 2, 1, 1], 'embedding': 64},
        input=InputSpec(height=48, width=32),
    ),
    'mobilefacenet_prelu': Case(
        architecture='mobilefacenet_prelu', input=InputSpec(height=48, width=32)
    ),
    'mobilefacenet_relu6': Case(
        architecture='mobilefacenet_relu6', input=InputSpec(height=48, width=32)
    ),
}


def _draw(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A state dict with those keys and shapes: random weights and random BatchNorm statistics."""
    state = {}
    for key, shape in shapes.items():
        draw = _draw(key)
        owner, kind = key.rsplit('.', 1)
        if kind == 'num_batches_tracked':
            state[key] = np.asarray(100, np.int64)
            continue
        if kind == 'running_var':
            value = draw.uniform(0.5, 2, shape)
        elif kind == 'running_mean':
            value = draw.normal(0, 0.5, shape)
        elif kind == 'bias':
            value = draw.normal(0, 0.2, shape)
        elif f'{owner}.running_var' in shapes:
            value = draw.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = draw.uniform(0.05, 0.5, shape)
        else:
            value = draw.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        state[key] = value.astype(np.float32)
    return state


def images(case: Case) -> np.ndarray:
    """[N, H, W, 3] float32, standard normal."""
    shape = (IMAGES, case.input.height, case.input.width, 3)
    return _draw('images').standard_normal(shape, np.float32)


def readout(embedding: int) -> np.ndarray:
    """[D] float32: the scalar whose gradient is compared is the sum of embedding * readout."""
    return _draw('readout').standard_normal(embedding, np.float32)
