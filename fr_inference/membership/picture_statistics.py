"""The control without a backbone: how well plain statistics of the pictures tell members from strangers.

If members and strangers come from different sources, or were prepared differently, an attack finds
that difference and mistakes it for membership. A blind backbone with random weights may not see it,
but these statistics do: colour, contrast, sharpness. "Blind baselines" of this kind beat many
published attacks (Das, Zhang & Tramèr 2024, arXiv 2406.16201).
"""

import jax.numpy as jnp
import numpy as np

from fr_inference.measuring.features import Feature
from fr_inference.membership import attack
from fr_inference.membership.attack import Attack, Examples


def _statistics(look, network):
    """Mean and spread of each channel, sharpness along both axes, and shares of black and white."""
    image = look.image
    grey = image.mean(-1)
    sharpness = [jnp.log1p(jnp.abs(jnp.diff(grey, axis=axis)).mean()) for axis in (0, 1)]
    fine = (
        grey[1:-1, 1:-1] - (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]) / 4
    )
    clipped = [(grey < 2).mean(), (grey > 253).mean()]
    return jnp.concatenate(
        [
            image.mean((0, 1)) / 255,
            jnp.log1p(image.std((0, 1))),
            jnp.stack([*sharpness, jnp.log1p(jnp.abs(fine).mean()), *clipped]),
        ]
    )


FEATURE = Feature('pictures', _statistics)


def _of_images(images, fit, seed):
    values = images.extra.get(FEATURE.name)
    return None if values is None else attack.of_images(images, fit, values)


def _of_people(images, fit, seed):
    """The means over each person's images; a person on both sides counts as two."""
    rows: dict[tuple[str, bool], list[int]] = {}
    for row, name in enumerate(images.identities):
        rows.setdefault((name, bool(images.member[row])), []).append(row)
    several = {person: own for person, own in sorted(rows.items()) if len(own) > 1}
    values = images.extra.get(FEATURE.name)
    if not several or values is None:
        return None
    return Examples(
        names=tuple(name for name, _ in several),
        member=np.array([member for _, member in several], bool),
        features=np.stack([values[own].mean(0) for own in several.values()]).astype(np.float64),
        fit=np.array([fit[own[0]] for own in several.values()], bool),
    )


def control(unit: str) -> Attack:
    """Returns the attack on pictures alone, for the unit 'image' or 'person'."""
    return Attack(
        name='pictures',
        title='Pictures alone',
        source='after Das, Zhang & Tramèr 2024, arXiv 2406.16201',
        access='answers',
        unit=unit,
        needs='nothing',
        examples=_of_people if unit == 'person' else _of_images,
        settings=('partial',),
        measured=(FEATURE,),
    )
