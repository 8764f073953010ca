"""Reads StyleGAN2 checkpoints: which network a file holds, and its variables.

NVIDIA's `.pkl` is a pickle of whole modules that carries their source code, which never runs here:
only each module's parameters, buffers and inner modules are kept. rosinality's `.pt` is a state dict,
and so are the files of encoders (pixel2style2pixel), which hold such a generator as their `decoder`.
"""

import dataclasses
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
from fr_inference.weights import parts, rules, stylegan2_names
from fr_inference.weights.descriptions import naming
from fr_inference.weights.stylegan2_names import Entries

# A name that every generator of the layout has.
_NVIDIA, _ROSINALITY = 'synthesis.b4.const', 'input.input'
_AVERAGES = (
    'g_ema',
    'generator_ema',
    'ema',
    'params_ema',
)  # averages of the weights, which give better images
_NOISE = re.compile(r'buffers/noise_\d+')
_NOISE_SEED = 0
_FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
_FILTERS = re.compile(
    r'(^|[./])(resample_filter|kernel)$'
)  # low-pass filters, the same in all files


@dataclasses.dataclass(frozen=True)
class _Layout:
    """The generator that fits a file's names and shapes.

    Attributes:
      size: pixels of its images.
      layers: number of dense layers of the mapping.
      widths: features at each resolution.
      dense: name of the first dense layer's weight.
      entries: the table of names.
    """

    size: int
    layers: int
    widths: dict[int, int]
    dense: str
    entries: Entries


def generator(
    tensors: Mapping[str, np.ndarray], source: str, options: Mapping[str, float] | None = None
) -> tuple[stylegan2.Generator, dict[str, Any], tuple[str, ...]]:
    """Builds the generator that fits a file's tensors.

    Args:
      tensors: by name, from the top of the file ('G_ema/mapping.fc0.weight').
      source: the file, as errors call it.
      options: numbers in the file's modules; `conv_clamp` becomes `clamp`.

    Returns:
      (module, {'params', 'buffers'} as float32 NumPy arrays, notes).

    Raises:
      InputError: for a file without a generator, or with tensors that do not fit, which it lists.
    """
    if any(re.search(r'(^|[./])synthesis\.L\d+_\d+_\d+\.', name) for name in tensors):
        raise errors.InputError(
            source, 'a StyleGAN3 generator (alias-free layers), not supported', 'StyleGAN2'
        )
    tensors = parts.unwrapped(tensors)
    prefix = _place(tensors, source)
    inside = parts.below(tensors, prefix)
    if 'mapping.embed.weight' in inside:
        raise errors.InputError(
            source, 'a generator with class labels, not supported', 'one without labels'
        )
    if _NVIDIA in inside:
        layout = _nvidia(inside, source)
    else:
        layout = _rosinality(inside, source)
        if 'latent_avg' not in inside and (average := _average(tensors, prefix)) is not None:
            inside['latent_avg'] = average
    base, most = _channels(layout.widths)
    shapes = {name: value.shape for name, value in inside.items()}
    module = stylegan2.Generator(
        resolution=layout.size,
        z_dim=_size(shapes, layout.dense, 1),
        w_dim=_size(shapes, layout.dense, 0),
        channel_base=base,
        channel_max=most,
        mapping_layers=layout.layers,
        clamp=_clamp(parts.below(parts.unwrapped(options or {}), f'{prefix}synthesis.'), source),
    )
    size = layout.size
    place = parts.called(prefix) if prefix else 'the top level'
    notes = [f'recognised as StyleGAN2 at {size}x{size} from {place}']
    entries = dict(layout.entries)
    if 'latent_avg' in entries and 'latent_avg' not in inside:
        # rosinality's training checkpoints have none: it is the mean of the mapping.
        notes.append('no mean w in the file: computed from 4,096 random latents')
        entries.pop('latent_avg')
    z = jax.ShapeDtypeStruct((1, module.z_dim), jnp.float32)
    expected = jax.eval_shape(module.init, jax.random.key(0), z)
    maps = {name: path for name, (path, _) in entries.items() if _NOISE.fullmatch(path)}
    without_maps = not any(name in inside for name in maps)
    if without_maps:
        entries = {name: entry for name, entry in entries.items() if name not in maps}
    variables = _fit(entries, inside, expected, source)
    if without_maps:
        notes.append(f'without noise maps: {len(maps)} drawn from the seed {_NOISE_SEED}')
        variables.setdefault('buffers', {}).update(_drawn(expected['buffers']))
    if 'w_avg' not in variables['buffers']:
        variables['buffers']['w_avg'] = _mean_w(module, variables)
    rules.check_finite(variables, source)
    return module, variables, tuple(notes)


def _nvidia(tensors, source):
    found = (re.fullmatch(r'synthesis\.b(\d{1,4})\.conv1\.weight', name) for name in tensors)
    sizes = [int(match[1]) for match in found if match]
    size, layers = max(sizes, default=4), _count(tensors, r'mapping\.fc(\d{1,2})\.weight')
    _check_resolution(size, source)
    shapes = {name: value.shape for name, value in tensors.items()}
    widths = {r: _size(shapes, f'synthesis.b{r}.conv1.weight', 0) for r in sizes}
    entries = stylegan2_names.nvidia_generator(size, layers)
    return _Layout(size, layers, widths, 'mapping.fc0.weight', entries)


def _rosinality(tensors, source):
    blocks = _count(tensors, r'to_rgbs\.(\d{1,2})\.bias')
    size, layers = 4 * 2**blocks, _count(tensors, r'style\.(\d{1,2})\.weight')
    _check_resolution(size, source)
    shapes = {name: value.shape for name, value in tensors.items()}
    widths = {4: _size(shapes, 'conv1.conv.weight', 1)}
    for k, r in enumerate(stylegan2.resolutions(size)[1:]):
        widths[r] = _size(shapes, f'convs.{2 * k + 1}.conv.weight', 1)
    entries = stylegan2_names.rosinality_generator(size, layers)
    return _Layout(size, layers, widths, 'style.1.weight', entries)


def _place(tensors, source):
    """Returns the prefix of a file's generator; an average of the weights is preferred."""
    places = parts.prefixes(tensors, (_NVIDIA, _ROSINALITY), source)
    if not places:
        raise errors.InputError(
            source,
            f'no StyleGAN2 generator in these {len(tensors)} tensors',
            'G_ema or G (NVIDIA) or g_ema (rosinality)',
        )
    averages = [place for place in places if _last(place) in _AVERAGES]
    equal = averages or places
    first = parts.below(tensors, equal[0])
    if not all(parts.same(first, parts.below(tensors, place)) for place in equal[1:]):
        raise errors.InputError(
            source, f'{len(equal)} different generators: {parts.listed(equal)}', 'one'
        )
    return equal[0]


def _last(prefix):
    return re.split('[./]', parts.called(prefix))[-1].lower()


def _average(tensors, prefix):
    """Returns the mean w stored beside a network or above it, None if there is none."""
    levels = re.findall(r'[^./]+[./]', prefix)
    for depth in range(len(levels), -1, -1):
        found = tensors.get(''.join(levels[:depth]) + 'latent_avg')
        if found is not None:
            repeated = found.ndim == 2 and (found == found[:1]).all()  # once for each layer
            return found[0] if repeated and len(found) else found
    return None


def _drawn(buffers):
    """Returns noise maps like those that a fresh generator has."""
    draw = np.random.default_rng(_NOISE_SEED)
    return {
        name: draw.standard_normal(leaf.shape, np.float32)
        for name, leaf in sorted(buffers.items())
        if name.startswith('noise_')
    }


def _mean_w(module, variables):
    """Returns the mean w [w_dim] of 4,096 random latents."""
    z = np.random.default_rng(0).standard_normal((4096, module.z_dim), np.float32)
    mapping = stylegan2.Mapping(module.w_dim, module.mapping_layers)
    w = np.asarray(mapping.apply({'params': variables['params']['mapping']}, z))
    return w.mean(axis=0)


def discriminator(
    tensors: Mapping[str, np.ndarray], source: str, options: Mapping[str, float] | None = None
) -> tuple[stylegan2.Discriminator, dict[str, Any]]:
    """Builds NVIDIA's discriminator; arguments and errors as `generator`."""
    tensors = parts.unwrapped(tensors)
    inside = parts.below(tensors, 'D/') or tensors
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
    clamp = _clamp(parts.below(options or {}, 'D/') or options or {}, source)
    module = stylegan2.Discriminator(
        resolution=size, channel_base=base, channel_max=most, clamp=clamp
    )
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    expected = jax.eval_shape(module.init, jax.random.key(0), image)
    entries = stylegan2_names.nvidia_discriminator(size, _size(shapes, 'b4.conv.weight', 0))
    variables = _fit(entries, inside, expected, source)
    rules.check_finite(variables, source)
    return module, variables


def open_generator(
    path: str | os.PathLike,
) -> tuple[stylegan2.Generator, dict[str, Any], tuple[str, ...]]:
    """Reads a generator file of either kind; arguments and errors as `generator`."""
    path = pathlib.Path(path)
    state = read_tensors(path)
    module, variables, notes = generator(state.tensors, str(path), state.options)
    return module, variables, (*notes, *state.notes)


def _check_resolution(size, source):
    with naming(source):
        stylegan2.resolutions(size)


def _clamp(options, source):
    """Returns the bound of the features, which each of NVIDIA's layers stores; None for none."""
    found = {value for name, value in options.items() if name.endswith('.conv_clamp')}
    if len(found) > 1 or not all(value > 0 for value in found):
        listed = ', '.join(map(str, sorted(found)[:4]))
        raise errors.InputError(
            source, f'bounds of the features (conv_clamp) {listed}', 'one above 0, or none'
        )
    return float(found.pop()) if found else None


def _count(tensors, pattern):
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)


def _size(shapes, name, axis):
    shape = shapes.get(name, ())
    return max(1, shape[axis]) if len(shape) > axis else 1


def _channels(widths: Mapping[int, int]) -> tuple[int, int]:
    """Returns (channel_base, channel_max) that give these widths, or close to them.

    No width becomes 0. If the widths do not fit exactly, the error lists the misshaped tensors.
    """
    most = max(widths.values(), default=512)
    cut = [r * width for r, width in widths.items() if width < most]
    largest = max(widths, default=4)
    return max(largest, cut[0] if cut else most * largest), most


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
