"""A batch of audits: what a table may say, what is done again, and what a failing row leaves alone."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.monitoring
import pytest

from experiments import batch_folder, batch_run, batch_table, cli, job
from experiments.batch_table import Row
from fr_inference import devices, errors, processes
from fr_inference.measuring import measurements
from tests.experiments import programs, targets
from tests.experiments.targets import MEMBERS, OTHERS

COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _seconds, **_: COMPILED.append(event) if 'backend_compile' in event else None
)
VALUES = {
    **dict.fromkeys(('target', 'auxiliary', 'shadow', 'shadow_init', 'blind', 'generator')),
    **dict.fromkeys(('evaluator', 'member_identities', 'shift')),
    **{'members': MEMBERS, 'nonmembers': OTHERS, 'scaling': 'variance', 'hidden': 0, 'seed': 0},
    **{
        'batch_size': 16,
        'dtype': None,
        'decoders': 0,
        'skip_bad': False,
        'allow_overlap': False,
        'thumbnails': False,
    },
}
PARSERS = {name: int if isinstance(value, int) else str for name, value in VALUES.items()}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('batch')
    for epoch in range(4):
        targets.save(folder / f'epoch_{epoch}', epoch)
    (folder / 'targets.csv').write_text(
        'name,target,seed\n,epoch_0,\nbroken,gone.pth,\nsecond,epoch_1,3\n,epoch_2,\n,epoch_3,\n'
    )
    return folder


def row_of(folder, name, target=None, **values):
    values = {**VALUES, 'target': str(folder / (target or name)), **values}
    return Row(name=name, job=job.of_values(values))


def run(rows, out, **options):
    out.mkdir(exist_ok=True)
    batch = batch_run.Batch(rows, out, lambda _job, folder: f'audit --out={folder}')
    return batch.run(**options)


def figures_of(entry):
    timing = ('seconds',)
    return {name: value for name, value in entry.figures.items() if name not in timing}


@pytest.fixture(scope='module')
def in_turn(folder):
    """(entries, compilations of the first, of the others) on two devices at once."""
    rows = [row_of(folder, f'epoch_{epoch}') for epoch in range(3)]
    before = len(COMPILED)
    run(rows[:1], folder / 'in_turn')
    first = len(COMPILED) - before
    entries = run(rows, folder / 'in_turn')
    return entries, first, len(COMPILED) - before - first


def test_checkpoints_of_one_training_are_compiled_once(in_turn):
    entries, first, others = in_turn
    assert [entry.status for entry in entries] == ['done'] * 3
    assert first > 0
    assert others == 0


def test_one_row_per_device_gives_the_same_figures(folder, in_turn, monkeypatch):
    assert len(jax.local_devices()) == 2
    seen = []
    audit = job.run

    def watched(*arguments, **options):
        seen.append(devices.local())
        return audit(*arguments, **options)

    monkeypatch.setattr(job, 'run', watched)
    rows = [row_of(folder, f'epoch_{epoch}') for epoch in range(3)]
    apart = run(rows, folder / 'apart', per_device=True)
    assert {len(chosen) for chosen in seen} == {1}
    assert {chosen[0] for chosen in seen} == set(jax.local_devices())
    for one, two in zip(in_turn[0], apart, strict=True):
        assert one.kind == two.kind
        for name, value in figures_of(one).items():
            assert figures_of(two)[name] == pytest.approx(value, abs=1e-6)


@pytest.fixture
def quick(folder, in_turn, monkeypatch):
    """Audits that write the record of another one; ('target', 'bug') of a name fails like that."""
    text = (folder / 'in_turn' / 'epoch_0' / 'audit.json').read_text()
    done = []

    def audit(asked, out, **_):
        done.append(out)
        name = os.path.basename(out)
        if 'bug' in name:
            raise ZeroDivisionError('division\nby zero')
        errors.require('bad' not in name, '--members: nobody there')
        with open(os.path.join(out, 'audit.json'), 'w') as file:
            file.write(text)

        class Result:
            record = json.loads(text)

        return Result

    monkeypatch.setattr(job, 'run', audit)
    return done


def names(done):
    found = [os.path.basename(out) for out in done]
    done.clear()
    return found


def test_a_failing_row_stops_no_other(folder, quick, tmp_path, capsys):
    called = ('epoch_0', 'bug', 'bad', 'no_people', 'epoch_1')
    rows = [row_of(folder, name, 'epoch_0') for name in called]
    rows[3] = row_of(folder, 'no_people', 'epoch_0', members=str(tmp_path / 'nowhere'))
    entries = run(rows, tmp_path / 'out')
    assert [entry.status for entry in entries] == ['done', 'bug', 'failed', 'failed', 'done']
    assert entries[1].error == 'ZeroDivisionError: division by zero'
    assert entries[2].error == '--members: nobody there'
    assert entries[3].error.startswith('--members: ')
    trace = (tmp_path / 'out' / 'bug' / 'error.txt').read_text()
    assert trace.startswith('Traceback')
    assert trace.endswith('division\nby zero\n')
    said = capsys.readouterr().out
    assert 'bug: failed by a bug: ZeroDivisionError' in said
    assert 'bad: failed: --members: nobody there' in said
    assert not cli._BARS
    # Again: failed rows alone, and what was mended is no failure any more.
    names(quick)
    again = run([*rows[:2], row_of(folder, 'bad', 'epoch_0', seed=1), *rows[3:]], tmp_path / 'out')
    assert [entry.status for entry in again] == [entry.status for entry in entries]
    assert names(quick) == ['bug', 'bad']
    with open(tmp_path / 'out' / 'comparison.csv', encoding='utf-8', newline='') as file:
        table = list(csv.DictReader(file))
    assert [row['status'] for row in table] == [entry.status for entry in again]
    assert table[1]['error'] == entries[1].error


def test_what_changed_is_audited_again(folder, quick, tmp_path):
    targets.save(tmp_path / 'changing', 0)
    faces = tmp_path / 'members.csv'
    faces.write_text(f'path,identity\n"{MEMBERS}#0",a\n')
    rows = [
        row_of(tmp_path, 'changing'),
        row_of(folder, 'option', 'epoch_0'),
        row_of(folder, 'listed', 'epoch_0', members=str(faces)),
        row_of(folder, 'lost', 'epoch_0'),
    ]
    out = tmp_path / 'out'
    run(rows, out)
    assert names(quick) == ['changing', 'option', 'listed', 'lost']
    run(rows, out)
    assert names(quick) == []
    for name in ('changing', 'option', 'listed', 'lost'):
        (out / name / 'shadow').mkdir()
    targets.save(tmp_path / 'changing', 1)
    rows[1] = row_of(folder, 'option', 'epoch_0', hidden=4)
    faces.write_text(f'path,identity\n"{MEMBERS}#0",a\n"{MEMBERS}#1",b\n')
    (out / 'lost' / 'audit.json').unlink()
    run(rows, out)
    assert names(quick) == ['changing', 'option', 'listed', 'lost']
    # The state of the same run is gone on with, that of another would be refused.
    kept = [
        name
        for name in ('changing', 'option', 'listed', 'lost')
        if (out / name / 'shadow').is_dir()
    ]
    assert kept == ['lost']


def test_what_no_batch_has_written_is_left_alone(folder, quick, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'audit.json').write_text('{}')
    (entry,) = run([row_of(folder, 'mine', 'epoch_0')], tmp_path)
    assert entry.status == 'failed'
    assert 'holds files and no readable job.json; choose another folder or name' in entry.error
    assert (tmp_path / 'mine' / 'audit.json').read_text() == '{}'


def test_a_damaged_job_is_done_again_or_refused(folder, quick, tmp_path):
    run([row_of(folder, 'one', 'epoch_0')], tmp_path)
    held = tmp_path / 'one' / batch_folder.JOB
    held.write_text(held.read_text().replace('"done"', '"running"'))
    names(quick)
    run([row_of(folder, 'one', 'epoch_0')], tmp_path)
    assert names(quick) == ['one']
    held.write_text('{"half')
    (entry,) = run([row_of(folder, 'one', 'epoch_0')], tmp_path)
    assert entry.status == 'failed'


def test_asked_to_stop_it_stops_and_fails_no_row(folder, quick, tmp_path, monkeypatch):
    audit = job.run

    def stopped(asked, out, **options):
        if 'epoch_1' in out:
            processes.ask_to_stop()
            processes.stop_point()
        return audit(asked, out, **options)

    monkeypatch.setattr(processes, '_ASKED', threading.Event())
    monkeypatch.setattr(job, 'run', stopped)
    rows = [row_of(folder, f'epoch_{epoch}') for epoch in range(3)]
    for per_device in (False, True):
        out = tmp_path / str(per_device)
        with pytest.raises(processes.Stopped):
            run(rows, out, per_device=per_device)
        processes._ASKED.clear()
        with open(out / 'comparison.csv', encoding='utf-8', newline='') as file:
            states = [row['status'] for row in csv.DictReader(file)]
        assert states[:2] == ['done', 'waiting']
        assert states[2] in (('waiting', 'done') if per_device else ('waiting',))
        assert not cli._BARS


def test_what_one_row_has_measured_no_other_measures_again(folder, in_turn, monkeypatch):
    def measured(*_):
        raise AssertionError('measured again')

    rows = [row_of(folder, 'other_seed', 'epoch_2', seed=1, blind=str(folder / 'epoch_0'))]
    monkeypatch.setattr(measurements, '_scoring', lambda *_: measured)
    (entry,) = run(rows, folder / 'in_turn')
    assert entry.status == 'done', entry.error


def read(tmp_path, text, **defaults):
    (tmp_path / 'table.csv').write_text(text)
    return batch_table.read(str(tmp_path / 'table.csv'), {**VALUES, **defaults}, PARSERS)


def test_a_row_overrides_what_holds_for_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.model.pth').write_text('')
    rows = read(tmp_path, '\ufefftarget,seed,name\n a.model.pth ,,\nruns/e 1/,5,\nx, ,n\n', seed=2)
    assert [row.name for row in rows] == ['a.model', 'e_1', 'n']
    assert [row.job.seed for row in rows] == [2, 5, 2]
    assert rows[0].job.target == str(tmp_path / 'a.model.pth')  # beside the table
    assert rows[1].job.target == 'runs/e 1/'
    assert rows[0].job.members == MEMBERS


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('target\n', 'lists no targets'),
        ('target;seed\na;1\n', "found the separator ';', expected commas"),
        ('target\tseed\na\t1\n', r"found the separator '\t', expected commas"),
        ('name\na\n', "lacks the columns target: found 'name'"),
        ('target,sead\na,1\n', "unknown columns 'sead', expected name or options of an audit: "),
        ('target,target\na,b\n', "found the column 'target' twice"),
        ('target,seed\na,1,2\n', 'line 2: found more values than the 2 columns'),
        ('target,seed\na,x\n', "line 2: seed: found 'x': invalid literal"),
        ('target,hidden\na,-1\n', 'line 2: hidden: found -1, expected 0 to 4096 units'),
        ('target,evaluator\na,b\n', 'line 2: --evaluator: found without --generator'),
        ('target,name\n,b\n', 'line 2: target: empty'),
        ('target\nx/a.pt\ny/A.pth\n', "line 3: the name 'A' is that of line 2 as well"),
        ('target,name\na,../b\n', "line 2: name: found '../b', expected the name of a folder"),
        (
            'target,name\na,comparison.csv\n',
            "found 'comparison.csv', which the batch's own files have",
        ),
        ('target,seed\na,x\nb,1\nc,y\n', "line 4: seed: found 'y'"),
        ('target,name\na,Scores\n', "line 2: name: found 'Scores'"),
        ('target,name\n' + 'a,b\n' * 30, '; and 9 lines more'),
    ],
)
def test_a_bad_table_is_one_line(tmp_path, text, words):
    with pytest.raises(errors.InputError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f'--targets: {tmp_path}/table.csv')
    assert '\n' not in str(caught.value)


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
    until = time.monotonic() + 100
    job_of_first = folder / 'out' / 'epoch_0' / 'job.json'
    while not (job_of_first.is_file() and '"done"' in job_of_first.read_text()):
        assert batch.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    batch.send_signal(signal.SIGKILL)
    batch.wait()
    done = [path for path in (folder / 'out').glob('*/job.json') if '"done"' in path.read_text()]
    return {path.parent.name: _changed(path.parent) for path in done}


def _changed(path):
    return (path / 'audit.json').stat().st_mtime_ns


@pytest.fixture(scope='module')
def results(folder, killed):
    (folder / 'bad.csv').write_text('target,seed,hidden\na,-1,\nb,,\nc,,-1\n')
    return programs.run_all(
        'batch_audit',
        {
            'again': flags(folder),
            'done': flags(folder, '--fail_above=auc:0.999'),
            'gate': flags(folder, '--fail_above=auc:0.01'),
            'bad': flags(folder, table='bad.csv'),
            'none': flags(folder, table='none.csv'),
            'no_table': ['--out=x'],
        },
    )


def test_a_killed_batch_goes_on(folder, killed, results):
    assert 'epoch_0' in killed
    assert len(killed) < 4
    result = results['again']
    assert result.code == cli.EXIT_BAD_INPUT, result.err
    for name, changed in killed.items():
        assert _changed(folder / 'out' / name) == changed
        assert f'{name}: ' in result.out
        assert '(done before)' in result.out
    last = result.err.splitlines()[-1]
    assert last.startswith("broken: --target: 'gone.pth' not found")
    assert '5 audits: 4 done, 1 failed.' in result.out
    assert result.out.splitlines()[-1] == f'comparison: {folder / "out" / "comparison.html"}'
    record = json.loads((folder / 'out' / 'second' / 'audit.json').read_text())
    assert record['provenance']['seed'] == 3
    command = record['provenance']['command']
    assert command.startswith(f'python -m experiments.audit --out={folder / "out" / "second"} ')
    assert f'--target={folder / "epoch_1"} ' in command
    assert '--seed=3 --batch_size=16 --nothumbnails' in command


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
        ('done', cli.EXIT_BAD_INPUT, 'broken: --target: '),
        ('gate', cli.EXIT_GATE, '--fail_above: epoch_0: auc is 0.'),
        ('bad', cli.EXIT_BAD_INPUT, 'line 2: seed: found '),
        ('bad', cli.EXIT_BAD_INPUT, 'line 4: hidden: found -1'),
        ('none', cli.EXIT_BAD_INPUT, 'none.csv: found a file that cannot be read (No such file'),
        ('no_table', cli.EXIT_BAD_INPUT, '--targets'),
    ],
)
def test_exit_codes(results, case, code, words):
    result = results[case]
    assert result.code == code
    assert words in result.err.splitlines()[-1]
    if case in ('bad', 'none', 'no_table'):
        assert not result.out
        assert len(result.err.splitlines()) == 1
