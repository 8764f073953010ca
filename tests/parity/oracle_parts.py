"""What the networks of the oracle share."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fr_inference.models.target import InputSpec


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, **options: Any) -> nn.Conv2d:
    options = {'bias': False, 'padding': kernel // 2, **options}
    return nn.Conv2d(inputs, outputs, kernel, stride, **options)


class Named(nn.Module):
    """Children under given names, applied in the order of their names in `order`."""

    def __init__(self, order: Sequence[str] = (), **children: nn.Module):
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)
        self.order = tuple(order or children)

    def forward(self, x):
        for name in self.order:
            x = self.get_submodule(name)(x)
        return x


class Sum(Named):
    """x, or `shortcut` of x, plus what the other children make of x."""

    def __init__(self, order: Sequence[str], shortcut: str | None, **children: nn.Module):
        super().__init__(order, **children)
        self.shortcut = shortcut

    def forward(self, x):
        if self.shortcut is None:
            return x + super().forward(x)
        # insightface computes the shortcut last, InsightFace_Pytorch first.
        if self.shortcut == 'downsample':
            y = super().forward(x)
            return y + self.downsample(x)
        return self.get_submodule(self.shortcut)(x) + super().forward(x)


class Unit(nn.Module):
    def forward(self, x):
        return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = conv(channels, channels // 16)
        self.fc2 = conv(channels // 16, channels)

    def forward(self, x):
        gate = self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


def pixels(input: InputSpec, halvings: int = 4) -> tuple[int, int]:
    """Height and width after so many convolutions of stride 2, each of which rounds up."""
    step = 2**halvings
    return -(-input.height // step), -(-input.width // step)
