"""The script for Cloud TPU: machines are made, used, fetched from and deleted, whatever happens."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from tests.launch.standins import HARD, refused, wait_until

TPU = ('launch/tpu_vm.sh', '--name=audit-1', '--zone=us-west4-a', '--type=v5litepod-8')
PLACE = ['--zone=us-west4-a', '--quiet']


def verbs(project):
    return [words[3] for words in project.calls('gcloud')]


def test_tpu_makes_runs_fetches_and_deletes(project):
    result = project.run(
        *TPU, '--spot', '--', 'audit', "--out=runs/it's mine", RESULT="runs/it's mine"
    )
    assert result.returncode == 0, result.stderr
    calls = project.calls('gcloud')
    assert all(
        words[:3] == ['compute', 'tpus', 'tpu-vm'] and words[-2:] == PLACE for words in calls
    )
    assert calls[1][3:-2] == [
        *(
            'create',
            'audit-1',
            '--accelerator-type=v5litepod-8',
            '--version=v2-alpha-tpuv5-lite',
            '--spot',
        )
    ]
    assert verbs(project) == ['list', 'create', 'list', 'scp', *['ssh'] * 5, 'delete']
    workers = [words[5] for words in calls if words[3] == 'ssh']
    assert workers == ['--worker=all'] * 3 + ['--worker=0'] * 2
    assert calls[-1][3:-2] == ['delete', 'audit-1']
    assert (project.root / "runs/it's mine/audit.json").read_text() == 'result\n'
    assert 'a line of the log' in result.stdout
    (log,) = (project.root / 'runs/tpu_vm').iterdir()
    assert 'a line of the log' in log.read_text()
    assert sorted(path.name for path in project.record.iterdir()) == ['calls', 'seen']


def test_a_v5e_is_what_google_calls_v5litepod(project):
    said = project.run(*TPU[:3], '--type=v5e-16', '--dry_run', '--', 'audit', *HARD)
    assert said.returncode == 0, said.stderr
    assert '--accelerator-type=v5litepod-16' in said.stdout + said.stderr
    assert 'v2-alpha-tpuv5-lite' in said.stdout + said.stderr


@pytest.mark.parametrize(('workers', 'added'), [('1', []), ('2', ['--distributed'])])
def test_arguments_reach_all_workers_unchanged(project, workers, added):
    result = project.run(*TPU, '--project=p', '--', 'audit', *HARD, WORKERS=workers)
    assert result.returncode == 0, result.stderr
    assert project.programs() == [[*added, *HARD]] * int(workers)
    assert all('--project=p' in words for words in project.calls('gcloud'))


def test_the_working_tree_is_copied_without_what_git_ignores(project):
    (project.root / 'a new file.py').write_text('changed')
    (project.root / 'runs').mkdir()
    (project.root / 'runs' / 'old').write_text('')
    (project.root / 'runs' / 'faces').mkdir()
    (project.root / 'runs' / 'faces' / 'face.jpg').write_text('')
    (project.root / 'gone.py').write_text('')
    subprocess.run(['git', 'add', '-A'], cwd=project.root, check=True)
    (project.root / 'gone.py').unlink()
    assert project.run(*TPU, '--keep', '--copy=runs/faces', '--', 'audit').returncode == 0
    there = project.record / 'cloud' / '0' / 'fr_inference'
    assert (there / 'a new file.py').read_text() == 'changed'
    assert (there / 'runs' / 'faces' / 'face.jpg').exists()
    assert not (there / 'runs' / 'old').exists()
    assert not (there / '.git').exists()


def test_a_kept_vm_is_used_again_and_its_state_is_not_overwritten(project):
    command = (*TPU, '--keep', '--', 'audit', '--out=runs/mine')
    first = project.run(*command, RESULT='runs/mine')
    assert first.returncode == 0, first.stderr
    assert 'delete' not in verbs(project)
    assert 'costs money: gcloud compute tpus tpu-vm delete audit-1' in first.stderr
    second = project.run(*command, RESULT='runs/mine')
    assert second.returncode == 0, second.stderr
    assert verbs(project).count('create') == 1
    assert verbs(project).count('scp') == 2
    assert (project.root / 'runs/mine/audit.json').read_text() == 'result\n' * 2


def test_state_that_git_does_not_ignore_is_not_overwritten_either(project):
    command = (*TPU, '--keep', '--fetch_every=0', '--', 'audit', '--out=mine')
    assert project.run(*command, RESULT='mine').returncode == 0
    (project.root / 'mine/audit.json').write_text('older\n')
    assert project.run(*command, RESULT='mine').returncode == 0
    assert (project.root / 'mine/audit.json').read_text() == 'result\n' * 2


def test_a_new_vm_takes_along_the_state_that_is_here(project):
    command = (*TPU, '--', 'audit', '--out=runs/mine')
    for _ in range(2):
        assert project.run(*command, RESULT='runs/mine', WORKERS='2').returncode == 0
    assert verbs(project).count('create') == 2
    # The third is of process 0 of the second run and its neighbour; both write, here.
    assert (project.root / 'runs/mine/audit.json').read_text() == 'result\n' * 2


@pytest.mark.parametrize('code', [1, 2, 3, 4])
def test_tpu_forwards_the_exit_code_and_deletes(project, code):
    result = project.run(*TPU, '--', 'audit', '--out=runs/mine', RESULT='runs/mine', CODE=str(code))
    assert result.returncode == code
    assert verbs(project)[-1] == 'delete'
    assert (project.root / 'runs/mine/audit.json').exists()


def test_a_program_that_broke_before_it_wrote_is_no_failure_to_fetch(project):
    assert project.run(*TPU, '--', 'audit', '--out=runs/mine', CODE='2').returncode == 2
    assert verbs(project)[-1] == 'delete'


def test_what_is_fetched_may_be_a_file(project):
    command = (*TPU, '--', 'audit', '--out=speed.json')
    assert project.run(*command, CODE='1').returncode == 1
    assert not (project.root / 'speed.json').exists()
    assert project.run(*command, RESULT='speed.json').returncode == 0
    assert (project.root / 'speed.json').read_text() == 'result\n'


def test_no_capacity_is_one_line_and_nothing_to_delete(project):
    result = project.run(*TPU, '--', 'audit', NO_CAPACITY='1')
    assert result.returncode == 1
    assert 'could not make the TPU VM' in result.stderr
    assert verbs(project) == ['list', 'create', 'list']


def test_a_vm_that_can_not_be_deleted_is_said_to_cost(project):
    result = project.run(*TPU, '--', 'audit', NO_DELETE='1')
    assert 'could not be deleted' in result.stderr
    assert 'costs money: gcloud compute tpus tpu-vm delete audit-1' in result.stderr


def test_a_vm_with_results_that_can_not_be_fetched_is_not_deleted(project):
    result = project.run(
        *(*TPU, '--fetch_every=0', '--', 'audit', '--out=runs/mine'),
        RESULT='runs/mine',
        UNREADABLE='1',
    )
    assert result.returncode == 1
    assert 'not deleted' in result.stderr
    assert 'costs money' in result.stderr
    assert 'delete' not in verbs(project)


def test_a_vm_that_was_taken_away_ends_with_code_4_and_the_next_goes_on(project):
    command = (*TPU, '--', 'audit', '--out=runs/mine')
    result = project.run(*command, RESULT='runs/mine', TAKEN='1')
    assert result.returncode == 4
    assert 'taken away (PREEMPTED)' in result.stderr
    assert verbs(project)[-1] == 'delete'
    assert project.run(*command, RESULT='runs/mine').returncode == 0


def test_what_is_left_of_a_preempted_vm_is_replaced(project):
    cloud = project.record / 'cloud'
    cloud.mkdir()
    (cloud / 'state').write_text('PREEMPTED')
    assert project.run(*TPU, '--', 'audit').returncode == 0
    assert verbs(project)[:4] == ['list', 'delete', 'create', 'list']


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_saves_fetches_and_deletes(project, number):
    process = project.start(
        *(*TPU, '--', 'audit', '--out=runs/mine'), RESULT='runs/mine', UNTIL_TERM='1', WORKERS='2'
    )
    project.wait_for_program(2)
    process.send_signal(number)
    result = project.finish(process)
    assert result.returncode == 4, result.stderr
    assert (project.record / 'saved').read_text() == 'saved\n' * 2
    assert (project.root / 'runs/mine/audit.json').exists()
    assert verbs(project)[-1] == 'delete'


def test_results_are_fetched_while_the_program_runs(project):
    command = (*TPU, '--fetch_every=1', '--', 'audit', '--out=runs/mine')
    process = project.start(*command, RESULT='runs/mine', UNTIL_TERM='1')
    project.wait_for_program()
    wait_until((project.root / 'runs/mine/audit.json').exists)
    process.send_signal(signal.SIGTERM)
    assert project.finish(process).returncode == 4


def test_a_second_signal_does_not_wait_for_the_state(project):
    process = project.start(
        *(*TPU, '--', 'audit', '--out=runs/mine'), RESULT='runs/mine', UNTIL_TERM='1', STUBBORN='80'
    )
    project.wait_for_program()
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does at Ctrl-C
    wait_until(lambda: 'tpu_worker.sh stop' in project.calls('gcloud')[-1][6])
    os.killpg(process.pid, signal.SIGINT)
    wait_until(lambda: verbs(project)[-1] == 'delete', seconds=3)  # the program goes on for four
    assert project.finish(process).returncode == 130


def test_the_dry_run_runs_nothing_and_prints_what_could_be_pasted(project):
    (project.root / 'runs' / 'my audit').mkdir(parents=True)
    words = (*TPU, '--dry_run', '--', 'audit', '--out=runs/my audit', *HARD)
    result = project.run(*words)
    assert result.returncode == 0, result.stderr
    assert not project.calls('gcloud')
    assert not project.programs()
    assert sorted(path.name for path in project.record.iterdir()) == []
    pasted = project.run('-c', f'set -e\n{result.stdout}', RESULT='runs/my audit')
    assert pasted.returncode == 0, pasted.stderr
    assert project.programs() == [['--out=runs/my audit', *HARD]]
    assert (project.root / 'runs/my audit/audit.json').exists()
    assert verbs(project)[-1] == 'delete'


def test_the_dry_run_prints_what_the_run_does(project):
    words = [*TPU, '--spot', '--', 'audit', '--out=runs/mine']
    printed = project.run(*words[:-3], '--dry_run', *words[-3:]).stdout
    kinds = re.findall(r'^gcloud compute tpus tpu-vm (\w+)', printed, re.MULTILINE)
    assert project.run(*words).returncode == 0
    once = verbs(project)
    once.pop(2)  # a second look whether it is READY
    assert kinds == once


@pytest.mark.parametrize(
    ('words', 'parts'),
    [
        (TPU[1:], ['found no program']),
        ((*TPU[2:], '--', 'audit'), ["--name: found ''"]),
        (('--name=A b', *TPU[2:], '--', 'audit'), ["--name: found 'A b'"]),
        ((*TPU[1:2], *TPU[3:], '--', 'audit'), ['--zone: found none']),
        ((*TPU[1:3], '--', 'audit'), ["--type: found ''"]),
        ((*TPU[1:3], '--type=v9-8', '--', 'audit'), ["'v9-8'", '--version=']),
        ((*TPU[1:], '--spt', '--', 'audit'), ["'--spt'"]),
        ((*TPU[1:], '--', 'audits'), ["'audits'", 'expected one of audit']),
        ((*TPU[1:], '--fetch_every=x', '--', 'audit'), ["--fetch_every: found 'x'"]),
        ((*TPU[1:], '--', 'audit', '--out=/data/mine'), ["--fetch: found '/data/mine'"]),
        ((*TPU[1:], '--fetch=../mine', '--', 'audit'), ["--fetch: found '../mine'"]),
        ((*TPU[1:], '--copy=absent', '--', 'audit'), ["--copy: found no 'absent'"]),
    ],
)
def test_tpu_refuses_what_it_can_not_do(project, words, parts):
    refused(project.run(TPU[0], *words), *parts)
    assert not project.calls('gcloud')


def test_a_broken_connection_starts_no_second_program(project):
    (project.root / '.venv' / 'bin').mkdir(parents=True)
    shutil.copy(
        project.record.parent / 'tools' / 'python3', project.root / '.venv' / 'bin' / 'python'
    )
    run = ('launch/tpu_worker.sh', 'run', 'first', 'experiments.audit', *HARD)
    broken = project.start(*run, UNTIL_TERM='1')
    project.wait_for_program()
    broken.kill()
    broken.wait()
    broken.stdout.close()
    broken.stderr.close()
    other = project.run('launch/tpu_worker.sh', 'run', 'second', 'experiments.audit', '--other')
    refused(other, 'another program running')
    again = project.start(*run)
    stops = [project.start('launch/tpu_worker.sh', 'stop', 'first') for _ in range(2)]
    assert [project.finish(stop).returncode for stop in stops] == [0, 0]
    assert (project.record / 'saved').read_text() == 'saved\n'
    result = project.finish(again)
    assert (result.returncode, result.stdout) == (4, 'a line of the log\n')
    assert project.run(*run).returncode == 4  # as gcloud asks that lost the connection at the end
    assert project.programs() == [HARD]
    assert project.run('launch/tpu_worker.sh', 'run', 'third', *run[3:]).returncode == 0
    assert project.programs() == [HARD] * 2
