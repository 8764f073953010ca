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
    """One architecture, small enough for its outputs to be kept in the repository.

    Attributes:
      architecture: the variant that must be recognised.
      config: its hyper-parameters, which must be recognised too.
      input: what images the networks get.
      prefix: what the project calls the backbone, before each name.
      kept: whether PyTorch's outputs are kept as a fixture; elsewhere they are compared live only.
      trained: whether a pass in training mode is compared as well.
      network: of the oracle; that of the architecture by default.
      options: of that network; the hyper-parameters by default.
    """

    architecture: str
    input: InputSpec
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prefix: str = ''
    kept: bool = True
    trained: bool = False
    network: str = ''
    options: Mapping[str, Any] | None = None


# The inputs are not square and the heads more than one pixel high, so that a head that flattens its
# features in another order, or confuses height with width, cannot pass.
# MobileFaceNet with one block of stride 1 in each stage: what JAX and what the oracle is told.
SHORT = {
    'expanded': [128, 128, 256, 256, 512, 256],
    'channels': [64, 64, 128, 128, 128, 128],
    'strides': [2, 1, 2, 1, 2, 1],
}
SHORT_ROWS = (
    (64, 128, 64, 2),
    (64, 128, 64, 1),
    (64, 256, 128, 2),
    (128, 256, 128, 1),
    (128, 512, 128, 2),
    (128, 256, 128, 1),
)
CASES = {
    'iresnet': Case(
        architecture='iresnet50',
        config={'depths': [2, 1, 1, 1], 'width': 32, 'embedding': 64},
        input=InputSpec(height=48, width=32),
        trained=True,
    ),
    'ir': Case(
        architecture='ir50',
        config={'depths': [2, 1, 1, 1], 'embedding': 64},
        input=InputSpec(height=48, width=32),
        trained=True,
    ),
    'irse': Case(
        architecture='irse50',
        config={'depths': [1, 2, 1, 1], 'embedding': 64},
        input=InputSpec(height=48, width=32),
        trained=True,
    ),
    # All that AdaFace's form can have at once, and all of IResNet's options.
    'adaface': Case(
        architecture='adaface_ir50',
        config={'depths': [1, 1, 1, 1], 'squeeze_excite': True, 'embedding': 64},
        input=InputSpec(height=32, width=16),
    ),
    'magface': Case(
        architecture='iresnet50',
        config={
            'depths': [1, 1, 2, 1],
            'width': 32,
            'embedding': 64,
            'squeeze_excite': True,
            'epsilon': 2e-5,
            'momentum': 0.1,
        },
        input=InputSpec(height=32, width=16),
        prefix='features.module.',
    ),
    'magface_trained': Case(
        architecture='iresnet50',
        config={
            'depths': [1, 1, 1, 1],
            'width': 8,
            'embedding': 16,
            'epsilon': 2e-5,
            'momentum': 0.1,
        },
        input=InputSpec(height=32, width=16),
        prefix='features.module.',
        kept=False,
        trained=True,
    ),
    'curricularface': Case(
        architecture='ir50',
        config={
            'depths': [1, 1, 1, 2],
            'affine_head': False,
            'unit_length': False,
            'embedding': 64,
        },
        input=InputSpec(height=32, width=16),
        kept=False,
    ),
    'mobilefacenet_prelu': Case(
        architecture='mobilefacenet_prelu',
        config=SHORT,
        input=InputSpec(height=48, width=32),
        trained=True,
        options={'rows': SHORT_ROWS},
    ),
    'mobilefacenet_relu6': Case(
        architecture='mobilefacenet_relu6',
        config=SHORT,
        input=InputSpec(height=48, width=32),
        trained=True,
        options={'rows': SHORT_ROWS},
    ),
    # A fork's own widths with squeeze-and-excitation and a mean in place of the last convolution.
    'mobilefacenet_fork': Case(
        architecture='mobilefacenet_prelu',
        config={
            'expanded': [32, 24, 24, 48, 64],
            'channels': [12, 12, 24, 32, 32],
            'strides': [2, 1, 2, 2, 1],
            'squeeze_excite': True,
            'stem_channels': 16,
            'last_channels': 64,
            'embedding': 32,
            'head': 'mean',
        },
        input=InputSpec(height=48, width=32),
        options={
            'rows': [
                (16, 32, 12, 2),
                (12, 24, 12, 1),
                (12, 24, 24, 2),
                (24, 48, 32, 2),
                (32, 64, 32, 1),
            ],
            'stem_channels': 16,
            'last_channels': 64,
            'embedding': 32,
            'squeeze_excite': True,
            'head': 'mean',
        },
    ),
    'mobilefacenet_relu': Case(
        architecture='mobilefacenet_prelu',
        config={
            'expanded': [64] * 3 + [64] + [128] * 5,
            'channels': [32] * 3 + [64] * 6,
            'strides': [2, 1, 1, 2, 1, 1, 1, 2, 1],
            'stem_channels': 32,
            'last_channels': 128,
            'embedding': 64,
            'activation': 'relu',
        },
        input=InputSpec(height=48, width=32),
        options={
            'rows': [
                (32, 64, 32, 2),
                (32, 64, 32, 1),
                (32, 64, 32, 1),
                (32, 64, 64, 2),
                (64, 128, 64, 1),
                (64, 128, 64, 1),
                (64, 128, 64, 1),
                (64, 128, 64, 2),
                (64, 128, 64, 1),
            ],
            'stem_channels': 32,
            'last_channels': 128,
            'embedding': 64,
            'activation': 'relu',
        },
        kept=False,
    ),
    'treb1en': Case(
        architecture='mobilefacenet',
        config={**SHORT, 'embedding': 32},
        input=InputSpec(height=48, width=32),
        network='treb1en',
        options={'counts': (1, 1, 1), 'embedding': 32},
        kept=False,
    ),
    'facexzoo_mobilefacenet': Case(
        architecture='mobilefacenet',
        config={**SHORT, 'unit_length': False},
        input=InputSpec(height=32, width=16),
        prefix='backbone.',
        network='treb1en',
        options={'counts': (1, 1, 1), 'unit_length': False},
        kept=False,
    ),
    'curricularface_mobilefacenet': Case(
        architecture='mobilefacenet',
        config={**SHORT, 'unit_length': False},
        input=InputSpec(height=32, width=16),
        network='treb1en',
        options={'counts': (1, 1, 1), 'unit_length': False, 'output_layer': True},
        kept=False,
    ),
    'mbf': Case(
        architecture='mbf',
        config={
            'expanded': [128, 128, 256, 256, 512, 256],
            'channels': [128, 128, 256, 256, 256, 256],
            'strides': [2, 1, 2, 1, 2, 1],
            'embedding': 32,
        },
        input=InputSpec(height=48, width=32),
        network='mbf',
        options={'counts': (1, 1, 1, 1), 'embedding': 32},
    ),
    'inception_resnet': Case(
        architecture='inception_resnet_v1',
        config={'depths': [1, 1, 1], 'embedding': 32},
        input=InputSpec(height=91, width=75),
    ),
    'arcface_resnet': Case(
        architecture='arcface_resnet18',
        config={'depths': [1, 1, 2, 1], 'width': 16, 'embedding': 32},
        input=InputSpec(height=48, width=32),
    ),
    'arcface_resnet_grey': Case(
        architecture='arcface_resnet18_grey',
        config={'depths': [1, 2, 1, 1], 'width': 16, 'embedding': 32},
        input=InputSpec(height=48, width=32),
        kept=False,
    ),
    'vit': Case(
        architecture='vit_s',
        config={'width': 32, 'depth': 2, 'hidden': 128, 'embedding': 24},
        input=InputSpec(height=37, width=27),
    ),
    'edgeface': Case(
        architecture='edgeface_base',
        config={
            'depths': [1, 1, 1, 1],
            'widths': [16, 24, 40, 72],
            'heads': 4,
            'rank_ratio': 0.5,
            'embedding': 32,
        },
        input=InputSpec(height=96, width=64),
    ),
    'edgeface_full_rank': Case(
        architecture='edgeface_base',
        config={'depths': [1, 2, 2, 2], 'widths': [16, 24, 40, 64], 'embedding': 32},
        input=InputSpec(height=64, width=96),
        kept=False,
    ),
    'mbf_large': Case(
        architecture='mbf_large',
        config={
            'expanded': [128] * 4 + [256] * 2 + [512, 256],
            'channels': [256] * 4 + [512] * 4,
            'strides': [1, 1, 2, 1, 2, 1, 2, 1],
        },
        input=InputSpec(height=32, width=16),
        network='mbf',
        options={'scale': 4, 'counts': (2, 1, 1, 1)},
        kept=False,
    ),
}

KEPT = [name for name, case in CASES.items() if case.kept]


def _draw(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A state dict with those keys and shapes: random weights and random BatchNorm statistics."""
    state = {}
    for key, shape in shapes.items():
        draw = _draw(key)
        owner, _, kind = key.rpartition('.')
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


def gradients(case: Case) -> int:
    """With respect to how many images: one keeps the fixture small."""
    return 2 if case.trained else 1


def readout(embedding: int) -> np.ndarray:
    """[D] float32: the scalar whose gradient is compared is the sum of embedding * readout."""
    return _draw('readout').standard_normal(embedding, np.float32)
