"""Which tensor is taken for the embedding: heads by width, softmax and place; `part` in their stead."""

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.measuring import distances
from fr_inference.weights.targets import open_target
from tests.weights.graphs import builder
from tests.weights.graphs.builder import Builder


class Backbone(Builder):
    """Pooled features, and a layer of `width` numbers of them."""

    def __init__(self, width=32):
        super().__init__(('N', 3, 8, 8))
        self.width = width
        pooled = self.node('GlobalAveragePool', self.conv('image', (48, 3, 3, 3)))
        self.embedding = self.linear(self.node('Flatten', pooled), 48, width)

    def linear(self, x, inputs, outputs):
        weights = self.drawn(outputs, inputs, scale=inputs**-0.5)
        return self.node('Gemm', x, weights, self.drawn(outputs), transB=1)

    def head(self, people, x=None):
        return self.linear(x or self.embedding, self.width, people)

    def open(self, folder, *outputs, **options):
        return open_target(builder.saved(self.model(*outputs), folder), **options)


def embed(made, folder, target):
    """What the reference says of the embedding, and what the target does."""
    image = np.random.default_rng(1).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
    (expected,) = builder.reference(made.model(made.embedding), image).values()
    return expected, target.apply(target.variables, image.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    'ending',
    [
        lambda made: made.head(77),
        lambda made: made.node('Softmax', made.head(64)),
        lambda made: made.node('Mul', made.head(77), np.float32(64)),
        lambda made: made.head(4112),
        lambda made: made.node(
            'MatMul', made.node('LpNormalization', made.embedding), made.drawn(32, 77)
        ),
    ],
    ids=['width', 'softmax', 'scaled', 'long', 'cosine'],
)
def test_a_head_is_set_aside(ending, tmp_path):
    made = Backbone()
    output = ending(made)
    target = made.open(tmp_path, output)
    np.testing.assert_allclose(*embed(made, tmp_path, target), rtol=1e-4, atol=1e-5)
    assert 'set aside' in target.notes[-1]
    assert f'part={output}' in target.notes[-1]
    whole = made.open(tmp_path, output, part=output)
    assert distances.embedding_size(whole) > 32


def test_a_head_of_whole_numbers(tmp_path):
    """Its input was rounded; the embedding is what was before."""
    made = Backbone()
    small, step, zero = made.node('DynamicQuantizeLinear', made.embedding, outputs=3)
    weights = made.random.integers(0, 255, (32, 77)).astype(np.uint8)
    total = made.node('Cast', made.node('MatMulInteger', small, weights, zero), to=1)
    target = made.open(tmp_path, made.node('Mul', total, made.node('Mul', step, np.float32(0.1))))
    np.testing.assert_allclose(*embed(made, tmp_path, target), rtol=1e-4, atol=1e-5)


def test_beside_the_embedding(tmp_path):
    """Of two results, the one that the other is made of, whatever the other's width."""
    made = Backbone()
    for people in (16, 77):
        target = made.open(tmp_path, made.head(people), made.embedding)
        np.testing.assert_allclose(*embed(made, tmp_path, target), rtol=1e-4, atol=1e-5)
        assert 'set aside' in target.notes[-1]


@pytest.mark.parametrize('width', [16, 32, 48])
def test_an_embedding_is_left_alone(width, tmp_path):
    made = Backbone(width)
    target = made.open(tmp_path, made.embedding)
    assert distances.embedding_size(target) == width
    assert not any('part=' in note for note in target.notes)


@pytest.mark.parametrize('width', [8, 64, 96, 112])
def test_a_remark(width, tmp_path):
    made = Backbone(width)
    target = made.open(tmp_path, made.embedding)
    assert distances.embedding_size(target) == width
    assert 'part=' in target.notes[-1]


def test_in_doubt(tmp_path):
    """Fewer numbers than it takes, and an odd count: a layer for 33 people or an embedding."""
    made = Backbone(33)
    with pytest.raises(InputError) as caught:
        made.open(tmp_path, made.embedding)
    assert caught.value.field == 'part'
    assert made.embedding in caught.value.found
    for part, length in ((made.embedding, 33), (caught.value.found.split(', ')[1], 48)):
        target = made.open(tmp_path, made.embedding, part=part)
        assert distances.embedding_size(target) == length


def test_rounding_is_told(tmp_path):
    made = Backbone()
    step = np.float32(0.01)
    small = made.node('QuantizeLinear', made.embedding, step, np.int8(0))
    target = made.open(tmp_path, made.node('DequantizeLinear', small, step, np.int8(0)))
    assert any('quantised' in note for note in target.notes)


def test_none_and_unknown(tmp_path):
    made = Backbone()
    outputs = made.node('Softmax', made.node('Tanh', made.embedding))
    for options in ({}, {'part': 'no tensor'}):
        with pytest.raises(InputError) as caught:
            made.open(tmp_path, outputs, **options)
        assert caught.value.field == 'part'
    with pytest.raises(InputError) as caught:  # other backbones have no option of that name
        made.open(tmp_path, outputs, field='blind')
    assert caught.value.field == 'blind'
