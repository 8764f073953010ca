"""IResNet and IR in PyTorch, under the names of their public checkpoints."""

import functools
from collections.abc import Sequence

from torch import nn

from fr_inference.models.target import InputSpec
from tests.parity.oracle_parts import Named, SqueezeExcite, Sum, Unit, conv, pixels


def iresnet(
    input: InputSpec,
    depths: Sequence[int],
    width: int = 64,
    embedding: int = 512,
    squeeze_excite: bool = False,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> nn.Module:
    norm = functools.partial(nn.BatchNorm2d, eps=epsilon, momentum=1 - momentum)

    def block(inputs, outputs, stride):
        children = {
            'bn1': norm(inputs),
            'conv1': conv(inputs, outputs, 3),
            'bn2': norm(outputs),
            'prelu': nn.PReLU(outputs),
            'conv2': conv(outputs, outputs, 3, stride),
            'bn3': norm(outputs),
        }
        if squeeze_excite:
            children['se_block'] = SqueezeExcite(outputs)
        order = tuple(children)
        if stride == 1:
            return Sum(order, None, **children)
        downsample = nn.Sequential(conv(inputs, outputs, 1, stride), norm(outputs))
        return Sum(order, 'downsample', **children, downsample=downsample)

    stages: dict[str, nn.Module] = {}
    channels = width
    for i, depth in enumerate(depths):
        outputs = width * 2**i
        blocks = [block(channels, outputs, 2)]
        blocks += [block(outputs, outputs, 1) for _ in range(depth - 1)]
        stages[f'layer{i + 1}'] = nn.Sequential(*blocks)
        channels = outputs
    height, across = pixels(input)
    features = nn.BatchNorm1d(embedding, eps=epsilon, momentum=1 - momentum)
    features.weight.requires_grad_(False)
    return Named(
        conv1=conv(3, width, 3),
        bn1=norm(width),
        prelu=nn.PReLU(width),
        **stages,
        bn2=norm(channels),
        flatten=nn.Flatten(),
        fc=nn.Linear(channels * height * across, embedding),
        features=features,
    )


def ir(
    input: InputSpec,
    depths: Sequence[int],
    squeeze_excite: bool = False,
    embedding: int = 512,
    middle_norm: bool = False,
    affine_head: bool = True,
    unit_length: bool = True,
) -> nn.Module:
    def block(inputs, outputs, stride):
        residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            conv(inputs, outputs, 3),
            *([nn.BatchNorm2d(outputs)] if middle_norm else []),
            nn.PReLU(outputs),
            conv(outputs, outputs, 3, stride),
            nn.BatchNorm2d(outputs),
        )
        if squeeze_excite:
            # AdaFace names it, the others count on.
            name = 'se_block' if middle_norm else str(len(residual))
            residual.add_module(name, SqueezeExcite(outputs))
        shortcut: nn.Module = nn.MaxPool2d(1, stride)
        if inputs != outputs:
            shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        children = {'shortcut_layer': shortcut, 'res_layer': residual}
        return Sum(('res_layer',), 'shortcut_layer', **children)

    body = []
    channels = 64
    for i, depth in enumerate(depths):
        body.append(block(channels, 64 * 2**i, 2))
        channels = 64 * 2**i
        body += [block(channels, channels, 1) for _ in range(depth - 1)]
    height, across = pixels(input)
    return Named(
        input_layer=nn.Sequential(conv(3, 64, 3), nn.BatchNorm2d(64), nn.PReLU(64)),
        body=nn.Sequential(*body),
        output_layer=nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Dropout(0),  # no parameters, but it counts in the numbering of the keys
            nn.Flatten(),
            nn.Linear(channels * height * across, embedding),
            nn.BatchNorm1d(embedding, affine=affine_head),
        ),
        unit=Unit() if unit_length else nn.Identity(),
    )


class Grey(nn.Module):
    """One channel of three, as OpenCV makes it."""

    def forward(self, x):
        red, green, blue = x.unbind(1)
        return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]


class GateWithBias(nn.Module):
    """foamliu's squeeze-and-excitation."""

    def __init__(self, channels: int):
        super().__init__()
        between = max(channels // 16, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, between), nn.PReLU(), nn.Linear(between, channels), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class TwicePReLU(nn.Module):
    """foamliu's block, whose one slope serves twice."""

    def __init__(self, inputs: int, outputs: int, stride: int, squeeze_excite: bool):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, inputs, 3)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.prelu = nn.PReLU()
        self.conv2 = conv(inputs, outputs, 3, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.se = GateWithBias(outputs) if squeeze_excite else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            self.downsample = nn.Sequential(
                conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        y = self.se(self.bn2(self.conv2(y)))
        return self.prelu(y + self.downsample(x))


def arcface_resnet(
    input: InputSpec,
    depths: Sequence[int],
    width: int = 64,
    squeeze_excite: bool = True,
    grey: bool = False,
    padded: bool = False,
    embedding: int = 512,
) -> nn.Module:
    stages = {}
    channels = width
    for i, depth in enumerate(depths):
        outputs, stride = width * 2**i, 2 if i else 1
        blocks = [TwicePReLU(channels, outputs, stride, squeeze_excite)]
        blocks += [TwicePReLU(outputs, outputs, 1, squeeze_excite) for _ in range(depth - 1)]
        stages[f'layer{i + 1}'] = nn.Sequential(*blocks)
        channels = outputs
    height, across = pixels(input)
    first, dense, last = ('bn4', 'fc5', 'bn5') if padded else ('bn2', 'fc', 'bn3')
    head = {
        first: nn.BatchNorm2d(channels),
        'flatten': nn.Flatten(),
        dense: nn.Linear(channels * height * across, embedding),
        last: nn.BatchNorm1d(embedding),
    }
    return Named(
        grey=Grey() if grey else nn.Identity(),
        conv1=nn.Conv2d(1 if grey else 3, width, 3, padding=int(padded), bias=False),
        bn1=nn.BatchNorm2d(width),
        prelu=nn.PReLU(),
        maxpool=nn.MaxPool2d(2, 2),
        **stages,
        **head,
    )
