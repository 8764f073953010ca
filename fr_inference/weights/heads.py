"""Finds classification layers that a file keeps beside its backbone, by names or shapes."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from fr_inference.models.target import InputSpec

# Names under which training code keeps the classification layer beside the backbone.
_HEAD = re.compile(
    r'(^|\.)(heads?|classifier|classification|margin|(arc|cos|sphere|ada|curricular)_?face|'
    r'arc_?margin|metric(_fc)?|logits|(am_?)?softmax|criterion|loss|product|fc_head|head_fc|'
    r'partial_fc)(\.|$)',
    re.IGNORECASE,
)


def is_named(name: str) -> bool:
    """Whether training code uses this name for a tensor of a head."""
    return _HEAD.search(name) is not None


def among(
    rest: Mapping[str, np.ndarray], module: nn.Module | None, input: InputSpec, variables: Any
) -> list[str]:
    """Returns the names of a head's tensors.

    Whatever its name, a matrix with one side as long as the embedding is a head. Its neighbours belong
    to it: a bias as long as the other side, and single numbers.

    Args:
      rest: tensors that do not belong to the backbone, by name.
      module: the backbone; without one, only names count.
      input: the images that it expects.
      variables: its variables, abstract or not.
    """
    found = [name for name in rest if is_named(name)]
    others = {name: array for name, array in rest.items() if name not in found}
    if module is None or not any(array.ndim == 2 for array in others.values()):
        return found
    image = jax.ShapeDtypeStruct((1, input.height, input.width, 3), np.float32)
    apply = functools.partial(module.apply, train=False)
    embedding = jax.eval_shape(apply, variables, image).shape[-1]  # nothing is computed
    classes = {
        name: sum(array.shape) - embedding
        for name, array in others.items()
        if array.ndim == 2 and embedding in array.shape
    }
    counts = {name.rpartition('.')[0]: count for name, count in classes.items()}
    beside = [
        name
        for name, array in others.items()
        if (folder := name.rpartition('.')[0]) in counts
        and array.shape in ((), (1,), (counts[folder],))
    ]
    return [*found, *classes, *beside]
