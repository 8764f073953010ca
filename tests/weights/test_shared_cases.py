"""Small files that once failed (../shared/cases), each standing for a kind of file."""

import functools

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.weights import rules
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

# Files that hold the weights of 00_plain.pth, and a word of their notes.
SAME = {
    '01_multisteplr_counter.ckpt': 'collections.Counter',
    '04_compile_inner.pt': '',
    '14_whole_module.pth': 'IResNet',
    '18_torchscript.pth': 'IResNet',
    '20_easydict_cfg.pt': 'easydict.EasyDict',
    '22_pl_attributedict.ckpt': 'AttributeDict',
    '27_lists.pt': '',
    '70_numpy_arrays_sd.pth': '',
    '80_head_weight.pth': 'weight',
}


@pytest.fixture(scope='module')
def cases(shared):
    """The folder."""
    return shared / 'cases'


@pytest.fixture(scope='module')
def plain(cases):
    """The leaves of the control of all others, by path."""
    return rules.by_path(open_target(cases / '00_plain.pth').variables)


def same(target, plain):
    found = rules.by_path(target.variables)
    assert found.keys() == plain.keys()
    for path, leaf in plain.items():
        np.testing.assert_array_equal(found[path], leaf)


@pytest.mark.parametrize('name', SAME)
def test_the_same_backbone(cases, plain, name):
    target = open_target(cases / name)
    same(target, plain)
    assert SAME[name] in ' '.join(target.notes)
    assert len(target.notes) == bool(SAME[name])


def test_two_backbones(cases, plain):
    path = cases / '76_two_backbones_teacher.pt'
    with pytest.raises(InputError) as caught:
        open_target(path)
    assert caught.value.field == 'part'
    assert caught.value.expected == "one of 'state_dict/student', 'state_dict/teacher'"
    same(open_target(path, part='student'), plain)
    teacher = rules.by_path(open_target(path, part='state_dict/teacher').variables)
    assert any((teacher[name] != leaf).any() for name, leaf in plain.items())


def test_generators(cases):
    """One below a wrapper, the other without noise maps, which are drawn."""
    whole, drawn = (open_generator(cases / name) for name in ('r6_module.pt', 'r9_nonoises.pt'))
    assert whole.module == drawn.module
    first, second = rules.by_path(whole.variables), rules.by_path(drawn.variables)
    assert first.keys() == second.keys()
    maps = {name for name in first if name.startswith('buffers/noise_')}
    assert {name for name in first if not np.array_equal(first[name], second[name])} == maps
    assert any('noise maps' in note for note in drawn.notes)
    assert not any('noise maps' in note for note in whole.notes)


@pytest.mark.parametrize(
    ('name', 'reader', 'word'),
    [
        ('q_legacy_tf.pkl', open_generator, 'TensorFlow'),
        ('q_legacy_tf.pkl', functools.partial(open_target, field='generator'), 'TensorFlow'),
    ],
)
def test_named_for_what_it_is(cases, name, reader, word):
    with pytest.raises(InputError) as caught:
        reader(cases / name)
    assert caught.value.field == 'generator'
    assert word in caught.value.found


def test_a_short_line(cases):
    with pytest.raises(InputError) as caught:
        read_tensors(cases / 'hostile' / 'huge_message_min.pth')
    assert len(str(caught.value)) < 500 + len(str(cases))
