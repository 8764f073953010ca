"""Measured images with known membership, and the choice of the people that an attack is fitted on.

Nobody is on both sides of an attack's fit and its evaluation.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import errors, rng
from fr_inference.measuring import measurements
from fr_inference.measuring.measurements import Measurements
from fr_inference.membership import logistic

LEAST_PEOPLE = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled(Measurements):
    """Measurements of N images, and which of them are members.

    Attributes:
      member: [N] bool.
      references: name -> the same images in a network that training may have started from, or in a
        similar one.
      blind: the same images in a backbone that never saw them.
    """

    member: np.ndarray
    references: Mapping[str, Measurements] = dataclasses.field(default_factory=dict)
    blind: Measurements | None = None

    @classmethod
    def of(
        cls,
        measured: Measurements,
        member: np.ndarray,
        references: Mapping[str, Measurements] | None = None,
        blind: Measurements | None = None,
    ) -> 'Labelled':
        """Returns measurements with their labels ([N] bool) and the measurements in other backbones."""
        own = {field.name: getattr(measured, field.name) for field in _MEASURED}
        member = np.asarray(member, bool)
        return cls(**own, member=member, references=references or {}, blind=blind)

    @property
    def log_distances(self) -> np.ndarray:
        """[N, L] float32."""
        return np.asarray(logistic.log_distances(self.distances))

    def select(self, rows: Sequence[int] | np.ndarray) -> 'Labelled':
        """Returns the images at `rows` (positions or a mask)."""
        chosen: Any = measurements.select(self, rows)
        return dataclasses.replace(
            chosen,
            member=self.member[np.asarray(rows)],
            references={
                name: measurements.select(one, rows) for name, one in self.references.items()
            },
            blind=measurements.select(self.blind, rows) if self.blind is not None else None,
        )

    def relabelled(self, member: np.ndarray) -> 'Labelled':
        """Returns the same images with other labels ([N] bool)."""
        return dataclasses.replace(self, member=np.asarray(member, bool))


_MEASURED = dataclasses.fields(Measurements)


def concat(first: Labelled, second: Labelled) -> Labelled:
    """Returns the images of both, measured in the same backbones."""
    whole: Any = measurements.concat(first, second)
    return dataclasses.replace(
        whole,
        member=np.concatenate([first.member, second.member]),
        references={
            name: measurements.concat(one, second.references[name])
            for name, one in first.references.items()
        },
        blind=measurements.concat(first.blind, second.blind)
        if first.blind is not None and second.blind is not None
        else None,
    )


def fit_half(
    identities: Sequence[str], member: np.ndarray, seed: int, *, least: int = LEAST_PEOPLE
) -> np.ndarray:
    """Draws the half of the people on which an attack is fitted; the others evaluate it.

    >>> names = ['a', 'a', 'b', 'b', 'c', 'd']
    >>> fit_half(names, np.array([True] * 4 + [False] * 2), seed=0, least=2).tolist()
    [False, False, True, True, True, False]

    Args:
      identities: of the N images.
      member: [N] bool.
      seed: of the draw.
      least: number of people that each side needs.

    Returns:
      [N] bool; members, non-members and people who are both are halved separately.

    Raises:
      InputError: when a side has fewer than `least` people.
    """
    member = np.asarray(member, bool)
    sides: dict[str, int] = {}
    for name, inside in zip(identities, member.tolist(), strict=True):
        sides[name] = sides.get(name, 0) | (1 if inside else 2)
    for side, label in ((1, 'members'), (2, 'nonmembers')):
        count = sum(bool(mask & side) for mask in sides.values())
        if count < least:
            raise errors.InputError(
                label,
                f'{count} people',
                f'{least} or more: the attack is fitted on half of them and judged on the others',
            )
    chosen: set[str] = set()
    for side in (1, 2, 3):
        people = sorted(name for name, mask in sides.items() if mask == side)
        order = rng.numpy_generator(seed, f'halves {side}').permutation(len(people))
        chosen |= {people[position] for position in order[: (len(people) + 1) // 2]}
    return np.array([name in chosen for name in identities])


def people_in(identities: Sequence[str], mask: np.ndarray) -> set[str]:
    """Returns the people of the images in `mask` ([N] bool).

    >>> sorted(people_in(['a', 'b', 'b'], np.array([False, True, True])))
    ['b']
    """
    return {name for name, inside in zip(identities, mask, strict=True) if inside}
