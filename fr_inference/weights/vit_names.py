"""Vision transformers of insightface's `arcface_torch`."""

import math
import re
from collections.abc import Mapping

import flax.linen as nn

from fr_inference.models import registry
from fr_inference.models.backbones.vit import ViT
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, differing, size_of

SIGNATURES = ('patch_embed.proj.weight',)
SIZES = {
    (256, 12): 'vit_t',
    (512, 12): 'vit_s',
    (512, 24): 'vit_b',
    (768, 24): 'vit_l',
    (1024, 48): 'vit_h',
}


def recognise(
    shapes: Mapping[str, tuple[int, ...]], input: InputSpec | None = None, prefix: str = ''
) -> Match | None:
    """Returns the variant that fits a state dict's names and shapes, None for another family."""
    if SIGNATURES[0] not in shapes or 'feature.3.running_mean' not in shapes:
        return None
    width = size_of(shapes, 'patch_embed.proj.weight', 512)
    patch = size_of(shapes, 'patch_embed.proj.weight', 9, axis=2)
    found = (re.match(r'blocks\.(\d{1,2})\.', name) for name in shapes)
    depth = max((int(match[1]) for match in found if match), default=0) + 1
    architecture = SIZES.get((width, depth), 'vit_s')
    wanted = {
        'patch': patch,
        'width': width,
        'depth': depth,
        'hidden': size_of(shapes, 'blocks.0.mlp.fc1.weight', 4 * width),
        'embedding': size_of(shapes, 'feature.2.weight', 512),
    }
    spec = input or registry.VARIANTS[architecture].input
    tokens = size_of(shapes, 'pos_embed', 144, axis=1)
    side = math.isqrt(tokens)
    usual = tokens == (spec.height // patch) * (spec.width // patch)
    if input is None and not usual and side * side == tokens and patch * side <= 1024:
        spec = registry.sized(spec, patch * side, patch * side)
    remarks = ('heads of the attention: 8, as in published code; not in the file',)
    return Match(architecture, differing(architecture, wanted), spec, layers(depth), (), remarks)


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for a module of another."""
    return layers(module.depth) if isinstance(module, ViT) else None


def layers(depth: int) -> tuple[Layer, ...]:
    """Returns the rules of a network with that many blocks."""
    rules = [
        Layer('patch_embed.proj', 'conv_bias', 'patch_embed'),
        Layer('pos_embed', 'raw', 'pos_embed'),
        Layer('mask_token', 'raw', 'mask_token'),
    ]
    parts = (
        ('norm1', 'layer_norm', 'norm1'),
        ('attn.qkv', 'dense_plain', 'attn/qkv'),
        ('attn.proj', 'dense', 'attn/proj'),
        ('norm2', 'layer_norm', 'norm2'),
        ('mlp.fc1', 'dense', 'fc1'),
        ('mlp.fc2', 'dense', 'fc2'),
    )
    for i in range(depth):
        rules += [Layer(f'blocks.{i}.{a}', kind, f'block{i}_{b}') for a, kind, b in parts]
    return (
        *rules,
        Layer('norm', 'layer_norm', 'norm'),
        Layer('feature.0', 'dense_plain', 'fc1'),
        Layer('feature.1', 'norm', 'bn1'),
        Layer('feature.2', 'dense_plain', 'fc2'),
        Layer('feature.3', 'norm', 'bn2'),
    )
