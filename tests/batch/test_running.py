"""A batch of audits: what is done again, and what a failing row leaves alone."""

import csv
import json
import os
import threading

import jax
import jax.monitoring
import pytest

from fr_inference import config, devices, errors, processes
from fr_inference.batch import row_folder, running, single
from fr_inference.batch.table import Row
from fr_inference.cli import bars
from fr_inference.measuring import measurements
from tests import flipped_bits
from tests.experiments import targets
from tests.experiments.targets import MEMBERS, OTHERS

COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    # Compiled, or taken from the cache of compiled programs on the disk.
    lambda event, _seconds, **_: (
        COMPILED.append(event) if 'backend_compile' in event or 'cache_retrieval' in event else None
    )
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('batch')
    for epoch in range(3):
        targets.save(folder / f'epoch_{epoch}', epoch)
    return folder


def row_of(folder, name, target=None, *, members=MEMBERS, blind=None, **settings):
    return Row(
        name=name,
        inputs=config.Inputs(
            target=str(folder / (target or name)), members=members, nonmembers=OTHERS, blind=blind
        ),
        settings=config.Settings(batch_size=16, **settings),
        search=None,
        report=config.Report(thumbnails=False),
    )


def run(rows, out, **options):
    out.mkdir(exist_ok=True)
    return running.Batch(rows, out).run(**options)


def figures_of(entry):
    timing = ('seconds',)
    return {name: value for name, value in entry.figures.items() if name not in timing}


@pytest.fixture(scope='module')
def in_turn(folder):
    """(entries, compilations of the first, of the others) on two devices at once."""
    rows = [row_of(folder, f'epoch_{epoch}') for epoch in range(3)]
    jax.clear_caches()  # another test of this process may have compiled the same
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
    audit = single.run

    def watched(*arguments, **options):
        seen.append(devices.local())
        return audit(*arguments, **options)

    monkeypatch.setattr(single, 'run', watched)
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

    def audit(_inputs, _settings, _search, output, **_):
        out = output.out
        done.append(out)
        name = os.path.basename(out)
        if 'bug' in name:
            raise ZeroDivisionError('division\nby zero')
        if 'bad' in name:
            raise errors.InputError('members', 'nobody there')
        with open(os.path.join(out, 'audit.json'), 'w') as file:
            file.write(text)

        class Result:
            record = json.loads(text)

        return Result

    monkeypatch.setattr(single, 'run', audit)
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
    assert entries[2].error == 'members: found nobody there'
    assert entries[3].error.removeprefix('--').startswith('members: ')
    trace = (tmp_path / 'out' / 'bug' / 'error.txt').read_text()
    assert trace.startswith('Traceback')
    assert trace.endswith('division\nby zero\n')
    said = capsys.readouterr().out
    assert 'bug: failed by a bug: ZeroDivisionError' in said
    assert 'bad: failed: members: found nobody there' in said
    assert not bars._BARS
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
    rows[1] = row_of(folder, 'option', 'epoch_0', allow_overlap=True)
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
    assert 'files and no readable job.json; choose another folder or name' in entry.error
    assert (tmp_path / 'mine' / 'audit.json').read_text() == '{}'


def test_what_a_killed_batch_began_is_gone_on_with(folder, quick, tmp_path):
    (tmp_path / 'one').mkdir()
    (tmp_path / 'one' / '.job.17.42.part.json').write_text('{"half')
    (entry,) = run([row_of(folder, 'one', 'epoch_0')], tmp_path)
    assert entry.status == 'done'


def test_a_damaged_job_is_done_again_or_refused(folder, quick, tmp_path):
    run([row_of(folder, 'one', 'epoch_0')], tmp_path)
    held = tmp_path / 'one' / row_folder.JOB
    held.write_text(held.read_text().replace('"done"', '"running"'))
    names(quick)
    run([row_of(folder, 'one', 'epoch_0')], tmp_path)
    assert names(quick) == ['one']
    audited = tmp_path / 'one' / 'audit.json'
    for _ in flipped_bits.each(audited, 1):
        run([row_of(folder, 'one', 'epoch_0')], tmp_path)
        assert names(quick) == ['one']
    held.write_text('{"half')
    (entry,) = run([row_of(folder, 'one', 'epoch_0')], tmp_path)
    assert entry.status == 'failed'


def test_asked_to_stop_it_stops_and_fails_no_row(folder, quick, tmp_path, monkeypatch):
    audit = single.run

    def stopped(inputs, settings, search, output, **options):
        if 'epoch_1' in output.out:
            processes.ask_to_stop()
            processes.stop_point()
        return audit(inputs, settings, search, output, **options)

    monkeypatch.setattr(processes, '_ASKED', threading.Event())
    monkeypatch.setattr(single, 'run', stopped)
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
        assert not bars._BARS


def test_what_one_row_has_measured_no_other_measures_again(folder, in_turn, monkeypatch):
    def measured(*_):
        raise AssertionError('measured again')

    rows = [row_of(folder, 'other_seed', 'epoch_2', seed=1, blind=str(folder / 'epoch_0'))]
    monkeypatch.setattr(measurements, '_measured', measured)
    (entry,) = run(rows, folder / 'in_turn')
    assert entry.status == 'done', entry.error
