"""Steps of the search in PyTorch: StyleGAN2 before a backbone, gradient with respect to w, Adam.

StyleGAN2 is written here from the paper (arXiv 1912.04958) in the form that is fast on a GPU: the
features are scaled by the style, then by the norm of the kernel, so that all samples share one
convolution. Weights have the names of NVIDIA's checkpoints. With a checkout of NVIDIA's networks those
are used in its place.
"""

import dataclasses
import importlib
import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from fr_inference.models import stylegan2

State = Mapping[str, torch.Tensor]


def random_state(
    resolution: int, base: int = 32768, most: int = 512, w_dim: int = 512
) -> dict[str, torch.Tensor]:
    """Returns a state dict of the synthesis network at its initial distribution, noise at 0.1."""
    torch.manual_seed(0)
    sizes = stylegan2.resolutions(resolution)
    width = {size: stylegan2.channels(size, base, most) for size in sizes}
    state = {'synthesis.b4.const': torch.randn(width[4], 4, 4)}

    def layer(name, inputs, features, kernel):
        state[f'{name}.weight'] = torch.randn(features, inputs, kernel, kernel)
        state[f'{name}.bias'] = torch.zeros(features)
        state[f'{name}.affine.weight'] = torch.randn(inputs, w_dim)
        state[f'{name}.affine.bias'] = torch.ones(inputs)

    for size in sizes:
        inputs = width[max(4, size // 2)]
        for part in ('conv0', 'conv1') if size > 4 else ('conv1',):
            name = f'synthesis.b{size}.{part}'
            layer(name, inputs, width[size], 3)
            state[f'{name}.noise_const'] = torch.randn(size, size)
            state[f'{name}.noise_strength'] = torch.tensor(0.1)
            inputs = width[size]
        layer(f'synthesis.b{size}.torgb', inputs, 3, 1)
    return state


def _filter(x, pad, gain):
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device)
    kernel = (torch.outer(taps, taps) * (gain / 64)).expand(x.shape[1], 1, 4, 4)
    return functional.conv2d(functional.pad(x, pad), kernel, groups=x.shape[1])


def _doubled(image):
    """Zeros between the pixels, then the filter, as one transposed convolution."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=image.dtype, device=image.device)
    kernel = (torch.outer(taps, taps) / 16).expand(image.shape[1], 1, 4, 4)
    return functional.conv_transpose2d(image, kernel, stride=2, padding=1, groups=image.shape[1])


def _dense(state, name, w):
    weight = state[f'{name}.weight']
    return w @ weight.T / math.sqrt(weight.shape[1]) + state[f'{name}.bias']


def _modulated(x, weight, style, up, demodulate):
    x = x * style.to(x.dtype)[:, :, None, None]
    kernel = weight.to(x.dtype)
    if up:
        y = functional.conv_transpose2d(x, kernel.transpose(0, 1), stride=2)
        y = _filter(y, (1, 1, 1, 1), 4.0)
    else:
        y = functional.conv2d(x, kernel, padding=weight.shape[-1] // 2)
    if demodulate:
        energy = weight.square().sum((2, 3))
        norm = torch.rsqrt(style.square() @ energy.T + 1e-8)
        y = y * norm.to(x.dtype)[:, :, None, None]
    return y


def synthesis(state: State, ws: torch.Tensor, low_from: int | None = None) -> torch.Tensor:
    """Maps ws [N, layers, w_dim] to images [N, 3, H, W] float32, with the constant noise.

    Args:
      state: under NVIDIA's names.
      ws: float32.
      low_from: resolution in pixels from which the arithmetic is bfloat16.
    """
    sizes = sorted({int(size) for name in state for size in re.findall(r'\bb(\d+)\.', name)})
    x = state['synthesis.b4.const'][None].repeat(len(ws), 1, 1, 1)
    x = x.contiguous(memory_format=torch.channels_last)
    image, i = None, 0
    for size in sizes:
        if low_from is not None and size >= low_from:
            x = x.to(torch.bfloat16)
        for part in ('conv0', 'conv1') if size > 4 else ('conv1',):
            name = f'synthesis.b{size}.{part}'
            style = _dense(state, f'{name}.affine', ws[:, i])
            x = _modulated(x, state[f'{name}.weight'], style, part == 'conv0', True)
            noise = state[f'{name}.noise_const'] * state[f'{name}.noise_strength']
            x = x + noise.to(x.dtype) + state[f'{name}.bias'].to(x.dtype)[:, None, None]
            x = functional.leaky_relu(x, 0.2) * math.sqrt(2)
            i += 1
        name = f'synthesis.b{size}.torgb'
        weight = state[f'{name}.weight']
        style = _dense(state, f'{name}.affine', ws[:, i]) / math.sqrt(weight.shape[1])
        rgb = _modulated(x, weight, style, False, False).float()
        rgb = rgb + state[f'{name}.bias'][:, None, None]
        image = rgb if image is None else _doubled(image) + rgb
    assert image is not None
    return image


def nvidia(folder: str, resolution: int, low: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns NVIDIA's synthesis network with random weights, out of a checkout of its project."""
    sys.path.insert(0, folder)
    networks = importlib.import_module('training.networks')
    network = networks.SynthesisNetwork(
        w_dim=512,
        img_resolution=resolution,
        img_channels=3,
        channel_base=32768,
        channel_max=512,
        num_fp16_res=4 if low else 0,
        conv_clamp=256 if low else None,
    )
    network.eval().requires_grad_(False).to(_device())
    return lambda ws: network(ws, noise_mode='const')


def _device():
    return 'cuda' if torch.cuda.is_available() else 'cpu'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """What the search climbs: images of w, seen by a backbone.

    Attributes:
      images: ws [N, layers, w_dim] -> [N, 3, R, R] float32.
      embed: [N, 3, H, W] float32, 0 to 255 -> [N, D] float32.
      layers: that take a w.
      height: of what the backbone sees, pixels.
      width: likewise.
    """

    images: Callable[[torch.Tensor], torch.Tensor]
    embed: Callable[[torch.Tensor], torch.Tensor]
    layers: int
    height: int
    width: int


def moved(images: torch.Tensor, draws: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Returns pictures at the backbone's size, moved as `inversion.scene.transform` moves them.

    Args:
      images: [N, 3, R, R], 0 to 255.
      draws: [N, 5], -1 to 1: side, zoom, down, right, light.
      height: of the pictures, pixels.
      width: likewise.
    """
    side, zoomed, down, right, lit = draws.T
    images = torch.where((side < 0)[:, None, None, None], images.flip(3), images)
    source = images.shape[2]
    scale = max(height, width) / source * (1 + 0.04 * zoomed)

    def rows(size, shift):
        """Weights [N, size, R] of a triangle as wide as a pixel of the smaller of the two."""
        begin = (size - source * scale) / 2 + 0.04 * size * shift
        places = torch.arange(size, device=images.device) + 0.5
        centres = (places[None] - begin[:, None]) / scale[:, None] - 0.5
        distance = centres[:, :, None] - torch.arange(source, device=images.device)
        reach = torch.clamp(1 / scale, min=1.0)[:, None, None]
        weights = torch.clamp(1 - distance.abs() / reach, min=0.0)
        total = weights.sum(2, keepdim=True)
        inside = (centres >= -0.5) & (centres <= source - 0.5)
        weights = weights / torch.where(total > 1e-4, total, torch.ones_like(total))
        return weights * inside[:, :, None]

    seen = rows(height, down)[:, None] @ images @ rows(width, right)[:, None].transpose(2, 3)
    return seen + (0.04 * 255 * lit)[:, None, None, None]


def step(scene: Scene, pictures: int, compiled: bool) -> Callable[[Any], Any]:
    """Returns a step of the search: (w, first moment, second moment, count) -> the same.

    The objective is ten times the cosine with a wanted embedding.

    Args:
      scene: generator before backbone.
      pictures: moved ones that each gradient is averaged over.
      compiled: by torch.compile.
    """

    def loss(w, draws):
        ws = w[:, None].expand(-1, scene.layers, -1)
        x = scene.images(ws)
        inside = x.clamp(-1, 1)
        x = (inside + 0.01 * (x - inside)) * 127.5 + 127.5
        seen = moved(x.repeat_interleave(pictures, 0), draws, scene.height, scene.width)
        found = functional.normalize(scene.embed(seen), eps=1e-6)
        mean = found.reshape(len(w), pictures, -1).mean(1)
        return -10 * functional.normalize(mean, eps=1e-6)[:, 0].sum()

    objective = torch.compile(loss) if compiled else loss

    def one(state):
        w, first, second, count = state
        w = w.detach().requires_grad_(True)
        draws = 2 * torch.rand(len(w) * pictures, 5, device=w.device) - 1
        (gradient,) = torch.autograd.grad(objective(w, draws), w)
        with torch.no_grad():
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient.square()
            count = count + 1
            update = (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-8)
            return w - 0.05 * update, first, second, count

    return one
