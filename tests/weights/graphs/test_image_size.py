"""Graphs that leave the size of their images open: sizes that cannot be right, and those that fit."""

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.measuring import distances
from fr_inference.weights.targets import open_target
from tests.weights.graphs import builder
from tests.weights.graphs.builder import Builder

SHAPE = ('N', 3, None, None)


def flattened():
    """A layer of a map's 7 x 6 places."""
    made = Builder(SHAPE)
    x = made.node('Flatten', made.conv('image', (4, 3, 3, 3), strides=[16, 16], pads=[1] * 4))
    return made.model(made.node('Gemm', x, made.drawn(168, 16)))


def whole():
    """A window as large as the last map; how long its result is stands nowhere."""
    made = Builder(SHAPE)
    x = made.conv('image', (16, 3, 3, 3), strides=[16, 16], pads=[1] * 4)
    return made.model(made.node('Flatten', made.conv(x, (16, 1, 7, 6), group=16)))


def declared():
    """A map of any size becomes the embedding; the file says how long that is."""
    made = Builder(SHAPE)
    output = made.node('Flatten', made.conv('image', (16, 3, 3, 3), strides=[112, 112]))
    model = made.model(output)
    shape = model.graph.output[0].type.tensor_type.shape
    shape.dim.add().dim_param = 'N'
    shape.dim.add().dim_value = 16
    return model


@pytest.mark.parametrize('network', [flattened, whole])
def test_a_size_that_cannot_be(network, tmp_path):
    path = builder.saved(network(), tmp_path)
    with pytest.raises(InputError) as caught:
        open_target(path)
    assert caught.value.field == 'input_size'
    assert '112x96' in caught.value.expected
    target = open_target(path, input={'height': 112, 'width': 96})
    assert distances.embedding_size(target) == 16
    assert not any('assumed' in note for note in target.notes)
    with pytest.raises(InputError) as caught:
        open_target(path, field='evaluator')
    assert caught.value.field == 'evaluator'


def test_what_the_file_says_of_its_result(tmp_path):
    path = builder.saved(declared(), tmp_path)
    assert open_target(path).origins['height'] == 'assumed'
    with pytest.raises(InputError) as caught:
        open_target(path, input={'height': 224, 'width': 224})
    assert caught.value.field == 'input_size'


def test_any_size(tmp_path):
    made = Builder(SHAPE)
    output = made.node('Flatten', made.node('GlobalAveragePool', made.conv('image', (16, 3, 3, 3))))
    path = builder.saved(made.model(output), tmp_path)
    target = open_target(path)
    assert [target.origins[name] for name in ('height', 'width')] == ['assumed'] * 2
    assert 'input_size' in target.notes[-1]


def test_no_size_fits(tmp_path):
    made = Builder(SHAPE)
    model = made.model(made.node('Add', 'image', np.zeros((5, 5), np.float32)))
    with pytest.raises(InputError) as caught:
        open_target(builder.saved(model, tmp_path))
    assert caught.value.field == 'target'
