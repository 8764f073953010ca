"""StyleGAN2 written out in PyTorch from the paper's formulas (arXiv 1912.04958), in float64.

The form is the paper's own: each sample has its own kernel (section 2.2, equations 1 and 3), all of
them in one grouped convolution; the filter [1, 3, 3, 1] is a depthwise convolution. Weights are taken
from a state dict under the names of NVIDIA's checkpoints.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tests.parity import stylegan2_cases as cases

State = Mapping[str, torch.Tensor]


def resample(x: torch.Tensor, pad: tuple[int, int], gain: float = 1.0) -> torch.Tensor:
    """Pads by (before, after) in both directions, then filters."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = (torch.outer(taps, taps) / 64 * gain).expand(x.shape[1], 1, 4, 4)
    return functional.conv2d(functional.pad(x, pad + pad), kernel, groups=x.shape[1])


def upsample(x: torch.Tensor) -> torch.Tensor:
    """Zeros between the pixels, then the filter."""
    count, features, height, width = x.shape
    spread = torch.zeros(count, features, 2 * height, 2 * width, dtype=x.dtype)
    spread[:, :, ::2, ::2] = x
    return resample(spread, (2, 1), gain=4)


def dense(state: State, name: str, x: torch.Tensor, multiplier: float = 1.0) -> torch.Tensor:
    """Equalised learning rate: weights of variance 1, scaled here."""
    weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
    return x @ weight.T * (multiplier / math.sqrt(weight.shape[1])) + bias * multiplier


def leaky(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.2) * math.sqrt(2)


def mapping(state: State, z: torch.Tensor) -> torch.Tensor:
    """z [N, z_dim] -> w [N, w_dim]."""
    x = z / torch.sqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
    layers = sum(name.startswith('mapping.fc') and name.endswith('.bias') for name in state)
    for i in range(layers):
        x = leaky(dense(state, f'mapping.fc{i}', x, 0.01))
    return x


def modulated(
    x: torch.Tensor, weight: torch.Tensor, style: torch.Tensor, up: bool, demodulate: bool
) -> torch.Tensor:
    """A kernel for each sample, samples side by side in the channels."""
    count, _, height, width = x.shape
    kernels = weight[None] * style[:, None, :, None, None]
    if demodulate:
        kernels = kernels / torch.sqrt(kernels.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    side = x.reshape(1, -1, height, width)
    if up:
        turned = kernels.transpose(1, 2).flatten(0, 1)
        y = functional.conv_transpose2d(side, turned, stride=2, groups=count)
        y = resample(y, (1, 1), gain=4)
    else:
        y = functional.conv2d(
            side, kernels.flatten(0, 1), padding=weight.shape[-1] // 2, groups=count
        )
    return y.reshape(count, -1, *y.shape[2:])


def synthesis(state: State, ws: torch.Tensor, noise: bool) -> torch.Tensor:
    """ws [N, layers, w_dim] -> images [N, 3, H, W]; noise is the constant one or none."""
    x = state['synthesis.b4.const'][None].repeat(len(ws), 1, 1, 1)
    image, i = None, 0
    for r in cases.resolutions(state):
        for part in ('conv0', 'conv1') if r > 4 else ('conv1',):
            name = f'synthesis.b{r}.{part}'
            style = dense(state, f'{name}.affine', ws[:, i])
            x = modulated(x, state[f'{name}.weight'], style, part == 'conv0', True)
            if noise:
                x = x + state[f'{name}.noise_const'] * state[f'{name}.noise_strength']
            x = leaky(x + state[f'{name}.bias'][:, None, None])
            i += 1
        name = f'synthesis.b{r}.torgb'
        style = dense(state, f'{name}.affine', ws[:, i]) / math.sqrt(x.shape[1])
        rgb = modulated(x, state[f'{name}.weight'], style, False, False)
        rgb = rgb + state[f'{name}.bias'][:, None, None]
        image = rgb if image is None else upsample(image) + rgb
    return image


def discriminate(state: State, x: torch.Tensor, group: int = 4) -> torch.Tensor:
    """Images [N, 3, H, W] -> logits [N]."""

    def convolve(x, name, down=False):
        weight = state[f'{name}.weight']
        scaled, side = weight / math.sqrt(math.prod(weight.shape[1:])), weight.shape[-1]
        if down:
            x = resample(x, (2, 2) if side == 3 else (1, 1))
            return functional.conv2d(x, scaled, stride=2)
        return functional.conv2d(x, scaled, padding=side // 2)

    def layer(x, name, down=False):
        return leaky(convolve(x, name, down) + state[f'{name}.bias'][:, None, None])

    sizes = cases.resolutions(state)[:0:-1]
    x = layer(x, f'b{sizes[0]}.fromrgb')
    for r in sizes:
        shortcut = convolve(x, f'b{r}.skip', down=True)
        x = layer(layer(x, f'b{r}.conv0'), f'b{r}.conv1', down=True)
        x = (x + shortcut) / math.sqrt(2)
    groups = x.reshape(min(group, len(x)), -1, *x.shape[1:])
    spread = torch.sqrt(groups.var(dim=0, unbiased=False) + 1e-8).mean(dim=(1, 2, 3))
    feature = spread.repeat(len(groups))[:, None, None, None].expand(-1, 1, *x.shape[2:])
    x = layer(torch.cat([x, feature], dim=1), 'b4.conv')
    return dense(state, 'b4.out', leaky(dense(state, 'b4.fc', x.flatten(1))))[:, 0]


def run(case: cases.Case) -> dict[str, Any]:
    """What a parity test compares, float32, images as [N, H, W, C] and sub-sampled by `cases.thin`."""
    generator = {name: torch.from_numpy(v).double() for name, v in cases.generator(case).items()}
    critic = {name: torch.from_numpy(v).double() for name, v in cases.discriminator(case).items()}
    w = mapping(generator, torch.from_numpy(cases.latents(case)).double())
    average = generator['mapping.w_avg']
    count = 2 * len(cases.resolutions(generator))
    ws = (average + cases.PSI * (w - average))[:, None].repeat(1, count, 1)
    ws.requires_grad_(True)
    images = synthesis(generator, ws, noise=True)
    readout = torch.from_numpy(cases.readout(case)).double().permute(0, 3, 1, 2)
    (gradient,) = torch.autograd.grad((images * readout).sum(), ws)
    real = torch.from_numpy(cases.images(case)).double().permute(0, 3, 1, 2).requires_grad_(True)
    logits = discriminate(critic, real)
    (slope,) = torch.autograd.grad(logits.sum(), real)
    found = {
        'w': w,
        'image': cases.thin(images.permute(0, 2, 3, 1)),
        'image_without_noise': cases.thin(synthesis(generator, ws, False).permute(0, 2, 3, 1)),
        'gradient': gradient,
        'logits': logits,
        'logit_gradient': cases.thin(slope.permute(0, 2, 3, 1)),
    }
    return {name: value.detach().numpy().astype(np.float32) for name, value in found.items()}


def main() -> None:
    """Writes the fixtures: `python -m tests.parity.stylegan2_oracle` in the root."""
    cases.FIXTURES.mkdir(exist_ok=True)
    for name, case in cases.CASES.items():
        np.savez_compressed(cases.FIXTURES / f'{name}.npz', **run(case))


if __name__ == '__main__':
    main()
