"""Procedural faces: any number of drawn people, with no photographs of real ones.

They are the same on any machine, except for single pixels that another compiler or processor rounds
differently.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors, rng
from fr_inference.data.drawn import drawing
from fr_inference.data.faces import Faces, pixel_digest

_CHUNK = 64
# Memory for drawn pictures, since several backbones often measure the same ones in turn
_KEPT_BYTES = 256 << 20
_MOST = 10_000_000  # images; each has a name in memory


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Difficulty:
    """How much people and pictures vary around the neutral one (0: all alike, 1: the whole range)."""

    identity: float
    nuisance: float


# 'easy': people differ clearly, so that a network that learned some of them also tells strangers apart.
# 'hard': people are similar and pictures are not, so that a network memorises a small set instead.
# 'studio': little but the people varies, so that a small generator learns to draw them sharply.
DIFFICULTIES = {
    'studio': Difficulty(identity=1.0, nuisance=0.1),
    'easy': Difficulty(identity=1.0, nuisance=0.4),
    'medium': Difficulty(identity=0.8, nuisance=0.7),
    'hard': Difficulty(identity=0.45, nuisance=1.0),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """A set of drawn faces.

    Attributes:
      difficulty: in `DIFFICULTIES`.
      people: how many.
      images: of each person.
      size: height and width, pixels.
      seed: of the whole population; people of different seeds are different people.
      first: number of the first person.
      start: number of the first image of each person.
    """

    difficulty: str = 'medium'
    people: int = 128
    images: int = 4
    size: int = 32
    seed: int = 0
    first: int = 0
    start: int = 0

    def __post_init__(self):
        errors.one_of('difficulty', self.difficulty, DIFFICULTIES)
        for name, low, high in (
            ('people', 1, _MOST),
            ('images', 1, _MOST),
            ('size', 8, 1024),
            ('seed', 0, 2**31 - 1),
            ('first', 0, 2**31 - 1),
            ('start', 0, 2**31 - 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise errors.InputError(name, value, f'{low} to {high}')
        if self.people * self.images > _MOST:
            raise errors.InputError(
                'images', f'{self.people} people x {self.images}', f'at most {_MOST} in all'
            )

    def __str__(self):
        rest = (f'{name}={value}' for name, value in dataclasses.asdict(self).items())
        return ','.join([self.difficulty, *list(rest)[1:]])


def parse(text: str, field: str = 'faces') -> Spec:
    """Reads `DIFFICULTY[,people=128][,images=4][,size=32][,seed=0][,first=0][,start=0]`.

    >>> parse('hard,people=8').people
    8
    """
    difficulty, *options = text.split(',')
    names = [field.name for field in dataclasses.fields(Spec)][1:]
    values = {}
    for option in options:
        name, _, value = option.partition('=')
        if name not in names or not value.isdecimal() or len(value) >= 20:
            raise errors.InputError(
                field,
                f'{option!r:.80}',
                f'NAME=NUMBER with a NAME among {", ".join(names)}',
                inside=f'procedural:{text:.80}',
            )
        values[name] = int(value)
    try:
        return Spec(difficulty=difficulty, **values)
    except errors.InputError as error:
        raise error.within(f'procedural:{text:.80}').within(field) from error


def sample_identity(key: jax.Array, difficulty: Difficulty) -> jax.Array:
    """Draws one person: [len(IDENTITY)] float32 in [0, 1]."""
    return _around_neutral(key, len(drawing.IDENTITY), difficulty.identity)


def sample_nuisance(key: jax.Array, difficulty: Difficulty) -> jax.Array:
    """Draws the circumstances of one picture: [len(NUISANCE)] float32 in [0, 1]."""
    return _around_neutral(key, len(drawing.NUISANCE), difficulty.nuisance)


def _around_neutral(key, count, spread):
    return 0.5 + spread * (jax.random.uniform(key, (count,)) - 0.5)


def draw(seed: int, person: jax.Array, image: jax.Array, difficulty: Difficulty, size: int):
    """Draws picture number `image` of person number `person`: [size, size, 3] uint8."""
    base = jax.random.key(seed)
    identity = sample_identity(jax.random.fold_in(rng.stream(base, 'person'), person), difficulty)
    shot = jax.random.fold_in(jax.random.fold_in(rng.stream(base, 'picture'), person), image)
    picture = drawing.render(identity, sample_nuisance(shot, difficulty), size)
    return jnp.round(picture).astype(jnp.uint8)


@functools.partial(jax.jit, static_argnames=('size',))
def _draw_chunk(seed, people, images, difficulty, size):
    return jax.vmap(draw, in_axes=(None, 0, 0, None, None))(seed, people, images, difficulty, size)


def faces(text: str, field: str = 'faces') -> Faces:
    """Returns the faces of a `parse`-able specification, drawn in chunks when first asked for.

    Person p's identity is `seed-p`, so that sets with different `first` share nobody.
    """
    spec = parse(text, field)
    difficulty = DIFFICULTIES[spec.difficulty]
    count = spec.people * spec.images
    person = spec.first + np.arange(count) // spec.images
    image = spec.start + np.arange(count) % spec.images

    @functools.lru_cache(maxsize=max(1, _KEPT_BYTES // (_CHUNK * spec.size**2 * 3)))
    def chunk(number: int) -> np.ndarray:
        # Always whole chunks: one compiled function, and the same pixels in any order.
        index = np.minimum(number * _CHUNK + np.arange(_CHUNK), count - 1)
        return np.asarray(
            _draw_chunk(spec.seed, person[index], image[index], difficulty, spec.size)
        )

    def read(index: int) -> np.ndarray:
        return chunk(index // _CHUNK)[index % _CHUNK]

    return Faces(
        name=f'procedural:{spec}',
        identities=tuple(f'{spec.difficulty}-{spec.seed}-{number}' for number in person),
        paths=tuple(f'procedural:{spec}#{index}' for index in range(count)),
        read=read,
        digest=lambda index: pixel_digest(read(index)),
    )
