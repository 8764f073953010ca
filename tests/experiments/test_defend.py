"""The program of defences: what it writes, what an audit then finds to attack, what it refuses."""

import json

import numpy as np
import pytest

from fr_inference.cli import program
from fr_inference.weights.targets import open_target
from tests.experiments import programs

FACES = 'procedural:easy,images=2,people=12'
DEFENCES = {
    'refreshed': f'refresh:{FACES},first=90',
    'folded': 'noise:0.1,fold',
    'answers': 'answers-round:bits=8',
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('defend')


@pytest.fixture(scope='module')
def results(folder):
    def flags(name, defence, *more):
        return ['--target=demo_few', f'--defence={defence}', f'--out={folder / name}', *more]

    cases = {name: flags(name, defence) for name, defence in DEFENCES.items()}
    cases['folded'] += [f'--state_dict={folder / "folded.safetensors"}']
    cases['unknown'] = flags('x', 'prayer')
    cases['no_faces'] = flags('x', 'refresh:nowhere')
    cases['nowhere'] = flags('y', 'strip', f'--state_dict={folder / "no" / "file.safetensors"}')
    cases['changed_answers'] = flags('z', 'answers-noise:1', f'--state_dict={folder / "f"}')
    found = programs.run_all('defend', cases)
    audits = {
        f'audit_{name}': [
            f'--target={folder / name}',
            f'--members={FACES}',
            f'--nonmembers={FACES},first=40',
            f'--out={folder / "audit" / name}',
            '--batch_size=16',
        ]
        for name in ('folded', 'answers')
    }
    return found | programs.run_all('audit', audits)


def test_what_is_written(results, folder):
    assert [results[name].code for name in DEFENCES] == [0, 0, 0], results['folded'].err
    records = {name: json.loads((folder / name / 'target.json').read_text()) for name in DEFENCES}
    assert records['folded']['statistics'] is False
    assert records['folded']['recipe']['defences'] == ['noise:0.1', 'fold']
    assert records['answers']['answers'] == {'bits': 8}
    assert 'keep a scale and a bias' in results['folded'].out
    assert 'layer1_0/bn1, layer2_0/bn1' in results['folded'].out
    assert 'answers: 8 bits a number' in results['answers'].out
    assert not any((folder / name / 'members.csv').exists() for name in DEFENCES)


def test_the_state_dict_computes_the_same(results, folder):
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    native = open_target(folder / 'folded')
    other = open_target(folder / 'folded.safetensors', input={'height': 32, 'width': 32})
    np.testing.assert_allclose(
        other.apply(other.variables, images),
        native.apply(native.variables, images),
        rtol=1e-3,
        atol=1e-4,
    )


def test_an_audit_finds_what_is_left(results, folder):
    def accesses(name):
        assert results[f'audit_{name}'].code == 0, results[f'audit_{name}'].err
        record = json.loads((folder / 'audit' / name / 'audit.json').read_text())
        compared = record['membership']['comparisons']
        return {one['access'] for one in compared if one['unit'] == 'image'}, record['limits']

    access, limits = accesses('folded')
    assert access == {'answers'}
    assert any('folded into the weights' in one for one in limits)
    access, limits = accesses('answers')
    assert access == {'file', 'answers'}
    assert any('are changed (8 bits a number)' in one for one in limits)


@pytest.mark.parametrize(
    ('case', 'flag'),
    [
        ('unknown', '--defence: '),
        ('no_faces', '--defence: '),
        ('nowhere', '--state_dict: '),
        ('changed_answers', '--state_dict: '),
    ],
)
def test_one_line(results, case, flag):
    result = results[case]
    assert result.code == program.EXIT_BAD_INPUT, result.err
    assert result.err.splitlines()[-1].startswith(flag)
    assert 'Traceback' not in result.err
