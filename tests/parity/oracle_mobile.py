"""The MobileFaceNets in PyTorch, under the names of their public checkpoints."""

from torch import nn

from fr_inference.models.target import InputSpec
from tests.parity.oracle_parts import Named, Sum, Unit, conv, pixels

# (channels in, channels between, channels out, stride) of the fifteen bottlenecks.
BOTTLENECKS = (
    [(64, 128, 64, 2)]
    + [(64, 128, 64, 1)] * 4
    + [(64, 256, 128, 2)]
    + [(128, 256, 128, 1)] * 6
    + [(128, 512, 128, 2)]
    + [(128, 256, 128, 1)] * 2
)


class GateOfFork(nn.Module):
    """The squeeze-and-excitation of LH-and-FPGA/MobileFaceNet_Pytorch, reduction 4."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            conv(channels, channels // 4),
            nn.ReLU(),
            conv(channels // 4, channels),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.fc(x)


def mobilefacenet_prelu(
    input: InputSpec,
    embedding: int = 128,
    stem_channels: int = 64,
    rows=BOTTLENECKS,
    last_channels: int = 512,
    activation: str = 'prelu',
    squeeze_excite: bool = False,
    head: str = 'depthwise',
) -> nn.Module:
    """Xiaoccer's, with what its forks change."""

    def activate(channels):
        return nn.PReLU(channels) if activation == 'prelu' else nn.ReLU()

    def named(convolution, linear=False):
        channels = convolution.out_channels
        children = {'conv': convolution, 'bn': nn.BatchNorm2d(channels)}
        return Named(**children) if linear else Named(**children, prelu=activate(channels))

    def bottleneck(inputs, between, outputs, stride):
        layers = nn.Sequential(
            conv(inputs, between),
            nn.BatchNorm2d(between),
            activate(between),
            conv(between, between, 3, stride, groups=between),
            nn.BatchNorm2d(between),
            activate(between),
            *([GateOfFork(between)] if squeeze_excite else []),
            conv(between, outputs),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        return Sum(('conv',), None, conv=layers) if same else Named(conv=layers)

    whole: nn.Module = nn.AdaptiveAvgPool2d(1)
    if head == 'depthwise':
        kernel = pixels(input)
        whole = named(
            nn.Conv2d(last_channels, last_channels, kernel, groups=last_channels, bias=False),
            linear=True,
        )
    return Named(
        conv1=named(conv(3, stem_channels, 3, 2)),
        dw_conv1=named(conv(stem_channels, stem_channels, 3, groups=stem_channels)),
        blocks=nn.Sequential(*(bottleneck(*row) for row in rows)),
        conv2=named(conv(rows[-1][2], last_channels)),
        linear7=whole,
        linear1=named(conv(last_channels, embedding), linear=True),
        flatten=nn.Flatten(),
    )


def mobilefacenet_relu6(input: InputSpec, embedding: int = 128, rows=BOTTLENECKS) -> nn.Module:
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
        features=nn.Sequential(*(bottleneck(*row) for row in rows)),
        conv2=clipped(conv(128, 512)),
        gdconv=Named(
            depthwise=nn.Conv2d(512, 512, pixels(input), groups=512, bias=False),
            bn=nn.BatchNorm2d(512),
        ),
        conv3=conv(512, embedding, bias=True),
        bn=nn.BatchNorm2d(embedding),
        flatten=nn.Flatten(),
    )


def treb1en(
    input: InputSpec,
    counts=(4, 6, 2),
    embedding: int = 512,
    unit_length: bool = True,
    output_layer: bool = False,
) -> nn.Module:
    """InsightFace_Pytorch's; CurricularFace puts the head below `output_layer`."""

    def named(convolution, linear=False):
        channels = convolution.out_channels
        children = {'conv': convolution, 'bn': nn.BatchNorm2d(channels)}
        return Named(**children) if linear else Named(**children, prelu=nn.PReLU(channels))

    def bottleneck(inputs, between, outputs, stride):
        children = {
            'conv': named(conv(inputs, between)),
            'conv_dw': named(conv(between, between, 3, stride, groups=between)),
            'project': named(conv(between, outputs), linear=True),
        }
        return Sum(tuple(children), None, **children) if stride == 1 else Named(**children)

    def stage(inputs, between, count):
        return Named(
            model=nn.Sequential(*(bottleneck(inputs, between, inputs, 1) for _ in range(count)))
        )

    head = {
        'conv_6_dw': named(nn.Conv2d(512, 512, pixels(input), groups=512, bias=False), linear=True),
        'conv_6_flatten': nn.Flatten(),
        'linear': nn.Linear(512, embedding, bias=False),
        'bn': nn.BatchNorm1d(embedding),
    }
    tail = {'output_layer': Named(**head)} if output_layer else head
    return Named(
        conv1=named(conv(3, 64, 3, 2)),
        conv2_dw=named(conv(64, 64, 3, groups=64)),
        conv_23=bottleneck(64, 128, 64, 2),
        conv_3=stage(64, 128, counts[0]),
        conv_34=bottleneck(64, 256, 128, 2),
        conv_4=stage(128, 256, counts[1]),
        conv_45=bottleneck(128, 512, 128, 2),
        conv_5=stage(128, 256, counts[2]),
        conv_6_sep=named(conv(128, 512)),
        **tail,
        unit=Unit() if unit_length else nn.Identity(),
    )


def mbf(input: InputSpec, scale: int = 2, counts=(1, 4, 6, 2), embedding: int = 512) -> nn.Module:
    """insightface's, of any scale and number of blocks."""

    def listed(convolution, linear=False):
        channels = convolution.out_channels
        layers = [convolution, nn.BatchNorm2d(channels)]
        return Named(layers=nn.Sequential(*layers, *([] if linear else [nn.PReLU(channels)])))

    def bottleneck(inputs, between, outputs, stride):
        layers = nn.Sequential(
            listed(conv(inputs, between)),
            listed(conv(between, between, 3, stride, groups=between)),
            listed(conv(between, outputs), linear=True),
        )
        return Sum(('layers',), None, layers=layers) if stride == 1 else Named(layers=layers)

    def stage(channels, between, count):
        blocks = (bottleneck(channels, between, channels, 1) for _ in range(count))
        return Named(layers=nn.Sequential(*blocks))

    small, wide = 64 * scale, 128 * scale
    first = (
        listed(conv(small, small, 3, groups=64)) if counts[0] == 1 else stage(small, 128, counts[0])
    )
    whole = nn.Conv2d(512, 512, pixels(input), groups=512, bias=False)
    return Named(
        layers=nn.Sequential(
            listed(conv(3, small, 3, 2)),
            first,
            bottleneck(small, 128, small, 2),
            stage(small, 128, counts[1]),
            bottleneck(small, 256, wide, 2),
            stage(wide, 256, counts[2]),
            bottleneck(wide, 512, wide, 2),
            stage(wide, 256, counts[3]),
        ),
        conv_sep=listed(conv(wide, 512)),
        features=Named(
            layers=nn.Sequential(
                listed(whole, linear=True),
                nn.Flatten(),
                nn.Linear(512, embedding, bias=False),
                nn.BatchNorm1d(embedding),
            )
        ),
    )
