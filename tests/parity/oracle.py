"""What PyTorch says about a case. The networks stand in `oracle_*.py`.

Everything runs in float64, so that what a comparison shows is the error of the other side.
"""

import functools
from typing import Any

import numpy as np
import torch
from torch import nn

from fr_inference.models.target import InputSpec
from tests.parity import cases
from tests.parity.oracle_attention import ViT, edgenext
from tests.parity.oracle_inception import inception_resnet_v1
from tests.parity.oracle_mobile import mbf, mobilefacenet_prelu, mobilefacenet_relu6, treb1en
from tests.parity.oracle_residual import arcface_resnet, ir, iresnet

DEPTHS = {
    '18': (2, 2, 2, 2),
    '34': (3, 4, 6, 3),
    '50': (3, 4, 14, 3),
    '100': (3, 13, 30, 3),
    '101': (3, 13, 30, 3),
    '152': (3, 8, 36, 3),
    '200': (6, 26, 60, 6),
}
# Beginning of the variant's name -> its network and options; for the rest of a name see `DEPTHS`.
RESIDUAL = {
    'arcface_resnet': (arcface_resnet, {}),
    'adaface_ir': (ir, {'middle_norm': True, 'affine_head': False}),
    'iresnet': (iresnet, {}),
    'irse': (ir, {'squeeze_excite': True}),
    'ir': (ir, {}),
}
OTHERS = {
    'arcface_resnet101': functools.partial(arcface_resnet, depths=(3, 4, 23, 3)),
    'arcface_resnet18_grey': functools.partial(
        arcface_resnet, depths=(2, 2, 2, 2), squeeze_excite=False, grey=True, padded=True
    ),
    'inception_resnet_v1': inception_resnet_v1,
    'vit_t': functools.partial(ViT, width=256, hidden=1024),
    'vit_s': ViT,
    'vit_b': functools.partial(ViT, depth=24),
    'vit_l': functools.partial(ViT, width=768, depth=24, hidden=3072),
    'vit_h': functools.partial(ViT, width=1024, depth=48, hidden=4096),
    'edgeface_xxs': functools.partial(
        edgenext, depths=(2, 2, 6, 2), widths=(24, 48, 88, 168), heads=4
    ),
    'edgeface_xs_gamma_06': functools.partial(
        edgenext, depths=(3, 3, 9, 3), widths=(32, 64, 100, 192), heads=4, rank_ratio=0.6
    ),
    'edgeface_s_gamma_05': functools.partial(
        edgenext, depths=(3, 3, 9, 3), widths=(48, 96, 160, 304), rank_ratio=0.5
    ),
    'edgeface_base': functools.partial(edgenext, depths=(3, 3, 9, 3), widths=(80, 160, 288, 584)),
    'mobilefacenet_prelu': mobilefacenet_prelu,
    'mobilefacenet_relu6': mobilefacenet_relu6,
    'mobilefacenet': treb1en,
    'treb1en': treb1en,
    'mbf': mbf,
    'mbf_large': functools.partial(mbf, scale=4, counts=(2, 8, 12, 4)),
}


def build(architecture: str, input: InputSpec, **config: Any) -> nn.Module:
    """The module that `registry.build(architecture, **config)` must agree with."""
    if architecture in OTHERS:
        return OTHERS[architecture](input, **config)
    family = next(name for name in RESIDUAL if architecture.startswith(name))
    network, options = RESIDUAL[family]
    depths = DEPTHS[architecture.removeprefix(family)]
    return network(input, **{'depths': depths, **options, **config})


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
      gradient: [1 or 2, H, W, 3] of sum(embedding * readout) with respect to the first images.
      train_embedding: [N, D] of one pass in training mode, if the case is trained.
      counts: [L], elements behind each channel's statistics in that pass.
      running_mean, running_var: [sum of C], the statistics after that pass, layer by layer.
    """
    options = case.config if case.options is None else case.options
    module = build(case.network or case.architecture, case.input, **options)
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
    distances = torch.stack([torch.zeros(len(images)), *found.values()], dim=1)[:, 1:].clone()
    readout = torch.from_numpy(cases.readout(embedding.shape[1])).double()
    (gradient,) = torch.autograd.grad((embedding * readout).sum(), images)

    def single(tensor):
        return tensor.detach().numpy().astype(np.float32)

    order = list(found)
    outputs = {
        'shapes': keys,
        'layers': order,
        'embedding': single(embedding),
        'distances': single(distances),
        'gradient': single(gradient[: cases.gradients(case)].permute(0, 2, 3, 1)),
    }
    if not case.trained:
        return outputs
    module.train()
    with torch.no_grad():
        train_embedding = module(images)
    return outputs | {
        'train_embedding': single(train_embedding),
        'counts': np.array([counts[name] for name in order]),
        'running_mean': single(torch.cat([layers[name].running_mean for name in order])),
        'running_var': single(torch.cat([layers[name].running_var for name in order])),
    }
