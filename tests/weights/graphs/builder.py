"""ONNX models made here, and what ONNX's own NumPy implementation says of them."""

import jax
import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from fr_inference.formats import onnx_file
from fr_inference.weights.graphs import graph_plan
from fr_inference.weights.graphs.network import Network, first


class Builder:
    """Adds operators one by one; each gives the name of its result."""

    def __init__(self, shape, *, opset=17, seed=0, elem=onnx.TensorProto.FLOAT, name='image'):
        self.input = helper.make_tensor_value_info(name, elem, shape)
        self.name, self.opset = name, opset
        self.nodes, self.weights = [], []
        self.random = np.random.default_rng(seed)

    def weight(self, array, name=None):
        """Adds a constant; without a name, one of its own."""
        name = name or f'weight{len(self.weights)}'
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def drawn(self, *shape, name=None, scale=1.0, shift=0.0):
        """Adds a random float constant."""
        values = scale * self.random.standard_normal(shape) + shift
        return self.weight(values.astype(np.float32), name)

    def node(self, op, *inputs, outputs=1, name='', **attributes):
        """Adds an operator of tensors by name; arrays become constants."""
        names = [one if isinstance(one, str) else self.weight(one) for one in inputs]
        results = [f'{op}{len(self.nodes)}_{number}' for number in range(outputs)]
        self.nodes.append(helper.make_node(op, names, results, name=name, **attributes))
        return results[0] if outputs == 1 else results

    def conv(self, x, weights, bias=True, **attributes):
        """Adds a convolution with random weights [out, in, h, w]."""
        spread = 1 / np.sqrt(np.prod(weights[1:]))
        inputs = [x, self.drawn(*weights, scale=spread)]
        inputs += [self.drawn(weights[0])] if bias else []
        return self.node('Conv', *inputs, **attributes)

    def norm(self, x, channels, name, epsilon=1e-5):
        """Adds a BatchNormalization with random parameters and statistics."""
        own = [
            self.drawn(channels, name=f'{name}.weight', shift=1.0, scale=0.3),
            self.drawn(channels, name=f'{name}.bias'),
            self.drawn(channels, name=f'{name}.running_mean'),
        ]
        variance = np.exp(self.random.standard_normal(channels)).astype(np.float32)
        own.append(self.weight(variance, f'{name}.running_var'))
        return self.node('BatchNormalization', x, *own, epsilon=epsilon)

    def model(self, *outputs):
        """Returns the model whose results these are."""
        results = [helper.make_tensor_value_info(name, 0, None) for name in outputs]
        for value in results:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        graph = helper.make_graph(self.nodes, 'graph', [self.input], results, self.weights)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid('', self.opset)], ir_version=8
        )


def saved(model, folder, name='model'):
    """Writes a model and returns its path."""
    path = folder / f'{name}.onnx'
    path.write_bytes(model.SerializeToString())
    return path


def reference(model, x):
    """Returns what ONNX's own NumPy implementation computes: name -> array."""
    results = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})
    return dict(zip([value.name for value in model.graph.output], results, strict=True))


def planned(model, folder, channels_first=False):
    """Returns (module, variables) of a model, whatever its input is."""
    read = onnx_file.read(saved(model, folder))
    made, variables = graph_plan.make(read, read.outputs, channels_first=channels_first)
    return Network(made), variables


def computed(model, x, folder, channels_first=False):
    """Returns what the package computes of the same: name -> array."""
    network, variables = planned(model, folder, channels_first)

    def results(variables, x):
        values = network.apply(variables, x, method=Network.values)
        return {name: first(values[name]) for name in network.plan.outputs}

    given = np.moveaxis(x, 1, -1) if channels_first and x.ndim > 2 else x
    return {name: np.asarray(value) for name, value in jax.jit(results)(variables, given).items()}


def ints(*numbers):
    return np.array(numbers, np.int64)


def floats(*numbers):
    return np.array(numbers, np.float32)
