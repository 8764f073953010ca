"""Input conventions that face backbones are known to expect: the order of colours, and their range."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fr_inference.models.target import COLOURS, InputSpec

# Mean and std of R, G, B: insightface's, facenet's, 0 to 1, 0 to 255, and torchvision's of ImageNet.
COMMON = (
    ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    ((127.5, 127.5, 127.5), (128.0, 128.0, 128.0)),
    ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
)
# Half the range, centred pixels, and Caffe's for VGGFace2.
RARE = (
    ((127.5, 127.5, 127.5), (255.0, 255.0, 255.0)),
    ((127.5, 127.5, 127.5), (1.0, 1.0, 1.0)),
    ((131.0912, 103.8827, 91.4953), (1.0, 1.0, 1.0)),
)

_ALIKE = 0.02


def of(spec: InputSpec, *, rare: bool = False) -> tuple[InputSpec, ...]:
    """Returns a convention, then every other plausible one of its size, none nearly equal to another.

    Args:
      spec: the convention in use.
      rare: whether to include `RARE` ones. The more are compared by a noisy figure, the more likely
        one is best by chance.

    >>> [one.pixels for one in of(InputSpec())][:4]
    ['RGB, (v - 127.5) / 127.5', 'BGR, (v - 127.5) / 127.5', 'RGB, (v - 0) / 255', 'BGR, (v - 0) / 255']
    """
    found, known = [spec], (*COMMON, *(RARE if rare else ()))
    ranges = [dataclasses.replace(spec, colour='rgb', mean=mean, std=std) for mean, std in known]
    for one in (spec, *ranges):
        for colour in COLOURS:
            other = one.changed({'colour': colour})
            if not any(alike(other, before) for before in found):
                found.append(other)
    return tuple(found)


def alike(one: InputSpec, other: InputSpec) -> bool:
    """Returns whether black and white each differ by at most 2 % of the range, as with 127.5 and 128."""
    if one.colour != other.colour:
        return False
    ends = np.array([[0.0], [255.0]])
    first, second = ((ends - spec.mean) / spec.std for spec in (one, other))
    return bool((np.abs(first - second) <= _ALIKE * (first[1] - first[0])).all())


def passed(spec: InputSpec, names: Sequence[str]) -> str:
    """Returns some fields as options of a program.

    >>> passed(InputSpec(colour='bgr'), ['colour', 'std'])
    'colour=bgr std=127.5,127.5,127.5'
    """

    def text(value):
        return value if isinstance(value, str) else ','.join(f'{one:g}' for one in value)

    return ' '.join(f'{name}={text(getattr(spec, name))}' for name in names)
