"""The script for SLURM: the processes it asks for, exit codes, signals, queueing again."""

import shutil
import signal

import pytest

from tests.launch.standins import HARD, refused


@pytest.fixture
def job(project):
    project.environment |= {
        'SLURM_JOB_ID': '17',
        'SLURM_SUBMIT_DIR': str(project.root),
        'SLURM_JOB_NUM_NODES': '2',
        'SLURM_JOB_NODELIST': 'node[1-2]',
        'SLURM_GPUS_ON_NODE': '8',
        'SLURM_CPUS_ON_NODE': '64',
    }
    shutil.copy(project.root / 'launch' / 'slurm.sbatch', project.record / 'slurm_script')
    return project


def submit(job, *words):
    """As SLURM does: a copy of the script, from elsewhere."""
    return (job.record / 'slurm_script', *words)


def test_slurm_starts_one_process_a_gpu(job, tmp_path):
    result = job.run(*submit(job, 'audit', *HARD), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (srun,) = job.calls('srun')
    assert srun[: srun.index('bash')] == [
        *('--nodes=2', '--ntasks=16', '--ntasks-per-node=8', '--cpus-per-task=8'),
        *('--gpu-bind=none', '--kill-on-bad-exit=1', '--label', '--unbuffered'),
    ]
    assert job.programs() == [['--distributed', *HARD]]
    assert (job.record / 'seen').read_text().split('\n')[0] == str(job.root)
    assert any(words[-1] == '.[cuda13]' for words in job.calls('python'))
    assert not list((job.root / 'runs/slurm').iterdir())


@pytest.mark.parametrize('given', [None, 'elsewhere'])
def test_what_is_compiled_is_kept_where_all_nodes_see_it(job, tmp_path, given):
    settings = {'XDG_CACHE_HOME': str(tmp_path / given)} if given else {}
    assert job.run(*submit(job, 'audit'), COMPILED='one', **settings).returncode == 0
    place = tmp_path / given if given else job.root / 'runs/cache'
    assert (place / 'fr_inference/compiled/kind/one').exists()


def test_slurm_without_gpus_starts_one_process_a_node(job):
    del job.environment['SLURM_GPUS_ON_NODE']
    assert job.run(*submit(job, 'audit')).returncode == 0
    assert job.calls('srun')[0][1:4] == ['--ntasks=2', '--ntasks-per-node=1', '--cpus-per-task=64']
    assert any(words[-1] == '.' for words in job.calls('python'))


@pytest.mark.parametrize('code', [1, 2, 3, 4])
def test_slurm_forwards_the_exit_code(job, code):
    assert job.run(*submit(job, 'audit'), CODE=str(code)).returncode == code
    assert not job.calls('scontrol')


def test_slurm_gives_the_first_exit_code_not_that_of_the_killed(job):
    assert job.run(*submit(job, 'audit'), CODE='2', KILLED='137').returncode == 2


@pytest.mark.parametrize(('code', 'calls'), [(0, []), (1, []), (4, [['requeue', '17']])])
def test_slurm_queues_again_what_was_stopped_when_asked(job, code, calls):
    assert job.run(*submit(job, '--requeue', 'audit'), CODE=str(code)).returncode == code
    assert job.calls('scontrol') == calls


def test_slurm_hands_sigterm_to_the_processes(job):
    process = job.start(*submit(job, '--requeue', 'audit'), UNTIL_TERM='1')
    job.wait_for_program()
    process.send_signal(signal.SIGTERM)
    result = job.finish(process)
    assert result.returncode == 4, result.stdout + result.stderr
    assert job.calls('scancel') == [['--signal=USR1', '17']]
    assert not (job.record / 'killed').exists()
    assert (job.record / 'saved').read_text() == 'saved\n'  # a second SIGTERM would end it at once
    assert job.calls('scontrol') == [['requeue', '17']]


@pytest.mark.parametrize(
    ('words', 'parts'),
    [
        ([], ['found no program']),
        (['--nodes=2', 'audit'], ["'--nodes=2'"]),
        (['audits'], ["'audits'", 'expected one of audit']),
        (['--cuda=9', 'audit'], ["--cuda: found '9'"]),
    ],
)
def test_slurm_refuses_what_it_can_not_do(job, words, parts):
    refused(job.run(*submit(job, *words)), *parts)
    assert not job.calls('srun')


def test_slurm_says_where_it_must_be_submitted(job, tmp_path):
    refused(job.run(*submit(job, 'audit'), SLURM_SUBMIT_DIR=str(tmp_path)), 'launch/environment.sh')
    del job.environment['SLURM_JOB_ID']
    refused(job.run(*submit(job, 'audit')), 'sbatch')
