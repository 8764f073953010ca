"""The definition of an attack: its properties, and a pure function from measured images to examples."""

import dataclasses
from collections.abc import Callable

import numpy as np

from fr_inference import errors
from fr_inference.measuring.features import Feature
from fr_inference.membership.comparison import ACCESS, SETTINGS, UNITS
from fr_inference.membership.labelled import Labelled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples that an attack is fitted and judged on, one row for each image or person.

    Attributes:
      names: [E] identities; intervals resample them.
      member: [E] bool.
      features: [E, F] floats.
      fit: [E] bool, the examples that the model is fitted on; the others evaluate it.
      access: the access that the features needed, if that depends on the backbone; None for the
        attack's declared access.
    """

    names: tuple[str, ...]
    member: np.ndarray
    features: np.ndarray
    fit: np.ndarray
    access: str | None = None

    @property
    def enough(self) -> bool:
        """Whether each side has two or more people to fit on, and two or more to judge."""
        names = np.asarray(self.names)
        return all(
            len(set(names[half & side].tolist())) >= 2
            for half in (self.fit, ~self.fit)
            for side in (self.member, ~self.member)
        )


def _nothing(images, fit, seed):
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """An attack; `attacks` finds one in each of its files.

    Attributes:
      name: in options and `audit.json`, such as 'bn-distance'.
      title: in reports, such as 'BatchNorm distances'.
      source: the paper, 'after X' where this is our reading of it.
      access: what the attacker sees: 'file' (weights and statistics) or 'answers' (embeddings).
      references: whether the attacker also has reference networks: networks that training may have
        started from, or similar ones.
      unit: what is judged: an 'image' or a 'person' with several images.
      needs: what it cannot run without, in words, for the report.
      examples: (images, fit [N] bool, seed) -> the examples, or None if `needs` is missing. It must
        not mix images in `fit` with others. If the unit is an image, it must give one example for
        each image, in order; labels that the attacker does not know are then False.
      settings: what the attacker may know, in `comparison.SETTINGS`.
      signs: for the setting 'strangers', one for each feature or one for all: +1 if it is higher
        for members, -1 if lower, 0 if that is not known beforehand.
      measured: what it needs for each image besides distances and embedding.
      passes: the number of further passes through the backbone for that; if above 0, the attack is
        run only on request.
      layers: whether `needs` means BatchNorm layers, so that it is known beforehand whether it can run.
      combines: whether its features are the logits of all other attacks on images that are run and
        need no more access; it then has no `examples` of its own.
      parts: those attacks, filled in by `attacks.chosen`.
      own: whether it is the user's own, filled in by `attacks.get`; its exceptions are then
        reported as errors of the attack.
    """

    name: str
    title: str
    source: str
    access: str
    unit: str
    needs: str
    examples: Callable[[Labelled, np.ndarray, int], Examples | None] = _nothing
    references: bool = False
    settings: tuple[str, ...] = ('partial', 'auxiliary')
    signs: tuple[float, ...] = ()
    measured: tuple[Feature, ...] = ()
    passes: int = 0
    layers: bool = False
    combines: bool = False
    parts: tuple['Attack', ...] = ()
    own: bool = False

    def __post_init__(self) -> None:
        errors.one_of('access', self.access, ACCESS)
        errors.one_of('unit', self.unit, UNITS)
        for setting in self.settings:
            errors.one_of('settings', setting, SETTINGS)
        if self.unit == 'person' and 'auxiliary' in self.settings:
            raise errors.InputError(
                'settings',
                'auxiliary',
                "others: a shadow's attacks are on images",
                inside=self.name,
            )
        if ('strangers' in self.settings) != any(self.signs):
            raise errors.InputError(
                'signs', self.signs, "signs of the features, for the setting 'strangers' only"
            )

    def takes_no_more_than(self, other: 'Attack') -> bool:
        """Whether it needs no more access than `other`."""
        seen = other.access == 'file' or self.access == 'answers'
        return seen and (other.references or not self.references)


def of_images(images: Labelled, fit: np.ndarray, features: np.ndarray) -> Examples:
    """Returns one example for each image, with features [N, F]."""
    return Examples(names=images.identities, member=images.member, features=features, fit=fit)
