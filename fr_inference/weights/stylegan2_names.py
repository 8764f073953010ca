"""Names in StyleGAN2 files: NVIDIA's (stylegan2-ada-pytorch, stylegan3) and rosinality's."""

import numpy as np

from fr_inference.models import stylegan2
from fr_inference.weights import rules

Entries = dict[str, tuple[str, rules.Transform]]
"""Name in the file -> (path in the variables, transform)."""


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


def nvidia_generator(size: int, layers: int) -> Entries:
    """Returns the table of a generator of `size` pixels with `layers` dense layers."""
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


def rosinality_generator(size: int, layers: int) -> Entries:
    """Returns the same table under rosinality's names."""
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


def nvidia_discriminator(size: int, features: int) -> Entries:
    """Returns the table of a discriminator of `size` pixels whose last map has `features` features."""

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
