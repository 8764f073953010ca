"""Native checkpoints: all or nothing, bit for bit; what does not fit is named."""

import asyncio
import concurrent.futures
import csv
import dataclasses
import json
import logging
import os
import types

import jax
import numpy as np
import pytest

from fr_inference import checkpointing
from fr_inference.errors import InputError
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from fr_inference.weights import native_targets

CONFIG = {'embedding': 16}


def filled(seed=0, **config):
    """Variables of the tiny network, drawn without compiling anything."""
    module = registry.build('tiny', **{**CONFIG, **config})
    abstract = registry.abstract_variables(module, registry.VARIANTS['tiny'].input)
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: draw.normal(size=leaf.shape).astype(leaf.dtype), abstract)


@pytest.fixture(scope='module')
def target():
    return registry.make_target(
        'tiny',
        filled(),
        config=CONFIG,
        input=InputSpec(height=32, width=32, mean=(1.0, 2.5, 3.0), std=(4.0, 5.0, 1 / 3)),
        name='näme',
        sha256='0' * 64,
        recipe={'epochs': 3, 'margin': {'m2': 0.5}},
        notes=('set aside: head',),
    )


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert jax.tree.map(lambda leaf: leaf.dtype, first) == jax.tree.map(
        lambda leaf: leaf.dtype, second
    )


def described(directory, **changes):
    file = directory / 'target.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


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
        with pytest.raises(InputError, match='float8'):
            native_targets.load_target(tmp_path, dtype='float8')

    def test_replaced(self, tmp_path, target):
        native_targets.save_target(tmp_path, target, members=[('a.png', 'a', '1' * 64)])
        other = dataclasses.replace(target, variables=filled(1), name='other')
        native_targets.save_target(tmp_path, other)
        found = native_targets.load_target(tmp_path)
        same(found.variables, other.variables)
        assert found.name == 'other'
        assert native_targets.read_members(tmp_path) is None  # they were the first one's

    def test_an_interrupted_save_is_no_checkpoint(self, tmp_path, target, monkeypatch):
        """Neither the old one nor half of the new one."""
        native_targets.save_target(tmp_path, target)

        def killed(*_, **options):
            raise KeyboardInterrupt

        for module, name, value in (
            (checkpointing, 'save_tree', killed),
            (native_targets, 'json', types.SimpleNamespace(dumps=killed)),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(module, name, value)
                with pytest.raises(KeyboardInterrupt):
                    native_targets.save_target(tmp_path, target)
            assert not native_targets.is_target(tmp_path)
        native_targets.save_target(tmp_path, target)
        assert native_targets.is_target(tmp_path)

    def test_a_recipe_that_is_no_json(self, tmp_path, target):
        """It would stop an audit at its end, when its record is written."""
        recipe = {'loss': float('nan')}
        native_targets.save_target(tmp_path, dataclasses.replace(target, recipe=recipe))
        with pytest.raises(InputError, match=r'target\.json: .*the number NaN'):
            native_targets.load_target(tmp_path)
        described(tmp_path, recipe=None)
        file = tmp_path / 'target.json'
        file.write_text(file.read_text().replace('"recipe": null', '"recipe": {"loss": 1e999}'))
        with pytest.raises(InputError, match=r'target\.json: .*the number 1e999'):
            native_targets.load_target(tmp_path)

    def test_a_stranger_does_not_speak_to_the_terminal(self, tmp_path, target):
        native_targets.save_target(tmp_path, target)
        described(tmp_path, name='a\x1b[2J\n', source={'notes': ['b\x1b]0;c\x07']})
        found = native_targets.load_target(tmp_path)
        assert (found.name, found.notes) == (r'a\x1b[2J\n', (r'b\x1b]0;c\x07',))

    def test_where_it_can_not_go(self, tmp_path, target):
        (tmp_path / 'file').write_text('text')
        with pytest.raises(InputError, match='found a file'):
            native_targets.save_target(tmp_path / 'file', target)
        with pytest.raises(InputError, match='can not be made'):
            native_targets.save_target(tmp_path / 'file' / 'below', target)
        (tmp_path / 'mine' / 'variables').mkdir(parents=True)
        (tmp_path / 'mine' / 'variables' / 'thesis.txt').write_text('text')
        with pytest.raises(InputError, match='would be replaced'):
            native_targets.save_target(tmp_path / 'mine', target)
        assert (tmp_path / 'mine' / 'variables' / 'thesis.txt').exists()

    def test_only_registered_architectures(self, tmp_path, target):
        with pytest.raises(InputError, match="architecture: found 'custom'"):
            native_targets.save_target(tmp_path, dataclasses.replace(target, architecture='custom'))

    def test_what_does_not_fit_is_listed(self, tmp_path, target):
        native_targets.save_target(tmp_path / 'a', target)
        described(tmp_path / 'a', config={'embedding': 8, 'depths': [2, 1, 1, 1]})
        with pytest.raises(InputError) as caught:
            native_targets.load_target(tmp_path / 'a')
        message = str(caught.value)
        assert '\n' not in message
        assert 'params/layer1_1/conv1/kernel' in message.partition('missing')[2]
        assert 'params/fc/bias is float32[16] instead of float32[8]' in message
        described(tmp_path / 'a', config={'embedding': 16, 'norm': 'layer'})
        with pytest.raises(InputError, match=r'unmatched \(batch_stats/'):
            native_targets.load_target(tmp_path / 'a')

    def test_integers_for_numbers(self, tmp_path, target):
        whole = jax.tree.map(lambda leaf: leaf.astype(np.int32), target.variables)
        native_targets.save_target(tmp_path, dataclasses.replace(target, variables=whole))
        with pytest.raises(InputError, match=r'is int32\[.* instead of float32\['):
            native_targets.load_target(tmp_path)

    def test_nothing_there(self, tmp_path):
        assert not native_targets.is_target(tmp_path)
        with pytest.raises(InputError, match='expected a native checkpoint directory'):
            native_targets.load_target(tmp_path)

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'schema': 2}, 'found schema 2, expected 1'),
            ({'architecture': 'resnet'}, "found 'resnet'"),
            ({'input': None}, 'not a target description'),
            ({'input': {'height': 1, 'width': 1, 'mean': [1], 'std': [1, 1, 1]}}, 'not a target'),
            ({'config': {'axis_name': 'x'}}, "config: found 'axis_name'"),
            ({'config': {'width': 0}}, 'width: found 0'),
            ({'recipe': ['x']}, r"a recipe \['x'\], expected an object"),
        ],
    )
    def test_descriptions(self, tmp_path, target, changes, message):
        native_targets.save_target(tmp_path, target)
        described(tmp_path, **changes)
        with pytest.raises(InputError, match=message) as caught:
            native_targets.load_target(tmp_path)
        assert str(caught.value).startswith(f'{tmp_path / "target.json"}: ')
        assert '\n' not in str(caught.value)


class TestMembers:
    rows = (('a, "b"/1.png', 'a, "b"', '0' * 64), ('ü/2\n.png', 'ü', 'f' * 64))

    def test_round_trip(self, tmp_path, target):
        native_targets.save_target(tmp_path, target, members=self.rows)
        assert native_targets.read_member_rows(tmp_path) == list(self.rows)
        assert native_targets.read_members(tmp_path) == ['0' * 64, 'f' * 64]
        with open(tmp_path / 'members.csv', newline='', encoding='utf-8') as file:
            assert next(csv.reader(file)) == ['path', 'identity', 'sha256']

    def test_unknown(self, tmp_path):
        assert native_targets.read_members(tmp_path) is None
        assert native_targets.read_members(tmp_path / 'none') is None

    @pytest.mark.parametrize(
        ('content', 'message'),
        [
            (
                b'path,identity\na,b\n',
                "found the columns 'path,identity', expected path,identity,",
            ),
            (b'', 'expected path,identity,sha256'),
            (b'path,identity,sha256\n\xff\xfe\n', 'expected a UTF-8 CSV'),
            (b'path,identity,sha256\n"' + b'a' * 200_000, 'expected a UTF-8 CSV'),
        ],
    )
    def test_damaged(self, tmp_path, content, message):
        (tmp_path / 'members.csv').write_bytes(content)
        with pytest.raises(InputError, match=message):
            native_targets.read_members(tmp_path)


def test_threads_leave_the_logger_and_the_loops_as_they_were(target, tmp_path):
    native_targets.save_target(tmp_path / 'one', target)
    loops, logger = asyncio.new_event_loop, logging.getLogger('absl')
    assert not logger.disabled
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(native_targets.load_target, [tmp_path / 'one'] * 8))
    assert {checkpointing.digest(one.variables) for one in found} == {
        checkpointing.digest(target.variables)
    }
    assert asyncio.new_event_loop is loops
    assert not logger.disabled
