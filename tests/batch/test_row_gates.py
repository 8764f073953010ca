"""A gate that no row can answer ends a batch at its start; one of some rows fails those alone."""

import pytest

from fr_inference import config
from fr_inference.batch import row_gates, running
from fr_inference.batch.table import Row
from fr_inference.errors import InputError
from fr_inference.report import gate
from tests.experiments import targets
from tests.experiments.targets import MEMBERS, OTHERS

UNRESOLVED = [gate.parse('tpr@fpr=0.1:0.5')]  # of 8 evaluated photographs


def row(name, target='none', *, others=OTHERS, **settings):
    return Row(
        name=name,
        inputs=config.Inputs(target=str(target), members=MEMBERS, nonmembers=others),
        settings=config.Settings(batch_size=16, **settings),
        search=None,
        report=config.Report(thumbnails=False),
    )


def test_rows_alike_are_checked_at_the_start(tmp_path):
    rows = [row('a'), row('b', 'another')]
    row_gates.check(rows, [])
    row_gates.check(rows, [gate.parse('verdict'), gate.parse('auc:0.6')])
    with pytest.raises(InputError) as caught:
        running.Batch(rows, tmp_path, gates=UNRESOLVED).run()
    assert caught.value.field == 'fail_above'
    assert '8 evaluated' in caught.value.found
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError) as caught:
        row_gates.check(rows, [gate.parse('hit_rate:0.1')])
    assert caught.value.field == 'fail_above'


def test_what_the_rows_say_themselves():
    row_gates.check([row('a', others='nowhere'), row('b', others='nowhere')], UNRESOLVED)
    row_gates.check([row('a'), row('b', seed=1)], UNRESOLVED)
    row_gates.check([row('a'), row('b', attacks=('people',))], UNRESOLVED)


def test_a_row_that_cannot_answer_fails_before_it_is_measured(tmp_path):
    targets.save(tmp_path / 'target', 0)
    rows = [row(name, tmp_path / 'target', seed=seed) for seed, name in enumerate('ab')]
    out = tmp_path / 'out'
    out.mkdir()
    entries = running.Batch(rows, out, gates=UNRESOLVED).run()
    assert [entry.status for entry in entries] == ['failed'] * 2
    assert all('tpr@fpr=0.1 with 8 evaluated' in entry.error for entry in entries)
    assert not list(out.glob('*/audit.json'))
    assert not (out / 'scores').exists()
