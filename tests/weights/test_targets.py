"""Targets come out of every kind of file as they went in, and what does not fit is named."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from fr_inference.errors import InputError
from fr_inference.models.target import origins
from fr_inference.weights import families, native_targets
from fr_inference.weights.targets import open_target
from tests.formats import states, writer

TINY = states.iresnet()
CONFIG = {'depths': [1, 1, 1, 1], 'width': 8, 'embedding': 16}


def leaves(target):
    found = jax.tree_util.tree_leaves_with_path(target.variables)
    return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf for path, leaf in found}


def same(first, second):
    first, second = leaves(first), leaves(second)
    assert first.keys() == second.keys()
    for name, leaf in first.items():
        assert leaf.dtype == second[name].dtype == np.float32
        np.testing.assert_array_equal(leaf, second[name])


@pytest.fixture(scope='module')
def tiny():
    return states.filled(TINY)


@pytest.fixture(scope='module')
def plain(tiny, tmp_path_factory):
    """The target of the plain state dict."""
    return open_target(writer.save(tmp_path_factory.mktemp('plain') / 'plain.pt', tiny))


def test_what_a_target_says(plain):
    assert (plain.name, plain.architecture, plain.config) == ('plain', 'iresnet50', CONFIG)
    assert (plain.input.height, plain.input.width) == (32, 32)
    assert len(plain.sha256) == 64
    assert plain.notes == ()
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), np.float32)
    assert jax.eval_shape(plain.apply, plain.variables, images).shape == (2, 16)


def test_layouts(plain, tiny):
    """By hand, on one tensor of each kind: NCHW becomes NHWC."""
    found = leaves(plain)
    np.testing.assert_array_equal(
        found['params/layer2_0/conv1/kernel'], tiny['layer2.0.conv1.weight'].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(
        found['params/layer2_0/downsample_conv/kernel'],
        tiny['layer2.0.downsample.0.weight'][:, :, 0, 0].T,
    )
    columns = tiny['fc.weight'].reshape(16, 64, 2, 2)  # output, channel, row, column
    kernel = np.asarray(found['params/fc/kernel']).reshape(2, 2, 64, 16)
    np.testing.assert_array_equal(kernel[1, 0, 5], columns[:, 5, 1, 0])
    np.testing.assert_array_equal(found['batch_stats/bn2/var'], tiny['bn2.running_var'])


@pytest.mark.parametrize('form', writer.FORMATS)
@pytest.mark.parametrize('outer', [None, 'state_dict', 'net_state_dict', 'model', 'backbone'])
@pytest.mark.parametrize('prefix', ['', 'module.', 'backbone.', 'module.backbone.'])
def test_nesting_and_prefixes(tmp_path, tiny, plain, form, outer, prefix):
    value = {prefix + name: array for name, array in tiny.items()}
    value = value if outer is None else {'epoch': 3, outer: value}
    target = open_target(writer.save(tmp_path / 'file.pth', value, form))
    same(target, plain)
    assert (target.architecture, target.config) == (plain.architecture, plain.config)


def test_safetensors(tmp_path, tiny, plain):
    safetensors.numpy.save_file(tiny, tmp_path / 'file.safetensors')
    same(open_target(tmp_path / 'file.safetensors'), plain)


@pytest.mark.parametrize('dtype', [np.float16, np.float64, jax.numpy.bfloat16])
def test_other_precisions(tmp_path, tiny, dtype):
    """Widened exactly, or narrowed to float32."""
    cast = {name: a.astype(dtype) if a.ndim else a for name, a in tiny.items()}
    wide = {name: array.astype(np.float32) for name, array in cast.items()}
    same(
        open_target(writer.save(tmp_path / 'cast.pt', cast)),
        open_target(writer.save(tmp_path / 'wide.pt', wide)),
    )


@pytest.mark.parametrize(
    'names',
    [
        ['head.weight'],
        ['classifier.weight', 'classifier.bias'],
        ['margin.weight'],
        ['arcface.kernel'],
        ['metric_fc.weight'],
        ['loss.weight'],
    ],
)
def test_heads_are_set_aside_and_named(tmp_path, tiny, plain, names):
    extra = {name: np.ones((9, 16), np.float32) for name in names}
    target = open_target(writer.save(tmp_path / 'file.pt', {**tiny, **extra}))
    same(target, plain)
    assert len(target.notes) == 1
    for name in names:
        assert name in target.notes[0]


@pytest.mark.parametrize('name', ['weight', 'probe.weight', 'stranger.2.kernel'])
@pytest.mark.parametrize('turned', [False, True])
def test_heads_of_any_name_are_told_by_their_shape(tmp_path, tiny, plain, name, turned):
    """With a bias as long as the other side, and single numbers beside."""
    folder = name.rpartition('.')[0]
    beside = {f'{folder}.{leaf}'.strip('.'): shape for leaf, shape in (('b', (9,)), ('t', (1,)))}
    extra = {name: np.ones((16, 9) if turned else (9, 16), np.float32)}
    extra |= {beside_name: np.ones(shape, np.float32) for beside_name, shape in beside.items()}
    target = open_target(writer.save(tmp_path / 'file.pt', {**tiny, **extra}))
    same(target, plain)
    assert target.notes == (f'set aside (not part of the backbone): {", ".join(extra)}',)


@pytest.mark.parametrize('shape', [(9, 15), (16,), (9, 16, 1), (16, 9, 1, 1)])
def test_other_shapes_are_no_head(tmp_path, tiny, shape):
    extra = {'stranger.weight': np.ones(shape, np.float32)}
    with pytest.raises(InputError) as caught:
        open_target(writer.save(tmp_path / 'file.pt', {**tiny, **extra}))
    assert '1 unmatched (stranger.weight)' in caught.value.found


def test_what_stands_beside_the_backbone_is_named(tmp_path, tiny, plain):
    value = {f'backbone.{name}': array for name, array in tiny.items()}
    value['product.weight'] = np.ones((9, 16), np.float32)
    target = open_target(writer.save(tmp_path / 'file.pt', value))
    same(target, plain)
    assert target.notes == ('set aside (not part of the backbone): product.weight',)


@pytest.mark.parametrize('dtype', [np.int64, np.float32])
def test_a_counter_beside_the_backbone(tmp_path, tiny, plain, dtype):
    """`torch.optim.swa_utils.AveragedModel` keeps one. A fraction may be a weight of the network."""
    names = {f'module.{name}': value for name, value in tiny.items()}
    writer.save(tmp_path / 'swa.pth', {'n_averaged': np.array(3, dtype), **names})
    if dtype == np.int64:
        target = open_target(tmp_path / 'swa.pth')
        same(target, plain)
        assert target.notes == ('set aside (not part of the backbone): n_averaged',)
    else:
        with pytest.raises(InputError) as caught:
            open_target(tmp_path / 'swa.pth')
        assert 'n_averaged' in caught.value.found


def test_many_things_beside_the_backbone_are_counted(tmp_path, tiny, plain):
    moments = {name: np.ones(3, np.float32) for name in tiny if not name.startswith('bn1')}
    value = {'net': tiny, 'optimizer': {'a': moments, 'b': moments}, 'head': {'w': np.ones(2)}}
    target = open_target(writer.save(tmp_path / 'file.pt', value))
    same(target, plain)
    counted = f'optimizer ({2 * len(moments)} tensors), head (1 tensors)'
    assert sorted(target.notes[0].split(': ')[1].split(', ')) == sorted(counted.split(', '))


@pytest.mark.parametrize('wrapper', ['_orig_mod', '_fsdp_wrapped_module', 'module'])
def test_wrappers_inside_names(tmp_path, tiny, plain, wrapper):
    value = {name.replace('.0.', f'.0.{wrapper}.'): array for name, array in tiny.items()}
    target = open_target(writer.save(tmp_path / 'file.pt', {'model': value}))
    same(target, plain)
    assert target.notes == ()


def test_other_containers(tmp_path, tiny, plain):
    """A list, NumPy arrays, TorchScript, a module pickled whole."""
    np.savez(tmp_path / 'a.npz', **tiny)
    files = [writer.save(tmp_path / 'b.pt', [1, [tiny]]), tmp_path / 'a.npz']
    for make in (writer.scripted, whole_module):
        keep: list[np.ndarray] = []
        files.append(tmp_path / f'{make.__name__}.pt')
        files[-1].write_bytes(writer.zip_bytes(writer.PROTO + make(tiny, keep) + b'.', keep))
    for file in files:
        same(open_target(file), plain)


def whole_module(state, keep, **options):
    tables: dict = {'_parameters': {}, '_buffers': {}, '_modules': {}, **options}
    inner: dict[str, dict] = {}
    for name, value in state.items():
        head, _, rest = name.partition('.')
        if rest:
            inner.setdefault(head, {})[rest] = value
        else:
            tables['_parameters'][head] = value
    tables['_modules'] = {name: whole_module(part, keep, **options) for name, part in inner.items()}
    return writer.built('net', 'Module', tables, keep)


def test_an_epsilon_that_the_file_tells(tmp_path, tiny, plain):
    """A backbone that divides by another epsilon gives other embeddings."""
    for epsilon in (1e-5, 2e-5):
        keep: list[np.ndarray] = []
        data = writer.PROTO + whole_module(tiny, keep, eps=epsilon) + b'.'
        path = tmp_path / f'{epsilon}.pt'
        path.write_bytes(writer.zip_bytes(data, keep))
        if epsilon == 1e-5:
            same(open_target(path), plain)
            continue
        with pytest.raises(InputError) as caught:
            open_target(path)
        assert '2e-05' in caught.value.found


QUANTISED = writer.call('torch._utils', '_rebuild_qtensor', writer.storage('0', 'uint8', 4))


def test_tensors_in_another_form(tmp_path, tiny, plain):
    """Beside the backbone they are set aside, among its own they are an error."""
    path = tmp_path / 'file.pt'
    same(open_target(writer.save(path, {'net': tiny, 'side': {'w': QUANTISED}})), plain)
    for name in ('bn1.weight', 'layer1.0.se.weight'):
        with pytest.raises(InputError) as caught:
            open_target(writer.save(path, {'net': {**tiny, name: QUANTISED}}))
        assert f'{name} (torch._utils._rebuild_qtensor)' in caught.value.found


class TestWhatDoesNotFit:
    @pytest.fixture
    def fails(self, tmp_path):
        def check(state, **options):
            path = writer.save(tmp_path / 'file.pt', state)
            with pytest.raises(InputError) as caught:
                open_target(path, **options)
            assert '\n' not in str(caught.value)
            return caught.value

        return check

    def test_all_kinds_are_listed(self, fails, tiny):
        state = dict(tiny)
        lost = [name for name in tiny if name.startswith('layer3.0.') and 'num' not in name]
        for name in lost:
            del state[name]
        state |= {f'stranger{i}.weight': np.ones(2, np.float32) for i in range(6)}
        state['bn1.weight'] = np.ones(9, np.float32)
        state['conv1.weight'] = state['conv1.weight'][..., 0]
        error = fails(state)
        assert error.field == 'target'
        assert error.inside.endswith('file.pt: as iresnet50')
        message = error.found
        assert '6 unmatched' in message
        assert f'{len(lost)} missing' in message
        assert '2 misshaped' in message
        for name in (*lost[:12], *(f'stranger{i}.weight' for i in range(6))):
            assert name in message
        assert f'and {len(lost) - 12} more' in message
        assert 'bn1.weight is [9], expected what gives [8]' in message

    def test_no_statistics(self, fails, tiny):
        state = {name: a for name, a in tiny.items() if 'running' not in name and a.ndim}
        error = fails(state)
        assert error.found.startswith('iresnet50 without BatchNorm statistics')
        assert 'state_dict()' in error.hint

    def test_some_statistics(self, fails, tiny):
        state = {name: a for name, a in tiny.items() if name != 'bn2.running_var'}
        assert '1 missing (bn2.running_var)' in fails(state).found

    def test_another_arch(self, fails, tiny):
        error = fails(tiny, arch='iresnet18')
        assert error.field == 'target'
        assert 'as iresnet18' in error.inside
        assert 'missing' in error.found
        assert 'layer1.1.bn1.weight' in error.found
        assert 'missing' in fails(tiny, arch='mobilefacenet_relu6').found

    def test_unknown_arch(self, fails, tiny):
        error = fails(tiny, arch='resnet')
        assert (error.field, error.found) == ('arch', "'resnet'")
        assert 'iresnet50' in error.expected

    def test_another_network(self, fails):
        error = fails({'layer1.0.conv1.weight': np.ones((2, 2)), 'fc.weight': np.ones((2, 2))})
        assert 'no known backbone in these 2 tensors (layer1.0.conv1.weight' in error.found
        assert 'ONNX' in error.hint

    def test_another_input(self, fails, tiny):
        assert 'misshaped' in fails(tiny, input={'height': 64, 'width': 64}).found


def test_arch_of_the_right_name(tmp_path, tiny, plain):
    same(open_target(writer.save(tmp_path / 'file.pt', tiny), arch='iresnet50'), plain)


def test_arch_chooses_the_same_rules(tmp_path):
    """The embedded variant's depths and widths, under its own name."""
    shapes = states.iresnet(embedding=32)
    path = writer.save(tmp_path / 'file.pt', states.filled(shapes))
    target = open_target(path, arch='tiny')
    assert (target.architecture, target.config) == ('tiny', {})
    same(target, open_target(path))


def test_input_and_dtype(tmp_path, tiny):
    shapes = states.iresnet(side=64)
    path = writer.save(tmp_path / 'file.pt', states.filled(shapes))
    assert open_target(path).input.width == 64
    wide = open_target(path, input={'height': 32, 'width': 128, 'mean': (1.0, 2.0, 3.0)})
    assert (wide.input.height, wide.input.width, wide.input.mean) == (32, 128, (1.0, 2.0, 3.0))
    with jax.numpy_dtype_promotion('standard'):  # Linen's BatchNorm mixes them
        half = open_target(path, dtype='bfloat16')
    assert half.config['dtype'] == 'bfloat16'
    same(half, open_target(path))


def test_another_order_of_colours_takes_mean_and_std_along(tmp_path, tiny, plain):
    path = writer.save(tmp_path / 'plain.pt', tiny)
    first = {'mean': (1.0, 2.0, 3.0), 'std': (4.0, 5.0, 6.0)}
    native_targets.save_target(tmp_path / 'native', open_target(path, input=first))
    found = open_target(tmp_path / 'native', input={'colour': 'bgr'}).input
    assert (found.colour, found.mean, found.std) == ('bgr', (3.0, 2.0, 1.0), (6.0, 5.0, 4.0))
    found = open_target(tmp_path / 'native', input={'colour': 'bgr', 'mean': (7.0, 8.0, 9.0)}).input
    assert (found.mean, found.std) == ((7.0, 8.0, 9.0), (6.0, 5.0, 4.0))
    same = open_target(tmp_path / 'native', input={'colour': 'rgb'}).input
    assert same.mean == (1.0, 2.0, 3.0)
    with pytest.raises(InputError) as caught:
        open_target(path, input={'color': 'bgr'})
    assert (caught.value.field, caught.value.found) == ('input', "'color'")


class TestOrigins:
    """How each field of the input is known."""

    def test_of_a_file(self, tmp_path, tiny, monkeypatch):
        path = writer.save(tmp_path / 'plain.pt', tiny)
        assert set(open_target(path).origins.values()) == {'layout'}
        known = open_target(path, input={'colour': 'bgr'}).origins
        assert known == {**origins('layout'), 'colour': 'given'}
        recognise = families.recognise

        def unsure(*arguments, **keywords):
            match, *rest = recognise(*arguments, **keywords)
            return dataclasses.replace(match, assumed=('colour', 'mirror')), *rest

        monkeypatch.setattr(families, 'recognise', unsure)
        known = open_target(path).origins
        assert known == {**origins('layout'), 'colour': 'assumed', 'mirror': 'assumed'}
        assert open_target(path, input={'colour': 'rgb'}).origins['colour'] == 'given'

    def test_of_a_native_folder(self, tmp_path, plain):
        """What was given when it was written is not given by the user of now."""
        folder = tmp_path / 'native'
        known = {**origins('layout'), 'colour': 'given', 'mirror': 'assumed'}
        native_targets.save_target(folder, dataclasses.replace(plain, origins=known))
        assert json.loads((folder / 'target.json').read_text())['input']['origins'] == known
        assert open_target(folder).origins == {**origins('layout'), 'mirror': 'assumed'}
        assert open_target(folder, input={'std': (1.0, 1.0, 1.0)}).origins['std'] == 'given'


def test_native_directory(tmp_path, plain):
    native_targets.save_target(tmp_path / 'native', plain)
    target = open_target(tmp_path / 'native', arch='iresnet50')
    same(target, plain)
    assert (target.name, target.architecture, target.config) == ('plain', 'iresnet50', CONFIG)
    moved = open_target(tmp_path / 'native', input={'mean': (0.0, 0.0, 0.0)})
    assert moved.input.mean == (0.0, 0.0, 0.0)
    same(moved, plain)
    with pytest.raises(InputError) as caught:
        open_target(tmp_path / 'native', arch='ir50')
    assert (caught.value.field, caught.value.found) == ('arch', "'ir50'")
    with pytest.raises(InputError) as caught:
        open_target(tmp_path / 'native', input={'height': 64, 'width': 64})
    assert (caught.value.field, caught.value.found) == ('input_size', '64x64')


@pytest.mark.parametrize('name', ['none', 'x' * 5000, ''])
def test_nothing_there(tmp_path, name):
    with pytest.raises(InputError) as caught:
        open_target(tmp_path / name if name == 'none' else name, field='blind')
    assert (caught.value.field, caught.value.inside) == ('blind', '')
    assert name[:9] in caught.value.found
    assert 'demo_leaky' in caught.value.expected


def test_a_directory(tmp_path):
    with pytest.raises(InputError) as caught:
        open_target(tmp_path)
    assert caught.value.field == 'target'
    assert 'without target.json' in caught.value.found


def test_dtype_is_checked_first(tmp_path):
    with pytest.raises(InputError) as caught:
        open_target(tmp_path / 'none', dtype='float8')
    assert (caught.value.field, caught.value.found) == ('dtype', "'float8'")
