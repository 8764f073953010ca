"""What both sides of StyleGAN2's parity share: sizes, weights under NVIDIA's names, latents, images."""

import dataclasses
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.formats import generators
from tests.parity.cases import FIXTURES as _BACKBONES

FIXTURES = _BACKBONES.parent / 'stylegan2_fixtures'
SEED = 1912
PSI = 0.7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A generator and a discriminator of the same sizes, and how many samples."""

    sizes: generators.Sizes
    count: int = 2


def _case(resolution, base, most, **options):
    sizes = generators.Sizes(resolution=resolution, z=24, w=32, base=base, most=most, layers=3)
    return Case(sizes=sizes, **options)


CASES = {
    '8': _case(8, 256, 32, count=8),
    '64': _case(64, 1024, 64, count=4),
    '256': _case(256, 1024, 64),
}


def resolutions(state: Mapping[str, Any]) -> list[int]:
    """4, 8, ... to what the names say."""
    return sorted({int(r) for name in state for r in re.findall(r'\bb(\d+)\.', name)})


def _draw(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def _weights(shapes):
    state = {}
    for name, shape in shapes.items():
        value = _draw(name).standard_normal(shape, np.float32)
        if name.endswith('resample_filter'):
            value = generators.FILTER
        elif re.fullmatch(r'mapping\.fc\d+\.(weight|bias)', name):
            value = value / np.float32(0.01)  # what the learning rate's multiplier takes back
            value *= np.float32(0.2 if name.endswith('bias') else 1)
        elif name.endswith('affine.bias'):
            value = 1 + np.float32(0.3) * value
        elif name.endswith(('bias', 'noise_strength', 'w_avg')):
            value = np.float32(0.3) * value
        state[name] = np.asarray(value, np.float32)
    return state


def generator(case: Case) -> dict[str, np.ndarray]:
    """A state dict, nothing in it zero."""
    return _weights(generators.nvidia_generator(case.sizes))


def discriminator(case: Case) -> dict[str, np.ndarray]:
    """A state dict, nothing in it zero."""
    return _weights(generators.nvidia_discriminator(case.sizes))


def latents(case: Case) -> np.ndarray:
    """[N, z_dim] float32."""
    return _draw('z').standard_normal((case.count, case.sizes.z), np.float32)


def images(case: Case) -> np.ndarray:
    """[N, H, W, 3] float32, each of another contrast, so that the logits differ."""
    side = case.sizes.resolution
    contrast = np.arange(1, case.count + 1, dtype=np.float32)[:, None, None, None]
    return contrast * _draw('images').standard_normal((case.count, side, side, 3), np.float32)


def readout(case: Case) -> np.ndarray:
    """[N, H, W, 3] float32: the gradient compared is of the sum of image * readout."""
    side = case.sizes.resolution
    return _draw('readout').standard_normal((case.count, side, side, 3), np.float32)


def thin(images: Any) -> Any:
    """Every 11th row and column of large images, which are of all phases, and the last."""
    if images.shape[1] <= 16:
        return images
    kept = sorted({*range(0, images.shape[1], 11), images.shape[1] - 1})
    return images[:, kept][:, :, kept]
