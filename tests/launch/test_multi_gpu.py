"""The script for the GPUs of one host: which it takes, what it installs, what it refuses."""

import signal

import pytest

from tests.launch.standins import HARD, refused


def test_multi_gpu_runs_the_program_on_the_chosen_gpus(project, tmp_path):
    script = project.root / 'launch' / 'multi_gpu.sh'
    result = project.run(script, '--gpus=2,0', 'audit', *HARD, cwd=tmp_path, GPUS='2')
    assert result.returncode == 0, result.stderr
    assert project.programs() == [HARD]
    seen = (project.record / 'seen').read_text().split('\n')
    assert seen[:3] == [str(tmp_path), '2,0', 'PCI_BUS_ID']
    installed = [words for words in project.calls('python') if 'install' in words]
    assert [words[-1] for words in installed] == ['.[cuda13]']
    assert 'launch/constraints.txt' in installed[0]


def test_multi_gpu_takes_all_gpus(project):
    assert project.run('launch/multi_gpu.sh', '--', 'audit', '--gpus=x', GPUS='4').returncode == 0
    assert project.programs() == [['--gpus=x']]
    assert (project.record / 'seen').read_text().split('\n')[1] == 'unset'


def test_multi_gpu_leaves_what_a_scheduler_gave(project):
    settings = {'GPUS': '2', 'CUDA_VISIBLE_DEVICES': '1,3'}
    assert project.run('launch/multi_gpu.sh', 'audit', **settings).returncode == 0
    assert (project.record / 'seen').read_text().split('\n')[1] == '1,3'


@pytest.mark.parametrize(
    ('flags', 'settings', 'shown', 'seen'),
    [
        (['--gpus=2,0'], {'GPUS': '2'}, [2, 0], '2,0'),
        ([], {'GPUS': '4'}, [0, 1, 2, 3], 'unset'),
        ([], {'GPUS': '2', 'CUDA_VISIBLE_DEVICES': 'GPU-3,1'}, [3, 1], 'GPU-3,1'),
    ],
)
def test_the_dry_run_starts_nothing_and_prints_what_could_be_pasted(
    project, tmp_path, flags, settings, shown, seen
):
    script = project.root / 'launch' / 'multi_gpu.sh'
    result = project.run(script, *flags, '--dry_run', 'audit', *HARD, cwd=tmp_path, **settings)
    assert result.returncode == 0, result.stderr
    assert not project.calls('python')
    assert not project.calls('python3')
    listed = [line for line in result.stdout.splitlines() if line.startswith('# GPU ')]
    assert listed == [f'# GPU {i}: NVIDIA H100 (UUID: GPU-{i})' for i in shown]
    pasted = project.run('-c', f'set -e\n{result.stdout}', **settings)
    assert pasted.returncode == 0, pasted.stderr
    assert project.programs() == [HARD]
    was = (project.record / 'seen').read_text().split('\n')
    assert was[:3] == [str(tmp_path), seen, 'PCI_BUS_ID']


@pytest.mark.parametrize(
    ('oldest', 'extra'),
    [('9.0, 580.65.06', 'cuda13'), ('9.0, 570.10', 'cuda12'), ('7.0, 580.10', 'cuda12')],
)
def test_the_cuda_build_fits_the_driver_and_the_oldest_gpu(project, oldest, extra):
    result = project.run('launch/multi_gpu.sh', 'audit', GPUS='4', SMI=f'10.0, 590.1\n{oldest}')
    assert result.returncode == 0, result.stderr
    assert any(words[-1] == f'.[{extra}]' for words in project.calls('python'))


def test_another_cuda_build_takes_the_place_of_the_first(project):
    for flags in (['--cuda=13'], ['--cuda=12'], ['--cuda=12']):
        assert project.run('launch/multi_gpu.sh', *flags, 'audit', GPUS='4').returncode == 0
    pip = [
        words for words in project.calls('python') if 'pip' in words and '--version' not in words
    ]
    assert [words[2] for words in pip] == ['install', 'uninstall', 'install']
    assert pip[1][-2:] == ['jax-cuda13-plugin', 'jax-cuda13-pjrt']


@pytest.mark.parametrize('code', [1, 2, 3, 4])
def test_multi_gpu_forwards_the_exit_code(project, code):
    assert project.run('launch/multi_gpu.sh', 'audit', GPUS='4', CODE=str(code)).returncode == code


def test_a_signal_to_multi_gpu_reaches_the_program(project):
    process = project.start('launch/multi_gpu.sh', 'audit', GPUS='4', UNTIL_TERM='1')
    project.wait_for_program()
    process.send_signal(signal.SIGTERM)
    assert project.finish(process).returncode == 4


@pytest.mark.parametrize(
    ('words', 'settings', 'parts'),
    [
        ([], {}, ['found no program', '--help']),
        (['--gpu=1', 'audit'], {}, ["'--gpu=1'", '--gpus=']),
        (['cli'], {}, ["'cli'", 'expected one of audit']),
        (['--gpus=0,9', '--dry_run', 'audit'], {}, ['found 9', 'expected some of 0,1,2,3']),
        (['--gpus=1,1', 'audit'], {}, ["'1,1'", 'every GPU once']),
        (['--gpus=', 'audit'], {}, ["--gpus: found ''"]),
        (['--cuda=11', 'audit'], {}, ["--cuda: found '11'", 'expected 12 or 13']),
        (['audit'], {'THERE': '0'}, ['found no GPU']),
        (['audit'], {'SMI': '7.0, 470.1'}, ['found 470.1', 'expected 525']),
        (['audit'], {'SMI': '[N/A], [N/A]'}, ['nvidia-smi', '--cuda=12']),
    ],
)
def test_multi_gpu_refuses_what_it_can_not_do(project, words, settings, parts):
    refused(project.run('launch/multi_gpu.sh', *words, **settings), *parts)
    assert not project.programs()


def test_multi_gpu_says_when_jax_does_not_see_the_gpus(project):
    refused(project.run('launch/multi_gpu.sh', 'audit', GPUS='1'), 'found 1 GPUs', 'expected 4')
    assert not project.programs()
