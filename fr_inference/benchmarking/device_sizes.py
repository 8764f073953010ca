"""Sizes for the device check: on a GPU, or to test the check itself."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes of everything that is measured.

    Attributes:
      dtype: of the timed arithmetic.
      config: overrides of hyper-parameters, by backbone.
      side: of the backbones' images, pixels; None for their default.
      generator: overrides of StyleGAN2's hyper-parameters.
      resolutions: of the two generators, pixels.
      batch: images at a time.
      sweep: other batch sizes, ascending.
      candidates: number at a time for each of the two generators.
      more_candidates: other numbers for the first generator.
      resampled: side in pixels, features, and number of images for resampling.
      training: images of a training step.
      rounds: timed calls.
      compiled: whether PyTorch uses torch.compile.
    """

    dtype: str
    config: Mapping[str, Mapping[str, Any]]
    side: int | None
    generator: Mapping[str, Any]
    resolutions: tuple[int, int]
    batch: int
    sweep: tuple[int, ...]
    candidates: tuple[int, int]
    more_candidates: tuple[int, ...]
    resampled: tuple[int, int, int]
    training: int
    rounds: int
    compiled: bool


FULL = Sizes(
    dtype='bfloat16',
    config={},
    side=None,
    generator={},
    resolutions=(256, 1024),
    batch=512,
    sweep=(256, 1024, 2048),
    candidates=(16, 4),
    more_candidates=(32, 64),
    resampled=(64, 128, 64),
    training=128,
    rounds=7,
    compiled=True,
)
_SHALLOW = {'depths': (1, 1, 1, 1), 'width': 8, 'embedding': 16}
_SHORT = {'expanded': (16, 16), 'channels': (8, 8), 'strides': (2, 1), 'last_channels': 16}
SMALL = Sizes(
    dtype='float32',
    config={
        **dict.fromkeys(('iresnet18', 'iresnet50', 'iresnet100'), _SHALLOW),
        'mobilefacenet_prelu': {**_SHORT, 'stem_channels': 8, 'embedding': 16},
    },
    side=32,
    generator={'channel_base': 64, 'channel_max': 8, 'mapping_layers': 1},
    resolutions=(4, 8),
    batch=4,
    sweep=(8,),
    candidates=(2, 1),
    more_candidates=(4,),
    resampled=(4, 2, 1),
    training=4,
    rounds=2,
    compiled=False,
)
