"""What is converted: backbones with the list of their training images, generators, nothing else."""

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.program_config import Conversion
from fr_inference.weights import conversion, generators, native_targets, targets


def asked(source, **options):
    return Conversion(source=str(source), out='unused', **options)


def test_a_backbone_takes_its_list_along(tmp_path):
    opened = conversion.open_source(asked('demo_easy'), ['source', 'out'])
    assert isinstance(opened, Target)
    conversion.save(tmp_path, opened, 'demo_easy')
    assert {*conversion.files(opened), 'variables.safetensors'} == {
        path.name for path in tmp_path.iterdir()
    }
    held = native_targets.read_members(targets.EMBEDDED / 'demo_easy')
    assert native_targets.read_members(tmp_path) == held


def test_a_folder_may_be_converted_in_its_place(tmp_path):
    opened = conversion.open_source(asked('demo_easy'), [])
    rows = [('a.png', 'a', '0' * 64)]
    native_targets.save_target(tmp_path, opened, members=rows)
    conversion.save(tmp_path, conversion.open_source(asked(tmp_path), []), tmp_path)
    assert native_targets.read_member_rows(tmp_path) == rows


def test_a_generator(tmp_path):
    opened = conversion.open_source(asked('demo_generator'), ['source'])
    assert isinstance(opened, Trained)
    conversion.save(tmp_path, opened, 'demo_generator')
    assert conversion.files(opened) == ['generator.json']
    assert generators.open_generator(tmp_path).sha256 == opened.sha256


@pytest.mark.parametrize('name', ['arch', 'part', 'mean'])
def test_options_of_a_backbone_say_nothing_of_a_generator(name):
    with pytest.raises(InputError) as caught:
        conversion.open_source(asked('demo_generator'), ['out', name, 'source'])
    assert caught.value.field == name


def test_a_graph_of_no_registered_architecture(monkeypatch):
    bare = Target(name='graph', apply=np.add, variables={}, input=None)
    monkeypatch.setattr(targets, 'open_target', lambda *_, **__: bare)
    with pytest.raises(InputError) as caught:
        conversion.open_source(asked('some.onnx'), [])
    assert caught.value.field == 'source'
    assert caught.value.found.startswith('some.onnx')
