"""The backbone families written out in PyTorch, under the key names of their public checkpoints.

Everything runs in float64, so that what a comparison shows is the error of the other side.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from fr_inference.models.target import InputSpec
from tests.parity import cases


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


def iresnet(
    input: InputSpec, depths: Sequence[int], width: int = 64, embedding: int = 512
) -> nn.Module:
    def block(inputs, outputs, stride):
        children = {
            'bn1': nn.BatchNorm2d(inputs),
            'conv1': conv(inputs, outputs, 3),
            'bn2': nn.BatchNorm2d(outputs),
            'prelu': nn.PReLU(outputs),
            'conv2': conv(outputs, outputs, 3, stride),
            'bn3': nn.BatchNorm2d(outputs),
        }
        order = tuple(children)
        if stride == 1:
            return Sum(order, None, **children)
        downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
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
    features = nn.BatchNorm1d(embedding)
    features.weight.requires_grad_(False)
    return Named(
        conv1=conv(3, width, 3),
        bn1=nn.BatchNorm2d(width),
        prelu=nn.PReLU(width),
        **stages,
        bn2=nn.BatchNorm2d(channels),
        flatten=nn.Flatten(),
        fc=nn.Linear(channels * height * across, embedding),
        features=features,
    )


def ir(
    input: InputSpec, depths: Sequence[int], squeeze_excite: bool = False, embedding: int = 512
) -> nn.Module:
    def block(inputs, outputs, stride):
        residual = [
            nn.BatchNorm2d(inputs),
            conv(inputs, outputs, 3),
            nn.PReLU(outputs),
            conv(outputs, outputs, 3, stride),
            nn.BatchNorm2d(outputs),
        ]
        if squeeze_excite:
            residual.append(SqueezeExcite(outputs))
        shortcut: nn.Module = nn.MaxPool2d(1, stride)
        if inputs != outputs:
            shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        children = {'shortcut_layer': shortcut, 'res_layer': nn.Sequential(*residual)}
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
            nn.BatchNorm1d(embedding),
        ),
        unit=Unit(),
    )


# (channels in, channels between, channels out, stride) of the fifteen bottlenecks.
BOTTLENECKS = (
    [(64, 128, 64, 2)]
    + [(64, 128, 64, 1)] * 4
    + [(64, 256, 128, 2)]
    + [(128, 256, 128, 1)] * 6
    + [(128, 512, 128, 2)]
    + [(128, 256, 128, 1)] * 2
)


def mobilefacenet_prelu(input: InputSpec, embedding: int = 128) -> nn.Module:
    def named(convolution, linear=False):
        channels = convolution.out_channels
        children = {'conv': convolution, 'bn': nn.BatchNorm2d(channels)}
        return Named(**children) if linear else Named(**children, prelu=nn.PReLU(channels))

    def bottleneck(inputs, between, outputs, stride):
        layers = nn.Sequential(
            conv(inputs, between),
            nn.BatchNorm2d(between),
            nn.PReLU(between),
            conv(between, between, 3, stride, groups=between),
            nn.BatchNorm2d(between),
            nn.PReLU(between),
            conv(between, outputs),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        return Sum(('conv',), None, conv=layers) if same else Named(conv=layers)

    whole = nn.Conv2d(512, 512, pixels(input), groups=512, bias=False)
    return Named(
        conv1=named(conv(3, 64, 3, 2)),
        dw_conv1=named(conv(64, 64, 3, groups=64)),
        blocks=nn.Sequential(*(bottleneck(*row) for row in BOTTLENECKS)),
        conv2=named(conv(128, 512)),
        linear7=named(whole, linear=True),
        linear1=named(conv(512, embedding), linear=True),
        flatten=nn.Flatten(),
    )


def mobilefacenet_relu6(input: InputSpec, embedding: int = 128) -> nn.Module:
    def clipped(convolution):
        return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6())

    def bottleneck(inputs, between, outputs, stride):
        layers = nn.Sequential(
            clipped(conv(inputs, between)),
            clipped(conv(between, between, 3, stride, groups=between)),
            conv(between, outputs),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        return Sum(('conv',), None, conv=layers) if same else Named(conv=layers)

    return Named(
        conv1=clipped(conv(3, 64, 3, 2)),
        dw_conv=Named(
            ('depthwise', 'bn1', 'relu', 'pointwise', 'bn2', 'relu'),
            depthwise=conv(64, 64, 3, groups=64),
            pointwise=conv(64, 64),
            bn1=nn.BatchNorm2d(64),
            bn2=nn.BatchNorm2d(64),
            relu=nn.ReLU(),
        ),
        features=nn.Sequential(*(bottleneck(*row) for row in BOTTLENECKS)),
        conv2=clipped(conv(128, 512)),
        gdconv=Named(
            depthwise=nn.Conv2d(512, 512, pixels(input), groups=512, bias=False),
            bn=nn.BatchNorm2d(512),
        ),
        conv3=conv(512, embedding, bias=True),
        bn=nn.BatchNorm2d(embedding),
        flatten=nn.Flatten(),
    )


DEPTHS = {
    'iresnet18': (2, 2, 2, 2),
    'iresnet34': (3, 4, 6, 3),
    'iresnet50': (3, 4, 14, 3),
    'iresnet100': (3, 13, 30, 3),
    'iresnet200': (6, 26, 60, 6),
    '50': (3, 4, 14, 3),
    '100': (3, 13, 30, 3),
    '152': (3, 8, 36, 3),
}


def build(architecture: str, input: InputSpec, **config: Any) -> nn.Module:
    """The module that `registry.build(architecture, **config)` must agree with."""
    if architecture.startswith('iresnet'):
        return iresnet(input, **{'depths': DEPTHS[architecture], **config})
    if architecture.startswith('ir'):
        config = {'depths': DEPTHS[architecture.removeprefix('ir').removeprefix('se')], **config}
        return ir(input, squeeze_excite=architecture.startswith('irse'), **config)
    forms: Mapping[str, Callable[..., nn.Module]] = {
        'mobilefacenet_prelu': mobilefacenet_prelu,
        'mobilefacenet_relu6': mobilefacenet_relu6,
    }
    return forms[architecture](input, **config)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The keys of the state dict and their shapes."""
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def norms(module: nn.Module) -> dict[str, nn.Module]:
    """The BatchNorm layers by name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    }


def run(case: cases.Case) -> dict[str, Any]:
    """Everything a parity test compares, float32, images and gradients as [N, H, W, C].

    Returns:
      shapes: of the state dict, by key.
      layers: names of the BatchNorm layers in the order they are called.
      embedding: [N, D], eval mode.
      distances: [N, L], eval mode, sum over channels of (v - m)^2 / (variance + epsilon).
      gradient: [2, H, W, 3] of sum(embedding * readout) with respect to the first two images.
      train_embedding: [N, D] of one pass in training mode.
      counts: [L], elements behind each channel's statistics in that pass.
      running_mean, running_var: [sum of C], the statistics after that pass, layer by layer.
    """
    module = build(case.architecture, case.input, **case.config)
    keys = shapes(module)
    state = {key: torch.from_numpy(value) for key, value in cases.weights(keys).items()}
    module.load_state_dict(state)
    module.double()
    images = torch.from_numpy(cases.images(case)).double().permute(0, 3, 1, 2).contiguous()

    found: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def record(name):
        def hook(layer, arguments):
            x = arguments[0].detach().reshape(*arguments[0].shape[:2], -1)
            scaled = (x.mean(2) - layer.running_mean) ** 2 / (layer.running_var + layer.eps)
            found[name] = scaled.sum(1)
            counts[name] = x.shape[0] * x.shape[2]

        return hook

    layers = norms(module)
    for name, layer in layers.items():
        layer.register_forward_pre_hook(record(name))

    module.eval()
    images.requires_grad_(True)
    embedding = module(images)
    distances = torch.stack(list(found.values()), dim=1)
    readout = torch.from_numpy(cases.readout(embedding.shape[1])).double()
    (gradient,) = torch.autograd.grad((embedding * readout).sum(), images)
    module.train()
    with torch.no_grad():
        train_embedding = module(images)

    def single(tensor):
        return tensor.detach().numpy().astype(np.float32)

    order = list(found)
    return {
        'shapes': keys,
        'layers': order,
        'embedding': single(embedding),
        'distances': single(distances),
        'gradient': single(gradient[:2].permute(0, 2, 3, 1)),
        'train_embedding': single(train_embedding),
        'counts': np.array([counts[name] for name in order]),
        'running_mean': single(torch.cat([layers[name].running_mean for name in order])),
        'running_var': single(torch.cat([layers[name].running_var for name in order])),
    }
