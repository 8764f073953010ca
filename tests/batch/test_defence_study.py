"""A study of defences on disk: who attacks what, what is compared, what a kill leaves to do."""

import json

import numpy as np
import pytest

from fr_inference import auditing, checkpointing, config, processes
from fr_inference.batch import defence_cells, defence_rows, defence_study
from fr_inference.cli import bars
from fr_inference.program_config import Studied
from tests.experiments import networks, targets
from tests.experiments.targets import MEMBERS, OTHERS

DEFENCES = 'noise:0.5;strip'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('study')
    for seed, name in enumerate(('target', 'reference', 'early')):
        targets.save(folder / name, seed)
    return folder


def study_of(folder, out, defences=DEFENCES, **studied):
    inputs = config.Inputs(
        target=str(folder / 'target'),
        members=MEMBERS,
        nonmembers=OTHERS,
        references=(str(folder / 'reference'),),
    )
    attacks = ('bn-distance', 'norm', 'reference', 'reference-distances', 'people')
    settings = config.Settings(batch_size=16, replicates=100, attacks=attacks)
    wanted = Studied(defences=defences, **studied)
    report = config.Report(thumbnails=False)
    rows = defence_rows.rows(inputs, settings, report, wanted)
    return defence_study.Study(rows, folder / out, scores=str(folder / 'scores'))


@pytest.fixture(scope='module')
def studied(folder):
    """(record, what each row was audited with) of a study that was stopped before its third row."""
    seen = []
    audit = auditing.run

    def watched(opened, *arguments, **options):
        if len(seen) == 2 and 'stopped' not in seen:
            seen.append('stopped')
            raise processes.Stopped
        seen.append(opened)
        return audit(opened, *arguments, **options)

    study = study_of(folder, 'out', trained=f'early={folder / "early"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing, 'run', watched)
        with pytest.raises(processes.Stopped):
            study.run()
        bars.drop('')
        again = study_of(folder, 'out', trained=f'early={folder / "early"}')
        record = again.run()
        audited = [one for one in seen if one != 'stopped']
        number = len(audited)
        assert again.run()['rows'] == record['rows']
        assert len(seen) == number + 1  # nothing is audited a second time
    return record, dict(zip([row.name for row in again.rows], audited, strict=True))


def test_every_row_is_audited_once(studied, folder):
    record, audited = studied
    assert [row['status'] for row in record['rows']] == ['done'] * 6
    assert json.loads((folder / 'out' / 'study.json').read_text())['rows'] == record['rows']
    assert (folder / 'out' / 'study.html').read_text().count('href="noise_0.5-') == 2
    assert len(audited) == 6


def mean(target):
    stats = target.variables['batch_stats']
    while 'mean' not in stats:
        stats = next(iter(stats.values()))
    return np.asarray(stats['mean'])


def test_the_adaptive_attacker_defends_its_own_with_other_noise(studied):
    _, audited = studied
    base, plain, adaptive = (audited[name] for name in list(audited)[:3])
    (before,), (left,), (noisy,) = (one.references.values() for one in (base, plain, adaptive))
    np.testing.assert_array_equal(mean(left), mean(before))
    assert np.abs(mean(noisy) - mean(before)).max() > 0
    np.testing.assert_array_equal(mean(plain.target), mean(adaptive.target))
    shifts = [mean(plain.target) - mean(base.target), mean(noisy) - mean(before)]
    # With the same seed the noise would differ by the networks' variances alone.
    assert abs(np.corrcoef(*map(np.ravel, shifts))[0, 1]) < 0.95


def test_all_rows_have_one_blind_control(studied):
    _, audited = studied
    assert len({checkpointing.digest(one.blind.variables) for one in audited.values()}) == 1


def test_what_is_compared(studied):
    record, _ = studied
    base, plain, _, strip = record['rows'][:4]
    accesses = {(cell['access'], cell['references']) for cell in base['cells']}
    assert accesses == {('file', False), ('answers', False), ('file', True), ('answers', True)}
    images = [cell for cell in plain['cells'] if cell['unit'] == 'image']
    assert all(cell['difference']['paired'] for cell in images)
    by_key = {cell['key']: cell for cell in base['cells']}
    for cell in images:
        before = by_key[cell['key']]['auc']
        assert cell['difference']['auc'] == pytest.approx(cell['auc'] - before, abs=1e-9)
    # Stripped, the backbone answers as it did, and shows no more in its file.
    for cell in strip['cells']:
        assert cell['stands_in'] == (cell['access'] == 'file')
        if (cell['access'], cell['unit']) == ('answers', 'image'):
            assert cell['difference']['auc'] == pytest.approx(0, abs=1e-9)
    assert strip['verification_difference']['accuracy'] == 0


def test_nothing_is_said_of_the_file_where_answers_are_changed(studied, folder):
    audit = json.loads((folder / 'out' / 'undefended' / 'audit.json').read_text())
    bound = defence_rows.accesses_bound('answers-round:bits=2')
    assert {cell['access'] for cell in defence_cells.cells(audit, bound)} == {'answers'}


def test_a_defence_that_does_not_fit_is_said_and_stops_no_other(folder):
    study = study_of(folder, 'out', 'refresh:nowhere')
    record = study.run()
    statuses = {row['name']: row['status'] for row in record['rows']}
    assert [*statuses.values()] == ['done', 'not run', 'not run']
    assert 'nowhere' in record['rows'][1]['why']


def test_rows_are_inverted_where_a_search_was_asked_for(tmp_path):
    """And a row that no statistics guide is audited all the same."""
    networks.save(tmp_path)
    faces = 'procedural:easy,images=2,size=16,people=8'
    inputs = config.Inputs(
        target=str(tmp_path / 'target'),
        members=faces,
        nonmembers=f'{faces},first=8',
        generator=str(tmp_path / 'generator'),
        evaluator=str(tmp_path / 'evaluator'),
    )
    settings = config.Settings(batch_size=16, replicates=100, attacks=('bn-distance', 'norm'))
    search = config.Search(
        **{'draws': 8, 'candidates': 6, 'keep': 6, 'steps': 1, 'pictures': 2},
        untrained=False,
        targeted=2,
    )
    wanted, report = Studied(defences='strip'), config.Report(thumbnails=False)
    rows = defence_rows.rows(inputs, settings, report, wanted, search)
    record = defence_study.Study(rows, tmp_path / 'out').run()
    base, strip = record['rows']
    audit = json.loads((tmp_path / 'out' / 'undefended' / 'audit.json').read_text())['inversion']
    assert base['inversion']['search']['hit_rate'] == audit['hit_rate']
    assert base['inversion']['search']['excess'] == audit['excess']
    assert base['inversion']['templates']['top1'] == audit['targeted']['top1']
    assert (strip['status'], 'inversion' in strip) == ('done', False)
    assert 'no statistics to guide the search' in (tmp_path / 'out' / 'study.html').read_text()
