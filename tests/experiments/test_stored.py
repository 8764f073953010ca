"""Programs whose faces, backbones, measurements and results are at addresses of an S3 server."""

import json
import signal
import socket

import pytest

from fr_inference.cli import program
from fr_inference.weights import native_targets
from tests import stores, zygote
from tests.experiments import networks, programs, targets
from tests.experiments.test_processes import finish, printed, wait_for

SIDES = ('members', 'nonmembers')
EPOCHS, STEPS = 8, 32


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two sides of eight people with three photographs each, and a target."""
    folder = tmp_path_factory.mktemp('stored')
    for seed, side in enumerate(SIDES):
        networks.save_faces(folder / side, 8, 3, seed=seed)
    targets.save(folder / 'target', 1)
    return folder


@pytest.fixture(scope='module')
def store(folder, tmp_path_factory):
    with stores.served(tmp_path_factory.mktemp('cache')) as store:
        for name in (*SIDES, 'target'):
            store.put(folder / name, name)
        yield store


def arguments(root, out, *rest):
    sides = (f'--{side}={root}/{side}' for side in SIDES)
    return [f'--target={root}/target', *sides, f'--out={out}', '--batch_size=16', *rest]


@pytest.fixture(scope='module')
def results(folder, store):
    """The same audit here, there, and there again from another machine."""
    there, scores = f's3://{stores.BUCKET}', f'--scores=s3://{stores.BUCKET}/scores'
    found = programs.run_all('audit', {'here': arguments(folder, folder / 'out')})
    found |= programs.run_all('audit', {'there': arguments(there, f'{there}/out', scores)})
    parts = store.names('scores')
    store.another_machine()
    found |= programs.run_all(
        'audit',
        {
            'again': arguments(there, f'{there}/again', scores),
            'no_bucket': arguments('s3://nowhere', f'{there}/no'),
            'no_faces': [*arguments(there, f'{there}/no'), f'--members={there}/none'],
            'no_store': [*arguments(there, f'{there}/no'), '--target=gopher://b/t'],
            'out_is_nowhere': [*arguments(there, 's3://nowhere/out')],
            'scores_are_nowhere': [*arguments(there, f'{there}/no'), '--scores=s3://nowhere/s'],
        },
    )
    return found, parts


def record(store, name):
    return json.loads(store.get(f'{name}/audit.json'))


def test_figures_are_those_of_local_files(folder, store, results):
    found, _ = results
    assert [found[case].code for case in ('here', 'there', 'again')] == [0, 0, 0], found[
        'there'
    ].err
    here = json.loads((folder / 'out' / 'audit.json').read_text())
    there = record(store, 'out')
    assert there['membership'] == here['membership']
    assert there['provenance']['target_sha256'] == here['provenance']['target_sha256']
    assert there['data']['members']['source'] == f's3://{stores.BUCKET}/members'
    assert f'--out=s3://{stores.BUCKET}/out' in there['provenance']['command']
    assert str(store.cache) not in json.dumps(there)
    scores = store.get('out/scores.csv').decode().splitlines()
    local = (folder / 'out' / 'scores.csv').read_text().splitlines()
    assert [line.replace(f's3://{stores.BUCKET}', str(folder)) for line in scores] == local
    assert found['there'].out.splitlines()[-1] == f'report: s3://{stores.BUCKET}/out/report.html'
    assert {'report.html', 'distances.npz'} <= set(store.names('out'))
    assert '.running.json' not in store.names('out')


def test_another_machine_measures_nothing_again(store, results):
    _, parts = results
    assert parts
    assert store.names('scores') == parts
    assert record(store, 'again')['membership'] == record(store, 'out')['membership']


@pytest.mark.parametrize(
    ('case', 'start', 'words'),
    [
        ('no_bucket', '--target: ', "'s3://nowhere/target', which does not exist"),
        ('no_faces', '--members: ', "'s3://bucket/none', which does not exist"),
        ('no_store', '--target: ', 'another scheme that fsspec has a driver for'),
        ('out_is_nowhere', '--out: ', 'which does not exist'),
        ('scores_are_nowhere', '--scores: ', 'which does not exist'),
    ],
)
def test_one_line(results, case, start, words):
    result = results[0][case]
    assert result.code == program.EXIT_BAD_INPUT, result.err
    last = result.err.splitlines()[-1]
    assert last.startswith(start)
    assert words in last
    assert 'Traceback' not in result.err


def train(out, epochs=EPOCHS):
    faces = f'--faces=s3://{stores.BUCKET}/members'
    recipe = ('--holdout=0', '--batch_size=6', '--learning_rate=0.001', f'--epochs={epochs}')
    return [faces, f'--init=s3://{stores.BUCKET}/target', *recipe, f'--out={out}']


def test_training_goes_on_on_another_machine(folder, store):
    """Stopped, then killed, each time on a machine that is gone afterwards; then by two processes."""
    address = f's3://{stores.BUCKET}/trained'
    with zygote.opened() as opened:

        def start(logs, *rest, out=address, **how):
            how = {'devices': 2, **how}
            return opened.start('train_recognizer', [*train(out), *rest], folder / logs, **how)

        assert finish([start('whole', out=folder / 'whole')]) == [0]
        for logs, signalled, code in (
            ('stopped', signal.SIGTERM, 4),
            ('killed', signal.SIGKILL, -9),
        ):
            started = start(logs, pause=0.2)
            log = folder / f'{logs}.err'
            wait_for(lambda log=log: log.exists() and f'/{STEPS}' in log.read_text(), [started])
            started.send_signal(signalled)
            assert finish([started]) == [code], log.read_text()
            assert any('state/' in name for name in store.names('trained'))
            store.another_machine()
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        together = (f'--coordinator_address=127.0.0.1:{port}', '--num_processes=2')
        pair = [
            start(f'last.{number}', *together, f'--process_id={number}', devices=1)
            for number in (0, 1)
        ]
        assert finish(pair) == [0, 0], printed(folder / 'last', 0, 'err')
    expected = native_targets.load_target(folder / 'whole')
    held = json.loads(store.get('trained/target.json'))
    assert held['variables_sha256'] == expected.sha256
    weights = store.get('trained/variables.safetensors')
    assert weights == (folder / 'whole' / 'variables.safetensors').read_bytes()
