"""What an attack is: facts about it, and a pure function from measured images to examples."""

import dataclasses
from collections.abc import Callable

import numpy as np

from fr_inference import errors
from fr_inference.measuring.features import Feature
from fr_inference.membership.comparison import ACCESS, SETTINGS, UNITS
from fr_inference.membership.labelled import Labelled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """What the attack model is fitted on and judged on, one row for each image or person.

    Attributes:
      names: [E] identities; intervals resample them.
      member: [E] bool.
      features: [E, F] floats.
      fit: [E] bool, the examples that the model is fitted on; the others evaluate it.
      access: what the features were made of, where that depends on the backbone; None for what the
        attack declares.
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
      references: whether the attacker also has reference networks, which the training may have started
        from, or that resemble the target.
      unit: what is judged: an 'image' or a 'person' with several images.
      needs: what it cannot run without, for the line that says why it did not.
      examples: (images, fit [N] bool, seed) -> the examples, or None where `needs` is not there. Must
        not mix images in `fit` with others, and where the unit is an image must give one example for
        each image, in order; then labels that the attacker does not know read False.
      settings: what the attacker may know, in `comparison.SETTINGS`.
      signs: for the setting 'strangers': +1 for each feature that is higher for members, -1 where it is
        lower, 0 where that is not known beforehand; a single number stands for all.
      measured: what it needs of each image beyond distances and embedding.
      passes: how many further passes through the backbone that takes; with any, it is run only when it
        is asked for.
      layers: whether `needs` is BatchNorm layers, so that it is known beforehand whether it can be run.
      combines: whether its features are the logits of all other attacks on images that are run and
        take no more access; it has no `examples` of its own.
      parts: those attacks, filled in by `attacks.chosen`.
      own: whether it is the user's own, filled in by `attacks.get`: what it raises is told as its fault.
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
        """Whether everything that it must see is seen by `other`."""
        seen = other.access == 'file' or self.access == 'answers'
        return seen and (other.references or not self.references)


def of_images(images: Labelled, fit: np.ndarray, features: np.ndarray) -> Examples:
    """Returns one example for each image, of features [N, F]."""
    return Examples(names=images.identities, member=images.member, features=features, fit=fit)
