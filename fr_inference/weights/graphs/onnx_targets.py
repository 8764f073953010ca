"""Reads `.onnx` files as targets: as a registered module if that computes the same, else as a graph."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from fr_inference import errors, files
from fr_inference.formats import onnx_file
from fr_inference.formats.onnx_file import Model
from fr_inference.models import registry
from fr_inference.models.target import Target, origins
from fr_inference.weights import families
from fr_inference.weights.descriptions import naming
from fr_inference.weights.graphs import (
    batches,
    folded,
    graph_plan,
    image_input,
    image_size,
    results,
)
from fr_inference.weights.graphs.graph_plan import Plan
from fr_inference.weights.graphs.network import Network

ARCHITECTURE = 'onnx'

_AGREES = (
    1e-3  # largest difference between a graph and the registered module, relative to the embedding
)


def read(
    path: pathlib.Path,
    arch: str | None,
    changes: Mapping[str, Any],
    dtype: str | None,
    part: str | None,
    field: str,
) -> Target:
    """Reads a backbone.

    Args:
      path: the `.onnx` file.
      arch: the registered architecture that is required, None for any network.
      changes: fields of the input that override the file.
      dtype: 'float32' or 'bfloat16' arithmetic; a graph is always computed in float32.
      part: name of the tensor with the embedding; None to choose by the width of the last layer.
      field: the argument that `path` came from, as errors call it.

    Returns:
      A target of a registered architecture, or of 'onnx', whose config has the digest of the graph.

    Raises:
      InputError: of `field`, for a file that cannot be read or has unsupported operators; of 'arch',
        'dtype', 'input', 'input_size' or 'part', when the network does not fit these.
    """
    source = str(path)
    with naming(field):
        model = onnx_file.read(path)
        with naming(source):
            given = image_input.convention(model)
    spec, known = image_input.changed(given, changes)

    def planned(*names):
        return graph_plan.make(model, names, channels_first=given.channels_first)

    with _asking(field, source):
        if part is not None:
            results.check_part(
                part, [name for node in model.nodes for name in node.outputs if name]
            )
        made, variables = planned(*model.outputs if part is None else [part])
        batch, notes = given.batch or 1, []
        if {'height', 'width'} - {*given.told}:
            remark = image_size.check(
                made,
                variables,
                spec,
                declared=model.declared,
                batch=batch,
                given={'height', 'width'} <= {*given.told, *changes},
            )
            notes += [remark] * bool(remark)
        if part is None:
            name, remarks = results.embedding(made, batches.shapes(made, variables, spec, batch))
            notes += remarks
            if made.outputs != (name,):
                made, variables = planned(name)
        made, alone = batches.fitted(made, variables, spec, given.batch)
    network = Network(made)
    target = Target(
        name=path.stem,
        apply=batches.apply_of(network, alone),
        variables=variables,
        input=spec,
        origins=known,
        architecture=ARCHITECTURE,
        config={'graph': made.digest[:16]},
        module=network,
        sha256=files.sha256(*model.files),
        notes=(*folded.notes(made), *notes),
    )
    registered = _registered(model, made, target, source, arch, changes, dtype, notes)
    if registered is not None:
        return registered
    if arch is not None:
        raise errors.InputError(
            'arch', repr(arch), 'none: the graph does not compute what that architecture does'
        )
    if dtype not in (None, 'float32'):
        raise errors.InputError('dtype', repr(dtype), "'float32' for an ONNX graph")
    return target


@contextlib.contextmanager
def _asking(field: str, source: str) -> Iterator[None]:
    """Names the file in every error; only a target has options that an error may refer to."""
    try:
        yield
    except errors.InputError as error:
        if error.field in ('part', 'input_size') and field in ('target', 'source', 'init'):
            raise errors.InputError(
                error.field, error.found, error.expected, error.hint, inside=source
            ) from error
        raise error.within(source).within(field) from error


def _registered(model: Model, made: Plan, target: Target, source, arch, changes, dtype, notes):
    """Returns the target as a registered module, None unless it computes the same.

    Names and shapes of the weights show which module it may be. One image through both confirms it,
    because layers of the same names could be connected in another way.
    """
    slopes = {node.inputs[1] for node in model.nodes if node.op == 'PRelu' and len(node.inputs) > 1}
    tensors = {  # a graph has a slope as [C, 1, 1]
        name: value.reshape(-1) if name in slopes else value
        for name, value in model.constants.items()
    }
    try:
        match, inside, _ = families.recognise(tensors, source, arch)
        config = match.config if dtype is None else {**match.config, 'dtype': dtype}
        spec = match.input.changed(changes)
        match = dataclasses.replace(match, input=spec)
        module = registry.build(match.architecture, **config)
        expected = registry.abstract_variables(module, spec)
        variables, _ = families.convert(match, inside, expected, source, module)
    except errors.InputError:
        return None
    sizes = [(one.height, one.width) for one in (spec, target.input)]
    if sizes[0] != sizes[1] or not batches.is_small(made, target.variables, spec):
        return None
    exact = registry.make_target(match.architecture, variables, config=match.config, input=spec)
    image = batches.example(spec, 1)
    ours, theirs = (np.asarray(jax.jit(one.apply)(one.variables, image)) for one in (exact, target))
    if ours.shape != theirs.shape:
        return None
    if not np.linalg.norm(ours - theirs) <= _AGREES * np.linalg.norm(theirs):
        return None
    return registry.make_target(
        match.architecture,
        variables,
        config=config,
        input=spec,
        origins={
            **origins('layout'),
            **origins('assumed', match.assumed),
            **origins('given', changes),
        },
        name=target.name,
        sha256=target.sha256,
        notes=(
            'read from an ONNX graph, with all its BatchNorm layers',
            *match.remarks,
            *notes,
        ),
    )
