"""Native targets: all or nothing, bit for bit; what is damaged or does not fit is named."""

import dataclasses
import json
import os
import pathlib
import shutil

import flax.linen as nn
import jax
import numpy as np
import pytest
import safetensors.numpy

from fr_inference import checkpointing
from fr_inference.errors import InputError
from fr_inference.formats import safetensors_file
from fr_inference.models import registry
from fr_inference.models.target import InputSpec, origins
from fr_inference.weights import native_folders, native_targets, rules
from fr_inference.weights.targets import open_target
from tests.formats import states, writer
from tests.weights import native
from tests.weights.native import CONFIG, INPUT, described, filled, refused, same


@pytest.fixture(scope='module')
def target():
    return native.target()


class Toy(nn.Module):
    """A backbone that no other file knows."""

    features: int = 5
    scale: float = 1.0

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(self.features, name='embed')(self.scale * x.mean(axis=(1, 2)))


class TestTargets:
    def test_round_trip(self, tmp_path, target):
        native_targets.save_target(tmp_path / 'deep' / 'folder', target)
        found = native_targets.load_target(tmp_path / 'deep' / 'folder')
        same(found.variables, target.variables)
        for field in ('name', 'architecture', 'config', 'input', 'recipe', 'notes'):
            assert getattr(found, field) == getattr(target, field)
        assert found.sha256 == checkpointing.digest(target.variables)
        again = registry.make_target('tiny', found.variables, config=CONFIG)
        assert found.module == again.module

    def test_relative_path(self, tmp_path, target, monkeypatch):
        monkeypatch.chdir(tmp_path)
        native_targets.save_target('folder', target)
        assert native_targets.is_target('folder')
        same(native_targets.load_target('folder').variables, target.variables)

    def test_moved_folder(self, tmp_path, target):
        native_targets.save_target(tmp_path / 'a', target)
        os.rename(tmp_path / 'a', tmp_path / 'b')
        same(native_targets.load_target(tmp_path / 'b').variables, target.variables)

    def test_dtype_in_its_place(self, tmp_path, target):
        native_targets.save_target(tmp_path, target)
        with jax.numpy_dtype_promotion('standard'):  # Linen's BatchNorm mixes them
            found = native_targets.load_target(tmp_path, dtype='bfloat16')
        assert found.config == {**CONFIG, 'dtype': 'bfloat16'}
        same(found.variables, target.variables)
        with pytest.raises(InputError) as caught:
            native_targets.load_target(tmp_path, dtype='float8')
        assert (caught.value.field, caught.value.found) == ('dtype', "'float8'")

    def test_replaced(self, tmp_path, target):
        native_targets.save_target(tmp_path, target, members=[('a.png', 'a', '1' * 64)])
        other = dataclasses.replace(target, variables=filled(1), name='other')
        native_targets.save_target(tmp_path, other)
        found = native_targets.load_target(tmp_path)
        same(found.variables, other.variables)
        assert found.name == 'other'
        assert native_targets.read_members(tmp_path) is None  # they were the first one's

    @pytest.mark.parametrize('step', range(9))
    def test_an_interrupted_save_leaves_the_old_one_or_none(
        self, tmp_path, target, monkeypatch, step
    ):
        """Killed before each change of the folder in turn: never a part of the new one."""
        members = [('a.png', 'a', '1' * 64)]
        native_targets.save_target(tmp_path / 'a', target, members=members)
        other = dataclasses.replace(target, variables=filled(1), name='other')
        left = step

        def counted(function):
            def call(*arguments, **options):
                nonlocal left
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
                return function(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(safetensors_file, 'write', counted(safetensors_file.write))
            for name in ('write_text', 'unlink'):
                patch.setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
            patch.setattr(os, 'replace', counted(os.replace))
            try:
                native_targets.save_target(tmp_path / 'a', other)
                killed = False
            except KeyboardInterrupt:
                killed = True
        assert killed == (step < 8)  # 2 written, 2 removed, 2 renamed, 2 cleaned up
        if native_targets.is_target(tmp_path / 'a'):
            found = native_targets.load_target(tmp_path / 'a')
            new = found.name == 'other'
            same(found.variables, (other if new else target).variables)
            assert native_targets.read_members(tmp_path / 'a') == (None if new else ['1' * 64])
        native_targets.save_target(tmp_path / 'a', other)
        assert native_targets.load_target(tmp_path / 'a').name == 'other'
        assert sorted(os.listdir(tmp_path / 'a')) == ['target.json', 'variables.safetensors']

    def test_anybody_can_read_the_weights(self, tmp_path, target):
        native_targets.save_target(tmp_path, target)
        found = safetensors.numpy.load_file(tmp_path / 'variables.safetensors')
        assert found.keys() == rules.by_path(target.variables).keys()
        for name, leaf in rules.by_path(target.variables).items():
            np.testing.assert_array_equal(found[name], leaf)

    def test_the_same_target_gives_the_same_files(self, tmp_path, target):
        for name in 'ab':
            native_targets.save_target(tmp_path / name, target)
        for file in ('target.json', 'variables.safetensors'):
            assert (tmp_path / 'a' / file).read_bytes() == (tmp_path / 'b' / file).read_bytes()

    def test_every_flipped_bit_is_noticed(self, tmp_path, target):
        """Wherever it is in the file: one line, or (in its free text) the very same weights."""
        native_targets.save_target(tmp_path, target)
        file = tmp_path / 'variables.safetensors'
        record = json.loads((tmp_path / 'target.json').read_text())
        expected = jax.eval_shape(lambda: target.variables)
        data = file.read_bytes()
        draw = np.random.default_rng(0)
        header = 8 + int.from_bytes(data[:8], 'little')
        bits = [*draw.integers(0, 8 * len(data), 150), *draw.integers(0, 8 * header, 150)]
        unnoticed = []
        for bit in map(int, bits):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            file.write_bytes(flipped)
            try:
                found, _, _ = native_folders.load_variables(tmp_path, record, expected)
            except InputError as error:
                lines = (error.field, str(error).count('\n'))
            else:
                lines = (str(file), 0)
                same(found, target.variables)
                unnoticed.append(bit // 8)
            assert lines == (str(file), 0)
        assert all(position < header for position in unnoticed)
        assert len(unnoticed) < 20

    def test_weights_of_another_target(self, tmp_path, target):
        native_targets.save_target(tmp_path / 'a', target)
        native_targets.save_target(tmp_path / 'b', dataclasses.replace(target, variables=filled(1)))
        file = 'variables.safetensors'
        shutil.copy(tmp_path / 'b' / file, tmp_path / 'a' / file)
        with pytest.raises(InputError) as caught:
            native_targets.load_target(tmp_path / 'a')
        assert caught.value.field == str((tmp_path / 'a' / file).resolve())
        assert 'SHA-256' in caught.value.found

    @pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full')
    def test_a_full_disk_leaves_the_old_one(self, tmp_path, target, monkeypatch):
        native_targets.save_target(tmp_path, target)
        before = sorted(os.listdir(tmp_path))
        write = safetensors_file.write
        monkeypatch.setattr(
            safetensors_file, 'write', lambda _path, *rest: write('/dev/full', *rest)
        )
        with pytest.raises(OSError, match='No space left'):
            native_targets.save_target(tmp_path, dataclasses.replace(target, name='other'))
        assert native_targets.load_target(tmp_path).name == target.name
        assert sorted(os.listdir(tmp_path)) == before

    def test_a_new_architecture_needs_no_table_of_names(self, tmp_path, monkeypatch):
        """Registered, it is saved, opened and described by its own hyper-parameters."""
        variant = registry.Variant(Toy, InputSpec(height=8, width=8), 3 * 5 + 5)
        monkeypatch.setitem(registry.VARIANTS, 'toy', variant)
        config = {'features': 7, 'scale': 0.5}
        module = registry.build('toy', **config)
        variables = jax.tree.map(
            lambda leaf: np.ones(leaf.shape, leaf.dtype),
            registry.abstract_variables(module, variant.input),
        )
        native_targets.save_target(
            tmp_path, registry.make_target('toy', variables, config=config, name='mine')
        )
        found = open_target(tmp_path)
        assert (found.name, found.architecture, found.config) == ('mine', 'toy', config)
        same(found.variables, variables)
        assert found.apply(found.variables, np.ones((2, 8, 8, 3), np.float32)).shape == (2, 7)
        path = writer.save(tmp_path / 'file.pt', states.filled(states.iresnet()))
        with pytest.raises(InputError) as caught:
            open_target(path, arch='toy')
        assert caught.value.field == 'arch'
        assert 'no table of names' in caught.value.found

    def test_a_recipe_that_is_no_json(self, tmp_path, target):
        """It would stop an audit at its end, when its record is written."""
        recipe = {'loss': float('nan')}
        native_targets.save_target(tmp_path, dataclasses.replace(target, recipe=recipe))
        error = refused(tmp_path, 'target.json')
        assert 'the number NaN' in error.found
        described(tmp_path, recipe=None)
        file = tmp_path / 'target.json'
        file.write_text(file.read_text().replace('"recipe": null', '"recipe": {"loss": 1e999}'))
        assert 'the number 1e999' in refused(tmp_path, 'target.json').found

    def test_a_stranger_does_not_speak_to_the_terminal(self, tmp_path, target):
        native_targets.save_target(tmp_path, target)
        described(tmp_path, name='a\x1b[2J\n', source={'notes': ['b\x1b]0;c\x07']})
        found = native_targets.load_target(tmp_path)
        assert (found.name, found.notes) == (r'a\x1b[2J\n', (r'b\x1b]0;c\x07',))

    def test_where_it_can_not_go(self, tmp_path, target):
        (tmp_path / 'file').write_text('text')
        theirs = tmp_path / 'theirs' / 'variables.safetensors'
        theirs.parent.mkdir()
        safetensors.numpy.save_file({'a': np.ones(1)}, theirs)
        (tmp_path / 'folder' / 'variables.safetensors').mkdir(parents=True)
        for folder, field, found in (
            ('file', 'file', 'a file'),
            ('file/below', 'file/below', 'a folder that cannot be created'),
            ('theirs', 'theirs/variables.safetensors', 'that fr_inference did not write'),
            ('folder', 'folder/variables.safetensors', 'that fr_inference did not write'),
        ):
            with pytest.raises(InputError) as caught:
                native_targets.save_target(tmp_path / folder, target)
            assert caught.value.field == str(tmp_path / field)
            assert found in caught.value.found
        assert safetensors.numpy.load_file(theirs)['a'] == 1
        (tmp_path / 'mine' / 'variables').mkdir(parents=True)
        (tmp_path / 'mine' / 'variables' / 'thesis.txt').write_text('text')
        native_targets.save_target(tmp_path / 'mine', target)
        assert (tmp_path / 'mine' / 'variables' / 'thesis.txt').exists()

    def test_only_registered_architectures(self, tmp_path, target):
        with pytest.raises(InputError) as caught:
            native_targets.save_target(tmp_path, dataclasses.replace(target, architecture='custom'))
        assert (caught.value.field, caught.value.found) == ('architecture', "'custom'")

    def test_what_does_not_fit_is_listed(self, tmp_path, target):
        native_targets.save_target(tmp_path / 'a', target)
        described(tmp_path / 'a', config={'embedding': 8, 'depths': [2, 1, 1, 1]})
        found = refused(tmp_path / 'a').found
        assert 'batch_stats/layer1_1/bn1/mean' in found.partition('missing')[2]
        assert 'params/fc/bias is float32[16] instead of float32[8]' in found
        described(tmp_path / 'a', config={'embedding': 16, 'norm': 'layer'})
        assert 'unmatched (batch_stats/' in refused(tmp_path / 'a').found

    def test_integers_for_numbers(self, tmp_path, target):
        whole = jax.tree.map(lambda leaf: leaf.astype(np.int32), target.variables)
        native_targets.save_target(tmp_path, dataclasses.replace(target, variables=whole))
        assert 'is int32[16] instead of float32[16]' in refused(tmp_path).found

    def test_nothing_there(self, tmp_path):
        assert not native_targets.is_target(tmp_path)
        assert refused(tmp_path, 'target.json').found == 'no such file'

    @pytest.mark.parametrize(
        ('changes', 'inside', 'found'),
        [
            ({'schema': 3}, 'schema', '3'),
            ({'architecture': 'resnet'}, 'architecture', "'resnet'"),
            ({'input': None}, '', 'a description that cannot be used'),
            ({'input': {'height': 1, 'width': 1, 'mean': [1], 'std': [1, 1, 1]}}, '', 'a descr'),
            ({'input': {**INPUT, 'origins': {}}}, '', 'a description that cannot be used'),
            (
                {'input': {**INPUT, 'origins': {**origins('layout'), 'std': 'me'}}},
                '',
                'a description that',
            ),
            ({'input': {**INPUT, 'colour': 'cmyk'}}, 'colour', "'cmyk'"),
            ({'config': {'axis_name': 'x'}}, 'config', "'axis_name'"),
            ({'config': {'code': 'x'}}, 'config', "'code'"),
            ({'config': {'width': 0}}, 'width', '0'),
            ({'recipe': ['x']}, 'recipe', "['x']"),
        ],
    )
    def test_descriptions(self, tmp_path, target, changes, inside, found):
        native_targets.save_target(tmp_path, target)
        described(tmp_path, **changes)
        error = refused(tmp_path, 'target.json')
        assert inside in error.inside
        assert found in f'{error.inside}: {error.found}'
