"""How the target sees a latent: image, small random moves, distances and embedding.

Pure functions of one latent, to be `vmap`-ed over candidates.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.config import Latents
from fr_inference.inversion import framing as framings
from fr_inference.measuring import distances
from fr_inference.models import stylegan2
from fr_inference.models.target import InputSpec, Target

SPACES = ('w', 'w+', 'z')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jitter:
    """How much a picture is moved before the target sees it; all 0 for not at all.

    Attributes:
      shift: largest shift along each axis, as a share of the side, 0 to 0.5.
      zoom: largest change of size, as a share, 0 to 0.5.
      light: largest change of brightness, as a share of the whole scale, 0 to 0.5.
      mirror: whether half of the pictures are mirrored.
    """

    shift: float = 0.04
    zoom: float = 0.04
    light: float = 0.04
    mirror: bool = True

    def __post_init__(self):
        for name in ('shift', 'zoom', 'light'):
            value = getattr(self, name)
            if not 0 <= value <= 0.5:
                raise errors.InputError(name, value, '0 to 0.5')


MOVED = Jitter()
STILL = Jitter(shift=0.0, zoom=0.0, light=0.0, mirror=False)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Seen:
    """One picture of a latent as the target sees it.

    Attributes:
      distances: [L] float32, of the BatchNorm layers; L is 0 for a target without any.
      embedding: [D] float32, of unit length.
    """

    distances: jax.Array
    embedding: jax.Array


@dataclasses.dataclass(frozen=True)
class Scene:
    """A generator before a target.

    Attributes:
      render: (generator's variables, latent) -> [R, R, 3] float32, 0 to 255, the part that the target
        expects of the generator's picture (`framing.cut`).
      see: (target's variables, image [H, W, 3]) -> `Seen`.
      to_latent: (generator's variables, z [z_dim]) -> the latent that is improved.
      input: what the target expects.
      z_dim: length of z.
      kind: space, truncation and framing, for the description of a search.
    """

    render: Callable[[Any, jax.Array], jax.Array]
    see: Callable[[Any, jax.Array], Seen]
    to_latent: Callable[[Any, jax.Array], jax.Array]
    input: InputSpec
    z_dim: int
    kind: str


def make(
    generator: stylegan2.Generator,
    target: Target,
    *,
    space: str = Latents.space,
    psi: float = Latents.psi,
    framing: str | None = Latents.framing,
) -> Scene:
    """Puts a generator before a target.

    Scenes of the same generator module and backbone module are the same object, whatever the
    weights, so programs compiled for a target also serve its controls.

    Args:
      generator: its images are RGB.
      target: the backbone.
      space: the latents that are improved: 'w' [w_dim], 'w+' (a w for each layer, [styles, w_dim])
        or 'z' [z_dim].
      psi: truncation of the latents that the search starts from ('w', 'w+') or of every image ('z').
      framing: the framing of the generator's pictures; by `framing.of` its size when None.

    Raises:
      InputError: for another space or framing.
    """
    errors.one_of('space', space, SPACES)
    framing = framings.of(framing, generator.resolution)
    errors.one_of('framing', framing, framings.FRAMINGS)
    # Compiled programs are cached, so they must not hold the target's weights.
    scene = _make(generator, target.apply, target.input, space, psi, framing)
    if target.answers:  # the weights alone do not show that the answers are changed
        scene = dataclasses.replace(scene, kind=f'{scene.kind}, answers: {target.answers}')
    return scene


@functools.lru_cache(maxsize=32)
def _make(generator, apply, input, space, psi, framing):
    def styles(variables, z):
        w = generator.apply(variables, z[None], method='mapping')
        return generator.apply(variables, w, psi, method='truncate')[0]

    def to_latent(variables, z):
        if space == 'z':
            return z
        return styles(variables, z) if space == 'w+' else styles(variables, z)[0]

    def render(variables, latent):
        ws = styles(variables, latent) if space == 'z' else latent
        shape = (stylegan2.style_count(generator.resolution), generator.w_dim)
        ws = jnp.broadcast_to(ws, shape)
        noise = stylegan2.constant_noise(variables)
        image: Any = generator.apply(variables, ws[None], noise, method='synthesis')
        # Linear inside the range, with a slope that does not vanish outside.
        return framings.cut(_soft_clip(image[0]) * 127.5 + 127.5, framing)

    def see(variables, image):
        found, embedding = distances.of_image(apply, variables, input.normalize(image))
        length = jnp.sqrt(jnp.sum(jnp.square(embedding)) + 1e-12)
        return Seen(found, embedding / length)

    kind = f'{space}, psi {psi:g}' + (f', {framing}' if framing != 'face' else '')
    return Scene(render, see, to_latent, input, generator.z_dim, kind)


def _soft_clip(x):
    inside = jnp.clip(x, -1.0, 1.0)
    return inside + 0.01 * (x - inside)


def pictures(scene: Scene, variables: Any, image: jax.Array, key: jax.Array, count: int) -> Seen:
    """Evaluates one image several times, each time moved at random (`MOVED`).

    Args:
      scene: the scene with the target.
      variables: of the target.
      image: [R, R, 3] float32, 0 to 255.
      key: of the moves, a typed key.
      count: T, the number of pictures.

    Returns:
      `Seen`, every field with a leading axis of length T.
    """

    def look(image, key):
        return scene.see(variables, transform(key, image, scene.input, MOVED))

    images = jnp.broadcast_to(image, (count, *image.shape))
    return jax.vmap(look)(images, jax.random.split(key, count))


def transform(key: jax.Array, image: jax.Array, input: InputSpec, jitter: Jitter) -> jax.Array:
    """Returns the image at the target's size, moved a little at random.

    Args:
      key: a typed key.
      image: [R, R, 3] float32, 0 to 255.
      input: gives the size: the image is scaled to cover it and its middle is cut out.
      jitter: how far it is moved.

    Returns:
      [height, width, 3] float32.
    """
    # One draw for all, because random number generation is a large part of the compiled program.
    side, zoomed, down, right, lit = jax.random.uniform(key, (5,), minval=-1, maxval=1)
    size = jnp.asarray([input.height, input.width], jnp.float32)
    source = jnp.asarray(image.shape[:2], jnp.float32)
    if jitter.mirror:
        image = jnp.where(side < 0, image[:, ::-1], image)
    zoom = 1 + jitter.zoom * zoomed
    scale = jnp.max(size / source) * zoom
    shift = jitter.shift * size * jnp.stack([down, right])
    moved = jax.image.scale_and_translate(
        image,
        (input.height, input.width, 3),
        (0, 1),
        jnp.stack([scale, scale]),
        (size - source * scale) / 2 + shift,
        method='linear',
    )
    light = jitter.light * 255 * lit
    return moved + light
