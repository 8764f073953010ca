"""Prints, for each case, how far JAX is from PyTorch; needs torch (`.[test,parity]`).

Run as `python -m tests.parity.worst [case ...]` in the root; `docs/backbones.md` has the result. PyTorch
writes a file of each container, which is opened as a user's is. Its older exporter to ONNX is taken,
which needs no further package; what it cannot write has no number.
"""

import json
import logging
import pathlib
import sys
import tempfile
import warnings

import jax
import numpy as np
import torch
from safetensors.numpy import save_file

from fr_inference.weights.targets import open_target
from tests.parity import cases, oracle, test_parity


class Around(torch.nn.Module):
    """A network below the names that its project puts before them, such as 'features.module.'."""

    def __init__(self, network, prefix):
        super().__init__()
        self.inside = prefix.split('.')[0]
        rest = prefix.removeprefix(f'{self.inside}.')
        self.add_module(self.inside, Around(network, rest) if rest else network)

    def forward(self, images):
        return getattr(self, self.inside)(images)


def differences(name: str) -> dict[str, float]:
    """The largest difference of distances and gradient, relative to their size."""
    expected = oracle.run(cases.CASES[name])
    found, *_ = test_parity.computed(name, json.dumps(expected['shapes']))
    return {
        key: np.abs(found[key] - expected[key]).max() / np.abs(expected[key]).max()
        for key in ('distances', 'gradient')
        if expected[key].size
    }


def _zip(network, _, path):
    torch.save(network.state_dict(), path)


def _legacy(network, _, path):
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)


def _whole(network, _, path):
    torch.save(network, path)


def _script(network, image, path):
    torch.jit.trace(network, image, check_trace=False).save(str(path))


def _safetensors(network, _, path):
    save_file({name: value.numpy() for name, value in network.state_dict().items()}, path)


def _onnx(network, image, path):
    axes = {'image': {0: 'n'}}
    torch.onnx.export(network, image, path, dynamo=False, input_names=['image'], dynamic_axes=axes)


CONTAINERS = {
    'state dict': _zip,
    'before 1.6': _legacy,
    'whole module': _whole,
    'TorchScript': _script,
    'safetensors': _safetensors,
    'ONNX': _onnx,
}
TOGETHER = dict.fromkeys(CONTAINERS, 'files') | {'ONNX': 'ONNX'}  # columns


def by_container(name: str, folder: pathlib.Path) -> tuple[str, dict[str, float]]:
    """The convention, and the largest relative difference of an embedding by container."""
    case = cases.CASES[name]
    options = case.config if case.options is None else case.options
    network = oracle.build(case.network or case.architecture, case.input, **options).eval()
    state = cases.weights(oracle.shapes(network))
    network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    whole = Around(network, case.prefix).eval() if case.prefix else network
    images, expected = cases.images(case), oracle.run(case)['embedding']
    example = torch.from_numpy(images[:1]).permute(0, 3, 1, 2).contiguous()
    found, pixels = dict.fromkeys(TOGETHER.values(), 0.0), ''
    for container, write in CONTAINERS.items():
        path = folder / f'{name}.{"onnx" if container == "ONNX" else "pt"}'
        try:
            write(whole, example, path)
        except torch.onnx.errors.OnnxExporterError:
            del found[container]
            continue
        target = open_target(path, input={'height': case.input.height, 'width': case.input.width})
        ours = np.asarray(jax.jit(target.apply)(target.variables, images))
        apart = np.linalg.norm(ours - expected, axis=1)
        worst = (apart / np.linalg.norm(expected, axis=1)).max()
        found[TOGETHER[container]] = max(found[TOGETHER[container]], worst)
        pixels = pixels or target.input.pixels
    return pixels, found


def main() -> None:
    """Prints one row of a table a case."""
    warnings.simplefilter('ignore')
    logging.disable()
    columns = (*dict.fromkeys(TOGETHER.values()), 'distances', 'gradient')
    print(f'| case | convention | {" | ".join(columns)} |')
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or cases.CASES:
            pixels, row = by_container(name, pathlib.Path(folder))
            row |= differences(name)
            shown = (f'{row[key]:.1e}' if key in row else '' for key in columns)
            print(f'| `{name}` | {pixels} | {" | ".join(shown)} |', flush=True)


if __name__ == '__main__':
    main()
