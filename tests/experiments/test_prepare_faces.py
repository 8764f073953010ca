"""The program that writes tfds sets: what it says, what it refuses, and gone on with when killed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import tensorflow_datasets as tfds

from fr_inference import files, program_config
from fr_inference.data import prepare, sources
from tests.data import records
from tests.experiments import programs

COUNT, SHARDS = 3000, 60


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('prepare')
    some = [records.jpeg(seed) for seed in range(50)]
    # A comment makes each another file.
    images = [
        some[n % 50][:2] + b'\xff\xfe\x00\x06%04d' % n + some[n % 50][2:] for n in range(COUNT)
    ]
    records.write(
        folder / 'train',
        records.training_set({n: images[10 * n : 10 * n + 10] for n in range(COUNT // 10)}),
    )
    (folder / 'faces' / 'ann').mkdir(parents=True)
    (folder / 'faces' / 'ann' / '1.jpg').write_bytes(some[0])
    (folder / 'faces' / 'ann' / '2.jpg').write_bytes(b'no image')
    return folder


@pytest.fixture(scope='module')
def results(folder):
    faces, out = f'--faces={folder / "faces"}', f'--out={folder / "sets"}'
    return programs.run_all(
        'prepare_faces',
        {
            'bad': [faces, out],
            'left out': [faces, out, '--skip_bad'],
            'there already': [faces, out, '--skip_bad'],
            'again': [
                '--faces=tfds:faces:train',
                f'--data_dir={folder / "sets"}',
                out,
                '--name=again',
                '--workers=1',
            ],
            'key': [
                '--faces=tfds:faces:train',
                f'--data_dir={folder / "sets"}',
                '--identity_key=person',
                out,
            ],
            'name': [faces, out, '--name=A B'],
            'nothing': [f'--faces={folder / "nothing"}', out],
        },
    )


def test_says_how_to_open_it(folder, results):
    result = results['left out']
    assert result.code == 0, result.err
    assert '1 images, 1 unreadable ones left out' in result.out
    assert f'tfds:faces:train, data_dir {folder / "sets"}' in result.out
    assert 'left out: ' in result.err
    faces = sources.open_faces('tfds:faces:train', data_dir=str(folder / 'sets'))
    assert list(faces.identities) == ['ann']
    assert results['again'].code == 0, results['again'].err


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('bad', ('2.jpg: found no known image format',)),
        ('there already', ('--out', 'which exists')),
        ('key', ('--faces', 'person', 'identity (Text)')),
        ('name', ('--name', "'A B'")),
        ('nothing', ('--faces', 'does not exist')),
    ],
)
def test_one_line_and_exit_code_2(results, case, words):
    result = results[case]
    assert result.code == 2, result.err
    message = [line for line in result.err.splitlines() if line.strip()][-1]  # after the bars
    for word in words:
        assert word in message


def held(out):
    source = tfds.builder_from_directory(out / 'webface' / '1.0.0').as_data_source(
        'train', decoders={'image': tfds.decode.SkipDecoding()}
    )
    return source.dataset_info.splits['train'].shard_lengths, list(source)


def test_killed_and_started_again(folder, tmp_path):
    """Killed with its processes at work; then the same command ends in the same set."""
    spec, out = str(folder / 'train.rec'), tmp_path / 'killed'
    command = [
        *(sys.executable, '-m', 'experiments.prepare_faces', f'--faces={spec}', f'--out={out}'),
        *('--name=webface', f'--shards={SHARDS}', '--workers=2'),
    ]
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    with subprocess.Popen(
        command, cwd=programs.ROOT, env=environment, stderr=subprocess.DEVNULL
    ) as running:
        while running.poll() is None and len(shards(out)) < 3:
            time.sleep(0.005)
        helpers = children(running.pid)
        running.send_signal(signal.SIGKILL)
    assert len(helpers) >= 2
    for _ in range(200):
        if not any(map(runs, helpers)):
            break
        time.sleep(0.05)
    assert not any(map(runs, helpers))  # they end with the one that started them
    before = shards(out)
    assert 3 <= len(before) < SHARDS
    assert not (out / 'webface' / '1.0.0').exists()
    times = {path.name: path.stat().st_mtime_ns for path in before}
    subprocess.run([*command[:-1], '--workers=1'], cwd=programs.ROOT, env=environment, check=True)
    finished = out / 'webface' / '1.0.0'
    assert all((finished / name).stat().st_mtime_ns == time for name, time in times.items())
    whole = prepare.prepare(
        program_config.Preparation(
            faces=spec, out=str(tmp_path / 'whole'), name='webface', shards=SHARDS, workers=1
        )
    )
    assert held(out) == held(tmp_path / 'whole')
    assert sorted(path.name for path in finished.iterdir()) == sorted(
        path.name for path in whole.place.finished.iterdir()
    )


def shards(out: pathlib.Path):
    found = (out / 'webface' / 'unfinished').glob('*-of-*')
    return [path for path in found if not files.is_unfinished(path.name)]


def status(pid):
    """Returns (state, parent) of a process, as /proc/PID/stat has them."""
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='utf-8')
    except (FileNotFoundError, ProcessLookupError):
        return 'X', 0
    state, parent = text.rpartition(')')[2].split()[:2]
    return state, int(parent)


def children(pid):
    numbers = [int(path.name) for path in pathlib.Path('/proc').glob('[0-9]*')]
    return [number for number in numbers if status(number)[1] == pid]


def runs(pid):
    return status(pid)[0] not in 'XZ'
