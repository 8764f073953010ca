"""One file a family: what stands in `models/backbones` is the table, and a new file adds to it."""

import dataclasses
import pathlib

import jax
import pytest

from fr_inference import errors
from fr_inference.models import backbones, registry, variants

FILES = sorted(pathlib.Path(backbones.__path__[0]).glob('[!_]*.py'))

TOY = '''"""The mean of the picture, in a dense layer."""

import flax.linen as nn
import jax

from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant


class Toy(nn.Module):
    """A dense layer.

    Attributes:
      embedding: length of the embedding.
      cells: rows and columns.
    """

    embedding: int = 8
    cells: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] to [N, D]."""
        return nn.Dense(self.embedding)(x.mean((1, 2)))


VARIANTS = {'toy': Variant(Toy, InputSpec(height=16, width=16), 32)}
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The table after one new file."""
    (tmp_path / 'toy.py').write_text(TOY)
    monkeypatch.setattr(backbones, '__path__', [*backbones.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, 'VARIANTS', registry.discover())


def test_order_is_fixed():
    """Files by name, rows as they stand in the file."""
    assert [path.stem for path in FILES] == [
        'arcface_resnet',
        'edgenext',
        'inception_resnet',
        'ir',
        'iresnet',
        'mobilefacenet',
        'vit',
    ]
    found = list(registry.VARIANTS)
    assert found[:2] == ['arcface_resnet18', 'arcface_resnet34']
    assert found.index('iresnet18') - found.index('ir50') == 10
    assert found[-2:] == ['vit_l', 'vit_h']
    assert list(registry.discover()) == found


def test_every_variant_has_an_exact_count():
    """`test_registry` compares each with the module as built."""
    for name, row in registry.VARIANTS.items():
        assert isinstance(row, variants.Variant), name
        assert type(row.parameters) is int
        assert row.parameters > 0


def test_a_new_file_is_a_new_backbone(toy):
    module = registry.build('toy', embedding=4, cells=[2, 3])
    assert (module.embedding, module.cells) == (4, (2, 3))
    spec = registry.VARIANTS['toy'].input
    variables = registry.init(registry.build('toy'), spec, jax.random.key(0))
    assert registry.count_parameters(variables) == registry.VARIANTS['toy'].parameters
    target = registry.make_target('toy', variables)
    images = jax.ShapeDtypeStruct((5, 16, 16, 3), 'float32')
    assert jax.eval_shape(target.apply, variables, images).shape == (5, 8)
    assert target.input.height == 16


@pytest.mark.parametrize(
    ('config', 'field'),
    [
        ({'depths': [1]}, 'config'),
        ({'cells': [1, 2, 3]}, 'cells'),
        ({'embedding': -1}, 'embedding'),
    ],
)
def test_its_hyper_parameters_are_checked(toy, config, field):
    """By its own fields, whatever other families have."""
    with pytest.raises(errors.InputError) as caught:
        registry.build('toy', **config)
    assert caught.value.field == field


def test_two_files_with_one_name(tmp_path, monkeypatch):
    (tmp_path / 'again.py').write_text(TOY.replace("'toy'", "'tiny'"))
    monkeypatch.setattr(backbones, '__path__', [*backbones.__path__, str(tmp_path)])
    with pytest.raises(AssertionError, match='tiny'):
        registry.discover()


def test_modules_hold_hyper_parameters_only():
    """All fields can be told from JSON, but for the axis that a training step knows."""
    for name, row in registry.VARIANTS.items():
        module = row.build()
        for field in dataclasses.fields(module):
            if field.name in ('parent', 'name', 'axis_name', 'dtype'):
                continue
            value = getattr(module, field.name)
            assert isinstance(value, bool | int | float | str | tuple), (name, field.name)
