"""The ways to get a Cloud TPU VM: from the queue, reserved, flex-start, without an external address."""

import signal

import pytest

from tests.launch.standins import refused, wait_until
from tests.launch.test_tpu_vm import PLACE, TPU

QUEUE = (*TPU, '--queued')
AUDIT = ('--', 'audit', '--out=runs/mine')


def asked(project):
    """What gcloud was asked for, without the place: (kind, verb, *arguments)."""
    calls = [words[words.index('tpus') + 1 :] for words in project.calls('gcloud')]
    assert all(words[-2:] == PLACE for words in calls)
    return [tuple(words[:-2]) for words in calls]


def test_a_queued_vm_is_waited_for_and_deleted_with_its_place(project):
    states = 'WAITING_FOR_RESOURCES PROVISIONING ACTIVE'
    flags = ('--create=--reserved', '--create=--service-account=me@here', '--spot')
    result = project.run(*QUEUE, *flags, *AUDIT, RESULT='runs/mine', ASKED=states)
    assert result.returncode == 0, result.stderr
    calls = asked(project)
    queue = [words[1:] for words in calls if words[0] == 'queued-resources']
    assert [words[0] for words in queue] == ['list', 'create', 'list', 'list', 'list', 'delete']
    assert queue[1][1:] == (
        *('audit-1', '--node-id=audit-1', '--accelerator-type=v5litepod-8'),
        *('--runtime-version=v2-alpha-tpuv5-lite', '--reserved', '--service-account=me@here'),
        '--spot',
    )
    assert calls[-1] == ('queued-resources', 'delete', 'audit-1', '--force')
    assert ('tpu-vm', 'delete') not in {words[:2] for words in calls}
    assert (project.root / 'runs/mine/audit.json').exists()


@pytest.mark.parametrize('state', ['FAILED', 'SUSPENDED'])
def test_a_place_in_the_queue_that_comes_to_nothing_is_given_up(project, state):
    result = project.run(*QUEUE, *AUDIT, ASKED=f'WAITING_FOR_RESOURCES {state}')
    assert result.returncode == 1
    assert f'is {state}, expected READY' in result.stderr
    assert asked(project)[-1][:2] == ('queued-resources', 'delete')
    assert not project.programs()


def test_the_next_command_replaces_it(project):
    (project.record / 'cloud').mkdir()
    (project.record / 'cloud' / 'asked').write_text('FAILED\n')
    assert project.run(*QUEUE, *AUDIT).returncode == 0
    assert [words[1] for words in asked(project)][:3] == ['list', 'delete', 'create']


@pytest.mark.parametrize(('flags', 'kept'), [([], False), (['--keep'], True)])
def test_interrupted_in_the_queue(project, flags, kept):
    """Left there by accident it would be filled, and cost, when nobody looks."""
    process = project.start(*QUEUE, *flags, *AUDIT, ASKED='WAITING_FOR_RESOURCES')
    wait_until(lambda: len(asked(project)) > 4)
    process.send_signal(signal.SIGTERM)
    result = project.finish(process)
    assert result.returncode == 143
    assert (project.record / 'cloud').exists() == kept
    if kept:
        assert 'queued-resources delete audit-1' in result.stderr
        (project.record / 'cloud' / 'asked').write_text('ACTIVE\n')
        assert project.run(*QUEUE, *AUDIT).returncode == 0
        assert [words[1] for words in asked(project)].count('create') == 1


def test_flex_start_is_of_the_alpha_commands_and_its_end_is_gone_on_from(project):
    flags = ('--create=--provisioning-model=flex-start', '--create=--max-run-duration=4h')
    command = (*QUEUE, *flags, *AUDIT)
    result = project.run(*command, RESULT='runs/mine', TAKEN='1')
    assert result.returncode == 4, result.stderr
    assert 'taken away (SUSPENDED)' in result.stderr
    assert asked(project)[-1][:2] == ('queued-resources', 'delete')
    assert {words[0] for words in project.calls('gcloud')} == {'alpha'}
    assert project.run(*command, RESULT='runs/mine').returncode == 0


def test_without_an_external_address_all_goes_through_the_proxy(project):
    result = project.run(*TPU, '--internal_ips', *AUDIT, RESULT='runs/mine', WORKERS='2')
    assert result.returncode == 0, result.stderr
    calls = asked(project)
    assert '--internal-ips' in calls[1]
    connections = [words for words in calls if words[1] in ('ssh', 'scp')]
    assert len(connections) == 6
    assert all('--tunnel-through-iap' in words for words in connections)
    assert {words[0] for words in project.calls('gcloud')} == {'alpha'}


def test_the_dry_run_of_the_queue_can_be_pasted(project):
    result = project.run(*QUEUE, '--dry_run', *AUDIT)
    assert not project.calls('gcloud')
    assert 'queued-resources delete audit-1 --force' in result.stdout
    # The list is what waits for it: pasted, it moves the stand-in's queue on.
    text = result.stdout.replace(
        '# And waits', 'gcloud compute tpus queued-resources list --x --y\n#'
    )
    pasted = project.run('-c', f'set -e\n{text}', RESULT='runs/mine')
    assert pasted.returncode == 0, pasted.stderr
    assert project.programs() == [['--out=runs/mine']]


def test_flags_for_gcloud_look_like_flags(project):
    refused(project.run(*TPU, '--create=reserved', *AUDIT), "'--create=reserved'")


class TestCompiled:
    def test_the_next_vm_gets_what_was_compiled(self, project):
        first = project.run(*TPU, *AUDIT, COMPILED='one')
        assert first.returncode == 0, first.stderr
        (kept,) = (project.root.parent / 'home/.cache/fr_inference/tpu_vm').iterdir()
        assert kept.name == 'v5litepod-8.tar'
        assert kept.stat().st_mode & 0o777 == 0o600
        assert {path.stat().st_mode & 0o777 for path in list(kept.parents)[:2]} == {0o700}
        again = project.run(*TPU, '--keep', *AUDIT, COMPILED='two', WORKERS='2')
        assert again.returncode == 0, again.stderr
        for worker in '01':
            folder = project.record / 'cloud' / worker / '.cache/fr_inference'
            assert {path.name for path in folder.glob('compiled/kind/*')} == {'one', 'two'}
            assert folder.stat().st_mode & 0o777 == 0o700
            assert not (project.record / 'cloud' / worker / 'compiled.tar').exists()
        before = kept.read_bytes()
        # A machine that was there has the newer ones; nothing new was compiled, nothing is fetched.
        assert project.run(*TPU, *AUDIT, WORKERS='2').returncode == 0
        assert kept.read_bytes() == before
        assert [words[1] for words in asked(project)].count('scp') == 4

    @pytest.mark.parametrize('place', ['', 'tpu_vm', 'tpu_vm/v5litepod-8.tar'])
    def test_nothing_is_taken_from_where_others_may_write(self, project, place):
        folder = project.root.parent / 'home/.cache/fr_inference'
        (folder / 'tpu_vm').mkdir(parents=True, mode=0o700)
        (folder / 'tpu_vm' / 'v5litepod-8.tar').write_bytes(b'evil')
        for path in (folder, folder / 'tpu_vm', folder / 'tpu_vm/v5litepod-8.tar'):
            path.chmod(0o700)
        (folder / place).chmod(0o770)
        assert project.run(*TPU, '--keep', *AUDIT).returncode == 0
        assert [words[1] for words in asked(project)].count('scp') == 1

    def test_the_whole_audit_is_fetched_although_this_can_not_be(self, project):
        folder = project.root.parent / 'home/.cache'
        folder.parent.mkdir()
        folder.write_text('a file')
        result = project.run(*TPU, *AUDIT, RESULT='runs/mine', COMPILED='one')
        assert (result.returncode, (project.root / 'runs/mine/audit.json').exists()) == (0, True)
