"""What the exit of a batch says of all rows: a bug before a crossed gate, that before bad input."""

import json

import pytest

from fr_inference.batch import ending
from fr_inference.cli import program
from fr_inference.errors import InputError
from fr_inference.report import gate
from fr_inference.report.batch_page import Entry
from fr_inference.report.gate import GateCrossed
from tests.report.comparisons import comparison, record

GATES = [gate.parse('auc:0.5')]  # the attack of `comparison` has 0.8 or so


def entry(name, status='done', error=''):
    return Entry(name=name, target='x.pth', status=status, error=error)


@pytest.fixture
def out(tmp_path):
    (tmp_path / 'leaky').mkdir()
    (tmp_path / 'leaky' / 'audit.json').write_text(json.dumps(record(comparison())))
    return tmp_path


BUG, FAILED = entry('broken', 'bug', 'a bug'), entry('absent', 'failed', 'no such file')


def test_all_is_well(out, capsys):
    ending.tell([entry('leaky')], [], out)
    assert capsys.readouterr().out.splitlines()[-1] == f'comparison: {out / "comparison.html"}'


def test_a_bug_comes_first(out, capsys):
    with pytest.raises(SystemExit) as caught:
        ending.tell([entry('leaky'), FAILED, BUG], GATES, out)
    assert caught.value.code == program.EXIT_BUG
    assert 'broken: a bug' in capsys.readouterr().err


def test_a_crossed_gate_comes_before_bad_input(out):
    with pytest.raises(GateCrossed, match='leaky: auc is'):
        ending.tell([FAILED, entry('leaky')], GATES, out)


def test_bad_input_of_a_row(out):
    with pytest.raises(InputError) as caught:
        ending.tell([FAILED, entry('leaky')], [], out)
    assert (caught.value.field, caught.value.hint) == ('targets', 'absent: no such file')


def test_a_gate_that_cannot_be_held(out):
    with pytest.raises(InputError) as caught:
        ending.tell([entry('leaky')], [gate.parse('identity_auc:0.9')], out)
    assert caught.value.field == 'targets'
    assert caught.value.hint.startswith('leaky: ')


def test_a_gate_that_was_passed_by_a_row_that_is_not_clear(out, capsys):
    ending.tell([entry('leaky')], [gate.parse('auc:0.9')], out)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('--fail_above: leaky: passed, but the verdict is leak')
    with pytest.raises(GateCrossed, match='leaky: the verdict is leak'):
        ending.tell([entry('leaky')], [gate.parse('verdict')], out)
