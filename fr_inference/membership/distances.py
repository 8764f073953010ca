"""Distances between an image's features and the statistics that the backbone keeps of its training.

For the i-th BatchNorm layer with input v_i [H, W, C], running mean u_i and scale b_i:

    d_i = sum over channels of (mean over H, W of v_i - u_i)^2 / b_i

Source: Huang et al., arXiv 2401.13719, section on membership inference. What b_i is it does not say;
see `SCALINGS`.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import checks, parallel
from fr_inference.data import loader
from fr_inference.data.faces import Faces
from fr_inference.models.target import Apply, Target

# What b_i may be: the running variance (plus the layer's epsilon), channel by channel; the number of
# channels; 1.
SCALINGS = ('variance', 'channels', 'none')

Progress = Callable[..., None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurements:
    """What is kept of each image.

    Attributes:
      layers: names of the L BatchNorm layers, in the order of the computation; empty without any.
      distances: [N, L] float32, at least 0.
      embeddings: [N, D] float32.
      identities: of the N images.
      index: [N] int32 positions in the source.
      skipped: (path, reason) of images that could not be read.
    """

    layers: tuple[str, ...]
    distances: np.ndarray
    embeddings: np.ndarray
    identities: tuple[str, ...]
    index: np.ndarray
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.index)


@contextlib.contextmanager
def intercepting(function: Callable[..., Any]) -> Iterator[None]:
    """Lets `function(call, arguments, keywords, context)` see every call of a Linen method inside.

    Compiled functions are traced into: a compiled `apply` that JAX remembers would call no layer, and
    pass for a backbone without any.
    """
    with jax.disable_jit(), nn.intercept_methods(function):
        yield


@contextlib.contextmanager
def recording(scaling: str = 'variance') -> Iterator[list[tuple[str, jax.Array]]]:
    """Collects (layer name, distances [N]) of every BatchNorm layer called inside.

    Args:
      scaling: in `SCALINGS`.

    Raises:
      InputError: when a layer is called in training mode: its statistics would change, and the
        distances would be to the batch at hand.
    """
    checks.one_of('scaling', scaling, SCALINGS)
    found: list[tuple[str, jax.Array]] = []

    def intercept(call, arguments, keywords, context):
        layer = context.module
        if isinstance(layer, nn.BatchNorm) and context.method_name == '__call__':
            x = arguments[0] if arguments else keywords['x']
            name = '/'.join(str(part) for part in layer.path) or 'norm'
            frozen = nn.merge_param(
                'use_running_average',
                layer.use_running_average,
                keywords.get('use_running_average', (*arguments, None, None)[1]),
            )
            checks.require(
                frozen is True,
                f'{name}: BatchNorm is in training mode while scoring; the apply function must run '
                'the model with use_running_average=True',
            )
            calls = sum(other.partition('#')[0] == name for other, _ in found)
            found.append((f'{name}#{calls + 1}' if calls else name, _distance(layer, x, scaling)))
        return call(*arguments, **keywords)

    with intercepting(intercept):
        yield found


def _distance(layer, x, scaling):
    checks.require(
        layer.axis in (-1, x.ndim - 1),
        f'{layer.name}: BatchNorm over axis {layer.axis}, expected the last one (NHWC)',
    )
    checks.require(
        layer.has_variable('batch_stats', 'mean'),
        f'{layer.name}: BatchNorm without statistics; variables must hold them under batch_stats',
    )
    mean = jnp.asarray(layer.get_variable('batch_stats', 'mean'), jnp.float32)
    pooled = jnp.mean(x.astype(jnp.float32), axis=tuple(range(1, x.ndim - 1)))
    squares = (pooled - mean) ** 2
    if scaling == 'variance':
        variance = jnp.asarray(layer.get_variable('batch_stats', 'var'), jnp.float32)
        squares = squares / (variance + layer.epsilon)
    elif scaling == 'channels':
        squares = squares / squares.shape[-1]
    return squares.sum(-1)


def of_image(
    apply: Apply, variables: Any, image: jax.Array, scaling: str = 'variance'
) -> tuple[jax.Array, jax.Array]:
    """Returns one image's distances and embedding; `jax.vmap` it over images, differentiate it.

    Args:
      apply: see `target.Apply`.
      variables: of the backbone; unchanged.
      image: [H, W, 3] float32, normalised.
      scaling: in `SCALINGS`.

    Returns:
      ([L] float32 distances, [D] float32 embedding).

    Raises:
      InputError: for BatchNorm layers in training mode or without statistics, and for an `apply`
        that returns something else than embeddings.
    """
    with recording(scaling) as found:
        embedding = apply(variables, image[None])
    checks.require(
        isinstance(embedding, jax.Array | np.ndarray) and embedding.shape[:1] == (1,),
        f'apply: found {getattr(embedding, "shape", None) or type(embedding).__name__} for one image, '
        'expected an array [1, D] of its embedding',
    )
    distances = [distance[0] for _, distance in found]
    stacked = jnp.stack(distances) if distances else jnp.zeros(0, jnp.float32)
    return stacked, embedding.reshape(-1).astype(jnp.float32)


def layer_names(target: Target) -> tuple[str, ...]:
    """Returns the names of the BatchNorm layers in the order they are called, without computing."""
    image = jax.ShapeDtypeStruct((1, target.input.height, target.input.width, 3), jnp.float32)
    with recording() as found:
        # A function of its own: JAX remembers traces by function, and a remembered one records nothing.
        jax.eval_shape(lambda *inputs: target.apply(*inputs), target.variables, image)
    return tuple(name for name, _ in found)


def embedding_size(target: Target) -> int:
    """Returns the length D of the target's embeddings."""
    shape = (1, target.input.height, target.input.width, 3)
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(target.apply, target.variables, image).shape[-1]


def scorer(
    target: Target, scaling: str = 'variance', devices: Sequence[jax.Device] | None = None
) -> tuple[Callable[[Any, Any], Any], Callable[[Any], Any], int]:
    """Returns what `measure` runs on each batch: `parallel.per_example` of `of_image`.

    Args:
      target: the backbone; its variables are the constants.
      scaling: in `SCALINGS`.
      devices: that share the work; `parallel.devices()` by default.

    Returns:
      (function of (variables, images [B, H, W, 3] on the scale 0 to 255) -> ([B, L] distances,
      [B, D] embeddings); what puts the variables on every device; their number).
    """
    devices = tuple(devices or parallel.devices())
    return _scorer(target.apply, target.input, scaling, devices)


@functools.lru_cache(maxsize=4)
def _scorer(apply, input, scaling, devices):
    """Compiles once for all the sets of faces and both controls of an audit."""

    def one(variables, image):
        return of_image(apply, variables, input.normalize(image), scaling)

    return parallel.per_example(one, devices)


def measure(
    target: Target,
    faces: Faces,
    *,
    scaling: str = 'variance',
    batch_size: int = 64,
    mirror: bool = False,
    skip_bad: bool = False,
    label: str = 'scoring',
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Measurements:
    """Measures every image; memory does not grow with the number of images but for the results.

    A score never depends on the batch it was in: every image is its own batch of one inside `vmap`.

    Args:
      target: the backbone.
      faces: N images.
      scaling: in `SCALINGS`.
      batch_size: images at a time, rounded up to a multiple of the devices.
      mirror: measure the mirror images instead.
      skip_bad: leave unreadable images out and list them.
      label: of the progress.
      devices: that share the work; `parallel.devices()` by default.
      progress: called as progress(label, done, total).

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
      InputError: when nothing could be read, or the backbone gives numbers that are not finite.
    """
    checks.one_of('scaling', scaling, SCALINGS)
    compiled, place, count = scorer(target, scaling, devices)
    variables = place(target.variables)
    size = parallel.round_up(min(batch_size, max(1, len(faces))), count)
    distances, embeddings, index = [], [], []
    skipped: list[tuple[str, str]] = []
    ahead: list[tuple[Any, np.ndarray, np.ndarray]] = []  # computed while the next is decoded

    def collect():
        (distance, embedding), mask, positions = ahead.pop(0)
        distances.append(np.asarray(distance)[mask])
        embeddings.append(np.asarray(embedding)[mask])
        index.append(positions[mask])
        if progress is not None:
            done = sum(map(len, index)) + len(skipped)
            progress(label, min(done, len(faces)), len(faces))

    for batch in loader.batches(
        faces,
        height=target.input.height,
        width=target.input.width,
        batch_size=size,
        skip_bad=skip_bad,
        skipped=skipped,
    ):
        images = batch.images[:, :, ::-1] if mirror else batch.images
        try:
            ahead.append((compiled(variables, images), batch.mask, batch.index))
        except jax.errors.UnexpectedTracerError as error:
            raise checks.InputError(
                f'{target.name}: its BatchNorm layers are called inside nn.remat, nn.scan or another '
                'transformation that hides what they see; score the same module without it'
            ) from error
        if len(ahead) > 1:
            collect()
    while ahead:
        collect()
    checks.require(index, f'{faces.name}: none of {len(faces)} images could be read')
    kept = np.concatenate(index)
    result = Measurements(
        layers=layer_names(target),
        distances=np.concatenate(distances),
        embeddings=np.concatenate(embeddings),
        identities=tuple(faces.identities[position] for position in kept),
        index=kept,
        skipped=tuple(skipped),
    )
    finite = np.isfinite(result.distances).all(-1) & np.isfinite(result.embeddings).all(-1)
    checks.require(
        finite.all(),
        f'{target.name}: {int((~finite).sum())} of {len(finite)} images give features that are not '
        f'finite, as {faces.paths[int(kept[np.argmin(finite)])]}; is the checkpoint damaged?',
    )
    return result


def select(measured: Measurements, rows: Sequence[int] | np.ndarray) -> Measurements:
    """Returns the measurements of the images at `rows` (positions or a mask)."""
    rows = np.asarray(rows)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    return dataclasses.replace(
        measured,
        distances=measured.distances[rows],
        embeddings=measured.embeddings[rows],
        identities=tuple(measured.identities[row] for row in rows),
        index=measured.index[rows],
    )
