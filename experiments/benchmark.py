"""Measures speed, side by side with peers: scoring in images per second, inversion in steps.

  python -m experiments.benchmark --what=scoring --out=scoring.json
  python -m experiments.benchmark --what=inversion --batch_size=2 --out=inversion.json

Peers: PyTorch, flaxmodels 0.1.3 and NVIDIA's own StyleGAN2 networks, each where it is installed.
"""

import copy
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import cli, inversion_speed, torch_peer
from fr_inference import checks, parallel, provenance
from fr_inference.convert import open as opening
from fr_inference.convert.generators import open_generator
from fr_inference.membership import distances
from fr_inference.models import registry

_WHAT = flags.DEFINE_enum('what', 'scoring', ['scoring', 'inversion'], 'What is measured.')
_ARCH = flags.DEFINE_list('arch', ['iresnet50', 'mobilefacenet_prelu'], 'Backbones.')
_BATCH = flags.DEFINE_integer('batch_size', 16, 'Images at a time.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer('rounds', 20, 'Timed calls of each.', lower_bound=1)
_DTYPE = flags.DEFINE_enum('dtype', 'float32', list(registry.DTYPES), 'Arithmetic in JAX.')
_PEER = flags.DEFINE_enum('peer', 'auto', ['auto', 'torch', 'none'], 'What to compare with.')
_RESOLUTION = flags.DEFINE_integer('resolution', 256, "Inversion: of the networks' images.")
_ADA = flags.DEFINE_string(
    'stylegan2_ada', None, 'Inversion: a checkout of NVlabs/stylegan2-ada-pytorch to compare with.'
)
_GENERATOR = flags.DEFINE_string('generator', 'demo_generator', 'Inversion: whose latents.')
_TARGET = flags.DEFINE_string('target', 'demo_leaky', 'Inversion: the backbone that is searched.')
_CANDIDATES = flags.DEFINE_list('candidates', ['16', '32', '64'], 'Inversion: at a time.')
_OUT = flags.DEFINE_string('out', None, 'File for the result as JSON.')

# Seconds before each timed call: PyTorch's threads spin for a while after their work, and would take
# half the processor from what is measured next.
_PAUSE = 0.25


def main() -> None:
    """Measures each backbone, prints one table and writes the JSON."""
    for name in _ARCH.value:
        checks.one_of('--arch', name, registry.VARIANTS)
    if _OUT.value is not None:
        out = pathlib.Path(_OUT.value)
        cli.make_folder(out.parent, '--out', [out.name])
    result = {
        'what': _WHAT.value,
        'settings': {'batch_size': _BATCH.value, 'rounds': _ROUNDS.value, 'dtype': _DTYPE.value},
        'threads': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else None,
        'provenance': provenance.describe(' '.join(sys.argv)),
    }
    if _WHAT.value == 'inversion':
        result |= _inversion()
        print(inversion_speed.table(result))
    else:
        peer = _peer()
        result['peer'] = torch_peer.describe() if peer else None
        result['backbones'] = {name: measure(name, peer) for name in _ARCH.value}
        print(table(result))
    if _OUT.value is not None:
        pathlib.Path(_OUT.value).write_text(json.dumps(result, indent=1) + '\n')


def _inversion():
    """The second stage's part of the result."""
    for text in _CANDIDATES.value:
        checks.require(
            text.isdecimal() and 0 < int(text) <= 1 << 20,
            f'--candidates: found {text!r}, expected numbers above 0',
        )
    size = _RESOLUTION.value
    checks.require(
        4 <= size <= 1024 and size & (size - 1) == 0,
        f'--resolution: found {size}, expected a power of two from 4 to 1024',
    )
    generator = open_generator(_GENERATOR.value)
    counts = [int(text) for text in _CANDIDATES.value]
    return {
        'networks': inversion_speed.networks(
            size, _BATCH.value, _ROUNDS.value, _ADA.value, interleaved
        ),
        'generator': generator.name,
        'target': _TARGET.value,
        'steps': inversion_speed.steps(generator, _TARGET.value, counts, _ROUNDS.value),
    }


def _peer():
    """Whether PyTorch takes part; says so where it could not."""
    if _PEER.value == 'none':
        return False
    problem = torch_peer.missing()
    if problem is None and _DTYPE.value != 'float32':
        problem = f'it computes in float32, found --dtype={_DTYPE.value}'
    checks.require(problem is None or _PEER.value == 'auto', f'--peer=torch: {problem}')
    if problem is not None:
        print(f'without a peer: {problem}')
    return problem is None


def measure(name: str, with_peer: bool) -> dict:
    """Returns first-call seconds, seconds per round, and their quartiles, of one backbone.

    Raises:
      InputError: when the two sides do not compute the same distances.
    """
    variant = registry.VARIANTS[name]
    config = {'dtype': _DTYPE.value}
    shape = (_BATCH.value, variant.input.height, variant.input.width, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    module = registry.build(name, **config)
    calls = {}
    if with_peer:
        peer, state = torch_peer.build(name, variant.input)
        match, tensors, _ = opening.recognise(state, name)
        abstract = registry.abstract_variables(module, variant.input)
        variables, _ = opening.convert(match, tensors, abstract, name)
        for layout in ('contiguous', 'channels_last'):
            calls[f'torch {layout}'] = torch_peer.scorer(
                copy.deepcopy(peer), variant.input, images, layout == 'channels_last'
            )
    else:
        variables = registry.init(module, variant.input, jax.random.key(0))
    target = registry.make_target(name, variables, config=config)
    device = jax.local_devices()[0]
    score, place, _ = distances.scorer(target, devices=(device,))

    def embed(variables, image):
        return target.apply(variables, target.input.normalize(image)[None])[0]

    # Compiled as scoring is: what is left between them is what the distances cost.
    plain, _, _ = parallel.per_example(embed, (device,))
    variables = place(variables)
    calls['scoring'] = lambda: score(variables, images)
    calls['plain'] = lambda: plain(variables, images)
    first, outputs = {}, {}
    for label, call in calls.items():
        first[label], outputs[label] = _timed(call)
    for label in calls.keys() - {'plain', 'scoring'}:
        for ours, theirs in zip(outputs['scoring'], outputs[label], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())
    return _summary(first, interleaved(calls, _ROUNDS.value))


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of every call in every round, side by side so that noise meets all alike."""
    seconds: dict[str, list[float]] = {label: [] for label in calls}
    order = list(calls)
    for i in range(rounds):
        for label in order if i % 2 else order[::-1]:  # nobody always runs on the other's heels
            time.sleep(_PAUSE)
            _timed(calls[label])  # caches as warm as in a long run; awaited, or it is timed as well
            seconds[label].append(_timed(calls[label])[0])
    return seconds


def _timed(call):
    start = time.perf_counter()
    output = jax.block_until_ready(call())
    return time.perf_counter() - start, output


def _summary(first, seconds):
    layouts = [label for label in seconds if label.startswith('torch')]
    fastest = min(layouts, key=lambda label: np.median(seconds[label]), default=None)
    scoring = np.array(seconds['scoring'])
    ratios = {'scoring/plain': scoring / seconds['plain']}
    if fastest is not None:
        ratios[f'scoring/{fastest}'] = scoring / seconds[fastest]
    rates = {label: _BATCH.value / np.array(values) for label, values in seconds.items()}
    return {
        'first_call_seconds': first,
        'images_per_second': {label: _quartiles(values) for label, values in rates.items()},
        'seconds_ratio': {label: _quartiles(values) for label, values in ratios.items()},
        'seconds': seconds,
    }


def _quartiles(values):
    low, median, high = np.percentile(values, [25, 50, 75])
    return {'median': float(median), 'quartiles': [float(low), float(high)]}


def table(result: dict) -> str:
    """Returns the result as lines to read."""
    settings, peer = result['settings'], result['peer']
    versions, devices = result['provenance']['versions'], result['provenance']['devices']
    lines = [
        f'{devices[0]}, batch {settings["batch_size"]}, {settings["dtype"]}, '
        f'{settings["rounds"]} rounds; jax {versions["jax"]} with {result["threads"]} threads, '
        + (f'torch {peer["torch"]} with {peer["threads"]} threads' if peer else 'no peer'),
        f'{"":42} {"median":>9} {"quartiles":>17} {"first call":>11}',
    ]
    for name, found in result['backbones'].items():
        for label, value in found['images_per_second'].items():
            low, high = value['quartiles']
            lines.append(
                f'{name + ", " + label:42} {value["median"]:>9.2f} {low:>8.2f} {high:>8.2f} '
                f'{found["first_call_seconds"][label]:>9.1f} s  images/s'
            )
        for label, value in found['seconds_ratio'].items():
            low, high = value['quartiles']
            lines.append(
                f'{name + ", " + label:42} {value["median"]:>9.3f} {low:>8.3f} {high:>8.3f} '
                f'{"":11}  of the time'
            )
    return '\n'.join(lines)


if __name__ == '__main__':
    cli.run(main)
