"""The table of backbones: name -> module, input, exact parameter count."""

import contextlib
import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models import backbones, variants
from fr_inference.models.answers import Answers
from fr_inference.models.target import Apply, InputSpec, Target
from fr_inference.models.variants import Variant

DTYPES = variants.DTYPES


def discover() -> dict[str, Variant]:
    """Returns the variants of every file in `models/backbones`, sorted by file, in the file's order."""
    found: dict[str, Variant] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(backbones.__path__)):
        family = importlib.import_module(f'{backbones.__name__}.{name}')
        twice = sorted(found.keys() & family.VARIANTS)
        assert not twice, f'{family.__name__}: another file has variants of these names: {twice}'
        found |= family.VARIANTS
    return found


VARIANTS: dict[str, Variant] = discover()


def sized(spec: InputSpec, height: int, width: int) -> InputSpec:
    """Returns `spec` for images of another size, in pixels."""
    return dataclasses.replace(spec, height=height, width=width)


def build(name: str, /, **config: Any) -> nn.Module:
    """Returns the module of a variant, with some hyper-parameters replaced.

    Args:
      name: in `VARIANTS`.
      **config: JSON-able overrides, e.g. `depths=[1, 1, 1, 1], width=24, dtype='bfloat16'`.

    Raises:
      InputError: for an unknown name, hyper-parameter or value.
    """
    errors.one_of('architecture', name, VARIANTS)
    variant = VARIANTS[name]
    return variant.build(**variants.resolve(name, variant.build(), config))


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
    return jax.eval_shape(_initialiser(module), jax.random.key(0), image)


def count_parameters(variables: Any) -> int:
    """Returns the number of parameters (running statistics not counted)."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


@functools.lru_cache(maxsize=128)
def _apply_of(module: nn.Module, statistics: bool = True, answers: Answers | None = None) -> Apply:
    """Returns one function per module, so that all its checkpoints share traces and programs."""

    @jax.jit
    def apply(variables: Any, images: jax.Array) -> jax.Array:
        with contextlib.nullcontext() if statistics else nn.intercept_methods(_affine):
            embeddings = cast(jax.Array, module.apply(variables, images, train=False))
        return answers(embeddings) if answers else embeddings

    return apply


def _affine(call, arguments, keywords, context):
    """Computes a BatchNorm layer whose statistics were folded into its scale and bias."""
    layer = context.module
    if not isinstance(layer, nn.BatchNorm) or context.method_name != '__call__':
        return call(*arguments, **keywords)
    given = arguments[0] if arguments else keywords['x']
    scale, bias = (
        jnp.asarray(layer.get_variable('params', name), jnp.float32) for name in ('scale', 'bias')
    )
    return (given.astype(jnp.float32) * scale + bias).astype(layer.dtype or given.dtype)


def without_statistics(abstract: Any) -> Any:
    """Returns the shapes of a module's variables once its statistics are folded away.

    Every BatchNorm layer then has a scale and a bias, even if it had neither.
    """

    def folded(params, statistics):
        if 'mean' in statistics and not isinstance(statistics['mean'], Mapping):
            return {**params, 'scale': statistics['mean'], 'bias': statistics['mean']}
        below = {name: folded(params.get(name, {}), inside) for name, inside in statistics.items()}
        return {**params, **below}

    return {'params': folded(abstract['params'], abstract.get('batch_stats', {}))}


def make_target(
    architecture: str,
    variables: Any,
    *,
    config: Mapping[str, Any] | None = None,
    input: InputSpec | None = None,
    name: str | None = None,
    statistics: bool = True,
    answers: Answers | None = None,
    **rest: Any,
) -> Target:
    """Returns the Target of a registered architecture.

    Targets with equal modules have the same `apply` function, so that they share compiled programs.

    Args:
      architecture: in `VARIANTS`.
      variables: of the module that `build(architecture, **config)` makes.
      config: overrides of the hyper-parameters.
      input: the images that it expects; those of the variant by default.
      name: what reports call it; the architecture by default.
      statistics: as in `Target`; if False, the variables are those of `without_statistics`.
      answers: as in `Target`.
      **rest: further fields of `Target`.
    """
    config = dict(config or {})
    module = build(architecture, **config)
    return Target(
        name=name or architecture,
        apply=_apply_of(module, statistics, answers or Answers()),
        statistics=statistics,
        answers=answers or Answers(),
        variables=variables,
        input=input or VARIANTS[architecture].input,
        architecture=architecture,
        config=config,
        module=module,
        **rest,
    )


def remade(target: Target, **changes: Any) -> Target:
    """Returns a registered target with some fields changed and a new `apply` function.

    Args:
      target: of a registered architecture.
      **changes: fields of `Target`.
    """
    own = {field.name: getattr(target, field.name) for field in dataclasses.fields(Target)}
    own |= changes
    for name in ('apply', 'module'):
        del own[name]
    return make_target(own.pop('architecture'), own.pop('variables'), **own)
