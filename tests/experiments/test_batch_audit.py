"""The batch program: killed and continued, its table of figures, its exit codes."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from fr_inference.cli import program
from tests.experiments import programs, targets
from tests.experiments.targets import MEMBERS, OTHERS


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('batch')
    for epoch in range(4):
        targets.save(folder / f'epoch_{epoch}', epoch)
    (folder / 'targets.csv').write_text(
        'name,target,seed\n,epoch_0,\nbroken,gone.pth,\nsecond,epoch_1,3\n,epoch_2,\n,epoch_3,\n'
    )
    return folder


def flags(folder, *rest, table='targets.csv'):
    return [
        *(f'--targets={folder / table}', f'--out={folder / "out"}', '--batch_size=16'),
        *(f'--members={MEMBERS}', f'--nonmembers={OTHERS}', '--nothumbnails', *rest),
    ]


@pytest.fixture(scope='module')
def killed(folder):
    """Kills a batch when its first row is done; name -> time of change of what was done by then."""
    batch = subprocess.Popen(
        [sys.executable, '-m', 'experiments.batch_audit', *flags(folder)],
        cwd=programs.ROOT,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 300
    job_of_first = folder / 'out' / 'epoch_0' / 'job.json'
    try:
        while not (job_of_first.is_file() and '"done"' in job_of_first.read_text()):
            assert batch.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        batch.send_signal(signal.SIGKILL)
        batch.wait()
    done = [path for path in (folder / 'out').glob('*/job.json') if '"done"' in path.read_text()]
    return {path.parent.name: _changed(path.parent) for path in done}


def _changed(path):
    return (path / 'audit.json').stat().st_mtime_ns


@pytest.fixture(scope='module')
def results(folder, killed):
    (folder / 'bad.csv').write_text('target,seed,batch_size\na,-1,\nb,,\nc,,-1\n')
    return programs.run_all(
        'batch_audit',
        {
            'again': flags(folder),
            'done': flags(folder, '--fail_above=auc:0.999'),
            'gate': flags(folder, '--fail_above=auc:0.01'),
            'verdict': flags(folder, '--fail_above=verdict'),
            'bad': flags(folder, table='bad.csv'),
            'none': flags(folder, table='none.csv'),
            'no_table': ['--out=x'],
            'no_generator': flags(folder, '--steps=3'),
        },
    )


def test_a_killed_batch_goes_on(folder, killed, results):
    assert 'epoch_0' in killed
    assert len(killed) < 4
    result = results['again']
    assert result.code == program.EXIT_BAD_INPUT, result.err
    for name, changed in killed.items():
        assert _changed(folder / 'out' / name) == changed
        assert f'{name}: ' in result.out
        assert '(done before)' in result.out
    last = result.err.splitlines()[-1]
    assert last.replace('--', '').startswith('targets: broken: target: ')
    assert 'gone.pth' in last
    assert '5 audits: 4 done, 1 failed.' in result.out
    assert result.out.splitlines()[-1] == f'comparison: {folder / "out" / "comparison.html"}'
    record = json.loads((folder / 'out' / 'second' / 'audit.json').read_text())
    assert record['provenance']['seed'] == 3
    command = shlex.split(record['provenance']['command'])
    assert command[:3] == ['python', '-m', 'experiments.audit']
    expected = {f'--out={folder / "out" / "second"}', f'--target={folder / "epoch_1"}'}
    expected |= {f'--members={MEMBERS}', f'--nonmembers={OTHERS}'}
    assert {*command[3:]} == expected | {'--seed=3', '--batch_size=16', '--nothumbnails'}


def test_the_table_holds_the_figures_of_the_audits(folder, results):
    with open(folder / 'out' / 'comparison.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows] == ['epoch_0', 'broken', 'second', 'epoch_2', 'epoch_3']
    for row in rows[:1] + rows[2:]:
        record = json.loads((folder / 'out' / row['name'] / 'audit.json').read_text())
        compared = record['membership']['comparisons']
        for found in compared:
            cells = f'auc {found["attack"]}/{found["setting"]}'
            assert float(row[cells]) == found['auc']
            assert [float(row[f'{cells}_{end}']) for end in ('low', 'high')] == found['auc_ci95']
        (decisive,) = (
            found
            for found in compared
            if f'{found["attack"]}/{found["setting"]}' == row['decided_by']
        )
        assert float(row['excess']) == decisive['excess']['auc']
        assert row['images'] == '32'
        assert row['people'] == '16'
        assert row['target_sha256'] == record['provenance']['target_sha256']
    page = (folder / 'out' / 'comparison.html').read_text()
    assert page.count('report.html"') == 4


@pytest.mark.parametrize(
    ('case', 'code', 'words'),
    [
        ('done', program.EXIT_BAD_INPUT, 'broken: '),
        ('gate', program.EXIT_GATE, '--fail_above: epoch_0: auc is 0.'),
        ('verdict', program.EXIT_GATE, '--fail_above: epoch_0: the verdict is '),
        ('bad', program.EXIT_BAD_INPUT, 'line 2: seed: found '),
        ('bad', program.EXIT_BAD_INPUT, 'line 4: batch_size: found -1'),
        (
            'none',
            program.EXIT_BAD_INPUT,
            'none.csv: found a file that cannot be read (No such file',
        ),
        ('no_table', program.EXIT_BAD_INPUT, '--targets'),
        ('no_generator', program.EXIT_BAD_INPUT, '--steps: found no row with a generator'),
    ],
)
def test_exit_codes(results, case, code, words):
    result = results[case]
    assert result.code == code
    assert words in result.err.splitlines()[-1]
    if case in ('bad', 'none', 'no_table', 'no_generator'):
        assert not result.out
        assert len(result.err.splitlines()) == 1
