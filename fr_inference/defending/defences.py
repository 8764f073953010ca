"""Defences before release: each gives a target that reveals less about its training.

An audit of the result measures how much a defence helps and costs. A defence of the statistics, for
example, does not affect the attacks on embeddings.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors, rng
from fr_inference.data import sources
from fr_inference.defending import folding
from fr_inference.measuring import distances, statistics
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.weights.descriptions import naming

Defended = tuple[Target, list[str]]
"""(the target, remarks of one line each)."""


def refresh(target: Target, faces: str, seed: int, **reading: Any) -> Defended:
    """Measures the statistics again on other faces (AdaBN, Li et al. 2016, arXiv 1603.04779).

    Args:
      target: with BatchNorm statistics.
      faces: a source for `sources.open_faces`, with none of the people to be protected.
      seed: of the order of the images.
      **reading: of `sources.open_faces`.
    """
    _statistics(target)
    opened = sources.open_faces(faces, 'defence', **reading)
    order = rng.numpy_generator(seed, 'refresh').permutation(len(opened))
    variables = statistics.measured(target, opened.select(order))
    return registry.remade(target, variables=variables), [
        f'statistics measured again on {len(opened)} images of {len(set(opened.identities))} people'
    ]


def noise(target: Target, strength: str, seed: int) -> Defended:
    """Adds noise: mean + S sqrt(var) n and var exp(S n'), n and n' from a normal distribution."""
    size = _number('noise', strength)

    def noisy(path, mean, var):
        generator = rng.numpy_generator(seed, f'noise {path}')
        first, second = generator.standard_normal((2, mean.size))
        return mean + size * np.sqrt(var) * first, var * np.exp(size * second)

    return _changed(target, noisy), []


def rounded(target: Target, bits: str, seed: int) -> Defended:
    """Rounds the means of each layer, and the logarithms of its variances, to 2^bits levels."""
    count = int(_number('round', bits))

    def coarse(values):
        low, high = values.min(), values.max()
        step = (high - low) / (2**count - 1)
        return values if step == 0 else low + np.round((values - low) / step) * step

    def change(path, mean, var):
        return coarse(mean), np.exp(coarse(np.log(np.maximum(var, 1e-30))))

    return _changed(target, change), []


def fold(target: Target, nothing: str, seed: int) -> Defended:
    """Folds the statistics into the kernels before them, see `folding.fold`."""
    folded, left = folding.fold(target)
    shown = f': {", ".join(left)}' if left else ''
    return folded, [
        f'{len(left)} layers keep a scale and a bias, because no convolution is directly before '
        f'them{shown}'
    ]


def strip(target: Target, nothing: str, seed: int) -> Defended:
    """Reduces every BatchNorm layer to scale and bias, see `folding.strip`."""
    return folding.strip(target), []


def _answers(field: str, name: str) -> Callable[[Target, str, int], Defended]:
    def change(target: Target, value: str, seed: int) -> Defended:
        """Changes embeddings before anybody sees them, see `answers.Answers`."""
        given = True if name in _VALUELESS else _number(name, value)
        if field == 'largest' and given >= (width := distances.embedding_size(target)):
            raise errors.InputError(
                'defence', f'{name}:{value}', f'fewer than the {width} numbers of an embedding'
            )
        with naming('defence'):
            answers = dataclasses.replace(target.answers, **{field: given})
        return registry.remade(target, answers=answers), [
            'only those who query the backbone get the changed embeddings; somebody with the file '
            'can leave this out'
        ]

    return change


DEFENCES: Mapping[str, Callable[..., Defended]] = {
    'refresh': refresh,
    'noise': noise,
    'round': rounded,
    'fold': fold,
    'strip': strip,
    'answers-noise': _answers('noise', 'answers-noise'),
    'answers-largest': _answers('largest', 'answers-largest'),
    'answers-round': _answers('bits', 'answers-round'),
    'answers-unit': _answers('unit', 'answers-unit'),
}
_VALUELESS = ('fold', 'strip', 'answers-unit')
_REMOVING = ('fold', 'strip')
# For defences with a number: the smallest and largest value, and whether it must be whole.
_RANGES = {
    'noise': (0, float('inf'), False),
    'round': (1, 16, True),
    'answers-noise': (0, float('inf'), False),
    'answers-largest': (1, float('inf'), True),
    'answers-round': (2, 16, True),
}


def parse(text: str) -> list[tuple[str, str]]:
    """Returns the name and the value of each defence of a list, in its order.

    >>> parse('refresh:procedural:easy,people=8,fold')
    [('refresh', 'procedural:easy,people=8'), ('fold', '')]

    Raises:
      InputError: of 'defence', for an unknown name, a value that is missing, out of range or not
        allowed, a change of statistics that an earlier defence has removed, or a change of embeddings
        that is given twice.
    """
    names = '|'.join(sorted(DEFENCES, key=len, reverse=True))
    found: list[tuple[str, str]] = []
    for part in re.split(rf',(?=(?:{names})(?:[:,]|$))', text):
        name, _, value = part.partition(':')
        errors.one_of('defence', name, DEFENCES)
        if (name in _VALUELESS) == bool(value):
            wanted = f'{name} alone' if name in _VALUELESS else f'{name}:VALUE'
            raise errors.InputError('defence', repr(part)[:200], wanted)
        if name in _RANGES:
            _number(name, value)
        before = [earlier for earlier, _ in found]
        removed = [earlier for earlier in before if earlier in _REMOVING]
        if name.startswith('answers-'):
            if name in before:
                raise errors.InputError('defence', f'{name} twice', f'{name} once')
        elif removed:
            raise errors.InputError(
                'defence',
                f'{name} after {removed[0]}, which removes the statistics',
                f'{removed[0]} as the last change of the statistics',
            )
        found.append((name, value))
    return found


def defend(
    target: Target, wanted: Sequence[tuple[str, str]], *, seed: int, **reading: Any
) -> Defended:
    """Applies defences one after the other, and names them in the target's recipe.

    Args:
      target: of a registered architecture.
      wanted: by `parse`.
      seed: of noise and orders.
      **reading: as for `sources.open_faces`, for faces that a defence uses.

    Raises:
      InputError: for what does not fit.
    """
    if target.architecture not in registry.VARIANTS:
        raise errors.InputError(
            'target',
            f'{target.name}, which has no registered architecture',
            'a backbone that can be saved',
        )
    remarks: list[str] = []
    for name, value in wanted:
        more = reading if name == 'refresh' else {}
        target, said = DEFENCES[name](target, value, seed, **more)
        remarks += [f'{name}: {remark}' for remark in said]
    before = list((target.recipe or {}).get('defences', ()))
    named = [f'{name}:{value}' if value else name for name, value in wanted]
    recipe = {**(target.recipe or {}), 'defences': [*before, *named], 'defence_seed': seed}
    return registry.remade(target, recipe=recipe, sha256=''), remarks


def _statistics(target):
    if 'batch_stats' not in target.variables:
        raise errors.InputError('target', 'no BatchNorm statistics', 'a backbone that has them')


def _changed(target, change):
    """The target with `change(path, mean, var)` -> (mean, var) of each layer, in float64."""
    _statistics(target)

    def walk(tree, path):
        if 'mean' in tree and not isinstance(tree['mean'], Mapping):
            given = (np.asarray(tree[name], np.float64) for name in ('mean', 'var'))
            mean, var = change('/'.join(path), *given)
            return {**tree, 'mean': jnp.float32(mean), 'var': jnp.float32(var)}
        return {name: walk(inside, (*path, name)) for name, inside in tree.items()}

    changed = walk(target.variables['batch_stats'], ())
    variables = {**target.variables, 'batch_stats': jax.device_get(changed)}
    return registry.remade(target, variables=variables)


def _number(name, text):
    low, high, whole = _RANGES[name]
    try:
        value = float(text.removeprefix('bits='))
    except ValueError:
        value = float('nan')
    if not low <= value <= high or value == float('inf') or (whole and value != int(value)):
        kind = 'a whole number' if whole else 'a number'
        span = f'{low} or more' if high == float('inf') else f'{low} to {high}'
        raise errors.InputError('defence', f'{name}:{text}'[:200], f'{kind}, {span}')
    return int(value) if whole else value
