"""Files of StyleGAN2 generators as NVIDIA and rosinality write them, without torch and their code.

NVIDIA's are what Python's own pickle makes of stand-ins with the names of theirs. Their stand-in for
`_reconstruct_persistent_obj` runs the source it is given, as the original does.
"""

import collections
import contextlib
import dataclasses
import pathlib
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import numpy as np

from tests.formats import states, writer

FILTER = (np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64).astype(np.float32)
BUFFERS = ('w_avg', 'noise_const', 'resample_filter')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of a generator and its discriminator."""

    resolution: int = 16
    z: int = 6
    w: int = 8
    base: int = 64
    most: int = 12
    layers: int = 2

    def resolutions(self) -> list[int]:
        """4, 8, ..."""
        return [2**i for i in range(2, self.resolution.bit_length())]

    def width(self, resolution: int) -> int:
        """Features at a resolution."""
        return min(self.base // resolution, self.most)


def _affine(name: str, sizes: Sizes, width: int) -> states.Shapes:
    return {f'{name}.weight': (width, sizes.w), f'{name}.bias': (width,)}


def nvidia_generator(sizes: Sizes) -> states.Shapes:
    """Shapes by name."""
    shapes: states.Shapes = {}
    for r in sizes.resolutions():
        block, width, before = f'synthesis.b{r}', sizes.width(r), sizes.width(max(r // 2, 4))
        if r == 4:
            shapes[f'{block}.const'] = (width, 4, 4)
        shapes[f'{block}.resample_filter'] = (4, 4)
        for part, inputs in (('conv0', before), ('conv1', width), ('torgb', width)):
            if (r, part) == (4, 'conv0'):
                continue
            name, rgb = f'{block}.{part}', part == 'torgb'
            outputs, side = (3, 1) if rgb else (width, 3)
            shapes |= {f'{name}.weight': (outputs, inputs, side, side), f'{name}.bias': (outputs,)}
            shapes |= _affine(f'{name}.affine', sizes, inputs)
            if not rgb:
                shapes |= {f'{name}.noise_strength': (), f'{name}.noise_const': (r, r)}
                shapes[f'{name}.resample_filter'] = (4, 4)
    for i in range(sizes.layers):
        shapes[f'mapping.fc{i}.weight'] = (sizes.w, sizes.w if i else sizes.z)
        shapes[f'mapping.fc{i}.bias'] = (sizes.w,)
    return shapes | {'mapping.w_avg': (sizes.w,)}


def nvidia_discriminator(sizes: Sizes) -> states.Shapes:
    """Shapes by name."""
    shapes: states.Shapes = {}
    for r in sizes.resolutions()[:0:-1]:
        width, after = sizes.width(r), sizes.width(r // 2)
        rows = [('fromrgb', width, 3, 1), ('conv0', width, width, 3), ('conv1', after, width, 3)]
        for part, outputs, inputs, side in rows[r != sizes.resolution :]:
            shapes[f'b{r}.{part}.weight'] = (outputs, inputs, side, side)
            shapes[f'b{r}.{part}.bias'] = (outputs,)
            shapes[f'b{r}.{part}.resample_filter'] = (4, 4)
        shapes[f'b{r}.skip.weight'] = (after, width, 1, 1)
        shapes[f'b{r}.resample_filter'] = (4, 4)
        shapes[f'b{r}.skip.resample_filter'] = (4, 4)
    width = sizes.width(4)
    shapes |= {'b4.conv.weight': (width, width + 1, 3, 3), 'b4.conv.bias': (width,)}
    shapes['b4.conv.resample_filter'] = (4, 4)
    shapes |= {'b4.fc.weight': (width, 16 * width), 'b4.fc.bias': (width,)}
    return shapes | {'b4.out.weight': (1, width), 'b4.out.bias': (1,)}


def filled(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Random values, the filters as they are."""
    state = states.filled(shapes, seed)
    return {
        name: FILTER if name.endswith('resample_filter') else array for name, array in state.items()
    }


def to_rosinality(generator: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same generator under rosinality's names, but for its `latent_avg`, which is beside it."""
    sizes = sorted({int(name.split('.')[1][1:]) for name in generator if name.startswith('synth')})
    state = {'input.input': generator['synthesis.b4.const'][None]}
    for name, array in generator.items():
        if name.startswith('mapping.fc'):
            i, leaf = name.removeprefix('mapping.fc').split('.')
            state[f'style.{int(i) + 1}.{leaf}'] = array
    pairs = [('conv1', 'b4.conv1'), ('to_rgb1', 'b4.torgb')]
    for k, r in enumerate(sizes[1:]):
        pairs += [(f'convs.{2 * k}', f'b{r}.conv0'), (f'convs.{2 * k + 1}', f'b{r}.conv1')]
        pairs += [(f'to_rgbs.{k}', f'b{r}.torgb')]
        state[f'convs.{2 * k}.conv.blur.kernel'] = 4 * FILTER
        state[f'to_rgbs.{k}.upsample.kernel'] = 4 * FILTER
    maps = []
    for target, source in pairs:
        of = {
            leaf: generator[f'synthesis.{source}.{leaf}']
            for leaf in ('weight', 'bias', 'affine.weight', 'affine.bias')
        }
        state[f'{target}.conv.weight'] = of['weight'][None]
        state[f'{target}.conv.modulation.weight'] = of['affine.weight']
        state[f'{target}.conv.modulation.bias'] = of['affine.bias']
        if source.endswith('torgb'):
            state[f'{target}.bias'] = of['bias'][None, :, None, None]
        else:
            state[f'{target}.activate.bias'] = of['bias']
            strength = generator[f'synthesis.{source}.noise_strength']
            state[f'{target}.noise.weight'] = strength.reshape(1)
            maps.append(generator[f'synthesis.{source}.noise_const'])
    state |= {f'noises.noise_{i}': noise[None, None] for i, noise in enumerate(maps)}
    return state


def rosinality_file(generator: Mapping[str, np.ndarray], average: bool = True) -> dict[str, Any]:
    """What its training saves: generators, optimisers, arguments."""
    state = to_rosinality(generator)
    moments = {'exp_avg': np.ones(3, np.float32), 'step': 7}
    optimiser = {'state': {0: moments}, 'param_groups': [{'lr': 0.002, 'params': [0]}]}
    arguments = writer.Raw(
        writer.name_of('argparse', 'Namespace')
        + b')\x81'
        + writer.body({'size': 16, 'path': 'faces'}, [])
        + b'b'
    )
    file = {
        'g': {name: 2 * array for name, array in state.items()},
        'd': {'final_linear.1.bias': np.ones(1, np.float32)},
        'g_ema': state,
        'g_optim': optimiser,
        'args': arguments,
        'ada_aug_p': 0.25,
    }
    return {**file, 'latent_avg': generator['mapping.w_avg']} if average else file


# The stand-ins. Python's pickle asks that a function be found under its name where it is written.


def _reconstruct_persistent_obj(meta):
    exec(meta['module_src'], {})  # as the original, whose danger the tests must show
    return meta['state']


def _rebuild_tensor_v2(*arguments):
    return arguments


def _rebuild_parameter(data, *_rest):
    return data


def _load_from_bytes(content):
    return content


class EasyDict(dict):
    """A dict by another name."""


_NAMES = {
    'torch_utils.persistence': _reconstruct_persistent_obj,
    'torch._utils': (_rebuild_tensor_v2, _rebuild_parameter),
    'torch.storage': _load_from_bytes,
    'dnnlib.util': EasyDict,
}


@contextlib.contextmanager
def stand_ins(torch: bool = True) -> Iterator[None]:
    """Modules of those names; torch itself is back afterwards, or stays where `torch` is False."""
    modules = {}
    for name, members in _NAMES.items():
        if name.startswith('torch.') and not torch:
            continue
        modules[name] = types.ModuleType(name)
        package = name.partition('.')[0]
        modules.setdefault(package, types.ModuleType(package))
        for member in members if isinstance(members, tuple) else (members,):
            setattr(modules[name], member.__name__, member)
            # Where it is pickled its name is looked up here.
            member.__module__ = name
    with mock.patch.dict(sys.modules, modules):
        yield


class _Reduced:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def block(array: np.ndarray) -> bytes:
    """Torch's older format around one storage."""
    stored = writer.storage('0', array.dtype.name, array.size, view=True)
    return writer.legacy_bytes(writer.PROTO + stored + b'.', [array])


def tensor(array: np.ndarray, content: bytes | None = None) -> Any:
    """A tensor, its numbers in the pickle itself."""
    strides = tuple(int(np.prod(array.shape[i + 1 :])) for i in range(array.ndim))
    stored = _Reduced(_load_from_bytes, block(array) if content is None else content)
    hooks: Any = collections.OrderedDict()
    return _Reduced(_rebuild_tensor_v2, stored, 0, array.shape, strides, False, hooks)


SOURCE = 'class Generator:\n    pass\n' + '# as long as theirs\n' * 400


def module(
    state: Mapping[str, Any], source: str = SOURCE, clamp: float | None = None, **attributes: Any
) -> Any:
    """A persistent module and all inside it, from arrays or what pickles as tensors, by dotted names."""
    inner: dict[str, dict[str, Any]] = {}
    parameters, buffers = {}, {}
    for name, value in state.items():
        head, _, rest = name.partition('.')
        if rest:
            inner.setdefault(head, {})[rest] = value
            continue
        held = tensor(value) if isinstance(value, np.ndarray) else value
        if head in BUFFERS:
            buffers[head] = held
        elif held is value:
            parameters[head] = held
        else:
            parameters[head] = _Reduced(_rebuild_parameter, held, True, collections.OrderedDict())
    if 'weight' in parameters and 'resample_filter' in buffers:
        attributes['conv_clamp'] = clamp
    record = {
        'training': False,
        '_parameters': parameters,
        '_buffers': buffers,
        '_non_persistent_buffers_set': set(),
        '_forward_hooks': collections.OrderedDict(),
        '_modules': {name: module(part, source, clamp) for name, part in inner.items()},
        '_init_kwargs': EasyDict(gain=np.float32(1), taps=np.ones(4), sizes=[1, (2, None)]),
        **attributes,
    }
    meta = {'type': 'class', 'version': 6, 'module_src': source, 'class_name': 'N', 'state': record}
    return _Reduced(_reconstruct_persistent_obj, meta)


def nvidia_bytes(value: Any, protocol: int = 4, torch: bool = True) -> bytes:
    """Pickles what is made of stand-ins, of torch's too unless `torch` is False."""
    with stand_ins(torch):
        return pickle.dumps(value, protocol)


def nvidia_file(
    sizes: Sizes, source: str = SOURCE, clamp: float | None = None, **changes: Any
) -> dict[str, Any]:
    """What NVIDIA's training pickles; `changes` are entries of G_ema by name, dots as '__'."""
    generator = filled(nvidia_generator(sizes))
    other = {name: 2 * array for name, array in generator.items()}
    generator |= {name.replace('__', '.'): value for name, value in changes.items()}
    return {
        'G': module(other, source, clamp),
        'D': module(filled(nvidia_discriminator(sizes)), source, clamp),
        'G_ema': module(generator, source, clamp, z_dim=sizes.z, c_dim=0),
        'augment_pipe': None,
        'training_set_kwargs': EasyDict(path='faces.zip', max_size=np.int64(9), xflip=np.True_),
    }


def save(path: pathlib.Path, value: Any, protocol: int = 4) -> pathlib.Path:
    """Writes `nvidia_bytes(value, protocol)` to `path`."""
    path.write_bytes(nvidia_bytes(value, protocol))
    return path
