"""Reads `.onnx` files: a network as a list of operators, and its weights. Nothing is executed.

Source: the format's description, https://onnx.ai/onnx/repo-docs/IR.html. Weights in separate files
("external data") are read only from the model's folder.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from fr_inference import errors
from fr_inference.formats import bounds, onnx_tensors, protobuf_bounds, regular_files

MAX_MODEL_BYTES = (2 << 30) - 1  # of one protobuf message; larger weights are external data
MAX_NODES = 20_000
OPSETS = range(7, 27)  # before 7, operators broadcast in another way

_DOMAINS = ('', 'ai.onnx')
_INPUT_TYPES = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """One operator of the graph.

    Attributes:
      op: its type, with the domain and a dot before it unless the domain is ONNX's own.
      name: its own, often ''.
      inputs: names of tensors; '' for an optional one that is absent.
      outputs: names of tensors.
      attributes: numbers, texts, tuples of them, and arrays, by name.
      opset: version of ONNX's operators.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """What a file holds.

    Attributes:
      nodes: in an order in which each needs only results of those before it.
      constants: weights and numbers by name, of the file's own dtypes.
      input: name of the image tensor.
      shape: of the image tensor; None for a length that the file leaves open.
      outputs: names of the results.
      declared: result -> its shape as declared in the file, () if it is not.
      files: the model, and the files of its external data.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    input: str
    shape: tuple[int | None, ...]
    outputs: tuple[str, ...]
    declared: Mapping[str, tuple[int | None, ...]]
    files: tuple[pathlib.Path, ...]


# A model begins with its version, a small number, and the tag of one of the following fields.
_TAGS = b'\x12\x1a\x22\x28\x32\x3a\x42'
_CHECKPOINTS = (b'PK\x03\x04', b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')


def is_onnx(path: str | os.PathLike) -> bool:
    """Whether a file is ONNX, by its first bytes or, if these match no other format, by its suffix."""
    named = pathlib.Path(path).suffix.lower() == '.onnx'
    if not os.path.isfile(path):
        return named
    try:
        with open(path, 'rb') as file:
            start = file.read(9)
    except OSError:
        return named
    if named:
        return not start.startswith(_CHECKPOINTS)
    return start[:1] == b'\x08' and start[2:3] in _TAGS and start[2:3] != b'' and start[8:] != b'{'


def files_of(path: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Returns a file and, for a readable `.onnx`, the files of its external data."""
    try:
        return read(path).files if is_onnx(path) else (path,)
    except errors.InputError:
        return (path,)


def named_in(path: pathlib.Path) -> list[str]:
    """Returns the names of an `.onnx` file's files of external data, which need not exist yet."""
    try:
        graph, _ = _parsed(path, str(path)) if is_onnx(path) else (None, None)
    except (errors.InputError, OSError):  # reported when the file is opened
        return []
    if graph is None:
        return []
    folder = path.parent
    named = [file for file in onnx_tensors.beside(graph, path) if file.is_relative_to(folder)]
    names = [file.relative_to(folder) for file in named if '\0' not in str(file)]
    return [name.as_posix() for name in names if '..' not in name.parts]


def read(path: str | os.PathLike) -> Model:
    """Reads a network with one image tensor as its input.

    Args:
      path: the `.onnx` file.

    Raises:
      InputError: for anything that is not a readable model; its field is the path.
    """
    path = pathlib.Path(path)
    source = str(path)
    try:
        graph, opset = _parsed(path, source)
        constants = dict(_initializers(graph, path, source))
        nodes = tuple(_nodes(graph, opset, constants, path, source))
        name, shape = _image(graph, constants, source)
    except OSError as error:
        words = error.strerror or bounds.brief(error)
        raise errors.InputError(source, f'a file that cannot be read: {words}') from error
    _check_order(nodes, {name, *constants}, source)
    outputs = tuple(value.name for value in graph.output)
    known = {name, *constants, *(output for node in nodes for output in node.outputs)}
    absent = [output for output in outputs if output not in known]
    if absent or not outputs:
        raise errors.InputError(source, f'results that no operator computes ({_listed(absent)})')
    return Model(
        nodes=nodes,
        constants=constants,
        input=name,
        shape=shape,
        outputs=outputs,
        declared={value.name: _shape(value) for value in graph.output},
        files=(path, *onnx_tensors.beside(graph, path)),
    )


def _parsed(path, source):
    """Returns the graph and the version of the operators."""
    size = regular_files.size_of(path, 'an .onnx file')
    if size > MAX_MODEL_BYTES:
        raise errors.InputError(source, f'{size} bytes', 'an .onnx file of at most 2 GiB')
    with open(path, 'rb') as file:
        content = regular_files.mapped(file)
    onnx_tensors.check_kind(content, source)
    protobuf_bounds.check(content, onnx.ModelProto.DESCRIPTOR, source)
    try:
        model = onnx.ModelProto.FromString(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise errors.InputError(
            source, f'a damaged ONNX file ({bounds.brief(error)})', hint='copy or download it again'
        ) from error
    graph = model.graph
    versions = [entry.version for entry in model.opset_import if entry.domain in _DOMAINS]
    if not graph.node or len(versions) != 1:
        raise errors.InputError(source, 'a file of another kind, or a model without operators')
    if versions[0] not in OPSETS:
        raise errors.InputError(
            source,
            f'operators of version {versions[0]}',
            f'opset {OPSETS.start} to {OPSETS.stop - 1}',
            'export it again with opset_version=17',
        )
    if model.functions:
        some = _listed([function.name for function in model.functions])
        raise errors.InputError(
            source,
            f'functions of its own ({some})',
            'operators only',
            'inline them with onnx.inliner',
        )
    if graph.sparse_initializer:
        raise errors.InputError(source, 'sparse weights', 'dense ones')
    if len(graph.node) > MAX_NODES:
        raise errors.InputError(source, f'{len(graph.node)} operators', f'at most {MAX_NODES}')
    bounds.check_count(len(graph.initializer), source)
    return graph, versions[0]


def _initializers(graph, path, source) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in graph.initializer:
        _check_name(tensor.name, source)
        yield tensor.name, onnx_tensors.array(tensor, path, source)
    if len({tensor.name for tensor in graph.initializer}) < len(graph.initializer):
        raise errors.InputError(source, 'two weights with the same name')


def _nodes(graph, opset, constants, path, source) -> Iterator[Node]:
    """Yields the operators, except for constants, which are added to `constants`."""
    written = set(constants)
    for node in graph.node:
        for name in (*node.input, *node.output):
            _check_name(name, source, empty=True)
        twice = [name for name in node.output if name and name in written]
        if twice:
            raise errors.InputError(
                source, f'two results with the same name ({errors.shown(twice[0])})'
            )
        written |= set(node.output)
        op = node.op_type if node.domain in _DOMAINS else f'{node.domain}.{node.op_type}'
        attributes = {
            entry.name: _attribute(entry, path, source)
            for entry in node.attribute
            if not entry.ref_attr_name
        }
        if op == 'Constant' and len(node.output) == 1 and len(attributes) == 1:
            constants[node.output[0]] = _constant(attributes, source)
            continue
        yield Node(
            op=errors.shown(op)[:80],
            name=errors.shown(node.name[: bounds.MAX_NAME]),
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes=attributes,
            opset=opset,
        )


def _attribute(entry, path, source):
    kinds = onnx.AttributeProto
    if entry.type == kinds.TENSOR:
        return onnx_tensors.array(entry.t, path, source)
    if entry.type == kinds.STRING:
        return entry.s.decode('utf-8', 'replace')
    if entry.type == kinds.STRINGS:
        return tuple(text.decode('utf-8', 'replace') for text in entry.strings)
    plain = {kinds.FLOAT: 'f', kinds.INT: 'i', kinds.FLOATS: 'floats', kinds.INTS: 'ints'}
    if entry.type not in plain:
        return None  # a graph or the like: an operator that has one is not supported
    value = getattr(entry, plain[entry.type])
    return value if entry.type in (kinds.FLOAT, kinds.INT) else tuple(value)


def _constant(attributes, source):
    (kind, value), *_ = attributes.items()
    types: dict[str, Any] = {'value_float': np.float32, 'value_floats': np.float32}
    types |= {'value_int': np.int64, 'value_ints': np.int64}
    if kind == 'value' and isinstance(value, np.ndarray):
        return value
    if kind not in types:
        raise errors.InputError(source, f'a constant of kind {errors.shown(kind)!r:.80}', 'numbers')
    return np.array(value, types[kind])


def _image(graph, constants, source):
    """Returns the name and shape of the only input that is not a weight."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        some = _listed([value.name for value in inputs])
        raise errors.InputError(source, f'{len(inputs)} inputs ({some})', 'one, the image')
    _check_name(inputs[0].name, source)
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type not in _INPUT_TYPES:
        raise errors.InputError(
            source, f'an input of type {onnx_tensors.type_name(tensor.elem_type)}', 'floating point'
        )
    return inputs[0].name, _shape(inputs[0])


def _shape(value):
    """Returns the shape of an input or result; None for a length that the file leaves open."""
    return tuple(
        size.dim_value if size.HasField('dim_value') and size.dim_value > 0 else None
        for size in value.type.tensor_type.shape.dim
    )


def _check_order(nodes: Sequence[Node], known: set[str], source: str) -> None:
    """Raises if an operator takes a result that no earlier one computes: a cycle or a missing part."""
    for node in nodes:
        absent = [name for name in node.inputs if name and name not in known]
        if absent:
            raise errors.InputError(
                source,
                f'{node.op} of {_listed(absent)}, which no earlier operator computes',
                'a graph in the order of its computation, without cycles',
            )
        known.update(node.outputs)


def _check_name(name, source, empty=False):
    if len(name) > bounds.MAX_NAME or not (name or empty):
        raise errors.InputError(
            source, f'a name of {len(name)} characters', f'1 to {bounds.MAX_NAME}'
        )
    bounds.check_names([name], source)


def _listed(names):
    return ', '.join(errors.shown(str(name)[:80]) for name in list(names)[:6]) or 'none'
