"""The whole benchmark: what it measures over devices, writes and refuses. No timing is asserted."""

import functools
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from fr_inference import errors, program_config
from fr_inference.benchmarking import (
    inversion_speed,
    random_weights,
    scaling,
    scoring_speed,
    suite,
    timing,
)
from fr_inference.models import stylegan2
from tests.benchmarking.settings import quick


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(timing, '_PAUSE', 0)


def run(tmp_path, **options):
    """Returns (the JSON of the benchmark, what it said), once its plot is known to be one."""
    out, said = tmp_path / 'deep' / 'speed.json', []
    found = suite.run(quick(out=str(out), **options), command='a command', say=said.append)
    assert ElementTree.parse(out.with_suffix('.svg')).getroot().tag.endswith('svg')
    written = json.loads(out.read_text())
    assert written == json.loads(json.dumps(found))
    assert {'git_commit', 'versions', 'devices'} <= set(written['provenance'])
    assert written['provenance']['command'] == 'a command'
    return written, '\n'.join(said)


def is_a_table_over_devices(found):
    assert found['devices'] == [1, 2]
    assert 'weak scaling' in found['batch']
    assert 'nothing about speed' in found['note']
    assert found['peak_bytes_of'] == 'process'
    assert 'peak' not in found
    assert [(row['size'], row['devices']) for row in found['rows']] == [(2, 1), (2, 2)]
    for row in found['rows']:
        assert row['compile_seconds'] > 0
        assert row['warm_up_seconds'] > 0
        assert row['peak_bytes'] > 2**20
        assert len(row['seconds']) == 2
        low, high = row['rate']['quartiles']
        assert low <= row['rate']['median'] <= high
        assert row['rate_per_device'] == row['rate']['median'] / row['devices']
        assert row['flops_per_second_per_device'] == row['flops_per_item'] * row['rate_per_device']
        assert 'share_of_peak' not in row  # absent, not zero
    alone, both = found['rows']
    assert alone['efficiency'] == 1
    assert both['efficiency'] == pytest.approx(
        both['rate']['median'] / (2 * alone['rate']['median'])
    )


def test_scoring_over_devices(tmp_path):
    found, said = run(tmp_path)
    is_a_table_over_devices(found['scaling'])
    assert found['backbones']['tiny']['batch_size'] == found['settings']['batch_size'] == 2
    assert scaling.CPU_NOTE in said
    assert scaling.CPU_NOTE in (tmp_path / 'deep' / 'speed.svg').read_text()
    # Without a peer the plain forward pass is what scoring is compared with.
    assert found['peer'] is None
    tiny = found['backbones']['tiny']
    assert set(tiny['images_per_second']) == {'plain', 'scoring', 'audit'}
    assert set(tiny['seconds_ratio']) == {'scoring/plain', 'audit/plain'}
    assert all(len(values) == 2 for values in tiny['seconds'].values())
    assert 'no peer' in said
    assert 'tiny, batch 2, scoring/plain' in said


def test_training_over_devices(tmp_path):
    (scored,) = scoring_speed.tasks(random_weights.backbone('tiny'), [2])
    found, _ = run(tmp_path, what='training')
    is_a_table_over_devices(found['scaling'])
    # Forward, and backward for features and weights.
    assert 2.5 < found['scaling']['rows'][0]['flops_per_item'] / scored.flops < 4


def test_private_training_beside_plain(tmp_path):
    found, said = run(tmp_path, what='private-training', devices=(2,))
    plain, private = found['scaling']['rows']
    assert (plain['name'], private['name']) == ('tiny', 'tiny, private')
    ratio = private['rate']['median'] / plain['rate']['median']
    assert found['private_over_plain'] == {'tiny, 2 a device, 2 devices': pytest.approx(ratio)}
    assert f'private training at {ratio:.2g} of the rate' in said


def test_inversion_on_two_devices(tmp_path, monkeypatch):
    sizes = {'z_dim': 4, 'w_dim': 4, 'channel_base': 32, 'channel_max': 4, 'mapping_layers': 1}
    small = functools.partial(stylegan2.Generator, **sizes)
    monkeypatch.setattr(random_weights, 'Generator', small)
    monkeypatch.setattr(inversion_speed, '_STEPS', 2)  # unoptimised, as in tests, five take seconds
    settings = {'what': 'inversion', 'generator': 'random', 'target': 'tiny', 'resolution': 4}
    found, _ = run(tmp_path, devices=(2,), **settings)
    (row,) = found['scaling']['rows']
    # Two candidates on each of two devices, two steps a call.
    expected = 2 * 2 * 2 * np.median(1 / np.array(row['seconds']))
    assert row['rate']['median'] == pytest.approx(expected)
    assert row['flops_per_item'] > 0
    assert 'efficiency' not in row  # one device alone was not measured
    assert found['steps'] == []
    assert 'networks' not in found  # no peer was asked for


@pytest.mark.parametrize(
    ('options', 'field', 'found'),
    [
        ({'what': 'speed'}, 'what', "'speed'"),
        ({'arch': ('resnet50',)}, 'arch', "'resnet50'"),
        ({'arch': ()}, 'arch', 'none'),
        ({'devices': (0,)}, 'devices', '0'),
        ({'devices': ('two',)}, 'devices', "('two',)"),
        ({'devices': ()}, 'devices', 'none'),
        ({'batch_size': (-1,)}, 'batch_size', '-1'),
        ({'what': 'training', 'batch_size': (1,)}, 'batch_size', '1'),
        ({'what': 'inversion', 'candidates': (0,)}, 'candidates', '0'),
        ({'what': 'inversion', 'resolution': 100}, 'resolution', '100'),
        ({'what': 'loading', 'batch_size': (1, 2)}, 'batch_size', '(1, 2)'),
        ({'what': 'loading', 'feed': 0.0}, 'feed', '0.0'),
        ({'out': 'speed.svg'}, 'out', 'speed.svg'),
        ({'out': ''}, 'out', "''"),
    ],
)
def test_options_that_cannot_be(options, field, found):
    with pytest.raises(errors.InputError) as caught:
        quick(**options)
    assert (caught.value.field, caught.value.found) == (field, found)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('options', 'field', 'hint'),
    [
        ({'devices': (1, 3)}, 'devices', 'JAX_NUM_CPU_DEVICES=8'),
        ({'what': 'loading', 'faces': '/none/such'}, 'faces', ''),
    ],
)
def test_what_is_not_there(options, field, hint):
    with pytest.raises(errors.InputError) as caught:
        suite.run(quick(**options))
    assert caught.value.field == field
    assert hint in (caught.value.hint or '')


def test_the_defaults_are_options():
    assert program_config.Benchmark().what == 'scoring'
