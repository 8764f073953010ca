"""The benchmark's peer: the same backbone in PyTorch, with the same distances by forward hooks."""

import importlib
import importlib.util
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.models.target import InputSpec

# Its backbones are those of the parity tests, which only a checkout has.
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_TESTS = ROOT / 'tests'


def missing() -> str | None:
    """Returns what prevents the comparison, in one line, or None."""
    if importlib.util.find_spec('torch') is None:
        return "PyTorch is not installed (pip install -e '.[parity]')"
    if not (_TESTS / 'parity' / 'oracle.py').is_file():
        return f'its backbones are in tests/parity of a checkout, not found in {_TESTS}'
    return None


def build(architecture: str, spec: InputSpec, **config: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Returns (module in eval mode, its state dict); each key seeds its weights or statistics.

    Args:
      architecture: in `registry.VARIANTS`.
      spec: the images that it expects.
      **config: overrides of its hyper-parameters.

    Raises:
      InputError: when something is missing.
    """
    if (problem := missing()) is not None:
        raise errors.InputError('peer', "'torch'", hint=problem)
    if str(_TESTS.parent) not in sys.path:
        sys.path.insert(0, str(_TESTS.parent))
    import torch

    cases = importlib.import_module('tests.parity.cases')
    oracle = importlib.import_module('tests.parity.oracle')
    module = oracle.build(architecture, spec, **config)
    state = cases.weights(oracle.shapes(module))
    module.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return module.eval(), state


def layouts() -> tuple[str, ...]:
    """Returns the ways to run it here; 'compiled' means torch.compile, only on CUDA."""
    import torch

    plain = ('contiguous', 'channels_last')
    return (*plain, 'channels_last compiled') if torch.cuda.is_available() else plain


def program(
    module: Any, spec: InputSpec, layout: str, dtype: str = 'float32'
) -> tuple[Callable[[Any], tuple[Any, Any]], Callable[[np.ndarray], Any]]:
    """Returns (batch -> ([N, L] distances, [N, D] embeddings), images -> batch).

    The first runs on CUDA if there is a GPU. The second returns a batch on the host, without a copy.

    Args:
      module: float32, in eval mode. It gets hooks, so each program needs its own module.
      spec: how the images are normalised.
      layout: in `layouts()`: memory format of weights and activations (shapes are NCHW either way).
      dtype: 'float32' or 'bfloat16', of weights and activations; distances are float32.
    """
    import torch

    oracle = importlib.import_module('tests.parity.oracle')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    number = getattr(torch, dtype)
    found: list[torch.Tensor] = []

    def hook_of(layer):
        # In float32, because rounded statistics would give other distances.
        mean = layer.running_mean.clone().to(device)
        scale = (layer.running_var + layer.eps).to(device)

        def hook(_, arguments):
            x = arguments[0].float()
            pooled = x.mean(dim=(2, 3)) if x.dim() == 4 else x
            found.append(((pooled - mean) ** 2 / scale).sum(1))

        return hook

    for layer in oracle.norms(module).values():
        layer.register_forward_pre_hook(hook_of(layer))
    memory = torch.channels_last if layout.startswith('channels_last') else torch.contiguous_format
    module.to(device, number, memory_format=memory)
    mean, std = (torch.tensor(value).reshape(3, 1, 1).to(device) for value in (spec.mean, spec.std))

    def forward(batch):
        found.clear()
        embedding = module(((batch.float() - mean) / std).to(number))
        return torch.stack(found, dim=1), embedding.float()

    def batch_of(images):
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=memory)

    return torch.compile(forward) if layout.endswith('compiled') else forward, batch_of


def scorer(
    module: Any, spec: InputSpec, images: np.ndarray, layout: str, dtype: str = 'float32'
) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """Returns a function that computes ([N, L] distances, [N, D] embeddings) of the images.

    Every call transfers the images and the results.

    Args:
      module: as in `program`.
      spec: as in `program`.
      images: [N, H, W, 3] uint8.
      layout: as in `program`.
      dtype: as in `program`.
    """
    import torch

    run, batch_of = program(module, spec, layout, dtype)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    batch = batch_of(images)

    def score():
        with torch.inference_mode():
            distances, embedding = run(batch.to(device))
            return distances.cpu().numpy(), embedding.cpu().numpy()

    return score


def describe() -> dict[str, Any]:
    """Returns PyTorch's version, number of threads and device."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        'torch': torch.__version__,
        'threads': torch.get_num_threads(),
        'device': torch.cuda.get_device_name() if cuda else 'cpu',
    }
