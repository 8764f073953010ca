"""PyTorch beside the search: the same images and pictures as ours, timed in a process of its own."""

import importlib.util
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.benchmarking import torch_peer, torch_timed_peer
from fr_inference.inversion import scene
from fr_inference.models.target import InputSpec

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None, reason='torch is not installed (.[test,parity])'
)
NETWORK = {
    'arch': 'iresnet18',
    'config': {'depths': (1, 1, 1, 1), 'width': 8},
    'height': 32,
    'width': 32,
    'size': 2,
    'dtype': 'float32',
    'compiled': False,
    'rounds': 2,
}
SEARCH = {'resolution': 8, 'base': 64, 'most': 8, 'pictures': 2, 'steps': 2, 'stylegan2_ada': None}


@needs_torch
@pytest.mark.parametrize('name', ['8', '64'])
def test_images_are_those_of_the_oracle(name):
    """The oracle has a kernel for each sample, as the paper has."""
    import torch

    from tests.benchmarking import torch_search
    from tests.parity import stylegan2_cases, stylegan2_oracle

    case = stylegan2_cases.CASES[name]
    state = stylegan2_cases.generator(case)
    double = {key: torch.from_numpy(value).double() for key, value in state.items()}
    layers = 2 * len(stylegan2_cases.resolutions(state))
    ws = torch.from_numpy(np.random.default_rng(0).normal(size=(2, layers, case.sizes.w)))
    expected = stylegan2_oracle.synthesis(double, ws, noise=True)
    found = torch_search.synthesis(double, ws)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@needs_torch
@pytest.mark.parametrize(('resolution', 'side'), [(32, 16), (16, 32), (24, 24)])
def test_pictures_are_moved_as_ours(resolution, side):
    import torch

    from tests.benchmarking import torch_search

    draw = np.random.default_rng(0)
    image = draw.uniform(0, 255, (resolution, resolution, 3)).astype(np.float32)
    key = jax.random.key(3)
    moves = np.array(jax.random.uniform(key, (5,), minval=-1, maxval=1))
    spec = InputSpec(height=side, width=side)
    expected = scene.transform(key, jnp.asarray(image), spec, scene.MOVED)
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    found = torch_search.moved(images, torch.from_numpy(moves)[None], side, side)
    np.testing.assert_allclose(found[0].permute(1, 2, 0), expected, atol=2e-3)


@needs_torch
def test_the_state_has_the_names_and_shapes_of_nvidia():
    from tests.benchmarking import torch_search
    from tests.formats import generators

    state = torch_search.random_state(16, base=64, most=8, w_dim=12)
    sizes = generators.Sizes(resolution=16, z=4, w=12, base=64, most=8, layers=1)
    expected = {
        name: shape
        for name, shape in generators.nvidia_generator(sizes).items()
        if name.startswith('synthesis.') and not name.endswith('resample_filter')
    }
    assert {name: tuple(value.shape) for name, value in state.items()} == expected


@needs_torch
@pytest.mark.parametrize('asked', [{'what': 'scoring'}, {'what': 'search', **SEARCH}])
def test_a_process_of_its_own(asked):
    found = torch_timed_peer.measure(NETWORK | asked, 600)
    assert len(found['seconds']) == 2
    assert min(found['seconds']) > 0
    assert found['device'] == 'cpu'


def test_without_torch(monkeypatch):
    monkeypatch.setattr(torch_peer, 'missing', lambda: 'PyTorch is not installed')
    with pytest.raises(torch_timed_peer.NotMeasured, match='PyTorch is not installed'):
        torch_timed_peer.measure({}, 1)


def test_why_it_has_no_figure(monkeypatch):
    monkeypatch.setattr(torch_peer, 'missing', lambda: None)

    def fails(*arguments, **options):
        return subprocess.CompletedProcess(arguments, 1, '', 'Traceback\nRuntimeError: no memory\n')

    def hangs(*arguments, **options):
        raise subprocess.TimeoutExpired(arguments, options['timeout'])

    for run, why in ((fails, 'PyTorch: RuntimeError: no memory'), (hangs, 'more than 7 s')):
        monkeypatch.setattr(subprocess, 'run', run)
        with pytest.raises(torch_timed_peer.NotMeasured, match=why):
            torch_timed_peer.measure({}, 7)
