"""The compiled parts of the programs, traced with shapes instead of numbers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import config, devices, rng
from fr_inference.benchmarking import chips
from fr_inference.config import Latents, Recipe
from fr_inference.inversion import candidate, goals
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.candidate import Constants, Optimiser
from fr_inference.inversion.guidance import Guide
from fr_inference.inversion.prior import Prior
from fr_inference.measuring import distances, measurements
from fr_inference.measuring.features import Feature
from fr_inference.membership.logistic import Logistic
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.training import recognizer
from fr_inference.training.private_step import Mechanism

On = Sequence[jax.Device]


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of some size on some devices.

    Attributes:
      function: `jax.jit` or `jax.pmap` of something.
      arguments: their shapes.
    """

    function: Any
    arguments: tuple[Any, ...]

    def lower(self) -> Any:
        """Returns the traced program, ready to be compiled."""
        return self.function.lower(*self.arguments)


def scoring(target: Target, features: Sequence[Feature], on: On, size: int) -> Program:
    """Returns the program of `measurements.measure` for `size` images per device."""
    score, _, count = measurements.measurer(target, on=tuple(on), features=features)
    shape = (size * count, target.input.height, target.input.width, 3)
    return Program(score.program, (target.variables, _shape(shape, jnp.uint8)))


def scoring_flops(target: Target) -> float | None:
    """Returns the operations of one image."""

    def one(variables, image):
        return distances.of_image(target.apply, variables, target.input.normalize(image))

    image = _shape((target.input.height, target.input.width, 3), jnp.uint8)
    return chips.flops(jax.jit(one), target.variables, image)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searching:
    """A generator before a backbone.

    Attributes:
      target: the backbone.
      generator: before it.
      how: the options.
      term: of the goal, in `goals.TERMS`.
      watched: whether the membership attack's logit is computed, for guidance or only to record it.
    """

    target: Target
    generator: Trained
    how: Latents
    term: str
    watched: bool

    def looks(self, on: On, size: int) -> Program:
        """Returns the first evaluation of `size` random latents per device."""
        function, _, count = devices.per_candidate(self._looking(), on)
        return Program(function, (self.constants, _shape((count, size), jnp.int32)))

    def steps(self, on: On, size: int) -> Program:
        """Returns one step of `size` candidates per device."""
        function, _, count = devices.per_candidate(self._advancing(), on)
        many = jax.tree.map(
            lambda leaf: _shape((count, size, *leaf.shape), leaf.dtype), self._candidate()
        )
        return Program(function, (self.constants, many))

    def look_flops(self) -> float | None:
        """Returns the operations of one look."""
        return chips.flops(jax.jit(self._looking()), self.constants, _shape((), jnp.int32))

    def step_flops(self) -> float | None:
        """Returns the operations of one candidate's step."""
        return chips.flops(jax.jit(self._advancing()), self.constants, self._candidate())

    @property
    def _scene(self):
        how = self.how
        return scenes.make(
            self.generator.module,
            self.target,
            space=how.space,
            psi=how.psi,
            framing=how.framing,
        )

    @property
    def _optimiser(self):
        how = self.how
        return Optimiser(name=how.optimiser, learning_rate=how.learning_rate, steps=how.steps)

    def _looking(self):
        return candidate.first_look(self._scene, self.how.pictures)

    def _advancing(self):
        pictures = self.how.pictures
        return candidate.advancing(self._scene, pictures, self.term, self._optimiser, 1)

    def _candidate(self):
        """Shapes of a candidate's state."""
        wanted = _shape((distances.embedding_size(self.target),), jnp.float32)
        begin = candidate.beginning(self._scene, self._optimiser)
        return jax.eval_shape(begin, self.constants, (_shape((), jnp.int32), wanted))

    @property
    def constants(self) -> Constants:
        """Shapes of the constants that all candidates share."""
        z = _shape((self._scene.z_dim,), jnp.float32)
        latent = jax.eval_shape(self._scene.to_latent, self.generator.variables, z)
        width = latent.shape[-1]
        square, layers = _numbers(width, width), len(distances.layer_names(self.target))
        return Constants(
            generator=self.generator.variables,
            target=self.target.variables,
            prior=Prior(mean=_numbers(width), white=square, colour=square),
            guide=_guide(layers) if self.watched and layers else None,
            key=jax.eval_shape(lambda: rng.stream(jax.random.key(0), 'search')),
            weights={'strength': _numbers(), 'prior': _numbers()},
        )


def _guide(layers: int) -> Guide:
    each = _numbers(layers)
    attack = Logistic(mean=each, std=each, weights=each, bias=_numbers())
    return Guide(attack=attack, level=_numbers(), mean=each, precision=_numbers(layers, layers))


def goal_of(search: config.Search) -> str:
    """Returns the term of a search's goal."""
    return 'cosine' if search.goal == 'centres' else goals.membership(search.membership).term


def training(
    recipe: Recipe, target: Target, classes: int, per_epoch: int, on: On, size: int
) -> Program:
    """Returns a step of the recognizer's training with `size` images per device."""
    count = size * len(on)
    with devices.using(on):
        mesh = devices.training_mesh(count)
    # Steps depend only on shapes, and zeros take no time to draw.
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), target.variables)
    step, state = recognizer.first_step(
        recipe,
        dataclasses.replace(target, variables=zeros),
        classes=classes,
        per_epoch=per_epoch,
        mesh=mesh,
        mechanism=Mechanism(1.0, 1.0, count) if recipe.private else None,
    )
    spec = target.input
    labels = _shape((count,), jnp.int32)
    batch: tuple[Any, ...]
    batch = _shape((count, spec.height, spec.width, 3), jnp.uint8), labels, labels
    if recipe.private:  # as if each were a unit of its own
        images, ids = (_shape((count, 1, *leaf.shape[1:]), leaf.dtype) for leaf in batch[::2])
        batch = images, labels, ids, _shape((count, 1), jnp.bool_)
    like = jax.tree.map(lambda leaf: _shape(leaf.shape, leaf.dtype), state)
    return Program(step, (like, batch, _shape((), jnp.int32)))


def training_flops(make: Callable[[On, int], Program], size: int) -> float | None:
    """Returns the operations of one image of a training step of `size` images."""
    host = chips.host()
    if host is None:
        return None
    program = make((host,), size)
    found = chips.flops(program.function, *program.arguments)
    return None if found is None else found / size


def _shape(shape, dtype):
    return jax.ShapeDtypeStruct(shape, dtype)


def _numbers(*shape):
    return _shape(shape, jnp.float32)
