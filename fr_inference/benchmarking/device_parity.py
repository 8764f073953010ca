"""Compares an accelerator with the CPU: distances, embeddings, gradients, and a search.

The CPU computes in float32. Each device compiles its own forms of the operations, so if
`kernels/seam.py` has two forms, the comparison is between two implementations.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import devices
from fr_inference.benchmarking import inversion_speed
from fr_inference.measuring import distances
from fr_inference.models import registry
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target

_IMAGES = 4
_CANDIDATES = 4
_STEPS = 3


@dataclasses.dataclass(frozen=True)
class Precision:
    """How a device computes.

    Attributes:
      name: in tables.
      dtype: of the backbone's arithmetic.
      products: `jax.default_matmul_precision`; None for JAX's default, TF32 on NVIDIA's GPUs.
      tolerances: quantity -> largest error, see `backbone` and `search`.
    """

    name: str
    dtype: str
    products: str | None
    tolerances: Mapping[str, float]


def _tolerances(distance, embedding, gradient, objective, moves):
    return {
        'distances': distance,
        'embeddings': embedding,
        'gradients': gradient,
        'objective': objective,
        'moves': moves,
    }


PRECISIONS = (
    Precision('float32, highest', 'float32', 'highest', _tolerances(1e-3, 1e-4, 2e-3, 1e-3, 0.05)),
    Precision('float32, default', 'float32', None, _tolerances(0.01, 0.01, 0.1, 0.02, 0.3)),
    Precision('bfloat16', 'bfloat16', None, _tolerances(0.05, 0.05, 0.3, 0.1, 0.7)),
)
_EXACT = PRECISIONS[0]


def backbone(
    target: Target, on: jax.Device, host: jax.Device, precisions: Sequence[Precision] = PRECISIONS
) -> Iterator[dict[str, Any]]:
    """Yields the errors of one pass and its gradient, for each precision, ready for JSON.

    Errors: of a distance relative to the layer's largest; of embeddings of unit length; of the gradient
    with respect to an image relative to its norm. Each is the maximum over all images.

    Args:
      target: a registered backbone.
      on: the device.
      host: the CPU.
      precisions: of the device.
    """
    wanted = _pass(target, host, _EXACT)
    for precision in precisions:
        found = _pass(target, on, precision)
        scale = np.abs(wanted[0]).max(0)
        apart = {
            'distances': np.max(np.abs(found[0] - wanted[0]) / scale),
            'embeddings': np.max(_lengths(found[1] - wanted[1])),
            'gradients': np.max(_lengths(found[2] - wanted[2]) / _lengths(wanted[2])),
        }
        yield from _rows(target.name, precision, apart)


def search(
    generator: Trained,
    target: Target,
    on: jax.Device,
    host: jax.Device,
    precisions: Sequence[Precision] = PRECISIONS,
) -> Iterator[dict[str, Any]]:
    """Yields the errors of a search of three steps, for each precision, ready for JSON.

    Errors: of the objective before each step relative to the largest of all; of each candidate's total
    move relative to its length. Adam's first steps are signs, which rounding can flip if a gradient is
    almost zero.

    Args:
      generator: its images go to the target.
      target: a registered backbone.
      on: the device.
      host: the CPU.
      precisions: of the device; the generator keeps its own.
    """
    wanted = _steps(generator, target, host, _EXACT)
    for precision in precisions:
        found = _steps(generator, target, on, precision)
        apart = {
            'objective': np.max(np.abs(found[0] - wanted[0])) / np.abs(wanted[0]).max(),
            'moves': np.max(_lengths(found[1] - wanted[1]) / _lengths(wanted[1])),
        }
        yield from _rows(f'{generator.name} before {target.name}', precision, apart)


def _rows(name, precision, apart):
    for quantity, error in apart.items():
        tolerance = precision.tolerances[quantity]
        yield {
            'name': name,
            'quantity': quantity,
            'precision': precision.name,
            'error': float(error),
            'tolerance': tolerance,
            'met': bool(error <= tolerance),  # False for NaN
        }


def _lengths(rows):
    return np.sqrt(np.square(rows.reshape(len(rows), -1)).sum(1))


def _computed_as(precision):
    if precision.products is None:
        return contextlib.nullcontext()
    return jax.default_matmul_precision(precision.products)


def _with_dtype(target, dtype):
    return registry.make_target(
        target.architecture,
        jax.device_get(
            target.variables
        ),  # otherwise they would stay on the device that opened them
        config={**target.config, 'dtype': dtype},
        input=target.input,
        name=target.name,
    )


def _pass(target, on, precision):
    """Returns distances [N, L], embeddings of unit length [N, D] and gradients [N, H, W, 3], float64."""
    target = _with_dtype(target, precision.dtype)
    spec = target.input
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (_IMAGES, spec.height, spec.width, 3), np.uint8)
    readout = draw.standard_normal(distances.embedding_size(target), np.float32)

    def of_image(variables, image):
        def scalar(image):
            found, embedding = distances.of_image(target.apply, variables, image)
            embedding = embedding / jnp.sqrt(jnp.sum(jnp.square(embedding)))
            return jnp.log1p(found).mean() + embedding @ readout, (found, embedding)

        gradient, (found, embedding) = jax.grad(scalar, has_aux=True)(spec.normalize(image))
        return found, embedding, gradient

    with _computed_as(precision), devices.using([on]):
        run, place, _ = devices.per_example(of_image, [on])
        found = jax.device_get(run(place(target.variables), images))
    return [np.asarray(part, np.float64) for part in found]


def _steps(generator, target, on, precision):
    """Returns the objective [N, steps] and the total move [N, w_dim] over all steps, float64."""
    target = _with_dtype(target, precision.dtype)
    generator = dataclasses.replace(generator, variables=jax.device_get(generator.variables))
    with _computed_as(precision), devices.using([on]):
        found = inversion_speed.searching(generator, target)
        start, place, _ = devices.per_candidate(found.begin, [on])
        advance, _, _ = devices.per_candidate(found.advancing(_STEPS), [on])
        constants = place(found.constants)
        numbers, wanted = found.examples(1, _CANDIDATES)
        wanted = wanted + np.eye(1, found.width, dtype=np.float32)
        before = start(constants, (numbers, wanted))
        after, values = advance(constants, before)
        moves = np.asarray(after['white'], np.float64)[0] - np.asarray(before['white'])[0]
        return np.asarray(values, np.float64)[0, :, :, 0], moves
