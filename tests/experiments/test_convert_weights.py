"""The conversion program: what it prints, what it writes, what it refuses."""

import json

import jax
import numpy as np
import pytest

from fr_inference.weights import generators, native_folders, native_targets
from fr_inference.weights.targets import open_target
from tests.experiments import programs
from tests.formats import states, writer
from tests.weights import old_folders

HEAD = {'head.weight': np.ones((5, 16), np.float32)}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('convert')
    tiny = states.filled(states.iresnet())
    writer.save(folder / 'with_head.pt', {'epoch': 3, 'state_dict': {**tiny, **HEAD}})
    writer.save(folder / 'too_much.pt', {**tiny, 'layer9.weight': np.ones(2, np.float32)})
    wide = states.iresnet(side=64)
    writer.save(folder / 'wide.pth', states.filled(wide), 'legacy')
    (folder / 'empty.pt').touch()
    (folder / 'file').write_text('text')
    recorded = open_target(folder / 'with_head.pt')
    members = [('a/1.png', 'a', '0' * 64), ('b,c/2.png', 'b', '1' * 64)]
    native_targets.save_target(folder / 'trained', recorded, members=members)
    native_targets.save_target(folder / 'old', recorded, members=members)
    old_folders.age(folder / 'old', 'target.json', recorded.variables)
    generator = generators.open_generator('demo_generator')
    generators.save_generator(folder / 'old_generator', generator)
    old_folders.age(folder / 'old_generator', 'generator.json', generator.variables)
    return folder


@pytest.fixture(scope='module')
def results(folder):
    def flags(source, out, *rest):
        return [f'--source={folder / source}', f'--out={folder / out}', *rest]

    cases = {
        'plain': flags('with_head.pt', 'plain'),
        'input': flags(
            'wide.pth',
            'input',
            '--input_size=32x128',
            '--mean=1,2.5,3',
            '--std=4,5,6',
            '--colour=bgr',
            '--mirror=none',
        ),
        'square': flags('wide.pth', 'square', '--input_size=64'),
        'native': flags('trained', 'native'),
        'embedded': ['--source=demo_leaky', f'--out={folder / "embedded"}'],
        'old': flags('old', 'old'),
        'generator': ['--source=demo_generator', f'--out={folder / "generator"}'],
        'old_generator': flags('old_generator', 'old_generator'),
        'generator_arch': ['--source=demo_generator', f'--out={folder / "refused"}', '--arch=ir50'],
        'digits': flags('wide.pth', 'refused', f'--input_size={"9" * 5000}'),
        'again': flags('with_head.pt', 'native'),
        'arch': flags('with_head.pt', 'refused', '--arch=iresnet18'),
        'too_much': flags('too_much.pt', 'refused'),
        'empty': flags('empty.pt', 'refused'),
        'missing': flags('none.pt', 'refused'),
        'directory': flags('.', 'refused'),
        'other_size': flags('wide.pth', 'refused', '--input_size=112'),
        'bad_size': flags('wide.pth', 'refused', '--input_size=112x'),
        'no_size': flags('wide.pth', 'refused', '--input_size=0x4'),
        'bad_mean': flags('wide.pth', 'refused', '--mean=1,2'),
        'bad_std': flags('wide.pth', 'refused', '--std=1,2,0'),
        'nan_std': flags('wide.pth', 'refused', '--std=1,2,nan'),
        'unknown_arch': flags('wide.pth', 'refused', '--arch=resnet50'),
        'out_is_a_file': flags('with_head.pt', 'file'),
        'no_out': [f'--source={folder / "with_head.pt"}'],
    }
    return programs.run_all('convert_weights', cases)


def test_prints_what_it_recognised(folder, results):
    result = results['plain']
    assert result.code == 0
    target = open_target(folder / 'with_head.pt')
    assert result.out.splitlines() == [
        'architecture: iresnet50 with depths=[1, 1, 1, 1], width=8, embedding=16',
        f'parameters: {sum(leaf.size for leaf in jax.tree.leaves(target.variables["params"])):,}',
        'BatchNorm layers: 19 (bn1 to features)',
        'input: 32 high x 32 wide (layout), RGB (layout), (v - 127.5) / 127.5 (layout), mirror images '
        'added (layout)',
        'set aside (not part of the backbone): head.weight',
        f'sha256: {target.sha256}',
        f'written to {folder / "plain"}',
    ]


def test_writes_the_same_backbone(folder, results):
    assert results['plain'].code == 0
    first, second = (open_target(folder / name) for name in ('with_head.pt', 'plain'))
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)
    for name in ('name', 'architecture', 'config', 'input', 'notes'):
        assert getattr(first, name) == getattr(second, name)


def test_another_input(folder, results):
    assert results['input'].code == 0
    spec = open_target(folder / 'input').input
    assert (spec.height, spec.width) == (32, 128)
    assert (spec.mean, spec.std) == ((1.0, 2.5, 3.0), (4.0, 5.0, 6.0))
    assert (spec.colour, spec.mirror) == ('bgr', 'none')
    said = 'BGR (given), (v - (1, 2.5, 3)) / (4, 5, 6) (given), mirror images not used (given)'
    assert f'input: 32 high x 128 wide (given), {said}' in results['input'].out
    held = json.loads((folder / 'input' / 'target.json').read_text())['input']
    assert set(held['origins'].values()) == {'given'}
    spec = open_target(folder / 'square').input
    assert (spec.height, spec.width) == (64, 64)


def test_the_list_of_training_images_goes_along_and_no_other(folder, results):
    assert results['native'].code == results['again'].code == 0
    assert native_targets.read_members(folder / 'trained') == ['0' * 64, '1' * 64]
    assert len(native_targets.read_members(folder / 'embedded')) == 512
    assert native_targets.read_members(folder / 'native') is None  # replaced by one without


def test_folders_of_earlier_versions_are_rewritten_where_they_are(folder, results):
    result = results['old']
    assert result.code == 0
    assert native_folders.OLD_FORMAT in result.out
    assert sorted(path.name for path in (folder / 'old').iterdir()) == [
        'members.csv',
        'target.json',
        'variables.safetensors',
    ]
    first, second = (open_target(folder / name) for name in ('trained', 'old'))
    assert first.sha256 == second.sha256
    assert first.notes == second.notes
    assert native_targets.read_members(folder / 'old') == ['0' * 64, '1' * 64]


@pytest.mark.parametrize('name', ['generator', 'old_generator'])
def test_generators(folder, results, name):
    result = results[name]
    assert result.code == 0, result.err
    assert 'architecture: StyleGAN2, 32 x 32 pixels' in result.out
    assert sorted(path.name for path in (folder / name).iterdir()) == [
        'generator.json',
        'variables.safetensors',
    ]
    found = generators.open_generator(folder / name)
    assert found.sha256 == generators.open_generator('demo_generator').sha256
    assert found.notes == ()


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('arch', ('as iresnet18', 'missing (')),
        ('too_much', ('1 unmatched (layer9.weight)',)),
        ('empty', ('empty.pt', 'empty file')),
        ('missing', ('--source', 'none.pt', 'demo_leaky')),
        ('directory', ('--source', 'directory without target.json')),
        ('other_size', ('fc.weight', 'misshaped')),
        ('bad_size', ('--input_size', "'112x'", 'HEIGHTxWIDTH')),
        ('digits', ('--input_size', 'HEIGHTxWIDTH')),
        ('no_size', ('0 pixels',)),
        ('bad_mean', ('--mean: found (1.0, 2.0)', 'three numbers')),
        ('bad_std', ('--std: found 0.0, expected above 0',)),
        ('nan_std', ('--std: found nan',)),
        ('unknown_arch', ('--arch', 'resnet50', 'iresnet50')),
        ('out_is_a_file', ('file',)),
        ('no_out', ('--out',)),
        ('generator_arch', ('--arch', 'the source is a generator')),
    ],
)
def test_one_line_and_exit_code_2(folder, results, case, words):
    result = results[case]
    assert result.code == 2, result.err
    assert result.err.count('\n') == 1
    for word in words:
        assert word in result.err
    assert not (folder / 'refused' / 'target.json').exists()


def test_command_line(folder):
    """The program itself, once well and once badly."""
    flags = [f'--source={folder / "with_head.pt"}', f'--out={folder / "whole"}']
    done = programs.command_line('convert_weights', *flags)
    assert (done.code, done.err) == (0, '')
    assert done.out.endswith(f'written to {folder / "whole"}\n')
    refused = programs.command_line('convert_weights', *flags, '--arch=ir50')
    assert (refused.code, refused.out, refused.err.count('\n')) == (2, '', 1)
