"""The check of a device as a whole, on a CPU with tiny sizes. No timing is asserted."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from fr_inference.benchmarking import device_check, device_parts, device_sizes, torch_timed_peer
from fr_inference.benchmarking.device_record import Record

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# What a machine with JAX may lack; that PyTorch is missing has to be said.
ABSENT = (
    *('tensorflow', 'tensorflow_datasets', 'array_record', 'torch', 'torchvision', 'cv2', 'mtcnn'),
    'importlib_resources',
)
PROGRAM = f"""
import importlib, pathlib, sys
sys.modules.update(dict.fromkeys({ABSENT}))
for path in sorted(pathlib.Path('experiments').glob('[!_]*.py')):
    importlib.import_module(f'experiments.{{path.stem}}')
from fr_inference.benchmarking import device_check, inversion_speed
inversion_speed._STEPS = 2  # unoptimised, as in tests, five take seconds
sys.exit(device_check.main())
"""


@pytest.fixture(scope='module')
def checked(tmp_path_factory):
    """Returns (the JSON, what was said), of a process without packages that may be absent."""
    out = tmp_path_factory.mktemp('check')
    parts = '--parts=training,search_peer,scoring,parity,mobile'
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, f'--out={out}', '--seconds=600', parts],
        cwd=ROOT,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (out / 'gpu_check.txt').read_text() == done.stdout
    return json.loads((out / 'gpu_check.json').read_text()), done.stdout


def rows(result, name):
    (part,) = [part for part in result['parts'] if part['name'] == name]
    assert part['state'] == 'done'
    return part['rows']


def test_parts_come_in_the_order_of_their_value(checked):
    result, said = checked
    order = ['device', 'parity', 'scoring', 'search_peer', 'mobile', 'training']
    assert [part['name'] for part in result['parts']] == order
    assert result['ended'] == 'done'
    assert (result['device'], result['small']) == ('cpu', True)
    assert 'say nothing about speed' in said


def test_the_cpu_agrees_with_itself(checked):
    compared = rows(checked[0], 'parity')
    quantities = {'distances', 'embeddings', 'gradients', 'objective', 'moves'}
    for name in ('float32, highest', 'bfloat16'):
        found = {row['quantity']: row for row in compared if row['precision'] == name}
        assert found.keys() == quantities
        assert all(row['met'] for row in found.values())
        # Two precisions differ by more than nothing: the comparison sees something.
        assert all((row['error'] > 0) == (name == 'bfloat16') for row in found.values())


def test_rates_and_what_is_missing(checked):
    result, said = checked
    scored, plain, moved = rows(result, 'scoring')
    assert scored['flops_per_item'] == moved['flops_per_item']
    assert 'forward pass alone' in plain['name']
    assert moved['label'] == 'with its images from the host'
    (searched,) = rows(result, 'search_peer')
    assert searched['rate']['median'] > 0
    assert 'share_of_peak' not in scored  # no data sheet of a CPU
    assert 'PyTorch is not installed' in said
    assert "NVIDIA's networks: not given" in said
    assert all(bar['found'] is None for bar in result['bars'])


def made(folder, **options):
    record = Record(folder, {}, say=lambda line: None)
    device_parts.expect(record)
    settings = {'sizes': device_sizes.SMALL, 'device': None, 'chip': None, 'ends': float('inf')}
    return device_parts.Check(record=record, **{**settings, **options})


def test_a_part_that_fails_makes_room_for_the_next(tmp_path, monkeypatch):
    def fails(check):
        raise ValueError('the cause\nand its details')

    done = []
    monkeypatch.setattr(device_check, 'PARTS', {'a': fails, 'b': done.append})
    assert device_check.run(made(tmp_path), ['b', 'a']) == 1
    assert len(done) == 1
    parts = json.loads((tmp_path / 'gpu_check.json').read_text())['parts']
    assert [part['state'] for part in parts] == ['failed', 'done']
    assert parts[0]['failed'] == 'ValueError: the cause'


def test_no_part_begins_without_time(tmp_path, monkeypatch):
    monkeypatch.setattr(device_check, 'PARTS', {'a': pytest.fail})
    assert device_check.run(made(tmp_path, ends=0.0), ['a']) == 0
    assert json.loads((tmp_path / 'gpu_check.json').read_text())['ended'] == 'no time for: a'


@pytest.mark.parametrize(
    ('rates', 'expected'), [([1.0, 2.0, 1.5, 9.0], 3), ([1.0, None, 9.0], 1), ([1.0, 2.0], 2)]
)
def test_batches_grow_while_it_pays(tmp_path, monkeypatch, rates, expected):
    """A rate of None: out of memory."""

    def rate(self, task, unit, label=''):
        if task.size is None:
            raise device_parts.jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')
        return {'rate': {'median': task.size}}

    class Task:
        name = 'network'

        def __init__(self, size):
            self.size = size

    monkeypatch.setattr(device_parts.Check, 'rate', rate)
    check = made(tmp_path)
    check.record.begin('batches')
    assert len(list(device_parts._rising(check, map(Task, rates), 'images'))) == expected


ROW = {'rate': {'median': 300.0}, 'unit': 'images'}
FOUND = {'seconds': [1.0, 2.0, 9.0], 'first_call_seconds': 5.0}


@pytest.mark.parametrize(
    ('compiles', 'bar', 'sizes', 'found'),
    [
        (True, 'iresnet50', device_sizes.FULL, 3.0),  # 200 images in 2 s are 100 images/s
        (False, 'iresnet50', device_sizes.FULL, 3.0),
        (True, None, device_sizes.FULL, None),
        (True, 'iresnet50', device_sizes.SMALL, None),  # a small network proves nothing
    ],
)
def test_beside_pytorch(tmp_path, monkeypatch, compiles, bar, sizes, found):
    asked = []

    def measure(what, seconds):
        asked.append(what['compiled'])
        if what['compiled'] and not compiles:
            raise torch_timed_peer.NotMeasured('PyTorch took more than 150 s')
        return FOUND

    monkeypatch.setattr(torch_timed_peer, 'measure', measure)
    check = made(tmp_path, sizes=sizes)
    check.record.begin('scoring')
    ours = device_parts.Ours(row=ROW, items=200, asked={}, bar=bar, label='PyTorch')
    device_parts._beside(check, ours)
    assert asked == ([False] if sizes is device_sizes.SMALL else [True, False][: 2 - compiles])
    result = json.loads((tmp_path / 'gpu_check.json').read_text())
    (row,) = result['parts'][0]['rows']
    assert row['ours_over_it'] == 3.0
    assert {entry['found'] for entry in result['bars']} == {None, found}


def test_the_script(tmp_path):
    """It finds Python and the checkout from anywhere; a part that does not exist is named."""
    done = subprocess.run(
        ['bash', str(ROOT / 'launch' / 'gpu_check.sh'), '--parts=parity,none'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHON': sys.executable, 'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "found 'none', expected some of parity,scoring," in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'argument', ['--seconds=0', '--seconds=nan', '--parts=', '--out=/dev/null/a', '--out=s3://a/b']
)
def test_bad_arguments_are_one_line(argument, capsys):
    with pytest.raises(SystemExit) as ended:
        device_check.main([argument])
    assert ended.value.code == 2
    assert (
        f'error: {argument.partition("=")[0]}: found ' in capsys.readouterr().err.splitlines()[-1]
    )


def test_a_python_without_jax_is_named(tmp_path):
    bare = tmp_path / 'python'
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    done = subprocess.run(
        ['bash', str(ROOT / 'launch' / 'gpu_check.sh')],
        env={**os.environ, 'PYTHON': str(bare)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert 'found no jax, flax' in line
