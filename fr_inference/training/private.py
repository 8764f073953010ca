"""Training with differential privacy: who takes part in each step, and the guarantee.

DP-SGD (Abadi et al., arXiv 1607.00133): the gradient of each unit is clipped to a norm, and Gaussian
noise is added to their sum. A unit is an image, or a person with all their images (user-level privacy:
McMahan et al., arXiv 1710.06963; for embeddings of faces, Xu et al., arXiv 2211.10844). Each unit takes
part in a step with the same probability, independently of the others (Poisson sampling). The batch is
padded to the largest sample that the run will draw. No sample is truncated, as the accountant assumes.

What epsilon covers: the weights of the backbone after any step, and the class centres, which are trained
in the same way. Two sets are neighbours when they differ by the images of one unit. Mirrored and erased
copies of an image belong to its unit; two files of the same photograph are two units.

What it does not cover:
- the checkpoint that training starts from, which is assumed to be public;
- the numbers of images and people, and which people have a class centre;
- the loss and accuracy shown while training, which target.json does not record, and the figures of
  `--audit_every` (leak.json), which are measured on the training images;
- members.csv, which lists the training images, and `state/`, which holds the secret of the draws.
  Do not publish any of these files.

As in other libraries, the draws are pseudo-random and the noise is float32, while the theory assumes
ideal ones.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from fr_inference import errors, rng, runs
from fr_inference.config import Recipe
from fr_inference.models.target import Target
from fr_inference.training import private_accounting
from fr_inference.training.private_step import Mechanism

# Largest number of images of one person in a step; of more, a random choice takes part. It bounds the
# padding if a few people have most of the images.
MOST_OF_A_PERSON = 16


def checked(recipe: Recipe, target: Target) -> Target:
    """Checks that the recipe can train the backbone, and returns it.

    Raises:
      InputError: of 'norm', for a backbone with BatchNorm: its statistics mix the images of a batch,
        without clipping or noise.
    """
    if recipe.private and target.variables.get('batch_stats'):
        raise errors.InputError(
            'norm',
            f'BatchNorm in {target.name}, whose statistics no noise protects',
            'group, layer or instance, in an architecture that has them (iresnet..., mobilefacenet...)',
        )
    return target


def new_secret(recipe: Recipe) -> np.ndarray:
    """Returns the seed of a training's draws, [4] uint32.

    It comes from the operating system, because anyone who knows the noise can remove it. The recipe's
    `noise_seed` makes it repeatable.
    """
    if recipe.noise_seed is not None:
        return rng.numpy_generator(recipe.noise_seed, 'private draws').integers(
            2**32, size=4, dtype=np.uint32
        )
    drawn: np.ndarray = runs.by_first(lambda: np.frombuffer(os.urandom(16), np.uint32).copy())
    return drawn


@dataclasses.dataclass(frozen=True)
class Plan:
    """A private training's units and noise.

    Attributes:
      recipe: how to train.
      units: positions of the images of each unit.
      most: largest number of images of one person.
      sampling: probability that a unit takes part in a step, above 0, at most 1.
      steps: of the whole training.
      noise_multiplier: standard deviation of the noise over the clipping norm.
      delta: of the guarantee.
    """

    recipe: Recipe
    units: Sequence[np.ndarray]
    most: int
    sampling: float
    steps: int
    noise_multiplier: float
    delta: float

    @property
    def width(self) -> int:
        """Largest number of images of a unit in a step."""
        return min(MOST_OF_A_PERSON, max(map(len, self.units)))

    @property
    def expected(self) -> float:
        """The average number of units in a step, by which the noised sum is divided."""
        return self.sampling * len(self.units)

    @property
    def mechanism(self) -> Mechanism:
        """How the sum of a step is made private."""
        return Mechanism(self.recipe.clip_norm, self.noise_multiplier, self.expected)

    def epsilon(self, steps: int) -> float | None:
        """Returns the epsilon spent by some steps; None if the draws can be repeated."""
        if self.recipe.noise_seed is not None:
            return None
        return private_accounting.epsilon(
            noise_multiplier=self.noise_multiplier,
            sampling=self.sampling,
            steps=steps,
            delta=self.delta,
        )

    def guarantee(self, steps: int) -> dict[str, Any]:
        """Returns the guarantee that a checkpoint records after some steps, ready for JSON."""
        spent = self.epsilon(steps)
        return {
            'unit': self.recipe.privacy_unit,
            'epsilon': spent,
            'delta': self.delta,
            'noise_multiplier': self.noise_multiplier,
            'clip_norm': self.recipe.clip_norm,
            'sampling': self.sampling,
            'steps': steps,
            'images_of_a_person': self.most,
            'accountant': None if spent is None else private_accounting.name(),
        }

    def draws(self, secret: np.ndarray) -> 'Draws':
        """Returns who takes part in each step; `secret` is from `new_secret`."""
        # First each sample's size, then its units. That is Poisson sampling with a known largest size.
        sizes = _generator(secret, 0).binomial(len(self.units), self.sampling, self.steps)
        return Draws(self, secret, sizes)


@dataclasses.dataclass(frozen=True)
class Draws:
    """Who takes part in each step.

    Attributes:
      plan: of the training.
      secret: the seed of the draws, [4] uint32.
      sizes: [steps] number of units in each step.
    """

    plan: Plan
    secret: np.ndarray
    sizes: np.ndarray

    @property
    def largest(self) -> int:
        """The largest number of units in a step; 1 if there is no step."""
        return max(1, int(self.sizes.max(initial=0)))

    def positions(self, step: int, count: int) -> np.ndarray:
        """Returns the images of a step.

        Args:
          step: from 0.
          count: number of rows; absent units fill the rest.

        Returns:
          [count, width] int32 positions, -1 where there is no image.
        """
        plan, draw = self.plan, _generator(self.secret, 1 + step)
        chosen = draw.choice(len(plan.units), self.sizes[step], replace=False, shuffle=False)
        found = np.full((count, plan.width), -1, np.int32)
        for row, unit in enumerate(chosen.tolist()):
            own = plan.units[unit]
            if len(own) > plan.width:
                own = draw.choice(own, plan.width, replace=False, shuffle=False)
            found[row, : len(own)] = own
        return found

    def reader(
        self, step: int, count: int, images: Callable[[np.ndarray], np.ndarray], labels: np.ndarray
    ) -> Callable[[slice], tuple[np.ndarray, ...]]:
        """Returns a function of a slice of rows that reads them from a step's batch (`private_step`).

        Args:
          step: from 0.
          count: rows of the batch.
          images: positions [n] -> images [n, H, W, 3] uint8.
          labels: [N] int32 of all images.
        """
        positions = self.positions(step, count)

        def read(rows):
            own = positions[rows]
            there = own >= 0
            found = images(own[there]) if there.any() else images(np.zeros(1, np.int32))[:0]
            pictures = np.zeros((*own.shape, *found.shape[1:]), np.uint8)
            pictures[there] = found
            known = np.maximum(own, 0)
            return pictures, labels[known[:, 0]], known, there

        return read


def plan(recipe: Recipe, people: np.ndarray, batch_size: int, steps: int) -> Plan:
    """Returns the plan of a private training.

    Args:
      recipe: how to train; if it gives epsilon, the noise is calibrated to it.
      people: [N] int32, the person of each image.
      batch_size: average number of images in a step, at most N (fewer if people have more than
        `MOST_OF_A_PERSON` images).
      steps: of the whole training.

    Raises:
      InputError: of 'epsilon', when dp-accounting is not installed or no noise reaches it.
    """
    images = np.arange(len(people), dtype=np.int32)
    ends = np.cumsum(np.bincount(people))[:-1]
    persons = np.split(images[np.argsort(people, kind='stable')], ends)
    units = persons if recipe.privacy_unit == 'person' else list(images[:, None])
    delta = 1 / len(units) if recipe.delta is None else recipe.delta
    sampling = batch_size / len(people)
    noise = recipe.noise_multiplier
    if noise is None:
        asked = cast(float, recipe.epsilon)
        noise = private_accounting.noise_for(asked, sampling=sampling, steps=steps, delta=delta)
    made = Plan(recipe, units, max(map(len, persons)), sampling, steps, noise, delta)
    made.epsilon(0)  # fail now if the accountant is not installed
    return made


def _generator(secret, number):
    return np.random.default_rng([*secret.tolist(), number])
