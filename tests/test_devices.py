"""The number of devices changes no result."""

import json
import os
import subprocess
import sys

import pytest

from tests.experiments.programs import ROOT


@pytest.fixture(scope='module')
def apart():
    """Largest difference to what one device gives: work -> [on 2, on 8]."""
    done = subprocess.run(
        [sys.executable, '-m', 'tests.eight_devices'],
        cwd=ROOT,
        env={
            **os.environ,
            'JAX_PLATFORMS': 'cpu',
            'JAX_NUM_CPU_DEVICES': '8',
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ('work', 'tolerance'),
    [
        ('score', 1e-4),
        ('invert', 2e-3),  # after twelve steps of Adam, whose first are signs
        ('train_recognizer', 1e-4),
        ('train_generator', 2e-3),
    ],
)
def test_devices_change_nothing(apart, work, tolerance):
    assert max(apart[work]) < tolerance


def test_statistics_of_each_device_alone_are_others(apart):
    assert apart['without cross-replica'][0] > 1e-3
