"""Peers of the inversion benchmark: other implementations of StyleGAN2, of the same size.

None is a dependency: the result names those that are missing, and the reason.
"""

import importlib
import importlib.util
import pathlib
import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors

Calls = dict[str, Callable[[], Any]]


def flaxmodels_missing() -> str | None:
    """Returns why flaxmodels cannot be measured, in one line, or None."""
    if importlib.util.find_spec('flaxmodels') is None:
        return 'flaxmodels is not installed (pip install flaxmodels==0.1.3 h5py regex requests)'
    try:
        importlib.import_module('flaxmodels')
    except ImportError as error:
        return f'flaxmodels cannot be imported: {error}'
    return None


def flaxmodels_calls(resolution: int, batch: int) -> Calls:
    """Returns forward and forward+backward (with respect to w) of flaxmodels' synthesis network."""
    package = importlib.import_module('flaxmodels.stylegan2')
    operations = importlib.import_module('flaxmodels.stylegan2.ops')
    _allow_newshape(operations)
    styles = 2 * (resolution.bit_length() - 1) - 2
    network = package.SynthesisNetwork(resolution=resolution)
    w = jax.random.normal(jax.random.key(1), (batch, styles, 512))
    old_key = jax.random.PRNGKey(0)
    variables = jax.jit(lambda w: network.init(old_key, w, 'const', old_key))(w)

    def images(variables, w):
        return network.apply(variables, w, 'const', old_key)

    return jax_calls(images, variables, w)


def jax_calls(
    images: Callable[[Any, jax.Array], jax.Array],
    variables: Any,
    w: jax.Array,
    compiled: Callable[..., Any] = jax.jit,
) -> Calls:
    """Returns {'forward', 'forward+backward'} of a function of (variables, w), compiled."""

    def loss(w, variables):
        return jnp.mean(jnp.square(images(variables, w).astype(jnp.float32)))

    forward, both = compiled(images), compiled(jax.value_and_grad(loss))
    return {
        'forward': lambda: forward(variables, w),
        'forward+backward': lambda: both(w, variables),
    }


def _allow_newshape(module):
    """Gives the module a `jnp.reshape` that accepts `newshape`, which JAX has removed."""

    def reshape(x, shape=None, newshape=None):
        return jnp.reshape(x, newshape if shape is None else shape)

    patched = types.SimpleNamespace(
        **{name: getattr(jnp, name) for name in dir(jnp) if not name.startswith('__')}
    )
    patched.reshape = reshape
    module.jnp = patched


def nvidia_missing(folder: str | None) -> str | None:
    """Returns why NVIDIA's networks cannot be measured, in one line, or None."""
    if folder is None:
        return 'no stylegan2_ada, a checkout of NVlabs/stylegan2-ada-pytorch'
    if importlib.util.find_spec('torch') is None:
        return "PyTorch is not installed (pip install -e '.[parity]')"
    if not (pathlib.Path(folder) / 'training' / 'networks.py').is_file():
        raise errors.InputError(
            'stylegan2_ada', f'{folder} without training/networks.py', 'a checkout of that project'
        )
    return None


def nvidia_calls(folder: str, resolution: int, batch: int) -> Calls:
    """Returns forward and forward+backward (with respect to w) of NVIDIA's synthesis network."""
    import torch

    sys.path.insert(0, str(folder))
    networks = importlib.import_module('training.networks')
    torch.manual_seed(0)
    network = networks.SynthesisNetwork(
        w_dim=512, img_resolution=resolution, img_channels=3, channel_base=32768, channel_max=512
    )
    network.eval().requires_grad_(False)
    numbers = np.random.default_rng(1).normal(size=(batch, network.num_ws, 512))
    w = torch.from_numpy(numbers.astype(np.float32)).requires_grad_()

    def forward():
        with torch.no_grad():
            return network(w, noise_mode='const', force_fp32=True)

    def both():
        w.grad = None
        network(w, noise_mode='const', force_fp32=True).square().mean().backward()
        return w.grad

    return {'forward': forward, 'forward+backward': both}
