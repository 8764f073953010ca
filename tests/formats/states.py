"""State dicts under the key names of public checkpoints, of any size, with random values or none."""

from collections.abc import Mapping, Sequence

import numpy as np

Shapes = dict[str, tuple[int, ...]]


def _norm(name: str, channels: int) -> Shapes:
    leaves = ('weight', 'bias', 'running_mean', 'running_var')
    return {
        **{f'{name}.{leaf}': (channels,) for leaf in leaves},
        f'{name}.num_batches_tracked': (),
    }


def _conv(name: str, outputs: int, inputs: int, size: int = 1) -> Shapes:
    return {f'{name}.weight': (outputs, inputs, size, size)}


def _dense(name: str, outputs: int, inputs: int) -> Shapes:
    return {f'{name}.weight': (outputs, inputs), f'{name}.bias': (outputs,)}


def iresnet(
    depths: Sequence[int] = (1, 1, 1, 1), width: int = 8, embedding: int = 16, side: int = 32
) -> Shapes:
    """insightface's IResNet."""
    shapes = {
        **_conv('conv1', width, 3, 3),
        **_norm('bn1', width),
        'prelu.weight': (width,),
    }
    inputs = width
    for stage, depth in enumerate(depths):
        outputs = width << stage
        for block in range(depth):
            name = f'layer{stage + 1}.{block}'
            shapes |= _norm(f'{name}.bn1', inputs)
            shapes |= _conv(f'{name}.conv1', outputs, inputs, 3)
            shapes |= _norm(f'{name}.bn2', outputs)
            shapes |= {f'{name}.prelu.weight': (outputs,)}
            shapes |= _conv(f'{name}.conv2', outputs, outputs, 3)
            shapes |= _norm(f'{name}.bn3', outputs)
            if block == 0:
                shapes |= _conv(f'{name}.downsample.0', outputs, inputs)
                shapes |= _norm(f'{name}.downsample.1', outputs)
            inputs = outputs
    shapes |= _norm('bn2', inputs)
    shapes |= _dense('fc', embedding, inputs * (side // 16) ** 2)
    return shapes | _norm('features', embedding)


def ir(
    depths: Sequence[int] = (3, 4, 14, 3), squeeze_excite: bool = False, side: int = 112
) -> Shapes:
    """InsightFace_Pytorch's Backbone, which has one width and one embedding."""
    shapes = {
        **_conv('input_layer.0', 64, 3, 3),
        **_norm('input_layer.1', 64),
        'input_layer.2.weight': (64,),
    }
    inputs, index = 64, 0
    for stage, depth in enumerate(depths):
        outputs = 64 << stage
        for block in range(depth):
            name = f'body.{index}'
            if block == 0 and stage:
                shapes |= _conv(f'{name}.shortcut_layer.0', outputs, inputs)
                shapes |= _norm(f'{name}.shortcut_layer.1', outputs)
            shapes |= _norm(f'{name}.res_layer.0', inputs)
            shapes |= _conv(f'{name}.res_layer.1', outputs, inputs, 3)
            shapes |= {f'{name}.res_layer.2.weight': (outputs,)}
            shapes |= _conv(f'{name}.res_layer.3', outputs, outputs, 3)
            shapes |= _norm(f'{name}.res_layer.4', outputs)
            if squeeze_excite:
                shapes |= _conv(f'{name}.res_layer.5.fc1', outputs // 16, outputs)
                shapes |= _conv(f'{name}.res_layer.5.fc2', outputs, outputs // 16)
            inputs, index = outputs, index + 1
    shapes |= _norm('output_layer.0', 512)
    shapes |= _dense('output_layer.3', 512, 512 * (side // 16) ** 2)
    return shapes | _norm('output_layer.4', 512)


def filled(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Gives every tensor values: running variances and weights of BatchNorm around 1."""
    draw = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        if name.endswith('num_batches_tracked'):
            state[name] = np.asarray(7, np.int64)
        elif name.endswith('running_var'):
            state[name] = draw.uniform(0.5, 2, shape).astype(np.float32)
        else:
            state[name] = draw.normal(0, 0.2, shape).astype(np.float32)
    return state


def hollow(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Gives every tensor its shape but no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
