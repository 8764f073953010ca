"""The scoring benchmark: a backbone on several devices, and compared with PyTorch on one."""

import copy
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from fr_inference import config, devices
from fr_inference.benchmarking import chips, random_weights, scaling, timing, torch_peer
from fr_inference.measuring import distances, measurements
from fr_inference.membership import study
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.weights import families

# Tolerances between the two sides: (relative, fraction of the largest distance). bfloat16 keeps eight
# bits of a number, and fewer of a sum of squared differences.
_TOLERANCES = {'float32': (1e-3, 1e-4), 'bfloat16': (0.2, 0.05)}


def tasks(
    target: Target, sizes: Iterable[int], *, plain: bool = False, held: bool = False
) -> list[scaling.Task]:
    """Returns the scoring of random images, for each number of them on each device.

    A call is one batch: its images are sent to the devices; distances and embeddings stay there.

    Args:
      target: the backbone.
      sizes: images on each device.
      plain: only the forward pass, without distances.
      held: the images are on the devices already, and no call moves any.
    """

    def one(variables, image):
        return distances.of_image(target.apply, variables, target.input.normalize(image))

    flops = chips.flops(jax.jit(one), target.variables, _images(target.input, 1)[0])

    def build(size: int, on: Sequence[jax.Device]) -> scaling.Program:
        make = _plain if plain else measurements.measurer
        score, place, count = make(target, on=on)
        whole: Any = np.concatenate([_images(target.input, size)] * count)
        variables = place(target.variables)
        if held:
            whole = score.share_out(whole)
        return scaling.Program(
            lower=lambda: score.program.lower(variables, score.share_out(whole)),
            call=lambda compiled: compiled(variables, whole if held else score.share_out(whole)),
        )

    return [
        scaling.Task(
            name=f'{target.name}, forward pass alone' if plain else target.name,
            size=size,
            items=size,
            build=functools.partial(build, size),
            flops=flops,
            narrow=target.config.get('dtype') == 'bfloat16',
        )
        for size in sizes
    ]


def _plain(target, on):
    """Returns the forward pass, compiled like scoring: the difference is the cost of the distances."""

    def embed(variables, image):
        return target.apply(variables, target.input.normalize(image)[None])[0]

    return devices.per_example(embed, on)


def _images(spec, count):
    shape = (count, spec.height, spec.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def measure(
    name: str, with_peer: bool, *, batch: int, rounds: int, dtype: str = 'float32'
) -> dict[str, Any]:
    """Returns first-call seconds, seconds per round, and their quartiles, of one backbone.

    'plain' is its forward pass, 'scoring' adds the distances, and 'audit' everything that an audit's
    default attacks need of an image.

    Args:
      name: in `registry.VARIANTS`.
      with_peer: whether PyTorch is measured too.
      batch: images at a time.
      rounds: timed calls of each.
      dtype: in `registry.DTYPES`, of both sides.

    Raises:
      AssertionError: when the two sides do not compute the same distances.
    """
    variant = registry.VARIANTS[name]
    images = _images(variant.input, batch)
    target = random_weights.backbone(name, {'dtype': dtype})
    calls = {}
    if with_peer:
        peer, state = torch_peer.build(name, variant.input)
        match, tensors, _ = families.recognise(state, name)
        module = registry.build(name, dtype=dtype)
        abstract = registry.abstract_variables(module, variant.input)
        variables, _ = families.convert(match, tensors, abstract, name)
        target = registry.make_target(name, variables, config=target.config)
        for layout in torch_peer.layouts():
            calls[f'torch {layout}'] = torch_peer.scorer(
                copy.deepcopy(peer), variant.input, images, layout, dtype
            )
    device = devices.local()[0]
    score, place, _ = measurements.measurer(target, on=(device,))

    plain, _, _ = _plain(target, (device,))
    audit, _, _ = measurements.measurer(target, (device,), study.features_of(config.Settings()))
    variables = place(target.variables)
    calls['audit'] = lambda: audit(variables, images)
    calls['scoring'] = lambda: score(variables, images)
    calls['plain'] = lambda: plain(variables, images)
    first, outputs = {}, {}
    for label, call in calls.items():
        first[label], outputs[label] = timing.timed(call)
    relative, absolute = _TOLERANCES[dtype]
    for label in calls.keys() - {'plain', 'scoring', 'audit'}:
        for ours, theirs in zip(outputs['scoring'], outputs[label], strict=True):
            largest = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=relative, atol=absolute * largest)
    return {'batch_size': batch} | _summary(batch, first, timing.interleaved(calls, rounds))


def _summary(batch, first, seconds):
    layouts = [label for label in seconds if label.startswith('torch')]
    fastest = min(layouts, key=lambda label: np.median(seconds[label]), default=None)
    scoring = np.array(seconds['scoring'])
    ratios = {
        'scoring/plain': scoring / seconds['plain'],
        'audit/plain': np.array(seconds['audit']) / seconds['plain'],
    }
    if fastest is not None:
        ratios[f'scoring/{fastest}'] = scoring / seconds[fastest]
    rates = {label: batch / np.array(values) for label, values in seconds.items()}
    return {
        'first_call_seconds': first,
        'images_per_second': {label: timing.quartiles(values) for label, values in rates.items()},
        'seconds_ratio': {label: timing.quartiles(values) for label, values in ratios.items()},
        'seconds': seconds,
    }


def table(result: dict) -> str:
    """Returns the comparison on one device as lines of text."""
    settings, peer = result['settings'], result['peer']
    versions, devices = result['provenance']['versions'], result['provenance']['devices']
    lines = [
        f'{devices[0]}, {settings["dtype"]}, {settings["rounds"]} rounds; '
        f'jax {versions["jax"]} with {result["threads"]} threads, '
        + (f'torch {peer["torch"]} with {peer["threads"]} threads' if peer else 'no peer'),
        f'{"":46} {"median":>9} {"quartiles":>17} {"first call":>11}',
    ]
    for name, found in result['backbones'].items():
        name = f'{name}, batch {found["batch_size"]}'
        for label, value in found['images_per_second'].items():
            low, high = value['quartiles']
            lines.append(
                f'{name + ", " + label:46} {value["median"]:>9.2f} {low:>8.2f} {high:>8.2f} '
                f'{found["first_call_seconds"][label]:>9.1f} s  images/s'
            )
        for label, value in found['seconds_ratio'].items():
            low, high = value['quartiles']
            lines.append(
                f'{name + ", " + label:46} {value["median"]:>9.3f} {low:>8.3f} {high:>8.3f} '
                f'{"":11}  of the time'
            )
    return '\n'.join(lines)
