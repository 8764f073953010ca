"""The record of the check: what is found stands in the files at once."""

import json

import pytest

from fr_inference.benchmarking.device_record import Bar, Record, parity_line


@pytest.fixture
def said():
    return []


@pytest.fixture
def record(tmp_path, said):
    return Record(tmp_path, {'what': 'gpu_check'}, say=said.append)


def test_every_row_is_written_at_once(record, tmp_path, said):
    record.begin('a')
    for number in range(3):
        record.add({'number': number}, f'row {number}')
        (part,) = json.loads((tmp_path / 'gpu_check.json').read_text())['parts']
        assert part['state'] == 'begun'  # what a kill at this moment leaves
        assert part['rows'][-1] == {'number': number}
        assert (tmp_path / 'gpu_check.txt').read_text().splitlines() == said
    record.end(1.0)
    (part,) = json.loads((tmp_path / 'gpu_check.json').read_text())['parts']
    assert (part['state'], part['seconds']) == ('done', 1.0)


@pytest.mark.parametrize(
    ('found', 'word'), [(None, 'not measured'), (0.449, 'missed'), (0.45, 'met'), (0.6, 'met')]
)
def test_a_bar(found, word):
    assert f': {word}' in Bar('share', 0.45, '%', found).said


def test_the_best_figure_meets_the_bar(record, tmp_path):
    record.expect('search', 'search', 2.0, 'times')
    for value in (1.5, 2.5, 1.0):
        record.reached('search', value)
    record.close('done')
    (bar,) = json.loads((tmp_path / 'gpu_check.json').read_text())['bars']
    assert bar['found'] == 2.5
    assert 'met with 2.5' in bar['said']


@pytest.mark.parametrize('met', [True, False])
def test_wrong_numbers_end_with_code_1(record, said, met):
    compared = {'name': 'a', 'quantity': 'distances', 'precision': 'bfloat16', 'error': 0.1}
    row = {**compared, 'tolerance': 0.2 if met else 0.05, 'met': met}
    record.begin('parity')
    record.add(row, parity_line(row))
    record.end(1.0)
    assert record.close('done') == (0 if met else 1)
    assert ('OUTSIDE' in '\n'.join(said)) == (not met)
