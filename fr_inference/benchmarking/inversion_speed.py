"""The inversion benchmark: StyleGAN2 and other implementations, and whole steps of the search."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import devices, rng
from fr_inference.benchmarking import chips, random_weights, scaling, stylegan_peers, timing
from fr_inference.config import Search
from fr_inference.inversion import candidate, goals, prior
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.candidate import Constants, Optimiser
from fr_inference.measuring import distances
from fr_inference.models import registry, stylegan2
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

_STEPS = 5  # steps of a timed call, because the launch would dominate a single step


def networks(resolution: int, batch: int, rounds: int, stylegan2_ada: str | None) -> dict[str, Any]:
    """Times the synthesis network and its peers: forward, and forward+backward with respect to w.

    Args:
      resolution: of the images, pixels.
      batch: images at a time.
      rounds: timed calls of each.
      stylegan2_ada: a checkout of NVIDIA's networks, or None.
    """
    calls = {f'fr_inference {name}': call for name, call in _ours(resolution, batch).items()}
    absent: dict[str, str | None] = {}
    problem = stylegan_peers.flaxmodels_missing()
    if problem is None:
        found = stylegan_peers.flaxmodels_calls(resolution, batch)
        calls |= {f'flaxmodels {name}': call for name, call in found.items()}
    else:
        absent['flaxmodels'] = problem
    problem = stylegan_peers.nvidia_missing(stylegan2_ada)
    if problem is None and stylegan2_ada is not None:
        found = stylegan_peers.nvidia_calls(stylegan2_ada, resolution, batch)
        calls |= {f'nvidia torch {name}': call for name, call in found.items()}
    else:
        absent['nvidia torch'] = problem
    first = {}
    for label, call in calls.items():
        start = time.perf_counter()
        jax.block_until_ready(call())
        first[label] = time.perf_counter() - start
    seconds = timing.interleaved(calls, rounds)
    ratios = {}
    for label, values in seconds.items():
        peer, _, what = label.rpartition(' ')
        if peer != 'fr_inference':
            ratio = np.array(values) / seconds[f'fr_inference {what}']
            ratios[f'{what}: time of {peer} over ours'] = float(np.median(ratio))
    return {
        'resolution': resolution,
        'batch': batch,
        'first_call_seconds': first,
        'median_seconds': {label: float(np.median(values)) for label, values in seconds.items()},
        'ratios': ratios,
        'absent': absent,
        'seconds': seconds,
    }


def _ours(resolution, batch):
    generator = stylegan2.Generator(resolution)
    variables = jax.jit(generator.init)(jax.random.key(0), jnp.zeros((1, generator.z_dim)))
    shape = (batch, stylegan2.style_count(resolution), generator.w_dim)
    w = jax.random.normal(jax.random.key(1), shape)

    def images(variables, w):
        noise = stylegan2.constant_noise(variables)
        return generator.apply(variables, w, noise, method='synthesis')

    return stylegan_peers.jax_calls(images, variables, w, devices.compiled)


def opened(generator: str, target: str, resolution: int, dtype: str) -> tuple[Trained, Target]:
    """Opens the two networks of the search, or creates them with random weights, which are as fast.

    Args:
      generator: as `open_generator` takes it, or 'random': StyleGAN2 of the resolution.
      target: as `open_target` takes it, or a backbone's name for random weights.
      resolution: of a random generator's images, pixels.
      dtype: of the backbone's arithmetic. 'bfloat16' also applies to a random generator's four
        largest resolutions, which NVIDIA's networks compute in half precision.
    """
    if target in registry.VARIANTS:
        backbone = random_weights.backbone(target, {'dtype': dtype})
    else:
        backbone = open_target(target, dtype=dtype)
    if generator != 'random':
        return open_generator(generator), backbone
    return random_weights.generator(resolution, dtype), backbone


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searching:
    """The search for a face by its embedding, with the default options.

    Attributes:
      begin: the program from (number, wanted embedding) to a candidate's state.
      advancing: number of steps -> the program that improves a candidate in that number of steps.
      constants: of both, on the default device.
      width: length of the embeddings.
    """

    begin: candidate.Program
    advancing: Callable[[int], candidate.Program]
    constants: Constants
    width: int

    def examples(self, devices: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the initial state of `size` candidates on each of some devices."""
        numbers = np.arange(size * devices, dtype=np.int32).reshape(devices, size)
        return numbers, np.zeros((devices, size, self.width), np.float32)


def searching(generator: Trained, target: Target) -> Searching:
    """Returns the search through a generator and a target."""
    scene, how = scenes.make(generator.module, target), Search()
    width = distances.embedding_size(target)
    goal = goals.templates(np.eye(1, width))
    optimiser = Optimiser(name=how.optimiser, learning_rate=how.learning_rate, steps=how.steps)
    return Searching(
        begin=candidate.beginning(scene, optimiser),
        advancing=lambda steps: candidate.advancing(
            scene, how.pictures, goal.term, optimiser, steps
        ),
        constants=Constants(
            generator=generator.variables,
            target=target.variables,
            prior=prior.of_generator(scene, generator.variables, seed=0),
            guide=None,
            key=rng.stream(jax.random.key(0), 'search'),
            weights=goal.weights,
        ),
        width=width,
    )


def tasks(generator: Trained, target: Target, candidates: Iterable[int]) -> list[scaling.Task]:
    """Returns the search, for each number of candidates on each device; a call is five steps."""
    search = searching(generator, target)

    def build(size, on):
        start, place, count = devices.per_candidate(search.begin, on)
        step: Any = devices.per_candidate(search.advancing(_STEPS), on)[0]
        placed = place(search.constants)
        state = start(placed, search.examples(count, size))
        return scaling.Program(
            lower=lambda: step.lower(placed, state), call=lambda compiled: compiled(placed, state)
        )

    ready = devices.replicated(search.constants)
    example = np.zeros((), np.int32), np.zeros(search.width, np.float32)
    one = jax.eval_shape(search.begin, ready, example)
    flops = chips.flops(jax.jit(search.advancing(1)), ready, one)
    narrow = target.config.get('dtype') == 'bfloat16'
    return [
        scaling.Task(
            name=f'{generator.name} before {target.name}',
            size=size,
            items=size * _STEPS,
            build=functools.partial(build, size),
            flops=flops,
            narrow=narrow or generator.module.low_precision_from is not None,
        )
        for size in candidates
    ]


def steps(scaled: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the figures of the search on one device, from those of `scaling.measure`."""
    return [
        {
            'candidates': row['size'],
            'candidate_steps_per_second': row['rate']['median'],
            'compile_seconds': row['compile_seconds'],
            'program_bytes': row['program_bytes'],
            'peak_bytes': row['peak_bytes'],
        }
        for row in scaled['rows']
        if row['devices'] == 1
    ]


def table(result: dict[str, Any]) -> str:
    """Returns the result as lines of text."""
    made = result['networks']
    lines = [f'StyleGAN2, {made["resolution"]}x{made["resolution"]}, batch {made["batch"]}:']
    for label, value in made['median_seconds'].items():
        first = made['first_call_seconds'][label]
        lines.append(f'  {label:32} {value:8.3f} s, first call {first:.1f} s')
    lines += [f'  {label:52} {value:6.2f}' for label, value in made['ratios'].items()]
    lines += [f'  without {peer}: {why}' for peer, why in made['absent'].items()]
    return '\n'.join(lines)
