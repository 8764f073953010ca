"""facenet-pytorch's InceptionResnetV1 in PyTorch, under its names."""

from collections import OrderedDict

import torch
from torch import nn

from fr_inference.models.target import InputSpec
from tests.parity.oracle_parts import Named, Unit


def unit(inputs: int, outputs: int, kernel=1, stride: int = 1, padding=0) -> nn.Module:
    return Named(
        conv=nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        bn=nn.BatchNorm2d(outputs, eps=1e-3),
        relu=nn.ReLU(),
    )


class Branches(nn.Module):
    """What the branches give, side by side."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        for i, branch in enumerate(branches):
            self.add_module(f'branch{i}', branch)

    def parts(self, x):
        return [branch(x) for name, branch in self.named_children() if name.startswith('branch')]

    def forward(self, x):
        return torch.cat(self.parts(x), 1)


class Residual(Branches):
    """The same through a 1x1 convolution, scaled and added to the input."""

    def __init__(self, channels: int, width: int, scale: float, *branches: nn.Module, last=False):
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(width, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x):
        x = self.conv2d(torch.cat(self.parts(x), 1)) * self.scale + x
        return x if self.last else torch.relu(x)


def block35():
    return Residual(
        256,
        96,
        0.17,
        unit(256, 32),
        nn.Sequential(unit(256, 32), unit(32, 32, 3, padding=1)),
        nn.Sequential(unit(256, 32), unit(32, 32, 3, padding=1), unit(32, 32, 3, padding=1)),
    )


def block17():
    across = unit(128, 128, (1, 7), padding=(0, 3))
    down = unit(128, 128, (7, 1), padding=(3, 0))
    second = nn.Sequential(unit(896, 128), across, down)
    return Residual(896, 256, 0.1, unit(896, 128), second)


def block8(scale=0.2, last=False):
    across = unit(192, 192, (1, 3), padding=(0, 1))
    down = unit(192, 192, (3, 1), padding=(1, 0))
    second = nn.Sequential(unit(1792, 192), across, down)
    return Residual(1792, 384, scale, unit(1792, 192), second, last=last)


def inception_resnet_v1(input: InputSpec, depths=(5, 10, 5), embedding: int = 512) -> nn.Module:
    mixed_6a = Branches(
        unit(256, 384, 3, 2),
        nn.Sequential(unit(256, 192), unit(192, 192, 3, padding=1), unit(192, 256, 3, 2)),
        nn.MaxPool2d(3, 2),
    )
    mixed_7a = Branches(
        nn.Sequential(unit(896, 256), unit(256, 384, 3, 2)),
        nn.Sequential(unit(896, 256), unit(256, 256, 3, 2)),
        nn.Sequential(unit(896, 256), unit(256, 256, 3, padding=1), unit(256, 256, 3, 2)),
        nn.MaxPool2d(3, 2),
    )
    return nn.Sequential(
        OrderedDict(
            conv2d_1a=unit(3, 32, 3, 2),
            conv2d_2a=unit(32, 32, 3),
            conv2d_2b=unit(32, 64, 3, padding=1),
            maxpool_3a=nn.MaxPool2d(3, 2),
            conv2d_3b=unit(64, 80),
            conv2d_4a=unit(80, 192, 3),
            conv2d_4b=unit(192, 256, 3, 2),
            repeat_1=nn.Sequential(*(block35() for _ in range(depths[0]))),
            mixed_6a=mixed_6a,
            repeat_2=nn.Sequential(*(block17() for _ in range(depths[1]))),
            mixed_7a=mixed_7a,
            repeat_3=nn.Sequential(*(block8() for _ in range(depths[2]))),
            block8=block8(1.0, last=True),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            last_linear=nn.Linear(1792, embedding, bias=False),
            last_bn=nn.BatchNorm1d(embedding, eps=1e-3),
            unit=Unit(),
        )
    )
