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


def decomposed(made, x):
    """`torch.nn.functional.normalize` as PyTorch exports it."""
    length = made.node('ReduceL2', x, axes=[1], keepdims=1)
    length = made.node('Clip', length, np.float32(1e-12))
    return made.node('Div', x, made.node('Expand', length, made.node('Shape', x)))


ENDINGS = {
    'LpNormalization': lambda made, x: made.node('LpNormalization', x),
    'decomposed': decomposed,
    'norm': lambda made, x: made.norm(x, made.width, 'features'),
}


@pytest.mark.parametrize('width', [16, 64, 77])
@pytest.mark.parametrize('ending', ENDINGS)
def test_a_normalised_vector_is_an_embedding(ending, width, tmp_path):
    made = Backbone(width)
    target = made.open(tmp_path, ENDINGS[ending](made, made.embedding))
    assert distances.embedding_size(target) == width
    assert not any('part=' in note for note in target.notes)


@pytest.mark.parametrize('form', ['map', 'depthwise'])
def test_an_embedding_made_of_a_map_is_left_alone(form, tmp_path):
    """As IResNet's, MobileFaceNet's and a ViT's are. A length that nobody publishes is told of."""
    for width, told in ((64, False), (96, True)):
        made = Backbone(width)
        x = made.conv('image', (128, 3, 3, 3), strides=[2, 2])
        whole = made.conv(x, (128, 1, 3, 3), group=128)
        x = made.node('Flatten', {'map': x, 'depthwise': whole}[form])
        target = made.open(tmp_path, made.linear(x, 128 * (1 if form == 'depthwise' else 9), width))
        assert distances.embedding_size(target) == width
        assert any('part=' in note for note in target.notes) == told


@pytest.mark.parametrize('width', [16, 32, 48, 64, 96, 112])
def test_a_remark(width, tmp_path):
    """A layer of pooled features may tell so many people apart."""
    made = Backbone(width)
    target = made.open(tmp_path, made.embedding)
    assert distances.embedding_size(target) == width
    assert 'part=' in target.notes[-1]


@pytest.mark.parametrize('people', [10, 16, 32, 64])
@pytest.mark.parametrize('between', ['', 'norm', 'sigmoid'])
def test_a_layer_of_a_layer_is_asked_about(between, people, tmp_path):
    """A classifier whose number of people is one that embeddings have."""
    made = Backbone()
    vector = made.embedding
    if between == 'norm':
        vector = made.norm(vector, 32, 'features')
    output = made.head(people, vector)
    output = made.node('Sigmoid', output) if between == 'sigmoid' else output
    with pytest.raises(InputError) as caught:
        made.open(tmp_path, output)
    assert caught.value.field == 'part'
    assert output in caught.value.found
    target = made.open(tmp_path, output, part=made.embedding)
    np.testing.assert_allclose(*embed(made, tmp_path, target), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('ending', ['LpNormalization', 'decomposed'])
def test_a_cosine_head_of_a_usual_width_is_set_aside(ending, tmp_path):
    made = Backbone()
    unit = ENDINGS[ending](made, made.embedding)
    output = made.node('Mul', made.node('MatMul', unit, made.drawn(32, 16)), np.float32(64))
    target = made.open(tmp_path, output)
    assert distances.embedding_size(target) == 32
    assert f'part={output}' in target.notes[-1]


def test_a_layer_of_low_rank_is_one_layer(tmp_path):
    """EdgeFace's last layer: a product without bias, and one with it."""
    made = Backbone()
    pooled = made.node('Flatten', made.node('GlobalAveragePool', made.conv('image', (48, 3, 3, 3))))
    low = made.node('MatMul', pooled, made.drawn(48, 20))
    target = made.open(tmp_path, made.linear(low, 20, 64))
    assert distances.embedding_size(target) == 64
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


def test_a_single_layer_is_an_embedding(tmp_path):
    """What it takes is the image."""
    made = Backbone()
    for output in (
        made.conv('image', (6, 3, 8, 8)),
        made.linear(made.node('Flatten', 'image'), 192, 6),
    ):
        target = made.open(tmp_path, output)
        assert distances.embedding_size(target) == 6
        assert not any('part=' in note for note in target.notes)
