"""The benchmark: measures, prints the results, and writes JSON and a plot."""

import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from fr_inference import errors, files, program_config, provenance, runs
from fr_inference.benchmarking import (
    inversion_speed,
    loading_speed,
    random_weights,
    scaling,
    scaling_plot,
    scoring_speed,
    torch_peer,
    training_speed,
)
from fr_inference.models import registry
from fr_inference.runs import Progress

UNITS = {
    'scoring': 'images',
    'inversion': 'candidate-steps',
    'training': 'images',
    'private-training': 'images',
}


def run(
    options: program_config.Benchmark,
    *,
    command: str = '',
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measures, and writes the result after each part, because the next one may take long or fail.

    Args:
      options: the options of the benchmark.
      command: the command line, for the record.
      say: receives tables and notes.
      progress: called as progress(label, done, total).

    Returns:
      The contents of the JSON file.

    Raises:
      InputError: for more devices than there are, or a requested peer that is missing.
    """
    scaling.check_devices(options.devices)
    alone = options.what == 'loading'  # on the cores of this host, independently of other processes
    if alone and scaling.several() > 1:
        raise errors.InputError('num_processes', scaling.several(), 'one process')
    say = runs.first_only(say)
    sizes = sorted(set(options.batch_size))
    result: dict[str, Any] = {
        'what': options.what,
        'settings': {
            'batch_size': sizes[0] if len(sizes) == 1 else sizes,
            'rounds': options.rounds,
            'dtype': options.dtype,
        },
        'threads': loading_speed.cores(),
        'provenance': provenance.describe(command),
    }
    for part in _MEASURES[options.what](options, result, say, progress):
        result |= part
        if options.out is not None:
            runs.first_only(write)(options.out, result)
    return result


def write(path: str | os.PathLike, result: dict[str, Any]) -> None:
    """Writes the result as JSON, and its plot beside it."""
    path = pathlib.Path(path)
    files.write_text(path, json.dumps(result, indent=1) + '\n')
    files.write_text(path.with_suffix('.svg'), _plot(result))


def _plot(result):
    if 'loading' in result:
        return scaling_plot.of_workers(result['loading'])
    title = f'{result["what"]}, {result["settings"]["dtype"]}'
    return scaling_plot.of_devices(result['scaling'], UNITS[result['what']], title)


def _scale(tasks, options, say, progress):
    """Measures over the devices and prints the table."""
    counts = sorted(set(options.devices))
    found = scaling.measure(tasks, counts, options.rounds, progress)
    say(scaling.table(found, UNITS[options.what]))
    if 'note' in found:
        say(found['note'])
    return found


def _scoring(options, result, say, progress) -> Iterator[dict[str, Any]]:
    together = scaling.several() > 1
    peer = not together and _peer(options, say)
    sizes, dtype = sorted(set(options.batch_size)), options.dtype
    tasks = (
        task
        for name in options.arch
        for task in scoring_speed.tasks(random_weights.backbone(name, {'dtype': dtype}), sizes)
    )
    scaled = _scale(tasks, options, say, progress)
    yield {'scaling': scaled, 'peer': torch_peer.describe() if peer else None}
    if together:
        say('several processes: their devices are measured, and nothing beside them')
        return
    found = {
        name: scoring_speed.measure(
            name,
            peer,
            batch=scaling.fastest(scaled, name),
            rounds=options.rounds,
            dtype=dtype,
        )
        for name in options.arch
    }
    yield {'backbones': found}
    say(scoring_speed.table(result))


def _peer(options, say) -> bool:
    """Returns whether to compare with PyTorch; prints the reason if it is impossible."""
    if options.peer == 'none':
        return False
    problem = torch_peer.missing()
    if problem is not None and options.peer == 'torch':
        raise errors.InputError('peer', "'torch'", hint=problem)
    if problem is not None:
        say(f'without a peer: {problem}')
    return problem is None


def _inversion(options, result, say, progress) -> Iterator[dict[str, Any]]:
    size = options.resolution
    generator, target = inversion_speed.opened(
        options.generator, options.target, size, options.dtype
    )
    candidates = sorted(set(options.candidates))
    scaled = _scale(inversion_speed.tasks(generator, target, candidates), options, say, progress)
    yield {
        'generator': generator.name,
        'target': options.target,
        'scaling': scaled,
        'steps': inversion_speed.steps(scaled),
    }
    if options.peer != 'none' and scaling.several() == 1:
        (batch,) = options.batch_size
        yield {
            'networks': inversion_speed.networks(size, batch, options.rounds, options.stylegan2_ada)
        }
        say(inversion_speed.table(result))


def _training(options, result, say, progress) -> Iterator[dict[str, Any]]:
    sizes = sorted(set(options.batch_size))
    tasks = (
        training_speed.task(random_weights.backbone(name, {'dtype': options.dtype}), size)
        for name in options.arch
        for size in sizes
    )
    yield {'scaling': _scale(tasks, options, say, progress)}


def _private_training(options, result, say, progress) -> Iterator[dict[str, Any]]:
    config = {'dtype': options.dtype, 'norm': 'group'}
    tasks = (
        training_speed.task(random_weights.backbone(name, config), size, private=private)
        for name in options.arch
        for size in sorted(set(options.batch_size))
        for private in (False, True)
    )
    scaled = _scale(tasks, options, say, progress)
    ratios = training_speed.ratios(scaled)
    yield {'scaling': scaled, 'private_over_plain': ratios}
    for name, ratio in ratios.items():
        say(f'{name}: private training at {ratio:.2g} of the rate of plain training')


def _loading(options, result, say, progress) -> Iterator[dict[str, Any]]:
    spec = registry.VARIANTS[options.arch[0]].input
    (batch,) = options.batch_size
    with loading_speed.opened(options.faces, max(spec.height, spec.width)) as faces:
        found = loading_speed.measure(
            faces,
            height=spec.height,
            width=spec.width,
            batch_size=batch,
            rounds=options.rounds,
            feed=options.feed,
            progress=progress,
        )
    say(loading_speed.table(found))
    yield {'loading': found}


_MEASURES = {
    'scoring': _scoring,
    'inversion': _inversion,
    'training': _training,
    'private-training': _private_training,
    'loading': _loading,
}
