"""A target: a backbone as data, independent of its file. All other code uses only this type."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.metrics.verification import MIRRORS
from fr_inference.models.answers import Answers

COLOURS = ('rgb', 'bgr')
ORIGINS = ('layout', 'given', 'assumed')

_MOST_PIXELS = 4096  # of one side


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The input convention of a backbone: it expects (image - mean) / std of values from 0 to 255.

    Attributes:
      height: in pixels, 1 to 4096.
      width: in pixels, 1 to 4096.
      mean: of each channel in the order of `colour`, on the scale 0 to 255.
      std: of each channel in the order of `colour`, above 0, on the scale 0 to 255.
      colour: order of the channels, 'rgb' or 'bgr'.
      mirror: how verification uses the embedding of the mirrored image: 'none', 'add' or 'concat'.

    Raises:
      InputError: for values outside these ranges.
    """

    height: int = 112
    width: int = 112
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    colour: str = 'rgb'
    mirror: str = 'add'

    def __post_init__(self):
        errors.one_of('colour', self.colour, COLOURS)
        errors.one_of('mirror', self.mirror, MIRRORS)
        for name in ('height', 'width'):
            if not 1 <= getattr(self, name) <= _MOST_PIXELS:
                raise errors.InputError(
                    name, f'{getattr(self, name)} pixels', f'1 to {_MOST_PIXELS}'
                )
        for name in ('mean', 'std'):
            values = getattr(self, name)
            fits = len(values) == 3 and all(map(math.isfinite, values))
            if not fits or (name == 'std' and min(values) <= 0):
                above = ' above 0' if name == 'std' else ''
                raise errors.InputError(name, values, f'three numbers{above}, one for each channel')

    def changed(self, changes: Mapping[str, Any]) -> 'InputSpec':
        """Returns the convention with some fields changed; another order also reorders mean and std.

        >>> InputSpec(mean=(1, 2, 3)).changed({'colour': 'bgr'}).mean
        (3, 2, 1)

        Raises:
          InputError: of 'input' for a name that is not a field, of a field for its value.
        """
        for name in changes:
            errors.one_of('input', name, [field.name for field in dataclasses.fields(self)])
        if changes.get('colour', self.colour) != self.colour:
            changes = {'mean': self.mean[::-1], 'std': self.std[::-1], **changes}
        return dataclasses.replace(self, **changes)

    @property
    def pixels(self) -> str:
        """Order and range of the channels, as a short text.

        >>> InputSpec(std=(128.0, 128.0, 128.0)).pixels
        'RGB, (v - 127.5) / 128'
        """

        def number(values):
            same = len(set(values)) == 1
            return f'{values[0]:g}' if same else f'({", ".join(f"{value:g}" for value in values)})'

        return f'{self.colour.upper()}, (v - {number(self.mean)}) / {number(self.std)}'

    def normalize(self, images: jax.Array) -> jax.Array:
        """Maps RGB images [..., H, W, 3] of any number type, 0 to 255, to the backbone's input.

        Returns float32 with the channels in the order of `colour`.

        >>> spec = InputSpec(height=1, width=1, colour='bgr')
        >>> spec.normalize(jnp.array([[[255, 127.5, 0]]])).tolist()
        [[[-1.0, 0.0, 1.0]]]
        """
        if self.colour == 'bgr':
            images = images[..., ::-1]
        mean = jnp.asarray(self.mean, jnp.float32)
        std = jnp.asarray(self.std, jnp.float32)
        return (images.astype(jnp.float32) - mean) / std


def origins(how: str, fields: Iterable[str] | None = None) -> dict[str, str]:
    """Returns how some fields of an `InputSpec` are known, all of them by default.

    >>> origins('given', ['colour'])
    {'colour': 'given'}
    """
    errors.one_of('how', how, ORIGINS)
    every = (field.name for field in dataclasses.fields(InputSpec))
    return dict.fromkeys(every if fields is None else fields, how)


Apply = Callable[[Any, jax.Array], jax.Array]
"""`apply(variables, images) -> embeddings`, the backbone in eval mode.

variables: the pytree of `Target.variables`, not changed.
images: [N, H, W, 3] float32, normalised by `InputSpec.normalize`; H and W are those of the input.
embeddings: [N, D] float32, of any norm. An image's embedding does not depend on the other images.

It is pure: it can be compiled, differentiated in either mode and mapped over images.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A backbone as data.

    Attributes:
      name: what reports call it.
      apply: computes embeddings, see `Apply`.
      variables: {'params': ..., 'batch_stats': ...}, float32 arrays; without BatchNorm there is no
        'batch_stats'. A custom `apply` may take any pytree.
      input: the images that it expects.
      origins: field of `input` -> how it is known: 'layout' (from names and shapes in the file, or its
        description), 'given' (by the user) or 'assumed'; an absent field is 'assumed'.
      architecture: name in `registry.VARIANTS`, or 'custom'.
      config: JSON-able overrides of that variant's hyper-parameters.
      module: the Linen module; None when only `apply` is known.
      sha256: digest of the file or of the variables, '' when unknown.
      recipe: how it was trained (JSON-able), None when unknown.
      notes: remarks of the reader (heads that were left out, changed dtypes), one line each.
      statistics: whether its BatchNorm layers keep statistics. If not, they only scale and shift, there
        is no 'batch_stats', and the file shows no statistics.
      answers: how embeddings are changed before anyone sees them.
    """

    name: str
    apply: Apply
    variables: Any
    input: InputSpec
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    architecture: str = 'custom'
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    module: nn.Module | None = None
    sha256: str = ''
    recipe: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    statistics: bool = True
    answers: Answers = dataclasses.field(default_factory=Answers)

    @property
    def convention(self) -> dict[str, Any]:
        """The fields of `input`, and under 'origins' how each is known, as `audit.json` holds them."""
        known = {**origins('assumed'), **self.origins}
        return {**dataclasses.asdict(self.input), 'origins': known}
