"""The benchmark's program: flags, what it prints and writes. The cases are in tests/benchmarking."""

import json

import pytest

from fr_inference.cli import program
from tests import traces
from tests.experiments import programs


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('benchmark')


@pytest.fixture(scope='module')
def results(folder):
    quick = ['--arch=tiny', '--batch_size=2', '--rounds=1', '--peer=none']
    return programs.run_all(
        'benchmark',
        {
            'scoring': [
                *(
                    *quick,
                    f'--out={folder / "deep" / "speed.json"}',
                    f'--profile={folder / "traces"}',
                )
            ],
            'arch': ['--arch=resnet50'],
            'devices': [*quick, '--devices=64'],
            'number': [*quick, '--devices=two'],
            'what': ['--what=speed'],
            'out': [*quick, '--out=speed.svg'],
        },
    )


def test_scoring(folder, results):
    assert results['scoring'].code == 0, results['scoring'].err
    assert 'tiny, batch 2, scoring/plain' in results['scoring'].out
    found = json.loads((folder / 'deep' / 'speed.json').read_text())
    assert found['backbones']['tiny']['batch_size'] == 2
    assert '--arch=tiny' in found['provenance']['command']
    assert (folder / 'deep' / 'speed.svg').is_file()


def test_a_profile_is_a_trace_of_calls_that_are_not_timed(folder, results):
    (made,) = (folder / 'traces').iterdir()
    label = 'tiny, 2 a device, 1 devices'
    assert f'holds a trace of {label}\n' in results['scoring'].err
    assert traces.steps(made, label) == [2, 3, 4]


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('arch', "--arch: found 'resnet50'"),
        ('devices', '--devices: found 64'),
        ('number', "--devices: found 'two'"),
        ('what', "--what: found 'speed'"),
        ('out', '--out: found speed.svg'),
    ],
)
def test_bad_input_is_one_line(results, case, words):
    result = results[case]
    assert result.code == program.EXIT_BAD_INPUT
    assert words in result.err
    assert result.err.count('\n') == 1
