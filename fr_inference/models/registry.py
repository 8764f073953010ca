"""The table of backbones: name -> module, input, exact parameter count."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models import layers
from fr_inference.models.ir import IR
from fr_inference.models.iresnet import IResNet
from fr_inference.models.mobilefacenet import MobileFaceNet
from fr_inference.models.target import Apply, InputSpec, Target

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
      build: makes the module from keyword overrides of its hyper-parameters.
      input: the images that its published checkpoints expect.
      parameters: number of parameters, running statistics not counted.
    """

    build: Callable[..., nn.Module]
    input: InputSpec
    parameters: int


_IMAGENET = InputSpec(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
_NARROW = InputSpec(width=96, std=(128.0, 128.0, 128.0))


def _iresnet(depths, parameters):
    return Variant(functools.partial(IResNet, depths=depths), InputSpec(), parameters)


def _ir(depths, squeeze_excite, parameters):
    build = functools.partial(IR, depths=depths, squeeze_excite=squeeze_excite)
    return Variant(build, InputSpec(), parameters)


VARIANTS: dict[str, Variant] = {
    'iresnet18': _iresnet((2, 2, 2, 2), 24_025_600),
    'iresnet34': _iresnet((3, 4, 6, 3), 34_139_328),
    'iresnet50': _iresnet((3, 4, 14, 3), 43_590_848),
    'iresnet100': _iresnet((3, 13, 30, 3), 65_156_160),
    'iresnet200': _iresnet((6, 26, 60, 6), 118_833_920),
    'ir50': _ir((3, 4, 14, 3), False, 43_574_976),
    'ir100': _ir((3, 13, 30, 3), False, 65_129_792),
    'ir152': _ir((3, 8, 36, 3), False, 70_737_600),
    'irse50': _ir((3, 4, 14, 3), True, 43_797_696),
    'irse100': _ir((3, 13, 30, 3), True, 65_502_016),
    'irse152': _ir((3, 8, 36, 3), True, 71_148_736),
    'mobilefacenet_prelu': Variant(
        functools.partial(MobileFaceNet, form='prelu'), _NARROW, 999_552
    ),
    'mobilefacenet_relu6': Variant(
        functools.partial(MobileFaceNet, form='relu6'), _IMAGENET, 999_936
    ),
    'tiny': Variant(
        functools.partial(IResNet, depths=(1, 1, 1, 1), width=8, embedding=32),
        InputSpec(height=32, width=32),
        86_104,
    ),
}


def sized(spec: InputSpec, height: int, width: int) -> InputSpec:
    """Returns `spec` for images of another size, in pixels."""
    return dataclasses.replace(spec, height=height, width=width)


def build(name: str, /, **config: Any) -> nn.Module:
    """Returns the module `name` with `config` in place of its hyper-parameters.

    Args:
      name: in `VARIANTS`.
      **config: JSON-able overrides, e.g. `depths=[1, 1, 1, 1], width=24, dtype='bfloat16'`.

    Raises:
      InputError: for an unknown name, hyper-parameter or value.
    """
    errors.one_of('architecture', name, VARIANTS)
    variant = VARIANTS[name]
    module = variant.build()
    known = [
        field.name for field in dataclasses.fields(module) if field.name not in ('parent', 'name')
    ]
    for option, value in config.items():
        errors.one_of(f'hyper-parameter of {name}', option, known)
        if option == 'dtype':
            errors.one_of('dtype', value, DTYPES)
        elif option == 'depths':
            errors.require(
                isinstance(value, list | tuple)
                and len(value) == 4
                and all(type(depth) is int and depth >= 1 for depth in value)
                and sum(value) <= 128,
                f'depths: found {value!r}, expected four whole numbers above 0, 128 blocks at most',
            )
        elif option in ('width', 'embedding'):
            errors.require(
                type(value) is int and 1 <= value <= 8192,
                f'{option}: found {value!r}, expected a whole number from 1 to 8192',
            )
        elif option == 'norm':
            errors.one_of('norm', value, layers.NORMALIZATIONS)
    if 'dtype' in config:
        config = {**config, 'dtype': DTYPES[config['dtype']]}
    if 'depths' in config:
        config = {**config, 'depths': tuple(config['depths'])}
    return variant.build(**config)


def init(module: nn.Module, input: InputSpec, key: jax.Array) -> Any:
    """Returns fresh variables {'params', 'batch_stats'} of `module` for images like `input`."""
    image = jnp.zeros((1, input.height, input.width, 3), jnp.float32)
    return _initialiser(module)(key, image)


@functools.lru_cache(maxsize=32)
def _initialiser(module):
    return jax.jit(functools.partial(module.init, train=False))


def abstract_variables(module: nn.Module, input: InputSpec) -> Any:
    """Returns the variables' shapes and dtypes, without allocating or computing anything."""
    image = jax.ShapeDtypeStruct((1, input.height, input.width, 3), jnp.float32)
    return jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), image)


def count_parameters(variables: Any) -> int:
    """Returns the number of parameters (running statistics not counted)."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


@functools.lru_cache(maxsize=128)
def _apply_of(module: nn.Module) -> Apply:
    """One function for each module: what is compiled for one checkpoint serves all others of it."""

    def apply(variables: Any, images: jax.Array) -> jax.Array:
        return cast(jax.Array, module.apply(variables, images, train=False))

    return apply


def make_target(
    architecture: str,
    variables: Any,
    *,
    config: Mapping[str, Any] | None = None,
    input: InputSpec | None = None,
    name: str | None = None,
    **rest: Any,
) -> Target:
    """Returns the Target of a registered architecture.

    Targets of one module have the very same `apply`, so that they share compiled programs.

    Args:
      architecture: in `VARIANTS`.
      variables: of the module that `build(architecture, **config)` makes.
      config: overrides of the hyper-parameters.
      input: what images it expects; the variant's own by default.
      name: how reports call it; the architecture by default.
      **rest: further fields of `Target`.
    """
    config = dict(config or {})
    module = build(architecture, **config)
    return Target(
        name=name or architecture,
        apply=_apply_of(module),
        variables=variables,
        input=input or VARIANTS[architecture].input,
        architecture=architecture,
        config=config,
        module=module,
        **rest,
    )
