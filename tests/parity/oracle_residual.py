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
