"""Times StyleGAN2's resampling with its gradient, in each form of `other_forms`."""

import concurrent.futures
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.benchmarking import other_forms, timing
from fr_inference.models import stylegan2_ops as ops


def measure(
    side: int, width: int, count: int, dtype: str, platform: str, rounds: int
) -> list[dict[str, Any]]:
    """Times every operation of `other_forms.FORMS['folded']`, forward and backward.

    Args:
      side: of the larger image, pixels.
      width: number of features.
      count: number of images.
      dtype: of all arrays.
      platform: of the device that JAX uses, 'cpu' or 'gpu'.
      rounds: timed calls of each.

    Returns:
      A row for each operation and form: {'name', 'seconds': {'median', 'quartiles'}}.
    """
    draw = np.random.default_rng(0)

    def array(*shape):
        return jnp.asarray(draw.standard_normal(shape, np.float32), dtype)

    small, large = array(count, side // 2, side // 2, width), array(count, side, side, width)
    kernel, point = array(3, 3, width, width), array(1, 1, width, width)
    asked = {
        'upsample': (ops.upsample, (small,)),
        'downsample': (ops.downsample, (large,)),
        'upsample_conv': (ops.upsample_conv, (small, kernel)),
        'downsample_conv': (ops.downsample_conv, (large, kernel)),
        'downsample_conv, 1x1': (ops.downsample_conv, (large, point)),
    }
    lowered = {}
    for form in ('plain', 'phases', 'folded'):
        for name, (operation, given) in asked.items():
            if form == 'folded' and name in ('upsample', 'downsample'):
                continue  # the same as in phases
            with other_forms.taken(form, platform):
                lowered[name, form] = _lowered(operation, given)
    with concurrent.futures.ThreadPoolExecutor() as threads:  # each takes seconds
        programs = list(threads.map(lambda one: one.compile(), lowered.values()))
    calls: dict[Any, Callable[[], Any]] = {
        (name, form): functools.partial(program, *asked[name][1])
        for (name, form), program in zip(lowered, programs, strict=True)
    }
    seconds = timing.interleaved(calls, rounds)
    return [
        {'name': f'{name}, {form}, {dtype}', 'seconds': timing.quartiles(times)}
        for (name, form), times in seconds.items()
    ]


def _lowered(operation, given):
    """Returns the lowered program of an operation and its gradients with respect to all arguments."""

    def both(*arrays):
        found, back = jax.vjp(operation, *arrays)
        return found, back(found)

    return jax.jit(both).lower(*given)
