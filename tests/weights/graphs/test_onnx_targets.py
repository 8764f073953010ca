"""Whole networks: embeddings and distances against ONNX's own NumPy implementation, notes, audits."""

import json

import jax
import numpy as np
import onnx
import pytest

import fr_inference
from fr_inference import config
from fr_inference.errors import InputError
from fr_inference.measuring import distances, measurements
from fr_inference.membership import controls
from fr_inference.weights.graphs.operators import NORM
from fr_inference.weights.targets import open_target
from tests.membership.backbones import noise_faces
from tests.weights.graphs import builder, exports
from tests.weights.graphs.builder import Builder

NETWORKS = {
    'iresnet': lambda: exports.iresnet(batch='N'),
    'iresnet_se': lambda: exports.iresnet(se=True, batch='N'),
    'mobilefacenet': exports.mobilefacenet,
    'transformer': exports.transformer,
    'decomposed_transformer': lambda: exports.transformer(decomposed=True, opset=13),
    'quantised': exports.quantised,
    'dynamically_quantised': exports.dynamically_quantised,
}


def images_of(target, count=2, seed=1):
    shape = (count, target.input.height, target.input.width, 3)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def assert_same(target, model, tolerance=1e-5):
    """All at once and one by one, as the reference says of each image."""
    images = images_of(target)
    found = np.asarray(jax.jit(target.apply)(target.variables, images))
    for image, embedding in zip(images, found, strict=True):
        (expected,) = builder.reference(model, image[None].transpose(0, 3, 1, 2)).values()
        np.testing.assert_allclose(
            embedding, expected.reshape(-1), rtol=1e-4, atol=tolerance * np.abs(expected).max()
        )
    return found


@pytest.mark.parametrize('name', NETWORKS)
def test_embeddings(name, tmp_path):
    made, output = NETWORKS[name]()
    model = made.model(output)
    target = open_target(builder.saved(model, tmp_path))
    assert target.architecture == 'onnx'
    # A sum between two steps may be rounded to either: a step of the last layer, averaged, is left.
    found = assert_same(target, model, 5e-3 if 'quantised' in name else 1e-5)
    assert found.std(axis=0).max() > 0.01
    assert len(target.sha256) == 64
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(target.variables))


def test_distances(tmp_path):
    """At every BatchNormalization, against NumPy on what the reference puts into it."""
    made, output = exports.iresnet(se=True, batch='N')
    target = open_target(builder.saved(made.model(output), tmp_path))
    norms = [node for node in made.nodes if node.op_type == NORM]
    image = images_of(target, 1)
    expected = builder.reference(
        made.model(*(node.input[0] for node in norms)), image.transpose(0, 3, 1, 2)
    )
    own = {weight.name: onnx.numpy_helper.to_array(weight) for weight in made.weights}
    rows = []
    for node in norms:
        x = expected[node.input[0]].astype(np.float64)[0]
        mean, variance = (own[name] for name in node.input[3:])
        rows.append(((x.reshape(len(x), -1).mean(1) - mean) ** 2 / (variance + 1e-5)).sum())
    found, _ = jax.jit(lambda x: distances.of_image(target.apply, target.variables, x))(image[0])
    np.testing.assert_allclose(found, rows, rtol=1e-4)
    names = distances.layer_names(target)
    assert names == tuple(node.input[1].removesuffix('.weight') for node in norms)
    assert names[-2:] == ('bn2', 'features')


def test_notes_say_what_was_folded(tmp_path):
    made, output = exports.iresnet()
    kept, folded = open_target(builder.saved(made.model(output), tmp_path)).notes
    assert kept == (
        'BatchNorm layers with statistics: 6 '
        '(layer1.0.bn1, layer2.0.bn1, layer3.0.bn1, layer4.0.bn1, ... features)'
    )
    assert 'without statistics: 13;' in folded  # two of each block, four downsamples, the stem's
    made, output = exports.transformer()
    (note, *_) = open_target(builder.saved(made.model(output), tmp_path)).notes
    assert 'only attacks on embeddings' in note


def test_the_shared_export(shared):
    """A network that PyTorch exported, and its own checkpoint."""
    path = shared / 'cases' / '60_iresnet_export.onnx'
    target, plain = open_target(path), open_target(shared / 'cases' / '00_plain.pth')
    found = assert_same(target, onnx.load(path))
    images = images_of(target)
    whole, expected = jax.jit(lambda x: distances.of_image(plain.apply, plain.variables, x))(
        images[0]
    )
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-6)
    ours, theirs = map(distances.layer_names, (target, plain))
    assert ours == (*(f'layer{n}.0.bn1' for n in range(1, 5)), 'bn2', 'features')
    among = [theirs.index(name.replace('.0.', '_0/')) for name in ours]
    kept, _ = jax.jit(lambda x: distances.of_image(target.apply, target.variables, x))(images[0])
    np.testing.assert_allclose(kept, whole[np.array(among)], rtol=1e-4)


@pytest.fixture(scope='module')
def model():
    made, output = exports.iresnet(folded=False)
    return made.model(output)


class TestRecognised:
    """A network with all its layers becomes the registered module, if that computes the same."""

    def test_registered(self, model, tmp_path):
        target = open_target(builder.saved(model, tmp_path))
        assert target.architecture == 'iresnet50'
        assert target.config == {'depths': [1, 1, 1, 1], 'width': 4, 'embedding': 16}
        assert len(distances.layer_names(target)) == 19
        assert_same(target, model)

    def test_other_wiring_under_the_same_names(self, model, tmp_path):
        other = onnx.ModelProto.FromString(model.SerializeToString())
        (last,) = (node for node in other.graph.node if node.op_type == 'Gemm')
        other.graph.node.remove(last)
        twice = onnx.helper.make_node('Relu', [last.input[0]], ['positive'])
        last.input[0] = 'positive'
        other.graph.node.insert(len(other.graph.node) - 1, twice)
        other.graph.node.insert(len(other.graph.node) - 1, last)
        path = builder.saved(other, tmp_path)
        target = open_target(path)
        assert target.architecture == 'onnx'
        assert_same(target, other)
        with pytest.raises(InputError) as caught:
            open_target(path, arch='iresnet50')
        assert caught.value.field == 'arch'

    def test_of_another_architecture(self, model, tmp_path):
        with pytest.raises(InputError) as caught:
            open_target(builder.saved(model, tmp_path), arch='ir50')
        assert caught.value.field == 'arch'


class TestInput:
    def build(self, shape=('N', 3, 16, 16), first=(), **options):
        made = Builder(shape, **options)
        x = 'image'
        for op, value in first:
            x = made.node(op, x, np.asarray(value, np.float32))
        if shape[-1] == 3:
            x = made.node('Transpose', x, perm=[0, 3, 1, 2])
        x = made.node('GlobalAveragePool', made.conv(x, (4, 3, 3, 3)))
        return made.model(made.node('Flatten', x))

    def test_size_and_origins(self, tmp_path):
        target = open_target(builder.saved(self.build(('N', 3, 24, 16)), tmp_path))
        assert (target.input.height, target.input.width) == (24, 16)
        assert target.origins == {
            **dict.fromkeys(('height', 'width'), 'layout'),
            **dict.fromkeys(('mean', 'std', 'colour', 'mirror'), 'assumed'),
        }
        given = open_target(
            builder.saved(self.build(('N', 3, None, None)), tmp_path),
            input={'height': 20, 'std': (255.0, 255.0, 255.0), 'colour': 'bgr'},
        )
        assert (given.input.height, given.input.width) == (20, 112)
        assert [given.origins[name] for name in ('height', 'width', 'std', 'colour')] == [
            *('given', 'assumed', 'given', 'given')
        ]

    def test_channels_last(self, tmp_path):
        """TensorFlow's exports take [N, H, W, C]."""
        model = self.build(('N', 16, 20, 3))
        target = open_target(builder.saved(model, tmp_path))
        assert (target.input.height, target.input.width) == (16, 20)
        images = images_of(target)
        (expected,) = builder.reference(model, images).values()
        found = target.apply(target.variables, images)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize(
        ('first', 'mean', 'std'),
        [
            ([('Sub', 127.5), ('Mul', 0.0078125)], 0.0, 1.0),
            ([('Sub', np.full((1, 3, 1, 1), 127.5)), ('Div', 128.0)], 0.0, 1.0),
            (
                [('Sub', np.full((1, 3, 1, 1), 0.45)), ('Div', np.full((1, 3, 1, 1), 0.22))],
                *(0.0, 255.0),
            ),
            ([('Mul', 2.0)], 127.5, 127.5),
            ([], 127.5, 127.5),
        ],
    )
    def test_normalisation_inside(self, first, mean, std, tmp_path):
        target = open_target(builder.saved(self.build(first=first), tmp_path))
        assert target.input.mean == (mean,) * 3
        assert target.input.std == (std,) * 3
        assert target.origins['mean'] == ('layout' if mean == 0 else 'assumed')

    @pytest.mark.parametrize('shape', [('N', 1, 16, 16), ('N', 3), (None, 16, 16, 4)])
    def test_no_images(self, shape, tmp_path):
        made = Builder(shape)
        with pytest.raises(InputError) as caught:
            open_target(builder.saved(made.model(made.node('Relu', 'image')), tmp_path))
        assert caught.value.field == 'target'

    @pytest.mark.parametrize(
        ('field', 'options'),
        [
            ('input', {'input': {'height': 32}}),
            ('dtype', {'dtype': 'bfloat16'}),
            ('arch', {'arch': 'iresnet18'}),
        ],
    )
    def test_options_that_do_not_fit(self, field, options, tmp_path):
        with pytest.raises(InputError) as caught:
            open_target(builder.saved(self.build(), tmp_path), **options)
        assert caught.value.field == field


def test_names_of_a_registered_network_and_another_size(tmp_path):
    """A transformer's parameters depend on the size: that of the flag, not of the layout."""
    made = Builder(('N', 3, 18, 27))
    for name, shape in (
        ('patch_embed.proj.weight', (32, 3, 9, 9)),
        ('pos_embed', (1, 6, 32)),
        ('mask_token', (1, 1, 32)),
        ('blocks.0.mlp.fc1.weight', (128, 32)),
        ('feature.2.weight', (16, 32)),
        ('feature.3.running_mean', (16,)),
        ('onnx::MatMul_7', (32, 96)),
    ):
        made.drawn(*shape, name=name)
    model = made.model(made.node('Gemm', made.node('Flatten', 'image'), made.drawn(1458, 64)))
    path = builder.saved(model, tmp_path)
    target = open_target(path, input={'height': 18, 'width': 27})
    assert target.architecture == 'onnx'
    assert_same(target, model)


class TestBatch:
    def test_of_one_in_the_file(self, tmp_path):
        """(1, -1) means the images' axis; the blind control sees whole batches."""
        made = Builder((1, 3, 16, 16))
        x = made.norm(made.conv('image', (4, 3, 3, 3), strides=[4, 4]), 4, 'bn')
        x = made.node('Reshape', x, np.array([1, -1]))
        model = made.model(made.node('Gemm', x, made.drawn(64, 16)))
        target = open_target(builder.saved(model, tmp_path))
        assert_same(target, model)
        blind = controls.blind_target(target, noise_faces(8, size=16), seed=0)
        assert np.shape(blind.variables['batch_stats']['bn']['mean']) == (4,)

    def test_one_written_over(self, tmp_path):
        """Exporters call the batch open, and still name the 1 inside: insightface's do."""
        made, output = exports.transformer()
        model = made.model(made.norm(output, 16, 'features'))
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = 'None'
        target = open_target(builder.saved(model, tmp_path))
        assert_same(target, model)
        controls.blind_target(target, noise_faces(8, size=16), seed=0)

    def test_one_at_a_time(self, tmp_path):
        """A graph without an axis of images runs for each alone; it may have no statistics."""
        made = Builder((1, 3, 16, 16))
        x = made.node('Squeeze', 'image', np.array([0]))
        x = made.node('Reshape', x, np.array([1, -1]))
        x = made.node('Gemm', x, made.drawn(768, 16))
        target = open_target(builder.saved(made.model(x), tmp_path))
        assert_same(target, made.model(x))
        with pytest.raises(InputError) as caught:
            open_target(builder.saved(made.model(made.norm(x, 16, 'features')), tmp_path))
        assert caught.value.field == 'target'

    @pytest.mark.parametrize('shape', [[[1, -1], [1, 1]], 768])
    def test_sizes_that_are_no_list(self, shape, tmp_path):
        """A graph that lies: opened for each image alone or refused, never a traceback."""
        made = Builder((1, 3, 16, 16))
        x = made.node('Gemm', made.node('Reshape', 'image', np.array(shape)), made.drawn(768, 8))
        with pytest.raises(InputError) as caught:
            open_target(builder.saved(made.model(x), tmp_path))
        assert caught.value.field == 'target'

    def test_of_four_in_the_file(self, tmp_path):
        made = Builder((4, 3, 8, 8))
        x = made.node('Reshape', 'image', np.array([4, -1]))
        target = open_target(
            builder.saved(made.model(made.node('Gemm', x, made.drawn(192, 16))), tmp_path)
        )
        assert target.apply(target.variables, images_of(target, 3)).shape == (3, 16)
        made = Builder((4, 3, 8, 8))
        x = made.node('Add', made.node('Reshape', 'image', np.array([-1, 48])), made.drawn(16, 48))
        with pytest.raises(InputError) as caught:
            open_target(builder.saved(made.model(x), tmp_path))
        assert caught.value.field == 'target'
        assert caught.value.found == 'a graph for 4 at a time'
        assert 'dynamic batch axis' in caught.value.hint


def test_one_result_is_the_embedding(tmp_path):
    made, output = exports.mobilefacenet()
    length = made.node('ReduceL2', output, axes=[1])
    model = made.model(length, output)
    target = open_target(builder.saved(model, tmp_path))
    assert distances.embedding_size(target) == 12
    other = made.node('Tanh', output)
    with pytest.raises(InputError) as caught:
        open_target(builder.saved(made.model(output, other), tmp_path))
    assert output in caught.value.found
    assert other in caught.value.found


def test_half_precision_is_computed_in_float32(tmp_path):
    made = Builder(('N', 3, 8, 8), elem=onnx.TensorProto.FLOAT16)
    kernel = np.random.default_rng(0).standard_normal((16, 3, 8, 8)).astype(np.float16)
    model = made.model(made.node('Cast', made.node('Conv', 'image', kernel), to=1))
    target = open_target(builder.saved(model, tmp_path))
    image = images_of(target, 1)
    expected = np.einsum('nhwc,ochw->no', image, kernel.astype(np.float32))
    np.testing.assert_allclose(target.apply(target.variables, image), expected, rtol=1e-4)


@pytest.mark.parametrize('norms', [True, False])
def test_audit(norms, tmp_path):
    """One file and two sets of faces give an audit; without statistics, of the people."""
    made = Builder(('N', 3, 16, 16))
    x = made.conv('image', (8, 3, 3, 3), strides=[2, 2])
    x = made.node('Relu', made.norm(x, 8, 'bn1') if norms else x)
    x = made.node('Gemm', made.node('Flatten', x), made.drawn(392, 16))
    path = builder.saved(made.model(made.norm(x, 16, 'features') if norms else x), tmp_path)
    faces = 'procedural:easy,images=2,size=16,people=16'
    # Random weights tell people apart no better under their own convention than under others.
    settings = config.Settings(replicates=100, batch_size=32)
    audited = fr_inference.audit(
        str(path), members=faces, nonmembers=f'{faces},first=16', settings=settings
    )
    audited.save(tmp_path / 'out')
    record = json.loads((tmp_path / 'out' / 'audit.json').read_text())
    assert record['target']['architecture'] == 'onnx'
    assert record['target']['norm_layers'] == (['bn1', 'features'] if norms else [])
    assert ('2 (bn1, features)' in record['target']['notes'][0]) == norms
    ran = {one['attack'] for one in record['membership']['comparisons']}
    assert 'people' in ran
    assert ('bn-distance' in ran) == norms


def test_rows_are_kept(tmp_path):
    """Measurements of a graph are reused as those of a registered architecture are."""
    made, output = exports.mobilefacenet()
    target = open_target(builder.saved(made.model(output), tmp_path))
    faces, told = noise_faces(4, size=32), []
    first, again = (
        measurements.measure(
            target, faces, scores=tmp_path / 'rows', progress=lambda *_, **how: told.append(how)
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    assert {'stored': 4} in told
