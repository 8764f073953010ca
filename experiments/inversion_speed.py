"""The inversion benchmark: StyleGAN2 beside its peers, and whole steps of the search."""

import resource
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import stylegan_peers
from fr_inference import parallel
from fr_inference.convert.open import open_target
from fr_inference.inversion import guidance, optimize, programs
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Plan
from fr_inference.membership import distances
from fr_inference.models import stylegan2
from fr_inference.models.stylegan2 import Trained

Interleaved = Callable[[dict, int], dict[str, list[float]]]


def networks(
    resolution: int, batch: int, rounds: int, stylegan2_ada: str | None, interleaved: Interleaved
) -> dict[str, Any]:
    """Times the synthesis network, forward and forward+backward with respect to w, beside its peers.

    Args:
      resolution: of the images; 256 is what the figures of BUILD_NOTES.md are for.
      batch: images at a time.
      rounds: timed calls of each.
      stylegan2_ada: a checkout of NVIDIA's networks, or None.
      interleaved: times calls side by side.
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
    seconds = interleaved(calls, rounds)
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

    return stylegan_peers.jax_calls(images, variables, w, parallel.compiled)


def steps(generator: Trained, target_name: str, candidates: list[int], rounds: int) -> list[dict]:
    """Times one step of the search for each number of candidates.

    Args:
      generator: whose latents are searched.
      target_name: the backbone, as `--target` names it.
      candidates: how many at a time.
      rounds: timed calls, each of five steps.

    Returns:
      For each number: candidate-steps per second, compile seconds, and bytes of memory: what the
      compiled program takes beside its arguments (None where the backend does not tell) and the
      process's peak so far.
    """
    target = open_target(target_name)
    scene, constants = guidance.without_attack(target, generator, seed=0)
    plan, objective, inner = Plan(), Objective(membership='raw'), 5
    width = distances.embedding_size(target)
    found = []
    for count in candidates:
        numbers = np.arange(count, dtype=np.int32)[None], np.zeros((1, count, width), np.float32)
        begin, place, _ = parallel.per_candidate(
            optimize.beginning(scene, plan, generator.module.z_dim), jax.local_devices()[:1]
        )
        step: Any = parallel.per_candidate(
            optimize.advancing(scene, plan, objective.membership, inner), jax.local_devices()[:1]
        )[0]
        placed = place(programs.ready(constants, plan, objective))
        state = begin(placed, numbers)
        start = time.perf_counter()
        program = step.lower(placed, state).compile()
        compiling = time.perf_counter() - start
        memory = program.memory_analysis()
        seconds = []
        for _ in range(rounds + 1):
            start = time.perf_counter()
            jax.block_until_ready(program(placed, state))
            seconds.append(time.perf_counter() - start)
        median = float(np.median(seconds[1:]))
        found.append(
            {
                'candidates': count,
                'candidate_steps_per_second': count * inner / median,
                'compile_seconds': compiling,
                'program_bytes': getattr(memory, 'temp_size_in_bytes', None),
                'peak_bytes': 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
        )
    return found


def table(result: dict[str, Any]) -> str:
    """Returns the result as lines to read."""
    made = result['networks']
    lines = [f'StyleGAN2, {made["resolution"]}x{made["resolution"]}, batch {made["batch"]}:']
    for label, value in made['median_seconds'].items():
        first = made['first_call_seconds'][label]
        lines.append(f'  {label:32} {value:8.3f} s, first call {first:.1f} s')
    lines += [f'  {label:52} {value:6.2f}' for label, value in made['ratios'].items()]
    lines += [f'  without {peer}: {why}' for peer, why in made['absent'].items()]
    lines.append(f'search, {result["generator"]} before {result["target"]}:')
    for row in result['steps']:
        held = row['program_bytes']
        lines.append(
            f'  {row["candidates"]:4} candidates: {row["candidate_steps_per_second"]:8.1f} '
            f'candidate-steps/s, compiled in {row["compile_seconds"]:.1f} s, '
            + (f'{held / 2**20:.0f} MiB, ' if held is not None else '')
            + f'peak {row["peak_bytes"] / 2**20:.0f} MiB'
        )
    return '\n'.join(lines)
