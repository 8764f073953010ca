"""The table of variants; shapes only, unless a test needs numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import errors
from fr_inference.measuring import distances
from fr_inference.models import layers, registry
from fr_inference.models.backbones.mobilefacenet import MobileFaceNet
from fr_inference.models.target import InputSpec
from tests.models.drawn import drawn as random_variables
from tests.models.shapes import abstract_variables

SMALL = InputSpec(height=32, width=32)
# Flax's BatchNorm subtracts its float32 mean from bfloat16 features: an error in strict mode.
STANDARD = jax.numpy_dtype_promotion('standard')


def abstract(name, input=None, **config):
    module = registry.build(name, **config)
    return module, abstract_variables(module, input or registry.VARIANTS[name].input)


def drawn(module, input=SMALL):
    return random_variables(registry.abstract_variables(module, input))


def batch_norms(name):
    _, variables = abstract(name)
    return distances.layer_names(registry.make_target(name, variables))


def images(count=4, input=SMALL):
    shape = (count, input.height, input.width, 3)
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize('name', registry.VARIANTS)
def test_parameter_count(name):
    """Of the module as built, against the table (and the table against PyTorch: `parity`)."""
    _, variables = abstract(name)
    assert registry.count_parameters(variables) == registry.VARIANTS[name].parameters
    leaves = jax.tree.leaves(variables)
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype('float32')}


@pytest.mark.parametrize(
    ('name', 'count'), [('iresnet50', 79), ('mobilefacenet_prelu', 50), ('mobilefacenet_relu6', 51)]
)
def test_number_of_batch_norm_layers(name, count):
    """As counted in the public checkpoints."""
    names = batch_norms(name)
    assert len(names) == len(set(names)) == count


@pytest.mark.parametrize('name', ['ir50', 'irse50'])
def test_batch_norms_of_ir(name):
    """Two a block, three shortcuts with weights, one in the stem, two in the head."""
    assert len(batch_norms(name)) == 2 * 24 + 3 + 1 + 2


NARROW = {'expanded': [16, 16], 'channels': [16, 16], 'strides': [2, 2], 'stem_channels': 16}


@pytest.mark.parametrize(
    ('name', 'config'),
    [('tiny', {}), ('mobilefacenet_prelu', {**NARROW, 'last_channels': 32, 'embedding': 32})],
)
@pytest.mark.parametrize('norm', layers.NORMALIZATIONS)
def test_every_norm_runs(name, config, norm):
    module = registry.build(name, norm=norm, **config)
    variables = drawn(module)
    x = images()
    apply = jax.jit(module.apply)
    found = apply(variables, x)
    assert found.shape == (4, 32)
    assert found.dtype == jnp.float32
    assert np.isfinite(found).all()
    assert np.std(found, axis=0).min() > 0  # different images, different embeddings
    assert ('batch_stats' in variables) == (norm == 'batch')
    # In eval mode an image's embedding does not depend on the others in its batch.
    np.testing.assert_allclose(apply(variables, x[::-1])[::-1], found, rtol=1e-3, atol=1e-3)
    others = np.concatenate([x[:1], np.zeros_like(x[1:])])
    np.testing.assert_allclose(apply(variables, others)[:1], found[:1], rtol=1e-3, atol=1e-3)


def test_bfloat16_is_close_to_float32():
    module = registry.build('tiny')
    variables = drawn(module)
    exact = jax.jit(module.apply)(variables, images())
    half_module = registry.build('tiny', dtype='bfloat16')
    with STANDARD:
        half = jax.jit(half_module.apply)(variables, images())
    assert half.dtype == jnp.float32
    products = (exact * half).sum(1)
    cosine = products / np.linalg.norm(exact, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() > 0.999
    assert np.abs(half - exact).max() > 0  # it did compute in another type


@pytest.mark.parametrize('name', ['mobilefacenet_prelu', 'ir50', 'tiny'])
def test_bfloat16_keeps_parameters_and_embedding_float32(name):
    with STANDARD:
        module, variables = abstract(name, dtype='bfloat16')
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    spec = registry.VARIANTS[name].input
    image = jax.ShapeDtypeStruct((2, spec.height, spec.width, 3), jnp.float32)
    with STANDARD:
        assert jax.eval_shape(module.apply, variables, image).dtype == jnp.float32


def test_ir_embeddings_have_unit_length():
    spec = InputSpec(height=16, width=16)
    module = registry.build('irse50', depths=[1, 1, 1, 1], embedding=8)
    variables = drawn(module, spec)
    found = jax.jit(module.apply)(variables, images(3, spec))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_width_depth_and_embedding():
    _, variables = abstract('tiny', depths=[2, 1, 1, 3], width=12, embedding=20)
    params = variables['params']
    blocks = sorted(name for name in params if name.startswith('layer'))
    expected = ['layer1_0', 'layer1_1', 'layer2_0', 'layer3_0', 'layer4_0', 'layer4_1', 'layer4_2']
    assert blocks == expected
    assert params['conv1']['kernel'].shape == (3, 3, 3, 12)
    assert params['layer4_2']['conv2']['kernel'].shape == (3, 3, 96, 96)
    assert params['fc']['kernel'].shape == (2 * 2 * 96, 20)


@pytest.mark.parametrize(
    ('name', 'size', 'head', 'shape'),
    [
        ('iresnet18', (112, 96), ('fc', 'kernel'), (7 * 6 * 512, 512)),
        ('ir50', (64, 112), ('fc', 'kernel'), (4 * 7 * 512, 512)),
        ('tiny', (48, 32), ('fc', 'kernel'), (3 * 2 * 64, 32)),
        ('mobilefacenet_prelu', (128, 112), ('global_depth', 'kernel'), (8, 7, 1, 512)),
    ],
)
def test_input_size_shapes_the_head(name, size, head, shape):
    spec = registry.sized(registry.VARIANTS[name].input, *size)
    module, variables = abstract(name, spec)
    layer, leaf = head
    assert variables['params'][layer][leaf].shape == shape
    image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    assert jax.eval_shape(module.apply, variables, image).shape == (2, module.embedding)


def test_init_matches_abstract_variables():
    module, expected = abstract('tiny')
    found = jax.eval_shape(lambda key: registry.init(module, SMALL, key), jax.random.key(0))
    assert found == expected


def test_target_does_not_change_its_variables():
    variables = drawn(registry.build('tiny'))
    target = registry.make_target('tiny', variables, name='mine')
    before = jax.tree.map(np.array, variables)
    assert isinstance(
        jax.jit(target.apply)(variables, images(2)), jax.Array
    )  # not (output, updates)
    jax.tree.map(np.testing.assert_array_equal, before, variables)
    assert (target.name, target.input) == ('mine', registry.VARIANTS['tiny'].input)


@pytest.mark.parametrize(
    ('name', 'config', 'field', 'found', 'expected'),
    [
        ('resnet50', {}, 'architecture', "'resnet50'", "'iresnet18'"),
        ('tiny', {'widht': 8}, 'config', "'widht'", "a hyper-parameter of tiny: 'depths', 'width'"),
        ('tiny', {'name': 'x'}, 'config', "'name'", 'of tiny'),
        ('tiny', {'axis_name': 'x'}, 'config', "'axis_name'", 'of tiny'),
        ('tiny', {'dtype': 'float16'}, 'dtype', "'float16'", "one of 'float32', 'bfloat16'"),
        ('tiny', {'norm': 'spectral'}, 'norm', "'spectral'", "one of 'batch'"),
        ('tiny', {'norm': ['batch']}, 'norm', "['batch']", "one of 'batch'"),
        ('tiny', {'width': 0}, 'width', '0', 'a whole number from 1'),
        ('tiny', {'width': 8.0}, 'width', '8.0', 'a whole number'),
        ('tiny', {'embedding': 10**9}, 'embedding', '1000000000', 'a whole number'),
        ('tiny', {'embedding': True}, 'embedding', 'True', 'a whole number'),
        ('tiny', {'depths': [1, 1, 1]}, 'depths', '[1, 1, 1]', '4 whole numbers'),
        ('tiny', {'depths': [1, 1, 1, 0]}, 'depths', '[1, 1, 1, 0]', 'from 1'),
        ('tiny', {'depths': '1111'}, 'depths', "'1111'", '4 whole numbers'),
        ('tiny', {'depths': [1, 1, 1, 500]}, 'depths', '[1, 1, 1, 500]', 'at most 128 in all'),
        ('ir50', {'depths': [1, 1, 1, 500]}, 'depths', '[1, 1, 1, 500]', 'at most 128 in all'),
        ('ir50', {'squeeze_excite': 1}, 'squeeze_excite', '1', 'a value like False'),
        ('tiny', {'epsilon': 0.0}, 'epsilon', '0.0', 'a number between 0 and 1'),
        ('tiny', {'epsilon': 1}, 'epsilon', '1', 'a number between 0 and 1'),
        ('mobilefacenet_prelu', {'width': 8}, 'config', "'width'", "'activation', 'stem'"),
        ('mobilefacenet_prelu', {'activation': ''}, 'activation', "''", "one of 'prelu', 'relu'"),
        ('mobilefacenet_prelu', {'strides': []}, 'strides', '[]', '1 to 64 whole numbers'),
    ],
)
def test_bad_options(name, config, field, found, expected):
    with pytest.raises(errors.InputError) as caught:
        registry.build(name, **config)
    assert (caught.value.field, caught.value.found) == (field, found)
    assert expected in caught.value.expected
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('config', 'field'),
    [
        ({'activation': 'PReLU'}, 'activation'),
        ({'strides': (2,)}, 'channels'),
        ({'stem_group': 3}, 'stem_group'),
    ],
)
def test_mobilefacenets_that_do_not_fit_together(config, field):
    """Built without the registry, the module itself refuses them."""
    with pytest.raises(errors.InputError) as caught:
        registry.abstract_variables(MobileFaceNet(**config), SMALL)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ('options', 'field'),
    [
        ({'height': 0}, 'height'),
        ({'width': 5000}, 'width'),
        ({'std': (1.0, 0.0, 1.0)}, 'std'),
        ({'std': (1.0, float('nan'), 1.0)}, 'std'),
        ({'mean': (1.0, 2.0)}, 'mean'),
        ({'mean': (1.0, float('inf'), 2.0)}, 'mean'),
    ],
)
def test_bad_input_specs(options, field):
    with pytest.raises(errors.InputError) as caught:
        InputSpec(**options)
    assert caught.value.field == field


def test_normalize():
    spec = InputSpec(mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0))
    image = jnp.full((1, 1, 3), 26, jnp.uint8)
    assert spec.normalize(image).tolist() == [[[8.0, 1.5, -0.5]]]


def test_targets_of_one_module_share_what_is_compiled():
    config = {'width': 4, 'embedding': 8}
    first, second = (registry.make_target('tiny', {}, config=config) for _ in range(2))
    assert first.apply is second.apply
    other = registry.make_target('tiny', {}, config={**config, 'norm': 'group'})
    assert other.apply is not first.apply
