"""StyleGAN2 checkpoints of NVIDIA (stylegan2-ada-pytorch, stylegan3) and of rosinality's PyTorch port.

NVIDIA's `.pkl` is a pickle of whole modules that carries their source code, which never runs here: of
each module only its parameters, buffers and inner modules are kept. rosinality's `.pt` is a state dict.
"""

import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.models import stylegan2
from fr_inference.weights import rules
from fr_inference.weights.descriptions import naming

Entries = dict[str, tuple[str, rules.Transform]]

_FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
# What is computed from other things or from nothing: the low-pass filters.
_FILTERS = re.compile(r'(^|\.)(resample_filter|kernel)$')


def _conv(array):
    return array.reshape(array.shape[-4:]).transpose(2, 3, 1, 0)


def _const(array):
    return array.reshape(array.shape[-3:]).transpose(1, 2, 0)


def _flat(array):
    return array.reshape(-1)


def _scalar(array):
    return array.reshape(())


def _map(array):
    return array.reshape(array.shape[-2:])


def _same(array):
    return array


def _dense(source: str, target: str) -> Entries:
    return {
        f'{source}.weight': (f'params/{target}/kernel', np.transpose),
        f'{source}.bias': (f'params/{target}/bias', _same),
    }


def _nvidia_generator(size: int, layers: int) -> Entries:
    entries: Entries = {
        'mapping.w_avg': ('buffers/w_avg', _same),
        'synthesis.b4.const': ('params/const', _const),
    }
    for i in range(layers):
        entries |= _dense(f'mapping.fc{i}', f'mapping/fc{i}')
    noise = 0
    for r in stylegan2.resolutions(size):
        for part in ('conv0', 'conv1', 'torgb') if r > 4 else ('conv1', 'torgb'):
            source, target = f'synthesis.b{r}.{part}', f'b{r}_{part}'
            entries |= _dense(f'{source}.affine', f'{target}/affine')
            entries[f'{source}.weight'] = (f'params/{target}/kernel', _conv)
            entries[f'{source}.bias'] = (f'params/{target}/bias', _same)
            if part != 'torgb':
                strength = f'params/{target}/noise_strength'
                entries[f'{source}.noise_strength'] = (strength, _scalar)
                entries[f'{source}.noise_const'] = (f'buffers/noise_{noise}', _map)
                noise += 1
    return entries


def _rosinality_generator(size: int, layers: int) -> Entries:
    entries: Entries = {
        'latent_avg': ('buffers/w_avg', _flat),
        'input.input': ('params/const', _const),
    }
    for i in range(layers):
        entries |= _dense(f'style.{i + 1}', f'mapping/fc{i}')
    sources = [('conv1', 'b4_conv1'), ('to_rgb1', 'b4_torgb')]
    for k, r in enumerate(stylegan2.resolutions(size)[1:]):
        sources += [(f'convs.{2 * k}', f'b{r}_conv0'), (f'convs.{2 * k + 1}', f'b{r}_conv1')]
        sources += [(f'to_rgbs.{k}', f'b{r}_torgb')]
    for source, target in sources:
        entries |= _dense(f'{source}.conv.modulation', f'{target}/affine')
        entries[f'{source}.conv.weight'] = (f'params/{target}/kernel', _conv)
        if target.endswith('torgb'):
            entries[f'{source}.bias'] = (f'params/{target}/bias', _flat)
        else:
            entries[f'{source}.activate.bias'] = (f'params/{target}/bias', _same)
            entries[f'{source}.noise.weight'] = (f'params/{target}/noise_strength', _scalar)
    for i in range(len(stylegan2.noise_sizes(size))):
        entries[f'noises.noise_{i}'] = (f'buffers/noise_{i}', _map)
    return entries


def _nvidia_discriminator(size: int, features: int) -> Entries:
    def flat(array):
        maps = array.reshape(array.shape[0], features, 4, 4)
        return maps.transpose(2, 3, 1, 0).reshape(array.shape[1], array.shape[0])

    entries: Entries = {}
    for r in stylegan2.resolutions(size)[:0:-1]:
        parts = ('conv0', 'conv1', *(['fromrgb'] if r == size else []))
        for part in parts:
            entries[f'b{r}.{part}.weight'] = (f'params/b{r}_{part}/kernel', _conv)
            entries[f'b{r}.{part}.bias'] = (f'params/b{r}_{part}/bias', _same)
        entries[f'b{r}.skip.weight'] = (f'params/b{r}_skip/kernel', _conv)
    entries['b4.conv.weight'] = ('params/b4_conv/kernel', _conv)
    entries['b4.conv.bias'] = ('params/b4_conv/bias', _same)
    entries['b4.fc.weight'] = ('params/b4_fc/kernel', flat)
    entries['b4.fc.bias'] = ('params/b4_fc/bias', _same)
    return entries | _dense('b4.out', 'b4_out')


def generator(
    tensors: Mapping[str, np.ndarray], source: str, options: Mapping[str, float] | None = None
) -> tuple[stylegan2.Generator, dict[str, Any], tuple[str, ...]]:
    """Builds the generator that a file's tensors spell out.

    Args:
      tensors: by dotted name, from the top of the file ('G_ema.mapping.fc0.weight').
      source: the file, as errors call it.
      options: numbers that the file's modules hold; their `conv_clamp` becomes `clamp`.

    Returns:
      (module, {'params', 'buffers'} as float32 NumPy arrays, notes).

    Raises:
      InputError: for a file without a generator, or with one that does not fit, all listed.
    """
    if any(re.search(r'(^|\.)synthesis\.L\d+_\d+_\d+\.', name) for name in tensors):
        raise errors.InputError(
            source, 'a StyleGAN3 generator (alias-free layers), not supported', 'StyleGAN2'
        )
    groups = [prefix for prefix in ('G_ema.', 'g_ema.', 'G.', 'g.', '') if _looks(tensors, prefix)]
    if not groups:
        raise errors.InputError(
            source,
            f'no StyleGAN2 generator in these {len(tensors)} tensors',
            'G_ema or G (NVIDIA) or g_ema (rosinality)',
        )
    prefix = groups[0]
    inside = _below(tensors, prefix)
    if 'mapping.embed.weight' in inside:
        raise errors.InputError(
            source, 'a generator with class labels, not supported', 'one without labels'
        )
    shapes = {name: value.shape for name, value in inside.items()}
    if 'synthesis.b4.const' in inside:
        sizes = [
            int(m[1])
            for name in shapes
            if (m := re.fullmatch(r'synthesis\.b(\d{1,4})\.conv1\.weight', name))
        ]
        size, layers = max(sizes, default=4), _count(inside, r'mapping\.fc(\d{1,2})\.weight')
        _check_resolution(size, source)
        widths = {r: _size(shapes, f'synthesis.b{r}.conv1.weight', 0) for r in sizes}
        dense = 'mapping.fc0.weight'
        entries = _nvidia_generator(size, layers)
    else:
        blocks = _count(inside, r'to_rgbs\.(\d{1,2})\.bias')
        size, layers = 4 * 2**blocks, _count(inside, r'style\.(\d{1,2})\.weight')
        _check_resolution(size, source)
        widths = {4: _size(shapes, 'conv1.conv.weight', 1)}
        for k, r in enumerate(stylegan2.resolutions(size)[1:]):
            widths[r] = _size(shapes, f'convs.{2 * k + 1}.conv.weight', 1)
        dense = 'style.1.weight'
        entries = _rosinality_generator(size, layers)
        if 'latent_avg' not in inside and 'latent_avg' in tensors:
            inside['latent_avg'] = tensors['latent_avg']
    base, most = _channels(widths)
    clamp = _clamp(options or {}, f'{prefix}synthesis.', source)
    module = stylegan2.Generator(
        resolution=size,
        z_dim=_size(shapes, dense, 1),
        w_dim=_size(shapes, dense, 0),
        channel_base=base,
        channel_max=most,
        mapping_layers=layers,
        clamp=clamp,
    )
    notes = [f'recognised as StyleGAN2 at {size}x{size} from {prefix or "the top level"}']
    if 'latent_avg' in entries and 'latent_avg' not in inside:
        # rosinality's training checkpoints have none: it is the mean of the mapping.
        notes.append('without a mean w: taken over 4,096 random latents')
        entries.pop('latent_avg')
    expected = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, module.z_dim)))
    variables = _fit(entries, inside, expected, source)
    if 'w_avg' not in variables['buffers']:
        z = np.random.default_rng(0).standard_normal((4096, module.z_dim), np.float32)
        mapping = stylegan2.Mapping(module.w_dim, layers)
        w = np.asarray(mapping.apply({'params': variables['params']['mapping']}, z))
        variables['buffers']['w_avg'] = w.mean(axis=0)
    rules.check_finite(variables, source)
    return module, variables, tuple(notes)


def discriminator(
    tensors: Mapping[str, np.ndarray], source: str, options: Mapping[str, float] | None = None
) -> tuple[stylegan2.Discriminator, dict[str, Any]]:
    """Builds NVIDIA's discriminator; arguments and errors as `generator`."""
    inside = _below(tensors, 'D.') or dict(tensors)
    shapes = {name: value.shape for name, value in inside.items()}
    if 'b4.conv.weight' not in inside or 'b4.out.weight' not in inside:
        raise errors.InputError(source, 'no StyleGAN2 discriminator', 'D (NVIDIA)')
    sizes = [
        int(m[1]) for name in shapes if (m := re.fullmatch(r'b(\d{1,4})\.conv1\.weight', name))
    ]
    size = max(sizes, default=4)
    _check_resolution(size, source)
    widths = {r // 2: _size(shapes, f'b{r}.conv1.weight', 0) for r in sizes}
    widths[size] = _size(shapes, f'b{size}.fromrgb.weight', 0)
    base, most = _channels(widths)
    clamp = _clamp(options or {}, 'D.', source)
    module = stylegan2.Discriminator(
        resolution=size, channel_base=base, channel_max=most, clamp=clamp
    )
    image = jnp.zeros((1, size, size, 3))
    expected = jax.eval_shape(module.init, jax.random.key(0), image)
    entries = _nvidia_discriminator(size, _size(shapes, 'b4.conv.weight', 0))
    variables = _fit(entries, inside, expected, source)
    rules.check_finite(variables, source)
    return module, variables


def open_generator(
    path: str | os.PathLike,
) -> tuple[stylegan2.Generator, dict[str, Any], tuple[str, ...]]:
    """Reads a generator file of either kind; arguments and errors as `generator`."""
    path = pathlib.Path(path)
    state = read_tensors(path, nested=True)
    module, variables, notes = generator(state.tensors, str(path), state.options)
    return module, variables, (*notes, *state.notes)


def _check_resolution(size, source):
    with naming(source):
        stylegan2.resolutions(size)


def _clamp(options, prefix, source):
    """Returns the bound of the features, which NVIDIA's layers keep each for itself; None for none."""
    found = {
        value
        for name, value in options.items()
        if name.startswith(prefix) and name.endswith('.conv_clamp')
    }
    if len(found) > 1 or not all(value > 0 for value in found):
        listed = ', '.join(map(str, sorted(found)[:4]))
        raise errors.InputError(
            source, f'bounds of the features (conv_clamp) {listed}', 'one above 0, or none'
        )
    return float(found.pop()) if found else None


def _looks(tensors, prefix):
    return any(f'{prefix}{name}' in tensors for name in ('synthesis.b4.const', 'input.input'))


def _below(tensors, prefix):
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _count(tensors, pattern):
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)


def _size(shapes, name, axis):
    shape = shapes.get(name, ())
    return max(1, shape[axis]) if len(shape) > axis else 1


def _channels(widths: Mapping[int, int]) -> tuple[int, int]:
    """Returns (channel_base, channel_max) that give these widths, or close to them.

    Where they do not, the tensors are misshaped, and the error lists them.
    """
    most = max(widths.values(), default=512)
    cut = [r * width for r, width in widths.items() if width < most]
    return (cut[0] if cut else most * max(widths, default=4)), most


def _fit(entries: Entries, tensors, expected, source):
    variables, missing, misshaped = rules.fill(entries, tensors, expected)
    rest = [name for name in tensors if name not in entries]
    filters = [name for name in rest if _FILTERS.search(name)]
    for name in filters:
        taps = np.asarray(tensors[name], np.float32)
        total = float(taps.sum())
        fits = taps.shape == (4, 4) and math.isfinite(total) and total > 0
        if not fits or not np.allclose(taps / total, _FILTER, atol=1e-4):
            misshaped.append(f'{name} is not the filter [1, 3, 3, 1]')
    with naming(source):
        errors.report_mismatch(
            'as StyleGAN2',
            unmatched=[name for name in rest if name not in filters],
            missing=missing,
            misshaped=misshaped,
        )
    return variables
