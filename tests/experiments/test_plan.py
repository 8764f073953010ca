"""The plan on the command line: bad input is one line; the planned program has its own flags."""

import importlib.util
import json

import pytest

from experiments import plan
from fr_inference.planning import topologies
from tests.experiments import programs
from tests.planning.planned import machine

AUDIT = ('audit', '--target=tiny', '--members=100')


def call(*arguments):
    return programs.call(plan.PROGRAM.run, 'experiments/plan.py', *arguments)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (AUDIT, '--topology: '),
        (('--topology=v5e-9', *AUDIT), '--topology: '),
        (('--topology=v5e-8',), 'program: '),
        (('--topology=v5e-8', 'verify', '--target=tiny'), 'program: '),
        (('--topology=v5e-8', 'audit', '--members=100'), '--target: '),
        (('--topology=v5e-8', *AUDIT, '--batch_size=0'), '--batch_size: '),
        (('--topology=v5e-8', *AUDIT, '--topology=v6e-8'), '--topology: '),
        (('--topology=v5e-8', *AUDIT, '--measured=none.json'), '--measured: '),
        (('--topology=v5e-8', '--measured=none.json', *AUDIT), '--measured: '),
        (('--topology=v5e-8', '--price_per_hour=1,2', *AUDIT), '--price_per_hour: '),
        (('--topology=v5e-8', 'audit', '--help'), 'help: '),
    ],
)
def test_bad_input_is_one_line(arguments, said):
    result = call(*arguments)
    assert result.code == 2
    assert result.err.startswith(said)
    assert len(result.err.splitlines()) == 1


def test_without_compilers_one_line_says_what_to_run(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda module: None)
    result = call('--topology=v5e-8', *AUDIT)
    assert result.code == 2
    assert 'bash launch/plan.sh' in result.err
    assert len(result.err.splitlines()) == 1


def test_a_table_and_json(monkeypatch, tmp_path):
    monkeypatch.setattr(topologies, 'open_topology', lambda name: machine())
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    out = tmp_path / 'plan.json'
    result = call('--topology=h100x2', '--nolargest', f'--out={out}', *AUDIT)
    assert result.code == 0, result.err
    assert 'scoring: tiny' in result.out
    written = json.loads(out.read_text())
    assert written['program'] == 'audit'
    assert written['provenance']['command'].endswith('audit --target=tiny --members=100')
    assert written['plans'][0]['parts'][0]['amount'] == 400
