"""Real processes over loopback do what one does; killed, stopped or failing, nothing is lost."""

import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from fr_inference.weights import generators, native_targets
from tests import zygote
from tests.experiments import networks, programs

SEARCH = ('--draws=7', '--candidates=5', '--steps=20', '--keep=3', '--pictures=2', '--nountrained')
TRAINING = ('--holdout=0', '--batch_size=6', '--learning_rate=0.001')
GENERATOR = (
    *('--faces=procedural:easy,images=2,seed=1,people=8,size=8', '--resolution=4', '--z_dim=4'),
    *('--w_dim=4', '--channel_base=32', '--channel_max=4', '--mapping_layers=1', '--batch_size=4'),
    '--images=32',
)
# Progress is told at step 8: long before the end. Two processes that share a core take long for a step.
EPOCHS, STEPS = 12, 48
MINUTE = 60


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """With a tiny target, an evaluator and a generator, all untrained, and photographs."""
    made = tmp_path_factory.mktemp('processes')
    networks.save(made)
    for seed, (name, people, images) in enumerate(
        (('members', 11, 3), ('nonmembers', 11, 3), ('training', 6, 4))
    ):
        networks.save_faces(made / name, people, images, seed=seed)
    return made


@pytest.fixture(scope='module')
def start():
    """Starts a program as several processes over loopback; each prints to LOGS.N.out and LOGS.N.err."""
    with zygote.opened() as opened:

        def start(program, arguments, logs, *, processes, **how):
            with socket.socket() as free:
                free.bind(('127.0.0.1', 0))
                port = free.getsockname()[1]
            together = [f'--coordinator_address=127.0.0.1:{port}', f'--num_processes={processes}']
            started = []
            for number in range(processes):
                joined = [*together, f'--process_id={number}'] if processes > 1 else []
                log = f'{logs}.{number}'
                started.append(opened.start(program, [*arguments, *joined], log, **how))
            return started

        yield start


def audit(folder, out):
    return [
        f'--target={folder / "target"}',
        f'--members={folder / "members"}',
        f'--nonmembers={folder / "nonmembers"}',
        f'--generator={folder / "generator"}',
        f'--evaluator={folder / "evaluator"}',
        f'--out={folder / out}',
        '--batch_size=5',
        *SEARCH,
    ]


def finish(started, seconds=600):
    """Waits for all and returns their exit codes."""
    until = time.monotonic() + seconds
    try:
        return [process.wait(max(0.1, until - time.monotonic())) for process in started]
    finally:
        for process in started:
            process.kill()


def wait_for(condition, started, seconds=300):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        assert all(process.poll() is None for process in started)
        time.sleep(0.02)


def printed(logs, number, kind):
    return pathlib.Path(f'{logs}.{number}.{kind}').read_text()


@pytest.fixture(scope='module')
def alone(folder, start):
    """The record of the audit by one process."""
    assert finish(start('audit', audit(folder, 'one'), folder / 'one', processes=1)) == [0]
    return json.loads((folder / 'one' / 'audit.json').read_text())


@pytest.fixture(scope='module')
def killed(folder, start):
    """First process 1, then process 0: (seconds that the other lived on, its exit code)."""
    ends = []
    for victim, reached in ((1, 'random faces'), (0, 'search: ')):
        logs = folder / f'killed{victim}'
        started = start('audit', audit(folder, 'two'), logs, processes=2, devices=2)
        log = pathlib.Path(f'{logs}.0.err')
        wait_for(lambda log=log, text=reached: log.exists() and text in log.read_text(), started)
        started[victim].send_signal(signal.SIGKILL)
        began = time.monotonic()
        codes = finish(started)
        ends.append((time.monotonic() - began, codes[1 - victim]))
    return ends


def same(first, second, path=''):
    """Compares two records, numbers to a tolerance."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first.keys() - {'provenance', 'candidate_steps_per_second'}:
            same(first[key], second[key], f'{path}/{key}')
    elif isinstance(first, list):
        assert len(first) == len(second), path
        for number, pair in enumerate(zip(first, second, strict=True)):
            same(*pair, f'{path}/{number}')
    elif isinstance(first, float):
        # What twenty steps of Adam end at differs more than a distance does. Ranks of an untrained
        # network's scores and pairs at chance follow the rounding, which differs between processors.
        ranked = path.startswith(('/membership/', '/input/verification/'))
        assert second == pytest.approx(first, rel=5e-3, abs=0.2 if ranked else 1e-4), path
    else:
        assert first == second, path


def test_the_end_of_one_process_ends_the_other(killed):
    for seconds, code in killed:
        assert seconds < MINUTE
        assert code not in (0, None)


def test_two_processes_end_in_the_result_of_one(folder, start, killed, alone):
    started = start('audit', audit(folder, 'two'), folder / 'again', processes=2, devices=2)
    assert finish(started) == [0, 0]
    found = json.loads((folder / 'two' / 'audit.json').read_text())
    assert len(found['provenance']['devices']) == 4
    same(alone, found)
    one, two = (np.load(folder / name / 'distances.npz') for name in ('one', 'two'))
    assert one.files == two.files
    for name in one.files:
        if one[name].dtype.kind == 'f':
            np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(two[name], one[name], err_msg=name)
    assert alone['inversion']['settings']['candidates'] == 5
    report = printed(folder / 'again', 0, 'out')
    assert 'report:' in report
    assert 'report:' not in printed(folder / 'again', 1, 'out')
    assert '100%' in printed(folder / 'again', 0, 'err')
    assert '%' not in printed(folder / 'again', 1, 'err')


def test_a_failure_in_one_ends_all(folder, start):
    """Process 1 alone finds no such folder."""
    started = []
    port = 10_000 + hash(str(folder)) % 20_000
    for number, members in ((0, folder / 'members'), (1, folder / 'nowhere')):
        arguments = [flag for flag in audit(folder, 'failing') if '--members' not in flag]
        together = (f'--coordinator_address=127.0.0.1:{port}', '--num_processes=2')
        arguments += [f'--members={members}', *together, f'--process_id={number}']
        started += start('audit', arguments, folder / f'failing{number}', processes=1)
    began = time.monotonic()
    codes = finish(started)
    assert time.monotonic() - began < MINUTE + 30  # both start first
    assert codes == [2, 2]
    for logs in ('failing0', 'failing1'):
        last = printed(folder / logs, 0, 'err').splitlines()[-1]
        assert 'nowhere' in last


@pytest.mark.parametrize(
    'arguments', [('--process_id=1',), ('--num_processes=2', '--process_id=0')]
)
def test_half_told(arguments):
    done = programs.command_line('verify', '--target=t', '--faces=f', '--pairs=p', *arguments)
    assert done.code == 2
    assert '--coordinator_address' in done.err
    assert done.err.count('\n') == 1


def test_the_work_of_one():
    done = programs.command_line('split_faces', '--faces=f', '--out=o', '--distributed')
    assert done.code == 2
    assert 'one process' in done.err


def train(folder, start, out, stop=None, **options):
    """Returns (exit codes, the trained target); with `stop`, the number of a process, the codes."""
    given = (f'--init={folder / "target"}', f'--faces={folder / "training"}')
    arguments = [*given, *TRAINING, f'--epochs={EPOCHS}', f'--out={folder / out}']
    pause = 0 if stop is None else 0.1
    started = start('train_recognizer', arguments, folder / out, pause=pause, **options)
    if stop is not None:
        log = pathlib.Path(f'{folder / out}.0.err')
        wait_for(lambda: log.exists() and f'/{STEPS}' in log.read_text(), started)
        started[stop].send_signal(signal.SIGTERM)
    codes = finish(started)
    return codes if stop is not None else (codes, native_targets.load_target(folder / out))


@pytest.fixture(scope='module')
def whole(folder, start):
    """A training that nobody stopped, on two devices of one process."""
    return train(folder, start, 'whole', processes=1, devices=2)


@pytest.mark.parametrize(('processes', 'stop'), [(1, 0), (2, 1)])
def test_stopped_training_goes_on_to_the_same_result(folder, start, whole, processes, stop):
    """A SIGTERM to one process saves and ends all, with exit code 4; as many as did not save restore."""
    assert whole[0] == [0]
    out, devices = f'stopped{processes}', 2 // processes
    assert train(folder, start, out, stop, processes=processes, devices=devices) == [4] * processes
    assert 'same command' in printed(folder / out, 0, 'err')
    assert not native_targets.is_target(folder / out)
    codes, trained = train(folder, start, out, processes=3 - processes, devices=processes)
    assert set(codes) == {0}
    assert trained.sha256 == whole[1].sha256


def test_two_processes_train_the_same_generator(folder, start):
    trained = []
    for processes in (1, 2):
        out = folder / f'generator{processes}'
        arguments = [*GENERATOR, f'--out={out}']
        started = start(
            'train_generator', arguments, out, processes=processes, devices=2 // processes
        )
        assert set(finish(started)) == {0}
        trained.append(generators.open_generator(out))
    assert trained[0].sha256 == trained[1].sha256


def test_others_that_never_come():
    alone = (
        'import runpy; from fr_inference.cli import joining; joining.JOIN_SECONDS = 1; '
        "runpy.run_module('experiments.verify', run_name='__main__')"
    )
    together = ('--coordinator_address=127.0.0.1:1', '--num_processes=2', '--process_id=1')
    done = subprocess.run(
        [sys.executable, '-c', alone, *together, '--target=t', '--faces=f', '--pairs=p'],
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert 'not all processes connected at 127.0.0.1:1 within 1 s' in done.stderr.splitlines()[-1]


def test_two_processes_measure_their_devices_together(folder, start):
    """The rate is that of all; process 0 alone says and writes it."""
    out = folder / 'speed.json'
    asked = ['--arch=tiny', '--batch_size=2', '--rounds=2', '--devices=1,2', f'--out={out}']
    for what in ('scoring', 'training'):
        logs = folder / what
        started = start('benchmark', [*asked, f'--what={what}'], logs, processes=2, devices=2)
        assert finish(started) == [0, 0]
        found = json.loads(out.read_text())['scaling']
        assert (found['processes'], found['devices']) == (2, [2, 4])
        for row in found['rows']:
            each = row['devices'] * row['size']
            rates = sorted(each / seconds for seconds in row['seconds'])
            assert row['rate']['median'] == pytest.approx(sum(rates) / 2)
        for number in range(2):
            assert ('weak scaling' in printed(logs, number, 'out')) == (number == 0)
