"""Makes a graph compute many images at once: many graphs are exported for a batch of one."""

import dataclasses
import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.models.target import Apply, InputSpec
from fr_inference.weights.graphs.graph_plan import Plan
from fr_inference.weights.graphs.network import Network

_MAX_TRIED = 1 << 28  # elements of all tensors; an IResNet-100 has a third of that


def fitted(plan: Plan, variables: Any, spec: InputSpec, batch: int | None) -> tuple[Plan, bool]:
    """Returns a plan for any number of images, and whether it takes only one at a time.

    In a graph that was exported for one image, a reshape to (1, -1) refers to the images' axis and
    becomes (N, -1). If the results of two images are still not twice as long as those of one, the graph
    runs for each image separately.

    Args:
      plan: of the graph.
      variables: of its network.
      spec: the images' size.
      batch: number of images that the graph was exported for, None if the file leaves it open. Some
        exporters leave it open although the graph itself still contains a 1.

    Raises:
      InputError: of the operator, if the shapes do not fit each other; of 'batch', for a graph that is
        fixed to several images, or fixed to one and has BatchNormalization.
    """
    # Operators that use the range of all images get one image at a time, so that its result does not
    # depend on others.
    together = any(node.op == 'DynamicQuantizeLinear' for node in plan.nodes)
    alone = together and not plan.norms
    if _takes_any(plan, variables, spec):
        return plan, alone
    exported = batch or 1
    free = _freed(plan, shapes(plan, variables, spec, exported), exported)
    if _takes_any(free, variables, spec):
        return free, alone
    if exported == 1 and not plan.norms:
        return plan, True
    # The blind control measures the norms' statistics on many images in one run.
    if exported > 1 or not _agrees(free, variables, spec):
        raise errors.InputError(
            'batch',
            f'a graph for {exported} at a time',
            'one for any number of images',
            'export it again with a dynamic batch axis',
        )
    return free, False


def _takes_any(plan, variables, spec):
    """Whether every tensor that depends on pixels is twice as long for two images as for one."""
    try:
        one, two = (shapes(plan, variables, spec, count) for count in (1, 2))
    except errors.InputError:
        return False
    return not any(_mixes(one[name], two[name]) for name in _of_pixels(plan, one))


def _agrees(plan, variables, spec):
    """Whether two images have the same embeddings together as separately."""
    try:
        shapes(plan, variables, spec, 2)
    except errors.InputError:
        return False
    if not is_small(plan, variables, spec):
        return False
    images = example(spec, 2)
    one, two = (
        np.asarray(jax.jit(apply_of(Network(plan), alone))(variables, images))
        for alone in (True, False)
    )
    return one.shape == two.shape and np.allclose(one, two, 1e-3, 1e-3 * np.abs(one).max())


def is_small(plan: Plan, variables: Any, spec: InputSpec) -> bool:
    """Whether a graph is small enough to be run when its file is opened; it is untrusted."""
    sizes = [value.size for value in shapes(plan, variables, spec, 1).values()]
    return max(sizes) <= _MAX_TRIED // 16 and sum(sizes) <= _MAX_TRIED


def example(spec: InputSpec, count: int) -> np.ndarray:
    """Returns `count` normalised images of noise [N, H, W, 3] float32, the same every time."""
    shape = (count, spec.height, spec.width, 3)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def shapes(plan: Plan, variables: Any, spec: InputSpec, count: int) -> dict[str, Any]:
    """Returns the abstract value of every tensor that is computed at run time, for `count` images."""
    network = Network(plan)
    image = jax.ShapeDtypeStruct((count, spec.height, spec.width, 3), jnp.float32)

    def computed(variables, images):
        values = network.apply(variables, images, method=Network.values)
        values = cast(dict[str, Any], values)
        return {
            name: value.array
            for name, value in values.items()
            if not isinstance(value.array, np.ndarray)
        }

    return jax.eval_shape(computed, variables, image)


def _freed(plan, found, batch):
    """Makes reshapes keep their input's length in place of a fixed number of images."""
    numbers, nodes = dict(plan.numbers), []
    for node in plan.nodes:
        sizes = (
            numbers.get(node.inputs[1]) if node.op == 'Reshape' and len(node.inputs) > 1 else None
        )
        given = found.get(node.inputs[0]) if node.inputs else None
        if (
            sizes is not None
            and sizes.ndim == 1
            and sizes.size > 0
            and sizes[0] == batch
            and given is not None
            and given.shape[:1] == (batch,)
        ):
            free = f'{node.outputs[0]}/shape'
            numbers[free] = np.array([0, *sizes[1:]], np.int64)
            node = dataclasses.replace(node, inputs=(node.inputs[0], free))
        nodes.append(node)
    return dataclasses.replace(plan, nodes=tuple(nodes), numbers=numbers)


def _of_pixels(plan, found):
    """Returns the names of the tensors that depend on the images."""
    names = {plan.input}
    for node in plan.nodes:
        if names.intersection(node.inputs):
            names.update(name for name in node.outputs if name in found)
    return names


def _mixes(one, two):
    return (2 * one.shape[0], *one.shape[1:]) != two.shape if one.shape else True


@functools.lru_cache(maxsize=64)
def apply_of(network: Network, alone: bool) -> Apply:
    """Returns the function of a graph, the same for all its checkpoints, which share programs.

    Args:
      network: the module.
      alone: whether to run it for each image separately.
    """

    def apply(variables: Any, images: jax.Array) -> jax.Array:
        if not alone or images.shape[0] == 1:
            return cast(jax.Array, network.apply(variables, images))
        one = functools.partial(network.apply, variables)
        return jax.vmap(lambda image: cast(jax.Array, one(image[None]))[0])(images)

    return apply
