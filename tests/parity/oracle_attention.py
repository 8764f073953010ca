"""Networks with attention in PyTorch: insightface's vision transformers and EdgeFace's EdgeNeXt."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from fr_inference.models.target import InputSpec
from tests.parity.oracle_parts import Named, conv


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        count, tokens, width = x.shape
        packed = self.qkv(x).view(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = packed
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads)
        return self.proj((torch.softmax(scores, 3) @ value).transpose(1, 2).reshape(x.shape))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = Named(fc1=nn.Linear(width, hidden), act=nn.ReLU6(), fc2=nn.Linear(hidden, width))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(
        self,
        input: InputSpec,
        width: int = 512,
        depth: int = 12,
        hidden: int = 2048,
        embedding: int = 512,
        patch: int = 9,
        heads: int = 8,
    ):
        super().__init__()
        tokens = (input.height // patch) * (input.width // patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = Named(proj=nn.Conv2d(3, width, patch, patch))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.feature = nn.Sequential(
            nn.Linear(width * tokens, width, bias=False),
            nn.BatchNorm1d(width, eps=2e-5),
            nn.Linear(width, embedding, bias=False),
            nn.BatchNorm1d(embedding, eps=2e-5),
        )

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        return self.feature(self.norm(self.blocks(x)).flatten(1))


def dense(inputs: int, outputs: int, rank_ratio: float) -> nn.Module:
    if rank_ratio >= 1:
        return nn.Linear(inputs, outputs)
    rank = max(2, int(min(inputs, outputs) * rank_ratio))
    return Named(linear1=nn.Linear(inputs, rank, bias=False), linear2=nn.Linear(rank, outputs))


def expansion(channels: int, ratio: float) -> nn.Module:
    return Named(
        fc1=dense(channels, 4 * channels, ratio),
        act=nn.GELU(),
        fc2=dense(4 * channels, channels, ratio),
    )


class ChannelsLast(nn.Module):
    """A norm over the channels of [N, C, H, W]."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        x = x.movedim(1, -1)
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, 1e-6).movedim(-1, 1)


class ConvBlock(nn.Module):
    def __init__(self, channels: int, kernel: int, ratio: float):
        super().__init__()
        self.conv_dw = conv(channels, channels, kernel, groups=channels, bias=True)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = expansion(channels, ratio)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        y = self.mlp(self.norm(self.conv_dw(x).movedim(1, -1)))
        return x + (self.gamma * y).movedim(-1, 1)


class CrossCovariance(nn.Module):
    def __init__(self, channels: int, heads: int, ratio: float):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = dense(channels, 3 * channels, ratio)
        self.proj = dense(channels, channels, ratio)

    def forward(self, x):
        heads = self.temperature.shape[0]
        packed = self.qkv(x).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 4, 1)
        query, key, value = packed
        scores = F.normalize(query, dim=3) @ F.normalize(key, dim=3).transpose(2, 3)
        mixed = torch.softmax(scores * self.temperature, 3) @ value
        return self.proj(mixed.permute(0, 3, 1, 2).flatten(2))


class Positions(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.token_projection = nn.Conv2d(64, channels, 1)

    def forward(self, height, width):
        weight = self.token_projection.weight

        def waves(count):
            place = torch.arange(1, count + 1, dtype=weight.dtype) / (count + 1e-6) * 2 * math.pi
            found = []
            for i in range(16):
                angle = place / 10000 ** (i / 16)
                found += [angle.sin(), angle.cos()]
            return torch.stack(found)

        rows = waves(height)[:, :, None].expand(-1, -1, width)
        columns = waves(width)[:, None, :].expand(-1, height, -1)
        return self.token_projection(torch.cat([rows, columns])[None])


class AttentionBlock(nn.Module):
    def __init__(self, channels: int, scales: int, heads: int, positions: bool, ratio: float):
        super().__init__()
        size = math.ceil(channels / scales)
        self.convs = nn.ModuleList(
            conv(size, size, 3, groups=size, bias=True) for _ in range(max(1, scales - 1))
        )
        self.pos_embd = Positions(channels) if positions else None
        self.norm_xca = nn.LayerNorm(channels, eps=1e-6)
        self.gamma_xca = nn.Parameter(torch.ones(channels))
        self.xca = CrossCovariance(channels, heads, ratio)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = expansion(channels, ratio)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        groups = x.chunk(len(self.convs) + 1, 1)
        found = []
        for i, convolution in enumerate(self.convs):
            found.append(convolution(groups[i] if i == 0 else found[-1] + groups[i]))
        y = torch.cat([*found, groups[-1]], 1)
        if self.pos_embd is not None:
            y = y + self.pos_embd(*x.shape[2:])
        y = y.flatten(2).transpose(1, 2)
        y = y + self.gamma_xca * self.xca(self.norm_xca(y))
        y = self.gamma * self.mlp(self.norm(y))
        return x + y.transpose(1, 2).reshape(x.shape)


def edgenext(
    input: InputSpec, depths, widths, heads: int = 8, rank_ratio: float = 1.0, embedding: int = 512
) -> nn.Module:
    stages = []
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        attention = min(stage, 1)
        convolutions = [
            ConvBlock(width, 3 + 2 * stage, rank_ratio) for _ in range(depth - attention)
        ]
        last = [
            AttentionBlock(width, (2, 2, 3, 4)[stage], heads, stage == 1, rank_ratio)
            for _ in range(attention)
        ]
        blocks = nn.Sequential(*convolutions, *last)
        if stage == 0:
            stages.append(Named(blocks=blocks))
            continue
        before = widths[stage - 1]
        downsample = nn.Sequential(ChannelsLast(before), nn.Conv2d(before, width, 2, 2))
        stages.append(Named(downsample=downsample, blocks=blocks))
    return Named(
        stem=nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelsLast(widths[0])),
        stages=nn.Sequential(*stages),
        head=Named(
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            norm=nn.LayerNorm(widths[3], eps=1e-6),
            fc=dense(widths[3], embedding, rank_ratio),
        ),
    )
